//! Distillation: a network that learns from another one's answers.

use serde::Serialize;
use skimp_graph::{Graph, onnx, shape};
use skimp_reduce::Lesson;
use skimp_report::records::ModelRecord;
use skimp_report::table::{Cell, Column, Table};
use skimp_train::augment::Augment;
use skimp_train::loader::Order;
use skimp_train::{LossSum, Mode, Model, TargetSource, Targets, Teacher, policy};

use super::learn::School;
use super::measured::{Gauge, NetworkMeasures, table};
use super::run::{ReduceRun, identity};
use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
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
    /// Images: trained on are those of the training split, measured on those of the test split.
    #[serde(skip)]
    pub data: DataConfig,
    /// Input height and width, where the student leaves them open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_size: Option<[usize; 2]>,
    /// How the student trains.
    pub training: TrainConfig,
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
    /// Loss over the training images of every epoch.
    pub epochs: Vec<f64>,
}

/// The terms of the loss on the test images, without their factors.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LossRecord {
    /// `T² · KL(teacher ‖ student)` at the temperature, a mean over images: 0 for a perfect match.
    pub teacher_term: f64,
    /// Cross-entropy with the labels, a mean over images.
    pub label_term: f64,
    /// Both, with their factors.
    pub total: f64,
    /// Images.
    pub n_images: usize,
}

impl Tabular for DistillRecord {
    fn tables(&self) -> Vec<Table> {
        let title = format!("{} taught by {}", self.model.name, self.teacher.name);
        let mut tables = vec![table(title, &self.before, &self.after)];
        let columns = vec![
            Column::text("network", "network"),
            Column::number("top1", "top-1", "%"),
            Column::number("parameters", "parameters", ""),
            Column::number("macs", "MACs", "per image"),
            Column::number("teacher_term", "T² KL", ""),
            Column::number("label_term", "cross-entropy", ""),
        ];
        let title = format!("temperature {}, share of the teacher {}", self.config.temperature, self.config.alpha);
        let mut networks = Table::new(title, columns);
        let losses = self.losses.map_or([None, None], |losses| losses.map(Some));
        let student = [("student before", &self.before, losses[0]), ("student after", &self.after, losses[1])];
        for (name, measures, loss) in [("teacher", &self.teacher_measures, None)].into_iter().chain(student) {
            networks.row(vec![
                name.into(),
                Cell::real(measures.top1.map(|top1| 100.0 * top1), 2),
                measures.parameters.into(),
                measures.macs.into(),
                Cell::real(loss.map(|loss| loss.teacher_term), 4),
                Cell::real(loss.map(|loss| loss.label_term), 4),
            ]);
        }
        tables.push(networks);
        tables
    }
}

/// Trains a student on a teacher's answers and the labels, and writes it as ONNX where `run` says: a path, or a
/// [`ReduceRun`] that goes on after it was stopped.
///
/// The loss is `alpha · T² · KL(softmax(z_t / T) ‖ softmax(z_s / T)) + (1 − alpha) · CE(label, softmax(z_s))`, a sum over
/// classes and a mean over images; the teacher runs in inference form on the same augmented images and does not change.
///
/// # Source
/// Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", NIPS 2014 workshop, section 2.
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
    for (setting, value, range) in [("temperature", config.temperature, 1e-3..=1e3), ("alpha", config.alpha, 0.0..=1.0)]
    {
        if !range.contains(&value) {
            let expected = format!("a number from {} to {}", range.start(), range.end());
            return Err(StudyError::Setting { setting, found: value.to_string(), expected });
        }
    }
    teacher.note_untrained(monitor);
    let data = DataConfig { split: skimp_data::Split::Train, ..config.data.clone() };
    let training = Images::open_for_ranges(&data, &student.graph, config.input_size, monitor)?;
    check_teacher(student, teacher, &training)?;
    let gauge = Gauge::open(student, Some(&data), config.input_size, monitor)?;
    let runs = run.open(&["training.epochs"], || {
        let networks = [("network", student), ("teacher", teacher)];
        let images = [Some(("train", &training)), gauge.test().map(|(test, _)| ("test", test))];
        let images: Vec<_> = images.into_iter().flatten().collect();
        identity("distill", config, &config.training, Some(&config.data), &networks, &images)
    })?;
    let losses = LossSum::distillation(config.temperature, config.alpha, TEACHER);
    let loss_of = |network: &Network| match gauge.test() {
        Some(test) => loss(network, &teacher.graph, config, &losses, test, monitor).map(Some),
        None => Ok(None),
    };
    let (before, of_teacher) = (gauge.measure(student, monitor)?, gauge.measure(teacher, monitor)?);
    let first_loss = loss_of(student)?;
    let school = School { images: Some(&training), validation: None, runs: runs.as_ref(), monitor };
    let lesson = |_: &Model| {
        let (losses, targets) = (Some(losses.clone()), Box::new(teaches(&teacher.graph)?));
        Ok(Lesson { losses, targets: Some(targets), ..Lesson::default() })
    };
    let (taught, history) = school.trained((&student.graph, &[]), &config.training, lesson)?;
    let network = Network { name: student.name.clone(), ..taught };
    let after = gauge.measure(&network, monitor)?;
    let last_loss = loss_of(&network)?;
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
        epochs: history.iter().map(|epoch| epoch.train_loss).collect(),
    })
}

fn teaches(teacher: &Graph) -> Result<Teacher, StudyError> {
    Ok(Teacher::new(teacher, &[(TEACHER, None)])?)
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

/// The terms of the loss on the test images.
fn loss(
    network: &Network,
    teacher: &Graph,
    config: &DistillConfig,
    losses: &LossSum,
    (test, n_images): (&Images, usize),
    monitor: &dyn Monitor,
) -> Result<LossRecord, StudyError> {
    let batch_size = config.training.batch_size.min(n_images).max(1);
    let mut teacher = teaches(teacher)?;
    let fitted = TrainConfig { batch_size, ..config.training.clone() };
    let mut model = model_of(&fitted, network, test, losses)?;
    let mut policy = policy::create(&config.training.precision)?;
    let mut sums = [0.0; 3];
    monitor.stage("measuring the loss", n_images as u64);
    let images = loader(&fitted, test, n_images, Order::Sequential, Augment::default())?;
    for at in 0..images.steps_per_epoch() {
        let batch = images.batch(at)?;
        let n = batch.labels.len();
        model.forward_images(&batch.images, &batch.indices, Mode::Eval, &mut *policy)?;
        let tensors = teacher.targets(&batch)?;
        let tensors: Vec<(&str, &[f32])> = tensors.iter().map(|(name, values)| (name.as_str(), &values[..])).collect();
        let report = model.evaluate(losses, &Targets { labels: &batch.labels, tensors: &tensors })?;
        for (sum, found) in sums.iter_mut().zip([report.terms[0], report.terms[1], report.total]) {
            *sum += found * n as f64;
        }
        step(monitor, n as u64)?;
    }
    let [teacher_term, label_term, total] = sums.map(|sum| sum / n_images.max(1) as f64);
    Ok(LossRecord { teacher_term, label_term, total, n_images })
}
