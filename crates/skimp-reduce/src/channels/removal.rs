//! The network without channels, and the same with zeros in their place.

use skimp_graph::ops::Class;
use skimp_graph::rewrite::{Edge, Editor};
use skimp_graph::{DType, Data, Graph, Node, Op, Tensor, ValueId};

use super::analysis::{is_moved, runs_statistics};
use super::moves::{Left, all_whole, fit};
use super::{Channels, Gone};
use crate::ReduceError;

impl Channels<'_> {
    /// The network without these units: in every layer that makes or reads them, and in everything between.
    ///
    /// # Errors
    /// [`ReduceError::Nothing`] if nothing would be left of a value, [`ReduceError::Node`] naming a node that cannot
    /// move what is left, [`ReduceError::Graph`] if the parts do not fit.
    pub fn remove(&self, gone: &Gone) -> Result<Graph, ReduceError> {
        let graph = self.labels.graph;
        let left = self.left(gone)?;
        let mut editor = Editor::new(graph);
        for (idx, node) in graph.nodes().iter().enumerate() {
            let inputs = node.inputs.iter().flatten().filter_map(|id| left[id.0].as_ref());
            let outputs = node.outputs.iter().filter_map(|id| left[id.0].as_ref());
            if all_whole(inputs.chain(outputs)) {
                continue;
            }
            match node.op.class() {
                Class::Multiplies => self.cut_layer(&mut editor, idx, &left)?,
                Class::Moves => self.cut_move(&mut editor, node, &left)?,
                Class::ElementWise | Class::Pools | Class::Reduces | Class::Normalizes => {
                    self.cut_parameters(&mut editor, node, &left)?;
                }
            }
        }
        Ok(editor.finish()?)
    }

    /// The network as it is, with zeros in the place of these units wherever a layer sums over them.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn mask(&self, gone: &Gone) -> Result<Graph, ReduceError> {
        let graph = self.labels.graph;
        let left = self.left(gone)?;
        let mut editor = Editor::new(graph);
        for node in graph.nodes().iter().filter(|node| node.op.class() == Class::Multiplies) {
            for (input, id) in self.labels.computed(node) {
                let Some(left) = &left[id.0] else { continue };
                for (axis, kept) in left.kept.iter().enumerate() {
                    let Some(kept) = kept else { continue };
                    let mut mask = vec![false; left.shape[axis]];
                    kept.iter().for_each(|&index| mask[index] = true);
                    let mut shape = vec![1; left.shape.len()];
                    shape[axis] = left.shape[axis];
                    let name = format!("{}.mask{input}.{axis}", node.name);
                    // Chosen, not multiplied: what goes may be infinite.
                    let zero = match self.labels.shapes.get(id).map(|found| found.dtype) {
                        Some(DType::F64) => Data::from(vec![0.0_f64]),
                        _ => Data::from(vec![0.0_f32]),
                    };
                    let zero = editor.add_constant(&format!("{name}.zero"), tensor(Vec::new(), zero));
                    let mask = editor.add_constant(&name, tensor(shape, mask.into()));
                    let x = editor.node(&node.name).and_then(|node| node.inputs[input]);
                    editor.insert(Edge::Input { node: &node.name, input }, &name, Op::Where, &[x, Some(zero)])?;
                    editor.set_input(&name, 0, Some(mask))?;
                }
            }
        }
        Ok(editor.finish()?)
    }

    /// What is left of each value that is computed.
    fn left(&self, gone: &Gone) -> Result<Vec<Option<Left>>, ReduceError> {
        let (labels, graph) = (&self.labels, self.labels.graph);
        let classes = self.classes(gone);
        let mut all = Vec::with_capacity(graph.values().len());
        for (value, labellings) in labels.of.iter().enumerate() {
            let id = ValueId(value);
            let Some(found) = labels.shapes.get(id).filter(|_| graph.constant(id).is_none()) else {
                all.push(None);
                continue;
            };
            let mut left = Left { shape: found.shape.clone(), kept: vec![None; found.shape.len()] };
            for labelling in labellings {
                let is_gone = |label: &usize| classes.contains(&labels.classes.root(*label));
                if !labelling.labels.iter().any(is_gone) {
                    continue;
                }
                let differs = |axis: &usize| labelling.differs_along(*axis, |label| usize::from(is_gone(&label)));
                let Some(axis) = labelling.axes.iter().copied().find(differs) else {
                    return Err(self.nothing(id, "what is left of it is no block"));
                };
                let (_, along) = labelling.collapse(axis);
                let kept: Vec<usize> =
                    (0..along.labels.len()).filter(|&index| !is_gone(&along.labels[index])).collect();
                if kept.is_empty() {
                    return Err(self.nothing(id, "nothing would be left of it"));
                }
                left.kept[axis] = Some(kept);
            }
            all.push(Some(left));
        }
        Ok(all)
    }

    fn nothing(&self, id: ValueId, cause: &str) -> ReduceError {
        let graph = self.labels.graph;
        let cause = format!("value \"{}\": {cause}", graph.value(id).name);
        ReduceError::Nothing { network: graph.name().to_owned(), cause }
    }

    fn refuse(&self, node: &Node, cause: String) -> ReduceError {
        let (network, node) = (self.labels.graph.name().to_owned(), node.name.clone());
        ReduceError::Node { network, node, cause }
    }

    /// Weights and bias of a layer.
    fn cut_layer(&self, editor: &mut Editor<'_>, idx: usize, left: &[Option<Left>]) -> Result<(), ReduceError> {
        let node = &self.labels.graph.nodes()[idx];
        // A product of two computed matrices has nothing of its own.
        let Some(layer) = self.labels.layers[idx] else { return Ok(()) };
        let kept = |id: Option<ValueId>, axis: usize| id.and_then(|id| left[id.0].as_ref()?.kept[axis].clone());
        let input = node.inputs[layer.data];
        let (read, made) = (kept(input, layer.in_axis), kept(node.outputs.first().copied(), layer.out_axis));
        let groups = node.op.groups();
        let n_in = input.and_then(|id| left[id.0].as_ref()).map_or(0, |left| left.shape[layer.in_axis]);
        if groups > 1 && groups == n_in {
            if let Some(read) = read {
                editor.keep_groups(&node.name, &read)?;
            }
            return Ok(());
        }
        if let Some(read) = read {
            editor.keep_inputs(&node.name, &read)?;
        }
        if let Some(made) = made {
            editor.keep_outputs(&node.name, &made)?;
        }
        Ok(())
    }

    /// Constants along the axes that are cut.
    fn cut_parameters(&self, editor: &mut Editor<'_>, node: &Node, left: &[Option<Left>]) -> Result<(), ReduceError> {
        let graph = self.labels.graph;
        let constants: Vec<usize> = node
            .inputs
            .iter()
            .enumerate()
            .filter_map(|(input, id)| {
                graph
                    .constant((*id)?)
                    .map(|tensor| (input, tensor.shape().len()))
                    .filter(|&(_, rank)| rank > 0)
                    .map(|(input, _)| input)
            })
            .collect();
        let Some(output) = node.outputs.first().and_then(|id| left[id.0].as_ref()) else { return Ok(()) };
        if constants.is_empty() {
            return Ok(());
        }
        if runs_statistics(&node.op) {
            return self.cut_scales(editor, node, &constants, output);
        }
        for (axis, kept) in output.kept.iter().enumerate() {
            let Some(kept) = kept else { continue };
            let hands_on = node.op.parameter_axis(constants[0], 1, output.shape.len(), axis).is_ok();
            if hands_on {
                editor.keep_channels(&node.name, axis, kept)?;
            }
        }
        Ok(())
    }

    /// Scales and shifts of an operator whose statistics run over what is cut: one for each channel of axis 1, or for each
    /// element of the last axes.
    fn cut_scales(
        &self,
        editor: &mut Editor<'_>,
        node: &Node,
        constants: &[usize],
        output: &Left,
    ) -> Result<(), ReduceError> {
        let graph = self.labels.graph;
        for &input in constants {
            let Some(whole) = node.inputs[input].and_then(|id| graph.constant(id)) else { continue };
            let first = match &node.op {
                Op::GroupNormalization(_) => 1,
                _ => output.shape.len().saturating_sub(whole.shape().len()),
            };
            let mut cut = whole.clone();
            for (axis, kept) in output.kept.iter().enumerate().skip(first) {
                let Some(kept) = kept else { continue };
                if cut.shape().get(axis - first) == Some(&output.shape[axis]) {
                    cut = cut.keep(axis - first, kept);
                }
            }
            let id = editor.add_constant(&format!("{}.input{input}", node.name), cut);
            editor.set_input(&node.name, input, Some(id))?;
        }
        Ok(())
    }

    /// An operator that moves what is left.
    fn cut_move(&self, editor: &mut Editor<'_>, node: &Node, left: &[Option<Left>]) -> Result<(), ReduceError> {
        let graph = self.labels.graph;
        let inputs: Vec<Option<Result<Left, Tensor>>> = node
            .inputs
            .iter()
            .enumerate()
            .map(|(input, id)| {
                let id = (*id)?;
                match graph.constant(id) {
                    Some(tensor) if is_moved(&node.op, input) => {
                        let shape = tensor.shape().to_vec();
                        Some(Ok(Left { kept: vec![None; shape.len()], shape }))
                    }
                    Some(tensor) => Some(Err(tensor.clone())),
                    None => left[id.0].clone().map(Ok),
                }
            })
            .collect();
        let outputs: Vec<Left> = node.outputs.iter().filter_map(|id| left[id.0].clone()).collect();
        let (op, constants) = fit(node, &inputs, &outputs).map_err(|cause| self.refuse(node, cause))?;
        editor.replace_op(&node.name, op)?;
        for (input, tensor) in constants {
            let id = editor.add_constant(&format!("{}.input{input}", node.name), tensor);
            editor.set_input(&node.name, input, Some(id))?;
        }
        Ok(())
    }
}

fn tensor(shape: Vec<usize>, data: Data) -> Tensor {
    Tensor::new(shape, data).expect("as many elements as the extents say")
}
