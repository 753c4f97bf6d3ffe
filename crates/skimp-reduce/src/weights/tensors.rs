//! The weight tensors of a network.

use std::collections::{BTreeMap, BTreeSet};

use skimp_graph::{DType, Gemm, Graph, Node, Op, ValueId, ops};

use crate::Refusal;

/// A weight tensor that may be pruned: a constant that convolutions or dense layers multiply by.
#[derive(Clone, Debug)]
pub struct WeightTensor {
    /// The constant.
    pub value: ValueId,
    /// Its name, which masks are filed under.
    pub name: String,
    /// Indices of the nodes that read it, in graph order.
    pub nodes: Vec<usize>,
    /// Name of the first node that reads it, for people.
    pub layer: String,
    /// Extents.
    pub shape: Vec<usize>,
    /// Its elements as a matrix.
    pub matrix: Matrix,
}

impl WeightTensor {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.matrix.rows() * self.matrix.columns()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, in the graph's order; none if `graph` is not the one that the tensor is from.
    pub fn elements<'g>(&self, graph: &'g Graph) -> &'g [f32] {
        graph.constant(self.value).and_then(|tensor| tensor.as_f32()).unwrap_or_default()
    }
}

/// A weight tensor as a matrix: a row for each output, a column for each input that is summed over. Columns are input
/// channels, and within them the taps of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    row_offsets: Vec<usize>,
    column_offsets: Vec<usize>,
    n_taps: usize,
    n_groups: usize,
}

impl Matrix {
    /// Rows: output channels.
    pub fn rows(&self) -> usize {
        self.row_offsets.len()
    }

    /// Columns: input channels of a group times taps.
    pub fn columns(&self) -> usize {
        self.column_offsets.len()
    }

    /// Taps of the kernel; 1 for dense layers.
    pub fn taps(&self) -> usize {
        self.n_taps
    }

    /// Input channels of a group.
    pub fn inputs(&self) -> usize {
        self.columns() / self.n_taps.max(1)
    }

    /// Groups of rows with inputs of their own.
    pub fn groups(&self) -> usize {
        self.n_groups
    }

    /// Where an element lies in the graph's order.
    pub fn index(&self, row: usize, column: usize) -> usize {
        self.row_offsets[row] + self.column_offsets[column]
    }

    /// One row of a tensor.
    pub fn row(&self, elements: &[f32], row: usize) -> Vec<f32> {
        self.column_offsets.iter().map(|offset| elements[self.row_offsets[row] + offset]).collect()
    }

    /// Puts a row back.
    pub fn set_row(&self, elements: &mut [f32], row: usize, values: &[f32]) {
        for (offset, &value) in self.column_offsets.iter().zip(values) {
            elements[self.row_offsets[row] + offset] = value;
        }
    }

    /// The matrix of the constant of extents `shape` at an input of a node; `None` if the node does not multiply by it.
    fn of(node: &Node, input: usize, shape: &[usize]) -> Option<Self> {
        if let (Op::Conv(ops::Conv { groups, .. }), 1, [outputs, inputs, taps @ ..]) = (&node.op, input, shape) {
            let n_taps: usize = taps.iter().product();
            return Some(Self {
                row_offsets: (0..*outputs).map(|row| row * inputs * n_taps).collect(),
                column_offsets: (0..inputs * n_taps).collect(),
                n_taps,
                n_groups: *groups,
            });
        }
        if let (Op::ConvTranspose(ops::ConvTranspose { groups, .. }), 1, [inputs, outputs, taps @ ..]) =
            (&node.op, input, shape)
        {
            let n_taps: usize = taps.iter().product();
            let (n_groups, group_inputs) = (*groups, inputs / groups.max(&1));
            let row = |row: usize| (row / outputs * group_inputs * outputs + row % outputs) * n_taps;
            let column = |column: usize| column / n_taps * outputs * n_taps + column % n_taps;
            return Some(Self {
                row_offsets: (0..n_groups * outputs).map(row).collect(),
                column_offsets: (0..group_inputs * n_taps).map(column).collect(),
                n_taps,
                n_groups,
            });
        }
        if let (Op::Gemm(Gemm { trans_b, .. }), 1, &[first, second]) = (&node.op, input, shape) {
            return Some(if *trans_b {
                Self::dense(1, first, second, false)
            } else {
                Self::dense(1, second, first, true)
            });
        }
        if let (Op::MatMul, [batches @ .., first, second]) = (&node.op, shape) {
            let n_batches = batches.iter().product();
            return Some(if input == 0 {
                Self::dense(n_batches, *first, *second, false)
            } else {
                Self::dense(n_batches, *second, *first, true)
            });
        }
        None
    }

    /// Matrices of `outputs` rows and `inputs` columns, one after the other; stored column by column if `is_turned`.
    fn dense(n_batches: usize, outputs: usize, inputs: usize, is_turned: bool) -> Self {
        let (row_step, column_step) = if is_turned { (1, outputs) } else { (inputs, 1) };
        let row = |row: usize| row / outputs.max(1) * outputs * inputs + row % outputs.max(1) * row_step;
        Self {
            row_offsets: (0..n_batches * outputs).map(row).collect(),
            column_offsets: (0..inputs).map(|column| column * column_step).collect(),
            n_taps: 1,
            n_groups: n_batches,
        }
    }
}

/// What [`find`] found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The tensors, in the order of the layers that read them first.
    pub tensors: Vec<WeightTensor>,
    /// Layers whose weights cannot be pruned, and why.
    pub refused: Vec<Refusal>,
    /// Weights that stay because a layer that reads them is kept.
    pub n_kept: usize,
}

impl Found {
    /// Weights in all tensors.
    pub fn n_weights(&self) -> usize {
        self.tensors.iter().map(WeightTensor::len).sum()
    }

    /// The elements of all tensors, in order.
    pub fn elements<'g>(&self, graph: &'g Graph) -> Vec<&'g [f32]> {
        self.tensors.iter().map(|tensor| tensor.elements(graph)).collect()
    }

    /// The same tensors in a network whose constants have the same names, such as the trained one.
    pub fn of(&self, graph: &Graph) -> Self {
        let ids: BTreeMap<&str, ValueId> =
            graph.values().iter().enumerate().map(|(idx, value)| (value.name.as_str(), ValueId(idx))).collect();
        let mut found = self.clone();
        for tensor in &mut found.tensors {
            tensor.value = ids.get(tensor.name.as_str()).copied().unwrap_or(tensor.value);
        }
        found
    }

    /// Takes out what `refusal` gives a reason for.
    pub fn refuse(&mut self, refusal: impl Fn(&WeightTensor) -> Option<String>) {
        let Self { tensors, refused, .. } = self;
        tensors.retain(|tensor| match refusal(tensor) {
            Some(reason) => {
                refused.push(Refusal { node: tensor.layer.clone(), reason });
                false
            }
            None => true,
        });
    }
}

/// The weight tensors of convolutions, transposed convolutions and dense layers; never a bias or a normalization.
///
/// A tensor stays out if `keeps` says so of a layer that reads it. One that several layers share counts once.
pub fn find(graph: &Graph, keeps: impl Fn(&str) -> bool) -> Found {
    let mut found = Found::default();
    let mut positions: BTreeMap<ValueId, usize> = BTreeMap::new();
    let mut spoiled: BTreeMap<ValueId, String> = BTreeMap::new();
    let mut kept: BTreeSet<ValueId> = BTreeSet::new();
    let producers = graph.producers();
    for (idx, node) in graph.nodes().iter().enumerate() {
        if !node.op.bodies().is_empty() {
            let reason = "weights of the graphs that it holds are not pruned".to_owned();
            found.refused.push(Refusal { node: node.name.clone(), reason });
        }
        if let Some(reason) = no_constant(graph, &producers, node) {
            found.refused.push(Refusal { node: node.name.clone(), reason });
        }
        for (input, &id) in node.inputs.iter().enumerate() {
            let Some((id, tensor)) = id.and_then(|id| Some((id, graph.constant(id)?))) else { continue };
            let Some(matrix) = Matrix::of(node, input, tensor.shape()) else {
                spoiled.entry(id).or_insert_with(|| format!("node \"{}\" reads it as something else", node.name));
                continue;
            };
            if tensor.dtype() != DType::F32 {
                spoiled.entry(id).or_insert_with(|| format!("its weight is of type {}, expected f32", tensor.dtype()));
            }
            if keeps(&node.name) {
                kept.insert(id);
            }
            match positions.get(&id) {
                Some(&position) => {
                    let other: &mut WeightTensor = &mut found.tensors[position];
                    if other.matrix != matrix {
                        let cause = format!("layers \"{}\" and \"{}\" share it in two forms", other.layer, node.name);
                        spoiled.entry(id).or_insert(cause);
                    }
                    other.nodes.push(idx);
                }
                None => {
                    positions.insert(id, found.tensors.len());
                    found.tensors.push(WeightTensor {
                        value: id,
                        name: graph.value(id).name.clone(),
                        nodes: vec![idx],
                        layer: node.name.clone(),
                        shape: tensor.shape().to_vec(),
                        matrix,
                    });
                }
            }
        }
    }
    for &output in graph.outputs() {
        spoiled.entry(output).or_insert_with(|| "its weight is an output of the network".to_owned());
    }
    found.n_kept = found.tensors.iter().filter(|tensor| kept.contains(&tensor.value)).map(WeightTensor::len).sum();
    found.tensors.retain(|tensor| !kept.contains(&tensor.value) && !tensor.is_empty());
    found.refuse(|tensor| spoiled.get(&tensor.value).cloned());
    found
}

/// Why a layer has no constant weight, where it should have one.
fn no_constant(graph: &Graph, producers: &[Option<usize>], node: &Node) -> Option<String> {
    let weight = node.inputs.get(1).copied().flatten().filter(|&id| graph.constant(id).is_none())?;
    let producer = producers[weight.0].map(|idx| &graph.nodes()[idx]);
    let is_stored = producer.is_some_and(|node| matches!(node.op, Op::DequantizeLinear(_)));
    if is_stored && matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul) {
        return Some("its weight is stored quantized: prune the network before it is quantized".to_owned());
    }
    matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_)).then(|| "its weight is no constant".to_owned())
}

#[cfg(test)]
mod tests {
    use skimp_graph::{Dim, GraphBuilder, Tensor};

    use super::*;
    use crate::weights::testing::window;

    fn counted(shape: &[usize]) -> Tensor {
        Tensor::from_f32(shape.to_vec(), (0..shape.iter().product()).map(|i: usize| i as f32).collect())
    }

    /// Every form has the elements of one output in a row, in the order of channels and taps.
    #[test]
    fn rows_are_outputs() {
        let conv = |groups| Op::Conv(ops::Conv { window: window(2, 1, 0), groups });
        let transposed = |groups| {
            let (output_padding, output_shape) = (vec![0; 2], None);
            Op::ConvTranspose(ops::ConvTranspose { window: window(2, 1, 0), groups, output_padding, output_shape })
        };
        let gemm = |trans_b| Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b });
        type Case = (Op, usize, Vec<usize>, Vec<Vec<f32>>);
        let cases: Vec<Case> = vec![
            (conv(1), 1, vec![2, 1, 1, 2], vec![vec![0.0, 1.0], vec![2.0, 3.0]]),
            (gemm(true), 1, vec![2, 3], vec![vec![0.0, 1.0, 2.0], vec![3.0, 4.0, 5.0]]),
            (gemm(false), 1, vec![2, 3], vec![vec![0.0, 3.0], vec![1.0, 4.0], vec![2.0, 5.0]]),
            (Op::MatMul, 1, vec![2, 3], vec![vec![0.0, 3.0], vec![1.0, 4.0], vec![2.0, 5.0]]),
            (Op::MatMul, 0, vec![2, 2], vec![vec![0.0, 1.0], vec![2.0, 3.0]]),
            (Op::MatMul, 1, vec![2, 1, 2], vec![vec![0.0], vec![1.0], vec![2.0], vec![3.0]]),
            // 2 channels in, 2 out, 2 taps: [c][k][tap].
            (transposed(1), 1, vec![2, 2, 1, 2], vec![vec![0.0, 1.0, 4.0, 5.0], vec![2.0, 3.0, 6.0, 7.0]]),
            // Two groups of one channel in and one out.
            (transposed(2), 1, vec![2, 1, 1, 2], vec![vec![0.0, 1.0], vec![2.0, 3.0]]),
        ];
        for (op, input, shape, expected) in cases {
            let node = Node { name: "n".to_owned(), op, inputs: Vec::new(), outputs: vec![ValueId(0)] };
            let matrix = Matrix::of(&node, input, &shape).unwrap();
            let (tensor, mut copy) = (counted(&shape), vec![f32::NAN; shape.iter().product()]);
            let rows: Vec<Vec<f32>> = (0..matrix.rows()).map(|row| matrix.row(tensor.as_f32().unwrap(), row)).collect();
            assert_eq!(rows, expected, "{} {input} {shape:?}", node.op.name());
            rows.iter().enumerate().for_each(|(row, values)| matrix.set_row(&mut copy, row, values));
            assert_eq!(Some(copy.as_slice()), tensor.as_f32());
        }
    }

    /// conv1 and conv2 share a weight, conv3 is kept, conv4's weight is added to something as well.
    #[test]
    fn only_weights_that_may_go_are_found() {
        let mut builder = GraphBuilder::new("net");
        let dims = vec![Dim::Free("N".to_owned()), Dim::Fixed(2), Dim::Fixed(4), Dim::Fixed(4)];
        let x = builder.input("x", DType::F32, dims);
        let conv = || Op::Conv(ops::Conv { window: window(1, 1, 0), groups: 1 });
        let [shared, third, fourth] = ["shared", "third", "fourth"]
            .map(|name| builder.constant(name, Tensor::from_f32(vec![2, 2, 1, 1], vec![1.0; 4])));
        let bias = builder.constant("bias", Tensor::from_f32(vec![2], vec![1.0; 2]));
        let y = builder.node("conv1", conv(), &[x, shared, bias]);
        let y = builder.node("conv2", conv(), &[y, shared]);
        let y = builder.node("conv3", conv(), &[y, third]);
        let y = builder.node("conv4", conv(), &[y, fourth]);
        let y = builder.node("add", Op::Add, &[y, fourth]);
        let y = builder.node("self", Op::MatMul, &[y, y]);
        builder.output(y);
        let found = find(&builder.build().unwrap(), |layer| layer == "conv3");
        let names: Vec<(&str, usize)> = found.tensors.iter().map(|t| (t.name.as_str(), t.nodes.len())).collect();
        assert_eq!((names, found.n_kept, found.n_weights()), (vec![("shared", 2)], 4, 4));
        let reason = "node \"add\" reads it as something else".to_owned();
        assert_eq!(found.refused, [Refusal { node: "conv4".to_owned(), reason }]);
    }
}
