//! Elementwise operators on images in any layout. Safe and portable: rows of elements that the compiler vectorizes.

use super::{Bounds, LANES, Planes};

/// A function of one element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Unary {
    Clamp(Bounds),
    LeakyRelu(f32),
    Sigmoid,
    HardSigmoid { alpha: f32, beta: f32 },
    HardSwish,
    Tanh,
    Sign,
}

/// A function of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
}

/// A function of one element with parameters of its channel.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Channelwise {
    /// `scale · x + shift`.
    Affine { scale: Vec<f32>, shift: Vec<f32> },
    /// `x` if x ≥ 0, else `slope · x`.
    PRelu { slope: Vec<f32> },
}

/// Visits matching rows of two images of the same extents and block.
fn rows(
    source: &[f32],
    from: &Planes,
    target: &mut [f32],
    to: &Planes,
    mut each: impl FnMut(usize, &[f32], &mut [f32]),
) {
    to.clear_halo(target);
    let len = from.width * from.block;
    for block in 0..from.n_blocks() {
        for row in 0..from.height {
            let (s, t) = (from.at(block, row, 0), to.at(block, row, 0));
            each(block, &source[s..s + len], &mut target[t..t + len]);
        }
    }
}

impl Unary {
    /// `out = f(x)`.
    pub(crate) fn run(self, x: (&[f32], &Planes), out: (&mut [f32], &Planes)) {
        match self {
            Self::Clamp(bounds) => map(x, out, |x| bounds.apply(x)),
            Self::LeakyRelu(alpha) => map(x, out, |x| if x < 0.0 { alpha * x } else { x }),
            Self::Sigmoid => map(x, out, |x| (1.0 / (1.0 + (-f64::from(x)).exp())) as f32),
            Self::HardSigmoid { alpha, beta } => {
                let (alpha, beta) = (f64::from(alpha), f64::from(beta));
                map(x, out, |x| (alpha * f64::from(x) + beta).clamp(0.0, 1.0) as f32);
            }
            Self::HardSwish => map(x, out, |x| {
                let x = f64::from(x);
                (x * (x / 6.0 + 0.5).clamp(0.0, 1.0)) as f32
            }),
            Self::Tanh => map(x, out, |x| f64::from(x).tanh() as f32),
            Self::Sign => {
                map(x, out, |x| if x.is_nan() { x } else { f32::from(i8::from(x > 0.0) - i8::from(x < 0.0)) })
            }
        }
    }
}

fn map(x: (&[f32], &Planes), out: (&mut [f32], &Planes), f: impl Fn(f32) -> f32) {
    rows(x.0, x.1, out.0, out.1, |_, x, y| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f(x);
        }
    });
}

impl Binary {
    /// `out = bounds(f(a, b))`. `b` is shaped like `a`, or (blocked) has one pixel for all of a channel's.
    pub(crate) fn run(self, bounds: Bounds, a: (&[f32], &Planes), b: (&[f32], &Planes), out: (&mut [f32], &Planes)) {
        match self {
            Self::Add => zip(a, b, out, |a, b| bounds.apply(a + b)),
            Self::Sub => zip(a, b, out, |a, b| bounds.apply(a - b)),
            Self::Mul => zip(a, b, out, |a, b| bounds.apply(a * b)),
            Self::Div => zip(a, b, out, |a, b| bounds.apply(a / b)),
        }
    }
}

fn zip(a: (&[f32], &Planes), b: (&[f32], &Planes), out: (&mut [f32], &Planes), f: impl Fn(f32, f32) -> f32) {
    let (b, b_planes) = b;
    let same = (a.1.height, a.1.width) == (b_planes.height, b_planes.width);
    let len = a.1.width * a.1.block;
    let mut row = 0;
    rows(a.0, a.1, out.0, out.1, |block, a_row, y| {
        if same {
            let start = b_planes.at(block, row, 0);
            for ((y, &a), &b) in y.iter_mut().zip(a_row).zip(&b[start..start + len]) {
                *y = f(a, b);
            }
        } else {
            let start = b_planes.at(block, 0, 0);
            let b = &b[start..start + LANES];
            for (y, a) in y.chunks_exact_mut(LANES).zip(a_row.chunks_exact(LANES)) {
                for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
                    *y = f(a, b);
                }
            }
        }
        row = (row + 1) % a.1.height;
    });
}

impl Channelwise {
    /// `out = bounds(f(x))` on blocked images. The parameters are padded to whole blocks.
    pub(crate) fn run(&self, bounds: Bounds, x: (&[f32], &Planes), out: (&mut [f32], &Planes)) {
        rows(x.0, x.1, out.0, out.1, |block, x, y| {
            let lanes = block * LANES..(block + 1) * LANES;
            let pixels = y.chunks_exact_mut(LANES).zip(x.chunks_exact(LANES));
            match self {
                Self::Affine { scale, shift } => {
                    let (scale, shift) = (&scale[lanes.clone()], &shift[lanes]);
                    for (y, x) in pixels {
                        for (((y, &x), &scale), &shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                            *y = bounds.apply(x * scale + shift);
                        }
                    }
                }
                Self::PRelu { slope } => {
                    let slope = &slope[lanes];
                    for (y, x) in pixels {
                        for ((y, &x), &slope) in y.iter_mut().zip(x).zip(slope) {
                            *y = bounds.apply(if x < 0.0 { slope * x } else { x });
                        }
                    }
                }
            }
        });
    }
}
