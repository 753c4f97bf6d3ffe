//! Surgery on random graphs: edits that mean nothing change nothing, and sliced channels are the channels of before.
//!
//! `SKIMP_GRAPHS=FIRST..END` runs those seeds instead of the usual ones.

use std::collections::{BTreeSet, HashSet};

use skimp_graph::reference::Reference;
use skimp_graph::rewrite::{Edge, Editor, spread};
use skimp_graph::testing::{ElementTypes, RandomGraph, random_graph};
use skimp_graph::{DType, Dim, Executor as _, Gemm, Graph, GraphBuilder, Node, Op, Tensor, ValueId, Window, onnx, ops};
use skimp_numerics::rng::{Draws, stream};

fn run(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    Reference::new(graph).run(inputs).expect("the graph runs")
}

/// Whether both hold the same bits, up to the sign of zeros where `either_zero`.
fn same(a: &Tensor, b: &Tensor, either_zero: bool) -> bool {
    let bits = |x: f32| if either_zero { (x + 0.0).to_bits() } else { x.to_bits() };
    a.shape() == b.shape()
        && match (a.as_f32(), b.as_f32()) {
            (Some(a), Some(b)) => a.iter().zip(b).all(|(&a, &b)| bits(a) == bits(b) || a.is_nan() && b.is_nan()),
            _ => a == b,
        }
}

fn assert_same(found: &[Tensor], expected: &[Tensor], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(same(found, expected, false), "{what}: {found:?} for {expected:?}");
    }
}

fn marked(random: RandomGraph) -> RandomGraph {
    RandomGraph { graph: random.graph.with_metadata("origin", "drawn").with_doc("A graph of chance."), ..random }
}

/// An editor that does nothing gives the same graph and the same file.
fn unchanged(random: &RandomGraph) {
    let graph = &random.graph;
    let same = Editor::new(graph).finish().expect("the graph was valid");
    assert_eq!(&same, graph);
    assert_eq!(onnx::export_bytes(&same).ok(), onnx::export_bytes(graph).ok());
    // Some element types and ranks are beyond the format or its reader, with and without surgery.
    let read = onnx::export_bytes(&same).and_then(|bytes| onnx::import_bytes(bytes.into(), None, "file"));
    if let Ok(read) = read {
        let again = Editor::new(&read).finish().expect("valid");
        assert_eq!(again, read);
        assert_eq!((read.metadata("origin"), read.doc()), (Some("drawn"), "A graph of chance."));
    }
}

/// `Identity` on every edge changes no output; without them the graph is the one of before.
fn identities(random: &RandomGraph, seed: u64) {
    let graph = &random.graph;
    let mut editor = Editor::new(graph);
    let mut names = Vec::new();
    let mut insert = |editor: &mut Editor<'_>, edge: Edge<'_>| {
        let name = format!("inserted{}", names.len());
        editor.insert(edge, &name, Op::Identity, &[]).expect("the edge exists");
        names.push(name);
    };
    for node in graph.nodes() {
        for input in 0..node.inputs.len() {
            insert(&mut editor, Edge::Input { node: &node.name, input });
        }
    }
    (0..graph.outputs().len()).for_each(|output| insert(&mut editor, Edge::Output(output)));
    for node in graph.nodes().iter().filter(|node| !node.outputs.is_empty()) {
        node.outputs.iter().for_each(|&output| insert(&mut editor, Edge::Value(output)));
    }
    let longer = editor.finish().expect("identities fit everywhere");
    let n_edges = graph.nodes().iter().map(|node| node.inputs.len() + node.outputs.len()).sum::<usize>();
    assert_eq!(longer.nodes().len(), graph.nodes().len() + n_edges + graph.outputs().len());
    assert_same(&run(&longer, &random.inputs), &random.expected, &format!("seed {seed}: identities"));
    assert_eq!((longer.metadata("origin"), longer.doc()), (Some("drawn"), "A graph of chance."));

    let mut editor = Editor::new(&longer);
    let n_refused = names.iter().rev().filter(|name| editor.remove_node(name).is_err()).count();
    let shorter = editor.finish().expect("the graph of before");
    assert_same(&run(&shorter, &random.inputs), &random.expected, &format!("seed {seed}: without identities"));
    // Only outputs that are inputs, constants or several times outputs need theirs.
    let is_plain = |id: &ValueId| graph.producers()[id.0].is_some();
    let distinct: HashSet<&ValueId> = graph.outputs().iter().collect();
    if graph.outputs().iter().all(is_plain) && distinct.len() == graph.outputs().len() {
        assert_eq!(n_refused, 0, "seed {seed}");
        assert_eq!(shorter.nodes(), Editor::new(graph).finish().expect("valid").nodes(), "seed {seed}");
        assert_eq!(&shorter, graph, "seed {seed}");
    }
}

/// The nodes `block` as a graph of their own, and the values at its boundary.
fn extracted(graph: &Graph, block: std::ops::Range<usize>) -> (Graph, Vec<ValueId>, Vec<ValueId>) {
    let (nodes, rest) = (&graph.nodes()[block.clone()], [&graph.nodes()[..block.start], &graph.nodes()[block.end..]]);
    let made: BTreeSet<ValueId> = nodes.iter().flat_map(|node| &node.outputs).copied().collect();
    let read: BTreeSet<ValueId> = nodes.iter().flat_map(|node| node.inputs.iter().flatten()).copied().collect();
    let outside: HashSet<ValueId> = rest.concat().iter().flat_map(|node| node.inputs.clone()).flatten().collect();
    let is_output = |id: &ValueId| outside.contains(id) || graph.outputs().contains(id);
    let outputs: Vec<ValueId> = made.iter().copied().filter(is_output).collect();
    let is_input = |id: &ValueId| !made.contains(id) && graph.constant(*id).is_none();
    let inputs: Vec<ValueId> = read.iter().copied().filter(is_input).collect();
    let mut builder = GraphBuilder::new("block");
    let mut ids: Vec<Option<ValueId>> = vec![None; graph.values().len()];
    for &id in &inputs {
        // The element type and rank do not matter: nobody runs the block alone.
        ids[id.0] = Some(builder.input(graph.value(id).name.clone(), DType::F32, Vec::new()));
    }
    for &id in read.iter().filter(|id| !made.contains(id)) {
        if let Some(tensor) = graph.constant(id) {
            ids[id.0] = Some(builder.constant(graph.value(id).name.clone(), tensor.clone()));
        }
    }
    for Node { name, op, inputs, outputs } in nodes {
        let operands: Vec<ValueId> = inputs.iter().flatten().map(|id| ids[id.0].expect("in order")).collect();
        let fresh = match outputs.len() {
            1 => vec![builder.node(name, op.clone(), &operands)],
            n => builder.node_with_outputs(name, op.clone(), &operands, n),
        };
        outputs.iter().zip(fresh).for_each(|(id, fresh)| ids[id.0] = Some(fresh));
    }
    outputs.iter().for_each(|id| builder.output(ids[id.0].expect("made")));
    (builder.build().expect("a part of a graph"), inputs, outputs)
}

/// A block in its own place changes nothing.
fn blocks(random: &RandomGraph, draws: &mut Draws, seed: u64) {
    let graph = &random.graph;
    let n = graph.nodes().len();
    let start = draws.below(n);
    let block = start..draws.between(start + 1, n);
    let names: Vec<&str> = graph.nodes()[block.clone()].iter().map(|node| node.name.as_str()).collect();
    let (replacement, inputs, outputs) = extracted(graph, block);
    let mut editor = Editor::new(graph);
    editor.replace_block(&names, &replacement, &inputs, &outputs).expect("the boundary is right");
    let replaced = editor.finish().expect("the same network");
    assert_same(&run(&replaced, &random.inputs), &random.expected, &format!("seed {seed}: block {names:?}"));
    let all = |graph: &Graph| -> BTreeSet<String> { graph.nodes().iter().map(|node| node.name.clone()).collect() };
    assert_eq!(all(&replaced), all(graph), "seed {seed}");
    if let Some(&output) = outputs.first() {
        let mut editor = Editor::new(graph);
        let error = editor.replace_block(&names, &replacement, &inputs, &outputs[1..]).expect_err("wrong").to_string();
        assert!(error.contains(&graph.value(output).name), "seed {seed}: {error}");
        assert_eq!(&editor.finish().expect("valid"), graph, "seed {seed}: a refused edit changes nothing");
    }
}

/// An ascending choice of at least one of `n`.
fn some_of(n: usize, draws: &mut Draws) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..n).filter(|_| draws.chance(0.6)).collect();
    if kept.is_empty() {
        kept.push(draws.below(n));
    }
    kept
}

/// The same choice in each group would hide mistakes: as many in each group, but others.
fn some_of_each(n_groups: usize, size: usize, draws: &mut Draws) -> Vec<usize> {
    let n_kept = draws.between(1, size);
    let mut kept = Vec::new();
    for group in 0..n_groups {
        let order = skimp_numerics::rng::permutation(draws.next_u64(), 0, size);
        let mut chosen: Vec<usize> = order[..n_kept].iter().map(|&i| group * size + i).collect();
        chosen.sort_unstable();
        kept.extend(chosen);
    }
    kept
}

/// A network of one node with the values that it had, for an input with other extents.
fn alone(graph: &Graph, node: &Node, x: &Tensor) -> Graph {
    let mut builder = GraphBuilder::new("alone");
    let dims = x.shape().iter().map(|&n| Dim::Fixed(n)).collect();
    let input = builder.input("x", x.dtype(), dims);
    let operands: Vec<ValueId> = node
        .inputs
        .iter()
        .flatten()
        .enumerate()
        .map(|(idx, &id)| match graph.constant(id) {
            Some(tensor) => builder.constant(format!("c{idx}"), tensor.clone()),
            None => input,
        })
        .collect();
    let y = builder.node("node", node.op.clone(), &operands);
    builder.output(y);
    builder.build().expect("one node")
}

/// With other elements than those kept set to zero.
fn masked(x: &Tensor, axis: usize, kept: &[usize]) -> Tensor {
    let inner: usize = x.shape()[axis + 1..].iter().product();
    let extent = x.shape()[axis];
    let elements = x.as_f32().expect("f32").iter().enumerate();
    let masked = elements.map(|(i, &x)| if kept.contains(&(i / inner % extent)) { x } else { 0.0 });
    Tensor::from_f32(x.shape().to_vec(), masked.collect())
}

/// Every layer of the graph with fewer outputs, inputs and groups, beside what it made of the same channels before.
fn channels(random: &RandomGraph, draws: &mut Draws, seed: u64) -> usize {
    let graph = &random.graph;
    let mut n_checked = 0;
    for node in graph.nodes() {
        let constant = |idx: usize| node.inputs.get(idx).copied().flatten().and_then(|id| graph.constant(id));
        // Axes of the input and the output that hold channels, groups, and how many channels there are.
        let ((x_idx, x_axis), y_axis, groups, (n_in, n_out)) = match (&node.op, constant(0), constant(1)) {
            (Op::Conv(conv), None, Some(w)) => ((0, 1), 1, conv.groups, (w.shape()[1] * conv.groups, w.shape()[0])),
            (Op::ConvTranspose(conv), None, Some(w)) => {
                ((0, 1), 1, conv.groups, (w.shape()[0], w.shape()[1] * conv.groups))
            }
            (Op::Gemm(gemm), None, Some(w)) => {
                let &[a, b] = w.shape() else { continue };
                ((0, usize::from(!gemm.trans_a)), 1, 1, if gemm.trans_b { (b, a) } else { (a, b) })
            }
            _ => continue,
        };
        let x_id = node.inputs[x_idx].expect("an input");
        let mut editor = Editor::new(graph);
        editor.set_outputs(vec![x_id]).expect("valid");
        let x = run(&editor.finish().expect("valid"), &random.inputs).remove(0);
        if x.as_f32().is_none() || x.is_empty() || constant(2).is_none() && node.inputs.len() > 2 {
            continue;
        }
        let whole = alone(graph, node, &x);
        let y = run(&whole, std::slice::from_ref(&x)).remove(0);

        let kept = some_of_each(groups, n_out / groups, draws);
        let mut editor = Editor::new(&whole);
        editor.keep_outputs("node", &kept).expect("valid");
        let found = run(&editor.finish().expect("valid"), std::slice::from_ref(&x)).remove(0);
        assert!(same(&found, &y.keep(y_axis, &kept), true), "seed {seed}: outputs {kept:?} of {node:?}");

        let kept = some_of_each(groups, n_in / groups, draws);
        let part = x.keep(x_axis, &kept);
        let mut editor = Editor::new(&whole);
        editor.keep_inputs("node", &kept).expect("valid");
        editor.set_input_dims(0, part.shape().iter().map(|&n| Dim::Fixed(n)).collect()).expect("valid");
        let found = run(&editor.finish().expect("valid"), &[part]).remove(0);
        let expected = run(&whole, &[masked(&x, x_axis, &kept)]).remove(0);
        assert!(same(&found, &expected, true), "seed {seed}: inputs {kept:?} of {node:?}");

        if groups > 1 {
            let kept = some_of(groups, draws);
            let part = x.keep(x_axis, &spread(&kept, n_in / groups));
            let mut editor = Editor::new(&whole);
            editor.keep_groups("node", &kept).expect("valid");
            editor.set_input_dims(0, part.shape().iter().map(|&n| Dim::Fixed(n)).collect()).expect("valid");
            let found = run(&editor.finish().expect("valid"), &[part]).remove(0);
            let expected = y.keep(y_axis, &spread(&kept, n_out / groups));
            assert!(same(&found, &expected, true), "seed {seed}: groups {kept:?} of {node:?}");
        }
        n_checked += 1;
    }
    n_checked
}

#[test]
fn surgery_holds_on_any_graph() {
    let range = std::env::var("SKIMP_GRAPHS").ok().map(|range| {
        let (first, end) = range.split_once("..").expect("SKIMP_GRAPHS=FIRST..END");
        first.parse::<u64>().expect("a number")..end.parse::<u64>().expect("a number")
    });
    let is_usual = range.is_none();
    let mut n_layers = 0;
    for seed in range.unwrap_or(0..10_000) {
        let types = if seed % 4 == 0 { ElementTypes::Any } else { ElementTypes::F32 };
        let random = marked(random_graph(seed, types));
        let mut draws = Draws::new(seed, stream("test/surgery"));
        unchanged(&random);
        identities(&random, seed);
        blocks(&random, &mut draws, seed);
        n_layers += channels(&random, &mut draws, seed);
    }
    println!("{n_layers} layers cut");
    assert!(!is_usual || n_layers > 1000, "only {n_layers} layers were cut");
}

/// conv → batch norm → PReLU → depthwise conv → ReLU → flatten → gemm, all of whose readers ignore some channels.
#[test]
fn channels_that_nobody_uses_go() {
    for seed in 0..50 {
        let mut draws = Draws::new(seed, stream("test/chain"));
        let (n, c) = (draws.between(2, 9), draws.between(1, 4));
        let kept = some_of(n, &mut draws);
        let mut random = |shape: &[usize]| {
            let len = shape.iter().product();
            Tensor::from_f32(shape.to_vec(), (0..len).map(|_| draws.uniform(-1.0, 1.0)).collect())
        };
        let mut builder = GraphBuilder::new("chain");
        let x =
            builder.input("x", DType::F32, vec![Dim::Free("N".into()), Dim::Fixed(c), Dim::Fixed(5), Dim::Fixed(5)]);
        let w = builder.constant("w", random(&[n, c, 3, 3]));
        let b = builder.constant("b", random(&[n]));
        let y = builder.node(
            "conv",
            Op::Conv(ops::Conv { window: Window::padded(&[3, 3], &[1, 1]), groups: 1 }),
            &[x, w, b],
        );
        let parts = ["scale", "bias", "mean", "variance"].map(|part| {
            let positive = random(&[n]).as_f32().expect("valid").iter().map(|x| x.abs() + 0.5).collect();
            builder.constant(part, Tensor::from_f32(vec![n], positive))
        });
        let inputs: Vec<ValueId> = std::iter::once(y).chain(parts).collect();
        let y = builder.node("bn", Op::BatchNormalization(ops::BatchNormalization { epsilon: 1e-5 }), &inputs);
        let slopes = builder.constant("slopes", random(&[n, 1, 1]));
        let y = builder.node("prelu", Op::PRelu, &[y, slopes]);
        let depthwise = builder.constant("depthwise", random(&[n, 1, 2, 2]));
        let y = builder.node(
            "dw",
            Op::Conv(ops::Conv { window: Window::padded(&[2, 2], &[0, 0]), groups: n }),
            &[y, depthwise],
        );
        let shared = builder.constant("shared", random(&[1]));
        let y = builder.node("add", Op::Add, &[y, shared]);
        let y = builder.node("relu", Op::Relu, &[y]);
        let y = builder.node("flatten", Op::Flatten(ops::Flatten { axis: 1 }), &[y]);
        let dense = masked(&random(&[3, n * 16]), 1, &spread(&kept, 16));
        let dense = builder.constant("dense", dense);
        let gemm = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true });
        let y = builder.node("gemm", gemm, &[y, dense]);
        builder.output(y);
        let graph = builder.build().expect("valid");

        let mut editor = Editor::new(&graph);
        editor.keep_outputs("conv", &kept).expect("valid");
        for node in ["bn", "prelu", "add", "relu"] {
            editor.keep_channels(node, 1, &kept).expect("valid");
        }
        editor.keep_groups("dw", &kept).expect("valid");
        editor.keep_inputs("gemm", &spread(&kept, 16)).expect("valid");
        let smaller = editor.finish().expect("valid");
        let shapes: Vec<&[usize]> =
            [w, b, parts[0], slopes, depthwise].map(|id| smaller.constant(id).expect("valid").shape()).into();
        let k = kept.len();
        assert_eq!(shapes, [&[k, c, 3, 3][..], &[k], &[k], &[k, 1, 1], &[k, 1, 2, 2]], "seed {seed}");
        let x = random(&[2, c, 5, 5]);
        let (whole, part) = (run(&graph, std::slice::from_ref(&x)), run(&smaller, &[x]));
        assert!(same(&whole[0], &part[0], true), "seed {seed}: {part:?} for {whole:?}");
    }
}

/// x → conv (4 channels in and out, 2 groups) → relu → softmax.
fn small() -> Graph {
    let mut builder = GraphBuilder::new("small");
    let x = builder.input("x", DType::F32, [1, 4, 3, 3].map(Dim::Fixed).to_vec());
    let w = builder.constant("w", Tensor::from_f32(vec![4, 2, 1, 1], (0_u8..8).map(f32::from).collect()));
    let y = builder.node("conv", Op::Conv(ops::Conv { window: Window::padded(&[1, 1], &[0, 0]), groups: 2 }), &[x, w]);
    let y = builder.node("relu", Op::Relu, &[y]);
    let z = builder.node("softmax", Op::Softmax(ops::Softmax { axis: 1 }), &[y]);
    builder.output(z);
    builder.build().expect("valid")
}

#[test]
fn wrong_edits_say_what_is_wrong() {
    type Edit = fn(&mut Editor<'_>) -> Result<(), skimp_graph::GraphError>;
    let cases: [(&str, Edit); 12] = [
        ("has no node \"missing\"", |editor| editor.keep_outputs("missing", &[0])),
        ("none of 4 is kept", |editor| editor.keep_outputs("conv", &[])),
        ("index 4 of 4", |editor| editor.keep_inputs("conv", &[0, 4])),
        ("index 1 comes after 2", |editor| editor.keep_outputs("conv", &[2, 1])),
        ("group 0 keeps 2 of 3 channels", |editor| editor.keep_outputs("conv", &[0, 1, 2])),
        ("does not multiply", |editor| editor.keep_inputs("relu", &[0])),
        ("it has no groups", |editor| editor.keep_groups("relu", &[0])),
        ("sums over channels", |editor| editor.keep_channels("conv", 1, &[0])),
        ("statistics", |editor| editor.keep_channels("softmax", 1, &[0])),
        ("\"relu\": the name is empty or taken", |editor| editor.rename_node("conv", "relu")),
        ("input 7", |editor| {
            editor.insert(Edge::Input { node: "conv", input: 7 }, "id", Op::Identity, &[]).map(|_| ())
        }),
        ("hands on an input or a constant", |editor| {
            editor.remove_node("conv")?;
            editor.remove_node("relu")?;
            editor.remove_node("softmax")
        }),
    ];
    let graph = small();
    for (expected, edit) in cases {
        let error = edit(&mut Editor::new(&graph)).expect_err("wrong").to_string();
        assert!(error.contains(expected), "{error}, expected {expected}");
    }
    // What single edits leave open is found at the end, with the node.
    let mut editor = Editor::new(&graph);
    editor.keep_inputs("conv", &[0, 2]).expect("valid");
    let error = editor.finish().expect_err("wrong").to_string();
    assert!(error.contains("\"conv\" (Conv)") && error.contains("channels"), "{error}");
    let mut editor = Editor::new(&graph);
    let loose = editor.value("w").expect("valid");
    editor.remove_node("conv").expect("valid");
    assert_eq!(editor.value_name(loose), None, "weights of a removed node go");
    let error = editor.set_input("relu", 0, Some(loose)).expect_err("wrong").to_string();
    assert!(error.contains("no value"), "{error}");
}

#[test]
fn names_follow_and_stay_apart() {
    let graph = small();
    let mut editor = Editor::new(&graph);
    editor.rename("renamed");
    editor.rename_node("conv", "layer").expect("valid");
    editor.rename_value(ValueId(0), "image").expect("valid");
    assert!(editor.rename_value(ValueId(0), "w").is_err());
    let renamed = editor.finish().expect("valid");
    assert_eq!((renamed.name(), renamed.nodes()[0].name.as_str()), ("renamed", "layer"));
    assert_eq!(renamed.value(renamed.inputs()[0].value).name, "image");

    // The network twice in the place of its own ReLU: two nodes of each name.
    let mut editor = Editor::new(&graph);
    let (before, behind) = (editor.value("conv").expect("valid"), editor.value("relu").expect("valid"));
    editor.replace_block(&["relu"], &graph, &[before], &[behind]).expect("valid");
    let nested = editor.finish().expect("valid");
    let names: Vec<&str> = nested.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["conv", "conv.2", "relu", "softmax.2", "softmax"]);
    let x = Tensor::from_f32(vec![1, 4, 3, 3], (0_u8..36).map(f32::from).collect());
    let once = {
        let mut editor = Editor::new(&graph);
        editor.remove_node("relu").expect("valid");
        run(&editor.finish().expect("valid"), std::slice::from_ref(&x)).remove(0)
    };
    assert_eq!(once.shape(), [1, 4, 3, 3]);
    let inner = run(&nested, std::slice::from_ref(&x)).remove(0);
    let mut editor = Editor::new(&graph);
    editor.set_outputs(vec![before]).expect("valid");
    let h = run(&editor.finish().expect("valid"), &[x]).remove(0);
    let softmax = |x: Tensor| {
        let alone = alone(&graph, &graph.nodes()[2], &x);
        run(&alone, &[x]).remove(0)
    };
    assert!(same(&inner, &softmax(run(&graph, &[h]).remove(0)), false));
}

/// An output that is an input, and one that is given twice, get a node that bears their name.
#[test]
fn blocks_may_hand_values_on() {
    let mut builder = GraphBuilder::new("through");
    let x = builder.input("x", DType::F32, vec![Dim::Free("N".into()), Dim::Fixed(2)]);
    builder.output(x);
    builder.output(x);
    let through = builder.build().expect("valid");
    let mut builder = GraphBuilder::new("outer");
    let x = builder.input("x", DType::F32, vec![Dim::Free("N".into()), Dim::Fixed(2)]);
    let a = builder.node("a", Op::Neg, &[x]);
    let b = builder.node("b", Op::Abs, &[x]);
    builder.output(a);
    builder.output(b);
    let outer = builder.build().expect("valid");
    let mut editor = Editor::new(&outer);
    editor.replace_block(&["a", "b"], &through, &[x], &[a, b]).expect("valid");
    let graph = editor.finish().expect("valid");
    let outputs: Vec<&str> = graph.outputs().iter().map(|&id| graph.value(id).name.as_str()).collect();
    assert_eq!(outputs, ["a", "b"]);
    let x = Tensor::from_f32(vec![1, 2], vec![-1.0, 2.0]);
    assert_eq!(run(&graph, std::slice::from_ref(&x)), [x.clone(), x]);
}

/// Weights that two layers share are cut for one of them only.
#[test]
fn shared_weights_are_cut_once() {
    let mut builder = GraphBuilder::new("shared");
    let x = builder.input("x", DType::F32, vec![Dim::Free("N".into()), Dim::Fixed(2)]);
    let w = builder.constant("w", Tensor::from_f32(vec![2, 2], vec![1.0, 2.0, 3.0, 4.0]));
    let first = builder.node("first", Op::MatMul, &[x, w]);
    let second = builder.node("second", Op::MatMul, &[x, w]);
    builder.output(first);
    builder.output(second);
    let graph = builder.build().expect("valid");
    let mut editor = Editor::new(&graph);
    editor.keep_outputs("second", &[1]).expect("valid");
    let cut = editor.finish().expect("valid");
    let x = Tensor::from_f32(vec![1, 2], vec![1.0, 10.0]);
    let outputs = run(&cut, &[x]);
    assert_eq!(outputs[0].as_f32(), Some(&[31.0, 42.0][..]));
    assert_eq!(outputs[1].as_f32(), Some(&[42.0][..]));
    assert_eq!(cut.constant(cut.nodes()[1].inputs[1].expect("valid")).expect("valid").shape(), [2, 1]);
}
