//! The transforms of weights and of tiles in one dimension.

#![allow(unsafe_code, reason = "vector instructions")]

use super::super::LANES;
use super::super::lanes::Lanes;
use super::Algorithm;

/// Points ±A and ±B at which F(4x4, 3x3) is interpolated beside 0 and infinity.
const A: f32 = 0.625;
const B: f32 = 1.5;
const AA: f32 = A * A;
const BB: f32 = B * B;

/// `G w G^T` for 16 filters, rounded once: hands on the 16 elements of each place.
pub(super) fn weights(algorithm: Algorithm, taps: &[[f64; LANES]; 9], mut give: impl FnMut(usize, &[f32; LANES])) {
    match algorithm {
        Algorithm::Two => rows::<4>(&two(), taps, &mut give),
        Algorithm::Four => rows::<6>(&four(), taps, &mut give),
    }
}

fn rows<const N: usize>(g: &[[f64; 3]; N], taps: &[[f64; LANES]; 9], give: &mut impl FnMut(usize, &[f32; LANES])) {
    let sum = |[a, b, c]: [f64; 3], x: [&[f64; LANES]; 3]| -> [f64; LANES] {
        std::array::from_fn(|lane| a * x[0][lane] + b * x[1][lane] + c * x[2][lane])
    };
    for (i, &row) in g.iter().enumerate() {
        // Row i of G w, then its products with the rows of G.
        let turned: [[f64; LANES]; 3] = std::array::from_fn(|s| sum(row, [&taps[s], &taps[3 + s], &taps[6 + s]]));
        for (j, &column) in g.iter().enumerate() {
            let lanes = sum(column, [&turned[0], &turned[1], &turned[2]]);
            give(i * N + j, &lanes.map(|x| x as f32));
        }
    }
}

/// G of F(2, 3).
fn two() -> [[f64; 3]; 4] {
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]
}

/// G of F(4, 3): a row `[1, p, p²] / Π (p - q)` over the other points q for each point p.
fn four() -> [[f64; 3]; 6] {
    let (a, b) = (f64::from(A), f64::from(B));
    let row = |p: f64, n: f64| [1.0 / n, p / n, p * p / n];
    let at_a = 2.0 * a * a * (a * a - b * b);
    let at_b = 2.0 * b * b * (b * b - a * a);
    [row(0.0, a * a * b * b), row(a, at_a), row(-a, at_a), row(b, at_b), row(-b, at_b), [0.0, 0.0, 1.0]]
}

/// `B^T d` for N = 4 (F(2, 3)) or 6 (F(4, 3)).
///
/// # Safety
/// Needs the processor features of `V`.
#[inline(always)]
pub(super) unsafe fn input<V: Lanes, const N: usize>(d: [V; N]) -> [V; N] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut y = d;
        if N == 4 {
            y[0] = d[0].sub(d[2]);
            y[1] = d[1].add(d[2]);
            y[2] = d[2].sub(d[1]);
            y[3] = d[1].sub(d[3]);
            return y;
        }
        let scaled = |x: V, by: f32, z: V| x.fused(z, V::splat(by));
        y[0] = scaled(scaled(d[4], -(AA + BB), d[2]), AA * BB, d[0]);
        let (even, odd) = (scaled(d[4], -BB, d[2]), scaled(d[3], -BB, d[1]));
        y[1] = scaled(even, A, odd);
        y[2] = scaled(even, -A, odd);
        let (even, odd) = (scaled(d[4], -AA, d[2]), scaled(d[3], -AA, d[1]));
        y[3] = scaled(even, B, odd);
        y[4] = scaled(even, -B, odd);
        y[5] = scaled(scaled(d[5], -(AA + BB), d[3]), AA * BB, d[1]);
        y
    }
}

/// `A^T m` for N = 4 and M = 2, or 6 and 4.
///
/// # Safety
/// Needs the processor features of `V`.
#[inline(always)]
pub(super) unsafe fn output<V: Lanes, const N: usize, const M: usize>(m: [V; N]) -> [V; M] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut y = [m[0]; M];
        let (sum_a, difference_a) = (m[1].add(m[2]), m[1].sub(m[2]));
        if N == 4 {
            y[0] = m[0].add(sum_a);
            y[1] = difference_a.sub(m[3]);
            return y;
        }
        let (sum_b, difference_b) = (m[3].add(m[4]), m[3].sub(m[4]));
        let both = |x: V, a: f32, b: f32, of_a: V, of_b: V| x.fused(of_a, V::splat(a)).fused(of_b, V::splat(b));
        let zero = V::splat(0.0);
        y[0] = m[0].add(sum_a).add(sum_b);
        y[1] = both(zero, A, B, difference_a, difference_b);
        y[2] = both(zero, AA, BB, sum_a, sum_b);
        y[3] = both(m[5], A * AA, B * BB, difference_a, difference_b);
        y
    }
}

/// What an output of one channel sums in magnitude at most, if inputs and weights are at most 1: for the worst output in one
/// dimension, the sum over the places of a row of A^T times the row sums of G and B^T; squared for two dimensions.
#[cfg(test)]
pub(super) fn amplification(algorithm: Algorithm) -> f64 {
    let (a, b) = (f64::from(A), f64::from(B));
    let (aa, bb) = (a * a, b * b);
    let magnitude = |row: &[f64]| row.iter().map(|x| x.abs()).sum::<f64>();
    // Rows of A^T; row sums of G and of B^T.
    let outputs: Vec<[f64; 6]>;
    let (filters, inputs): (Vec<f64>, Vec<f64>);
    match algorithm {
        Algorithm::Two => {
            outputs = vec![[1.0, 1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0, 0.0, 0.0]];
            filters = two().iter().map(|row| magnitude(row)).collect();
            inputs = vec![2.0; 4];
        }
        Algorithm::Four => {
            let row = |i: i32| [f64::from(i == 0), a.powi(i), a.powi(i), b.powi(i), b.powi(i), f64::from(i == 3)];
            outputs = (0..4).map(row).collect();
            filters = four().iter().map(|row| magnitude(row)).collect();
            let (at_a, at_b) = (a * bb + bb + a + 1.0, b * aa + aa + b + 1.0);
            let end = aa * bb + aa + bb + 1.0;
            inputs = vec![end, at_a, at_a, at_b, at_b, end];
        }
    }
    let worst = outputs.iter().map(|row| {
        let terms = row.iter().zip(filters.iter().zip(&inputs));
        terms.map(|(y, (g, b))| y.abs() * g * b).sum::<f64>()
    });
    worst.fold(0.0_f64, f64::max).powi(2)
}
