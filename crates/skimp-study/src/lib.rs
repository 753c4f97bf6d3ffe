//! Study files and the pipelines behind every command.
//!
//! Each stage is a type whose results are kept by the caller and used again: [`Network`], [`Images`] for it, [`Calibrated`],
//! [`Quantized`], [`Traced`], [`Simulated`], [`Priced`], and [`Trained`]. [`inspect()`], [`evaluate()`], [`simulate()`] and
//! [`train()`] take several stages at once, as the commands do; [`run_study`] takes all and writes a report. Long runs tell a
//! [`Monitor`] where they are. This crate prints nothing and reads no environment.

mod catalog;
mod error;
mod inputs;
mod monitor;
mod reduce;
mod schema;
mod simulate;
mod stages;
mod store;
mod studies;
mod tabular;
mod train;

pub use crate::catalog::lists::{LISTS, ListEntry, ListRecord, list, names};
pub use crate::catalog::show::{SHOWN, SettingRecord, SettingsRecord, ShowRecord, settings, show, shown_names};
pub use crate::catalog::support::{DesignSupport, SupportRecord, SupportVerdict, UnknownOperatorRecord, support};
pub use crate::error::{AnswerFault, InputFault, LabelFault, StudyError, ValidationFault};
pub use crate::inputs::config::{DataConfig, HeldData, JudgeBy, NetworkConfig};
pub use crate::inputs::describe::{Checked, ClassRecord, DataSetRecord, LeftOutRecord, SplitRecord, describe_data};
pub use crate::inputs::images::Images;
pub use crate::inputs::network::{EmbeddedNetwork, NETWORKS, Network};
pub use crate::monitor::{Monitor, Silent};
pub use crate::reduce::distill::{DistillConfig, DistillRecord, HintRecord, LossRecord, distill};
pub use crate::reduce::measured::{NetworkMeasures, parameters};
pub use crate::reduce::prune::{
    GroupRecord, PruneConfig, PruneRecord, RefusedRecord, RuntimePointRecord, RuntimeRecord, prune,
};
pub use crate::reduce::recast::{BlockRecord, RecastConfig, RecastRecord, RecastStepRecord, recast};
pub use crate::reduce::run::ReduceRun;
pub use crate::reduce::sensitivity::{SensitivityCurve, SensitivityPoint, SensitivityRecord, sensitivity};
pub use crate::reduce::speed::{SpeedRecord, latency_ms};
pub use crate::reduce::steps::{StepConfig, reduce_steps};
pub use crate::schema::{fields_of, words_of, words_of_key};
pub use crate::simulate::accelerators::{accelerator_configs, overlay};
pub use crate::simulate::chips::ChipsConfig;
pub use crate::simulate::config::{AcceleratorConfig, LayersConfig, PresetOrigin};
pub use crate::simulate::designs::{Design, Designs};
pub use crate::simulate::figures::{DesignFigures, SlowLayer};
pub use crate::simulate::priced::Priced;
pub use crate::simulate::pricing::CostsConfig;
pub use crate::simulate::runs::DesignRun;
pub use crate::simulate::session::{SimulateConfig, simulate, simulate_topology};
pub use crate::simulate::shapes::ShapeLayerConfig;
pub use crate::simulate::simulated::Simulated;
pub use crate::simulate::traced::Traced;
pub use crate::stages::binarized::{BinarizeRecord, BinaryLayerRecord, binarize};
pub use skimp_cpu::Order;

pub use crate::stages::evaluate::{Engine, EvaluateConfig, EvaluateRecord, evaluate};
pub use crate::stages::fidelity::QuantizedAccuracy;
pub use crate::stages::inspect::{InspectLayer, InspectRecord, InspectTotal, NamedShape, inspect};
pub use crate::stages::qdq::{
    EncodingRecord, FloatNodeRecord, QuantizeConfig, QuantizeRecord, QuantizedLayerRecord, quantize,
};
pub use crate::stages::quantized::{Calibrated, Quantized};
pub use crate::stages::run::{Compiled, RunConfig, input_files, n_chosen_outputs, open_for_run, run_network};
pub use crate::stages::spiking::{
    ConvertSnnConfig, ConvertSnnRecord, ConvertedSnn, NeuronRecord, SpikingPoint, convert_snn,
};
pub use crate::stages::topology::{Topology, export_topology, inspect_topology};
pub use crate::store::desk::Desk;
pub use crate::store::folder::FolderStore;
pub use crate::store::point::{Pace, Point, Points, slug};
pub use crate::store::queue::{Bench, Workspace};
pub use crate::store::{KeptPoint, Store};
pub use crate::studies::STUDY_KINDS;
pub use crate::studies::accelerators::{AcceleratorsPlan, ComparisonConfig, simulate_report};
pub use crate::studies::binary_table::{BinaryTableConfig, BinaryTablePlan, QuantizerRowConfig, TableNetworkConfig};
pub use crate::studies::config::{STUDY_SCHEMA, StudyConfig, StudyHeader};
pub use crate::studies::crossbars::{BrainConfig, CrossbarsConfig, CrossbarsPlan, PublishedChip, SweepConfig};
pub use crate::studies::embedded::{StudyOverrides, embedded_studies};
pub use crate::studies::kind::{KindOf, Plan, StudyKind, StudyPlan};
pub use crate::studies::precision::{PolicyConfig, PrecisionConfig, PrecisionPlan};
pub use crate::studies::published::{NO_FIGURE, PublishedConfig};
pub use crate::studies::recasting_table::{RecastingTableConfig, RecastingTablePlan, ShapeBasis, TableRowConfig};
pub use crate::studies::reduction::{ReductionConfig, ReductionPlan, VariantConfig};
pub use crate::studies::runner::{StudyRun, run_study, study, study_in};
pub use crate::studies::tour::{StopConfig, TourConfig, TourPlan};
pub use crate::studies::widths::{WidthsConfig, WidthsPlan};
pub use crate::tabular::Tabular;
pub use crate::train::config::{TrainConfig, Validation};
pub use crate::train::record::{OutputRecord, TrainRecord};
pub use crate::train::trained::{Trained, Training};
pub use crate::train::{TrainRun, train};
pub use skimp_data::Split;
pub use skimp_nir::{NirError, Reading as NirReading};
pub use skimp_quant::{
    FirstLayer, LayerChoices, LayerWidths, OutputForm, QdqConfig, QuantizationConfig, RangeMethod, Scheme, WeightScales,
};
pub use skimp_reduce::distill::Values as DistillValues;
pub use skimp_reduce::{Scope as PruneScope, Target as PruneTarget};
