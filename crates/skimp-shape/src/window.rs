//! Sliding windows along one axis.

use thiserror::Error;

/// A window along one spatial axis, with padding and output extent worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WindowAxis {
    /// Input extent without padding.
    pub input: usize,
    /// Kernel extent.
    pub kernel: usize,
    /// Stride.
    pub stride: usize,
    /// Dilation.
    pub dilation: usize,
    /// Padding before the first element.
    pub pad_begin: usize,
    /// Padding after the last element. A window whose output extent is rounded up may reach beyond it.
    pub pad_end: usize,
    /// Number of windows.
    pub output: usize,
}

/// What surrounds the input along one axis, and how the output extent is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As many elements before and after, and an extent rounded down.
    Explicit {
        /// Elements before the first.
        begin: usize,
        /// Elements after the last.
        end: usize,
    },
    /// As [`Explicit`](Self::Explicit), and an extent rounded up (`ceil_mode` of ONNX).
    Ceil {
        /// Elements before the first.
        begin: usize,
        /// Elements after the last.
        end: usize,
    },
    /// As much as `ceil(input / stride)` windows need; an odd element goes to the end.
    SameUpper,
    /// As much as `ceil(input / stride)` windows need; an odd element goes to the beginning.
    SameLower,
}

/// Why a window has no extent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AxisError {
    /// A kernel, stride or dilation of 0.
    #[error("{what} is 0, expected at least 1")]
    Zero {
        /// Which one.
        what: &'static str,
    },
    /// Extents that overflow.
    #[error("extents are too large")]
    TooLarge,
    /// A kernel that reaches beyond the padded input.
    #[error("a kernel that spans {span} does not fit an input of {input}, {padded} with padding")]
    DoesNotFit {
        /// Elements that the kernel spans, dilation included.
        span: usize,
        /// Input extent.
        input: usize,
        /// Input extent with padding.
        padded: usize,
    },
}

impl WindowAxis {
    /// Works out padding and output extent.
    ///
    /// [`Padding::Explicit`]: `output = floor((input + pads − dilation · (kernel − 1) − 1) / stride) + 1`.
    /// [`Padding::Ceil`]: rounded up instead, where a window that would start in the end padding is dropped; the kernel may
    /// reach beyond the padded input by less than a stride.
    /// [`Padding::SameUpper`] and [`Padding::SameLower`]: `ceil(input / stride)`.
    ///
    /// # Errors
    /// [`AxisError`] if a kernel, stride or dilation is 0, or the kernel does not fit the padded input.
    ///
    /// # Source
    /// ONNX operator specifications of Conv (opset 11) and MaxPool, AveragePool (opset 22, whose `ceil_mode` rule fixes
    /// the earlier ones).
    pub fn new(
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: Padding,
    ) -> Result<Self, AxisError> {
        for (what, value) in [("kernel extent", kernel), ("stride", stride), ("dilation", dilation)] {
            if value == 0 {
                return Err(AxisError::Zero { what });
            }
        }
        // Half the range, so that no later sum overflows.
        let small = |value: usize| if value <= usize::MAX / 8 { Ok(value) } else { Err(AxisError::TooLarge) };
        let reach = (kernel - 1).checked_mul(dilation).and_then(|r| r.checked_add(1)).ok_or(AxisError::TooLarge)?;
        let (span, input, stride) = (small(reach)?, small(input)?, small(stride)?);
        let axis = |pad_begin, pad_end, output| Self { input, kernel, stride, dilation, pad_begin, pad_end, output };
        match padding {
            Padding::SameUpper | Padding::SameLower => {
                let output = input.div_ceil(stride);
                let needed = output.saturating_sub(1).checked_mul(stride).and_then(|n| n.checked_add(span));
                let total = needed.ok_or(AxisError::TooLarge)?.saturating_sub(input);
                let (half, rest) = (total / 2, total - total / 2);
                let upper = padding == Padding::SameUpper;
                Ok(if upper { axis(half, rest, output) } else { axis(rest, half, output) })
            }
            Padding::Explicit { begin, end } | Padding::Ceil { begin, end } => {
                let (begin, end) = (small(begin)?, small(end)?);
                let padded = input + begin + end;
                let rounds_up = matches!(padding, Padding::Ceil { .. });
                if rounds_up && padded < span && span - padded < stride && input + begin > 0 {
                    // Rounded up, one window that reaches beyond the end.
                    return Ok(axis(begin, end, 1));
                }
                let room = padded.checked_sub(span).ok_or(AxisError::DoesNotFit { span, input, padded })?;
                let output = if rounds_up {
                    let output = room.div_ceil(stride) + 1;
                    if (output - 1) * stride >= input + begin { output - 1 } else { output }
                } else {
                    room / stride + 1
                };
                Ok(axis(begin, end, output))
            }
        }
    }

    /// An axis of `extent` elements under a window of one: each output is one input.
    pub const fn pointwise(extent: usize) -> Self {
        Self { input: extent, kernel: 1, stride: 1, dilation: 1, pad_begin: 0, pad_end: 0, output: extent }
    }

    /// One window over all `extent` elements of an axis.
    pub const fn whole(extent: usize) -> Self {
        Self { input: extent, kernel: extent, stride: 1, dilation: 1, pad_begin: 0, pad_end: 0, output: 1 }
    }

    /// Whether it is one window of one element on the only element of the input.
    pub fn is_single(&self) -> bool {
        (self.input, self.kernel, self.output, self.pad_begin) == (1, 1, 1, 0)
    }

    /// Elements from the first that the first window reads to the last that the last window reads, padding included.
    pub fn span(&self) -> usize {
        (self.output.max(1) - 1) * self.stride + (self.kernel - 1) * self.dilation + 1
    }

    /// The kernel positions of window `output_idx` that read an element of the input, as a range.
    pub fn taps(&self, output_idx: usize) -> std::ops::Range<usize> {
        let start = output_idx * self.stride;
        let first = self.pad_begin.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.input + self.pad_begin).saturating_sub(start).div_ceil(self.dilation);
        first.min(self.kernel)..end.clamp(first.min(self.kernel), self.kernel)
    }

    /// The windows whose kernel position `tap` reads an element of the input, as a range.
    pub fn windows(&self, tap: usize) -> std::ops::Range<usize> {
        let offset = tap * self.dilation;
        let first = self.pad_begin.saturating_sub(offset).div_ceil(self.stride).min(self.output);
        let end = (self.input + self.pad_begin).saturating_sub(offset).div_ceil(self.stride);
        first..end.clamp(first, self.output)
    }

    /// The input index that kernel position `tap` of window `output_idx` reads; `tap` must be among
    /// [`taps`](Self::taps).
    pub fn input_idx(&self, output_idx: usize, tap: usize) -> usize {
        output_idx * self.stride + tap * self.dilation - self.pad_begin
    }

    /// The input index that kernel position `tap` of window `output_idx` reads, or `None` where it falls on padding.
    pub fn read(&self, output_idx: usize, tap: usize) -> Option<usize> {
        let idx = (output_idx * self.stride + tap * self.dilation).checked_sub(self.pad_begin)?;
        (idx < self.input).then_some(idx)
    }

    /// Number of kernel positions of window `output_idx` inside the input and its padding, without what
    /// [`Padding::Ceil`] adds beyond.
    pub fn n_padded_taps(&self, output_idx: usize) -> usize {
        let left = self.input + self.pad_begin + self.pad_end - output_idx * self.stride;
        left.div_ceil(self.dilation).min(self.kernel)
    }

    /// Whether the output extent is one that [`new`](Self::new) gives for the rest.
    pub(crate) fn is_consistent(&self) -> bool {
        let (begin, end) = (self.pad_begin, self.pad_end);
        let paddings =
            [Padding::Explicit { begin, end }, Padding::Ceil { begin, end }, Padding::SameUpper, Padding::SameLower];
        paddings.into_iter().any(|padding| {
            Self::new(self.input, self.kernel, self.stride, self.dilation, padding).is_ok_and(|axis| axis == *self)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_and_reads_agree() {
        for (input, kernel, stride, dilation, pad) in
            [(7, 3, 2, 1, 1), (5, 2, 1, 3, 2), (9, 4, 3, 2, 0), (1, 1, 3, 1, 4)]
        {
            for padding in [Padding::Explicit { begin: pad, end: pad + 1 }, Padding::Ceil { begin: pad, end: pad }] {
                let axis = WindowAxis::new(input, kernel, stride, dilation, padding).unwrap();
                assert!(axis.is_consistent());
                for p in 0..axis.output {
                    let read: Vec<usize> = (0..kernel).filter(|&tap| axis.read(p, tap).is_some()).collect();
                    assert_eq!(read, axis.taps(p).collect::<Vec<_>>(), "{axis:?}");
                    assert!(axis.taps(p).all(|tap| axis.read(p, tap) == Some(axis.input_idx(p, tap))));
                    assert!(axis.taps(p).all(|tap| axis.windows(tap).contains(&p)));
                }
            }
        }
    }

    #[test]
    fn faults_are_named() {
        let of = |kernel, stride, padding| WindowAxis::new(4, kernel, stride, 1, padding).unwrap_err().to_string();
        let none = Padding::Explicit { begin: 0, end: 0 };
        assert_eq!(of(0, 1, none), "kernel extent is 0, expected at least 1");
        assert_eq!(of(1, 0, none), "stride is 0, expected at least 1");
        assert_eq!(of(5, 1, none), "a kernel that spans 5 does not fit an input of 4, 4 with padding");
        assert_eq!(of(usize::MAX, 1, Padding::SameUpper), "extents are too large");
        assert!(!WindowAxis { output: 5, ..WindowAxis::pointwise(4) }.is_consistent());
    }
}
