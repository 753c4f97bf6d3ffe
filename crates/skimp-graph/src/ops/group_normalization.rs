//! GroupNormalization: scale and bias for each group (opset 18) or each channel (21).

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, arithmetic, moments, unary};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::reference::strided::around_axis;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f};
use crate::{Data, GraphError};

/// Inputs: x `[n, c, ..]`, scale `[c]`, bias `[c]`. The channels of a group together, by their mean and variance, in f64.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNormalization {
    /// Number of groups.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Operator for GroupNormalization {
    facts!(Normalizes, 3..=3, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        let c = x.shape.get(1).copied().unwrap_or(0);
        if self.groups == 0 || x.shape.len() < 2 || !c.is_multiple_of(self.groups) {
            return Err(signature.invalid(format!("{:?} (n, c, ..) in {} groups of channels", x.shape, self.groups)));
        }
        for (idx, name) in [(1, "scale"), (2, "bias")] {
            moments::check_per_channel(signature, (idx, name), x, c)?;
        }
        Ok(vec![x.clone()])
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        fn typed<T: Float>(call: &Call<'_>, x: &[T], op: GroupNormalization) -> Result<Vec<T>, GraphError> {
            let (scale, bias): (&[T], &[T]) = (call.elements(1), call.elements(2));
            let (_, channels, inner) = around_axis(call.input(0).shape(), 1);
            let per_group = channels / op.groups;
            let mut y = call.allocate_output()?;
            for (idx, group) in x.chunks_exact((per_group * inner).max(1)).enumerate() {
                let first = idx % op.groups * per_group;
                let scaled = |x: f64, i: usize| {
                    let c = first + i / inner;
                    T::from_f64(x * scale[c].to_f64() + bias[c].to_f64())
                };
                moments::normalize(group, op.epsilon, scaled, &mut y);
            }
            Ok(y)
        }
        for_float!(call.input(0).data(), x => Ok(vec![typed(call, x, *self)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.only_first_computed()
    }

    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        super::channels::carries_before(1, rank, axis)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Rounds
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let groups = i64::try_from(self.groups).unwrap_or(i64::MAX);
        Ok(form.since(21).float("epsilon", self.epsilon).int("num_groups", groups))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        unary::same_shape(inputs)
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        (input > 0).then_some(Parameter::Other)
    }
}

impl Definition for GroupNormalization {
    const NAME: &'static str = "GroupNormalization";
    const ATTRIBUTES: &'static [&'static str] = &["epsilon", "num_groups", "stash_type"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(3, 3)?;
        moments::check_stash_type(node)?;
        let groups = node.int("num_groups")?.and_then(|n| usize::try_from(n).ok());
        let groups = groups.ok_or_else(|| node.invalid("attribute \"num_groups\" is missing or negative"))?;
        let epsilon = node.float_or("epsilon", 1e-5)?;
        if node.opset() < 21 {
            return Steps::new(node, importer).group_normalization(groups, epsilon);
        }
        arithmetic::import_variadic(node, importer, Op::GroupNormalization(Self { groups, epsilon }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let channels = Some(*generator.shape(x).get(1)?).filter(|&channels| channels > 0)?;
        let groups = if channels.is_multiple_of(2) { 2 } else { channels };
        let [scale, bias] = [0, 1].map(|_| Source::Constant(generator.numbers(vec![channels])));
        let op = Op::GroupNormalization(Self { groups, epsilon: 1.0 });
        generator.try_node(op, vec![Source::Known(x), scale, bias])
    }

    fn cases() -> Vec<Case> {
        vec![case(
            "group norm",
            Op::GroupNormalization(Self { groups: 1, epsilon: 0.0 }),
            [f(&[1, 2, 1], &[1.0, 3.0]), f(&[2], &[2.0, 1.0]), f(&[2], &[10.0, 0.0])],
            f(&[1, 2, 1], &[8.0, 1.0]),
        )]
    }
}
