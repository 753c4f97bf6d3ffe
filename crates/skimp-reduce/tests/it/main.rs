//! Tests of the crate as its users see it.

mod filters;
mod methods;
mod one_shot;
mod recast;
mod removal;
