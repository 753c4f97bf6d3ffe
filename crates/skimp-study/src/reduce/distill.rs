//! Distillation: a network that learns from another one's answers.

use serde::Serialize;
use skimp_graph::rewrite::fold_constants;
use skimp_graph::{Graph, onnx, shape};
use skimp_reduce::Lesson;
use skimp_reduce::distill::{Attention, Hint, Values};
use skimp_report::records::ModelRecord;
use skimp_report::table::{Cell, Column, Table};
use skimp_train::augment::Augment;
use skimp_train::loader::{Loader, Order};
use skimp_train::{LossSum, Mode, Model, TargetSource, Targets, Teacher, policy};

use super::learn::School;
use super::measured::{Gauge, NetworkMeasures, table};
use super::run::{ReduceRun, identity};
use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::{Images, PREPROCESS_KEY};
use crate::inputs::network::Network;
use crate::monitor::{Monitor, step};
use crate::tabular::Tabular;
use crate::train::config::TrainConfig;
use crate::train::trained::{loader, model_of};

/// Name of the teacher's logits among the targets.
const TEACHER: &str = "teacher";

/// How a student learns from a teacher.
#[derive(Clone, Debug, Serialize)]
pub struct DistillConfig {
    /// Temperature of both softmaxes.
    pub temperature: f32,
    /// Share of the teacher's term in the loss; the rest is cross-entropy with the labels.
    pub alpha: f32,
    /// The value of the student whose layers learn a value of the teacher first.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub hint: Option<Values>,
    /// Passes over the training images for the hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint_epochs: Option<u64>,
    /// Values of the student whose attention maps learn from those of the teacher.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub attention: Option<Values>,
    /// Factor of each attention term, a mean over positions.
    pub beta: f32,
    /// Images: trained on are those of the training split, measured on those of the test split.
    #[serde(skip)]
    pub data: DataConfig,
    /// Input height and width, where the student leaves them open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_size: Option<[usize; 2]>,
    /// How the student trains.
    pub training: TrainConfig,
}

fn as_text<S: serde::Serializer>(values: &Option<Values>, serializer: S) -> Result<S::Ok, S::Error> {
    match values {
        Some(values) => serializer.collect_str(values),
        None => serializer.serialize_none(),
    }
}

/// A student after its training: `skimp.distill/1`.
#[derive(Clone, Debug, Serialize)]
pub struct DistillRecord {
    /// `skimp.distill/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The student.
    pub model: ModelRecord,
    /// The teacher.
    pub teacher: ModelRecord,
    /// What was asked.
    pub config: DistillConfig,
    /// The teacher.
    pub teacher_measures: NetworkMeasures,
    /// The student before.
    pub before: NetworkMeasures,
    /// The student after.
    pub after: NetworkMeasures,
    /// The loss of the student, before and after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub losses: Option<[LossRecord; 2]>,
    /// What the first layers learned before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<HintRecord>,
    /// The values whose attention maps learned, student's and teacher's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attention: Vec<[String; 2]>,
    /// Loss over the training images of every epoch.
    pub epochs: Vec<f64>,
}

/// A hint: what the student's first layers learned of the teacher's before the rest.
#[derive(Clone, Debug, Serialize)]
pub struct HintRecord {
    /// The student's value.
    pub student: String,
    /// The teacher's value.
    pub teacher: String,
    /// Shape of the regressor's weight between both: it is trained along and not exported.
    pub regressor: Vec<usize>,
    /// Half of the mean squared difference over the training images, for every epoch.
    pub epochs: Vec<f64>,
    /// Mean squared difference on the test images: before, after the hint's epochs, and after all, with the same regressor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mse: Option<[f64; 3]>,
}

/// The terms of the loss on the test images, without their factors.
#[derive(Clone, Debug, Serialize)]
pub struct LossRecord {
    /// `T² · KL(teacher ‖ student)` at the temperature, a mean over images: 0 for a perfect match.
    pub teacher_term: f64,
    /// Cross-entropy with the labels, a mean over images.
    pub label_term: f64,
    /// Difference of the attention maps, a mean over images and positions, of each pair: 0 for maps that are alike.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attention_terms: Vec<f64>,
    /// All, with their factors.
    pub total: f64,
    /// Images.
    pub n_images: usize,
}

impl Tabular for DistillRecord {
    fn tables(&self) -> Vec<Table> {
        let title = format!("{} taught by {}", self.model.name, self.teacher.name);
        let mut tables = vec![table(title, &self.before, &self.after)];
        let mut columns = vec![
            Column::text("network", "network"),
            Column::number("top1", "top-1", "%"),
            Column::number("parameters", "parameters", ""),
            Column::number("macs", "MACs", "per image"),
            Column::number("teacher_term", "T² KL", ""),
            Column::number("label_term", "cross-entropy", ""),
        ];
        if !self.attention.is_empty() {
            columns.push(Column::number("attention_term", "attention", ""));
        }
        let title = format!("temperature {}, share of the teacher {}", self.config.temperature, self.config.alpha);
        let mut networks = Table::new(title, columns);
        let losses = self.losses.as_ref().map_or([None, None], |losses| losses.each_ref().map(Some));
        let student = [("student before", &self.before, losses[0]), ("student after", &self.after, losses[1])];
        for (name, measures, loss) in [("teacher", &self.teacher_measures, None)].into_iter().chain(student) {
            let mut row = vec![
                name.into(),
                Cell::real(measures.top1.map(|top1| 100.0 * top1), 2),
                measures.parameters.into(),
                measures.macs.into(),
                Cell::real(loss.map(|loss| loss.teacher_term), 4),
                Cell::real(loss.map(|loss| loss.label_term), 4),
            ];
            if !self.attention.is_empty() {
                row.push(Cell::real(loss.map(|loss| loss.attention_terms.iter().sum::<f64>()), 6));
            }
            networks.row(row);
        }
        tables.push(networks);
        tables.extend(self.hint.as_ref().map(hint_table));
        tables
    }
}

fn hint_table(hint: &HintRecord) -> Table {
    let columns = vec![Column::text("when", "when"), Column::number("mse", "mean squared difference", "")];
    let title = format!(
        "{} learns {} of the teacher first, through a regressor {:?}",
        hint.student, hint.teacher, hint.regressor
    );
    let mut table = Table::new(title, columns);
    let mse = hint.mse.map_or([None; 3], |mse| mse.map(Some));
    for (when, mse) in ["before", "after the hint", "after all"].into_iter().zip(mse) {
        table.row(vec![when.into(), Cell::real(mse, 6)]);
    }
    table
}

/// Trains a student on a teacher's answers and the labels, and writes it as ONNX where `run` says: a path, or a
/// [`ReduceRun`] that goes on after it was stopped.
///
/// The loss is `alpha · T² · KL(softmax(z_t / T) ‖ softmax(z_s / T)) + (1 − alpha) · CE(label, softmax(z_s))`, a sum over
/// classes and a mean over images; the teacher runs in inference form on the same augmented images and does not change.
/// Attention adds `beta` times a term for each pair of values; a hint trains the student's first layers before all that.
///
/// # Source
/// Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", NIPS 2014 workshop, section 2; [`Hint`] and
/// [`Attention`].
/// Differs: after a hint the share of the teacher stays as it is, where Romero et al. let it fall over the run.
///
/// # Errors
/// [`StudyError::TeacherDiffers`] if the answers are not of the same classes, otherwise the error of the step that failed.
/// Nothing is written then.
pub fn distill(
    student: &Network,
    teacher: &Network,
    config: &DistillConfig,
    run: impl Into<ReduceRun>,
    monitor: &dyn Monitor,
) -> Result<DistillRecord, StudyError> {
    let run = run.into();
    student.check_one_step("distillation")?;
    teacher.check_one_step("distillation")?;
    for (setting, value, range) in [("temperature", config.temperature, 1e-3..=1e3), ("alpha", config.alpha, 0.0..=1.0)]
    {
        if !range.contains(&value) {
            let expected = format!("a number from {} to {}", range.start(), range.end());
            return Err(StudyError::Setting { setting, found: value.to_string(), expected });
        }
    }
    if !(config.beta.is_finite() && config.beta >= 0.0) {
        let (found, expected) = (config.beta.to_string(), "a number from 0".to_owned());
        return Err(StudyError::Setting { setting: "beta", found, expected });
    }
    teacher.note_untrained(monitor);
    let data = DataConfig { split: skimp_data::Split::Train, ..config.data.clone() };
    let training = Images::open_for_ranges(&data, &student.graph, config.input_size, monitor)?;
    check_teacher(student, teacher, &training)?;
    let gauge = Gauge::open(student, Some(&data), config.input_size, monitor)?;
    // What is read of networks is read of what a trained one looks like.
    let graph = fold_constants(&student.graph);
    let exam = Exam::new(config, (&graph, &teacher.graph), &training)?;
    let hint = hint_of(config, (&graph, &teacher.graph), &training)?;
    let runs = run.open(&["training.epochs"], || {
        let networks = [("network", student), ("teacher", teacher)];
        let images = [Some(("train", &training)), gauge.test().map(|(test, _)| ("test", test))];
        let images: Vec<_> = images.into_iter().flatten().collect();
        identity("distill", config, &config.training, Some(&config.data), &networks, &images)
    })?;
    let loss_of = |graph: &Graph| match gauge.test() {
        Some(test) => exam.loss(graph, config, test, monitor).map(Some),
        None => Ok(None),
    };
    let (before, of_teacher) = (gauge.measure(student, monitor)?, gauge.measure(teacher, monitor)?);
    let first_loss = loss_of(&graph)?;
    let school = School { images: Some(&training), validation: None, runs: runs.as_ref(), monitor };
    let (prepared, hint) = match hint {
        None => (graph, None),
        Some(hint) => guided(&hint, &graph, config, &school)
            .map(|(graph, taught, epochs)| (graph, Some((hint, taught, epochs))))?,
    };
    let lesson = |_: &Model| {
        let (losses, targets) = (Some(exam.losses.clone()), Box::new(exam.teacher()?));
        Ok(Lesson { losses, targets: Some(targets), ..Lesson::default() })
    };
    let (taught, history) = school.trained((&exam.student(&prepared)?, &exam.keep()), &config.training, lesson)?;
    let network = Network { name: student.name.clone(), ..exam.exported(&prepared, taught)? };
    let after = gauge.measure(&network, monitor)?;
    let last_loss = loss_of(&network.graph)?;
    let hint = hint.map(|(hint, taught, epochs)| -> Result<HintRecord, StudyError> {
        let mse = match gauge.test() {
            Some((test, n_images)) => {
                let images = in_order(config, test, n_images)?;
                let last = taught.of(&network.graph)?;
                Some([hint.distance(&images)?, taught.distance(&images)?, last.distance(&images)?])
            }
            None => None,
        };
        let pair = hint.pair().clone();
        Ok(HintRecord {
            student: pair.student,
            teacher: pair.teacher,
            regressor: hint.regressor().to_vec(),
            epochs,
            mse,
        })
    });
    let hint = hint.transpose()?;
    if let Some(output) = &run.output {
        onnx::export(&network.graph, output)?;
    }
    Ok(DistillRecord {
        schema: "skimp.distill/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: student.record(),
        teacher: teacher.record(),
        config: config.clone(),
        teacher_measures: of_teacher,
        before,
        after,
        losses: first_loss.zip(last_loss).map(|(first, last)| [first, last]),
        hint,
        attention: exam.pairs(),
        epochs: history.iter().map(|epoch| epoch.train_loss).collect(),
    })
}

/// Height and width of the images.
fn size_of(images: &Images) -> [usize; 2] {
    [images.input().height, images.input().width]
}

/// The hint that was asked for.
fn hint_of(config: &DistillConfig, networks: (&Graph, &Graph), training: &Images) -> Result<Option<Hint>, StudyError> {
    let hint = config.hint.as_ref().map(|hint| Hint::new(hint, networks, size_of(training), config.training.seed));
    Ok(hint.transpose()?)
}

/// The student after its hint, the hint as it was learned, and the loss of every epoch.
fn guided(
    hint: &Hint,
    graph: &Graph,
    config: &DistillConfig,
    school: &School<'_>,
) -> Result<(Graph, Hint, Vec<f64>), StudyError> {
    let epochs = config.hint_epochs.unwrap_or(config.training.epochs);
    let recipe = TrainConfig { epochs, ..config.training.clone() };
    let (student, teacher) = (&hint.pair().student, &hint.pair().teacher);
    school.monitor.milestone(&format!("{student} learns {teacher} of the teacher first, {epochs} epochs"));
    school.with_learning(&recipe, |learning| {
        let learning = learning.ok_or(StudyError::ReduceNeedsData { what: "a hint" })?;
        let (taught, history) = hint.train(learning, epochs)?;
        Ok((taught.taught(graph)?, taught, history))
    })
}

/// What the student is asked: the losses, and what they compare.
struct Exam<'a> {
    losses: LossSum,
    attention: Option<Attention>,
    teacher: &'a Graph,
}

impl<'a> Exam<'a> {
    fn new(
        config: &DistillConfig,
        (student, teacher): (&Graph, &'a Graph),
        training: &Images,
    ) -> Result<Self, StudyError> {
        let mut losses = LossSum::distillation(config.temperature, config.alpha, TEACHER);
        let (networks, size) = ((student, teacher), size_of(training));
        let attention = config.attention.as_ref().map(|values| Attention::new(values, networks, size, config.beta));
        let attention = attention.transpose()?;
        losses.terms.extend(attention.iter().flat_map(Attention::terms));
        Ok(Self { losses, attention, teacher })
    }

    fn pairs(&self) -> Vec<[String; 2]> {
        let pairs = self.attention.iter().flat_map(Attention::pairs);
        pairs.map(|pair| [pair.student.clone(), pair.teacher.clone()]).collect()
    }

    /// Values of the student that losses read.
    fn keep(&self) -> Vec<String> {
        self.attention.as_ref().map(Attention::keep).unwrap_or_default()
    }

    fn teacher(&self) -> Result<Teacher, StudyError> {
        match &self.attention {
            Some(attention) => Ok(attention.teacher(self.teacher, TEACHER)?),
            None => Ok(Teacher::new(self.teacher, &[(TEACHER, None)])?),
        }
    }

    /// The student with what its losses read.
    fn student(&self, graph: &Graph) -> Result<Graph, StudyError> {
        Ok(match &self.attention {
            Some(attention) => attention.student(graph)?,
            None => graph.clone(),
        })
    }

    /// The student without what its losses read.
    fn exported(&self, student: &Graph, trained: Network) -> Result<Network, StudyError> {
        let Some(attention) = &self.attention else { return Ok(trained) };
        let mut graph = attention.exported(student, &trained.graph)?;
        if let Some(preprocess) = trained.graph.metadata(PREPROCESS_KEY) {
            graph = graph.with_metadata(PREPROCESS_KEY, preprocess);
        }
        Network::from_graph(graph)
    }

    /// The terms of the loss on the test images.
    fn loss(
        &self,
        graph: &Graph,
        config: &DistillConfig,
        (test, n_images): (&Images, usize),
        monitor: &dyn Monitor,
    ) -> Result<LossRecord, StudyError> {
        let mut teacher = self.teacher()?;
        let images = in_order(config, test, n_images)?;
        let fitted = TrainConfig { batch_size: images.batch_len(0), ..config.training.clone() };
        let network = Network::from_graph(self.student(graph)?)?;
        let mut model = model_of(&fitted, (&network, None), test, &self.losses)?;
        let mut policy = policy::create(&config.training.precision)?;
        let (mut terms, mut total) = (vec![0.0; self.losses.terms.len()], 0.0);
        monitor.stage("measuring the loss", n_images as u64);
        for at in 0..images.steps_per_epoch() {
            let batch = images.batch(at)?;
            let n = batch.labels.len();
            model.forward_images(&batch.images, &batch.indices, Mode::Eval, &mut *policy)?;
            let tensors = teacher.targets(&batch)?;
            let tensors: Vec<(&str, &[f32])> =
                tensors.iter().map(|(name, values)| (name.as_str(), &values[..])).collect();
            let report = model.evaluate(&self.losses, &Targets { labels: &batch.labels, tensors: &tensors })?;
            terms.iter_mut().zip(&report.terms).for_each(|(sum, found)| *sum += found * n as f64);
            total += report.total * n as f64;
            step(monitor, n as u64)?;
        }
        let n = n_images.max(1) as f64;
        let mut terms = terms.into_iter().map(|sum| sum / n);
        let (teacher_term, label_term) = (terms.next().unwrap_or_default(), terms.next().unwrap_or_default());
        Ok(LossRecord { teacher_term, label_term, attention_terms: terms.collect(), total: total / n, n_images })
    }
}

/// The first test images, batch by batch.
fn in_order(config: &DistillConfig, test: &Images, n_images: usize) -> Result<Loader, StudyError> {
    let batch_size = config.training.batch_size.min(n_images).max(1);
    let fitted = TrainConfig { batch_size, ..config.training.clone() };
    loader(&fitted, test, n_images, Order::Sequential, Augment::default())
}

/// Both networks must answer with a number for each of the same classes.
fn check_teacher(student: &Network, teacher: &Network, images: &Images) -> Result<(), StudyError> {
    let input = images.input();
    let n_classes = |network: &Network| -> Result<usize, StudyError> {
        let extents = shape::bind(&network.graph, 1, Some((input.height, input.width)))?;
        let shapes = shape::infer(&network.graph, &extents)?;
        Ok(shapes.shape(network.graph.outputs()[0]).iter().product())
    };
    let (learns, teaches) = (n_classes(student)?, n_classes(teacher)?);
    if learns == teaches {
        return Ok(());
    }
    Err(StudyError::TeacherDiffers {
        student: student.name.clone(),
        n_student: learns,
        teacher: teacher.name.clone(),
        n_teacher: teaches,
    })
}
