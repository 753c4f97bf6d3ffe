//! The ONNX operators: each with its import and, where a graph operator corresponds, its export.

mod activation;
mod arithmetic;
mod cast;
mod clip;
mod constant;
mod conv;
mod dropout;
mod gemm;
mod identity;
mod normalization;
mod pad;
mod pool;
mod quantize;
mod reduce;
mod reshape;
mod shape_arithmetic;
mod slice;
mod softmax;
mod split;
mod squeeze;
mod transpose;
mod window;

use super::export::{Context, Form};
use super::import::{Importer, NodeView};
use crate::{GraphError, Op};

/// How one ONNX operator is imported, in every form that the supported operator sets give it.
pub(crate) trait OnnxOperator: Sync {
    /// Operator name.
    fn name(&self) -> &'static str;

    /// Every attribute of every version. A node with another one is refused.
    fn attributes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Adds what the node computes to the graph.
    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError>;
}

/// Every ONNX operator that can be imported.
pub(crate) static OPERATORS: &[&dyn OnnxOperator] = &[
    &conv::Conv,
    &gemm::Gemm,
    &gemm::MatMul,
    &normalization::BatchNormalization,
    &normalization::Lrn,
    &activation::RELU,
    &activation::LeakyRelu,
    &activation::PRelu,
    &clip::Clip,
    &activation::SIGMOID,
    &activation::HardSigmoid,
    &activation::HARD_SWISH,
    &activation::TANH,
    &activation::SIGN,
    &softmax::Softmax,
    &arithmetic::ADD,
    &arithmetic::SUB,
    &arithmetic::MUL,
    &arithmetic::DIV,
    &split::Concat,
    &split::Split,
    &slice::Slice,
    &pad::Pad,
    &pool::MaxPool,
    &pool::AveragePool,
    &pool::GLOBAL_AVERAGE_POOL,
    &pool::GLOBAL_MAX_POOL,
    &reduce::ReduceMean,
    &reshape::Flatten,
    &reshape::Reshape,
    &transpose::Transpose,
    &squeeze::Squeeze,
    &squeeze::Unsqueeze,
    &dropout::Dropout,
    &identity::Identity,
    &constant::Constant,
    &cast::Cast,
    &quantize::QuantizeLinear,
    &quantize::DequantizeLinear,
    &shape_arithmetic::Shape,
    &shape_arithmetic::Gather,
    &shape_arithmetic::ConstantOfShape,
    &shape_arithmetic::Range,
    &shape_arithmetic::Expand,
    &shape_arithmetic::Floor,
    &shape_arithmetic::ReduceProd,
];

/// The operator of that name.
pub(crate) fn find(name: &str) -> Option<&'static dyn OnnxOperator> {
    OPERATORS.iter().copied().find(|operator| operator.name() == name)
}

/// The ONNX form of a graph operator.
pub(crate) fn export(op: &Op, context: Context) -> Result<Form, String> {
    let plain = Form::new(op.name());
    Ok(match op {
        Op::Conv { window, groups } => conv::export(plain, window, *groups),
        Op::Gemm(gemm) => gemm::export(plain, gemm),
        Op::BatchNormalization { epsilon } => plain.float("epsilon", *epsilon),
        Op::LeakyRelu { alpha } => plain.float("alpha", *alpha),
        Op::HardSigmoid { alpha, beta } => plain.float("alpha", *alpha).float("beta", *beta),
        Op::HardSwish => plain.since(14),
        Op::Clip { min, max } => clip::export(plain, *min, *max, context.dtype)?,
        Op::Softmax { axis } => plain.since(13).int("axis", *axis),
        Op::Relu | Op::Add | Op::Sub | Op::Mul | Op::Div => arithmetic::export(plain, context.dtype),
        Op::MatMul
        | Op::PRelu
        | Op::Sigmoid
        | Op::Tanh
        | Op::Sign
        | Op::GlobalAveragePool
        | Op::GlobalMaxPool
        | Op::Identity => plain,
        Op::Dropout { ratio } => dropout::export(plain, *ratio, context.dtype)?,
        Op::Concat { axis } => plain.int("axis", *axis),
        Op::Split { axis, sizes } => split::export(plain, *axis, sizes),
        Op::Slice(slice) => slice::export(plain, slice),
        Op::Pad(pad) => pad::export(plain, pad, context.dtype)?,
        Op::MaxPool(window) => pool::export_max(plain, window),
        Op::AveragePool { window, count_include_pad } => pool::export_average(plain, window, *count_include_pad),
        Op::ReduceMean { axes, keep_dims } => reduce::export(plain, axes, *keep_dims, context.opset),
        Op::Flatten { axis } => plain.int("axis", *axis),
        Op::Reshape { shape, allow_zero } => reshape::export(plain, shape, *allow_zero)?,
        Op::Transpose { perm } => plain.counts("perm", perm),
        Op::Squeeze { axes } => squeeze::export(plain, axes),
        Op::Unsqueeze { axes } => plain.since(13).int_vector(1, "axes", axes),
        Op::Lrn { size, alpha, beta, bias } => normalization::export_lrn(plain, *size, *alpha, *beta, *bias),
        Op::Cast { to } => plain.int("to", i64::from(super::dtype::to_onnx(*to))),
        Op::QuantizeLinear { axis } => quantize::export(plain, *axis, context),
        Op::DequantizeLinear { axis } => quantize::export(plain, *axis, context),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = OPERATORS.iter().map(|operator| operator.name()).collect();
        let n_operators = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), n_operators);
    }
}
