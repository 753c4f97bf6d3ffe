//! Widths of weight codes that are narrower than the type that stores them.

use std::collections::HashMap;

use crate::ops;
use crate::{Graph, Op};

/// Key of a network's metadata under which the widths of its weight codes stand: the usual one in the first line, then
/// `WIDTH NAME` for each layer with another one.
pub const WEIGHT_BITS_KEY: &str = "skimp.weight_bits";

/// What a network says of the widths of its weight codes.
#[derive(Debug, Default)]
pub(super) struct Widths {
    usual: Option<u32>,
    layers: HashMap<String, u32>,
    /// By the name of codes that a `Clip` of constants makes, as in QCDQ form.
    clipped: HashMap<String, u32>,
}

impl Widths {
    /// The widths that `graph` states; constants are not yet folded.
    pub(super) fn of(graph: &Graph) -> Self {
        let mut widths = Self::default();
        if let Some(text) = graph.metadata(WEIGHT_BITS_KEY) {
            let mut lines = text.lines();
            widths.usual = lines.next().and_then(|line| line.trim().parse().ok());
            for line in lines {
                if let Some((bits, name)) = line.split_once(' ')
                    && let Ok(bits) = bits.parse()
                {
                    widths.layers.insert(name.to_owned(), bits);
                }
            }
        }
        for node in graph.nodes() {
            if let Op::Clip(ops::Clip { min: Some(min), max: Some(max) }) = node.op
                && let Some(&output) = node.outputs.first()
                && let Some((bits, _, _)) = codes_between(min, max)
            {
                widths.clipped.insert(graph.value(output).name.clone(), bits);
            }
        }
        widths
    }

    /// The width stated for the weight codes `codes` of `layer`.
    pub(super) fn get(&self, layer: &str, codes: &str) -> Option<u32> {
        self.clipped.get(codes).or_else(|| self.layers.get(layer)).copied().or(self.usual)
    }
}

/// Width, sign, and whether the least code is left out, of codes from `min` to `max`; `None` if they are not all codes of
/// a width from 2 to 16.
pub(super) fn codes_between(min: f32, max: f32) -> Option<(u32, bool, bool)> {
    (2..=16_u32).find_map(|bits| {
        let half = (1_u32 << (bits - 1)) as f32;
        let is = |a: f32, b: f32| a.to_bits() == b.to_bits();
        match (min, max) {
            _ if min == 0.0 && is(max, 2.0 * half - 1.0) => Some((bits, false, false)),
            _ if is(min, -half) && is(max, half - 1.0) => Some((bits, true, false)),
            _ if is(min, 1.0 - half) && is(max, half - 1.0) => Some((bits, true, true)),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::codes_between;

    #[test]
    fn bounds_are_widths() {
        let cases = [
            ([0.0, 7.0], Some((3, false, false))),
            ([-0.0, 255.0], Some((8, false, false))),
            ([-4.0, 3.0], Some((3, true, false))),
            ([-3.0, 3.0], Some((3, true, true))),
            ([-1.0, 1.0], Some((2, true, true))),
            ([-32_768.0, 32_767.0], Some((16, true, false))),
            ([0.0, 6.0], None),
            ([1.0, 7.0], None),
        ];
        for ([min, max], expected) in cases {
            assert_eq!(codes_between(min, max), expected, "{min} {max}");
        }
    }
}
