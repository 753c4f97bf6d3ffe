//! What stands for a layer's weight in its products, and the gradient that the weight learns from.

use rayon::prelude::*;

use crate::Param;

/// How the weight of a layer is quantized in training. Output channels are the columns of its storage order.
///
/// # Source
/// See the quantizers that use it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightForm {
    /// `s · sign(w)` with `sign(0) = +1`.
    Sign {
        /// `s`.
        scale: SignScale,
        /// What the weight learns from.
        gradient: SignGradient,
    },
    /// `s · q` with `q = clamp(round(w / s), −n, n)`, one `s` for each output channel, `n` the [greatest code](max_code).
    ///
    /// The weight learns straight through where `|w / s| ≤ n`; that is everywhere with [`WeightStep::MaxAbs`].
    Codes {
        /// Bits of a code, its sign included.
        bits: u32,
        /// `s`.
        step: WeightStep,
    },
}

/// The factor of a binary weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignScale {
    /// 1.
    One,
    /// The mean of `|w|` over each output channel.
    ///
    /// # Source
    /// Rastegari, Ordonez, Redmon and Farhadi, "XNOR-Net", ECCV 2016, equation 6.
    MeanAbs,
}

/// The gradient of a binary weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignGradient {
    /// That of the binary weight.
    Straight,
    /// That of the binary weight times `(s · 1[|w| < 1] + 1 / n) · (1 − 1 / c) · n`, with `n` weights in an output channel and
    /// `c` input channels.
    ///
    /// # Source
    /// The code released with XNOR-Net; the paper's equation 8 without the last two factors.
    Scaled {
        /// `c`.
        inputs: usize,
    },
}

/// The step between two codes of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightStep {
    /// Learned: `ds = g · Σ dŵ · (q − w / s)`, with `±n` for the parenthesis where `w / s` lies beyond, and
    /// `g = 1 / sqrt(N · n)` for `N` weights.
    ///
    /// # Source
    /// Esser, McKinstry, Bablani, Appuswamy and Modha, "Learned Step Size Quantization", ICLR 2020, equations 3 and 5.
    /// Differs: one step for each output channel, codes without `−n − 1`.
    Learned,
    /// `max |w| / n` of each output channel.
    MaxAbs,
}

/// The greatest code of a signed number of so many bits; the smallest one is its negative.
pub fn max_code(bits: u32) -> f32 {
    ((1_u32 << (bits - 1)) - 1) as f32
}

/// Smallest step: a channel of zeros has this one.
const MIN_STEP: f32 = 1e-12;

/// Rows that one piece of work takes at least, in elements. Does not depend on the number of threads.
const PIECE: usize = 1 << 15;

/// +1 from 0 on, −1 below.
pub(crate) fn sign(w: f32) -> f32 {
    if w >= 0.0 { 1.0 } else { -1.0 }
}

impl WeightForm {
    /// Whether the form learns a step for each output channel, as a parameter.
    pub(crate) fn learns_step(&self) -> bool {
        matches!(self, Self::Codes { step: WeightStep::Learned, .. })
    }

    /// The steps to begin with: `2 · mean |w| / sqrt(n)` (LSQ, section 2.1).
    pub(crate) fn first_steps(&self, weight: &[f32], columns: usize) -> Vec<f32> {
        match *self {
            Self::Codes { bits, .. } => {
                let factor = 2.0 / max_code(bits).sqrt();
                mean_abs(weight, columns).iter().map(|mean| (mean * factor).max(MIN_STEP)).collect()
            }
            Self::Sign { .. } => Vec::new(),
        }
    }

    /// The factor of each output channel. `learned` are the steps that are parameters.
    pub(crate) fn scales(&self, weight: &[f32], columns: usize, learned: &[f32]) -> Vec<f32> {
        match *self {
            Self::Sign { scale: SignScale::One, .. } => vec![1.0; columns],
            Self::Sign { scale: SignScale::MeanAbs, .. } => mean_abs(weight, columns),
            Self::Codes { step: WeightStep::Learned, .. } => learned.iter().map(|s| s.max(MIN_STEP)).collect(),
            Self::Codes { bits, step: WeightStep::MaxAbs } => {
                let max = by_column(weight, columns, |max, w| max.max(f64::from(w.abs())), f64::max);
                max.iter().map(|max| (*max as f32 / max_code(bits)).max(MIN_STEP)).collect()
            }
        }
    }

    /// The sign of each weight.
    pub(crate) fn signs(&self, weight: &[f32], columns: usize) -> Vec<f32> {
        let mut signs = vec![0.0; weight.len()];
        by_row(&mut signs, weight, columns, |_, _, w| sign(w));
        signs
    }

    /// The codes of a weight: its signs, or whole numbers.
    pub(crate) fn codes(&self, weight: &[f32], scales: &[f32], codes: &mut [f32]) {
        match *self {
            Self::Sign { .. } => by_row(codes, weight, scales.len(), |_, _, w| sign(w)),
            Self::Codes { bits, .. } => {
                let n = max_code(bits);
                by_row(codes, weight, scales.len(), |column, _, w| (w / scales[column]).round_ties_even().clamp(-n, n));
            }
        }
    }

    /// What stands for the weight.
    pub(crate) fn quantize(&self, weight: &[f32], scales: &[f32], to: &mut [f32]) {
        match *self {
            Self::Sign { scale: SignScale::One, .. } => by_row(to, weight, scales.len(), |_, _, w| sign(w)),
            Self::Sign { .. } => by_row(to, weight, scales.len(), |column, _, w| scales[column] * sign(w)),
            Self::Codes { bits, .. } => {
                let n = max_code(bits);
                by_row(to, weight, scales.len(), |column, _, w| {
                    let scale = scales[column];
                    (w / scale).round_ties_even().clamp(-n, n) * scale
                });
            }
        }
    }

    /// Turns the gradient of what stands for the weight into the weight's; gives that of learned steps, in order.
    pub(crate) fn gradient(&self, weight: &[f32], scales: &[f32], grad: &mut [f32]) -> Vec<f32> {
        let columns = scales.len();
        let rows = weight.len() / columns.max(1);
        match *self {
            Self::Sign { gradient: SignGradient::Straight, .. } => Vec::new(),
            Self::Sign { gradient: SignGradient::Scaled { inputs }, .. } => {
                let n = rows as f32;
                let rest = (1.0 - 1.0 / inputs as f32) * n;
                by_row(grad, weight, columns, |column, grad, w| {
                    let inside = if w.abs() < 1.0 { scales[column] } else { 0.0 };
                    grad * (inside + 1.0 / n) * rest
                });
                Vec::new()
            }
            Self::Codes { bits, step } => {
                let n = max_code(bits);
                let steps = match step {
                    WeightStep::MaxAbs => Vec::new(),
                    WeightStep::Learned => {
                        let mut parts = vec![0.0; weight.len()];
                        by_row(&mut parts, weight, columns, |column, _, w| {
                            let ratio = w / scales[column];
                            if ratio.abs() <= n { ratio.round_ties_even() - ratio } else { n.copysign(ratio) }
                        });
                        parts.iter_mut().zip(&*grad).for_each(|(part, grad)| *part *= grad);
                        let factor = 1.0 / (rows as f64 * f64::from(n)).sqrt();
                        let sums = by_column(&parts, columns, |sum, part| sum + f64::from(part), |a, b| a + b);
                        sums.iter().map(|sum| (sum * factor) as f32).collect()
                    }
                };
                // The greatest weight may lie an ulp beyond its own code.
                if step == WeightStep::Learned {
                    by_row(
                        grad,
                        weight,
                        columns,
                        |column, grad, w| {
                            if (w / scales[column]).abs() <= n { grad } else { 0.0 }
                        },
                    );
                }
                steps
            }
        }
    }
}

/// The mean magnitude of each column.
fn mean_abs(weight: &[f32], columns: usize) -> Vec<f32> {
    let rows = (weight.len() / columns.max(1)).max(1) as f64;
    let sums = by_column(weight, columns, |sum, w| sum + f64::from(w.abs()), |a, b| a + b);
    sums.iter().map(|sum| (sum / rows) as f32).collect()
}

/// Folds each column, in an order that does not depend on the number of threads.
fn by_column(
    values: &[f32],
    columns: usize,
    fold: impl Fn(f64, f32) -> f64 + Sync,
    join: impl Fn(f64, f64) -> f64,
) -> Vec<f64> {
    let piece = (PIECE / columns.max(1)).max(1) * columns.max(1);
    let parts: Vec<Vec<f64>> = values
        .par_chunks(piece)
        .map(|rows| {
            let mut sums = vec![0.0; columns];
            for row in rows.chunks(columns) {
                sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum = fold(*sum, value));
            }
            sums
        })
        .collect();
    let mut sums = vec![0.0; columns];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, part)| *sum = join(*sum, part));
    }
    sums
}

/// Writes `f(column, old, weight)` to every element.
fn by_row(to: &mut [f32], weight: &[f32], columns: usize, f: impl Fn(usize, f32, f32) -> f32 + Sync) {
    let piece = (PIECE / columns.max(1)).max(1) * columns.max(1);
    to.par_chunks_mut(piece).zip(weight.par_chunks(piece)).for_each(|(to, weight)| {
        for (to, weight) in to.chunks_mut(columns).zip(weight.chunks(columns)) {
            for (column, (to, &w)) in to.iter_mut().zip(weight).enumerate() {
                *to = f(column, *to, w);
            }
        }
    });
}

/// The number of output channels of a weight: the contiguous axis of its storage order.
pub(crate) fn output_channels(param: &Param) -> usize {
    let shape = param.shape();
    match param.storage() {
        crate::Storage::Graph => shape.last().copied().unwrap_or(1),
        crate::Storage::Conv | crate::Storage::Transposed => shape.first().copied().unwrap_or(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::quantize as naive;

    fn weights(n: usize) -> (Vec<f32>, Vec<f32>) {
        // Numbers within and beyond the range, none at a tie, where the last bit of the step decides.
        let w = (0..n).map(|i| ((i * 37 % 41) as f32 - 20.3) / 8.0).collect();
        let dy = (0..n).map(|i| ((i * 11 % 17) as f32 - 8.0) / 4.0).collect();
        (w, dy)
    }

    #[test]
    fn forms_equal_the_reference() {
        let sign = |scale, gradient| WeightForm::Sign { scale, gradient };
        let scaled = SignGradient::Scaled { inputs: 5 };
        let mut forms = vec![
            sign(SignScale::One, SignGradient::Straight),
            sign(SignScale::MeanAbs, SignGradient::Straight),
            sign(SignScale::MeanAbs, scaled),
        ];
        for bits in 2..=8 {
            forms.extend([WeightStep::Learned, WeightStep::MaxAbs].map(|step| WeightForm::Codes { bits, step }));
        }
        for form in forms {
            for (rows, columns) in [(1, 1), (30, 3), (5000, 16)] {
                let (w, dy) = weights(rows * columns);
                let learned = vec![0.25; columns];
                let scales = form.scales(&w, columns, &learned);
                let mut found = vec![0.0; w.len()];
                form.quantize(&w, &scales, &mut found);
                let mut codes = vec![0.0; w.len()];
                form.codes(&w, &scales, &mut codes);
                let mut grad = dy.clone();
                let steps = form.gradient(&w, &scales, &mut grad);
                for column in 0..columns {
                    let of = |values: &[f32]| -> Vec<f64> {
                        values.iter().skip(column).step_by(columns).copied().map(f64::from).collect()
                    };
                    let expected = naive::weight(&form, &of(&w), f64::from(learned[column]), &of(&dy));
                    let close = |found: f64, expected: f64| (found - expected).abs() <= 2e-5 * expected.abs().max(1.0);
                    for (row, (found, expected)) in of(&found).into_iter().zip(&expected.values).enumerate() {
                        assert!(close(found, *expected), "{form:?} value {row},{column}: {found}, expected {expected}");
                    }
                    for (row, (found, expected)) in of(&grad).into_iter().zip(&expected.gradient).enumerate() {
                        assert!(close(found, *expected), "{form:?} slope {row},{column}: {found}, expected {expected}");
                    }
                    for (found, value) in of(&codes).into_iter().zip(of(&found)) {
                        assert!(close(found * f64::from(scales[column]), value), "{form:?}: code {found} of {value}");
                    }
                    assert_eq!(steps.len(), if form.learns_step() { columns } else { 0 });
                    if let Some(&step) = steps.get(column) {
                        assert!(
                            close(f64::from(step), expected.step_gradient),
                            "{form:?} step: {step}, expected {}",
                            expected.step_gradient
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn zero_is_positive() {
        assert_eq!([0.0, -0.0, -1e-30, 1e-30].map(|w| sign(w) > 0.0), [true, true, false, true]);
    }
}
