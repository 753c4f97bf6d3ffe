//! Attention as onnxruntime's transformer optimizer writes it.
//!
//! Queries that are 0 see all keys alike, so that results are means, worked out by hand.

use skimp_graph::reference::Reference;
use skimp_graph::{Executor as _, Graph, Tensor};

use crate::build::*;
use crate::round_trip::through_file;

fn fused(op: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Message {
    node(op, inputs, outputs, attributes).text(7, "com.microsoft")
}

fn run(model: &Model, inputs: &[Tensor]) -> Vec<Vec<f32>> {
    let graph = model.import().expect("it is supported");
    let of = |graph: &Graph| Reference::new(graph).run(inputs).expect("it fits");
    let outputs = of(&graph);
    assert_eq!(of(&through_file(&graph)), outputs);
    outputs.iter().map(|output| output.as_f32().expect("f32").to_vec()).collect()
}

fn one_head() -> Message {
    int_attribute("num_heads", 1)
}

fn i32s(name: &str, dims: &[i64], values: &[i32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, INT32, dims, &raw)
}

#[test]
fn attention_of_one_projected_input() {
    // Queries and keys are 0, values the input.
    let base = Model::new(17)
        .input("x", FLOAT, &[Named("n"), Is(2), Is(1)])
        .initializer(&floats("w", &[1, 3], &[0.0, 0.0, 1.0]))
        .initializer(&floats("b", &[3], &[0.0, 0.0, 1.0]))
        .initializer(&i32s("keys", &[1, 2], &[1, 0]))
        .initializer(&i32s("length", &[1], &[1]));
    let x = [Tensor::from_f32(vec![1, 2, 1], vec![2.0, 4.0])];
    let of = |model: Model, inputs: &[&str], attributes: &[Message]| {
        run(&model.raw_node(&fused("Attention", inputs, &["y"], attributes)).output("y"), &x).remove(0)
    };
    assert_eq!(of(base.clone(), &["x", "w"], &[one_head()]), [3.0, 3.0]);
    assert_eq!(of(base.clone(), &["x", "w", "b"], &[one_head(), int_attribute("unidirectional", 1)]), [3.0, 4.0]);
    assert_eq!(of(base.clone(), &["x", "w", "b", "keys"], &[one_head()]), [3.0, 3.0]);
    let fixed = Model::new(17).input("x", FLOAT, &[Is(1), Is(2), Is(1)]);
    let fixed = fixed.initializer(&floats("w", &[1, 3], &[0.0, 0.0, 1.0])).initializer(&i32s("length", &[1], &[1]));
    assert_eq!(of(fixed, &["x", "w", "", "length"], &[one_head()]), [2.0, 2.0]);
}

#[test]
fn attention_between_sequences_with_past_keys() {
    let model = Model::new(17)
        .input("q", FLOAT, &[Is(1), Is(1), Is(1)])
        .input("v", FLOAT, &[Is(1), Is(2), Is(1)])
        .initializer(&floats("past", &[1, 1, 1, 1], &[6.0]))
        .initializer(&floats("bias", &[1, 1, 1, 2], &[0.0, -10_000.0]));
    let inputs = [Tensor::from_f32(vec![1, 1, 1], vec![0.0]), Tensor::from_f32(vec![1, 2, 1], vec![2.0, 4.0])];
    let plain = fused("MultiHeadAttention", &["q", "v", "v"], &["y"], &[one_head()]);
    assert_eq!(run(&model.clone().raw_node(&plain).output("y"), &inputs), [[3.0]]);
    let biased = fused("MultiHeadAttention", &["q", "v", "v", "", "", "bias"], &["y"], &[one_head()]);
    assert_eq!(run(&model.clone().raw_node(&biased).output("y"), &inputs), [[2.0]]);
    let names = ["q", "v", "v", "", "", "", "past", "past"];
    let past = fused("MultiHeadAttention", &names, &["y", "keys", "values"], &[one_head()]);
    let outputs = run(&model.raw_node(&past).output("y").output("values"), &inputs);
    assert_eq!(outputs[1], [6.0, 2.0, 4.0]);
    assert!((outputs[0][0] - 4.0).abs() < 1e-6, "{outputs:?}");
}

#[test]
fn embeddings_are_summed_and_normalized() {
    let model = Model::new(17)
        .input("ids", INT32, &[Is(1), Is(2)])
        .initializer(&floats("words", &[2, 2], &[1.0, 5.0, 0.0, 2.0]))
        .initializer(&floats("places", &[3, 2], &[0.0, 0.0, 3.0, 0.0, 9.0, 9.0]))
        .initializer(&floats("gamma", &[2], &[1.0, 2.0]))
        .initializer(&floats("beta", &[2], &[0.0, 0.5]));
    let names = ["ids", "", "words", "places", "", "gamma", "beta"];
    let model =
        model.raw_node(&fused("EmbedLayerNormalization", &names, &["y", "", "sum"], &[])).output("y").output("sum");
    let ids = Tensor::new(vec![1, 2], vec![0_i32, 1].into()).expect("two");
    let outputs = run(&model, &[ids]);
    assert_eq!(outputs, [[-1.0, 2.5, 1.0, -1.5], [1.0, 5.0, 3.0, 2.0]]);
}

#[test]
fn a_turn_by_places_from_one_number_on() {
    // At place 1, whose cosine is 0 and sine 1, (a, b) becomes (−b, a).
    let model = Model::new(17)
        .input("x", FLOAT, &[Is(1), Is(1), Is(2)])
        .initializer(&ints("first", &[1]))
        .initializer(&floats("cos", &[2, 1], &[1.0, 0.0]))
        .initializer(&floats("sin", &[2, 1], &[0.0, 1.0]))
        .raw_node(&fused("RotaryEmbedding", &["x", "first", "cos", "sin"], &["y"], &[]))
        .output("y");
    assert_eq!(run(&model, &[Tensor::from_f32(vec![1, 1, 2], vec![3.0, 4.0])]), [[-4.0, 3.0]]);
}

#[test]
fn packed_queries_are_refused_with_a_way_out() {
    let model = Model::new(17)
        .input("q", FLOAT, &[Is(1), Is(1), Is(1), Is(3), Is(1)])
        .raw_node(&fused("MultiHeadAttention", &["q"], &["y"], &[one_head()]))
        .output("y");
    let error = model.import().expect_err("packed").to_string();
    assert!(error.contains("of operator set 17: optimize without packing them"), "{error}");
}
