//! What a student learns from values inside of a teacher: hints and attention.
//!
//! [`Values`] says which value of the student learns from which one of the teacher. [`Hint`] is a training run of its own
//! for the student's first layers, [`Attention`] adds terms to the loss of a student's run. Neither leaves anything in the
//! network that is exported.

use std::fmt;
use std::str::FromStr;

use skimp_graph::rewrite::{Edge, Editor};
use skimp_graph::shape::{self, Shapes};
use skimp_graph::{AutoPad, Gemm, Graph, Op, Tensor, ValueId, Window, ops};
use skimp_numerics::rng::{stream, uniform_f32};
use skimp_train::loader::Loader;
use skimp_train::{LossKind, LossSum, LossTerm, Target, Teacher};

use crate::parts::{distance, up_to, with_weights};
use crate::recast::blocks;
use crate::{Learning, Lesson, ReduceError};

/// Names of the teacher's values among the targets of a loss.
const HINT: &str = "hint";
const ATTENTION: &str = "attention";

/// Most values that an error lists.
const MOST_LISTED: usize = 16;

/// A value of a student and the one of a teacher that it learns from, by the name of the value or of the node that makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The student's.
    pub student: String,
    /// The teacher's.
    pub teacher: String,
}

/// Which values learn from which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Values {
    /// Those that the structure of both networks tells.
    Auto,
    /// These.
    Named(Vec<Pair>),
}

/// A text that names no values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\", expected `auto`, or STUDENT_VALUE=TEACHER_VALUE, several of them with commas between")]
pub struct ValuesError {
    text: String,
}

impl FromStr for Values {
    type Err = ValuesError;

    /// `auto`, or `STUDENT=TEACHER,STUDENT=TEACHER`.
    fn from_str(text: &str) -> Result<Self, ValuesError> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let pair = |part: &str| match part.split_once('=') {
            Some((student, teacher)) if !student.trim().is_empty() && !teacher.trim().is_empty() => {
                Some(Pair { student: student.trim().to_owned(), teacher: teacher.trim().to_owned() })
            }
            _ => None,
        };
        let pairs: Option<Vec<Pair>> = text.split(',').map(pair).collect();
        pairs.map(Self::Named).ok_or_else(|| ValuesError { text: text.to_owned() })
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Named(pairs) => {
                let pairs: Vec<String> =
                    pairs.iter().map(|pair| format!("{}={}", pair.student, pair.teacher)).collect();
                f.write_str(&pairs.join(","))
            }
        }
    }
}

impl Values {
    /// The values by their own names: those that were named, or the ends of the stages.
    ///
    /// A stage is what lies between two changes of height or width; it ends with the last block ([`blocks`]) of its size.
    /// Stages are unambiguous where both networks have as many, each of the same size.
    ///
    /// # Errors
    /// [`ReduceError::Nothing`] with the values that could be named, for a name that a network has not, or stages that do
    /// not fit.
    pub fn resolved(&self, student: &Graph, teacher: &Graph, size: [usize; 2]) -> Result<Vec<Pair>, ReduceError> {
        match self {
            Self::Named(pairs) => {
                let resolve = |pair: &Pair| {
                    let student = resolve(student, &pair.student, size)?;
                    Ok(Pair { student, teacher: resolve(teacher, &pair.teacher, size)? })
                };
                pairs.iter().map(resolve).collect()
            }
            Self::Auto => {
                let (learn, teach) = (stages(student, size)?, stages(teacher, size)?);
                let sizes = |stages: &[Stage]| stages.iter().map(|stage| stage.size).collect::<Vec<_>>();
                if sizes(&learn) != sizes(&teach) || learn.is_empty() {
                    let of = |graph: &Graph, stages: &[Stage]| {
                        format!("{}: {}", graph.name(), list(stages.iter().map(ToString::to_string)))
                    };
                    let cause = format!(
                        "its stages are not those of the teacher, so that the values have to be named, \
                         STUDENT_VALUE=TEACHER_VALUE; stages end with, in the student {}; in the teacher {}",
                        of(student, &learn),
                        of(teacher, &teach)
                    );
                    return Err(ReduceError::Nothing { network: student.name().to_owned(), cause });
                }
                let pair = |(student, teacher): (Stage, Stage)| Pair { student: student.value, teacher: teacher.value };
                Ok(learn.into_iter().zip(teach).map(pair).collect())
            }
        }
    }
}

/// The end of a stage.
#[derive(Clone, Debug)]
struct Stage {
    value: String,
    size: [usize; 2],
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" ({}x{})", self.value, self.size[0], self.size[1])
    }
}

/// The ends of a network's stages, in the order of the network. A single position has no attention and ends none.
fn stages(graph: &Graph, size: [usize; 2]) -> Result<Vec<Stage>, ReduceError> {
    let shapes = shapes(graph, size)?;
    let mut found: Vec<Stage> = Vec::new();
    for block in blocks(graph)? {
        let Some(&[_, _, height, width]) = id_of(graph, &block.output).map(|id| shapes.shape(id)) else { continue };
        let stage = Stage { value: block.output, size: [height, width] };
        match found.last_mut() {
            Some(last) if last.size == stage.size => *last = stage,
            _ => found.push(stage),
        }
    }
    found.retain(|stage| stage.size.iter().product::<usize>() > 1);
    Ok(found)
}

/// Shapes for one image.
fn shapes(graph: &Graph, [height, width]: [usize; 2]) -> Result<Shapes, ReduceError> {
    let extents = shape::bind(graph, 1, Some((height, width)))?;
    Ok(shape::infer(graph, &extents)?)
}

fn id_of(graph: &Graph, value: &str) -> Option<ValueId> {
    graph.values().iter().position(|other| other.name == value && other.constant.is_none()).map(ValueId)
}

/// The first names, and how many more there are.
fn list(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    let shown = names[..names.len().min(MOST_LISTED)].join(", ");
    match names.len().saturating_sub(MOST_LISTED) {
        0 if names.is_empty() => "none".to_owned(),
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The name of the value of that name, or that a node of that name makes.
fn resolve(graph: &Graph, name: &str, size: [usize; 2]) -> Result<String, ReduceError> {
    let made = graph.nodes().iter().find(|node| node.name == name).and_then(|node| node.outputs.first());
    let made = made.map(|id| graph.value(*id).name.clone());
    if let Some(value) = id_of(graph, name).map(|_| name.to_owned()).or(made) {
        return Ok(value);
    }
    // Ends of blocks are what is meant mostly; a network without blocks has nodes.
    let names = match blocks(graph) {
        Ok(blocks) => blocks.into_iter().map(|block| block.output).collect(),
        Err(_) => graph.nodes().iter().map(|node| node.name.clone()).collect::<Vec<_>>(),
    };
    let shapes = shapes(graph, size)?;
    let shown = names.into_iter().map(|name| match id_of(graph, &name).map(|id| &shapes.shape(id)[1..]) {
        Some(shape) => format!("\"{name}\" {shape:?}"),
        None => format!("\"{name}\""),
    });
    let cause = format!("it has no value or node \"{name}\"; values between its blocks are {}", list(shown));
    Err(ReduceError::Nothing { network: graph.name().to_owned(), cause })
}

/// Attention maps that a student learns from a teacher, as terms of its loss.
///
/// A map is the sum over channels of the squares at each position, divided by its Euclidean norm; the loss of a pair is the
/// mean over images and positions of the squared difference of both ([`LossKind::Attention`]). Channels may differ in number;
/// where one network's map is a whole multiple of the other's in height and width, its values are averaged before.
///
/// # Source
/// Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017 (activation-based, p = 2), and the code released
/// with it, whose mean over positions and factor (1000) these are; the paper has the sum, times half of another factor.
/// Differs: maps of different sizes are compared after averaging.
#[derive(Clone, Debug)]
pub struct Attention {
    pairs: Vec<Pair>,
    /// How many positions of each network are averaged, along each axis.
    pools: Vec<[Option<[usize; 2]>; 2]>,
    beta: f32,
}

impl Attention {
    /// The terms for these values, each with the factor `beta`.
    ///
    /// # Errors
    /// As [`Values::resolved`]; [`ReduceError::Nothing`] naming a value that is no map, or maps whose sizes do not fit.
    pub fn new(
        values: &Values,
        (student, teacher): (&Graph, &Graph),
        size: [usize; 2],
        beta: f32,
    ) -> Result<Self, ReduceError> {
        let pairs = values.resolved(student, teacher, size)?;
        let (learn, teach) = (shapes(student, size)?, shapes(teacher, size)?);
        let pools = pairs.iter().map(|pair| {
            let of_student = map_size(student, &learn, &pair.student)?;
            let of_teacher = map_size(teacher, &teach, &pair.teacher)?;
            let whole = |large: [usize; 2], small: [usize; 2]| {
                let is_whole = (0..2).all(|axis| small[axis] > 0 && large[axis].is_multiple_of(small[axis]));
                is_whole.then(|| [large[0] / small[0], large[1] / small[1]])
            };
            match (whole(of_student, of_teacher), whole(of_teacher, of_student)) {
                (Some([1, 1]), _) => Ok([None, None]),
                (Some(pool), _) => Ok([Some(pool), None]),
                (None, Some(pool)) => Ok([None, Some(pool)]),
                (None, None) => Err(ReduceError::Nothing {
                    network: student.name().to_owned(),
                    cause: format!(
                        "\"{}\" is {}x{}, \"{}\" of the teacher {}x{}: name maps of which one's size is a multiple of the \
                         other's",
                        pair.student, of_student[0], of_student[1], pair.teacher, of_teacher[0], of_teacher[1]
                    ),
                }),
            }
        });
        let pools = pools.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { pairs, pools, beta })
    }

    /// The values, by their own names.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// The terms of the loss of the network that [`student`](Self::student) gives.
    pub fn terms(&self) -> Vec<LossTerm> {
        let term = |(idx, pair): (usize, &Pair)| LossTerm {
            kind: LossKind::Attention,
            tensor: Some(pair.student.clone()),
            factor: self.beta,
            target: Target::Tensor(format!("{ATTENTION}{idx}")),
        };
        self.pairs.iter().enumerate().map(term).collect()
    }

    /// The values of that network that the terms read.
    pub fn keep(&self) -> Vec<String> {
        self.pairs.iter().map(|pair| pair.student.clone()).collect()
    }

    /// The student for its training: maps that are averaged are outputs behind all others.
    ///
    /// # Errors
    /// [`ReduceError::Graph`] for a network that does not make the values.
    pub fn student(&self, graph: &Graph) -> Result<Graph, ReduceError> {
        pooled(graph, self.pairs.iter().map(|pair| pair.student.as_str()).zip(self.pools.iter().map(|pool| pool[0])))
    }

    /// The student without what its training added.
    ///
    /// # Errors
    /// [`ReduceError::Nothing`] for networks of other weights.
    pub fn exported(&self, student: &Graph, trained: &Graph) -> Result<Graph, ReduceError> {
        with_weights(student, trained, |_| false)
    }

    /// The teacher, with the name of each target and the value that it is; `None` for the logits.
    ///
    /// # Errors
    /// As [`Teacher::new`].
    pub fn teacher(&self, graph: &Graph, logits: &str) -> Result<Teacher, ReduceError> {
        let values = self.pairs.iter().map(|pair| pair.teacher.as_str());
        let graph = pooled(graph, values.zip(self.pools.iter().map(|pool| pool[1])))?;
        let names: Vec<String> = (0..self.pairs.len()).map(|idx| format!("{ATTENTION}{idx}")).collect();
        let mut asked = vec![(logits, None)];
        asked.extend(names.iter().zip(&self.pairs).map(|(name, pair)| (name.as_str(), Some(pair.teacher.as_str()))));
        Ok(Teacher::new(&graph, &asked)?)
    }
}

/// Height and width of a value.
fn map_size(graph: &Graph, shapes: &Shapes, value: &str) -> Result<[usize; 2], ReduceError> {
    match id_of(graph, value).map(|id| shapes.shape(id)) {
        Some(&[_, _, height, width]) => Ok([height, width]),
        found => Err(ReduceError::Nothing {
            network: graph.name().to_owned(),
            cause: format!("\"{value}\" has the shape {:?}, expected maps [n, c, h, w]", found.unwrap_or_default()),
        }),
    }
}

/// A network with outputs for values that are averaged, which keep their names.
fn pooled<'v>(
    graph: &Graph,
    values: impl Iterator<Item = (&'v str, Option<[usize; 2]>)>,
) -> Result<Graph, ReduceError> {
    let mut editor = Editor::new(graph);
    for (value, pool) in values {
        let (Some(id), Some(kernel)) = (editor.value(value), pool) else { continue };
        let mut outputs = editor.outputs().to_vec();
        outputs.push(id);
        let position = outputs.len() - 1;
        editor.set_outputs(outputs)?;
        let op = Op::AveragePool(ops::AveragePool { window: window(kernel, kernel), count_include_pad: false });
        editor.insert(Edge::Output(position), &format!("{ATTENTION}.{value}"), op, &[])?;
    }
    Ok(editor.finish()?)
}

fn window(kernel: [usize; 2], strides: [usize; 2]) -> Window {
    Window {
        kernel: kernel.to_vec(),
        strides: strides.to_vec(),
        dilations: vec![1; 2],
        pads_begin: vec![0; 2],
        pads_end: vec![0; 2],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}

/// A hint: a value of the teacher that the student's first layers learn to tell, through a regressor.
///
/// The regressor is a convolution without padding whose kernel makes the student's map as large as the teacher's (1x1 where
/// both are equal), or a dense layer for vectors, with a bias. It is trained along and is no part of the student.
///
/// # Source
/// Romero, Ballas, Kahou, Chassang, Gatta and Bengio, "FitNets: Hints for Thin Deep Nets", ICLR 2015, equations 3 and 4.
/// Differs: half of the mean over elements, not of the sum, so that learning rates do not depend on the size of the maps; a
/// linear regressor; as many epochs as asked for, where the paper stops once the loss stalls.
#[derive(Clone, Debug)]
pub struct Hint {
    pair: Pair,
    /// The student up to its value, and the regressor.
    network: Graph,
    /// The teacher up to its value.
    answers: Graph,
    /// What names of the regressor begin with.
    prefix: String,
    regressor: Vec<usize>,
}

impl Hint {
    /// The run that lets a student's value learn from a teacher's. `seed` fixes the regressor's first weights.
    ///
    /// Where the structure is to tell the values ([`Values::Auto`]), these are the ends of the middle stages, of networks with
    /// an odd number of them.
    ///
    /// # Errors
    /// As [`Values::resolved`]; [`ReduceError::Nothing`] for values that no regressor joins.
    pub fn new(
        values: &Values,
        (student, teacher): (&Graph, &Graph),
        size: [usize; 2],
        seed: u64,
    ) -> Result<Self, ReduceError> {
        let nothing = |cause: String| ReduceError::Nothing { network: student.name().to_owned(), cause };
        let pairs = values.resolved(student, teacher, size)?;
        let pair = match (values, pairs.as_slice()) {
            (Values::Named(_), [pair]) => pair,
            (Values::Auto, pairs) if pairs.len() % 2 == 1 => &pairs[pairs.len() / 2],
            (Values::Named(_), _) => return Err(nothing(format!("{} hints, expected one", pairs.len()))),
            (Values::Auto, _) => {
                let names = list(pairs.iter().map(|pair| format!("{}={}", pair.student, pair.teacher)));
                return Err(nothing(format!("no stage lies in the middle of {}: name one of {names}", pairs.len())));
            }
        };
        let (learn, teach) = (shapes(student, size)?, shapes(teacher, size)?);
        let shape = |graph: &Graph, shapes: &Shapes, value: &str| {
            id_of(graph, value).map(|id| shapes.shape(id).to_vec()).unwrap_or_default()
        };
        let (guided, hint) = (shape(student, &learn, &pair.student), shape(teacher, &teach, &pair.teacher));
        let part = up_to(student, &pair.student)?;
        let mut prefix = "hint".to_owned();
        while part.values().iter().any(|value| value.name.starts_with(&format!("{prefix}."))) {
            prefix.push('_');
        }
        let (op, regressor) = match (guided.as_slice(), hint.as_slice()) {
            (&[_, inputs, h, w], &[_, outputs, p, q]) if h >= p && w >= q && p > 0 && q > 0 => {
                let kernel = [h - p + 1, w - q + 1];
                let op = Op::Conv(ops::Conv { window: window(kernel, [1, 1]), groups: 1 });
                (op, vec![outputs, inputs, kernel[0], kernel[1]])
            }
            (&[_, inputs], &[_, outputs]) => {
                let op = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true });
                (op, vec![outputs, inputs])
            }
            _ => {
                return Err(nothing(format!(
                    "no regressor makes \"{}\" {:?} of \"{}\" {:?}: name maps of which the student's is at least as large, \
                     or two vectors",
                    pair.teacher,
                    &hint[1.min(hint.len())..],
                    pair.student,
                    &guided[1.min(guided.len())..]
                )));
            }
        };
        let mut editor = Editor::new(&part);
        let weight = editor.add_constant(&format!("{prefix}.weight"), first_weight(&regressor, seed));
        let bias = editor
            .add_constant(&format!("{prefix}.bias"), Tensor::from_f32(vec![regressor[0]], vec![0.0; regressor[0]]));
        editor.insert(Edge::Output(0), &format!("{prefix}.regressor"), op, &[Some(weight), Some(bias)])?;
        let (network, answers) = (editor.finish()?, up_to(teacher, &pair.teacher)?);
        Ok(Self { pair: pair.clone(), network, answers, prefix, regressor })
    }

    /// The values, by their own names.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// The shape of the regressor's weight: channels of the teacher, of the student, and the kernel.
    pub fn regressor(&self) -> &[usize] {
        &self.regressor
    }

    /// The first layers and the regressor, trained to answer as the teacher does, and the loss of every epoch.
    ///
    /// # Errors
    /// As [`Learning::train`].
    pub fn train(&self, learning: &Learning<'_>, epochs: u64) -> Result<(Self, Vec<f64>), ReduceError> {
        // The output of a part of a network bears another name.
        let recipe = crate::Recipe { output: None, ..learning.recipe.clone() };
        let (training, validation) = (learning.training.clone(), None);
        let part = Learning { training, validation, recipe, observer: learning.observer, runs: learning.runs };
        let target = Target::Tensor(HINT.to_owned());
        let term = LossTerm { kind: LossKind::MeanSquared, tensor: None, factor: 0.5, target };
        let teacher = Teacher::new(&self.answers, &[(HINT, Some(self.pair.teacher.as_str()))])?;
        let lesson = Lesson {
            epochs,
            losses: Some(LossSum { terms: vec![term] }),
            targets: Some(Box::new(teacher)),
            ..Lesson::default()
        };
        let mut model = part.model(&self.network, &[])?;
        let history = part.train_model(&mut model, lesson)?;
        let trained = Self { network: model.to_graph()?, ..self.clone() };
        Ok((trained, history.iter().map(|epoch| epoch.train_loss).collect()))
    }

    /// The student with first layers as they are here, without the regressor.
    ///
    /// # Errors
    /// [`ReduceError::Nothing`] for another student.
    pub fn taught(&self, student: &Graph) -> Result<Graph, ReduceError> {
        with_weights(student, &self.network, |name| self.is_own(name))
    }

    /// The hint with first layers as a student has them, and the regressor of this one.
    ///
    /// # Errors
    /// [`ReduceError::Nothing`] for another student.
    pub fn of(&self, student: &Graph) -> Result<Self, ReduceError> {
        let part = up_to(student, &self.pair.student)?;
        Ok(Self { network: with_weights(&self.network, &part, |_| false)?, ..self.clone() })
    }

    /// Mean squared difference of what the regressor and the teacher say, in inference form, over the images.
    ///
    /// # Errors
    /// [`ReduceError::Train`] for an image that cannot be read.
    pub fn distance(&self, images: &Loader) -> Result<f64, ReduceError> {
        Ok(distance(&self.answers, &self.network, images)?.0)
    }

    fn is_own(&self, name: &str) -> bool {
        name.strip_prefix(self.prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }
}

/// Random weights, uniform within the bound of Glorot and Bengio (AISTATS 2010, equation 16).
fn first_weight(shape: &[usize], seed: u64) -> Tensor {
    let area: usize = shape.iter().skip(2).product();
    let bound = (6.0 / (shape.iter().take(2).sum::<usize>() * area).max(1) as f64).sqrt();
    let stream = stream("hint/regressor");
    let element = |idx: usize| (bound * (2.0 * f64::from(uniform_f32(seed, stream, idx as u64)) - 1.0)) as f32;
    Tensor::from_f32(shape.to_vec(), (0..shape.iter().product()).map(element).collect())
}

#[cfg(test)]
mod tests {
    use skimp_graph::networks::{self, Weights};
    use skimp_graph::reference::Reference;
    use skimp_graph::{Executor as _, testing::random_tensor};
    use skimp_train::TargetSource as _;

    use super::*;
    use crate::weights::testing::{bits, elements, learning, small_net};

    const SIZE: [usize; 2] = [28, 28];

    fn network(name: &str) -> Graph {
        networks::build(name, Weights::Seeded(2)).unwrap()
    }

    fn named(text: &str) -> Values {
        text.parse().unwrap()
    }

    #[test]
    fn values_are_named() {
        assert_eq!(named("auto"), Values::Auto);
        assert_eq!(named("a=b, c = d").to_string(), "a=b,c=d");
        for text in ["", "a", "a=", "=b", "a=b,"] {
            assert!(text.parse::<Values>().is_err(), "{text}");
        }
        // A node stands for the value that it makes.
        let graph = small_net();
        let pairs = named("conv2=relu1").resolved(&graph, &graph, SIZE).unwrap();
        let made = |node: &str| {
            let node = graph.nodes().iter().find(|other| other.name == node).unwrap();
            graph.value(node.outputs[0]).name.clone()
        };
        assert_eq!(pairs, [Pair { student: made("conv2"), teacher: made("relu1") }]);
        let error = named("conv9=relu1").resolved(&graph, &graph, SIZE).unwrap_err().to_string();
        assert!(error.contains("no value or node \"conv9\"") && error.contains("[8, 28, 28]"), "{error}");
    }

    /// ResNet-20 and ResNet-56 have the same three stages; the hint is in the middle one.
    #[test]
    fn stages_are_found() {
        let (student, teacher) = (network("resnet20"), network("resnet56"));
        let found = Attention::new(&Values::Auto, (&student, &teacher), [32, 32], 1000.0).unwrap();
        let (learn, teach) = (shapes(&student, [32, 32]).unwrap(), shapes(&teacher, [32, 32]).unwrap());
        let of = |graph: &Graph, shapes: &Shapes, value: &str| shapes.shape(id_of(graph, value).unwrap()).to_vec();
        let (a, b) = (found.pairs(), [[16, 32, 32], [32, 16, 16], [64, 8, 8]]);
        assert_eq!(a.len(), 3);
        for (pair, expected) in a.iter().zip(b) {
            assert_eq!(of(&student, &learn, &pair.student)[1..], expected);
            assert_eq!(of(&teacher, &teach, &pair.teacher)[1..], expected);
        }
        let hint = Hint::new(&Values::Auto, (&student, &teacher), [32, 32], 1).unwrap();
        assert_eq!((hint.pair(), hint.regressor()), (&a[1], &[32, 32, 1, 1][..]));
        // Stages that differ are listed.
        let error = Attention::new(&Values::Auto, (&student, &network("vgg16-cifar")), [32, 32], 1.0).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("STUDENT_VALUE=TEACHER_VALUE") && error.contains("(2x2)"), "{error}");
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let (student, teacher) = (small_net(), network("sample-resnet"));
        let (student, teacher) = (&student, &teacher);
        let attention =
            |text: &str| Attention::new(&named(text), (student, teacher), SIZE, 1.0).unwrap_err().to_string();
        let error = attention("fc=conv1");
        assert!(error.contains("\"fc\" has the shape [1, 10], expected maps"), "{error}");
        let hint = |text: &str| Hint::new(&named(text), (student, teacher), SIZE, 1).unwrap_err().to_string();
        assert!(hint("fc=conv1").contains("no regressor makes \"conv1\""), "{}", hint("fc=conv1"));
        assert!(hint("pool2=conv1").contains("at least as large"), "{}", hint("pool2=conv1"));
        assert!(hint("relu1=conv1,relu2=conv1").contains("2 hints, expected one"));
    }

    /// Sheet 4.5, test 7: the regressor learns in the first stage and is not in the student; what lies behind the value stays,
    /// bit for bit, and so does the teacher.
    #[test]
    fn a_regressor_is_trained_along() {
        let (student, teacher, learning) = (small_net(), network("sample-resnet"), learning());
        let before = bits(&teacher);
        // 14 x 14 from 14 x 14, and 7 x 7 from 14 x 14 through a kernel of 8.
        for (student_value, teacher_value, kernel) in [("relu2", "auto", 1), ("relu2", "small", 8)] {
            let at = stages(&teacher, SIZE).unwrap();
            let wanted = if kernel == 1 { [14, 14] } else { [7, 7] };
            let of_teacher = at.iter().find(|stage| stage.size == wanted).expect(teacher_value).value.clone();
            let values = named(&format!("{student_value}={of_teacher}"));
            let hint = Hint::new(&values, (&student, &teacher), SIZE, 1).unwrap();
            assert_eq!(hint.regressor()[1..], [12, kernel, kernel]);
            let (taught, epochs) = hint.train(&learning, 4).unwrap();
            assert!(epochs.len() == 4 && epochs[3] < epochs[0], "{epochs:?}");
            let weight = |hint: &Hint| elements(&hint.network, "hint.weight").to_vec();
            assert_ne!(weight(&hint), weight(&taught));
            let images = learning.validation.as_ref().unwrap();
            assert!(taught.distance(images).unwrap() < hint.distance(images).unwrap());
            let exported = taught.taught(&student).unwrap();
            let (old, new) = (bits(&student), bits(&exported));
            for ((name, old), (same, new)) in old.iter().zip(&new) {
                assert_eq!(name, same);
                assert_eq!(old == new, name.starts_with("fc"), "{name}");
            }
            assert_eq!(old.len(), new.len());
            // The first layers of the student, with the regressor of the hint, are the hint again.
            assert_eq!(bits(&taught.of(&exported).unwrap().network), bits(&taught.network));
            // A student that says what the teacher says: nothing to learn.
            let same = Hint::new(&named(&format!("{of_teacher}={of_teacher}")), (&teacher, &teacher), SIZE, 1).unwrap();
            assert!(same.distance(images).unwrap() > 0.0);
        }
        assert_eq!(before, bits(&teacher));
    }

    /// The larger map is averaged, on either side; training moves the maps together, and nothing is left in the student.
    #[test]
    fn attention_is_transferred() {
        let (student, teacher, mut learning) = (small_net(), network("sample-resnet"), learning());
        let at =
            |size: usize| stages(&teacher, SIZE).unwrap().into_iter().find(|stage| stage.size == [size; 2]).unwrap();
        // 28 x 28 from 14 x 14: the student's are averaged; 14 x 14 from 28 x 28: the teacher's.
        let text = format!("relu1={},relu2={}", at(14).value, at(28).value);
        let attention = Attention::new(&named(&text), (&student, &teacher), SIZE, 200.0).unwrap();
        let extended = attention.student(&student).unwrap();
        let images = random_tensor(5, "images", vec![2, 1, 28, 28], 0.0, 1.0);
        let run = |graph: &Graph| Reference::new(graph).run(std::slice::from_ref(&images)).unwrap();
        let (plain, with) = (run(&student), run(&extended));
        assert_eq!((plain[0].as_f32(), with.len(), with[1].shape()), (with[0].as_f32(), 2, &[2, 8, 14, 14][..]));
        let whole = {
            let mut editor = Editor::new(&student);
            let id = editor.value("relu1").unwrap();
            editor.set_outputs(vec![id]).unwrap();
            run(&editor.finish().unwrap()).remove(0)
        };
        let (whole, mean) = (whole.as_f32().unwrap(), with[1].as_f32().unwrap());
        let by_hand = (whole[0] + whole[1] + whole[28] + whole[29]) / 4.0;
        assert!((mean[0] - by_hand).abs() < 1e-6, "{} {by_hand}", mean[0]);

        let mut losses = LossSum::cross_entropy(0.0);
        losses.terms[0].factor = 0.0;
        losses.terms.extend(attention.terms());
        learning.recipe.losses = losses.clone();
        let lesson = |attention: &Attention| Lesson {
            epochs: 5,
            targets: Some(Box::new(attention.teacher(&teacher, "teacher").unwrap())),
            keep: attention.keep(),
            ..Lesson::default()
        };
        let terms = |graph: &Graph| {
            let graph = attention.student(graph).unwrap();
            let mut model = learning.model(&graph, &attention.keep()).unwrap();
            let batch = learning.training.batch(0).unwrap();
            let mut policy = skimp_train::policy::create("fp32").unwrap();
            let mode = skimp_train::Mode::Eval;
            model.forward_images(&batch.images, &batch.indices, mode, &mut *policy).unwrap();
            let mut teacher = attention.teacher(&teacher, "teacher").unwrap();
            let tensors = teacher.targets(&batch).unwrap();
            let tensors: Vec<(&str, &[f32])> = tensors.iter().map(|(name, t)| (name.as_str(), &t[..])).collect();
            let targets = skimp_train::Targets { labels: &batch.labels, tensors: &tensors };
            model.evaluate(&losses, &targets).unwrap().terms[1..].to_vec()
        };
        let trained = learning.train(&extended, lesson(&attention)).unwrap();
        let exported = attention.exported(&student, &trained).unwrap();
        assert_eq!((exported.nodes().len(), exported.outputs().len()), (student.nodes().len(), 1));
        let (before, after) = (terms(&student), terms(&exported));
        assert!(after.iter().sum::<f64>() < before.iter().sum::<f64>(), "{before:?} {after:?}");
    }
}
