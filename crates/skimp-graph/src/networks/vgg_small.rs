//! The convolutional network of the binarization papers.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Settings};
use crate::GraphError;

pub(super) static NETWORKS: &[NetworkDefinition] = &[NetworkDefinition {
    name: "vgg-small",
    summary: "BinaryNet's six 3x3 convolutions and three dense layers, in full precision, for CIFAR-10",
    source: "Hubara, Courbariaux, Soudry, El-Yaniv and Bengio, \"Binarized Neural Networks\", NIPS 2016, and its code: \
             pooling before the batch norm, a batch norm after the last layer; with rectifiers",
    image: [3, 32, 32],
    classes: 10,
    settings: &[],
    layers,
}];

/// Added to variances in the code of the paper.
const EPSILON: f32 = 1e-4;

fn layers(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let mut x = x;
    for (idx, outputs) in [128, 128, 256, 256, 512, 512].into_iter().enumerate() {
        let name = format!("conv{}", idx + 1);
        x = layers.conv(&name, x, outputs, Conv::same(3, 1, Bias::No))?;
        if idx % 2 == 1 {
            x = layers.max_pool(&format!("pool{}", idx / 2 + 1), x, 2, 2, 0);
        }
        x = layers.batch_norm(&format!("{name}.bn"), x, EPSILON)?;
        x = layers.relu(&format!("{name}.relu"), x);
    }
    x = layers.flatten(x);
    for name in ["fc1", "fc2"] {
        x = layers.dense(name, x, 1024, Bias::No, Follower::Rectifier)?;
        x = layers.batch_norm(&format!("{name}.bn"), x, EPSILON)?;
        x = layers.relu(&format!("{name}.relu"), x);
    }
    x = layers.dense("fc3", x, settings.classes, Bias::No, Follower::Nothing)?;
    layers.batch_norm("fc3.bn", x, EPSILON)
}
