//! Axes that come in another order.
//!
//! An order of axes lists, for each place, the axis that comes there, counted as the network writes them: `[0, 3, 1, 2]`
//! puts the last of four axes second.

use super::Op;
use crate::shape::{normalized_axes, normalized_axis};

/// What is known of the operands of a node.
#[derive(Clone, Debug)]
pub(crate) struct Ranks {
    /// Axes of each input and whether it is a constant; `None` for one left out.
    pub(crate) inputs: Vec<Option<(usize, bool)>>,
    /// Axes of each output.
    pub(crate) outputs: Vec<usize>,
}

impl Ranks {
    /// The axes that an order is of: those of the first output or of the first input, whichever are more.
    pub(crate) fn frame(&self) -> usize {
        let input = self.inputs.first().copied().flatten().map_or(0, |(rank, _)| rank);
        input.max(self.outputs.first().copied().unwrap_or(0))
    }
}

/// A node on operands whose axes come in another order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reordered {
    /// The operator with attributes for that order; `None` if they are the same.
    pub(crate) op: Option<Op>,
    /// The order in which it takes each input; `None` for one that it takes as it is. An order of more axes than a
    /// constant has means that axes of extent 1 are put before its own.
    pub(crate) inputs: Vec<Option<Vec<usize>>>,
    /// The order in which it makes each output.
    pub(crate) outputs: Vec<Vec<usize>>,
}

impl Reordered {
    /// The same with these attributes.
    pub(super) fn with(self, op: Op) -> Self {
        Self { op: Some(op), ..self }
    }
}

/// Whether an order leaves every axis where it is.
pub(crate) fn is_identity(order: &[usize]) -> bool {
    order.iter().copied().eq(0..order.len())
}

/// The order that leads back.
pub(crate) fn inverse(order: &[usize]) -> Vec<usize> {
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &axis)| back[axis] = place);
    back
}

/// First one order, then another one of what that gives.
pub(crate) fn then(first: &[usize], second: &[usize]) -> Vec<usize> {
    second.iter().map(|&place| first[place]).collect()
}

/// One entry for each axis, in that order.
pub(super) fn entries<T: Clone>(entries: &[T], order: &[usize]) -> Option<Vec<T>> {
    if entries.len() != order.len() {
        return None;
    }
    Some(order.iter().map(|&axis| entries[axis].clone()).collect())
}

/// The place of an axis.
pub(super) fn place(axis: i64, order: &[usize]) -> Option<i64> {
    let axis = normalized_axis(axis, order.len()).ok()?;
    order.iter().position(|&other| other == axis).and_then(|place| i64::try_from(place).ok())
}

/// The places of some axes.
pub(super) fn places(axes: &[i64], order: &[usize]) -> Option<Vec<i64>> {
    axes.iter().map(|&axis| place(axis, order)).collect()
}

/// Whether the marked axes come one after the other as before.
pub(super) fn keeps_sequence(order: &[usize], is_marked: impl Fn(usize) -> bool) -> bool {
    order.iter().copied().filter(|&axis| is_marked(axis)).is_sorted()
}

/// An operator whose first input and outputs have the axes of the order; other inputs stay as they are.
pub(super) fn first(order: &[usize], ranks: &Ranks) -> Option<Reordered> {
    let all_axes = |rank: &usize| *rank == order.len();
    if ranks.inputs.first().copied().flatten().is_none_or(|(rank, _)| rank != order.len())
        || !ranks.outputs.iter().all(all_axes)
    {
        return None;
    }
    let mut inputs = vec![None; ranks.inputs.len()];
    *inputs.first_mut()? = Some(order.to_vec());
    Some(Reordered { op: None, inputs, outputs: vec![order.to_vec(); ranks.outputs.len()] })
}

/// An operator whose inputs and outputs all have the axes of the order.
pub(super) fn all(order: &[usize], ranks: &Ranks) -> Option<Reordered> {
    let has_all_axes = |input: &Option<(usize, bool)>| input.is_some_and(|(rank, _)| rank == order.len());
    let reordered = first(order, ranks)?;
    let inputs = vec![Some(order.to_vec()); ranks.inputs.len()];
    ranks.inputs.iter().all(has_all_axes).then_some(Reordered { inputs, ..reordered })
}

/// An operator whose output elements come from one element of each input, broadcast. A computed input with fewer axes
/// must meet axes that stay where they are.
pub(super) fn broadcast(order: &[usize], ranks: &Ranks) -> Option<Reordered> {
    let rank = order.len();
    if ranks.outputs.iter().any(|&output| output != rank) {
        return None;
    }
    let mut inputs = Vec::with_capacity(ranks.inputs.len());
    for input in &ranks.inputs {
        let of_input = match *input {
            None => None,
            Some((axes, _)) if axes == rank => Some(order.to_vec()),
            Some((axes, _)) if axes < rank && (rank - axes..rank).all(|axis| order[axis] == axis) => None,
            Some((axes, true)) if axes < rank => Some(order.to_vec()),
            Some(_) => return None,
        };
        inputs.push(of_input);
    }
    Some(Reordered { op: None, inputs, outputs: vec![order.to_vec(); ranks.outputs.len()] })
}

/// A reduction over `axes` (all where empty), which `op` makes of their places. What it joins must come in the same
/// sequence as before, so that sums stay the same bit for bit.
pub(super) fn reduced(
    axes: &[i64],
    keep_dims: bool,
    order: &[usize],
    ranks: &Ranks,
    op: impl FnOnce(Vec<i64>) -> Op,
) -> Option<Reordered> {
    let rank = order.len();
    let mut marked = normalized_axes(axes, rank).ok()?;
    if axes.is_empty() {
        marked.fill(true);
    }
    let all_axes = ranks.inputs.first().copied().flatten().is_some_and(|(axes, _)| axes == rank);
    if !all_axes || !keeps_sequence(order, |axis| marked[axis]) {
        return None;
    }
    let mut reduced = places(axes, order)?;
    reduced.sort_unstable();
    let output = if keep_dims { order.to_vec() } else { without(order, &marked) };
    let mut inputs = vec![None; ranks.inputs.len()];
    *inputs.first_mut()? = Some(order.to_vec());
    Some(Reordered { op: Some(op(reduced)), inputs, outputs: vec![output] })
}

/// An operator that takes the marked axes away from its input, or puts them into it.
pub(super) fn resized(order: &[usize], ranks: &Ranks, marked: &[bool]) -> Option<Reordered> {
    let (input, output) = (ranks.inputs.first().copied().flatten()?.0, *ranks.outputs.first()?);
    let fewer = without(order, marked);
    let (from, to) = if input >= output { (order.to_vec(), fewer) } else { (fewer, order.to_vec()) };
    let fits = from.len() == input && to.len() == output;
    fits.then(|| Reordered { op: None, inputs: vec![Some(from)], outputs: vec![to] })
}

/// The order of the axes that are not marked.
pub(super) fn without(order: &[usize], marked: &[bool]) -> Vec<usize> {
    let n_before = |axis: usize| marked[..axis].iter().filter(|&&gone| !gone).count();
    order.iter().filter(|&&axis| !marked[axis]).map(|&axis| n_before(axis)).collect()
}

/// The order of all axes where those that are not marked come in the order `rest`; the others stay at their places.
pub(crate) fn with(rest: &[usize], marked: &[bool]) -> Vec<usize> {
    let kept: Vec<usize> = (0..marked.len()).filter(|&axis| !marked[axis]).collect();
    let mut order = then(&kept, rest);
    (0..marked.len()).filter(|&axis| marked[axis]).for_each(|axis| order.insert(axis.min(order.len()), axis));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_compose() {
        let order = [0, 3, 1, 2];
        assert_eq!(inverse(&order), [0, 2, 3, 1]);
        assert!(is_identity(&then(&order, &inverse(&order))));
        assert_eq!(then(&order, &[1, 0, 2, 3]), [3, 0, 1, 2]);
        assert_eq!(place(-1, &order), Some(1));
        assert_eq!(place(4, &order), None);
    }

    #[test]
    fn axes_come_and_go() {
        let marked = [false, true, true, false];
        assert_eq!(without(&[0, 3, 1, 2], &marked), [0, 1]);
        assert_eq!(without(&[3, 1, 0, 2], &marked), [1, 0]);
        assert_eq!(with(&[1, 0], &marked), [3, 1, 2, 0]);
        assert_eq!(with(&[0, 1], &marked), [0, 1, 2, 3]);
    }

    /// Height and width swapped would add them up in another sequence.
    #[test]
    fn a_reduction_keeps_its_sequence() {
        let ranks = Ranks { inputs: vec![Some((4, false))], outputs: vec![2] };
        let reduce = |order: &[usize]| {
            reduced(&[1, 2], false, order, &ranks, |axes| {
                Op::ReduceMean(crate::ops::ReduceMean { axes, keep_dims: false })
            })
        };
        let found = reduce(&[0, 3, 1, 2]).unwrap();
        assert_eq!(found.op, Some(Op::ReduceMean(crate::ops::ReduceMean { axes: vec![2, 3], keep_dims: false })));
        assert_eq!(found.outputs, [[0, 1]]);
        assert_eq!(reduce(&[0, 3, 2, 1]), None);
    }

    #[test]
    fn constants_of_fewer_axes_are_spread_out() {
        let ranks = Ranks { inputs: vec![Some((4, false)), Some((1, true))], outputs: vec![4] };
        let order = vec![0, 3, 1, 2];
        let found = broadcast(&order, &ranks).unwrap();
        assert_eq!(found.inputs, [Some(order.clone()), Some(order.clone())]);
        let computed = Ranks { inputs: vec![Some((4, false)), Some((1, false))], outputs: vec![4] };
        assert_eq!(broadcast(&order, &computed), None);
        // The last axis stays: what meets it may stay too.
        assert_eq!(broadcast(&[0, 2, 1, 3], &computed).unwrap().inputs[1], None);
    }
}
