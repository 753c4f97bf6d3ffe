//! What a model needs to know about one layer.

use std::sync::Arc;

use skimp_numerics::NegativeSums;
use skimp_shape::{LayerShape, ShapeError, ShapeSpec};

use crate::SimError;

/// Convolution or dense layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// Two-dimensional convolution.
    Conv,
    /// Dense (fully connected) layer: `h = w = r = s = p = q = 1`.
    Dense,
}

impl LayerKind {
    /// `conv` or `dense`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            LayerKind::Conv => "conv",
            LayerKind::Dense => "dense",
        }
    }
}

/// What follows the layer's sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Nonlinearity {
    /// Nothing that a model may use.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// max(x, 0) with an upper bound (ReLU6 and the like).
    ClippedRelu,
    /// The sign alone: all that counts of a sum is whether it is below 0.
    Sign,
}

impl Nonlinearity {
    /// Whether negative outputs become 0.
    #[must_use]
    pub fn is_relu(self) -> bool {
        matches!(self, Nonlinearity::Relu | Nonlinearity::ClippedRelu)
    }
}

/// One convolution or dense layer as an accelerator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWorkload {
    /// Name of the layer in its network.
    pub name: String,
    /// Convolution or dense.
    pub kind: LayerKind,
    /// Extents; 1 image wherever a trace is given, 1 in every spatial axis of a dense layer.
    pub shape: LayerShape,
    /// Width of weight codes.
    pub weight_bits: u32,
    /// Width of activation codes.
    pub activation_bits: u32,
    /// Whether activation codes may be negative.
    pub activation_signed: bool,
    /// Operand that the padding holds: 0, or the offset that makes a signed activation non-negative.
    pub padding_code: i32,
    /// Whether a bias (or a residual input at accumulator scale) starts the sum.
    pub bias: bool,
    /// What follows the sum.
    pub nonlinearity: Nonlinearity,
    /// Whether the layer reads the network's input.
    pub first: bool,
    /// Whether its negative sums need not be known.
    pub negatives: NegativeSums,
    /// Weight codes, row-major `[k, c / groups, r, s]`; `None` for a shape without values.
    pub weights: Option<Arc<[i32]>>,
}

/// Greatest extent of a workload.
const MAX_EXTENT: usize = 1 << 24;

/// Most multiply-accumulates or inputs: leaves room for bits, padding and passes in 64-bit counts.
const MAX_COUNT: u64 = 1 << 48;

impl LayerWorkload {
    /// A convolution with a square kernel, stride 1, "same" padding for odd kernels, one group, and else as
    /// [`of_shape`](Self::of_shape).
    ///
    /// # Shapes
    /// input `[1, c, h, w]`, weight `[k, c, kernel, kernel]`
    ///
    /// # Errors
    /// [`SimError::InvalidLayer`] if the kernel does not fit.
    pub fn conv(name: &str, c: usize, h: usize, w: usize, k: usize, kernel: usize) -> Result<Self, SimError> {
        let shape = LayerShape::new(ShapeSpec::square(c, h, w, k, kernel));
        Ok(Self::of_shape(name, LayerKind::Conv, shape.map_err(|error| invalid(name, &error))?))
    }

    /// A dense layer of `c` inputs and `k` outputs, and else as [`of_shape`](Self::of_shape).
    #[must_use]
    pub fn dense(name: &str, c: usize, k: usize) -> Self {
        Self::of_shape(name, LayerKind::Dense, LayerShape::dense(1, c, k))
    }

    /// A layer of 16-bit codes with a ReLU after it, negative sums unseen, and no values. Change fields and call
    /// [`validated`](Self::validated) for anything else.
    #[must_use]
    pub fn of_shape(name: &str, kind: LayerKind, shape: LayerShape) -> Self {
        LayerWorkload {
            name: name.to_owned(),
            kind,
            shape,
            weight_bits: 16,
            activation_bits: 16,
            activation_signed: false,
            padding_code: 0,
            bias: true,
            nonlinearity: Nonlinearity::Relu,
            first: false,
            negatives: NegativeSums::Unseen,
            weights: None,
        }
    }

    /// The layer with some extents changed, and outputs worked out anew.
    ///
    /// # Errors
    /// [`SimError::InvalidLayer`] if the extents are no [`LayerShape`].
    pub fn with_shape(self, change: impl FnOnce(&mut ShapeSpec)) -> Result<Self, SimError> {
        match self.shape.with(change) {
            Ok(shape) => Ok(Self { shape, ..self }),
            Err(error) => Err(invalid(&self.name, &error)),
        }
    }

    /// Checks that the fields agree with each other.
    ///
    /// # Errors
    /// [`SimError::InvalidLayer`] naming the first contradiction.
    pub fn validated(self) -> Result<Self, SimError> {
        self.check()?;
        Ok(self)
    }

    /// Checks that the fields agree with each other and lie in a range where no count overflows. Models call it first.
    ///
    /// # Errors
    /// [`SimError::InvalidLayer`] naming the first contradiction.
    pub fn check(&self) -> Result<(), SimError> {
        match self.contradiction() {
            None => Ok(()),
            Some(reason) => Err(SimError::InvalidLayer { layer: self.name.clone(), reason }),
        }
    }

    fn contradiction(&self) -> Option<String> {
        let shape = &self.shape;
        let [n, c, k] = [shape.n(), shape.c(), shape.k()];
        let [h, w, r, s, p, q] = [shape.h(), shape.w(), shape.r(), shape.s(), shape.p(), shape.q()];
        let sizes = [n, c, h, w, k, r, s, p, q];
        if sizes.contains(&0) {
            return Some("an extent is 0".into());
        }
        if self.kind == LayerKind::Dense && [h, w, r, s].iter().any(|&extent| extent != 1) {
            return Some("a dense layer has spatial extents other than 1".into());
        }
        for (what, bits) in [("weight", self.weight_bits), ("activation", self.activation_bits)] {
            if !(1..=32).contains(&bits) {
                return Some(format!("{what} codes have {bits} bits, expected 1 to 32"));
            }
        }
        let steps = [shape.strides(), shape.dilations(), shape.pads_begin(), shape.pads_end()];
        if let Some(extent) = sizes.iter().chain(steps.as_flattened()).find(|&&extent| extent > MAX_EXTENT) {
            return Some(format!("an extent, step or pad is {extent}, more than {MAX_EXTENT}"));
        }
        let product = |extents: &[usize]| extents.iter().try_fold(1u64, |acc, &extent| acc.checked_mul(extent as u64));
        let dense = product(&[n, k, p, q, c, r, s]);
        let input = product(&[n, c, h, w]);
        if dense.is_none_or(|macs| macs > MAX_COUNT) || input.is_none_or(|values| values > MAX_COUNT) {
            return Some(format!("more than {MAX_COUNT} multiply-accumulates or inputs"));
        }
        match &self.weights {
            Some(weights) if weights.len() != shape.weight_count() => {
                Some(format!("{} weight codes, expected {}", weights.len(), shape.weight_count()))
            }
            _ => None,
        }
    }

    /// Bits of the inputs and outputs of all images and of the weights, each once: the least that crosses the chip's
    /// border when the layer is computed by itself.
    #[must_use]
    pub fn compulsory_bits(&self) -> u64 {
        let shape = &self.shape;
        let maps = (shape.n() * (shape.input_count() + shape.output_count())) as u64;
        maps * u64::from(self.activation_bits) + shape.weight_count() as u64 * u64::from(self.weight_bits)
    }

    /// Share of weight codes that are not 0; `None` for a shape without values.
    #[must_use]
    pub fn weight_density(&self) -> Option<f64> {
        let weights = self.weights.as_deref()?;
        let non_zero = weights.iter().filter(|&&code| code != 0).count();
        Some(non_zero as f64 / weights.len() as f64)
    }
}

fn invalid(layer: &str, error: &ShapeError) -> SimError {
    SimError::InvalidLayer { layer: layer.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_counts() {
        let layer = LayerWorkload::conv("C9", 512, 28, 28, 512, 3).unwrap().validated().unwrap();
        assert_eq!((layer.shape.p(), layer.shape.q()), (28, 28));
        assert_eq!(layer.shape.dense_macs(), 1_849_688_064);
        assert_eq!(layer.shape.weight_count() * 2 / 64, 73_728);
        let dense = LayerWorkload::dense("F2", 4096, 4096).validated().unwrap();
        assert_eq!(dense.shape.dense_macs(), 16_777_216);
        assert_eq!(dense.compulsory_bits(), 16 * (2 * 4096 + 16_777_216));
        let strided = LayerWorkload::conv("stem", 3, 224, 224, 64, 7).unwrap();
        let strided = strided.with_shape(|shape| shape.strides = [2, 2]).unwrap().validated().unwrap();
        assert_eq!((strided.shape.p(), strided.shape.q()), (112, 112));
    }

    #[test]
    fn contradictions_are_named() {
        let good = LayerWorkload::conv("x", 4, 8, 8, 6, 3).unwrap();
        let shaped = |change: fn(&mut ShapeSpec)| good.clone().with_shape(change);
        let cases: [(&str, Result<LayerWorkload, SimError>); 8] = [
            ("group", shaped(|shape| shape.groups = 4)),
            ("stride is 0", shaped(|shape| shape.strides = [0, 1])),
            ("kernel extent is 0", shaped(|shape| shape.r = 0)),
            ("is 0", shaped(|shape| shape.n = 0)),
            ("does not fit", LayerWorkload::conv("y", 1, 1, 1, 1, 4)),
            ("bits", Ok(LayerWorkload { weight_bits: 0, ..good.clone() })),
            ("weight codes", Ok(LayerWorkload { weights: Some(vec![0; 3].into()), ..good.clone() })),
            ("spatial", Ok(LayerWorkload { kind: LayerKind::Dense, ..good.clone() })),
        ];
        for (needle, layer) in cases {
            let message = layer.and_then(LayerWorkload::validated).unwrap_err().to_string();
            assert!(message.contains(needle), "{message:?} lacks {needle:?}");
        }
        let huge = LayerWorkload::conv("z", 1 << 20, 1 << 15, 1 << 15, 1, 1).unwrap();
        assert!(huge.validated().unwrap_err().to_string().contains("more than 281474976710656"));
    }
}
