//! How a recast network learns.

use std::collections::BTreeSet;

use skimp_graph::rewrite::{fold_constants, remove_dead};
use skimp_graph::{Graph, Node, ValueId};
use skimp_train::{LossKind, LossSum, LossTerm, Target, Teacher};

use super::student::Student;
use super::target::Change;
use crate::parts::{distance, up_to, with_weights};
use crate::{Learning, Lesson, ReduceError};

/// Name of the teacher's answers among the targets.
const TEACHER: &str = "teacher";

/// Which blocks learn while one is recast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All up to the rebuilt one, as in the release.
    #[default]
    UpToNext,
    /// The recast and the rebuilt one, as a caption of the paper has it. Running statistics of the blocks before them
    /// move all the same: the student is in training form.
    Pair,
}

/// Length and learning rate of one training run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Course {
    /// Passes over the training images, at least 1.
    pub epochs: u64,
    /// Base learning rate; the recipe's where none is given.
    pub learning_rate: Option<f64>,
}

/// How a recast network learns. Optimizer, schedule and precision are the recipe's, anew in each run.
///
/// The release trains with Adam, learning rate 1e-3, 60 epochs a block with a tenth of the rate after each 20, and 100
/// epochs at the end (CIFAR); 5e-4, 10 epochs, a tenth after 7, then 1e-4 for 20 epochs (ILSVRC2012); in full f32.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schooling {
    /// The run of each block.
    pub block: Course,
    /// The run of the whole network at the end, if any.
    pub finetune: Option<Course>,
    /// Which blocks learn while one is recast.
    pub scope: Scope,
}

/// What recasting one block brought.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// What was changed.
    pub change: Change,
    /// Mean squared difference of student and teacher behind the next block, in inference form, over the validation
    /// images (the training images where there are none).
    pub mse: f64,
    /// The same sum over that of the teacher's squares: comparable across blocks.
    pub relative_error: f64,
    /// Share of the validation images that the whole student classifies correctly, later blocks the teacher's still.
    pub accuracy: Option<f64>,
}

/// A network recast and trained.
#[derive(Clone, Debug)]
pub struct Recasting {
    /// The network.
    pub graph: Graph,
    /// A record for each block, in the order in which they were recast.
    pub steps: Vec<StepRecord>,
    /// Share of the validation images that it classifies correctly after the last run.
    pub accuracy: Option<f64>,
}

/// Recasts a network block after block, and trains it meanwhile.
///
/// For each change, in ascending order: the block is replaced and the one behind it rebuilt ([`Student::replace`]);
/// the student's blocks up to the rebuilt one learn, in training form, to give what the teacher gives there, behind the
/// rectifier, by the mean squared difference. The blocks behind are the teacher's still and stay as they are, bit for
/// bit; so does the teacher, in inference form. At the end the whole student learns by the mean squared difference of
/// logits plus cross-entropy with the labels, both with factor 1. `after_step` sees each step's record and network.
///
/// `start` is a network that an earlier run has come to, from which `changes` go on; `None` for the teacher itself.
///
/// # Errors
/// As [`Student::replace`] and [`Learning::train`]; [`ReduceError::Node`] for weights that blocks before and behind the
/// rebuilt one share; what `after_step` gives.
///
/// # Source
/// Yu, Kang and Choi, AAAI 2019, and the released code.
/// Differs: accuracy is measured in inference form everywhere, where the release's last run on ILSVRC2012 forgets to.
pub fn train(
    (teacher, start): (&Graph, Option<&Graph>),
    changes: &[Change],
    schooling: &Schooling,
    learning: &Learning<'_>,
    seed: u64,
    after_step: &mut dyn FnMut(&StepRecord, &Graph) -> Result<(), ReduceError>,
) -> Result<Recasting, ReduceError> {
    let teacher = remove_dead(&fold_constants(teacher));
    let mut student = Student::new(start.unwrap_or(&teacher), seed)?;
    // The output of a part of a network bears another name.
    let mut recipe = learning.recipe.clone();
    recipe.output = None;
    let (training, validation) = (learning.training.clone(), learning.validation.clone());
    let part = Learning { training, validation, recipe, observer: learning.observer, runs: learning.runs };
    let mut changes = changes.to_vec();
    changes.sort_by_key(|change| change.block);
    let mut steps = Vec::with_capacity(changes.len());
    for change in changes {
        student.replace(&change)?;
        let Exercise { network, answers, frozen } = Exercise::of(&teacher, &student, change.block, schooling.scope)?;
        let lesson = Lesson {
            epochs: schooling.block.epochs,
            learning_rate: schooling.block.learning_rate,
            losses: Some(LossSum { terms: vec![squared()] }),
            targets: Some(Box::new(Teacher::new(&answers, &[(TEACHER, None)])?)),
            frozen,
            ..Lesson::default()
        };
        let trained = part.train(&network, lesson)?;
        let (mse, relative_error) = distance(&answers, &trained, part.validation.as_ref().unwrap_or(&part.training))?;
        student.set_graph(with_weights(student.graph(), &trained, |_| false)?);
        let accuracy = learning.accuracy(student.graph())?;
        let record = StepRecord { change, mse, relative_error, accuracy };
        after_step(&record, student.graph())?;
        steps.push(record);
    }
    let mut graph = student.finish().graph;
    if let Some(course) = schooling.finetune {
        let labels = LossSum::cross_entropy(0.0).terms;
        let lesson = Lesson {
            epochs: course.epochs,
            learning_rate: course.learning_rate,
            losses: Some(LossSum { terms: std::iter::once(squared()).chain(labels).collect() }),
            targets: Some(Box::new(Teacher::new(&teacher, &[(TEACHER, None)])?)),
            ..Lesson::default()
        };
        graph = learning.train(&graph, lesson)?;
    }
    let accuracy = learning.accuracy(&graph)?;
    Ok(Recasting { graph, steps, accuracy })
}

/// The mean squared difference of the logits, or of what stands in their place, from the teacher's.
fn squared() -> LossTerm {
    LossTerm { kind: LossKind::MeanSquared, tensor: None, factor: 1.0, target: Target::Tensor(TEACHER.to_owned()) }
}

/// What a student learns while one block is recast.
pub(super) struct Exercise {
    /// Its blocks up to the rebuilt one.
    pub(super) network: Graph,
    /// The teacher's up to the same value.
    pub(super) answers: Graph,
    /// Names of the parameters that do not move.
    pub(super) frozen: Vec<String>,
}

impl Exercise {
    /// The exercise while `block` is recast.
    pub(super) fn of(teacher: &Graph, student: &Student, block: usize, scope: Scope) -> Result<Self, ReduceError> {
        let graph = student.graph();
        let blocks = student.blocks();
        let next = &blocks[block + 1];
        let network = up_to(graph, &next.output)?;
        let inside: BTreeSet<&str> = network.nodes().iter().map(|node| node.name.as_str()).collect();
        let is_inside = |node: &&Node| inside.contains(node.name.as_str());
        let here = graph.nodes().iter().filter(is_inside);
        let here: BTreeSet<ValueId> = here.flat_map(|node| node.inputs.iter().flatten().copied()).collect();
        let is_weight = |id| graph.constant(id).is_some_and(|tensor| tensor.dtype().is_float() && tensor.len() > 1);
        for node in graph.nodes().iter().filter(|node| !is_inside(node)) {
            let shared = node.inputs.iter().flatten().find(|&&id| is_weight(id) && here.contains(&id));
            if let Some(&shared) = shared {
                return Err(ReduceError::Node {
                    network: graph.name().to_owned(),
                    node: node.name.clone(),
                    cause: format!(
                        "reads \"{}\", which learns in a block before it; give it a constant of its own",
                        graph.value(shared).name
                    ),
                });
            }
        }
        let frozen = match scope {
            Scope::UpToNext => Vec::new(),
            Scope::Pair => {
                let pair: BTreeSet<&String> = blocks[block..=block + 1].iter().flat_map(|block| &block.nodes).collect();
                let still = network.nodes().iter().filter(|node| !pair.contains(&node.name));
                let constants = still.flat_map(|node| node.inputs.iter().flatten());
                let names = constants.filter(|&&id| network.constant(id).is_some());
                names.map(|&id| network.value(id).name.clone()).collect()
            }
        };
        Ok(Self { network, answers: up_to(teacher, &next.output)?, frozen })
    }
}
