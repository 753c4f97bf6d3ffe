//! The operators of an integer network besides the multiply-accumulate layer, naively.

use super::{
    CodeTensor, Encoding, IntegerNode, IntegerOp, IntegerTensor, ValueKind, moves, pool, shapes::node_output_shapes,
};
use crate::{GraphError, Op, Tensor, reference, shape::broadcast};

/// The outputs of `node`, which is no [`IntegerOp::Mac`], by the definition of its operator.
///
/// `input_kinds` and `output_kinds` belong to the values the node reads and makes.
///
/// # Errors
/// [`GraphError::InvalidNode`] if an input does not fit the operator, [`GraphError::InvalidInput`] if a real number to
/// quantize is NaN, and the errors of [`reference::evaluate`] for a float operator.
pub fn evaluate(
    node: &IntegerNode,
    inputs: &[&IntegerTensor],
    input_kinds: &[ValueKind],
    output_kinds: &[ValueKind],
) -> Result<Vec<IntegerTensor>, GraphError> {
    let context = Context { node, inputs, input_kinds, output_kinds };
    if let IntegerOp::Float { op, constants } = &node.op {
        return context.float(op, constants);
    }
    let shapes: Vec<&[usize]> = inputs.iter().map(|t| t.shape()).collect();
    let shape = node_output_shapes(node, &shapes)?.into_iter().next().unwrap_or_default();
    let invalid = |cause: String| context.invalid(cause);
    let output = match &node.op {
        IntegerOp::Quantize => context.quantize()?,
        IntegerOp::Dequantize => context.dequantize()?,
        IntegerOp::MaxPool(window) => {
            let encoding = context.encoding(input_kinds, 0)?;
            IntegerTensor::Codes(pool::max_pool(&node.name, window.as_ref(), context.codes(0)?, &encoding)?)
        }
        IntegerOp::AveragePool { window, count_include_pad } => {
            let (from, to) = (context.encoding(input_kinds, 0)?, &output_kinds[0]);
            pool::average_pool(&node.name, (window.as_ref(), *count_include_pad), context.codes(0)?, &from, to)?
        }
        IntegerOp::Add { factor_a, factor_b, shift } => {
            let encoding = context.encoding(output_kinds, 0)?;
            add(context.codes(0)?, context.codes(1)?, (*factor_a, *factor_b, *shift), &encoding)
                .ok_or_else(|| context.invalid("shapes do not broadcast"))?
        }
        IntegerOp::Rescale { multiplier, min, max } => {
            let encoding = context.encoding(output_kinds, 0)?;
            let code = |&code: &i32| encoding.saturate(multiplier.apply(i64::from(code))).clamp(*min, *max);
            context.map_codes(code)?
        }
        IntegerOp::Sign => context.map_codes(|code| code.signum())?,
        IntegerOp::Concat { axis } => {
            let parts = (0..inputs.len()).map(|i| context.codes(i)).collect::<Result<Vec<_>, _>>()?;
            IntegerTensor::Codes(moves::concat(&parts, *axis, shape).map_err(invalid)?)
        }
        IntegerOp::Slice(slice) => {
            IntegerTensor::Codes(moves::slice(context.codes(0)?, slice, shape).map_err(invalid)?)
        }
        IntegerOp::Pad(pad) => {
            let encoding = context.encoding(input_kinds, 0)?;
            let fill = quantized(f64::from(pad.value), &encoding);
            IntegerTensor::Codes(moves::pad(context.codes(0)?, pad, fill, shape))
        }
        IntegerOp::Move(op) => IntegerTensor::Codes(moves::rename(context.codes(0)?, op, shape)),
        IntegerOp::Mac(_) | IntegerOp::Float { .. } => return Err(context.invalid("not an operator of this function")),
    };
    Ok(vec![output])
}

/// `clamp(round_half_even(x / scale))`.
fn quantized(x: f64, encoding: &Encoding) -> i32 {
    let code = (x / encoding.scale).round_ties_even();
    code.clamp(f64::from(encoding.min_code()), f64::from(encoding.max_code())) as i32
}

struct Context<'a> {
    node: &'a IntegerNode,
    inputs: &'a [&'a IntegerTensor],
    input_kinds: &'a [ValueKind],
    output_kinds: &'a [ValueKind],
}

impl<'a> Context<'a> {
    fn invalid(&self, cause: impl Into<String>) -> GraphError {
        GraphError::invalid_node(&self.node.name, self.node.op.name(), cause)
    }

    fn codes(&self, i: usize) -> Result<&'a CodeTensor, GraphError> {
        match self.inputs.get(i) {
            Some(IntegerTensor::Codes(codes)) => Ok(codes),
            Some(IntegerTensor::Real(_)) => Err(self.invalid(format!("input {i} is real, expected codes"))),
            None => Err(self.invalid(format!("{} inputs, expected more", self.inputs.len()))),
        }
    }

    fn real(&self, i: usize) -> Result<&'a Tensor, GraphError> {
        match self.inputs.get(i) {
            Some(IntegerTensor::Real(tensor)) => Ok(tensor),
            Some(IntegerTensor::Codes(_)) => Err(self.invalid(format!("input {i} holds codes, expected real numbers"))),
            None => Err(self.invalid(format!("{} inputs, expected more", self.inputs.len()))),
        }
    }

    fn encoding(&self, kinds: &[ValueKind], i: usize) -> Result<Encoding, GraphError> {
        match kinds.get(i) {
            Some(ValueKind::Codes(encoding)) => Ok(*encoding),
            _ => Err(self.invalid("a value is real, expected codes")),
        }
    }

    fn map_codes(&self, f: impl Fn(&i32) -> i32) -> Result<IntegerTensor, GraphError> {
        let input = self.codes(0)?;
        Ok(IntegerTensor::Codes(CodeTensor { shape: input.shape.clone(), data: input.data.iter().map(f).collect() }))
    }

    fn quantize(&self) -> Result<IntegerTensor, GraphError> {
        let input = self.real(0)?;
        let encoding = self.encoding(self.output_kinds, 0)?;
        let elements = input.as_f32().ok_or_else(|| self.invalid("input is not f32"))?;
        if elements.iter().any(|x| x.is_nan()) {
            let cause = "holds NaN, which has no code".to_owned();
            return Err(GraphError::InvalidInput { input: self.node.name.clone(), cause });
        }
        let data = elements.iter().map(|&x| quantized(f64::from(x), &encoding)).collect();
        Ok(IntegerTensor::Codes(CodeTensor { shape: input.shape().to_vec(), data }))
    }

    fn dequantize(&self) -> Result<IntegerTensor, GraphError> {
        let input = self.codes(0)?;
        let scale = self.encoding(self.input_kinds, 0)?.scale;
        let data = input.data.iter().map(|&code| (f64::from(code) * scale) as f32).collect();
        Ok(IntegerTensor::Real(Tensor::from_f32(input.shape.clone(), data)))
    }

    fn float(&self, op: &Op, constants: &[Option<Tensor>]) -> Result<Vec<IntegerTensor>, GraphError> {
        let mut dynamic = (0..self.inputs.len()).map(|i| self.real(i));
        let mut operands = Vec::with_capacity(constants.len());
        for constant in constants {
            operands.push(match constant {
                Some(tensor) => Some(tensor),
                None => dynamic.next().transpose()?,
            });
        }
        let outputs = reference::evaluate(op, &self.node.name, &operands)?;
        Ok(outputs.into_iter().map(IntegerTensor::Real).collect())
    }
}

/// `floor((a · factor_a + b · factor_b) / 2^shift + 1/2)`, saturated, over the broadcast shape.
fn add(
    a: &CodeTensor,
    b: &CodeTensor,
    (factor_a, factor_b, shift): (i64, i64, u32),
    encoding: &Encoding,
) -> Option<IntegerTensor> {
    let shape = broadcast(&a.shape, &b.shape)?;
    let n_elements: usize = shape.iter().product();
    let half = if shift == 0 { 0 } else { 1_i128 << (shift - 1) };
    let sum = |a: i32, b: i32| {
        let exact = i128::from(a) * i128::from(factor_a) + i128::from(b) * i128::from(factor_b);
        let rounded = (exact + half) >> shift;
        encoding.saturate(rounded.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64)
    };
    let data = if a.shape == b.shape {
        a.data.iter().zip(&b.data).map(|(&a, &b)| sum(a, b)).collect()
    } else {
        (0..n_elements)
            .map(|i| sum(a.data[broadcast_index(i, &shape, &a.shape)], b.data[broadcast_index(i, &shape, &b.shape)]))
            .collect()
    };
    Some(IntegerTensor::Codes(CodeTensor { shape, data }))
}

/// Where element `flat` of `shape` lies in an operand of shape `operand` that broadcasts to it.
fn broadcast_index(mut flat: usize, shape: &[usize], operand: &[usize]) -> usize {
    let missing = shape.len() - operand.len();
    let (mut index, mut stride) = (0, 1);
    for axis in (0..shape.len()).rev() {
        let position = flat % shape[axis];
        flat /= shape[axis];
        if axis >= missing && operand[axis - missing] != 1 {
            index += position * stride;
            stride *= operand[axis - missing];
        }
    }
    index
}
