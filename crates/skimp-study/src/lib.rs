//! Study files and the pipelines behind every command.
//!
//! [`Network::open`] gives a network, [`inspect()`] counts it, [`evaluate()`] measures its accuracy, [`simulate()`] runs
//! accelerators on its real operand values, [`run_study`] does it all and writes a report. Long runs tell a [`Monitor`]
//! where they are. This crate prints nothing and reads no environment.

mod accelerators;
mod answers;
#[cfg(test)]
mod approximate_tests;
mod config;
mod coverage;
#[cfg(test)]
mod coverage_tests;
mod describe;
mod designs;
mod dump;
mod effects;
mod error;
mod evaluate;
mod fidelity;
mod findings;
#[cfg(test)]
mod honest_tests;
mod images;
mod inspect;
mod layers;
mod lists;
#[cfg(test)]
mod moment_tests;
mod monitor;
mod network;
mod other_layers;
mod pricing;
mod published;
#[cfg(test)]
mod published_tests;
mod quantize;
mod quantized;
#[cfg(test)]
mod quantized_tests;
mod run;
mod shapes;
mod show;
mod simulate;
mod studies;
mod study;
mod tabular;
mod timeline;
mod topology;
mod trace;
mod train;
mod tuning;

pub use accelerators::accelerator_configs;
pub use config::{
    AcceleratorConfig, ComparisonConfig, DataConfig, FirstLayer, JudgeBy, LayersConfig, NetworkConfig, PresetOrigin,
    QuantizationConfig, STUDY_SCHEMA, SplitConfig, StudyConfig, WeightScales,
};
pub use describe::{Checked, ClassRecord, DataSetRecord, LeftOutRecord, SplitRecord, describe_data};
pub use designs::Designs;
pub use error::StudyError;
pub use evaluate::{Engine, EvaluateConfig, EvaluateRecord, evaluate};
pub use fidelity::QuantizedAccuracy;
pub use inspect::{InspectLayer, InspectRecord, InspectTotal, NamedShape, inspect};
pub use lists::{LISTS, ListEntry, ListRecord, list, names};
pub use monitor::{Monitor, Silent};
pub use network::{EmbeddedNetwork, NETWORKS, Network};
pub use pricing::CostsConfig;
pub use published::{OwnFigure, PublishedConfig};
pub use quantize::{
    EncodingRecord, FloatNodeRecord, QuantizeNetworkConfig, QuantizeRecord, QuantizedLayerRecord, quantize,
};
pub use run::{RunConfig, input_files, n_chosen_outputs, run_network};
pub use shapes::ShapeLayerConfig;
pub use show::{SHOWN, SettingRecord, SettingsRecord, ShowRecord, settings, show, shown_names};
pub use simulate::{SimulateConfig, Simulation, simulate, simulate_topology};
pub use studies::{StudyOverrides, embedded_studies};
pub use study::{StudyRun, run_study, simulate_report, study};
pub use tabular::Tabular;
pub use topology::{Topology, export_topology, inspect_topology};
pub use train::{OutputRecord, PolicyConfig, PrecisionConfig, TrainConfig, TrainRecord, TrainRun, Validation, train};
