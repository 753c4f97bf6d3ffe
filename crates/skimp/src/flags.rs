//! What the flags of a command mean, for the command line and for other languages alike: names, types, defaults, and the
//! configurations that they become.

use std::path::PathBuf;

use serde::Serialize;
use serde::de::{DeserializeOwned, IntoDeserializer};
use skimp_sim::toml::{self, Table, Value};
use skimp_study::{
    ChipsConfig, CostsConfig, DataConfig, Designs, HeldData, JudgeBy, LayersConfig, QdqConfig, QuantizationConfig,
    SimulateConfig, Split, StudyError, TrainConfig, accelerator_configs,
};

/// A configuration whose keys are flags: words, types, bounds and defaults are the configuration's own, so a flag and the
/// key of the same name in a file cannot differ.
pub trait Settings: Clone + Default + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What is wrong with values that the types allow.
    fn fault(&self) -> Option<String>;

    /// The keys as they are where nothing is given.
    #[must_use]
    fn defaults() -> Table {
        Table::try_from(Self::default()).unwrap_or_default()
    }

    /// The configuration of a table.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    fn read(table: Table) -> Result<Self, String> {
        let config: Self = table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        match config.fault() {
            Some(fault) => Err(fault),
            None => Ok(config),
        }
    }

    /// The first of `candidates` that the configuration takes under `key`, all else being as it is by default.
    ///
    /// # Errors
    /// What is wrong with the first candidate, in words.
    fn first_taken(key: &str, candidates: impl IntoIterator<Item = Value>) -> Result<Value, String> {
        let mut cause = String::new();
        for value in candidates {
            let mut table = Self::defaults();
            table.insert(key.to_owned(), value.clone());
            match Self::read(table) {
                Ok(_) => return Ok(value),
                Err(fault) if cause.is_empty() => cause = fault,
                Err(_) => {}
            }
        }
        Err(cause)
    }

    /// A value as it stands on a command line.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    fn from_text(key: &'static str, text: &str) -> Result<Value, String> {
        let words = skimp_study::words_of_key::<Self>(key);
        if !words.is_empty() && !words.contains(&text) {
            return Err(format!("expected one of: {}", words.join(", ")));
        }
        let candidates: Vec<Value> = match Self::defaults().get(key) {
            Some(Value::Integer(_)) => vec![Value::Integer(text.parse().map_err(|error| format!("{error}"))?)],
            Some(Value::Float(_)) => vec![Value::Float(text.parse().map_err(|error| format!("{error}"))?)],
            Some(Value::String(_)) => vec![Value::String(text.to_owned())],
            Some(Value::Array(_)) => vec![Value::Array(vec![Value::String(text.to_owned())])],
            // No default tells the type: the one that the configuration takes.
            _ => {
                let integer = text.parse().map(Value::Integer).ok();
                let float = text.parse().map(Value::Float).ok();
                [integer, float, Some(Value::String(text.to_owned()))].into_iter().flatten().collect()
            }
        };
        Self::first_taken(key, candidates)
    }
}

impl Settings for QuantizationConfig {
    fn fault(&self) -> Option<String> {
        self.check().err().map(|error| error.to_string())
    }
}

impl Settings for QdqConfig {
    fn fault(&self) -> Option<String> {
        self.check().err().map(|error| error.to_string())
    }
}

impl Settings for TrainConfig {
    fn fault(&self) -> Option<String> {
        self.check_settings().err().map(|error| error.to_string())
    }
}

/// One of the words of a choice.
///
/// # Errors
/// [`StudyError::Setting`] with the words that there are.
pub fn word<T: DeserializeOwned>(setting: &'static str, text: &str) -> Result<T, StudyError> {
    let read = T::deserialize(IntoDeserializer::<serde::de::value::Error>::into_deserializer(text));
    read.map_err(|_| {
        let expected = format!("one of: {}", skimp_study::words_of::<T>().join(", "));
        StudyError::Setting { setting, found: text.to_owned(), expected }
    })
}

/// Which images, and how they reach the network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataFlags {
    /// Data set: `sample`, or `NAME:DIR`.
    pub data: Option<String>,
    /// Images that the program holds, instead of a data set.
    pub held: Option<HeldData>,
    /// Part of the data set; the test split, or where images set ranges the training split, unless one is named.
    pub split: Option<Split>,
    /// Preprocessing; what the network names, else the data set's own, unless one is named.
    pub preprocess: Option<String>,
    /// Input height and width, where the network leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// Take images at random, keyed by this seed, instead of the first ones.
    pub seed: Option<u64>,
    /// The network's output that holds the answers; the one with a number for each class unless one is named.
    pub output_name: Option<String>,
}

impl DataFlags {
    /// Whether there is a data set.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.data.is_some() || self.held.is_some()
    }

    /// As a configuration over `images` traced and `accuracy_images` evaluated images.
    ///
    /// # Errors
    /// [`StudyError::NoData`] where no data set is named.
    pub fn config(&self, images: usize, accuracy_images: usize) -> Result<DataConfig, StudyError> {
        let set = match (&self.data, &self.held) {
            (Some(set), _) => set.clone(),
            (None, Some(_)) => "arrays".to_owned(),
            (None, None) => return Err(StudyError::NoData),
        };
        Ok(DataConfig {
            set,
            held: self.held.clone(),
            split: self.split.unwrap_or_default(),
            preprocess: self.preprocess.clone(),
            seed: self.seed,
            output_name: self.output_name.clone(),
            images,
            accuracy_images,
            ..DataConfig::default()
        })
    }

    /// As a configuration of images that set ranges, of the training split unless another one was named.
    ///
    /// # Errors
    /// [`StudyError::NoData`] where no data set is named.
    pub fn ranges_config(&self, accuracy_images: usize) -> Result<DataConfig, StudyError> {
        let split = self.split.unwrap_or(Split::Train);
        Ok(DataConfig { split, ..self.config(0, accuracy_images)? })
    }
}

/// How parameters of approximate accelerators are searched and judged; `None` for what the data's configuration has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TuningFlags {
    /// Images on which a search of parameters looks at accuracy.
    pub tuning_images: Option<usize>,
    /// The part of the data set that they are of.
    pub tuning_split: Option<Split>,
    /// What counts as right.
    pub judge_by: Option<JudgeBy>,
}

impl TuningFlags {
    /// Puts what was given on top of `data`.
    pub fn apply(&self, data: &mut DataConfig) {
        data.tuning_images = self.tuning_images.unwrap_or(data.tuning_images);
        data.tuning_split = self.tuning_split.or(data.tuning_split);
        data.judge_by = self.judge_by.unwrap_or(data.judge_by);
    }
}

/// How a network is trained further.
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeFlags {
    /// Train on so many images, chosen in their order.
    pub train_images: Option<usize>,
    /// Images of a batch.
    pub batch_size: usize,
    /// Base learning rate.
    pub learning_rate: f64,
    /// Learning rate over the run.
    pub schedule: String,
    /// Update rule.
    pub optimizer: String,
    /// Weight decay.
    pub weight_decay: f64,
    /// Random changes of training images.
    pub augment: Vec<String>,
    /// Seed of everything random in training.
    pub training_seed: u64,
}

impl Default for RecipeFlags {
    fn default() -> Self {
        Self {
            train_images: None,
            batch_size: 64,
            learning_rate: 0.01,
            schedule: "cosine".to_owned(),
            optimizer: "sgd:momentum=0.9".to_owned(),
            weight_decay: 1e-4,
            augment: Vec::new(),
            training_seed: 0,
        }
    }
}

impl RecipeFlags {
    /// As a configuration of a training run.
    #[must_use]
    pub fn config(self) -> TrainConfig {
        TrainConfig {
            images: self.train_images,
            batch_size: self.batch_size,
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            optimizer: self.optimizer,
            weight_decay: self.weight_decay,
            augment: self.augment,
            seed: self.training_seed,
            ..TrainConfig::default()
        }
    }
}

/// `KEY=VALUE`, the value as TOML has it; a bare word is a text.
///
/// # Errors
/// What was expected, in words.
pub fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("\"{text}\", expected KEY=VALUE"))?;
    let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    Ok((key.trim().to_owned(), parsed.unwrap_or_else(|| Value::String(value.trim().to_owned()))))
}

/// What `skimp simulate` simulates.
#[derive(Clone, Debug, PartialEq)]
pub struct SimulateFlags {
    /// Accelerators, `NAME` or `LABEL=NAME`.
    pub accelerator: Vec<String>,
    /// Images.
    pub data: DataFlags,
    /// Images whose operand values drive the models.
    pub images: usize,
    /// Images on which approximate accelerators are judged; 0 for none.
    pub accuracy_images: usize,
    /// Chips of designs with resistive cells that are judged.
    pub chips: Option<usize>,
    /// Whether the chips are judged with each non-ideality alone, and without each.
    pub attribution: bool,
    /// How parameters are searched.
    pub tuning: TuningFlags,
    /// Widths and calibration.
    pub quantization: QuantizationConfig,
    /// Cost table.
    pub costs: CostsConfig,
    /// Points of top-1 accuracy that an approximate accelerator may lose.
    pub allowed_loss_points: f64,
    /// `ACCELERATOR=FILE|NAME`.
    pub preset: Vec<String>,
    /// `ACCELERATOR.KEY=VALUE`.
    pub set: Vec<String>,
    /// Folder of operands, exact sums and end planes of the first image.
    pub dump: Option<PathBuf>,
    /// Chrome trace of the first image.
    pub trace: Option<PathBuf>,
}

impl Default for SimulateFlags {
    fn default() -> Self {
        Self {
            accelerator: Vec::new(),
            data: DataFlags::default(),
            images: DataConfig::default().images,
            accuracy_images: 200,
            chips: None,
            attribution: false,
            tuning: TuningFlags::default(),
            quantization: QuantizationConfig::default(),
            costs: CostsConfig::default(),
            allowed_loss_points: skimp_report::SimulationRecord::default_allowed_loss_points(),
            preset: Vec::new(),
            set: Vec::new(),
            dump: None,
            trace: None,
        }
    }
}

impl SimulateFlags {
    /// What to simulate, with presets and cost tables read.
    ///
    /// # Errors
    /// [`StudyError`] naming the accelerator, the setting or the file.
    pub fn config(&self, designs: Designs) -> Result<SimulateConfig, StudyError> {
        let accelerators = accelerator_configs(&designs, &self.accelerator, &self.preset, &self.set)?;
        let mut costs = self.costs.clone();
        costs.read_file(std::path::Path::new(""))?;
        if self.chips.is_some() && self.accuracy_images == 0 {
            let expected = "at least 1: --chips needs images that judge them".to_owned();
            return Err(StudyError::Setting { setting: "--accuracy-images", found: "0".to_owned(), expected });
        }
        let chips = self.chips.map(|count| ChipsConfig { count, attribution: self.attribution });
        let mut data = self.data.config(self.images, self.accuracy_images)?;
        self.tuning.apply(&mut data);
        Ok(SimulateConfig {
            data,
            input_size: self.data.input_size,
            quantization: self.quantization,
            layers: LayersConfig::default(),
            designs,
            accelerators,
            costs,
            allowed_loss_points: self.allowed_loss_points,
            chips,
            dump: self.dump.clone(),
            trace: self.trace.clone(),
        })
    }
}

/// `N` or `HxW`.
///
/// # Errors
/// What was expected, in words.
pub fn input_size(text: &str) -> Result<[usize; 2], String> {
    let extent = |text: &str| match text.parse::<usize>() {
        Ok(n) if n > 0 && n <= 1 << 16 => Ok(n),
        _ => Err(format!("\"{text}\" is not an extent from 1 to 65536; expected N or HxW")),
    };
    match text.split_once(['x', 'X']) {
        Some((height, width)) => Ok([extent(height)?, extent(width)?]),
        None => extent(text).map(|n| [n, n]),
    }
}
