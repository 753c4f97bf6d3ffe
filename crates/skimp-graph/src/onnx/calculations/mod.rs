//! ONNX operators that the importer evaluates: constants, and calculations with shapes.
//!
//! An operator of the same name under [`ops`](crate::ops) takes over where the inputs are data.

mod choices;
mod constant;
mod shapes;

use std::cmp::Ordering;

use super::import::{Importer, NodeView};
use crate::GraphError;

/// How one ONNX operator is evaluated, in every form that the supported operator sets give it.
pub(crate) trait Calculation: Sync {
    /// Operator name.
    fn name(&self) -> &'static str;

    /// Every attribute of every version. A node with another one is refused.
    fn attributes(&self) -> &'static [&'static str] {
        &[]
    }

    /// Gives the node's output its value.
    fn import(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError>;
}

/// Every calculation.
pub(crate) static CALCULATIONS: &[&dyn Calculation] = &[
    &constant::Constant,
    &shapes::Shape,
    &shapes::Size,
    &shapes::Gather,
    &shapes::ConstantOfShape,
    &shapes::Range,
    &shapes::Expand,
    &shapes::Floor,
    &shapes::ReduceProd,
    &choices::Where,
    &choices::Compare { name: "Equal", is: Ordering::is_eq },
    &choices::Compare { name: "Less", is: Ordering::is_lt },
    &choices::Compare { name: "LessOrEqual", is: Ordering::is_le },
    &choices::Compare { name: "Greater", is: Ordering::is_gt },
    &choices::Compare { name: "GreaterOrEqual", is: Ordering::is_ge },
];

/// The calculation of that name.
pub(crate) fn find(name: &str) -> Option<&'static dyn Calculation> {
    CALCULATIONS.iter().copied().find(|calculation| calculation.name() == name)
}
