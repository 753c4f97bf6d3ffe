//! Networks in QDQ form with the operands that accelerators see: the sums and outputs of the file, early negative detection
//! on or off.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use skimp_cpu::integer::{IntegerExecutor, end_planes};
use skimp_graph::integer::end::ConvProblem;
use skimp_graph::integer::{CodeType, IntegerEngine, IntegerReference, MacHook, MacOperands, lower};
use skimp_graph::ops;
use skimp_graph::reference::Reference;
use skimp_graph::testing::random_tensor;
use skimp_graph::{DType, Dim, Executor, GraphBuilder, GraphError, Node, Op, Tensor, Window, onnx};
use skimp_numerics::EndTest;
use skimp_quant::{FirstLayer, NegativeSums, QdqConfig, Quantized, QuantizedLayer, Scheme, read_qdq};

use crate::onnxruntime::{read_tensors, step};
use crate::qdq::{configs, quantized, random_network};

/// Stops every output early that may stop: a negative number takes its place.
#[derive(Debug)]
struct Ends<'a> {
    quantized: &'a Quantized,
    n_stopped: AtomicUsize,
    n_outputs: AtomicUsize,
}

impl<'a> Ends<'a> {
    fn new(quantized: &'a Quantized) -> Self {
        Self { quantized, n_stopped: AtomicUsize::new(0), n_outputs: AtomicUsize::new(0) }
    }

    fn layer(&self, node_idx: usize) -> Option<&QuantizedLayer> {
        self.quantized.layers.iter().find(|layer| layer.node_idx == node_idx)
    }
}

impl MacHook for Ends<'_> {
    fn applies(&self, node_idx: usize) -> bool {
        self.layer(node_idx).is_some_and(|layer| layer.negatives == NegativeSums::Unseen)
    }

    fn change_accumulators(&self, seen: &MacOperands<'_>, accumulators: &mut [i64]) -> Result<(), GraphError> {
        let (layer, of) = (seen.layer, self.layer(seen.node_idx).expect("hooks see the layers they apply to"));
        assert!(!of.operands_signed);
        let padding = layer.zero_point + layer.input_offset;
        let (from, shape) = (seen.shape.with_images(1), seen.shape.with_images(1).with_padding_as_input());
        let [top, left] = from.pads_begin();
        let images = seen.input.data.chunks(from.input_count());
        for (image, sums) in images.zip(accumulators.chunks_mut(from.output_count())) {
            let mut operands = vec![padding; shape.input_count()];
            for (row, line) in image.chunks(from.w()).enumerate() {
                let start = ((row / from.h()) * shape.h() + top + row % from.h()) * shape.w() + left;
                let shifted = line.iter().map(|code| code + layer.input_offset);
                operands[start..start + from.w()].iter_mut().zip(shifted).for_each(|(to, operand)| *to = operand);
            }
            let problem = ConvProblem {
                activations: &operands,
                weights: &layer.weight,
                bias: &layer.bias,
                residual: None,
                shape,
                weight_bits: layer.weight_bits,
                activation_bits: of.input.bits,
                activation_signed: false,
                input_offset: 0,
            };
            let ends = end_planes(&problem, EndTest::Negative).unwrap_or_else(|error| panic!("{}: {error}", of.name));
            assert_eq!(ends.sums, sums, "{}", of.name);
            for (sum, planes) in sums.iter_mut().zip(ends.planes) {
                self.n_outputs.fetch_add(1, Ordering::Relaxed);
                if u32::from(planes) < layer.weight_bits {
                    self.n_stopped.fetch_add(1, Ordering::Relaxed);
                    *sum = -1;
                }
            }
        }
        Ok(())
    }
}

#[test]
fn early_negative_detection_changes_no_output_of_a_file() {
    let (mut n_stopped, mut n_folded, mut n_signed, mut n_wide) = (0, 0, 0, 0);
    let configs = configs();
    for seed in 0..48 {
        let (graph, inputs) = random_network(seed);
        let config = &configs[seed as usize % configs.len()];
        let network = quantized(&graph, &inputs, config).graph;
        let specified = IntegerReference::new(&lower(&network).unwrap()).unwrap().run(&inputs).unwrap();
        for first_layer in [FirstLayer::Signed, FirstLayer::Offset] {
            let read = read_qdq(&network, first_layer).unwrap();
            let context = format!("seed {seed}, {first_layer:?}, {config:?}");
            assert!(read.report.is_from_file && !read.layers.is_empty(), "{context}");
            let reference = IntegerReference::new(&read.graph).unwrap();
            assert_eq!(reference.run(&inputs).unwrap(), specified, "{context}");
            let ends = Ends::new(&read);
            assert_eq!(reference.run_with(&inputs, &ends).unwrap(), specified, "{context}");
            let executor = IntegerExecutor::new(&read.graph).unwrap();
            assert_eq!(executor.run(&inputs).unwrap(), specified, "{context}");
            assert_eq!(executor.run_with(&inputs, &ends).unwrap(), specified, "{context}");
            let recording = executor.record(&inputs).unwrap();
            assert_eq!(executor.run_recorded(&recording, &ends).unwrap(), specified, "{context}");
            n_stopped += ends.n_stopped.load(Ordering::Relaxed);
            n_signed += read.layers.iter().filter(|layer| layer.operands_signed).count();
            let layers = || read.graph.layers().map(|(_, layer)| layer);
            n_folded += layers().filter(|layer| layer.input_offset != -layer.zero_point).count();
            n_wide += layers().filter(|layer| layer.weight_bits == 9).count();
        }
    }
    // Outputs that stop, layers with operands counted from the least code, signed ones, weights with zero points.
    assert!(
        n_stopped > 1_000 && n_folded > 40 && n_signed > 40 && n_wide > 40,
        "{:?}",
        [n_stopped, n_folded, n_signed, n_wide]
    );
}

/// Files of onnxruntime's own quantizer, in every form of codes.
#[test]
fn files_of_onnxruntime_run_on_their_codes() {
    let Some(python) = skimp_testkit::python("onnxruntime, onnx and numpy") else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let kinds = ["u8-s8-channel", "u8-u8", "s8-s8", "s8-s8-symmetric", "u8-s8-symmetric-channel"];
    let mut models = vec![root.join("../../assets/networks/sample-resnet.onnx")];
    for seed in [1, 3, 5] {
        let path = folder.path().join(format!("random{seed}.onnx"));
        onnx::export(&random_network(seed).0, &path).unwrap();
        models.push(path);
    }
    let mut quantize = Command::new(&python);
    quantize.arg(root.join("tests/it/quantize_static.py"));
    let mut run = Command::new(&python);
    run.arg(root.join("../skimp-graph/tests/node_cases/onnxruntime_outputs.py"));
    let mut cases = Vec::new();
    for (i, model) in models.iter().enumerate() {
        for kind in kinds {
            let (file, results) =
                (folder.path().join(format!("{i}{kind}.onnx")), folder.path().join(format!("{i}{kind}.bin")));
            quantize.arg(model).arg(kind).arg(&file);
            run.arg(&file).arg(&results);
            cases.push((model, kind, file, results));
        }
    }
    assert!(quantize.output().expect("Python starts").status.success(), "quantize_static fails");
    assert!(run.status().expect("Python starts").success(), "onnxruntime fails");
    let mut n_stopped = 0;
    for (model, kind, file, results) in cases {
        let context = format!("{} {kind}", model.display());
        let (float, graph) = (onnx::import(model).unwrap(), onnx::import(&file).unwrap());
        let mut inputs = read_tensors(&results);
        let expected = inputs.split_off(graph.inputs().len());
        let read = read_qdq(&graph, FirstLayer::Offset).unwrap();
        let is_layer = |node: &&Node| matches!(node.op, Op::Conv(_) | Op::Gemm(_) | Op::MatMul);
        assert_eq!(read.layers.len(), float.nodes().iter().filter(is_layer).count(), "{context}");
        let executor = IntegerExecutor::new(&read.graph).unwrap();
        let found = executor.run(&inputs).unwrap();
        let ends = Ends::new(&read);
        assert_eq!(executor.run_with(&inputs, &ends).unwrap(), found, "{context}");
        n_stopped += ends.n_stopped.load(Ordering::Relaxed);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let (found, expected) = (found.as_f32().unwrap(), expected.as_f32().unwrap());
            let difference = found.iter().zip(expected).fold(0_f32, |most, (f, e)| most.max((f - e).abs()));
            let largest = expected.iter().fold(0_f32, |most, x| most.max(x.abs()));
            // Layers that onnxruntime leaves in f32 meet near-ties.
            let allowed = step(&graph, i).map_or(largest / 50.0, |step| 3.0 * step * 1.001);
            assert!(difference <= allowed, "{context}: differs by {difference}, allowed {allowed}");
        }
    }
    assert!(n_stopped > 100, "{n_stopped}");
}

/// `Clip`s of codes, a real bias and a batch normalization with a negative factor around one layer, by hand.
#[test]
fn clips_of_codes_and_batch_norms_join_layers() {
    let mut b = GraphBuilder::new("qcdq");
    let x = b.input("x", DType::F32, [1, 1, 1, 4].map(Dim::Fixed).to_vec());
    let reals = |b: &mut GraphBuilder, name: &str, values: &[f32]| {
        let shape = if values.len() == 1 { Vec::new() } else { vec![values.len()] };
        b.constant(name, Tensor::from_f32(shape, values.to_vec()))
    };
    let (half, quarter) = (reals(&mut b, "half", &[0.5]), reals(&mut b, "quarter", &[0.25]));
    let zero = b.constant("zero", CodeType::U8.tensor(Vec::new(), std::iter::once(0)).unwrap());
    let coded = |b: &mut GraphBuilder, name: &str, x| {
        let codes = b.node(format!("{name}.q"), Op::QuantizeLinear(ops::QuantizeLinear { axis: 1 }), &[x, half, zero]);
        let clip = Op::Clip(ops::Clip { min: Some(0.0), max: Some(7.0) });
        let codes = b.node(format!("{name}.clip"), clip, &[codes]);
        b.node(format!("{name}.dq"), Op::DequantizeLinear(ops::DequantizeLinear { axis: 1 }), &[codes, half, zero])
    };
    let x = coded(&mut b, "x", x);
    let codes = b.constant("codes", CodeType::I8.tensor(vec![2, 1, 1, 1], [5, -3].into_iter()).unwrap());
    let codes = b.node("codes.clip", Op::Clip(ops::Clip { min: Some(-3.0), max: Some(3.0) }), &[codes]);
    let weight = b.node("w", Op::DequantizeLinear(ops::DequantizeLinear { axis: 0 }), &[codes, quarter]);
    let bias = reals(&mut b, "bias", &[0.125, 0.0]);
    let window = Window::pointwise(2);
    let y = b.node("conv", Op::Conv(ops::Conv { window, groups: 1 }), &[x, weight, bias]);
    let parts = [[2.0, -1.0], [0.25, 0.5], [0.125, 0.0], [1.0, 1.0]].map(|part| part.to_vec());
    let parts: Vec<_> = (0..4).map(|i| reals(&mut b, &format!("bn{i}"), &parts[i])).collect();
    let norm = Op::BatchNormalization(ops::BatchNormalization { epsilon: 0.0 });
    let y = b.node("bn", norm, &[y, parts[0], parts[1], parts[2], parts[3]]);
    let y = b.node("relu", Op::Relu, &[y]);
    let y = coded(&mut b, "y", y);
    b.output(y);
    let graph = b.build().unwrap();
    let read = read_qdq(&graph, FirstLayer::Signed).unwrap();
    let layer = read.graph.layers().next().unwrap().1;
    assert_eq!((read.layers[0].input.bits, layer.weight_bits, &*layer.weight), (3, 3, &[3, 3][..]));
    assert_eq!((&layer.bias[..], &read.layers[0].negatives), (&[1, 4][..], &NegativeSums::Unseen));
    assert!(read.report.float_nodes.is_empty());
    // Codes 1, 2, 7, 7; filter 0: (3 c + 1) / 2, filter 1: (3 c + 4) / 4, halves to even, at most 7.
    let input = Tensor::from_f32(vec![1, 1, 1, 4], vec![0.5, 1.0, 4.0, 9.0]);
    for engine in [
        &IntegerReference::new(&read.graph).unwrap() as &dyn IntegerEngine,
        &IntegerExecutor::new(&read.graph).unwrap(),
    ] {
        let found = engine.run(std::slice::from_ref(&input)).unwrap();
        assert_eq!(found[0].as_f32().unwrap(), [1.0, 2.0, 3.5, 3.5, 1.0, 1.0, 3.0, 3.0], "{}", engine.name());
    }
    let float = Reference::new(&graph).run(std::slice::from_ref(&input)).unwrap();
    assert_eq!(float[0].as_f32().unwrap(), [1.0, 2.0, 3.5, 3.5, 1.0, 1.0, 3.0, 3.0]);
}

/// A network input of which neighbors are quantized differently: how operands are chosen.
#[test]
fn operands_follow_the_zero_point() {
    let (graph, _) = random_network(1);
    let shape = skimp_graph::shape::bind(&graph, 2, None).unwrap().remove(0);
    let inputs = [random_tensor(3, "x", shape, 0.3, 1.0)];
    // Code type, scheme, treatment of the first layer; least operand, padding's operand, whether operands are signed.
    let cases = [
        (CodeType::U8, Scheme::Symmetric, FirstLayer::Signed, (-128, 0, true)),
        (CodeType::I8, Scheme::Symmetric, FirstLayer::Signed, (-128, 0, true)),
        (CodeType::U8, Scheme::Symmetric, FirstLayer::Offset, (0, 128, false)),
        (CodeType::I8, Scheme::Symmetric, FirstLayer::Offset, (0, 128, false)),
        (CodeType::U8, Scheme::Asymmetric, FirstLayer::Signed, (0, 1, false)),
        (CodeType::I8, Scheme::Asymmetric, FirstLayer::Signed, (0, 1, false)),
    ];
    for (activation_type, activation_scheme, first_layer, (least, padding, signed)) in cases {
        let config = QdqConfig { activation_type, activation_scheme, ..QdqConfig::default() };
        let network = quantized(&graph, &inputs, &config).graph;
        let read = read_qdq(&network, first_layer).unwrap();
        let (layer, of) = (read.graph.layers().next().unwrap().1, &read.layers[0]);
        assert_eq!((of.input.min_code() + layer.input_offset, of.operands_signed), (least, signed), "{config:?}");
        let found = layer.zero_point + layer.input_offset;
        // An asymmetric zero point lies wherever the range wants it.
        assert!(if padding == 1 { found > 0 && found < 255 } else { found == padding }, "{config:?}: {found}");
        // After a ReLU the code of real 0 is the least that occurs, in either type.
        for (node, layer) in read.graph.layers() {
            let of = read.layers.iter().find(|of| of.name == node.name).unwrap();
            assert!(of.operands_signed || of.input.max_code() + layer.input_offset <= 255, "{config:?}");
        }
    }
}
