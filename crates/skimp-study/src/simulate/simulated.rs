//! What designs did with a network, counted once and priced as often as one likes.

use std::sync::Arc;

use skimp_report::SimulationRecord;
use skimp_report::records::{
    AcceleratorRecord, AcceleratorTotal, Breakdown, Coverage, FactsRecord, LayerRecord, LayerStatistics, LeftOut,
    OtherLayerRecord,
};
use skimp_sim::{Accelerator, CostTable, Energy, Found, LayerResult, OtherLayer, OtherOutcome, RunTotals, Work};

use crate::error::StudyError;
use crate::simulate::layers::{NetworkLayers, SimulatedLayer};
use crate::simulate::priced::Priced;
use crate::simulate::pricing::{CostsConfig, energy_record};
use crate::simulate::runs::DesignRun;
use crate::simulate::{findings, other_layers};

/// Operator and dense MACs of a layer.
pub(crate) type LayerWork = (&'static str, u64);

/// Cycles and events of one or more designs on a network. No price is in it:
/// [`price`](Self::price) runs nothing again.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// What a record says beside the designs' own rows, of which it has none.
    base: Arc<Priced>,
    layers: Vec<LayerWork>,
    others: Arc<Vec<OtherLayer>>,
    runs: Vec<DesignRun>,
}

impl Simulated {
    /// `runs` of a network's layers, which `base` describes.
    pub(crate) fn of_network(base: Arc<Priced>, layers: &NetworkLayers, runs: Vec<DesignRun>) -> Self {
        let work = |layer: &SimulatedLayer| (layer.operator(), layer.macs());
        Self { layers: layers.simulated.iter().map(work).collect(), others: Arc::clone(&layers.others), base, runs }
    }

    /// `runs` of layers that are no network's.
    pub(crate) fn of_layers(record: SimulationRecord, layers: Vec<LayerWork>, runs: Vec<DesignRun>) -> Self {
        let base = Priced { record, layers: Vec::new(), in_integers: None, float_nodes: Vec::new() };
        Self { base: Arc::new(base), layers, others: Arc::default(), runs }
    }

    /// `runs` of layers without weights alone.
    #[cfg(test)]
    pub(crate) fn of_others(others: Vec<OtherLayer>, runs: Vec<DesignRun>) -> Self {
        Self { others: Arc::new(others), ..Self::of_layers(SimulationRecord::default(), Vec::new(), runs) }
    }

    /// What each design did, in the order in which they were given.
    #[must_use]
    pub fn runs(&self) -> &[DesignRun] {
        &self.runs
    }

    /// What the images showed of each layer; nothing where there were none.
    #[must_use]
    pub fn statistics(&self) -> &[LayerStatistics] {
        &self.base.layers
    }

    /// The record of all designs, energies by the tables that `costs` means.
    ///
    /// # Errors
    /// [`StudyError::Sim`] if there is no such table, or if it has no price for something that a design counted.
    pub fn price(&self, costs: &CostsConfig) -> Result<Priced, StudyError> {
        self.priced(&self.tables(costs)?)
    }

    /// The table that prices each design; `None` where it is the design's own.
    pub(crate) fn tables(&self, costs: &CostsConfig) -> Result<Vec<Option<CostTable>>, StudyError> {
        costs.tables_of(&self.runs.iter().map(DesignRun::design).collect::<Vec<_>>())
    }

    /// As [`price`](Self::price), every design by this table.
    ///
    /// # Errors
    /// As [`price`](Self::price).
    pub fn price_by(&self, table: &CostTable) -> Result<Priced, StudyError> {
        self.priced(&vec![Some(table.clone()); self.runs.len()])
    }

    /// As [`price`](Self::price), every design by its table of `tables` or else by its own.
    pub(crate) fn priced(&self, tables: &[Option<CostTable>]) -> Result<Priced, StudyError> {
        let accelerators = self.runs.iter().zip(tables).map(|(run, table)| self.record(run, table.as_ref()));
        let record = SimulationRecord {
            simulated: self.base.record.simulated.as_ref().map(|coverage| self.with_products(coverage)),
            accelerators: accelerators.collect::<Result<_, _>>()?,
            other_layers: self.other_records(),
            ..self.base.record.clone()
        };
        Ok(Priced { record, ..Priced::clone(&self.base) })
    }

    /// The layers without a matrix of weights, with the designs that do not model them.
    fn other_records(&self) -> Vec<OtherLayerRecord> {
        let record = |(idx, layer): (usize, &OtherLayer)| {
            let lacking = self.runs.iter().filter(|run| run.others()[idx] == OtherOutcome::NotModelled);
            other_layers::record(layer, lacking.map(|run| run.design().label().to_owned()).collect())
        };
        self.others.iter().enumerate().map(record).collect()
    }

    /// Whether `run` has the layer of that name without weights in its totals.
    fn in_totals(&self, run: &DesignRun, name: &str) -> bool {
        let mut others = self.others.iter().zip(run.others());
        others.any(|(layer, outcome)| layer.name == name && matches!(outcome, OtherOutcome::InTotals(_)))
    }

    /// `coverage` with the products of two activations that designs have in their totals: covered where all have them, else
    /// left out with the names of those that do.
    fn with_products(&self, coverage: &Coverage) -> Coverage {
        let mut macs = coverage.macs;
        let mut left_out = Vec::with_capacity(coverage.left_out.len());
        for layer in &coverage.left_out {
            let having = self.runs.iter().filter(|run| self.in_totals(run, &layer.name));
            let labels: Vec<&str> = having.map(|run| run.design().label()).collect();
            if !labels.is_empty() && labels.len() == self.runs.len() {
                macs += layer.macs;
                continue;
            }
            let mut layer = layer.clone();
            if !labels.is_empty() {
                layer.reason = format!("{}; in the totals of {} alone", layer.reason, labels.join(", "));
            }
            left_out.push(layer);
        }
        Coverage::new(macs, coverage.other_macs, left_out)
    }

    /// The share of the network's work that the totals of `run` cover, in percent.
    fn simulated_percent(&self, run: &DesignRun) -> f64 {
        let Some(coverage) = &self.base.record.simulated else { return 100.0 };
        let (added, left_out) = coverage.left_out.iter().cloned().partition(|layer| self.in_totals(run, &layer.name));
        let added: Vec<LeftOut> = added;
        let macs = added.iter().map(|layer| layer.macs).fold(coverage.macs, u64::saturating_add);
        Coverage::new(macs, coverage.other_macs, left_out).percent
    }

    /// What `run` did, priced by `table` or else by the design's own.
    fn record(&self, run: &DesignRun, table: Option<&CostTable>) -> Result<AcceleratorRecord, StudyError> {
        let accelerator = run.design().accelerator()?;
        let facts = accelerator.facts();
        let table = run.design().table(table)?;
        let price = |result: &LayerResult| {
            Energy::price(result, table, facts.clock_mhz).map_err(|error| error.of_design(facts.name))
        };
        let mut records = Vec::with_capacity(self.layers.len());
        let mut priced = Vec::with_capacity(self.layers.len());
        for (&layer, result) in self.layers.iter().zip(run.by_layer()) {
            let Some(result) = result else { continue };
            let energy = price(result)?;
            records.push(layer_record(layer, accelerator, result, &energy));
            priced.push((result, energy));
        }
        let mut beside = Vec::new();
        for (layer, outcome) in self.others.iter().zip(run.others()) {
            let (result, in_totals) = match outcome {
                OtherOutcome::NotModelled => continue,
                OtherOutcome::Beside(result) => (result, false),
                OtherOutcome::InTotals(result) => (result, true),
            };
            let energy = price(result)?;
            let record = layer_record((&layer.operator, layer.work_of(Work::Macs)), accelerator, result, &energy);
            if in_totals {
                records.push(record);
                priced.push((result, energy));
            } else {
                beside.push(record);
            }
        }
        let by_shape = run
            .by_shape()
            .iter()
            .map(|(macs, result)| Ok(layer_record(("Gemm", *macs), accelerator, result, &price(result)?)));
        let totals = RunTotals::new(priced.iter().map(|(result, energy)| (*result, energy)), facts.clock_mhz);
        Ok(AcceleratorRecord {
            name: facts.name.to_owned(),
            label: run.design().label().to_owned(),
            config: json_config(&facts.config),
            costs: table.name.clone(),
            energy: Some(energy_record(
                priced.iter().map(|(result, energy)| (*result, energy)),
                table,
                facts.not_counted,
            )),
            facts: Some(FactsRecord {
                exact: accelerator.effect().is_none(),
                needs: facts.needs.words().to_owned(),
                exploits: facts.exploits.iter().map(|&what| what.to_owned()).collect(),
                remarks: facts.remarks.clone(),
            }),
            approximate: accelerator.effect().is_some(),
            clock_mhz: facts.clock_mhz,
            area_mm2: Some(facts.area_mm2).filter(|&area_mm2| area_mm2 > 0.0),
            peak_gmacs: Some(facts.peak_gmacs).filter(|&peak| peak > 0.0),
            dram_gb_per_s: facts.dram_gb_per_s,
            findings: findings::of_network(priced.iter().map(|(result, _)| *result)),
            layers: records,
            shape_layers: by_shape.collect::<Result<_, StudyError>>()?,
            other_layers: beside,
            accuracy: run.accuracy.clone(),
            chips: run.chips.clone(),
            tuning: run.tuning.clone(),
            total: AcceleratorTotal {
                cycles: totals.cycles,
                latency_ms: totals.latency_ms,
                // Over all images; the totals hold the mean of one.
                energy_mj: priced.iter().map(|(_, energy)| energy.total_nj()).sum::<f64>() * 1e-6,
                tops_per_w: totals.tops_per_w,
                gmacs_per_s: totals.tops * 500.0,
                simulated_percent: self.simulated_percent(run),
            },
        })
    }
}

fn layer_record(
    (operator, macs): (&str, u64),
    accelerator: &dyn Accelerator,
    result: &LayerResult,
    energy: &Energy,
) -> LayerRecord {
    let mut why: Vec<String> = accelerator.why(result).into_iter().map(|loss| loss.text).collect();
    for finding in &result.findings {
        if let Found::Off(reason) = &finding.found {
            why.push(format!("{} is off: {reason}", finding.quantity.label));
        }
    }
    let phases = result.cycles.iter().map(|(statistic, count)| (statistic.name.to_owned(), count));
    LayerRecord {
        name: result.layer.clone(),
        operator: operator.to_owned(),
        macs,
        images: result.images,
        findings: findings::of_layer(result),
        mapping: result.mapping.iter().map(|&(name, number)| (name.to_owned(), number)).collect(),
        cycles: Breakdown { total: result.total_cycles(), parts: phases.collect() },
        events: result.events.iter().map(|(statistic, count)| (statistic.name.to_owned(), count)).collect(),
        energy_nj: Breakdown { total: energy.total_nj(), parts: energy.terms().into_iter().collect() },
        why,
        notes: result.notes.clone(),
    }
}

/// Settings as a record has them. Every TOML value has a form in JSON.
fn json_config(config: &toml::Table) -> serde_json::Map<String, serde_json::Value> {
    config.iter().map(|(key, value)| (key.clone(), serde_json::to_value(value).unwrap_or_default())).collect()
}
