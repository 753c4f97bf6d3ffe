//! Padding that a convolution does itself.

use super::{Editor, remove_dead};
use crate::ops;
use crate::{AutoPad, Graph, Op, Pad, PadMode};

/// Folds a `Pad` of rows and columns (of all spatial axes) with zeros into the convolutions that alone read it, as
/// exporters write it for TensorFlow's asymmetric padding. Outputs stay the same where weights are finite, up to the sign
/// of a zero.
pub fn fold_pads(graph: &Graph) -> Graph {
    let mut parts = Editor::new(graph);
    for idx in 0..parts.nodes.len() {
        fold(&mut parts, idx);
    }
    remove_dead(&parts.rebuilt())
}

/// Lets the readers of the pad at `idx` pad for themselves, or changes nothing.
fn fold(parts: &mut Editor<'_>, idx: usize) -> Option<()> {
    let node = &parts.nodes[idx];
    let Op::Pad(Pad { begin, end, mode: PadMode::Constant, value }) = &node.op else { return None };
    let (&[Some(x)], &[padded]) = (node.inputs.as_slice(), node.outputs.as_slice()) else { return None };
    let counts = |pads: &[i64]| pads.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<usize>>>();
    let (begin, end) = (counts(begin)?, counts(end)?);
    let is_spatial = begin.len() > 2 && begin[..2] == [0, 0] && end[..2] == [0, 0];
    if value.abs() > 0.0 || value.is_nan() || !is_spatial || parts.outputs.contains(&padded) {
        return None;
    }
    let mut readers = Vec::new();
    for (reader, node) in parts.nodes.iter().enumerate().filter(|(_, node)| node.inputs.contains(&Some(padded))) {
        let Op::Conv(conv) = &node.op else { return None };
        let is_finite = |id| parts.constant(id)?.as_f32().map(|weight| weight.iter().all(|w| w.is_finite()));
        let reads_once = node.inputs.iter().filter(|&&input| input == Some(padded)).count() == 1;
        if conv.window.auto_pad != AutoPad::NotSet
            || conv.window.kernel.len() + 2 != begin.len()
            || node.inputs.first() != Some(&Some(padded))
            || !reads_once
            || node.inputs.get(1).copied().flatten().and_then(is_finite) != Some(true)
        {
            return None;
        }
        let mut window = conv.window.clone();
        let sum = |pads: &mut [usize], more: &[usize]| {
            pads.iter_mut().zip(more).try_for_each(|(pad, &n)| {
                *pad = pad.checked_add(n)?;
                Some(())
            })
        };
        sum(&mut window.pads_begin, &begin[2..])?;
        sum(&mut window.pads_end, &end[2..])?;
        readers.push((reader, ops::Conv { window, ..conv.clone() }));
    }
    for (reader, conv) in readers {
        parts.nodes[reader].op = Op::Conv(conv);
        parts.nodes[reader].inputs[0] = Some(x);
    }
    Some(())
}
