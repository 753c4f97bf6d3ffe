//! Mean and variance of what a weight on programmed cells is off by: sums over many cells need no draw for each.

use crate::{Cell, ReadNoise, Synapse};

/// Mean and variance of a deviation, in units of a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Mean.
    pub mean: f64,
    /// Variance.
    pub variance: f64,
}

impl Moments {
    fn plus(self, factor: f64, other: Self) -> Self {
        Self { mean: self.mean + factor * other.mean, variance: self.variance + factor * factor * other.variance }
    }

    fn scaled(self, factor: f64) -> Self {
        Self::default().plus(factor, self)
    }
}

impl Cell {
    /// Moments of a programmed cell's conductance less the nominal one, in siemens: `ln R` is normal, and a share of the cells is
    /// stuck.
    pub fn conductance_moments(self, is_low: bool) -> Moments {
        let free = 1.0 - self.stuck_at_lrs - self.stuck_at_hrs;
        let share = |stuck: f64, is_here: bool| stuck + if is_here { free } else { 0.0 };
        let parts = [
            (share(self.stuck_at_lrs, is_low), self.lrs_siemens(), self.lrs_spread),
            (share(self.stuck_at_hrs, !is_low), self.hrs_siemens(), self.hrs_spread),
        ];
        // E g^n = g0^n exp(n² s² / 2) for a lognormal g.
        let of = |n: f64| parts.iter().map(|(p, g, s)| p * g.powf(n) * (0.5 * n * n * s * s).exp()).sum::<f64>();
        let nominal = if is_low { self.lrs_siemens() } else { self.hrs_siemens() };
        Moments { mean: of(1.0) - nominal, variance: (of(2.0) - of(1.0) * of(1.0)).max(0.0) }
    }
}

impl Synapse {
    /// Moments of what a weight of a sign adds with an active and with an inactive input, less the ideal: those of the deviations
    /// that [`Crossbar`](crate::Crossbar) draws cell by cell. The two are independent. A reference cell of [`Synapse::Single`],
    /// which a tile's outputs share, counts to each of them.
    pub fn moments(self, cell: &Cell, is_positive: bool) -> [Moments; 2] {
        let step = cell.lrs_siemens() - cell.hrs_siemens();
        let of = |is_low: bool| cell.conductance_moments(is_low);
        let (own, other) = (of(is_positive), of(!is_positive));
        match self {
            Self::Single => {
                let reference = Moments::default().plus(0.5, of(true)).plus(0.5, of(false));
                [own.plus(-1.0, reference).scaled(2.0 / step), Moments::default()]
            }
            Self::Differential => [own.plus(-1.0, other).scaled(1.0 / step), Moments::default()],
            Self::Xnor => [own.scaled(2.0 / step), other.scaled(2.0 / step)],
        }
    }

    /// What a read adds, where `power` is the sum of the squares of what the inputs that drive a row count: of
    /// [`Synapse::Xnor`] all of them, else the active ones.
    pub fn read_noise(self, cell: &Cell, power: f64) -> ReadNoise {
        let of_cell = cell.read_noise * cell.lrs_siemens() / (cell.lrs_siemens() - cell.hrs_siemens());
        let (own, shared) = match self {
            Self::Single => (2.0, 2.0 * 0.5_f64.sqrt()),
            Self::Differential => (2_f64.sqrt(), 0.0),
            Self::Xnor => (2.0, 0.0),
        };
        if cell.read_noise > 0.0 {
            let root = power.sqrt();
            ReadNoise { own: own * of_cell * root, shared: shared * of_cell * root }
        } else {
            ReadNoise { own: 0.0, shared: 0.0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::find;
    use crate::{Chip, Crossbar, Tiling};

    /// 40,000 weights of either sign, drawn cell by cell on tiles of one row and column, have these moments: mean within five
    /// standard errors, variance within 5 % (its own error is up to 1 % for these lognormal cells).
    #[test]
    fn cells_have_these_moments() {
        let settings =
            "lrs_spread = 0.2\nhrs_spread = 0.5\non_off_ratio = 10\nstuck_at_lrs = 0.02\nstuck_at_hrs = 0.01";
        let cell = find("neurosim").unwrap().cell(&settings.parse().unwrap()).unwrap();
        for synapse in [Synapse::Single, Synapse::Differential, Synapse::Xnor] {
            for weight in [1, -1] {
                let n = 40_000;
                let tiling = Tiling::new([n, 1], [1, 1]).unwrap();
                let chip = Chip { seed: 3, number: 1 };
                let bar = Crossbar::new(&vec![weight; n], tiling, (synapse, cell), (chip, 0)).unwrap();
                let [active, inactive] = synapse.moments(&cell, weight > 0);
                let check = |found: &[f32], expected: Moments| {
                    let n = found.len() as f64;
                    let mean = found.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
                    let variance = found.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
                    let error = 5.0 * (expected.variance / n).sqrt();
                    assert!((mean - expected.mean).abs() < error, "{synapse:?} {weight}: {mean}, {expected:?}");
                    let ratio = variance / expected.variance;
                    assert!((ratio - 1.0).abs() < 0.05, "{synapse:?} {weight}: {variance}, {expected:?}");
                };
                check(bar.active(), active.plus(-1.0, inactive));
                if synapse == Synapse::Xnor {
                    check(bar.inactive(), inactive);
                }
            }
        }
    }

    #[test]
    fn ideal_cells_have_none() {
        let cell = find("neurosim").unwrap().cell(&toml::Table::new()).unwrap().ideal();
        for synapse in [Synapse::Single, Synapse::Differential, Synapse::Xnor] {
            for moments in synapse.moments(&cell, true) {
                assert!(moments.mean.abs() < 1e-12 && moments.variance < 1e-12, "{synapse:?} {moments:?}");
            }
        }
    }
}
