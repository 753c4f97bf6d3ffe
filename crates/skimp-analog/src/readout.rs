//! What reads the current of a column: sense amplifiers, converters, and the levels that they tell apart.

use crate::AnalogError;

/// Most bits of [`Levels`].
const MOST_BITS: u32 = 16;

/// Rounds of Lloyd's algorithm, at most.
const MOST_ROUNDS: usize = 1000;

/// Levels that are told apart by thresholds, and the number that each stands for.
///
/// Level `j` holds what is at least threshold `j - 1` and less than threshold `j`.
#[derive(Clone, Debug, PartialEq)]
pub struct Levels {
    thresholds: Vec<f64>,
    values: Vec<f64>,
}

impl Levels {
    /// `2^bits` levels of equal width from `low` to `high`; each stands for its middle.
    ///
    /// # Errors
    /// [`AnalogError::Levels`] for bits other than 1 to 16, or a range that is empty or not finite.
    pub fn linear(low: f64, high: f64, bits: u32) -> Result<Self, AnalogError> {
        let n = count(bits)?;
        if !(low.is_finite() && high.is_finite() && low < high) {
            return Err(levels("range", format!("{low} to {high}"), "finite numbers, the first one less"));
        }
        let at = |place: f64| low + (high - low) * place / n as f64;
        Ok(Self {
            thresholds: (1..n).map(|j| at(j as f64)).collect(),
            values: (0..n).map(|j| at(j as f64 + 0.5)).collect(),
        })
    }

    /// At most `2^bits` levels that hold equally many of `samples`; each stands for their mean. Samples that are equal lie in one
    /// level, so that there may be fewer levels.
    ///
    /// # Errors
    /// [`AnalogError::Levels`] for bits other than 1 to 16, or samples that are none or not finite.
    pub fn quantiles(samples: &[f64], bits: u32) -> Result<Self, AnalogError> {
        let (sorted, n) = (sorted(samples)?, count(bits)?);
        let mut thresholds: Vec<f64> = (1..n).map(|j| sorted[j * sorted.len() / n]).collect();
        thresholds.dedup();
        thresholds.retain(|&t| t > sorted[0]);
        Ok(Self::of_thresholds(thresholds, &sorted))
    }

    /// At most `2^bits` levels whose mean squared error over `samples` is least among those that Lloyd's algorithm reaches from
    /// the quantiles: each stands for the mean of what it holds, thresholds lie in the middle between two of these.
    ///
    /// # Errors
    /// As [`quantiles`](Self::quantiles).
    ///
    /// # Source
    /// S. Lloyd, "Least Squares Quantization in PCM", IEEE Transactions on Information Theory 28(2), 1982; J. Max, "Quantizing for
    /// Minimum Distortion", IRE Transactions on Information Theory 6(1), 1960.
    pub fn lloyd_max(samples: &[f64], bits: u32) -> Result<Self, AnalogError> {
        let sorted = sorted(samples)?;
        let mut levels = Self::quantiles(samples, bits)?;
        for _ in 0..MOST_ROUNDS {
            let middles = levels.values.windows(2).map(|pair| 0.5 * (pair[0] + pair[1])).collect();
            let next = Self::of_thresholds(middles, &sorted);
            if next == levels {
                break;
            }
            levels = next;
        }
        Ok(levels)
    }

    /// Levels between thresholds, each of the mean of the samples in it; levels without samples are left out.
    fn of_thresholds(thresholds: Vec<f64>, sorted: &[f64]) -> Self {
        let mut kept = Self { thresholds: Vec::with_capacity(thresholds.len()), values: Vec::new() };
        let mut rest = sorted;
        for threshold in thresholds.into_iter().map(Some).chain([None]) {
            let n = threshold.map_or(rest.len(), |threshold| rest.partition_point(|&x| x < threshold));
            let (held, behind) = rest.split_at(n);
            if held.is_empty() {
                continue;
            }
            kept.values.push(held.iter().sum::<f64>() / held.len() as f64);
            kept.thresholds.extend(threshold.filter(|_| !behind.is_empty()));
            rest = behind;
        }
        kept
    }

    /// Thresholds, ascending.
    pub fn thresholds(&self) -> &[f64] {
        &self.thresholds
    }

    /// What each level stands for, ascending.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The level of a number.
    pub fn level(&self, x: f64) -> usize {
        self.thresholds.partition_point(|&threshold| threshold <= x)
    }

    /// What the level of a number stands for.
    pub fn quantize(&self, x: f64) -> f64 {
        self.values[self.level(x)]
    }

    /// Thresholds with an offset for each, as one instance of a sense amplifier has them for life. Sorted again: of a thermometer
    /// code only the number of ones counts.
    #[must_use]
    pub fn with_offsets(mut self, offsets: impl IntoIterator<Item = f64>) -> Self {
        self.thresholds.iter_mut().zip(offsets).for_each(|(threshold, offset)| *threshold += offset);
        self.thresholds.sort_by(f64::total_cmp);
        self
    }
}

fn count(bits: u32) -> Result<usize, AnalogError> {
    match bits {
        1..=MOST_BITS => Ok(1 << bits),
        _ => Err(levels("bits", bits.to_string(), &format!("1 to {MOST_BITS}"))),
    }
}

fn sorted(samples: &[f64]) -> Result<Vec<f64>, AnalogError> {
    if samples.is_empty() || samples.iter().any(|x| !x.is_finite()) {
        let found = samples.iter().find(|x| !x.is_finite()).map_or_else(|| "none".to_owned(), f64::to_string);
        return Err(levels("samples", found, "at least one, all finite"));
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    Ok(sorted)
}

fn levels(what: &'static str, found: String, expected: &str) -> AnalogError {
    AnalogError::Levels { what, found, expected: expected.to_owned() }
}

/// Process node of a current sense amplifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// 65 nm.
    Nm65,
    /// 45 nm.
    Nm45,
    /// 32 nm.
    Nm32,
    /// 22 nm.
    Nm22,
    /// 14 nm.
    Nm14,
}

/// A current sense amplifier: power and latency by the resistance of the column that it reads.
///
/// # Source
/// Fits of circuit simulations in the code of DNN+NeuroSim V1.3, low-standby-power roadmap, read voltage of 0.5 V. Latency is that
/// of currents near the reference, the longest one; the code's shorter one for others never applies there, since its test of the
/// range always holds. Between 22 and 14 nm it has the latency of 32 nm here: the code's is not in our notes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SenseAmplifier {
    /// Its process node.
    pub node: Node,
    /// Voltage of a read; others than 0.5 V scale the resistance.
    pub read_volts: f64,
}

impl SenseAmplifier {
    /// Power in watts while it reads a column of `ohm`.
    pub fn watts(self, ohm: f64) -> f64 {
        let ohm = self.scaled(ohm);
        match self.node {
            Node::Nm65 => 8.41e-6 + 0.1213 / ohm,
            Node::Nm45 => 6.32e-6 + 0.1002 / ohm,
            Node::Nm32 => 3.09e-6 + 0.0794 * (-2.297 * ohm.log10()).exp(),
            Node::Nm22 => 1.70e-6 + 0.0723 / ohm,
            Node::Nm14 => 1.0e-6 + 0.0611 / ohm,
        }
    }

    /// Time of a read in seconds, 0.5 to 50 ns.
    pub fn seconds(self, ohm: f64) -> f64 {
        let logarithm = (self.scaled(ohm) / 1e3).ln();
        let nanoseconds = match self.node {
            Node::Nm65 => 0.1239 * logarithm + 0.664,
            Node::Nm45 | Node::Nm32 | Node::Nm22 | Node::Nm14 => 0.0714 * logarithm + 0.765,
        };
        1e-9 * nanoseconds.clamp(0.5, 50.0)
    }

    /// Energy of a read in joules.
    pub fn joules(self, ohm: f64) -> f64 {
        self.watts(ohm) * self.seconds(ohm)
    }

    fn scaled(self, ohm: f64) -> f64 {
        ohm * 0.5 / self.read_volts
    }
}

/// What a converter's rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversion {
    /// Bits: a conversion takes two cycles more than it has bits, as MNSIM 2.0 counts.
    BitClock,
    /// Conversions.
    Samples,
}

/// A converter, or a plain sense amplifier (1 bit).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Converter {
    /// What it is.
    pub name: &'static str,
    /// Its width.
    pub bits: u32,
    /// Its area in square millimetres.
    pub area_mm2: f64,
    /// Its power in watts.
    pub watts: f64,
    /// Its rate in hertz.
    pub hertz: f64,
}

/// Converters of MNSIM 2.0's library.
///
/// # Source
/// The code of MNSIM 2.0.
pub static CONVERTERS: &[Converter] = &[
    Converter { name: "adc-10b-14nm", bits: 10, area_mm2: 1600e-6, watts: 6.92e-3, hertz: 1.5e9 },
    Converter { name: "adc-isaac", bits: 8, area_mm2: 1200e-6, watts: 2e-3, hertz: 1.28e9 },
    Converter { name: "adc-8b", bits: 8, area_mm2: 1650e-6, watts: 4e-3, hertz: 1.1e9 },
    Converter { name: "adc-6b", bits: 6, area_mm2: 580e-6, watts: 1.26e-3, hertz: 1e9 },
    Converter { name: "adc-4b", bits: 4, area_mm2: 500e-6, watts: 0.7e-3, hertz: 1e9 },
    Converter { name: "sense-28nm", bits: 1, area_mm2: 1e-6, watts: 1.63e-6, hertz: 1e9 },
];

impl Converter {
    /// Time of a conversion in seconds; that of a sense amplifier is one cycle by either count.
    pub fn seconds(self, rate: Conversion) -> f64 {
        let cycles = match rate {
            Conversion::BitClock if self.bits > 1 => f64::from(self.bits + 2),
            Conversion::BitClock | Conversion::Samples => 1.0,
        };
        cycles / self.hertz
    }

    /// Energy of a conversion in joules.
    pub fn joules(self, rate: Conversion) -> f64 {
        self.watts * self.seconds(rate)
    }
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng::{Draws, stream};

    use super::*;

    fn error(levels: &Levels, samples: &[f64]) -> f64 {
        samples.iter().map(|&x| (levels.quantize(x) - x).powi(2)).sum::<f64>() / samples.len() as f64
    }

    /// Partial sums of 128 random signs, in matches: a mean of 64, a deviation of 5.7.
    fn partial_sums() -> Vec<f64> {
        let mut draws = Draws::new(5, stream("analog/levels"));
        (0..4000).map(|_| (0..128).map(|_| f64::from(u8::from(draws.chance(0.5)))).sum()).collect()
    }

    #[test]
    fn linear_levels_are_of_equal_width() {
        let levels = Levels::linear(0.0, 8.0, 2).unwrap();
        assert_eq!(
            (levels.thresholds(), levels.values()),
            ([2.0, 4.0, 6.0].as_slice(), [1.0, 3.0, 5.0, 7.0].as_slice())
        );
        let found: Vec<usize> = [-1.0, 0.0, 1.9, 2.0, 6.5, 99.0].map(|x| levels.level(x)).to_vec();
        assert_eq!(found, [0, 0, 0, 1, 3, 3]);
    }

    /// A whole count needs as many levels as it has values; with them nothing is lost.
    #[test]
    fn enough_levels_are_exact() {
        let levels = Levels::linear(-0.5, 127.5, 7).unwrap();
        assert!((0..128).all(|n| (levels.quantize(f64::from(n)) - f64::from(n)).abs() < 1e-9));
    }

    /// Where sums are dense levels have to be: 3 linear bits over all of 128 rows hold next to nothing, and Lloyd and Max do not lose
    /// to quantiles.
    #[test]
    fn levels_follow_the_sums() {
        let samples = partial_sums();
        let linear = Levels::linear(0.0, 128.0, 3).unwrap();
        let (quantiles, lloyd) = (Levels::quantiles(&samples, 3).unwrap(), Levels::lloyd_max(&samples, 3).unwrap());
        for levels in [&linear, &quantiles, &lloyd] {
            assert!(levels.thresholds().windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!(levels.values().len(), 8);
        }
        let [linear, quantiles, lloyd] = [&linear, &quantiles, &lloyd].map(|levels| error(levels, &samples));
        assert!(lloyd <= quantiles && quantiles < 0.2 * linear, "{lloyd} {quantiles} {linear}");
    }

    #[test]
    fn equal_samples_share_a_level() {
        let levels = Levels::quantiles(&[3.0; 10], 3).unwrap();
        assert_eq!((levels.thresholds().len(), levels.values()), (0, [3.0].as_slice()));
        let levels = Levels::lloyd_max(&[0.0, 0.0, 0.0, 5.0], 2).unwrap();
        assert_eq!((levels.quantize(0.0), levels.quantize(5.0)), (0.0, 5.0));
    }

    #[test]
    fn offsets_move_thresholds_for_life() {
        let levels = Levels::linear(0.0, 4.0, 2).unwrap().with_offsets([1.5, 0.0, 0.25]);
        assert_eq!(levels.thresholds(), [2.0, 2.5, 3.25]);
    }

    #[test]
    fn impossible_levels_are_refused() {
        assert!(Levels::linear(1.0, 1.0, 3).unwrap_err().to_string().contains("range: 1 to 1"));
        assert!(Levels::linear(0.0, 1.0, 0).unwrap_err().to_string().contains("bits: 0, expected 1 to 16"));
        assert!(Levels::quantiles(&[], 3).unwrap_err().to_string().contains("none"));
        assert!(Levels::lloyd_max(&[f64::NAN], 3).unwrap_err().to_string().contains("NaN"));
    }

    /// The fits at 32 nm, to three digits.
    #[test]
    fn sense_amplifier_of_32_nm() {
        let amplifier = SenseAmplifier { node: Node::Nm32, read_volts: 0.5 };
        let expected =
            [(1e3, 83.9, 0.765, 64.2), (3.6e3, 25.6, 0.857, 21.9), (1e4, 11.2, 0.930, 10.4), (1e5, 3.9, 1.094, 4.3)];
        for (ohm, microwatts, nanoseconds, femtojoules) in expected {
            let close = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.01;
            assert!(close(1e6 * amplifier.watts(ohm), microwatts), "{ohm}");
            assert!(close(1e9 * amplifier.seconds(ohm), nanoseconds), "{ohm}");
            assert!(close(1e15 * amplifier.joules(ohm), femtojoules), "{ohm}");
        }
    }

    /// Energy is power times time, whichever way the rate counts: the two differ by the bits and two.
    #[test]
    fn conversions_cost_power_times_time() {
        let found = CONVERTERS.iter().map(|converter| 1e12 * converter.joules(Conversion::BitClock));
        for (found, expected) in found.zip([55.0, 15.6, 36.0, 10.1, 4.2, 0.0016]) {
            assert!((found / expected - 1.0).abs() < 0.03, "{found} for {expected}");
        }
        let isaac = CONVERTERS[1];
        assert!((isaac.joules(Conversion::BitClock) / isaac.joules(Conversion::Samples) - 10.0).abs() < 1e-9);
    }
}
