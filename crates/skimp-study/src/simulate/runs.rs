//! One design at work on the layers of a network.

use skimp_report::records::{ChipsRecord, EffectAccuracy, TuningRecord};
use skimp_sim::{
    Accelerator, GIVEN_MAPPINGS, LayerResult, LayerTrace, LayerWorkload, OtherLayer, OtherOutcome, TimelineSpan,
};

use crate::error::StudyError;
use crate::monitor::Monitor;
use crate::simulate::designs::Design;
use crate::simulate::shapes::ShapeLayers;
use crate::simulate::timeline::Timeline;

/// Whether a layer's timeline is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timed {
    Yes,
    No,
}

/// What one design did with the layers of a network: cycles and events, without a price.
#[derive(Clone, Debug)]
pub struct DesignRun {
    design: Design,
    /// The layers of one image, where it runs them as a network.
    network: Option<Vec<LayerResult>>,
    results: Vec<Option<LayerResult>>,
    /// What it makes of the layers without a matrix of weights, over all images.
    others: Vec<OtherOutcome>,
    /// Dense MACs and result of each layer that is simulated by its shape.
    by_shape: Vec<(u64, LayerResult)>,
    timeline: Timeline,
    pub(crate) accuracy: Option<EffectAccuracy>,
    pub(crate) chips: Option<ChipsRecord>,
    pub(crate) tuning: Option<TuningRecord>,
}

impl DesignRun {
    pub(crate) fn new(design: &Design, n_layers: usize) -> Self {
        Self {
            timeline: Timeline::new(design.label(), design.facts().clock_mhz),
            design: design.clone(),
            network: None,
            results: vec![None; n_layers],
            others: Vec::new(),
            by_shape: Vec::new(),
            accuracy: None,
            chips: None,
            tuning: None,
        }
    }

    /// The design, with the parameters that a search found where it asked for one.
    #[must_use]
    pub fn design(&self) -> &Design {
        &self.design
    }

    /// The sum over all images of each simulated layer that has weights, in order.
    pub fn results(&self) -> impl Iterator<Item = &LayerResult> {
        self.results.iter().flatten()
    }

    /// The same, with the places of all layers.
    pub(crate) fn by_layer(&self) -> &[Option<LayerResult>] {
        &self.results
    }

    /// What it makes of each layer without weights, over all images.
    pub(crate) fn others(&self) -> &[OtherOutcome] {
        &self.others
    }

    /// Dense MACs and result of each layer by shape.
    pub(crate) fn by_shape(&self) -> &[(u64, LayerResult)] {
        &self.by_shape
    }

    /// When its parts were at work on the first image.
    pub(crate) fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Takes the accelerator that a search found.
    pub(crate) fn found(&mut self, accelerator: Box<dyn Accelerator>, record: TuningRecord) {
        self.design.found(accelerator);
        self.tuning = Some(record);
    }

    fn faulty<T>(&self, outcome: Result<T, skimp_sim::SimError>) -> Result<T, StudyError> {
        outcome.map_err(|error| self.design.config().fault(error))
    }

    /// Refuses settings of layers that are not there, before anything takes long, and says where mappings are given for
    /// some of the layers only.
    pub(crate) fn check(&self, layers: &[LayerWorkload], monitor: &dyn Monitor) -> Result<(), StudyError> {
        self.design.check_network(layers)?;
        let given = self.design.facts().config.get(GIVEN_MAPPINGS).and_then(|entries| entries.as_array());
        let given: Vec<&str> = given.map_or(&[][..], Vec::as_slice).iter().filter_map(given_layer).collect();
        let n_searched = layers.iter().filter(|layer| !given.contains(&layer.name.as_str())).count();
        if !given.is_empty() && n_searched > 0 {
            let (label, n_layers) = (self.design.label(), layers.len());
            monitor.note(&format!(
                "{label}: no mapping is given for {n_searched} of {n_layers} layers; they are searched"
            ));
        }
        Ok(())
    }

    /// Looks at all layers before the first one runs.
    pub(crate) fn begin(&mut self, layers: &[LayerWorkload]) -> Result<(), StudyError> {
        self.network = self.faulty(self.design.accelerator()?.simulate_network(layers))?;
        Ok(())
    }

    /// Runs layer `idx` on one image, and draws it if `timed`.
    pub(crate) fn simulate(
        &mut self,
        idx: usize,
        layer: &LayerWorkload,
        trace: Option<&LayerTrace>,
        timed: Timed,
    ) -> Result<(), StudyError> {
        let done = self.look(idx, layer, trace, timed)?;
        self.take(idx, done);
        Ok(())
    }

    /// What layer `idx` does with one image, and its drawing if `timed`.
    pub(crate) fn look(
        &self,
        idx: usize,
        layer: &LayerWorkload,
        trace: Option<&LayerTrace>,
        timed: Timed,
    ) -> Result<(LayerResult, Vec<TimelineSpan>), StudyError> {
        let accelerator = self.design.accelerator()?;
        let result = match &self.network {
            Some(results) => results[idx].clone(),
            None => self.faulty(accelerator.simulate_layer(layer, trace))?,
        };
        let spans = match timed {
            Timed::Yes => accelerator.timeline(layer, trace, &result)?,
            Timed::No => Vec::new(),
        };
        Ok((result, spans))
    }

    /// Adds what layer `idx` did with one image.
    pub(crate) fn take(&mut self, idx: usize, (result, spans): (LayerResult, Vec<TimelineSpan>)) {
        if !spans.is_empty() {
            self.timeline.push(spans);
        }
        match &mut self.results[idx] {
            Some(sum) => sum.merge(&result),
            empty => *empty = Some(result),
        }
    }

    /// Whether every image gives the same.
    pub(crate) fn is_same_for_all_images(&self) -> bool {
        self.design.accelerator().is_ok_and(Accelerator::is_same_for_all_images)
    }

    /// Takes what layer `idx` did on one image for all of `n_images`.
    pub(crate) fn repeat(&mut self, idx: usize, n_images: usize) {
        let one = self.results[idx].take();
        self.results[idx] = one.map(|result| result.times(n_images as u64));
    }

    /// Runs the layers without a matrix of weights on `n_images`, whose values do not matter.
    pub(crate) fn simulate_others(&mut self, layers: &[OtherLayer], n_images: usize) -> Result<(), StudyError> {
        let over_images = |one: LayerResult| {
            let mut sum = one.clone();
            (1..n_images).for_each(|_| sum.merge(&one));
            sum
        };
        self.others = layers
            .iter()
            .map(|layer| {
                let outcome = self.faulty(self.design.accelerator()?.simulate_other(layer))?;
                Ok(match outcome {
                    OtherOutcome::NotModelled => OtherOutcome::NotModelled,
                    OtherOutcome::Beside(result) => OtherOutcome::Beside(over_images(result)),
                    OtherOutcome::InTotals(result) => OtherOutcome::InTotals(over_images(result)),
                })
            })
            .collect::<Result<_, StudyError>>()?;
        Ok(())
    }

    /// Counts the `n_steps` time steps of an image as that one image.
    pub(crate) fn join_steps(&mut self, n_steps: u64) {
        let join = |result: &mut LayerResult| result.images /= n_steps.max(1);
        self.results.iter_mut().flatten().for_each(join);
        for outcome in &mut self.others {
            if let OtherOutcome::Beside(result) | OtherOutcome::InTotals(result) = outcome {
                join(result);
            }
        }
    }

    /// Runs the layers of given shapes.
    pub(crate) fn simulate_shapes(&mut self, layers: &ShapeLayers) -> Result<(), StudyError> {
        self.by_shape = layers.run(&self.design)?;
        Ok(())
    }
}

/// The layer of an entry of [`GIVEN_MAPPINGS`].
fn given_layer(entry: &toml::Value) -> Option<&str> {
    entry.as_str()?.rsplit_once('=').map(|(layer, _)| layer.trim())
}
