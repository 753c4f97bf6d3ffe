//! AlexNet.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Settings};
use crate::ops;
use crate::{GraphError, Op};

pub(super) static NETWORKS: &[NetworkDefinition] = &[
    NetworkDefinition {
        name: "alexnet",
        summary: "AlexNet in its one-tower form, for ImageNet",
        source: "Krizhevsky, \"One Weird Trick for Parallelizing Convolutional Neural Networks\", 2014, in torchvision's \
                 form",
        image: [3, 224, 224],
        classes: 1000,
        settings: &[],
        layers: one_tower,
    },
    NetworkDefinition {
        name: "alexnet-caffe",
        summary: "AlexNet in its two-group form with local response normalization, for ImageNet at 227 x 227",
        source: "Krizhevsky, Sutskever and Hinton, \"ImageNet Classification with Deep Convolutional Neural Networks\", \
                 NIPS 2012, in the form of Caffe's reference model",
        image: [3, 227, 227],
        classes: 1000,
        settings: &[],
        layers: two_groups,
    },
];

/// A convolution with its outputs, and what follows its rectifier.
struct Stage {
    outputs: usize,
    conv: Conv,
    pool: bool,
    normalize: bool,
}

fn stage(outputs: usize, [kernel, stride, pad, groups]: [usize; 4], pool: bool, normalize: bool) -> Stage {
    Stage { outputs, conv: Conv { kernel, stride, pad, groups, bias: Bias::Yes }, pool, normalize }
}

fn features(layers: &mut Layers, x: Feature, stages: &[Stage]) -> Result<Feature, GraphError> {
    let mut x = x;
    for (idx, stage) in stages.iter().enumerate() {
        let name = idx + 1;
        x = layers.conv(&format!("conv{name}"), x, stage.outputs, stage.conv)?;
        x = layers.relu(&format!("relu{name}"), x);
        if stage.pool {
            x = layers.max_pool(&format!("pool{name}"), x, 3, 2, 0);
        }
        if stage.normalize {
            let lrn = Op::Lrn(ops::Lrn { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 });
            x = layers.same(&format!("norm{name}"), lrn, x);
        }
    }
    Ok(layers.flatten(x))
}

fn one_tower(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let stages = [
        stage(64, [11, 4, 2, 1], true, false),
        stage(192, [5, 1, 2, 1], true, false),
        stage(384, [3, 1, 1, 1], false, false),
        stage(256, [3, 1, 1, 1], false, false),
        stage(256, [3, 1, 1, 1], true, false),
    ];
    let mut x = features(layers, x, &stages)?;
    for name in ["6", "7"] {
        x = layers.dropout(&format!("drop{name}"), x, 0.5);
        x = layers.dense(&format!("fc{name}"), x, 4096, Bias::Yes, Follower::Rectifier)?;
        x = layers.relu(&format!("relu{name}"), x);
    }
    layers.dense("fc8", x, settings.classes, Bias::Yes, Follower::Nothing)
}

fn two_groups(layers: &mut Layers, x: Feature, settings: &Settings) -> Result<Feature, GraphError> {
    let stages = [
        stage(96, [11, 4, 0, 1], true, true),
        stage(256, [5, 1, 2, 2], true, true),
        stage(384, [3, 1, 1, 1], false, false),
        stage(384, [3, 1, 1, 2], false, false),
        stage(256, [3, 1, 1, 2], true, false),
    ];
    let mut x = features(layers, x, &stages)?;
    for name in ["6", "7"] {
        x = layers.dense(&format!("fc{name}"), x, 4096, Bias::Yes, Follower::Rectifier)?;
        x = layers.relu(&format!("relu{name}"), x);
        x = layers.dropout(&format!("drop{name}"), x, 0.5);
    }
    layers.dense("fc8", x, settings.classes, Bias::Yes, Follower::Nothing)
}
