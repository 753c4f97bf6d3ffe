//! Pools.

use skimp_cpu::nhwc::{
    Divisor, PoolShape, average_pool_backward, average_pool_forward, max_pool_backward, max_pool_forward,
};
use skimp_graph::ops;
use skimp_graph::{Op, Window, shape};

use crate::TrainError;
use crate::engine::step::{Keeps, Place, Run, Step};
use crate::engine::tensors::TensorSpec;

/// A pool over windows or over the whole image.
#[derive(Debug)]
pub(crate) struct Pool {
    /// For a batch of one.
    shape: PoolShape,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// With the place of each maximum in its window.
    Max(Vec<u8>),
    Average(Divisor),
}

impl Pool {
    /// The pool of an operator, for batches up to `batch`; `None` if it is none that the kernels compute.
    pub(crate) fn new(op: &Op, node: &str, input: &TensorSpec, batch: usize) -> Option<Self> {
        let &[c, ref extents @ ..] = input.dims.as_slice() else { return None };
        let windowed = |window: &Window| {
            let axes = shape::window_axes(op, node, window, extents).ok()?;
            let of = |f: fn(&shape::WindowAxis) -> usize, one| two(&axes.iter().map(f).collect::<Vec<_>>(), one);
            let [h, w] = two(extents, 1)?;
            let ([p, q], [kh, kw]) = (of(|axis| axis.output, 1)?, of(|axis| axis.kernel, 1)?);
            let (strides, dilations) = (of(|axis| axis.stride, 1)?, of(|axis| axis.dilation, 1)?);
            let pads_begin = of(|axis| axis.pad_begin, 0)?;
            let pads_end = of(|axis| axis.pad_end, 0)?;
            Some((PoolShape { n: 1, h, w, c, p, q, kh, kw, strides, dilations, pads_begin }, pads_end))
        };
        let global = || {
            let [h, w] = two(extents, 1)?;
            let (strides, dilations, pads_begin) = ([1; 2], [1; 2], [0; 2]);
            Some(PoolShape { n: 1, h, w, c, p: 1, q: 1, kh: h, kw: w, strides, dilations, pads_begin })
        };
        let spatial = |axes: &[i64]| {
            let rank = extents.len() + 2;
            let marked = shape::normalized_axes(axes, rank).ok()?;
            (!axes.is_empty() && !marked[0] && !marked[1] && marked[2..].iter().all(|&m| m)).then_some(())
        };
        let max = |shape: PoolShape| {
            shape.check_max().ok()?;
            Some(Self { shape, kind: Kind::Max(vec![0; shape.p * shape.q * c * batch]) })
        };
        let average = |shape: PoolShape, divisor| {
            shape.check().ok()?;
            Some(Self { shape, kind: Kind::Average(divisor) })
        };
        match op {
            Op::MaxPool(ops::MaxPool { window }) => max(windowed(window)?.0),
            Op::GlobalMaxPool => max(global()?),
            Op::AveragePool(ops::AveragePool { window, count_include_pad }) => {
                let (shape, pads_end) = windowed(window)?;
                average(shape, if *count_include_pad { Divisor::Padded { pads_end } } else { Divisor::Inside })
            }
            Op::GlobalAveragePool => average(global()?, Divisor::Window),
            Op::ReduceMean(ops::ReduceMean { axes, .. }) => {
                spatial(axes)?;
                average(global()?, Divisor::Window)
            }
            _ => None,
        }
    }
}

/// One or two extents as two; a missing first one is `one`.
pub(crate) fn two(extents: &[usize], one: usize) -> Option<[usize; 2]> {
    match *extents {
        [w] => Some([one, w]),
        [h, w] => Some([h, w]),
        _ => None,
    }
}

impl Step for Pool {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: false, outputs: false }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        run.produce(place.outputs[0], |y, run| {
            let Run { batch, tensors, workspace, .. } = run;
            let shape = PoolShape { n: *batch, ..self.shape };
            let x = tensors.value(place.inputs[0].id, *batch);
            match &mut self.kind {
                Kind::Max(winners) => max_pool_forward(&shape, x, y, &mut winners[..y.len()], workspace),
                Kind::Average(divisor) => average_pool_forward(&shape, *divisor, x, y, workspace),
            }
        });
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        run.contribute(&place.inputs[0], |dx, run| {
            let Run { batch, tensors, workspace, .. } = run;
            let shape = PoolShape { n: *batch, ..self.shape };
            let dy = tensors.grad(place.outputs[0], *batch);
            match &self.kind {
                Kind::Max(winners) => max_pool_backward(&shape, dy, &winners[..dy.len()], dx, workspace),
                Kind::Average(divisor) => average_pool_backward(&shape, *divisor, dy, dx, workspace),
            }
        });
        Ok(())
    }
}
