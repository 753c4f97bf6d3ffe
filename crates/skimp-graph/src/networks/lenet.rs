//! LeNet-300-100 and LeNet-5.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Settings};
use crate::GraphError;

pub(super) static NETWORKS: &[NetworkDefinition] = &[
    NetworkDefinition {
        name: "lenet-300-100",
        summary: "two hidden dense layers of 300 and 100, for MNIST",
        source: "LeCun, Bottou, Bengio and Haffner, \"Gradient-Based Learning Applied to Document Recognition\", \
                 Proceedings of the IEEE 86(11), 1998; with rectifiers as pruning papers use it",
        image: [1, 28, 28],
        classes: 10,
        settings: &[],
        layers: lenet_300_100,
    },
    NetworkDefinition {
        name: "lenet-5",
        summary: "Caffe's LeNet: convolutions of 20 and 50, dense 500, for MNIST",
        source: "LeCun, Bottou, Bengio and Haffner, \"Gradient-Based Learning Applied to Document Recognition\", \
                 Proceedings of the IEEE 86(11), 1998; in the form of Caffe's example",
        image: [1, 28, 28],
        classes: 10,
        settings: &[],
        layers: lenet_5,
    },
];

fn lenet_300_100(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let mut x = layers.flatten(x);
    for (idx, outputs) in [300, 100].into_iter().enumerate() {
        x = layers.dense(&format!("fc{}", idx + 1), x, outputs, Bias::Yes, Follower::Rectifier)?;
        x = layers.relu(&format!("relu{}", idx + 1), x);
    }
    layers.dense("fc3", x, settings.classes, Bias::Yes, Follower::Nothing)
}

fn lenet_5(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let mut x = x;
    for (idx, outputs) in [20, 50].into_iter().enumerate() {
        let conv = Conv { kernel: 5, stride: 1, pad: 0, groups: 1, bias: Bias::Yes };
        x = layers.conv(&format!("conv{}", idx + 1), x, outputs, conv)?;
        x = layers.max_pool(&format!("pool{}", idx + 1), x, 2, 2, 0);
    }
    let x = layers.flatten(x);
    let x = layers.dense("fc1", x, 500, Bias::Yes, Follower::Rectifier)?;
    let x = layers.relu("relu1", x);
    layers.dense("fc2", x, settings.classes, Bias::Yes, Follower::Nothing)
}
