//! Reduction: smaller networks, what they cost and what they bring.

pub(crate) mod commands;
pub(crate) mod distill;
pub(crate) mod learn;
pub(crate) mod measured;
pub(crate) mod prune;
pub(crate) mod recast;
pub(crate) mod run;
pub(crate) mod sensitivity;
pub(crate) mod speed;
pub(crate) mod steps;
pub(crate) mod target;
