//! The way of products to the banks of accumulators of one element.

use serde::Deserialize;
use skimp_sim::LayerWorkload;

/// What products that need the same bank cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Conflicts {
    /// Nothing.
    None,
    /// Time where a bank has more products of a channel than the channel has vectors.
    Queued,
    /// Time in each vector.
    Immediate,
}

/// A value that is not zero: filter of the output group (weights), row and column, dilated (weights) or padded
/// (activations).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operand {
    pub(super) filter: u32,
    pub(super) y: u32,
    pub(super) x: u32,
}

/// Accumulators of an element, one after another by filter, row and column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accumulators {
    extents: [u32; 2],
    strides: [u32; 2],
    /// Rows and columns that an element has accumulators for.
    held: [u32; 2],
    banks: u32,
}

impl Accumulators {
    /// Those of an element that holds `held` rows and columns of outputs. Where they begin changes no conflict.
    pub(super) fn new(layer: &LayerWorkload, held: [usize; 2], banks: u32) -> Self {
        let narrow = |extents: [usize; 2]| extents.map(|extent| extent as u32);
        let (extents, strides, held) =
            (narrow([layer.shape.p(), layer.shape.q()]), narrow(layer.shape.strides()), narrow(held));
        Accumulators { extents, strides, held, banks }
    }

    /// The bank of a product; `None` if it falls outside the output map.
    fn bank(&self, weight: Operand, activation: Operand) -> Option<usize> {
        let along = |activation: u32, weight: u32, axis: usize| {
            let output = activation.checked_sub(weight)? / self.strides[axis];
            (output < self.extents[axis]).then_some(output)
        };
        let (y, x) = (along(activation.y, weight.y, 0)?, along(activation.x, weight.x, 1)?);
        let row = u64::from(weight.filter) * u64::from(self.held[0]) + u64::from(y);
        Some(((row * u64::from(self.held[1]) + u64::from(x)) % u64::from(self.banks)) as usize)
    }

    /// Products of all weights with all activations that the fullest bank takes.
    pub(super) fn fullest(&self, weights: &[Operand], activations: &[Operand]) -> u64 {
        let mut products = vec![0u64; self.banks as usize];
        for &weight in weights {
            for bank in activations.iter().filter_map(|&activation| self.bank(weight, activation)) {
                products[bank] += 1;
            }
        }
        products.into_iter().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_one_output_meet_in_one_bank() {
        let layer = LayerWorkload::conv("c", 1, 4, 4, 2, 3).unwrap();
        let accumulators = Accumulators::new(&layer, [4, 4], 8);
        let at = |filter, y, x| Operand { filter, y, x };
        // Output (1, 1): taps (0, 0) and (1, 2) with inputs (1, 1) and (2, 3), and taps crossed outside or elsewhere.
        assert_eq!(accumulators.bank(at(0, 0, 0), at(0, 1, 1)), Some(5));
        assert_eq!(accumulators.bank(at(0, 1, 2), at(0, 2, 3)), Some(5));
        assert_eq!(accumulators.bank(at(1, 0, 0), at(0, 1, 1)), Some((16 + 5) % 8));
        assert_eq!(accumulators.bank(at(0, 2, 2), at(0, 1, 3)), None);
        assert_eq!(accumulators.fullest(&[at(0, 0, 0), at(0, 1, 2)], &[at(0, 1, 1), at(0, 2, 3)]), 2);
        assert_eq!(accumulators.fullest(&[at(0, 2, 2)], &[at(0, 1, 3)]), 0);
    }
}
