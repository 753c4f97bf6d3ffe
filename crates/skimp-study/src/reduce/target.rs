//! What a smaller network takes where that must be measured: its time here, cycles and energy of a simulated design.

use skimp_graph::Graph;
use skimp_quant::QuantizationConfig;
use skimp_reduce::{Measured, Quantity, Target};
use skimp_report::records::AcceleratorTotal;
use skimp_sim::Needs;

use super::prune::PruneConfig;
use super::speed::{Effort, speed_with};
use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::simulate::config::{AcceleratorConfig, LayersConfig};
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{SimulateConfig, simulate};
use crate::stages::topology::Topology;

/// Measures networks beside the one that they were made of.
pub(super) struct Meter<'a> {
    network: &'a Network,
    config: &'a PruneConfig,
    monitor: &'a dyn Monitor,
    /// The design that the target names, and what the network took on it.
    design: Option<(AcceleratorConfig, f64)>,
}

impl<'a> Meter<'a> {
    /// Measures the network as it is, where the target asks for it.
    ///
    /// # Errors
    /// [`StudyError::Sim`] if there is no such design, [`StudyError::ReduceNeedsData`] if it needs images.
    pub(super) fn of(
        network: &'a Network,
        config: &'a PruneConfig,
        monitor: &'a dyn Monitor,
    ) -> Result<Self, StudyError> {
        let mut meter = Self { network, config, monitor, design: None };
        if let Target::Measured(Quantity::Cycles { design } | Quantity::Energy { design }, _) = &config.target {
            let model = design.clone();
            let design = AcceleratorConfig { model, label: None, preset: None, set: toml::Table::new(), origin: None };
            let needs = Designs::embedded().configure(&design)?.facts().needs;
            if needs > Needs::Shape && config.data.is_none() {
                return Err(StudyError::ReduceNeedsData { what: "a design that looks at operand values" });
            }
            let before = meter.simulated(&design, network, monitor)?;
            meter.design = Some((design, before));
        }
        Ok(meter)
    }

    /// What a smaller network takes of what the target names.
    pub(super) fn measure(&self, graph: &Graph) -> Result<Measured, StudyError> {
        match (&self.config.target, &self.design) {
            (Target::Measured(Quantity::Latency, _), _) => {
                let batch = self.config.latency_batch.unwrap_or(1);
                let size = self.config.input_size;
                let found = speed_with(&self.network.graph, graph, (batch, size), Effort::BRIEF, self.monitor)?;
                // The interval is of the time before over the time after.
                let [high, low] = found.interval.map(f64::recip);
                let ratio = found.after_ms / found.before_ms;
                Ok(Measured { ratio, text: format!("{ratio:.3} (95 %: {low:.3} to {high:.3})") })
            }
            (Target::Measured(quantity, _), Some((design, before))) => {
                let name = self.network.name.clone();
                let smaller = Network { name, ..Network::from_graph(graph.clone())? };
                let after = self.simulated(design, &smaller, &Quiet(self.monitor))?;
                let ratio = if *before > 0.0 { after / before } else { 1.0 };
                let unit = match quantity {
                    Quantity::Energy { .. } => " mJ",
                    _ => "",
                };
                Ok(Measured { ratio, text: format!("{after} of {before}{unit}, {ratio:.4}") })
            }
            _ => Ok(Measured { ratio: 1.0, text: "nothing to measure".to_owned() }),
        }
    }

    /// Cycles or millijoules of one image.
    fn simulated(
        &self,
        design: &AcceleratorConfig,
        network: &Network,
        monitor: &dyn Monitor,
    ) -> Result<f64, StudyError> {
        let quantization = QuantizationConfig::default();
        let priced = match &self.config.data {
            Some(data) => {
                let config = SimulateConfig {
                    data: DataConfig { images: 1, accuracy_images: 0, ..data.clone() },
                    input_size: self.config.input_size,
                    quantization,
                    layers: LayersConfig::default(),
                    designs: Designs::embedded(),
                    accelerators: vec![design.clone()],
                    costs: CostsConfig::Auto,
                    allowed_loss_points: 1.0,
                    chips: None,
                    dump: None,
                    trace: None,
                };
                simulate(network, &config, monitor)?
            }
            None => {
                let designs = [Designs::embedded().configure(design)?];
                let topology = Topology::of(network, self.config.input_size)?;
                topology.simulate(&quantization, &designs, monitor)?.price(&CostsConfig::Auto)?
            }
        };
        let total = priced.record.accelerators.into_iter().next().map(|accelerator| accelerator.total);
        let AcceleratorTotal { cycles, energy_mj, .. } = total.unwrap_or_default();
        Ok(match self.config.target {
            Target::Measured(Quantity::Energy { .. }, _) => energy_mj,
            _ => cycles as f64,
        })
    }
}

/// A monitor that has said everything about a network once.
struct Quiet<'a>(&'a dyn Monitor);

impl Monitor for Quiet<'_> {
    fn stage(&self, name: &str, n_steps: u64) {
        self.0.stage(name, n_steps);
    }

    fn advance(&self, n: u64) {
        self.0.advance(n);
    }

    fn note(&self, _text: &str) {}

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
