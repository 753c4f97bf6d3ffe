//! The seam that every accelerator implements.

use std::fmt;

use toml::Table;

use crate::{
    Facts, LayerEffect, LayerResult, LayerTrace, LayerWorkload, Loss, OtherLayer, OtherOutcome, SimError, TimelineSpan,
    Tuner,
};

/// The setting in which a design takes mappings: entries `LAYER=NAME:NUMBER NAME:NUMBER ..`, names and numbers as in
/// [`LayerResult::mapping`].
pub const GIVEN_MAPPINGS: &str = "mappings";

/// The setting by which a design of samples (chips that differ in what programming left in them) takes the number of one.
pub const CHIP: &str = "chip";

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

    /// A design with `overrides` on top of the preset.
    ///
    /// # Errors
    /// [`SimError`] naming the setting that is unknown, has the wrong type or lies outside its range.
    fn configure(&self, overrides: &Table) -> Result<Configured, SimError>;

    /// [`configure`](Self::configure) for a design that runs as it is.
    ///
    /// # Errors
    /// As [`configure`](Self::configure), and [`SimError::NeedsSearch`].
    fn accelerator(&self, overrides: &Table) -> Result<Box<dyn Accelerator>, SimError> {
        self.configure(overrides)?.ready()
    }
}

/// What a configuration gives.
#[derive(Debug)]
pub enum Configured {
    /// A design that runs.
    Ready(Box<dyn Accelerator>),
    /// A design whose parameters are fitted to a network before it runs.
    NeedsSearch(Box<dyn Searchable>),
}

impl Configured {
    /// What holds of the design, with or without the parameters that a search finds.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        match self {
            Configured::Ready(accelerator) => accelerator.facts(),
            Configured::NeedsSearch(search) => search.facts(),
        }
    }

    /// The design, if it runs as it is.
    ///
    /// # Errors
    /// [`SimError::NeedsSearch`].
    pub fn ready(self) -> Result<Box<dyn Accelerator>, SimError> {
        match self {
            Configured::Ready(accelerator) => Ok(accelerator),
            Configured::NeedsSearch(search) => Err(search.needed()),
        }
    }
}

impl<A: Accelerator + 'static> From<A> for Configured {
    fn from(accelerator: A) -> Self {
        Configured::Ready(Box::new(accelerator))
    }
}

/// A design whose configuration asks for a search of parameters before it runs.
pub trait Searchable: fmt::Debug + Send + Sync {
    /// What holds of it whatever the search finds.
    fn facts(&self) -> &Facts;

    /// What the search is for: `thresholds`.
    fn searches(&self) -> &'static str;

    /// Images whose operands it looks at, if there are as many tuning images.
    fn n_traces(&self) -> usize {
        16
    }

    /// The design with parameters fitted to a network.
    ///
    /// # Errors
    /// [`SimError`] of the tuner, or if a layer cannot be searched.
    fn search(&self, tuner: &dyn Tuner) -> Result<Box<dyn Accelerator>, SimError>;

    /// The error of those who would run it without a search.
    fn needed(&self) -> SimError {
        SimError::NeedsSearch { accelerator: self.facts().name, what: self.searches() }
    }
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

/// A configured accelerator: what it is ([`facts`](Self::facts)), and what it makes of a layer
/// ([`simulate_layer`](Self::simulate_layer)). All else has a default.
pub trait Accelerator: fmt::Debug + Send + Sync {
    /// What holds of it, whatever it runs.
    fn facts(&self) -> &Facts;

    /// Its rows in the comparison table, published first; none unless a model says otherwise.
    ///
    /// # Errors
    /// [`SimError`] if the model cannot compute its own row.
    fn comparison_rows(&self) -> Result<Vec<ComparisonRow>, SimError> {
        Ok(Vec::new())
    }

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

    /// Why a result of [`simulate_layer`](Self::simulate_layer), or a sum of them, lies below the peak rate: the largest
    /// loss first, from the result's own counters.
    fn why(&self, result: &LayerResult) -> Vec<Loss> {
        self.facts().losses(result)
    }

    /// Whether it does the same with every image: [`simulate_layer`](Self::simulate_layer) asks no trace for anything. One
    /// image then stands for many.
    fn is_same_for_all_images(&self) -> bool {
        false
    }

    /// What it does to the values of a network; `None` on exact accelerators.
    fn effect(&self) -> Option<&dyn LayerEffect> {
        None
    }
}
