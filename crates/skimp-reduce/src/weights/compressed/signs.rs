//! Weights that are ±1 times one number, for all or for each filter: one bit each.

/// A tensor of signs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Signs {
    /// One magnitude, or one for each entry of the first axis.
    pub(super) scales: Vec<f32>,
    /// The first weight in the lowest bit of the first byte; set where it is positive.
    pub(super) bits: Vec<u8>,
}

impl Signs {
    /// The signs of `weights`, whose first axis has `n_first` entries; `None` where their magnitudes differ.
    pub(super) fn exact(weights: &[f32], n_first: usize) -> Option<Self> {
        let per_first = weights.len().checked_div(n_first)?;
        if per_first == 0 {
            return None;
        }
        let mut scales: Vec<f32> = weights.chunks(per_first).map(|weights| weights[0].abs()).collect();
        let is_sign = |(idx, weight): (usize, &f32)| {
            let scale = scales[idx / per_first];
            scale.is_finite() && scale > 0.0 && weight.abs().to_bits() == scale.to_bits()
        };
        if !weights.iter().enumerate().all(is_sign) {
            return None;
        }
        if scales.iter().all(|scale| scale.to_bits() == scales[0].to_bits()) {
            scales.truncate(1);
        }
        let mut bits = vec![0_u8; weights.len().div_ceil(8)];
        for (idx, _) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            bits[idx / 8] |= 1 << (idx % 8);
        }
        Some(Self { scales, bits })
    }

    /// The `n` weights; `None` where the bits or scales are too few, or none are to be scaled by them.
    pub(super) fn weights(&self, n: usize) -> Option<Vec<f32>> {
        let per_scale = n.checked_div(self.scales.len()).filter(|per_scale| per_scale * self.scales.len() == n)?;
        if self.bits.len() != n.div_ceil(8) || per_scale == 0 {
            return None;
        }
        let weight = |idx: usize| {
            let scale = self.scales[idx / per_scale];
            if self.bits[idx / 8] >> (idx % 8) & 1 == 1 { scale } else { -scale }
        };
        Some((0..n).map(weight).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::Signs;

    #[test]
    fn signs_come_back() {
        for (weights, n_first, scales) in [
            (vec![1.0, -1.0, -1.0, 1.0, 1.0, 1.0, -1.0, 1.0, -1.0, -1.0], 2, vec![1.0]),
            (vec![0.5, -0.5, 2.0, 2.0, -0.25, 0.25], 3, vec![0.5, 2.0, 0.25]),
        ] {
            let signs = Signs::exact(&weights, n_first).unwrap();
            assert_eq!(signs.scales, scales);
            assert_eq!(signs.weights(weights.len()).unwrap(), weights);
            assert_eq!(signs.weights(weights.len() + 8), None);
        }
        assert_eq!(Signs::exact(&[1.0, -1.0, -1.0], 1).unwrap().bits, [0b001]);
        for weights in [vec![1.0, 0.0], vec![1.0, -0.5], vec![f32::NAN, 1.0], vec![0.0, 0.0]] {
            assert_eq!(Signs::exact(&weights, 1), None, "{weights:?}");
        }
        assert_eq!(Signs::exact(&[], 0), None);
    }
}
