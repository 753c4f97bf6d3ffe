//! Elementwise functions of one tensor.

use crate::TrainError;
use crate::engine::kernels::{zip1, zip2};
use crate::engine::step::{Keeps, Place, Run, Step};
use crate::reference::{SignEstimator, SignTraining, SignValues};
use skimp_cpu::nhwc::{relu_backward, relu_forward};
use skimp_graph::Op;
use skimp_graph::ops;

/// An elementwise function whose derivative is cheap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Activation {
    Relu,
    LeakyRelu { alpha: f32 },
    Clip { min: f32, max: f32 },
    Sigmoid,
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish,
    Tanh,
    Sign(SignTraining),
}

impl Activation {
    /// The activation of an operator, if it is one.
    pub(crate) fn of(op: &Op, sign: SignTraining) -> Option<Self> {
        Some(match op {
            Op::Relu => Self::Relu,
            Op::LeakyRelu(ops::LeakyRelu { alpha }) => Self::LeakyRelu { alpha: *alpha },
            Op::Clip(ops::Clip { min, max }) => {
                Self::Clip { min: min.unwrap_or(f32::NEG_INFINITY), max: max.unwrap_or(f32::INFINITY) }
            }
            Op::Sigmoid => Self::Sigmoid,
            Op::HardSigmoid(ops::HardSigmoid { alpha, beta }) => Self::HardSigmoid { alpha: *alpha, beta: *beta },
            Op::HardSwish => Self::HardSwish,
            Op::Tanh => Self::Tanh,
            Op::Sign => Self::Sign(sign),
            _ => return None,
        })
    }

    /// Whether the derivative is taken from the output, so that the input need not live on.
    fn uses_output(self) -> bool {
        matches!(self, Self::Relu | Self::Sigmoid | Self::Tanh)
    }

    fn forward(self, y: &mut [f32], x: &[f32]) {
        match self {
            // Written so that NaN stays NaN.
            Self::Relu => map(y, x, |x| if x <= 0.0 { 0.0 } else { x }),
            Self::LeakyRelu { alpha } => map(y, x, |x| if x < 0.0 { alpha * x } else { x }),
            Self::Clip { min, max } => map(y, x, |x| {
                let x = if x < min { min } else { x };
                if x > max { max } else { x }
            }),
            Self::Sigmoid => map(y, x, |x| 1.0 / (1.0 + (-x).exp())),
            Self::HardSigmoid { alpha, beta } => map(y, x, |x| (alpha * x + beta).clamp(0.0, 1.0)),
            Self::HardSwish => map(y, x, |x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
            Self::Tanh => map(y, x, f32::tanh),
            Self::Sign(sign) => {
                let [low, middle] = match sign.values {
                    SignValues::Onnx => [-1.0, 0.0],
                    SignValues::PlusMinusOne => [-1.0, 1.0],
                    SignValues::ZeroOne => [0.0, 1.0],
                };
                map(y, x, |x| {
                    if x.is_nan() {
                        x
                    } else if x > 0.0 {
                        1.0
                    } else if x < 0.0 {
                        low
                    } else {
                        middle
                    }
                });
            }
        }
    }

    /// `dx` from `dy` and the kept tensor (output or input).
    fn backward(self, dx: &mut [f32], dy: &[f32], kept: &[f32]) {
        match self {
            Self::Relu => map2(dx, dy, kept, |dy, y| if y > 0.0 { dy } else { 0.0 }),
            Self::LeakyRelu { alpha } => map2(dx, dy, kept, |dy, x| if x > 0.0 { dy } else { alpha * dy }),
            Self::Clip { min, max } => map2(dx, dy, kept, |dy, x| if x >= min && x <= max { dy } else { 0.0 }),
            Self::Sigmoid => map2(dx, dy, kept, |dy, y| dy * (y * (1.0 - y))),
            Self::HardSigmoid { alpha, beta } => map2(dx, dy, kept, |dy, x| {
                let y = alpha * x + beta;
                if y > 0.0 && y < 1.0 { alpha * dy } else { 0.0 }
            }),
            Self::HardSwish => map2(dx, dy, kept, |dy, x| {
                if x < -3.0 {
                    0.0
                } else if x > 3.0 {
                    dy
                } else {
                    dy * (x / 3.0 + 0.5)
                }
            }),
            Self::Tanh => map2(dx, dy, kept, |dy, y| dy * (1.0 - y * y)),
            Self::Sign(sign) => match sign.estimator {
                SignEstimator::Identity => dx.copy_from_slice(dy),
                SignEstimator::Clipped { slope } => {
                    let slope = slope as f32;
                    map2(dx, dy, kept, |dy, x| if x.abs() <= 1.0 { slope * dy } else { 0.0 });
                }
                SignEstimator::Surrogate(surrogate) => {
                    map2(dx, dy, kept, |dy, x| (f64::from(dy) * surrogate.slope(f64::from(x))) as f32);
                }
            },
        }
    }
}

#[inline(always)]
fn map(y: &mut [f32], x: &[f32], f: impl Fn(f32) -> f32) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
}

#[inline(always)]
fn map2(out: &mut [f32], a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) {
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = f(a, b);
    }
}

impl Step for Activation {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: !self.uses_output(), outputs: self.uses_output() }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let activation = *self;
        if activation == Self::Relu {
            run.produce(place.outputs[0], |y, run| {
                relu_forward(run.tensors.value(place.inputs[0].id, run.batch), y, run.workspace);
            });
            return Ok(());
        }
        run.produce(place.outputs[0], |y, run| {
            zip1(y, run.value(place.inputs[0].id), |y, x| activation.forward(y, x));
        });
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let activation = *self;
        if activation == Self::Relu {
            run.contribute(&place.inputs[0], |dx, run| {
                let (y, dy) = (run.tensors.value(place.outputs[0], run.batch), place.outputs[0]);
                relu_backward(y, run.tensors.grad(dy, run.batch), dx, run.workspace);
            });
            return Ok(());
        }
        let kept = if self.uses_output() { place.outputs[0] } else { place.inputs[0].id };
        run.contribute(&place.inputs[0], |dx, run| {
            zip2(dx, run.grad(place.outputs[0]), run.value(kept), |dx, dy, x| activation.backward(dx, dy, x));
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantizer::Surrogate;
    use crate::reference::{self, Call, Training, View};

    #[test]
    fn activations_equal_the_reference() {
        let onnx = SignTraining::default();
        let plus_minus_one = SignTraining { values: SignValues::PlusMinusOne, estimator: SignEstimator::Identity };
        let atan = Surrogate::named("atan").expect("registered");
        let cases = [
            (Op::Relu, onnx),
            (Op::LeakyRelu(ops::LeakyRelu { alpha: 0.1 }), onnx),
            (Op::Clip(ops::Clip { min: Some(-1.0), max: Some(3.0) }), onnx),
            (Op::Clip(ops::Clip { min: None, max: Some(0.5) }), onnx),
            (Op::Sigmoid, onnx),
            (Op::HardSigmoid(ops::HardSigmoid { alpha: 0.25, beta: 0.5 }), onnx),
            (Op::HardSwish, onnx),
            (Op::Tanh, onnx),
            (Op::Sign, onnx),
            (Op::Sign, plus_minus_one),
            (Op::Sign, SignTraining::BINARY_SIGMOID),
            (Op::Sign, SignTraining { estimator: SignEstimator::Surrogate(atan), ..plus_minus_one }),
        ];
        // Kinks among them: 0, ±0.5, ±1, ±2, ±3.
        let x: Vec<f32> = (-40..=40).map(|i| i as f32 / 8.0).collect();
        let dy: Vec<f32> = (0..x.len()).map(|i| ((i * 7 % 13) as f32 - 6.0) / 4.0).collect();
        for (op, sign) in cases {
            let activation = Activation::of(&op, sign).expect("an activation");
            let training = Training { sign, ..Training::default() };
            let inputs = [Some(View { shape: &[81], data: &x })];
            let call = Call { op: &op, node: "a", training: &training, inputs: &inputs };
            let expected = reference::forward(&call).expect("runs").outputs.remove(0);
            let gradient = reference::backward(&call, &[Some(&dy)]).expect("runs").remove(0).expect("a gradient");
            let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            activation.forward(&mut y, &x);
            activation.backward(&mut dx, &dy, if activation.uses_output() { &y } else { &x });
            for i in 0..x.len() {
                // f32 formulas against f64 ones, rounded once: a few units of 2^-24, of 1 where they subtract from it.
                let close = |found: f32, expected: f32| (found - expected).abs() <= 4e-7 * expected.abs().max(1.0);
                assert!(close(y[i], expected[i]), "{op:?} at {}: {}, expected {}", x[i], y[i], expected[i]);
                assert!(close(dx[i], gradient[i]), "{op:?}' at {}: {}, expected {}", x[i], dx[i], gradient[i]);
            }
        }
    }
}
