//! Attention on rows of a stack: dense layers on three axes, products of two values.

use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::integer::{IntegerEngine, IntegerOp, IntegerReference, Requantization, lower};
use skimp_graph::ops;
use skimp_graph::reference::Reference;
use skimp_graph::testing::random_tensor;
use skimp_graph::{DType, Dim, Executor, Graph, GraphBuilder, Op, Tensor, ValueId};
use skimp_quant::{QdqConfig, QuantizationConfig, calibrate, quantize, quantize_qdq, read_qdq};

const WIDTH: usize = 8;
const HEADS: usize = 2;

/// Two heads of attention over five rows, with biases behind the queries alone.
fn attention() -> (Graph, Vec<Tensor>) {
    let mut builder = GraphBuilder::new("attention");
    let dims = [Dim::Free("n".to_owned()), Dim::Fixed(5), Dim::Fixed(WIDTH)];
    let x = builder.input("x", DType::F32, dims.to_vec());
    let mut heads = |name: &str, has_bias: bool, perm: [usize; 4]| -> ValueId {
        let drawn = |part: &str, shape: Vec<usize>| random_tensor(3, &format!("{name}.{part}"), shape, 0.0, 0.4);
        let weight = builder.constant(format!("{name}.w"), drawn("w", vec![WIDTH, WIDTH]));
        let mut y = builder.node(name, Op::MatMul, &[x, weight]);
        if has_bias {
            let bias = builder.constant(format!("{name}.b"), drawn("b", vec![WIDTH]));
            y = builder.node(format!("{name}.bias"), Op::Add, &[y, bias]);
        }
        let shape = vec![0, 5, HEADS as i64, (WIDTH / HEADS) as i64];
        let reshape = Op::Reshape(ops::Reshape { shape, allow_zero: false });
        let y = builder.node(format!("{name}.heads"), reshape, &[y]);
        builder.node(format!("{name}.turned"), Op::Transpose(ops::Transpose { perm: perm.to_vec() }), &[y])
    };
    let queries = heads("queries", true, [0, 2, 1, 3]);
    let keys = heads("keys", false, [0, 2, 3, 1]);
    let values = heads("values", false, [0, 2, 1, 3]);
    let scores = builder.node("scores", Op::MatMul, &[queries, keys]);
    let shares = builder.node("shares", Op::Softmax(ops::Softmax { axis: -1 }), &[scores]);
    let mixed = builder.node("mixed", Op::MatMul, &[shares, values]);
    builder.output(mixed);
    (builder.build().unwrap(), vec![random_tensor(3, "x", vec![3, 5, WIDTH], 0.0, 1.0)])
}

fn is_close(found: &Tensor, expected: &Tensor, share: f32) {
    let (found, expected) = (found.as_f32().unwrap(), expected.as_f32().unwrap());
    let magnitude = expected.iter().fold(0_f32, |max, x| max.max(x.abs()));
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= magnitude * share, "{f} for {e} of {magnitude}");
    }
}

#[test]
fn products_of_two_values_run_on_codes() {
    let (graph, inputs) = attention();
    let calibration = calibrate(&graph, &Reference::new(&graph), [inputs.clone()]).unwrap();
    let expected = Reference::new(&graph).run(&inputs).unwrap();
    let quantized = quantize(&graph, &QuantizationConfig::default(), &calibration).unwrap();
    let floats: Vec<&str> = quantized.report.float_nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(floats, ["shares"]);
    let multipliers: Vec<&str> = quantized.graph.multipliers().collect();
    assert_eq!(multipliers, ["queries", "keys", "values", "scores", "mixed"]);
    let reference = IntegerReference::new(&quantized.graph).unwrap().run(&inputs).unwrap();
    let executor = IntegerExecutor::new(&quantized.graph).unwrap().run(&inputs).unwrap();
    assert_eq!(reference, executor);
    // Each conversion to 16 bits errs by half of 2^-15 of its range; there are six in a row.
    is_close(&reference[0], &expected[0], 1.0 / 4096.0);
}

#[test]
fn the_qdq_form_has_products_and_layers_of_stacked_rows() {
    let (graph, inputs) = attention();
    let calibration = calibrate(&graph, &Reference::new(&graph), [inputs.clone()]).unwrap();
    let expected = Reference::new(&graph).run(&inputs).unwrap();
    for requantization in Requantization::ALL {
        let config = QdqConfig { requantization, ..QdqConfig::default() };
        let network = quantize_qdq(&graph, &config, &calibration).unwrap();
        let layers: Vec<&str> = network.layers.iter().map(|layer| layer.name.as_str()).collect();
        assert_eq!(
            (layers, &network.products[..]),
            (vec!["queries", "keys", "values"], &["scores".to_owned(), "mixed".to_owned()][..])
        );
        // As f32 computes the file, and on codes: eight bits, seven conversions in a row.
        is_close(&Reference::new(&network.graph).run(&inputs).unwrap()[0], &expected[0], 0.05);
        let lowered = lower(&network.graph).unwrap();
        assert_eq!(lowered.multipliers().collect::<Vec<_>>(), ["queries", "keys", "values", "scores", "mixed"]);
        assert_eq!(lowered.nodes.iter().filter(|node| matches!(node.op, IntegerOp::Product { .. })).count(), 2);
        let reference = IntegerReference::new(&lowered).unwrap().run(&inputs).unwrap();
        assert_eq!(reference, IntegerExecutor::new(&lowered).unwrap().run(&inputs).unwrap());
        is_close(&reference[0], &expected[0], 0.05);
        assert_eq!(read_qdq(&network.graph, skimp_quant::FirstLayer::default()).unwrap().layers.len(), 3);
    }
}
