//! Operators on codes (the QOperator form): codes in, scales and zero points beside them, codes out. Each is the float
//! operator between `DequantizeLinear` and `QuantizeLinear`.
//!
//! Differs: onnxruntime's kernels sum products of codes as integers and scale once; the f32 engine sums dequantized values,
//! so a code at a rounding edge may fall to the other side. The integer network sums integers.

use super::{Function, Steps, int};
use crate::onnx::export::Form;
use crate::onnx::import::as_f32;
use crate::{GraphError, Tensor};

const WINDOW: &[&str] = &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];
const POOL: &[&str] = &["auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides"];

pub(super) const FUNCTIONS: &[Function] = &[
    Function { domain: "", name: "QLinearConv", attributes: WINDOW, expand: conv },
    Function { domain: "", name: "QLinearMatMul", attributes: &[], expand: matmul },
    Function::microsoft(
        "QLinearConv",
        &["auto_pad", "channels_last", "dilations", "group", "kernel_shape", "pads", "strides"],
        conv,
    ),
    Function::microsoft("QuantizeLinear", &["axis"], |steps| same(steps, "QuantizeLinear")),
    Function::microsoft("DequantizeLinear", &["axis"], |steps| same(steps, "DequantizeLinear")),
    Function::microsoft("QLinearAdd", &[], |steps| binary(steps, "Add")),
    Function::microsoft("QLinearMul", &[], |steps| binary(steps, "Mul")),
    Function::microsoft("QLinearConcat", &["axis"], concat),
    Function::microsoft("QLinearSigmoid", &[], |steps| unary(steps, "Sigmoid", &[])),
    Function::microsoft("QLinearLeakyRelu", &["alpha"], |steps| unary(steps, "LeakyRelu", &["alpha"])),
    Function::microsoft("QLinearSoftmax", &["axis", "opset"], softmax),
    Function::microsoft("QLinearGlobalAveragePool", &["channels_last"], |steps| unary(steps, "GlobalAveragePool", &[])),
    Function::microsoft(
        "QLinearAveragePool",
        &["auto_pad", "ceil_mode", "channels_last", "count_include_pad", "kernel_shape", "pads", "strides"],
        |steps| unary(steps, "AveragePool", POOL),
    ),
    Function::microsoft("QLinearReduceMean", &["axes", "keepdims"], reduce_mean),
    Function::microsoft("QLinearWhere", &[], choice),
    Function::microsoft("QGemm", &["alpha", "transA", "transB"], gemm),
];

/// The codes' layout is that of ONNX.
fn check_layout(steps: &Steps<'_, '_>) -> Result<(), GraphError> {
    if steps.node.int_or("channels_last", 0)? == 0 {
        return Ok(());
    }
    Err(steps.node.unsupported("channels as the last axis (channels_last = 1)"))
}

fn same(steps: &mut Steps<'_, '_>, op: &'static str) -> Result<(), GraphError> {
    let inputs = [steps.required(0)?, steps.required(1)?, steps.input(2)];
    let own = steps.own(&["axis"]);
    steps.last(op, &inputs, own)
}

/// A bias in units of the product of two scales, dequantized.
fn bias(steps: &mut Steps<'_, '_>, idx: usize, scales: [usize; 2], factor: f32) -> Result<Option<String>, GraphError> {
    if steps.input(idx).is_empty() {
        return Ok(None);
    }
    let [a, b] = [steps.constant_of(scales[0])?, steps.constant_of(scales[1])?];
    let (Some(a), Some(b)) = (as_f32(&a), as_f32(&b)) else {
        return Err(steps.node.invalid("a scale is not FLOAT"));
    };
    let &[a] = a.as_slice() else { return Err(steps.node.unsupported("several scales of the activation")) };
    let products: Vec<f32> = b.iter().map(|b| factor * (a * b)).collect();
    let shape = if products.len() == 1 { Vec::new() } else { vec![products.len()] };
    let scale = steps.constant("bias_scale", Tensor::from_f32(shape, products));
    let codes = steps.required(idx)?;
    steps.add("bias", "DequantizeLinear", &[codes, &scale], int("axis", 0)).map(Some)
}

fn conv(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(8, 9)?;
    check_layout(steps)?;
    let x = steps.dequantized("x", [0, 1, 2], 1)?;
    let w = steps.dequantized("w", [3, 4, 5], 0)?;
    let bias = bias(steps, 8, [1, 4], 1.0)?;
    let own = steps.own(WINDOW);
    let y = steps.main("y", "Conv", &[&x, &w, bias.as_deref().unwrap_or_default()], own)?;
    steps.quantized(&y, [6, 7], 0)
}

fn matmul(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(8, 8)?;
    let a = steps.dequantized("a", [0, 1, 2], -2)?;
    let b = steps.dequantized("b", [3, 4, 5], -1)?;
    let y = steps.main("y", "MatMul", &[&a, &b], Vec::new())?;
    steps.quantized(&y, [6, 7], 0)
}

fn gemm(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(6, 9)?;
    let a = steps.dequantized("a", [0, 1, 2], 0)?;
    let columns = i64::from(steps.node.int_or("transB", 0)? == 0);
    let b = steps.dequantized("b", [3, 4, 5], columns)?;
    let bias = bias(steps, 6, [1, 4], steps.node.float_or("alpha", 1.0)?)?;
    let inputs = [a.as_str(), &b, bias.as_deref().unwrap_or_default()];
    let own = steps.own(&["alpha", "transA", "transB"]);
    if steps.input(7).is_empty() {
        return steps.last("Gemm", &inputs, own);
    }
    let y = steps.main("y", "Gemm", &inputs, own)?;
    steps.quantized(&y, [7, 8], 0)
}

fn binary(steps: &mut Steps<'_, '_>, op: &'static str) -> Result<(), GraphError> {
    steps.node.check_inputs(7, 8)?;
    let a = steps.dequantized("a", [0, 1, 2], 1)?;
    let b = steps.dequantized("b", [3, 4, 5], 1)?;
    let y = steps.main("y", op, &[&a, &b], Vec::new())?;
    steps.quantized(&y, [6, 7], 0)
}

fn unary(steps: &mut Steps<'_, '_>, op: &'static str, attributes: &[&str]) -> Result<(), GraphError> {
    steps.node.check_inputs(4, 5)?;
    let x = steps.dequantized("x", [0, 1, 2], 1)?;
    let own = steps.own(attributes);
    if steps.node.int_or("channels_last", 0)? == 0 {
        let y = steps.main("y", op, &[&x], own)?;
        return steps.quantized(&y, [3, 4], 0);
    }
    let rank = steps.rank(&x)? as i64;
    if rank < 3 {
        return Err(steps.node.invalid(format!("input has {rank} dims, expected 3 or more (n, .., c)")));
    }
    let first: Vec<i64> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let last: Vec<i64> = [0].into_iter().chain(2..rank).chain([1]).collect();
    let x = steps.add("channels_first", "Transpose", &[&x], Form::new("").ints("perm", first).attributes)?;
    let y = steps.main("y", op, &[&x], own)?;
    let y = steps.add("channels_last", "Transpose", &[&y], Form::new("").ints("perm", last).attributes)?;
    steps.quantized(&y, [3, 4], 0)
}

fn softmax(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(4, 5)?;
    if steps.node.int_or("opset", 13)? < 13 {
        return Err(steps.node.unsupported("Softmax as before operator set 13, over several axes at once"));
    }
    let x = steps.dequantized("x", [0, 1, 2], 1)?;
    let axis = steps.node.int_or("axis", -1)?;
    let y = steps.main("y", "Softmax", &[&x], int("axis", axis))?;
    steps.quantized(&y, [3, 4], 0)
}

fn reduce_mean(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(4, 5)?;
    let axes = steps.node.ints("axes")?.map(<[i64]>::to_vec);
    let x = steps.dequantized("x", [0, 1, 2], 1)?;
    let axes = axes.map(|axes| steps.constant("axes", Tensor::from_i64(vec![axes.len()], axes)));
    let own = steps.own(&["keepdims"]);
    let y = steps.main("y", "ReduceMean", &[&x, axes.as_deref().unwrap_or_default()], own)?;
    steps.quantized(&y, [3, 4], 0)
}

fn choice(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(8, 9)?;
    let x = steps.dequantized("x", [1, 2, 3], 1)?;
    let y = steps.dequantized("y", [4, 5, 6], 1)?;
    let condition = steps.required(0)?;
    let z = steps.main("z", "Where", &[condition, &x, &y], Vec::new())?;
    steps.quantized(&z, [7, 8], 1)
}

fn concat(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let n_inputs = steps.node.n_inputs();
    if n_inputs < 5 || !(n_inputs - 2).is_multiple_of(3) {
        return Err(steps.node.invalid(format!("{n_inputs} inputs, expected two and three more for each operand")));
    }
    let parts = (2..n_inputs).step_by(3).enumerate();
    let parts: Vec<String> = parts
        .map(|(part, idx)| steps.dequantized(&format!("part{part}"), [idx, idx + 1, idx + 2], 1))
        .collect::<Result<_, _>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let axis = steps.node.int("axis")?.ok_or_else(|| steps.node.invalid("attribute \"axis\" is missing"))?;
    let y = steps.main("y", "Concat", &parts, Form::new("").int("axis", axis).attributes)?;
    steps.quantized(&y, [0, 1], 2)
}
