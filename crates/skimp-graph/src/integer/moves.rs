//! Moves of codes: copies, cuts, padding and changes of shape. No arithmetic.
//!
//! Output shapes come from shape inference, which has checked the operator against its inputs.

use crate::ops;
use crate::{Op, Pad, PadMode, Slice, integer::CodeTensor, shape::normalized_axis};

/// Whether an operator hands codes on as they are: copies, cuts, changes of shape, and the greatest of some. Operands and
/// results have one encoding. `Pad` does where what it fills in has a code.
pub fn moves_codes(op: &Op) -> bool {
    matches!(op, Op::Pad(pad) if pad.mode != PadMode::Constant || pad.value.is_finite())
        || matches!(
            op,
            Op::MaxPool(_)
                | Op::Concat(_)
                | Op::Split(_)
                | Op::Slice(_)
                | Op::Flatten(_)
                | Op::Reshape(_)
                | Op::Transpose(_)
                | Op::Squeeze(_)
                | Op::Unsqueeze(_)
                | Op::Dropout(_)
                | Op::Identity
        )
}

/// Row-major strides.
fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1_isize; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i] as isize;
    }
    strides
}

/// A position in a buffer and how far each axis steps.
struct Cursor<'a> {
    at: isize,
    strides: &'a [isize],
}

/// Copies a box of extents `dims` between two strided views.
fn copy_box(dims: &[usize], from: &[i32], source: &Cursor<'_>, into: &mut [i32], target: &Cursor<'_>) {
    let Some((&n, inner)) = dims.split_first() else {
        into[target.at as usize] = from[source.at as usize];
        return;
    };
    let (source_step, target_step) = (source.strides[0], target.strides[0]);
    if inner.is_empty() && source_step == 1 && target_step == 1 {
        let (s, t) = (source.at as usize, target.at as usize);
        into[t..t + n].copy_from_slice(&from[s..s + n]);
        return;
    }
    for i in 0..n as isize {
        let source = Cursor { at: source.at + i * source_step, strides: &source.strides[1..] };
        let target = Cursor { at: target.at + i * target_step, strides: &target.strides[1..] };
        copy_box(inner, from, &source, into, &target);
    }
}

fn copy_nonempty(dims: &[usize], from: &[i32], source: &Cursor<'_>, into: &mut [i32], target: &Cursor<'_>) {
    if dims.iter().all(|&d| d > 0) {
        copy_box(dims, from, source, into, target);
    }
}

/// A strided cut to `shape`.
pub(super) fn slice(input: &CodeTensor, slice: &Slice, shape: Vec<usize>) -> Result<CodeTensor, String> {
    let input_strides = strides(&input.shape);
    let (mut at, mut steps) = (0, input_strides.clone());
    for (axis, bounds) in slice.bounds(&input.shape)? {
        at += bounds.start as isize * input_strides[axis];
        steps[axis] *= bounds.step as isize;
    }
    let mut data = vec![0; shape.iter().product()];
    let target = Cursor { at: 0, strides: &strides(&shape) };
    copy_nonempty(&shape, &input.data, &Cursor { at, strides: &steps }, &mut data, &target);
    Ok(CodeTensor { shape, data })
}

/// Padding to `shape`; a constant pads with code `fill`.
pub(super) fn pad(input: &CodeTensor, pad: &Pad, fill: i32, shape: Vec<usize>) -> CodeTensor {
    if pad.mode != PadMode::Constant {
        return pad_mirrored(input, pad, shape);
    }
    let mut data = vec![fill; shape.iter().product()];
    let (input_strides, output_strides) = (strides(&input.shape), strides(&shape));
    let (mut dims, mut from, mut to) = (Vec::new(), 0_isize, 0_isize);
    for axis in 0..shape.len() {
        let (begin, end) = (pad.begin[axis], pad.end[axis]);
        let kept = input.shape[axis] as i64 + begin.min(0) + end.min(0);
        dims.push(usize::try_from(kept).unwrap_or(0));
        from += (-begin.min(0)) as isize * input_strides[axis];
        to += begin.max(0) as isize * output_strides[axis];
    }
    let source = Cursor { at: from, strides: &input_strides };
    copy_nonempty(&dims, &input.data, &source, &mut data, &Cursor { at: to, strides: &output_strides });
    CodeTensor { shape, data }
}

/// The input index that output index `i` shows, for the modes that repeat the input.
fn mirrored_index(mode: PadMode, i: i64, n: i64) -> i64 {
    match mode {
        PadMode::Constant | PadMode::Edge => i.clamp(0, n - 1),
        PadMode::Wrap => i.rem_euclid(n),
        PadMode::Reflect if n == 1 => 0,
        PadMode::Reflect => {
            let folded = i.rem_euclid(2 * (n - 1));
            folded.min(2 * (n - 1) - folded)
        }
    }
}

fn pad_mirrored(input: &CodeTensor, pad: &Pad, shape: Vec<usize>) -> CodeTensor {
    let n_elements: usize = shape.iter().product();
    let input_strides = strides(&input.shape);
    let mut data = Vec::with_capacity(n_elements);
    for flat in 0..n_elements {
        let (mut rest, mut at) = (flat, 0);
        for axis in (0..shape.len()).rev() {
            let i = (rest % shape[axis]) as i64 - pad.begin[axis];
            rest /= shape[axis];
            at += mirrored_index(pad.mode, i, input.shape[axis] as i64) as usize * input_strides[axis] as usize;
        }
        data.push(input.data[at]);
    }
    CodeTensor { shape, data }
}

/// Concatenation to `shape`.
pub(super) fn concat(inputs: &[&CodeTensor], axis: i64, shape: Vec<usize>) -> Result<CodeTensor, String> {
    let axis = normalized_axis(axis, shape.len())?;
    let mut data = vec![0; shape.iter().product()];
    let output_strides = strides(&shape);
    let mut at = 0;
    for input in inputs {
        let source = Cursor { at: 0, strides: &strides(&input.shape) };
        let target = Cursor { at, strides: &output_strides };
        copy_nonempty(&input.shape, &input.data, &source, &mut data, &target);
        at += input.shape[axis] as isize * output_strides[axis];
    }
    Ok(CodeTensor { shape, data })
}

/// A permutation of axes to `shape`, or the same elements under `shape`.
pub(super) fn rename(input: &CodeTensor, op: &Op, shape: Vec<usize>) -> CodeTensor {
    let Op::Transpose(ops::Transpose { perm }) = op else {
        return CodeTensor { shape, data: input.data.clone() };
    };
    let input_strides = strides(&input.shape);
    let permuted: Vec<isize> = perm.iter().map(|&p| input_strides[p]).collect();
    let mut data = vec![0; input.data.len()];
    let target = Cursor { at: 0, strides: &strides(&shape) };
    copy_nonempty(&shape, &input.data, &Cursor { at: 0, strides: &permuted }, &mut data, &target);
    CodeTensor { shape, data }
}

#[cfg(test)]
mod tests {
    use super::{concat, mirrored_index, pad, rename, slice};
    use crate::{Op, Pad, PadMode, Slice, integer::CodeTensor, ops};

    fn ramp(shape: &[usize]) -> CodeTensor {
        CodeTensor { shape: shape.to_vec(), data: (0..shape.iter().product::<usize>() as i32).collect() }
    }

    #[test]
    fn slices_with_any_step() {
        #[derive(Debug)]
        struct Case {
            slice: Slice,
            shape: Vec<usize>,
            data: Vec<i32>,
        }
        let case = |axes: &[i64], bounds: [i64; 3], shape: &[usize], data: &[i32]| Case {
            slice: Slice {
                axes: axes.to_vec(),
                starts: vec![bounds[0]; axes.len()],
                ends: vec![bounds[1]; axes.len()],
                steps: vec![bounds[2]; axes.len()],
            },
            shape: shape.to_vec(),
            data: data.to_vec(),
        };
        let cases = [
            case(&[1], [0, i64::MAX, 2], &[2, 2], &[0, 2, 3, 5]),
            case(&[1], [-1, i64::MIN, -1], &[2, 3], &[2, 1, 0, 5, 4, 3]),
            case(&[0, -1], [1, 3, 1], &[1, 2], &[4, 5]),
            case(&[0], [2, 5, 1], &[0, 3], &[]),
            case(&[1], [2, 0, -2], &[2, 1], &[2, 5]),
        ];
        for case in cases {
            let got = slice(&ramp(&[2, 3]), &case.slice, case.shape.clone()).unwrap();
            assert_eq!(got.data, case.data, "{case:?}");
        }
    }

    #[test]
    fn pads_and_crops() {
        let by = |begin: &[i64], end: &[i64], mode| Pad { begin: begin.to_vec(), end: end.to_vec(), mode, value: 0.0 };
        let got = pad(&ramp(&[1, 3]), &by(&[1, -1], &[0, 2], PadMode::Constant), 7, vec![2, 4]);
        assert_eq!(got.data, vec![7, 7, 7, 7, 1, 2, 7, 7]);
        let got = pad(&ramp(&[3]), &by(&[2], &[2], PadMode::Reflect), 7, vec![7]);
        assert_eq!(got.data, [2, 1, 0, 1, 2, 1, 0]);
        let got = pad(&ramp(&[3]), &by(&[1], &[2], PadMode::Edge), 7, vec![6]);
        assert_eq!(got.data, [0, 0, 1, 2, 2, 2]);
        let got = pad(&ramp(&[3]), &by(&[1], &[2], PadMode::Wrap), 7, vec![6]);
        assert_eq!(got.data, [2, 0, 1, 2, 0, 1]);
        assert_eq!(mirrored_index(PadMode::Reflect, -3, 1), 0);
    }

    #[test]
    fn concatenates_and_transposes() {
        let got = concat(&[&ramp(&[2, 1]), &ramp(&[2, 2])], -1, vec![2, 3]).unwrap();
        assert_eq!(got.data, vec![0, 0, 1, 1, 2, 3]);
        let got = rename(&ramp(&[2, 3]), &Op::Transpose(ops::Transpose { perm: vec![1, 0] }), vec![3, 2]);
        assert_eq!(got.data, vec![0, 3, 1, 4, 2, 5]);
        let got = rename(&ramp(&[2, 3]), &Op::Flatten(ops::Flatten { axis: 1 }), vec![2, 3]);
        assert_eq!(got.data, ramp(&[2, 3]).data);
    }
}
