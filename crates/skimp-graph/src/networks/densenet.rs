//! Densely connected networks.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Settings};
use crate::GraphError;

const SOURCE: &str = "Huang, Liu, van der Maaten and Weinberger, \"Densely Connected Convolutional Networks\", CVPR 2017, \
                      section 3 and table 1";

pub(super) static NETWORKS: &[NetworkDefinition] = &[
    NetworkDefinition {
        name: "densenet-bc-100-12",
        summary: "DenseNet-BC of 100 layers with growth rate 12, for CIFAR-10",
        source: SOURCE,
        image: [3, 32, 32],
        classes: 10,
        settings: &[],
        layers: |layers, x, settings| {
            let x = layers.conv("conv0", x, 24, Conv::same(3, 1, Bias::No))?;
            dense_blocks(layers, x, settings, &[16, 16, 16], 12)
        },
    },
    NetworkDefinition {
        name: "densenet121",
        summary: "DenseNet-BC of 121 layers with growth rate 32, for ImageNet",
        source: SOURCE,
        image: [3, 224, 224],
        classes: 1000,
        settings: &[],
        layers: |layers, x, settings| {
            let x = layers.conv_bn_relu("conv0", x, 64, Conv::same(7, 2, Bias::No))?;
            let x = layers.max_pool("pool0", x, 3, 2, 1);
            dense_blocks(layers, x, settings, &[6, 12, 24, 16], 32)
        },
    },
];

/// A batch norm, a rectifier and a convolution, which has the name.
fn bn_relu_conv(
    layers: &mut Layers,
    name: &str,
    x: Feature,
    outputs: usize,
    kernel: usize,
) -> Result<Feature, GraphError> {
    let x = layers.batch_norm(&format!("{name}.bn"), x, 1e-5)?;
    let x = layers.relu(&format!("{name}.relu"), x);
    layers.conv(name, x, outputs, Conv::same(kernel, 1, Bias::No))
}

/// Dense blocks with transitions between them that halve channels, height and width; the head.
fn dense_blocks(
    layers: &mut Layers,
    x: Feature,
    settings: &Settings,
    n_layers: &[usize],
    growth: usize,
) -> Result<Feature, GraphError> {
    let mut x = x;
    for (idx, &n_layers) in n_layers.iter().enumerate() {
        if idx > 0 {
            let name = format!("transition{idx}");
            x = bn_relu_conv(layers, &name, x, x.channels / 2, 1)?;
            x = layers.average_pool(&format!("{name}.pool"), x, 2);
        }
        for layer in 0..n_layers {
            let name = format!("block{}.{layer}", idx + 1);
            let y = bn_relu_conv(layers, &format!("{name}.conv1"), x, 4 * growth, 1)?;
            let y = bn_relu_conv(layers, &format!("{name}.conv2"), y, growth, 3)?;
            x = layers.concat(&format!("{name}.concat"), x, y);
        }
    }
    let x = layers.batch_norm("norm", x, 1e-5)?;
    let x = layers.relu("relu", x);
    let x = layers.global_average("pool", x);
    layers.dense("fc", x, settings.classes, Bias::Yes, Follower::Nothing)
}
