//! Neuron, of the domain `skimp`: one time step of a spiking neuron.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::Offsets;
use crate::shape::{TensorType, broadcast};
use crate::testing::{Case, Generator, Source, f};
use crate::{Data, GraphError, Tensor};

/// What a spike does to the potential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// Nothing.
    None,
    /// Takes the threshold off it.
    Subtract,
    /// Puts it to the reset value. With [`ResetTime::NextStep`] the next step starts there, and its input counts.
    Zero,
    /// As [`Zero`](Self::Zero), but with [`ResetTime::NextStep`] the next step's input is lost as well.
    Clear,
}

impl Reset {
    /// Every reset.
    pub const ALL: [Self; 4] = [Self::None, Self::Subtract, Self::Zero, Self::Clear];

    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Subtract => "subtract",
            Self::Zero => "zero",
            Self::Clear => "clear",
        }
    }
}

/// When a spike resets the potential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetTime {
    /// In the step of the spike, behind it.
    SameStep,
    /// In the next step, before its spike, off a potential that has leaked already.
    NextStep,
    /// In the step of the spike. A potential that is still above the threshold then has the threshold taken off it before
    /// the next step looks for a spike, and gets it back if there is none. Of [`Reset::Subtract`] only.
    Ahead,
}

impl ResetTime {
    /// Every time.
    pub const ALL: [Self; 3] = [Self::SameStep, Self::NextStep, Self::Ahead];

    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::SameStep => "same-step",
            Self::NextStep => "next-step",
            Self::Ahead => "ahead",
        }
    }
}

/// When a neuron whose spikes tell a value by their time takes inputs, and when it fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstSpike {
    /// Time steps of input, before the first one in which it may fire.
    pub start: usize,
    /// Time steps in which it may fire.
    pub window: usize,
}

/// One time step of a spiking neuron, for each element of the first input.
///
/// Inputs: x, threshold and leak (optional, in the place of the attributes, broadcast to x), then the state before
/// the step where it [is given](Self::takes_state): the potential V, and the current C where there is one ([`n_states`](Self::n_states)).
/// Outputs: the spikes (0 or 1), then the state behind the step where it [is returned](Self::returns_state).
///
/// `C = α · C + x` (x itself for α = 0), `V = rest + leak · (V − rest) + gain · C`, a spike where `V ≥ threshold`
/// (`V > threshold` where [`is_strict`](Self::is_strict)), then the [`reset`](Self::reset), now or [later](ResetTime). Without a state the
/// step is the first one: V is [`initial`](Self::initial) and C is 0.
///
/// With [`first_spike`](Self::first_spike) the neuron sums its inputs for `start` steps, without a leak, and fires at most once: in step
/// `start + k` of the `window` steps that follow, if `V ≥ threshold · (window − k) / window` for the first time. That spike
/// weighs `(window − k) / window`, which is its output. C is the number of steps so far, and a potential that has fired is −∞.
///
/// # Rounding
/// In the element type, each operation once, in the order written.
///
/// # Source
/// The discrete forms of snntorch's `Leaky` and `Synaptic`, spikingjelly's `IFNode` and `LIFNode` and norse's `lif`, whose traces
/// are tests ([docs/spiking.md](https://github.com/skimp/skimp/blob/main/docs/spiking.md)). First spikes: B. Rueckauer, S.-C. Liu, "Conversion of analog to spiking neural
/// networks using sparse temporal coding", ISCAS 2018, with one phase for each layer as in S. Park et al., "T2FSNN", DAC 2020.
/// Differs: the threshold falls linearly, so that times tell values on a linear scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neuron {
    /// The potential that makes a spike.
    pub threshold: f32,
    /// What is left of the potential after a step, 0 to 1.
    pub leak: f32,
    /// Factor of the current.
    pub gain: f32,
    /// The potential that it leaks to.
    pub rest: f32,
    /// What is left of the current after a step, 0 to 1; 0 for no current.
    pub current_leak: f32,
    /// What a spike does to the potential.
    pub reset: Reset,
    /// When it does that.
    pub reset_time: ResetTime,
    /// The potential after a reset other than by subtraction.
    pub reset_value: f32,
    /// Whether a potential must be above the threshold, not only on it.
    pub is_strict: bool,
    /// The potential before the first step.
    pub initial: f32,
    /// For neurons that tell values by the time of a spike.
    pub first_spike: Option<FirstSpike>,
    /// Whether the state before the step is given.
    pub takes_state: bool,
    /// Whether the state behind the step is returned.
    pub returns_state: bool,
}

impl Default for Neuron {
    /// Integrate and fire: threshold 1, no leak, reset by subtraction in the same step, fires on the threshold.
    fn default() -> Self {
        Self {
            threshold: 1.0,
            leak: 1.0,
            gain: 1.0,
            rest: 0.0,
            current_leak: 0.0,
            reset: Reset::Subtract,
            reset_time: ResetTime::SameStep,
            reset_value: 0.0,
            is_strict: false,
            initial: 0.0,
            first_spike: None,
            takes_state: false,
            returns_state: false,
        }
    }
}

/// The input that holds thresholds.
pub(crate) const THRESHOLD: usize = 1;
/// The input that holds leaks.
pub(crate) const LEAK: usize = 2;
/// The first input of the state.
pub(crate) const STATE: usize = 3;

impl Neuron {
    /// Tensors of the shape of x that a step hands to the next one: the potential, then the current or the count of steps.
    pub fn n_states(&self) -> usize {
        1 + usize::from(self.current_leak != 0.0 || self.first_spike.is_some())
    }

    /// The spikes, and the state where it is returned.
    pub fn n_outputs(&self) -> usize {
        1 + if self.returns_state { self.n_states() } else { 0 }
    }

    /// What the state is before the first step.
    pub fn initial_states(&self) -> impl Iterator<Item = f32> {
        [self.initial, 0.0].into_iter().take(self.n_states())
    }

    /// What is wrong with the attributes.
    fn fault(&self) -> Option<String> {
        let Self { threshold, leak, gain, rest, current_leak, reset_value, initial, .. } = *self;
        let numbers = [
            ("threshold", threshold),
            ("leak", leak),
            ("gain", gain),
            ("rest", rest),
            ("current_leak", current_leak),
            ("reset_value", reset_value),
            ("initial", initial),
        ];
        let not_finite = numbers.iter().find(|(_, value)| !value.is_finite());
        if let Some((key, value)) = not_finite {
            return Some(format!("attribute \"{key}\" is {value}, expected a finite number"));
        }
        let outside = numbers.iter().find(|(key, value)| key.ends_with("leak") && !(0.0..=1.0).contains(value));
        if let Some((key, value)) = outside {
            return Some(format!("attribute \"{key}\" is {value}, expected 0 to 1"));
        }
        if self.reset_time == ResetTime::Ahead && self.reset != Reset::Subtract {
            return Some(
                "attribute \"reset_time\" is \"ahead\", which goes with \"reset\" = \"subtract\" only".to_owned(),
            );
        }
        let timed = self.first_spike?;
        if timed.window == 0 {
            return Some("attribute \"window\" is 0, expected at least one time step".to_owned());
        }
        let Self { takes_state, returns_state, .. } = *self;
        let first_spike = Some(timed);
        let plain = Self { threshold, gain, initial, takes_state, returns_state, first_spike, ..Self::default() };
        (*self != plain).then(|| "a neuron with attribute \"window\" has no leak, reset, rest or current".to_owned())
    }

    /// One step of one element: the spike, and the states behind it.
    fn step<T: Float>(&self, x: T, [threshold, leak]: [T; 2], [v, c]: [T; 2]) -> (T, [T; 2]) {
        if let Some(timed) = self.first_spike {
            return self.timed_step(timed, x, threshold, [v, c]);
        }
        let of = T::bound;
        let fires = |v: T| if self.is_strict { v > threshold } else { v >= threshold };
        let number = |is: bool| if is { T::ONE } else { T::ZERO };
        let current = if self.current_leak == 0.0 { x } else { of(self.current_leak).times(c).plus(x) };
        let has_fired = self.reset_time != ResetTime::SameStep && fires(v);
        let start = if has_fired && self.reset == Reset::Zero { of(self.reset_value) } else { v };
        let rest = of(self.rest);
        let left = if self.rest == 0.0 { leak.times(start) } else { rest.plus(leak.times(start.minus(rest))) };
        let mut u = left.plus(of(self.gain).times(current));
        match self.reset {
            Reset::Subtract if has_fired => u = u.minus(threshold),
            Reset::Clear if has_fired => u = of(self.reset_value),
            _ => {}
        }
        let spike = fires(u);
        match (self.reset_time, self.reset) {
            (_, Reset::None) | (ResetTime::NextStep, _) => {}
            (ResetTime::SameStep, Reset::Subtract) if spike => u = u.minus(threshold),
            (ResetTime::SameStep, Reset::Zero | Reset::Clear) if spike => u = of(self.reset_value),
            (ResetTime::Ahead, _) if spike && !has_fired => u = u.minus(threshold),
            (ResetTime::Ahead, _) if has_fired && !spike => u = u.plus(threshold),
            _ => {}
        }
        (number(spike), [u, current])
    }

    /// As [`step`](Self::step), of a neuron that fires once.
    fn timed_step<T: Float>(&self, timed: FirstSpike, x: T, threshold: T, [v, n]: [T; 2]) -> (T, [T; 2]) {
        let next = n.plus(T::ONE);
        let (start, window) = (T::bound(timed.start as f32), T::bound(timed.window as f32));
        if n < start {
            return (T::ZERO, [v.plus(T::bound(self.gain).times(x)), next]);
        }
        let late = n.minus(start);
        if late < window {
            let weight = window.minus(late).over(window);
            if v >= threshold.times(weight) {
                return (weight, [T::LOWEST, next]);
            }
        }
        (T::ZERO, [v, next])
    }

    fn all<T: Float>(&self, call: &Call<'_>, x: &[T]) -> Result<Vec<Vec<T>>, GraphError> {
        let shape = call.input(0).shape();
        let parameter = |idx: usize, value: f32| -> Box<dyn Iterator<Item = T> + '_> {
            match call.optional(idx) {
                None => Box::new(std::iter::repeat(T::bound(value))),
                Some(tensor) => {
                    let elements: &[T] = call.elements(idx);
                    Box::new(Offsets::broadcast(tensor.shape(), shape).map(|offset| elements[offset]))
                }
            }
        };
        let state = |idx: usize| {
            let is_given = self.takes_state && idx < self.n_states();
            is_given.then(|| call.elements::<T>(STATE + idx))
        };
        let (v, c) = (state(0), state(1));
        let n_states = self.n_outputs() - 1;
        let mut outputs = vec![call.allocate(x.len())?];
        for _ in 0..n_states {
            outputs.push(call.allocate(x.len())?);
        }
        let mut step = |idx: usize, x: T, parameters: [T; 2]| {
            let states = [v.map_or(T::bound(self.initial), |v| v[idx]), c.map_or(T::ZERO, |c| c[idx])];
            let (spike, states) = self.step(x, parameters, states);
            outputs[0].push(spike);
            for (output, state) in outputs[1..].iter_mut().zip(states) {
                output.push(state);
            }
        };
        if call.optional(THRESHOLD).is_none() && call.optional(LEAK).is_none() {
            let parameters = [T::bound(self.threshold), T::bound(self.leak)];
            x.iter().enumerate().for_each(|(idx, &x)| step(idx, x, parameters));
            return Ok(outputs);
        }
        let parameters = parameter(THRESHOLD, self.threshold).zip(parameter(LEAK, self.leak));
        x.iter().zip(parameters).enumerate().for_each(|(idx, (&x, (threshold, leak)))| step(idx, x, [threshold, leak]));
        Ok(outputs)
    }
}

impl Operator for Neuron {
    facts!(ElementWise, 1..=STATE + 2, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        if let Some(fault) = self.fault() {
            return Err(signature.invalid(fault));
        }
        let x = signature.float()?;
        for (idx, what) in [(THRESHOLD, "thresholds"), (LEAK, "leaks")] {
            let Some(parameter) = signature.optional(idx) else { continue };
            signature.input_like(idx, x)?;
            if broadcast(&x.shape, &parameter.shape).as_deref() != Some(&x.shape) {
                let (found, expected) = (&parameter.shape, &x.shape);
                return Err(signature.invalid(format!("{what} {found:?} do not broadcast to the input's {expected:?}")));
            }
        }
        let n_states = if self.takes_state { self.n_states() } else { 0 };
        for idx in STATE..STATE + 2 {
            let is_state = idx < STATE + n_states;
            match signature.optional(idx) {
                None if is_state => return Err(signature.invalid(format!("input {idx}, its state, is missing"))),
                Some(_) if !is_state => {
                    return Err(signature.invalid(format!("input {idx} is no state of this neuron")));
                }
                Some(state) if state != x => {
                    return Err(signature.invalid(format!("input {idx}, its state, is {state}, expected {x}")));
                }
                _ => {}
            }
        }
        Ok(vec![x.clone(); self.n_outputs()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        for_float!(
            call.input(0).data(),
            x => Ok(self.all(call, x)?.into_iter().map(Data::from).collect()),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.broadcast_over_images()
    }

    /// Its result is of one time step, and may differ in the next one.
    fn folds(&self) -> bool {
        false
    }

    fn rounding(&self) -> Rounding {
        let is_plain = [self.leak, self.gain, self.rest, self.current_leak].iter().all(|x| [0.0, 0.5, 1.0].contains(x));
        if is_plain && self.first_spike.is_none() { Rounding::Jumps } else { Rounding::RoundsAndJumps }
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = form.domain(Self::DOMAIN);
        let form = match self.first_spike {
            None => form
                .float("threshold", self.threshold)
                .float("leak", self.leak)
                .float("gain", self.gain)
                .float("rest", self.rest)
                .float("current_leak", self.current_leak)
                .string("reset", self.reset.name())
                .string("reset_time", self.reset_time.name())
                .float("reset_value", self.reset_value)
                .int("strict", i64::from(self.is_strict)),
            Some(FirstSpike { start, window }) => {
                let form = form.float("threshold", self.threshold).float("gain", self.gain);
                form.int("start", signed(start)).int("window", signed(window))
            }
        };
        Ok(form.float("initial", self.initial))
    }

    fn symbolic_shapes(&self, inputs: &[&Shape], n_outputs: usize, _symbols: &mut Symbols) -> Vec<Shape> {
        vec![inputs.first().and_then(|&shape| shape.clone()); n_outputs]
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        (THRESHOLD..STATE).contains(&input).then_some(Parameter::Other)
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The one of `all` that an attribute names.
fn named<T: Copy>(
    node: &NodeView<'_>,
    key: &str,
    default: T,
    all: &[T],
    name: fn(T) -> &'static str,
) -> Result<T, GraphError> {
    let Some(text) = node.string(key)? else { return Ok(default) };
    all.iter().copied().find(|&one| name(one) == text).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|&one| name(one)).collect();
        node.invalid(format!("attribute \"{key}\" is \"{text}\", expected one of: {}", known.join(", ")))
    })
}

impl Definition for Neuron {
    const NAME: &'static str = "Neuron";
    const DOMAIN: &'static str = "skimp";
    const ATTRIBUTES: &'static [&'static str] = &[
        "current_leak",
        "gain",
        "initial",
        "leak",
        "reset",
        "reset_time",
        "reset_value",
        "rest",
        "start",
        "strict",
        "threshold",
        "window",
    ];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, STATE + 2)?;
        let count = |key: &str| -> Result<Option<usize>, GraphError> {
            let Some(value) = node.int(key)? else { return Ok(None) };
            let count = usize::try_from(value).ok().filter(|&count| count <= MOST_STEPS);
            let wrong = || node.invalid(format!("attribute \"{key}\" is {value}, expected 0 to {MOST_STEPS}"));
            count.ok_or_else(wrong).map(Some)
        };
        let first_spike = match (count("start")?, count("window")?) {
            (None, None) => None,
            (Some(start), Some(window)) => Some(FirstSpike { start, window }),
            _ => return Err(node.invalid("attributes \"start\" and \"window\" go together")),
        };
        let default = Self::default();
        let neuron = Self {
            threshold: node.float_or("threshold", default.threshold)?,
            leak: node.float_or("leak", default.leak)?,
            gain: node.float_or("gain", default.gain)?,
            rest: node.float_or("rest", default.rest)?,
            current_leak: node.float_or("current_leak", default.current_leak)?,
            reset: named(node, "reset", default.reset, &Reset::ALL, Reset::name)?,
            reset_time: named(node, "reset_time", default.reset_time, &ResetTime::ALL, ResetTime::name)?,
            reset_value: node.float_or("reset_value", default.reset_value)?,
            is_strict: node.flag("strict", default.is_strict)?,
            initial: node.float_or("initial", default.initial)?,
            first_spike,
            takes_state: node.input(STATE).is_some(),
            returns_state: node.outputs().iter().skip(1).any(|output| !output.is_empty()),
        };
        if let Some(fault) = neuron.fault() {
            return Err(node.invalid(fault));
        }
        let inputs = (0..node.n_inputs())
            .map(|idx| node.input(idx).map(|_| importer.value(node, idx)).transpose())
            .collect::<Result<Vec<_>, _>>()?;
        let outputs = node.output_names(0, neuron.n_outputs());
        importer.emit_all(node, Op::Neuron(neuron), inputs, outputs).map(|_| ())
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let times = [ResetTime::SameStep, ResetTime::NextStep];
        let neuron = Self {
            threshold: [0.5, 1.0, 2.0][generator.draws.below(3)],
            leak: [0.5, 1.0][generator.draws.below(2)],
            gain: [0.5, 1.0][generator.draws.below(2)],
            reset: Reset::ALL[generator.draws.below(4)],
            reset_time: times[generator.draws.below(2)],
            is_strict: generator.draws.chance(0.5),
            initial: [0.0, 0.5][generator.draws.below(2)],
            ..Self::default()
        };
        if generator.draws.chance(0.6) {
            return generator.try_node(Op::Neuron(neuron), vec![Source::Known(x)]);
        }
        let shape = generator.broadcastable(&generator.shape(x), false);
        let n: usize = shape.iter().product();
        let thresholds = (0..n).map(|_| [0.5, 1.0, 3.0][generator.draws.below(3)]).collect();
        let thresholds = Tensor::from_f32(shape, thresholds);
        generator.try_node(Op::Neuron(neuron), vec![Source::Known(x), Source::Constant(thresholds)])
    }

    fn cases() -> Vec<Case> {
        let case = |what, neuron: Self, x: &[f32], states: &[&[f32]], expected: &[&[f32]]| {
            let row = |data: &[f32]| f(&[data.len()], data);
            let mut inputs = vec![row(x)];
            if neuron.takes_state {
                inputs.extend([f(&[], &[neuron.threshold]), f(&[], &[neuron.leak])]);
                inputs.extend(states.iter().map(|state| row(state)));
            }
            let expected = expected.iter().map(|data| row(data)).collect();
            Case { what, op: Op::Neuron(neuron), inputs, expected }
        };
        let ten = Self { threshold: 10.0, takes_state: true, returns_state: true, ..Self::default() };
        let current = Self {
            current_leak: 0.5,
            leak: 0.5,
            takes_state: true,
            returns_state: true,
            is_strict: true,
            ..Self::default()
        };
        let timed = Self {
            threshold: 4.0,
            first_spike: Some(FirstSpike { start: 2, window: 4 }),
            takes_state: true,
            returns_state: true,
            ..Self::default()
        };
        vec![
            case("neuron, first step", Self::default(), &[0.5, 1.0, 3.0], &[], &[&[0.0, 1.0, 1.0]]),
            case(
                "neuron above its threshold",
                Self { is_strict: true, ..Self::default() },
                &[1.0, 1.5],
                &[],
                &[&[0.0, 1.0]],
            ),
            case("neuron by subtraction", ten, &[3.0, 7.0], &[&[6.0, 6.0]], &[&[0.0, 1.0], &[9.0, 3.0]]),
            case(
                "neuron to zero",
                Self { reset: Reset::Zero, ..ten },
                &[3.0, 7.0],
                &[&[6.0, 6.0]],
                &[&[0.0, 1.0], &[9.0, 0.0]],
            ),
            case(
                "neuron to zero, a step later",
                Self { reset: Reset::Zero, reset_time: ResetTime::NextStep, ..ten },
                &[3.0, 7.0],
                &[&[12.0, 6.0]],
                &[&[0.0, 1.0], &[3.0, 13.0]],
            ),
            case(
                "neuron that loses a step's input",
                Self { reset: Reset::Clear, reset_time: ResetTime::NextStep, ..ten },
                &[3.0, 7.0],
                &[&[12.0, 6.0]],
                &[&[0.0, 1.0], &[0.0, 13.0]],
            ),
            case(
                "neuron that gets its threshold back",
                Self { reset_time: ResetTime::Ahead, ..ten },
                &[-8.0, 9.0],
                &[&[12.0, 12.0]],
                &[&[0.0, 1.0], &[4.0, 11.0]],
            ),
            // C = 0.5 · 1 + 0.5 = 1, V = 0.5 · 0.5 + 1 = 1.25.
            case("neuron with a current", current, &[0.5], &[&[0.5], &[1.0]], &[&[1.0], &[0.25], &[1.0]]),
            // Step 3 is the second of four in which it may fire: at 4 · 3/4.
            case(
                "neuron that fires once",
                timed,
                &[1.0, 1.0, 1.0],
                &[&[3.0, 2.0, 1.0], &[3.0, 3.0, 1.0]],
                &[&[0.75, 0.0, 0.0], &[f32::NEG_INFINITY, 2.0, 2.0], &[4.0, 4.0, 2.0]],
            ),
        ]
    }
}

/// Most time steps of a network.
pub(crate) const MOST_STEPS: usize = 1 << 20;
