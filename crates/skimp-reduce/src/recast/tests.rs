//! Training mechanics: what learns, what stays, and that it learns.

use std::collections::BTreeSet;
use std::sync::Arc;

use skimp_data::{Dataset, InputSpec, Split};
use skimp_graph::ops::{BatchNormalization, Conv, Flatten};
use skimp_graph::rewrite::Editor;
use skimp_graph::{DType, Dim, Gemm, Graph, GraphBuilder, Op, Tensor, ValueId, Window};
use skimp_numerics::rng::{Draws, stream};
use skimp_train::augment::Augment;
use skimp_train::loader::{LastBatch, Loader, LoaderConfig, Order};
use skimp_train::optimizer::OptimizerConfig;
use skimp_train::trainer::Unobserved;
use skimp_train::{LossSum, Param};

use super::lesson::Exercise;
use super::*;
use crate::parts::{distance, with_weights};
use crate::{Learning, Recipe};

/// The embedded sample's images.
fn loader(images: std::ops::Range<usize>) -> Loader {
    let config = LoaderConfig {
        batch: 16,
        seed: 1,
        order: Order::Shuffled,
        last_batch: LastBatch::Keep,
        preprocess: "sample".parse().expect("known"),
        input: InputSpec { channels: 1, height: 28, width: 28 },
        augment: Augment::parse::<&str>(&[]).expect("known"),
    };
    let dataset = Arc::new(Dataset::open("sample", Split::Train).expect("embedded"));
    Loader::new(dataset, images.collect(), config).expect("fits")
}

fn learning(n_images: usize) -> Learning<'static> {
    Learning {
        training: loader(0..n_images),
        validation: Some(loader(n_images..n_images + 32)),
        recipe: Recipe {
            learning_rate: 1e-2,
            schedule: "cosine".to_owned(),
            optimizer: OptimizerConfig { rule: "adam".to_owned(), ..OptimizerConfig::default() },
            losses: LossSum::cross_entropy(0.0),
            precision: "fp32".to_owned(),
            batch_norm_momentum: 0.1,
            output: None,
            input_size: None,
            seed: 1,
        },
        observer: &Unobserved,
        runs: None,
    }
}

fn uniform(name: &str, shape: Vec<usize>, low: f32, high: f32) -> Tensor {
    let mut draws = Draws::new(1, stream(name));
    let n = shape.iter().product();
    Tensor::from_f32(shape, (0..n).map(|_| draws.uniform(low, high)).collect())
}

/// Adds convolution, batch norm of any statistics, and rectifier.
fn conv(builder: &mut GraphBuilder, name: &str, x: ValueId, [k, c, stride]: [usize; 3], rectified: bool) -> ValueId {
    let bound = (6.0 / (9 * c) as f32).sqrt();
    let weight = builder.constant(format!("{name}.w"), uniform(name, vec![k, c, 3, 3], -bound, bound));
    let window = Window { strides: vec![stride; 2], ..Window::padded(&[3, 3], &[1, 1]) };
    let y = builder.node(name, Op::Conv(Conv { window, groups: 1 }), &[x, weight]);
    let parts = [("scale", 0.7, 1.3), ("bias", -0.2, 0.4), ("mean", -0.3, 0.3), ("variance", 0.5, 1.5)];
    let parts = parts.map(|(part, low, high)| {
        let part = format!("{name}.bn.{part}");
        let tensor = uniform(&part, vec![k], low, high);
        builder.constant(part, tensor)
    });
    let op = Op::BatchNormalization(BatchNormalization { epsilon: 1e-5 });
    let y = builder.node(format!("{name}.bn"), op, &[&[y][..], &parts].concat());
    if rectified { builder.node(format!("{name}.relu"), Op::Relu, &[y]) } else { y }
}

/// Blocks of 7 x 7 maps: a stem of 6 channels, a convolution, two residual blocks, a convolution; a classifier.
fn teacher() -> Graph {
    let mut builder = GraphBuilder::new("toy");
    let dims = vec![Dim::Free("N".to_owned()), Dim::Fixed(1), Dim::Fixed(28), Dim::Fixed(28)];
    let x = builder.input("x", DType::F32, dims);
    let x = conv(&mut builder, "stem", x, [6, 1, 4], true);
    let mut x = conv(&mut builder, "front", x, [6, 6, 1], true);
    for name in ["a", "b"] {
        let y = conv(&mut builder, &format!("{name}1"), x, [6, 6, 1], true);
        let y = conv(&mut builder, &format!("{name}2"), y, [6, 6, 1], false);
        let y = builder.node(format!("{name}.add"), Op::Add, &[y, x]);
        x = builder.node(format!("{name}.relu"), Op::Relu, &[y]);
    }
    let x = conv(&mut builder, "back", x, [6, 6, 2], true);
    let x = builder.node("flatten", Op::Flatten(Flatten { axis: 1 }), &[x]);
    let weight = builder.constant("fc.w", uniform("fc", vec![10, 96], -0.2, 0.2));
    let bias = builder.constant("fc.b", uniform("fc.b", vec![10], -0.2, 0.2));
    let gemm = Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true };
    let y = builder.node("fc", Op::Gemm(gemm), &[x, weight, bias]);
    builder.output(y);
    builder.build().expect("valid")
}

/// The constants that nodes of these blocks read, by name, with their bits.
fn constants(graph: &Graph, blocks: &[Block]) -> Vec<(String, Vec<u32>)> {
    let names: BTreeSet<&String> = blocks.iter().flat_map(|block| &block.nodes).collect();
    let nodes = graph.nodes().iter().filter(|node| names.contains(&node.name));
    let inputs = nodes.flat_map(|node| node.inputs.iter().flatten());
    let bits = |id: &ValueId| Some(graph.constant(*id)?.as_f32()?.iter().map(|x| x.to_bits()).collect());
    inputs.filter_map(|id| Some((graph.value(*id).name.clone(), bits(id)?))).collect()
}

fn change(block: usize, into: NewKind) -> Change {
    Change { block, into, ratio: 1.0 }
}

fn schooling(epochs: u64) -> Schooling {
    Schooling { block: Course { epochs, learning_rate: None }, finetune: None, scope: Scope::default() }
}

/// One run of training, each step's record and network with it.
fn trained(
    start: Option<&Graph>,
    changes: &[Change],
    schooling: &Schooling,
    learning: &Learning<'_>,
) -> (Recasting, Vec<Graph>) {
    let mut seen = Vec::new();
    let mut after_step = |_: &StepRecord, graph: &Graph| {
        seen.push(graph.clone());
        Ok(())
    };
    let teacher = teacher();
    let found = train((&teacher, start), changes, schooling, learning, 1, &mut after_step).expect("trains");
    (found, seen)
}

/// Recast into the shape that it has, with the teacher's weights in both new blocks: no difference.
#[test]
fn a_copy_differs_by_nothing() {
    let teacher = teacher();
    for (block, into) in
        [(0, NewKind::Conv), (1, NewKind::Same), (2, NewKind::Residual), (3, NewKind::Same), (4, NewKind::Conv)]
    {
        let mut student = Student::new(&teacher, 1).expect("one chain");
        student.replace(&change(block, into)).expect("a rule");
        let exercise = Exercise::of(&teacher, &student, block, Scope::default()).expect("fits");
        let images = loader(0..32);
        let (_, relative) = distance(&exercise.answers, &exercise.network, &images).expect("runs");
        assert!(relative > 0.1, "block {block}: with random weights {relative}");
        let copied = with_weights(&exercise.network, &exercise.answers, |_| false).expect("the same constants");
        let (mse, relative) = distance(&exercise.answers, &copied, &images).expect("runs");
        assert_eq!((mse.to_bits(), relative.to_bits()), (0, 0), "block {block}");
    }
}

/// While block i is recast, the parameters that learn are those of blocks 0 to i + 1, or of both new ones alone.
#[test]
fn what_learns() {
    let (teacher, learning) = (teacher(), learning(32));
    for block in 0..5 {
        let mut student = Student::new(&teacher, 1).expect("one chain");
        student.replace(&change(block, NewKind::Conv)).expect("a rule");
        let names = |blocks: &[Block]| -> BTreeSet<String> {
            let all = constants(student.graph(), blocks).into_iter().map(|(name, _)| name);
            all.filter(|name| !name.ends_with("mean") && !name.ends_with("variance")).collect()
        };
        for scope in [Scope::UpToNext, Scope::Pair] {
            let exercise = Exercise::of(&teacher, &student, block, scope).expect("fits");
            let model = learning.model(&exercise.network, &[]).expect("trains");
            let learns =
                model.params().iter().map(Param::name).filter(|name| !exercise.frozen.iter().any(|f| f == name));
            let learns: BTreeSet<String> = learns.map(str::to_owned).collect();
            let first = if scope == Scope::Pair { block } else { 0 };
            assert_eq!(learns, names(&student.blocks()[first..=block + 1]), "block {block}, {scope:?}");
        }
    }
}

/// Blocks behind the rebuilt one, and the teacher, stay as they are bit for bit; those up to it learn.
#[test]
fn what_stays() {
    let (teacher, learning) = (teacher(), learning(64));
    let of_teacher = blocks(&teacher).expect("one chain");
    for scope in [Scope::UpToNext, Scope::Pair] {
        let (_, networks) = trained(None, &[change(2, NewKind::Conv)], &Schooling { scope, ..schooling(1) }, &learning);
        let (student, found) = (&networks[0], blocks(&networks[0]).expect("one chain"));
        for at in 4..of_teacher.len() {
            let [old, new] = [constants(&teacher, &of_teacher[at..=at]), constants(student, &found[at..=at])];
            assert_eq!(old, new, "block {at}");
        }
        for at in 0..2 {
            let [old, new] = [constants(&teacher, &of_teacher[at..=at]), constants(student, &found[at..=at])];
            for ((name, old), (_, new)) in old.iter().zip(&new) {
                let is_buffer = name.ends_with("mean") || name.ends_with("variance");
                assert_eq!(old != new, is_buffer || scope == Scope::UpToNext, "{name}, {scope:?}");
            }
        }
        // What came out of no training: the seed's weights.
        let mut fresh = Student::new(&teacher, 1).expect("one chain");
        fresh.replace(&change(2, NewKind::Conv)).expect("a rule");
        let [old, new] = [constants(fresh.graph(), &fresh.blocks()[2..4]), constants(student, &found[2..4])];
        assert!(!old.is_empty() && old.iter().zip(&new).all(|(old, new)| old.0 == new.0 && old.1 != new.1));
    }
    assert_eq!(teacher, self::teacher());
}

/// 320 steps from random weights leave less than a tenth of the difference, measured on the images learnt from; a fifth
/// where the student cannot be the teacher: a residual block as one convolution.
#[test]
fn differences_fall() {
    let learning = Learning { validation: None, ..learning(256) };
    let teacher = teacher();
    for (block, least) in [(1, 10.0), (4, 10.0), (2, 5.0)] {
        let mut student = Student::new(&teacher, 1).expect("one chain");
        student.replace(&change(block, NewKind::Conv)).expect("a rule");
        let exercise = Exercise::of(&teacher, &student, block, Scope::default()).expect("fits");
        let (before, _) = distance(&exercise.answers, &exercise.network, &learning.training).expect("runs");
        let (found, _) = trained(None, &[change(block, NewKind::Conv)], &schooling(20), &learning);
        let StepRecord { mse, relative_error, .. } = found.steps[0];
        println!("block {block}: {before} to {mse}, relative {relative_error}");
        assert!(mse < before / least, "block {block}: from {before} to {mse}");
    }
}

/// Two runs, and one that goes on from what another came to, give the same bits; the last run changes every block.
#[test]
fn runs_go_on() {
    let learning = learning(48);
    let both = [change(2, NewKind::Conv), change(3, NewKind::Conv)];
    let (found, networks) = trained(None, &both, &schooling(1), &learning);
    assert_eq!((found.steps.len(), &found.graph), (2, &networks[1]));
    assert_eq!(trained(None, &both, &schooling(1), &learning).0.graph, found.graph);
    assert_eq!(trained(Some(&networks[0]), &both[1..], &schooling(1), &learning).0.graph, found.graph);
    let plain = blocks(&found.graph).expect("one chain");
    assert!(plain[..5].iter().all(|block| block.kind == BlockKind::Conv), "{plain:?}");

    let last = Schooling { finetune: Some(Course { epochs: 1, learning_rate: Some(1e-3) }), ..schooling(1) };
    let (tuned, _) = trained(None, &both, &last, &learning);
    let all = [&found.graph, &tuned.graph].map(|graph| constants(graph, &plain));
    assert!(all[0].iter().zip(&all[1]).all(|(old, new)| old.0 == new.0 && old.1 != new.1));
    assert!(tuned.accuracy.is_some() && tuned.steps == found.steps);
}

/// A weight on both sides of the cut would move what must stay.
#[test]
fn shared_weights_are_refused() {
    let teacher = teacher();
    let mut editor = Editor::new(&teacher);
    let shared = editor.value("b1.w");
    editor.set_input("front", 1, shared).expect("there");
    let teacher = editor.finish().expect("valid");
    let mut after_step = |_: &StepRecord, _: &Graph| Ok(());
    let found = train((&teacher, None), &[change(1, NewKind::Same)], &schooling(1), &learning(32), 1, &mut after_step);
    // The recast block gets a weight of its own.
    found.expect("shared no more");
    let stem = Exercise::of(&teacher, &Student::new(&teacher, 1).expect("one chain"), 0, Scope::default());
    let error = stem.err().expect("shared").to_string();
    assert!(error.contains("\"b1\"") && error.contains("b1.w"), "{error}");
}
