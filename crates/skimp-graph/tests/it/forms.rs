//! Every form that operator sets 7 to 28 give an operator leads to the same graph operator.

use skimp_graph::ops;
use skimp_graph::reference::Reference;
use skimp_graph::{AutoPad, Dim, Executor as _, Graph, Op, Pad, PadMode, Slice, Tensor};

use crate::build::*;
use crate::compare::{Tolerance, difference};
use crate::round_trip::through_file;

/// A model of one node on `x [N, 2, 3, 4]`, with integer parameters as initializers.
fn model(opset: i64, op: &str, parameters: &[(&str, Message)], attributes: &[Message]) -> Model {
    let mut model = Model::new(opset).input("x", FLOAT, &[Named("N"), Is(2), Is(3), Is(4)]);
    let mut inputs = vec!["x"];
    for (name, tensor) in parameters {
        if !name.is_empty() {
            model = model.initializer(tensor);
        }
        inputs.push(name);
    }
    model.node(op, &inputs, &["y"], attributes).output("y")
}

fn only_op(model: &Model) -> Op {
    let graph = model.import().expect("valid");
    assert_eq!(graph.nodes().len(), 1, "{graph:?}");
    assert!(graph.values().iter().all(|value| value.constant.is_none()), "parameters are no constants");
    assert_eq!(graph, through_file(&graph));
    graph.nodes()[0].op.clone()
}

fn p(name: &'static str, values: &[i64]) -> (&'static str, Message) {
    (name, ints(name, values))
}

fn f(name: &'static str, value: f32) -> (&'static str, Message) {
    (name, tensor(name, FLOAT, &[], &value.to_le_bytes()))
}

const NONE: (&str, Message) = ("", Message(Vec::new()));

#[test]
fn attribute_and_input_forms_agree() {
    let clip = |min, max| Op::Clip(ops::Clip { min, max });
    let pad = Op::Pad(Pad { begin: vec![0, 0, 1, -1], end: vec![0, 0, 2, 0], mode: PadMode::Constant, value: 0.5 });
    let pads = [0, 0, 1, -1, 0, 0, 2, 0];
    let slice = |steps: [i64; 2]| {
        Op::Slice(Slice { axes: vec![2, -1], starts: vec![0, 1], ends: vec![2, i64::MAX], steps: steps.to_vec() })
    };
    let mean = |axes: &[i64], keep_dims| Op::ReduceMean(ops::ReduceMean { axes: axes.to_vec(), keep_dims });
    let dims32 = tensor("ends", INT32, &[2], &[2, 0, 0, 0, 255, 255, 255, 127]);
    let cases: Vec<(Model, Op)> = vec![
        (
            model(6 + 1, "Clip", &[], &[float_attribute("min", 0.0), float_attribute("max", 6.0)]),
            clip(Some(0.0), Some(6.0)),
        ),
        (model(10, "Clip", &[], &[float_attribute("max", 6.0)]), clip(None, Some(6.0))),
        (model(11, "Clip", &[f("min", 0.0), f("max", 6.0)], &[]), clip(Some(0.0), Some(6.0))),
        (model(13, "Clip", &[NONE, f("max", 6.0)], &[]), clip(None, Some(6.0))),
        (model(13, "Clip", &[], &[]), clip(None, None)),
        (model(7, "Squeeze", &[], &[ints_attribute("axes", &[0])]), Op::Squeeze(ops::Squeeze { axes: vec![0] })),
        (model(13, "Squeeze", &[p("axes", &[0])], &[]), Op::Squeeze(ops::Squeeze { axes: vec![0] })),
        (
            model(12, "Unsqueeze", &[], &[ints_attribute("axes", &[0, 2])]),
            Op::Unsqueeze(ops::Unsqueeze { axes: vec![0, 2] }),
        ),
        (model(13, "Unsqueeze", &[p("axes", &[0, -1])], &[]), Op::Unsqueeze(ops::Unsqueeze { axes: vec![0, -1] })),
        (
            model(
                9,
                "Slice",
                &[],
                &[
                    ints_attribute("axes", &[2, -1]),
                    ints_attribute("starts", &[0, 1]),
                    ints_attribute("ends", &[2, i64::MAX]),
                ],
            ),
            slice([1, 1]),
        ),
        (
            model(
                10,
                "Slice",
                &[p("starts", &[0, 1]), p("ends", &[2, i64::MAX]), p("axes", &[2, -1]), p("steps", &[1, 2])],
                &[],
            ),
            slice([1, 2]),
        ),
        (
            model(13, "Slice", &[p("starts", &[0, 1]), ("ends", dims32)], &[]),
            Op::Slice(Slice {
                axes: vec![0, 1],
                starts: vec![0, 1],
                ends: vec![2, i64::from(i32::MAX)],
                steps: vec![1, 1],
            }),
        ),
        (model(7, "Pad", &[], &[ints_attribute("pads", &pads), float_attribute("value", 0.5)]), pad.clone()),
        (model(11, "Pad", &[p("pads", &pads), f("value", 0.5)], &[text_attribute("mode", "constant")]), pad.clone()),
        (model(18, "Pad", &[p("pads", &[-1, 1, 0, 2]), f("value", 0.5), p("axes", &[-1, 2])], &[]), pad),
        (model(7, "Split", &[], &[int_attribute("axis", 2)]), Op::Split(ops::Split { axis: 2, sizes: vec![3] })),
        (
            model(11, "ReduceMean", &[], &[ints_attribute("axes", &[2, 3]), int_attribute("keepdims", 0)]),
            mean(&[2, 3], false),
        ),
        (model(18, "ReduceMean", &[p("axes", &[2, 3])], &[]), mean(&[2, 3], true)),
        (model(18, "ReduceMean", &[], &[]), mean(&[], true)),
        (model(18, "ReduceMean", &[], &[int_attribute("noop_with_empty_axes", 1)]), Op::Identity),
        (model(7, "Dropout", &[], &[float_attribute("ratio", 0.3)]), Op::Dropout(ops::Dropout { ratio: 0.3 })),
        (model(12, "Dropout", &[f("ratio", 0.3)], &[]), Op::Dropout(ops::Dropout { ratio: 0.3 })),
        (model(13, "Dropout", &[], &[]), Op::Dropout(ops::Dropout { ratio: 0.5 })),
        (
            model(13, "Dropout", &[f("ratio", 0.3), ("training", tensor("training", BOOL, &[], &[0]))], &[]),
            Op::Dropout(ops::Dropout { ratio: 0.3 }),
        ),
        (model(13, "Softmax", &[], &[]), Op::Softmax(ops::Softmax { axis: -1 })),
        (model(7, "Softmax", &[], &[int_attribute("axis", 3)]), Op::Softmax(ops::Softmax { axis: 3 })),
        (
            model(14, "Reshape", &[p("shape", &[-1, 24])], &[int_attribute("allowzero", 1)]),
            Op::Reshape(ops::Reshape { shape: vec![-1, 24], allow_zero: true }),
        ),
        (model(7, "Transpose", &[], &[]), Op::Transpose(ops::Transpose { perm: vec![3, 2, 1, 0] })),
    ];
    for (i, (model, expected)) in cases.iter().enumerate() {
        assert_eq!(&only_op(model), expected, "case {i}");
    }
}

#[test]
fn splits_of_all_versions() {
    let split = |opset: i64, parameters: &[(&str, Message)], attributes: &[Message]| {
        let mut model = Model::new(opset).input("x", FLOAT, &[Is(2), Is(7)]);
        let mut inputs = vec!["x"];
        for (name, tensor) in parameters {
            model = model.initializer(tensor);
            inputs.push(name);
        }
        let attributes = [&[int_attribute("axis", -1)], attributes].concat();
        model.node("Split", &inputs, &["a", "b", "c"], &attributes).output("a").output("c").import()
    };
    let sizes = |graph: Graph| match &graph.nodes()[0].op {
        Op::Split(ops::Split { axis: -1, sizes }) => sizes.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(sizes(split(11, &[], &[ints_attribute("split", &[1, 2, 4])]).expect("valid")), [1, 2, 4]);
    assert_eq!(sizes(split(13, &[p("split", &[1, 2, 4])], &[]).expect("valid")), [1, 2, 4]);
    assert_eq!(sizes(split(18, &[], &[int_attribute("num_outputs", 3)]).expect("valid")), [3, 3, 1]);
    for (result, fragment) in [
        (split(13, &[], &[]), "cannot be split into 3 equal parts"),
        (split(13, &[p("split", &[1, 6])], &[]), "2 sizes for 3 outputs"),
        (split(13, &[p("split", &[-1, 4, 4])], &[]), "negative size"),
        (split(18, &[], &[int_attribute("num_outputs", 4)]), "the node has 3"),
    ] {
        let error = result.expect_err(fragment).to_string();
        assert!(error.contains(fragment), "{error}");
    }
}

fn ramp(shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    Tensor::from_f32(shape.to_vec(), (0..n).map(|i| (i as f32 * 0.37).sin() * 3.0).collect())
}

fn run(graph: &Graph, input: &Tensor) -> Vec<Tensor> {
    Reference::new(graph).run(std::slice::from_ref(input)).expect("the network runs")
}

/// Before opset 13 the softmax runs over all axes from `axis` on, as one.
#[test]
fn legacy_softmax_is_composed() {
    let x = ramp(&[2, 2, 3, 4]);
    for axis in [0_usize, 1, 2, 4] {
        let model = model(11, "Softmax", &[], &[int_attribute("axis", axis as i64)]);
        let graph = model.import().expect("valid");
        assert_eq!(graph, through_file(&graph));
        let rows: usize = x.shape()[..axis].iter().product();
        let flat = x.reshaped(vec![rows, x.len() / rows]).expect("same count");
        let expected = softmax_rows(&flat).reshaped(x.shape().to_vec()).expect("same count");
        let tolerance = Tolerance { abs: 1e-7, rel: 1e-6 };
        assert_eq!(difference(&run(&graph, &x)[0], &expected, tolerance), None, "axis {axis}");
    }
    // [n, classes, 1, 1] needs no composition.
    let plain =
        Model::new(9).input("x", FLOAT, &[Named("N"), Is(5), Is(1), Is(1)]).node("Softmax", &["x"], &["y"], &[]);
    assert_eq!(only_op(&plain.output("y")), Op::Softmax(ops::Softmax { axis: 1 }));
}

fn softmax_rows(x: &Tensor) -> Tensor {
    let data = x.as_f32().expect("f32");
    let rows = data.chunks(x.shape()[1]).flat_map(|row| {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let exps: Vec<f64> = row.iter().map(|v| f64::from(v - max).exp()).collect();
        let sum: f64 = exps.iter().sum();
        exps.into_iter().map(move |e| (e / sum) as f32)
    });
    Tensor::from_f32(x.shape().to_vec(), rows.collect())
}

#[test]
fn constants_of_all_kinds() {
    let value = tensor_attribute("value", &floats("v", &[2], &[1.0, 2.0]));
    let typed = Message::new().int(1, 2).int(2, 1).float(4, 1.0).float(4, 2.0);
    let float_list = Message::new().text(1, "value_floats").int(20, 6).float(7, 1.0).float(7, 2.0);
    for (attribute, expected) in [
        (value, Tensor::from_f32(vec![2], vec![1.0, 2.0])),
        (tensor_attribute("value", &typed), Tensor::from_f32(vec![2], vec![1.0, 2.0])),
        (float_list, Tensor::from_f32(vec![2], vec![1.0, 2.0])),
        (float_attribute("value_float", 3.0), Tensor::from_f32(vec![], vec![3.0])),
    ] {
        let graph = Model::new(13)
            .input("x", FLOAT, &[Is(1), Is(2)])
            .node("Constant", &[], &["c"], &[attribute])
            .node("Add", &["x", "c"], &["y"], &[])
            .output("y")
            .import()
            .expect("valid");
        assert_eq!(graph.nodes().len(), 1);
        let constant = graph.values().iter().find(|value| value.name == "c").and_then(|value| value.constant.clone());
        assert_eq!(constant, Some(expected));
        assert_eq!(graph, through_file(&graph));
    }
    for attributes in [vec![], vec![int_attribute("value_int", 1), int_attribute("value_ints", 1)]] {
        let model = Model::new(13).node("Constant", &[], &["y"], &attributes).output("y");
        assert!(model.import().expect_err("one value").to_string().contains("expected one"));
    }
    let integers = Model::new(13).node("Constant", &[], &["y"], &[ints_attribute("value_ints", &[3, 4])]).output("y");
    let graph = integers.import().expect("a constant network");
    assert_eq!(run_nothing(&graph), Tensor::from_i64(vec![2], vec![3, 4]));
}

fn run_nothing(graph: &Graph) -> Tensor {
    Reference::new(graph).run(&[]).expect("the network runs").remove(0)
}

#[test]
fn identities_of_weights_vanish() {
    let graph = Model::new(13)
        .input("x", FLOAT, &[Is(1), Is(2)])
        .initializer(&floats("w", &[2], &[1.0, 2.0]))
        .node("Identity", &["w"], &["shared"], &[])
        .node("Add", &["x", "shared"], &["a"], &[])
        .node("Mul", &["a", "w"], &["y"], &[])
        .output("y")
        .import()
        .expect("valid");
    assert_eq!(graph.nodes().len(), 2);
    assert_eq!(graph.nodes()[0].inputs[1], graph.nodes()[1].inputs[1]);
    assert_eq!(graph, through_file(&graph));
}

#[test]
fn extents_stay_open_or_fixed_as_in_the_file() {
    let graph = Model::new(13)
        .input("x", FLOAT, &[Named("batch"), Is(1), Is(0), Is(-1), Absent])
        .node("Relu", &["x"], &["y"], &[])
        .output("y")
        .import()
        .expect("valid");
    let open = || Dim::Free(String::new());
    assert_eq!(graph.inputs()[0].dims, [Dim::Free("batch".to_owned()), Dim::Fixed(1), open(), open(), open()]);
    assert_eq!(graph, through_file(&graph));
}

/// Automatic pads are written out where they do not depend on the input.
#[test]
fn automatic_pads_become_explicit() {
    let pool = |auto_pad: &str, stride: i64| {
        let attributes = [
            ints_attribute("kernel_shape", &[4, 3]),
            ints_attribute("strides", &[stride, 1]),
            text_attribute("auto_pad", auto_pad),
        ];
        match only_op(&model(13, "MaxPool", &[], &attributes)) {
            Op::MaxPool(ops::MaxPool { window }) => (window.auto_pad, window.pads_begin, window.pads_end),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(pool("SAME_UPPER", 1), (AutoPad::NotSet, vec![1, 1], vec![2, 1]));
    assert_eq!(pool("SAME_LOWER", 1), (AutoPad::NotSet, vec![2, 1], vec![1, 1]));
    assert_eq!(pool("VALID", 2), (AutoPad::NotSet, vec![0, 0], vec![0, 0]));
    assert_eq!(pool("SAME_UPPER", 2), (AutoPad::SameUpper, vec![0, 0], vec![0, 0]));
}

/// ONNX gave integers to Clip and Pad later, and their numbers as inputs of the same type. A file that gives a negative
/// zero as an attribute means the only one that there is.
#[test]
fn integers_have_one_zero() {
    let of_bytes = |op: &str, attributes: &[Message]| {
        let model = Model::new(10).input("x", INT8, &[Is(2)]).node(op, &["x"], &["y"], attributes).output("y");
        let graph = model.import().expect("valid");
        assert_eq!(format!("{graph:?}"), format!("{:?}", through_file(&graph)));
    };
    of_bytes("Clip", &[float_attribute("min", -0.0), float_attribute("max", 6.0)]);
    of_bytes("Pad", &[ints_attribute("pads", &[1, 1]), float_attribute("value", -0.0)]);
}
