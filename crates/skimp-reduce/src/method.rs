//! The seam of reduction methods.

use std::fmt;
use std::str::FromStr;

use skimp_graph::Graph;

use crate::channels::Masking;
use crate::{Learning, ReduceError};

/// What a method takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removes {
    /// Single weights: they become zero, shapes stay.
    Weights,
    /// Channels, with all that computes and reads them.
    Channels,
    /// Nothing for good: each image skips a part of the operations. There is no smaller network.
    Operations,
}

/// What a method needs beside the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// The weights suffice.
    Nothing,
    /// Some images, without training.
    Images,
    /// Images with labels, to train on.
    Training,
}

/// What a method is.
#[derive(Clone, Copy, Debug)]
pub struct MethodFacts {
    /// Its name, as `--method` takes it.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// Where it comes from: authors, title, year, and every deviation.
    pub source: &'static str,
    /// What it takes away.
    pub removes: Removes,
    /// What it needs.
    pub needs: Needs,
}

/// How much shall remain.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// This fraction of every group's channels remains.
    Channels(f64),
    /// This fraction of the multiply-accumulate operations remains, at most.
    Macs(f64),
    /// This fraction of the parameters remains, at most.
    Parameters(f64),
    /// This fraction of the elements that layers which multiply put out remains, at most.
    Activations(f64),
    /// This fraction of something that only a measurement tells remains, at most.
    Measured(Quantity, f64),
    /// This fraction of the weights becomes zero.
    Sparsity(f64),
}

/// What only a measurement tells of a network: [`Request::measure`] takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Time of a batch on this machine.
    Latency,
    /// Cycles of a simulated design.
    Cycles {
        /// Its name.
        design: String,
    },
    /// Energy of a simulated design.
    Energy {
        /// Its name.
        design: String,
    },
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency => f.write_str("latency"),
            Self::Cycles { design } => write!(f, "cycles@{design}"),
            Self::Energy { design } => write!(f, "energy@{design}"),
        }
    }
}

/// Names of the targets, as written.
const TARGETS: [&str; 8] =
    ["channels", "macs", "params", "activations", "latency", "cycles@DESIGN", "energy@DESIGN", "sparsity"];

impl Target {
    /// The fraction.
    pub fn fraction(&self) -> f64 {
        match *self {
            Self::Channels(fraction)
            | Self::Macs(fraction)
            | Self::Parameters(fraction)
            | Self::Activations(fraction)
            | Self::Measured(_, fraction)
            | Self::Sparsity(fraction) => fraction,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channels(fraction) => write!(f, "channels={fraction}"),
            Self::Macs(fraction) => write!(f, "macs={fraction}"),
            Self::Parameters(fraction) => write!(f, "params={fraction}"),
            Self::Activations(fraction) => write!(f, "activations={fraction}"),
            Self::Measured(quantity, fraction) => write!(f, "{quantity}={fraction}"),
            Self::Sparsity(fraction) => write!(f, "sparsity={fraction}"),
        }
    }
}

/// A target that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("target \"{text}\": expected {expected}")]
pub struct TargetError {
    /// What was written.
    pub text: String,
    /// What would do.
    pub expected: String,
}

impl FromStr for Target {
    type Err = TargetError;

    /// `channels=0.5`, `macs=0.5`, `cycles@DESIGN=0.5` and so on say what remains, `sparsity=0.9` how much becomes zero.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let invalid = |expected: String| TargetError { text: text.to_owned(), expected };
        let named = || invalid(format!("NAME=FRACTION, NAME one of: {}", TARGETS.join(", ")));
        let (name, value) = text.split_once('=').ok_or_else(named)?;
        let fraction: f64 = value.parse().map_err(|_| named())?;
        let remains = fraction > 0.0 && fraction <= 1.0;
        let (name, design) =
            name.split_once('@').map_or((name, None), |(name, design)| (name, Some(design.to_owned())));
        let (target, range) = match (name, design.filter(|design| !design.is_empty())) {
            ("cycles", Some(design)) => (Self::Measured(Quantity::Cycles { design }, fraction), remains),
            ("energy", Some(design)) => (Self::Measured(Quantity::Energy { design }, fraction), remains),
            (_, Some(_)) => return Err(named()),
            ("channels", None) => (Self::Channels(fraction), remains),
            ("macs", None) => (Self::Macs(fraction), remains),
            ("params", None) => (Self::Parameters(fraction), remains),
            ("activations", None) => (Self::Activations(fraction), remains),
            ("latency", None) => (Self::Measured(Quantity::Latency, fraction), remains),
            ("sparsity", None) => (Self::Sparsity(fraction), (0.0..1.0).contains(&fraction)),
            _ => return Err(named()),
        };
        let expected = match target {
            Self::Sparsity(_) => "a fraction of zeros from 0 to below 1",
            _ => "the fraction that remains, above 0 and at most 1",
        };
        if range { Ok(target) } else { Err(invalid(expected.to_owned())) }
    }
}

/// What a measurement found.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// What the network takes, over what the one before it took.
    pub ratio: f64,
    /// The same in words, with whatever makes it believable.
    pub text: String,
}

/// Measures a [`Quantity`] of a smaller network.
///
/// Its error, of whatever type, comes back as [`ReduceError::Measure`].
pub type Measure<'a> = dyn Fn(&Graph) -> Result<Measured, Box<dyn std::error::Error + Send + Sync>> + Sync + 'a;

/// Which channels are compared with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Those of one group: every group loses the same fraction.
    #[default]
    Uniform,
    /// Those of the whole network, each score divided by the mean of its group; every group keeps a tenth.
    Global,
}

/// What is asked of a method.
pub struct Request<'a> {
    /// How much shall remain.
    pub target: Target,
    /// Measures what a [`Target::Measured`] names.
    pub measure: Option<&'a Measure<'a>>,
    /// Which channels are compared with each other.
    pub scope: Scope,
    /// Layers that stay as they are, by name; `*` at the end stands for any rest.
    pub keep: &'a [String],
    /// Kept channels go to the nearest multiple of this, ties up, never to none.
    pub round_to: usize,
    /// What becomes of channels that statistics run over.
    pub masking: Masking,
    /// The method's own settings; it refuses those that it does not know.
    pub settings: &'a toml::Table,
    /// Seed of everything random.
    pub seed: u64,
    /// What to learn from, for methods that need it.
    pub learning: Option<&'a Learning<'a>>,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, measure: _, scope, keep, round_to, masking, settings, seed, learning } = self;
        f.debug_struct("Request")
            .field("target", target)
            .field("scope", scope)
            .field("keep", keep)
            .field("round_to", round_to)
            .field("masking", masking)
            .field("settings", settings)
            .field("seed", seed)
            .field("learning", learning)
            .finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// What to learn from.
    ///
    /// # Errors
    /// [`ReduceError::Data`] if there is nothing.
    pub fn learning_of(&self, method: &dyn Method) -> Result<&'a Learning<'a>, ReduceError> {
        self.learning.ok_or_else(|| ReduceError::Data {
            method: method.facts().name.to_owned(),
            expected: "images (--data NAME:DIR)".to_owned(),
            found: "none".to_owned(),
        })
    }

    /// Whether a layer stays as it is.
    pub fn keeps(&self, layer: &str) -> bool {
        self.keep.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => layer.starts_with(start),
            None => layer == name,
        })
    }
}

/// Something that could not be reduced, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the node.
    pub node: String,
    /// Why it stays whole.
    pub reason: String,
}

/// Layers whose channels went together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupChange {
    /// Names of the layers that make them.
    pub layers: Vec<String>,
    /// Name of the one that makes most channels.
    pub widest: String,
    /// Channels of that one, before.
    pub before: usize,
    /// Channels of that one, after.
    pub after: usize,
    /// Which channels of that one went, ascending.
    pub removed: Vec<usize>,
}

/// What a method made of a network.
#[derive(Clone, Debug)]
pub struct Reduction {
    /// The smaller network.
    pub graph: Graph,
    /// Which weights stay zero in what follows, by the name of the constant: 0 or 1 for each element, in the graph's order.
    pub masks: Vec<(String, Vec<f32>)>,
    /// The groups of layers that lost channels or might have.
    pub groups: Vec<GroupChange>,
    /// What could not be reduced.
    pub refused: Vec<Refusal>,
    /// What a reader of the result should know, in sentences.
    pub notes: Vec<String>,
    /// Where each image skips a part of the operations: how many it takes, and what that costs. The network is what it was.
    pub runtime: Option<Runtime>,
}

/// Networks that skip operations, image by image.
#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// Multiply-accumulate operations of the whole network for an image.
    pub macs: u64,
    /// Share of the validation images that the whole network classifies right.
    pub accuracy: f64,
    /// One for each penalty on operations.
    pub points: Vec<RuntimePoint>,
}

/// A network that skips operations, image by image.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimePoint {
    /// The penalty that it was trained with.
    pub penalty: f64,
    /// Mean operations of a validation image.
    pub macs: f64,
    /// Share of the validation images that it classifies right.
    pub accuracy: f64,
    /// The same where it skips nothing.
    pub whole_accuracy: f64,
}

/// A reduction method.
pub trait Method: fmt::Debug + Sync {
    /// What it is.
    fn facts(&self) -> MethodFacts;

    /// Whether it trains where it is given images with labels.
    fn trains(&self) -> bool {
        self.facts().needs == Needs::Training
    }

    /// Its settings with their defaults.
    fn settings(&self) -> toml::Table {
        toml::Table::new()
    }

    /// The reduced network.
    ///
    /// # Errors
    /// [`ReduceError`] naming the setting, target, node or data that does not fit.
    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError>;
}
