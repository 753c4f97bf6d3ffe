//! The network that is embedded trained, for the embedded sample.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Settings};
use crate::GraphError;

pub(super) static NETWORKS: &[NetworkDefinition] = &[NetworkDefinition {
    name: "sample-resnet",
    summary: "small residual network for Fashion-MNIST; the embedded network of that name is it, trained",
    source: "made for skimp; blocks as in He, Zhang, Ren and Sun, \"Deep Residual Learning for Image Recognition\", \
             CVPR 2016, section 3.3, without projections",
    image: [1, 28, 28],
    classes: 10,
    settings: &[],
    layers: sample_resnet,
}];

fn sample_resnet(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let x = conv_bn(layers, "", "conv1", x, 16, 1)?;
    let x = layers.relu("relu1", x);
    let x = layers.max_pool("pool1", x, 2, 2, 0);
    let x = conv_bn(layers, "", "conv2", x, 32, 1)?;
    let x = layers.relu("relu2", x);
    let x = block(layers, "block1_", x)?;
    let x = conv_bn(layers, "", "conv3", x, 48, 2)?;
    let x = layers.relu("relu3", x);
    let x = block(layers, "block2_", x)?;
    let x = layers.global_average("global_pool", x);
    layers.dense("fc", x, settings.classes, Bias::Yes, Follower::Nothing)
}

/// Two convolutions beside the identity.
fn block(layers: &mut Layers, prefix: &str, x: Feature) -> Result<Feature, GraphError> {
    let y = conv_bn(layers, prefix, "conv1", x, x.channels, 1)?;
    let y = layers.relu(&format!("{prefix}relu1"), y);
    let y = conv_bn(layers, prefix, "conv2", y, x.channels, 1)?;
    let sum = layers.add(&format!("{prefix}add"), y, x);
    Ok(layers.relu(&format!("{prefix}relu2"), sum))
}

/// A 3x3 convolution `conv…` and its batch norm `bn…`.
fn conv_bn(
    layers: &mut Layers,
    prefix: &str,
    name: &str,
    x: Feature,
    outputs: usize,
    stride: usize,
) -> Result<Feature, GraphError> {
    let y = layers.conv(&format!("{prefix}{name}"), x, outputs, Conv::same(3, stride, Bias::No))?;
    layers.batch_norm(&format!("{prefix}{}", name.replace("conv", "bn")), y, 1e-5)
}
