//! The operators of an integer network besides the multiply-accumulate layer, naively.

use super::{
    CodeTensor, Encoding, FloatOperand, IntegerMeans, IntegerNode, IntegerOp, IntegerTensor, Quotient, ValueKind,
    moves, pool, product, shapes::node_output_shapes,
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
    if let IntegerOp::Float { op, operands } = &node.op {
        return context.float(op, operands);
    }
    let shapes: Vec<&[usize]> = inputs.iter().map(|t| t.shape()).collect();
    let shape = node_output_shapes(node, &shapes)?.into_iter().next().unwrap_or_default();
    let invalid = |cause: String| context.invalid(cause);
    let output = match &node.op {
        IntegerOp::Quantize(quotient) => context.quantize(*quotient)?,
        IntegerOp::Dequantize => context.dequantize()?,
        IntegerOp::Expose => context.expose()?,
        IntegerOp::MaxPool(window) => {
            let encoding = context.encoding(input_kinds, 0)?;
            IntegerTensor::Codes(pool::max_pool(&node.name, window.as_ref(), context.codes(0)?, &encoding)?)
        }
        IntegerOp::AveragePool { window, count_include_pad, rounding, min, max } => {
            let (from, to) = (context.encoding(input_kinds, 0)?, &output_kinds[0]);
            let means = IntegerMeans { node: &node.name, from: &from, to, rounding: *rounding, range: (*min, *max) };
            pool::average_pool(&means, (window.as_ref(), *count_include_pad), context.codes(0)?)?
        }
        IntegerOp::Add { rule, min, max } => {
            let encoding = context.encoding(output_kinds, 0)?;
            let sum = |a: i32, b: i32| encoding.saturate(rule.apply(a, b)).clamp(*min, *max);
            add(context.codes(0)?, context.codes(1)?, sum).ok_or_else(|| context.invalid("shapes do not broadcast"))?
        }
        IntegerOp::Product { output, min, max } => {
            let from = [context.encoding(input_kinds, 0)?, context.encoding(input_kinds, 1)?];
            let rule = product::ProductRule { from, output, to: &output_kinds[0], range: (*min, *max) };
            product::product(&rule, context.codes(0)?, context.codes(1)?).map_err(invalid)?
        }
        IntegerOp::Rescale { multiplier, min, max } => {
            let encoding = context.encoding(output_kinds, 0)?;
            let code = |&code: &i32| encoding.saturate(multiplier.apply(i64::from(code))).clamp(*min, *max);
            context.map_codes(code)?
        }
        IntegerOp::Table(table) => {
            let least = context.encoding(input_kinds, 0)?.min_code();
            context.map_codes(|code| table[(code - least) as usize])?
        }
        IntegerOp::Sign => context.map_codes(|code| code.signum())?,
        IntegerOp::Concat { axis } => {
            let parts = (0..inputs.len()).map(|i| context.codes(i)).collect::<Result<Vec<_>, _>>()?;
            IntegerTensor::Codes(moves::concat(&parts, *axis, shape).map_err(invalid)?)
        }
        IntegerOp::Slice(slice) => {
            IntegerTensor::Codes(moves::slice(context.codes(0)?, slice, shape).map_err(invalid)?)
        }
        IntegerOp::Pad { pad, code } => IntegerTensor::Codes(moves::pad(context.codes(0)?, pad, *code, shape)),
        IntegerOp::Move(op) => IntegerTensor::Codes(moves::rename(context.codes(0)?, op, shape)),
        IntegerOp::Mac(_) | IntegerOp::Float { .. } => return Err(context.invalid("not an operator of this function")),
    };
    Ok(vec![output])
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

    fn quantize(&self, quotient: Quotient) -> Result<IntegerTensor, GraphError> {
        let input = self.real(0)?;
        let encoding = self.encoding(self.output_kinds, 0)?;
        let elements =
            input.as_f32().ok_or_else(|| self.invalid(format!("the input is {}, expected f32", input.dtype())))?;
        let data = match quotient {
            Quotient::Single => elements.iter().copied().map(encoding.quantizer()).collect(),
            Quotient::Double if elements.iter().any(|x| x.is_nan()) => {
                let cause = "holds NaN, which has no code".to_owned();
                return Err(GraphError::InvalidInput { input: self.node.name.clone(), cause });
            }
            Quotient::Double => elements.iter().map(|&x| encoding.quantize_exactly(f64::from(x))).collect(),
        };
        Ok(IntegerTensor::Codes(CodeTensor { shape: input.shape().to_vec(), data }))
    }

    fn dequantize(&self) -> Result<IntegerTensor, GraphError> {
        let input = self.codes(0)?;
        let encoding = self.encoding(self.input_kinds, 0)?;
        let data = input.data.iter().map(|&code| encoding.dequantize(code)).collect();
        Ok(IntegerTensor::Real(Tensor::from_f32(input.shape.clone(), data)))
    }

    fn expose(&self) -> Result<IntegerTensor, GraphError> {
        let input = self.codes(0)?;
        let code_type = self.encoding(self.input_kinds, 0)?.code_type();
        let tensor = code_type.tensor(input.shape.clone(), input.data.iter().copied());
        tensor.map(IntegerTensor::Real).ok_or_else(|| self.invalid("codes do not fill their shape"))
    }

    fn float(&self, op: &Op, operands: &[FloatOperand]) -> Result<Vec<IntegerTensor>, GraphError> {
        let mut inputs = (0..self.inputs.len()).map(|i| self.real(i));
        let mut tensors = Vec::with_capacity(operands.len());
        for operand in operands {
            tensors.push(match operand {
                FloatOperand::Constant(tensor) => Some(tensor),
                FloatOperand::Input => inputs.next().transpose()?,
                FloatOperand::Absent => None,
            });
        }
        let outputs = reference::evaluate(op, &self.node.name, &tensors)?;
        Ok(outputs.into_iter().map(IntegerTensor::Real).collect())
    }
}

/// `sum` of every pair of elements, over the broadcast shape.
fn add(a: &CodeTensor, b: &CodeTensor, sum: impl Fn(i32, i32) -> i32) -> Option<IntegerTensor> {
    let shape = broadcast(&a.shape, &b.shape)?;
    let n_elements: usize = shape.iter().product();
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
