//! Small networks that use every kind of layer.

use skimp_graph::ops;
use skimp_graph::testing::random_tensor;
use skimp_graph::{AutoPad, DType, Dim, Gemm, Graph, GraphBuilder, Op, Pad, PadMode, Slice, Tensor, ValueId, Window};

/// A builder of layers with random constants.
pub(crate) struct Net {
    pub(crate) builder: GraphBuilder,
    pub(crate) seed: u64,
}

pub(crate) fn window(kernel: usize, stride: usize, pad: usize) -> Window {
    Window {
        kernel: vec![kernel; 2],
        strides: vec![stride; 2],
        dilations: vec![1; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}

impl Net {
    pub(crate) fn new(name: &str, image: &[usize]) -> (Self, ValueId) {
        let mut builder = GraphBuilder::new(name);
        let dims = std::iter::once(Dim::Free("N".into())).chain(image.iter().map(|&n| Dim::Fixed(n))).collect();
        let x = builder.input("x", DType::F32, dims);
        (Self { builder, seed: 5 }, x)
    }

    pub(crate) fn constant(&mut self, name: &str, shape: &[usize], mean: f32, deviation: f32) -> ValueId {
        let tensor = random_tensor(self.seed, name, shape.to_vec(), mean, deviation);
        self.builder.constant(name, tensor)
    }

    pub(crate) fn conv(
        &mut self,
        name: &str,
        x: ValueId,
        [k, c]: [usize; 2],
        window: Window,
        groups: usize,
    ) -> ValueId {
        let mut shape = vec![k, c / groups];
        shape.extend(&window.kernel);
        let fan: usize = shape[1..].iter().product();
        let weight = self.constant(&format!("{name}.weight"), &shape, 0.0, (2.0 / fan as f32).sqrt());
        self.builder.node(name, Op::Conv(ops::Conv { window, groups }), &[x, weight])
    }

    pub(crate) fn conv_bias(
        &mut self,
        name: &str,
        x: ValueId,
        [k, c]: [usize; 2],
        window: Window,
        groups: usize,
    ) -> ValueId {
        let mut shape = vec![k, c / groups];
        shape.extend(&window.kernel);
        let weight = self.constant(&format!("{name}.weight"), &shape, 0.0, 0.3);
        let bias = self.constant(&format!("{name}.bias"), &[k], 0.0, 0.3);
        self.builder.node(name, Op::Conv(ops::Conv { window, groups }), &[x, weight, bias])
    }

    pub(crate) fn norm(&mut self, name: &str, x: ValueId, c: usize) -> ValueId {
        let scale = self.constant(&format!("{name}.scale"), &[c], 1.0, 0.2);
        let shift = self.constant(&format!("{name}.shift"), &[c], 0.0, 0.2);
        let mean = self.constant(&format!("{name}.mean"), &[c], 0.0, 0.2);
        let variance = self.builder.constant(format!("{name}.variance"), Tensor::from_f32(vec![c], vec![1.5; c]));
        self.builder.node(
            name,
            Op::BatchNormalization(ops::BatchNormalization { epsilon: 1e-5 }),
            &[x, scale, shift, mean, variance],
        )
    }

    pub(crate) fn dense(&mut self, name: &str, x: ValueId, [outputs, inputs]: [usize; 2]) -> ValueId {
        let weight = self.constant(&format!("{name}.weight"), &[outputs, inputs], 0.0, 0.4);
        let bias = self.constant(&format!("{name}.bias"), &[outputs], 0.0, 0.2);
        let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
        self.builder.node(name, Op::Gemm(gemm), &[x, weight, bias])
    }

    pub(crate) fn op(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> ValueId {
        self.builder.node(name, op, inputs)
    }

    pub(crate) fn finish(mut self, y: ValueId) -> Graph {
        self.builder.output(y);
        self.builder.build().expect("well-formed")
    }
}

/// Convolution, batch norm, residual blocks with both kinds of shortcut, pooling, dense.
pub(crate) fn residual() -> Graph {
    let (mut net, x) = Net::new("residual", &[3, 8, 8]);
    let y = net.conv("conv1", x, [8, 3], window(3, 1, 1), 1);
    let y = net.norm("bn1", y, 8);
    let a = net.op("relu1", Op::Relu, &[y]);
    let y = net.conv("conv2", a, [8, 8], window(3, 1, 1), 1);
    let y = net.norm("bn2", y, 8);
    let y = net.op("add1", Op::Add, &[y, a]);
    let b = net.op("relu2", Op::Relu, &[y]);
    let y = net.conv("conv3", b, [16, 8], window(3, 2, 1), 1);
    let y = net.norm("bn3", y, 16);
    let cut = Slice { axes: vec![2, 3], starts: vec![0; 2], ends: vec![i64::MAX; 2], steps: vec![2; 2] };
    let cut = net.op("cut", Op::Slice(cut), &[b]);
    let pads = vec![0, 4, 0, 0];
    let pad = Pad { begin: pads.clone(), end: pads, mode: PadMode::Constant, value: 0.0 };
    let shortcut = net.op("pad", Op::Pad(pad), &[cut]);
    let y = net.op("add2", Op::Add, &[shortcut, y]);
    let c = net.op("relu3", Op::Relu, &[y]);
    let y = net.conv("conv4", c, [16, 16], window(1, 1, 0), 1);
    let y = net.norm("bn4", y, 16);
    let s = net.conv("conv5", c, [16, 16], window(1, 1, 0), 1);
    let s = net.norm("bn5", s, 16);
    let y = net.op("add3", Op::Add, &[y, s]);
    let y = net.op("pool", Op::GlobalAveragePool, &[y]);
    let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let y = net.dense("fc", y, [5, 16]);
    net.finish(y)
}

/// Biases, max-pooling, depthwise and grouped convolutions, a flatten over pixels, dropout, a final softmax.
pub(crate) fn plain() -> Graph {
    let (mut net, x) = Net::new("plain", &[2, 9, 7]);
    let y = net.conv_bias("conv1", x, [6, 2], Window { dilations: vec![2, 1], ..window(3, 1, 2) }, 1);
    let y = net.op("relu1", Op::Relu, &[y]);
    let y = net.op("pool1", Op::MaxPool(ops::MaxPool { window: window(3, 2, 1) }), &[y]);
    let y = net.conv_bias("depthwise", y, [6, 6], window(3, 1, 1), 6);
    let y = net.op("clip", Op::Clip(ops::Clip { min: Some(0.0), max: Some(1.5) }), &[y]);
    let y = net.conv_bias("grouped", y, [8, 6], Window { strides: vec![2, 1], ..window(3, 1, 1) }, 2);
    let y = net.op("leaky", Op::LeakyRelu(ops::LeakyRelu { alpha: 0.1 }), &[y]);
    let y =
        net.op("pool2", Op::AveragePool(ops::AveragePool { window: window(2, 1, 1), count_include_pad: false }), &[y]);
    let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let y = net.op("dropout", Op::Dropout(ops::Dropout { ratio: 0.3 }), &[y]);
    let y = net.dense("fc1", y, [10, 8 * 4 * 6]);
    let y = net.op("tanh", Op::Tanh, &[y]);
    let y = net.dense("fc2", y, [4, 10]);
    let y = net.op("softmax", Op::Softmax(ops::Softmax { axis: -1 }), &[y]);
    net.finish(y)
}

/// Everything else: concatenation, split, arithmetic with constants, other activations, LRN, transposes, reductions.
pub(crate) fn mixed() -> Graph {
    let (mut net, x) = Net::new("mixed", &[2, 6, 6]);
    let mean = net.constant("image_mean", &[1, 2, 1, 1], 0.0, 1.0);
    let x = net.op("centered", Op::Sub, &[x, mean]);
    let y = net.conv_bias("conv1", x, [6, 2], window(3, 1, 1), 1);
    let parts = net.builder.node_with_outputs("split", Op::Split(ops::Split { axis: 1, sizes: vec![2, 4] }), &[y], 2);
    let a = net.op("sigmoid", Op::Sigmoid, &[parts[0]]);
    let b = net.op("swish", Op::HardSwish, &[parts[1]]);
    let slope = net.constant("slope", &[4, 1, 1], 0.2, 0.1);
    let b = net.op("prelu", Op::PRelu, &[b, slope]);
    let y = net.op("concat", Op::Concat(ops::Concat { axis: 1 }), &[b, a, b]);
    let factor = net.constant("factor", &[10, 1, 1], 1.0, 0.2);
    let y = net.op("mul", Op::Mul, &[y, factor]);
    let y = net.op("lrn", Op::Lrn(ops::Lrn { size: 3, alpha: 0.1, beta: 0.75, bias: 1.0 }), &[y]);
    let gate = net.op("gate", Op::GlobalAveragePool, &[y]);
    let gate = net.op("hard", Op::HardSigmoid(ops::HardSigmoid { alpha: 0.3, beta: 0.4 }), &[gate]);
    let y = net.op("gated", Op::Mul, &[y, gate]);
    let z = net.op("square", Op::Mul, &[y, y]);
    let y = net.op("difference", Op::Sub, &[y, z]);
    let y = net.op("transpose", Op::Transpose(ops::Transpose { perm: vec![0, 2, 3, 1] }), &[y]);
    let weight = net.constant("matmul.weight", &[10, 3], 0.0, 0.4);
    let y = net.op("matmul", Op::MatMul, &[y, weight]);
    let bias = net.constant("matmul.bias", &[3], 0.0, 0.4);
    let y = net.op("bias", Op::Add, &[y, bias]);
    let y = net.op("reduce", Op::ReduceMean(ops::ReduceMean { axes: vec![1], keep_dims: false }), &[y]);
    let y = net.op("reshape", Op::Reshape(ops::Reshape { shape: vec![0, -1], allow_zero: false }), &[y]);
    net.finish(y)
}

/// One spatial axis: convolutions (strided, depthwise), batch norm, pools.
pub(crate) fn sequence() -> Graph {
    let along = |kernel: usize, stride: usize, pad: usize| Window {
        kernel: vec![kernel],
        strides: vec![stride],
        dilations: vec![1],
        pads_begin: vec![pad],
        pads_end: vec![pad],
        ..window(1, 1, 0)
    };
    let (mut net, x) = Net::new("sequence", &[3, 20]);
    let y = net.conv("conv1", x, [6, 3], along(5, 1, 2), 1);
    let y = net.norm("bn1", y, 6);
    let y = net.op("relu1", Op::Relu, &[y]);
    let y = net.op("pool1", Op::MaxPool(ops::MaxPool { window: along(3, 2, 1) }), &[y]);
    let y = net.conv_bias("depthwise", y, [6, 6], along(3, 2, 1), 6);
    let y = net.op("relu2", Op::Relu, &[y]);
    let y = net.op("pool2", Op::GlobalMaxPool, &[y]);
    let y = net.op("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let y = net.dense("fc", y, [4, 6]);
    net.finish(y)
}

/// A weight and a bias that two layers share, and a tensor that one layer reads twice.
pub(crate) fn shared() -> Graph {
    let (mut net, x) = Net::new("shared", &[4, 6, 6]);
    let weight = net.constant("weight", &[4, 4, 3, 3], 0.0, 0.3);
    let bias = net.constant("bias", &[4], 0.0, 0.3);
    let conv = || Op::Conv(ops::Conv { window: window(3, 1, 1), groups: 1 });
    let y = net.op("conv1", conv(), &[x, weight, bias]);
    let y = net.op("relu1", Op::Relu, &[y]);
    let y = net.op("conv2", conv(), &[y, weight, bias]);
    let a = net.op("relu2", Op::Relu, &[y]);
    // The normalized tensor is its own residual.
    let y = net.norm("bn", a, 4);
    let y = net.op("add", Op::Add, &[y, a]);
    let y = net.op("mean", Op::ReduceMean(ops::ReduceMean { axes: vec![2, -1], keep_dims: false }), &[y]);
    net.finish(y)
}
