//! From accumulators to codes.

use skimp_graph::integer::{AddRule, Encoding, Requantizer};

use super::layout::LANES;

/// A sum that a layer takes in behind its own codes: no code of the layer goes through memory.
#[derive(Clone, Debug)]
pub(super) struct Join {
    pub(super) rule: AddRule,
    /// Whether the layer's codes are the first operand.
    pub(super) is_first: bool,
    /// Least code of the other operand's type.
    pub(super) other_least: i32,
    pub(super) min: i32,
    pub(super) max: i32,
    /// Least code of the sum's type.
    pub(super) least: i32,
}

impl Join {
    /// The byte of every sum: that of bytes a and b stands at `256 · a + b`. `least` is the first operand's least code.
    pub(super) fn table(&self, least: i32) -> Vec<u8> {
        (0..256 * 256).map(|i| self.apply(i / 256 + least, (i % 256) as u8)).collect()
    }

    /// The byte of the sum.
    fn apply(&self, code: i32, other: u8) -> u8 {
        let other = i32::from(other) + self.other_least;
        let (a, b) = if self.is_first { (code, other) } else { (other, code) };
        (self.rule.apply(a, b).clamp(self.min.into(), self.max.into()) as i32 - self.least) as u8
    }
}

/// How a layer's accumulators become bytes.
#[derive(Clone, Debug)]
pub(super) struct Finish {
    /// One for each channel, padded to whole blocks.
    pub(super) requantizers: Vec<Requantizer>,
    pub(super) zero_point: i32,
    pub(super) min: i32,
    pub(super) max: i32,
    /// Least code of the type.
    pub(super) least: i32,
    pub(super) join: Option<Join>,
    #[cfg(target_arch = "x86_64")]
    pub(super) vector: Option<super::x86::finish::VectorFinish>,
}

impl Finish {
    /// From the parts that the network states.
    pub(super) fn new(
        requantizers: &[Requantizer],
        n_channels: usize,
        encoding: &Encoding,
        (min, max): (i32, i32),
        join: Option<Join>,
    ) -> Self {
        let of = |k: usize| requantizers[if requantizers.len() == 1 { 0 } else { k.min(n_channels - 1) }];
        let requantizers = (0..n_channels.next_multiple_of(LANES)).map(of).collect();
        let least = encoding.min_code();
        #[allow(unused_mut, reason = "only x86-64 adds to it")]
        let mut finish = Self {
            requantizers,
            zero_point: encoding.zero_point,
            min,
            max,
            least,
            join,
            #[cfg(target_arch = "x86_64")]
            vector: None,
        };
        #[cfg(target_arch = "x86_64")]
        {
            finish.vector = super::x86::finish::VectorFinish::new(&finish);
        }
        finish
    }

    /// The bytes of a block of channels, by the definition. `other` is the second operand of a sum.
    pub(super) fn block(&self, first: usize, accumulators: &[i32; LANES], other: &[u8; LANES]) -> [u8; LANES] {
        std::array::from_fn(|lane| {
            let scaled = self.requantizers[first + lane].apply(accumulators[lane].into());
            let code = scaled.saturating_add(self.zero_point.into());
            let code = code.clamp(self.min.into(), self.max.into()) as i32;
            match &self.join {
                Some(join) => join.apply(code, other[lane]),
                None => (code - self.least) as u8,
            }
        })
    }
}
