//! Transpose.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::strided::{Offsets, strides_of};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f};
use crate::{DType, Data, GraphError};

/// Permutation of axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// Source axis of each output axis.
    pub perm: Vec<usize>,
}

impl Operator for Transpose {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let mut sorted = self.perm.to_vec();
        sorted.sort_unstable();
        if sorted.iter().copied().ne(0..x.shape.len()) {
            return Err(signature.invalid(format!("perm {:?} is not an order of {} axes", self.perm, x.shape.len())));
        }
        Ok(shaped(x, self.perm.iter().map(|&axis| x.shape[axis]).collect()))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let strides = strides_of(call.input(0).shape());
        let strides = self.perm.iter().map(|&axis| strides[axis]).collect();
        Ok(vec![call.gather(Offsets::new(call.output_shape(), strides, 0))?])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        self.perm.first() == Some(&0)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.counts("perm", &self.perm))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        let x = inputs.first()?.as_ref()?;
        self.perm.iter().map(|&p| x.get(p).copied()).collect()
    }

    fn stores(&self) -> bool {
        true
    }

    fn is_identity(&self, _input: Option<DType>, _n_inputs: usize) -> bool {
        self.perm.iter().copied().eq(0..self.perm.len())
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

impl Definition for Transpose {
    const NAME: &'static str = "Transpose";
    const ATTRIBUTES: &'static [&'static str] = &["perm"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let stated = node.counts("perm", 0)?;
        if let Some(inputs) = importer.shape_inputs(node, 1)? {
            let perm = stated.unwrap_or_else(|| (0..inputs[0].shape().len()).rev().collect());
            let result = inputs[0].transpose(&perm).map_err(|cause| node.invalid(cause))?;
            return importer.bind_symbolic(node, result);
        }
        let x = importer.value(node, 0)?;
        let rank = importer.shape(x).as_ref().map(Vec::len);
        let perm = match (stated, rank) {
            (Some(perm), _) => perm,
            (None, Some(rank)) => (0..rank).rev().collect(),
            (None, None) => return Err(node.unsupported("an input of unknown rank")),
        };
        let mut sorted = perm.clone();
        sorted.sort_unstable();
        if !sorted.iter().copied().eq(0..rank.unwrap_or(perm.len())) {
            return Err(node.invalid(format!("attribute \"perm\" is {perm:?}, which is no permutation of the axes")));
        }
        importer.emit(node, Op::Transpose(Self { perm }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let perm = generator.permutation(generator.shape(x).len());
        unary::draw(generator, x, Op::Transpose(Self { perm }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        vec![case(
            "transpose",
            Op::Transpose(Self { perm: vec![1, 0] }),
            [x],
            f(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        )]
    }
}
