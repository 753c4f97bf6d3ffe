//! Four convolutions and two dense layers.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Setting, Settings};
use crate::GraphError;

pub(super) static NETWORKS: &[NetworkDefinition] = &[NetworkDefinition {
    name: "conv4-fc2",
    summary: "four 3x3 convolutions and two dense layers, for CIFAR-10",
    source: "the smaller network of binarization studies; no publication states its widths, the default is an assumption",
    image: [3, 32, 32],
    classes: 10,
    settings: &[
        Setting {
            name: "widths",
            default: "64-64-128-128-512",
            summary: "outputs of the convolutions and of the hidden dense layer",
        },
        Setting {
            name: "batch-norm",
            default: "false",
            summary: "true: a batch norm follows each convolution and the hidden dense layer, in place of biases",
        },
    ],
    layers,
}];

fn layers(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let [a, b, c, d, dense] = settings.numbers("widths")?;
    let batch_norm = settings.flag("batch-norm")?;
    let bias = if batch_norm { Bias::No } else { Bias::Yes };
    let normalized = |layers: &mut Layers, name: &str, x: Feature| {
        if batch_norm { layers.batch_norm(&format!("{name}.bn"), x, 1e-5) } else { Ok(x) }
    };
    let mut x = x;
    for (idx, outputs) in [a, b, c, d].into_iter().enumerate() {
        let name = format!("conv{}", idx + 1);
        x = layers.conv(&name, x, outputs, Conv::same(3, 1, bias))?;
        x = normalized(layers, &name, x)?;
        x = layers.relu(&format!("relu{}", idx + 1), x);
        if idx % 2 == 1 {
            x = layers.max_pool(&format!("pool{}", idx / 2 + 1), x, 2, 2, 0);
        }
    }
    x = layers.flatten(x);
    x = layers.dense("fc1", x, dense, bias, Follower::Rectifier)?;
    x = normalized(layers, "fc1", x)?;
    x = layers.relu("relu5", x);
    layers.dense("fc2", x, settings.classes, Bias::Yes, Follower::Nothing)
}
