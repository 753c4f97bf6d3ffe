//! What a simulation comes to, in a few numbers for each design: for whoever prices thousands.

use skimp_report::records::EffectAccuracy;
use skimp_sim::{CostTable, Energy, LayerResult, OtherOutcome, RunTotals};

use crate::error::StudyError;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::runs::DesignRun;
use crate::simulate::simulated::Simulated;

/// Layers that [`DesignFigures::slowest`] names at most.
const N_SLOWEST: usize = 3;

/// What one design does with a network.
#[derive(Clone, Debug, PartialEq)]
pub struct DesignFigures {
    /// Cycles of one image, the mean over the images.
    pub cycles: f64,
    /// Time of one image, layers one after another, in milliseconds.
    pub latency_ms: f64,
    /// Energy of one image, in millijoules.
    pub energy_mj: f64,
    /// Area, in square millimetres; `None` where the design states none.
    pub area_mm2: Option<f64>,
    /// Name of the table that priced it.
    pub costs: String,
    /// Accuracy under its effect, where the design changes values and was judged.
    pub accuracy: Option<EffectAccuracy>,
    /// Layers that take the most cycles, slowest first.
    pub slowest: Vec<SlowLayer>,
}

/// A layer among the slowest.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowLayer {
    /// Its name.
    pub layer: String,
    /// Its part of all cycles, 0 to 1.
    pub share: f64,
    /// What bounds it, as the design says; empty where it says nothing.
    pub why: String,
}

impl Simulated {
    /// The figures of each design, in order; the same as those of [`price`](Self::price), without its records.
    ///
    /// # Errors
    /// As [`price`](Self::price).
    pub fn figures(&self, costs: &CostsConfig) -> Result<Vec<DesignFigures>, StudyError> {
        let tables = self.tables(costs)?;
        self.runs().iter().zip(&tables).map(|(run, table)| figures(run, table.as_ref())).collect()
    }
}

fn figures(run: &DesignRun, table: Option<&CostTable>) -> Result<DesignFigures, StudyError> {
    let accelerator = run.design().accelerator()?;
    let facts = accelerator.facts();
    let table = run.design().table(table)?;
    let others = run.others().iter().filter_map(|outcome| match outcome {
        OtherOutcome::InTotals(result) => Some(result),
        OtherOutcome::NotModelled | OtherOutcome::Beside(_) => None,
    });
    let results: Vec<&LayerResult> = run.results().chain(others).collect();
    let energies: Vec<Energy> = results
        .iter()
        .map(|result| Energy::price(result, table, facts.clock_mhz).map_err(|error| error.of_design(facts.name)))
        .collect::<Result<_, _>>()?;
    let totals = RunTotals::new(results.iter().copied().zip(&energies), facts.clock_mhz);
    let mut by_cycles: Vec<(u64, &LayerResult)> =
        results.iter().map(|result| (result.total_cycles(), *result)).collect();
    // Of equal ones the first layer comes first.
    by_cycles.sort_by_key(|&(cycles, _)| std::cmp::Reverse(cycles));
    let slowest = by_cycles.iter().take(N_SLOWEST).filter(|(cycles, _)| *cycles > 0).map(|&(cycles, result)| {
        let why: Vec<String> = accelerator.why(result).into_iter().map(|loss| loss.text).collect();
        SlowLayer { layer: result.layer.clone(), share: cycles as f64 / totals.cycles as f64, why: why.join("; ") }
    });
    Ok(DesignFigures {
        cycles: totals.cycles as f64 / totals.images.max(1) as f64,
        latency_ms: totals.latency_ms,
        energy_mj: totals.energy_mj,
        area_mm2: Some(facts.area_mm2).filter(|&area| area > 0.0),
        costs: table.name.clone(),
        accuracy: run.accuracy.clone(),
        slowest: slowest.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::config::DataConfig;
    use crate::inputs::network::Network;
    use crate::monitor::Silent;
    use crate::simulate::config::LayersConfig;
    use crate::simulate::designs::Design;
    use skimp_quant::QuantizationConfig;

    /// A trace that is simulated gives what a run that sees image after image gives, for every design: those that do the same
    /// with each image are not asked again.
    #[test]
    fn traces_give_what_streams_give() {
        let network = Network::open("sample-resnet").unwrap();
        let data = DataConfig { set: "sample".into(), images: 3, ..DataConfig::default() };
        let images = network.images(&data).unwrap();
        let config = QuantizationConfig { weight_bits: 8, activation_bits: 8, ..QuantizationConfig::default() };
        let quantized = crate::Quantized::new(&network, &images, &config, &Silent).unwrap();
        let traced = quantized.trace(&images, 3, &LayersConfig::default(), &Silent).unwrap();
        let raw: toml::Table = "zero_gating = false\ncompression = false".parse().unwrap();
        let presets = skimp_digital::ACCELERATORS.iter().map(|model| (*model, toml::Table::new()));
        let eyeriss = skimp_digital::ACCELERATORS.iter().find(|model| model.name() == "eyeriss").unwrap();
        for (model, settings) in presets.chain([(*eyeriss, raw)]) {
            let design = Design::of(model, &settings).unwrap();
            if design.search().is_some() || design.accelerator().unwrap().effect().is_some() {
                continue;
            }
            let whole = traced.simulate(std::slice::from_ref(&design), &Silent).unwrap();
            let config = crate::SimulateConfig {
                data: data.clone(),
                input_size: None,
                quantization: config,
                layers: LayersConfig::default(),
                designs: crate::Designs::embedded(),
                accelerators: vec![design.config().clone()],
                costs: CostsConfig::Paper,
                allowed_loss_points: 1.0,
                chips: None,
                dump: None,
                trace: None,
            };
            let streamed = crate::simulate(&network, &config, &Silent).unwrap().record;
            let whole = whole.price(&CostsConfig::Paper).unwrap().record;
            assert!(whole.accelerators == streamed.accelerators, "{}: traced and streamed differ", model.name());
        }
    }

    /// The short form of every design says what the record says, in both kinds of tables.
    #[test]
    fn figures_are_those_of_the_record() {
        let network = Network::open("sample-resnet").unwrap();
        let images = network.images(&DataConfig { set: "sample".into(), images: 2, ..DataConfig::default() }).unwrap();
        let config = QuantizationConfig { weight_bits: 8, activation_bits: 8, ..QuantizationConfig::default() };
        let quantized = crate::Quantized::new(&network, &images, &config, &Silent).unwrap();
        let traced = quantized.trace(&images, 2, &LayersConfig::default(), &Silent).unwrap();
        let designs = ["compend", "cnvlutin", "eyeriss", "systolic", "isaac"].map(|name| Design::named(name).unwrap());
        let simulated = traced.simulate(&designs, &Silent).unwrap();
        for costs in [CostsConfig::Auto, CostsConfig::Paper] {
            let record = simulated.price(&costs).unwrap().record;
            for (own, theirs) in simulated.figures(&costs).unwrap().iter().zip(&record.accelerators) {
                assert_eq!(own.latency_ms.to_bits(), theirs.total.latency_ms.to_bits(), "{}", theirs.name);
                assert_eq!((own.cycles * 2.0) as u64, theirs.total.cycles);
                assert!((own.energy_mj * 2.0 / theirs.total.energy_mj - 1.0).abs() < 1e-12, "{}", theirs.name);
                assert_eq!((own.area_mm2, &own.costs), (theirs.area_mm2, &theirs.costs));
                let slowest = theirs.layers.iter().map(|layer| layer.cycles.total).max().unwrap();
                let share = slowest as f64 / theirs.total.cycles as f64;
                assert!((own.slowest[0].share - share).abs() < 1e-12, "{}", theirs.name);
            }
        }
    }
}
