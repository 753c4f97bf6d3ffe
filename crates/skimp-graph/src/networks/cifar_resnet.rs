//! Residual networks for small images.

use super::layers::{Bias, Conv, Feature, Follower, Layers};
use super::{NetworkDefinition, Setting, Settings};
use crate::{GraphError, Op, Pad, PadMode, Slice};

type Build = fn(&mut Layers, Feature, &Settings) -> Result<Feature, GraphError>;

const fn definition(name: &'static str, summary: &'static str, layers: Build) -> NetworkDefinition {
    NetworkDefinition {
        name,
        summary,
        source: "He, Zhang, Ren and Sun, \"Deep Residual Learning for Image Recognition\", CVPR 2016, section 4.2",
        image: [3, 32, 32],
        classes: 10,
        settings: &[Setting {
            name: "shortcut",
            default: "pad",
            summary: "where the extents change; pad: every second element and zero channels (option A of the paper), \
                      projection: 1x1 convolution and batch norm (option B)",
        }],
        layers,
    }
}

pub(super) static NETWORKS: &[NetworkDefinition] = &[
    definition("resnet8", "residual network of 8 layers, for CIFAR-10", |layers, x, s| residual(layers, x, s, 1)),
    definition("resnet20", "residual network of 20 layers, for CIFAR-10", |layers, x, s| residual(layers, x, s, 3)),
    definition("resnet32", "residual network of 32 layers, for CIFAR-10", |layers, x, s| residual(layers, x, s, 5)),
    definition("resnet56", "residual network of 56 layers, for CIFAR-10", |layers, x, s| residual(layers, x, s, 9)),
    definition("resnet110", "residual network of 110 layers, for CIFAR-10", |layers, x, s| residual(layers, x, s, 18)),
];

/// `6 · n_blocks + 2` layers.
fn residual(layers: &mut Layers, x: Feature, settings: &Settings, n_blocks: usize) -> Result<Feature, GraphError> {
    let projects = settings.choice("shortcut", &["pad", "projection"])? == 1;
    let mut x = layers.conv_bn_relu("conv1", x, 16, Conv::same(3, 1, Bias::No))?;
    for (stage, outputs) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..n_blocks {
            let name = format!("layer{}.{block}", stage + 1);
            let stride = if outputs == x.channels { 1 } else { 2 };
            let y = layers.conv_bn_relu(&format!("{name}.conv1"), x, outputs, Conv::same(3, stride, Bias::No))?;
            let y = layers.conv_bn(&format!("{name}.conv2"), y, outputs, Conv::same(3, 1, Bias::No))?;
            let shortcut = match (stride, projects) {
                (1, _) => x,
                (_, true) => layers.conv_bn(&format!("{name}.shortcut"), x, outputs, Conv::same(1, 2, Bias::No))?,
                (_, false) => padded(layers, &name, x, y),
            };
            let sum = layers.add(&format!("{name}.add"), y, shortcut);
            x = layers.relu(&format!("{name}.relu"), sum);
        }
    }
    let x = layers.global_average("pool", x);
    layers.dense("fc", x, settings.classes, Bias::Yes, Follower::Nothing)
}

/// Halves height and width by taking every second element, and fills up the channels of `y` with zeros on both sides.
fn padded(layers: &mut Layers, name: &str, x: Feature, y: Feature) -> Feature {
    let cut = Slice { axes: vec![2, 3], starts: vec![0; 2], ends: vec![i64::MAX; 2], steps: vec![2; 2] };
    let cut = layers.reshaping(&format!("{name}.cut"), Op::Slice(cut), x, y);
    let more = y.channels - x.channels;
    let pads = |n: usize| vec![0, n as i64, 0, 0];
    let pad = Pad { begin: pads(more / 2), end: pads(more - more / 2), mode: PadMode::Constant, value: 0.0 };
    layers.reshaping(&format!("{name}.pad"), Op::Pad(pad), cut, y)
}
