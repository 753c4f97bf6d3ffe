//! Moves of bytes that no other step covers: cuts, padding, permutations, reshapes.

use skimp_graph::{Data, Op, Tensor, reference};

use super::layout::Layout;
use super::store::Coded;

/// Bytes of the output that come from neighbors in the input, or that are all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    to: usize,
    from: Source,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    At(usize),
    Byte(u8),
}

/// Where each byte of one image comes from.
#[derive(Debug)]
pub(super) struct Gather {
    runs: Vec<Run>,
}

impl Gather {
    /// The operator `op` between images; `pad` is the byte that pads. It is found by moving indices instead of codes, so it
    /// is right for every operator that only moves. `None` for a batch, or where the operator does not take indices.
    pub(super) fn new(op: &Op, from: &Coded, to: &Coded, pad: u8) -> Option<Self> {
        if from.shape[0] != 1 || to.shape[0] != 1 {
            return None;
        }
        let mut op = op.clone();
        if let Op::Pad(pad) = &mut op {
            pad.value = -1.0;
        }
        let n = i32::try_from(from.shape.iter().product::<usize>()).ok()?;
        let indices = Tensor::new(from.shape.clone(), (0..n).collect::<Vec<i32>>().into())?;
        let moved = reference::evaluate(&op, op.name(), &[Some(&indices)]).ok()?;
        let Data::I32(moved) = moved.first()?.data() else { return None };
        let position = |layout: &Layout, i: usize| {
            let (channel, pixel) = (i / layout.n_pixels(), i % layout.n_pixels());
            layout.pixel(pixel) + channel
        };
        let mut bytes: Vec<(usize, Source)> = moved
            .iter()
            .enumerate()
            .map(|(i, &index)| {
                let source =
                    usize::try_from(index).map_or(Source::Byte(pad), |at| Source::At(position(&from.layout, at)));
                (position(&to.layout, i), source)
            })
            .collect();
        bytes.sort_unstable_by_key(|(to, _)| *to);
        let mut runs: Vec<Run> = Vec::new();
        for (to, from) in bytes {
            match runs.last_mut() {
                Some(run) if run.continues(to, from) => run.len += 1,
                _ => runs.push(Run { to, from, len: 1 }),
            }
        }
        Some(Self { runs })
    }

    /// Moves the bytes of one image.
    pub(super) fn run(&self, input: &[u8], output: &mut [u8]) {
        for &Run { to, from, len } in &self.runs {
            match from {
                Source::At(from) => output[to..to + len].copy_from_slice(&input[from..from + len]),
                Source::Byte(byte) => output[to..to + len].fill(byte),
            }
        }
    }
}

impl Run {
    /// Whether a byte at `to` from `from` is the next one of the run.
    fn continues(&self, to: usize, from: Source) -> bool {
        to == self.to + self.len
            && match (self.from, from) {
                (Source::At(first), Source::At(next)) => next == first + self.len,
                (Source::Byte(first), Source::Byte(next)) => first == next,
                (Source::At(_), Source::Byte(_)) | (Source::Byte(_), Source::At(_)) => false,
            }
    }
}
