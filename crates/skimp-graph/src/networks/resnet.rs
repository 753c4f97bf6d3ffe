//! Residual networks for ImageNet.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Settings};
use crate::GraphError;

pub(super) static NETWORKS: &[NetworkDefinition] = &[
    NetworkDefinition {
        name: "resnet18",
        summary: "residual network of 18 layers, for ImageNet",
        source: SOURCE,
        image: [3, 224, 224],
        classes: 1000,
        settings: &[],
        layers: |layers, x, settings| residual(layers, x, settings, [2, 2, 2, 2], Block::Basic),
    },
    NetworkDefinition {
        name: "resnet34",
        summary: "residual network of 34 layers, for ImageNet",
        source: SOURCE,
        image: [3, 224, 224],
        classes: 1000,
        settings: &[],
        layers: |layers, x, settings| residual(layers, x, settings, [3, 4, 6, 3], Block::Basic),
    },
    NetworkDefinition {
        name: "resnet50",
        summary: "residual network of 50 layers, for ImageNet, version 1.5: strides in the 3x3 convolutions",
        source: "He, Zhang, Ren and Sun, \"Deep Residual Learning for Image Recognition\", CVPR 2016, table 1; with the \
                 strides of torchvision's implementation",
        image: [3, 224, 224],
        classes: 1000,
        settings: &[],
        layers: |layers, x, settings| residual(layers, x, settings, [3, 4, 6, 3], Block::Bottleneck { strided: 1 }),
    },
    NetworkDefinition {
        name: "resnet50-v1",
        summary: "residual network of 50 layers, for ImageNet, version 1: strides in the first 1x1 convolutions",
        source: SOURCE,
        image: [3, 224, 224],
        classes: 1000,
        settings: &[],
        layers: |layers, x, settings| residual(layers, x, settings, [3, 4, 6, 3], Block::Bottleneck { strided: 0 }),
    },
];

const SOURCE: &str = "He, Zhang, Ren and Sun, \"Deep Residual Learning for Image Recognition\", CVPR 2016, table 1";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1 convolutions, the last with four times the channels.
    Bottleneck {
        /// Which of them has the stride.
        strided: usize,
    },
}

impl Block {
    /// Outputs, kernel and stride of its convolutions.
    fn convs(self, width: usize, stride: usize) -> Vec<[usize; 3]> {
        match self {
            Block::Basic => vec![[width, 3, stride], [width, 3, 1]],
            Block::Bottleneck { strided } => {
                let mut convs = vec![[width, 1, 1], [width, 3, 1], [4 * width, 1, 1]];
                convs[strided][2] = stride;
                convs
            }
        }
    }
}

fn residual(
    layers: &mut Layers,
    x: Feature,
    settings: &Settings,
    n_blocks: [usize; 4],
    kind: Block,
) -> Result<Feature, GraphError> {
    let x = layers.conv_bn_relu("conv1", x, 64, Conv::same(7, 2, Bias::No))?;
    let mut x = layers.max_pool("pool1", x, 3, 2, 1);
    for (stage, n_blocks) in n_blocks.into_iter().enumerate() {
        for block in 0..n_blocks {
            let name = format!("layer{}.{block}", stage + 1);
            let stride = if stage > 0 && block == 0 { 2 } else { 1 };
            let mut y = x;
            let convs = kind.convs(64 << stage, stride);
            for (idx, &[outputs, kernel, stride]) in convs.iter().enumerate() {
                let conv = Conv::same(kernel, stride, Bias::No);
                y = layers.conv_bn(&format!("{name}.conv{}", idx + 1), y, outputs, conv)?;
                if idx + 1 < convs.len() {
                    y = layers.relu(&format!("{name}.relu{}", idx + 1), y);
                }
            }
            let shortcut = if stride == 1 && x.channels == y.channels {
                x
            } else {
                layers.conv_bn(&format!("{name}.shortcut"), x, y.channels, Conv::same(1, stride, Bias::No))?
            };
            let sum = layers.add(&format!("{name}.add"), y, shortcut);
            x = layers.relu(&format!("{name}.relu"), sum);
        }
    }
    let x = layers.global_average("pool5", x);
    layers.dense("fc", x, settings.classes, Bias::Yes, Follower::Nothing)
}
