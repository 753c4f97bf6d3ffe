//! The seam between a graph and the engines that run it.

use crate::{GraphError, Tensor, ValueId};

/// Called with every value that a node computes, in execution order. The tensor carries the whole batch.
pub type Observer<'a> = dyn FnMut(ValueId, &Tensor) + 'a;

/// An engine bound to one [`Graph`](crate::Graph). Every engine is compared with [`crate::reference`].
pub trait Executor: std::fmt::Debug + Send + Sync {
    /// Short name (`"reference"`, `"cpu"`).
    fn name(&self) -> &'static str;

    /// Runs the graph on `inputs` (in the order of `Graph::inputs`) and returns the outputs in order.
    ///
    /// # Errors
    /// [`GraphError::InvalidInput`] if an input does not fit; the node's error where an operator cannot run.
    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError>;

    /// Like [`run`](Executor::run), and shows every computed value of the *original* graph to `observer`: no fusion
    /// hides a value.
    ///
    /// # Errors
    /// As [`run`](Executor::run).
    fn run_observed(&self, inputs: &[Tensor], observer: &mut Observer<'_>) -> Result<Vec<Tensor>, GraphError>;
}
