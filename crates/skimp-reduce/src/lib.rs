//! Network reduction: from a network to a smaller one.
//!
//! A [`Method`] says what may go: single weights (they become zero, shapes stay) or channels (they are removed for
//! real, in every operator that they pass through). [`METHODS`] lists them; a method is one file and one line.
//! What methods learn from, images and a training recipe, is a [`Learning`]. This crate does no terminal I/O.

mod batch_norm;
pub mod channels;
pub mod distill;
mod error;
mod filters;
mod gates;
mod learning;
mod method;
pub mod methods;
mod parts;
mod places;
mod readers;
pub mod recast;
mod refit;
mod runs;
mod runtime;
mod scores;
pub mod settings;
pub mod weights;

pub use batch_norm::reestimate;
pub use error::ReduceError;
pub use learning::{Learning, Lesson, Recipe};
pub use method::{
    GroupChange, Measure, Measured, Method, MethodFacts, Needs, Quantity, Reduction, Refusal, Removes, Request,
    Runtime, RuntimePoint, Scope, Target, TargetError,
};
pub use methods::METHODS;
pub use runs::Runs;
