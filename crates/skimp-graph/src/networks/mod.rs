//! Built-in networks, by name.
//!
//! [`build`] makes a [`Graph`] from text like `resnet20` or `resnet20:classes=100,size=64`. The networks are as their
//! papers train them: batch norms are not folded, dropout is there, and there is no final softmax.
//! They are untrained.
//!
//! # Initialization
//! Weights of convolutions are normal with the deviation `sqrt(2 / (k · r · s))`, `k` the output channels per group (He,
//! Zhang, Ren and Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 14: the backward, "fan-out" form). Dense
//! weights are normal with the deviation `sqrt(2 / inputs)` before a rectifier (the same paper, equation 10) and
//! `sqrt(1 / inputs)` in the last layer. Biases are 0; batch norms have scale 1, shift 0, mean 0 and variance 1.
//!
//! # Determinism
//! A parameter depends on the seed, its name and its shape alone. Its stream is `init/NAME`.

mod alexnet;
mod cifar_resnet;
mod conv4;
mod densenet;
mod layers;
mod lenet;
mod mlp;
mod mobilenet;
mod resnet;
mod sample_resnet;
mod settings;
mod vgg;
mod vgg_small;

#[cfg(test)]
mod tests;

use layers::{Feature, Layers};

use crate::{Graph, GraphError, shape};

pub use layers::Weights;
pub use settings::{Setting, Settings};

/// Every family of networks, in the order `skimp list networks` prints them.
static FAMILIES: &[&[NetworkDefinition]] = &[
    lenet::NETWORKS,
    mlp::NETWORKS,
    sample_resnet::NETWORKS,
    conv4::NETWORKS,
    vgg_small::NETWORKS,
    cifar_resnet::NETWORKS,
    densenet::NETWORKS,
    alexnet::NETWORKS,
    vgg::NETWORKS,
    resnet::NETWORKS,
    mobilenet::NETWORKS,
];

/// A built-in network.
#[derive(Debug)]
pub struct NetworkDefinition {
    /// Name on the command line, kebab-case.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Authors, title, venue, year, and what differs.
    pub source: &'static str,
    /// Channels, height and width of the input where no setting says otherwise.
    pub image: [usize; 3],
    /// Classes where no setting says otherwise.
    pub classes: usize,
    /// Its own settings, besides [`Setting::COMMON`].
    pub settings: &'static [Setting],
    /// Adds the layers from the input to the logits.
    layers: fn(&mut Layers, Feature, &Settings) -> Result<Feature, GraphError>,
}

/// Every built-in network.
pub fn networks() -> impl Iterator<Item = &'static NetworkDefinition> {
    FAMILIES.iter().copied().flatten()
}

/// The network that `text` (`NAME` or `NAME:setting=value,...`) names, whatever its settings.
pub fn find(text: &str) -> Option<&'static NetworkDefinition> {
    let name = text.split_once(':').map_or(text, |(name, _)| name);
    networks().find(|network| network.name == name)
}

/// Builds the network `NAME` or `NAME:setting=value,setting=value`. Its input is `input`, `[N, c, h, w]` with an open
/// batch; its output the logits, `[N, classes]`.
///
/// # Errors
/// [`GraphError::UnknownNetwork`]; [`GraphError::NetworkSetting`] for an unknown setting, a bad value, or a network of
/// more than 2^32 parameters; an error naming the layer that the image is too small for.
///
/// # Examples
/// ```
/// use skimp_graph::networks::{self, Weights};
///
/// let graph = networks::build("resnet20:classes=100", Weights::Seeded(1))?;
/// assert_eq!(graph.name(), "resnet20");
/// # Ok::<(), skimp_graph::GraphError>(())
/// ```
pub fn build(text: &str, weights: Weights) -> Result<Graph, GraphError> {
    let Some(definition) = find(text) else {
        let names: Vec<&str> = networks().map(|network| network.name).collect();
        return Err(GraphError::UnknownNetwork { name: text.to_owned(), known: names.join(", ") });
    };
    let settings = Settings::parse(definition, text)?;
    let (mut layers, x) = Layers::new(definition.name, weights, settings.image);
    let logits = (definition.layers)(&mut layers, x, &settings)?;
    let graph = layers.finish(logits)?;
    shape::infer(&graph, &shape::bind(&graph, 1, None)?)?;
    Ok(graph)
}
