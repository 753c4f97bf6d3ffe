//! A plan: the steps, the memory and the packed weights for running one graph on images of one size.

mod build;
mod cones;
mod fuse;
mod known;
mod memory;
mod nodes;
mod places;
mod run;
mod tensors;

use std::sync::Arc;

use skimp_graph::{Op, Tensor};

pub(crate) use self::build::{Packs, build};
pub(crate) use self::memory::Arenas;
use crate::kernels::conv::{ConvShape, PackedConv};
use crate::kernels::dense::PackedDense;
use crate::kernels::depthwise::PackedDepthwise;
use crate::kernels::grouped::PackedGrouped;
use crate::kernels::layout::Region;
use crate::kernels::matmul::Panels;
use crate::kernels::pool::{PoolKind, PoolShape};
use crate::kernels::program::Program;
use crate::kernels::rows::RowFunction;
use crate::kernels::sparse::Zeros;
use crate::kernels::sparse::conv::{PackedSparse, Phases};
use crate::kernels::sparse::dense::PackedSparseDense;
use crate::kernels::strided::Copy;
use crate::kernels::winograd::{Order, PackedWinograd};
use crate::kernels::{Bounds, Isa, Planes};

/// What a user may choose between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Choices {
    pub(crate) zeros: Zeros,
    pub(crate) order: Order,
}

/// Index of a [`Buffer`].
type BufferId = usize;

/// A piece of the arena that holds one value in one layout.
#[derive(Clone, Debug)]
struct Buffer {
    planes: Planes,
    /// First element in the arena.
    offset: usize,
}

/// Everything needed to run a graph on one image (a batch of one).
#[derive(Debug)]
pub(crate) struct Plan {
    /// Name of the graph.
    graph: String,
    steps: Vec<Step>,
    /// Whether each step is worth several threads.
    spread: Vec<bool>,
    buffers: Vec<Buffer>,
    arena_len: usize,
    inputs: Vec<BufferId>,
    outputs: Vec<PlannedOutput>,
    /// Where working memory comes from.
    arenas: Arc<Arenas>,
    /// Names of the layers that leave out weights that are zero.
    sparse: Vec<String>,
}

/// Multiply-additions, some 60 us of one thread, below which waking others up costs about what they save.
const WORTH_THREADS: usize = 3 << 20;

/// Where an output comes from.
#[derive(Debug)]
struct PlannedOutput {
    /// Extents for a batch of one.
    shape: Vec<usize>,
    source: OutputSource,
}

#[derive(Debug)]
enum OutputSource {
    /// A plain buffer.
    Computed(BufferId),
    /// A value that does not depend on the inputs.
    Constant(Tensor),
}

/// An input of an operator that the reference interpreter runs.
#[derive(Debug)]
enum ReferenceInput {
    Absent,
    Constant(Tensor),
    Computed(BufferId, Vec<usize>),
}

/// A program that a kernel runs on what it has computed, with its operands.
#[derive(Debug)]
struct Epilogue {
    program: Program,
    operands: Vec<BufferId>,
}

/// The right operand of a product of matrices.
#[derive(Debug)]
enum Factor {
    Constant(Arc<Panels>),
    /// Row-major matrices, of each of which the first element is told.
    Computed(BufferId, Vec<usize>),
}

/// Where the elements of a copy come from: a buffer or a constant.
type Source = Result<BufferId, Vec<f32>>;

/// One kernel call.
#[derive(Debug)]
enum Step {
    Convolve {
        packed: Arc<PackedConv>,
        shape: ConvShape,
        bounds: Bounds,
        x: BufferId,
        residual: Option<BufferId>,
        epilogue: Option<Epilogue>,
        out: BufferId,
    },
    Winograd {
        packed: Arc<PackedWinograd>,
        shape: ConvShape,
        bounds: Bounds,
        x: BufferId,
        residual: Option<BufferId>,
        epilogue: Option<Epilogue>,
        scratch: BufferId,
        out: BufferId,
    },
    Depthwise {
        packed: Arc<PackedDepthwise>,
        shape: ConvShape,
        bounds: Bounds,
        x: BufferId,
        epilogue: Option<Epilogue>,
        out: BufferId,
    },
    Grouped {
        packed: Arc<PackedGrouped>,
        shape: ConvShape,
        bounds: Bounds,
        x: BufferId,
        epilogue: Option<Epilogue>,
        out: BufferId,
    },
    Planar {
        weight: Arc<(Vec<f32>, Vec<f32>)>,
        shape: ConvShape,
        bounds: Bounds,
        x: BufferId,
        out: BufferId,
    },
    /// Parts an input into the phases that a sparse convolution reads.
    Part {
        source: Phases,
        shape: ConvShape,
        x: BufferId,
        out: BufferId,
    },
    Sparse {
        packed: Arc<PackedSparse>,
        distances: Vec<u32>,
        shape: ConvShape,
        bounds: Bounds,
        x: BufferId,
        residual: Option<BufferId>,
        out: BufferId,
    },
    SparseDense {
        packed: Arc<PackedSparseDense>,
        x: BufferId,
        out: BufferId,
    },
    Dense {
        packed: Arc<PackedDense>,
        x: BufferId,
        out: BufferId,
    },
    Pool {
        shape: PoolShape,
        kind: PoolKind,
        x: BufferId,
        out: BufferId,
    },
    GlobalPool {
        kind: PoolKind,
        x: BufferId,
        out: BufferId,
    },
    Convert {
        x: BufferId,
        out: BufferId,
    },
    /// Copies regions; `fill` first sets everything.
    Gather {
        fill: Option<f32>,
        regions: Vec<(BufferId, Region)>,
        out: BufferId,
    },
    /// Elementwise operators, `x` in register 0. Where `x` lies in the memory of `out`, they run in place.
    Elementwise {
        program: Program,
        isa: Isa,
        x: BufferId,
        operands: Vec<BufferId>,
        out: BufferId,
    },
    /// Products of matrices, row-major.
    Product {
        extents: [usize; 3],
        a: BufferId,
        /// The first element of each left operand.
        starts: Vec<usize>,
        right: Factor,
        isa: Isa,
        epilogue: Option<Epilogue>,
        out: BufferId,
    },
    /// A function of rows of `n` elements.
    Rows {
        function: RowFunction,
        isa: Isa,
        n: usize,
        x: BufferId,
        out: BufferId,
    },
    /// Layer normalization of the channels of each pixel.
    ChannelNorm {
        epsilon: f32,
        scale: Vec<f32>,
        shift: Vec<f32>,
        isa: Isa,
        x: BufferId,
        out: BufferId,
    },
    /// Copies between plain tensors, which fill the result.
    Copies {
        parts: Vec<(Source, Copy)>,
        out: BufferId,
    },
    /// An operator without a kernel.
    Reference {
        op: Op,
        node: String,
        inputs: Vec<ReferenceInput>,
        outputs: Vec<BufferId>,
    },
}

impl Step {
    /// The buffer that a kernel writes.
    fn out(&self) -> Option<BufferId> {
        match self {
            Self::Convolve { out, .. }
            | Self::Winograd { out, .. }
            | Self::Depthwise { out, .. }
            | Self::Grouped { out, .. }
            | Self::Planar { out, .. }
            | Self::Part { out, .. }
            | Self::Sparse { out, .. }
            | Self::SparseDense { out, .. }
            | Self::Dense { out, .. }
            | Self::Pool { out, .. }
            | Self::GlobalPool { out, .. }
            | Self::Convert { out, .. }
            | Self::Gather { out, .. }
            | Self::Elementwise { out, .. }
            | Self::Product { out, .. }
            | Self::Rows { out, .. }
            | Self::ChannelNorm { out, .. }
            | Self::Copies { out, .. } => Some(*out),
            Self::Reference { .. } => None,
        }
    }

    /// About how many multiply-additions of a convolution's kernel a step takes the time of.
    fn work(&self, len: impl Fn(BufferId) -> usize) -> usize {
        let product = |factors: &[usize]| factors.iter().fold(1_usize, |product, &n| product.saturating_mul(n));
        let convolution = |shape: &ConvShape| {
            product(&[shape.output[0], shape.output[1], shape.kernel[0], shape.kernel[1], shape.in_channels])
                .saturating_mul(shape.out_channels / shape.groups)
        };
        match self {
            Self::Convolve { shape, .. } | Self::Sparse { shape, .. } | Self::Grouped { shape, .. } => {
                convolution(shape)
            }
            Self::Winograd { shape, .. } => convolution(shape) / 3,
            // Each product with a load.
            Self::Depthwise { shape, .. } => convolution(shape).saturating_mul(4),
            Self::Planar { shape, .. } => convolution(shape).saturating_mul(16),
            Self::Dense { x, out, .. } | Self::SparseDense { x, out, .. } => product(&[len(*x), len(*out), 4]),
            Self::Pool { shape, out, .. } => product(&[shape.kernel[0], shape.kernel[1], len(*out), 4]),
            Self::Elementwise { program, out, .. } => product(&[len(*out), 4, 1 + program.instructions.len()]),
            Self::Product { extents, starts, .. } => product(extents).saturating_mul(starts.len()),
            Self::Rows { out, .. } | Self::ChannelNorm { out, .. } => product(&[len(*out), 16]),
            Self::Part { out, .. }
            | Self::GlobalPool { out, .. }
            | Self::Convert { out, .. }
            | Self::Gather { out, .. }
            | Self::Copies { out, .. } => product(&[len(*out), 16]),
            Self::Reference { .. } => 0,
        }
    }

    /// Memory that a kernel writes beside its result.
    fn scratch(&self) -> Option<BufferId> {
        match self {
            Self::Winograd { scratch, .. } => Some(*scratch),
            _ => None,
        }
    }

    /// Buffers read, then buffers written.
    fn buffers(&self) -> (Vec<BufferId>, Vec<BufferId>) {
        let operands = |epilogue: &Option<Epilogue>| {
            epilogue.as_ref().map(|epilogue| epilogue.operands.clone()).unwrap_or_default()
        };
        match self {
            Self::Convolve { x, residual, epilogue, out, .. } => {
                (std::iter::once(*x).chain(*residual).chain(operands(epilogue)).collect(), vec![*out])
            }
            Self::Winograd { x, residual, epilogue, scratch, out, .. } => {
                (std::iter::once(*x).chain(*residual).chain(operands(epilogue)).collect(), vec![*out, *scratch])
            }
            Self::Depthwise { x, epilogue, out, .. } | Self::Grouped { x, epilogue, out, .. } => {
                (std::iter::once(*x).chain(operands(epilogue)).collect(), vec![*out])
            }
            Self::Sparse { x, residual, out, .. } => (std::iter::once(*x).chain(*residual).collect(), vec![*out]),
            Self::Planar { x, out, .. }
            | Self::Part { x, out, .. }
            | Self::SparseDense { x, out, .. }
            | Self::Dense { x, out, .. }
            | Self::Pool { x, out, .. }
            | Self::GlobalPool { x, out, .. }
            | Self::Rows { x, out, .. }
            | Self::ChannelNorm { x, out, .. }
            | Self::Convert { x, out } => (vec![*x], vec![*out]),
            Self::Product { a, right, epilogue, out, .. } => {
                let right = match right {
                    Factor::Constant(_) => None,
                    Factor::Computed(b, _) => Some(*b),
                };
                (std::iter::once(*a).chain(right).chain(operands(epilogue)).collect(), vec![*out])
            }
            Self::Copies { parts, out } => {
                (parts.iter().filter_map(|(source, _)| source.as_ref().ok().copied()).collect(), vec![*out])
            }
            Self::Elementwise { x, operands, out, .. } => {
                (std::iter::once(*x).chain(operands.iter().copied()).collect(), vec![*out])
            }
            Self::Gather { regions, out, .. } => (regions.iter().map(|(x, _)| *x).collect(), vec![*out]),
            Self::Reference { inputs, outputs, .. } => {
                let read = inputs.iter().filter_map(|input| match input {
                    ReferenceInput::Computed(x, _) => Some(*x),
                    ReferenceInput::Absent | ReferenceInput::Constant(_) => None,
                });
                (read.collect(), outputs.clone())
            }
        }
    }
}
