//! Activations as what drives the rows of an array.

use skimp_sim::LayerWorkload;

use super::WideInput;
use crate::models::bricks::tap_position;

/// What the codes of a layer's input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::models) enum Inputs {
    /// 0 or this code, which stands for 1.
    Spikes(i32),
    /// Plus or minus this code.
    Signs(i32),
    /// Numbers of so many bits of magnitude.
    Words(u32),
}

impl Inputs {
    /// What the codes of one image are. Codes of 2 bits that may be negative are signs; others are spikes if there is nothing but 0
    /// and full scale, or but 0 and 1 in codes of 2 bits.
    pub(in crate::models) fn of(layer: &LayerWorkload, codes: &[i32], wide: WideInput) -> Self {
        let bits = layer.activation_bits - u32::from(layer.activation_signed);
        let full = ((1_i64 << bits) - 1) as i32;
        if layer.activation_signed && bits == 1 {
            return Inputs::Signs(1);
        }
        let two = |low: i32| codes.iter().all(|&code| code == low || code == full);
        match (wide, layer.first, layer.activation_signed) {
            (WideInput::Binarized, true, true) => Inputs::Signs(full),
            (WideInput::Binarized, true, false) => Inputs::Spikes(full),
            // Spikes of neurons are codes of the least width.
            (_, _, false) if bits == 2 && codes.iter().all(|&code| code <= 1) => Inputs::Spikes(1),
            (_, _, false) if two(0) => Inputs::Spikes(full),
            _ => Inputs::Words(bits),
        }
    }

    /// Codes of a first layer as [`WideInput::Binarized`] has them.
    pub(in crate::models) fn binarize(layer: &LayerWorkload, codes: &mut [i32]) {
        let bits = layer.activation_bits - u32::from(layer.activation_signed);
        let full = ((1_i64 << bits) - 1) as i32;
        let upper = |code: i32| if layer.activation_signed { code >= 0 } else { i64::from(code) * 2 > i64::from(full) };
        let low = if layer.activation_signed { -full } else { 0 };
        codes.iter_mut().for_each(|code| *code = if upper(*code) { full } else { low });
    }

    pub(in crate::models) fn are_signs(self) -> bool {
        matches!(self, Inputs::Signs(_))
    }

    /// Reads that an input takes, one for each bit.
    pub(in crate::models) fn planes(self) -> u32 {
        match self {
            Inputs::Spikes(_) | Inputs::Signs(_) => 1,
            Inputs::Words(bits) => bits.max(1),
        }
    }

    /// The code of what counts as one weight.
    pub(in crate::models) fn unit(self) -> i64 {
        match self {
            Inputs::Spikes(code) | Inputs::Signs(code) => i64::from(code.max(1)),
            Inputs::Words(_) => 1,
        }
    }

    /// What full scale counts, in units of one weight.
    pub(in crate::models) fn span(self) -> f64 {
        match self {
            Inputs::Spikes(_) | Inputs::Signs(_) => 1.0,
            Inputs::Words(bits) => ((1_u64 << bits) - 1) as f64,
        }
    }

    /// What a code counts where it is active: of signs, +1 is.
    pub(in crate::models) fn active(self, code: i32) -> Option<f32> {
        match self {
            Inputs::Spikes(_) => (code != 0).then_some(1.0),
            Inputs::Signs(_) => (code > 0).then_some(1.0),
            Inputs::Words(_) => (code != 0).then_some(code as f32),
        }
    }

    /// Sum over planes of the squares of what the active rows of each count.
    pub(in crate::models) fn power(self, active: &[(usize, f32)]) -> f64 {
        match self {
            Inputs::Spikes(_) | Inputs::Signs(_) => active.len() as f64,
            Inputs::Words(bits) => {
                let of = |&(_, x): &(usize, f32)| {
                    let magnitude = x.abs() as u64;
                    (0..bits).filter(|bit| magnitude >> bit & 1 == 1).map(|bit| 4_f64.powi(bit as i32)).sum::<f64>()
                };
                active.iter().map(of).sum()
            }
        }
    }
}

/// Calls `work` with the place of each window, row by row, and its inputs in the order of the weights: index, code. Codes are
/// `[c, h, w]` of one group.
pub(in crate::models) fn windows(layer: &LayerWorkload, codes: &[i32], mut work: impl FnMut(usize, &[(usize, i32)])) {
    let shape = &layer.shape;
    let [c, h, w, r, s] = [shape.channels_per_group(), shape.h(), shape.w(), shape.r(), shape.s()];
    let mut inputs = Vec::with_capacity(c * r * s);
    if [h, w, r, s] == [1; 4] && codes.len() == c {
        inputs.extend(codes.iter().copied().enumerate());
        return work(0, &inputs);
    }
    for p in 0..shape.p() {
        for q in 0..shape.q() {
            inputs.clear();
            for channel in 0..c {
                for y in 0..r {
                    for x in 0..s {
                        let at = (tap_position(layer, 0, p, y), tap_position(layer, 1, q, x));
                        let code = match at {
                            (Some(row), Some(column)) => codes[(channel * h + row) * w + column],
                            _ => layer.padding_code,
                        };
                        inputs.push(((channel * r + y) * s + x, code));
                    }
                }
            }
            work(p * shape.q() + q, &inputs);
        }
    }
}
