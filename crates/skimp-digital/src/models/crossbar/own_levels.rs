//! What a chip and its network show on tuning images: levels from the network's own partial sums, thresholds from the chip's sums.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use skimp_analog::AnalogError;
use skimp_analog::Levels;
use skimp_sim::{Accelerator, Facts, LayerTrace, LayerWorkload, Searchable, SimError, Tuner};

use super::chip::OnChip;
use super::chip_thresholds::{Corrections, IMAGES, ThresholdsFrom};
use super::inputs::windows;
use super::{Combine, Fabric, Inputs, LevelRule, Placing};

/// Whose partial sums place the levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::models) enum LevelsFrom {
    /// Sums of independent terms: nothing of the network.
    Independent,
    /// Those of the layer: its converters have the same thresholds.
    Layer,
    /// Those of each row tile of the layer.
    Tile,
    /// Those of the columns that each converter senses.
    Sense,
}

/// How often each partial sum was seen, from the least possible one on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Histogram {
    counts: Vec<u64>,
}

/// Samples that stand for a histogram, at most: at equal steps of its distribution.
const SAMPLES: u64 = 8192;

impl Histogram {
    fn new(rows: usize) -> Self {
        Self { counts: vec![0; 2 * rows + 1] }
    }

    fn rows(&self) -> i64 {
        (self.counts.len() / 2) as i64
    }

    fn add(&mut self, sum: f64) {
        let rows = self.rows();
        let idx = (sum.round() as i64 + rows).clamp(0, 2 * rows) as usize;
        self.counts[idx] += 1;
    }

    /// Its sums in order, each as often as it was seen, or as its share of [`SAMPLES`] is.
    fn samples(&self) -> Vec<f64> {
        let total: u64 = self.counts.iter().sum();
        let n = total.min(SAMPLES);
        let mut samples = Vec::with_capacity(n as usize);
        let mut below = 0_u64;
        for (idx, &count) in self.counts.iter().enumerate() {
            below += count;
            let upto = (u128::from(below) * u128::from(n)).div_ceil(u128::from(total.max(1))) as usize;
            samples.resize(upto.max(samples.len()), (idx as i64 - self.rows()) as f64);
        }
        samples
    }
}

/// Partial sums of the layers of a network, by layer and then by what shares levels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::models) struct OwnSums {
    layers: HashMap<String, Vec<Histogram>>,
}

impl OwnSums {
    /// The levels of what senses group `group` of `groups` in row tile `row_tile`; `None` for a layer that was not seen.
    pub(super) fn levels(
        &self,
        layer: &str,
        (rule, bits): (LevelRule, u32),
        (row_tile, group, groups): (usize, usize, usize),
    ) -> Option<Result<Levels, AnalogError>> {
        let histogram = &self.layers.get(layer)?[place(rule.from, row_tile, group, groups)];
        let samples = histogram.samples();
        let (low, high) = (*samples.first()?, *samples.last()?);
        Some(match rule.placing {
            Placing::Linear => Levels::linear(low - 0.5, high + 0.5, bits),
            Placing::Quantile => Levels::quantiles(&samples, bits),
            Placing::LloydMax => Levels::lloyd_max(&samples, bits),
        })
    }
}

fn place(from: LevelsFrom, row_tile: usize, group: usize, groups: usize) -> usize {
    match from {
        LevelsFrom::Independent | LevelsFrom::Layer => 0,
        LevelsFrom::Tile => row_tile,
        LevelsFrom::Sense => row_tile * groups + group,
    }
}

/// What noiseless tiles sum to on the images of `traces`, bit by bit where inputs have several.
fn partial_sums(
    fabric: &Fabric,
    rule: LevelRule,
    layer: &LayerWorkload,
    traces: &[LayerTrace],
) -> Result<Vec<Histogram>, SimError> {
    let tiling = fabric.tiling(layer)?;
    let groups = tiling.outputs().div_ceil(fabric.columns_per_sense);
    let n = 1 + place(rule.from, tiling.row_tiles() - 1, groups - 1, groups);
    let mut histograms = vec![Histogram::new(fabric.rows); n];
    let ideal = Fabric { cell: fabric.cell.ideal(), offset: 0.0, own: None, ..fabric.clone() };
    for trace in traces {
        let mut codes = trace.activation()?.to_vec();
        if fabric.wide_input == super::WideInput::Binarized && layer.first {
            Inputs::binarize(layer, &mut codes);
        }
        let inputs = Inputs::of(layer, &codes, fabric.wide_input);
        let chip = OnChip::new(&ideal, layer, inputs)?;
        let read = chip.read(&ideal, layer, (inputs, trace.bias()?));
        let mut scratch = super::chip::Scratch::default();
        windows(layer, &codes, |_, window| {
            scratch.take(inputs, window);
            read.planes(&mut scratch, 0, |_, row_tile, partial| {
                for (output, &sum) in partial.iter().enumerate() {
                    let at = place(rule.from, row_tile, output / fabric.columns_per_sense, groups);
                    histograms[at].add(sum);
                }
            });
        });
    }
    Ok(histograms)
}

/// Images whose partial sums place levels.
const TRACES: usize = 16;

/// Makes the design of its facts and of a fabric that has the network's sums.
type Finish = dyn Fn(Facts, Fabric) -> Box<dyn Accelerator> + Send + Sync;

/// A design whose levels are placed by a network's own partial sums, or whose thresholds by those of its chip.
pub(in crate::models) struct ChipSearch {
    pub(in crate::models) facts: Facts,
    pub(in crate::models) fabric: Fabric,
    pub(in crate::models) tiles: u64,
    pub(in crate::models) thresholds: ThresholdsFrom,
    pub(in crate::models) finish: Box<Finish>,
}

impl fmt::Debug for ChipSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChipSearch").field("fabric", &self.fabric).finish_non_exhaustive()
    }
}

impl Searchable for ChipSearch {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn searches(&self) -> &'static str {
        match self.thresholds {
            ThresholdsFrom::Network => "levels of partial sums",
            ThresholdsFrom::Chip => "thresholds of the chip",
        }
    }

    fn n_traces(&self) -> usize {
        match self.thresholds {
            ThresholdsFrom::Network => TRACES,
            ThresholdsFrom::Chip => IMAGES,
        }
    }

    fn search(&self, tuner: &dyn Tuner) -> Result<Box<dyn Accelerator>, SimError> {
        self.fabric.check(tuner.layers(), self.tiles)?;
        let mut own = OwnSums::default();
        if let Combine::Adder(rule) = self.fabric.combine {
            for (idx, layer) in tuner.layers().iter().enumerate() {
                if rule.from == LevelsFrom::Independent {
                    break;
                }
                let traces = tuner.traces(idx);
                let sums = partial_sums(&self.fabric, rule, layer, &traces[..traces.len().min(TRACES)])?;
                own.layers.insert(layer.name.clone(), sums);
            }
        }
        let mut fabric = Fabric { own: Some(Arc::new(own)), ..self.fabric.clone() };
        if self.thresholds == ThresholdsFrom::Chip {
            let found = Corrections::measured(&fabric, tuner.layers(), |idx| tuner.traces(idx))?;
            fabric.corrections = Some(Arc::new(found));
        }
        Ok((self.finish)(self.facts.clone(), fabric))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_for_what_was_seen() {
        let mut histogram = Histogram::new(4);
        for (sum, times) in [(-4.0, 1), (0.0, 3), (2.0, 6)] {
            (0..times).for_each(|_| histogram.add(sum));
        }
        assert_eq!(histogram.samples(), [-4.0, 0.0, 0.0, 0.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
        histogram.counts.iter_mut().for_each(|count| *count *= 100_000);
        let samples = histogram.samples();
        assert_eq!(samples.len() as u64, SAMPLES);
        let share = samples.iter().filter(|&&sum| sum > 1.0).count() as f64 / samples.len() as f64;
        assert!((share - 0.6).abs() < 1e-3, "{share}");
    }
}
