//! The inputs of one node as its shape rule sees them.

use super::Op;
use crate::onnx::import::with_way_out;
use crate::shape::{TensorType, normalized_axis};
use crate::{DType, GraphError};

/// Inputs of one node, with errors that name it.
pub(crate) struct Signature<'a> {
    pub(crate) op: &'a Op,
    pub(crate) node: &'a str,
    pub(crate) inputs: &'a [Option<&'a TensorType>],
}

impl<'a> Signature<'a> {
    pub(super) fn invalid(&self, cause: impl Into<String>) -> GraphError {
        GraphError::invalid_node(self.node, self.op.name(), cause)
    }

    pub(super) fn unsupported(&self, feature: impl Into<String>) -> GraphError {
        GraphError::unsupported_node(self.node, self.op.name(), with_way_out(feature.into(), None))
    }

    pub(super) fn input(&self, idx: usize) -> Result<&'a TensorType, GraphError> {
        self.optional(idx).ok_or_else(|| self.invalid(format!("input {idx} is missing")))
    }

    pub(super) fn optional(&self, idx: usize) -> Option<&'a TensorType> {
        self.inputs.get(idx).copied().flatten()
    }

    /// Input `idx`, which must have the element type of `like`.
    pub(super) fn input_like(&self, idx: usize, like: &TensorType) -> Result<&'a TensorType, GraphError> {
        let input = self.input(idx)?;
        if input.dtype == like.dtype {
            return Ok(input);
        }
        Err(self.invalid(format!("input {idx} has element type {}, expected {}", input.dtype, like.dtype)))
    }

    pub(super) fn check_n_inputs(&self) -> Result<(), GraphError> {
        let (least, most) = self.op.n_inputs().into_inner();
        let n = self.inputs.len();
        let n_given = n - self.inputs.iter().rev().take_while(|input| input.is_none()).count();
        if n_given < least || n_given > most {
            let expected = if most == usize::MAX {
                format!("at least {least}")
            } else if least == most {
                least.to_string()
            } else {
                format!("{least} to {most}")
            };
            return Err(self.invalid(format!("has {n_given} inputs, expected {expected}")));
        }
        Ok(())
    }

    /// The first input, which must be floating point.
    pub(super) fn float(&self) -> Result<&'a TensorType, GraphError> {
        let x = self.input(0)?;
        if x.dtype.is_float() {
            return Ok(x);
        }
        Err(self.unsupported(format!("element type {}", x.dtype)))
    }

    /// The first input, which must not hold truth values.
    pub(super) fn number(&self) -> Result<&'a TensorType, GraphError> {
        let x = self.input(0)?;
        if x.dtype == DType::Bool {
            return Err(self.invalid("has element type bool, expected a number"));
        }
        Ok(x)
    }

    pub(super) fn check_rank(&self, what: &str, x: &TensorType, rank: usize, meaning: &str) -> Result<(), GraphError> {
        if x.shape.len() == rank {
            return Ok(());
        }
        Err(self.invalid(format!("{what} has {} dims, expected {rank} {meaning}", x.shape.len())))
    }

    /// The spatial extents of a `[n, c, ..]` tensor with one to three of them.
    pub(super) fn spatial(&self, x: &'a TensorType) -> Result<&'a [usize], GraphError> {
        match x.shape.len() {
            0..=2 => Err(self.invalid(format!("input has {} dims, expected 3 or more (n, c, ..)", x.shape.len()))),
            3..=5 => Ok(&x.shape[2..]),
            n => Err(self.unsupported(format!("{} spatial axes (up to 3 work)", n - 2))),
        }
    }

    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize, GraphError> {
        normalized_axis(axis, rank).map_err(|cause| self.invalid(cause))
    }

    pub(super) fn product(&self, extents: &[usize]) -> Result<usize, GraphError> {
        let product = extents.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent));
        product.ok_or_else(|| self.invalid("extents are too large"))
    }
}

/// One output of the type of `like` and another shape.
pub(super) fn shaped(like: &TensorType, shape: Vec<usize>) -> Vec<TensorType> {
    vec![TensorType { dtype: like.dtype, shape }]
}
