//! The blocks of a network, found by its structure.

use skimp_graph::ops::Class;
use skimp_graph::rewrite::trial_shapes;
use skimp_graph::shape::Shapes;
use skimp_graph::{DType, Graph, Node, Op, ValueId};

use super::block::{Block, BlockKind, Form, Layer, Shortcut};
use super::regions::{Segment, segments, variables};
use crate::ReduceError;

/// Key of the note that names the nodes of removed blocks, one a line.
pub(super) const REMOVED: &str = "skimp.recast.removed";

/// The blocks of a network, from its input to its output.
///
/// They are found by structure, whatever names nodes bear: the network is cut at every value through which all paths
/// pass, and what lies between two cuts is compared with the types of [`BlockKind`]. What fits none is
/// [`BlockKind::Other`] with node and reason; the network's other blocks can be recast all the same. A block that
/// recasting removed is known by a note in the network's metadata.
///
/// # Errors
/// [`ReduceError::Nothing`] for several inputs or outputs, [`ReduceError::Graph`] for shapes that do not fit.
///
/// # Source
/// Yu, Kang and Choi, "Network Recasting: A Universal Method for Network Architecture Transformation", AAAI 2019, and the
/// block model of its released code: the stem is block 0, transitions of dense networks are convolution blocks.
/// Differs: found in any graph, where the release is told them by its network builders.
pub fn blocks(graph: &Graph) -> Result<Vec<Block>, ReduceError> {
    let shapes = trial_shapes(graph)?;
    let producers = graph.producers();
    let removed = graph.metadata(REMOVED).unwrap_or_default().lines().map(str::to_owned).collect();
    let segments = segments(graph)?;
    let reader = Reader { graph, shapes: &shapes, producers: &producers, segments: &segments, removed };
    Ok(reader.blocks())
}

/// A node that fits no type, and why.
struct Misfit {
    node: usize,
    reason: String,
}

/// Shorthand for a misfit.
fn misfit<T>(node: usize, reason: impl Into<String>) -> Result<T, Misfit> {
    Err(Misfit { node, reason: reason.into() })
}

/// Whether a node adds what paths made.
fn is_sum(node: &Node) -> bool {
    matches!(node.op, Op::Add | Op::Sum)
}

/// Whether a node puts channels together.
fn is_concat(node: &Node) -> bool {
    matches!(&node.op, Op::Concat(concat) if concat.axis == 1)
}

/// Whether a node hands on what it reads in a network that runs.
fn is_left_out(node: &Node) -> bool {
    matches!(node.op, Op::Identity | Op::Dropout(_))
}

struct Reader<'g> {
    graph: &'g Graph,
    shapes: &'g Shapes,
    producers: &'g [Option<usize>],
    segments: &'g [Segment],
    removed: Vec<String>,
}

impl Reader<'_> {
    fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut at = 0;
        while at < self.segments.len() {
            let segment = &self.segments[at];
            let (end, block) = match self.single(at) {
                Some((_, node)) if self.removed.contains(&node.name) => {
                    (at + 1, Ok((BlockKind::Removed, Form::Opaque)))
                }
                Some((_, node)) if self.is_weightless(node) => {
                    // What lies before the first block belongs to none.
                    if let Some(block) = blocks.last_mut() {
                        block.riders.push(node.name.clone());
                    }
                    at += 1;
                    continue;
                }
                Some((idx, node)) => self.layer_block(at, idx, node),
                None => self.region_block(at),
            };
            let (kind, form) = block.unwrap_or_else(|Misfit { node, reason }| {
                (BlockKind::Other { node: self.node(node).name.clone(), reason }, Form::Opaque)
            });
            let output = self.segments[end - 1].output;
            let members = self.segments[at..end].iter().flat_map(|segment| &segment.nodes);
            let stride = match &form {
                Form::Layer(layer) => layer.stride,
                Form::Residual { layers, .. } => layers.iter().map(|layer| layer.stride).product(),
                Form::Dense { .. } | Form::Opaque => 1,
            };
            blocks.push(Block {
                kind,
                nodes: members.map(|&idx| self.node(idx).name.clone()).collect(),
                riders: Vec::new(),
                input: self.graph.value(segment.input).name.clone(),
                output: self.graph.value(output).name.clone(),
                in_width: self.channels(segment.input),
                width: self.channels(output),
                stride,
                form,
            });
            at = end;
        }
        blocks
    }

    fn node(&self, idx: usize) -> &Node {
        &self.graph.nodes()[idx]
    }

    fn channels(&self, id: ValueId) -> usize {
        self.shapes.shape(id).get(1).copied().unwrap_or(0)
    }

    /// The node of a segment that has a single one.
    fn single(&self, at: usize) -> Option<(usize, &Node)> {
        match self.segments.get(at)?.nodes.as_slice() {
            &[idx] => Some((idx, self.node(idx))),
            _ => None,
        }
    }

    /// The node that makes a value.
    fn producer(&self, id: ValueId) -> Option<(usize, &Node)> {
        self.producers[id.0].map(|idx| (idx, self.node(idx)))
    }

    /// Whether a node has nothing to learn and one input that matters.
    fn is_weightless(&self, node: &Node) -> bool {
        let is_setting =
            |id: ValueId| self.graph.constant(id).is_some_and(|tensor| !tensor.dtype().is_float() || tensor.len() <= 1);
        let mut inputs = node.inputs.iter().flatten();
        let Some(&first) = inputs.next() else { return false };
        self.graph.constant(first).is_none()
            && inputs.all(|&id| is_setting(id))
            && node.op.class() != Class::Multiplies
            && !matches!(node.op, Op::BatchNormalization(_))
            && node.op.bodies().is_empty()
    }

    /// Whether a node is an activation: each element from one element, nothing to learn.
    fn is_activation(&self, node: &Node) -> bool {
        node.op.class() == Class::ElementWise && !is_left_out(node) && self.is_weightless(node)
    }

    /// The segment behind a batch norm at `at`, or `at`; the norm's name.
    fn norm(&self, at: usize) -> (usize, Option<String>) {
        let norm = self.single(at).filter(|(_, node)| matches!(node.op, Op::BatchNormalization(_)));
        norm.map_or((at, None), |(_, node)| (at + 1, Some(node.name.clone())))
    }

    /// The segment behind an activation at `at`, or `at`.
    fn activation(&self, at: usize) -> usize {
        match self.single(at) {
            Some((_, node)) if self.is_activation(node) => at + 1,
            _ => at,
        }
    }

    /// A block that begins with a single node that has weights.
    fn layer_block(&self, at: usize, idx: usize, node: &Node) -> (usize, Result<(BlockKind, Form), Misfit>) {
        let (kind, layer) = if matches!(node.op, Op::Conv(_)) {
            (BlockKind::Conv, self.conv(idx))
        } else if matches!(node.op, Op::Gemm(_) | Op::MatMul) {
            (BlockKind::FullyConnected, self.product(idx))
        } else {
            return (at + 1, misfit(idx, format!("its weights ({}) belong to no layer before it", node.op.name())));
        };
        let mut layer = match layer {
            Ok(layer) => layer,
            Err(misfit) => return (at + 1, Err(misfit)),
        };
        let mut end = at + 1;
        if let Some((_, node)) = self.single(end).filter(|(_, node)| self.adds_bias(node, layer.outputs)) {
            layer.addend = Some(node.name.clone());
            end += 1;
        }
        let (end, norm) = self.norm(end);
        layer.norm = norm;
        (self.activation(end), Ok((kind, Form::Layer(layer))))
    }

    /// Whether a node adds a constant for each of `n` channels.
    fn adds_bias(&self, node: &Node, n: usize) -> bool {
        let constants = node.inputs.iter().flatten().filter_map(|&id| self.graph.constant(id));
        let lens: Vec<usize> = constants.map(skimp_graph::Tensor::len).collect();
        node.op == Op::Add && lens == [n] && n > 1
    }

    fn conv(&self, idx: usize) -> Result<Layer, Misfit> {
        let node = self.node(idx);
        let Op::Conv(conv) = &node.op else {
            return misfit(idx, format!("is {}, expected a convolution", node.op.name()));
        };
        let weight = node.inputs.get(1).copied().flatten().and_then(|id| self.graph.constant(id));
        let Some(weight) = weight.filter(|weight| weight.dtype() == DType::F32) else {
            return misfit(idx, "its weight is no f32 constant");
        };
        let &[outputs, inputs, r, s] = weight.shape() else {
            return misfit(idx, "is no two-dimensional convolution");
        };
        if conv.groups != 1 {
            return misfit(idx, format!("a convolution in {} groups", conv.groups));
        }
        let &[stride, other] = conv.window.strides.as_slice() else {
            return misfit(idx, "is no two-dimensional convolution");
        };
        if stride != other {
            return misfit(idx, format!("strides {stride} and {other} along its two axes"));
        }
        let node = node.name.clone();
        Ok(Layer { node, addend: None, norm: None, kernel: [r, s], stride, inputs, outputs })
    }

    fn product(&self, idx: usize) -> Result<Layer, Misfit> {
        let node = self.node(idx);
        let operand = |input: usize| node.inputs.get(input).copied().flatten();
        let weight = operand(1).and_then(|id| self.graph.constant(id)).filter(|weight| weight.dtype() == DType::F32);
        let rank = operand(0).map_or(0, |id| self.shapes.shape(id).len());
        let Some(&[rows, columns]) = weight.map(skimp_graph::Tensor::shape).filter(|_| rank == 2) else {
            return misfit(idx, "is no dense layer: a matrix of features times a constant f32 matrix");
        };
        if matches!(&node.op, Op::Gemm(gemm) if gemm.trans_a) {
            return misfit(idx, "multiplies the transposed features");
        }
        let is_transposed = matches!(&node.op, Op::Gemm(gemm) if gemm.trans_b);
        let (inputs, outputs) = if is_transposed { (columns, rows) } else { (rows, columns) };
        let node = node.name.clone();
        Ok(Layer { node, addend: None, norm: None, kernel: [1, 1], stride: 1, inputs, outputs })
    }

    /// A block that begins with paths beside each other.
    fn region_block(&self, at: usize) -> (usize, Result<(BlockKind, Form), Misfit>) {
        match self.join(at) {
            Some((idx, node)) if is_sum(node) => {
                let end = self.activation(at + 1);
                match self.residual(&self.segments[at]) {
                    Ok(_) if end == at + 1 => {
                        (end, misfit(idx, "no rectifier lies behind the sum: a pre-activation or linear block"))
                    }
                    block => (end, block),
                }
            }
            Some((_, node)) if is_concat(node) => {
                let mut end = at + 1;
                while self.join(end).is_some_and(|(_, node)| is_concat(node)) {
                    end += 1;
                }
                let block = self.dense(self.segments[at].input, self.segments[end - 1].output);
                let (norm_end, norm) = self.norm(end);
                let closed = self.activation(norm_end);
                match (block, norm) {
                    (Ok((kind, bottleneck)), Some(_)) if closed > norm_end => {
                        (closed, Ok((kind, Form::Dense { bottleneck })))
                    }
                    (Ok((kind, bottleneck)), _) => (end, Ok((kind, Form::Dense { bottleneck }))),
                    (Err(misfit), _) => (end, Err(misfit)),
                }
            }
            _ => {
                let idx = self.segments[at].nodes.last().copied().unwrap_or(0);
                (at + 1, misfit(idx, "paths meet here that neither a sum nor a concatenation joins"))
            }
        }
    }

    /// The node that joins the paths of a segment with several.
    fn join(&self, at: usize) -> Option<(usize, &Node)> {
        let segment = self.segments.get(at).filter(|segment| segment.nodes.len() > 1)?;
        self.producer(segment.output)
    }

    /// The nodes from `from` to `to`, each with one variable input; stops early at a value for which `stops` holds.
    fn chain(
        &self,
        to: ValueId,
        from: ValueId,
        stops: impl Fn(ValueId) -> bool,
    ) -> Result<(Vec<usize>, ValueId), Misfit> {
        let (mut nodes, mut value) = (Vec::new(), to);
        while value != from && !stops(value) {
            let Some((idx, node)) = self.producer(value) else { break };
            let mut inputs = variables(self.graph, node);
            match (inputs.next(), inputs.next()) {
                (Some(input), None) => value = input,
                _ => return misfit(idx, "joins paths within a path of its block"),
            }
            nodes.push(idx);
        }
        nodes.reverse();
        Ok((nodes, value))
    }

    /// Layers of a path: convolutions, each with its batch norm, with activations between them and none at the end.
    fn path(&self, nodes: &[usize]) -> Result<Vec<Layer>, Misfit> {
        let mut layers: Vec<Layer> = Vec::new();
        let mut is_active = true;
        for &idx in nodes {
            let node = self.node(idx);
            if matches!(node.op, Op::Conv(_)) {
                if !is_active {
                    return misfit(idx, "no activation lies between it and the convolution before it");
                }
                layers.push(self.conv(idx)?);
                is_active = false;
            } else if matches!(node.op, Op::BatchNormalization(_)) {
                match layers.last_mut() {
                    Some(layer) if layer.norm.is_none() && !is_active => layer.norm = Some(node.name.clone()),
                    _ => return misfit(idx, "a batch norm before the convolution: a pre-activation block"),
                }
            } else if self.is_activation(node) && !layers.is_empty() && !is_active {
                is_active = true;
            } else if !is_left_out(node) {
                return misfit(idx, format!("{} in a path of convolutions", node.op.name()));
            }
        }
        match nodes.last() {
            Some(&last) if is_active => misfit(last, "an activation ends the path before the sum"),
            _ => Ok(layers),
        }
    }

    fn residual(&self, segment: &Segment) -> Result<(BlockKind, Form), Misfit> {
        let idx = self.producers[segment.output.0].unwrap_or(0);
        let join = self.node(idx);
        let &[Some(a), Some(b)] = join.inputs.as_slice() else {
            return misfit(idx, "joins other than two paths");
        };
        let paths = [self.chain(a, segment.input, |_| false)?.0, self.chain(b, segment.input, |_| false)?.0];
        let n_layers =
            paths.each_ref().map(|path| path.iter().filter(|&&idx| matches!(self.node(idx).op, Op::Conv(_))).count());
        // The second path is the shortcut of two that are alike.
        let side = usize::from(n_layers[0] >= n_layers[1]);
        let layers = self.path(&paths[1 - side])?;
        let (short, n_short) = (&paths[side], n_layers[side]);
        let shortcut = if n_short > 0 {
            match self.path(short)?.as_slice() {
                [layer] if layer.kernel == [1, 1] => Shortcut::Projection(layer.clone()),
                _ => return misfit(idx, "its shortcut is no single 1x1 convolution"),
            }
        } else if let Some(&odd) = short.iter().find(|&&idx| !self.is_move(self.node(idx))) {
            return misfit(odd, format!("{} in a shortcut", self.node(odd).op.name()));
        } else {
            let names = short.iter().map(|&idx| self.node(idx));
            let mut names = names.filter(|node| !is_left_out(node)).peekable();
            match names.peek() {
                None => Shortcut::Identity,
                Some(_) => Shortcut::Padding(short.iter().map(|&idx| self.node(idx).name.clone()).collect()),
            }
        };
        let kernels: Vec<[usize; 2]> = layers.iter().map(|layer| layer.kernel).collect();
        let kind = match kernels.as_slice() {
            [[3, 3], [3, 3]] => BlockKind::Basic,
            [[1, 1], [3, 3], [1, 1]] => BlockKind::Bottleneck { mid: layers[1].outputs },
            _ => {
                let found: Vec<String> = kernels.iter().map(|[r, s]| format!("{r}x{s}")).collect();
                let found = if found.is_empty() { "no convolutions".to_owned() } else { found.join(", ") };
                return misfit(idx, format!("adds a path of {found}, expected 3x3, 3x3 or 1x1, 3x3, 1x1"));
            }
        };
        Ok((kind, Form::Residual { layers, shortcut, join: join.name.clone(), side }))
    }

    /// Whether a node of a shortcut has no weights: it moves elements, takes some or adds zeros.
    fn is_move(&self, node: &Node) -> bool {
        matches!(node.op.class(), Class::Moves | Class::Pools) || is_left_out(node)
    }

    /// The values that concatenations put together, in order.
    fn parts(&self, value: ValueId, input: ValueId) -> Vec<ValueId> {
        match self.producer(value) {
            Some((_, node)) if value != input && is_concat(node) => {
                node.inputs.iter().flatten().flat_map(|&id| self.parts(id, input)).collect()
            }
            _ => vec![value],
        }
    }

    /// A run of concatenations from `input` to `output`.
    fn dense(&self, input: ValueId, output: ValueId) -> Result<(BlockKind, Option<usize>), Misfit> {
        let last = self.producers[output.0].unwrap_or(0);
        let parts = self.parts(output, input);
        let Some((_, added)) = parts.split_first().filter(|(first, added)| **first == input && !added.is_empty())
        else {
            return misfit(last, "concatenates, but not its layers' outputs to what they read: no dense block");
        };
        let (mut growths, mut bottlenecks) = (Vec::new(), Vec::new());
        for (n_before, &value) in added.iter().enumerate() {
            let stops = |id: ValueId| self.producer(id).is_some_and(|(_, node)| is_concat(node));
            let (nodes, read) = self.chain(value, input, stops)?;
            let Some((&first, rest)) = nodes.split_first() else {
                return misfit(last, "concatenates a value to itself");
            };
            if self.parts(read, input) != parts[..=n_before] {
                return misfit(first, "does not read all channels before it, as layers of dense blocks do");
            }
            let names: Vec<&'static str> = nodes.iter().map(|&idx| self.node(idx).op.name()).collect();
            let starts = matches!(self.node(first).op, Op::BatchNormalization(_));
            let layers = match rest.split_first() {
                Some((&relu, rest)) if starts && self.is_activation(self.node(relu)) => self.path(rest)?,
                _ => {
                    return misfit(
                        first,
                        format!("{} in a dense block, expected BatchNormalization, Relu, Conv", names.join(", ")),
                    );
                }
            };
            let kernels: Vec<[usize; 2]> = layers.iter().map(|layer| layer.kernel).collect();
            let (bottleneck, layer) = match (kernels.as_slice(), layers.as_slice()) {
                ([[3, 3]], [layer]) => (None, layer),
                ([[1, 1], [3, 3]], [narrow, layer]) => (Some(narrow.outputs), layer),
                _ => return misfit(first, "a layer of a dense block is a 3x3 convolution, or a 1x1 and a 3x3 one"),
            };
            growths.push(layer.outputs);
            bottlenecks.push(bottleneck);
        }
        if growths.iter().any(|growth| *growth != growths[0])
            || bottlenecks.iter().any(|width| *width != bottlenecks[0])
        {
            return misfit(last, format!("its layers add {growths:?} channels, expected equal numbers"));
        }
        Ok((BlockKind::Dense { growth: growths[0], n_layers: growths.len() }, bottlenecks[0]))
    }
}
