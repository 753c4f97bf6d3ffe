//! Networks in QDQ form: what the integer interpreter computes, beside the f32 interpreter on the same file.

use std::collections::BTreeMap;

use skimp_graph::integer::{
    self, CodeTensor, CodeType, IntegerEngine, IntegerGraph, IntegerOp, IntegerReference, IntegerTensor, Requantization,
};
use skimp_graph::reference::Reference;
use skimp_graph::testing::{random_cnn, random_relu_cnn};
use skimp_graph::{Executor, Graph, Tensor, onnx};
use skimp_quant::{OutputForm, QdqConfig, QdqNetwork, RangeMethod, Scheme, WeightScales, calibrate, quantize_qdq};

/// Every setting occurs with every other one's neighbors.
pub(crate) fn configs() -> Vec<QdqConfig> {
    let ranges = [RangeMethod::MinMax, RangeMethod::Percentile(99.5), RangeMethod::Mse, RangeMethod::Entropy];
    let schemes = [Scheme::Symmetric, Scheme::Asymmetric];
    let mut configs = Vec::new();
    for i in 0..48_usize {
        let pick = |n: usize, of: usize| i / n % of;
        configs.push(QdqConfig {
            weight_bits: [8, 8, 8, 4, 6][i % 5],
            weight_scales: [WeightScales::PerChannel, WeightScales::PerLayer][pick(1, 2)],
            weight_scheme: schemes[pick(6, 2)],
            activation_type: [CodeType::U8, CodeType::I8][pick(3, 2)],
            activation_scheme: schemes[pick(2, 2)],
            calibration: ranges[pick(4, 4)],
            requantization: Requantization::ALL[pick(1, 4)],
            output_form: [OutputForm::Codes, OutputForm::Accumulators][pick(5, 2)],
            ..QdqConfig::default()
        });
    }
    configs
}

pub(crate) fn random_network(seed: u64) -> (Graph, Vec<Tensor>) {
    if seed.is_multiple_of(2) { random_cnn(seed) } else { random_relu_cnn(seed) }
}

pub(crate) fn quantized(graph: &Graph, inputs: &[Tensor], config: &QdqConfig) -> QdqNetwork {
    let calibration = calibrate(graph, &Reference::new(graph), [inputs.to_vec()]).unwrap();
    quantize_qdq(graph, config, &calibration).unwrap()
}

/// All values of the QDQ network as the f32 interpreter computes them, by name.
fn float_values(graph: &Graph, inputs: &[Tensor]) -> BTreeMap<String, Tensor> {
    let mut values = BTreeMap::new();
    for (input, tensor) in graph.inputs().iter().zip(inputs) {
        values.insert(graph.value(input.value).name.clone(), tensor.clone());
    }
    let observe = &mut |id, tensor: &Tensor| {
        values.insert(graph.value(id).name.clone(), tensor.clone());
    };
    Reference::new(graph).run_observed(inputs, observe).unwrap();
    values
}

/// Elements of any type.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.data() {
        skimp_graph::Data::U8(x) => x.iter().copied().map(f64::from).collect(),
        skimp_graph::Data::I8(x) => x.iter().copied().map(f64::from).collect(),
        skimp_graph::Data::F32(x) => x.iter().copied().map(f64::from).collect(),
        other => panic!("a value is {:?}", other.dtype()),
    }
}

/// A value of the f32 interpreter as the integer network has it.
fn as_value(tensor: &Tensor, is_codes: bool) -> IntegerTensor {
    match is_codes {
        true => {
            let data = numbers(tensor).into_iter().map(|code| code as i32).collect();
            IntegerTensor::Codes(CodeTensor { shape: tensor.shape().to_vec(), data })
        }
        false => IntegerTensor::Real(tensor.clone()),
    }
}

/// The outputs of one node on operands.
fn evaluate(lowered: &IntegerGraph, node_idx: usize, inputs: &[&IntegerTensor]) -> Vec<IntegerTensor> {
    let node = &lowered.nodes[node_idx];
    let kinds = |ids: &[skimp_graph::ValueId]| ids.iter().map(|id| lowered.values[id.0].kind).collect::<Vec<_>>();
    let outputs = kinds(&node.outputs);
    match &node.op {
        IntegerOp::Mac(layer) => {
            let input = inputs[0].as_codes().unwrap();
            let shape = layer.shape_on(&node.name, &input.shape).unwrap();
            let sums = layer.accumulate(&shape, input, None);
            vec![layer.output(&node.name, &sums, layer.output_shape(&input.shape, &shape), &outputs[0]).unwrap()]
        }
        _ => integer::evaluate(node, inputs, &kinds(&node.inputs), &outputs).unwrap(),
    }
}

/// Runs every node of the integer network on what the f32 interpreter gives it, so that differences do not add up.
/// Returns the number of codes compared and of those that differ, which they do by one at most.
fn compare_nodes(lowered: &IntegerGraph, values: &BTreeMap<String, Tensor>, context: &str) -> (usize, usize) {
    let (mut n_codes, mut n_different) = (0, 0);
    let mut made: Vec<Option<IntegerTensor>> = vec![None; lowered.values.len()];
    for input in &lowered.inputs {
        made[input.value.0] = values.get(&lowered.values[input.value.0].name).map(|tensor| as_value(tensor, false));
    }
    for (node_idx, node) in lowered.nodes.iter().enumerate() {
        let inputs: Vec<&IntegerTensor> = node.inputs.iter().map(|id| made[id.0].as_ref().unwrap()).collect();
        for (&id, got) in node.outputs.iter().zip(evaluate(lowered, node_idx, &inputs)) {
            let is_codes = lowered.encoding(id).is_some();
            // Inputs that were brought to another encoding have no name in the QDQ network, and means before a squeeze keep
            // their axes.
            let expected = values.get(&lowered.values[id.0].name).map(|tensor| as_value(tensor, is_codes));
            let expected = expected.filter(|expected| expected.shape() == got.shape()).unwrap_or_else(|| got.clone());
            let step = match &node.op {
                IntegerOp::Mac(_)
                | IntegerOp::Add { .. }
                | IntegerOp::Product { .. }
                | IntegerOp::AveragePool { .. } => 1,
                _ => 0,
            };
            let name = node.op.name();
            match (&got, &expected) {
                (IntegerTensor::Codes(got), IntegerTensor::Codes(expected)) => {
                    for (g, e) in got.data.iter().zip(&expected.data) {
                        assert!((g - e).abs() <= step, "{context} {} ({name}): {g} for {e}", node.name);
                        n_codes += 1;
                        n_different += usize::from(g != e);
                    }
                }
                (IntegerTensor::Real(got), IntegerTensor::Real(expected)) => {
                    assert_eq!(got.dtype(), expected.dtype(), "{context} {}", node.name);
                    for (g, e) in numbers(got).into_iter().zip(numbers(expected)) {
                        let tolerance = 1e-5 * (1.0 + e.abs());
                        assert!((g - e).abs() <= tolerance, "{context} {} ({name}): {g} for {e}", node.name);
                    }
                }
                _ => panic!("{context} {}: codes for reals", node.name),
            }
            made[id.0] = Some(expected);
        }
    }
    (n_codes, n_different)
}

#[test]
fn integers_follow_the_qdq_network() {
    let configs = configs();
    let mut totals: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for seed in 0..48 {
        let (graph, inputs) = random_network(seed);
        let config = &configs[seed as usize % configs.len()];
        let network = quantized(&graph, &inputs, config);
        let context = format!("seed {seed} {config:?}");
        let reread = onnx::import_bytes(onnx::export_bytes(&network.graph).unwrap().into(), None, "x").unwrap();
        assert_eq!(reread.metadata(integer::ROUNDING_KEY), Some(config.requantization.name()));
        let lowered = integer::lower(&reread).unwrap();
        assert_eq!(lowered.rounding, config.requantization);
        // Nothing that the quantizer meant for codes is left to floating point.
        let float: Vec<&str> = lowered.float_nodes().map(|node| node.name.as_str()).collect();
        let listed: Vec<&str> = network.float_nodes.iter().map(|node| node.name.as_str()).collect();
        assert!(float.iter().all(|name| listed.contains(name)), "{context}: {float:?}, listed {listed:?}");
        assert_eq!(lowered.layers().count(), network.layers.len(), "{context}");
        let (n_codes, n_different) = compare_nodes(&lowered, &float_values(&reread, &inputs), &context);
        let total = totals.entry(config.requantization.name()).or_default();
        *total = (total.0 + n_codes, total.1 + n_different);
        // The whole network, with differences adding up, stays a network.
        let outputs = IntegerReference::new(&lowered).unwrap().run(&inputs).unwrap();
        assert_eq!(outputs.len(), graph.outputs().len());
    }
    for (rounding, (n_codes, n_different)) in totals {
        // Float: near-ties only. The integer modes differ on ties and, for sums, by their extra roundings.
        let allowed = if rounding == "float" { n_codes / 10_000 } else { n_codes / 50 };
        assert!(n_codes > 20_000 && n_different <= allowed, "{rounding}: {n_different} of {n_codes} codes differ");
    }
}

#[test]
fn eight_bits_stay_close_to_floating_point() {
    for seed in 0..20 {
        let (graph, inputs) = random_network(seed);
        let network = quantized(&graph, &inputs, &QdqConfig::default());
        let expected = Reference::new(&graph).run(&inputs).unwrap();
        let got = IntegerReference::new(&integer::lower(&network.graph).unwrap()).unwrap().run(&inputs).unwrap();
        for (expected, got) in expected.iter().zip(&got) {
            let (expected, got) = (expected.as_f32().unwrap(), got.as_f32().unwrap());
            let magnitude = expected.iter().fold(0_f32, |max, x| max.max(x.abs())).max(1e-3);
            let mean = expected.iter().zip(got).map(|(e, g)| (e - g).abs()).sum::<f32>() / expected.len() as f32;
            // A few tens of conversions, each with an error of at most half of 2^-8 of its range.
            assert!(mean <= magnitude / 16.0, "seed {seed}: mean error {mean} of {magnitude}");
        }
    }
}

#[test]
fn wrong_settings_are_refused() {
    let (graph, inputs) = random_network(0);
    let calibration = calibrate(&graph, &Reference::new(&graph), [inputs]).unwrap();
    let bad = [
        QdqConfig { weight_bits: 9, ..QdqConfig::default() },
        QdqConfig { weight_bits: 1, ..QdqConfig::default() },
        QdqConfig { calibration: RangeMethod::Percentile(50.0), ..QdqConfig::default() },
        QdqConfig { calibration: RangeMethod::Percentile(f64::NAN), ..QdqConfig::default() },
    ];
    for config in bad {
        assert!(quantize_qdq(&graph, &config, &calibration).is_err(), "{config:?}");
    }
    for text in ["min-max", "percentile:99.9", "mse", "entropy"] {
        assert_eq!(text.parse::<RangeMethod>().unwrap().to_string(), text);
    }
    assert_eq!("max".parse::<RangeMethod>().unwrap(), RangeMethod::MinMax);
    for text in ["", "percentile:", "percentile:0", "percentile:101", "percentile:nan"] {
        assert!(text.parse::<RangeMethod>().is_err(), "{text}");
    }
    let unknown = graph.with_metadata(integer::ROUNDING_KEY, "nearest");
    assert!(integer::lower(&unknown).unwrap_err().to_string().contains("gemmlowp"));
}
