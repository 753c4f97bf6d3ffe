//! Fewer channels.

use super::Editor;
use crate::ops::WeightAxes;
use crate::{GraphError, Tensor, ValueId};

/// The constants that a node multiplies by.
struct Weights {
    /// Input, tensor, axes.
    constants: Vec<(usize, Tensor, WeightAxes)>,
    groups: usize,
    /// Channels that the node makes and reads, of all groups.
    n_outputs: Option<usize>,
    n_inputs: usize,
}

/// Edits of channels: those with the indices `kept`, which ascend, stay. Each one changes a single node: what else has
/// to shrink with it is for the caller to find, and [`finish`](Editor::finish) says where it does not fit.
impl Editor<'_> {
    /// Keeps these of the channels that a `Conv`, `ConvTranspose`, `Gemm` or `MatMul` makes: the parts of its weights
    /// and bias. With groups every one must keep as many.
    ///
    /// A product's channels lie along the axis of the output that its constant operand makes: the last one, or the last
    /// but one where the first operand of a `MatMul` is the constant.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if there is no such node; [`GraphError::InvalidNode`] if it does not multiply by
    /// constants (a stored weight behind a `DequantizeLinear` is cut there: [`keep_channels`](Editor::keep_channels)),
    /// or `kept` is empty, does not ascend, holds an index that is out of range, or differs between groups. Nothing is
    /// changed then.
    pub fn keep_outputs(&mut self, node: &str, kept: &[usize]) -> Result<(), GraphError> {
        let idx = self.position(node)?;
        let weights = self.weights(idx)?;
        let Some(n_outputs) = weights.n_outputs else {
            return Err(self.invalid_node(idx, "its product with a vector makes no channels"));
        };
        let lists = self.per_group(idx, kept, n_outputs, weights.groups)?;
        for (input, tensor, axes) in &weights.constants {
            let Some(axis) = axes.outputs.filter(|&axis| tensor.shape()[axis] > 1) else { continue };
            self.put_slice(idx, *input, sliced(tensor, axis, kept, &lists));
        }
        Ok(())
    }

    /// Keeps these of the channels that a `Conv`, `ConvTranspose`, `Gemm` or `MatMul` reads. With groups every one must
    /// keep as many.
    ///
    /// # Errors
    /// As [`keep_outputs`](Editor::keep_outputs).
    pub fn keep_inputs(&mut self, node: &str, kept: &[usize]) -> Result<(), GraphError> {
        let idx = self.position(node)?;
        let weights = self.weights(idx)?;
        let lists = self.per_group(idx, kept, weights.n_inputs, weights.groups)?;
        for (input, tensor, axes) in &weights.constants {
            let Some(axis) = axes.inputs else { continue };
            self.put_slice(idx, *input, sliced(tensor, axis, kept, &lists));
        }
        Ok(())
    }

    /// Keeps these groups of a `Conv` or `ConvTranspose`, with the channels that they read and make. Of a depthwise
    /// convolution these are its channels.
    ///
    /// # Errors
    /// As [`keep_outputs`](Editor::keep_outputs), and for an operator without groups.
    pub fn keep_groups(&mut self, node: &str, kept: &[usize]) -> Result<(), GraphError> {
        let idx = self.position(node)?;
        let Some(op) = self.nodes[idx].op.with_groups(kept.len()) else {
            return Err(self.invalid_node(idx, "it has no groups"));
        };
        let weights = self.weights(idx)?;
        self.check_kept(idx, kept, weights.groups, "groups")?;
        for (input, tensor, _) in &weights.constants {
            let rows = spread(kept, tensor.shape()[0] / weights.groups);
            self.put_slice(idx, *input, tensor.keep(0, &rows));
        }
        self.nodes[idx].op = op;
        Ok(())
    }

    /// Keeps these channels along `axis` of the output of a node that hands channels on: the parts of its constants that
    /// belong to them (of a `BatchNormalization`, a `PRelu`, an `Add` with a bias, a `DequantizeLinear` of a weight,
    /// ...). A constant that is the same for all channels stays whole.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if there is no such node; [`GraphError::InvalidNode`] if it mixes or moves channels,
    /// if statistics of its own run over them, or if `kept` is empty, does not ascend or is out of range. Nothing is
    /// changed then.
    pub fn keep_channels(&mut self, node: &str, axis: usize, kept: &[usize]) -> Result<(), GraphError> {
        let idx = self.position(node)?;
        let output = self.nodes[idx].outputs.first().copied();
        let Some(rank) = output.and_then(|id| self.original_shape(id)).map(<[usize]>::len) else {
            return Err(
                self.invalid_node(idx, "the axes of its output are not known: finish the edits before this one")
            );
        };
        if axis >= rank {
            return Err(self.invalid_node(idx, format!("its output has {rank} axes, none is axis {axis}")));
        }
        let mut slices = Vec::new();
        for (input, id) in self.nodes[idx].inputs.iter().enumerate() {
            let Some(tensor) = id.and_then(|id| self.constant(id)) else { continue };
            let found = self.nodes[idx].op.parameter_axis(input, tensor.shape().len(), rank, axis);
            let found = found.map_err(|cause| self.invalid_node(idx, cause))?;
            let Some(along) = found.filter(|&along| tensor.shape()[along] > 1) else { continue };
            self.check_kept(idx, kept, tensor.shape()[along], "channels")?;
            slices.push((input, tensor.keep(along, kept)));
        }
        if slices.is_empty() {
            // Nothing to cut: still, the operator must hand channels on.
            let found = self.nodes[idx].op.parameter_axis(0, rank, rank, axis);
            found.map_err(|cause| self.invalid_node(idx, cause))?;
        }
        for (input, tensor) in slices {
            self.put_slice(idx, input, tensor);
        }
        Ok(())
    }

    /// Keeps these parts of a constant along an axis, for all that read it.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if the value is no constant or has no such axis, or `kept` is empty, does not ascend
    /// or is out of range.
    pub fn slice_constant(&mut self, id: ValueId, axis: usize, kept: &[usize]) -> Result<(), GraphError> {
        let tensor = self.check_constant(id)?;
        let name = &self.values[id.0].name;
        let Some(&n) = tensor.shape().get(axis) else {
            return Err(self.invalid(format!("constant \"{name}\" has no axis {axis}")));
        };
        check(kept, n).map_err(|cause| self.invalid(format!("constant \"{name}\": {cause}")))?;
        let sliced = tensor.keep(axis, kept);
        self.values[id.0].constant = Some(sliced);
        Ok(())
    }

    fn put_slice(&mut self, node: usize, input: usize, tensor: Tensor) {
        let name = self.nodes[node].inputs[input].map(|id| self.values[id.0].name.clone()).unwrap_or_default();
        self.put_constant(node, input, tensor, &name);
    }

    fn weights(&self, idx: usize) -> Result<Weights, GraphError> {
        let node = &self.nodes[idx];
        let groups = node.op.groups();
        let mut constants = Vec::new();
        for (input, id) in node.inputs.iter().enumerate() {
            let Some(id) = id else { continue };
            match self.constant(*id) {
                Some(tensor) => {
                    let rank = tensor.shape().len();
                    constants.extend(node.op.weight_axes(input, rank).map(|axes| (input, tensor.clone(), axes)));
                }
                None if input >= 2 => {
                    let name = &self.values[id.0].name;
                    return Err(self.invalid_node(idx, format!("\"{name}\" is not a constant, expected one")));
                }
                None => {}
            }
        }
        let mut factors = constants.iter().filter_map(|(_, tensor, axes)| Some((tensor, *axes, axes.inputs?)));
        let (Some((tensor, axes, inputs)), None) = (factors.next(), factors.next()) else {
            return Err(self.invalid_node(idx, "it does not multiply its input by one constant"));
        };
        // With groups, axis 0 holds the channels of all of them, another axis those of one.
        let n_all = |axis: usize| tensor.shape()[axis] * if axis == 0 { 1 } else { groups };
        let (n_outputs, n_inputs) = (axes.outputs.map(n_all), n_all(inputs));
        if groups == 0 || !tensor.shape()[0].is_multiple_of(groups) {
            return Err(self.invalid_node(idx, format!("its weight does not fall into {groups} groups")));
        }
        Ok(Weights { n_outputs, n_inputs, constants, groups })
    }

    /// The kept channels of every group, counted within it.
    fn per_group(&self, idx: usize, kept: &[usize], n: usize, groups: usize) -> Result<Vec<Vec<usize>>, GraphError> {
        self.check_kept(idx, kept, n, "channels")?;
        let size = n / groups;
        let mut lists = vec![Vec::new(); groups];
        kept.iter().for_each(|&channel| lists[channel / size].push(channel % size));
        match lists.iter().position(|list| list.len() * groups != kept.len()) {
            Some(group) => {
                let (found, n) = (lists[group].len(), kept.len());
                let cause =
                    format!("group {group} keeps {found} of {n} channels, expected as many in each of {groups}");
                Err(self.invalid_node(idx, cause))
            }
            None => Ok(lists),
        }
    }

    fn check_kept(&self, idx: usize, kept: &[usize], n: usize, what: &str) -> Result<(), GraphError> {
        check(kept, n).map_err(|cause| self.invalid_node(idx, format!("{what}: {cause}")))
    }
}

/// The channels behind each of `kept` where one becomes `n` that follow each other, as a `Flatten` of `[c, n]` does.
pub fn spread(kept: &[usize], n: usize) -> Vec<usize> {
    kept.iter().flat_map(|&channel| channel * n..(channel + 1) * n).collect()
}

fn check(kept: &[usize], n: usize) -> Result<(), String> {
    if kept.is_empty() {
        return Err(format!("none of {n} is kept"));
    }
    if let Some(pair) = kept.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(format!("index {} comes after {}, expected ascending ones", pair[1], pair[0]));
    }
    match kept.last() {
        Some(&last) if last >= n => Err(format!("index {last} of {n}")),
        _ => Ok(()),
    }
}

/// `kept` along axis 0, or, where an axis holds the channels of one group, the list of each group for its rows.
fn sliced(tensor: &Tensor, axis: usize, kept: &[usize], groups: &[Vec<usize>]) -> Tensor {
    if axis == 0 || groups.len() == 1 {
        return tensor.keep(axis, kept);
    }
    let rows_per_group = tensor.shape()[..axis].iter().product::<usize>() / groups.len();
    tensor.keep_of(axis, groups[0].len(), |row| &groups[row / rows_per_group.max(1)])
}
