//! Dense layers only.

use super::layers::{Bias, Feature, Follower, Layers};
use super::{NetworkDefinition, Setting, Settings};
use crate::GraphError;

pub(super) static NETWORKS: &[NetworkDefinition] = &[NetworkDefinition {
    name: "mlp",
    summary: "dense layers of 784, 512, 256 and 10, for MNIST: 535,040 weights",
    source: "the multilayer perceptron of binary accelerators with 0.53 M weights; its widths follow from that number",
    image: [1, 28, 28],
    classes: 10,
    settings: &[
        Setting {
            name: "widths",
            default: "512-256",
            summary: "outputs of the hidden layers, any number of them, or none",
        },
        Setting {
            name: "batch-norm",
            default: "true",
            summary: "true: a batch norm follows each layer, the last one too, in place of biases",
        },
    ],
    layers,
}];

/// Added to variances in the code of BinaryNet.
const EPSILON: f32 = 1e-4;

fn layers(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let widths = settings.list("widths")?;
    let batch_norm = settings.flag("batch-norm")?;
    let bias = if batch_norm { Bias::No } else { Bias::Yes };
    let dense = |layers: &mut Layers, name: &str, x: Feature, outputs: usize, follower: Follower| {
        let x = layers.dense(name, x, outputs, bias, follower)?;
        if batch_norm { layers.batch_norm(&format!("{name}.bn"), x, EPSILON) } else { Ok(x) }
    };
    let mut x = layers.flatten(x);
    for (idx, &outputs) in widths.iter().enumerate() {
        x = dense(layers, &format!("fc{}", idx + 1), x, outputs, Follower::Rectifier)?;
        x = layers.relu(&format!("relu{}", idx + 1), x);
    }
    dense(layers, &format!("fc{}", widths.len() + 1), x, settings.classes, Follower::Nothing)
}
