//! QONNX: quantization to any number of bits, as qonnx, FINN and brevitas write it.
//!
//! `Quant` to codes that a type holds becomes `QuantizeLinear`, a `Clip` of the codes where there are fewer than the type
//! has, and `DequantizeLinear`, which the integer network takes. qonnx rounds behind the zero point, ONNX before it: with an
//! odd one halves would go to the other side, so that it counts among what is written out in floating point, step by step
//! as qonnx computes it; with an even one other than 0 the two may differ within f32's last place of a half.
//!
//! # Source
//! qonnx 1.0.0, `qonnx/custom_op/general/{intquant,bipolar_quant,trunc,multithreshold}.py`.

use super::{Function, Steps, int};
use crate::onnx::dtype;
use crate::{DType, Data, GraphError, Tensor};

/// Domain of these operators.
const DOMAIN: &str = "qonnx.custom_op.general";

pub(super) const FUNCTIONS: &[Function] = &[
    Function { domain: DOMAIN, name: "Quant", attributes: &["narrow", "rounding_mode", "signed"], expand: quant },
    Function { domain: DOMAIN, name: "IntQuant", attributes: &["narrow", "rounding_mode", "signed"], expand: quant },
    Function { domain: DOMAIN, name: "BipolarQuant", attributes: &[], expand: bipolar },
    Function { domain: DOMAIN, name: "Trunc", attributes: &["narrow", "rounding_mode", "signed"], expand: trunc },
    Function {
        domain: DOMAIN,
        name: "MultiThreshold",
        attributes: &["data_layout", "out_bias", "out_dtype", "out_scale"],
        expand: multi_threshold,
    },
];

/// The domain under which the operators of a domain stand here: older files name it differently.
pub(super) fn domain(domain: &str) -> &str {
    match domain {
        "onnx.brevitas" | "finn.custom_op.general" | "finn" => DOMAIN,
        other => other,
    }
}

/// Codes of `bits` bits.
#[derive(Clone, Copy)]
struct Codes {
    bits: f64,
    is_signed: bool,
    is_narrow: bool,
}

impl Codes {
    /// The least and the greatest.
    fn bounds(self) -> [f64; 2] {
        let (half, narrow) = (2_f64.powf(self.bits - 1.0), f64::from(u8::from(self.is_narrow)));
        if self.is_signed { [narrow - half, half - 1.0] } else { [0.0, 2.0 * half - 1.0 - narrow] }
    }

    /// The type that holds them, if one does.
    fn dtype(self) -> Option<DType> {
        match (self.bits, self.is_signed) {
            (bits, _) if bits.fract() != 0.0 || !(1.0..=16.0).contains(&bits) => None,
            // Codes of one bit are -1 and 1.
            (1.0, true) => None,
            (..=8.0, true) => Some(DType::I8),
            (..=8.0, false) => Some(DType::U8),
            (_, true) => Some(DType::I16),
            (_, false) => Some(DType::U16),
        }
    }

    /// Whether the type that holds them has no others.
    fn fills(self, dtype: DType) -> bool {
        !self.is_narrow && self.bits as usize == 8 * dtype.n_bytes()
    }
}

/// The one number of a constant input.
fn number(steps: &mut Steps<'_, '_>, idx: usize, what: &str) -> Result<f64, GraphError> {
    let tensor = steps.constant_of(idx)?;
    match tensor.as_f32() {
        Some([number]) if number.is_finite() => Ok(f64::from(*number)),
        _ => Err(steps.node.unsupported(format!("{what} that is not one number"))),
    }
}

fn codes(steps: &mut Steps<'_, '_>, bits: usize) -> Result<Codes, GraphError> {
    let node = steps.node;
    let bits = number(steps, bits, "a width")?;
    if !(1.0..=32.0).contains(&bits) {
        return Err(node.invalid(format!("codes of {bits} bits, expected 1 to 32")));
    }
    Ok(Codes { bits, is_signed: node.flag("signed", true)?, is_narrow: node.flag("narrow", false)? })
}

fn rounding_mode(steps: &Steps<'_, '_>, default: &str) -> Result<String, GraphError> {
    Ok(steps.node.string("rounding_mode")?.unwrap_or(default).to_ascii_uppercase())
}

fn quant(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(4, 4)?;
    let codes = codes(steps, 3)?;
    let mode = rounding_mode(steps, "ROUND")?;
    let is_even = matches!(mode.as_str(), "ROUND" | "HALF_EVEN");
    if let Some(dtype) = codes.dtype().filter(|_| is_even)
        && let Some(parameters) = parameters(steps, dtype)?
    {
        return quantized(steps, codes, dtype, &parameters);
    }
    let (x, scale, zero) = (steps.required(0)?, steps.required(1)?, steps.required(2)?);
    let y = steps.add("quotient", "Div", &[x, scale], Vec::new())?;
    let y = steps.add("shifted", "Add", &[&y, zero], Vec::new())?;
    let y = if codes.is_signed && codes.bits.to_bits() == 1.0_f64.to_bits() {
        signs(steps, &y)?
    } else {
        let y = clamped(steps, &y, codes)?;
        rounded(steps, &mode, &y)?
    };
    let y = steps.add("centred", "Sub", &[&y, zero], Vec::new())?;
    steps.last("Mul", &[&y, scale], Vec::new())
}

/// Scale, zero point and axis of `QuantizeLinear`.
struct Parameters {
    scale: String,
    zero_point: String,
    axis: i64,
}

/// Scale and zero point as `QuantizeLinear` takes them: constants, for all or along one axis, zero points that are even
/// codes.
fn parameters(steps: &mut Steps<'_, '_>, dtype: DType) -> Result<Option<Parameters>, GraphError> {
    let (scale, zero) = (steps.required(1)?, steps.required(2)?);
    let (Some(scale), Some(zero)) = (steps.importer.constant(scale)?, steps.importer.constant(zero)?) else {
        return Ok(None);
    };
    let (Some(scales), Some(zeros)) = (scale.as_f32(), zero.as_f32()) else { return Ok(None) };
    let [least, greatest] = match dtype {
        DType::I8 => [-128.0, 127.0],
        DType::U8 => [0.0, 255.0],
        DType::I16 => [-32_768.0, 32_767.0],
        _ => [0.0, 65_535.0],
    };
    let is_code = |zero: &f32| (zero % 2.0).abs() < f32::MIN_POSITIVE && (least..=greatest).contains(zero);
    let is_scale = |scale: &f32| scale.is_finite() && *scale > 0.0;
    if !zeros.iter().all(is_code) || !scales.iter().all(is_scale) || zeros.is_empty() {
        return Ok(None);
    }
    let x = steps.required(0)?;
    let rank = steps.extents(x)?.map(|extents| extents.len());
    // Axes are counted from the last one, as they broadcast.
    let wide: Vec<usize> = (0..scale.shape().len()).filter(|&axis| scale.shape()[axis] != 1).collect();
    let (axis, n) = match (wide.as_slice(), rank) {
        ([], _) => (0, 1),
        (&[axis], Some(rank)) => match (axis + rank).checked_sub(scale.shape().len()) {
            Some(axis) => (axis as i64, scales.len()),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    let zeros: Vec<f32> = match zeros {
        [zero] => vec![*zero; n],
        zeros if zero.shape() == scale.shape() => zeros.to_vec(),
        _ => return Ok(None),
    };
    let data: Data = match dtype {
        DType::I8 => zeros.iter().map(|&zero| zero as i8).collect::<Vec<_>>().into(),
        DType::U8 => zeros.iter().map(|&zero| zero as u8).collect::<Vec<_>>().into(),
        DType::I16 => zeros.iter().map(|&zero| zero as i16).collect::<Vec<_>>().into(),
        _ => zeros.iter().map(|&zero| zero as u16).collect::<Vec<_>>().into(),
    };
    let shape = if wide.is_empty() { Vec::new() } else { vec![n] };
    let zero_point = Tensor::new(shape.clone(), data).ok_or_else(|| steps.node.invalid("no zero point"))?;
    let scale = steps.constant("scale", Tensor::from_f32(shape, scales.to_vec()));
    let zero_point = steps.constant("zero_point", zero_point);
    Ok(Some(Parameters { scale, zero_point, axis }))
}

fn quantized(steps: &mut Steps<'_, '_>, codes: Codes, dtype: DType, parameters: &Parameters) -> Result<(), GraphError> {
    let Parameters { scale, zero_point, axis } = parameters;
    let x = steps.required(0)?;
    let mut y = steps.add("codes", "QuantizeLinear", &[x, scale, zero_point], int("axis", *axis))?;
    if !codes.fills(dtype) {
        let bounds = codes.bounds().map(|bound| bound as i64);
        let mut names = Vec::with_capacity(2);
        for (label, bound) in ["least", "greatest"].into_iter().zip(bounds) {
            let bound = steps.constant(&format!("{label}_number"), Tensor::from_i64(Vec::new(), vec![bound]));
            names.push(steps.add(label, "Cast", &[&bound], int("to", i64::from(dtype::to_onnx(dtype))))?);
        }
        y = steps.add("fewer_codes", "Clip", &[&y, &names[0], &names[1]], Vec::new())?;
    }
    steps.last("DequantizeLinear", &[&y, scale, zero_point], int("axis", *axis))
}

/// 1 from 0 on, else -1.
fn signs(steps: &mut Steps<'_, '_>, x: &str) -> Result<String, GraphError> {
    let [zero, one, minus_one] = [("zero", 0.0), ("one", 1.0), ("minus_one", -1.0)].map(|(l, v)| steps.float(l, v));
    let is_not_negative = steps.add("is_not_negative", "GreaterOrEqual", &[x, &zero], Vec::new())?;
    steps.add("signs", "Where", &[&is_not_negative, &one, &minus_one], Vec::new())
}

fn clamped(steps: &mut Steps<'_, '_>, x: &str, codes: Codes) -> Result<String, GraphError> {
    let [least, greatest] = codes.bounds();
    let (least, greatest) = (steps.float("least", least as f32), steps.float("greatest", greatest as f32));
    steps.add("clamped", "Clip", &[x, &least, &greatest], Vec::new())
}

/// Whole numbers, by one of qonnx's rules.
fn rounded(steps: &mut Steps<'_, '_>, mode: &str, x: &str) -> Result<String, GraphError> {
    let (round, shift) = match mode {
        "ROUND" | "HALF_EVEN" => return steps.add("rounded", "Round", &[x], Vec::new()),
        "CEIL" => return steps.add("rounded", "Ceil", &[x], Vec::new()),
        "FLOOR" => return steps.add("rounded", "Floor", &[x], Vec::new()),
        "UP" => ("Ceil", 0.0),
        "DOWN" => ("Floor", 0.0),
        "HALF_UP" => ("Floor", 0.5),
        "HALF_DOWN" => ("Ceil", -0.5),
        other => return Err(steps.node.unsupported(format!("rounding_mode \"{other}\""))),
    };
    let sign = steps.add("sign", "Sign", &[x], Vec::new())?;
    let mut magnitude = steps.add("magnitude", "Abs", &[x], Vec::new())?;
    if shift != 0.0 {
        let shift = steps.float("half", shift);
        magnitude = steps.add("shifted_magnitude", "Add", &[&magnitude, &shift], Vec::new())?;
    }
    let whole = steps.add("whole", round, &[&magnitude], Vec::new())?;
    steps.add("rounded", "Mul", &[&sign, &whole], Vec::new())
}

fn bipolar(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 2)?;
    let (x, scale) = (steps.required(0)?, steps.required(1)?);
    let y = signs(steps, x)?;
    steps.last("Mul", &[&y, scale], Vec::new())
}

/// Low bits of codes cut off. With five inputs (value, scale, zero point, width before, width after) the form of version 1,
/// with six (the scale before the last width) that of version 2, which keeps the value.
fn trunc(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(5, 6)?;
    let mode = rounding_mode(steps, "FLOOR")?;
    let (x, scale, zero) = (steps.required(0)?, steps.required(1)?, steps.required(2)?);
    let y = steps.add("quotient", "Div", &[x, scale], Vec::new())?;
    let y = steps.add("shifted", "Add", &[&y, zero], Vec::new())?;
    let y = steps.add("codes", "Round", &[&y], Vec::new())?;
    if steps.node.n_inputs() == 5 {
        let cut = number(steps, 3, "a width")? - number(steps, 4, "a width")?;
        let divisor = steps.float("cut", 2_f64.powf(cut) as f32);
        let y = steps.add("shorter", "Div", &[&y, &divisor], Vec::new())?;
        let y = rounded(steps, &mode, &y)?;
        let y = steps.add("centred", "Sub", &[&y, zero], Vec::new())?;
        return steps.last("Mul", &[&y, scale], Vec::new());
    }
    let codes = codes(steps, 5)?;
    let (before, after) = (steps.constant_of(1)?, steps.constant_of(4)?);
    let (Some(&[before]), Some(&[after])) = (before.as_f32(), after.as_f32()) else {
        return Err(steps.node.unsupported("a truncation with a scale for each channel"));
    };
    let cut = 2_f64.powf((f64::from(after) / f64::from(before)).log2().round_ties_even());
    if !cut.is_finite() {
        return Err(steps.node.invalid(format!("the scales {before} and {after}")));
    }
    let divisor = steps.float("cut", cut as f32);
    let y = steps.add("shorter", "Div", &[&y, &divisor], Vec::new())?;
    let y = clamped(steps, &y, codes)?;
    let y = rounded(steps, &mode, &y)?;
    let zero = steps.add("shorter_zero_point", "Div", &[zero, &divisor], Vec::new())?;
    let y = steps.add("centred", "Sub", &[&y, &zero], Vec::new())?;
    let scale = steps.required(4)?;
    steps.last("Mul", &[&y, scale], Vec::new())
}

/// How many thresholds of its channel each element reaches.
fn multi_threshold(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 2)?;
    let node = steps.node;
    let (x, thresholds) = (steps.required(0)?, steps.required(1)?);
    let rank = steps.rank(x)?;
    let layout = match (node.string("data_layout")?.unwrap_or_default(), rank) {
        ("", 2) => "NC",
        ("", 3) => "NWC",
        ("", 4) => "NCHW",
        (stated, _) => stated,
    };
    let channels = layout.find('C').unwrap_or(1);
    if channels >= rank {
        return Err(node.invalid(format!("channels along axis {channels} of {rank}")));
    }
    let n = steps.known_extent(thresholds, 1)?;
    let n = n.filter(|_| rank > 0).ok_or_else(|| node.invalid("thresholds that are not [channels, steps]"))?;
    let mut shape = vec![-1];
    shape.extend(vec![1; rank - 1 - channels]);
    shape.push(n as i64);
    let shape = steps.ints("shape", &shape);
    let thresholds = steps.add("thresholds", "Reshape", &[thresholds, &shape], Vec::new())?;
    let last = steps.ints("last_axis", &[-1]);
    let each = steps.add("each", "Unsqueeze", &[x, &last], Vec::new())?;
    let reached = steps.add("reached", "GreaterOrEqual", &[&each, &thresholds], Vec::new())?;
    let ones = steps.add("ones", "Cast", &[&reached], int("to", i64::from(dtype::to_onnx(DType::F32))))?;
    let y = steps.add("count", "ReduceSum", &[&ones, &last], int("keepdims", 0))?;
    let (scale, shift) = (node.float_or("out_scale", 1.0)?, node.float_or("out_bias", 0.0)?);
    let (scale, shift) = (steps.float("out_scale", scale), steps.float("out_bias", shift));
    let y = steps.main("scaled", "Mul", &[&y, &scale], Vec::new())?;
    steps.output(0, "shifted", "Add", &[&y, &shift], Vec::new())
}
