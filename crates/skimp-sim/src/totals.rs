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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activity, CostTable, Counts, LayerWorkload, Scope, Scopes, Statistic};

    static WORK: Statistic = Statistic::new("work", "cycles", "Work.");
    const TABLE: &str = "schema = 1\nname = \"t\"\nsummary = \"s\"\ntechnology_nm = 45\n\
                         [x]\nread_pj = 2.5\nstatic_mw = 4.0\nsource = \"here\"\n";

    fn layer(cycles: u64) -> LayerResult {
        let mut result = LayerResult::new(&LayerWorkload::dense("d", 100, 50));
        result.cycles = Counts::new(&[(&WORK, cycles)]);
        let leakage = vec![("x.static", 3 * cycles)];
        result.activity.push(Activity { leakage, ..Activity::events("x", Scope::Buffers, "x.read", 1000) });
        result
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 1e-12, "{found} against {expected}");
    }

    #[test]
    fn units_of_energies_and_totals() {
        let table = CostTable::from_toml(TABLE).unwrap();
        let mut first = layer(500);
        first.merge(&layer(700));
        let second = {
            let mut other = layer(800);
            other.merge(&layer(0));
            other
        };
        let clock_mhz = 100.0;
        let energies = [&first, &second].map(|result| Energy::price(result, &table, clock_mhz).unwrap());
        // 2,000 reads of 2.5 pJ; three instances of 4 mW for 12 us.
        assert_close(energies[0].dynamic_nj(), 5.0);
        assert_close(energies[0].static_nj(), 144.0);
        assert_eq!(
            energies[0].by_scope().into_iter().map(|(scope, _)| scope).collect::<Vec<_>>(),
            [Scope::Buffers, Scope::Static]
        );
        let covered = Energy::coverage(&first, &table, Scopes::of(&[Scope::Network, Scope::Static]));
        assert_eq!(covered.priced, Scopes::of(&[Scope::Buffers, Scope::Static]));
        assert_eq!(covered.left_out, Scopes::of(&[Scope::Network]));
        let names: Vec<_> = energies[0].terms().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["x_dynamic", "x_static"]);
        let totals = RunTotals::new([(&first, &energies[0]), (&second, &energies[1])], clock_mhz);
        assert_eq!((totals.images, totals.cycles, totals.macs), (2, 2000, 4 * 5000));
        assert_close(totals.latency_ms, 0.01);
        let energy_nj = 10.0 + 3.0 * 4.0 * 20.0;
        assert_close(totals.energy_mj, energy_nj * 1e-6 / 2.0);
        assert_close(totals.power_mw, energy_nj / 20.0);
        assert_close(totals.tops, 40_000.0 / 20e-6 * 1e-12);
        assert_close(totals.tops_per_w, totals.tops / (totals.power_mw * 1e-3));
        let mut sum = energies[0].clone();
        sum.merge(&energies[1]);
        assert_close(sum.total_nj(), energy_nj);
    }

    #[test]
    fn a_missing_cost_is_named() {
        let table = CostTable::from_toml(&TABLE.replace("read_pj", "write_pj")).unwrap();
        let error = Energy::price(&layer(1), &table, 1.0).unwrap_err().to_string();
        assert!(error.contains("\"x.read\" in pJ"), "{error}");
    }

    #[test]
    fn reductions_are_averaged_layer_by_layer() {
        let mean = mean_reduction(&[(100.0, 80.0), (10.0, 10.0), (1000.0, 600.0)]).unwrap();
        assert!((mean - 0.2).abs() < 1e-12);
        assert_eq!(mean_reduction(&[]), None);
        assert_eq!(mean_reduction(&[(0.0, 1.0)]), None);
    }

    #[test]
    fn nothing_gives_zeros() {
        let totals = RunTotals::new([], 1000.0);
        assert_eq!((totals.images, totals.cycles, totals.macs), (0, 0, 0));
        assert!(totals.tops_per_w.abs() + totals.power_mw.abs() < f64::MIN_POSITIVE);
    }
}
