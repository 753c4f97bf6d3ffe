//! The seam that every accelerator implements.

use std::fmt;

use toml::Table;

use crate::{
    CostTable, Energy, LayerEffect, LayerResult, LayerTrace, LayerWorkload, Loss, LossEvent, OtherLayer, OtherOutcome,
    Scope, Scopes, SimError, TimelineSpan, Tuner, losses,
};

/// The setting in which a design takes mappings: entries `LAYER=NAME:NUMBER NAME:NUMBER ..`, names and numbers as in
/// [`LayerResult::mapping`].
pub const GIVEN_MAPPINGS: &str = "mappings";

/// An entry of a registry: what an accelerator is called, where it comes from, and how one is made.
pub trait AcceleratorModel: fmt::Debug + Send + Sync {
    /// Name, kebab-case; also the prefix of its settings on the command line.
    fn name(&self) -> &'static str;

    /// One line.
    fn summary(&self) -> &'static str;

    /// Authors, title, venue, year.
    fn source(&self) -> &'static str;

    /// The default preset, TOML.
    fn preset(&self) -> &'static str;

    /// An accelerator with `overrides` on top of the preset.
    ///
    /// # Errors
    /// [`SimError`] naming the setting that is unknown, has the wrong type or lies outside its range.
    fn configure(&self, overrides: &Table) -> Result<Box<dyn Accelerator>, SimError>;
}

/// Whether a row of a comparison table was read or computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provenance {
    /// Printed in the source.
    Published,
    /// Computed by the model here.
    Modeled,
}

/// One row of a comparison table.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparisonRow {
    /// Design.
    pub design: String,
    /// Read or computed.
    pub provenance: Provenance,
    /// Operand width.
    pub precision_bits: u32,
    /// Process node.
    pub technology_nm: f64,
    /// Clock.
    pub clock_mhz: f64,
    /// Peak rate without any skipping, in 10^9 MACs per second.
    pub throughput_gmacs: f64,
    /// Core area.
    pub area_mm2: f64,
    /// Core power.
    pub power_mw: f64,
    /// Source of a published row, meaning of the figures of a modeled one.
    pub note: String,
}

impl ComparisonRow {
    /// Area efficiency.
    #[must_use]
    pub fn gmacs_per_mm2(&self) -> f64 {
        self.throughput_gmacs / self.area_mm2
    }

    /// Power efficiency.
    #[must_use]
    pub fn gmacs_per_w(&self) -> f64 {
        self.throughput_gmacs / (self.power_mw * 1e-3)
    }
}

/// A configured accelerator.
pub trait Accelerator: fmt::Debug + Send + Sync {
    /// Name of its model.
    fn name(&self) -> &'static str;

    /// The resolved configuration; with the model's name it reproduces the accelerator.
    fn config(&self) -> &Table;

    /// Clock.
    fn clock_mhz(&self) -> f64;

    /// Area of the modeled components; 0 where neither source nor cost table gives one.
    fn area_mm2(&self) -> f64;

    /// Dense peak rate in 10^9 MACs per second at the configured precision.
    fn peak_gmacs(&self) -> f64;

    /// Off-chip memory bandwidth that the model honors, in 10^9 bytes per second; `None` where memory never limits it.
    fn dram_gb_per_s(&self) -> Option<f64> {
        None
    }

    /// The cost table that prices its results by default.
    fn costs(&self) -> &CostTable;

    /// Scopes in which the design spends energy that its model counts in no event. Networks and static power, where a
    /// model does not say otherwise: a table of its own may price them all the same.
    fn not_counted(&self) -> Scopes {
        Scopes::of(&[Scope::Network, Scope::Static])
    }

    /// What the energies cover, in one sentence.
    fn energy_scope(&self) -> &'static str;

    /// Its rows in the comparison table, published first.
    ///
    /// # Errors
    /// [`SimError`] if the model cannot compute its own row.
    fn comparison_rows(&self) -> Result<Vec<ComparisonRow>, SimError>;

    /// Looks at the layers of a network before any of them runs: refuses what settings say of layers that are not there.
    ///
    /// # Errors
    /// [`SimError::UnknownLayer`], [`SimError::NotTaken`].
    fn check_network(&self, _layers: &[LayerWorkload]) -> Result<(), SimError> {
        Ok(())
    }

    /// Runs one layer for one image. Models that need operand values ask `trace` for them; the others ignore it.
    ///
    /// # Errors
    /// [`SimError::TraceRequired`] or [`SimError::WeightsRequired`] if values are missing,
    /// [`SimError::Unsupported`] if the layer cannot be mapped, [`SimError::Trace`] if its trace fails.
    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError>;

    /// Runs the layers of a network in the order of the network, for one image, where what one leaves behind matters to
    /// the next. `None`, unless a model says otherwise: each layer stands alone, see
    /// [`simulate_layer`](Self::simulate_layer).
    ///
    /// # Errors
    /// As [`simulate_layer`](Self::simulate_layer).
    fn simulate_network(&self, _layers: &[LayerWorkload]) -> Result<Option<Vec<LayerResult>>, SimError> {
        Ok(None)
    }

    /// What it makes of a layer without a matrix of weights (pooling, element-wise operators, moves of data, products of two
    /// activations), for one image. Unless a model says otherwise, nothing: reports then list the layer's traffic and say
    /// that the design does not model it.
    ///
    /// # Errors
    /// As [`simulate_layer`](Self::simulate_layer).
    fn simulate_other(&self, _layer: &OtherLayer) -> Result<OtherOutcome, SimError> {
        Ok(OtherOutcome::NotModelled)
    }

    /// When each part is at work on one layer of one image, for which `result` was found. Unless a model knows more, the
    /// phases of `result` laid end to end.
    ///
    /// # Errors
    /// As [`simulate_layer`](Self::simulate_layer).
    fn timeline(
        &self,
        _layer: &LayerWorkload,
        _trace: Option<&LayerTrace>,
        result: &LayerResult,
    ) -> Result<Vec<TimelineSpan>, SimError> {
        Ok(TimelineSpan::phases(result))
    }

    /// The events that count slots without useful work, for [`why`](Self::why).
    fn loss_events(&self) -> Vec<LossEvent> {
        vec![LossEvent::IDLE]
    }

    /// Why a result of [`simulate_layer`](Self::simulate_layer), or a sum of them, lies below the peak rate: the largest
    /// loss first, from the result's own counters.
    fn why(&self, result: &LayerResult) -> Vec<Loss> {
        losses(result, &self.loss_events(), self.peak_gmacs() * 1e3 / self.clock_mhz())
    }

    /// What it does to the values of a network; `None` on exact accelerators.
    fn effect(&self) -> Option<&dyn LayerEffect> {
        None
    }

    /// Whether its configuration asks for [`tuned`](Self::tuned) before it runs.
    fn needs_tuning(&self) -> bool {
        false
    }

    /// The accelerator with parameters fitted to a network; `None` where there is nothing to fit.
    ///
    /// # Errors
    /// [`SimError`] of the tuner, or if a layer cannot be searched.
    fn tuned(&self, _tuner: &dyn Tuner) -> Result<Option<Box<dyn Accelerator>>, SimError> {
        Ok(None)
    }

    /// Prices a result of [`simulate_layer`](Self::simulate_layer), or a sum of them, with the default cost table.
    ///
    /// # Errors
    /// [`SimError::MissingCost`] if the table lacks a key.
    fn price(&self, result: &LayerResult) -> Result<Energy, SimError> {
        Energy::price(result, self.costs(), self.clock_mhz())
    }
}
