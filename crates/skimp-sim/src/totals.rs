//! Sums over layers.

use crate::{Energy, LayerResult};

/// Totals of a network over all layers and images.
#[derive(Clone, Debug, PartialEq)]
pub struct RunTotals {
    /// Images in the sums.
    pub images: u64,
    /// Cycles over all layers and images.
    pub cycles: u64,
    /// Dense multiply-accumulates over all layers and images.
    pub macs: u64,
    /// Mean time of one image, layers one after another, in milliseconds.
    pub latency_ms: f64,
    /// Mean energy of one image, in millijoules; what it covers is the model's matter.
    pub energy_mj: f64,
    /// Dense operations (1 MAC = 2) per second and watt, in 10^12.
    pub tops_per_w: f64,
    /// Dense operations per second, in 10^12.
    pub tops: f64,
    /// Mean power, in milliwatts.
    pub power_mw: f64,
}

impl RunTotals {
    /// Sums layers in the order given. Each layer must hold the same number of images.
    #[must_use]
    pub fn new<'l>(layers: impl IntoIterator<Item = (&'l LayerResult, &'l Energy)>, clock_mhz: f64) -> Self {
        let (mut images, mut cycles, mut macs, mut energy_nj) = (0, 0, 0, 0.0);
        for (result, energy) in layers {
            images = images.max(result.images);
            cycles += result.total_cycles();
            macs += result.macs;
            energy_nj += energy.total_nj();
        }
        let per_image = 1.0 / (images.max(1)) as f64;
        let time_us = cycles as f64 / clock_mhz;
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        RunTotals {
            images,
            cycles,
            macs,
            latency_ms: time_us * 1e-3 * per_image,
            energy_mj: energy_nj * 1e-6 * per_image,
            // 2 · MACs per nJ is 10^9 operations per joule, and 1 µs is 10^-6 s.
            tops_per_w: ratio(2.0 * macs as f64, energy_nj) * 1e-3,
            tops: ratio(2.0 * macs as f64, time_us) * 1e-6,
            power_mw: ratio(energy_nj, time_us),
        }
    }
}

/// Unweighted mean of the per-layer reductions `1 − new / base`, the average that the published bars of ComPEND
/// denote; `None` without layers or where a base is 0.
#[must_use]
pub fn mean_reduction(pairs: &[(f64, f64)]) -> Option<f64> {
    if pairs.is_empty() || pairs.iter().any(|&(base, _)| base <= 0.0) {
        return None;
    }
    Some(pairs.iter().map(|&(base, new)| 1.0 - new / base).sum::<f64>() / pairs.len() as f64)
}
