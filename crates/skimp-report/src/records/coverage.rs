//! How much of a network's work a run covers.

use serde::{Deserialize, Serialize};

/// The part of a network's multiply-accumulates that a run covers: that an accelerator simulated, or that ran in
/// integers.
///
/// # Units
/// Multiply-accumulates of one image, as `skimp inspect` counts them. `macs` and those of `left_out` add up to
/// `network_macs`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Those of the network.
    pub network_macs: u64,
    /// Those covered.
    pub macs: u64,
    /// Share covered, in percent; 100 for a network without any.
    pub percent: f64,
    /// Multiplications of covered layers that do not count as a network's multiply-accumulates: batch normalizations
    /// that no convolution took in.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub other_macs: u64,
    /// Layers that are not covered, in execution order.
    pub left_out: Vec<LeftOut>,
}

/// A layer that a run does not cover.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Name of the layer in the network.
    pub name: String,
    /// Operator, such as `MatMul`.
    pub operator: String,
    /// Its multiply-accumulates.
    pub macs: u64,
    /// Why.
    pub reason: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Coverage {
    /// Covers `macs` of a network, all but `left_out`.
    #[must_use]
    pub fn new(macs: u64, other_macs: u64, left_out: Vec<LeftOut>) -> Self {
        let network_macs = left_out.iter().map(|layer| layer.macs).fold(macs, u64::saturating_add);
        let percent = if network_macs == 0 { 100.0 } else { 100.0 * macs as f64 / network_macs as f64 };
        Self { network_macs, macs, percent, other_macs, left_out }
    }

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left_out.is_empty()
    }

    /// The share as text, rounded toward 0: `100` only where nothing is left out.
    #[must_use]
    pub fn percent_text(&self) -> String {
        if self.macs == self.network_macs {
            return "100".to_owned();
        }
        let hundredths = u128::from(self.macs) * 10_000 / u128::from(self.network_macs.max(1));
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    }

    /// `of the network's 255,264 MACs, 100 % are simulated`, with `what` for the last word.
    #[must_use]
    pub fn sentence(&self, what: &str) -> String {
        let macs = crate::number::count(self.network_macs);
        format!("of the network's {macs} MACs per image, {} % are {what}", self.percent_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_is_the_whole() {
        let left_out = |macs| vec![LeftOut { macs, ..LeftOut::default() }];
        assert_eq!(Coverage::new(7, 0, vec![]).percent_text(), "100");
        assert_eq!(
            Coverage::new(0, 3, vec![]).sentence("simulated"),
            "of the network's 0 MACs per image, 100 % are simulated"
        );
        let nearly = Coverage::new(99_999_999, 0, left_out(1));
        assert_eq!((nearly.percent_text().as_str(), nearly.network_macs), ("99.99", 100_000_000));
        assert_eq!(Coverage::new(27_276, 0, left_out(227_988)).percent_text(), "10.68");
        assert_eq!(Coverage::new(0, 0, left_out(5)).percent_text(), "0.00");
    }
}
