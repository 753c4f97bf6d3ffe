//! Networks of which each image computes only a part: an agent chooses, layer by layer.

mod agent;
mod skipper;

pub(crate) use agent::{Agent, Episode};
pub(crate) use skipper::{Passes, Policy, Skipper, Switch};
