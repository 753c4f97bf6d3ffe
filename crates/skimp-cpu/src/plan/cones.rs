//! Elementwise nodes that run as one program.

use std::collections::{BTreeMap, BTreeSet};

use skimp_graph::ops;
use skimp_graph::shape::Shapes;
use skimp_graph::{Graph, Node, Op, Tensor, ValueId};

use super::fuse::clamps;
use crate::kernels::LANES;
use crate::kernels::program::{Binary, Instruction, Load, Operand, Program, REGISTERS, Unary};

/// Nodes in a cone at most.
const MAX_NODES: usize = 16;
/// Registers that are loaded at most.
const MAX_LOADS: usize = 4;

/// Elementwise nodes over one value, of which one result is read outside.
#[derive(Clone, Debug)]
pub(super) struct Cone {
    /// Indices, ascending. The whole cone runs at the place of the last one, so that its operands are there.
    pub(super) nodes: Vec<usize>,
    /// What register 0 holds.
    pub(super) x: ValueId,
    pub(super) program: Program,
    /// What the program loads.
    pub(super) operands: Vec<ValueId>,
    pub(super) out: ValueId,
    pub(super) layout: Layout,
}

impl Cone {
    /// The operands that are shaped like `x`.
    pub(super) fn images(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.program.loads.iter().filter_map(|load| match load {
            Load::Image(operand) => self.operands.get(*operand).copied(),
            Load::Pixel(_) | Load::Channel(_) | Load::Repeat(_) => None,
        })
    }
}

/// The layout that a program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    Any,
    /// Something is loaded by channel.
    Blocked,
    /// Something repeats along the last axes.
    Plain,
}

/// Where an instruction's operand comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    X,
    Load(usize),
    Result(usize),
    Scalar(f32),
}

#[derive(Clone, Copy, Debug)]
enum Function {
    Unary(Unary, Source),
    Binary(Binary, Source, Source),
}

/// A cone in the making.
#[derive(Clone, Debug)]
struct Draft {
    x: ValueId,
    nodes: Vec<usize>,
    sources: BTreeMap<ValueId, Source>,
    functions: Vec<Function>,
    loads: Vec<Load>,
    operands: Vec<ValueId>,
    layout: Layout,
}

/// Finds cones in a graph.
#[derive(Debug)]
pub(super) struct Cones<'a> {
    pub(super) graph: &'a Graph,
    pub(super) shapes: &'a Shapes,
    pub(super) constants: &'a [Option<Tensor>],
    consumers: Vec<Vec<usize>>,
    is_output: Vec<bool>,
}

impl<'a> Cones<'a> {
    pub(super) fn new(graph: &'a Graph, shapes: &'a Shapes, constants: &'a [Option<Tensor>]) -> Self {
        let mut is_output = vec![false; graph.values().len()];
        graph.outputs().iter().for_each(|id| is_output[id.0] = true);
        Self { graph, shapes, constants, consumers: graph.consumers(), is_output }
    }

    /// The largest cone over `x` of nodes that are `free`, for an epilogue of what computes `x`: then nothing else may read
    /// `x`. Only these layouts.
    pub(super) fn after(&self, x: ValueId, free: impl Fn(usize) -> bool, layouts: &[Layout]) -> Option<Cone> {
        self.grow(x, true, MAX_NODES, free, layouts)
    }

    /// The largest cone of nodes that are `free` which begins with this node.
    pub(super) fn from(&self, idx: usize, free: impl Fn(usize) -> bool) -> Option<Cone> {
        let any = [Layout::Any, Layout::Blocked, Layout::Plain];
        self.grow(self.start(idx)?, false, MAX_NODES, |other| other >= idx && free(other), &any)
            .filter(|cone| cone.nodes.first() == Some(&idx))
            .or_else(|| self.alone(idx))
    }

    /// The cone of one node.
    pub(super) fn alone(&self, idx: usize) -> Option<Cone> {
        let any = [Layout::Any, Layout::Blocked, Layout::Plain];
        self.grow(self.start(idx)?, false, 1, |other| other == idx, &any)
    }

    /// The operand of a node that is shaped like its result.
    fn start(&self, idx: usize) -> Option<ValueId> {
        let node = &self.graph.nodes()[idx];
        let shape = self.shapes.shape(*node.outputs.first()?);
        let computed = node.inputs.iter().flatten().filter(|id| self.constants[id.0].is_none());
        computed.copied().find(|&id| self.shapes.shape(id) == shape)
    }

    /// The transposes before and behind a layer normalization that make it one of the channels of an image.
    pub(super) fn turned_norm(&self, norm: usize) -> Option<[usize; 2]> {
        let node = &self.graph.nodes()[norm];
        let Op::LayerNormalization(ops::LayerNormalization { axis: -1 | 3, .. }) = node.op else { return None };
        let (x, out) = (node.inputs[0]?, node.outputs[0]);
        let &[1, _, _, channels] = self.shapes.shape(x) else { return None };
        let parameters = |idx| self.constant(node, idx).is_some_and(|tensor| tensor.len() == channels);
        let has_shift = node.inputs.get(2).copied().flatten().is_some();
        let before = self.graph.nodes()[..norm].iter().rposition(|node| node.outputs.contains(&x))?;
        let (&[_], &[after]) = (self.consumers[x.0].as_slice(), self.consumers[out.0].as_slice()) else { return None };
        let turns = |idx: usize, order: [usize; 4]| matches!(&self.graph.nodes()[idx].op, Op::Transpose(ops::Transpose { perm }) if perm[..] == order);
        let fits = parameters(1)
            && (!has_shift || parameters(2))
            && turns(before, [0, 2, 3, 1])
            && turns(after, [0, 3, 1, 2])
            && !self.is_output[x.0]
            && !self.is_output[out.0]
            && self.constants[self.graph.nodes()[before].inputs[0]?.0].is_none();
        fits.then_some([before, after])
    }

    fn grow(
        &self,
        x: ValueId,
        anchored: bool,
        limit: usize,
        free: impl Fn(usize) -> bool,
        layouts: &[Layout],
    ) -> Option<Cone> {
        let sources = BTreeMap::from([(x, Source::X)]);
        let (nodes, functions, loads, operands) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut draft = Draft { x, nodes, sources, functions, loads, operands, layout: Layout::Any };
        let mut waiting: BTreeSet<usize> = self.consumers[x.0].iter().copied().collect();
        let mut best = None;
        while let Some(idx) = waiting.pop_first() {
            if draft.nodes.len() == limit {
                break;
            }
            if !free(idx) {
                continue;
            }
            let mut larger = draft.clone();
            if self.translate(idx, &mut larger).is_none()
                || larger.loads.len() > MAX_LOADS
                || !layouts.contains(&larger.layout)
            {
                continue;
            }
            larger.nodes.push(idx);
            draft = larger;
            let out = self.graph.nodes()[idx].outputs[0];
            waiting.extend(self.consumers[out.0].iter().copied());
            if self.escapes(&draft, anchored, out)
                && let Some(program) = draft.program()
            {
                best = Some(Cone {
                    nodes: draft.nodes.clone(),
                    x,
                    program,
                    operands: draft.operands.clone(),
                    out,
                    layout: draft.layout,
                });
            }
        }
        best
    }

    /// Whether `out` is the only value of the cone that is read outside.
    fn escapes(&self, draft: &Draft, anchored: bool, out: ValueId) -> bool {
        let read_outside = |id: ValueId| {
            self.is_output[id.0] || self.consumers[id.0].iter().any(|reader| !draft.nodes.contains(reader))
        };
        draft.sources.iter().all(|(&id, source)| match source {
            Source::X => !anchored || !read_outside(id),
            Source::Result(_) => id == out || !read_outside(id),
            Source::Load(_) | Source::Scalar(_) => true,
        })
    }

    /// Adds the functions of a node.
    fn translate(&self, idx: usize, draft: &mut Draft) -> Option<()> {
        let node = &self.graph.nodes()[idx];
        let &[out] = node.outputs.as_slice() else { return None };
        if self.constants[out.0].is_some() || self.shapes.shape(out) != self.shapes.shape(draft.x) {
            return None;
        }
        if let Some(function) = unary(&node.op) {
            let x = self.source(node, 0, draft)?;
            draft.push(Function::Unary(function, x));
        } else if let Some(function) = binary(&node.op) {
            let (a, b) = (self.source(node, 0, draft)?, self.source(node, 1, draft)?);
            draft.push(Function::Binary(function, a, b));
        } else {
            match &node.op {
                Op::BatchNormalization(ops::BatchNormalization { epsilon }) => {
                    if !matches!(self.shapes.shape(draft.x), [1, _, _] | [1, _, _, _]) {
                        return None;
                    }
                    let x = self.source(node, 0, draft)?;
                    let (scale, shift) = self.norm_parameters(node, *epsilon)?;
                    let scale = draft.load(Load::Channel(scale), Layout::Blocked)?;
                    let shift = draft.load(Load::Channel(shift), Layout::Blocked)?;
                    let scaled = draft.push(Function::Binary(Binary::Mul, x, scale));
                    draft.push(Function::Binary(Binary::Add, scaled, shift));
                }
                Op::Pow => {
                    let exponent = self.constant(node, 1)?;
                    let x = self.source(node, 0, draft)?;
                    match exponent.as_f32()? {
                        [2.0] => draft.push(Function::Unary(Unary::Square, x)),
                        _ => return None,
                    };
                }
                _ => return None,
            }
        }
        draft.join_product();
        draft.sources.insert(out, Source::Result(draft.functions.len() - 1));
        Some(())
    }

    fn constant(&self, node: &Node, idx: usize) -> Option<&Tensor> {
        self.constants[node.inputs.get(idx).copied().flatten()?.0].as_ref()
    }

    /// Where an input of a node comes from.
    fn source(&self, node: &Node, idx: usize, draft: &mut Draft) -> Option<Source> {
        let id = node.inputs.get(idx).copied().flatten()?;
        if let Some(&source) = draft.sources.get(&id) {
            return Some(source);
        }
        let shape = self.shapes.shape(draft.x);
        if let Some(tensor) = &self.constants[id.0] {
            let elements = tensor.as_f32()?;
            if let [only] = elements {
                return Some(Source::Scalar(*only));
            }
            if let Some(parameters) = per_channel(tensor, shape) {
                return draft.load(Load::Channel(parameters), Layout::Blocked);
            }
            let leading = tensor.shape().iter().take_while(|&&extent| extent == 1).count();
            let repeats = shape.ends_with(&tensor.shape()[leading..]);
            return if repeats { draft.load(Load::Repeat(elements.to_vec()), Layout::Plain) } else { None };
        }
        let other = self.shapes.shape(id);
        let is_pixel = matches!((shape, other), ([1, c, _, _], [1, d, 1, 1]) | ([1, c, _], [1, d, 1]) if c == d);
        let operand = draft.operands.len();
        let load = if other == shape {
            draft.load(Load::Image(operand), Layout::Any)?
        } else if is_pixel {
            draft.load(Load::Pixel(operand), Layout::Blocked)?
        } else {
            return None;
        };
        draft.operands.push(id);
        draft.sources.insert(id, load);
        Some(load)
    }

    /// Batch normalization as `scale · x + shift`, worked out in f64, padded to whole blocks.
    fn norm_parameters(&self, node: &Node, epsilon: f32) -> Option<(Vec<f32>, Vec<f32>)> {
        let parameter = |idx| self.constant(node, idx)?.as_f32();
        let (gamma, beta, mean, variance) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
        let scales: Vec<f64> = gamma
            .iter()
            .zip(variance)
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + f64::from(epsilon)).sqrt())
            .collect();
        let shift = scales.iter().zip(beta.iter().zip(mean));
        let mut shift: Vec<f32> =
            shift.map(|(scale, (&beta, &mean))| (f64::from(beta) - f64::from(mean) * scale) as f32).collect();
        let mut scale: Vec<f32> = scales.iter().map(|&scale| scale as f32).collect();
        scale.resize(scale.len().next_multiple_of(LANES), 0.0);
        shift.resize(scale.len(), 0.0);
        Some((scale, shift))
    }
}

impl Draft {
    fn push(&mut self, function: Function) -> Source {
        self.functions.push(function);
        Source::Result(self.functions.len() - 1)
    }

    /// Makes one function of a product that ends the functions where it is a swish or a gelu as exporters write them: the
    /// same operations in one pass (but for one rounding of gelu's argument).
    fn join_product(&mut self) {
        let Some(&Function::Binary(Binary::Mul, a, b)) = self.functions.last() else { return };
        let joined = [(a, b), (b, a)].into_iter().find_map(|(a, b)| {
            let is_swish = matches!(self.made(b), Some(Function::Unary(Unary::Sigmoid, x)) if x == a);
            if is_swish { Some((Unary::Swish(1.0), a)) } else { self.gelu(a, b).map(|x| (Unary::Gelu, x)) }
        });
        if let (Some((function, x)), Some(last)) = (joined, self.functions.last_mut()) {
            *last = Function::Unary(function, x);
        }
    }

    /// x, where `a · b` is x / 2 · (1 + erf(x / √2)) with the half in either factor.
    fn gelu(&self, a: Source, b: Source) -> Option<Source> {
        let factors = |source| match self.made(source)? {
            Function::Binary(Binary::Mul, a, b) => Some([(a, b), (b, a)]),
            _ => None,
        };
        let half = |source| matches!(source, Source::Scalar(0.5));
        if half(b) {
            return factors(a)?.into_iter().find_map(|(x, sum)| (self.normal(sum)? == x).then_some(x));
        }
        let x = self.normal(b)?;
        factors(a)?.into_iter().any(|(y, scale)| y == x && half(scale)).then_some(x)
    }

    /// x, where a value is 1 + erf(x / √2).
    fn normal(&self, sum: Source) -> Option<Source> {
        let (Function::Binary(Binary::Add, erf, Source::Scalar(1.0))
        | Function::Binary(Binary::Add, Source::Scalar(1.0), erf)) = self.made(sum)?
        else {
            return None;
        };
        let Function::Unary(Unary::Erf, inner) = self.made(erf)? else { return None };
        let near = |x: f32, y: f32| (x - y).abs() < 1e-6;
        match self.made(inner)? {
            Function::Binary(Binary::Div, x, Source::Scalar(root)) if near(root, std::f32::consts::SQRT_2) => Some(x),
            Function::Binary(Binary::Mul, x, Source::Scalar(factor))
            | Function::Binary(Binary::Mul, Source::Scalar(factor), x)
                if near(factor, std::f32::consts::FRAC_1_SQRT_2) =>
            {
                Some(x)
            }
            _ => None,
        }
    }

    /// The function whose result this is.
    fn made(&self, source: Source) -> Option<Function> {
        match source {
            Source::Result(idx) => self.functions.get(idx).copied(),
            Source::X | Source::Load(_) | Source::Scalar(_) => None,
        }
    }

    /// A loaded register; `None` where the layouts do not go together.
    fn load(&mut self, load: Load, layout: Layout) -> Option<Source> {
        self.layout = match (self.layout, layout) {
            (layout, Layout::Any) | (Layout::Any, layout) => layout,
            (a, b) if a == b => a,
            _ => return None,
        };
        self.loads.push(load);
        Some(Source::Load(self.loads.len() - 1))
    }

    /// The program that ends with the last function; `None` where the registers do not suffice.
    fn program(&self) -> Option<Program> {
        let end = self.functions.len().checked_sub(1)?;
        // When each result is read for the last time, by what is needed; others have become part of a longer function.
        let mut last_uses: Vec<Option<usize>> = vec![None; self.functions.len()];
        let mut last_x = None;
        for (time, function) in self.functions.iter().enumerate().rev() {
            if time != end && last_uses[time].is_none() {
                continue;
            }
            let (a, b) = match *function {
                Function::Unary(_, a) => (a, a),
                Function::Binary(_, a, b) => (a, b),
            };
            for source in [a, b] {
                match source {
                    Source::Result(idx) => last_uses[idx] = last_uses[idx].or(Some(time)),
                    Source::X => last_x = last_x.or(Some(time)),
                    Source::Load(_) | Source::Scalar(_) => {}
                }
            }
        }
        let mut free: Vec<usize> = (1 + self.loads.len()..REGISTERS).rev().collect();
        let mut registers = vec![0; self.functions.len()];
        let mut instructions = Vec::new();
        for (time, function) in self.functions.iter().enumerate() {
            if time != end && last_uses[time].is_none() {
                continue;
            }
            // Not what this instruction reads: in place, it would take a copy.
            let to = free.pop()?;
            registers[time] = to;
            if last_x == Some(time) {
                free.push(0);
            }
            free.extend((0..time).filter(|&idx| last_uses[idx] == Some(time)).map(|idx| registers[idx]));
            let operand = |source| match source {
                Source::X => Operand::Register(0),
                Source::Load(idx) => Operand::Register(1 + idx),
                Source::Result(idx) => Operand::Register(registers[idx]),
                Source::Scalar(x) => Operand::Scalar(x),
            };
            instructions.push(match *function {
                Function::Unary(function, a) => match operand(a) {
                    Operand::Register(a) => Instruction::Unary { function, a, to },
                    Operand::Scalar(_) => return None,
                },
                Function::Binary(function, a, b) => Instruction::Binary { function, a: operand(a), b: operand(b), to },
            });
        }
        Some(Program { loads: self.loads.clone(), instructions, output: registers.last().copied()? })
    }
}

/// One parameter for each channel of an image, padded to whole blocks: from a constant that has the channel as its only
/// extent.
fn per_channel(tensor: &Tensor, image: &[usize]) -> Option<Vec<f32>> {
    let &([1, channels, _, _] | [1, channels, _]) = image else { return None };
    // Right-aligned against [1, channels, ..].
    let channel_axis = tensor.shape().len().checked_sub(image.len() - 1)?;
    let extents = tensor.shape().iter().enumerate();
    let fits = extents.into_iter().all(|(axis, &n)| n == if axis == channel_axis { channels } else { 1 });
    let mut parameters = tensor.as_f32()?.to_vec();
    parameters.resize(channels.next_multiple_of(LANES), 0.0);
    fits.then_some(parameters)
}

fn unary(op: &Op) -> Option<Unary> {
    Some(match op {
        Op::Relu | Op::Clip(_) => Unary::Clamp(clamps(op)?),
        Op::LeakyRelu(ops::LeakyRelu { alpha }) => Unary::LeakyRelu(*alpha),
        Op::Sigmoid => Unary::Sigmoid,
        Op::HardSigmoid(ops::HardSigmoid { alpha, beta }) => Unary::HardSigmoid { alpha: *alpha, beta: *beta },
        Op::HardSwish => Unary::HardSwish,
        Op::Tanh => Unary::Tanh,
        Op::Sign => Unary::Sign,
        Op::Exp => Unary::Exp,
        Op::Erf => Unary::Erf,
        Op::Gelu(ops::Gelu { tanh }) => {
            if *tanh {
                Unary::GeluTanh
            } else {
                Unary::Gelu
            }
        }
        Op::Swish(ops::Swish { alpha }) => Unary::Swish(*alpha),
        Op::Mish => Unary::Mish,
        Op::Abs => Unary::Abs,
        Op::Neg => Unary::Neg,
        Op::Sqrt => Unary::Sqrt,
        Op::Reciprocal => Unary::Reciprocal,
        _ => return None,
    })
}

fn binary(op: &Op) -> Option<Binary> {
    Some(match op {
        Op::Add => Binary::Add,
        Op::Sub => Binary::Sub,
        Op::Mul => Binary::Mul,
        Op::Div => Binary::Div,
        Op::PRelu => Binary::PRelu,
        _ => return None,
    })
}
