//! What the recurrent operators share: directions, activation functions, shapes and the walk over the steps.

use std::fmt::Debug;

use super::signature::Signature;
use crate::onnx::export::Form;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape};
use crate::ops::unary::Unary as _;
use crate::ops::{Elu, HardSigmoid, LeakyRelu, Op, Parameter, Sigmoid, Softplus, Softsign, Tanh};
use crate::reference::Call;
use crate::reference::number::Float;
use crate::shape::TensorType;
use crate::testing::{Generator, Source};
use crate::{DType, Data, GraphError, Tensor};

/// What the three operators say alike; `$n_inputs` is how many inputs they take.
macro_rules! facts {
    ($n_inputs:expr) => {
        $crate::ops::facts!(Multiplies, $n_inputs, Float);

        fn output_types(
            &self,
            signature: &$crate::ops::Signature<'_>,
        ) -> Result<Vec<$crate::shape::TensorType>, $crate::GraphError> {
            $crate::ops::recurrent::output_types(self, signature)
        }

        fn evaluate(&self, call: &$crate::reference::Call<'_>) -> Result<Vec<$crate::Data>, $crate::GraphError> {
            $crate::reference::number::for_float!(
                call.input(0).data(),
                x => $crate::ops::recurrent::evaluate(call, self, x),
                Err(call.unsupported_type())
            )
        }

        fn keeps_images_apart(&self, operands: &$crate::ops::Operands<'_>) -> bool {
            $crate::ops::recurrent::keeps_images_apart(self, operands)
        }

        fn rounding(&self) -> $crate::ops::Rounding {
            $crate::ops::Rounding::Rounds
        }

        fn output_dtype(&self, inputs: &[Option<$crate::DType>], _output: usize) -> Result<$crate::DType, String> {
            $crate::ops::recurrent::output_dtype(inputs)
        }

        fn symbolic_shapes(
            &self,
            inputs: &[&$crate::onnx::symbolic::Shape],
            n_outputs: usize,
            _symbols: &mut $crate::onnx::symbolic::Symbols,
        ) -> Vec<$crate::onnx::symbolic::Shape> {
            $crate::ops::recurrent::symbolic_shapes(self, inputs, n_outputs)
        }

        fn parameter(&self, input: usize) -> Option<$crate::ops::Parameter> {
            $crate::ops::recurrent::parameter(input)
        }

        fn macs(&self, inputs: &[&[usize]], _n_outputs: u64) -> u64 {
            $crate::ops::recurrent::macs(self, inputs)
        }
    };
}
pub(super) use facts;

/// In which order the steps of a sequence are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Reverse,
    /// Both, each with weights of its own.
    Bidirectional,
}

impl Direction {
    /// 1 or 2.
    pub fn count(self) -> usize {
        match self {
            Self::Forward | Self::Reverse => 1,
            Self::Bidirectional => 2,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Forward => "forward",
            Self::Reverse => "reverse",
            Self::Bidirectional => "bidirectional",
        }
    }

    fn is_reverse(self, idx: usize) -> bool {
        self == Self::Reverse || idx == 1
    }
}

/// An activation function of a gate or state, with the numbers that ONNX calls alpha and beta.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// The function.
    pub function: GateFunction,
    /// Its first number.
    pub alpha: f32,
    /// Its second number.
    pub beta: f32,
}

/// The functions that ONNX allows in recurrent operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateFunction {
    /// `1 / (1 + exp(−x))`.
    Sigmoid,
    /// `tanh(x)`.
    Tanh,
    /// `max(x, 0)`.
    Relu,
    /// `alpha · x + beta`.
    Affine,
    /// `x`, or `alpha · x` below 0.
    LeakyRelu,
    /// `x`, or 0 below `alpha`.
    ThresholdedRelu,
    /// `alpha · tanh(beta · x)`.
    ScaledTanh,
    /// `min(max(alpha · x + beta, 0), 1)`.
    HardSigmoid,
    /// `x`, or `alpha · (exp(x) − 1)` below 0.
    Elu,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `ln(1 + exp(x))`.
    Softplus,
}

/// Whether a function takes a number.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Takes {
    Nothing,
    /// It must be given: no operator of the name defines a default.
    Given,
    /// With the default of the operator of the same name.
    Default(f32),
}

/// Every function with its name and whether it takes alpha and beta.
const FUNCTIONS: [(&str, GateFunction, Takes, Takes); 11] = [
    ("Sigmoid", GateFunction::Sigmoid, Takes::Nothing, Takes::Nothing),
    ("Tanh", GateFunction::Tanh, Takes::Nothing, Takes::Nothing),
    ("Relu", GateFunction::Relu, Takes::Nothing, Takes::Nothing),
    ("Affine", GateFunction::Affine, Takes::Given, Takes::Given),
    ("LeakyRelu", GateFunction::LeakyRelu, Takes::Default(0.01), Takes::Nothing),
    ("ThresholdedRelu", GateFunction::ThresholdedRelu, Takes::Default(1.0), Takes::Nothing),
    ("ScaledTanh", GateFunction::ScaledTanh, Takes::Given, Takes::Given),
    ("HardSigmoid", GateFunction::HardSigmoid, Takes::Default(0.2), Takes::Default(0.5)),
    ("Elu", GateFunction::Elu, Takes::Default(1.0), Takes::Nothing),
    ("Softsign", GateFunction::Softsign, Takes::Nothing, Takes::Nothing),
    ("Softplus", GateFunction::Softplus, Takes::Nothing, Takes::Nothing),
];

impl Gate {
    /// A function without numbers.
    pub(super) const fn plain(function: GateFunction) -> Self {
        Self { function, alpha: 0.0, beta: 0.0 }
    }

    fn value(self, x: f64) -> f64 {
        let Self { function, alpha, beta } = self;
        let (wide_alpha, wide_beta) = (f64::from(alpha), f64::from(beta));
        match function {
            GateFunction::Sigmoid => Sigmoid.value(x),
            GateFunction::Tanh => Tanh.value(x),
            GateFunction::Relu => x.max(0.0),
            GateFunction::Affine => wide_alpha * x + wide_beta,
            GateFunction::LeakyRelu => LeakyRelu { alpha }.value(x),
            // Not as the operator of that name: `alpha` itself passes.
            GateFunction::ThresholdedRelu => {
                if x < wide_alpha {
                    0.0
                } else {
                    x
                }
            }
            GateFunction::ScaledTanh => wide_alpha * (wide_beta * x).tanh(),
            GateFunction::HardSigmoid => HardSigmoid { alpha, beta }.value(x),
            GateFunction::Elu => Elu { alpha }.value(x),
            GateFunction::Softsign => Softsign.value(x),
            GateFunction::Softplus => Softplus.value(x),
        }
    }
}

/// What LSTM, GRU and RNN have in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrence {
    /// Numbers of a state.
    pub hidden_size: usize,
    /// The order of the steps.
    pub direction: Direction,
    /// The activation functions, those of the first direction first.
    pub gates: Vec<Gate>,
    /// Greatest magnitude of the sums that gates and candidates are functions of. As onnxruntime does, the cell state is
    /// not clipped on its way through its function; ONNX's text ("the input of activations") can be read either way.
    pub clip: Option<f32>,
    /// Whether the images of the batch are the first axis of input, states and output, not the steps.
    pub batch_first: bool,
}

/// One kind of recurrent operator.
pub(super) trait Cell: Debug {
    /// Blocks of `hidden_size` rows in the weights.
    const N_GATES: usize;
    /// Blocks of `hidden_size` biases.
    const N_BIASES: usize;
    /// States that go from step to step.
    const N_STATES: usize;
    /// Whether an input after the states weighs the cell state.
    const HAS_PEEPHOLES: bool;
    /// The activation functions of one direction where the file names none.
    const DEFAULTS: &'static [GateFunction];

    fn recurrence(&self) -> &Recurrence;

    /// The new states from the old ones.
    fn step(&self, operands: &Operands<'_>, states: &mut [Vec<f64>]);
}

/// What one step of one image works on, in f64.
pub(super) struct Operands<'a> {
    /// `W · x`, bias included, gate after gate.
    pub(super) from_input: &'a [f64],
    /// Recurrent weights `[gates · hidden, hidden]`.
    pub(super) recurrent: &'a [f64],
    /// Recurrent biases, one for each row.
    pub(super) bias: &'a [f64],
    /// Weights of the cell state, if there are any.
    pub(super) peepholes: Option<&'a [f64]>,
    /// The functions of this direction.
    gates: &'a [Gate],
    clip: Option<f32>,
}

impl Operands<'_> {
    /// Activation function `idx` of the sum `x`, which is clipped first.
    pub(super) fn gate(&self, idx: usize, x: f64) -> f64 {
        let clipped = self.clip.map_or(x, |clip| x.clamp(-f64::from(clip), f64::from(clip)));
        self.activate(idx, clipped)
    }

    /// Activation function `idx` of `x`.
    pub(super) fn activate(&self, idx: usize, x: f64) -> f64 {
        self.gates[idx].value(x)
    }

    /// Row `row` of the recurrent weights times `state`, bias included.
    pub(super) fn recurrent(&self, row: usize, state: &[f64]) -> f64 {
        let weights = &self.recurrent[row * state.len()..(row + 1) * state.len()];
        self.bias[row] + dot(weights, state)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

/// Steps and images of the input.
fn extents(recurrence: &Recurrence, x: &[usize]) -> (usize, usize) {
    if recurrence.batch_first { (x[1], x[0]) } else { (x[0], x[1]) }
}

/// Types of the outputs: all states `[steps, directions, batch, hidden]`, then the last ones
/// `[directions, batch, hidden]`; or `[batch, steps, directions, hidden]` and `[batch, directions, hidden]`.
pub(super) fn output_types<C: Cell>(cell: &C, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
    let recurrence = cell.recurrence();
    let x = signature.float()?;
    signature.check_rank("input 0", x, 3, if recurrence.batch_first { "(n, steps, c)" } else { "(steps, n, c)" })?;
    let (steps, batch) = extents(recurrence, &x.shape);
    let (directions, hidden) = (recurrence.direction.count(), recurrence.hidden_size);
    let rows = signature.product(&[C::N_GATES, hidden])?;
    let last = if recurrence.batch_first { vec![batch, directions, hidden] } else { vec![directions, batch, hidden] };
    let mut expected = vec![
        (1, "weights", vec![directions, rows, x.shape[2]]),
        (2, "recurrent weights", vec![directions, rows, hidden]),
        (3, "biases", vec![directions, signature.product(&[C::N_BIASES, hidden])?]),
    ];
    expected.extend((0..C::N_STATES).map(|state| (5 + state, "an initial state", last.clone())));
    if C::HAS_PEEPHOLES {
        expected.push((5 + C::N_STATES, "peepholes", vec![directions, signature.product(&[3, hidden])?]));
    }
    for (idx, what, shape) in expected {
        if (idx < 3 || signature.optional(idx).is_some()) && signature.input_like(idx, x)?.shape != shape {
            let found = &signature.input(idx)?.shape;
            return Err(signature.invalid(format!("input {idx} ({what}) has shape {found:?}, expected {shape:?}")));
        }
    }
    if let Some(lengths) = signature.optional(4)
        && (lengths.dtype != DType::I32 || lengths.shape != [batch])
    {
        let (dtype, shape) = (lengths.dtype, &lengths.shape);
        return Err(signature.invalid(format!("sequence lengths are {dtype} {shape:?}, expected i32 [{batch}]")));
    }
    let all = if recurrence.batch_first {
        vec![batch, steps, directions, hidden]
    } else {
        vec![steps, directions, batch, hidden]
    };
    let of = |shape| TensorType { dtype: x.dtype, shape };
    Ok(std::iter::once(of(all)).chain((0..C::N_STATES).map(|_| of(last.clone()))).collect())
}

/// The outputs: gates are computed in f64, states rounded to the element type after each step.
pub(super) fn evaluate<T: Float, C: Cell>(call: &Call<'_>, cell: &C, x: &[T]) -> Result<Vec<Data>, GraphError>
where
    Data: From<Vec<T>>,
{
    let recurrence = cell.recurrence();
    let (steps, batch) = extents(recurrence, call.input(0).shape());
    let (inputs, hidden) = (call.input(0).shape()[2], recurrence.hidden_size);
    let (directions, rows) = (recurrence.direction.count(), C::N_GATES * hidden);
    let optional = |idx: usize| call.optional(idx).map(|_| call.elements::<T>(idx));
    let lengths: Option<&[i32]> = call.optional(4).map(|_| call.elements(4));
    let mut all: Vec<T> = call.allocate_output()?;
    all.resize(steps * directions * batch * hidden, T::ZERO);
    let mut last: Vec<Vec<T>> = Vec::new();
    for _ in 0..C::N_STATES {
        let mut state = call.allocate(directions * batch * hidden)?;
        state.resize(directions * batch * hidden, T::ZERO);
        last.push(state);
    }
    let mut from_input = vec![0.0; rows];
    for direction in 0..directions {
        let part = |tensor: &[T], len: usize| widened(&tensor[direction * len..(direction + 1) * len]);
        let weights = part(call.elements(1), rows * inputs);
        let recurrent = part(call.elements(2), rows * hidden);
        let biases = optional(3).map_or_else(|| vec![0.0; C::N_BIASES * hidden], |b| part(b, C::N_BIASES * hidden));
        let peepholes = C::HAS_PEEPHOLES.then(|| optional(5 + C::N_STATES)).flatten().map(|p| part(p, 3 * hidden));
        for image in 0..batch {
            let place = if recurrence.batch_first { image * directions + direction } else { direction * batch + image };
            let kept = place * hidden..(place + 1) * hidden;
            let initial = |state: usize| optional(5 + state).map(|initial| widened(&initial[kept.clone()]));
            let mut states: Vec<Vec<f64>> =
                (0..C::N_STATES).map(|state| initial(state).unwrap_or_else(|| vec![0.0; hidden])).collect();
            let length = match lengths.map(|lengths| lengths[image]) {
                None => steps,
                Some(length) => usize::try_from(length).ok().filter(|&length| length <= steps).ok_or_else(|| {
                    call.invalid(format!("image {image} has {length} steps of a sequence of {steps}"))
                })?,
            };
            for step in 0..length {
                let step = if recurrence.direction.is_reverse(direction) { length - 1 - step } else { step };
                let (major, minor) = if recurrence.batch_first { (image * steps, step) } else { (step * batch, image) };
                let row = widened(&x[(major + minor) * inputs..(major + minor + 1) * inputs]);
                for (idx, sum) in from_input.iter_mut().enumerate() {
                    *sum = biases[idx] + dot(&weights[idx * inputs..(idx + 1) * inputs], &row);
                }
                let operands = Operands {
                    from_input: &from_input,
                    recurrent: &recurrent,
                    bias: &biases[rows..],
                    peepholes: peepholes.as_deref(),
                    gates: &recurrence.gates[direction * C::DEFAULTS.len()..(direction + 1) * C::DEFAULTS.len()],
                    clip: recurrence.clip,
                };
                cell.step(&operands, &mut states);
                for state in states.iter_mut().flatten() {
                    *state = T::from_f64(*state).to_f64();
                }
                let out = if recurrence.batch_first {
                    (image * steps + step) * directions + direction
                } else {
                    (step * directions + direction) * batch + image
                };
                for (slot, &value) in all[out * hidden..(out + 1) * hidden].iter_mut().zip(&states[0]) {
                    *slot = T::from_f64(value);
                }
            }
            for (last, state) in last.iter_mut().zip(&states) {
                for (slot, &value) in last[kept.clone()].iter_mut().zip(state) {
                    *slot = T::from_f64(value);
                }
            }
        }
    }
    Ok(std::iter::once(all).chain(last).map(Data::from).collect())
}

fn widened<T: Float>(elements: &[T]) -> Vec<f64> {
    elements.iter().map(|&x| x.to_f64()).collect()
}

/// The shapes of [`output_types`] where extents are open.
pub(super) fn symbolic_shapes<C: Cell>(cell: &C, inputs: &[&Shape], n_outputs: usize) -> Vec<Shape> {
    let recurrence = cell.recurrence();
    let (directions, hidden) = (Extent::Known(recurrence.direction.count()), Extent::Known(recurrence.hidden_size));
    let shape = |output: usize| {
        let &[first, second, _] = inputs.first().copied()?.as_deref()? else { return None };
        let (batch, steps) = if recurrence.batch_first { (first, second) } else { (second, first) };
        Some(match (recurrence.batch_first, output) {
            (true, 0) => vec![batch, steps, directions, hidden],
            (true, _) => vec![batch, directions, hidden],
            (false, 0) => vec![steps, directions, batch, hidden],
            (false, _) => vec![directions, batch, hidden],
        })
    };
    (0..n_outputs).map(shape).collect()
}

/// The element type of all outputs: that of the input.
pub(super) fn output_dtype(inputs: &[Option<DType>]) -> Result<DType, String> {
    match inputs.first().copied().flatten() {
        Some(dtype) if dtype.is_float() => Ok(dtype),
        other => Err(format!("a sequence of element type {other:?}, expected a float")),
    }
}

/// Whether the images may be computed apart: they are the first axis, and no state is known for all of them.
pub(super) fn keeps_images_apart<C: Cell>(cell: &C, operands: &super::Operands<'_>) -> bool {
    cell.recurrence().batch_first
        && operands.only_first_computed()
        && operands.inputs.iter().skip(4).all(Option::is_none)
}

/// Multiply-accumulates: every step of every image multiplies its input and the state with all rows of the weights.
pub(super) fn macs<C: Cell>(cell: &C, inputs: &[&[usize]]) -> u64 {
    let recurrence = cell.recurrence();
    let &[first, second, c] = inputs.first().copied().unwrap_or_default() else { return 0 };
    let hidden = recurrence.hidden_size;
    let factors = [recurrence.direction.count(), C::N_GATES, hidden, first, second, c.saturating_add(hidden)];
    factors.iter().fold(1, |n: u64, &extent| n.saturating_mul(extent as u64))
}

/// The attributes of all three operators.
pub(super) fn export<C: Cell>(cell: &C, form: Form) -> Form {
    let recurrence = cell.recurrence();
    let gates = &recurrence.gates;
    let spec = |gate: &Gate| FUNCTIONS.iter().find(|(_, function, ..)| *function == gate.function);
    let names = gates.iter().map(|gate| spec(gate).map_or("", |(name, ..)| *name));
    let alphas = gates.iter().filter(|gate| spec(gate).is_some_and(|(_, _, alpha, _)| *alpha != Takes::Nothing));
    let betas = gates.iter().filter(|gate| spec(gate).is_some_and(|(_, _, _, beta)| *beta != Takes::Nothing));
    let mut form = form
        .int("hidden_size", i64::try_from(recurrence.hidden_size).unwrap_or(i64::MAX))
        .string("direction", recurrence.direction.name())
        .strings("activations", names)
        .floats("activation_alpha", alphas.map(|gate| gate.alpha).collect())
        .floats("activation_beta", betas.map(|gate| gate.beta).collect());
    if let Some(clip) = recurrence.clip {
        form = form.float("clip", clip);
    }
    if recurrence.batch_first { form.since(14).int("layout", 1) } else { form }
}

/// What a constant at an input counts as.
pub(super) fn parameter(input: usize) -> Option<Parameter> {
    match input {
        0 | 4 => None,
        1 | 2 => Some(Parameter::Weight),
        _ => Some(Parameter::Other),
    }
}

/// Reads the common attributes.
pub(super) fn import(node: &NodeView<'_>, defaults: &[GateFunction]) -> Result<Recurrence, GraphError> {
    let direction = match node.string("direction")?.unwrap_or("forward") {
        "forward" => Direction::Forward,
        "reverse" => Direction::Reverse,
        "bidirectional" => Direction::Bidirectional,
        other => return Err(node.invalid(format!("direction \"{other}\""))),
    };
    let hidden_size = node.int("hidden_size")?.and_then(|size| usize::try_from(size).ok()).filter(|&size| size > 0);
    let hidden_size =
        hidden_size.ok_or_else(|| node.invalid("attribute \"hidden_size\" is missing or not positive"))?;
    let clip = node.float("clip")?;
    if clip.is_some_and(|clip| clip <= 0.0) {
        return Err(node.invalid("attribute \"clip\" is not positive"));
    }
    let n_gates = direction.count() * defaults.len();
    let find = |wanted: &dyn Fn(&str, GateFunction) -> bool| FUNCTIONS.iter().find(|(name, f, ..)| wanted(name, *f));
    let mut alphas = node.floats("activation_alpha")?.unwrap_or_default().iter().copied();
    let mut betas = node.floats("activation_beta")?.unwrap_or_default().iter().copied();
    let names = node.strings("activations")?;
    if names.as_ref().is_some_and(|names| names.len() != n_gates) {
        let n = names.map_or(0, |names| names.len());
        return Err(node.invalid(format!("{n} activation functions, expected {n_gates}")));
    }
    let mut gates = Vec::with_capacity(n_gates);
    for idx in 0..n_gates {
        let found = match &names {
            // As onnxruntime does, names are compared without regard to case.
            Some(names) => find(&|name, _| name.eq_ignore_ascii_case(names[idx])),
            None => find(&|_, function| function == defaults[idx % defaults.len()]),
        };
        let Some(&(_, function, alpha, beta)) = found else {
            let name = names.as_ref().map_or("", |names| names[idx]);
            return Err(node.invalid(format!("there is no activation function \"{name}\"")));
        };
        // The lists hold numbers only for the functions that take one.
        let number = |takes: Takes, given: &mut dyn Iterator<Item = f32>, what: &str| match takes {
            Takes::Nothing => Ok(0.0),
            Takes::Given => given.next().ok_or_else(|| node.invalid(format!("{function:?} without {what}"))),
            Takes::Default(default) => Ok(given.next().unwrap_or(default)),
        };
        let alpha = number(alpha, &mut alphas, "an activation_alpha")?;
        let beta = number(beta, &mut betas, "an activation_beta")?;
        gates.push(Gate { function, alpha, beta });
    }
    if gates.iter().any(|gate| !gate.alpha.is_finite() || !gate.beta.is_finite()) {
        return Err(node.invalid("a number of an activation function is not finite"));
    }
    Ok(Recurrence { hidden_size, direction, gates, clip, batch_first: node.flag("layout", false)? })
}

/// Adds `op`; outputs that nobody reads may have no name.
pub(super) fn emit<C: Cell>(node: &NodeView<'_>, importer: &mut Importer, op: Op) -> Result<(), GraphError> {
    let most = 5 + C::N_STATES + usize::from(C::HAS_PEEPHOLES);
    node.check_inputs(3, most)?;
    let inputs = (0..node.n_inputs()).map(|idx| importer.optional_value(node, idx)).collect::<Result<_, _>>()?;
    let names: Vec<String> = (0..=C::N_STATES)
        .map(|idx| match node.outputs().get(idx) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => importer.free_value_name(&format!("{}.unread", node.name())),
        })
        .collect();
    let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
    importer.emit_as(node, node.name().to_owned(), op, inputs, &outputs).map(|_| ())
}

/// Random attributes.
pub(super) fn draw_recurrence(generator: &mut Generator, defaults: &[GateFunction]) -> Recurrence {
    let direction = [Direction::Forward, Direction::Reverse, Direction::Bidirectional][generator.draws.below(3)];
    let gates = (0..direction.count() * defaults.len()).map(|idx| Gate::plain(defaults[idx % defaults.len()]));
    Recurrence {
        hidden_size: generator.draws.between(1, 4),
        direction,
        gates: gates.collect(),
        clip: generator.draws.chance(0.2).then_some(2.0),
        batch_first: generator.draws.chance(0.5),
    }
}

/// Adds `op` on value `x` of a random graph, with random weights and states.
pub(super) fn draw<C: Cell>(generator: &mut Generator, x: usize, cell: C, op: fn(C) -> Op) -> Option<Vec<usize>> {
    let &[first, second, c] = generator.shape(x).as_slice() else { return None };
    let recurrence = cell.recurrence();
    let (directions, hidden) = (recurrence.direction.count(), recurrence.hidden_size);
    let (batch, steps) = if recurrence.batch_first { (first, second) } else { (second, first) };
    let state = if recurrence.batch_first { vec![batch, directions, hidden] } else { vec![directions, batch, hidden] };
    let mut shapes = vec![
        vec![directions, C::N_GATES * hidden, c],
        vec![directions, C::N_GATES * hidden, hidden],
        vec![directions, C::N_BIASES * hidden],
        vec![batch],
    ];
    shapes.extend((0..C::N_STATES).map(|_| state.clone()));
    shapes.extend(C::HAS_PEEPHOLES.then(|| vec![directions, 3 * hidden]));
    shapes.truncate(generator.draws.between(2, shapes.len()));
    let mut sources = vec![Source::Known(x)];
    for (idx, shape) in shapes.into_iter().enumerate() {
        sources.push(Source::Constant(if idx == 3 {
            let lengths: Vec<i32> = (0..batch).map(|_| generator.draws.between(0, steps) as i32).collect();
            Tensor::new(shape, lengths.into())?
        } else {
            generator.numbers(shape)
        }));
    }
    generator.try_node(op(cell), sources)
}
