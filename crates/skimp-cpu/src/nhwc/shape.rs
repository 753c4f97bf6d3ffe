//! Shapes of channels-last convolutions.

use thiserror::Error;

/// Why a shape cannot be computed with.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShapeError {
    /// An extent, stride, dilation or the number of groups is zero.
    #[error("{what} is 0, expected at least 1")]
    Zero {
        /// Which field.
        what: &'static str,
    },
    /// Channels do not divide into groups.
    #[error("{channels} {what} channels do not divide into {groups} groups")]
    Groups {
        /// `input` or `output`.
        what: &'static str,
        /// Number of channels.
        channels: usize,
        /// Number of groups.
        groups: usize,
    },
    /// The window is larger than the padded image.
    #[error("a window over {window} rows or columns does not fit a padded extent of {padded}")]
    Window {
        /// Extent of the dilated window.
        window: usize,
        /// Extent of the image with its padding.
        padded: usize,
    },
    /// A pooling window has too many positions to number them in a byte.
    #[error("a pooling window of {positions} positions, expected at most 256")]
    Positions {
        /// Positions in the window.
        positions: usize,
    },
    /// A pooling window sees padding only.
    #[error("pooling window {window} of an axis lies in the padding")]
    EmptyWindow {
        /// Which window.
        window: usize,
    },
}

/// A convolution of a batch of channels-last images, or a fully connected layer.
///
/// # Shapes
/// Images `[n][h][w][c]`, weights `[kh][kw][c / groups][k]` (output channels contiguous), outputs `[n][p][q][k]`.
/// Output channel `k` belongs to group `k / (K / groups)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images.
    pub n: usize,
    /// Input rows.
    pub h: usize,
    /// Input columns.
    pub w: usize,
    /// Input channels.
    pub c: usize,
    /// Output channels.
    pub k: usize,
    /// Kernel rows.
    pub kh: usize,
    /// Kernel columns.
    pub kw: usize,
    /// Rows and columns from one window to the next.
    pub strides: [usize; 2],
    /// Rows and columns from one tap to the next.
    pub dilations: [usize; 2],
    /// Zeros above and left of the image.
    pub pads_begin: [usize; 2],
    /// Zeros below and right of the image.
    pub pads_end: [usize; 2],
    /// Channel groups that see only each other.
    pub groups: usize,
}

impl ConvShape {
    /// A fully connected layer: an image of one pixel, a kernel of one tap.
    pub fn dense(n: usize, inputs: usize, outputs: usize) -> Self {
        Self::square(n, [1, 1], [inputs, outputs], 1, 1, 0)
    }

    /// A square kernel with the same stride and padding on all sides, one group.
    pub fn square(n: usize, [h, w]: [usize; 2], [c, k]: [usize; 2], kernel: usize, stride: usize, pad: usize) -> Self {
        Self {
            n,
            h,
            w,
            c,
            k,
            kh: kernel,
            kw: kernel,
            strides: [stride; 2],
            dilations: [1; 2],
            pads_begin: [pad; 2],
            pads_end: [pad; 2],
            groups: 1,
        }
    }

    /// Checks that every kernel can compute this shape.
    ///
    /// # Errors
    /// A [`ShapeError`] naming what is wrong.
    pub fn check(&self) -> Result<(), ShapeError> {
        let positive = [
            ("the height", self.h),
            ("the width", self.w),
            ("the number of input channels", self.c),
            ("the number of output channels", self.k),
            ("a kernel extent", self.kh.min(self.kw)),
            ("a stride", self.strides[0].min(self.strides[1])),
            ("a dilation", self.dilations[0].min(self.dilations[1])),
            ("the number of groups", self.groups),
        ];
        if let Some(&(what, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(ShapeError::Zero { what });
        }
        for (what, channels) in [("input", self.c), ("output", self.k)] {
            if !channels.is_multiple_of(self.groups) {
                return Err(ShapeError::Groups { what, channels, groups: self.groups });
            }
        }
        for (axis, extent) in [self.h, self.w].into_iter().enumerate() {
            let padded = extent + self.pads_begin[axis] + self.pads_end[axis];
            let window = self.window(axis);
            if window > padded {
                return Err(ShapeError::Window { window, padded });
            }
        }
        Ok(())
    }

    /// Extent of the dilated window on an axis.
    fn window(&self, axis: usize) -> usize {
        ([self.kh, self.kw][axis] - 1) * self.dilations[axis] + 1
    }

    fn outputs(&self, axis: usize) -> usize {
        let padded = [self.h, self.w][axis] + self.pads_begin[axis] + self.pads_end[axis];
        (padded - self.window(axis)) / self.strides[axis] + 1
    }

    /// Output rows.
    pub fn p(&self) -> usize {
        self.outputs(0)
    }

    /// Output columns.
    pub fn q(&self) -> usize {
        self.outputs(1)
    }

    /// Elements of the input.
    pub fn x_len(&self) -> usize {
        self.n * self.h * self.w * self.c
    }

    /// Elements of the output.
    pub fn y_len(&self) -> usize {
        self.n * self.p() * self.q() * self.k
    }

    /// Elements of the weights.
    pub fn weight_len(&self) -> usize {
        self.kh * self.kw * self.group_c() * self.k
    }

    /// Multiply-accumulates, padding included.
    pub fn macs(&self) -> u64 {
        (self.n * self.p() * self.q()) as u64 * self.weight_len() as u64
    }

    /// Input channels of a group.
    pub fn group_c(&self) -> usize {
        self.c / self.groups
    }

    /// Output channels of a group.
    pub fn group_k(&self) -> usize {
        self.k / self.groups
    }
}
