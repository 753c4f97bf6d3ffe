//! The kernel for each operator; what has none runs on the reference interpreter.

use std::collections::BTreeMap;

use skimp_graph::ops;
use skimp_graph::shape::window_axes;
use skimp_graph::{Gemm, Node, Op, Pad, PadMode, Slice, ValueId, Window};

use super::build::Builder;
use super::fuse::{self, Chain};
use super::places::Form;
use super::{BufferId, Step};
use crate::kernels::conv::{ConvShape, PackedConv};
use crate::kernels::dense::PackedDense;
use crate::kernels::depthwise::PackedDepthwise;
use crate::kernels::elementwise::{Binary, Channelwise, Unary};
use crate::kernels::layout::Region;
use crate::kernels::pool::{PoolKind, PoolShape};
use crate::kernels::{Bounds, Halo, affords_padding};

impl Builder<'_> {
    /// Plans one node.
    pub(super) fn node(&mut self, idx: usize) {
        if self.kernel(idx).is_none() {
            self.reference(&self.graph.nodes()[idx]);
        }
    }

    /// Plans a node by a kernel, or changes nothing and returns `None`.
    fn kernel(&mut self, idx: usize) -> Option<()> {
        let node = &self.graph.nodes()[idx];
        let out = *node.outputs.first()?;
        match &node.op {
            Op::Relu | Op::Clip(_) => self.unary(node, Unary::Clamp(fuse::clamps(&node.op)?)),
            Op::LeakyRelu(ops::LeakyRelu { alpha }) => self.unary(node, Unary::LeakyRelu(*alpha)),
            Op::Sigmoid => self.unary(node, Unary::Sigmoid),
            Op::HardSigmoid(ops::HardSigmoid { alpha, beta }) => {
                self.unary(node, Unary::HardSigmoid { alpha: *alpha, beta: *beta })
            }
            Op::HardSwish => self.unary(node, Unary::HardSwish),
            Op::Tanh => self.unary(node, Unary::Tanh),
            Op::Sign => self.unary(node, Unary::Sign),
            Op::Add => self.binary(node, Binary::Add),
            Op::Sub => self.binary(node, Binary::Sub),
            Op::Mul => self.binary(node, Binary::Mul),
            Op::Div => self.binary(node, Binary::Div),
            Op::BatchNormalization(ops::BatchNormalization { epsilon }) => self.batch_norm(node, *epsilon),
            Op::PRelu => {
                let x = self.computed(node, 0)?;
                let [channels, ..] = self.image(x)?;
                let slope =
                    self.per_channel(node.inputs.get(1).copied().flatten()?, channels, self.shapes.shape(x).len())?;
                self.channelwise(x, out, Channelwise::PRelu { slope })
            }
            Op::Gemm(gemm) => self.gemm(idx, gemm),
            Op::MatMul => self.gemm(idx, &Gemm { alpha: 1.0, beta: 0.0, trans_a: false, trans_b: false }),
            Op::MaxPool(ops::MaxPool { window }) => self.pool(node, window, PoolKind::Max),
            Op::AveragePool(ops::AveragePool { window, count_include_pad }) => {
                self.pool(node, window, PoolKind::Average { include_pad: *count_include_pad })
            }
            Op::GlobalAveragePool => self.global_pool(node, PoolKind::Average { include_pad: false }),
            Op::GlobalMaxPool => self.global_pool(node, PoolKind::Max),
            Op::ReduceMean(ops::ReduceMean { axes, .. }) => {
                let rank = self.shapes.shape(self.computed(node, 0)?).len() as i64;
                let mut axes: Vec<i64> = axes.iter().map(|&axis| if axis < 0 { axis + rank } else { axis }).collect();
                axes.sort_unstable();
                let spatial: Vec<i64> = (2..rank).collect();
                if axes != spatial {
                    return None;
                }
                self.global_pool(node, PoolKind::Average { include_pad: false })
            }
            Op::Concat(ops::Concat { axis }) => self.concat(node, *axis),
            Op::Split(ops::Split { axis, sizes }) => self.split_channels(node, *axis, sizes),
            Op::Slice(slice) => self.slice(node, slice),
            Op::Pad(pad) => self.pad(node, pad),
            op if op.renames() => {
                let x = self.computed(node, 0)?;
                self.alias(out, x);
                Some(())
            }
            // The reference runs in the kernel's place.
            _ => None,
        }
    }

    fn unary(&mut self, node: &Node, function: Unary) -> Option<()> {
        let id = self.computed(node, 0)?;
        let form = self.form(id);
        let x = self.request(id, form);
        let out = self.place(node.outputs[0], form);
        self.push(Step::Unary { function, x, out });
        Some(())
    }

    fn channelwise(&mut self, x: ValueId, out: ValueId, function: Channelwise) -> Option<()> {
        let x = self.request(x, Form::Blocked);
        let out = self.place(out, Form::Blocked);
        self.push(Step::Channelwise { function, bounds: Bounds::NONE, x, out });
        Some(())
    }

    fn binary(&mut self, node: &Node, function: Binary) -> Option<()> {
        let out = node.outputs[0];
        let (a, b) = (self.computed(node, 0), self.computed(node, 1));
        let (Some(a), Some(b)) = (a, b) else { return self.with_constant(node, function) };
        let form = if self.shapes.shape(a) == self.shapes.shape(b) {
            if self.image(a).is_some() && (self.form(a), self.form(b)) != (Form::Plain, Form::Plain) {
                Form::Blocked
            } else {
                Form::Plain
            }
        } else {
            let ([channels, ..], [other, height, width]) = (self.image(a)?, self.image(b)?);
            let (shape, smaller) = (self.shapes.shape(a), self.shapes.shape(b));
            // Axes are aligned from the right: of a different rank, channels do not meet channels.
            let aligned = self.shapes.shape(out) == shape && smaller.len() == shape.len();
            if !aligned || [other, height, width] != [channels, 1, 1] {
                return None;
            }
            Form::Blocked
        };
        let (a, b) = (self.request(a, form), self.request(b, form));
        let out = self.place(out, form);
        self.push(Step::Binary { function, bounds: Bounds::NONE, a, b, out });
        Some(())
    }

    /// An operator whose one operand is a scalar or one parameter per channel.
    fn with_constant(&mut self, node: &Node, function: Binary) -> Option<()> {
        let (x, parameter) = match (self.computed(node, 0), self.computed(node, 1)) {
            (Some(x), None) => (x, node.inputs[1]?),
            (None, Some(x)) if matches!(function, Binary::Add | Binary::Mul) => (x, node.inputs[0]?),
            _ => return None,
        };
        let ([channels, ..], out) = (self.image(x)?, node.outputs[0]);
        if self.shapes.shape(out) != self.shapes.shape(x) {
            return None;
        }
        let parameters = self.per_channel(parameter, channels, self.shapes.shape(x).len())?;
        let n = parameters.len();
        let (scale, shift) = match function {
            Binary::Add => (vec![1.0; n], parameters),
            Binary::Sub => (vec![1.0; n], parameters.iter().map(|p| -p).collect()),
            // The zero that changes no sum: -0 stays -0.
            Binary::Mul => (parameters, vec![-0.0; n]),
            Binary::Div => return None,
        };
        self.channelwise(x, out, Channelwise::Affine { scale, shift })
    }

    fn batch_norm(&mut self, node: &Node, epsilon: f32) -> Option<()> {
        let x = self.computed(node, 0)?;
        self.image(x)?;
        let (mut scale, mut shift) = self.norm_parameters(node, epsilon)?;
        scale.resize(scale.len().next_multiple_of(16), 0.0);
        shift.resize(scale.len(), 0.0);
        self.channelwise(x, node.outputs[0], Channelwise::Affine { scale, shift })
    }

    /// Batch normalization as `scale · x + shift`, worked out in f64.
    fn norm_parameters(&self, node: &Node, epsilon: f32) -> Option<(Vec<f32>, Vec<f32>)> {
        let parameter = |idx| self.parameter(node, idx);
        let (gamma, beta, mean, variance) = (parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?);
        let scales: Vec<f64> = gamma
            .iter()
            .zip(variance)
            .map(|(&gamma, &variance)| f64::from(gamma) / (f64::from(variance) + f64::from(epsilon)).sqrt())
            .collect();
        let shift = scales.iter().zip(beta.iter().zip(mean));
        let shift = shift.map(|(scale, (&beta, &mean))| (f64::from(beta) - f64::from(mean) * scale) as f32).collect();
        Some((scales.iter().map(|&scale| scale as f32).collect(), shift))
    }

    /// One row of inputs times a constant matrix.
    fn gemm(&mut self, idx: usize, gemm: &Gemm) -> Option<()> {
        let node = &self.graph.nodes()[idx];
        let x = self.computed(node, 0)?;
        let &[1, n_inputs] = self.shapes.shape(x) else { return None };
        let &[1, n_outputs] = self.shapes.shape(node.outputs[0]) else { return None };
        if gemm.trans_a {
            return None;
        }
        let weight = self.parameter(node, 1)?;
        let bias: Vec<f32> = match node.inputs.get(2).copied().flatten() {
            None => vec![0.0; n_outputs],
            Some(_) => match self.parameter(node, 2)? {
                [only] => vec![gemm.beta * only; n_outputs],
                bias => bias.iter().map(|b| gemm.beta * b).collect(),
            },
        };
        let packed = self.packs.dense.get_or((idx, 0), || {
            let element = |i: usize, o: usize| {
                gemm.alpha * weight[if gemm.trans_b { o * n_inputs + i } else { i * n_outputs + o }]
            };
            PackedDense::new(self.isa, [n_inputs, n_outputs], element, |o| bias[o])
        });
        let x = self.request(x, Form::Plain);
        let out = self.place(node.outputs[0], Form::Plain);
        self.push(Step::Dense { packed, x, out });
        Some(())
    }

    fn pool(&mut self, node: &Node, window: &Window, kind: PoolKind) -> Option<()> {
        let x = self.computed(node, 0)?;
        self.image(x)?;
        let rank = self.shapes.shape(x).len();
        let axes = window_axes(&node.op, &node.name, window, &self.shapes.shape(x)[2..]).ok()?;
        let pair = |f: &dyn Fn(&skimp_graph::shape::WindowAxis) -> usize, single: usize| match axes.as_slice() {
            [rows, columns] => [f(rows), f(columns)],
            axes => [single, axes.first().map_or(single, f)],
        };
        debug_assert!(rank == axes.len() + 2, "one window axis per spatial axis");
        let shape = PoolShape {
            kernel: pair(&|a| a.kernel, 1),
            strides: pair(&|a| a.stride, 1),
            dilations: pair(&|a| a.dilation, 1),
            pads: pair(&|a| a.pad_begin, 0),
            pads_end: pair(&|a| a.pad_end, 0),
        };
        let x = self.request(x, Form::Blocked);
        let out = self.place(node.outputs[0], Form::Blocked);
        self.push(Step::Pool { shape, kind, x, out });
        Some(())
    }

    fn global_pool(&mut self, node: &Node, kind: PoolKind) -> Option<()> {
        let x = self.computed(node, 0)?;
        self.image(x)?;
        let x = self.request(x, Form::Blocked);
        let out = self.place(node.outputs[0], Form::Plain);
        self.push(Step::GlobalPool { kind, x, out });
        Some(())
    }

    fn concat(&mut self, node: &Node, axis: i64) -> Option<()> {
        let out = node.outputs[0];
        let rank = self.shapes.shape(out).len() as i64;
        self.image(out)?;
        if axis != 1 && axis != 1 - rank {
            return None;
        }
        let inputs: Vec<ValueId> = (0..node.inputs.len()).map(|idx| self.computed(node, idx)).collect::<Option<_>>()?;
        let images: Vec<[usize; 3]> = inputs.iter().map(|&id| self.image(id)).collect::<Option<_>>()?;
        let whole = self.place(out, Form::Blocked);
        // Of inputs that share memory none can move: one would be copied from where the whole lies.
        let roots: Vec<Option<BufferId>> = inputs.iter().map(|&id| self.places.root(id)).collect();
        let mut n_users: BTreeMap<Option<BufferId>, usize> = BTreeMap::new();
        roots.iter().for_each(|&root| *n_users.entry(root).or_default() += 1);
        let mut regions = Vec::new();
        let mut channel = 0;
        for ((&id, extent), root) in inputs.iter().zip(images).zip(&roots) {
            if n_users.get(root) != Some(&1) || !self.places.embed(id, whole, channel) {
                let region = Region { from: [0; 3], step: [1; 2], to: [channel, 0, 0], extent };
                regions.push((self.request(id, Form::Blocked), region));
            }
            channel += extent[0];
        }
        if !regions.is_empty() {
            self.push(Step::Gather { fill: None, regions, out: whole });
        }
        Some(())
    }

    fn split_channels(&mut self, node: &Node, axis: i64, sizes: &[usize]) -> Option<()> {
        let x = self.computed(node, 0)?;
        let [_, height, width] = self.image(x)?;
        if axis != 1 && axis != 1 - self.shapes.shape(x).len() as i64 {
            return None;
        }
        let mut channel = 0;
        for (&out, &size) in node.outputs.iter().zip(sizes) {
            let source = self.request(x, Form::Blocked);
            let extent = [size, height, width];
            let region = Region { from: [channel, 0, 0], step: [1; 2], to: [0; 3], extent };
            self.gather(out, None, vec![(source, region)])?;
            channel += size;
        }
        Some(())
    }

    fn gather(&mut self, out: ValueId, fill: Option<f32>, regions: Vec<(BufferId, Region)>) -> Option<()> {
        let out = self.place(out, Form::Blocked);
        self.push(Step::Gather { fill, regions, out });
        Some(())
    }

    /// Cuts rows and columns with positive steps, channels without a step.
    fn slice(&mut self, node: &Node, slice: &Slice) -> Option<()> {
        let x = self.computed(node, 0)?;
        let (source, extent) = (self.image(x)?, self.image(node.outputs[0])?);
        let rank = self.shapes.shape(x).len() as i64;
        let mut region = Region { from: [0; 3], step: [1; 2], to: [0; 3], extent };
        for (i, &axis) in slice.axes.iter().enumerate() {
            let axis = if axis < 0 { axis + rank } else { axis };
            // Axis of the image: a signal has no rows.
            let axis = usize::try_from(if axis >= 2 { axis + 4 - rank } else { axis }).ok()?.checked_sub(1)?;
            let step = usize::try_from(slice.steps[i]).ok()?;
            if step == 0 || (axis == 0 && step != 1) {
                return None;
            }
            let limit = source[axis] as i64;
            let start = slice.starts[i];
            let start = if start < 0 { start.checked_add(limit)? } else { start };
            region.from[axis] = usize::try_from(start.clamp(0, limit)).ok()?;
            if axis > 0 {
                region.step[axis - 1] = step;
            }
        }
        let x = self.request(x, Form::Blocked);
        self.gather(node.outputs[0], None, vec![(x, region)])
    }

    fn pad(&mut self, node: &Node, pad: &Pad) -> Option<()> {
        let x = self.computed(node, 0)?;
        let extent = self.image(x)?;
        self.image(node.outputs[0])?;
        if pad.mode != PadMode::Constant || pad.begin.iter().chain(&pad.end).any(|&n| n < 0) || pad.begin[0] != 0 {
            return None;
        }
        let begin: Vec<usize> = pad.begin.iter().map(|&n| n as usize).collect();
        let to = match begin.as_slice() {
            [_, c, h, w] => [*c, *h, *w],
            [_, c, l] => [*c, 0, *l],
            _ => return None,
        };
        let x = self.request(x, Form::Blocked);
        let region = Region { from: [0; 3], step: [1; 2], to, extent };
        self.gather(node.outputs[0], Some(pad.value), vec![(x, region)])
    }

    /// Shape of a convolution over images or signals with constant weights.
    fn conv_shape(&self, node: &Node) -> Option<ConvShape> {
        let Op::Conv(ops::Conv { window, groups }) = &node.op else { return None };
        let [in_channels, ..] = self.image(self.computed(node, 0)?)?;
        let [out_channels, rows, columns] = self.image(node.outputs[0])?;
        self.parameter(node, 1)?;
        if node.inputs.get(2).copied().flatten().is_some() {
            self.parameter(node, 2)?;
        }
        let extents = &self.shapes.shape(node.inputs[0]?)[2..];
        let axes = window_axes(&node.op, &node.name, window, extents).ok()?;
        let pair = |f: &dyn Fn(&skimp_graph::shape::WindowAxis) -> usize, single: usize| match axes.as_slice() {
            [rows, columns] => [f(rows), f(columns)],
            axes => [single, axes.first().map_or(single, f)],
        };
        Some(ConvShape {
            in_channels,
            out_channels,
            groups: *groups,
            kernel: pair(&|a| a.kernel, 1),
            strides: pair(&|a| a.stride, 1),
            dilations: pair(&|a| a.dilation, 1),
            pads: pair(&|a| a.pad_begin, 0),
            output: [rows, columns],
        })
    }

    /// Shape of a convolution and the kernel for it, if there is one.
    fn conv_kernel(&self, node: &Node) -> Option<(ConvShape, ConvKernel)> {
        let shape = self.conv_shape(node)?;
        let [_, height, width] = self.image(self.computed(node, 0)?)?;
        // The blocked kernels multiply the zeros around an image, the definition leaves them out; the same for finite
        // weights only.
        let blocked = affords_halo(&shape, height, width)
            && self.parameter(node, 1).is_some_and(|weight| weight.iter().all(|w| w.is_finite()));
        let kernel = if blocked && PackedDepthwise::supports(&shape) {
            ConvKernel::Depthwise
        } else if blocked && PackedConv::supports(&shape) {
            ConvKernel::Blocked
        } else {
            ConvKernel::Planar
        };
        Some((shape, kernel))
    }

    /// Whether the convolution has a kernel that adds a residual.
    pub(super) fn adds_residual(&self, node: &Node) -> bool {
        matches!(self.conv_kernel(node), Some((_, ConvKernel::Blocked)))
    }

    /// Plans a convolution with what it swallows.
    pub(super) fn convolution(&mut self, chain: &Chain) {
        if self.fused_convolution(chain).is_some() {
            return;
        }
        // No kernel for the convolution: its epilogue runs by itself.
        self.reference(&self.graph.nodes()[chain.conv]);
        for &idx in &chain.followers {
            self.node(idx);
        }
    }

    fn fused_convolution(&mut self, chain: &Chain) -> Option<()> {
        let node = &self.graph.nodes()[chain.conv];
        let out = self.graph.nodes()[chain.last()].outputs[0];
        let (shape, kernel) = self.conv_kernel(node)?;
        let x = self.computed(node, 0)?;
        let [_, height, width] = self.image(x)?;
        let halo = shape.halo(height, width);
        let (bounds, isa) = (chain.bounds, self.isa);
        let folded = || self.folded(chain, node, &shape);
        match kernel {
            ConvKernel::Depthwise => {
                let packed = self.packs.depthwise.get_or((chain.conv, 0), || {
                    let (weight, bias) = folded();
                    PackedDepthwise::new(isa, &shape, &weight, &bias)
                });
                let x = self.blocked_with(x, halo);
                let out = self.place(out, Form::Blocked);
                self.push(Step::Depthwise { packed, shape, bounds, x, out });
            }
            ConvKernel::Blocked => {
                let plain = PackedConv::prefers_plain(&shape) && self.form(x) == Form::Plain;
                let in_block = if plain { 1 } else { 16 };
                let packed = self.packs.conv.get_or((chain.conv, in_block), || {
                    let (weight, bias) = folded();
                    PackedConv::new(isa, &shape, in_block, &weight, &bias)
                });
                let residual = chain.residual.map(|id| self.request(id, Form::Blocked));
                let x = if plain {
                    let source = self.request(x, Form::Plain);
                    let padded = self.places.padded(x, halo);
                    self.push(Step::Convert { x: source, out: padded });
                    padded
                } else {
                    self.blocked_with(x, halo)
                };
                let out = self.place(out, Form::Blocked);
                self.push(Step::Convolve { packed, shape, bounds, x, residual, out });
            }
            ConvKernel::Planar => {
                let weight = self.packs.planar.get_or((chain.conv, 0), folded);
                let x = self.request(x, Form::Plain);
                let out = self.place(out, Form::Plain);
                self.push(Step::Planar { weight, shape, bounds, x, out });
            }
        }
        Some(())
    }

    /// The blocked form of a value with at least this halo.
    fn blocked_with(&mut self, id: ValueId, halo: Halo) -> BufferId {
        let buffer = self.request(id, Form::Blocked);
        self.places.widen(buffer, halo);
        buffer
    }

    /// Weights and bias of a convolution with the batch normalization folded in.
    fn folded(&self, chain: &Chain, node: &Node, shape: &ConvShape) -> (Vec<f32>, Vec<f32>) {
        let mut weight = self.parameter(node, 1).unwrap_or_default().to_vec();
        let mut bias = self.parameter(node, 2).map_or_else(|| vec![0.0; shape.out_channels], <[f32]>::to_vec);
        let norm = chain.norm.map(|idx| &self.graph.nodes()[idx]);
        if let Some(norm) = norm
            && let Op::BatchNormalization(ops::BatchNormalization { epsilon }) = norm.op
            && let (Some(gamma), Some(beta), Some(mean), Some(variance)) =
                (self.parameter(norm, 1), self.parameter(norm, 2), self.parameter(norm, 3), self.parameter(norm, 4))
        {
            let depth = weight.len() / shape.out_channels;
            for k in 0..shape.out_channels {
                let scale = f64::from(gamma[k]) / (f64::from(variance[k]) + f64::from(epsilon)).sqrt();
                bias[k] = (f64::from(beta[k]) + (f64::from(bias[k]) - f64::from(mean[k])) * scale) as f32;
                for w in &mut weight[k * depth..(k + 1) * depth] {
                    *w = (f64::from(*w) * scale) as f32;
                }
            }
        }
        (weight, bias)
    }
}

/// The kernels for convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConvKernel {
    /// [`PackedDepthwise`].
    Depthwise,
    /// [`PackedConv`], the only one that adds a residual.
    Blocked,
    /// The plain loop, for any shape and without a halo.
    Planar,
}

/// Whether the halo that a convolution reads is small enough to be stored.
fn affords_halo(shape: &ConvShape, height: usize, width: usize) -> bool {
    let Halo { top, left, bottom, right } = shape.halo(height, width);
    let sum = |parts: [usize; 3]| parts.into_iter().try_fold(0_usize, usize::checked_add);
    affords_padding([sum([top, height, bottom]), sum([left, width, right])], [height, width], shape.output)
}
