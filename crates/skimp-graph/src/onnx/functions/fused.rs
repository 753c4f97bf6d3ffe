//! Float operators of onnxruntime's optimizers that are several of ONNX's in one.

use super::{Function, Steps, int};
use crate::onnx::export::Form;
use crate::{GraphError, Tensor};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::microsoft("Gelu", &[], |steps| gelu(steps, "none")),
    Function::microsoft("BiasGelu", &[], |steps| gelu(steps, "none")),
    Function::microsoft("FastGelu", &[], |steps| gelu(steps, "tanh")),
    Function::microsoft("QuickGelu", &["alpha"], quick_gelu),
    Function::microsoft(
        "FusedConv",
        &["activation", "activation_params", "auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"],
        conv,
    ),
    Function::microsoft("FusedMatMul", &["alpha", "transA", "transB", "transBatchA", "transBatchB"], matmul),
    Function::microsoft(
        "NhwcMaxPool",
        &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"],
        channels_last_max_pool,
    ),
    Function::microsoft("SkipLayerNormalization", &["epsilon"], skip_layer_normalization),
    Function::microsoft("SkipSimplifiedLayerNormalization", &["epsilon"], skip_rms_normalization),
    Function::microsoft(
        "FusedGemm",
        &[
            "activation",
            "activation_alpha",
            "activation_beta",
            "activation_gamma",
            "activation_params",
            "alpha",
            "beta",
            "transA",
            "transB",
        ],
        gemm,
    ),
];

/// Gelu of the first input, plus the second where there is one.
fn gelu(steps: &mut Steps<'_, '_>, approximate: &str) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 2)?;
    let mut x = steps.required(0)?.to_owned();
    let bias = steps.input(1);
    if !bias.is_empty() {
        x = steps.add("sum", "Add", &[&x, bias], Vec::new())?;
    }
    steps.last("Gelu", &[&x], Form::new("").string("approximate", approximate).attributes)
}

fn quick_gelu(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let alpha = steps.node.float_or("alpha", 1.702)?;
    let x = steps.required(0)?;
    steps.last("Swish", &[x], Form::new("").float("alpha", alpha).attributes)
}

/// A convolution, a sum with the fourth input where there is one, and an activation function.
fn conv(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 4)?;
    let inputs = [steps.required(0)?, steps.required(1)?, steps.input(2)];
    let own = steps.own(&["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"]);
    let mut y = steps.main("y", "Conv", &inputs, own)?;
    let addend = steps.input(3);
    if !addend.is_empty() {
        y = steps.add("sum", "Add", &[&y, addend], Vec::new())?;
    }
    let given = steps.node.floats("activation_params")?.unwrap_or_default().to_vec();
    activated(steps, &y, &given)
}

/// A product of matrices, and an activation function.
fn gemm(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 3)?;
    let inputs = [steps.required(0)?, steps.required(1)?, steps.input(2)];
    let own = steps.own(&["alpha", "beta", "transA", "transB"]);
    let y = steps.main("y", "Gemm", &inputs, own)?;
    let mut given = Vec::new();
    for key in ["activation_alpha", "activation_beta", "activation_gamma"] {
        given.extend(steps.node.float(key)?);
    }
    if let Some(listed) = steps.node.floats("activation_params")? {
        given = listed.to_vec();
    }
    activated(steps, &y, &given)
}

/// The activation function that the node names, with its numbers.
fn activated(steps: &mut Steps<'_, '_>, y: &str, given: &[f32]) -> Result<(), GraphError> {
    let number = |idx: usize, default: f32| given.get(idx).copied().unwrap_or(default);
    match steps.node.string("activation")?.unwrap_or_default() {
        "" => steps.output(0, "same", "Identity", &[y], Vec::new()),
        "Relu" => steps.output(0, "activation", "Relu", &[y], Vec::new()),
        "Sigmoid" => steps.output(0, "activation", "Sigmoid", &[y], Vec::new()),
        "Tanh" => steps.output(0, "activation", "Tanh", &[y], Vec::new()),
        "LeakyRelu" => {
            let alpha = Form::new("").float("alpha", number(0, 0.01)).attributes;
            steps.output(0, "activation", "LeakyRelu", &[y], alpha)
        }
        "HardSigmoid" => {
            let numbers = Form::new("").float("alpha", number(0, 0.2)).float("beta", number(1, 0.5)).attributes;
            steps.output(0, "activation", "HardSigmoid", &[y], numbers)
        }
        "Clip" => {
            let [least, greatest] = [("least", number(0, f32::MIN)), ("greatest", number(1, f32::MAX))]
                .map(|(label, bound)| steps.constant(label, Tensor::from_f32(Vec::new(), vec![bound])));
            steps.output(0, "activation", "Clip", &[y, &least, &greatest], Vec::new())
        }
        other => Err(steps.node.unsupported(format!("activation \"{other}\""))),
    }
}

/// A product of two tensors, each with its last two axes swapped where it says so, times a factor.
fn matmul(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 2)?;
    if steps.node.int_or("transBatchA", 0)? != 0 || steps.node.int_or("transBatchB", 0)? != 0 {
        return Err(steps.node.unsupported("transposed batches"));
    }
    let mut operands = [steps.required(0)?.to_owned(), steps.required(1)?.to_owned()];
    for (operand, (key, label)) in operands.iter_mut().zip([("transA", "a"), ("transB", "b")]) {
        if steps.node.int_or(key, 0)? == 0 {
            continue;
        }
        let Some(rank) = steps.extents(operand)?.map(|extents| extents.len()).filter(|&rank| rank >= 2) else {
            return Err(steps.node.unsupported("a transposed operand of unknown rank, or a vector"));
        };
        let mut order: Vec<i64> = (0..rank as i64).collect();
        order.swap(rank - 2, rank - 1);
        *operand = steps.add(label, "Transpose", &[operand.as_str()], Form::new("").ints("perm", order).attributes)?;
    }
    let alpha = steps.node.float_or("alpha", 1.0)?;
    let operands = [operands[0].as_str(), &operands[1]];
    if alpha.to_bits() == 1.0_f32.to_bits() {
        return steps.last("MatMul", &operands, Vec::new());
    }
    let product = steps.main("product", "MatMul", &operands, Vec::new())?;
    let alpha = steps.constant("alpha", Tensor::from_f32(Vec::new(), vec![alpha]));
    steps.output(0, "scaled", "Mul", &[&product, &alpha], Vec::new())
}

/// A maximum over windows of an image whose channels are the last axis.
fn channels_last_max_pool(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let x = steps.required(0)?;
    let rank = steps.rank(x)? as i64;
    if rank < 3 {
        return Err(steps.node.invalid(format!("input has {rank} dims, expected 3 or more (n, .., c)")));
    }
    let first: Vec<i64> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    let last: Vec<i64> = [0].into_iter().chain(2..rank).chain([1]).collect();
    let x = steps.add("channels_first", "Transpose", &[x], Form::new("").ints("perm", first).attributes)?;
    let own = steps.own(&["auto_pad", "ceil_mode", "dilations", "kernel_shape", "pads", "strides"]);
    let y = steps.main("y", "MaxPool", &[&x], own)?;
    steps.output(0, "channels_last", "Transpose", &[&y], Form::new("").ints("perm", last).attributes)
}

/// Root mean square normalization of a sum of two values and a bias. The fourth output is the sum.
fn skip_rms_normalization(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(3, 4)?;
    let sum = steps.add("sum", "Add", &[steps.required(0)?, steps.required(1)?], Vec::new())?;
    let bias = steps.input(3);
    let sum = if bias.is_empty() { sum } else { steps.add("biased", "Add", &[&sum, bias], Vec::new())? };
    let epsilon = Form::new("").float("epsilon", steps.node.float_or("epsilon", 1e-5)?).attributes;
    let y = steps.main("y", "RMSNormalization", &[&sum, steps.required(2)?], epsilon)?;
    steps.output(0, "normalized", "Identity", &[&y], Vec::new())?;
    steps.output(3, "input_sum", "Identity", &[&sum], Vec::new())
}

/// Layer normalization of a sum of two values and a bias. The fourth output is the sum.
fn skip_layer_normalization(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(3, 5)?;
    let sum = steps.add("sum", "Add", &[steps.required(0)?, steps.required(1)?], Vec::new())?;
    let bias = steps.input(4);
    let sum = if bias.is_empty() { sum } else { steps.add("biased", "Add", &[&sum, bias], Vec::new())? };
    let epsilon = steps.node.float_or("epsilon", 1e-12)?;
    let inputs = [sum.as_str(), steps.required(2)?, steps.input(3)];
    let attributes = Form::new("").float("epsilon", epsilon).attributes;
    let y = steps.main("y", "LayerNormalization", &inputs, [attributes, int("axis", -1)].concat())?;
    steps.output(0, "normalized", "Identity", &[&y], Vec::new())?;
    steps.output(3, "input_sum", "Identity", &[&sum], Vec::new())
}
