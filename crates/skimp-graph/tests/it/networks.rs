//! The real networks in the folder that `SKIMP_DATA` names: round trip, and agreement with onnxruntime.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use skimp_graph::ops;
use skimp_graph::reference::Reference;
use skimp_graph::testing::random_cnn;
use skimp_graph::{AutoPad, Executor as _, Graph, Op, Tensor, onnx};

use crate::compare::max_difference;
use crate::round_trip::through_file;

fn networks() -> Vec<PathBuf> {
    let Some(data) = skimp_testkit::data("models") else { return Vec::new() };
    let entries = std::fs::read_dir(data.join("models")).expect("SKIMP_DATA has a folder models");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    assert!(!paths.is_empty(), "no network in SKIMP_DATA");
    paths
}

#[test]
fn real_networks_survive_a_round_trip() {
    for path in networks() {
        let start = Instant::now();
        let graph = onnx::import(&path).expect("a supported network");
        eprintln!("{}: {} nodes, imported in {:?}", path.display(), graph.nodes().len(), start.elapsed());
        assert_eq!(graph, through_file(&graph), "{}", path.display());
    }
}

/// Reads the little-endian f32 arrays that `onnxruntime_outputs.py` writes: rank, extents, elements.
fn read_tensors(path: &Path) -> Vec<Tensor> {
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

/// Runs models in onnxruntime; for each its inputs and its outputs, or `None` without a Python that has it.
fn run_in_onnxruntime(folder: &Path, models: &[(&Path, usize)]) -> Option<Vec<(Vec<Tensor>, Vec<Tensor>)>> {
    let python = skimp_testkit::python("onnxruntime and numpy")?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_cases/onnxruntime_outputs.py");
    let mut command = Command::new(&python);
    command.arg(script);
    let out = |i: usize| folder.join(format!("{i}.bin"));
    for (i, (model, _)) in models.iter().enumerate() {
        command.arg(model).arg(out(i));
    }
    assert!(command.status().expect("Python starts").success(), "the script fails");
    let split = |(i, (_, n_inputs)): (usize, &(&Path, usize))| {
        let mut inputs = read_tensors(&out(i));
        let outputs = inputs.split_off(*n_inputs);
        (inputs, outputs)
    };
    Some(models.iter().enumerate().map(split).collect())
}

/// Both engines round differently in every layer, so that outputs agree relative to the largest one only. Measured:
/// at most 6e-7 of it.
const MAX_RELATIVE: f64 = 1e-5;

fn check(graph: &Graph, inputs: &[Tensor], expected: &[Tensor]) {
    let outputs = Reference::new(graph).run(inputs).expect("the network runs");
    assert_eq!(outputs.len(), expected.len(), "{}", graph.name());
    for (got, want) in outputs.iter().zip(expected) {
        let difference = max_difference(got, want);
        let largest = want.as_f32().expect("f32").iter().fold(0.0_f64, |m, v| m.max(f64::from(v.abs())));
        let (name, shape) = (graph.name(), want.shape());
        eprintln!("{name} {shape:?}: max abs difference {difference:.3e}, largest output {largest:.3e}");
        assert!(difference <= MAX_RELATIVE * largest, "{name}");
    }
}

#[test]
fn real_networks_agree_with_onnxruntime() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for path in networks() {
        let graph = onnx::import(&path).expect("a supported network");
        let exported = folder.path().join("exported.onnx");
        onnx::export(&graph, &exported).expect("writable");
        let n_inputs = graph.inputs().len();
        let Some(runs) = run_in_onnxruntime(folder.path(), &[(&path, n_inputs), (&exported, n_inputs)]) else { return };
        let [(inputs, expected), again] = runs.as_slice() else { panic!("two runs") };
        eprint!("{}: ", path.display());
        check(&graph, inputs, expected);
        assert_eq!((inputs, expected), (&again.0, &again.1), "the export computes something else: {}", path.display());
    }
}

#[test]
fn exported_random_networks_run_in_onnxruntime() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // onnxruntime does not know SAME_UPPER and SAME_LOWER together with strides and dilations.
    let is_plain = |op: &Op| match op {
        Op::Conv(ops::Conv { window, .. })
        | Op::MaxPool(ops::MaxPool { window })
        | Op::AveragePool(ops::AveragePool { window, .. }) => {
            !matches!(window.auto_pad, AutoPad::SameUpper | AutoPad::SameLower)
                || window.dilations.iter().all(|&d| d == 1)
        }
        _ => true,
    };
    let graphs = (0..40).map(|seed| random_cnn(seed).0);
    let graphs: Vec<Graph> = graphs.filter(|graph| graph.nodes().iter().all(|node| is_plain(&node.op))).collect();
    assert!(graphs.len() > 20, "few networks are left");
    let paths: Vec<PathBuf> = (0..graphs.len()).map(|i| folder.path().join(format!("{i}.onnx"))).collect();
    for (graph, path) in graphs.iter().zip(&paths) {
        onnx::export(graph, path).expect("writable");
    }
    let models: Vec<(&Path, usize)> = graphs.iter().zip(&paths).map(|(g, p)| (p.as_path(), g.inputs().len())).collect();
    for (graph, (inputs, expected)) in graphs.iter().zip(run_in_onnxruntime(folder.path(), &models).unwrap_or_default())
    {
        check(graph, &inputs, &expected);
    }
}
