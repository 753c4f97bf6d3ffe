//! The specification of training: forward and backward of every operator, naive, safe and single-threaded.
//!
//! [`forward`] applies one operator as training sees it (batch statistics, dropout masks, the binarizations that
//! [`Training`] names), [`backward`] turns the errors at its outputs into gradients of its inputs, and [`loss`] holds the
//! losses. The fast engine is compared with these functions and uses them for operators without a fast kernel.
//!
//! # Numerics
//! Tensors are row-major in the order of the graph (NCHW). Whatever the element type, all arithmetic is f64 and each
//! element of a result is rounded once. Outside what [`Training`] changes, `forward` is the graph's own interpreter,
//! [`skimp_graph::reference`].
//!
//! # Kinks
//! Where a function has no derivative, its gradient here is: `Relu`, `LeakyRelu` and `PRelu` at 0, that of the left;
//! `Clip` at a bound, 1; `HardSigmoid` at an end of its slope, 0; `HardSwish` at −3 and 3, that of the inner piece;
//! equal maxima of a pool: all to the first one in memory order. NaN at an input is a maximum.

mod elementwise;
mod linear;
pub mod loss;
mod moves;
pub mod neuron;
pub mod noise;
mod normalize;
mod pool;
pub mod quantize;
mod real;
mod settings;

#[cfg(test)]
mod tests;

use skimp_graph::ops;
use skimp_graph::shape::{self, TensorType};
use skimp_graph::{GraphError, Op, Tensor};

use elementwise::Arithmetic;
use moves::Movement;

pub use normalize::Moments;
pub use real::Real;
pub use settings::{BatchNorm, DropoutKey, SignEstimator, SignTraining, SignValues, Training};

/// A borrowed row-major tensor.
#[derive(Clone, Copy, Debug)]
pub struct View<'a, T> {
    /// Extents, outermost first.
    pub shape: &'a [usize],
    /// Elements, as many as the extents multiply to.
    pub data: &'a [T],
}

/// One application of an operator.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a, T> {
    /// The operator.
    pub op: &'a Op,
    /// Name of its node, for errors and for the keys of dropout masks.
    pub node: &'a str,
    /// What differs from inference.
    pub training: &'a Training,
    /// Inputs in the operator's order; `None` for an optional input left out.
    pub inputs: &'a [Option<View<'a, T>>],
}

/// What an operator computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward<T> {
    /// The outputs, row-major.
    pub outputs: Vec<Vec<T>>,
    /// Extents of each output.
    pub shapes: Vec<Vec<usize>>,
    /// `MaxPool` and `GlobalMaxPool`: for each output element, the input element that it is a copy of; `None` where the
    /// window holds none.
    pub winners: Option<Vec<Option<usize>>>,
    /// `BatchNormalization` with statistics of the batch: these statistics.
    pub moments: Option<Moments>,
}

/// Applies an operator in training.
///
/// # Errors
/// As [`skimp_graph::reference::evaluate`]; [`GraphError::InvalidNode`] too if a view's element count does not match
/// its shape or the dropout ratio is outside `[0, 1)`, and [`GraphError::UnsupportedNode`] for `Cast` to another element
/// type, `QuantizeLinear` and `DequantizeLinear`, whose results are not of type `T`.
pub fn forward<T: Real>(call: &Call<'_, T>) -> Result<Forward<T>, GraphError> {
    let exact = Exact::new(call)?;
    let mut result = Forward { outputs: Vec::new(), shapes: exact.output_shapes.clone(), winners: None, moments: None };
    let output = match (call.op, call.training.batch_norm) {
        (Op::BatchNormalization(ops::BatchNormalization { epsilon }), BatchNorm::Batch(kind)) => {
            let moments = normalize::moments(&exact, kind, *epsilon);
            let y = normalize::batch_norm(&exact, &moments, *epsilon);
            result.moments = Some(moments);
            Some(y)
        }
        (Op::Sign, _) => Some(exact.x().iter().map(|&x| call.training.sign.value(x)).collect()),
        (Op::Dropout(ops::Dropout { ratio }), _) => {
            let factors = dropout_factors(&exact, *ratio)?;
            Some(exact.x().iter().zip(factors).map(|(x, factor)| x * factor).collect())
        }
        _ => None,
    };
    match call.op {
        Op::MaxPool(ops::MaxPool { window }) => result.winners = Some(pool::winners(&exact, window)?),
        Op::GlobalMaxPool => result.winners = Some(pool::global_winners(&exact)),
        _ => {}
    }
    result.outputs = match output {
        Some(y) => vec![rounded(y)],
        None => infer(call)?,
    };
    Ok(result)
}

/// Gradients of a loss with respect to the inputs of an operator, from its gradients with respect to the outputs.
///
/// `errors` has one entry per output; `None` stands for zeros. The result has one entry per input of `call`, `None` for
/// inputs left out and for those that training treats as constants (the mean and variance of `BatchNormalization`).
/// `call` must be as in [`forward`].
///
/// # Errors
/// As [`forward`]; [`GraphError::InvalidNode`] too if the number or the lengths of `errors` do not fit.
pub fn backward<T: Real>(call: &Call<'_, T>, errors: &[Option<&[T]>]) -> Result<Vec<Option<Vec<T>>>, GraphError> {
    let mut exact = Exact::new(call)?;
    exact.set_errors(errors)?;
    let gradients = gradients(&exact)?;
    Ok(gradients.into_iter().map(|gradient| gradient.map(rounded)).collect())
}

/// Whether training knows the gradient of the operator. A new operator has none until [`backward`] gets one.
pub fn has_gradient(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv(_)
            | Op::Gemm(_)
            | Op::MatMul
            | Op::BatchNormalization(_)
            | Op::Relu
            | Op::LeakyRelu(_)
            | Op::PRelu
            | Op::Clip(_)
            | Op::Sigmoid
            | Op::HardSigmoid(_)
            | Op::HardSwish
            | Op::Tanh
            | Op::Sign
            | Op::Softmax(_)
            | Op::Add
            | Op::Sub
            | Op::Mul
            | Op::Div
            | Op::Concat(_)
            | Op::Split(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Flatten(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Squeeze(_)
            | Op::Unsqueeze(_)
            | Op::Identity
            | Op::Cast(_)
            | Op::MaxPool(_)
            | Op::GlobalMaxPool
            | Op::AveragePool(_)
            | Op::GlobalAveragePool
            | Op::ReduceMean(_)
            | Op::Lrn(_)
            | Op::Dropout(_)
    )
}

fn gradients(call: &Exact<'_>) -> Result<Vec<Option<Vec<f64>>>, GraphError> {
    let one = |gradient: Vec<f64>| Ok(vec![Some(gradient)]);
    match call.op {
        Op::Conv(ops::Conv { window, groups }) => linear::conv(call, window, *groups),
        Op::Gemm(attributes) => Ok(linear::gemm(call, attributes)),
        Op::MatMul => linear::matmul(call),
        Op::BatchNormalization(ops::BatchNormalization { epsilon }) => {
            Ok(normalize::batch_norm_gradients(call, *epsilon))
        }
        Op::Relu => one(call.scaled(|x| if x > 0.0 { 1.0 } else { 0.0 })),
        Op::LeakyRelu(ops::LeakyRelu { alpha }) => one(call.scaled(|x| if x > 0.0 { 1.0 } else { f64::from(*alpha) })),
        Op::PRelu => Ok(elementwise::prelu(call)),
        Op::Clip(ops::Clip { min, max }) => {
            let inside = |x: f64| min.is_none_or(|min| x >= min.into()) && max.is_none_or(|max| x <= max.into());
            one(call.scaled(|x| if inside(x) { 1.0 } else { 0.0 }))
        }
        Op::Sigmoid => one(call.scaled(|x| elementwise::sigmoid(x) * elementwise::sigmoid(-x))),
        Op::HardSigmoid(ops::HardSigmoid { alpha, beta }) => {
            let (alpha, beta) = (f64::from(*alpha), f64::from(*beta));
            one(call.scaled(|x| if (alpha * x + beta) > 0.0 && alpha * x + beta < 1.0 { alpha } else { 0.0 }))
        }
        Op::HardSwish => one(call.scaled(elementwise::hard_swish_slope)),
        Op::Tanh => one(call.scaled(|x| 1.0 - x.tanh() * x.tanh())),
        Op::Sign => one(call.scaled(|x| call.training.sign.slope(x))),
        Op::Softmax(ops::Softmax { axis }) => one(normalize::softmax_gradient(call, *axis)?),
        Op::Add => Ok(elementwise::binary(call, Arithmetic::Add)),
        Op::Sub => Ok(elementwise::binary(call, Arithmetic::Sub)),
        Op::Mul => Ok(elementwise::binary(call, Arithmetic::Mul)),
        Op::Div => Ok(elementwise::binary(call, Arithmetic::Div)),
        Op::Concat(_)
        | Op::Split(_)
        | Op::Slice(_)
        | Op::Pad(_)
        | Op::Flatten(_)
        | Op::Reshape(_)
        | Op::Transpose(_)
        | Op::Squeeze(_)
        | Op::Unsqueeze(_)
        | Op::Identity
        | Op::Cast(_) => Ok(Movement::new(call)?.gradients(&call.errors)),
        Op::MaxPool(ops::MaxPool { window }) => one(pool::scattered(call, &pool::winners(call, window)?)),
        Op::GlobalMaxPool => one(pool::scattered(call, &pool::global_winners(call))),
        Op::AveragePool(ops::AveragePool { window, count_include_pad }) => {
            one(pool::average(call, window, *count_include_pad)?)
        }
        Op::GlobalAveragePool => one(pool::global_average(call)),
        Op::ReduceMean(ops::ReduceMean { axes, .. }) => one(pool::reduce_mean(call, axes)?),
        Op::Lrn(ops::Lrn { size, alpha, beta, bias }) => {
            one(normalize::lrn_gradient(call, *size, [*alpha, *beta, *bias]))
        }
        Op::Dropout(ops::Dropout { ratio }) => {
            let factors = dropout_factors(call, *ratio)?;
            one(call.errors[0].iter().zip(factors).map(|(error, factor)| error * factor).collect())
        }
        // Not trainable: `has_gradient` says so before a step runs.
        _ => Err(call.untrainable()),
    }
}

/// What each element of a dropout is multiplied by.
fn dropout_factors(call: &Exact<'_>, ratio: f32) -> Result<Vec<f64>, GraphError> {
    let n_elements = call.x().len();
    let Some(key) = call.training.dropout else { return Ok(vec![1.0; n_elements]) };
    if !(0.0..1.0).contains(&ratio) {
        return Err(call.invalid(format!("dropout ratio is {ratio}, expected at least 0 and less than 1")));
    }
    let stream = DropoutKey::stream(call.node);
    let kept = 1.0 / (1.0 - f64::from(ratio));
    Ok((0..n_elements).map(|idx| if key.keeps(stream, idx, ratio) { kept } else { 0.0 }).collect())
}

/// The operator as inference computes it.
fn infer<T: Real>(call: &Call<'_, T>) -> Result<Vec<Vec<T>>, GraphError> {
    let tensors: Vec<Option<Tensor>> = call.inputs.iter().map(|view| view.and_then(|view| tensor(view))).collect();
    let tensors: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
    let outputs = skimp_graph::reference::evaluate(call.op, call.node, &tensors)?;
    let typed = |output: Tensor| output.elements::<T>().expect("Exact::new checks the type of outputs").to_vec();
    Ok(outputs.into_iter().map(typed).collect())
}

fn tensor<T: Real>(view: View<'_, T>) -> Option<Tensor> {
    Tensor::new(view.shape.to_vec(), T::data(view.data.to_vec()))
}

fn rounded<T: Real>(elements: Vec<f64>) -> Vec<T> {
    elements.into_iter().map(T::from_f64).collect()
}

/// A call whose shapes fit, in f64.
struct Exact<'a> {
    op: &'a Op,
    node: &'a str,
    training: &'a Training,
    shapes: Vec<Option<&'a [usize]>>,
    inputs: Vec<Option<Vec<f64>>>,
    output_shapes: Vec<Vec<usize>>,
    errors: Vec<Vec<f64>>,
}

impl<'a> Exact<'a> {
    fn new<T: Real>(call: &Call<'a, T>) -> Result<Self, GraphError> {
        let invalid = |cause: String| GraphError::invalid_node(call.node, call.op.name(), cause);
        for (idx, view) in call.inputs.iter().enumerate() {
            let Some(view) = view else { continue };
            let expected = view.shape.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent));
            if expected != Some(view.data.len()) {
                let found = view.data.len();
                return Err(invalid(format!("input {idx} has {found} elements, its shape is {:?}", view.shape)));
            }
        }
        let typed = |view: &View<'a, T>| TensorType { dtype: T::DTYPE, shape: view.shape.to_vec() };
        let types: Vec<Option<TensorType>> = call.inputs.iter().map(|view| view.as_ref().map(typed)).collect();
        let types: Vec<Option<&TensorType>> = types.iter().map(Option::as_ref).collect();
        let outputs = shape::output_shapes(call.op, call.node, &types)?;
        let exact = Self {
            op: call.op,
            node: call.node,
            training: call.training,
            shapes: call.inputs.iter().map(|view| view.map(|view| view.shape)).collect(),
            inputs: call.inputs.iter().map(|view| view.map(|view| widened(view.data))).collect(),
            output_shapes: outputs.iter().map(|output| output.shape.clone()).collect(),
            errors: Vec::new(),
        };
        if outputs.iter().any(|output| output.dtype != T::DTYPE) {
            return Err(exact.untrainable());
        }
        Ok(exact)
    }

    fn set_errors<T: Real>(&mut self, errors: &[Option<&[T]>]) -> Result<(), GraphError> {
        let n_outputs = self.output_shapes.len();
        if errors.len() != n_outputs {
            return Err(self.invalid(format!("got errors of {} outputs, expected {n_outputs}", errors.len())));
        }
        for (idx, error) in errors.iter().enumerate() {
            let expected: usize = self.output_shapes[idx].iter().product();
            let error = error.map_or_else(|| vec![0.0; expected], widened);
            if error.len() != expected {
                let found = error.len();
                return Err(
                    self.invalid(format!("the error of output {idx} has {found} elements, expected {expected}"))
                );
            }
            self.errors.push(error);
        }
        Ok(())
    }

    /// Elements of a required input.
    fn input(&self, idx: usize) -> &[f64] {
        self.inputs[idx].as_deref().expect("output_shapes checks that required inputs are there")
    }

    /// Extents of a required input.
    fn shape(&self, idx: usize) -> &'a [usize] {
        self.shapes[idx].expect("output_shapes checks that required inputs are there")
    }

    fn has(&self, idx: usize) -> bool {
        self.inputs.get(idx).is_some_and(Option::is_some)
    }

    fn x(&self) -> &[f64] {
        self.input(0)
    }

    fn error(&self) -> &[f64] {
        &self.errors[0]
    }

    /// The error times the slope at each input element.
    fn scaled(&self, slope: impl Fn(f64) -> f64) -> Vec<f64> {
        self.x().iter().zip(self.error()).map(|(&x, error)| error * slope(x)).collect()
    }

    /// The tensor seen as `[n, c, inner]`.
    fn planes(&self) -> [usize; 3] {
        let shape = self.shape(0);
        [shape[0], shape[1], shape[2..].iter().product()]
    }

    fn invalid(&self, cause: impl Into<String>) -> GraphError {
        GraphError::invalid_node(self.node, self.op.name(), cause)
    }

    fn untrainable(&self) -> GraphError {
        GraphError::unsupported_node(self.node, self.op.name(), "training through it")
    }
}

fn widened<T: Real>(elements: &[T]) -> Vec<f64> {
    elements.iter().map(|&element| element.to_f64()).collect()
}
