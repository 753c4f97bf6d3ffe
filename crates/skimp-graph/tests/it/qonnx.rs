//! Operators of QONNX. Expected values are those of qonnx 1.0.0's own functions.

use skimp_graph::integer::lower;
use skimp_graph::reference::Reference;
use skimp_graph::{Executor as _, Graph, Tensor, integer};

use crate::build::*;

const X: [f32; 10] = [-3.2, -1.0, -0.625, -0.25, 0.0, 0.3, 0.375, 1.1, 2.6, 9.0];

fn contributed(domain: &str, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Message {
    node(op, inputs, outputs, attributes).text(7, domain)
}

fn run(graph: &Graph, x: Tensor) -> Vec<f32> {
    Reference::new(graph).run(&[x]).expect("it fits").remove(0).as_f32().expect("f32").to_vec()
}

fn scalars(values: &[(&str, f32)]) -> Model {
    let model = Model::new(17).input("x", FLOAT, &[Is(10)]).output("y");
    values.iter().fold(model, |model, (name, value)| model.initializer(&floats(name, &[], &[*value])))
}

fn x() -> Tensor {
    Tensor::from_f32(vec![10], X.to_vec())
}

fn quant(bits: f32, zero: f32, signed: i64, narrow: i64, mode: &str) -> Graph {
    let attributes =
        [int_attribute("signed", signed), int_attribute("narrow", narrow), text_attribute("rounding_mode", mode)];
    let op = contributed("qonnx.custom_op.general", "Quant", &["x", "s", "z", "bits"], &["y"], &attributes);
    scalars(&[("s", 0.25), ("z", zero), ("bits", bits)]).raw_node(&op).import().expect("supported")
}

#[test]
fn quant_rounds_and_clips_as_qonnx_does() {
    let most = |first: f32, last: f32| vec![first, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, last, last];
    let cases = [
        (4.0, 0.0, 1, 1, "ROUND", most(-1.75, 1.75)),
        (4.0, 0.0, 1, 0, "ROUND", most(-2.0, 1.75)),
        (3.0, 0.0, 0, 0, "ROUND", vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 1.75, 1.75]),
        (8.0, 0.0, 1, 0, "ROUND", vec![-3.25, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.5, 9.0]),
        (12.0, 0.0, 1, 0, "half_even", vec![-3.25, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.5, 9.0]),
        (20.0, 0.0, 1, 0, "ROUND", vec![-3.25, -1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0, 2.5, 9.0]),
        (2.0, 0.0, 1, 1, "ROUND", vec![-0.25, -0.25, -0.25, -0.25, 0.0, 0.25, 0.25, 0.25, 0.25, 0.25]),
        (1.0, 0.0, 1, 0, "ROUND", vec![-0.25, -0.25, -0.25, -0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]),
        (4.0, 3.0, 0, 0, "ROUND", vec![-0.75, -0.75, -0.75, -0.25, 0.0, 0.25, 0.25, 1.0, 2.5, 3.0]),
        (4.0, 0.0, 1, 1, "FLOOR", vec![-1.75, -1.0, -0.75, -0.25, 0.0, 0.25, 0.25, 1.0, 1.75, 1.75]),
        (4.0, 0.0, 1, 1, "CEIL", vec![-1.75, -1.0, -0.5, -0.25, 0.0, 0.5, 0.5, 1.25, 1.75, 1.75]),
        (4.0, 0.0, 1, 1, "UP", vec![-1.75, -1.0, -0.75, -0.25, 0.0, 0.5, 0.5, 1.25, 1.75, 1.75]),
        (4.0, 0.0, 1, 1, "DOWN", vec![-1.75, -1.0, -0.5, -0.25, 0.0, 0.25, 0.25, 1.0, 1.75, 1.75]),
        (4.0, 0.0, 1, 1, "HALF_UP", vec![-1.75, -1.0, -0.75, -0.25, 0.0, 0.25, 0.5, 1.0, 1.75, 1.75]),
        (4.0, 0.0, 1, 1, "HALF_DOWN", vec![-1.75, -1.0, -0.5, -0.25, 0.0, 0.25, 0.25, 1.0, 1.75, 1.75]),
    ];
    for (bits, zero, signed, narrow, mode, expected) in cases {
        let found = run(&quant(bits, zero, signed, narrow, mode), x());
        assert_eq!(found, expected, "{bits} bits, zero point {zero}, signed {signed}, narrow {narrow}, {mode}");
    }
}

#[test]
fn bipolar_quant_and_trunc() {
    let signs = contributed("onnx.brevitas", "BipolarQuant", &["x", "s"], &["y"], &[]);
    let graph = scalars(&[("s", 0.5)]).raw_node(&signs).import().expect("supported");
    assert_eq!(run(&graph, x()), [-0.5, -0.5, -0.5, -0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    let inputs = [("s", 0.25), ("z", 0.0), ("from", 8.0), ("to", 6.0)];
    for (mode, expected) in [
        ("FLOOR", [-1.0, -0.25, -0.25, -0.25, 0.0, 0.0, 0.0, 0.25, 0.5, 2.25]),
        ("ROUND", [-0.75, -0.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 2.25]),
    ] {
        let attributes = [text_attribute("rounding_mode", mode)];
        let names = ["x", "s", "z", "from", "to"];
        let trunc = contributed("qonnx.custom_op.general", "Trunc", &names, &["y"], &attributes);
        let graph = scalars(&inputs).raw_node(&trunc).import().expect("supported");
        assert_eq!(run(&graph, x()), expected, "{mode}");
    }
    // The second version: scale and width of the result, and its range.
    let attributes = [text_attribute("rounding_mode", "ROUND"), int_attribute("signed", 1), int_attribute("narrow", 0)];
    let names = ["x", "s", "z", "from", "t", "to"];
    let trunc = contributed("qonnx.custom_op.general", "Trunc", &names, &["y"], &attributes);
    let inputs = [("s", 0.25), ("z", 2.0), ("from", 8.0), ("t", 1.0), ("to", 3.0)];
    let graph = scalars(&inputs).raw_node(&trunc).import().expect("supported");
    assert_eq!(run(&graph, x()), [-3.5, -0.5, -0.5, -0.5, -0.5, 0.5, 0.5, 1.5, 2.5, 2.5]);
}

#[test]
fn multi_thresholds_count_along_their_axis() {
    let model = |thresholds: &Message, dims: &[Extent], attributes: &[Message]| {
        let op = contributed("qonnx.custom_op.general", "MultiThreshold", &["x", "t"], &["y"], attributes);
        let model = Model::new(17).input("x", FLOAT, dims).initializer(thresholds).raw_node(&op).output("y");
        model.import().expect("supported")
    };
    let first = Tensor::from_f32(vec![1, 2, 4], X[..8].to_vec());
    let channels = [
        float_attribute("out_scale", 0.5),
        float_attribute("out_bias", -1.0),
        text_attribute("data_layout", "NCW"),
        text_attribute("out_dtype", "INT2"),
    ];
    let graph = model(&floats("t", &[2, 3], &[-1.0, 0.0, 1.0, 0.3, 0.5, 2.0]), &[Is(1), Is(2), Is(4)], &channels);
    assert_eq!(run(&graph, first.clone()), [-1.0, -0.5, -0.5, -0.5, -1.0, -0.5, -0.5, 0.0]);
    // Three axes without a layout have channels last.
    let thresholds = floats("t", &[4, 3], &[-1.0, 0.0, 1.0, 0.0, 0.5, 2.0, -0.5, 0.5, 1.0, 0.1, 0.2, 0.3]);
    let graph = model(&thresholds, &[Is(1), Is(2), Is(4)], &[]);
    assert_eq!(run(&graph, first), [0.0, 0.0, 0.0, 0.0, 2.0, 1.0, 1.0, 3.0]);
    // One line for all channels.
    let graph = model(&floats("t", &[1, 2], &[0.0, 1.0]), &[Is(1), Is(1), Is(1), Is(2)], &[]);
    assert_eq!(run(&graph, Tensor::from_f32(vec![1, 1, 1, 2], vec![0.5, 1.5])), [1.0, 2.0]);
}

/// A layer of 4-bit weights for each channel between activations of 8 and 3 bits is one of the integer network.
#[test]
fn quantized_layers_go_through_the_integer_network() {
    let domain = "qonnx.custom_op.general";
    let signed = [int_attribute("signed", 1), int_attribute("narrow", 1), text_attribute("rounding_mode", "ROUND")];
    let unsigned = [int_attribute("signed", 0), int_attribute("narrow", 0), text_attribute("rounding_mode", "ROUND")];
    let model = [("s", 0.25), ("z", 0.0), ("eight", 8.0), ("four", 4.0), ("three", 3.0)]
        .iter()
        .fold(Model::new(17), |model, (name, value)| model.initializer(&floats(name, &[], &[*value])))
        .input("x", FLOAT, &[Named("N"), Is(2), Is(1), Is(1)])
        .initializer(&floats("w", &[2, 2, 1, 1], &[0.5, -0.25, 3.0, 1.0]))
        .initializer(&floats("ws", &[2, 1, 1, 1], &[0.25, 0.5]))
        .raw_node(&contributed(domain, "Quant", &["x", "s", "z", "eight"], &["xq"], &signed))
        .raw_node(&contributed(domain, "Quant", &["w", "ws", "z", "four"], &["wq"], &signed))
        .node("Conv", &["xq", "wq"], &["c"], &[])
        .node("Relu", &["c"], &["r"], &[])
        .raw_node(&contributed(domain, "Quant", &["r", "s", "z", "three"], &["y"], &unsigned))
        .output("y");
    let graph = model.import().expect("supported");
    let x = Tensor::from_f32(vec![1, 2, 1, 1], vec![1.0, 1.0]);
    // 0.5 - 0.25 and 3 + 1, of which codes up to 7 quarters are left.
    assert_eq!(run(&graph, x.clone()), [0.25, 1.75]);
    let integer = lower(&graph).expect("a QDQ network");
    let macs = integer.nodes.iter().filter(|node| matches!(node.op, integer::IntegerOp::Mac(_))).count();
    assert_eq!(macs, 1);
    assert_eq!(integer.float_nodes().count(), 0);
    let bits = integer.nodes.iter().find_map(|node| match &node.op {
        integer::IntegerOp::Mac(layer) => Some(layer.weight_bits),
        _ => None,
    });
    assert_eq!(bits, Some(4));
}
