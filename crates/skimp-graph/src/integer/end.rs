//! Exact integer convolution and early negative detection, by definition.
//!
//! [`ConvProblem`] is one layer on one image in plain integers; the fast kernels take the same type and are tested
//! against [`conv_sums`] and [`end_planes`] here, which are naive, single-threaded and follow the definition
//! plane by plane.

use skimp_numerics::{EndError, EndTest, inverted_range};

use crate::shape::LayerShape;

/// A convolution on one image, `sum[k, p, q] = bias[k] + residual[k, p, q] + Σ (activation + input_offset) · weight`.
///
/// A tap outside the input has the activation 0, so padding adds `input_offset · weight`.
///
/// # Units
/// Operands (`activation + input_offset`) have at most 16 bits, weights are `−(2^(B−1) − 1) ..= 2^(B−1)` with
/// B = `weight_bits` ≤ 16, a filter has at most 2^24 weights, and a bias or a residual at most 61 bits; so every
/// partial sum is below 2^63.
#[derive(Clone, Copy, Debug)]
pub struct ConvProblem<'a> {
    /// Activation codes, `[c, h, w]`.
    pub activations: &'a [i32],
    /// Weight codes, `[k, c / groups, r, s]`.
    pub weights: &'a [i32],
    /// Bias at accumulator scale, `[k]`.
    pub bias: &'a [i64],
    /// Residual input at accumulator scale, `[k, p, q]`.
    pub residual: Option<&'a [i64]>,
    /// Extents; the number of images is taken for 1.
    pub shape: LayerShape,
    /// Width of the weight codes, 2 to 16.
    pub weight_bits: u32,
    /// Width of the activation codes, 1 to 16.
    pub activation_bits: u32,
    /// Whether activation codes may be negative.
    pub activation_signed: bool,
    /// Added to every activation before the product.
    pub input_offset: i32,
}

/// End positions and exact sums of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndPlanes {
    /// Weight planes processed until the stop, 1 to `weight_bits`, `[k, p, q]`.
    pub planes: Vec<u8>,
    /// Exact sums before the ReLU, `[k, p, q]`.
    pub sums: Vec<i64>,
}

/// Why a [`ConvProblem`] cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConvError {
    /// A slice does not have the length that the extents say.
    #[error("{operand} has {got} elements, expected {expected}")]
    Length {
        /// Which slice.
        operand: &'static str,
        /// Elements expected; `usize::MAX` stands for an extent that overflows.
        expected: usize,
        /// Elements found.
        got: usize,
    },
    /// An extent, stride, dilation or number of groups is out of range.
    #[error("{what} is {got}, expected {expected}")]
    Extent {
        /// Which one.
        what: &'static str,
        /// The value.
        got: u64,
        /// What was expected.
        expected: String,
    },
    /// A code is out of the range that its width allows.
    #[error("{operand} {index} is {value}, expected {min} to {max}")]
    Code {
        /// Which operand.
        operand: &'static str,
        /// Position in the operand.
        index: usize,
        /// The code.
        value: i64,
        /// Least value allowed.
        min: i64,
        /// Greatest value allowed.
        max: i64,
    },
    /// Operands may be negative, so partial sums may rise and no stop is safe.
    #[error(
        "early negative detection needs operands >= 0, but signed {bits}-bit activations plus {offset} may be negative"
    )]
    SignedOperands {
        /// Width of the activations.
        bits: u32,
        /// The offset added to them.
        offset: i32,
    },
}

/// Most weights of one filter.
const MAX_DEPTH: usize = 1 << 24;
/// Greatest extent, stride, dilation and padding.
const MAX_EXTENT: usize = 1 << 24;
/// Greatest magnitude of a bias or residual.
const MAX_ADDEND: i64 = (1 << 61) - 1;

impl ConvProblem<'_> {
    /// Greatest and least operand that the activation's width and the offset allow.
    pub fn operand_range(&self) -> (i32, i32) {
        let bits = self.activation_bits.clamp(1, 16);
        let (min, max) =
            if self.activation_signed { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) };
        (min + self.input_offset, max + self.input_offset)
    }

    /// Checks extents, lengths and the range of every code.
    ///
    /// # Errors
    /// The first fault found.
    pub fn validate(&self) -> Result<(), ConvError> {
        self.validate_extents()?;
        let (min, max) = self.operand_range();
        check_codes("activation", self.activations, min - self.input_offset, max - self.input_offset)?;
        let weights = inverted_range(self.weight_bits).unwrap_or(0..=0);
        check_codes("weight", self.weights, *weights.start(), *weights.end())?;
        check_codes("bias", self.bias, -MAX_ADDEND, MAX_ADDEND)?;
        check_codes("residual", self.residual.unwrap_or(&[]), -MAX_ADDEND, MAX_ADDEND)
    }

    /// Checks what early negative detection needs: the above, and operands that cannot be negative.
    ///
    /// A lower end of `−2^(B−1)` counts only where the activations hold it: symmetric codes with the offset
    /// `2^(B−1) − 1` are accepted.
    ///
    /// # Errors
    /// [`ConvError::SignedOperands`] if an operand is or may be negative, or a fault of [`validate`](Self::validate).
    pub fn validate_end(&self) -> Result<(), ConvError> {
        self.validate()?;
        let symmetric_min = self.operand_range().0 + i32::from(self.activation_signed);
        let negative = self.activation_signed && self.activations.iter().any(|&a| a < -self.input_offset);
        if symmetric_min < 0 || negative {
            return Err(ConvError::SignedOperands { bits: self.activation_bits, offset: self.input_offset });
        }
        Ok(())
    }

    fn validate_extents(&self) -> Result<(), ConvError> {
        let extent = |what, got: usize, min: usize, max: usize| {
            if (min..=max).contains(&got) {
                return Ok(());
            }
            Err(ConvError::Extent { what, got: got as u64, expected: format!("{min} to {max}") })
        };
        let shape = &self.shape;
        for axis in [shape.rows(), shape.cols()] {
            extent("stride", axis.stride, 1, MAX_EXTENT)?;
            extent("dilation", axis.dilation, 1, MAX_EXTENT)?;
            extent("padding", axis.pad_begin, 0, MAX_EXTENT)?;
            for (what, got) in [("input", axis.input), ("kernel", axis.kernel), ("output", axis.output)] {
                extent(what, got, 0, MAX_EXTENT)?;
            }
        }
        extent("weight_bits", self.weight_bits as usize, 2, 16)?;
        extent("activation_bits", self.activation_bits as usize, 1, 16)?;
        let (min, max) = self.operand_range();
        if self.input_offset.unsigned_abs() > 1 << 16 || min < -(1 << 15) || max - min >= 1 << 16 {
            let expected = "an offset that leaves operands of 16 bits".to_owned();
            return Err(ConvError::Extent { what: "input_offset", got: self.input_offset as u64, expected });
        }
        let depth = product(&[shape.channels_per_group(), shape.r(), shape.s()]);
        extent("weights per filter", depth, 0, MAX_DEPTH)?;
        length("activations", self.activations.len(), product(&[shape.c(), shape.h(), shape.w()]))?;
        length("weights", self.weights.len(), product(&[shape.k(), depth]))?;
        length("bias", self.bias.len(), shape.k())?;
        let n_outputs = product(&[shape.k(), shape.p(), shape.q()]);
        length("residual", self.residual.map_or(n_outputs, <[i64]>::len), n_outputs)
    }

    /// Bias plus residual of one output.
    fn initial(&self, k: usize, output: usize) -> i64 {
        self.bias[k] + self.residual.map_or(0, |residual| residual[output])
    }

    /// Operands under the window of group `group` at `p`, `q`, in the order of the filter's weights.
    fn operands(&self, group: usize, p: usize, q: usize, operands: &mut Vec<i32>) {
        operands.clear();
        let (shape, rows, cols) = (&self.shape, self.shape.rows(), self.shape.cols());
        let channels = shape.channels_per_group();
        for c in group * channels..(group + 1) * channels {
            for r in 0..rows.kernel {
                for s in 0..cols.kernel {
                    let activation = match (rows.read(p, r), cols.read(q, s)) {
                        (Some(y), Some(x)) => self.activations[(c * rows.input + y) * cols.input + x],
                        _ => 0,
                    };
                    operands.push(activation + self.input_offset);
                }
            }
        }
    }
}

/// The exact sums of a layer, `[k, p, q]`, by definition.
///
/// # Errors
/// A [`ConvError`] if the problem is not consistent.
pub fn conv_sums(problem: &ConvProblem) -> Result<Vec<i64>, ConvError> {
    problem.validate()?;
    let mut sums = Vec::with_capacity(problem.shape.output_count());
    for_each_output(problem, |k, output, operands, weights| {
        let products = operands.iter().zip(weights).map(|(&a, &w)| i64::from(a) * i64::from(w));
        sums.push(problem.initial(k, output) + products.sum::<i64>());
        Ok(())
    })?;
    Ok(sums)
}

/// End positions and exact sums of a layer, plane by plane, by definition ([`skimp_numerics::end_planes`]).
///
/// # Errors
/// [`ConvError::SignedOperands`] if an operand may be negative, another [`ConvError`] if the problem is not
/// consistent.
///
/// # Source
/// D. Lee, S. Kang, K. Choi, "ComPEND: Computation Pruning through Early Negative Detection for ReLU in a Deep Neural
/// Network Accelerator", ICS 2018.
pub fn end_planes(problem: &ConvProblem, test: EndTest) -> Result<EndPlanes, ConvError> {
    problem.validate_end()?;
    let mut ends = EndPlanes { planes: Vec::new(), sums: Vec::new() };
    for_each_output(problem, |k, output, operands, weights| {
        let initial = problem.initial(k, output);
        let trace = skimp_numerics::end_planes(operands, weights, initial, problem.weight_bits, test)
            .map_err(|cause| refused(problem, &cause))?;
        ends.planes.push(trace.planes as u8);
        ends.sums.push(trace.exact_sum());
        Ok(())
    })?;
    Ok(ends)
}

/// A fault of one output that validation of the layer would have found.
fn refused(problem: &ConvProblem, cause: &EndError) -> ConvError {
    match *cause {
        EndError::Weight { index, weight, bits } => {
            let half = 1_i64 << (bits - 1);
            ConvError::Code { operand: "weight", index, value: i64::from(weight), min: 1 - half, max: half }
        }
        _ => ConvError::SignedOperands { bits: problem.activation_bits, offset: problem.input_offset },
    }
}

fn for_each_output(
    problem: &ConvProblem,
    mut visit: impl FnMut(usize, usize, &[i32], &[i32]) -> Result<(), ConvError>,
) -> Result<(), ConvError> {
    let shape = &problem.shape;
    let depth = shape.inputs_per_output();
    let mut operands = Vec::new();
    for k in 0..shape.k() {
        let group = k / shape.filters_per_group();
        for p in 0..shape.p() {
            for q in 0..shape.q() {
                problem.operands(group, p, q, &mut operands);
                let output = (k * shape.p() + p) * shape.q() + q;
                visit(k, output, &operands, &problem.weights[k * depth..(k + 1) * depth])?;
            }
        }
    }
    Ok(())
}

fn product(extents: &[usize]) -> usize {
    extents.iter().fold(1, |n: usize, &d| n.saturating_mul(d))
}

fn length(operand: &'static str, got: usize, expected: usize) -> Result<(), ConvError> {
    if got == expected { Ok(()) } else { Err(ConvError::Length { operand, expected, got }) }
}

fn check_codes<T>(operand: &'static str, codes: &[T], min: T, max: T) -> Result<(), ConvError>
where
    T: Copy + PartialOrd + Into<i64>,
{
    let outside = |code: &T| *code < min || *code > max;
    // Without an early exit the common, faultless case runs at memory speed.
    if !codes.iter().fold(false, |found, code| found | (*code < min) | (*code > max)) {
        return Ok(());
    }
    match codes.iter().position(outside) {
        Some(index) => {
            let (value, min, max) = (codes[index].into(), min.into(), max.into());
            Err(ConvError::Code { operand, index, value, min, max })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::ShapeSpec;

    /// A 1 x 1 layer on one position: one output per filter of `weights`.
    fn dense<'a>(activations: &'a [i32], weights: &'a [i32], bias: &'a [i64], bits: u32) -> ConvProblem<'a> {
        ConvProblem {
            activations,
            weights,
            bias,
            residual: None,
            shape: LayerShape::dense(1, activations.len(), bias.len()),
            weight_bits: bits,
            activation_bits: 8,
            activation_signed: false,
            input_offset: 0,
        }
    }

    #[test]
    fn dense_layer_of_worked_examples() {
        let problem = dense(&[5, 3], &[-6, 4, -6, 7, 1, 1], &[0, 0, -9], 4);
        let ends = end_planes(&problem, EndTest::Negative).unwrap();
        assert_eq!(ends, EndPlanes { planes: vec![2, 3, 4], sums: vec![-18, -9, -1] });
        assert_eq!(conv_sums(&problem).unwrap(), ends.sums);
        let with_residual = ConvProblem { residual: Some(&[18, 10, 0]), ..problem };
        let ends = end_planes(&with_residual, EndTest::NonPositive).unwrap();
        assert_eq!(ends, EndPlanes { planes: vec![3, 4, 4], sums: vec![0, 1, -1] });
    }

    /// 3 x 3 kernel on a 3 x 4 input, stride 2 by 1, dilation 1 by 2, two groups.
    #[test]
    fn window_falls_where_it_should() {
        let activations: Vec<i32> = (1..=24).collect();
        let mut weights = vec![0; 18];
        (weights[0], weights[8], weights[9 + 4]) = (1, 2, 3);
        let spec = ShapeSpec {
            strides: [2, 1],
            dilations: [1, 2],
            pads_begin: [1, 2],
            pads_end: [1, 2],
            groups: 2,
            ..ShapeSpec::square(2, 3, 4, 2, 3)
        };
        let shape = LayerShape::new(spec).unwrap();
        let problem = ConvProblem { shape, ..dense(&activations, &weights, &[100, 0], 4) };
        // Filter 0: its first tap is at row 2p - 1, column q - 2, its last at row 2p + 1, column q + 2.
        let expected = [
            [[100 + 2 * 7, 100 + 2 * 8, 100, 100], [100, 100, 100 + 5, 100 + 6]],
            [[3 * 13, 3 * 14, 3 * 15, 3 * 16], [3 * 21, 3 * 22, 3 * 23, 3 * 24]],
        ];
        assert_eq!(conv_sums(&problem).unwrap(), expected.concat().concat());
    }

    #[test]
    fn offset_first_layer_equals_the_signed_one() {
        let activations = [-127, 127, 3, -5];
        let weights = [7, -3, 8, -1, -7, 2, 0, 4];
        let spec = ShapeSpec { r: 2, pads_begin: [1, 0], pads_end: [1, 0], ..ShapeSpec::square(2, 2, 1, 2, 1) };
        let shape = LayerShape::new(spec).unwrap();
        let signed = ConvProblem { activation_signed: true, shape, ..dense(&activations, &weights, &[11, -500], 4) };
        let sums = conv_sums(&signed).unwrap();
        assert_eq!(end_planes(&signed, EndTest::Negative), Err(ConvError::SignedOperands { bits: 8, offset: 0 }));
        let bias: Vec<i64> = signed
            .bias
            .iter()
            .zip(weights.chunks(4))
            .map(|(b, w)| b - 127 * i64::from(w.iter().sum::<i32>()))
            .collect();
        let offset = ConvProblem { bias: &bias, input_offset: 127, ..signed };
        let ends = end_planes(&offset, EndTest::Negative).unwrap();
        assert_eq!(ends.sums, sums);
        assert!(ends.planes.iter().any(|&planes| planes < 4));
    }

    #[test]
    fn faults_are_named() {
        let good = dense(&[5, 3], &[-6, 4], &[0], 4);
        let fault = |problem: ConvProblem| problem.validate_end().unwrap_err().to_string();
        assert_eq!(fault(ConvProblem { weights: &[-8, 4], ..good }), "weight 0 is -8, expected -7 to 8");
        assert_eq!(fault(ConvProblem { activations: &[0, 256], ..good }), "activation 1 is 256, expected 0 to 255");
        assert_eq!(fault(ConvProblem { bias: &[], ..good }), "bias has 0 elements, expected 1");
        let far = good.shape.with(|spec| spec.strides[0] = 1 << 25).unwrap();
        assert_eq!(fault(ConvProblem { shape: far, ..good }), "stride is 33554432, expected 1 to 16777216");
        assert_eq!(fault(ConvProblem { weight_bits: 17, ..good }), "weight_bits is 17, expected 2 to 16");
        let huge = good.shape.with(|spec| (spec.h, spec.w) = (1 << 24, 1 << 24)).unwrap();
        assert_eq!(
            fault(ConvProblem { shape: huge, ..good }),
            format!("activations has 2 elements, expected {}", 1_u64 << 49)
        );
        let wide = ConvProblem { activation_bits: 16, input_offset: 1, ..good };
        assert!(wide.validate().is_ok());
        let wider = ConvProblem { activation_signed: true, activation_bits: 16, input_offset: -1, ..good };
        assert!(wider.validate().is_err());
        let unpadded = ConvProblem { activation_signed: true, input_offset: 2, activations: &[-3, 0], ..good };
        assert_eq!(
            fault(unpadded),
            "early negative detection needs operands >= 0, but signed 8-bit activations plus 2 may be negative"
        );
    }
}
