//! What every rounding policy keeps: the key of its random numbers and the counts of what rounding lost.

use rayon::prelude::*;
use skimp_numerics::rng::{random_u64, stream};
use skimp_numerics::{CastCounts as Lost, FloatCast, RandomBits};

use super::{CastCounts, Role};
use crate::TrainError;

/// Elements per piece of work; a multiple of the draws that share a random number. Pieces do not depend on the number of
/// threads.
const PIECE: usize = 1 << 15;

/// The class under which an optimizer's assignments are counted.
pub(super) const UPDATE: &str = "update";

/// Tensor classes in reports.
const CLASSES: [&str; 8] =
    ["weight", "bias", "activation", "error", "weight-gradient", "output", "input-gradient", UPDATE];

/// The class of a tensor.
pub(super) fn class(role: Role) -> &'static str {
    match role {
        Role::Weight => CLASSES[0],
        Role::Bias => CLASSES[1],
        Role::Activation => CLASSES[2],
        Role::Error => CLASSES[3],
        Role::WeightGradient => CLASSES[4],
        Role::Output => CLASSES[5],
        Role::InputGradient => CLASSES[6],
    }
}

/// Counters and random key of one run.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    seed: u64,
    step: u64,
    call: u64,
    is_training: bool,
    counts: CastCounts,
}

impl Ledger {
    /// A training step begins.
    pub(super) fn begin(&mut self, seed: u64, step: u64) {
        (self.seed, self.step, self.call, self.is_training) = (seed, step, 0, true);
    }

    /// The backward pass is over. What is rounded until the next step, except by the optimizer, is evaluation.
    pub(super) fn end(&mut self) {
        self.is_training = false;
    }

    /// Whether a training step is under way.
    pub(super) fn is_training(&self) -> bool {
        self.is_training
    }

    /// Random numbers of the next conversion, keyed by seed, step and the number of conversions before it in the step.
    pub(super) fn random(&mut self) -> RandomBits {
        const PURPOSE: u64 = stream("policy");
        self.call += 1;
        RandomBits::new(self.seed, random_u64(self.step, PURPOSE, self.call))
    }

    /// Counts what training lost; evaluation does not count.
    pub(super) fn tally(&mut self, class: &'static str, lost: Lost) {
        if self.is_training || class == UPDATE {
            let count = self.counts.class(class);
            count.elements += lost.total;
            count.overflows += lost.overflow;
            count.underflows += lost.underflow;
            count.flushed += lost.flushed;
        }
    }

    /// Rounds a tensor and counts; tells what was lost.
    pub(super) fn round(&mut self, class: &'static str, cast: &FloatCast, values: &mut [f32]) -> Lost {
        let random = self.random();
        let lost = in_pieces(values, |piece, offset| cast.round_slice(piece, random.skip(offset)));
        self.tally(class, lost);
        lost
    }

    pub(super) fn counts(&self) -> &CastCounts {
        &self.counts
    }

    /// The counts as a policy's state.
    pub(super) fn state(&self) -> Vec<(String, Vec<f64>)> {
        let numbers = self.counts.classes.iter().map(|(class, count)| {
            let numbers = [count.elements, count.overflows, count.underflows, count.flushed];
            (format!("counts/{class}"), numbers.map(|n| n as f64).to_vec())
        });
        numbers.collect()
    }

    /// Takes the counts out of a state and returns the other entries.
    pub(super) fn restore<'a>(
        &mut self,
        policy: &str,
        state: &'a [(String, Vec<f64>)],
    ) -> Result<Vec<(&'a str, &'a [f64])>, TrainError> {
        let mut counts = CastCounts::default();
        let mut others = Vec::new();
        for (name, numbers) in state {
            let Some(class) = name.strip_prefix("counts/") else {
                others.push((name.as_str(), numbers.as_slice()));
                continue;
            };
            let class = CLASSES.into_iter().find(|known| *known == class);
            let (Some(class), &[elements, overflows, underflows, flushed]) = (class, numbers.as_slice()) else {
                return Err(foreign(policy, name, numbers));
            };
            let count = counts.class(class);
            count.elements = elements as u64;
            count.overflows = overflows as u64;
            count.underflows = underflows as u64;
            count.flushed = flushed as u64;
        }
        self.counts = counts;
        Ok(others)
    }
}

/// The error for a state entry that is not a policy's.
pub(super) fn foreign(policy: &str, name: &str, numbers: &[f64]) -> TrainError {
    TrainError::Data {
        what: format!("state of policy {policy}"),
        expected: "an entry that it wrote".to_owned(),
        found: format!("\"{name}\" with {} numbers", numbers.len()),
    }
}

/// Complains about entries left over.
pub(super) fn none_left(policy: &str, others: &[(&str, &[f64])]) -> Result<(), TrainError> {
    others.first().map_or(Ok(()), |(name, numbers)| Err(foreign(policy, name, numbers)))
}

/// Converts a tensor in pieces on the rayon pool; the conversion is told the offset of its piece.
pub(super) fn in_pieces(values: &mut [f32], convert: impl Fn(&mut [f32], u64) -> Lost + Sync) -> Lost {
    in_pieces_of(values, PIECE, convert)
}

/// [`in_pieces`] with pieces of another size.
pub(super) fn in_pieces_of(values: &mut [f32], size: usize, convert: impl Fn(&mut [f32], u64) -> Lost + Sync) -> Lost {
    let size = size.max(1);
    if values.len() <= size {
        return convert(values, 0);
    }
    let pieces = values.par_chunks_mut(size).enumerate();
    pieces.map(|(i, piece)| convert(piece, (i * size) as u64)).reduce(Lost::default, Lost::plus)
}

/// The pieces' size for conversions that treat `unit` elements together.
pub(super) fn whole_units(unit: usize) -> usize {
    unit * (PIECE / unit.max(1)).max(1)
}

/// Smallest and largest element, NaN left out; `(0, 0)` of nothing.
pub(super) fn extremes(values: &[f32]) -> (f32, f32) {
    let of_piece = |piece: &[f32]| {
        // Several lanes, so that the loop is not one chain of comparisons.
        let (mut low, mut high) = ([f32::INFINITY; 16], [f32::NEG_INFINITY; 16]);
        for lanes in piece.chunks(16) {
            for ((low, high), &value) in low.iter_mut().zip(&mut high).zip(lanes) {
                *low = if value < *low { value } else { *low };
                *high = if value > *high { value } else { *high };
            }
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        (low, high.into_iter().fold(f32::NEG_INFINITY, f32::max))
    };
    let (low, high) = values
        .par_chunks(PIECE)
        .map(of_piece)
        .reduce(|| (f32::INFINITY, f32::NEG_INFINITY), |a, b| (a.0.min(b.0), a.1.max(b.1)));
    if low <= high { (low, high) } else { (0.0, 0.0) }
}

/// Largest magnitude; infinities count, NaN does not.
pub(super) fn largest(values: &[f32]) -> f32 {
    let (low, high) = extremes(values);
    high.abs().max(low.abs())
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "results are compared exactly")]
mod tests {
    use super::*;
    use skimp_numerics::Rounding;
    use skimp_numerics::formats::FP8_E5M2;

    #[test]
    fn pieces_round_as_the_whole_does() {
        let source: Vec<f32> = (0..100_003).map(|i| skimp_numerics::rng::normal(1, 2, i) as f32).collect();
        let cast = FloatCast::new(FP8_E5M2).with_rounding(Rounding::STOCHASTIC);
        let (mut whole, mut pieces) = (source.clone(), source.clone());
        let mut ledger = Ledger::default();
        ledger.begin(3, 4);
        let random = ledger.random();
        let lost = cast.round_slice(&mut whole, random);
        ledger.begin(3, 4);
        ledger.round("error", &cast, &mut pieces);
        assert_eq!(whole, pieces);
        assert_eq!(ledger.counts().classes[0].1.elements, lost.total);
        assert_eq!(ledger.counts().classes[0].1.underflows, lost.underflow);
        // Another step draws others.
        ledger.begin(3, 5);
        let mut other = source.clone();
        ledger.round("error", &cast, &mut other);
        assert_ne!(other, pieces);
    }

    #[test]
    fn counts_survive_a_checkpoint_and_evaluation_does_not_count() {
        let mut ledger = Ledger::default();
        ledger.begin(1, 1);
        let lost = Lost { total: 5, overflow: 1, underflow: 2, flushed: 3 };
        ledger.tally("weight", lost);
        ledger.end();
        ledger.tally("weight", lost);
        ledger.tally(UPDATE, lost);
        let mut state = ledger.state();
        state.push(("scale".to_owned(), vec![2.0]));
        let mut other = Ledger::default();
        assert_eq!(other.restore("p", &state).expect("its own"), [("scale", [2.0].as_slice())]);
        assert_eq!(other.counts(), ledger.counts());
        assert_eq!(other.counts().classes[0].1.elements, 5);
        assert!(other.restore("p", &[("counts/none".to_owned(), vec![0.0; 4])]).is_err());
        assert!(other.restore("p", &[("counts/weight".to_owned(), vec![0.0; 3])]).is_err());
    }

    #[test]
    fn extremes_of_many() {
        let mut values: Vec<f32> = (0..70_000).map(|i| (i % 100) as f32).collect();
        values[65_000] = -7.5;
        values[1] = f32::NAN;
        assert_eq!(extremes(&values), (-7.5, 99.0));
        assert_eq!(extremes(&[]), (0.0, 0.0));
        assert_eq!(extremes(&[f32::NAN]), (0.0, 0.0));
        assert_eq!(largest(&[-3.0, 2.0]), 3.0);
    }
}
