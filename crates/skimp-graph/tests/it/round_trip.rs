//! import → export → import is the identity.

use std::path::Path;

use bytes::Bytes;
use skimp_graph::ops;
use skimp_graph::reference::Reference;
use skimp_graph::testing::random_cnn;
use skimp_graph::{DType, Data, Dim, Executor as _, Graph, GraphBuilder, Op, Pad, PadMode, Slice, Tensor, onnx};

use crate::build::small_network;
use crate::compare::{Tolerance, difference};

/// The graph that comes back from a file in memory.
pub(crate) fn through_file(graph: &Graph) -> Graph {
    let bytes = onnx::export_bytes(graph).expect("the graph can be exported");
    onnx::import_bytes(Bytes::from(bytes), None, "exported").expect("the exported file can be imported")
}

/// Importing what was exported changes nothing once more, and never what the network computes.
fn check(graph: &Graph, inputs: &[Tensor]) {
    let once = through_file(graph);
    assert_eq!(once, through_file(&once), "{}", graph.name());
    let before = Reference::new(graph).run(inputs).expect("the network runs");
    let after = Reference::new(&once).run(inputs).expect("the network still runs");
    for (got, expected) in after.iter().zip(&before) {
        assert_eq!(difference(got, expected, Tolerance::EXACT), None, "{}", graph.name());
    }
}

#[test]
fn random_networks_survive() {
    for seed in 0..60 {
        let (graph, inputs) = random_cnn(seed);
        check(&graph, &inputs);
    }
}

#[test]
fn small_network_survives() {
    let graph = small_network().import().expect("valid");
    assert_eq!(graph, through_file(&graph));
}

/// Operators whose file form depends on the element type or needs a newer operator set.
#[test]
fn unusual_forms_survive() {
    let dims = || vec![Dim::Free("N".to_owned()), Dim::Fixed(3), Dim::Free(String::new())];
    let slice =
        |steps: i64| Op::Slice(Slice { axes: vec![-1], starts: vec![-1], ends: vec![i64::MIN], steps: vec![steps] });
    let pad = |mode, value| Op::Pad(Pad { begin: vec![0, 1, 1], end: vec![0, 0, -1], mode, value });
    let mean = |axes: &[i64]| Op::ReduceMean(ops::ReduceMean { axes: axes.to_vec(), keep_dims: true });
    let chains: Vec<(DType, Vec<Op>)> = vec![
        (
            DType::F32,
            vec![Op::HardSwish, Op::Clip(ops::Clip { min: Some(f32::NEG_INFINITY), max: Some(0.5) }), slice(-1)],
        ),
        (DType::F32, vec![pad(PadMode::Wrap, 0.0), mean(&[-1]), mean(&[])]),
        (
            DType::F32,
            vec![pad(PadMode::Constant, -0.0), pad(PadMode::Edge, 0.0), pad(PadMode::Constant, f32::INFINITY)],
        ),
        (DType::F64, vec![Op::Clip(ops::Clip { min: Some(-0.1), max: None }), pad(PadMode::Constant, 0.1)]),
        (DType::I64, vec![Op::Relu, Op::Clip(ops::Clip { min: None, max: Some(7.0) }), Op::Sign]),
        (
            DType::I8,
            vec![Op::Relu, Op::Clip(ops::Clip { min: Some(-3.0), max: None }), Op::Cast(ops::Cast { to: DType::Bool })],
        ),
        (
            DType::F32,
            vec![
                Op::Reshape(ops::Reshape { shape: vec![0, -1], allow_zero: false }),
                Op::Squeeze(ops::Squeeze { axes: vec![] }),
            ],
        ),
        (
            DType::F32,
            vec![
                Op::Reshape(ops::Reshape { shape: vec![2, -1, 1], allow_zero: true }),
                Op::Squeeze(ops::Squeeze { axes: vec![-1] }),
            ],
        ),
        (
            DType::F32,
            vec![
                Op::Dropout(ops::Dropout { ratio: 0.5 }),
                Op::Dropout(ops::Dropout { ratio: 0.25 }),
                Op::Identity,
                Op::Unsqueeze(ops::Unsqueeze { axes: vec![-1, 0] }),
                Op::Flatten(ops::Flatten { axis: -2 }),
            ],
        ),
    ];
    for (dtype, ops) in chains {
        let mut builder = GraphBuilder::new("chain");
        let mut value = builder.input("x", dtype, dims());
        for (i, op) in ops.into_iter().enumerate() {
            value = builder.node(format!("n{i}"), op, &[value]);
        }
        builder.output(value);
        let graph = builder.build().expect("valid");
        assert_eq!(graph, through_file(&graph), "{dtype:?}");
    }
}

#[test]
fn wide_quantization_needs_a_newer_operator_set() {
    let mut builder = GraphBuilder::new("wide");
    let x = builder.input("x", DType::F32, vec![Dim::Free(String::new()), Dim::Fixed(4)]);
    let scale = builder.constant("scale", Tensor::from_f32(vec![], vec![0.5]));
    let zero = builder.constant("zero", Tensor::new(vec![], Data::I16(vec![3].into())).expect("scalar"));
    let codes = builder.node("q", Op::QuantizeLinear(ops::QuantizeLinear { axis: 1 }), &[x, scale, zero]);
    let y = builder.node("dq", Op::DequantizeLinear(ops::DequantizeLinear { axis: 1 }), &[codes, scale, zero]);
    let mean = builder.node("mean", Op::ReduceMean(ops::ReduceMean { axes: vec![1], keep_dims: false }), &[y]);
    builder.output(mean);
    let graph = builder.build().expect("valid");
    assert_eq!(graph, through_file(&graph));
}

#[test]
fn export_replaces_the_file_or_leaves_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let graph = small_network().import().expect("valid");
    let path = folder.path().join("network.onnx");
    std::fs::write(&path, b"old").expect("writable");
    onnx::export(&graph, &path).expect("writable");
    assert_eq!(onnx::import(&path).expect("valid"), graph);
    assert_eq!(std::fs::read(&path).expect("readable"), onnx::export_bytes(&graph).expect("valid"));

    let missing = folder.path().join("no/such/folder/network.onnx");
    let error = onnx::export(&graph, &missing).expect_err("the folder does not exist").to_string();
    assert!(error.contains("no/such/folder/network.onnx"), "{error}");
    assert!(onnx::export(&graph, folder.path()).is_err(), "a folder cannot be replaced");
    assert!(onnx::export(&graph, Path::new("/")).is_err(), "no file name");
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).expect("readable").map(|e| e.expect("entry").file_name()).collect();
    assert_eq!(left, ["network.onnx"], "no temporary file is left");
}
