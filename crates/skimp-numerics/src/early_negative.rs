//! Early negative detection of one output, plane by plane: the definition that every faster method is tested against.

use crate::{EndTest, inverted_code, is_inverted_width};

/// Why early negative detection refuses an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndError {
    /// Weights are not 2 to 16 bits wide.
    Width {
        /// The width given.
        bits: u32,
    },
    /// A weight has no code of that width.
    Weight {
        /// Position of the weight.
        index: usize,
        /// The weight.
        weight: i32,
        /// The width given.
        bits: u32,
    },
    /// An activation is negative: partial sums could rise, and a stop would be wrong.
    NegativeActivation {
        /// Position of the activation.
        index: usize,
        /// The activation.
        activation: i32,
    },
    /// Activations and weights differ in number.
    Length {
        /// Number of activations.
        activations: usize,
        /// Number of weights.
        weights: usize,
    },
}

impl std::fmt::Display for EndError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Width { bits } => write!(f, "weights are {bits} bits wide, expected 2 to 16"),
            Self::Weight { index, weight, bits } => {
                let half = 1_i64 << (bits - 1);
                write!(f, "weight {index} is {weight}, expected {} to {half} in {bits} bits", 1 - half)
            }
            Self::NegativeActivation { index, activation } => {
                write!(f, "activation {index} is {activation}: early negative detection needs activations >= 0")
            }
            Self::Length { activations, weights } => {
                write!(f, "{activations} activations for {weights} weights, expected equal numbers")
            }
        }
    }
}

impl std::error::Error for EndError {}

/// What early negative detection did to one output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTrace {
    /// The end position: planes processed until the stop, or all of them; 1 to the number of bits.
    pub planes: u32,
    /// Partial sums P_1 to P_B of all planes, also of those after the stop.
    pub partial_sums: Vec<i64>,
}

impl EndTrace {
    /// The rectified output: zero where the test stopped, else the last partial sum.
    pub fn output(&self, test: EndTest) -> i64 {
        if test.stops(self.partial_sums[self.planes as usize - 1]) { 0 } else { self.exact_sum().max(0) }
    }

    /// The exact sum P_B.
    pub fn exact_sum(&self) -> i64 {
        self.partial_sums.last().copied().unwrap_or(0)
    }
}

/// Partial sums and end position of `bias + Σ activations · weights` with weights taken bit plane by bit plane.
///
/// `P_0 = bias`, `P_1 = P_0 + 2^(bits−1) · S_1`, `P_p = P_(p−1) − 2^(bits−p) · S_p`, where S_p is the sum of the
/// activations whose weight has its bit of plane p set. The end position is the first `p ≥ 1` at which `test` stops,
/// or `bits`. The test does not apply to P_0: a negative bias proves nothing.
///
/// # Units
/// A B_a-bit activation, N inputs and a bias no wider than the sum need an accumulator of
/// `B_a + bits + ceil(log2 N) + 1` bits; 64 bits hold 31-bit activations and 2^16 inputs of 16-bit weights.
///
/// # Errors
/// A width outside 2 to 16, a weight without a code, unequal lengths, or a negative activation, for which the
/// partial sums need not fall.
///
/// # Source
/// D. Lee, S. Kang, K. Choi, "ComPEND: Computation Pruning through Early Negative Detection for ReLU in a Deep Neural
/// Network Accelerator", ICS 2018.
///
/// # Examples
/// ```
/// use skimp_numerics::{EndTest, end_planes};
/// let trace = end_planes(&[5, 3], &[-6, 7], 0, 4, EndTest::Negative).unwrap();
/// assert_eq!((trace.planes, trace.partial_sums), (3, vec![24, 4, -6, -9]));
/// ```
pub fn end_planes(
    activations: &[i32],
    weights: &[i32],
    bias: i64,
    bits: u32,
    test: EndTest,
) -> Result<EndTrace, EndError> {
    if let Some((index, &activation)) = activations.iter().enumerate().find(|(_, a)| **a < 0) {
        return Err(EndError::NegativeActivation { index, activation });
    }
    let partial_sums = partial_sums(activations, weights, bias, bits)?;
    let stop = partial_sums.iter().position(|&psum| test.stops(psum));
    let planes = stop.map_or(bits, |index| index as u32 + 1);
    Ok(EndTrace { planes, partial_sums })
}

/// The partial sums P_1 to P_B of [`end_planes`], for activations of either sign.
fn partial_sums(activations: &[i32], weights: &[i32], bias: i64, bits: u32) -> Result<Vec<i64>, EndError> {
    if !is_inverted_width(bits) {
        return Err(EndError::Width { bits });
    }
    if activations.len() != weights.len() {
        return Err(EndError::Length { activations: activations.len(), weights: weights.len() });
    }
    let encode = |(index, &weight)| inverted_code(weight, bits).ok_or(EndError::Weight { index, weight, bits });
    let codes: Vec<u16> = weights.iter().enumerate().map(encode).collect::<Result<_, _>>()?;
    let mut psum = bias;
    let mut sums = Vec::with_capacity(bits as usize);
    for plane in 1..=bits {
        let shift = bits - plane;
        let set = |(&a, &code): (&i32, &u16)| (code >> shift & 1 == 1).then_some(i64::from(a));
        let plane_sum: i64 = activations.iter().zip(&codes).filter_map(set).sum();
        if plane == 1 {
            psum += plane_sum << shift;
        } else {
            psum -= plane_sum << shift;
        }
        sums.push(psum);
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{inverted_range, truncate_after_plane};

    #[derive(Debug)]
    struct Row {
        activations: &'static [i32],
        weights: &'static [i32],
        bits: u32,
        bias: i64,
        codes: &'static [&'static str],
        sums: &'static [i64],
        negative: u32,
        non_positive: u32,
    }

    /// Worked examples of the method's arithmetic; the first is the one of the authors' lecture.
    const ROWS: [Row; 10] = [
        Row {
            activations: &[5],
            weights: &[-6],
            bits: 4,
            bias: 0,
            codes: &["0110"],
            sums: &[0, -20, -30, -30],
            negative: 2,
            non_positive: 1,
        },
        Row {
            activations: &[5, 3],
            weights: &[-6, 4],
            bits: 4,
            bias: 0,
            codes: &["0110", "1100"],
            sums: &[24, -8, -18, -18],
            negative: 2,
            non_positive: 2,
        },
        Row {
            activations: &[5, 3],
            weights: &[-6, 7],
            bits: 4,
            bias: 0,
            codes: &["0110", "1001"],
            sums: &[24, 4, -6, -9],
            negative: 3,
            non_positive: 3,
        },
        Row {
            activations: &[1, 2, 3, 4],
            weights: &[1, -2, 3, -5],
            bits: 4,
            bias: 0,
            codes: &["1111", "0010", "1101", "0101"],
            sums: &[32, 0, -6, -14],
            negative: 3,
            non_positive: 2,
        },
        Row {
            activations: &[1, 2, 3, 4],
            weights: &[1, -2, 3, -5],
            bits: 4,
            bias: 20,
            codes: &["1111", "0010", "1101", "0101"],
            sums: &[52, 20, 14, 6],
            negative: 4,
            non_positive: 4,
        },
        Row {
            activations: &[2, 2],
            weights: &[3, -4],
            bits: 8,
            bias: 0,
            codes: &["11111101", "00000100"],
            sums: &[256, 128, 64, 32, 16, 0, 0, -2],
            negative: 8,
            non_positive: 6,
        },
        Row {
            activations: &[10, 20, 30],
            weights: &[-3, 2, -1],
            bits: 8,
            bias: -7,
            codes: &["00000011", "11111110", "00000001"],
            sums: &[2553, 1273, 633, 313, 153, 73, 13, -27],
            negative: 8,
            non_positive: 8,
        },
        Row {
            activations: &[0, 0],
            weights: &[-7, 5],
            bits: 4,
            bias: -1,
            codes: &["0111", "1011"],
            sums: &[-1, -1, -1, -1],
            negative: 1,
            non_positive: 1,
        },
        Row {
            activations: &[15, 1],
            weights: &[8, -7],
            bits: 4,
            bias: 0,
            codes: &["1000", "0111"],
            sums: &[120, 116, 114, 113],
            negative: 4,
            non_positive: 4,
        },
        Row {
            activations: &[3, 1, 2],
            weights: &[-5, 6, 1],
            bits: 8,
            bias: 5,
            codes: &["00000101", "11111010", "11111111"],
            sums: &[389, 197, 101, 53, 29, 9, 3, -2],
            negative: 8,
            non_positive: 8,
        },
    ];

    #[test]
    fn worked_examples() {
        for row in &ROWS {
            for (weight, code) in row.weights.iter().zip(row.codes) {
                let got = inverted_code(*weight, row.bits).unwrap();
                assert_eq!(format!("{got:0width$b}", width = row.bits as usize), *code, "{row:?}");
            }
            let end = |test| end_planes(row.activations, row.weights, row.bias, row.bits, test).unwrap();
            let trace = end(EndTest::Negative);
            assert_eq!(trace.partial_sums, row.sums, "{row:?}");
            assert_eq!(trace.planes, row.negative, "{row:?}");
            assert_eq!(end(EndTest::NonPositive).planes, row.non_positive, "{row:?}");
        }
    }

    #[test]
    fn a_negative_activation_breaks_the_proof_and_is_refused() {
        // The sum rises in the last plane.
        assert_eq!(partial_sums(&[-2, 1], &[-1, 4], 0, 4).unwrap(), [8, 4, 4, 6]);
        // A stop at plane 2 would be wrong: the result is positive.
        assert_eq!(partial_sums(&[-8, 1], &[-1, 1], 0, 4).unwrap(), [8, 4, 2, 9]);
        assert_eq!(partial_sums(&[-8, 1], &[-1, 1], -5, 4).unwrap(), [3, -1, -3, 4]);
        for (activations, weights) in [([-2, 1], [-1, 4]), ([-8, 1], [-1, 1])] {
            let refused = end_planes(&activations, &weights, 0, 4, EndTest::Negative);
            assert_eq!(refused, Err(EndError::NegativeActivation { index: 0, activation: activations[0] }));
        }
    }

    #[test]
    fn bad_input_is_refused() {
        let end = |a: &[i32], w: &[i32], bits| end_planes(a, w, 0, bits, EndTest::Negative).unwrap_err();
        assert_eq!(end(&[1], &[-8], 4), EndError::Weight { index: 0, weight: -8, bits: 4 });
        assert_eq!(end(&[1], &[9], 4).to_string(), "weight 0 is 9, expected -7 to 8 in 4 bits");
        assert_eq!(end(&[1], &[0], 1), EndError::Width { bits: 1 });
        assert_eq!(end(&[1], &[0], 17), EndError::Width { bits: 17 });
        assert_eq!(end(&[1, 2], &[0], 8), EndError::Length { activations: 2, weights: 1 });
    }

    #[test]
    fn no_inputs_leave_the_bias() {
        let trace = end_planes(&[], &[], -3, 4, EndTest::Negative).unwrap();
        assert_eq!((trace.planes, trace.partial_sums), (1, vec![-3; 4]));
    }

    prop_compose! {
        fn output()(bits in prop::sample::select(vec![2_u32, 4, 8, 11, 16]), n in 0_usize..24)
            (bits in Just(bits),
             activations in prop::collection::vec(prop_oneof![Just(0), 0..=65_535_i32], n),
             weights in prop::collection::vec(inverted_range(bits).unwrap(), n),
             bias in prop_oneof![-100_i64..100, -(1_i64 << 34)..1 << 34])
            -> (u32, Vec<i32>, Vec<i32>, i64) { (bits, activations, weights, bias) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn partial_sums_fall_and_stops_are_exact((bits, activations, weights, bias) in output()) {
            let products = activations.iter().zip(&weights).map(|(&a, &w)| i64::from(a) * i64::from(w));
            let dot = bias + products.sum::<i64>();
            let mut ends = Vec::new();
            for test in [EndTest::Negative, EndTest::NonPositive] {
                let trace = end_planes(&activations, &weights, bias, bits, test).unwrap();
                prop_assert!(trace.partial_sums.is_sorted_by(|a, b| a >= b));
                prop_assert_eq!(trace.exact_sum(), dot);
                prop_assert_eq!(trace.output(test), dot.max(0));
                prop_assert!((1..=bits).contains(&trace.planes));
                prop_assert!(!trace.partial_sums[..trace.planes as usize - 1].iter().any(|&p| test.stops(p)));
                for (p, &psum) in (1..).zip(&trace.partial_sums) {
                    let truncated = weights.iter().map(|&w| i64::from(truncate_after_plane(w, bits, p).unwrap()));
                    let sum: i64 = activations.iter().zip(truncated).map(|(&a, w)| i64::from(a) * w).sum();
                    prop_assert_eq!(psum, bias + sum);
                }
                ends.push(trace.planes);
            }
            prop_assert!(ends[1] <= ends[0]);
        }

        #[test]
        fn offset_makes_signed_activations_legal(
            (bits, activations, weights, bias) in output(), zero_point in 0_i32..65_536,
        ) {
            let signed: Vec<i32> = activations.iter().map(|a| a - zero_point).collect();
            let dot = bias + signed.iter().zip(&weights).map(|(&a, &w)| i64::from(a) * i64::from(w)).sum::<i64>();
            let offset_bias = bias - i64::from(zero_point) * weights.iter().map(|&w| i64::from(w)).sum::<i64>();
            let trace = end_planes(&activations, &weights, offset_bias, bits, EndTest::Negative).unwrap();
            prop_assert_eq!(trace.exact_sum(), dot);
            prop_assert_eq!(trace.output(EndTest::Negative), dot.max(0));
        }
    }
}
