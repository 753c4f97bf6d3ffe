//! Files put together by hand.

use skimp_graph::ops::{Neuron, Reset, ResetTime};
use skimp_graph::reference::Reference;
use skimp_graph::spiking::{Join, Temporal, TimeLoop};
use skimp_graph::{Executor, Graph, GraphError, Op, Tensor};

use crate::file::{Field, Group, Values, write};
use crate::{Reading, read};

const READING: Reading = Reading {
    dt: 0.5,
    reset: Reset::Zero,
    reset_time: ResetTime::SameStep,
    is_strict: true,
    steps: 6,
    join: Some(Join::All),
};

fn node(kind: &str) -> Group {
    Group::default().with("type", Field::text(kind))
}

fn floats(shape: &[usize], values: &[f64]) -> Field {
    Field::floats(shape, values.to_vec())
}

fn input(shape: &[usize]) -> (&'static str, Group) {
    ("input", node("Input").with("shape", Field::integers(shape)))
}

fn output(shape: &[usize]) -> (&'static str, Group) {
    ("output", node("Output").with("shape", Field::integers(shape)))
}

fn graph_of(nodes: Vec<(&str, Group)>, edges: &[(&str, &str)]) -> Group {
    let names = edges.iter().flat_map(|(from, to)| [(*from).to_owned(), (*to).to_owned()]).collect();
    let edges = Field { shape: vec![edges.len(), 2], values: Values::Texts(names) };
    let mut graph = node("NIRGraph").with("edges", edges);
    let mut inside = Group::default();
    inside.groups.extend(nodes.into_iter().map(|(name, node)| (name.to_owned(), node)));
    graph.groups.insert("nodes".to_owned(), inside);
    graph
}

/// The network in a file of this graph.
fn opened(graph: Group, reading: &Reading) -> Result<Graph, String> {
    let mut root = Group::default().with("version", Field::text("1.0"));
    root.groups.insert("node".to_owned(), graph);
    let bytes = write(&root, "made.nir").map_err(|error| error.to_string())?;
    read(bytes, "made.nir", reading).map_err(|error| error.to_string())
}

fn run(graph: &Graph, x: &[f32], shape: &[usize]) -> Vec<f32> {
    let engine = |graph: &Graph| -> Result<Box<dyn Executor>, GraphError> { Ok(Box::new(Reference::new(graph))) };
    let temporal = Temporal::of(graph).expect("metadata").expect("time steps");
    let network = TimeLoop::new(graph, temporal, engine).expect("a network");
    let shape = [&[1], shape].concat();
    network.run(&[Tensor::from_f32(shape, x.to_vec())]).expect("it runs")[0].as_f32().expect("spikes").to_vec()
}

fn chain(middle: (&'static str, Group), n: usize) -> Group {
    let name = middle.0;
    graph_of(vec![input(&[n]), middle, output(&[n])], &[("input", name), (name, "output")])
}

/// v += dt / tau (v_leak - v + r I): with tau 2 and a step of 0.5 a quarter of it.
#[test]
fn numbers_and_arrays_mean_the_same() {
    let lif = |field: &dyn Fn(f64) -> Field| {
        ["tau", "r", "v_threshold"]
            .into_iter()
            .zip([2.0, 4.0, 3.0])
            .fold(node("LIF").with("v_leak", field(0.0)), |node, (key, value)| node.with(key, field(value)))
    };
    let scalar = |value: f64| floats(&[], &[value]);
    let one = |value: f64| floats(&[1], &[value]);
    let all = |value: f64| floats(&[3], &[value; 3]);
    let whole = |value: f64| Field { shape: Vec::new(), values: Values::Integers(vec![value as i64]) };
    let expected = {
        // r of tau / dt: the current as it is, and three quarters of the potential stay.
        let mut spikes = Vec::new();
        let mut v = [0.0_f32; 3];
        for _ in 0..6 {
            for (v, x) in v.iter_mut().zip([0.5, 1.0, 4.0]) {
                *v = 0.75 * *v + x;
                spikes.push(if *v > 3.0 { 1.0 } else { 0.0 });
                *v = if *v > 3.0 { 0.0 } else { *v };
            }
        }
        spikes
    };
    for field in [&scalar as &dyn Fn(f64) -> Field, &one, &all, &whole] {
        let graph = opened(chain(("lif", lif(field)), 3), &READING).unwrap();
        assert!(matches!(graph.nodes()[0].op, Op::Neuron(Neuron { leak: 0.75, gain: 1.0, .. })), "{:?}", graph.nodes());
        assert_eq!(run(&graph, &[0.5, 1.0, 4.0], &[3]), expected);
    }
    // r of 1 is another gain, not a guess.
    let quiet = lif(&scalar).with("r", scalar(1.0));
    let graph = opened(chain(("lif", quiet), 3), &READING).unwrap();
    assert!(matches!(graph.nodes()[0].op, Op::Neuron(Neuron { gain: 0.25, .. })));
}

/// Neurons of one node that differ.
#[test]
fn every_neuron_has_its_own() {
    let lif = node("LIF")
        .with("tau", floats(&[2], &[1.0, 2.0]))
        .with("r", floats(&[2], &[2.0, 8.0]))
        .with("v_leak", floats(&[2], &[0.0, 1.0]))
        .with("v_threshold", floats(&[2], &[1.5, 3.0]));
    let graph = opened(chain(("lif", lif), 2), &READING).unwrap();
    let mut expected = Vec::new();
    let mut v = [0.0_f32; 2];
    for _ in 0..6 {
        for (idx, (v, x)) in v.iter_mut().zip([1.0, 0.75]).enumerate() {
            let (fall, r, rest, threshold) = [(0.5, 2.0, 0.0, 1.5), (0.25, 8.0, 1.0, 3.0)][idx];
            *v += fall * (rest - *v + r * x);
            expected.push(if *v > threshold { 1.0 } else { 0.0 });
            *v = if *v > threshold { 0.0 } else { *v };
        }
    }
    assert_eq!(run(&graph, &[1.0, 0.75], &[2]), expected);
    assert!(expected.contains(&1.0) && expected.contains(&0.0));
}

/// An integrator shows its potential; axes are counted without that of the images; several edges are a sum.
#[test]
fn potentials_flattening_and_sums() {
    let flatten =
        |start: usize| node("Flatten").with("start_dim", Field::integer(start)).with("end_dim", floats(&[], &[-1.0]));
    let nodes = vec![
        input(&[2, 1, 2]),
        ("flat", flatten(0)),
        ("i", node("I").with("r", floats(&[], &[1.0]))),
        ("scale", node("Scale").with("scale", floats(&[4], &[1.0, 2.0, 3.0, 4.0]))),
        output(&[4]),
    ];
    let edges = [("input", "flat"), ("flat", "i"), ("flat", "scale"), ("i", "output"), ("scale", "output")];
    let graph = opened(graph_of(nodes, &edges), &Reading { steps: 2, ..READING }).unwrap();
    let found = run(&graph, &[1.0, 2.0, 3.0, 4.0], &[2, 1, 2]);
    assert_eq!(found, [1.5, 5.0, 10.5, 18.0, 2.0, 6.0, 12.0, 20.0]);
    let partly = graph_of(
        vec![input(&[2, 1, 2]), ("flat", flatten(1)), output(&[2, 2])],
        &[("input", "flat"), ("flat", "output")],
    );
    let graph = opened(partly, &Reading { steps: 1, join: None, ..READING }).unwrap();
    assert_eq!(run(&graph, &[1.0, 2.0, 3.0, 4.0], &[2, 1, 2]).len(), 4);
}

#[test]
fn graphs_inside_of_graphs() {
    let inner = graph_of(
        vec![input(&[2]), ("twice", node("Scale").with("scale", floats(&[], &[2.0]))), output(&[2])],
        &[("input", "twice"), ("twice", "output")],
    );
    let nodes = vec![input(&[2]), ("sub", inner), output(&[2])];
    let graph =
        opened(graph_of(nodes, &[("input", "sub"), ("sub", "output")]), &Reading { steps: 1, ..READING }).unwrap();
    assert_eq!(run(&graph, &[1.0, 2.5], &[2]), [2.0, 5.0]);
}

#[test]
fn what_is_not_supported_is_named() {
    let fields = |kind: &str, fields: &[(&str, Field)]| {
        fields.iter().fold(node(kind), |node, (key, field)| node.with(key, field.clone()))
    };
    let weight = ("weight", floats(&[1, 1, 3], &[1.0; 3]));
    let cases: Vec<(Group, &str)> = vec![
        (node("Delay"), "NIR node \"x\" (Delay): delays are not supported"),
        (node("Softmax"), "this type of node is not supported"),
        (Group::default(), "has no \"type\""),
        (fields("LIF", &[("r", floats(&[], &[1.0]))]), "\"tau\" is missing"),
        (fields("Scale", &[("scale", Field::text("two"))]), "\"scale\" is text, expected numbers"),
        (fields("Linear", &[("weight", floats(&[3], &[1.0; 3]))]), "expected outputs and inputs"),
        (fields("Linear", &[("weight", floats(&[2, 5], &[1.0; 10]))]), "NIR node \"x\" (Linear)"),
        (fields("Flatten", &[("start_dim", Field::integer(7))]), "expected an axis of [3]"),
        (
            fields("Conv1d", &[weight.clone(), ("padding", Field::text("same")), ("stride", Field::integer(2))]),
            "several ways",
        ),
        (fields("Conv1d", &[weight, ("stride", floats(&[], &[0.5]))]), "\"stride\" is [0.5], expected 1 counts"),
    ];
    for (made, expected) in cases {
        let error = opened(chain(("x", made), 3), &READING).unwrap_err();
        assert!(error.starts_with("made.nir: ") && error.contains(expected), "{error}, expected {expected}");
    }
    let scale = || node("Scale").with("scale", floats(&[], &[1.0]));
    let with = |edges: &[(&str, &str)]| {
        opened(graph_of(vec![input(&[3]), ("a", scale()), ("b", scale()), output(&[3])], edges), &READING).unwrap_err()
    };
    let cycle = with(&[("input", "a"), ("a", "b"), ("b", "a"), ("b", "output")]);
    assert!(cycle.contains("recurrent connection"), "{cycle}");
    let unknown = with(&[("input", "a"), ("a", "c")]);
    assert!(unknown.contains("an edge names \"c\""), "{unknown}");
    let loose = with(&[("input", "a"), ("a", "output")]);
    assert!(loose.contains("NIR node \"b\"") && loose.contains("no edge leads to it"), "{loose}");
}
