//! Batch normalization estimated again on a chip: thresholds and scales from what its tiles sum to.

use std::collections::HashMap;

use skimp_sim::{LayerEffect, LayerTrace, LayerWorkload, Nonlinearity, SimError};

use super::Fabric;
use super::chip::ChipEffect;

/// Whose sums the thresholds of neurons belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::models) enum ThresholdsFrom {
    /// Those of the exact network: the network's own.
    Network,
    /// Those of the chip, measured on tuning images.
    Chip,
}

/// Images on which a chip is measured.
pub(super) const IMAGES: usize = 256;

/// What an output sums to on a chip beside the exact sums. A batch normalization subtracts the mean and divides by the deviation:
/// where these are the chip's, in place of the exact ones, `(sum - chip) · ratio + exact` is what the exact sum was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Correction {
    exact: f64,
    chip: f64,
    /// Deviation of the exact sums over that of the chip's; 1 where either does not vary.
    ratio: f64,
}

impl Correction {
    /// What is added to a sum of which the sign is sensed: the threshold, moved.
    pub(super) fn shift(self) -> i64 {
        (self.exact / self.ratio - self.chip).round() as i64
    }

    /// A sum that goes on as a number.
    pub(super) fn value(self, sum: i64) -> i64 {
        ((sum as f64 - self.chip) * self.ratio + self.exact).round() as i64
    }
}

/// The corrections of a chip, by layer and output.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::models) struct Corrections {
    layers: HashMap<String, Vec<Correction>>,
}

impl Corrections {
    /// Those of the chip of `fabric`, from operands of each layer in the exact network.
    pub(super) fn measured<'t>(
        fabric: &Fabric,
        layers: &[LayerWorkload],
        traces: impl Fn(usize) -> &'t [LayerTrace],
    ) -> Result<Self, SimError> {
        let effect = ChipEffect::new(&Fabric { corrections: None, ..fabric.clone() });
        let mut found = Self::default();
        for (idx, layer) in layers.iter().enumerate() {
            // As numbers: nothing is clipped, and no draw is left out because it decides nothing.
            let numbers = LayerWorkload { nonlinearity: Nonlinearity::None, ..layer.clone() };
            let outputs = layer.shape.k();
            let mut sums = vec![[Running::default(); 2]; outputs];
            for trace in traces(idx) {
                let exact = trace.output_sums()?;
                let mut changed = exact.to_vec();
                effect.sums(&numbers, trace, &mut changed)?;
                let positions = exact.len() / outputs.max(1);
                for (at, (&exact, &changed)) in exact.iter().zip(&changed).enumerate() {
                    let [of_exact, of_chip] = &mut sums[at / positions.max(1)];
                    of_exact.add(exact);
                    of_chip.add(changed);
                }
            }
            found.layers.insert(layer.name.clone(), sums.iter().map(correction).collect());
        }
        Ok(found)
    }

    /// Those of a layer; none for one that was not seen.
    pub(super) fn of(&self, layer: &str) -> Option<&[Correction]> {
        self.layers.get(layer).map(Vec::as_slice)
    }
}

fn correction([exact, chip]: &[Running; 2]) -> Correction {
    let ratio = exact.deviation() / chip.deviation();
    Correction { exact: exact.mean(), chip: chip.mean(), ratio: if ratio.is_normal() { ratio } else { 1.0 } }
}

/// A sum and a sum of squares: whole numbers, so that their order does not matter.
#[derive(Clone, Copy, Debug, Default)]
struct Running {
    n: i64,
    sum: i128,
    squares: i128,
}

impl Running {
    fn add(&mut self, x: i64) {
        self.n += 1;
        self.sum += i128::from(x);
        self.squares += i128::from(x) * i128::from(x);
    }

    fn mean(self) -> f64 {
        self.sum as f64 / self.n.max(1) as f64
    }

    fn deviation(self) -> f64 {
        let n = i128::from(self.n.max(1));
        ((self.squares * n - self.sum * self.sum) as f64).sqrt() / n as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of a chip that are twice as wide and 30 off: signs and numbers are those of the exact sums again.
    #[test]
    fn corrected_sums_are_the_exact_ones() {
        let exact = [-70, -10, 14, 20, 96];
        let of = |f: &dyn Fn(i64) -> i64| {
            let mut running = Running::default();
            exact.iter().for_each(|&x| running.add(f(x)));
            running
        };
        let chip = |x: i64| 2 * x + 30;
        let found = correction(&[of(&|x| x), of(&chip)]);
        for x in exact {
            assert_eq!(found.value(chip(x)), x);
            assert_eq!((chip(x) + found.shift()).signum(), x.signum(), "{x}");
        }
        let same = correction(&[of(&|_| 7), of(&|_| 4)]);
        assert_eq!((same.value(4), same.shift()), (7, 3));
    }
}
