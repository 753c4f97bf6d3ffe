//! What the scattering operators share.

use crate::onnx::export::Form;
use crate::onnx::import::NodeView;
use crate::ops::global_pool;
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::{Data, Element, GraphError};

/// How an update joins what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// It takes its place.
    None,
    /// Sum.
    Add,
    /// Product.
    Mul,
    /// Maximum.
    Max,
    /// Minimum.
    Min,
}

/// Input 0 with the elements of input 2 joined with what stands at `places`, in order.
pub(super) fn evaluate(
    call: &Call<'_>,
    reduction: Reduction,
    places: impl Iterator<Item = usize>,
) -> Result<Data, GraphError> {
    fn scattered<T: Element>(
        call: &Call<'_>,
        x: &[T],
        places: impl Iterator<Item = usize>,
        join: impl Fn(T, T) -> T,
    ) -> Result<Vec<T>, GraphError> {
        let updates: &[T] = call.elements(2);
        let mut y = call.allocate(x.len())?;
        y.extend_from_slice(x);
        places.zip(updates).for_each(|(place, &update)| y[place] = join(y[place], update));
        Ok(y)
    }
    fn joined<T: Number>(
        call: &Call<'_>,
        x: &[T],
        places: impl Iterator<Item = usize>,
        reduction: Reduction,
    ) -> Result<Vec<T>, GraphError> {
        match reduction {
            Reduction::None => scattered(call, x, places, |_, update| update),
            Reduction::Add => scattered(call, x, places, T::plus),
            Reduction::Mul => scattered(call, x, places, T::times),
            Reduction::Max => scattered(call, x, places, global_pool::larger),
            Reduction::Min => scattered(call, x, places, global_pool::smaller),
        }
    }
    for_number!(
        call.input(0).data(),
        x => Ok(joined(call, x, places, reduction)?.into()),
        Ok(scattered(call, call.elements::<bool>(0), places, |_, update| update)?.into())
    )
}

/// The attribute.
pub(super) fn import(node: &NodeView<'_>) -> Result<Reduction, GraphError> {
    node.check_inputs(3, 3)?;
    match node.string("reduction")? {
        None | Some("none") => Ok(Reduction::None),
        Some("add") => Ok(Reduction::Add),
        Some("mul") => Ok(Reduction::Mul),
        Some("max") => Ok(Reduction::Max),
        Some("min") => Ok(Reduction::Min),
        Some(other) => Err(node.invalid(format!("attribute \"reduction\" is \"{other}\""))),
    }
}

/// The ONNX form of the attribute.
pub(super) fn export(form: Form, reduction: Reduction) -> Form {
    let form = form.since(if reduction == Reduction::None { 13 } else { 18 });
    match reduction {
        Reduction::None => form,
        Reduction::Add => form.string("reduction", "add"),
        Reduction::Mul => form.string("reduction", "mul"),
        Reduction::Max => form.string("reduction", "max"),
        Reduction::Min => form.string("reduction", "min"),
    }
}
