//! Tests of the crate as its users see it.

mod filters;
mod recast;
mod removal;
