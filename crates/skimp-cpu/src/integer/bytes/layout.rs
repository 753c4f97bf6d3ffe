//! Where the codes of one image lie.

use skimp_graph::integer::Encoding;

/// Channels in a vector of accumulators, and bytes in a block of codes.
pub(super) const LANES: usize = 16;
/// Products that one lane adds at once.
pub(super) const GROUP: usize = 4;

/// Bytes around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Halo {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) bottom: usize,
    pub(super) right: usize,
}

impl Halo {
    pub(super) fn union(self, other: Self) -> Self {
        Self {
            top: self.top.max(other.top),
            left: self.left.max(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.max(other.right),
        }
    }
}

/// One image as bytes `[row][column][channel]` inside a halo that holds the zero point. Channels are padded to `pitch`
/// bytes of unspecified content, which weights of 0 make harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) channels: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) pitch: usize,
    pub(super) halo: Halo,
}

impl Layout {
    pub(super) fn new(channels: usize, height: usize, width: usize) -> Self {
        let pitch = if channels <= GROUP { GROUP } else { channels.next_multiple_of(LANES) };
        Self { channels, height, width, pitch, halo: Halo::default() }
    }

    /// Bytes from one row to the next.
    pub(super) fn row_pitch(&self) -> usize {
        (self.halo.left + self.width + self.halo.right) * self.pitch
    }

    /// Bytes of an image, with room behind it for a whole block at the last pixel.
    pub(super) fn n_bytes(&self) -> usize {
        (self.halo.top + self.height + self.halo.bottom) * self.row_pitch() + LANES
    }

    /// Position of the first channel of a pixel.
    pub(super) fn at(&self, row: usize, col: usize) -> usize {
        (row + self.halo.top) * self.row_pitch() + (col + self.halo.left) * self.pitch
    }

    pub(super) fn n_pixels(&self) -> usize {
        self.height * self.width
    }

    /// Position of pixel number `i`, counted row by row.
    pub(super) fn pixel(&self, i: usize) -> usize {
        self.at(i / self.width, i % self.width)
    }
}

/// Rows and columns of an image's pixels from some pixel on, without a division for each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    row: usize,
    col: usize,
    width: usize,
}

impl Walk {
    pub(super) fn new(layout: &Layout, first: usize) -> Self {
        Self { row: first / layout.width, col: first % layout.width, width: layout.width }
    }
}

impl Iterator for Walk {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let here = (self.row, self.col);
        self.col += 1;
        if self.col == self.width {
            (self.row, self.col) = (self.row + 1, 0);
        }
        Some(here)
    }
}

/// Codes are kept as bytes above the least one of their encoding.
pub(super) fn byte(code: i32, encoding: &Encoding) -> u8 {
    (code - encoding.min_code()).clamp(0, 255) as u8
}
