//! Quantization by what the network sees when it runs, and integer products without a scale.
//!
//! Products of codes are summed in f32 where no sum can leave 24 bits, else in f64: exactly, either way.

use super::{Function, Steps, int};
use crate::onnx::dtype;
use crate::{DType, GraphError, Tensor};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { domain: "", name: "DynamicQuantizeLinear", attributes: &[], expand: quantize },
    Function { domain: "", name: "MatMulInteger", attributes: &[], expand: matmul },
    Function {
        domain: "",
        name: "ConvInteger",
        attributes: &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"],
        expand: conv,
    },
    Function::microsoft("MatMulIntegerToFloat", &[], matmul_to_float),
    Function::microsoft("DynamicQuantizeMatMul", &[], quantize_matmul),
];

pub(super) fn cast(to: DType) -> Vec<crate::onnx::proto::AttributeProto> {
    int("to", i64::from(dtype::to_onnx(to)))
}

/// Scale and zero point of a tensor: the range of its elements and 0 on 0 to 255. A range of nothing but 0 has the scale 1,
/// as in onnxruntime; ONNX's definition divides by 0 there.
pub(super) fn parameters(steps: &mut Steps<'_, '_>, x: &str) -> Result<[String; 2], GraphError> {
    let scalar = |value: f32| Tensor::from_f32(Vec::new(), vec![value]);
    let [zero, one, most] =
        [("zero", 0.0), ("one", 1.0), ("most", 255.0)].map(|(label, value)| steps.constant(label, scalar(value)));
    let least = steps.add("least", "ReduceMin", &[x], int("keepdims", 0))?;
    let least = steps.add("least_or_0", "Min", &[&least, &zero], Vec::new())?;
    let greatest = steps.add("greatest", "ReduceMax", &[x], int("keepdims", 0))?;
    let greatest = steps.add("greatest_or_0", "Max", &[&greatest, &zero], Vec::new())?;
    let range = steps.add("range", "Sub", &[&greatest, &least], Vec::new())?;
    let is_empty = steps.add("is_empty", "Equal", &[&range, &zero], Vec::new())?;
    let scale = steps.add("quotient", "Div", &[&range, &most], Vec::new())?;
    let scale = steps.add("scale", "Where", &[&is_empty, &one, &scale], Vec::new())?;
    let offset = steps.add("offset", "Div", &[&least, &scale], Vec::new())?;
    let offset = steps.add("code_of_0", "Sub", &[&zero, &offset], Vec::new())?;
    let offset = steps.add("clipped", "Clip", &[&offset, &zero, &most], Vec::new())?;
    let offset = steps.add("rounded", "Round", &[&offset], Vec::new())?;
    let zero_point = steps.add("zero_point", "Cast", &[&offset], cast(DType::U8))?;
    Ok([scale, zero_point])
}

fn quantize(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let x = steps.required(0)?;
    let [scale, zero_point] = parameters(steps, x)?;
    steps.output(0, "y", "QuantizeLinear", &[x, &scale, &zero_point], Vec::new())?;
    steps.output(1, "y_scale", "Identity", &[&scale], Vec::new())?;
    steps.output(2, "y_zero_point", "Identity", &[&zero_point], Vec::new())
}

/// Codes minus their zero point, in a floating-point type; `trailing` axes stand behind that of the zero points.
fn centred(
    steps: &mut Steps<'_, '_>,
    label: &str,
    [codes, zero_point]: [&str; 2],
    (to, trailing): (DType, usize),
) -> Result<String, GraphError> {
    let wide = steps.add(&format!("{label}_wide"), "Cast", &[codes], cast(to))?;
    if zero_point.is_empty() {
        return Ok(wide);
    }
    let mut offset = steps.add(&format!("{label}_offset"), "Cast", &[zero_point], cast(to))?;
    let n = steps.extents(&offset)?;
    let is_one = n.as_deref().is_some_and(|extents| extents.iter().all(|&extent| extent == Some(1)));
    if !is_one && trailing > 0 {
        let mut shape = vec![-1];
        shape.extend(vec![1; trailing]);
        let shape = steps.constant(&format!("{label}_shape"), Tensor::from_i64(vec![shape.len()], shape));
        offset = steps.add(&format!("{label}_offsets"), "Reshape", &[&offset, &shape], Vec::new())?;
    }
    steps.add(&format!("{label}_centred"), "Sub", &[&wide, &offset], Vec::new())
}

/// The narrowest type that sums `depth` products of codes without rounding.
fn accumulator(depth: Option<usize>) -> DType {
    // Codes minus a zero point lie within ±255.
    match depth.and_then(|depth| depth.checked_mul(255 * 255)) {
        Some(most) if most <= 1 << 24 => DType::F32,
        _ => DType::F64,
    }
}

fn matmul(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 4)?;
    let (a, b) = (steps.required(0)?, steps.required(1)?);
    let sums = integer_product(steps, [a, b], [steps.input(2), steps.input(3)])?;
    steps.last("Cast", &[&sums], cast(DType::I32))
}

/// The product of two tensors of codes, as whole numbers in a floating-point type.
pub(super) fn integer_product(
    steps: &mut Steps<'_, '_>,
    [a, b]: [&str; 2],
    [a_zero, b_zero]: [&str; 2],
) -> Result<String, GraphError> {
    let extents = steps.extents(b)?.unwrap_or_default();
    let depth = extents.len().checked_sub(2).and_then(|axis| extents[axis]);
    let to = accumulator(depth);
    // A zero point for each row of a, for each column of b.
    let a = centred(steps, "a", [a, a_zero], (to, 1))?;
    let b = centred(steps, "b", [b, b_zero], (to, 0))?;
    steps.add("sums", "MatMul", &[&a, &b], Vec::new())
}

fn conv(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 4)?;
    let (x, w) = (steps.required(0)?, steps.required(1)?);
    let extents = steps.extents(w)?.unwrap_or_default();
    let depth = extents.iter().skip(1).copied().try_fold(1_usize, |n, extent| n.checked_mul(extent?));
    let to = accumulator(depth.filter(|_| extents.len() > 1));
    let x = centred(steps, "x", [x, steps.input(2)], (to, 0))?;
    let w = centred(steps, "w", [w, steps.input(3)], (to, extents.len().saturating_sub(1)))?;
    let own = steps.own(&["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"]);
    let sums = steps.add("sums", "Conv", &[&x, &w], own)?;
    steps.last("Cast", &[&sums], cast(DType::I32))
}

fn matmul_to_float(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(4, 7)?;
    let a = steps.dequantized("a", [0, 2, 4], -2)?;
    let b = steps.dequantized("b", [1, 3, 5], -1)?;
    let bias = steps.input(6);
    if bias.is_empty() {
        return steps.last("MatMul", &[&a, &b], Vec::new());
    }
    let product = steps.main("product", "MatMul", &[&a, &b], Vec::new())?;
    steps.output(0, "sum", "Add", &[&product, bias], Vec::new())
}

fn quantize_matmul(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(3, 5)?;
    let (x, b, b_scale) = (steps.required(0)?, steps.required(1)?, steps.required(2)?);
    let [scale, zero_point] = parameters(steps, x)?;
    let codes = steps.add("codes", "QuantizeLinear", &[x, &scale, &zero_point], Vec::new())?;
    let sums = integer_product(steps, [&codes, b], [&zero_point, steps.input(3)])?;
    let sums = steps.add("float_sums", "Cast", &[&sums], cast(DType::F32))?;
    let factor = steps.add("factor", "Mul", &[&scale, b_scale], Vec::new())?;
    let bias = steps.input(4);
    if bias.is_empty() {
        return steps.last("Mul", &[&sums, &factor], Vec::new());
    }
    let product = steps.main("product", "Mul", &[&sums, &factor], Vec::new())?;
    steps.output(0, "sum", "Add", &[&product, bias], Vec::new())
}
