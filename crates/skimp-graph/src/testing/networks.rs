//! Well-known networks, built from code.

use super::layers::{Bias, ConvSpec, Weights, square};
use crate::{DType, Dim, Graph, GraphBuilder, Op, Pad, PadMode, Slice, ValueId};

struct Network {
    builder: GraphBuilder,
    weights: Weights,
}

impl Network {
    fn new(name: &str, weights: Weights, image: [usize; 3]) -> (Self, ValueId) {
        let mut builder = GraphBuilder::new(name);
        let mut dims = vec![Dim::Free("N".to_owned())];
        dims.extend(image.map(Dim::Fixed));
        let x = builder.input("input", DType::F32, dims);
        (Self { builder, weights }, x)
    }

    fn conv(&mut self, name: &str, x: ValueId, channels: (usize, usize), conv: ConvSpec) -> ValueId {
        self.weights.conv(&mut self.builder, name, x, channels, conv)
    }

    fn relu(&mut self, name: &str, x: ValueId) -> ValueId {
        self.builder.node(name, Op::Relu, &[x])
    }

    fn dense(&mut self, name: &str, x: ValueId, channels: (usize, usize)) -> ValueId {
        self.weights.dense(&mut self.builder, name, x, channels)
    }

    /// A convolution without bias and its batch norm.
    fn conv_bn(
        &mut self,
        name: &str,
        x: ValueId,
        channels: (usize, usize),
        (kernel, stride): (usize, usize),
    ) -> ValueId {
        let y = self.conv(name, x, channels, ConvSpec::square(kernel, stride, Bias::No));
        self.weights.batch_norm(&mut self.builder, &format!("{name}.bn"), y, channels.1)
    }

    fn finish(mut self, y: ValueId) -> Graph {
        self.builder.output(y);
        self.builder.build().expect("the layers are well-formed")
    }
}

/// VGG-16 for 224 x 224 images and 1,000 classes.
///
/// # Source
/// Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015, table 1,
/// column D.
pub fn vgg16(weights: Weights) -> Graph {
    let (mut network, mut x) = Network::new("vgg16", weights, [3, 224, 224]);
    let mut channels = 3;
    for (stage, (n_layers, outputs)) in [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)].into_iter().enumerate() {
        for layer in 0..n_layers {
            let name = format!("{}_{}", stage + 1, layer + 1);
            x = network.conv(&format!("conv{name}"), x, (channels, outputs), ConvSpec::square(3, 1, Bias::Yes));
            x = network.relu(&format!("relu{name}"), x);
            channels = outputs;
        }
        x = network.builder.node(format!("pool{}", stage + 1), Op::MaxPool(square(2, 2, 0)), &[x]);
    }
    x = network.builder.node("flatten", Op::Flatten { axis: 1 }, &[x]);
    for (name, channels) in [("6", (25_088, 4096)), ("7", (4096, 4096))] {
        x = network.dense(&format!("fc{name}"), x, channels);
        x = network.relu(&format!("relu{name}"), x);
    }
    x = network.dense("fc8", x, (4096, 1000));
    network.finish(x)
}

/// AlexNet in its two-group form, for 227 x 227 images and 1,000 classes.
///
/// # Source
/// Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012,
/// in the form of Caffe's reference model.
pub fn alexnet(weights: Weights) -> Graph {
    let (mut network, mut x) = Network::new("alexnet", weights, [3, 227, 227]);
    // Inputs per group, outputs, kernel, stride, padding, groups; whether pooling and normalization follow.
    let layers = [
        (3, 96, 11, 4, 0, 1, true, true),
        (48, 256, 5, 1, 2, 2, true, true),
        (256, 384, 3, 1, 1, 1, false, false),
        (192, 384, 3, 1, 1, 2, false, false),
        (192, 256, 3, 1, 1, 2, true, false),
    ];
    for (idx, (group_inputs, outputs, kernel, stride, pad, groups, pool, normalize)) in layers.into_iter().enumerate() {
        let name = idx + 1;
        let conv = ConvSpec { window: square(kernel, stride, pad), groups, bias: Bias::Yes };
        x = network.conv(&format!("conv{name}"), x, (group_inputs, outputs), conv);
        x = network.relu(&format!("relu{name}"), x);
        if pool {
            x = network.builder.node(format!("pool{name}"), Op::MaxPool(square(3, 2, 0)), &[x]);
        }
        if normalize {
            let lrn = Op::Lrn { size: 5, alpha: 1e-4, beta: 0.75, bias: 1.0 };
            x = network.builder.node(format!("norm{name}"), lrn, &[x]);
        }
    }
    x = network.builder.node("flatten", Op::Flatten { axis: 1 }, &[x]);
    for (name, channels) in [("6", (9216, 4096)), ("7", (4096, 4096))] {
        x = network.dense(&format!("fc{name}"), x, channels);
        x = network.relu(&format!("relu{name}"), x);
    }
    x = network.dense("fc8", x, (4096, 1000));
    network.finish(x)
}

/// ResNet of `6 · n + 2` layers for 32 x 32 images and 10 classes, with parameter-free shortcuts (option A).
///
/// # Source
/// He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
pub fn cifar_resnet(n_blocks: usize, weights: Weights) -> Graph {
    let (mut network, x) = Network::new(&format!("resnet{}", 6 * n_blocks + 2), weights, [3, 32, 32]);
    let x = network.conv_bn("conv1", x, (3, 16), (3, 1));
    let mut x = network.relu("relu1", x);
    let mut channels = 16;
    for (stage, outputs) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..n_blocks {
            let name = format!("layer{}.{block}", stage + 1);
            let stride = if outputs == channels { 1 } else { 2 };
            let y = network.conv_bn(&format!("{name}.conv1"), x, (channels, outputs), (3, stride));
            let y = network.relu(&format!("{name}.relu1"), y);
            let y = network.conv_bn(&format!("{name}.conv2"), y, (outputs, outputs), (3, 1));
            let shortcut = if stride == 1 { x } else { sliced_shortcut(&mut network.builder, &name, x, channels) };
            let sum = network.builder.node(format!("{name}.add"), Op::Add, &[y, shortcut]);
            x = network.relu(&format!("{name}.relu2"), sum);
            channels = outputs;
        }
    }
    x = network.builder.node("pool", Op::GlobalAveragePool, &[x]);
    x = network.builder.node("flatten", Op::Flatten { axis: 1 }, &[x]);
    x = network.dense("fc", x, (64, 10));
    network.finish(x)
}

/// Halves height and width by taking every second element, doubles the channels by zeros.
fn sliced_shortcut(builder: &mut GraphBuilder, name: &str, x: ValueId, channels: usize) -> ValueId {
    let cut = Slice { axes: vec![2, 3], starts: vec![0; 2], ends: vec![i64::MAX; 2], steps: vec![2; 2] };
    let cut = builder.node(format!("{name}.cut"), Op::Slice(cut), &[x]);
    let more = (channels / 2) as i64;
    let pads = vec![0, more, 0, 0];
    let pad = Pad { begin: pads.clone(), end: pads, mode: PadMode::Constant, value: 0.0 };
    builder.node(format!("{name}.pad"), Op::Pad(pad), &[cut])
}

/// ResNet-18 for 224 x 224 images and 1,000 classes.
///
/// # Source
/// He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, table 1.
pub fn resnet18(weights: Weights) -> Graph {
    let (mut network, x) = Network::new("resnet18", weights, [3, 224, 224]);
    let x = network.conv_bn("conv1", x, (3, 64), (7, 2));
    let x = network.relu("relu1", x);
    let mut x = network.builder.node("pool1", Op::MaxPool(square(3, 2, 1)), &[x]);
    let mut channels = 64;
    for (stage, outputs) in [64, 128, 256, 512].into_iter().enumerate() {
        for block in 0..2 {
            let name = format!("layer{}.{block}", stage + 1);
            let stride = if outputs == channels { 1 } else { 2 };
            let y = network.conv_bn(&format!("{name}.conv1"), x, (channels, outputs), (3, stride));
            let y = network.relu(&format!("{name}.relu1"), y);
            let y = network.conv_bn(&format!("{name}.conv2"), y, (outputs, outputs), (3, 1));
            let shortcut = if stride == 1 {
                x
            } else {
                network.conv_bn(&format!("{name}.shortcut"), x, (channels, outputs), (1, 2))
            };
            let sum = network.builder.node(format!("{name}.add"), Op::Add, &[y, shortcut]);
            x = network.relu(&format!("{name}.relu2"), sum);
            channels = outputs;
        }
    }
    x = network.builder.node("pool5", Op::GlobalAveragePool, &[x]);
    x = network.builder.node("flatten", Op::Flatten { axis: 1 }, &[x]);
    x = network.dense("fc", x, (512, 1000));
    network.finish(x)
}
