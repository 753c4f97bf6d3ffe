//! Spiking networks: graphs of one time step, run over many.
//!
//! The graph of a spiking network computes one time step; its [`Neuron`](crate::ops::Neuron) nodes hold what makes it spike. How often it
//! runs, what it is fed and how its outputs are joined stands in its metadata ([`Temporal`]). [`Stepped`] is the same graph
//! with the state of its neurons as inputs and outputs, which every engine runs, and [`TimeLoop`] an executor that hands
//! the state from step to step: over the [reference interpreter](crate::reference) it is the specification.

mod convert;
mod input;
mod join;
mod parts;
mod plain;
mod stepped;
mod time_loop;

pub use convert::{Coding, Conversion, Converted, MaxPools, convert};
pub use input::InputCoding;
pub use join::{Join, Joined};
pub use plain::plain;
pub use stepped::{State, Stepped};
pub use time_loop::{Show, Step, TimeLoop};

use crate::ops::MOST_STEPS;
use crate::{Graph, GraphError, Op};

/// Key of the metadata under which the number of time steps stands.
pub const STEPS_KEY: &str = "skimp.time_steps";
/// Key of how the outputs of the steps are joined.
pub const JOIN_KEY: &str = "skimp.join";
/// Key of what the network is fed.
pub const INPUT_KEY: &str = "skimp.input_coding";
/// Key of the seed of random input spikes.
pub const SEED_KEY: &str = "skimp.input_seed";

/// How a network runs over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Temporal {
    /// Time steps, at least 1.
    pub steps: usize,
    /// How the outputs of the steps are joined.
    pub join: Join,
    /// What the inputs of the steps are.
    pub input: InputCoding,
    /// Seed of [`InputCoding::Bernoulli`].
    pub seed: u64,
}

impl Temporal {
    /// Direct input, and the mean of the outputs.
    ///
    /// # Errors
    /// What is wrong with the number of steps.
    pub fn new(steps: usize) -> Result<Self, String> {
        if (1..=MOST_STEPS).contains(&steps) {
            Ok(Self { steps, join: Join::Mean, input: InputCoding::Direct, seed: 0 })
        } else {
            Err(format!("{steps} time steps, expected 1 to {MOST_STEPS}"))
        }
    }

    /// What the metadata of a graph say; `None` for one that runs once.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] naming a key and what may stand under it.
    pub fn of(graph: &Graph) -> Result<Option<Self>, GraphError> {
        let invalid = |key: &str, found: &str, expected: String| GraphError::InvalidGraph {
            graph: graph.name().to_owned(),
            cause: format!("metadata \"{key}\" is \"{found}\", expected {expected}"),
        };
        let Some(text) = graph.metadata(STEPS_KEY) else { return Ok(None) };
        let steps = text.parse().ok().and_then(|steps| Self::new(steps).ok());
        let mut temporal = steps.ok_or_else(|| invalid(STEPS_KEY, text, format!("a number of 1 to {MOST_STEPS}")))?;
        if let Some(text) = graph.metadata(JOIN_KEY) {
            let known = Join::ALL.iter().find(|join| join.name() == text);
            temporal.join = *known.ok_or_else(|| invalid(JOIN_KEY, text, one_of(&Join::ALL.map(Join::name))))?;
        }
        if let Some(text) = graph.metadata(INPUT_KEY) {
            let known = InputCoding::ALL.iter().find(|input| input.name() == text);
            let all = InputCoding::ALL.map(InputCoding::name);
            temporal.input = *known.ok_or_else(|| invalid(INPUT_KEY, text, one_of(&all)))?;
        }
        if let Some(text) = graph.metadata(SEED_KEY) {
            temporal.seed = text.parse().map_err(|_| invalid(SEED_KEY, text, "a number of at least 0".to_owned()))?;
        }
        Ok(Some(temporal))
    }

    /// The graph with this in its metadata.
    #[must_use]
    pub fn on(&self, graph: Graph) -> Graph {
        let graph = graph
            .with_metadata(STEPS_KEY, self.steps.to_string())
            .with_metadata(JOIN_KEY, self.join.name())
            .with_metadata(INPUT_KEY, self.input.name());
        if self.input == InputCoding::Bernoulli { graph.with_metadata(SEED_KEY, self.seed.to_string()) } else { graph }
    }
}

fn one_of(names: &[&str]) -> String {
    format!("one of: {}", names.join(", "))
}

/// Names of the nodes that spike.
pub fn neurons(graph: &Graph) -> impl Iterator<Item = &str> {
    graph.nodes().iter().filter(|node| matches!(node.op, Op::Neuron(_))).map(|node| node.name.as_str())
}

#[cfg(test)]
mod tests;
