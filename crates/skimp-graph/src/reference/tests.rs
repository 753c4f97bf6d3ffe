//! Hand-computed vectors, operator by operator.

use super::{Reference, evaluate};
use crate::ops;
use crate::testing::{cases, f, t};
use crate::{DType, Dim, Executor, GraphBuilder, Op, Tensor, Window};

/// All cases are exact, so results are compared with `==`.
#[test]
fn every_operator_computes_its_cases() {
    let mut failures = Vec::new();
    for case in cases() {
        let inputs: Vec<Option<&Tensor>> = case.inputs.iter().map(Some).collect();
        match evaluate(&case.op, "node", &inputs) {
            Ok(found) if found == case.expected => {}
            found => failures.push(format!("{}: expected {:?}, found {found:?}", case.what, case.expected)),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_integer_division_by_zero_is_an_error() {
    let zero = [t(&[1], &[1_i64]), t(&[1], &[0_i64])];
    let error = evaluate(&Op::Div, "d", &[Some(&zero[0]), Some(&zero[1])]).unwrap_err();
    assert_eq!(error.to_string(), "node \"d\" (Div): integer division by zero");
}

#[test]
fn not_a_number_is_handed_on() {
    let x = f(&[1, 1, 2], &[f32::NAN, 1.0]);
    let clip = Op::Clip(ops::Clip { min: Some(0.0), max: Some(1.0) });
    for op in
        [Op::Relu, clip, Op::Sign, Op::MaxPool(ops::MaxPool { window: Window::padded(&[2], &[0]) }), Op::GlobalMaxPool]
    {
        let y = evaluate(&op, "node", &[Some(&x)]).unwrap();
        assert!(y[0].as_f32().unwrap()[0].is_nan(), "{op:?}: {y:?}");
    }
}

#[test]
fn a_graph_shows_every_value_and_checks_its_inputs() {
    let mut builder = GraphBuilder::new("g");
    let x = builder.input("x", DType::F32, vec![Dim::Free("N".to_owned()), Dim::Fixed(2)]);
    let doubled = builder.node("doubled", Op::Add, &[x, x]);
    let parts = builder.node_with_outputs("split", Op::Split(ops::Split { axis: 1, sizes: vec![1, 1] }), &[doubled], 2);
    let y = builder.node("y", Op::Sub, &[parts[0], parts[1]]);
    builder.output(y);
    builder.output(x);
    let reference = Reference::new(&builder.build().unwrap());
    assert_eq!(reference.name(), "reference");
    let mut seen = Vec::new();
    let input = f(&[1, 2], &[3.0, 1.0]);
    let outputs = reference.run_observed(std::slice::from_ref(&input), &mut |id, tensor| {
        seen.push((reference.graph().value(id).name.clone(), tensor.as_f32().unwrap().to_vec()));
    });
    assert_eq!(outputs.unwrap(), [f(&[1, 1], &[4.0]), input]);
    let expected = [("doubled", vec![6.0, 2.0]), ("split.0", vec![6.0]), ("split.1", vec![2.0]), ("y", vec![4.0])];
    assert_eq!(seen, expected.map(|(name, values)| (name.to_owned(), values)));

    let wrong = [
        (vec![f(&[1, 3], &[0.0; 3])], "input \"x\": has extent 3 on axis 1, expected 2"),
        (vec![f(&[2], &[0.0; 2])], "input \"x\": has 1 dims, expected 2"),
        (vec![t(&[1, 2], &[0_i64; 2])], "input \"x\": has element type i64, expected f32"),
        (vec![], "graph \"g\": got 0 inputs, expected 1"),
    ];
    for (inputs, expected) in wrong {
        assert_eq!(reference.run(&inputs).unwrap_err().to_string(), expected);
    }
}

#[test]
fn sums_are_rounded_once() {
    // In f32, each 2^-25 would vanish beside 1; the exact sum is 1 + 2^-20.
    let n = 33;
    let mut x = vec![2_f32.powi(-25); n];
    x[0] = 1.0;
    let window = Window::padded(&[n], &[0]);
    let inputs = [f(&[1, 1, n], &x), f(&[1, 1, n], &vec![1.0; n])];
    let y =
        evaluate(&Op::Conv(ops::Conv { window, groups: 1 }), "node", &[Some(&inputs[0]), Some(&inputs[1])]).unwrap();
    assert_eq!(y[0].as_f32().unwrap(), [1.0 + 2_f32.powi(-20)]);
}
