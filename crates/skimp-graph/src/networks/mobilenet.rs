//! MobileNet.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Settings};
use crate::GraphError;

pub(super) static NETWORKS: &[NetworkDefinition] = &[NetworkDefinition {
    name: "mobilenet-v1",
    summary: "thirteen pairs of depthwise and 1x1 convolutions, for ImageNet",
    source: "Howard et al., \"MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications\", 2017, \
             table 1",
    image: [3, 224, 224],
    classes: 1000,
    settings: &[],
    layers,
}];

/// Outputs and stride of each pair.
const PAIRS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    // The table prints stride 2 here, but its extents ask for 1.
    (1024, 1),
];

fn layers(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let mut x = layers.conv_bn_relu("conv1", x, 32, Conv::same(3, 2, Bias::No))?;
    for (idx, (outputs, stride)) in PAIRS.into_iter().enumerate() {
        let depthwise = Conv { groups: x.channels, ..Conv::same(3, stride, Bias::No) };
        x = layers.conv_bn_relu(&format!("pair{}.depthwise", idx + 1), x, x.channels, depthwise)?;
        x = layers.conv_bn_relu(&format!("pair{}.pointwise", idx + 1), x, outputs, Conv::same(1, 1, Bias::No))?;
    }
    let x = layers.global_average("pool", x);
    layers.dense("fc", x, settings.classes, Bias::Yes, Follower::Nothing)
}
