//! f32 kernels over channel-blocked images.
//!
//! Activations lie in [`Planes`]: blocks of 16 channels, each block an image of 16-channel pixels inside a halo of
//! zeros that spares the convolutions every border test. Each vector kernel is chosen at run time from [`Isa`] and has
//! a safe, portable twin that it is tested against.

pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod depthwise;
pub(crate) mod functions;
pub(crate) mod grouped;
pub(crate) mod lanes;
pub(crate) mod layout;
pub(crate) mod matmul;
pub(crate) mod planar;
pub(crate) mod pool;
pub(crate) mod program;
pub(crate) mod rows;
pub(crate) mod sparse;
pub(crate) mod strided;
pub(crate) mod transpose;
pub(crate) mod winograd;

/// Channels in a block, and elements in the vectors that kernels are written in.
pub(crate) const LANES: usize = 16;

/// Vector instructions that the kernels may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Isa {
    /// AVX-512 F.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the compiler makes of plain code.
    Portable,
}

impl Isa {
    /// The best that this processor has.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Every choice that this processor can run, best first.
    #[cfg(test)]
    pub(crate) fn available() -> Vec<Self> {
        let mut all = vec![Self::detect()];
        #[cfg(target_arch = "x86_64")]
        if all[0] == Self::Avx512 {
            all.push(Self::Avx2);
        }
        if all[0] != Self::Portable {
            all.push(Self::Portable);
        }
        all
    }
}

/// Zeros (or stale elements) kept around an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Halo {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) bottom: usize,
    pub(crate) right: usize,
}

impl Halo {
    /// The smallest halo that holds both.
    pub(crate) fn union(self, other: Self) -> Self {
        Self {
            top: self.top.max(other.top),
            left: self.left.max(other.left),
            bottom: self.bottom.max(other.bottom),
            right: self.right.max(other.right),
        }
    }

    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// Where the elements of one image lie: `[channel blocks][rows][columns][block]`, rows and columns including the halo.
///
/// A block of 1 is the plain NCHW order. In a block of 16 the lanes past the last channel hold unspecified values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planes {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) block: usize,
    pub(crate) halo: Halo,
}

impl Planes {
    /// Plain NCHW order without a halo.
    pub(crate) fn plain(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width, block: 1, halo: Halo::default() }
    }

    /// Blocks of 16 channels without a halo.
    pub(crate) fn blocked(channels: usize, height: usize, width: usize) -> Self {
        Self { channels, height, width, block: LANES, halo: Halo::default() }
    }

    /// Number of channel blocks.
    pub(crate) fn n_blocks(&self) -> usize {
        self.channels.div_ceil(self.block)
    }

    /// Elements from one row to the next.
    pub(crate) fn pitch(&self) -> usize {
        (self.halo.left + self.width + self.halo.right) * self.block
    }

    /// Elements from one block to the next.
    pub(crate) fn plane(&self) -> usize {
        (self.halo.top + self.height + self.halo.bottom) * self.pitch()
    }

    /// Elements of the image with its halo.
    pub(crate) fn len(&self) -> usize {
        self.n_blocks() * self.plane()
    }

    /// [`len`](Self::len), `None` if it overflows.
    pub(crate) fn checked_len(&self) -> Option<usize> {
        let along = |before: usize, extent: usize, after: usize| before.checked_add(extent)?.checked_add(after);
        let rows = along(self.halo.top, self.height, self.halo.bottom)?;
        let columns = along(self.halo.left, self.width, self.halo.right)?;
        rows.checked_mul(columns)?.checked_mul(self.block)?.checked_mul(self.n_blocks())
    }

    /// Index of lane 0 of a pixel.
    pub(crate) fn at(&self, block: usize, row: usize, column: usize) -> usize {
        block * self.plane() + (self.halo.top + row) * self.pitch() + (self.halo.left + column) * self.block
    }

    /// Sets the halo to zero.
    pub(crate) fn clear_halo(&self, image: &mut [f32]) {
        if self.halo.is_empty() {
            return;
        }
        let pitch = self.pitch();
        for plane in image[..self.len()].chunks_exact_mut(self.plane()) {
            let (top, rest) = plane.split_at_mut(self.halo.top * pitch);
            let (rows, bottom) = rest.split_at_mut(self.height * pitch);
            top.fill(0.0);
            bottom.fill(0.0);
            for row in rows.chunks_exact_mut(pitch) {
                row[..self.halo.left * self.block].fill(0.0);
                row[(self.halo.left + self.width) * self.block..].fill(0.0);
            }
        }
    }
}

/// Whether the padding around an image is small enough to be stored with it: wide paddings and dilations make rows and
/// columns of zeros that dwarf both the image and what a layer makes of it. `None` stands for more than can be counted.
pub(crate) fn affords_padding(padded: [Option<usize>; 2], input: [usize; 2], output: [usize; 2]) -> bool {
    let pixels = (input[0] * input[1]).saturating_add(output[0] * output[1]);
    let padded = padded[0].zip(padded[1]).and_then(|(rows, columns)| rows.checked_mul(columns));
    padded.is_some_and(|padded| padded <= pixels.saturating_mul(16).saturating_add(4096))
}

/// Bounds that a fused activation clamps to; NaN stays NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: f32,
    pub(crate) high: f32,
}

impl Bounds {
    /// No activation.
    pub(crate) const NONE: Self = Self { low: f32::NEG_INFINITY, high: f32::INFINITY };
    /// max(x, 0).
    pub(crate) const RELU: Self = Self { low: 0.0, high: f32::INFINITY };

    /// One element.
    #[inline(always)]
    pub(crate) fn apply(self, x: f32) -> f32 {
        let x = if self.low > x { self.low } else { x };
        if self.high < x { self.high } else { x }
    }
}

/// `addend + a · b` with one rounding where that is one instruction, else with two.
#[inline(always)]
pub(crate) fn multiply_add(a: f32, b: f32, addend: f32) -> f32 {
    if cfg!(any(target_feature = "fma", target_arch = "aarch64")) { a.mul_add(b, addend) } else { a * b + addend }
}

/// Random test data in [-1, 1), from a small linear congruential generator.
#[cfg(test)]
pub(crate) fn noise(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1_u64 << 23) as f32) - 1.0
    };
    (0..len).map(|_| next()).collect()
}
