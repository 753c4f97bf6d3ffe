//! The hand-computed cases of every operator on every engine: a new operator runs everywhere at once.

use bytes::Bytes;
use skimp_cpu::CpuExecutor;
use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::integer::{IntegerEngine, IntegerReference, lower};
use skimp_graph::reference::Reference;
use skimp_graph::testing::{Case, cases};
use skimp_graph::{DType, Dim, Executor, Graph, GraphBuilder, GraphError, Tensor, onnx};
use skimp_quant::{QdqConfig, QuantizationConfig, calibrate, quantize, quantize_qdq};

/// A graph of the case's node alone whose first `n_computed` inputs are inputs, and the others constants.
fn graph_of(case: &Case, n_computed: usize) -> Graph {
    let mut builder = GraphBuilder::new(case.what);
    let mut ids = Vec::new();
    for (idx, tensor) in case.inputs.iter().enumerate() {
        ids.push(if idx < n_computed {
            let dims = tensor.shape().iter().map(|&extent| Dim::Fixed(extent)).collect();
            builder.input(format!("x{idx}"), tensor.dtype(), dims)
        } else {
            builder.constant(format!("c{idx}"), tensor.clone())
        });
    }
    let outputs = builder.node_with_outputs("node", case.op.clone(), &ids, case.expected.len());
    outputs.into_iter().for_each(|output| builder.output(output));
    builder.build().unwrap()
}

/// Equal within the rounding of a kernel that sums in f32.
fn is_close(found: &[Tensor], expected: &[Tensor]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| {
            let close = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a - b).abs() <= 1e-6 * b.abs().max(1.0);
            match (found.as_f32(), expected.as_f32()) {
                (Some(a), Some(b)) => found.shape() == expected.shape() && a.iter().zip(b).all(close),
                _ => found == expected,
            }
        })
}

/// The case through an ONNX file; `None` where ONNX has no form for its types.
fn through_onnx(graph: &Graph, inputs: &[Tensor]) -> Option<Result<Vec<Tensor>, GraphError>> {
    let bytes = onnx::export_bytes(graph).ok()?;
    let back = onnx::import_bytes(Bytes::from(bytes), None, "case");
    Some(back.and_then(|back| Reference::new(&back).run(inputs)))
}

/// Both engines of codes against their specifications, where the case can be quantized.
fn engines_of_codes(graph: &Graph, inputs: &[Tensor]) -> Result<(), String> {
    let Ok(calibration) = calibrate(graph, &Reference::new(graph), [inputs.to_vec()]) else { return Ok(()) };
    if let Ok(quantized) = quantize(graph, &QuantizationConfig::default(), &calibration) {
        let specified = IntegerReference::new(&quantized.graph).and_then(|engine| engine.run(inputs));
        let found = IntegerExecutor::new(&quantized.graph).and_then(|engine| engine.run(inputs));
        match (found, specified) {
            (Ok(found), Ok(specified)) if found == specified => {}
            (found, specified) => return Err(format!("integers: {found:?} for {specified:?}")),
        }
    }
    if let Ok(network) = quantize_qdq(graph, &QdqConfig::default(), &calibration) {
        let lowered = lower(&network.graph).map_err(|error| error.to_string())?;
        let specified = IntegerReference::new(&lowered).and_then(|engine| engine.run(inputs));
        let found = IntegerExecutor::new(&lowered).and_then(|engine| engine.run(inputs));
        match (found, specified) {
            (Ok(found), Ok(specified)) if found == specified => {}
            (found, specified) => return Err(format!("8 bits: {found:?} for {specified:?}")),
        }
    }
    Ok(())
}

#[test]
fn every_operator_runs_on_every_engine() {
    let mut failures = Vec::new();
    for case in cases() {
        for n_computed in [1, case.inputs.len()] {
            let graph = graph_of(&case, n_computed);
            let inputs = &case.inputs[..n_computed];
            let mut check = |what: &str, found: Result<Vec<Tensor>, GraphError>| match found {
                Ok(found) if is_close(&found, &case.expected) => {}
                found => failures.push(format!("{} ({what}): {found:?} for {:?}", case.what, case.expected)),
            };
            check("f32", CpuExecutor::new(&graph).and_then(|engine| engine.run(inputs)));
            // A file cannot say that an extent is 0.
            let has_empty = inputs.iter().any(|input| input.shape().contains(&0));
            if let Some(found) = through_onnx(&graph, inputs).filter(|_| !has_empty) {
                check("ONNX", found);
            }
            if inputs.iter().all(|input| input.dtype() == DType::F32) {
                failures.extend(engines_of_codes(&graph, inputs).err().map(|wrong| format!("{}: {wrong}", case.what)));
            }
        }
    }
    assert!(failures.is_empty(), "{} wrong\n{}", failures.len(), failures.join("\n"));
}
