//! The real networks in the folder that `SKIMP_DATA` names: round trip, and agreement with onnxruntime.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use skimp_graph::reference::Reference;
use skimp_graph::{Executor as _, Tensor, onnx};

use crate::compare::max_difference;
use crate::round_trip::through_file;

fn networks() -> Vec<PathBuf> {
    let Some(data) = std::env::var_os("SKIMP_DATA") else {
        eprintln!("skipped: SKIMP_DATA does not name the data folder");
        return Vec::new();
    };
    let entries = std::fs::read_dir(Path::new(&data).join("models")).expect("SKIMP_DATA has a folder models");
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

/// Both engines round differently in every layer, so the outputs agree relative to their size only. Measured:
/// at most 2e-5 of the largest output.
const MAX_RELATIVE: f64 = 1e-4;

#[test]
fn real_networks_agree_with_onnxruntime() {
    let Some(python) = std::env::var_os("SKIMP_PYTHON") else {
        eprintln!("skipped: SKIMP_PYTHON does not name a Python with onnxruntime and numpy");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_cases/onnxruntime_outputs.py");
    let folder = tempfile::tempdir().expect("a temporary folder");
    for path in networks() {
        let out = folder.path().join("tensors.bin");
        let status = Command::new(&python).arg(&script).arg(&path).arg(&out).status().expect("Python starts");
        assert!(status.success(), "the script fails on {}", path.display());
        let graph = onnx::import(&path).expect("a supported network");
        let mut tensors = read_tensors(&out);
        let expected = tensors.split_off(graph.inputs().len());
        let outputs = Reference::new(&graph).run(&tensors).expect("the network runs");
        assert_eq!(outputs.len(), expected.len());
        for (got, want) in outputs.iter().zip(&expected) {
            let difference = max_difference(got, want);
            let largest = want.as_f32().expect("f32").iter().fold(0.0_f64, |m, v| m.max(f64::from(v.abs())));
            eprintln!(
                "{} {:?}: max abs difference {difference:.3e}, largest output {largest:.3e}",
                graph.name(),
                want.shape()
            );
            assert!(difference <= MAX_RELATIVE * largest, "{}", path.display());
        }
    }
}
