//! What accelerators did with a network on real inputs: `skimp.simulate/3`.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ChipsRecord, Coverage, FindingRecord, SectionRecord};
use crate::{ReportError, number};

/// The schema of [`SimulationRecord`].
pub const SIMULATION_SCHEMA: &str = "skimp.simulate/3";

/// Schemas of older versions that can still be read: /1 had `gmacs` and `peak_gmacs` for rates, and no coverage; /2 had
/// `end` for the state of early negative detection, and no findings.
const OLDER_SCHEMAS: &[&str] = &["skimp.simulate/1", "skimp.simulate/2"];

/// One network, run on some images by one or more simulated accelerators.
///
/// # Units
/// With `images` > 1, cycles, events and energy of layers and totals are sums over all images. `latency_ms` is per
/// image. Energy is on-chip unless a component says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SimulationRecord {
    /// Always [`SIMULATION_SCHEMA`].
    pub schema: String,
    /// Version of the program that made the record.
    pub skimp_version: String,
    /// The network.
    pub model: ModelRecord,
    /// Where the images came from; left out where layers ran by their shapes only.
    #[serde(default, skip_serializing_if = "DataRecord::is_none")]
    pub data: DataRecord,
    /// How many images were run.
    pub images: u64,
    /// Width of the weights' integer codes.
    pub weight_bits: u32,
    /// Width of the activations' integer codes.
    pub activation_bits: u32,
    /// The part of the network's work that cycles, events and energies cover; `None` in records of versions that did
    /// not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub simulated: Option<Coverage>,
    /// The network's layers without a matrix of weights (pooling, element-wise operators, moves of data, products of two
    /// activations), in execution order. Empty in records of versions that did not list them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_layers: Vec<OtherLayerRecord>,
    /// What the reader should know before believing any figure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Points of top-1 accuracy that an approximate accelerator may lose before what it saves is void.
    #[serde(default = "SimulationRecord::default_allowed_loss_points")]
    pub allowed_loss_points: f64,
    /// One entry per accelerator variant, in the order of the request.
    pub accelerators: Vec<AcceleratorRecord>,
}

impl Default for SimulationRecord {
    fn default() -> Self {
        Self {
            schema: SIMULATION_SCHEMA.to_owned(),
            skimp_version: env!("CARGO_PKG_VERSION").to_owned(),
            model: ModelRecord::default(),
            data: DataRecord::default(),
            images: 0,
            weight_bits: 0,
            activation_bits: 0,
            simulated: None,
            other_layers: Vec::new(),
            warnings: Vec::new(),
            allowed_loss_points: Self::default_allowed_loss_points(),
            accelerators: Vec::new(),
        }
    }
}

impl SectionRecord for SimulationRecord {
    const NAME: &'static str = "simulation";
    const SCHEMA: &'static str = SIMULATION_SCHEMA;

    fn upgrade(schema: &str, section: &mut Value) -> bool {
        let known = OLDER_SCHEMAS.contains(&schema);
        if known {
            super::upgrade::simulation(section);
        }
        known
    }
}

impl SimulationRecord {
    /// One point.
    pub fn default_allowed_loss_points() -> f64 {
        1.0
    }

    /// The record as pretty JSON with a trailing newline.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if the record cannot be expressed in JSON.
    pub fn to_json(&self) -> Result<String, ReportError> {
        super::to_json(self, "a simulation record")
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`ReportError::Schema`] for another or no schema, [`ReportError::Json`] for anything else that is wrong.
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        super::from_json(text, SIMULATION_SCHEMA, OLDER_SCHEMAS, super::upgrade::simulation)
    }

    /// The accelerator variant of that label.
    pub fn accelerator(&self, label: &str) -> Option<&AcceleratorRecord> {
        self.accelerators.iter().find(|accelerator| accelerator.label == label)
    }

    /// The design that the energies of `accelerator` are set against: of those whose energies compare with it, the one
    /// labeled `preferred`, else the first.
    pub fn energy_baseline<'a>(
        &'a self,
        accelerator: &'a AcceleratorRecord,
        preferred: Option<&str>,
    ) -> &'a AcceleratorRecord {
        let alike = || self.accelerators.iter().filter(|other| other.energy_differs(accelerator).is_none());
        let named = alike().find(|other| Some(other.label.as_str()) == preferred);
        named.or_else(|| alike().next()).unwrap_or(accelerator)
    }
}

/// The network that was run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// Short name, such as `vgg16`.
    pub name: String,
    /// The path as the user gave it; `None` for an embedded or built-in network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// SHA-256 of the file, 64 lower-case hexadecimal digits; of name, settings and seed for a built-in network.
    pub sha256: String,
    /// Whether the weights are random initial ones, so that accuracies and densities mean nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untrained: bool,
}

/// The data set that was run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// Name in the registry of data sets, such as `cifar10`.
    pub name: String,
    /// The argument as the user gave it, such as `cifar10:DIR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
    /// `train` or `test`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// The preprocessing: a name or keys with values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<String>,
    /// What was changed in the images to fit the network's input, beside preprocessing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub adapted: Vec<String>,
    /// SHA-256 of what was read, where the data set has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl DataRecord {
    /// Whether there were no data.
    pub fn is_none(&self) -> bool {
        self.name.is_empty()
    }
}

/// One accelerator variant and what it did.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AcceleratorRecord {
    /// Name in the registry of accelerators, such as `compend`.
    pub name: String,
    /// Unique name of the variant in this record, such as `compend without END`.
    pub label: String,
    /// The resolved configuration.
    pub config: Map<String, Value>,
    /// Name of the cost table that priced the energies. Energies of different tables do not compare. Empty in records
    /// of versions that did not name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub costs: String,
    /// What the energies cover. Left out in records of versions that did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy: Option<EnergyRecord>,
    /// What holds of the design, whatever it runs. Left out in records of versions that did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<FactsRecord>,
    /// Whether it changes the values of the network.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
    /// Clock.
    pub clock_mhz: f64,
    /// Area of the chip as far as its cost table knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area_mm2: Option<f64>,
    /// Dense peak rate in 10^9 multiply-accumulates per second.
    #[serde(default, rename = "peak_gmacs_per_s", alias = "peak_gmacs", skip_serializing_if = "Option::is_none")]
    pub peak_gmacs: Option<f64>,
    /// Off-chip memory bandwidth that the model honors, in 10^9 bytes per second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dram_gb_per_s: Option<f64>,
    /// What it found over all layers and images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingRecord>,
    /// One entry per layer that ran, in execution order.
    pub layers: Vec<LayerRecord>,
    /// Layers that ran on random codes of their shape, because a published figure covers them: in no total.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shape_layers: Vec<LayerRecord>,
    /// Layers without a matrix of weights that the design's model runs beside its totals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_layers: Vec<LayerRecord>,
    /// Accuracy, where the accelerator changes values and labeled images were run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<EffectAccuracy>,
    /// Accuracy of several chips, for a design that has samples, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chips: Option<ChipsRecord>,
    /// The search that found the accelerator's parameters, if there was one; on other images than those of `accuracy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tuning: Option<TuningRecord>,
    /// The whole run.
    pub total: AcceleratorTotal,
}

/// What holds of a configured design, whatever it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsRecord {
    /// Whether it computes what the integer network computes, bit for bit.
    pub exact: bool,
    /// What it must see of a layer: `shapes`, `weights`, or `operand values`.
    pub needs: String,
    /// What it saves time or energy on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exploits: Vec<String>,
    /// What else there is to know of its configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
}

/// What the energies of an accelerator cover. Scopes: `mac`, `registers`, `buffers`, `on_chip`, `network`, `off_chip`,
/// `static`, and `chip` for a sum over all but `off_chip` that its source does not break down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EnergyRecord {
    /// Process node of the cost table.
    pub technology_nm: f64,
    /// Scopes in the sum.
    pub priced: Vec<String>,
    /// Scopes in which the design spends energy that is not in the sum.
    pub left_out: Vec<String>,
    /// Scope of each component's dynamic energy. Power while on belongs to `static`, or to `chip`.
    pub components: IndexMap<String, String>,
    /// Energy over all layers and images by scope.
    pub by_scope_mj: IndexMap<String, f64>,
}

/// What a scope is called in front of readers: `off_chip` is `off-chip`.
pub(crate) fn scope_words(keys: &[String]) -> String {
    let word = |key: &String| if key == "mac" { "MAC".to_owned() } else { key.replace('_', "-") };
    keys.iter().map(word).collect::<Vec<_>>().join(", ")
}

impl AcceleratorRecord {
    /// Why its energy does not compare with that of `other`; `None` where it does: one table, one node, the same scopes
    /// left out.
    pub fn energy_differs(&self, other: &Self) -> Option<String> {
        if self.costs != other.costs {
            return Some(format!("priced by {} and {}", self.costs, other.costs));
        }
        let (Some(ours), Some(theirs)) = (&self.energy, &other.energy) else {
            // Records that do not say what their energies cover: the table is all there is.
            return None;
        };
        if (ours.technology_nm - theirs.technology_nm).abs() > f64::EPSILON {
            return Some(format!("at {} and {} nm", ours.technology_nm, theirs.technology_nm));
        }
        let lacks = |own: &EnergyRecord, than: &EnergyRecord| {
            let extra: Vec<String> =
                own.left_out.iter().filter(|scope| !than.left_out.contains(scope)).cloned().collect();
            (!extra.is_empty()).then(|| scope_words(&extra))
        };
        let missing = [(self, lacks(ours, theirs)), (other, lacks(theirs, ours))];
        let missing: Vec<String> = missing
            .into_iter()
            .filter_map(|(side, scopes)| Some(format!("{} without {}", side.label, scopes?)))
            .collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    /// Why what it saves counts for nothing: it loses more than `allowed_points` of top-1 accuracy, gets nothing right, or
    /// nobody measured what it does to the answers. `None` for exact accelerators and small losses.
    pub fn void(&self, allowed_points: f64) -> Option<String> {
        if !self.approximate {
            return None;
        }
        let Some(accuracy) = &self.accuracy else { return Some("void: accuracy not measured".to_owned()) };
        if accuracy.loss_points() > allowed_points + 1e-9 {
            return Some(format!("void: \u{2212}{} points", number::fixed(accuracy.loss_points(), 2)));
        }
        (accuracy.top1 <= 0.0).then(|| "void: nothing is right".to_owned())
    }
}

impl EffectAccuracy {
    /// Points of top-1 accuracy lost; below 0 where it gains.
    pub fn loss_points(&self) -> f64 {
        100.0 * (self.top1_exact - self.top1)
    }
}

/// What an approximate accelerator does to the accuracy of the integer network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EffectAccuracy {
    /// What counts as right: `labels`, or `answers` of the exact integer network.
    #[serde(default)]
    pub judged_by: String,
    /// Share of images that the exact integer network classifies right.
    pub top1_exact: f64,
    /// The same under the accelerator's effect.
    pub top1: f64,
    /// Images classified.
    pub n_images: u64,
}

/// What a search for an accelerator's parameters saw.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TuningRecord {
    /// Part of the data set: `train` or `test`.
    pub split: String,
    /// First image of the search in that part, in the run's order.
    pub first_image: u64,
    /// Images of the search.
    pub n_images: u64,
    /// Share of them that the exact integer network gets right.
    pub top1_exact: f64,
    /// The same with the parameters found.
    pub top1: f64,
}

/// One layer on one accelerator.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerRecord {
    /// Name of the layer in the network.
    pub name: String,
    /// Operator, such as `Conv`.
    pub operator: String,
    /// Dense multiply-accumulates of one image.
    pub macs: u64,
    /// Images that the sums below cover.
    pub images: u64,
    /// What the design found beside its counts, in terms of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingRecord>,
    /// How the layer was laid out, as named numbers of the design's own; the same for each image. Empty in records of
    /// versions that did not keep it.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub mapping: IndexMap<String, u64>,
    /// Cycles, by phase.
    pub cycles: Breakdown<u64>,
    /// Counted events by name, such as accesses of a buffer.
    pub events: IndexMap<String, u64>,
    /// Energy in nJ, by component.
    pub energy_nj: Breakdown<f64>,
    /// Why it took longer than its multiply-accumulates at peak rate, from its counters, the largest loss first; and why
    /// a feature of the design was off.
    #[serde(default)]
    pub why: Vec<String>,
    /// What the reader should know about this layer: a mapping rule, a fallback.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// A layer without a matrix of weights, for one image: each tensor is read or written once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct OtherLayerRecord {
    /// Name of the layer in the network.
    pub name: String,
    /// Operator, such as `MaxPool`.
    pub operator: String,
    /// `pool`, `element-wise`, `reduction`, `normalization`, `product`, or `move`.
    pub kind: String,
    /// Rows and columns of a pooling window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<[u64; 2]>,
    /// Steps of a pooling window along rows and columns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strides: Option<[u64; 2]>,
    /// What it computes: `macs`, `comparisons`, `additions`, `multiplications`, or `evaluations` of its function.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub work: IndexMap<String, u64>,
    /// Tensors read, constants included.
    pub reads: Vec<OperandRecord>,
    /// Tensors written.
    pub writes: Vec<OperandRecord>,
    /// Bytes of all tensors read.
    pub read_bytes: u64,
    /// Bytes of all tensors written.
    pub written_bytes: u64,
    /// Labels of the designs whose models say nothing of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_modelled_by: Vec<String>,
}

/// A tensor that a layer reads or writes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperandRecord {
    /// Elements of one image, or of a constant.
    pub elements: u64,
    /// Width of an element.
    pub bits: u32,
}

/// A total and its parts by name, in JSON one flat object: `{"total": …, "run_pu": …, …}`.
///
/// The producer sets the total; it may exceed the sum of the parts (start-up cycles, for example).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Breakdown<T> {
    /// The total.
    pub total: T,
    /// The parts in the order in which charts stack them. No part is named `total`.
    #[serde(flatten)]
    pub parts: IndexMap<String, T>,
}

impl<T: Copy + Default> Breakdown<T> {
    /// The named part, or zero if there is none.
    pub fn part(&self, name: &str) -> T {
        self.parts.get(name).copied().unwrap_or_default()
    }
}

/// What an accelerator needed for the whole network.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AcceleratorTotal {
    /// Cycles over all layers and images.
    pub cycles: u64,
    /// Time of one image: `cycles / clock / images`.
    pub latency_ms: f64,
    /// Energy over all layers and images.
    pub energy_mj: f64,
    /// Dense operations per second and watt in 10^12, one multiply-accumulate being two operations.
    pub tops_per_w: f64,
    /// Dense multiply-accumulates per second in 10^9, reached on this network.
    #[serde(alias = "gmacs")]
    pub gmacs_per_s: f64,
    /// Share of the network's multiply-accumulates that these totals cover, in percent; 0 in records of versions that
    /// did not say it.
    #[serde(default)]
    pub simulated_percent: f64,
}
