//! Where channels lie in the constants of operators.

use super::Class;
use crate::shape::normalized_axis;

/// Where the channels of an operator lie in one of its constants. With groups, axis 0 holds the channels of all of
/// them, any other axis those of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightAxes {
    /// Axis of the channels that it makes.
    pub outputs: Option<usize>,
    /// Axis of the channels that it reads; `None` of a bias.
    pub inputs: Option<usize>,
}

/// What most operators of a class answer to [`Operator::parameter_axis`](super::Operator::parameter_axis).
pub(super) fn parameter_axis(
    class: Class,
    rank: usize,
    output_rank: usize,
    axis: usize,
) -> Result<Option<usize>, &'static str> {
    match class {
        Class::ElementWise => Ok(rank.checked_sub(output_rank - axis)),
        Class::Pools if axis < 2 => Ok(None),
        Class::Pools => Err("it pools along that axis"),
        Class::Moves => Err("it moves channels: give it the attributes that fit fewer"),
        Class::Reduces => Err("it may join channels"),
        Class::Multiplies => Err("it sums over channels: keep its inputs, outputs or groups"),
        Class::Normalizes => Err("its statistics run over the channels: the others would change"),
    }
}

/// The answer of an operator with one parameter for each channel of axis 1.
pub(super) fn per_channel(input: usize, axis: usize) -> Result<Option<usize>, &'static str> {
    match (input, axis) {
        (_, 1) => Ok((input > 0).then_some(0)),
        _ => Err("its channels lie along axis 1"),
    }
}

/// What most operators of a class answer to [`Operator::carries`](super::Operator::carries).
pub(super) fn carries(class: Class, _rank: usize, axis: usize) -> Result<usize, &'static str> {
    match class {
        Class::ElementWise => Ok(axis),
        Class::Pools if axis < 2 => Ok(axis),
        Class::Pools => Err("it pools along that axis"),
        Class::Moves => Err("it moves elements"),
        Class::Reduces => Err("it joins them"),
        Class::Multiplies => Err("it sums over them"),
        Class::Normalizes => Err("its statistics run over them: the others would change"),
    }
}

/// The answer of an operator whose axis `along`, which may be negative, joins elements, and no other one.
pub(super) fn carries_but(along: i64, rank: usize, axis: usize) -> Result<usize, &'static str> {
    match normalized_axis(along, rank) {
        Ok(along) if along != axis => Ok(axis),
        Ok(_) | Err(_) => Err("its statistics run over them: the others would change"),
    }
}

/// The answer of an operator that joins elements along `along` and all axes behind it.
pub(super) fn carries_before(along: i64, rank: usize, axis: usize) -> Result<usize, &'static str> {
    match normalized_axis(along, rank) {
        Ok(along) if axis < along => Ok(axis),
        Ok(_) | Err(_) => Err("its statistics run over them: the others would change"),
    }
}
