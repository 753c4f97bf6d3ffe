//! What can go wrong in a pipeline.

use std::path::PathBuf;

use skimp_data::DataError;
use skimp_graph::{DType, GraphError};
use skimp_memory::OutOfMemory;
use skimp_quant::QuantError;
use skimp_reduce::ReduceError;
use skimp_report::ReportError;
use skimp_sim::SimError;
use skimp_train::TrainError;

use crate::inputs::images::PREPROCESS_KEY;

/// Why a network cannot take images, or not these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InputFault {
    /// The network has more or fewer inputs than one.
    #[error("network \"{network}\" has {found} inputs, expected one image input")]
    Number {
        /// The network.
        network: String,
        /// Its inputs.
        found: usize,
    },
    /// The network fixes its batch at nothing.
    #[error("network \"{network}\" takes 0 images")]
    NoImages {
        /// The network.
        network: String,
    },
    /// The input is no batch of images.
    #[error("input \"{input}\" has {found} dims, expected 4 (n, c, h, w or n, h, w, c)")]
    Rank {
        /// The input.
        input: String,
        /// Its axes.
        found: usize,
    },
    /// Images lie channels last, which training does not take.
    #[error(
        "input \"{input}\" takes images channels last (n, h, w, c), training takes them channels first (n, c, h, w): export the \
         network so"
    )]
    ChannelsLast {
        /// The input.
        input: String,
    },
    /// The input leaves the number of channels open.
    #[error("input \"{input}\" leaves its channels open, expected a fixed number")]
    OpenChannels {
        /// The input.
        input: String,
    },
    /// The input leaves its extents open, the images have different ones, and none are given.
    #[error("input \"{input}\" leaves its height or width open; give --input-size N or HxW")]
    OpenSize {
        /// The input.
        input: String,
    },
    /// The network fixes another extent than the one that is given.
    #[error(
        "input \"{input}\" is {fixed} {} by the network, which --input-size {given} contradicts",
        if *is_height { "high" } else { "wide" }
    )]
    Size {
        /// The input.
        input: String,
        /// Whether it is about the height rather than the width.
        is_height: bool,
        /// The network's.
        fixed: usize,
        /// The one that is given.
        given: usize,
    },
}

/// Why a network's answers cannot be compared with labels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerFault {
    /// There are none.
    #[error("the network has no output")]
    NoOutput,
    /// They are no row of numbers for each image.
    #[error("the network's output \"{output}\" has shape {found:?}, expected [{n_images}, classes] for classification")]
    Shape {
        /// The output.
        output: String,
        /// Its extents.
        found: Vec<usize>,
        /// Images that it is of.
        n_images: usize,
    },
    /// An image has a label that the network does not know.
    #[error("label {label} is out of range, the network has {n_classes} classes")]
    Label {
        /// The label.
        label: usize,
        /// Classes of the network.
        n_classes: usize,
    },
}

/// Labels of a data set for which a network has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "data set \"{dataset}\" has labels up to {largest}{}, of {n_classes} classes, but the network tells {n_answers} \
     apart{layout}{hint}",
    named(class)
)]
#[non_exhaustive]
pub struct LabelFault {
    /// The data set.
    pub dataset: String,
    /// The largest label.
    pub largest: usize,
    /// The name of its class.
    pub class: Option<String>,
    /// Classes of the data set.
    pub n_classes: usize,
    /// Classes of the network.
    pub n_answers: usize,
    /// How the data set's files lie, in brackets, if that says anything.
    pub(crate) layout: String,
    /// The way out, if there is one.
    pub(crate) hint: &'static str,
}

fn named(class: &Option<String>) -> String {
    class.as_ref().map_or_else(String::new, |class| format!(" (\"{class}\")"))
}

fn way_out(hint: &Option<String>) -> String {
    hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"))
}

/// Why a network cannot be measured on the images that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValidationFault {
    /// What it would be measured on was trained on.
    #[error(
        "all {n_images} validation images are training images, too; give --validation-share to hold some of them out"
    )]
    Shared {
        /// Validation images.
        n_images: usize,
    },
    /// Two ways to choose validation images at once.
    #[error("--validation-share takes the place of the test split; it does not go with --validation N or none")]
    TwoWays,
    /// One image is too little for both.
    #[error("a single image cannot be trained and measured on; give --validation none")]
    SingleImage,
    /// So many images held out leave none to train on.
    #[error("validation: expected fewer than the {n_training} training images, found {found}")]
    TooMany {
        /// Training images.
        n_training: usize,
        /// Images to hold out.
        found: usize,
    },
}

/// An error of a pipeline: most carry the error of the crate that met it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyError {
    /// No study has that name, and no file.
    #[error("{name}: no such file, and no embedded study of that name (embedded: {})", known.join(", "))]
    UnknownStudy {
        /// What was asked for.
        name: String,
        /// The embedded studies.
        known: Vec<&'static str>,
    },
    /// A study leaves something to whoever runs it.
    #[error("study \"{study}\" needs a {what}: give {flag}")]
    StudyNeeds {
        /// The study.
        study: String,
        /// What it needs.
        what: &'static str,
        /// The flag that gives it.
        flag: &'static str,
    },
    /// A kind of study has no such key.
    #[error("a study of kind {kind}: it has no {key}; its own keys are {}", known.join(", "))]
    UnknownStudyKey {
        /// The kind.
        kind: &'static str,
        /// What was asked for.
        key: String,
        /// The keys of the kind.
        known: Vec<&'static str>,
    },
    /// A resolved configuration has no form as TOML.
    #[error("the configuration cannot be written: {0}")]
    Unwritten(#[from] toml::ser::Error),
    /// Inputs of the network have no file.
    #[error("no --input NAME=X.npy for \"{}\"; the inputs are {inputs}", missing.join("\", \""))]
    NoInputFile {
        /// The inputs without one.
        missing: Vec<String>,
        /// All inputs, with element types and extents.
        inputs: String,
    },
    /// A preset or a setting is of an accelerator that the run has not.
    #[error("\"{given}\": {label} is not among --accelerator {}", labels.join(", "))]
    UnknownLabel {
        /// The preset or setting.
        given: String,
        /// The label in it.
        label: String,
        /// The labels of the run.
        labels: Vec<String>,
    },
    /// A preset or a setting may be of several accelerators.
    #[error("\"{given}\": which {model}? say {}", labels.join(" or "))]
    AmbiguousLabel {
        /// The preset or setting.
        given: String,
        /// The model in it.
        model: String,
        /// The labels of that model.
        labels: Vec<String>,
    },
    /// A training run has no file for its network.
    #[error("no output given; use -o MODEL.onnx")]
    NoOutputFile,
    /// The network has no parameter of that name.
    #[error("no parameter is called \"{pattern}\"; there are {} and others", known.join(", "))]
    UnknownParameter {
        /// What was asked for.
        pattern: String,
        /// Some that there are.
        known: Vec<String>,
    },
    /// Training images and validation images cannot be as asked.
    #[error(transparent)]
    Validation(#[from] ValidationFault),
    /// Something was begun where a run is to begin anew.
    #[error("{path}: holds {what}; use --resume to go on, or remove {folder} to begin anew", path = .path.display(),
        folder = .folder.display())]
    Begun {
        /// What was found.
        path: PathBuf,
        /// What it is: `a checkpoint of another run`, `points of a study that was begun`.
        what: &'static str,
        /// What to remove.
        folder: PathBuf,
    },
    /// A step of a reduction is none.
    #[error("a step of the reduction: {cause}; docs/studies.md has what a step says")]
    Step {
        /// What is wrong with it.
        cause: String,
    },
    /// A setting has a value that it cannot have.
    #[error("{setting} \"{found}\", expected {expected}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// There are to be too many or too few of something.
    #[error("{found} {what}, expected {expected}")]
    Count {
        /// Of what, such as `images to simulate`.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many there may be.
        expected: String,
    },
    /// So many threads cannot be used.
    #[error("cannot use {n_threads} threads: {cause}")]
    Threads {
        /// How many were wanted.
        n_threads: usize,
        /// What the system says.
        cause: String,
    },
    /// No network was named.
    #[error("no network given; use --network MODEL.onnx")]
    NoNetwork,
    /// No data set was named.
    #[error("a network needs --data NAME[:DIR] (see `skimp list datasets`)")]
    NoData,
    /// There is neither a file nor a network of that name.
    #[error("{name}: no such file, and no network of that name (there are: {})", known.join(", "))]
    UnknownNetwork {
        /// What was asked for.
        name: String,
        /// Embedded and built-in networks.
        known: Vec<&'static str>,
    },
    /// A file is not there.
    #[error("{path}: no such file", path = .path.display())]
    NoSuchFile {
        /// The file.
        path: PathBuf,
    },
    /// The network has no output of that name.
    #[error("the network has no output \"{name}\" (there are: {})", known.join(", "))]
    UnknownOutput {
        /// What was asked for.
        name: String,
        /// The outputs.
        known: Vec<String>,
    },
    /// No registry, or no entry of the registries, has that name.
    #[error("no {what} \"{name}\"; did you mean \"{nearest}\"? known: {}", known.join(", "))]
    Unknown {
        /// Of what kind: `list`, `preset, cost table or study`.
        what: &'static str,
        /// What was asked for.
        name: String,
        /// The name that is nearest.
        nearest: String,
        /// All names.
        known: Vec<&'static str>,
    },
    /// Two things that are told apart by their names have the same.
    #[error("two {what} are called \"{name}\"{}", way_out(hint))]
    SameName {
        /// Which things.
        what: &'static str,
        /// Their name.
        name: String,
        /// How to tell them apart.
        hint: Option<String>,
    },
    /// The network does not take images, or not these.
    #[error(transparent)]
    Input(#[from] InputFault),
    /// An array does not fit an input of the network.
    #[error("{path}: an array of {found} for an input of {expected}, or values beyond that type", path = .path.display())]
    InputArray {
        /// The file.
        path: PathBuf,
        /// Element type of the array.
        found: String,
        /// Element type of the input.
        expected: DType,
    },
    /// The network does not answer with classes, or not with these.
    #[error(transparent)]
    Answers(#[from] AnswerFault),
    /// The data set has labels for which the network has no answer.
    #[error(transparent)]
    Labels(#[from] Box<LabelFault>),
    /// The preprocessing that a network names is none.
    #[error("network \"{network}\": metadata {key}: {source}; give --preprocess", key = PREPROCESS_KEY)]
    NamedPreprocess {
        /// The network.
        network: String,
        /// What is wrong with it.
        #[source]
        source: Box<DataError>,
    },
    /// The integer engine runs networks in QDQ form, and others only after calibration.
    #[error("network \"{network}\" is not quantized: the integer engine needs calibration images; use skimp eval")]
    NotQuantized {
        /// The network.
        network: String,
    },
    /// No layer of the network multiplies bits.
    #[error("network \"{network}\" is not binary: {cause}; `skimp train --quantizer bnn` trains one")]
    NotBinary {
        /// The network.
        network: String,
        /// What keeps its layers from being binary.
        cause: String,
    },
    /// A NIR file, or a network that is to become one.
    #[error(transparent)]
    Nir(#[from] skimp_nir::NirError),
    /// What was asked of a spiking network takes networks of one step.
    #[error(
        "network \"{network}\" spikes over time steps ({steps}), which {what} does not take: skimp run, skimp eval, skimp \
         simulate and skimp inspect do"
    )]
    Spiking {
        /// The network.
        network: String,
        /// Its time steps.
        steps: usize,
        /// What does not take it.
        what: &'static str,
    },
    /// The network is in QDQ form already.
    #[error("network \"{network}\" is quantized already")]
    AlreadyQuantized {
        /// The network.
        network: String,
    },
    /// The network has no layer that the run's settings let designs simulate.
    #[error("network \"{network}\" has no layer of the kinds to simulate")]
    NoLayers {
        /// The network.
        network: String,
    },
    /// A layer by shape is too large.
    #[error("layer \"{layer}\" by shape has {n_weights} weights, expected at most {most}")]
    LargeLayer {
        /// The layer.
        layer: String,
        /// Its weights.
        n_weights: usize,
        /// As many as it may have.
        most: usize,
    },
    /// A topology file has no way to say something of a network.
    #[error("layer \"{layer}\": a SCALE-Sim topology cannot hold {what}")]
    NotInTopology {
        /// The layer.
        layer: String,
        /// What of it.
        what: String,
    },
    /// A search of parameters has too few images of its own.
    #[error(
        "a search of parameters needs images other than the {n_judging} that judge it: {wanted} wanted, {there} there; \
         change --tuning-images, --tuning-split or --accuracy-images"
    )]
    TuningImages {
        /// Images that judge the design.
        n_judging: usize,
        /// Images that the search was to have.
        wanted: usize,
        /// Images that are left.
        there: usize,
    },
    /// A study file is wrong.
    #[error("{path}: {cause}", path = .path.display())]
    InvalidStudy {
        /// The file, or the name of an embedded study.
        path: PathBuf,
        /// The key and the cause.
        cause: String,
    },
    /// A topology is wrong.
    #[error("{path}:{line}: {cause}", path = .path.display())]
    InvalidTopology {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        cause: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The network is wrong, or wants something that is not supported.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The data set or its preprocessing is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network cannot be quantized as asked.
    #[error(transparent)]
    Quant(#[from] QuantError),
    /// A network cannot be reduced as asked.
    #[error(transparent)]
    Reduce(Box<ReduceError>),
    /// There is no such reduction method.
    #[error("no method \"{name}\"; {}methods: {}", use_command(*.command), known.join(", "))]
    UnknownMethod {
        /// What was asked for.
        name: String,
        /// The methods.
        known: Vec<&'static str>,
        /// The command that is called so.
        command: Option<&'static str>,
    },
    /// A teacher answers with other classes than its student.
    #[error(
        "student \"{student}\" answers with {n_student} numbers, teacher \"{teacher}\" with {n_teacher}: both must be trained \
         for the same classes"
    )]
    TeacherDiffers {
        /// The student.
        student: String,
        /// Numbers of its first output, for one image.
        n_student: usize,
        /// The teacher.
        teacher: String,
        /// Numbers of its first output, for one image.
        n_teacher: usize,
    },
    /// A step of a reduction needs images.
    #[error("{what} needs images: give --data NAME[:DIR]")]
    ReduceNeedsData {
        /// The step.
        what: &'static str,
    },
    /// Training failed, or was asked for something that cannot be.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An accelerator cannot be configured, or cannot run a layer.
    #[error(transparent)]
    Sim(#[from] SimError),
    /// The network cannot be run with what a file says of an accelerator.
    #[error("{path}{of}: as a preset of {accelerator}: {source}", path = .path.display(), of = of_network(network))]
    Preset {
        /// The file.
        path: PathBuf,
        /// The network of the record that it holds.
        network: Option<String>,
        /// Label of the accelerator.
        accelerator: String,
        /// What is wrong.
        #[source]
        source: Box<SimError>,
    },
    /// A record cannot be read or written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The run needs more memory than it may take.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The user stopped the run.
    #[error("interrupted; nothing was left half-written")]
    Interrupted,
    /// What is kept of a study is damaged, or of another study or configuration.
    #[error("{path}: {cause}", path = .path.display())]
    Kept {
        /// The file, or where else the point lies.
        path: PathBuf,
        /// Which key, what was expected and what was found.
        cause: String,
    },
    /// The user stopped a study that keeps its runs.
    #[error("interrupted; {n_finished} of {n_runs} runs are finished, --resume goes on from {folder}", folder = .folder.display())]
    InterruptedRuns {
        /// Runs that are finished.
        n_finished: usize,
        /// Runs of the study.
        n_runs: usize,
        /// Where the runs are kept.
        folder: PathBuf,
    },
}

fn of_network(network: &Option<String>) -> String {
    network.as_ref().map_or_else(String::new, |network| format!(" (of {network})"))
}

/// What to type instead.
fn use_command(command: Option<&str>) -> String {
    command.map_or_else(String::new, |command| format!("it is a command of its own: {command}; "))
}

fn is_usage(error: &SimError) -> bool {
    matches!(
        error,
        SimError::UnknownAccelerator { .. }
            | SimError::UnknownSetting { .. }
            | SimError::UnknownLayer { .. }
            | SimError::SettingType { .. }
            | SimError::SettingValue { .. }
            | SimError::CostTable { .. }
    )
}

impl From<ReduceError> for StudyError {
    fn from(error: ReduceError) -> Self {
        Self::Reduce(Box::new(error))
    }
}

impl StudyError {
    /// Whether a setting names a layer that the network does not have.
    #[must_use]
    pub fn is_unknown_layer(&self) -> bool {
        match self {
            StudyError::Quant(error) => matches!(error, QuantError::UnknownLayer { .. }),
            StudyError::Sim(error) => matches!(error, SimError::UnknownLayer { .. }),
            StudyError::Preset { source, .. } => matches!(**source, SimError::UnknownLayer { .. }),
            _ => false,
        }
    }

    /// Whether the user asked for something that cannot be (exit code 2), rather than a run that failed (1).
    pub fn is_usage(&self) -> bool {
        match self {
            StudyError::UnknownStudy { .. }
            | StudyError::StudyNeeds { .. }
            | StudyError::UnknownStudyKey { .. }
            | StudyError::Unwritten(_)
            | StudyError::NoInputFile { .. }
            | StudyError::UnknownLabel { .. }
            | StudyError::AmbiguousLabel { .. }
            | StudyError::NoOutputFile
            | StudyError::UnknownParameter { .. }
            | StudyError::Validation(_)
            | StudyError::Begun { .. }
            | StudyError::Setting { .. }
            | StudyError::Step { .. }
            | StudyError::Count { .. }
            | StudyError::Threads { .. }
            | StudyError::NoNetwork
            | StudyError::NoData
            | StudyError::UnknownNetwork { .. }
            | StudyError::NoSuchFile { .. }
            | StudyError::UnknownOutput { .. }
            | StudyError::Unknown { .. }
            | StudyError::SameName { .. }
            | StudyError::Input(_)
            | StudyError::InputArray { .. }
            | StudyError::Answers(_)
            | StudyError::NamedPreprocess { .. }
            | StudyError::NotQuantized { .. }
            | StudyError::NotBinary { .. }
            | StudyError::Spiking { .. }
            | StudyError::AlreadyQuantized { .. }
            | StudyError::TeacherDiffers { .. }
            | StudyError::UnknownMethod { .. }
            | StudyError::ReduceNeedsData { .. }
            | StudyError::NoLayers { .. }
            | StudyError::LargeLayer { .. }
            | StudyError::NotInTopology { .. }
            | StudyError::TuningImages { .. }
            | StudyError::InvalidStudy { .. } => true,
            StudyError::Sim(error) => is_usage(error),
            StudyError::Preset { source, .. } => is_usage(source),
            StudyError::Data(error) => matches!(
                error,
                DataError::UnknownDataset { .. }
                    | DataError::MissingLocation { .. }
                    | DataError::InvalidLocation { .. }
                    | DataError::UnknownPreprocess { .. }
                    | DataError::InvalidPreprocess { .. }
            ),
            StudyError::Quant(error) => {
                matches!(error, QuantError::InvalidConfig { .. } | QuantError::UnknownLayer { .. })
            }
            StudyError::Reduce(error) => match &**error {
                ReduceError::Setting { .. } | ReduceError::WrongTarget { .. } | ReduceError::Data { .. } => true,
                ReduceError::Train(error) => matches!(error, TrainError::Spec(_) | TrainError::Option { .. }),
                _ => false,
            },
            StudyError::Graph(error) => {
                matches!(error, GraphError::UnknownNetwork { .. } | GraphError::NetworkSetting { .. })
            }
            StudyError::Train(error) => {
                matches!(error, TrainError::Spec(_) | TrainError::Option { .. } | TrainError::Unknown { .. })
            }
            StudyError::Io { source, .. } | StudyError::Report(ReportError::Io { source, .. }) => {
                skimp_files::refusal(source).is_some()
            }
            StudyError::Labels(_)
            | StudyError::InvalidTopology { .. }
            | StudyError::Memory(_)
            | StudyError::Report(_)
            | StudyError::Kept { .. }
            | StudyError::Interrupted
            | StudyError::Nir(_)
            | StudyError::InterruptedRuns { .. } => false,
        }
    }
}
