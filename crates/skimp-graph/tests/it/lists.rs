//! Sequences and optionals, which the importer takes apart, and what else of a file it leaves behind or refuses.

use skimp_graph::reference::Reference;
use skimp_graph::{Executor as _, Graph, Tensor};

use crate::build::*;
use crate::round_trip::through_file;

fn base() -> Model {
    Model::new(18)
        .input("x", FLOAT, &[Is(2), Is(3)])
        .initializer(&int_scalar("last", -1))
        .initializer(&int_scalar("two", 2))
}

/// The outputs for the numbers from 1 to 6, which the export of the graph gives as well.
fn run(model: &Model) -> Vec<Tensor> {
    let graph = model.import().expect("its lengths are known");
    let x = [Tensor::from_f32(vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])];
    let of = |graph: &Graph| Reference::new(graph).run(&x).expect("it fits");
    let outputs = of(&graph);
    assert_eq!(of(&through_file(&graph)), outputs);
    outputs
}

fn floats_of(model: &Model) -> (Vec<usize>, Vec<f32>) {
    let outputs = run(model);
    (outputs[0].shape().to_vec(), outputs[0].as_f32().expect("f32").to_vec())
}

#[test]
fn pieces_of_a_value_are_its_elements() {
    let axis = int_attribute("axis", 1);
    let by_two = base()
        .node("SplitToSequence", &["x", "two"], &["list"], std::slice::from_ref(&axis))
        .node("SequenceAt", &["list", "last"], &["y"], &[])
        .output("y");
    assert_eq!(floats_of(&by_two), (vec![2, 1], vec![3.0, 6.0]));
    let single = base()
        .node("SplitToSequence", &["x"], &["list"], &[axis, int_attribute("keepdims", 0)])
        .node("SequenceErase", &["list"], &["short"], &[])
        .node("ConcatFromSequence", &["short"], &["y"], &[int_attribute("axis", 0), int_attribute("new_axis", 1)])
        .output("y");
    assert_eq!(floats_of(&single), (vec![2, 2], vec![1.0, 4.0, 2.0, 5.0]));
}

#[test]
fn a_loop_gathers_a_list() {
    let condition = tensor("truth", BOOL, &[], &[1]);
    let body = graph_attribute(
        "body",
        &[value_info("trip", INT64, &[]), value_info("goes_on", BOOL, &[]), Message::new().text(1, "so_far")],
        &[
            node("Gather", &["x", "trip"], &["row"], &[]),
            node("SequenceInsert", &["so_far", "row"], &["next"], &[]),
            node("Identity", &["goes_on"], &["on"], &[]),
        ],
        &["on", "next"],
    );
    let model = base()
        .initializer(&condition)
        .node("SequenceEmpty", &[], &["empty"], &[])
        .node("Loop", &["two", "truth", "empty"], &["rows"], &[body])
        .node("SequenceLength", &["rows"], &["length"], &[])
        .node("ConcatFromSequence", &["rows"], &["y"], &[int_attribute("axis", 0)])
        .output("y")
        .output("length");
    let outputs = run(&model);
    assert_eq!(outputs[0].as_f32(), Some(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]));
    assert_eq!(outputs[1].as_i64(), Some(&[2][..]));
}

#[test]
fn a_graph_makes_an_element_of_each() {
    let body = graph_attribute(
        "body",
        &[Message::new().text(1, "element")],
        &[node("Neg", &["element"], &["falling"], &[])],
        &["falling"],
    );
    let model = base()
        .node("SequenceConstruct", &["x", "x"], &["list"], &[])
        .node("SequenceMap", &["list"], &["mapped"], &[body])
        .node("Identity", &["mapped"], &["same"], &[])
        .node("ConcatFromSequence", &["same"], &["y"], &[int_attribute("axis", 0)])
        .output("y");
    assert_eq!(floats_of(&model).1[..4], [-1.0, -2.0, -3.0, -4.0]);
}

#[test]
fn an_option_is_its_element_or_nothing() {
    let other = graph_attribute("else_branch", &[], &[node("Neg", &["x"], &["falling"], &[])], &["falling"]);
    for (inputs, expected) in [(&["x"][..], 1.0), (&[], -1.0)] {
        let then = node("OptionalGetElement", &["option"], &["element"], &[]);
        let then = graph_attribute("then_branch", &[], &[then], &["element"]);
        let model = base()
            .node("Optional", inputs, &["option"], &[])
            .node("OptionalHasElement", &["option"], &["is_there"], &[])
            .node("If", &["is_there"], &["y"], &[then, other.clone()])
            .output("y");
        assert_eq!(floats_of(&model).1[0].to_bits(), f32::to_bits(expected));
    }
}

#[test]
fn a_list_whose_length_the_data_say_is_refused_with_a_way_out() {
    let open = Model::new(18)
        .input("x", FLOAT, &[Named("n"), Is(3)])
        .node("SplitToSequence", &["x"], &["list"], &[])
        .node("ConcatFromSequence", &["list"], &["y"], &[int_attribute("axis", 0)])
        .output("y");
    let error = open.import().expect_err("its length is open").to_string();
    assert!(error.contains("node_list") && error.contains("operator set 18: export with a fixed"), "{error}");
    let far = base()
        .node("SequenceConstruct", &["x", "x"], &["list"], &[])
        .node("SequenceAt", &["list", "two"], &["y"], &[])
        .output("y");
    assert!(far.import().expect_err("there are two").to_string().contains("place 2 in a list of 2"));
    let as_data =
        base().node("SequenceConstruct", &["x"], &["list"], &[]).node("Relu", &["list"], &["y"], &[]).output("y");
    assert!(as_data.import().expect_err("it is no tensor").to_string().contains("a list or an option"));
}

#[test]
fn what_no_output_reads_may_be_unknown() {
    let model = base().node("Relu", &["x"], &["y"], &[]).node("Strange", &["y"], &["unread"], &[]);
    let model = model.node("Relu", &["unread"], &["unread_either"], &[]);
    assert_eq!(floats_of(&model.clone().output("y")).1[0].to_bits(), 1.0_f32.to_bits());
    assert!(model.output("unread_either").import().expect_err("it is read").to_string().contains("Strange"));
}

#[test]
fn refusals_name_operator_set_and_way_out() {
    let k = Model::new(18)
        .input("x", FLOAT, &[Is(2), Is(3)])
        .input("k", INT64, &[Is(1)])
        .node("TopK", &["x", "k"], &["y", "places"], &[])
        .output("y");
    let refused = [
        (k, "a number of elements that is computed, of operator set 18: export with a constant k"),
        (
            base()
                .node("Constant", &[], &["t"], &[text_attribute("value_string", "a")])
                .node("Relu", &["t"], &["y"], &[])
                .output("y"),
            "attribute \"value_string\", of operator set 18: cut the text processing off",
        ),
        (
            base().node("QuantizeLinear", &["x", "x"], &["y"], &[int_attribute("block_size", 2)]).output("y"),
            "scales per block (block_size) of values that the network computes, of operator set 18: quantize",
        ),
    ];
    for (model, expected) in refused {
        let error = model.import().expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_reduction_over_no_axis_computes_on_each_element_alone() {
    let flags = [int_attribute("noop_with_empty_axes", 1)];
    for (op, expected) in
        [("ReduceSumSquare", 36.0), ("ReduceL1", 6.0), ("ReduceLogSum", 6_f32.ln()), ("ReduceSum", 6.0)]
    {
        let (shape, values) = floats_of(&base().node(op, &["x"], &["y"], &flags).output("y"));
        assert_eq!((shape, values[5].to_bits()), (vec![2, 3], f32::to_bits(expected)), "{op}");
    }
}

#[test]
fn a_constant_may_hide_scores() {
    let biases = floats("biases", &[3], &[0.5, f32::NEG_INFINITY, -1.5]);
    let model =
        base().initializer(&biases).node("Add", &["x", "biases"], &["s"], &[]).node("Relu", &["s"], &["y"], &[]);
    assert_eq!(floats_of(&model.output("y")).1, [1.5, 0.0, 1.5, 4.5, 0.0, 4.5]);
    let broken = floats("broken", &[3], &[0.5, f32::INFINITY, -1.5]);
    let model = base().initializer(&broken).node("Add", &["x", "broken"], &["y"], &[]).output("y");
    assert!(model.import().expect_err("it is no number").to_string().contains("element 1 is inf"));
}
