//! Functions that files define themselves, and sparse constants.

use skimp_graph::reference::Reference;
use skimp_graph::{Executor as _, Graph, GraphError, Tensor};

use crate::build::*;

/// A function: inputs, outputs, attributes that have no default, nodes.
fn function(name: &str, inputs: &[&str], outputs: &[&str], attributes: &[&str], nodes: &[Message]) -> Message {
    let message = Message::new().text(1, name).text(10, "own");
    let message = inputs.iter().fold(message, |message, input| message.text(4, input));
    let message = outputs.iter().fold(message, |message, output| message.text(5, output));
    let message = attributes.iter().fold(message, |message, attribute| message.text(6, attribute));
    let message = nodes.iter().fold(message, |message, node| message.message(7, node));
    message.message(9, &Message::new().text(1, "").int(2, 18))
}

fn call(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Message {
    node(op, inputs, outputs, attributes).text(7, "own")
}

fn import_with(model: &Model, functions: &[Message]) -> Result<Graph, GraphError> {
    let sets = [("", model.opset), ("own", 1)].map(|(domain, set)| Message::new().text(1, domain).int(2, set));
    let file = Message::new().int(1, 8).message(7, &model.graph);
    let file = sets.iter().fold(file, |file, set| file.message(8, set));
    import(functions.iter().fold(file, |file, function| file.message(25, function)).0)
}

fn run(graph: &Graph, x: &[f32]) -> Vec<f32> {
    let x = Tensor::from_f32(vec![x.len()], x.to_vec());
    Reference::new(graph).run(&[x]).expect("it fits").remove(0).as_f32().expect("f32").to_vec()
}

fn reference(name: &str, to: &str, kind: i64) -> Message {
    Message::new().text(1, name).text(21, to).int(20, kind)
}

#[test]
fn calls_become_what_their_functions_are_made_of() {
    // leaky(x) = LeakyRelu of slope alpha (0.5 unless the call says so), twice(x) = leaky(leaky(x)) + bias.
    let leaky =
        function("leaky", &["x"], &["y"], &[], &[node("LeakyRelu", &["x"], &["y"], &[reference("alpha", "alpha", 1)])])
            .message(11, &float_attribute("alpha", 0.5));
    let twice = function(
        "twice",
        &["x", "bias"],
        &["y"],
        &["slope"],
        &[
            call("leaky", &["x"], &["h"], &[]),
            call("leaky", &["h"], &["g"], &[reference("alpha", "slope", 1)]),
            node("Add", &["g", "bias"], &["y"], &[]),
        ],
    );
    let model = Model::new(18)
        .input("x", FLOAT, &[Is(2)])
        .initializer(&floats("one", &[], &[1.0]))
        .raw_node(&call("twice", &["x", "one"], &["h"], &[float_attribute("slope", 0.25)]))
        .raw_node(&call("twice", &["h", "one"], &["y"], &[]))
        .output("y");
    let graph = import_with(&model, &[leaky, twice]).expect("functions call functions");
    assert_eq!(graph.nodes().len(), 6);
    // -16 · 0.5 · 0.25 + 1 = -1; -1 · 0.5 · 0.5 + 1 = 0.75, where the slope that nobody gives is the default.
    assert_eq!(run(&graph, &[-16.0, 2.0]), [0.75, 4.0]);
}

#[test]
fn calls_in_branches_and_functions_that_hand_an_input_on() {
    let same = function("same", &["x"], &["x"], &[], &[]);
    let branch = |label: &str, op: Message| graph_attribute(label, &[], &[op], &["out"]);
    let model = Model::new(18)
        .input("x", FLOAT, &[Is(2)])
        .node("ReduceMax", &["x"], &["m"], &[int_attribute("keepdims", 0)])
        .initializer(&floats("zero", &[], &[0.0]))
        .node("Less", &["zero", "m"], &["is"], &[])
        .node(
            "If",
            &["is"],
            &["y"],
            &[
                branch("then_branch", call("same", &["x"], &["out"], &[])),
                branch("else_branch", node("Neg", &["x"], &["out"], &[])),
            ],
        )
        .output("y");
    let graph = import_with(&model, &[same]).expect("supported");
    assert_eq!(run(&graph, &[-1.0, 2.0]), [-1.0, 2.0]);
    assert_eq!(run(&graph, &[-1.0, -2.0]), [1.0, 2.0]);
}

#[test]
fn endless_calls_are_refused() {
    let model = Model::new(18).input("x", FLOAT, &[Is(2)]).raw_node(&call("f", &["x"], &["y"], &[])).output("y");
    let endless = function("f", &["x"], &["y"], &[], &[call("f", &["x"], &["y"], &[])]);
    let error = import_with(&model, &[endless]).expect_err("it never ends").to_string();
    assert!(error.contains("function \"f\" calls itself") && error.len() < 120, "{error}");
}

#[test]
fn functions_are_read_as_their_own_operator_set_says() {
    // The function is of set 18, where axes are an input; in the file's own set they are an attribute.
    let mean = [
        node("Constant", &[], &["axes"], &[ints_attribute("value_ints", &[0])]),
        node("ReduceMean", &["x", "axes"], &["y"], &[]),
    ];
    let mean = function("f", &["x"], &["y"], &[], &mean);
    let model = Model::new(13)
        .input("x", FLOAT, &[Is(2)])
        .raw_node(&call("f", &["x"], &["m"], &[]))
        .node("ReduceSum", &["m"], &["y"], &[])
        .output("y");
    let graph = import_with(&model, &[mean]).expect("supported");
    assert_eq!(run(&graph, &[1.0, 3.0]), [2.0]);
    // A file cannot say so itself: only its functions have sets of their own.
    let lie = node("ReduceMean", &["x"], &["y"], &[ints_attribute("axes", &[0])]).int(536_870_911, 18);
    let model = Model::new(13).input("x", FLOAT, &[Is(2)]).raw_node(&lie).output("y");
    assert_eq!(run(&import_with(&model, &[]).expect("of set 13"), &[1.0, 3.0]), [2.0]);
}

fn sparse(values: &Message, indices: &Message, dims: &[i64]) -> Message {
    dims.iter().fold(Message::new().message(1, values).message(2, indices), |message, &extent| message.int(3, extent))
}

fn indices(dims: &[i64], values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor("indices", INT64, dims, &raw)
}

#[test]
fn sparse_constants_are_dense_here() {
    let model = |weight: &Message| {
        let mut model = Model::new(18).input("x", FLOAT, &[Is(3)]).node("Mul", &["x", "w"], &["y"], &[]).output("y");
        model.graph = model.graph.message(15, weight);
        model
    };
    let values = || floats("w", &[2], &[2.0, 4.0]);
    let linear = sparse(&values(), &indices(&[2], &[0, 2]), &[3]);
    assert_eq!(run(&model(&linear).import().expect("supported"), &[1.0, 1.0, 1.0]), [2.0, 0.0, 4.0]);
    let rows = sparse(&floats("w", &[2], &[2.0, 4.0]), &indices(&[2, 2], &[0, 1, 1, 2]), &[2, 3]);
    let y = Reference::new(&model(&rows).import().expect("supported"))
        .run(&[Tensor::from_f32(vec![3], vec![1.0; 3])])
        .expect("it broadcasts");
    assert_eq!(y[0], Tensor::from_f32(vec![2, 3], vec![0.0, 2.0, 0.0, 0.0, 0.0, 4.0]));
    for (what, weight, fragment) in [
        ("out of range", sparse(&values(), &indices(&[2], &[0, 3]), &[3]), "outside of its dimensions"),
        ("negative", sparse(&values(), &indices(&[2], &[-1, 1]), &[3]), "outside of its dimensions"),
        ("too few", sparse(&values(), &indices(&[1], &[0]), &[3]), "as many indices"),
        ("huge", sparse(&values(), &indices(&[2], &[0, 2]), &[1 << 45]), "memory"),
        ("overflow", sparse(&values(), &indices(&[2], &[0, 2]), &[1 << 45, 1 << 45]), "overflow"),
    ] {
        let error = model(&weight).import().expect_err(what).to_string();
        assert!(error.contains("\"w\"") && error.contains(fragment), "{what}: {error}");
    }
    let constant =
        node("Constant", &[], &["w"], &[Message::new().text(1, "sparse_value").int(20, 11).message(22, &linear)]);
    let model = Model::new(18).input("x", FLOAT, &[Is(3)]).raw_node(&constant);
    let graph = model.node("Mul", &["x", "w"], &["y"], &[]).output("y").import().expect("supported");
    assert_eq!(run(&graph, &[1.0, 2.0, 3.0]), [2.0, 0.0, 12.0]);
}
