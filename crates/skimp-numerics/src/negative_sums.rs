//! Where nobody sees that a sum is negative.

/// Whether a multiply-accumulate layer's negative sums need not be known, and why they must.
///
/// They need not where the output of a negative accumulator is 0 for everyone who reads it, and where all operands are
/// non-negative, so that a partial sum tells whether the sum will be negative: hardware may then stop early. The rule
/// that a residual joined after the ReLU forbids it concerns a layer whose own negative value is needed by the sum; a
/// ReLU's output is exact, so a layer with its own ReLU stays so when an addition reads that output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NegativeSums {
    /// Nobody sees them.
    #[default]
    Unseen,
    /// Activations may be negative, so partial sums may rise.
    SignedOperands,
    /// The accumulator goes to an operator that keeps, or may keep, negative values.
    NoRelu {
        /// That operator, or "network output".
        next: String,
    },
    /// A residual is added, and no ReLU follows the sum.
    ResidualWithoutRelu {
        /// The operator that follows the sum, or "network output".
        next: String,
    },
    /// The value before the ReLU is needed elsewhere as well.
    ValueNeededElsewhere {
        /// The other reader, or "network output".
        consumer: String,
    },
}

impl NegativeSums {
    /// Whether nobody sees them.
    #[must_use]
    pub fn are_unseen(&self) -> bool {
        *self == NegativeSums::Unseen
    }
}

impl std::fmt::Display for NegativeSums {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NegativeSums::Unseen => f.write_str("unseen"),
            NegativeSums::SignedOperands => f.write_str("activations may be negative"),
            NegativeSums::NoRelu { next } => write!(f, "no ReLU follows, but {next}"),
            NegativeSums::ResidualWithoutRelu { next } => {
                write!(f, "a residual is added and no ReLU follows, but {next}")
            }
            NegativeSums::ValueNeededElsewhere { consumer } => {
                write!(f, "the value before the ReLU is needed by {consumer} as well")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obstacles_explain_themselves() {
        let next = || "Softmax \"probabilities\"".to_owned();
        for (support, text) in [
            (NegativeSums::Unseen, "unseen"),
            (NegativeSums::SignedOperands, "activations may be negative"),
            (NegativeSums::NoRelu { next: next() }, "no ReLU follows, but Softmax \"probabilities\""),
            (
                NegativeSums::ResidualWithoutRelu { next: next() },
                "a residual is added and no ReLU follows, but Softmax \"probabilities\"",
            ),
            (
                NegativeSums::ValueNeededElsewhere { consumer: "network output".to_owned() },
                "the value before the ReLU is needed by network output as well",
            ),
        ] {
            assert_eq!((support.to_string(), support.are_unseen()), (text.to_owned(), support == NegativeSums::Unseen));
        }
    }
}
