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
        let mut last_uses: Vec<usize> = (0..self.functions.len()).collect();
        let mut last_x = 0;
        for (time, function) in self.functions.iter().enumerate() {
            let (a, b) = match *function {
                Function::Unary(_, a) => (a, a),
                Function::Binary(_, a, b) => (a, b),
            };
            for source in [a, b] {
                match source {
                    Source::Result(idx) => last_uses[idx] = time,
                    Source::X => last_x = time,
                    Source::Load(_) | Source::Scalar(_) => {}
                }
            }
        }
        let mut free: Vec<usize> = (1 + self.loads.len()..REGISTERS).rev().collect();
        let mut registers = vec![0; self.functions.len()];
        let mut instructions = Vec::new();
        for (time, function) in self.functions.iter().enumerate() {
            // What is read for the last time may be written by the same instruction.
            if time == last_x {
                free.push(0);
            }
            free.extend((0..time).filter(|&idx| last_uses[idx] == time).map(|idx| registers[idx]));
            let to = free.pop()?;
            registers[time] = to;
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
