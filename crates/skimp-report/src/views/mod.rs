//! Records as tables for people and programs.

mod chips;
mod findings;
pub(crate) mod optimize;
mod other_layers;
mod precision;
mod simulation;
mod study;
mod training;

pub(crate) use self::precision::mean_curve;
pub(crate) use self::simulation::{coverage_text, energy_text, fitted, words, words_for_count};
pub(crate) use self::study::{accuracy_cells, provenance_words};

pub use self::chips::{attribution_table, chips_table};
pub use self::findings::{distributions_table, facts_table, findings_table, layer_findings_table};
pub use self::optimize::{optimize_sentences, optimize_tables, optimize_text};
pub use self::other_layers::{other_layers_note, other_layers_table};
pub use self::precision::{casts_table, curves_table, precision_table};
pub use self::simulation::{
    cycles_table, energy_note, energy_table, events_table, layer_cycles, layer_energy, layer_mapping, layer_why,
    left_out_table, mapping_text, simulation_csv, simulation_text, totals_table,
};
pub use self::study::{
    comparison_table, figures_table, layers_table, published_table, study_csv, study_text, summary_sentence,
};
pub use self::training::training_table;
