//! What quantizers have in common, and the settings that choose it.

use super::ActivationStep;
use super::surrogate::{Surrogate, surrogate_names};
use super::weight::{SignScale, WeightStep};
use crate::policy::Switch;
use crate::reference::{SignEstimator, SignTraining, SignValues};
use crate::spec::{Spec, SpecError};
use skimp_graph::ops::{Neuron, Reset, ResetTime};
use skimp_graph::spiking::Temporal;

/// Form of the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weights {
    /// f32.
    Real,
    /// Two values for each output channel.
    Sign {
        /// Their magnitude.
        scale: SignScale,
        /// Whether the gradient is [`SignGradient::Scaled`](super::SignGradient::Scaled).
        is_scaled: bool,
    },
    /// Codes of so many bits.
    Codes {
        /// Bits.
        bits: u32,
        /// Where the steps come from.
        step: WeightStep,
    },
}

/// Form of the activations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activations {
    /// f32 behind a rectifier.
    Rectifier,
    /// Two values.
    Sign(SignTraining),
    /// Codes of so many bits.
    Codes {
        /// Bits.
        bits: u32,
        /// Where the step comes from.
        step: ActivationStep,
    },
}

/// What lies outside of an activation that a convolution pads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// −1.
    Minus,
    /// 0: a third value beside −1 and +1; silence beside 0 and 1.
    Zero,
    /// +1.
    Plus,
}

impl Padding {
    /// As a number.
    pub fn value(self) -> f32 {
        match self {
            Self::Minus => -1.0,
            Self::Zero => 0.0,
            Self::Plus => 1.0,
        }
    }
}

/// Weights of the first and the last layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// As those of all others.
    Same,
    /// f32.
    Real,
    /// Codes of so many bits.
    Bits(u32),
}

/// How a spiking network runs over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverTime {
    /// Time steps. With one, a neuron is the comparison of its current with 0, and nothing else here counts.
    pub steps: usize,
    /// The neuron behind each batch normalization.
    pub neuron: Neuron,
    /// Whether no gradient passes through resets.
    pub detaches: bool,
}

impl Default for OverTime {
    fn default() -> Self {
        Self { steps: 1, neuron: Neuron::default(), detaches: false }
    }
}

/// How the weights that learn are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latents {
    /// Factor of the first weights.
    pub scale: f32,
    /// Their limit.
    pub clip: f32,
    /// Whether updates are multiplied by `sqrt((fan_in + fan_out) / 1.5)`.
    pub glorot: bool,
    /// Whether their mean over input channels is taken away after each update.
    pub center: bool,
}

impl Default for Latents {
    fn default() -> Self {
        Self { scale: 1.0, clip: 1.0, glorot: false, center: false }
    }
}

const SURROGATE: Switch = Switch {
    name: "surrogate",
    default: "rectangle",
    summary: "gradient of the activation: a name of the table of surrogate gradients",
};
const ALPHA: Switch =
    Switch { name: "alpha", default: "own", summary: "number of the surrogate gradient; `own` is its default" };
const SLOPE: Switch = Switch { name: "slope", default: "1", summary: "factor of the surrogate gradient, above 0" };
const PADDING: Switch = Switch {
    name: "padding",
    default: "0",
    summary: "what convolutions of activations pad with: -1 (only beside ±1), 0 or 1",
};
const ENDS: Switch = Switch {
    name: "ends",
    default: "same",
    summary: "weights of the first and the last layer: same as the others, or real",
};
const GRADIENT: Switch = Switch {
    name: "gradient",
    default: "straight",
    summary: "of weights: straight through, or scaled as in the code of XNOR-Net",
};
const SCALE: Switch =
    Switch { name: "latent", default: "1", summary: "factor of the first weights that learn, above 0" };
const CLIP: Switch = Switch { name: "clip", default: "1", summary: "limit of the weights that learn, above 0" };
const GLOROT: Switch = Switch {
    name: "glorot",
    default: "false",
    summary: "true: updates of weights are multiplied by sqrt((fan_in + fan_out) / 1.5), as in BinaryNet",
};
const CENTER: Switch = Switch {
    name: "center",
    default: "false",
    summary: "true: the mean over input channels of the weights that learn is taken away after each update, as in XNOR-Net",
};

const STEPS: Switch = Switch {
    name: "steps",
    default: "1",
    summary: "time steps; with one, neurons compare with 0 and the five settings below must stay as they are",
};
const THRESHOLD: Switch = Switch { name: "threshold", default: "1", summary: "potential that makes a spike, above 0" };
const LEAK: Switch =
    Switch { name: "leak", default: "1", summary: "what is left of a potential after a time step, 0 to 1" };
const RESET: Switch = Switch {
    name: "reset",
    default: "subtract",
    summary: "what a spike does to the potential: none, subtract (takes the threshold off) or zero",
};
const DELAY: Switch =
    Switch { name: "delay", default: "0", summary: "time steps between a spike and its reset: 0 or 1" };
const DETACH: Switch =
    Switch { name: "detach", default: "false", summary: "true: no gradient passes through resets, as in snnTorch" };

/// Settings of networks that run over time.
pub(super) fn time_switches() -> Vec<Switch> {
    vec![STEPS, THRESHOLD, LEAK, RESET, DELAY, DETACH]
}

/// Reads [`time_switches`].
pub(super) fn time(spec: &mut Spec) -> Result<OverTime, SpecError> {
    let steps = spec.read("steps", 1, "a number of time steps, from 1", |text| {
        text.parse().ok().filter(|&steps: &usize| Temporal::new(steps).is_ok())
    })?;
    let threshold = spec.read("threshold", 1.0, "a number above 0", positive)? as f32;
    let leak =
        spec.read("leak", 1.0_f32, "0 to 1", |text| text.parse().ok().filter(|leak: &f32| (0.0..=1.0).contains(leak)))?;
    let known = [Reset::None, Reset::Subtract, Reset::Zero];
    let reset = spec.read("reset", Reset::Subtract, "none, subtract or zero", |text| {
        known.into_iter().find(|reset| reset.name() == text)
    })?;
    let reset_time = spec.read("delay", ResetTime::SameStep, "0 or 1", |text| match text {
        "0" => Some(ResetTime::SameStep),
        "1" => Some(ResetTime::NextStep),
        _ => None,
    })?;
    let detaches = spec.flag("detach", false)?;
    let time = OverTime { steps, neuron: Neuron { threshold, leak, reset, reset_time, ..Neuron::default() }, detaches };
    if steps == 1 && time != OverTime::default() {
        let expected =
            "2 or more beside threshold, leak, reset, delay and detach: neurons of one step have none of these";
        return Err(spec.invalid("steps", "1", expected));
    }
    Ok(time)
}

/// Settings of activations of two values.
pub(super) fn sign_switches(slope: &'static str) -> Vec<Switch> {
    vec![SURROGATE, ALPHA, Switch { default: slope, ..SLOPE }]
}

/// Settings of the padding.
pub(super) fn padding_switch(default: &'static str) -> Switch {
    Switch { default, ..PADDING }
}

/// Settings of binary weights.
pub(super) fn weight_switches(ends: &'static str, gradient: &'static str, center: &'static str) -> Vec<Switch> {
    vec![
        Switch { default: ends, ..ENDS },
        Switch { default: gradient, ..GRADIENT },
        SCALE,
        CLIP,
        GLOROT,
        Switch { default: center, ..CENTER },
    ]
}

/// Reads [`sign_switches`].
pub(super) fn sign(spec: &mut Spec, values: SignValues, slope: f64) -> Result<SignTraining, SpecError> {
    let expected = format!("one of: {}", surrogate_names());
    let rectangle = Surrogate::named("rectangle");
    let kind = spec.read("surrogate", rectangle, &expected, |text| Surrogate::named(text).map(Some))?;
    let alpha = spec.read("alpha", None, "a number from 0, or own", |text| match text {
        "own" => Some(None),
        _ => text.parse().ok().filter(|alpha: &f64| (0.0..=1e6).contains(alpha)).map(Some),
    })?;
    let factor = spec.read("slope", slope, "a number above 0", positive)?;
    let estimator = match kind {
        Some(kind) => {
            let surrogate = Surrogate { alpha: alpha.unwrap_or(kind.alpha), factor, ..kind };
            let is_plain = surrogate.kind.name == "rectangle" && surrogate.alpha.to_bits() == 1.0_f64.to_bits();
            if is_plain { SignEstimator::Clipped { slope: factor } } else { SignEstimator::Surrogate(surrogate) }
        }
        None => SignEstimator::Clipped { slope: factor },
    };
    Ok(SignTraining { values, estimator })
}

/// Reads [`padding_switch`] for activations of −1 and +1, or of 0 and 1.
pub(super) fn padding(spec: &mut Spec, values: SignValues, default: Padding) -> Result<Padding, SpecError> {
    let is_spiking = values == SignValues::ZeroOne;
    let expected = if is_spiking { "0 or 1" } else { "-1, 0 or 1" };
    spec.read("padding", default, expected, |text| match text {
        "-1" if !is_spiking => Some(Padding::Minus),
        "0" => Some(Padding::Zero),
        "1" | "+1" => Some(Padding::Plus),
        _ => None,
    })
}

/// What [`weight_switches`] choose.
pub(super) struct WeightSettings {
    pub(super) ends: Ends,
    pub(super) is_scaled: bool,
    pub(super) latents: Latents,
}

/// Reads [`weight_switches`].
pub(super) fn weights(spec: &mut Spec, ends: Ends, is_scaled: bool, center: bool) -> Result<WeightSettings, SpecError> {
    let ends = spec.read("ends", ends, "same or real", |text| match text {
        "same" => Some(Ends::Same),
        "real" => Some(Ends::Real),
        _ => None,
    })?;
    let is_scaled = spec.read("gradient", is_scaled, "straight or scaled", |text| match text {
        "straight" => Some(false),
        "scaled" => Some(true),
        _ => None,
    })?;
    let scale = spec.read("latent", 1.0, "a number above 0", positive)? as f32;
    let clip = spec.read("clip", 1.0, "a number above 0", positive)? as f32;
    let glorot = spec.flag("glorot", false)?;
    let center = spec.flag("center", center)?;
    Ok(WeightSettings { ends, is_scaled, latents: Latents { scale, clip, glorot, center } })
}

pub(super) fn positive(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| *number > 0.0 && *number <= 1e6)
}
