//! The shape of one layer.

use thiserror::Error;

use crate::{AxisError, Padding, WindowAxis};

/// The extents of a convolution, dense or pooling layer on a given input.
///
/// # Shapes
/// input `[n, c, h, w]`, weight `[k, c / groups, r, s]`, output `[n, k, p, q]`. A dense layer has
/// `h = w = r = s = p = q = 1`, its `n` is the number of rows. Two-entry arrays are (rows, columns).
///
/// # Source
/// The letters are those of ComPEND's loop nest and of many others: D. Lee, S. Kang, K. Choi, ICS 2018.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LayerShape {
    n: usize,
    c: usize,
    k: usize,
    groups: usize,
    rows: WindowAxis,
    cols: WindowAxis,
}

/// What is free in the shape of a layer; the output's extents follow. [`LayerShape::new`] checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeSpec {
    /// Images.
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
}

/// Why extents are no shape.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// Groups of unequal size.
    #[error("{groups} groups do not divide {c} inputs and {k} outputs")]
    Groups {
        /// Groups.
        groups: usize,
        /// Input channels.
        c: usize,
        /// Output channels.
        k: usize,
    },
    /// A window that has no extent.
    #[error("{axis}: {cause}")]
    Axis {
        /// `rows` or `columns`.
        axis: &'static str,
        /// The cause.
        #[source]
        cause: AxisError,
    },
    /// An output extent that does not follow from the rest.
    #[error("{axis}: an output extent of {output} does not follow from the window")]
    Output {
        /// `rows` or `columns`.
        axis: &'static str,
        /// The extent.
        output: usize,
    },
}

impl ShapeSpec {
    /// One image, one group, stride 1, and "same" padding for odd kernels.
    #[must_use]
    pub fn square(c: usize, h: usize, w: usize, k: usize, kernel: usize) -> Self {
        let pad = kernel.saturating_sub(1) / 2;
        Self {
            n: 1,
            c,
            h,
            w,
            k,
            r: kernel,
            s: kernel,
            strides: [1; 2],
            dilations: [1; 2],
            pads_begin: [pad; 2],
            pads_end: [pad; 2],
            groups: 1,
        }
    }
}

impl LayerShape {
    /// The shape with outputs worked out by [`WindowAxis::new`]. Extents other than kernels may be 0.
    ///
    /// # Errors
    /// [`ShapeError`] if the groups are not equal or the kernel does not fit.
    pub fn new(spec: ShapeSpec) -> Result<Self, ShapeError> {
        let axis = |idx: usize, axis, input, kernel| {
            let padding = Padding::Explicit { begin: spec.pads_begin[idx], end: spec.pads_end[idx] };
            WindowAxis::new(input, kernel, spec.strides[idx], spec.dilations[idx], padding)
                .map_err(|cause| ShapeError::Axis { axis, cause })
        };
        let axes = [axis(0, "rows", spec.h, spec.r)?, axis(1, "columns", spec.w, spec.s)?];
        Self::from_axes(spec.n, [spec.c, spec.k], spec.groups, axes)
    }

    /// The shape of `n` images of `c` channels under windows that are worked out, for `k` output channels.
    ///
    /// # Errors
    /// [`ShapeError`] if the groups are not equal or an output extent contradicts its window.
    pub fn from_axes(n: usize, [c, k]: [usize; 2], groups: usize, axes: [WindowAxis; 2]) -> Result<Self, ShapeError> {
        if groups == 0 || !c.is_multiple_of(groups) || !k.is_multiple_of(groups) {
            return Err(ShapeError::Groups { groups, c, k });
        }
        for (name, axis) in ["rows", "columns"].into_iter().zip(&axes) {
            if !axis.is_consistent() {
                return Err(ShapeError::Output { axis: name, output: axis.output });
            }
        }
        Ok(Self { n, c, k, groups, rows: axes[0], cols: axes[1] })
    }

    /// A product of `n` rows of `c` values with a matrix of `k` columns.
    #[must_use]
    pub fn dense(n: usize, c: usize, k: usize) -> Self {
        Self { n, c, k, groups: 1, rows: WindowAxis::pointwise(1), cols: WindowAxis::pointwise(1) }
    }

    /// What [`new`](Self::new) makes it from. Output extents that are rounded up are not in it.
    #[must_use]
    pub fn spec(&self) -> ShapeSpec {
        ShapeSpec {
            n: self.n,
            c: self.c,
            h: self.h(),
            w: self.w(),
            k: self.k,
            r: self.r(),
            s: self.s(),
            strides: self.strides(),
            dilations: self.dilations(),
            pads_begin: self.pads_begin(),
            pads_end: self.pads_end(),
            groups: self.groups,
        }
    }

    /// The shape with some extents changed, and outputs worked out anew.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with(&self, change: impl FnOnce(&mut ShapeSpec)) -> Result<Self, ShapeError> {
        let mut spec = self.spec();
        change(&mut spec);
        Self::new(spec)
    }

    /// The shape for another number of images.
    #[must_use]
    pub fn with_images(&self, n: usize) -> Self {
        Self { n, ..*self }
    }

    /// The shape with one filter a group.
    #[must_use]
    pub fn with_one_filter_per_group(&self) -> Self {
        Self { k: self.groups, ..*self }
    }

    /// Whether each image is one window of one element: the products of rows with a matrix, or one matrix a group.
    #[must_use]
    pub fn is_rows(&self) -> bool {
        self.rows.is_single() && self.cols.is_single()
    }

    /// [Rows](Self::is_rows) as a 1x1 convolution of one image whose columns are the rows: they share the weights as the
    /// windows of a convolution do. Any other shape as it is.
    #[must_use]
    pub fn rows_as_columns(&self) -> Self {
        if !self.is_rows() {
            return *self;
        }
        Self { n: 1, rows: WindowAxis::pointwise(1), cols: WindowAxis::pointwise(self.n), ..*self }
    }

    /// The shape whose padding is part of the input.
    #[must_use]
    pub fn with_padding_as_input(&self) -> Self {
        let all = |axis: WindowAxis| WindowAxis {
            input: axis.pad_begin + axis.input + axis.pad_end,
            pad_begin: 0,
            pad_end: 0,
            ..axis
        };
        Self { rows: all(self.rows), cols: all(self.cols), ..*self }
    }

    /// Images; rows of a dense layer.
    #[inline]
    #[must_use]
    pub fn n(&self) -> usize {
        self.n
    }

    /// Input channels.
    #[inline]
    #[must_use]
    pub fn c(&self) -> usize {
        self.c
    }

    /// Input rows.
    #[inline]
    #[must_use]
    pub fn h(&self) -> usize {
        self.rows.input
    }

    /// Input columns.
    #[inline]
    #[must_use]
    pub fn w(&self) -> usize {
        self.cols.input
    }

    /// Output channels.
    #[inline]
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Kernel rows.
    #[inline]
    #[must_use]
    pub fn r(&self) -> usize {
        self.rows.kernel
    }

    /// Kernel columns.
    #[inline]
    #[must_use]
    pub fn s(&self) -> usize {
        self.cols.kernel
    }

    /// Output rows.
    #[inline]
    #[must_use]
    pub fn p(&self) -> usize {
        self.rows.output
    }

    /// Output columns.
    #[inline]
    #[must_use]
    pub fn q(&self) -> usize {
        self.cols.output
    }

    /// Groups; divide `c` and `k`.
    #[inline]
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Strides.
    #[inline]
    #[must_use]
    pub fn strides(&self) -> [usize; 2] {
        [self.rows.stride, self.cols.stride]
    }

    /// Dilations.
    #[inline]
    #[must_use]
    pub fn dilations(&self) -> [usize; 2] {
        [self.rows.dilation, self.cols.dilation]
    }

    /// Padding before the first row and column.
    #[inline]
    #[must_use]
    pub fn pads_begin(&self) -> [usize; 2] {
        [self.rows.pad_begin, self.cols.pad_begin]
    }

    /// Padding after the last row and column.
    #[inline]
    #[must_use]
    pub fn pads_end(&self) -> [usize; 2] {
        [self.rows.pad_end, self.cols.pad_end]
    }

    /// The window along the rows.
    #[inline]
    #[must_use]
    pub fn rows(&self) -> WindowAxis {
        self.rows
    }

    /// The window along the columns.
    #[inline]
    #[must_use]
    pub fn cols(&self) -> WindowAxis {
        self.cols
    }

    /// The windows along the rows and the columns.
    #[inline]
    #[must_use]
    pub fn axes(&self) -> [WindowAxis; 2] {
        [self.rows, self.cols]
    }

    /// Input channels of one group.
    #[inline]
    #[must_use]
    pub fn channels_per_group(&self) -> usize {
        self.c / self.groups
    }

    /// Output channels of one group.
    #[inline]
    #[must_use]
    pub fn filters_per_group(&self) -> usize {
        self.k / self.groups
    }

    /// Whether each group has one input channel, and there are several.
    #[inline]
    #[must_use]
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.c
    }

    /// Inputs of one output: `(c / groups) · r · s`.
    #[inline]
    #[must_use]
    pub fn inputs_per_output(&self) -> usize {
        self.channels_per_group() * self.r() * self.s()
    }

    /// Number of weights, without bias.
    #[inline]
    #[must_use]
    pub fn weight_count(&self) -> usize {
        self.k * self.inputs_per_output()
    }

    /// Number of inputs of one image.
    #[inline]
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.c * self.h() * self.w()
    }

    /// Number of outputs of one image.
    #[inline]
    #[must_use]
    pub fn output_count(&self) -> usize {
        self.k * self.p() * self.q()
    }

    /// Multiply-accumulates of all `n` images when nothing is skipped. Windows over padding count in full.
    #[inline]
    #[must_use]
    pub fn dense_macs(&self) -> u64 {
        self.n as u64 * self.output_count() as u64 * self.inputs_per_output() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_and_counts_follow() {
        // conv1 of ResNet-50 and of AlexNet's second, grouped layer: by hand.
        let stem = LayerShape::new(ShapeSpec { strides: [2, 2], ..ShapeSpec::square(3, 224, 224, 64, 7) }).unwrap();
        assert_eq!((stem.p(), stem.q()), (112, 112));
        assert_eq!((stem.inputs_per_output(), stem.weight_count()), (147, 9408));
        assert_eq!(stem.dense_macs(), 118_013_952);
        let grouped = LayerShape::new(ShapeSpec { groups: 2, ..ShapeSpec::square(96, 27, 27, 256, 5) }).unwrap();
        assert_eq!((grouped.channels_per_group(), grouped.filters_per_group()), (48, 128));
        assert_eq!(grouped.dense_macs(), 223_948_800);
        assert_eq!((grouped.input_count(), grouped.output_count()), (69_984, 186_624));
        assert!(!grouped.is_depthwise());
        assert!(grouped.with(|spec| spec.groups = 96).is_err());
        assert!(grouped.with(|spec| (spec.k, spec.groups) = (96, 96)).unwrap().is_depthwise());
        assert_eq!(LayerShape::new(stem.spec()), Ok(stem));
    }

    #[test]
    fn rows_and_padding_change_place() {
        let dense = LayerShape::dense(5, 7, 3);
        let columns = dense.rows_as_columns();
        assert_eq!((columns.n(), columns.w(), columns.q(), columns.dense_macs()), (1, 5, 5, dense.dense_macs()));
        let conv = LayerShape::new(ShapeSpec::square(2, 5, 4, 2, 3)).unwrap();
        assert_eq!(conv.rows_as_columns(), conv);
        // One matrix for each of two groups; a step that nobody takes changes nothing, a window on padding does.
        let spec = ShapeSpec { n: 5, groups: 2, strides: [3, 2], ..ShapeSpec::square(4, 1, 1, 6, 1) };
        let columns = LayerShape::new(spec).unwrap().rows_as_columns();
        assert_eq!((columns.n(), columns.groups(), columns.w(), columns.strides()), (1, 2, 5, [1, 1]));
        let on_padding = LayerShape::new(ShapeSpec { pads_begin: [1, 0], ..spec }).unwrap();
        assert_eq!((on_padding.p(), on_padding.rows_as_columns()), (1, on_padding));
        let padded = conv.with_padding_as_input();
        assert_eq!((padded.h(), padded.w(), padded.p(), padded.q()), (7, 6, 5, 4));
        assert_eq!(LayerShape::new(padded.spec()), Ok(padded));
        assert_eq!(conv.with_images(4).dense_macs(), 4 * conv.dense_macs());
    }

    #[test]
    fn contradictions_cannot_be_made() {
        let cause = |spec: ShapeSpec| LayerShape::new(spec).unwrap_err().to_string();
        let good = ShapeSpec::square(4, 8, 8, 6, 3);
        assert_eq!(cause(ShapeSpec { groups: 4, ..good }), "4 groups do not divide 4 inputs and 6 outputs");
        assert_eq!(cause(ShapeSpec { groups: 0, ..good }), "0 groups do not divide 4 inputs and 6 outputs");
        assert_eq!(cause(ShapeSpec { strides: [0, 1], ..good }), "rows: stride is 0, expected at least 1");
        assert_eq!(
            cause(ShapeSpec { w: 0, pads_end: [1, 0], ..good }),
            "columns: a kernel that spans 3 does not fit an input of 0, 1 with padding"
        );
        let wrong = WindowAxis { output: 9, ..WindowAxis::pointwise(8) };
        let axes = LayerShape::from_axes(1, [4, 4], 1, [wrong, WindowAxis::pointwise(8)]);
        assert_eq!(axes, Err(ShapeError::Output { axis: "rows", output: 9 }));
        // Nothing in, nothing out, but a shape.
        assert_eq!(LayerShape::new(ShapeSpec { n: 0, c: 0, ..good }).unwrap().dense_macs(), 0);
    }
}
