//! Random networks: the fast engine equals the interpreter bit for bit, and 16 bits stay close to f32.

use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::ops;
use skimp_graph::{
    AutoPad, DType, Dim, Executor, Graph, GraphBuilder, GraphError, Op, Tensor, Window,
    integer::{CodeTensor, IntegerEngine, IntegerReference, IntegerTensor, MacHook, MacOperands},
    reference::Reference,
    testing::{random_cnn, random_relu_cnn, random_tensor},
};
use skimp_quant::{
    FirstLayer, LayerWidths, QuantizationConfig, Quantized, RangeMethod, WeightScales, calibrate, quantize,
    quantize_with,
};

fn configs() -> Vec<QuantizationConfig> {
    let mut configs = Vec::new();
    for (weight_bits, activation_bits) in [(16, 16), (8, 8), (4, 6), (2, 2), (16, 8), (5, 16)] {
        for weight_scales in [WeightScales::PerLayer, WeightScales::PerChannel] {
            for first_layer in [FirstLayer::Signed, FirstLayer::Offset] {
                let calibration = if weight_bits == 8 { RangeMethod::Percentile(99.0) } else { RangeMethod::MinMax };
                let default = QuantizationConfig::default();
                configs.push(QuantizationConfig {
                    weight_bits,
                    activation_bits,
                    weight_scales,
                    calibration,
                    first_layer,
                    ..default
                });
            }
        }
    }
    configs
}

fn quantized(graph: &Graph, inputs: &[Tensor], config: &QuantizationConfig) -> Quantized {
    let executor = Reference::new(graph);
    let calibration = calibrate(graph, &executor, [inputs.to_vec()]).unwrap();
    quantize(graph, config, &calibration).unwrap()
}

/// The same with widths of its own for every layer, 2 to 16 bits.
fn mixed(graph: &Graph, inputs: &[Tensor], config: &QuantizationConfig, seed: u64) -> Quantized {
    let calibration = calibrate(graph, &Reference::new(graph), [inputs.to_vec()]).unwrap();
    let plain = quantize(graph, config, &calibration).unwrap();
    let mut widths = LayerWidths::default();
    for (idx, layer) in plain.layers.iter().enumerate() {
        let bits = |salt: u64| 2 + ((seed + salt) * 7 + 5 * idx as u64) as u32 % 15;
        widths.weight_bits.insert(layer.name.clone(), bits(0));
        widths.activation_bits.insert(layer.name.clone(), bits(3));
    }
    quantize_with(graph, config, &widths, &calibration).unwrap()
}

/// What an engine showed, per node and image, flattened.
#[derive(Debug, Default, PartialEq)]
struct Shown {
    outputs: Vec<Vec<u64>>,
    accumulators: Vec<Vec<i64>>,
    residuals: Vec<Vec<i64>>,
    inputs: Vec<Vec<i32>>,
}

fn shown(engine: &dyn IntegerEngine, inputs: &[Tensor], n_nodes: usize) -> (Vec<Tensor>, Shown) {
    let empty = || vec![Vec::new(); n_nodes];
    let mut shown = Shown {
        outputs: empty(),
        accumulators: vec![Vec::new(); n_nodes],
        residuals: vec![Vec::new(); n_nodes],
        inputs: vec![Vec::new(); n_nodes],
    };
    let outputs = engine
        .run_observed(inputs, &mut |observation| {
            let i = observation.node_idx;
            for output in observation.outputs {
                match output {
                    IntegerTensor::Codes(codes) => shown.outputs[i].extend(codes.data.iter().map(|&c| c as u64)),
                    IntegerTensor::Real(tensor) => {
                        shown.outputs[i].extend(tensor.as_f32().unwrap().iter().map(|x| u64::from(x.to_bits())));
                    }
                }
            }
            if let Some(mac) = observation.mac {
                shown.accumulators[i].extend(mac.accumulators);
                shown.residuals[i].extend(mac.residual.unwrap_or_default());
                shown.inputs[i].extend(&mac.input.data);
            }
        })
        .unwrap();
    (outputs, shown)
}

fn bits(tensors: &[Tensor]) -> Vec<Vec<u32>> {
    tensors.iter().map(|t| t.as_f32().unwrap().iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn fast_engine_equals_the_specification() {
    let configs = configs();
    for seed in 0..240 {
        let (graph, inputs) = if seed % 2 == 0 { random_cnn(seed) } else { random_relu_cnn(seed) };
        let config = &configs[seed as usize % configs.len()];
        let quantized = match seed % 3 {
            0 => mixed(&graph, &inputs, config, seed),
            _ => quantized(&graph, &inputs, config),
        };
        let reference = IntegerReference::new(&quantized.graph).unwrap();
        let executor = IntegerExecutor::new(&quantized.graph).unwrap();
        let n_nodes = quantized.graph.nodes.len();
        let (expected, expected_shown) = shown(&reference, &inputs, n_nodes);
        let (got, got_shown) = shown(&executor, &inputs, n_nodes);
        for (i, node) in quantized.graph.nodes.iter().enumerate() {
            let context = || format!("seed {seed}, {config:?}, node {} ({})", node.name, node.op.name());
            assert_eq!(got_shown.inputs[i], expected_shown.inputs[i], "inputs: {}", context());
            assert_eq!(got_shown.residuals[i], expected_shown.residuals[i], "residuals: {}", context());
            assert_eq!(got_shown.accumulators[i], expected_shown.accumulators[i], "accumulators: {}", context());
            assert_eq!(got_shown.outputs[i], expected_shown.outputs[i], "outputs: {}", context());
        }
        assert_eq!(bits(&got), bits(&expected), "seed {seed}, {config:?}");
        assert_eq!(bits(&executor.run(&inputs).unwrap()), bits(&expected), "seed {seed}, {config:?}");
    }
}

/// Halves the inputs of every layer, and negates each third sum.
#[derive(Debug)]
struct Disturb;

impl MacHook for Disturb {
    fn applies(&self, node_idx: usize) -> bool {
        !node_idx.is_multiple_of(5)
    }

    fn change_input(&self, _node_idx: usize, input: &mut CodeTensor) -> Result<(), GraphError> {
        input.data.iter_mut().for_each(|code| *code /= 2);
        Ok(())
    }

    fn change_accumulators(&self, operands: &MacOperands<'_>, accumulators: &mut [i64]) -> Result<(), GraphError> {
        assert_eq!(accumulators.len(), operands.shape.n() * operands.shape.output_count());
        let per_image = accumulators.len() / operands.shape.n();
        for (i, sum) in accumulators.iter_mut().enumerate() {
            *sum = if (i % per_image).is_multiple_of(3) { -*sum } else { *sum };
        }
        Ok(())
    }
}

#[test]
fn hooks_change_both_engines_alike() {
    let configs = configs();
    let mut n_changed = 0;
    for seed in 0..60 {
        let (graph, inputs) = if seed % 2 == 0 { random_cnn(seed) } else { random_relu_cnn(seed) };
        let quantized = quantized(&graph, &inputs, &configs[seed as usize % configs.len()]);
        let reference = IntegerReference::new(&quantized.graph).unwrap();
        let expected = bits(&reference.run_with(&inputs, &Disturb).unwrap());
        let executor = IntegerExecutor::new(&quantized.graph).unwrap();
        assert_eq!(bits(&executor.run_with(&inputs, &Disturb).unwrap()), expected, "seed {seed}");
        // From the values of an undisturbed run, twice: it must not be used up.
        let recording = executor.record(&inputs).unwrap();
        assert!(recording.bytes() > 0);
        for _ in 0..2 {
            assert_eq!(bits(&executor.run_recorded(&recording, &Disturb).unwrap()), expected, "seed {seed}");
        }
        n_changed += usize::from(bits(&executor.run(&inputs).unwrap()) != expected);
    }
    assert!(n_changed > 30, "{n_changed}");
}

#[test]
fn sixteen_bits_stay_close_to_floating_point() {
    for seed in 0..120 {
        let (graph, inputs) = if seed % 2 == 0 { random_cnn(seed) } else { random_relu_cnn(seed) };
        for first_layer in [FirstLayer::Signed, FirstLayer::Offset] {
            let config = QuantizationConfig { first_layer, ..QuantizationConfig::default() };
            let quantized = quantized(&graph, &inputs, &config);
            let expected = Reference::new(&graph).run(&inputs).unwrap();
            let got = IntegerExecutor::new(&quantized.graph).unwrap().run(&inputs).unwrap();
            for (expected, got) in expected.iter().zip(&got) {
                assert_eq!(expected.shape(), got.shape());
                let (expected, got) = (expected.as_f32().unwrap(), got.as_f32().unwrap());
                let magnitude = expected.iter().fold(0_f32, |max, x| max.max(x.abs())).max(1e-3);
                // Each conversion errs by at most half of 2^-15 of its range; a few tens of them in a row, with
                // activations near 1, stay below 2^-9 of the output's range.
                for (e, g) in expected.iter().zip(got) {
                    assert!((e - g).abs() <= magnitude / 512.0, "seed {seed}: {g} for {e} of {magnitude}");
                }
            }
        }
    }
}

/// Convolutions over one axis, and products on two to four axes, between layers over planes.
fn rows_and_lines(seed: u64) -> (Graph, Vec<Tensor>) {
    let mut builder = GraphBuilder::new(format!("rows{seed}"));
    let dims = [Dim::Free("n".to_owned()), Dim::Fixed(4), Dim::Fixed(6), Dim::Fixed(5)];
    let x = builder.input("x", DType::F32, dims.to_vec());
    let window = |kernel: Vec<usize>, stride: usize, pad: usize| Window {
        strides: vec![stride; kernel.len()],
        dilations: vec![1; kernel.len()],
        pads_begin: vec![pad; kernel.len()],
        pads_end: vec![0; kernel.len()],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
        kernel,
    };
    let weights = |builder: &mut GraphBuilder, name: &str, shape: &[usize]| {
        builder.constant(name, random_tensor(seed, name, shape.to_vec(), 0.05, 0.3))
    };
    let reshape = |shape: &[i64]| Op::Reshape(ops::Reshape { shape: shape.to_vec(), allow_zero: false });
    let stride = 1 + (seed as usize % 2);
    let groups = 1 + (seed as usize / 2 % 2);
    let line = builder.node("line", reshape(&[0, 4, 30]), &[x]);
    let w = weights(&mut builder, "conv.w", &[6, 4 / groups, 3]);
    let b = weights(&mut builder, "conv.b", &[6]);
    let conv = Op::Conv(ops::Conv { window: window(vec![3], stride, 2), groups });
    let y = builder.node("conv", conv, &[line, w, b]);
    let y = builder.node("relu", Op::Relu, &[y]);
    let y = builder.node("pool", Op::MaxPool(ops::MaxPool { window: window(vec![2], 1, 0) }), &[y]);
    // Rows of 6 numbers, then products on two, three or four axes.
    let y = builder.node("turned", Op::Transpose(ops::Transpose { perm: vec![0, 2, 1] }), &[y]);
    let y = match seed % 3 {
        0 => builder.node("shape", reshape(&[-1, 6]), &[y]),
        1 => y,
        _ => builder.node("shape", Op::Unsqueeze(ops::Unsqueeze { axes: vec![1] }), &[y]),
    };
    let w = weights(&mut builder, "first.w", if seed % 6 == 1 { &[1, 6, 5] } else { &[6, 5] });
    let product = builder.node("first", Op::MatMul, &[y, w]);
    let b = weights(&mut builder, "first.b", &[5]);
    let sum = builder.node("biased", Op::Add, &[product, b]);
    let active = builder.node("active", Op::Relu, &[sum]);
    let w = weights(&mut builder, "second.w", &[5, 5]);
    let second = builder.node("second", Op::MatMul, &[active, w]);
    let joined = builder.node("joined", Op::Add, &[second, active]);
    let active = builder.node("last", Op::Relu, &[joined]);
    builder.output(active);
    let input = random_tensor(seed, "x", vec![1 + seed as usize % 3, 4, 6, 5], 0.0, 1.0);
    (builder.build().unwrap(), vec![input])
}

#[test]
fn rows_and_lines_run_in_integers() {
    let configs = configs();
    for seed in 0..48 {
        let (graph, inputs) = rows_and_lines(seed);
        let config = &configs[seed as usize % configs.len()];
        let quantized_graph = quantized(&graph, &inputs, config);
        assert_eq!(quantized_graph.report.float_nodes, [], "seed {seed}");
        let layers: Vec<&str> = quantized_graph.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(layers, ["conv", "first", "second"]);
        let reference = IntegerReference::new(&quantized_graph.graph).unwrap();
        let executor = IntegerExecutor::new(&quantized_graph.graph).unwrap();
        let expected = reference.run(&inputs).unwrap();
        let float = Reference::new(&graph).run(&inputs).unwrap();
        assert_eq!(expected[0].shape(), float[0].shape());
        let n_nodes = quantized_graph.graph.nodes.len();
        assert_eq!(shown(&executor, &inputs, n_nodes), shown(&reference, &inputs, n_nodes), "seed {seed}, {config:?}");
        assert_eq!(bits(&executor.run(&inputs).unwrap()), bits(&expected), "seed {seed}, {config:?}");
        let disturbed = bits(&reference.run_with(&inputs, &Disturb).unwrap());
        assert_eq!(bits(&executor.run_with(&inputs, &Disturb).unwrap()), disturbed, "seed {seed}");
        if config.weight_bits == 16 && config.activation_bits == 16 {
            let (expected, float) = (expected[0].as_f32().unwrap(), float[0].as_f32().unwrap());
            let magnitude = float.iter().fold(0_f32, |max, x| max.max(x.abs())).max(1e-3);
            for (e, f) in expected.iter().zip(float) {
                assert!((e - f).abs() <= magnitude / 512.0, "seed {seed}: {e} for {f} of {magnitude}");
            }
        }
    }
}
