//! Canonical Huffman codes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Bits of the longest code: counts of 2^63 cannot make a longer one.
const MAX_LENGTH: usize = 64;

/// Code lengths for symbols that occur so often; 0 for those that do not. A single symbol has one bit.
///
/// # Determinism
/// Ties are broken by the order in which nodes are made, symbols first.
///
/// # Source
/// Huffman, "A Method for the Construction of Minimum-Redundancy Codes", Proceedings of the IRE 40, 1952.
pub(super) fn lengths(counts: &[u64]) -> Vec<u8> {
    let mut lengths = vec![0_u8; counts.len()];
    let used: Vec<usize> = (0..counts.len()).filter(|&symbol| counts[symbol] > 0).collect();
    if let &[only] = used.as_slice() {
        lengths[only] = 1;
        return lengths;
    }
    // Leaves come first in `parents`, then the nodes above them.
    let mut parents: Vec<usize> = vec![usize::MAX; used.len()];
    let mut heap: BinaryHeap<Reverse<(u64, usize)>> =
        used.iter().enumerate().map(|(leaf, &symbol)| Reverse((counts[symbol], leaf))).collect();
    while let (Some(Reverse((a, first))), Some(Reverse((b, second)))) = (heap.pop(), heap.pop()) {
        let node = parents.len();
        parents.push(usize::MAX);
        (parents[first], parents[second]) = (node, node);
        heap.push(Reverse((a.saturating_add(b), node)));
        if heap.len() == 1 {
            break;
        }
    }
    let mut depths = vec![0_u8; parents.len()];
    for node in (0..parents.len()).rev() {
        if let Some(&depth) = depths.get(parents[node]) {
            depths[node] = depth + 1;
        }
    }
    used.iter().zip(depths).for_each(|(&symbol, depth)| lengths[symbol] = depth);
    lengths
}

/// The codes of canonical lengths: shorter ones first, then by symbol.
fn codes(lengths: &[u8]) -> Vec<u64> {
    let mut order: Vec<usize> = (0..lengths.len()).filter(|&symbol| lengths[symbol] > 0).collect();
    order.sort_by_key(|&symbol| (lengths[symbol], symbol));
    let mut codes = vec![0; lengths.len()];
    let (mut code, mut length) = (0_u64, 0);
    for symbol in order {
        code = code.checked_shl(u32::from(lengths[symbol] - length)).unwrap_or(0);
        length = lengths[symbol];
        codes[symbol] = code;
        code = code.wrapping_add(1);
    }
    codes
}

/// Bits, the most significant of a byte first.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    n_bits: u64,
}

impl Writer {
    /// Writes symbols by their codes.
    pub(super) fn symbols(&mut self, lengths: &[u8], symbols: impl Iterator<Item = usize>) {
        let codes = codes(lengths);
        for symbol in symbols {
            for bit in (0..lengths[symbol]).rev() {
                if self.n_bits.is_multiple_of(8) {
                    self.bytes.push(0);
                }
                if codes[symbol] >> bit & 1 == 1
                    && let Some(last) = self.bytes.last_mut()
                {
                    *last |= 0x80 >> (self.n_bits % 8);
                }
                self.n_bits += 1;
            }
        }
    }

    /// The bytes, the last filled up with zeros, and the number of bits.
    pub(super) fn finish(self) -> (Vec<u8>, u64) {
        (self.bytes, self.n_bits)
    }
}

/// Reads symbols of canonical codes.
#[derive(Debug)]
pub(super) struct Reader {
    /// For each length: the first code, the first place in `symbols`, and the number of codes.
    by_length: Vec<(u64, usize, usize)>,
    symbols: Vec<usize>,
}

impl Reader {
    /// A reader for codes of these lengths; `None` if there are no such codes.
    pub(super) fn new(lengths: &[u8]) -> Option<Self> {
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|&symbol| lengths[symbol] > 0).collect();
        symbols.sort_by_key(|&symbol| (lengths[symbol], symbol));
        let longest = lengths.iter().copied().max().map_or(0, usize::from);
        if longest > MAX_LENGTH {
            return None;
        }
        let mut by_length = Vec::with_capacity(longest + 1);
        // `free`: codes of this length that no shorter one begins.
        let (mut first, mut place, mut free) = (0_u128, 0, 1_u128);
        for length in 0..=longest {
            let n = symbols.iter().filter(|&&symbol| usize::from(lengths[symbol]) == length).count();
            free = free.checked_sub(n as u128)?;
            by_length.push((first as u64, place, n));
            (first, place, free) = ((first + n as u128) << 1, place + n, free << 1);
            if free > u128::MAX >> 2 {
                return None;
            }
        }
        Some(Self { by_length, symbols })
    }

    /// The next symbol of a stream of bits; `None` at its end or where no code fits.
    pub(super) fn next(&self, bytes: &[u8], position: &mut u64, n_bits: u64) -> Option<usize> {
        let mut code = 0_u64;
        for &(first, place, n) in self.by_length.iter().skip(1) {
            if *position >= n_bits {
                return None;
            }
            let byte = bytes.get(usize::try_from(*position / 8).ok()?)?;
            code = code << 1 | u64::from(byte >> (7 - *position % 8) & 1);
            *position += 1;
            if let Some(offset) = code.checked_sub(first).filter(|&offset| offset < n as u64) {
                return self.symbols.get(place + offset as usize).copied();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng::{Draws, stream};

    use super::*;

    #[test]
    fn known_lengths() {
        // The classic example: frequencies 45, 13, 12, 16, 9, 5.
        assert_eq!(lengths(&[45, 13, 12, 16, 9, 5]), [1, 3, 3, 3, 4, 4]);
        assert_eq!(lengths(&[0, 7, 0]), [0, 1, 0]);
        assert_eq!(lengths(&[0, 0]), [0, 0]);
        assert_eq!(codes(&[1, 3, 3, 3, 4, 4]), [0b0, 0b100, 0b101, 0b110, 0b1110, 0b1111]);
    }

    /// Streams come back, no prefix code is shorter than the entropy, and none is a bit per symbol longer.
    #[test]
    fn streams_come_back() {
        let mut draws = Draws::new(1, stream("huffman"));
        for n_symbols in [1, 2, 3, 17, 256] {
            let symbols: Vec<usize> = (0..3000)
                .map(|_| {
                    let bound = draws.between(1, n_symbols);
                    draws.below(bound)
                })
                .collect();
            let mut counts = vec![0_u64; n_symbols];
            symbols.iter().for_each(|&symbol| counts[symbol] += 1);
            let lengths = lengths(&counts);
            let mut writer = Writer::default();
            writer.symbols(&lengths, symbols.iter().copied());
            let (bytes, n_bits) = writer.finish();
            let reader = Reader::new(&lengths).unwrap();
            let mut position = 0;
            let read: Vec<usize> = (0..3000).map(|_| reader.next(&bytes, &mut position, n_bits).unwrap()).collect();
            assert_eq!((read, position), (symbols, n_bits));
            assert_eq!(reader.next(&bytes, &mut position, n_bits), None);
            let share = |count: &u64| *count as f64 / 3000.0;
            let entropy: f64 = counts.iter().filter(|&&n| n > 0).map(|n| -share(n).log2() * *n as f64).sum();
            assert!(n_bits as f64 >= entropy - 1e-6 && (n_bits as f64) < entropy + 3001.0, "{n_symbols}: {n_bits}");
        }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        assert!(Reader::new(&[1, 1, 1]).is_none());
        assert!(Reader::new(&[255]).is_none());
        let reader = Reader::new(&[2, 0]).unwrap();
        assert_eq!(reader.next(&[0xFF], &mut 0, 8), None);
    }
}
