//! Removed channels are masked ones, on built-in networks, on networks of every kind of joint, and on random graphs of
//! all operators.
//!
//! `SKIMP_GRAPHS=FIRST..END` runs those seeds instead of the usual ones.

use std::cmp::Ordering;

use skimp_graph::networks::{self, Weights};
use skimp_graph::ops::Conv;
use skimp_graph::reference::Reference;
use skimp_graph::rewrite::{Edge, Editor, trial_shapes};
use skimp_graph::testing::{ElementTypes, random_graph, random_tensor};
use skimp_graph::{Executor, Graph, Node, Op, Tensor, ValueId, Window};
use skimp_numerics::rng::{Draws, stream};
use skimp_reduce::ReduceError;
use skimp_reduce::channels::{Channels, Gone};

/// Some units of each group, never all of them; what has to stay after all is put back.
fn some(channels: &Channels<'_>, draws: &mut Draws) -> Gone {
    let mut gone: Gone = Vec::new();
    for group in channels.groups() {
        let share = draws.uniform(0.0, 1.0) as f64;
        let mut units: Vec<usize> = (0..group.units.len()).filter(|_| draws.chance(share)).collect();
        if units.len() == group.units.len() {
            units.pop();
        }
        gone.push(units);
    }
    while let Some(units) = channels.emptied(&gone).into_iter().next() {
        let (group, unit) = units[draws.below(units.len())];
        gone[group].retain(|&other| other != unit);
    }
    gone
}

fn same(a: &[Tensor], b: &[Tensor]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| {
            a.shape() == b.shape()
                && match (a.as_f32(), b.as_f32()) {
                    // Equal, or both no number: -0 + 0 is 0.
                    (Some(a), Some(b)) => a
                        .iter()
                        .zip(b)
                        .all(|(a, b)| a.partial_cmp(b) == Some(Ordering::Equal) || (a.is_nan() && b.is_nan())),
                    _ => a == b,
                }
        })
}

/// The nodes of a graph, a line each.
fn described(graph: &Graph) -> String {
    let shapes = trial_shapes(graph).expect("valid");
    let line = |node: &Node| {
        let of =
            |ids: Vec<ValueId>| ids.iter().map(|&id| format!("{}{:?} ", id.0, shapes.shape(id))).collect::<String>();
        let (inputs, outputs) = (of(node.inputs.iter().flatten().copied().collect()), of(node.outputs.clone()));
        format!("\n{}: {:?} {inputs}-> {outputs}", node.name, node.op)
    };
    graph.nodes().iter().map(line).collect()
}

/// Removes some channels and compares; how many units went.
fn check(graph: &Graph, inputs: &[Tensor], draws: &mut Draws, what: &str) -> usize {
    let channels = Channels::of(graph, |_| false).expect(what);
    let gone = some(&channels, draws);
    let n_gone = gone.iter().map(Vec::len).sum();
    let removed = match channels.remove(&gone) {
        Ok(removed) => removed,
        // A move that has no form for what is left: named, and nothing is lost.
        Err(ReduceError::Node { node, .. }) => {
            assert!(graph.nodes().iter().any(|other| other.name == node), "{what}");
            return 0;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let masked = channels.mask(&gone).expect(what);
    let expected = Reference::new(&masked).run(inputs).expect(what);
    let found = Reference::new(&removed).run(inputs).expect(what);
    assert!(same(&found, &expected), "{what}: without {gone:?} of {}", described(graph));
    n_gone
}

fn image(graph: &Graph, seed: u64) -> Tensor {
    let shapes = trial_shapes(graph).expect("valid");
    random_tensor(seed, "image", shapes.shape(graph.inputs()[0].value).to_vec(), 0.0, 1.0)
}

#[test]
fn built_in_networks_lose_channels() {
    for (name, size) in [
        ("lenet-5", None),
        ("sample-resnet", None),
        ("resnet20", None),
        ("resnet18", Some(32)),
        ("resnet50", Some(32)),
        ("vgg16-bn", Some(32)),
        ("mobilenet-v1", Some(32)),
        ("densenet121", Some(32)),
    ] {
        let setting = size.map_or(String::new(), |size| format!(":size={size}"));
        let graph = networks::build(&format!("{name}{setting}"), Weights::Seeded(1)).expect(name);
        let n_gone = check(&graph, &[image(&graph, 3)], &mut Draws::new(1, stream("test/built-in")), name);
        assert!(n_gone > 0, "{name}");
    }
}

/// A layer that makes labelled channels out of a value, with weights for `n` of them along the axis of channels.
fn layer(shape: &[usize], n: usize, seed: u64) -> Option<(Op, Tensor)> {
    let c = *shape.get(1)?;
    Some(match shape.len() {
        2 => (Op::MatMul, random_tensor(seed, "w", vec![c, n], 0.0, 1.0)),
        rank @ 3..=5 => {
            let ones = vec![1; rank - 2];
            let weight = random_tensor(seed, "w", [&[n, c], &ones[..]].concat(), 0.0, 1.0);
            (Op::Conv(Conv { window: Window::padded(&ones, &vec![0; rank - 2]), groups: 1 }), weight)
        }
        _ => return None,
    })
}

/// The graph between layers: one behind each input, one before each output.
fn between_layers(graph: &Graph, seed: u64) -> Option<Graph> {
    let shapes = trial_shapes(graph).ok()?;
    let mut editor = Editor::new(graph);
    for (at, input) in graph.inputs().iter().enumerate() {
        let shape = shapes.shape(input.value);
        let (op, weight) = layer(shape, *shape.get(1)?, seed)?;
        let weight = editor.add_constant("front.w", weight);
        editor.insert(Edge::Value(input.value), &format!("front{at}"), op, &[Some(weight)]).ok()?;
    }
    for (at, &output) in graph.outputs().iter().enumerate() {
        let found = shapes.get(output)?;
        if !found.dtype.is_float() {
            continue;
        }
        let Some((op, weight)) = layer(&found.shape, 3, seed + 1) else { continue };
        let weight = editor.add_constant("back.w", weight);
        editor.insert(Edge::Output(at), &format!("back{at}"), op, &[Some(weight)]).ok()?;
    }
    editor.finish().ok()
}

#[test]
fn removed_is_masked_on_any_graph() {
    let range = std::env::var("SKIMP_GRAPHS").ok().map(|range| {
        let (first, end) = range.split_once("..").expect("SKIMP_GRAPHS=FIRST..END");
        first.parse::<u64>().expect("a number")..end.parse::<u64>().expect("a number")
    });
    let is_usual = range.is_none();
    let (mut n_graphs, mut n_units) = (0, 0);
    for seed in range.unwrap_or(0..10_000) {
        let random = random_graph(seed, ElementTypes::F32);
        let Some(graph) = between_layers(&random.graph, seed) else { continue };
        // Integers may be divided by zero now.
        if Reference::new(&graph).run(&random.inputs).is_err() {
            continue;
        }
        let mut draws = Draws::new(seed, stream("test/removal"));
        let n = check(&graph, &random.inputs, &mut draws, &format!("seed {seed}"));
        n_graphs += usize::from(n > 0);
        n_units += n;
    }
    println!("{n_units} units removed from {n_graphs} graphs");
    assert!(!is_usual || n_graphs > 3000, "only {n_graphs} graphs lost channels");
}
