//! What becomes of small networks: fusion, encodings, negative sums, and errors.

use skimp_graph::ops;
use skimp_graph::{
    DType, Dim, Gemm, Graph, GraphBuilder, Op, Tensor, ValueId, Window,
    integer::{Encoding, IntegerOp, ValueKind},
    reference::Reference,
    testing::random_tensor,
};
use skimp_quant::{
    Calibrator, FirstLayer, LayerWidths, NegativeSums, QuantError, QuantizationConfig, Quantized, RangeMethod,
    calibrate, layers, quantize, quantize_with,
};

/// Builds a network on an image of 2 channels and 6x6 pixels, without negative ones.
struct Network {
    builder: GraphBuilder,
    x: ValueId,
}

impl Network {
    fn new() -> Self {
        let mut builder = GraphBuilder::new("small");
        let dims = vec![Dim::Free("N".to_owned()), Dim::Fixed(2), Dim::Fixed(6), Dim::Fixed(6)];
        let x = builder.input("x", DType::F32, dims);
        Self { builder, x }
    }

    fn conv(&mut self, name: &str, x: ValueId, kernel: usize) -> ValueId {
        let weight = random_tensor(7, name, vec![2, 2, kernel, kernel], 0.0, 0.5);
        let weight = self.builder.constant(format!("{name}.weight"), weight);
        let window = Window {
            kernel: vec![kernel; 2],
            strides: vec![1; 2],
            dilations: vec![1; 2],
            pads_begin: vec![kernel / 2; 2],
            pads_end: vec![kernel / 2; 2],
            auto_pad: skimp_graph::AutoPad::NotSet,
            ceil_mode: false,
        };
        self.builder.node(name, Op::Conv(ops::Conv { window, groups: 1 }), &[x, weight])
    }

    fn op(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> ValueId {
        self.builder.node(name, op, inputs)
    }

    fn graph(mut self, outputs: &[ValueId]) -> Graph {
        outputs.iter().for_each(|&id| self.builder.output(id));
        self.builder.build().unwrap()
    }
}

fn images(shift: f32) -> Tensor {
    let random = random_tensor(3, "x", vec![2, 2, 6, 6], 0.0, 1.0);
    Tensor::from_f32(vec![2, 2, 6, 6], random.as_f32().unwrap().iter().map(|x| x.abs() - shift).collect())
}

fn quantized_with(graph: &Graph, shift: f32, config: &QuantizationConfig) -> Quantized {
    let calibration = calibrate(graph, &Reference::new(graph), [vec![images(shift)]]).unwrap();
    quantize(graph, config, &calibration).unwrap()
}

fn quantized(graph: &Graph) -> Quantized {
    quantized_with(graph, 0.0, &QuantizationConfig::default())
}

fn negatives(quantized: &Quantized, name: &str) -> NegativeSums {
    quantized.layers.iter().find(|layer| layer.name == name).unwrap().negatives.clone()
}

#[test]
fn negative_sums_follow_the_surroundings() {
    let mut network = Network::new();
    let x = network.x;
    // conv -> ReLU -> Add: the ReLU's output is exact.
    let a = network.conv("own_relu", x, 3);
    let a = network.op("relu_a", Op::Relu, &[a]);
    // conv -> Add(residual) -> ReLU.
    let b = network.conv("joined", a, 3);
    let b = network.op("add_b", Op::Add, &[b, a]);
    let b = network.op("relu_b", Op::Relu, &[b]);
    // conv -> Add, no ReLU; read by two.
    let c = network.conv("no_relu", b, 1);
    let c = network.op("add_c", Op::Add, &[b, c]);
    let d = network.conv("signed", c, 1);
    let d = network.op("relu_d", Op::Relu, &[d]);
    // The value before the ReLU is an output, too.
    let e = network.conv("shared", d, 1);
    let f = network.op("relu_f", Op::Relu, &[e]);
    let g = network.op("add_g", Op::Add, &[f, c]);
    let g = network.conv("pooled", g, 1);
    let g = network.op("pool", Op::GlobalMaxPool, &[g]);
    let quantized = quantized(&network.graph(&[g, e]));
    assert_eq!(negatives(&quantized, "own_relu"), NegativeSums::Unseen);
    assert_eq!(negatives(&quantized, "joined"), NegativeSums::Unseen);
    assert!(matches!(negatives(&quantized, "no_relu"), NegativeSums::ResidualWithoutRelu { .. }));
    assert_eq!(negatives(&quantized, "signed"), NegativeSums::SignedOperands);
    assert_eq!(
        negatives(&quantized, "shared"),
        NegativeSums::ValueNeededElsewhere { consumer: "network output".to_owned() }
    );
    assert_eq!(negatives(&quantized, "pooled"), NegativeSums::NoRelu { next: "GlobalMaxPool \"pool\"".to_owned() });
    assert_eq!(negatives(&quantized, "pooled").to_string(), "no ReLU follows, but GlobalMaxPool \"pool\"");
    assert!(quantized.report.float_nodes.is_empty(), "{:?}", quantized.report);
}

#[test]
fn a_signed_input_can_be_offset() {
    let mut network = Network::new();
    let x = network.x;
    let y = network.conv("first", x, 3);
    let y = network.op("relu", Op::Relu, &[y]);
    let graph = network.graph(&[y]);
    assert_eq!(negatives(&quantized_with(&graph, 0.0, &QuantizationConfig::default()), "first"), NegativeSums::Unseen);
    assert_eq!(
        negatives(&quantized_with(&graph, 0.5, &QuantizationConfig::default()), "first"),
        NegativeSums::SignedOperands
    );
    let config = QuantizationConfig { first_layer: FirstLayer::Offset, ..QuantizationConfig::default() };
    let offset = quantized_with(&graph, 0.5, &config);
    assert_eq!(negatives(&offset, "first"), NegativeSums::Unseen);
    let all = layers(&offset, &[vec![1, 2, 6, 6]]).unwrap();
    assert_eq!(all[0].layer.input_offset, 32_767);
    assert_eq!((all[0].shape.c(), all[0].shape.k(), all[0].shape.rows().output), (2, 2, 6));
    assert_eq!(all[0].shape.dense_macs(), 2 * 2 * 9 * 36);
    assert!(layers(&offset, &[vec![1, 3, 6, 6]]).is_err());
    assert!(layers(&offset, &[]).is_err());
}

#[test]
fn connected_values_share_an_encoding() {
    let mut network = Network::new();
    let x = network.x;
    let a = network.conv("a", x, 3);
    let a = network.op("relu_a", Op::Relu, &[a]);
    let b = network.conv("b", x, 1);
    let b = network.op("relu_b", Op::Relu, &[b]);
    let joined = network.op("concat", Op::Concat(ops::Concat { axis: 1 }), &[a, b]);
    let halves = Op::Slice(skimp_graph::Slice { axes: vec![1], starts: vec![1], ends: vec![3], steps: vec![1] });
    let cut = network.op("cut", halves, &[joined]);
    let y = network.conv("c", cut, 1);
    let quantized = quantized(&network.graph(&[y]));
    let encodings: Vec<Encoding> = quantized
        .graph
        .values
        .iter()
        .filter(|value| ["relu_a", "relu_b", "concat", "cut"].contains(&value.name.as_str()))
        .filter_map(|value| if let ValueKind::Codes(encoding) = value.kind { Some(encoding) } else { None })
        .collect();
    assert_eq!(encodings.len(), 4, "{:?}", quantized.graph.values);
    assert!(encodings.iter().all(|e| *e == encodings[0] && !e.signed));
    // The last layer gives real numbers.
    assert_eq!(quantized.layers[2].output, ValueKind::Real);
    assert!(!quantized.graph.nodes.iter().any(|node| matches!(node.op, IntegerOp::Dequantize)));
}

#[test]
fn layers_have_widths_of_their_own() {
    let mut network = Network::new();
    let x = network.x;
    let a = network.conv("a", x, 3);
    let a = network.op("relu_a", Op::Relu, &[a]);
    // Both read what `a` makes, one of them through a move.
    let b = network.conv("b", a, 1);
    let pad = skimp_graph::Slice { axes: vec![1], starts: vec![0], ends: vec![2], steps: vec![1] };
    let moved = network.op("moved", Op::Slice(pad), &[a]);
    let c = network.conv("c", moved, 1);
    let graph = network.graph(&[b, c]);
    let calibration = calibrate(&graph, &Reference::new(&graph), [vec![images(0.0)]]).unwrap();
    let named = |all: &[(&str, u32)]| all.iter().map(|(name, bits)| ((*name).to_owned(), *bits)).collect();
    let widths = |weights: &[(&str, u32)], activations: &[(&str, u32)]| LayerWidths {
        weight_bits: named(weights),
        activation_bits: named(activations),
    };
    let with = |widths: &LayerWidths| quantize_with(&graph, &QuantizationConfig::default(), widths, &calibration);
    let mixed = with(&widths(&[("b", 3)], &[("a", 9), ("b", 4), ("c", 6)])).unwrap();
    let weights: Vec<u32> = mixed.graph.layers().map(|(_, layer)| layer.weight_bits).collect();
    assert_eq!(weights, [16, 3, 16]);
    let (_, narrow) = mixed.graph.layers().nth(1).unwrap();
    assert!(narrow.weight.iter().all(|code| code.abs() <= 3) && narrow.weight.contains(&3));
    // One value, one width: the greater one.
    assert_eq!(mixed.layers.iter().map(|layer| layer.input.bits).collect::<Vec<_>>(), [9, 6, 6]);
    assert_eq!(mixed.widths(), (16, 9));
    assert_eq!(
        with(&LayerWidths::default()).unwrap(),
        quantize(&graph, &QuantizationConfig::default(), &calibration).unwrap()
    );
    let error = with(&widths(&[("d", 3)], &[])).unwrap_err().to_string();
    assert_eq!(error, "the network has no layer \"d\"; its layers: a, b, c");
    let error = with(&widths(&[], &[("a", 17)])).unwrap_err().to_string();
    assert_eq!(error, "activation_bits is 17 for \"a\", expected 2 to 16");
}

#[test]
fn operators_without_integer_form_become_islands() {
    let mut network = Network::new();
    let x = network.x;
    let y = network.conv("a", x, 3);
    let y = network.op("sigmoid", Op::Sigmoid, &[y]);
    let y = network.conv("b", y, 1);
    let y = network.op("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
    let weight = network.builder.constant("fc.weight", random_tensor(5, "fc", vec![3, 72], 0.0, 0.2));
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
    let y = network.op("fc", Op::Gemm(gemm), &[y, weight]);
    let y = network.op("softmax", Op::Softmax(ops::Softmax { axis: 1 }), &[y]);
    let quantized = quantized(&network.graph(&[y]));
    let islands: Vec<&str> = quantized.report.float_nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(islands, ["sigmoid", "softmax"]);
    assert_eq!(quantized.layers.iter().map(|l| l.op).collect::<Vec<_>>(), ["Conv", "Conv", "Gemm"]);
    // The sigmoid's output cannot be negative.
    assert!(!quantized.layers[1].input.signed);
    assert!(quantized.layers[2].input.signed);
}

#[test]
fn wrong_settings_and_inputs_are_errors() {
    let mut network = Network::new();
    let x = network.x;
    let y = network.conv("a", x, 3);
    let graph = network.graph(&[y]);
    let reference = Reference::new(&graph);
    assert!(matches!(calibrate(&graph, &reference, Vec::<Vec<Tensor>>::new()), Err(QuantError::NoImages)));
    let mut bad = images(0.0).into_f32().unwrap();
    bad[3] = f32::NAN;
    let bad = Tensor::from_f32(vec![2, 2, 6, 6], bad);
    let error = Calibrator::new(&graph).observe(&reference, &[bad]).unwrap_err();
    assert!(error.to_string().starts_with("value \"x\" of the network is NaN"), "{error}");
    let calibration = calibrate(&graph, &reference, [vec![images(0.0)]]).unwrap();
    for config in [
        QuantizationConfig { weight_bits: 1, ..QuantizationConfig::default() },
        QuantizationConfig { weight_bits: 17, ..QuantizationConfig::default() },
        QuantizationConfig { activation_bits: 0, ..QuantizationConfig::default() },
        QuantizationConfig { calibration: RangeMethod::Percentile(0.0), ..QuantizationConfig::default() },
        QuantizationConfig { calibration: RangeMethod::Percentile(f64::NAN), ..QuantizationConfig::default() },
    ] {
        assert!(matches!(quantize(&graph, &config, &calibration), Err(QuantError::InvalidConfig { .. })), "{config:?}");
    }
    let mut other = Network::new();
    let x = other.x;
    let y = other.conv("other", x, 3);
    let y = other.op("relu", Op::Relu, &[y]);
    let y = other.conv("last", y, 3);
    let error = quantize(&other.graph(&[y]), &QuantizationConfig::default(), &calibration).unwrap_err();
    assert!(matches!(error, QuantError::NotCalibrated { .. }), "{error}");
}

#[test]
fn weights_that_are_not_finite_name_their_node() {
    let mut network = Network::new();
    let x = network.x;
    let weight = network.builder.constant("w", Tensor::from_f32(vec![1, 2, 1, 1], vec![1.0, f32::INFINITY]));
    let window = Window::pointwise(2);
    let y = network.op("broken", Op::Conv(ops::Conv { window, groups: 1 }), &[x, weight]);
    let graph = network.graph(&[y]);
    // Zero images keep the outputs finite... or NaN, so the network's weights are judged without running it.
    let mut calibrated = Network::new();
    let x = calibrated.x;
    let y = calibrated.op("broken", Op::Relu, &[x]);
    let stand_in = calibrated.graph(&[y]);
    let calibration = calibrate(&stand_in, &Reference::new(&stand_in), [vec![images(0.0)]]).unwrap();
    let error = quantize(&graph, &QuantizationConfig::default(), &calibration).unwrap_err();
    assert_eq!(error.to_string(), "node \"broken\" (Conv): a weight is inf, expected finite numbers");
}
