//! What happens to parameters around an update of a quantized network.

use crate::optimizer::{ParamHook, UpdateOf};
use crate::{Model, Param};

/// What is done to one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    /// The update is multiplied by this.
    pub(crate) rate: Option<f32>,
    /// Greatest share of itself by which an update changes a value.
    pub(crate) share: Option<f32>,
    /// Values stay within.
    pub(crate) limits: [f32; 2],
    /// Columns whose means are taken away after each update.
    pub(crate) center: Option<Centered>,
}

/// A weight whose sums over input channels stay 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Centered {
    /// Output channels.
    pub(crate) columns: usize,
    /// Input channels, the axis over which the mean is taken.
    pub(crate) inputs: usize,
}

impl Rule {
    pub(crate) const NONE: Self =
        Self { rate: None, share: None, limits: [f32::NEG_INFINITY, f32::INFINITY], center: None };
}

/// Scaled rates and limits of latent weights.
///
/// # Source
/// Courbariaux, Hubara, Soudry, El-Yaniv, Bengio, "Binarized Neural Networks", arXiv:1602.02830, 2016, algorithm 1, and the
/// code released with it.
#[derive(Clone, Debug)]
pub(crate) struct Latent {
    rules: Vec<Rule>,
    /// Parameters before their update, where its size is changed.
    before: Vec<Vec<f32>>,
}

impl Latent {
    /// Gives each parameter the rule that `rule` finds for it.
    pub(crate) fn new(model: &Model, rule: impl Fn(&Param) -> Rule) -> Self {
        let rules: Vec<Rule> = model.params().iter().map(rule).collect();
        Self { before: vec![Vec::new(); rules.len()], rules }
    }

    /// Whether it does anything.
    pub(crate) fn acts(&self) -> bool {
        self.rules.iter().any(|rule| *rule != Rule::NONE)
    }
}

impl ParamHook for Latent {
    fn before_update(&mut self, of: UpdateOf, param: &mut Param) {
        if self.rules[of.param].rate.is_some() || self.rules[of.param].share.is_some() {
            let before = &mut self.before[of.param];
            before.clear();
            before.extend_from_slice(param.values());
        }
    }

    fn after_update(&mut self, of: UpdateOf, param: &mut Param, _slots: &mut [Vec<f32>]) {
        let rule = self.rules[of.param];
        if rule == Rule::NONE {
            return;
        }
        let values = param.values_mut();
        if let Some(rate) = rule.rate {
            for (value, before) in values.iter_mut().zip(&self.before[of.param]) {
                *value = before + rate * (*value - before);
            }
        }
        if let Some(share) = rule.share {
            for (value, &before) in values.iter_mut().zip(&self.before[of.param]).filter(|(_, before)| **before > 0.0) {
                *value = value.clamp(before * (1.0 - share), before * (1.0 + share));
            }
        }
        if let Some(Centered { columns, inputs }) = rule.center {
            center(values, columns, inputs);
        }
        let [low, high] = rule.limits;
        values.iter_mut().for_each(|value| *value = value.clamp(low, high));
    }
}

/// Takes the mean over the input channels away, for each tap and output channel of `[tap][input][output]`.
fn center(values: &mut [f32], columns: usize, inputs: usize) {
    for tap in values.chunks_mut(columns * inputs) {
        let mut means = vec![0.0_f64; columns];
        for row in tap.chunks(columns) {
            means.iter_mut().zip(row).for_each(|(mean, &value)| *mean += f64::from(value));
        }
        let means: Vec<f32> = means.into_iter().map(|sum| (sum / inputs as f64) as f32).collect();
        for row in tap.chunks_mut(columns) {
            row.iter_mut().zip(&means).for_each(|(value, mean)| *value -= mean);
        }
    }
}
