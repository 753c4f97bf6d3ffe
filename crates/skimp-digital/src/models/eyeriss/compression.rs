//! Run-length coding of maps in off-chip memory, and the zeros that gate the multipliers.

use skimp_sim::{LayerWorkload, WindowAxis};

/// Longest run of zeros before a value: 5 bits.
const MAX_RUN: u32 = 31;

/// Pairs of run and value in a 64-bit word; the last bit says whether the map ends.
const PAIRS_PER_WORD: u64 = 3;

/// 64-bit words that hold a map as pairs of a 5-bit run of zeros and a 16-bit value. A run longer than 31 continues
/// after a value that is 0; a map that ends in zeros ends with such a value.
///
/// # Source
/// Y.-H. Chen et al., "Eyeriss", JSSC 52(1), 2017, run-length compression.
/// Differs: maps are coded row-major `[c, h, w]` in one piece; the order on the chip follows the mapping.
pub fn run_length_words(is_zero: impl Iterator<Item = bool>) -> u64 {
    let (mut pairs, mut run) = (0u64, 0);
    for zero in is_zero {
        if zero && run < MAX_RUN {
            run += 1;
        } else {
            pairs += 1;
            run = 0;
        }
    }
    (pairs + u64::from(run > 0)).div_ceil(PAIRS_PER_WORD)
}

/// Multiplications of one image whose activation is not 0; padding is 0.
pub fn nonzero_activation_macs(layer: &LayerWorkload, activation: &[i32]) -> u64 {
    let rows = uses(&layer.shape.rows());
    let columns = uses(&layer.shape.cols());
    let mut macs = 0;
    for plane in activation.chunks_exact(layer.shape.h() * layer.shape.w()) {
        for (row, &row_uses) in plane.chunks_exact(layer.shape.w()).zip(&rows) {
            let here: u64 = row.iter().zip(&columns).map(|(&code, &uses)| if code == 0 { 0 } else { uses }).sum();
            macs += here * row_uses;
        }
    }
    macs * layer.shape.filters_per_group() as u64
}

/// Windows that read each input of an axis.
fn uses(axis: &WindowAxis) -> Vec<u64> {
    let mut uses = vec![0; axis.input];
    for window in 0..axis.output {
        axis.taps(window).for_each(|tap| uses[axis.input_idx(window, tap)] += 1);
    }
    uses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(values: &[i32]) -> u64 {
        run_length_words(values.iter().map(|&value| value == 0))
    }

    #[test]
    fn runs_are_packed_three_to_a_word() {
        assert_eq!(words(&[]), 0);
        assert_eq!(words(&[5]), 1);
        assert_eq!(words(&[1, 2, 3]), 1);
        assert_eq!(words(&[1, 2, 3, 4]), 2);
        assert_eq!(words(&[0, 0, 12, 0, 0, 0, 0, 53, 0, 0, 22]), 1);
        // 31 zeros and a value are one pair; 32 zeros and a value are two.
        let run = |zeros: usize| [vec![0; zeros], vec![7, 8, 9]].concat();
        assert_eq!((words(&run(31)), words(&run(32))), (1, 2));
        // Trailing zeros are a pair; 96 zeros are three pairs of a run of 31 and the value 0.
        assert_eq!((words(&[1, 2, 3, 0]), words(&[0; 96]), words(&[0; 97])), (2, 1, 2));
    }

    #[test]
    fn uses_agree_with_a_loop_nest() {
        let mut layer = LayerWorkload::conv("c", 2, 7, 5, 4, 3).unwrap();
        layer = layer.with_shape(|shape| (shape.strides, shape.dilations, shape.groups) = ([2, 1], [1, 2], 2)).unwrap();
        let activation: Vec<i32> = (0..layer.shape.input_count() as i32).map(|i| (i * 7 % 5) * (i % 3)).collect();
        let mut expected = 0;
        for k in 0..layer.shape.k() {
            for (p, q) in (0..layer.shape.p()).flat_map(|p| (0..layer.shape.q()).map(move |q| (p, q))) {
                for (r, s) in (0..layer.shape.r()).flat_map(|r| (0..layer.shape.s()).map(move |s| (r, s))) {
                    let y = (p * 2 + r).wrapping_sub(layer.shape.pads_begin()[0]);
                    let x = (q + s * 2).wrapping_sub(layer.shape.pads_begin()[1]);
                    let inside = y < layer.shape.h() && x < layer.shape.w();
                    expected +=
                        u64::from(inside && activation[(k / 2 * layer.shape.h() + y) * layer.shape.w() + x] != 0);
                }
            }
        }
        assert_eq!(nonzero_activation_macs(&layer, &activation), expected);
    }
}
