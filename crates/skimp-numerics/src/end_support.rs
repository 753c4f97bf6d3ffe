//! Where early negative detection is exact.

/// Whether early negative detection is exact on a multiply-accumulate layer, and why not.
///
/// It is exact where all operands are non-negative and the output of a negative accumulator is 0 for everyone who reads
/// it. The rule that a residual joined after the ReLU forbids it concerns a layer whose own negative value is needed by
/// the sum; a ReLU's output is exact, so a layer with its own ReLU stays valid when an addition reads that output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndSupport {
    /// Exact.
    #[default]
    Valid,
    /// Activations may be negative, so partial sums may rise.
    SignedInput,
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

impl EndSupport {
    /// Whether it is exact.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        *self == EndSupport::Valid
    }
}

impl std::fmt::Display for EndSupport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EndSupport::Valid => f.write_str("valid"),
            EndSupport::SignedInput => f.write_str("activations may be negative"),
            EndSupport::NoRelu { next } => write!(f, "no ReLU follows, but {next}"),
            EndSupport::ResidualWithoutRelu { next } => {
                write!(f, "a residual is added and no ReLU follows, but {next}")
            }
            EndSupport::ValueNeededElsewhere { consumer } => {
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
            (EndSupport::Valid, "valid"),
            (EndSupport::SignedInput, "activations may be negative"),
            (EndSupport::NoRelu { next: next() }, "no ReLU follows, but Softmax \"probabilities\""),
            (
                EndSupport::ResidualWithoutRelu { next: next() },
                "a residual is added and no ReLU follows, but Softmax \"probabilities\"",
            ),
            (
                EndSupport::ValueNeededElsewhere { consumer: "network output".to_owned() },
                "the value before the ReLU is needed by network output as well",
            ),
        ] {
            assert_eq!((support.to_string(), support.is_valid()), (text.to_owned(), support == EndSupport::Valid));
        }
    }
}
