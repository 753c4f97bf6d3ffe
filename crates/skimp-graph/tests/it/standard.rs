//! Operators of ONNX's own that the importer expands into few nodes of others.
//!
//! Expected values are worked out by hand from the operators' texts, or from the examples there.

use skimp_graph::reference::Reference;
use skimp_graph::{Executor as _, Graph, Tensor};

use crate::build::*;
use crate::round_trip::through_file;

/// One node of operator set `opset` on `x` and initializers; its inputs are `x` and the initializers' names.
fn model(opset: i64, op: &str, dims: &[i64], others: &[(&str, Message)], attributes: &[Message]) -> Model {
    let dims: Vec<Extent> = dims.iter().map(|&extent| Is(extent)).collect();
    let model = Model::new(opset).input("x", FLOAT, &dims).output("y");
    let model = others.iter().fold(model, |model, (_, initializer)| model.initializer(initializer));
    let inputs: Vec<&str> = std::iter::once("x").chain(others.iter().map(|(name, _)| *name)).collect();
    model.node(op, &inputs, &["y"], attributes)
}

/// The outputs, which the export of the graph gives as well.
fn run(model: &Model, shape: &[usize], x: &[f32]) -> Vec<Tensor> {
    let graph = model.import().expect("supported");
    let x = [Tensor::from_f32(shape.to_vec(), x.to_vec())];
    let of = |graph: &Graph| Reference::new(graph).run(&x).expect("it fits");
    let outputs = of(&graph);
    assert_eq!(of(&through_file(&graph)), outputs);
    outputs
}

fn floats_of(outputs: &[Tensor], output: usize) -> &[f32] {
    outputs[output].as_f32().expect("f32")
}

fn close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 1e-6 * b.abs().max(1.0)), "{found:?}");
}

#[test]
fn the_least_element_is_found_as_the_greatest_of_what_falls() {
    let x = [3.0, -1.0, 2.0, 0.5, 0.5, 4.0];
    for (last, expected) in [(0, [1, 0]), (1, [1, 1])] {
        let attributes =
            [int_attribute("axis", 1), int_attribute("keepdims", 0), int_attribute("select_last_index", last)];
        let outputs = run(&model(13, "ArgMin", &[2, 3], &[], &attributes), &[2, 3], &x);
        assert_eq!((outputs[0].shape(), outputs[0].as_i64().expect("i64")), (&[2][..], &expected[..]));
    }
    // The least integer has no negative.
    let constants = ints("least", &[i64::MIN, 5, 7]);
    let integers = Model::new(13)
        .input("x", FLOAT, &[Is(1)])
        .initializer(&constants)
        .node("Cast", &["x"], &["n"], &[int_attribute("to", 7)])
        .node("Add", &["least", "n"], &["sum"], &[])
        .node("ArgMin", &["sum"], &["y"], &[])
        .output("y");
    assert_eq!(run(&integers, &[1], &[0.0])[0].as_i64(), Some(&[0][..]));
}

#[test]
fn old_names_of_operators_are_read() {
    let scales = floats_attribute("scales", &[1.0, 1.0, 1.0, 2.0]);
    let outputs = run(&model(7, "Upsample", &[1, 1, 1, 2], &[], &[scales]), &[1, 1, 1, 2], &[1.0, 2.0]);
    assert_eq!(floats_of(&outputs, 0), [1.0, 1.0, 2.0, 2.0]);
    let scales = ("scales", floats("scales", &[4], &[1.0, 1.0, 1.0, 2.0]));
    let linear =
        model(9, "Upsample", &[1, 1, 1, 2], std::slice::from_ref(&scales), &[text_attribute("mode", "linear")]);
    assert_eq!(floats_of(&run(&linear, &[1, 1, 1, 2], &[1.0, 2.0]), 0), [1.0, 1.5, 2.0, 2.0]);
    let newer =
        model(13, "Upsample", &[1, 1, 1, 2], &[scales], &[]).import().expect_err("no such operator").to_string();
    assert!(newer.contains("operator set 13 has no Upsample"), "{newer}");

    let others = [("places", ints("places", &[2, 0])), ("values", floats("values", &[2], &[7.0, 8.0]))];
    let scatter = model(9, "Scatter", &[3], &others, &[]);
    assert_eq!(floats_of(&run(&scatter, &[3], &[1.0, 2.0, 3.0]), 0), [8.0, 2.0, 7.0]);
}

/// Where extents are rounded, coordinates keep to the one scale of both axes: 8 / 5, and 6.4 rows become 6.
#[test]
fn resize_that_keeps_an_aspect_ratio_has_one_scale() {
    let attributes = [
        text_attribute("mode", "linear"),
        text_attribute("keep_aspect_ratio_policy", "not_larger"),
        ints_attribute("axes", &[2, 3]),
    ];
    let sizes = ints("sizes", &[7, 8]);
    let model = Model::new(18)
        .input("x", FLOAT, &[Is(1), Is(1), Is(4), Is(5)])
        .initializer(&sizes)
        .node("Resize", &["x", "", "", "sizes"], &["y"], &attributes)
        .output("y");
    let x: Vec<f32> = (0..20_u8).map(f32::from).collect();
    let outputs = run(&model, &[1, 1, 4, 5], &x);
    assert_eq!(outputs[0].shape(), [1, 1, 6, 8]);
    // A plane stays one between its edges: 5 times the row and the column, each (i + 0.5) / 1.6 - 0.5.
    let at = |i: usize, last: f32| ((i as f32 + 0.5) / 1.6 - 0.5).clamp(0.0, last);
    let expected: Vec<f32> = (0..48).map(|i| 5.0 * at(i / 8, 3.0) + at(i % 8, 4.0)).collect();
    close(floats_of(&outputs, 0), &expected);
}

#[test]
fn resize_of_set_10_shrinks_to_the_element_behind() {
    // ONNX 1.5's own example of shrinking, and onnxruntime's rule.
    let scales = ("scales", floats("scales", &[4], &[1.0, 1.0, 0.6, 0.6]));
    let x: Vec<f32> = (1..9).map(|i| i as f32).collect();
    let outputs = run(&model(10, "Resize", &[1, 1, 2, 4], &[scales], &[]), &[1, 1, 2, 4], &x);
    assert_eq!((outputs[0].shape(), floats_of(&outputs, 0)), (&[1, 1, 1, 2][..], &[1.0, 3.0][..]));
}

#[test]
fn functions_of_one_element() {
    let shrink = [float_attribute("lambd", 1.5), float_attribute("bias", 1.5)];
    let outputs = run(&model(9, "Shrink", &[5], &[], &shrink), &[5], &[-2.0, -1.0, 0.0, 1.0, 2.0]);
    assert_eq!(floats_of(&outputs, 0), [-0.5, 0.0, 0.0, 0.0, 0.5]);
    let x = [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX];
    let truth = |op: &str, attributes: &[Message]| {
        run(&model(20, op, &[5], &[], attributes), &[5], &x)[0].elements::<bool>().expect("truth").to_vec()
    };
    assert_eq!(truth("IsNaN", &[]), [false, true, false, false, false]);
    assert_eq!(truth("IsInf", &[]), [false, false, true, true, false]);
    assert_eq!(truth("IsInf", &[int_attribute("detect_negative", 0)]), [false, false, true, false, false]);
    assert_eq!(truth("IsInf", &[int_attribute("detect_positive", 0)]), [false, false, false, true, false]);
}

#[test]
fn hardmax_is_1_at_the_first_maximum() {
    let x = [1.0, 3.0, 3.0, 2.0, 5.0, 4.0, 0.0, 6.0];
    let last = run(&model(13, "Hardmax", &[2, 2, 2], &[], &[]), &[2, 2, 2], &x);
    assert_eq!(floats_of(&last, 0), [0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    // Before set 13, over all axes from 1 on.
    let joint = run(&model(11, "Hardmax", &[2, 2, 2], &[], &[]), &[2, 2, 2], &x);
    assert_eq!(floats_of(&joint, 0), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn norms_of_vectors_and_windows() {
    let x = [3.0, 4.0, 0.0, 0.0];
    let normalized = run(&model(22, "LpNormalization", &[2, 2], &[], &[]), &[2, 2], &x);
    assert_eq!(floats_of(&normalized, 0), [0.6, 0.8, 0.0, 0.0]);
    let first = [int_attribute("p", 1), int_attribute("axis", 0)];
    assert_eq!(
        floats_of(&run(&model(9, "LpNormalization", &[2, 2], &[], &first), &[2, 2], &x), 0),
        [1.0, 1.0, 0.0, 0.0]
    );
    let pool = [ints_attribute("kernel_shape", &[2]), ints_attribute("pads", &[1, 0])];
    close(floats_of(&run(&model(11, "LpPool", &[1, 1, 2], &[], &pool), &[1, 1, 2], &[3.0, -4.0]), 0), &[3.0, 5.0]);
    close(floats_of(&run(&model(7, "GlobalLpPool", &[1, 1, 2], &[], &[]), &[1, 1, 2], &[3.0, -4.0]), 0), &[5.0]);
    let axes = [ints_attribute("axes", &[0])];
    let outputs = run(&model(13, "MeanVarianceNormalization", &[2, 1], &[], &axes), &[2, 1], &[1.0, 3.0]);
    close(floats_of(&outputs, 0), &[-1.0, 1.0]);
}

#[test]
fn sequences_are_turned_round_as_far_as_they_go() {
    // The second example of ONNX's text.
    let x: Vec<f32> = (0..16).map(|i| i as f32).collect();
    let lengths = ("lengths", ints("lengths", &[1, 2, 3, 4]));
    let axes = [int_attribute("time_axis", 1), int_attribute("batch_axis", 0)];
    let outputs = run(&model(10, "ReverseSequence", &[4, 4], &[lengths], &axes), &[4, 4], &x);
    let expected = [0, 1, 2, 3, 5, 4, 6, 7, 10, 9, 8, 11, 15, 14, 13, 12].map(|i| i as f32);
    assert_eq!(floats_of(&outputs, 0), expected);
}

#[test]
fn ones_along_a_diagonal() {
    let outputs = run(&model(9, "EyeLike", &[2, 3], &[], &[int_attribute("k", 1)]), &[2, 3], &[0.0; 6]);
    assert_eq!(floats_of(&outputs, 0), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn bounds_that_the_network_computes() {
    let model = Model::new(13)
        .input("x", FLOAT, &[Is(3)])
        .node("ReduceMean", &["x"], &["mean"], &[int_attribute("keepdims", 0)])
        .node("Clip", &["x", "", "mean"], &["y"], &[])
        .node("Clip", &["x", "mean", "mean"], &["z"], &[])
        .output("y")
        .output("z");
    let outputs = run(&model, &[3], &[0.0, 3.0, 6.0]);
    assert_eq!((floats_of(&outputs, 0), floats_of(&outputs, 1)), (&[0.0, 3.0, 3.0][..], &[3.0, 3.0, 3.0][..]));
}

#[test]
fn normalization_by_own_statistics_and_its_outputs() {
    let vector = |name: &'static str, value: f32| (name, floats(name, &[1], &[value]));
    let others = [vector("scale", 2.0), vector("bias", 1.0), vector("mean", 4.0), vector("variance", 8.0)];
    let attributes =
        [int_attribute("training_mode", 1), float_attribute("momentum", 0.5), float_attribute("epsilon", 0.0)];
    let base = model(15, "Identity", &[2, 1], &[], &[]);
    let base = others.iter().fold(base, |model, (_, initializer)| model.initializer(initializer));
    let inputs = ["x", "scale", "bias", "mean", "variance"];
    let training = base.node("BatchNormalization", &inputs, &["z", "m", "v"], &attributes);
    let outputs = run(&training.output("z").output("m").output("v"), &[2, 1], &[1.0, 3.0]);
    // Mean 2, variance 1.
    close(floats_of(&outputs, 1), &[-1.0, 3.0]);
    close(floats_of(&outputs, 2), &[3.0]);
    close(floats_of(&outputs, 3), &[4.5]);

    let by_position = model(
        7,
        "BatchNormalization",
        &[1, 2],
        &["scale", "bias", "mean", "variance"].map(|name| (name, floats(name, &[2], &[1.0, 4.0]))),
        &[int_attribute("spatial", 0), float_attribute("epsilon", 0.0)],
    );
    close(floats_of(&run(&by_position, &[1, 2], &[2.0, 6.0]), 0), &[2.0, 8.0]);

    let scale = ("scale", floats("scale", &[2], &[1.0, 1.0]));
    let layer =
        Model::new(17).input("x", FLOAT, &[Is(1), Is(2)]).initializer(&scale.1).output("y").output("m").output("s");
    let layer = layer.node("LayerNormalization", &["x", "scale"], &["y", "m", "s"], &[float_attribute("epsilon", 0.0)]);
    let outputs = run(&layer, &[1, 2], &[1.0, 5.0]);
    close(floats_of(&outputs, 0), &[-1.0, 1.0]);
    assert_eq!((floats_of(&outputs, 1), floats_of(&outputs, 2)), (&[3.0][..], &[0.5][..]));

    // Before set 21 scale and bias are those of groups.
    let others = [("scale", floats("scale", &[2], &[1.0, 2.0])), ("bias", floats("bias", &[2], &[0.0, 1.0]))];
    let attributes = [int_attribute("num_groups", 2), float_attribute("epsilon", 0.0)];
    let groups = model(18, "GroupNormalization", &[1, 4, 1], &others, &attributes);
    close(floats_of(&run(&groups, &[1, 4, 1], &[1.0, 3.0, 2.0, 6.0]), 0), &[-1.0, 1.0, -1.0, 3.0]);
}

#[test]
fn truth_values_are_reduced_and_cut_to_triangles() {
    let model = Model::new(20)
        .input("x", FLOAT, &[Is(2), Is(2)])
        .initializer(&floats("zero", &[], &[0.0]))
        .initializer(&ints("last", &[1]))
        .node("Greater", &["x", "zero"], &["t"], &[])
        .node("ReduceMax", &["t", "last"], &["any"], &[int_attribute("keepdims", 0)])
        .node("ReduceMin", &["t", "last"], &["all"], &[int_attribute("keepdims", 0)])
        .node("Trilu", &["t"], &["upper"], &[])
        .output("any")
        .output("all")
        .output("upper");
    let outputs = run(&model, &[2, 2], &[1.0, 2.0, 3.0, -4.0]);
    let truth: Vec<&[bool]> = outputs.iter().map(|tensor| tensor.elements::<bool>().expect("truth")).collect();
    assert_eq!(truth, [&[true, true][..], &[true, false], &[true, true, false, false]]);
}

#[test]
fn codes_of_few_bits_end_where_their_type_does() {
    const UINT4: i32 = 21;
    const INT4: i32 = 22;
    let x = [-9.0, -1.0, 6.0, 30.0];
    // The zero point is 3; without clipping at 4 bits codes would reach from -6 to 33.
    for (kind, expected) in [(INT4, [-9.0, -1.0, 4.0, 4.0]), (UINT4, [-3.0, -1.0, 6.0, 12.0])] {
        let zero = tensor("zero", kind, &[], &[3]);
        let model = Model::new(21)
            .input("x", FLOAT, &[Is(4)])
            .initializer(&floats("scale", &[], &[1.0]))
            .initializer(&zero)
            .node("QuantizeLinear", &["x", "scale", "zero"], &["q"], &[])
            .node("DequantizeLinear", &["q", "scale", "zero"], &["y"], &[])
            .output("y");
        assert_eq!(floats_of(&run(&model, &[4], &x), 0), expected);
    }
    let stated = Model::new(21)
        .input("x", FLOAT, &[Is(4)])
        .initializer(&floats("scale", &[], &[1.0]))
        .node("QuantizeLinear", &["x", "scale"], &["q"], &[int_attribute("output_dtype", i64::from(INT4))])
        .node("DequantizeLinear", &["q", "scale"], &["y"], &[])
        .output("y");
    assert_eq!(floats_of(&run(&stated, &[4], &x), 0), [-8.0, -1.0, 6.0, 7.0]);
}

#[test]
fn floats_of_8_and_4_bits_are_rounded_to_their_numbers() {
    const E4M3FN: i64 = 17;
    const E5M2: i64 = 19;
    const E2M1: i64 = 23;
    // Ties to even at each precision, subnormal numbers, the greatest.
    let cases: [(i64, &[f32], &[f32]); 3] = [
        (
            E4M3FN,
            &[17.0, 19.0, 1000.0, -500.0, 0.002, 0.0009, 0.3],
            &[16.0, 20.0, 448.0, -448.0, 0.001_953_125, 0.0, 0.3125],
        ),
        (E5M2, &[9.0, 11.0, 1e9, -0.3], &[8.0, 12.0, 57_344.0, -0.3125]),
        (E2M1, &[0.2, 0.3, 2.5, 5.0, 99.0], &[0.0, 0.5, 2.0, 4.0, 6.0]),
    ];
    for (kind, x, expected) in cases {
        let n = x.len();
        let cast = Model::new(23)
            .input("x", FLOAT, &[Is(n as i64)])
            .node("Cast", &["x"], &["q"], &[int_attribute("to", kind)])
            .node("Cast", &["q"], &["y"], &[int_attribute("to", 1)])
            .output("y");
        assert_eq!(floats_of(&run(&cast, &[n], x), 0), expected);
    }
    let zero = tensor("zero", E4M3FN as i32, &[], &[0]);
    let qdq = Model::new(21)
        .input("x", FLOAT, &[Is(2), Is(1)])
        .initializer(&floats("scale", &[2], &[0.5, 2.0]))
        .initializer(&zero)
        .node(
            "QuantizeLinear",
            &["x", "scale"],
            &["q"],
            &[int_attribute("axis", 0), int_attribute("output_dtype", E4M3FN)],
        )
        .node("DequantizeLinear", &["q", "scale"], &["y"], &[int_attribute("axis", 0)])
        .output("y");
    assert_eq!(floats_of(&run(&qdq, &[2, 1], &[8.5, 34.0]), 0), [8.0, 32.0]);
}
