//! The kernel for each operator; what has none runs on the reference interpreter.

use std::collections::BTreeMap;

use skimp_graph::ops;
use skimp_graph::shape::window_axes;
use skimp_graph::{Gemm, Node, Op, Pad, PadMode, Slice, ValueId, Window};

use super::build::Builder;
use super::cones::{Cone, Layout};
use super::fuse::{Anchor, Chain};
use super::places::Form;
use super::{BufferId, Epilogue, Step};
use crate::kernels::conv::{ConvShape, PackedConv};
use crate::kernels::dense::PackedDense;
use crate::kernels::depthwise::PackedDepthwise;
use crate::kernels::grouped::PackedGrouped;
use crate::kernels::layout::Region;
use crate::kernels::pool::{PoolKind, PoolShape};
use crate::kernels::sparse::conv::{PackedSparse, Phases};
use crate::kernels::sparse::dense::PackedSparseDense;
use crate::kernels::winograd::{Algorithm, PackedWinograd};
use crate::kernels::{Halo, LANES, Planes, affords_padding};

impl Builder<'_> {
    /// Plans one node.
    pub(super) fn node(&mut self, idx: usize) {
        if let Some(cone) = self.cones.alone(idx) {
            self.cone(&cone);
        } else if self.kernel(idx).or_else(|| self.tensor_kernel(idx)).is_none() {
            self.reference(&self.graph.nodes()[idx]);
        }
    }

    /// Plans a node by a kernel, or changes nothing and returns `None`.
    fn kernel(&mut self, idx: usize) -> Option<()> {
        let node = &self.graph.nodes()[idx];
        let out = *node.outputs.first()?;
        match &node.op {
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
            Op::Concat(_) | Op::Split(_) | Op::Slice(_) if self.all_plain(node) => None,
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

    /// Plans elementwise nodes as one step.
    pub(super) fn cone(&mut self, cone: &Cone) {
        let form = match cone.layout {
            Layout::Blocked => Form::Blocked,
            Layout::Plain => Form::Plain,
            Layout::Any => {
                let mut images = std::iter::once(cone.x).chain(cone.images());
                let blocked = self.image(cone.x).is_some() && images.any(|id| self.form(id) == Form::Blocked);
                if blocked { Form::Blocked } else { Form::Plain }
            }
        };
        let x = self.request(cone.x, form);
        let operands = self.operands(cone, form);
        let out = self.place(cone.out, form);
        self.push(Step::Elementwise { program: cone.program.clone(), isa: self.isa, x, operands, out });
    }

    /// Plans a layer normalization of the channels of an image, with the transposes around it.
    pub(super) fn channel_norm(&mut self, norm: usize, last: usize) {
        let nodes = self.graph.nodes();
        let node = &nodes[norm];
        let Op::LayerNormalization(ops::LayerNormalization { epsilon, .. }) = node.op else { return };
        let before = node.inputs[0].and_then(|x| nodes[..norm].iter().rfind(|node| node.outputs.contains(&x)));
        let Some(x) = before.and_then(|node| node.inputs[0]) else { return };
        let padded = |idx: usize| {
            let mut elements = self.parameter(node, idx).unwrap_or_default().to_vec();
            elements.resize(self.image(x).map_or(0, |[channels, ..]| channels).next_multiple_of(LANES), 0.0);
            elements
        };
        let (scale, shift) = (padded(1), padded(2));
        let x = self.request(x, Form::Blocked);
        let out = self.place(nodes[last].outputs[0], Form::Blocked);
        self.push(Step::ChannelNorm { epsilon, scale, shift, isa: self.isa, x, out });
    }

    /// The buffers that a cone loads from, its images in this form.
    pub(super) fn operands(&mut self, cone: &Cone, form: Form) -> Vec<BufferId> {
        let images: Vec<ValueId> = cone.images().collect();
        cone.operands
            .iter()
            .map(|id| self.request(*id, if images.contains(id) { form } else { Form::Blocked }))
            .collect()
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
        let extent = [n_inputs, n_outputs];
        let element =
            |i: usize, o: usize| gemm.alpha * weight[if gemm.trans_b { o * n_inputs + i } else { i * n_outputs + o }];
        let pays = || PackedSparseDense::pays(extent, weight.iter().filter(|&&w| w != 0.0).count());
        if PackedSparseDense::supports(n_inputs) && self.choices.zeros.are_left_out(pays) {
            let make = || PackedSparseDense::new(self.isa, extent, element, |o| bias[o]);
            let packed = self.packs.sparse_dense.get_or((idx, 0), make);
            self.sparse.push(node.name.clone());
            let x = self.request(x, Form::Plain);
            let out = self.place(node.outputs[0], Form::Plain);
            self.push(Step::SparseDense { packed, x, out });
            return Some(());
        }
        let make = || PackedDense::new(self.isa, extent, element, |o| bias[o]);
        let packed = self.packs.dense.get_or((idx, 0), make);
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
        } else if blocked && PackedGrouped::supports(&shape) {
            ConvKernel::Grouped
        } else if blocked && self.leaves_out_zeros(node, &shape, [height, width]) {
            ConvKernel::Sparse
        } else if blocked && let Some(algorithm) = self.winograd(node, &shape, [height, width]) {
            ConvKernel::Winograd(algorithm)
        } else if blocked && PackedConv::supports(&shape) {
            ConvKernel::Blocked
        } else {
            ConvKernel::Planar
        };
        Some((shape, kernel))
    }

    /// What the kernel of a convolution can do after it.
    pub(super) fn anchor(&self, node: &Node) -> Anchor {
        match self.conv_kernel(node) {
            Some((_, ConvKernel::Blocked | ConvKernel::Winograd(_))) => {
                Anchor { adds_residual: true, runs_programs: true }
            }
            Some((_, ConvKernel::Depthwise | ConvKernel::Grouped)) => {
                Anchor { adds_residual: false, runs_programs: true }
            }
            Some((_, ConvKernel::Sparse)) => Anchor { adds_residual: true, runs_programs: false },
            Some((_, ConvKernel::Planar)) | None => Anchor { adds_residual: false, runs_programs: false },
        }
    }

    /// Whether weights that are zero are left out of a convolution.
    fn leaves_out_zeros(&self, node: &Node, shape: &ConvShape, [height, width]: [usize; 2]) -> bool {
        let source = Phases::new(shape, height, width);
        PackedSparse::supports(shape, &source)
            && self.choices.zeros.are_left_out(|| {
                let weight = self.parameter(node, 1).unwrap_or_default();
                PackedSparse::pays(self.isa, shape, &source, weight.iter().filter(|&&w| w != 0.0).count())
            })
    }

    /// The algorithm for a convolution that need not keep the order of sums.
    fn winograd(&self, node: &Node, shape: &ConvShape, [height, width]: [usize; 2]) -> Option<Algorithm> {
        let algorithm = self.choices.order.algorithm(shape, self.parameter(node, 1)?)?;
        let halo = PackedWinograd::halo(algorithm, shape, height, width);
        affords(halo, [height, width], shape.output).then_some(algorithm)
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
        let epilogue = chain.cone.as_ref().map(|cone| {
            let operands = self.operands(cone, Form::Blocked);
            Epilogue { program: cone.program.clone(), operands }
        });
        let folded = || self.folded(chain, node, &shape);
        match kernel {
            ConvKernel::Depthwise => {
                let packed = self.packs.depthwise.get_or((chain.conv, 0), || {
                    let (weight, bias) = folded();
                    PackedDepthwise::new(isa, &shape, &weight, &bias)
                });
                let x = self.blocked_with(x, halo);
                let out = self.place(out, Form::Blocked);
                self.push(Step::Depthwise { packed, shape, bounds, x, epilogue, out });
            }
            ConvKernel::Grouped => {
                let packed = self.packs.grouped.get_or((chain.conv, 0), || {
                    let (weight, bias) = folded();
                    PackedGrouped::new(isa, &shape, &weight, &bias)
                });
                let x = self.blocked_with(x, halo);
                let out = self.place(out, Form::Blocked);
                self.push(Step::Grouped { packed, shape, bounds, x, epilogue, out });
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
                self.push(Step::Convolve { packed, shape, bounds, x, residual, epilogue, out });
            }
            ConvKernel::Winograd(algorithm) => {
                let packed = self.packs.winograd.try_get_or((chain.conv, algorithm.side()), || {
                    let (weight, bias) = folded();
                    PackedWinograd::new(isa, algorithm, &shape, &weight, &bias)
                });
                let packed = match packed {
                    Ok(packed) => packed,
                    Err(error) => {
                        self.failure = Some(error.into());
                        return None;
                    }
                };
                let residual = chain.residual.map(|id| self.request(id, Form::Blocked));
                let x = self.blocked_with(x, PackedWinograd::halo(algorithm, &shape, height, width));
                let scratch = self.places.scratch(Planes::plain(1, 1, PackedWinograd::scratch(algorithm, &shape)));
                let out = self.place(out, Form::Blocked);
                self.push(Step::Winograd { packed, shape, bounds, x, residual, epilogue, scratch, out });
            }
            ConvKernel::Sparse => {
                let packed = self.packs.sparse.get_or((chain.conv, 0), || {
                    let (weight, bias) = folded();
                    PackedSparse::new(isa, &shape, &weight, &bias)
                });
                self.sparse.push(node.name.clone());
                let source = Phases::new(&shape, height, width);
                let distances = packed.distances(&source);
                let residual = chain.residual.map(|id| self.request(id, Form::Plain));
                let parted = if shape.strides == [1, 1] {
                    let form = if self.places.get(x, Form::Plain).is_some() { Form::Plain } else { Form::Blocked };
                    let from = self.request(x, form);
                    if form == Form::Plain && halo == Halo::default() {
                        from
                    } else {
                        let padded = self.places.padded(x, halo);
                        self.push(Step::Convert { x: from, out: padded });
                        padded
                    }
                } else {
                    let from = self.request(x, Form::Plain);
                    let parted = self.places.scratch(source.planes);
                    self.push(Step::Part { source, shape, x: from, out: parted });
                    parted
                };
                let out = self.place(out, Form::Plain);
                self.push(Step::Sparse { packed, distances, shape, bounds, x: parted, residual, out });
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
    /// [`PackedGrouped`].
    Grouped,
    /// [`PackedSparse`], which adds a residual and runs no programs.
    Sparse,
    /// [`PackedWinograd`], which adds a residual.
    Winograd(Algorithm),
    /// [`PackedConv`], which adds a residual.
    Blocked,
    /// The plain loop, for any shape and without a halo.
    Planar,
}

/// Whether the halo that a convolution reads is small enough to be stored.
fn affords_halo(shape: &ConvShape, height: usize, width: usize) -> bool {
    affords(shape.halo(height, width), [height, width], shape.output)
}

fn affords(halo: Halo, input: [usize; 2], output: [usize; 2]) -> bool {
    let Halo { top, left, bottom, right } = halo;
    let sum = |parts: [usize; 3]| parts.into_iter().try_fold(0_usize, usize::checked_add);
    affords_padding([sum([top, input[0], bottom]), sum([left, input[1], right])], input, output)
}
