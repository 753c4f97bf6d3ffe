//! VGG-16 for ImageNet and for CIFAR-10.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Settings};
use crate::GraphError;

const SOURCE: &str = "Simonyan and Zisserman, \"Very Deep Convolutional Networks for Large-Scale Image Recognition\", \
                      ICLR 2015, table 1, column D";

pub(super) static NETWORKS: &[NetworkDefinition] = &[
    NetworkDefinition {
        name: "vgg16-cifar",
        summary: "VGG-16 with batch norms and one hidden dense layer of 512, for CIFAR-10",
        source: "Li, Kadav, Durdanovic, Samet and Graf, \"Pruning Filters for Efficient ConvNets\", ICLR 2017, section 4.1",
        image: [3, 32, 32],
        classes: 10,
        settings: &[],
        layers: cifar,
    },
    NetworkDefinition {
        name: "vgg16",
        summary: "VGG-16 (configuration D), for ImageNet",
        source: SOURCE,
        image: [3, 224, 224],
        classes: 1000,
        settings: &[],
        layers: |layers, x, settings| imagenet(layers, x, settings, Normalization::None),
    },
    NetworkDefinition {
        name: "vgg16-bn",
        summary: "VGG-16 with batch norms after convolutions, for ImageNet",
        source: SOURCE,
        image: [3, 224, 224],
        classes: 1000,
        settings: &[],
        layers: |layers, x, settings| imagenet(layers, x, settings, Normalization::Batch),
    },
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Normalization {
    None,
    Batch,
}

/// The thirteen convolutions, flattened.
fn features(layers: &mut Layers, x: Feature, normalization: Normalization) -> Result<Feature, GraphError> {
    let mut x = x;
    for (stage, (n_layers, outputs)) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)].into_iter().enumerate() {
        for layer in 0..n_layers {
            let name = format!("{}_{}", stage + 1, layer + 1);
            x = layers.conv(&format!("conv{name}"), x, outputs, Conv::same(3, 1, Bias::Yes))?;
            if normalization == Normalization::Batch {
                x = layers.batch_norm(&format!("conv{name}.bn"), x, 1e-5)?;
            }
            x = layers.relu(&format!("relu{name}"), x);
        }
        x = layers.max_pool(&format!("pool{}", stage + 1), x, 2, 2, 0);
    }
    Ok(layers.flatten(x))
}

fn imagenet(
    layers: &mut Layers,
    x: Feature,
    settings: &Settings,
    normalization: Normalization,
) -> Result<Feature, GraphError> {
    let mut x = features(layers, x, normalization)?;
    for name in ["6", "7"] {
        x = layers.dense(&format!("fc{name}"), x, 4096, Bias::Yes, Follower::Rectifier)?;
        x = layers.relu(&format!("relu{name}"), x);
        x = layers.dropout(&format!("drop{name}"), x, 0.5);
    }
    layers.dense("fc8", x, settings.classes, Bias::Yes, Follower::Nothing)
}

fn cifar(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let x = features(layers, x, Normalization::Batch)?;
    let x = layers.dense("fc6", x, 512, Bias::Yes, Follower::Rectifier)?;
    let x = layers.batch_norm("fc6.bn", x, 1e-5)?;
    let x = layers.relu("relu6", x);
    layers.dense("fc7", x, settings.classes, Bias::Yes, Follower::Nothing)
}
