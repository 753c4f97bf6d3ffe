//! Layers without a matrix of weights: pooling, element-wise operators, moves of data, products of two activations.

use skimp_shape::LayerShape;

use skimp_numerics::NegativeSums;

use crate::{Accelerator, LayerKind, LayerResult, LayerWorkload, Nonlinearity, SimError};

/// What kind of work a layer without a matrix of weights does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherKind {
    /// Joins the elements of a sliding window.
    Pool,
    /// Computes each output from one element of each input.
    ElementWise,
    /// Joins the elements along some axes.
    Reduction,
    /// Scales elements by what is known, or found, about their neighbours.
    Normalization,
    /// Multiplies two activations, or what has no constant weights of a known form.
    Product,
    /// Moves data and computes nothing.
    Move,
}

impl OtherKind {
    /// Key in JSON, kebab-case.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            OtherKind::Pool => "pool",
            OtherKind::ElementWise => "element-wise",
            OtherKind::Reduction => "reduction",
            OtherKind::Normalization => "normalization",
            OtherKind::Product => "product",
            OtherKind::Move => "move",
        }
    }
}

/// What is counted of the work of such a layer, apart from what it reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Multiply-accumulates.
    Macs,
    /// Comparisons of two numbers; windows over padding count in full.
    Comparisons,
    /// Additions; windows over padding count in full.
    Additions,
    /// Multiplications, those that rescale codes included.
    Multiplications,
    /// Outputs of an operator that has no integer form, each one evaluation of its function.
    Evaluations,
}

impl Work {
    /// Key in JSON.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Work::Macs => "macs",
            Work::Comparisons => "comparisons",
            Work::Additions => "additions",
            Work::Multiplications => "multiplications",
            Work::Evaluations => "evaluations",
        }
    }
}

/// A tensor that a layer reads or writes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Elements of one image, or of a constant.
    pub elements: u64,
    /// Width of an element: that of its codes, or 32 where it is a real number.
    pub bits: u32,
}

impl Operand {
    /// Bits of all elements.
    #[must_use]
    pub fn total_bits(self) -> u64 {
        self.elements.saturating_mul(u64::from(self.bits))
    }
}

/// A layer without a matrix of weights as an accelerator sees it, for one image.
#[derive(Clone, Debug, PartialEq)]
pub struct OtherLayer {
    /// Name of the layer in its network.
    pub name: String,
    /// Operator as in ONNX.
    pub operator: String,
    /// Kind of work.
    pub kind: OtherKind,
    /// Extents of a pooling layer over one or two axes, each channel a group of its own; those of a product of matrices as the
    /// 1x1 convolution that it is: its rows are the positions, each matrix of the batch a group.
    pub shape: Option<LayerShape>,
    /// What it reads, constants included.
    pub inputs: Vec<Operand>,
    /// What it writes.
    pub outputs: Vec<Operand>,
    /// What it computes; empty for a move.
    pub work: Vec<(Work, u64)>,
}

impl OtherLayer {
    /// Bits of all that it reads, each tensor once.
    #[must_use]
    pub fn read_bits(&self) -> u64 {
        self.inputs.iter().map(|operand| operand.total_bits()).fold(0, u64::saturating_add)
    }

    /// Bits of all that it writes, each tensor once.
    #[must_use]
    pub fn written_bits(&self) -> u64 {
        self.outputs.iter().map(|operand| operand.total_bits()).fold(0, u64::saturating_add)
    }

    /// Elements of all outputs.
    #[must_use]
    pub fn output_count(&self) -> u64 {
        self.outputs.iter().map(|operand| operand.elements).fold(0, u64::saturating_add)
    }

    /// A product of matrices as a layer whose weights are the second operand, without values; `None` for any other layer.
    #[must_use]
    pub fn as_product(&self) -> Option<LayerWorkload> {
        let (Some(shape), [a, b, ..]) = (self.shape, &self.inputs[..]) else { return None };
        (self.kind == OtherKind::Product).then(|| LayerWorkload {
            activation_bits: a.bits,
            weight_bits: b.bits,
            activation_signed: true,
            bias: false,
            nonlinearity: Nonlinearity::None,
            negatives: NegativeSums::SignedOperands,
            ..LayerWorkload::of_shape(&self.name, LayerKind::Conv, shape)
        })
    }

    /// What `accelerator` makes of a product of matrices where it takes the second operand as it takes weights: a layer of its
    /// totals. What it has no place for, and any other layer, it does not model.
    ///
    /// # Errors
    /// As [`Accelerator::simulate_layer`], but [`SimError::Unsupported`].
    pub fn simulate_product(&self, accelerator: &dyn Accelerator) -> Result<OtherOutcome, SimError> {
        let Some(product) = self.as_product() else { return Ok(OtherOutcome::NotModelled) };
        match accelerator.simulate_layer(&product, None) {
            Ok(result) => Ok(OtherOutcome::InTotals(result)),
            Err(SimError::Unsupported { .. }) => Ok(OtherOutcome::NotModelled),
            Err(error) => Err(error),
        }
    }

    /// How much of one kind of work it does.
    #[must_use]
    pub fn work_of(&self, work: Work) -> u64 {
        self.work.iter().filter(|(kind, _)| *kind == work).map(|&(_, count)| count).fold(0, u64::saturating_add)
    }
}

/// What a design makes of an [`OtherLayer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OtherOutcome {
    /// The design's model says nothing of it: its traffic is all there is.
    NotModelled,
    /// A result that stands beside the design's totals.
    Beside(LayerResult),
    /// A result that belongs to the design's totals.
    InTotals(LayerResult),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_and_work_add_up() {
        let layer = OtherLayer {
            name: "add".to_owned(),
            operator: "Add".to_owned(),
            kind: OtherKind::ElementWise,
            shape: None,
            inputs: vec![Operand { elements: 100, bits: 8 }, Operand { elements: 25, bits: 32 }],
            outputs: vec![Operand { elements: 100, bits: 8 }],
            work: vec![(Work::Additions, 100), (Work::Multiplications, 200)],
        };
        assert_eq!((layer.read_bits(), layer.written_bits(), layer.output_count()), (1600, 800, 100));
        assert_eq!((layer.work_of(Work::Multiplications), layer.work_of(Work::Macs)), (200, 0));
        let result = LayerResult::of_other(&layer);
        assert_eq!((result.layer.as_str(), result.images, result.macs), ("add", 1, 0));
        assert_eq!(layer.as_product(), None);
        let endless = Operand { elements: u64::MAX, bits: 8 };
        assert_eq!(OtherLayer { outputs: vec![endless; 2], ..layer }.written_bits(), u64::MAX);
    }
}
