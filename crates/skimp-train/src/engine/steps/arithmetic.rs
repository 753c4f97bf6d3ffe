//! Sums, differences and products of two tensors of the same shape.

use skimp_graph::Op;

use crate::TrainError;
use crate::engine::kernels::{copy, zip1, zip2};
use crate::engine::step::{Keeps, Place, Run, Step};

/// An operator of two tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
}

impl Binary {
    /// The arithmetic of an operator, if it is one of these.
    pub(crate) fn of(op: &Op) -> Option<Self> {
        match op {
            Op::Add => Some(Self::Add),
            Op::Sub => Some(Self::Sub),
            Op::Mul => Some(Self::Mul),
            _ => None,
        }
    }
}

#[inline(always)]
fn map2(out: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = f(a, b);
    }
}

impl Step for Binary {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: *self == Self::Mul, outputs: false }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let binary = *self;
        run.produce(place.outputs[0], |y, run| {
            let (a, b) = (run.value(place.inputs[0].id), run.value(place.inputs[1].id));
            zip2(y, a, b, |y, a, b| match binary {
                Self::Add => map2(y, a, b, |a, b| a + b),
                Self::Sub => map2(y, a, b, |a, b| a - b),
                Self::Mul => map2(y, a, b, |a, b| a * b),
            });
        });
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let dy = place.outputs[0];
        for (port, other) in [(0, 1), (1, 0)] {
            run.contribute(&place.inputs[port], |dx, run| match (*self, port) {
                (Self::Mul, _) => {
                    let factor = run.value(place.inputs[other].id);
                    zip2(dx, run.grad(dy), factor, |dx, dy, factor| map2(dx, dy, factor, |dy, factor| dy * factor));
                }
                (Self::Sub, 1) => zip1(dx, run.grad(dy), |dx, dy| map2(dx, dy, dy, |dy, _| -dy)),
                (Self::Add | Self::Sub, _) => copy(dx, run.grad(dy)),
            });
        }
        Ok(())
    }
}
