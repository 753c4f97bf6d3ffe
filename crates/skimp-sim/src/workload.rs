//! What a model needs to know about one layer.

use std::sync::Arc;

use skimp_numerics::EndSupport;

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
}

/// One convolution or dense layer as an accelerator sees it.
///
/// # Shapes
/// input `[n, c, h, w]`, weight `[k, c / groups, r, s]`, output `[n, k, p, q]`. A dense layer has
/// `h = w = r = s = p = q = 1`. Two-entry arrays are (rows, columns).
#[derive(Clone, Debug, PartialEq)]
pub struct LayerWorkload {
    /// Name of the layer in its network.
    pub name: String,
    /// Convolution or dense.
    pub kind: LayerKind,
    /// Images computed together; 1 wherever a trace is given.
    pub n: usize,
    /// Input channels.
    pub c: usize,
    /// Input rows.
    pub h: usize,
    /// Input columns.
    pub w: usize,
    /// Output channels.
    pub k: usize,
    /// Kernel rows.
    pub r: usize,
    /// Kernel columns.
    pub s: usize,
    /// Output rows.
    pub p: usize,
    /// Output columns.
    pub q: usize,
    /// Strides.
    pub strides: [usize; 2],
    /// Dilations.
    pub dilations: [usize; 2],
    /// Padding before the first row and column.
    pub pads_begin: [usize; 2],
    /// Padding after the last row and column.
    pub pads_end: [usize; 2],
    /// Groups.
    pub groups: usize,
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
    /// Whether early negative detection is exact here.
    pub end: EndSupport,
    /// Weight codes, row-major `[k, c / groups, r, s]`; `None` for a shape without values.
    pub weights: Option<Arc<[i32]>>,
}

/// Greatest extent of a workload.
const MAX_EXTENT: usize = 1 << 24;

/// Most multiply-accumulates or inputs: leaves room for bits, padding and passes in 64-bit counts.
const MAX_COUNT: u64 = 1 << 48;

impl LayerWorkload {
    /// A convolution with a square kernel, stride 1, "same" padding for odd kernels, 16-bit codes, one group, a ReLU
    /// after it, END valid, and no values. Change fields and call [`validated`](Self::validated) for anything else.
    ///
    /// # Shapes
    /// input `[1, c, h, w]`, weight `[k, c, kernel, kernel]`
    #[must_use]
    pub fn conv(name: &str, c: usize, h: usize, w: usize, k: usize, kernel: usize) -> Self {
        let pad = kernel.saturating_sub(1) / 2;
        let mut layer = LayerWorkload {
            name: name.to_owned(),
            kind: LayerKind::Conv,
            n: 1,
            c,
            h,
            w,
            k,
            r: kernel,
            s: kernel,
            p: 0,
            q: 0,
            strides: [1, 1],
            dilations: [1, 1],
            pads_begin: [pad, pad],
            pads_end: [pad, pad],
            groups: 1,
            weight_bits: 16,
            activation_bits: 16,
            activation_signed: false,
            padding_code: 0,
            bias: true,
            nonlinearity: Nonlinearity::Relu,
            first: false,
            end: EndSupport::Valid,
            weights: None,
        };
        layer.set_output_extents();
        layer
    }

    /// A dense layer of `c` inputs and `k` outputs with 16-bit codes, a ReLU after it, END valid, and no values.
    #[must_use]
    pub fn dense(name: &str, c: usize, k: usize) -> Self {
        LayerWorkload { kind: LayerKind::Dense, ..Self::conv(name, c, 1, 1, k, 1) }
    }

    /// Sets `p` and `q` from the input, kernel, strides, dilations and pads; 0 where the kernel does not fit.
    pub fn set_output_extents(&mut self) {
        self.p = self.output_extent(0).unwrap_or(0);
        self.q = self.output_extent(1).unwrap_or(0);
    }

    fn output_extent(&self, axis: usize) -> Option<usize> {
        let (input, kernel) = if axis == 0 { (self.h, self.r) } else { (self.w, self.s) };
        let padded = input.checked_add(self.pads_begin[axis])?.checked_add(self.pads_end[axis])?;
        let covered = self.dilations[axis].checked_mul(kernel.checked_sub(1)?)?.checked_add(1)?;
        Some(padded.checked_sub(covered)?.checked_div(self.strides[axis])? + 1)
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
        let extents = [self.n, self.c, self.h, self.w, self.k, self.r, self.s, self.p, self.q, self.groups];
        if extents.contains(&0) || self.strides.contains(&0) || self.dilations.contains(&0) {
            return Some("an extent, stride, dilation or group count is 0".into());
        }
        if !self.c.is_multiple_of(self.groups) || !self.k.is_multiple_of(self.groups) {
            return Some(format!("{} groups do not divide {} inputs and {} outputs", self.groups, self.c, self.k));
        }
        let expected = (self.output_extent(0), self.output_extent(1));
        if expected != (Some(self.p), Some(self.q)) {
            return Some(format!("output is {} x {}, expected {expected:?}", self.p, self.q));
        }
        if self.kind == LayerKind::Dense && [self.h, self.w, self.r, self.s].iter().any(|&e| e != 1) {
            return Some("a dense layer has spatial extents other than 1".into());
        }
        for (what, bits) in [("weight", self.weight_bits), ("activation", self.activation_bits)] {
            if !(1..=32).contains(&bits) {
                return Some(format!("{what} codes have {bits} bits, expected 1 to 32"));
            }
        }
        let sizes = [self.n, self.c, self.h, self.w, self.k, self.r, self.s, self.p, self.q];
        let steps = [self.strides, self.dilations, self.pads_begin, self.pads_end];
        if let Some(extent) = sizes.iter().chain(steps.as_flattened()).find(|&&extent| extent > MAX_EXTENT) {
            return Some(format!("an extent, step or pad is {extent}, more than {MAX_EXTENT}"));
        }
        let product = |extents: &[usize]| extents.iter().try_fold(1u64, |acc, &extent| acc.checked_mul(extent as u64));
        let dense = product(&[self.n, self.k, self.p, self.q, self.c, self.r, self.s]);
        let input = product(&[self.n, self.c, self.h, self.w]);
        if dense.is_none_or(|macs| macs > MAX_COUNT) || input.is_none_or(|values| values > MAX_COUNT) {
            return Some(format!("more than {MAX_COUNT} multiply-accumulates or inputs"));
        }
        match &self.weights {
            Some(weights) if weights.len() != self.weight_count() => {
                Some(format!("{} weight codes, expected {}", weights.len(), self.weight_count()))
            }
            _ => None,
        }
    }

    /// Inputs of one output: `(c / groups) · r · s`.
    #[must_use]
    pub fn inputs_per_output(&self) -> usize {
        self.channels_per_group() * self.r * self.s
    }

    /// Input channels of one group.
    #[must_use]
    pub fn channels_per_group(&self) -> usize {
        self.c / self.groups
    }

    /// Output channels of one group.
    #[must_use]
    pub fn filters_per_group(&self) -> usize {
        self.k / self.groups
    }

    /// Number of weights, without bias.
    #[must_use]
    pub fn weight_count(&self) -> usize {
        self.k * self.inputs_per_output()
    }

    /// Number of input activations of one image.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.c * self.h * self.w
    }

    /// Number of outputs of one image.
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.k * self.p * self.q
    }

    /// Bits of the inputs and outputs of all images and of the weights, each once: the least that crosses the chip's
    /// border when the layer is computed by itself.
    #[must_use]
    pub fn compulsory_bits(&self) -> u64 {
        let maps = (self.n * (self.input_count() + self.output_count())) as u64;
        maps * u64::from(self.activation_bits) + self.weight_count() as u64 * u64::from(self.weight_bits)
    }

    /// Multiply-accumulates of all `n` images when nothing is skipped. Windows over padding count in full.
    #[must_use]
    pub fn dense_macs(&self) -> u64 {
        self.n as u64 * self.output_count() as u64 * self.inputs_per_output() as u64
    }

    /// Share of weight codes that are not 0; `None` for a shape without values.
    #[must_use]
    pub fn weight_density(&self) -> Option<f64> {
        let weights = self.weights.as_deref()?;
        let non_zero = weights.iter().filter(|&&code| code != 0).count();
        Some(non_zero as f64 / weights.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_counts() {
        let layer = LayerWorkload::conv("C9", 512, 28, 28, 512, 3).validated().unwrap();
        assert_eq!((layer.p, layer.q), (28, 28));
        assert_eq!(layer.dense_macs(), 1_849_688_064);
        assert_eq!(layer.weight_count() * 2 / 64, 73_728);
        let dense = LayerWorkload::dense("F2", 4096, 4096).validated().unwrap();
        assert_eq!(dense.dense_macs(), 16_777_216);
        let mut strided = LayerWorkload::conv("stem", 3, 224, 224, 64, 7);
        strided.strides = [2, 2];
        strided.set_output_extents();
        let strided = strided.validated().unwrap();
        assert_eq!((strided.p, strided.q), (112, 112));
    }

    #[test]
    fn contradictions_are_named() {
        let good = LayerWorkload::conv("x", 4, 8, 8, 6, 3);
        let cases: [(&str, LayerWorkload); 6] = [
            ("group", LayerWorkload { groups: 4, ..good.clone() }),
            ("is 0", LayerWorkload { strides: [0, 1], ..good.clone() }),
            ("output is", LayerWorkload { p: 7, ..good.clone() }),
            ("bits", LayerWorkload { weight_bits: 0, ..good.clone() }),
            ("weight codes", LayerWorkload { weights: Some(vec![0; 3].into()), ..good.clone() }),
            ("spatial", LayerWorkload { kind: LayerKind::Dense, ..good.clone() }),
        ];
        for (needle, layer) in cases {
            let message = layer.validated().unwrap_err().to_string();
            assert!(message.contains(needle), "{message:?} lacks {needle:?}");
        }
        let huge = LayerWorkload::conv("z", 1 << 20, 1 << 15, 1 << 15, 1, 1);
        assert!(huge.validated().unwrap_err().to_string().contains("more than 281474976710656"));
        let too_small = LayerWorkload::conv("y", 1, 1, 1, 1, 4);
        assert_eq!(too_small.p, 0);
        assert!(too_small.validated().is_err());
    }
}
