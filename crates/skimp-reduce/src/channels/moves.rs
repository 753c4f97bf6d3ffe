//! Operators that move elements, for fewer of them.

use skimp_graph::ops::{Expand, Pad, Reshape, Slice, Split};
use skimp_graph::{Node, Op, Tensor};

use super::analysis::run;

/// What is left of a value: its extents, and for each axis the kept indices where some go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) shape: Vec<usize>,
    pub(super) kept: Vec<Option<Vec<usize>>>,
}

impl Left {
    /// The extents that are left.
    fn extents(&self) -> Vec<usize> {
        let of = |(extent, kept): (&usize, &Option<Vec<usize>>)| kept.as_ref().map_or(*extent, Vec::len);
        self.shape.iter().zip(&self.kept).map(of).collect()
    }

    fn is_whole(&self) -> bool {
        self.kept.iter().all(Option::is_none)
    }

    /// For each element that is left, its number before.
    fn numbers(&self, from: usize) -> Tensor {
        let n: usize = self.shape.iter().product();
        let numbers = Tensor::from_i64(self.shape.clone(), (from..from + n).map(|i| i as i64).collect());
        self.cut(&numbers)
    }

    /// A tensor of these extents without what goes.
    fn cut(&self, tensor: &Tensor) -> Tensor {
        let kept = self.kept.iter().enumerate().filter_map(|(axis, kept)| Some((axis, kept.as_ref()?)));
        kept.fold(tensor.clone(), |tensor, (axis, kept)| tensor.keep(axis, kept))
    }
}

/// The operator that makes what is left of the outputs out of what is left of the inputs, and constants to put in the
/// place of its own. Checked by moving the number of every element.
///
/// `inputs` holds what is left of a value, or a constant that stays.
pub(super) fn fit(
    node: &Node,
    inputs: &[Option<Result<Left, Tensor>>],
    outputs: &[Left],
) -> Result<(Op, Vec<(usize, Tensor)>), String> {
    // Numbers before, so that what moves where is known.
    let (mut before, mut after, mut from) = (Vec::new(), Vec::new(), 1);
    for input in inputs {
        let (whole, left) = match input {
            None => (None, None),
            Some(Err(constant)) => (Some(constant.clone()), Some(constant.clone())),
            Some(Ok(left)) => {
                let whole = Left { kept: vec![None; left.shape.len()], shape: left.shape.clone() };
                let numbered = (Some(whole.numbers(from)), Some(left.numbers(from)));
                from += left.shape.iter().product::<usize>();
                numbered
            }
        };
        before.push(whole);
        after.push(left);
    }
    let whole = run(node, &before)?;
    let expected: Vec<Tensor> = whole.iter().zip(outputs).map(|(tensor, left)| left.cut(tensor)).collect();
    for (op, constants) in candidates(node, inputs, outputs) {
        let mut inputs = after.clone();
        for (input, tensor) in &constants {
            inputs[*input] = Some(tensor.clone());
        }
        let fitted = Node { op: op.clone(), ..node.clone() };
        if run(&fitted, &inputs).is_ok_and(|found| found == expected) {
            return Ok((op, constants));
        }
    }
    Err(format!("no {} moves what is left of its channels", node.op.name()))
}

/// Operators that may do.
fn candidates(
    node: &Node,
    inputs: &[Option<Result<Left, Tensor>>],
    outputs: &[Left],
) -> Vec<(Op, Vec<(usize, Tensor)>)> {
    let mut found = vec![(node.op.clone(), Vec::new())];
    let Some(Some(Ok(input))) = inputs.first() else { return found };
    let Some(output) = outputs.first() else { return found };
    let extents = output.extents();
    if let Op::Reshape(reshape) = &node.op {
        // Only what is said about an axis that is cut changes: the batch stays open.
        let shape = reshape.shape.iter().enumerate().map(|(axis, &extent)| match output.kept.get(axis) {
            Some(Some(kept)) if extent > 0 => kept.len() as i64,
            _ => extent,
        });
        found.push((Op::Reshape(Reshape { shape: shape.collect(), ..reshape.clone() }), Vec::new()));
        let shape = extents.iter().enumerate().map(|(axis, &extent)| match reshape.shape.get(axis) {
            Some(&-1) => -1,
            Some(0) if !reshape.allow_zero => 0,
            _ => extent as i64,
        });
        found.push((Op::Reshape(Reshape { shape: shape.collect(), ..reshape.clone() }), Vec::new()));
    } else if let Op::Expand(expand) = &node.op {
        let offset = extents.len() - expand.shape.len();
        let fit = |(axis, &extent): (usize, &usize)| {
            if output.kept[axis + offset].is_some() { extents[axis + offset] } else { extent }
        };
        found.push((Op::Expand(Expand { shape: expand.shape.iter().enumerate().map(fit).collect() }), Vec::new()));
    } else if let Op::Split(split) = &node.op {
        let rank = input.shape.len() as i64;
        let axis = if split.axis < 0 { split.axis + rank } else { split.axis } as usize;
        let sizes = outputs.iter().map(|output| output.extents()[axis]).collect();
        found.push((Op::Split(Split { sizes, ..split.clone() }), Vec::new()));
    } else if let Op::Pad(pad) = &node.op {
        found.extend(narrower_pad(pad, input, output).map(|op| (op, Vec::new())));
    } else if let Op::Slice(slice) = &node.op {
        found.extend(narrower_slice(slice, input, output).map(|op| (op, Vec::new())));
    } else if let Op::Gather(gather) = &node.op {
        let rank = input.shape.len() as i64;
        let axis = if gather.axis < 0 { gather.axis + rank } else { gather.axis } as usize;
        if let Some(Some(Err(indices))) = inputs.get(1) {
            found.extend(renumbered(indices, axis, input, output).map(|tensor| (node.op.clone(), vec![(1, tensor)])));
        }
    }
    found
}

/// A `Pad` that adds what is left of what it added.
fn narrower_pad(pad: &Pad, input: &Left, output: &Left) -> Option<Op> {
    let mut narrower = pad.clone();
    for axis in 0..input.shape.len() {
        let Some(kept) = &output.kept[axis] else { continue };
        let begin = usize::try_from(pad.begin[axis]).ok()?;
        let end = begin + input.shape[axis];
        narrower.begin[axis] = kept.iter().filter(|&&index| index < begin).count() as i64;
        narrower.end[axis] = kept.iter().filter(|&&index| index >= end).count() as i64;
    }
    Some(Op::Pad(narrower))
}

/// A `Slice` that gives what is left of what it gave, where that lies in even steps.
fn narrower_slice(slice: &Slice, input: &Left, output: &Left) -> Option<Op> {
    let mut narrower = slice.clone();
    let rank = input.shape.len() as i64;
    for (at, &axis) in slice.axes.iter().enumerate() {
        let axis = if axis < 0 { axis + rank } else { axis } as usize;
        let (Some(from), Some(to)) =
            (&input.kept[axis], &output.kept[axis].clone().or_else(|| Some((0..output.shape[axis]).collect())))
        else {
            continue;
        };
        let extent = input.shape[axis] as i64;
        let step = slice.steps[at];
        let bound = if step > 0 { extent } else { extent - 1 };
        let start = slice.starts[at];
        let start = if start < 0 { start + extent } else { start }.clamp(0, bound);
        // Where what it gave lies among what is left of its input.
        let place = |&index: &usize| from.binary_search(&((start + index as i64 * step) as usize)).ok();
        let places: Option<Vec<usize>> = to.iter().map(place).collect();
        let places = places?;
        let (&first, &last) = (places.first()?, places.last()?);
        let step = match places.get(1) {
            Some(&second) => second as i64 - first as i64,
            None => 1,
        };
        let end = last as i64 + step.signum();
        narrower.starts[at] = first as i64;
        // Nothing lies before the first element: that end is written as one beyond all.
        narrower.ends[at] = if end < 0 { i64::MIN + 1 } else { end };
        narrower.steps[at] = step;
    }
    Some(Op::Slice(narrower))
}

/// Indices of a `Gather` among what is left of its input.
fn renumbered(indices: &Tensor, axis: usize, input: &Left, output: &Left) -> Option<Tensor> {
    let rank = indices.shape().len();
    let along = Left { shape: indices.shape().to_vec(), kept: output.kept.get(axis..axis + rank)?.to_vec() };
    let left = along.cut(indices);
    let extent = input.shape[axis] as i64;
    let kept = input.kept[axis].clone().unwrap_or_else(|| (0..input.shape[axis]).collect());
    let place = |&index: &i64| {
        let index = if index < 0 { index + extent } else { index };
        kept.binary_search(&usize::try_from(index).ok()?).ok().map(|place| place as i64)
    };
    let renumbered: Option<Vec<i64>> = left.as_i64()?.iter().map(place).collect();
    Some(Tensor::from_i64(left.shape().to_vec(), renumbered?))
}

/// Whether nothing of any of these goes.
pub(super) fn all_whole<'l>(mut left: impl Iterator<Item = &'l Left>) -> bool {
    left.all(Left::is_whole)
}

#[cfg(test)]
mod tests {
    use skimp_graph::ops::{Slice, Transpose};
    use skimp_graph::{Node, Op, ValueId};

    use super::{Left, fit};

    fn node(op: Op) -> Node {
        Node { name: "node".to_owned(), op, inputs: vec![Some(ValueId(0))], outputs: vec![ValueId(1)] }
    }

    #[test]
    fn a_slice_is_cut_and_a_transpose_stays() {
        let slice = Slice { axes: vec![-1], starts: vec![1], ends: vec![i64::MAX], steps: vec![2] };
        let input = Left { shape: vec![2, 8], kept: vec![None, Some(vec![0, 1, 3, 5, 6])] };
        let output = Left { shape: vec![2, 4], kept: vec![None, Some(vec![0, 1, 2])] };
        let (op, _) =
            fit(&node(Op::Slice(slice.clone())), &[Some(Ok(input.clone()))], std::slice::from_ref(&output)).unwrap();
        assert_eq!(op, Op::Slice(Slice { axes: vec![-1], starts: vec![1], ends: vec![4], steps: vec![1] }));
        let uneven = Left { shape: vec![2, 8], kept: vec![None, Some(vec![1, 2, 3, 5])] };
        assert!(fit(&node(Op::Slice(slice)), &[Some(Ok(uneven))], &[output]).is_err());
        let transpose = Op::Transpose(Transpose { perm: vec![1, 0] });
        let turned = Left { shape: vec![8, 2], kept: vec![Some(vec![0, 1, 3, 5, 6]), None] };
        assert_eq!(fit(&node(transpose.clone()), &[Some(Ok(input))], &[turned]).unwrap().0, transpose);
    }
}
