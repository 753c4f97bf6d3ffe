//! Networks in QDQ form run in onnxruntime and give the same answers.

use std::path::{Path, PathBuf};
use std::process::Command;

use skimp_cpu::CpuExecutor;
use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::integer::{IntegerEngine, Requantization, lower};
use skimp_graph::{Executor, Graph, Op, Tensor, onnx};
use skimp_quant::{OutputForm, QdqConfig, Scheme, WeightScales, calibrate, quantize_qdq};

/// Reads the little-endian f32 arrays that `onnxruntime_outputs.py` writes: rank, extents, elements.
pub(crate) fn read_tensors(path: &Path) -> Vec<Tensor> {
    let bytes = std::fs::read(path).expect("the script wrote its file");
    let mut words = bytes.as_chunks::<4>().0.iter().copied();
    let mut tensors = Vec::new();
    while let Some(rank) = words.next() {
        let shape: Vec<usize> =
            words.by_ref().take(u32::from_le_bytes(rank) as usize).map(|w| u32::from_le_bytes(w) as usize).collect();
        let n = shape.iter().product();
        tensors.push(Tensor::from_f32(shape, words.by_ref().take(n).map(f32::from_le_bytes).collect()));
    }
    tensors
}

/// The networks to compare: the embedded one, and those of the data folder that are there.
fn models() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut models = vec![root.join("../../assets/networks/sample-resnet.onnx")];
    if let Some(data) = skimp_testkit::data("CIFAR networks, to compare more than the embedded one") {
        for name in
            ["cifar10_resnet20", "cifar10_resnet20_projection", "cifar10_resnet8", "cifar10_resnet14_projection"]
        {
            models.push(data.join(format!("models/{name}.onnx")));
        }
    }
    models
}

/// Images as the script draws them: normal, of variance 1.
fn calibration_batch(graph: &Graph) -> Vec<Tensor> {
    let shapes = skimp_graph::shape::bind(graph, 16, None).unwrap();
    shapes.into_iter().map(|shape| skimp_graph::testing::random_tensor(3, "x", shape, 0.0, 1.0)).collect()
}

/// The step between neighboring numbers of output `i`, where it is dequantized.
pub(crate) fn step(graph: &Graph, i: usize) -> Option<f32> {
    let output = graph.outputs()[i];
    let node = graph.nodes().iter().find(|node| node.outputs.contains(&output))?;
    match node.op {
        Op::DequantizeLinear(_) => graph.constant(node.inputs[1]?)?.as_f32()?.first().copied(),
        _ => None,
    }
}

#[test]
fn onnxruntime_gives_the_same_answers() {
    let Some(python) = skimp_testkit::python("onnxruntime and numpy") else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../skimp-graph/tests/node_cases/onnxruntime_outputs.py");
    let folder = tempfile::tempdir().unwrap();
    let symmetric = QdqConfig {
        activation_scheme: Scheme::Symmetric,
        weight_scales: WeightScales::PerLayer,
        activation_type: skimp_graph::integer::CodeType::I8,
        ..QdqConfig::default()
    };
    let real = QdqConfig { output_form: OutputForm::Accumulators, ..QdqConfig::default() };
    let mut command = Command::new(python);
    command.arg(script);
    let mut networks = Vec::new();
    for path in models() {
        let graph = onnx::import(&path).unwrap();
        let executor = CpuExecutor::new(&graph).unwrap();
        let calibration = calibrate(&graph, &executor, [calibration_batch(&graph)]).unwrap();
        for config in [QdqConfig::default(), symmetric, real] {
            let network = quantize_qdq(&graph, &config, &calibration).unwrap();
            assert!(network.float_nodes.is_empty(), "{:?}", network.float_nodes);
            let model = folder.path().join(format!("{}.onnx", networks.len()));
            let results = model.with_extension("bin");
            onnx::export(&network.graph, &model).unwrap();
            command.arg(&model).arg(&results);
            networks.push((path.clone(), config, model, results));
        }
    }
    assert!(command.status().expect("Python starts").success(), "the script fails");
    for (path, config, model, results) in networks {
        let graph = onnx::import(&model).unwrap();
        let lowered = lower(&graph).unwrap();
        assert_eq!((lowered.float_nodes().count(), lowered.rounding), (0, Requantization::Float));
        let mut inputs = read_tensors(&results);
        let expected = inputs.split_off(graph.inputs().len());
        let integers = IntegerExecutor::new(&lowered).unwrap().run(&inputs).unwrap();
        let floats = CpuExecutor::new(&graph).unwrap().run(&inputs).unwrap();
        // In f32, near-ties fall either way in every layer.
        for (engine, outputs, n_steps) in [("integers", integers, 1.0), ("f32", floats, 3.0)] {
            for (i, (got, expected)) in outputs.iter().zip(&expected).enumerate() {
                let (got, expected) = (got.as_f32().unwrap(), expected.as_f32().unwrap());
                let difference = got.iter().zip(expected).fold(0_f32, |most, (g, e)| most.max((g - e).abs()));
                let largest = expected.iter().fold(0_f32, |most, x| most.max(x.abs()));
                // Accumulators carry the last codes' differences of a step or so with weights of all sizes.
                let allowed = step(&graph, i).map_or(largest / 50.0, |step| n_steps * step * 1.001);
                let context = format!("{} {:?} {engine}", path.display(), config.activation_scheme);
                eprintln!("{context}: {difference} of {largest}, {} steps", difference / allowed);
                assert!(difference <= allowed, "{context}: differs by {difference}, allowed {allowed}");
            }
        }
    }
}
