//! What a training run is asked for.

use serde::{Deserialize, Serialize};
use skimp_train::augment::Augment;
use skimp_train::log::LOG_FORMATS;
use skimp_train::noise::DeviceNoise;
use skimp_train::optimizer::{GradientClip, OptimizerConfig};
use skimp_train::quantizer::{self, Quantizer};
use skimp_train::schedule::Schedule;
use skimp_train::spec::{Spec, SpecError};
use skimp_train::trainer::TrainerConfig;
use skimp_train::{LossKind, LossSum, ParamRole, Target, TrainError};

use crate::error::StudyError;

/// Everything that decides the trained weights; with the digests of network and data it repeats the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// A built-in network (trained from scratch), an embedded one, or an ONNX file (trained further).
    pub network: String,
    /// Input height and width, where the network leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// The data set, `NAME[:DIR]`.
    pub data: String,
    /// Preprocessing; where none is given, what the network names, else the data set's own.
    pub preprocess: Option<String>,
    /// The network's output that holds the answers; where none is given, the one with a number for each class. The
    /// resolved configuration of a network with several outputs says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_name: Option<String>,
    /// Train on this many images of the training split, chosen by the seed; all where none is given.
    pub images: Option<usize>,
    /// What the network is measured on after each epoch.
    pub validation: Validation,
    /// Hold out this share of the training images, chosen by the seed, in place of the test split. Where the data set has
    /// no test split and nothing is given, a fifth; the resolved configuration says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_share: Option<f64>,
    /// Measure on the first of them only.
    pub validation_images: Option<usize>,
    /// Passes over the training images.
    pub epochs: u64,
    /// Images of a batch.
    pub batch_size: usize,
    /// Whether the last batch of an epoch is left out where it is smaller than the others.
    pub drop_last: bool,
    /// Base learning rate.
    pub learning_rate: f64,
    /// The learning rate over the run, such as `cosine:warmup=2`.
    pub schedule: String,
    /// The update rule, such as `sgd:momentum=0.9`.
    pub optimizer: String,
    /// Weight decay.
    pub weight_decay: f64,
    /// Kinds of parameters that do not decay: `weight`, `bias`, `scale`, `shift`, `slope`, `step`.
    pub no_decay: Vec<String>,
    /// Greatest norm of all gradients together.
    pub clip_norm: Option<f64>,
    /// Greatest magnitude of one gradient.
    pub clip_value: Option<f64>,
    /// What is minimized: `cross-entropy[:label_smoothing=S]`, `squared-hinge` or `hinge`.
    pub loss: String,
    /// Augmentations, such as `flip` and `crop:pad=4`, in order.
    pub augment: Vec<String>,
    /// The precision policy, `NAME[:switch=value,...]`.
    pub precision: String,
    /// The form of the trained network, `NAME[:setting=value,...]`; the network's own where none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantizer: Option<String>,
    /// The resistive cells that deviate in training, `DEVICE[:setting=value,...]`; beside a quantizer whose weights are ±1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub noise: Option<String>,
    /// Parameters that stay as they are: names, or beginnings of names that end in `*`.
    pub freeze: Vec<String>,
    /// Share of the new batch in batch normalization's running statistics.
    pub batch_norm_momentum: f32,
    /// Seed of weights, order, augmentation, dropout and rounding.
    pub seed: u64,
}

impl Default for TrainConfig {
    /// Ten epochs of gradient descent with momentum at a constant rate of 0.01.
    fn default() -> Self {
        Self {
            network: String::new(),
            input_size: None,
            data: String::new(),
            preprocess: None,
            output_name: None,
            images: None,
            validation: Validation::Test,
            validation_share: None,
            validation_images: None,
            epochs: 10,
            batch_size: 64,
            drop_last: false,
            learning_rate: 0.01,
            schedule: "constant".to_owned(),
            optimizer: "sgd".to_owned(),
            weight_decay: 0.0,
            no_decay: Vec::new(),
            clip_norm: None,
            clip_value: None,
            loss: "cross-entropy".to_owned(),
            augment: Vec::new(),
            precision: "fp32".to_owned(),
            quantizer: None,
            noise: None,
            freeze: Vec::new(),
            batch_norm_momentum: 0.1,
            seed: 0,
        }
    }
}

/// What a network is measured on after each epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validation {
    /// The test split. It takes no part in training, and nothing is chosen by it.
    #[default]
    Test,
    /// This many images of the training split, chosen by the seed and not trained on.
    HeldOut(usize),
    /// Nothing.
    None,
}

impl std::str::FromStr for Validation {
    type Err = StudyError;

    fn from_str(text: &str) -> Result<Self, StudyError> {
        match text {
            "test" => Ok(Self::Test),
            "none" => Ok(Self::None),
            _ => match text.parse() {
                Ok(n) if n > 0 => Ok(Self::HeldOut(n)),
                _ => Err(StudyError::Setting {
                    setting: "validation",
                    found: text.to_owned(),
                    expected: "test, none, or a number of training images to hold out".to_owned(),
                }),
            },
        }
    }
}

/// A configuration whose texts have been understood.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) augment: Augment,
    /// Without checkpoints.
    pub(crate) trainer: TrainerConfig,
    pub(crate) quantizer: Option<Quantizer>,
}

/// Most epochs of a run, so that steps can be counted.
const MAX_EPOCHS: u64 = 1 << 24;

impl TrainConfig {
    /// Checks what the types leave open, before anything is opened.
    ///
    /// # Errors
    /// [`StudyError::Setting`], [`StudyError::Count`] or [`StudyError::Train`] naming the setting.
    pub fn check_settings(&self) -> Result<(), StudyError> {
        self.understood().map(drop)
    }

    /// Checks that `table` of a study file leaves alone what the study gives elsewhere: network, data and seed, and the keys
    /// of `others` that say themselves whether they are set; the cause if not.
    pub(crate) fn check_unset(&self, table: &str, others: &[(&str, bool)]) -> Result<(), String> {
        let unset = Self::default();
        let own = [
            ("network", self.network != unset.network),
            ("data", self.data != unset.data),
            ("preprocess", self.preprocess.is_some()),
            ("input_size", self.input_size.is_some()),
            ("output_name", self.output_name.is_some()),
            ("seed", self.seed != unset.seed),
        ];
        match own.iter().chain(others).find(|(_, is_set)| *is_set) {
            Some((key, _)) => Err(format!("{table} sets {key}, which the study gives elsewhere")),
            None => Ok(()),
        }
    }

    /// Checks that no quantizer is asked for, where `what` trains the network as it is.
    pub(crate) fn check_plain(&self, what: &str) -> Result<(), StudyError> {
        let found = [("quantizer", &self.quantizer), ("noise", &self.noise)];
        match found.into_iter().find_map(|(setting, found)| Some((setting, found.as_ref()?))) {
            None => Ok(()),
            Some((setting, found)) => Err(StudyError::Setting {
                setting,
                found: found.clone(),
                expected: format!("none: {what} trains the network as it is"),
            }),
        }
    }

    /// Understands every text before anything is opened.
    pub(crate) fn check(&self) -> Result<Checked, StudyError> {
        let checked = self.understood()?;
        match (&checked.quantizer, &self.noise) {
            (None, Some(found)) => Err(StudyError::Setting {
                setting: "noise",
                found: found.clone(),
                expected: "none without a quantizer whose weights are ±1 (--quantizer bnn, bsnn, …)".to_owned(),
            }),
            _ => Ok(checked),
        }
    }

    /// Every text by itself: settings given one by one have the others' defaults beside them.
    fn understood(&self) -> Result<Checked, StudyError> {
        if self.batch_size == 0 {
            return Err(StudyError::Count { what: "images of a batch", found: 0, expected: "at least 1".to_owned() });
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            let (found, expected) = (self.learning_rate.to_string(), "a number above 0".to_owned());
            return Err(TrainError::Option { name: "learning rate".to_owned(), expected, found }.into());
        }
        if self.epochs > MAX_EPOCHS {
            let (found, expected) = (self.epochs.to_string(), format!("at most {MAX_EPOCHS}"));
            return Err(StudyError::Setting { setting: "epochs", found, expected });
        }
        let roles: Result<Vec<ParamRole>, StudyError> = self.no_decay.iter().map(|name| role(name)).collect();
        let optimizer = OptimizerConfig {
            rule: self.optimizer.clone(),
            weight_decay: self.weight_decay,
            no_decay: roles?,
            clip: GradientClip { norm: self.clip_norm, value: self.clip_value },
        };
        // Nothing is trained by it: the settings are checked.
        skimp_train::optimizer::Optimizer::new(&optimizer, &[])?;
        let schedule = Schedule::parse(&self.schedule).map_err(TrainError::from)?;
        let augment = Augment::parse(&self.augment).map_err(TrainError::from)?;
        let trainer = TrainerConfig {
            epochs: self.epochs,
            learning_rate: self.learning_rate,
            schedule,
            optimizer,
            losses: losses(&self.loss).map_err(TrainError::from)?,
            seed: self.seed,
            checkpoints: None,
        };
        let quantizer = self.quantizer.as_deref().map(quantizer::create).transpose()?;
        let noise = self.noise.as_deref().map(DeviceNoise::parse).transpose()?;
        let quantizer = match (quantizer, noise) {
            (Some(quantizer), Some(noise)) => Some(quantizer.with_noise(noise)?),
            (quantizer, _) => quantizer,
        };
        if let Some(quantizer) = &quantizer {
            let policy = self.precision.split(':').next().unwrap_or_default();
            quantizer.check_precision(policy)?;
        }
        Ok(Checked { augment, trainer, quantizer })
    }
}

/// Every kind of parameter, as written.
const ROLES: [(&str, ParamRole); 6] = [
    ("weight", ParamRole::Weight),
    ("bias", ParamRole::Bias),
    ("scale", ParamRole::Scale),
    ("shift", ParamRole::Shift),
    ("slope", ParamRole::Slope),
    ("step", ParamRole::Step),
];

fn role(name: &str) -> Result<ParamRole, StudyError> {
    ROLES.iter().find(|(known, _)| *known == name).map(|&(_, role)| role).ok_or_else(|| {
        let expected = format!("one of: {}", ROLES.map(|(name, _)| name).join(", "));
        StudyError::Setting { setting: "no_decay", found: name.to_owned(), expected }
    })
}

/// The losses that need labels only.
const LOSSES: [&str; 3] = ["cross-entropy", "squared-hinge", "hinge"];

fn losses(text: &str) -> Result<LossSum, SpecError> {
    let mut spec = Spec::parse("loss", text)?;
    let kind = match spec.find(&LOSSES, |name| name)? {
        "squared-hinge" => LossKind::SquaredHinge,
        "hinge" => LossKind::Hinge,
        _ => LossKind::CrossEntropy { label_smoothing: spec.number("label_smoothing", 0.0, 0.0..=1.0)? as f32 },
    };
    spec.finish()?;
    Ok(LossSum::one(kind, Target::Labels))
}

/// The log formats of those names.
pub(crate) fn log_formats(names: &[String]) -> Result<Vec<&'static dyn skimp_train::log::LogFormat>, StudyError> {
    let find = |name: &String| {
        let format = Spec::parse("log format", name)?.find(LOG_FORMATS, |format| format.name())?;
        Ok(format)
    };
    let formats: Result<Vec<_>, SpecError> = names.iter().filter(|name| *name != "none").map(find).collect();
    Ok(formats.map_err(TrainError::from)?)
}
