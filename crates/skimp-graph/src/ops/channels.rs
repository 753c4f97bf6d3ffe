//! Where channels lie in the constants of operators.

use super::Class;

/// Where the channels of an operator lie in one of its constants. With groups, axis 0 holds the channels of all of
/// them, any other axis those of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WeightAxes {
    /// Axis of the channels that it makes.
    pub(crate) outputs: Option<usize>,
    /// Axis of the channels that it reads; `None` of a bias.
    pub(crate) inputs: Option<usize>,
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
