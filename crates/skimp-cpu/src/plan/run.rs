//! Running a plan.

use std::ops::Range;

use rayon::prelude::*;
use skimp_graph::{GraphError, Tensor, reference};

use super::memory::{Arena, reserved};
use super::{BufferId, Epilogue, Factor, OutputSource, Plan, ReferenceInput, Step};
use crate::kernels::matmul::{self, Product, Right, Strides};
use crate::kernels::program::{self, Image};
use crate::kernels::{Planes, layout, planar, pool, rows};

/// The arena around the buffers that a step writes.
struct Around<'a> {
    /// The elements before, between and behind them, and where these begin.
    parts: [(usize, &'a [f32]); 3],
}

impl Around<'_> {
    fn get(&self, range: Range<usize>) -> &[f32] {
        let (start, part) = self.parts.iter().rfind(|(start, _)| *start <= range.start).unwrap_or(&self.parts[0]);
        &part[range.start - start..range.end - start]
    }
}

/// What a step writes, and the rest.
struct Split<'a> {
    out: &'a mut [f32],
    scratch: &'a mut [f32],
    around: Around<'a>,
}

impl Plan {
    /// Names of the layers that leave out weights that are zero, in the order in which they run.
    pub(crate) fn sparse(&self) -> &[String] {
        &self.sparse
    }

    /// Bytes of working memory for one image.
    pub(crate) fn arena_bytes(&self) -> u64 {
        (self.arena_len as u64).saturating_mul(std::mem::size_of::<f32>() as u64)
    }

    fn out_of_memory(&self) -> GraphError {
        GraphError::InvalidGraph {
            graph: self.graph.clone(),
            cause: format!(
                "running it takes {} bytes of working memory, which the system does not give",
                self.arena_bytes()
            ),
        }
    }

    /// Runs on a batch whose images are independent: each input holds `n_images` images of the planned shape.
    pub(crate) fn run(&self, n_images: usize, inputs: &[&[f32]]) -> Result<Vec<Tensor>, GraphError> {
        let lens: Vec<usize> = self.outputs.iter().map(|output| output.shape.iter().product()).collect();
        let n_arenas = n_images.min(rayon::current_num_threads()) as u64;
        let n_elements = n_arenas
            .saturating_mul(self.arena_len as u64)
            .saturating_add((lens.iter().sum::<usize>() as u64).saturating_mul(n_images as u64));
        let _held = skimp_memory::reserve(skimp_memory::bytes_of::<f32>(n_elements), || {
            format!("the values of {n_images} images of the network")
        })?;
        let mut outputs: Vec<Vec<f32>> = lens.iter().map(|len| vec![0.0; len * n_images]).collect();
        let mut images: Vec<Vec<&mut [f32]>> = (0..n_images).map(|_| Vec::with_capacity(lens.len())).collect();
        for (output, &len) in outputs.iter_mut().zip(&lens) {
            let mut rest: &mut [f32] = output;
            for image in &mut images {
                let (slice, tail) = rest.split_at_mut(len);
                image.push(slice);
                rest = tail;
            }
        }
        let n_threads = rayon::current_num_threads();
        let run = |arena: &mut Borrowed<'_>, idx: usize, outputs: &mut [&mut [f32]], parallel: bool| {
            let inputs: Vec<&[f32]> =
                inputs.iter().map(|x| &x[x.len() / n_images * idx..][..x.len() / n_images]).collect();
            self.run_image(arena.elements()?, &inputs, outputs, parallel)
        };
        if n_threads > 1 && n_images >= n_threads {
            images
                .par_iter_mut()
                .enumerate()
                .try_for_each_init(|| Borrowed::new(self), |arena, (idx, outputs)| run(arena, idx, outputs, false))?;
        } else {
            let mut arena = Borrowed::new(self);
            for (idx, outputs) in images.iter_mut().enumerate() {
                run(&mut arena, idx, outputs, n_threads > 1)?;
            }
        }
        drop(images);
        let with_batch = |shape: &[usize]| match shape.split_first() {
            Some((&rows, rest)) => std::iter::once(rows * n_images).chain(rest.iter().copied()).collect(),
            None => Vec::new(),
        };
        Ok(self
            .outputs
            .iter()
            .zip(outputs)
            .map(|(output, elements)| match &output.source {
                OutputSource::Computed(_) => Tensor::from_f32(with_batch(&output.shape), elements),
                OutputSource::Constant(tensor) => tensor.clone(),
            })
            .collect())
    }

    fn run_image(
        &self,
        arena: &mut [f32],
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
        parallel: bool,
    ) -> Result<(), GraphError> {
        for (&buffer, input) in self.inputs.iter().zip(inputs) {
            arena[self.range(buffer)][..input.len()].copy_from_slice(input);
        }
        for (step, &spread) in self.steps.iter().zip(&self.spread) {
            self.step(step, arena, parallel && spread)?;
        }
        for (planned, output) in self.outputs.iter().zip(outputs) {
            if let OutputSource::Computed(buffer) = planned.source {
                output.copy_from_slice(&arena[self.range(buffer)][..output.len()]);
            }
        }
        Ok(())
    }

    fn range(&self, buffer: BufferId) -> Range<usize> {
        let buffer = &self.buffers[buffer];
        buffer.offset..buffer.offset + reserved(&buffer.planes)
    }

    fn planes(&self, buffer: BufferId) -> &Planes {
        &self.buffers[buffer].planes
    }

    /// The written buffers apart from the rest.
    fn split<'a>(&self, arena: &'a mut [f32], out: BufferId, scratch: Option<BufferId>) -> Split<'a> {
        let range = self.range(out);
        let none = range.end..range.end;
        let other = scratch.map_or(none, |scratch| self.range(scratch));
        let is_first = range.start < other.start;
        let (low, high) = if is_first { (range, other) } else { (other, range) };
        let (before, rest) = arena.split_at_mut(low.start);
        let (first, rest) = rest.split_at_mut(low.len());
        let (between, rest) = rest.split_at_mut(high.start - low.end);
        let (second, after) = rest.split_at_mut(high.len());
        let around = Around { parts: [(0, before), (low.end, between), (high.end, after)] };
        let (out, scratch) = if is_first { (first, second) } else { (second, first) };
        Split { out, scratch, around }
    }

    fn step(&self, step: &Step, arena: &mut [f32], parallel: bool) -> Result<(), GraphError> {
        if let Step::Reference { op, node, inputs, outputs } = step {
            let tensors: Vec<Option<Tensor>> = inputs.iter().map(|input| self.tensor(input, arena)).collect();
            let tensors: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
            for (tensor, &out) in reference::evaluate(op, node, &tensors)?.iter().zip(outputs) {
                let elements = tensor
                    .as_f32()
                    .ok_or_else(|| GraphError::unsupported_node(node, op.name(), "an output that is not f32"))?;
                arena[self.range(out)][..elements.len()].copy_from_slice(elements);
            }
            return Ok(());
        }
        let Some(out) = step.out() else { return Ok(()) };
        let offset = self.buffers[out].offset;
        let Split { out: target, scratch, around } = self.split(arena, out, step.scratch());
        let to = self.planes(out);
        let image = |buffer: BufferId| (around.get(self.range(buffer)), self.planes(buffer));
        let images =
            |operands: &[BufferId]| -> Vec<Image<'_>> { operands.iter().map(|&operand| image(operand)).collect() };
        let epilogue_images = |epilogue: &Option<Epilogue>| -> Vec<Image<'_>> {
            epilogue.as_ref().map(|epilogue| images(&epilogue.operands)).unwrap_or_default()
        };
        let out = (target, to);
        match step {
            Step::Convolve { packed, shape, bounds, x, residual, epilogue, .. } => {
                let operands = epilogue_images(epilogue);
                let finish = (*bounds, finish(epilogue, &operands));
                packed.run(shape, finish, image(*x), out, residual.map(image), parallel);
            }
            Step::Winograd { packed, shape, bounds, x, residual, epilogue, .. } => {
                let operands = epilogue_images(epilogue);
                let finish = (*bounds, finish(epilogue, &operands));
                packed.run(shape, finish, image(*x), out, residual.map(image), scratch, parallel);
            }
            Step::Depthwise { packed, shape, bounds, x, epilogue, .. } => {
                let operands = epilogue_images(epilogue);
                packed.run(shape, (*bounds, finish(epilogue, &operands)), image(*x), out, parallel);
            }
            Step::Grouped { packed, shape, bounds, x, epilogue, .. } => {
                let operands = epilogue_images(epilogue);
                packed.run(shape, (*bounds, finish(epilogue, &operands)), image(*x), out, parallel);
            }
            Step::Planar { weight, shape, bounds, x, .. } => {
                planar::convolve(shape, *bounds, (&weight.0, &weight.1), image(*x), out.0, parallel);
            }
            Step::Part { source, shape, x, .. } => source.part(shape, image(*x), out.0),
            Step::Sparse { packed, distances, shape, bounds, x, residual, .. } => {
                packed.run(shape, *bounds, image(*x), distances, out.0, residual.map(image), parallel);
            }
            Step::SparseDense { packed, x, .. } => packed.run(image(*x).0, out.0, parallel),
            Step::Dense { packed, x, .. } => packed.run(image(*x).0, out.0, parallel),
            Step::Pool { shape, kind, x, .. } => pool::pool(shape, *kind, image(*x), out, parallel),
            Step::GlobalPool { kind, x, .. } => pool::global(*kind, image(*x).0, image(*x).1, out.0),
            Step::Convert { x, .. } => layout::convert(image(*x).0, image(*x).1, out.0, out.1),
            Step::Gather { fill, regions, .. } => {
                if let Some(value) = fill {
                    out.0.fill(*value);
                }
                out.1.clear_halo(out.0);
                for (x, region) in regions {
                    layout::copy_region(image(*x).0, image(*x).1, out.0, out.1, region);
                }
            }
            Step::Elementwise { program, isa, x, operands, .. } => {
                let x = (self.buffers[*x].offset != offset).then(|| image(*x));
                program.run(*isa, x, &images(operands), out, parallel);
            }
            Step::Product { extents, a, starts, right, isa, epilogue, .. } => {
                let operands = epilogue_images(epilogue);
                let b = match right {
                    Factor::Constant(panels) => Right::Packed(panels),
                    Factor::Computed(b, starts) => {
                        Right::Elements(image(*b).0, starts, Strides { row: extents[2], column: 1 })
                    }
                };
                let product = Product { extents: *extents, a: image(*a).0, starts, b };
                matmul::multiply(*isa, &product, finish(epilogue, &operands), out.0, parallel);
            }
            Step::Rows { function, isa, n, x, .. } => {
                let len = out.1.len();
                rows::run(*isa, function, *n, image(*x).0, &mut out.0[..len], parallel);
            }
            Step::ChannelNorm { epsilon, scale, shift, isa, x, .. } => {
                rows::channel_norm(*isa, *epsilon, (scale, shift), image(*x), out);
            }
            Step::Copies { parts, .. } => {
                for (source, copy) in parts {
                    match source {
                        Ok(buffer) => copy.run(image(*buffer).0, out.0),
                        Err(constant) => copy.run(constant, out.0),
                    }
                }
            }
            Step::Reference { .. } => {}
        }
        Ok(())
    }

    fn tensor(&self, input: &ReferenceInput, arena: &[f32]) -> Option<Tensor> {
        match input {
            ReferenceInput::Absent => None,
            ReferenceInput::Constant(tensor) => Some(tensor.clone()),
            ReferenceInput::Computed(buffer, shape) => {
                let len = shape.iter().product();
                Some(Tensor::from_f32(shape.clone(), arena[self.range(*buffer)][..len].to_vec()))
            }
        }
    }
}

/// What a kernel runs on each row that it has computed.
fn finish<'a>(epilogue: &'a Option<Epilogue>, operands: &'a [Image<'a>]) -> program::Epilogue<'a> {
    epilogue.as_ref().map(|epilogue| (&epilogue.program, operands))
}

/// An arena that goes back to where it came from.
struct Borrowed<'a> {
    plan: &'a Plan,
    arena: Option<Arena>,
}

impl<'a> Borrowed<'a> {
    fn new(plan: &'a Plan) -> Self {
        Self { plan, arena: plan.arenas.take(plan.arena_len) }
    }

    fn elements(&mut self) -> Result<&mut [f32], GraphError> {
        let missing = || self.plan.out_of_memory();
        Ok(self.arena.as_mut().ok_or_else(missing)?.elements())
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        if let Some(arena) = self.arena.take() {
            self.plan.arenas.give(arena);
        }
    }
}
