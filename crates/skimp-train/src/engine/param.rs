//! Parameters and buffers.

/// What a parameter does in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParamRole {
    /// Weight of a convolution or dense layer.
    Weight,
    /// Bias of a convolution or dense layer, or any other added constant.
    Bias,
    /// Factor of a batch normalization, or any other constant factor.
    Scale,
    /// Addend of a batch normalization.
    Shift,
    /// Slope of a PRelu.
    Slope,
    /// Step between two codes of a quantizer, or the range of its codes.
    Step,
}

/// The order in which a parameter's elements lie in [`Param::values`] and [`Param::grad`].
///
/// Output channels are contiguous in convolution and dense weights, so that kernels load them as vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// As in the graph.
    Graph,
    /// A matrix, transposed: `[out, in]` in the graph, `[in, out]` here.
    Transposed,
    /// A convolution weight: `[k, c / groups, r, s]` in the graph, `[r, s, c / groups, k]` here.
    Conv,
}

/// A trainable tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    name: String,
    role: ParamRole,
    shape: Vec<usize>,
    storage: Storage,
    values: Vec<f32>,
    grad: Vec<f32>,
    trainable: bool,
    layer: usize,
}

/// A tensor that training changes without a gradient: a running mean or variance.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// Name of the graph's constant.
    pub name: String,
    /// Elements.
    pub values: Vec<f32>,
}

impl Param {
    /// A parameter from its elements in the graph's order, with zero gradient.
    ///
    /// # Panics
    /// If the number of elements is not that of `shape`.
    pub fn new(
        name: impl Into<String>,
        role: ParamRole,
        shape: Vec<usize>,
        storage: Storage,
        values: &[f32],
        layer: usize,
    ) -> Self {
        assert_eq!(values.len(), shape.iter().product::<usize>(), "the elements fill the shape");
        let mut param = Self {
            name: name.into(),
            role,
            shape,
            storage,
            values: vec![0.0; values.len()],
            grad: vec![0.0; values.len()],
            trainable: true,
            layer,
        };
        param.set_graph_values(values);
        param
    }

    /// Name of the graph's constant.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it does in its layer.
    pub fn role(&self) -> ParamRole {
        self.role
    }

    /// Extents in the graph (a convolution's weight: `[k, c / groups, r, s]`).
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Order of the elements.
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Index of the first layer that reads it.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// Whether optimizers change it. The gradient of a frozen parameter is not computed and stays 0.
    pub fn is_trainable(&self) -> bool {
        self.trainable
    }

    /// Freezes (`false`) or thaws the parameter.
    pub fn set_trainable(&mut self, trainable: bool) {
        self.trainable = trainable;
        if !trainable {
            self.grad.fill(0.0);
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Elements, in storage order.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Elements, in storage order.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Gradient, in storage order.
    pub fn grad(&self) -> &[f32] {
        &self.grad
    }

    /// Gradient, in storage order.
    pub fn grad_mut(&mut self) -> &mut [f32] {
        &mut self.grad
    }

    /// Elements and gradient at once, for an update in place.
    pub fn values_and_grad_mut(&mut self) -> (&mut [f32], &mut [f32]) {
        (&mut self.values, &mut self.grad)
    }

    /// Takes the gradient's memory out, so that the parameters can be read while it is written.
    pub(crate) fn take_grad(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.grad)
    }

    /// Gives the memory of [`take_grad`](Param::take_grad) back.
    pub(crate) fn put_grad(&mut self, memory: Vec<f32>) {
        self.grad = memory;
    }

    /// Elements in the graph's order.
    pub fn graph_values(&self) -> Vec<f32> {
        self.in_graph_order(&self.values)
    }

    /// Gradient in the graph's order.
    pub fn graph_grad(&self) -> Vec<f32> {
        self.in_graph_order(&self.grad)
    }

    /// A tensor of this parameter's storage order (a velocity, a mask, ...) in the graph's order.
    ///
    /// # Panics
    /// If the number of elements differs.
    pub fn in_graph_order(&self, stored: &[f32]) -> Vec<f32> {
        assert_eq!(stored.len(), self.values.len(), "one element per element");
        let mut graph = vec![0.0; stored.len()];
        self.for_each_index(|graph_idx, stored_idx| graph[graph_idx] = stored[stored_idx]);
        graph
    }

    /// A tensor of the graph's order in this parameter's storage order.
    ///
    /// # Panics
    /// If the number of elements differs.
    pub fn in_storage_order(&self, graph: &[f32]) -> Vec<f32> {
        assert_eq!(graph.len(), self.values.len(), "one element per element");
        let mut stored = vec![0.0; graph.len()];
        self.for_each_index(|graph_idx, stored_idx| stored[stored_idx] = graph[graph_idx]);
        stored
    }

    /// Takes elements over from the graph's order.
    ///
    /// # Panics
    /// If the number of elements differs.
    pub fn set_graph_values(&mut self, graph: &[f32]) {
        self.values = self.in_storage_order(graph);
    }

    /// Calls `visit(index in the graph, index in storage)` for each element.
    fn for_each_index(&self, mut visit: impl FnMut(usize, usize)) {
        match (self.storage, self.shape.as_slice()) {
            (Storage::Transposed, &[outputs, inputs]) => {
                for k in 0..outputs {
                    for c in 0..inputs {
                        visit(k * inputs + c, c * outputs + k);
                    }
                }
            }
            (Storage::Conv, [outputs, inputs, taps @ ..]) => {
                let (outputs, inputs, n_taps) = (*outputs, *inputs, taps.iter().product::<usize>());
                for k in 0..outputs {
                    for c in 0..inputs {
                        for tap in 0..n_taps {
                            visit((k * inputs + c) * n_taps + tap, (tap * inputs + c) * outputs + k);
                        }
                    }
                }
            }
            (Storage::Graph | Storage::Transposed | Storage::Conv, _) => {
                (0..self.values.len()).for_each(|i| visit(i, i));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_inverse() {
        let cases = [
            (vec![2, 3], Storage::Transposed, vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
            (vec![5], Storage::Graph, vec![0.0, 1.0, 2.0, 3.0, 4.0]),
            // [k = 2, c = 2, r = 1, s = 2] to [s, c, k].
            (vec![2, 2, 1, 2], Storage::Conv, vec![0.0, 4.0, 2.0, 6.0, 1.0, 5.0, 3.0, 7.0]),
            // Depthwise: [k, 1, 1, s] to [s, k].
            (vec![2, 1, 1, 3], Storage::Conv, vec![0.0, 3.0, 1.0, 4.0, 2.0, 5.0]),
        ];
        for (shape, storage, expected) in cases {
            let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32).collect();
            let param = Param::new("p", ParamRole::Weight, shape.clone(), storage, &values, 0);
            assert_eq!(param.values(), expected, "{shape:?} {storage:?}");
            assert_eq!(param.graph_values(), values, "{shape:?} {storage:?}");
        }
    }
}
