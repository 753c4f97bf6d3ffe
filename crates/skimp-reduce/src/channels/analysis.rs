//! Which channels depend on each other.
//!
//! Every channel that a layer makes gets a label, and labels are followed through the network: an element-wise operator
//! makes those of its operands one, an operator that moves elements is run on the labels themselves, a layer that sums
//! over channels ends them, and whatever cannot lose channels makes them stay, with a reason. Channels whose labels are
//! one stay or go together.
//!
//! # Source
//! Fang, Ma, Song, Mi and Wang, "DepGraph: Towards Any Structural Pruning", CVPR 2023, is this analysis at the grain of
//! layers and operators; at the grain of channels, concatenations, shuffles, splits and padded shortcuts need no rules
//! of their own.

use std::borrow::Cow;
use std::collections::BTreeSet;

use skimp_graph::ops::{Class, Reduction};
use skimp_graph::rewrite::{batch_shapes, trial_shapes};
use skimp_graph::shape::Shapes;
use skimp_graph::{Graph, GraphError, Node, Op, Pad, PadMode, Tensor, ValueId, reference};

use super::Masking;
use super::classes::{Classes, FIXED, Fixed, Label};
use super::labelling::Labelling;

/// A channel of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slice {
    /// Index of the node.
    pub node: usize,
    /// Which channel of those that it makes or reads.
    pub channel: usize,
}

/// How a layer that sums over channels reads and makes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// Which input holds the activations, if the other one is constant.
    pub(super) data: usize,
    /// Axis of the activations that is summed over.
    pub(super) in_axis: usize,
    /// Axis of the output that it makes.
    pub(super) out_axis: usize,
}

/// A value over some axes of an index that it shares with others.
#[derive(Debug)]
struct Operand {
    labellings: Vec<Labelling>,
    /// Axes of the index along which it has more than one element.
    extends: BTreeSet<usize>,
}

/// Labels of all values of a network.
#[derive(Debug)]
pub(super) struct Labels<'g> {
    pub(super) graph: &'g Graph,
    pub(super) shapes: Shapes,
    /// The same for two images, where their number is open.
    shapes_of_two: Option<Shapes>,
    /// Of each value.
    pub(super) of: Vec<Vec<Labelling>>,
    pub(super) classes: Classes,
    /// Of each label: the channels made with it.
    pub(super) makes: Vec<(Label, Slice)>,
    /// Of each label: the channels read with it.
    pub(super) reads: Vec<(Label, Slice)>,
    /// The layers with constant weights, by node.
    pub(super) layers: Vec<Option<Layer>>,
    /// How often each value is used by nodes.
    n_uses: Vec<usize>,
    masking: Masking,
    /// Nodes whose statistics run over channels that may go.
    pub(super) inexact: Vec<usize>,
}

impl<'g> Labels<'g> {
    /// Follows all labels; layers for which `keeps` holds make channels that stay.
    pub(super) fn of(graph: &'g Graph, masking: Masking, keeps: impl Fn(&str) -> bool) -> Result<Self, GraphError> {
        let shapes = trial_shapes(graph)?;
        let shapes_of_two = batch_shapes(graph, 2)
            .ok()
            .filter(|two| graph.inputs().iter().any(|input| two.get(input.value) != shapes.get(input.value)));
        let n_uses = graph.consumers().iter().map(Vec::len).collect();
        let of = vec![Vec::new(); graph.values().len()];
        let layers = vec![None; graph.nodes().len()];
        let (classes, makes, reads) = (Classes::new(), Vec::new(), Vec::new());
        let inexact = Vec::new();
        let mut labels =
            Self { graph, shapes, shapes_of_two, of, classes, makes, reads, layers, n_uses, masking, inexact };
        for idx in 0..graph.nodes().len() {
            let outputs = labels.node(idx, &keeps);
            for (&id, labellings) in graph.nodes()[idx].outputs.iter().zip(outputs) {
                labels.of[id.0] = labels.separate(idx, id, labellings);
            }
        }
        let producers = graph.producers();
        for &output in graph.outputs() {
            let node = producers[output.0].unwrap_or(0);
            labels.fix_value(output, node, "the network puts it out");
        }
        labels.settle();
        labels.fix_wholes();
        Ok(labels)
    }

    fn shape(&self, id: ValueId) -> &[usize] {
        self.shapes.shape(id)
    }

    /// The values that a node computes on, with their positions.
    pub(super) fn computed<'n>(&self, node: &'n Node) -> impl Iterator<Item = (usize, ValueId)> + use<'n, 'g> {
        let graph = self.graph;
        let inputs = node.inputs.iter().enumerate().filter_map(|(input, id)| Some((input, (*id)?)));
        inputs.filter(move |&(_, id)| graph.constant(id).is_none())
    }

    /// Labels of the outputs of a node, and what it does to those of its inputs.
    fn node(&mut self, idx: usize, keeps: &impl Fn(&str) -> bool) -> Vec<Vec<Labelling>> {
        let node = &self.graph.nodes()[idx];
        let none = || vec![Vec::new(); node.outputs.len()];
        match node.op.class() {
            Class::Multiplies => match self.layer(idx) {
                Ok(Some(layer)) => self.weighted(idx, layer, keeps(&node.name)),
                Ok(None) => vec![self.product(idx)],
                Err(reason) => {
                    self.fix_inputs(idx, &reason);
                    none()
                }
            },
            Class::Moves => self.moved(idx).unwrap_or_else(|reason| {
                self.fix_inputs(idx, &reason);
                none()
            }),
            Class::ElementWise => vec![self.element_wise(idx)],
            Class::Pools | Class::Reduces | Class::Normalizes if node.outputs.len() == 1 => vec![self.carried(idx)],
            Class::Pools | Class::Reduces | Class::Normalizes => {
                self.fix_inputs(idx, "it has several outputs");
                none()
            }
        }
    }

    /// How a layer reads and makes channels; `None` for a product of two computed matrices.
    fn layer(&self, idx: usize) -> Result<Option<Layer>, String> {
        let node = &self.graph.nodes()[idx];
        let computed: Vec<(usize, ValueId)> = self.computed(node).collect();
        let is_product = matches!(node.op, Op::MatMul);
        if !matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul) {
            return Err(format!("how {} sums over channels is not known", node.op.name()));
        }
        let (data, id) = match computed[..] {
            [one] => one,
            [_, _] if is_product => return Ok(None),
            _ => return Err("it does not multiply by one stored weight: dequantize or fold it first".to_owned()),
        };
        let rank = self.shape(id).len();
        let weight = node.inputs.get(1 - data.min(1)).copied().flatten().and_then(|id| self.graph.constant(id));
        let weight = weight.ok_or_else(|| "it has no stored weight".to_owned())?;
        if weight_is_shared(self, node, 1 - data.min(1)) {
            return Err("its weight is read by other nodes, too".to_owned());
        }
        let is_matrix = weight.shape().len() == 2;
        let is_conv = matches!(node.op, Op::Conv(_) | Op::ConvTranspose(_));
        let is_gemm = is_matrix && matches!(&node.op, Op::Gemm(gemm) if !gemm.trans_a);
        let is_product = is_matrix && rank >= 2 && node.op == Op::MatMul;
        let found = match data {
            0 if is_conv || is_gemm => Some(Layer { data, in_axis: 1, out_axis: 1 }),
            0 if is_product => Some(Layer { data, in_axis: rank - 1, out_axis: rank - 1 }),
            1 if is_product => Some(Layer { data, in_axis: rank - 2, out_axis: rank - 2 }),
            _ => None,
        };
        found.map(Some).ok_or_else(|| "the form of its weight is not known".to_owned())
    }

    /// A layer that multiplies by a constant weight.
    fn weighted(&mut self, idx: usize, layer: Layer, is_kept: bool) -> Vec<Vec<Labelling>> {
        let node = &self.graph.nodes()[idx];
        let Some(input) = node.inputs[layer.data] else { return vec![Vec::new()] };
        let output = node.outputs[0];
        let groups = node.op.groups();
        let (n_in, n_out) = (self.shape(input)[layer.in_axis], self.shape(output)[layer.out_axis]);
        let mut carried = Vec::new();
        let mut read = None;
        for labelling in self.of[input.0].clone() {
            if labelling.axes.contains(&layer.in_axis) {
                let because = "it sums over their channels, which lie along several axes";
                read = self.collapsed(labelling, layer.in_axis, idx, because);
            } else if matches!(node.op, Op::MatMul) {
                carried.push(labelling);
            } else {
                self.fix_labelling(&labelling, idx, "it slides along them");
            }
        }
        self.layers[idx] = Some(layer);
        let is_depthwise = groups > 1 && groups == n_in;
        let made = if is_depthwise {
            let per_channel = n_out / groups;
            let inputs = read.as_ref().map_or_else(|| vec![FIXED; n_in], |read| read.labels.clone());
            if is_kept {
                inputs.iter().for_each(|&label| self.fix(label, idx, "it is to be kept"));
            }
            (0..n_out).map(|channel| inputs[channel / per_channel.max(1)]).collect()
        } else {
            let (group_in, group_out) = (n_in / groups.max(1), n_out / groups.max(1));
            if let Some(read) = &read {
                for (channel, &label) in read.labels.iter().enumerate().skip(group_in) {
                    self.unite(label, read.labels[channel % group_in], idx, "every group must keep as many channels");
                }
            }
            let fresh = self.classes.fresh(group_out);
            if is_kept {
                fresh.iter().for_each(|&label| self.fix(label, idx, "it is to be kept"));
            }
            (0..n_out).map(|channel| fresh[channel % group_out.max(1)]).collect::<Vec<Label>>()
        };
        for (channel, &label) in made.iter().enumerate() {
            self.makes.push((label, Slice { node: idx, channel }));
        }
        for (channel, label) in read.iter().flat_map(|read| read.labels.iter().enumerate()) {
            self.reads.push((*label, Slice { node: idx, channel }));
        }
        carried.push(Labelling::along(layer.out_axis, made));
        vec![carried]
    }

    /// A product of two computed matrices, or stacks of them.
    fn product(&mut self, idx: usize) -> Vec<Labelling> {
        let node = &self.graph.nodes()[idx];
        let (Some(a), Some(b)) = (node.inputs[0], node.inputs[1]) else { return Vec::new() };
        let (shape_a, shape_b) = (self.shape(a).to_vec(), self.shape(b).to_vec());
        let (rank_a, rank_b) = (shape_a.len(), shape_b.len());
        let rank = self.shape(node.outputs[0]).len();
        if rank_a < 2 || rank_b < 2 || rank != rank_a.max(rank_b) {
            self.fix_inputs(idx, "it multiplies by a vector");
            return Vec::new();
        }
        // Both operands over the axes of a common index: the stack, rows, what is summed over, columns.
        let (rows, summed, columns) = (rank - 2, rank - 1, rank);
        let places_a: Vec<usize> = (0..rank_a).map(|axis| axis + rank - rank_a).collect();
        let places_b: Vec<usize> =
            (0..rank_b).map(|axis| axis + rank - rank_b + usize::from(axis + 2 >= rank_b)).collect();
        let mut common = self.shape(node.outputs[0])[..rows].to_vec();
        common.extend([shape_a[rank_a - 2], shape_a[rank_a - 1], shape_b[rank_b - 1]]);
        let operands = [(a, &shape_a, places_a), (b, &shape_b, places_b)];
        let operands: Vec<Operand> =
            operands.into_iter().map(|(id, shape, places)| self.operand(id, shape, places)).collect();
        let joined = self.join(&operands, &common, idx, "the other factor");
        // What is summed over is gone, what lies along other axes stays; all that share an index of the others are one:
        // heads of an attention stay or go as a whole.
        let mut left = Vec::new();
        for labelling in joined {
            match labelling.axes.as_slice() {
                [axis] if *axis == summed => {}
                axes if axes.contains(&summed) => left.push(self.merged_over(&labelling, summed, idx)),
                _ => left.push(labelling),
            }
        }
        for labelling in &mut left {
            labelling.axes.iter_mut().filter(|axis| **axis == columns).for_each(|axis| *axis = summed);
        }
        left
    }

    /// Makes all labels one that differ along `axis` alone; the labels along the other axes.
    fn merged_over(&mut self, labelling: &Labelling, axis: usize, idx: usize) -> Labelling {
        let position = labelling.axes.iter().position(|&own| own == axis).unwrap_or(0);
        let strides = super::labelling::strides(&labelling.extents);
        let (stride, extent) = (strides[position], labelling.extents[position]);
        let mut labels = Vec::new();
        for (at, &label) in labelling.labels.iter().enumerate() {
            let along = at / stride % extent;
            if along == 0 {
                labels.push(label);
            } else {
                let first = labelling.labels[at - along * stride];
                self.unite(label, first, idx, "a part of what it sums over stays");
            }
        }
        let (mut axes, mut extents) = (labelling.axes.clone(), labelling.extents.clone());
        axes.remove(position);
        extents.remove(position);
        Labelling { axes, extents, labels }
    }

    /// An operator that computes each element from one of each operand.
    fn element_wise(&mut self, idx: usize) -> Vec<Labelling> {
        let node = &self.graph.nodes()[idx];
        let shape = self.shape(node.outputs[0]).to_vec();
        let mut operands = Vec::new();
        for (_, id) in self.computed(node) {
            let own = self.shape(id).to_vec();
            let places = (shape.len() - own.len()..shape.len()).collect();
            operands.push(self.operand(id, &own, places));
        }
        self.join(&operands, &shape, idx, "another operand")
    }

    /// A value over the axes `places` of a common index.
    fn operand(&self, id: ValueId, shape: &[usize], places: Vec<usize>) -> Operand {
        let place = |labelling: &Labelling| Labelling {
            axes: labelling.axes.iter().map(|&axis| places[axis]).collect(),
            ..labelling.clone()
        };
        let labellings = self.of[id.0].iter().map(place).collect();
        let extends = shape.iter().zip(&places).filter(|(extent, _)| **extent > 1).map(|(_, &place)| place).collect();
        Operand { labellings, extends }
    }

    /// Makes labels of several operands one, element by element, on a common shape.
    fn join(&mut self, operands: &[Operand], shape: &[usize], idx: usize, what: &str) -> Vec<Labelling> {
        let because = format!("{what} cannot lose channels");
        // Where an operand has extents of its own but no labels, nothing may go.
        for labelling in operands.iter().flat_map(|operand| &operand.labellings) {
            let is_bare = |operand: &Operand| {
                let labelled = |axis| operand.labellings.iter().any(|other| other.axes.contains(axis));
                labelling.axes.iter().any(|axis| operand.extends.contains(axis) && !labelled(axis))
            };
            if operands.iter().any(is_bare) {
                self.fix_labelling(labelling, idx, &because);
            }
        }
        let mut joined: Vec<Labelling> = Vec::new();
        for labelling in operands.iter().flat_map(|operand| &operand.labellings) {
            let meets = |other: &Labelling| other.axes.iter().any(|axis| labelling.axes.contains(axis));
            let (meeting, others): (Vec<Labelling>, Vec<Labelling>) = joined.into_iter().partition(meets);
            joined = others;
            let all = meeting.iter().chain([labelling]).flat_map(|one| one.axes.iter().copied());
            let axes: Vec<usize> = all.collect::<BTreeSet<usize>>().into_iter().collect();
            let all = labelling.onto(&axes, shape);
            for other in meeting {
                let other = other.onto(&axes, shape);
                all.labels.iter().zip(&other.labels).for_each(|(&a, &b)| self.unite(a, b, idx, &because));
            }
            joined.push(all);
        }
        joined
    }

    /// An operator of one computed input that keeps elements apart along some axes.
    fn carried(&mut self, idx: usize) -> Vec<Labelling> {
        let node = &self.graph.nodes()[idx];
        let mut computed = self.computed(node);
        let (Some((0, id)), None) = (computed.next(), computed.next()) else {
            self.fix_inputs(idx, "it reads several values");
            return Vec::new();
        };
        let rank = self.shape(id).len();
        let mut carried = Vec::new();
        for labelling in self.of[id.0].clone() {
            let axes: Result<Vec<usize>, &str> =
                labelling.axes.iter().map(|&axis| node.op.carries(rank, axis)).collect();
            match axes {
                Ok(axes) => carried.push(Labelling { axes, ..labelling }),
                Err(_) if self.masking == Masking::Inexact && runs_statistics(&node.op) => {
                    if let Op::GroupNormalization(normalization) = &node.op {
                        self.unite_groups(idx, &labelling, normalization.groups);
                    }
                    if self.inexact.last() != Some(&idx) {
                        self.inexact.push(idx);
                    }
                    carried.push(labelling);
                }
                Err(reason) => self.fix_labelling(&labelling, idx, reason),
            }
        }
        carried
    }

    /// Makes labels one that lie at the same place of every group of channels.
    fn unite_groups(&mut self, idx: usize, labelling: &Labelling, groups: usize) {
        if labelling.axes != [1] {
            self.fix_labelling(labelling, idx, "channels of its groups lie along other axes, too");
            return;
        }
        let per_group = labelling.labels.len() / groups.max(1);
        for (channel, &label) in labelling.labels.iter().enumerate().skip(per_group) {
            let first = labelling.labels[channel % per_group];
            self.unite(label, first, idx, "every group must keep as many channels");
        }
    }

    /// An operator that moves elements: it is run on the labels.
    fn moved(&mut self, idx: usize) -> Result<Vec<Vec<Labelling>>, String> {
        let node = &self.graph.nodes()[idx];
        if let Op::Pad(pad) = &node.op
            && let Some(padded) = self.padded(idx, pad)
        {
            return Ok(vec![padded]);
        }
        if let ([Some(input)], [output]) = (node.inputs.as_slice(), node.outputs.as_slice())
            && node.op.renames()
            && self.shape(*input) == self.shape(*output)
        {
            return Ok(vec![self.of[input.0].clone()]);
        }
        self.check_move(node)?;
        let outputs = self.moved_in(idx, &self.shapes)?;
        // Where the number of images is open, they must not mix: labels lie where they lie for one.
        if let Some(shapes) = &self.shapes_of_two
            && self.moved_in(idx, shapes)? != outputs
        {
            return Err("it mixes the images of a batch".to_owned());
        }
        let mut separate = Vec::with_capacity(outputs.len());
        for found in outputs {
            let (labellings, labels): (Vec<_>, Vec<_>) = found.into_iter().partition(Result::is_ok);
            for label in labels.into_iter().filter_map(Result::err) {
                self.fix(label, idx, "nothing else would be left of its output");
            }
            separate.push(labellings.into_iter().flatten().collect());
        }
        Ok(separate)
    }

    /// What an operator that moves elements makes of labels, for values of those shapes: for each output labellings, and
    /// labels of everything.
    fn moved_in(&self, idx: usize, shapes: &Shapes) -> Result<Vec<Vec<Result<Labelling, Label>>>, String> {
        let node = &self.graph.nodes()[idx];
        let mut outputs = vec![Vec::new(); node.outputs.len()];
        let n_labellings = self.computed(node).map(|(_, id)| self.of[id.0].len()).max().unwrap_or(0);
        for round in 0..n_labellings {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for (input, id) in node.inputs.iter().enumerate() {
                let Some(id) = *id else {
                    inputs.push(None);
                    continue;
                };
                let shape = shapes.shape(id).to_vec();
                // Indices and the like are what they are; every other constant stays.
                let is_data = is_moved(&node.op, input);
                inputs.push(Some(match (self.graph.constant(id), self.of[id.0].get(round)) {
                    (Some(tensor), _) if !is_data => tensor.clone(),
                    (_, Some(labelling)) => as_tensor(&labelling.spread(&shape), shape),
                    (_, None) => as_tensor(&vec![FIXED; shape.iter().product()], shape),
                }));
            }
            let moved = run(&filled_with_zeros(node), &inputs)?;
            for (output, tensor) in outputs.iter_mut().zip(moved) {
                let dense: Vec<Label> = tensor.as_i64().unwrap_or_default().iter().map(|&x| x as Label).collect();
                if dense.iter().any(|&label| label >= self.classes.len()) {
                    return Err("it does not only move elements".to_owned());
                }
                output.extend(Labelling::compress(&dense, tensor.shape()).transpose());
            }
        }
        Ok(outputs)
    }

    /// Whether an operator moves elements to places that do not depend on them.
    fn check_move(&self, node: &Node) -> Result<(), String> {
        let joins = matches!(&node.op, Op::ScatterElements(scatter) if scatter.reduction != Reduction::None)
            || matches!(&node.op, Op::ScatterNd(scatter) if scatter.reduction != Reduction::None);
        if joins {
            return Err("it joins elements".to_owned());
        }
        let is_joint = matches!(node.op, Op::Concat(_));
        if matches!(node.op, Op::OneHot(_)) || self.computed(node).any(|(input, _)| input > 0 && !is_joint) {
            return Err("where it moves them to is computed".to_owned());
        }
        Ok(())
    }

    /// What a `Pad` adds along the axis of channels may go with what it is added to: it gets labels of its own.
    fn padded(&mut self, idx: usize, pad: &Pad) -> Option<Vec<Labelling>> {
        let (_, id) = self.computed(&self.graph.nodes()[idx]).next()?;
        let is_padded = |axis: &usize| (pad.begin.get(*axis), pad.end.get(*axis)) != (Some(&0), Some(&0));
        let mut padded = Vec::new();
        for labelling in self.of[id.0].clone() {
            if !labelling.axes.iter().any(is_padded) {
                padded.push(labelling);
                continue;
            }
            let ([axis], PadMode::Constant) = (labelling.axes.as_slice(), pad.mode) else { return None };
            let (begin, end) = (usize::try_from(pad.begin[*axis]).ok()?, usize::try_from(pad.end[*axis]).ok()?);
            let labels = [self.classes.fresh(begin), labelling.labels, self.classes.fresh(end)].concat();
            padded.push(Labelling::along(*axis, labels));
        }
        Some(padded)
    }

    /// Labels of one value must not meet on an axis, nor lie along one that is longer for more images.
    fn separate(&mut self, idx: usize, id: ValueId, labellings: Vec<Labelling>) -> Vec<Labelling> {
        let mut kept: Vec<Labelling> = Vec::new();
        for mut labelling in labellings {
            // Along an axis of one index nothing can go.
            let extents = labelling.extents.clone();
            let mut extends = extents.iter().map(|&extent| extent > 1);
            labelling.axes.retain(|_| extends.next().unwrap_or(false));
            labelling.extents.retain(|&extent| extent > 1);
            if labelling.axes.is_empty() {
                self.fix_labelling(&labelling, idx, "it has a single channel");
                continue;
            }
            let of_two = self.shapes_of_two.as_ref().map(|shapes| shapes.shape(id));
            let fits = |(&axis, &extent): (&usize, &usize)| of_two.is_none_or(|shape| shape[axis] == extent);
            if !labelling.axes.iter().zip(&labelling.extents).all(fits) {
                self.fix_labelling(&labelling, idx, "it mixes the images of a batch");
                continue;
            }
            let meets = |other: &Labelling| other.axes.iter().any(|axis| labelling.axes.contains(axis));
            if let Some(position) = kept.iter().position(meets) {
                let other = kept.remove(position);
                self.fix_labelling(&other, idx, "it joins channels of two kinds");
                self.fix_labelling(&labelling, idx, "it joins channels of two kinds");
            } else {
                kept.push(labelling);
            }
        }
        kept
    }

    /// Labels of a value that is to lose channels along one axis alone.
    fn collapsed(&mut self, labelling: Labelling, axis: usize, idx: usize, because: &str) -> Option<Labelling> {
        if !labelling.axes.contains(&axis) {
            self.fix_labelling(&labelling, idx, because);
            return None;
        }
        let (pairs, along) = labelling.collapse(axis);
        for (a, b) in pairs {
            self.unite(a, b, idx, because);
        }
        Some(along)
    }

    /// Every value must lose channels along one axis alone: classes that lie across several become one along the last.
    fn settle(&mut self) {
        let producers = self.graph.producers();
        loop {
            let mut changed = false;
            for (producer, labellings) in producers.iter().zip(&self.of) {
                let node = producer.unwrap_or(0);
                for labelling in labellings {
                    let is_settled = |axis: &usize| labelling.differs_along(*axis, |label| self.classes.root(label));
                    if labelling.axes.iter().any(is_settled) {
                        continue;
                    }
                    let Some(&last) = labelling.axes.last() else { continue };
                    for (a, b) in labelling.collapse(last).0 {
                        let because = || Fixed { node, reason: "a part of its channels stays".to_owned() };
                        changed |= self.classes.unite(a, b, because);
                    }
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// A class that all elements of a value belong to stays: nothing would be left.
    fn fix_wholes(&mut self) {
        let producers = self.graph.producers();
        for (producer, labellings) in producers.iter().zip(&self.of) {
            let node = producer.unwrap_or(0);
            for labelling in labellings {
                let root = self.classes.root(labelling.labels[0]);
                if labelling.labels.iter().all(|&label| self.classes.root(label) == root) {
                    let reason = "nothing would be left of what it makes".to_owned();
                    self.classes.fix(root, || Fixed { node, reason });
                }
            }
        }
    }

    fn fix(&mut self, label: Label, node: usize, reason: &str) {
        self.classes.fix(label, || Fixed { node, reason: reason.to_owned() });
    }

    fn unite(&mut self, a: Label, b: Label, node: usize, reason: &str) {
        self.classes.unite(a, b, || Fixed { node, reason: reason.to_owned() });
    }

    fn fix_labelling(&mut self, labelling: &Labelling, node: usize, reason: &str) {
        labelling.labels.iter().for_each(|&label| self.fix(label, node, reason));
    }

    fn fix_value(&mut self, id: ValueId, node: usize, reason: &str) {
        for labelling in self.of[id.0].clone() {
            self.fix_labelling(&labelling, node, reason);
        }
    }

    fn fix_inputs(&mut self, idx: usize, reason: &str) {
        let node = &self.graph.nodes()[idx];
        for (_, id) in self.computed(node).collect::<Vec<_>>() {
            self.fix_value(id, idx, reason);
        }
    }
}

/// Whether an operator keeps elements where they are, by statistics that it makes of them.
pub(super) fn runs_statistics(op: &Op) -> bool {
    matches!(op, Op::LayerNormalization(_) | Op::GroupNormalization(_) | Op::Softmax(_) | Op::LogSoftmax(_))
}

fn weight_is_shared(labels: &Labels<'_>, node: &Node, input: usize) -> bool {
    node.inputs[input].is_some_and(|id| labels.n_uses[id.0] > 1 || labels.graph.outputs().contains(&id))
}

/// Whether an operator that moves elements moves those of this input; else they are indices or the like.
pub(super) fn is_moved(op: &Op, input: usize) -> bool {
    input != 1 || matches!(op, Op::Concat(_))
}

/// The node, with [`FIXED`] where it fills.
fn filled_with_zeros(node: &Node) -> Cow<'_, Node> {
    let Op::Pad(pad) = &node.op else { return Cow::Borrowed(node) };
    Cow::Owned(Node { op: Op::Pad(Pad { value: 0.0, ..pad.clone() }), ..node.clone() })
}

fn as_tensor(labels: &[Label], shape: Vec<usize>) -> Tensor {
    Tensor::from_i64(shape, labels.iter().map(|&label| label as i64).collect())
}

/// The outputs of a node for these inputs.
pub(super) fn run(node: &Node, inputs: &[Option<Tensor>]) -> Result<Vec<Tensor>, String> {
    let inputs: Vec<Option<&Tensor>> = inputs.iter().map(Option::as_ref).collect();
    reference::evaluate(&node.op, &node.name, &inputs).map_err(|error| error.to_string())
}
