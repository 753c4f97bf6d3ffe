//! Networks that choose and repeat: `If`, `Loop` and `Scan`.

use skimp_graph::reference::Reference;
use skimp_graph::{Executor as _, Graph, Op, Tensor, onnx, shape, statistics};

use crate::build::*;
use crate::round_trip::through_file;

fn run(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let outputs = Reference::new(graph).run(inputs).expect("it fits");
    assert_eq!(*graph, through_file(graph));
    outputs
}

fn f(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::from_f32(shape.to_vec(), data.to_vec())
}

fn truth(value: bool) -> Tensor {
    Tensor::new(vec![], vec![value].into()).expect("a scalar")
}

fn count(value: i64) -> Tensor {
    Tensor::from_i64(vec![], vec![value])
}

fn names(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(|node| node.op.name()).collect()
}

/// Branches with weights of their own, of which one reads a weight of the graph around it, and one hands a value on.
#[test]
fn branches_read_what_surrounds_them() {
    let then = graph_attribute(
        "then_branch",
        &[],
        &[node("MatMul", &["h", "w"], &["p"], &[]), node("Add", &["p", "b"], &["out"], &[])],
        &["out"],
    );
    let other = graph_attribute("else_branch", &[], &[], &["h"]);
    let model = Model::new(17)
        .input("x", FLOAT, &[Named("N"), Is(2)])
        .input("is", BOOL, &[])
        .initializer(&floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]))
        .initializer(&floats("b", &[2], &[0.5, -0.5]))
        .node("Neg", &["x"], &["h"], &[])
        .node("If", &["is"], &["y"], &[then, other])
        .node("Relu", &["y"], &["z"], &[])
        .output("y")
        .output("z");
    let graph = model.import().expect("both branches give the same type");
    assert_eq!(names(&graph), ["Neg", "If", "Relu"]);
    let x = f(&[1, 2], &[-1.0, 1.0]);
    let outputs = run(&graph, &[x.clone(), truth(true)]);
    // h = (1, -1); h · w = (-2, -2).
    assert_eq!(outputs, [f(&[1, 2], &[-1.5, -2.5]), f(&[1, 2], &[0.0, 0.0])]);
    assert_eq!(run(&graph, &[x, truth(false)]), [f(&[1, 2], &[1.0, -1.0]), f(&[1, 2], &[1.0, 0.0])]);
    // The larger branch counts.
    let shapes = shape::infer(&graph, &[vec![3, 2], vec![]]).expect("it fits");
    let counted = statistics::compute(&graph, &shapes);
    assert_eq!((counted.macs, counted.weights, counted.parameters), (3 * 2 * 2, 4, 6));
}

#[test]
fn branches_of_different_types_are_refused_with_both() {
    let branch = |label: &str, axis: i64| {
        let concat = node("Concat", &["x", "x"], &["out"], &[int_attribute("axis", axis)]);
        graph_attribute(label, &[], &[concat], &["out"])
    };
    let model = Model::new(17)
        .input("x", FLOAT, &[Is(1), Is(2)])
        .input("is", BOOL, &[])
        .node("If", &["is"], &["y"], &[branch("then_branch", 0), branch("else_branch", 1)])
        .output("y");
    let graph = model.import().expect("the ranks are equal");
    let error = Reference::new(&graph).run(&[f(&[1, 2], &[0.0; 2]), truth(true)]).expect_err("types differ");
    let error = error.to_string();
    assert!(error.contains("node_y") && error.contains("[2, 2]") && error.contains("[1, 4]"), "{error}");
}

/// `squeeze` of an axis that may be 1, as TorchScript writes it: only the extents of the input decide. Of two branches on data
/// one may fit other extents only.
#[test]
fn extents_of_the_inputs_decide_between_branches() {
    let branch = |label: &str, nodes: &[Message], output: &str| graph_attribute(label, &[], nodes, &[output]);
    let squeeze = |name: &str| {
        let nodes = [node("Squeeze", &["x", "axes"], &["s"], &[]), node("Add", &["s", "long"], &["t"], &[])];
        branch(name, &nodes, "t")
    };
    let model = Model::new(17)
        .input("x", FLOAT, &[Is(2), Absent])
        .input("is", BOOL, &[])
        .initializer(&ints("axes", &[1]))
        .initializer(&ints("one", &[1]))
        .initializer(&floats("long", &[2], &[1.0, 2.0]))
        .node("Shape", &["x"], &["extent"], &[int_attribute("start", 1)])
        .node("Equal", &["extent", "one"], &["narrow"], &[])
        .node(
            "If",
            &["narrow"],
            &["h"],
            &[squeeze("then_branch"), branch("else_branch", &[node("Identity", &["x"], &["t"], &[])], "t")],
        )
        .output("h");
    let error = model.import().expect_err("an open extent decides").to_string();
    assert!(error.contains("extents of an input"), "{error}");
    let import = |model: &Model, extents: &[usize]| {
        let extents = [("x".to_owned(), extents.to_vec())];
        onnx::import_bytes_for(model.to_bytes().into(), None, "test", &extents)
    };
    let graph = import(&model, &[2, 1]).expect("the extent is 1");
    assert_eq!(run(&graph, &[f(&[2, 1], &[1.0, 1.0]), truth(true)]), [f(&[2], &[2.0, 3.0])]);
    let graph = import(&model, &[2, 2]).expect("the extent is 2");
    assert_eq!(run(&graph, &[f(&[2, 2], &[1.0; 4]), truth(true)]), [f(&[2, 2], &[1.0; 4])]);
    let error = import(&model, &[3, 2]).expect_err("the file says 2").to_string();
    assert!(error.contains("\"x\"") && error.contains("[3, 2]"), "{error}");
    // A branch that is not read for these extents is refused where it is taken.
    let taken = model.node(
        "If",
        &["is"],
        &["y"],
        &[
            branch("then_branch", &[node("Neg", &["h"], &["n"], &[])], "n"),
            branch("else_branch", &[node("Einsum", &["h"], &["e"], &[text_attribute("equation", "abc->a")])], "e"),
        ],
    );
    let taken = taken.output("y");
    let graph = import(&taken, &[2, 1]).expect("one branch fits");
    let x = f(&[2, 1], &[1.0, 1.0]);
    let outputs = Reference::new(&graph).run(&[x.clone(), truth(true)]).expect("that branch");
    assert_eq!(outputs[1], f(&[2], &[-2.0, -3.0]));
    if let Err(error) = Reference::new(&graph).run(&[x, truth(false)]) {
        assert!(error.to_string().contains("node_"), "{error}");
    } else {
        panic!("the other branch does not fit");
    }
}

fn accumulate(condition: &str) -> Message {
    // s' = s + w · trip; r = s'. It goes on while s' < 10, or as it was told.
    let inputs = [value_info("trip", INT64, &[]), value_info("on", BOOL, &[]), value_info("s", FLOAT, &[Is(2)])];
    let nodes = [
        node("Cast", &["trip"], &["t"], &[int_attribute("to", 1)]),
        node("Mul", &["w", "t"], &["m"], &[]),
        node("Add", &["s", "m"], &["next"], &[]),
        node("Identity", &["next"], &["r"], &[]),
        node("ReduceMax", &["next"], &["most"], &[int_attribute("keepdims", 0)]),
        node("Less", &["most", "ten"], &["less"], &[]),
        node("Identity", &["on"], &["told"], &[]),
    ];
    graph_attribute("body", &inputs, &nodes, &[condition, "next", "r"])
}

fn loop_model() -> Model {
    Model::new(17)
        .input("x", FLOAT, &[Is(2)])
        .initializer(&floats("w", &[2], &[1.0, 2.0]))
        .initializer(&floats("ten", &[], &[10.0]))
        .initializer(&int_scalar("three", 3))
        .output("y")
}

#[test]
fn loops_of_a_known_number_of_trips_are_written_out() {
    let model = loop_model().node("Loop", &["three", "", "x"], &["y", "all"], &[accumulate("told")]).output("all");
    let graph = model.import().expect("three trips");
    assert!(!names(&graph).contains(&"Loop"));
    let outputs: Vec<&str> = graph.outputs().iter().map(|id| graph.value(*id).name.as_str()).collect();
    assert_eq!(outputs, ["y", "all"]);
    let outputs = run(&graph, &[f(&[2], &[1.0, 1.0])]);
    assert_eq!(outputs, [f(&[2], &[4.0, 7.0]), f(&[3, 2], &[1.0, 1.0, 2.0, 3.0, 4.0, 7.0])]);
}

#[test]
fn loops_that_the_data_end_run() {
    let model = loop_model().node("Loop", &["", "", "x"], &["y"], &[accumulate("less")]);
    let graph = model.import().expect("no stacked results are read");
    assert_eq!(names(&graph), ["Loop"]);
    // 1 + 2 · (0 + 1 + 2 + 3) = 13 ends it.
    assert_eq!(run(&graph, &[f(&[2], &[1.0, 1.0])]), [f(&[2], &[7.0, 13.0])]);
    // A number of trips that is an input ends it earlier.
    let model = loop_model().input("n", INT64, &[]).input("starts", BOOL, &[]);
    let graph = model.node("Loop", &["n", "starts", "x"], &["y"], &[accumulate("less")]).import().expect("supported");
    let x = f(&[2], &[1.0, 1.0]);
    assert_eq!(run(&graph, &[x.clone(), count(2), truth(true)]), [f(&[2], &[2.0, 3.0])]);
    assert_eq!(run(&graph, &[x.clone(), count(0), truth(true)]), [f(&[2], &[1.0, 1.0])]);
    assert_eq!(run(&graph, &[x, count(2), truth(false)]), [f(&[2], &[1.0, 1.0])]);
    let stacked = loop_model().node("Loop", &["", "", "x"], &["y", "all"], &[accumulate("less")]).output("all");
    let error = stacked.import().expect_err("nobody knows how many there are").to_string();
    assert!(error.contains("node_y") && error.contains("stacked results"), "{error}");
}

/// As many trips as an input has rows: each adds a row and its square to what was there.
#[test]
fn loops_over_an_open_extent_run() {
    let inputs = [value_info("trip", INT64, &[]), value_info("on", BOOL, &[]), value_info("s", FLOAT, &[Is(2)])];
    let nodes = [
        node("Gather", &["x", "trip"], &["row"], &[int_attribute("axis", 0)]),
        node("Add", &["s", "row"], &["next"], &[]),
        node("Mul", &["row", "row"], &["square"], &[]),
    ];
    let body = graph_attribute("body", &inputs, &nodes, &["on", "next", "square"]);
    let model = Model::new(17)
        .input("x", FLOAT, &[Named("T"), Is(2)])
        .initializer(&floats("start", &[2], &[0.0; 2]))
        .initializer(&int_scalar("zero", 0))
        .node("Shape", &["x"], &["shape"], &[])
        .node("Gather", &["shape", "zero"], &["n"], &[])
        .node("Loop", &["n", "", "start"], &["y", "all"], &[body])
        .output("y")
        .output("all");
    let graph = model.import().expect("the extent is one of an input");
    let op = graph.nodes().iter().find(|node| matches!(node.op, Op::Scan(_)));
    assert!(op.is_some(), "{:?}", names(&graph));
    let x = f(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let outputs = run(&graph, &[x]);
    assert_eq!(outputs, [f(&[2], &[9.0, 12.0]), f(&[3, 2], &[1.0, 4.0, 9.0, 16.0, 25.0, 36.0])]);
    assert_eq!(run(&graph, &[f(&[0, 2], &[])]), [f(&[2], &[0.0; 2]), f(&[0, 2], &[])]);
}

/// Along the second axis, backwards, and its results from the last to the first, along the second axis.
#[test]
fn scans_go_along_any_axis_both_ways() {
    let inputs = [value_info("sum", FLOAT, &[Is(2)]), value_info("x_i", FLOAT, &[Is(2)])];
    let nodes = [node("Add", &["sum", "x_i"], &["next"], &[]), node("Identity", &["next"], &["out"], &[])];
    let attributes = [
        graph_attribute("body", &inputs, &nodes, &["next", "out"]),
        int_attribute("num_scan_inputs", 1),
        ints_attribute("scan_input_axes", &[-1]),
        ints_attribute("scan_input_directions", &[1]),
        ints_attribute("scan_output_axes", &[1]),
        ints_attribute("scan_output_directions", &[1]),
    ];
    let model = Model::new(17)
        .input("start", FLOAT, &[Is(2)])
        .input("x", FLOAT, &[Is(2), Named("T")])
        .node("Scan", &["start", "x"], &["y", "all"], &attributes)
        .output("y")
        .output("all");
    let graph = model.import().expect("supported");
    // Sums of 3, 2, 1 and 6, 5, 4, each put in front of those before.
    let outputs = run(&graph, &[f(&[2], &[0.0; 2]), f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])]);
    assert_eq!(outputs, [f(&[2], &[6.0, 15.0]), f(&[2, 3], &[6.0, 5.0, 3.0, 15.0, 11.0, 6.0])]);
}

/// A choice inside of a loop inside of a choice, each of which reads values of those around it.
#[test]
fn graphs_nest() {
    let step = |label: &str, op: &str| {
        graph_attribute(
            label,
            &[],
            &[node(op, &["s", "x"], &[&format!("{label}_out")], &[])],
            &[&format!("{label}_out")],
        )
    };
    let inputs = [value_info("trip", INT64, &[]), value_info("on", BOOL, &[]), value_info("s", FLOAT, &[Is(1)])];
    let nodes = [
        node("ReduceMax", &["s"], &["most"], &[int_attribute("keepdims", 0)]),
        node("Less", &["most", "ten"], &["small"], &[]),
        node("If", &["small"], &["next"], &[step("then_branch", "Add"), step("else_branch", "Sub")]),
    ];
    let body = graph_attribute("body", &inputs, &nodes, &["on", "next"]);
    let repeat = graph_attribute("then_branch", &[], &[node("Loop", &["n", "", "x"], &["last"], &[body])], &["last"]);
    let leave = graph_attribute("else_branch", &[], &[node("Identity", &["x"], &["same"], &[])], &["same"]);
    let model = Model::new(17)
        .input("x", FLOAT, &[Is(1)])
        .input("n", INT64, &[])
        .input("is", BOOL, &[])
        .initializer(&floats("ten", &[], &[10.0]))
        .node("If", &["is"], &["y"], &[repeat, leave])
        .output("y");
    let graph = model.import().expect("supported");
    assert_eq!(names(&graph), ["If"]);
    // 4, 8, 12, 8, 12.
    assert_eq!(run(&graph, &[f(&[1], &[4.0]), count(4), truth(true)]), [f(&[1], &[12.0])]);
    assert_eq!(run(&graph, &[f(&[1], &[4.0]), count(3), truth(false)]), [f(&[1], &[4.0])]);
}

#[test]
fn unknown_operators_in_branches_are_named_with_the_way_out() {
    let branch = |label: &str, op: &str| {
        let inner = Message::new().text(1, "x").text(2, "out").text(3, "inner").text(4, op);
        graph_attribute(label, &[], &[inner], &["out"])
    };
    let model = Model::new(17)
        .input("x", FLOAT, &[Is(1)])
        .input("is", BOOL, &[])
        .node("If", &["is"], &["y"], &[branch("then_branch", "NonZero"), branch("else_branch", "StringConcat")])
        .raw_node(&node("GroupNorm", &["y"], &["z"], &[]).text(7, "com.microsoft"))
        .output("z");
    let error = model.import().expect_err("three unknown operators").to_string();
    for fragment in [
        "node_y.then_branch.inner",
        "(NonZero)",
        "StringConcat",
        "cut the text processing off",
        "com.microsoft.GroupNorm",
        "ORT_DISABLE_ALL",
    ] {
        assert!(error.contains(fragment), "{fragment}: {error}");
    }
}

/// Masked, quantized, turned and cast weights are weights, above any size.
#[test]
fn weights_that_constants_make_are_weights() {
    let (rows, columns) = (100, 120);
    let mask: Vec<u8> = (0..rows * columns).map(|idx| u8::from(idx % 3 == 0)).collect();
    let model = Model::new(17)
        .input("x", FLOAT, &[Named("N"), Is(columns)])
        .initializer(&floats("w", &[rows, columns], &vec![0.5; (rows * columns) as usize]))
        .initializer(&tensor("mask", UINT8, &[rows, columns], &mask))
        .initializer(&floats("scale", &[], &[0.25]))
        .node("Cast", &["mask"], &["m"], &[int_attribute("to", 1)])
        .node("Mul", &["w", "m"], &["masked"], &[])
        .node("QuantizeLinear", &["masked", "scale"], &["codes"], &[])
        .node("DequantizeLinear", &["codes", "scale"], &["fake"], &[])
        .node("Transpose", &["fake"], &["turned"], &[ints_attribute("perm", &[1, 0])])
        .node("MatMul", &["x", "turned"], &["y"], &[])
        .output("y");
    let graph = model.import().expect("supported");
    assert_eq!(names(&graph), ["DequantizeLinear", "Transpose", "MatMul"]);
    let shapes = shape::infer(&graph, &[vec![1, columns as usize]]).expect("it fits");
    assert_eq!(statistics::compute(&graph, &shapes).weights, (rows * columns) as u64);
    let y = run(&graph, &[f(&[1, columns as usize], &[1.0; 120])]).remove(0);
    assert_eq!(y, f(&[1, 100], &[20.0; 100]));
    let float = Model::new(17)
        .input("x", FLOAT, &[Named("N"), Is(columns)])
        .initializer(&floats("w", &[rows, columns], &vec![0.5; (rows * columns) as usize]))
        .initializer(&tensor("mask", UINT8, &[rows, columns], &mask))
        .node("Cast", &["mask"], &["m"], &[int_attribute("to", 1)])
        .node("Mul", &["w", "m"], &["masked"], &[])
        .node("Transpose", &["masked"], &["turned"], &[ints_attribute("perm", &[1, 0])])
        .node("MatMul", &["x", "turned"], &["y"], &[])
        .output("y");
    let graph = float.import().expect("supported");
    assert_eq!(names(&graph), ["MatMul"]);
    let bytes = onnx::export_bytes(&graph).expect("plain ONNX");
    assert_eq!(onnx::import_bytes(bytes.into(), None, "again").expect("its own file"), graph);
}
