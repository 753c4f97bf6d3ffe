//! Accelerators on the real operand values of a network: all stages at once, image by image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skimp_quant::QuantizationConfig;
use skimp_report::SimulationRecord;
use skimp_report::records::Coverage;
use skimp_sim::{LayerWorkload, OtherLayer};

use crate::error::StudyError;
use crate::inputs::answers::chance_warning;
use crate::inputs::config::{DataConfig, JudgeBy};
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::{Monitor, step};
use crate::simulate::chips::{self, ChipsConfig};
use crate::simulate::config::{AcceleratorConfig, LayersConfig};
use crate::simulate::designs::{Design, Designs};
use crate::simulate::dump::{self, Dump};
use crate::simulate::effects::Judge;
use crate::simulate::judging::judge;
use crate::simulate::layers::{NetworkLayers, SimulatedLayer};
use crate::simulate::priced::Priced;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::runs::{DesignRun, Timed};
use crate::simulate::shapes::ShapeLayers;
use crate::simulate::simulated::Simulated;
use crate::simulate::stream::{Seen, stream};
use crate::simulate::timeline;
use crate::stages::quantized::Quantized;
use crate::stages::topology::{Topology, operator};

/// What to simulate.
#[derive(Clone, Debug)]
pub struct SimulateConfig {
    /// Images; `images` of them drive the models, `accuracy_images` of them judge approximate ones.
    pub data: DataConfig,
    /// Input height and width, where the network leaves them open.
    pub input_size: Option<[usize; 2]>,
    /// Widths and calibration.
    pub quantization: QuantizationConfig,
    /// Which layers.
    pub layers: LayersConfig,
    /// The models that their names stand for.
    pub designs: Designs,
    /// Accelerators, in order.
    pub accelerators: Vec<AcceleratorConfig>,
    /// Which cost table prices the energies.
    pub costs: CostsConfig,
    /// Points of top-1 accuracy that an approximate accelerator may lose before what it saves is void.
    pub allowed_loss_points: f64,
    /// How many chips of designs that have samples are measured on `accuracy_images`; `None` for the one of their settings.
    pub chips: Option<ChipsConfig>,
    /// Where to write what the models saw of the first image.
    pub dump: Option<PathBuf>,
    /// Where to write the timeline of the first image as Chrome trace JSON.
    pub trace: Option<PathBuf>,
}

/// What each design does to the layers of a network before the first of them runs; `quantization` holds the widths of those
/// by shape.
pub(crate) fn check(
    runs: &[DesignRun],
    layers: &[LayerWorkload],
    config: &LayersConfig,
    quantization: &QuantizationConfig,
    monitor: &dyn Monitor,
) -> Result<(), StudyError> {
    if config.by_shape.is_empty() {
        return runs.iter().try_for_each(|run| run.check(layers, monitor));
    }
    let by_shape = config.by_shape.iter().map(|layer| layer.workload(quantization));
    let named = layers.iter().cloned().map(Ok).chain(by_shape).collect::<Result<Vec<_>, _>>()?;
    runs.iter().try_for_each(|run| run.check(&named, monitor))
}

/// What designs do before they see the layers one by one.
pub(crate) fn begin(
    runs: &mut [DesignRun],
    layers: &[LayerWorkload],
    others: &[OtherLayer],
    n_images: usize,
) -> Result<(), StudyError> {
    runs.iter_mut().try_for_each(|run| run.begin(layers))?;
    runs.iter_mut().try_for_each(|run| run.simulate_others(others, n_images))
}

/// What to know before believing figures of this network on these images.
pub(crate) fn answers_warning(quantized: &Quantized, images: &Images) -> Option<String> {
    let labels_count = !quantized.network.is_untrained && images.config().judge_by == JudgeBy::Labels;
    chance_warning(quantized.answers, images.preprocess_name()).filter(|_| labels_count)
}

/// What a record says beside the designs' rows, once the images have been seen.
pub(crate) fn base_of(
    quantized: &Quantized,
    images: &Images,
    n_images: usize,
    layers: &NetworkLayers,
    warning: Option<String>,
) -> Result<Priced, StudyError> {
    let float_nodes = &quantized.report().float_nodes;
    let mut warnings: Vec<String> = warning.into_iter().collect();
    warnings.extend(over_time(quantized.executor.n_steps()));
    Ok(Priced {
        record: SimulationRecord {
            model: quantized.network.record(),
            data: images.record()?,
            images: n_images as u64,
            weight_bits: quantized.config.weight_bits,
            activation_bits: quantized.config.activation_bits,
            allowed_loss_points: SimulationRecord::default_allowed_loss_points(),
            simulated: Some(layers.covered.clone()),
            warnings,
            ..SimulationRecord::default()
        },
        layers: layers.simulated.iter().map(SimulatedLayer::statistics).collect(),
        in_integers: Some(layers.in_integers.clone()),
        float_nodes: float_nodes.iter().map(|node| format!("{} ({})", node.name, node.op)).collect(),
    })
}

/// What to know of figures of a network with time.
fn over_time(n_steps: usize) -> Option<String> {
    (n_steps > 1).then(|| {
        format!(
            "the network runs {n_steps} time steps, which designs run one after another, the first layer each time; \
             potentials of neurons are kept outside of the designs and cost nothing"
        )
    })
}

fn write_trace(path: Option<&Path>, runs: &[DesignRun]) -> Result<(), StudyError> {
    let Some(path) = path else { return Ok(()) };
    let timelines: Vec<_> = runs.iter().map(|run| run.timeline().clone()).collect();
    timeline::write(path, &timelines)
}

/// Simulates accelerators that need shapes only on the layers of a topology, once. Writes the timeline to `trace`.
///
/// # Errors
/// [`StudyError::Sim`] naming the layer and the operand values that an accelerator needs.
pub fn simulate_topology(
    topology: &Topology,
    quantization: &QuantizationConfig,
    designs: &Designs,
    accelerators: &[AcceleratorConfig],
    costs: &CostsConfig,
    trace: Option<&Path>,
    monitor: &dyn Monitor,
) -> Result<Priced, StudyError> {
    costs.check()?;
    let designs = accelerators.iter().map(|config| designs.configure(config)).collect::<Result<Vec<_>, _>>()?;
    topology.simulated(quantization, &designs, trace, monitor)?.price(costs)
}

impl Topology {
    /// What designs that need shapes only do with the layers, once.
    ///
    /// # Errors
    /// [`StudyError::Sim`] naming the layer and the operand values that a design needs.
    pub fn simulate(
        &self,
        quantization: &QuantizationConfig,
        designs: &[Design],
        monitor: &dyn Monitor,
    ) -> Result<Simulated, StudyError> {
        self.simulated(quantization, designs, None, monitor)
    }

    fn simulated(
        &self,
        quantization: &QuantizationConfig,
        designs: &[Design],
        trace: Option<&Path>,
        monitor: &dyn Monitor,
    ) -> Result<Simulated, StudyError> {
        let layers = self.workloads(quantization);
        let mut runs: Vec<DesignRun> = designs.iter().map(|design| DesignRun::new(design, layers.len())).collect();
        runs.iter().try_for_each(|run| run.check(&layers, monitor))?;
        let timed = if trace.is_some() { Timed::Yes } else { Timed::No };
        monitor.stage("simulating layers", layers.len() as u64);
        runs.iter_mut().try_for_each(|run| run.begin(&layers))?;
        for (idx, layer) in layers.iter().enumerate() {
            for run in &mut runs {
                run.simulate(idx, layer, None, timed)?;
            }
            step(monitor, 1)?;
        }
        write_trace(trace, &runs)?;
        let work: Vec<_> = layers.iter().map(|layer| (operator(layer), layer.shape.dense_macs())).collect();
        let macs = work.iter().map(|&(_, macs)| macs).fold(0, u64::saturating_add);
        let record = SimulationRecord {
            model: self.record(),
            images: 1,
            weight_bits: quantization.weight_bits,
            activation_bits: quantization.activation_bits,
            simulated: Some(Coverage::new(macs, 0, Vec::new())),
            ..SimulationRecord::default()
        };
        Ok(Simulated::of_layers(record, work, runs))
    }
}

/// Simulates accelerators on a network and real images: calibrates, quantizes, runs and prices in one go, and keeps nothing
/// of an image once all accelerators have seen it. [`Traced`](crate::Traced) is for those who simulate again.
///
/// # Errors
/// [`StudyError`] naming the file, node, layer or setting; [`skimp_sim::SimError::NotExact`] if what a design
/// works out contradicts the network.
pub fn simulate(network: &Network, config: &SimulateConfig, monitor: &dyn Monitor) -> Result<Priced, StudyError> {
    let network = &*network.for_any_batch();
    let images = Images::open(&config.data, &network.graph, config.input_size)?;
    let (simulated, _) = simulate_on(network, &images, config, monitor)?;
    simulated.price(&config.costs)
}

/// [`simulate`] on images that are open already, by the same `config.data`, before prices; also returns the integer network
/// for a measurement of accuracy.
pub(crate) fn simulate_on(
    network: &Network,
    images: &Images,
    config: &SimulateConfig,
    monitor: &dyn Monitor,
) -> Result<(Simulated, Quantized), StudyError> {
    let n_images = images.limited(config.data.images, "images to simulate")?;
    config.dump.as_deref().map_or(Ok(()), dump::check)?;
    // A wrong name or setting must not wait for the calibration.
    let configure = |accelerator: &AcceleratorConfig| config.designs.configure(accelerator);
    let designs = config.accelerators.iter().map(configure).collect::<Result<Vec<_>, _>>()?;
    config.costs.check()?;
    images.note_preprocess(&config.data, &network.graph, monitor);
    images.note_batch(n_images, monitor);
    images.answers().note(config.data.output_name.as_deref(), monitor);
    network.note_untrained(monitor);
    let quantized = Quantized::new(network, images, &config.quantization, monitor)?;
    let warning = answers_warning(&quantized, images);
    warning.iter().for_each(|warning| monitor.note(warning));
    let mut layers = NetworkLayers::of(&quantized, images, &config.layers)?;
    let workloads: Vec<LayerWorkload> = layers.simulated.iter().map(|layer| layer.operands.workload.clone()).collect();
    let mut runs: Vec<DesignRun> = designs.iter().map(|design| DesignRun::new(design, workloads.len())).collect();
    check(&runs, &workloads, &config.layers, &quantized.config, monitor)?;
    judge(&quantized, images, &layers.simulated, &mut runs, monitor)?;
    if let Some(chips) = config.chips {
        let judge = Judge::of(&quantized, images, &layers.simulated);
        for run in &mut runs {
            run.chips = chips::sample((&quantized, &judge), &config.designs, run.design(), chips, monitor)?;
        }
    }

    let dump = config.dump.as_deref().map(|folder| Dump::open(folder, &layers.simulated)).transpose()?;
    let n_steps = quantized.executor.n_steps();
    monitor.stage("simulating layers", (n_images * n_steps * workloads.len()) as u64);
    begin(&mut runs, &workloads, &layers.others, n_images * n_steps)?;
    let look = |seen: &Seen<'_>, runs: &[DesignRun]| {
        let is_shown = seen.image == 0 && seen.step == 0;
        let timed = if is_shown && config.trace.is_some() { Timed::Yes } else { Timed::No };
        let workload = &seen.layer.operands.workload;
        let all = runs.iter().map(|run| run.look(seen.idx, workload, Some(seen.trace), timed));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        // With what the designs worked out of the values.
        if let Some(dump) = dump.as_ref().filter(|_| is_shown) {
            dump.layer(seen.idx, seen.layer, seen.operands, seen.trace)?;
        }
        Ok(all)
    };
    let begun = runs.clone();
    let work = |seen: &Seen<'_>| look(seen, &begun);
    stream((&quantized, images, n_images), &mut layers.simulated, monitor, &work, &mut |idx, done| {
        runs.iter_mut().zip(done).for_each(|(run, done)| run.take(idx, done));
        Ok(())
    })?;
    runs.iter_mut().for_each(|run| run.join_steps(n_steps as u64));
    write_trace(config.trace.as_deref(), &runs)?;
    let by_shape = ShapeLayers::new(&config.layers.by_shape, &quantized.config, config.data.seed.unwrap_or(0))?;
    runs.iter_mut().try_for_each(|run| run.simulate_shapes(&by_shape))?;
    let mut base = base_of(&quantized, images, n_images, &layers, warning)?;
    base.record.allowed_loss_points = config.allowed_loss_points;
    Ok((Simulated::of_network(Arc::new(base), &layers, runs), quantized))
}

#[cfg(test)]
mod tests {
    use skimp_report::records::AcceleratorRecord;
    use skimp_sim::{
        Accelerator, AcceleratorModel, Configured, Facts, LayerResult, LayerTrace, Operand, OtherKind, OtherOutcome,
        SimError, Statistic, Work,
    };
    use skimp_testkit::VGG16_CONVOLUTIONS;

    use super::*;
    use crate::monitor::Silent;

    /// What `skimp simulate` does with a topology of these lines.
    fn run(lines: &str, accelerator: &str, settings: &str) -> AcceleratorRecord {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("net.csv");
        std::fs::write(&path, format!("Layer,h,w,r,s,c,k,stride,\n{lines}")).unwrap();
        let topology = Topology::open(&path).unwrap();
        let set = settings.parse().unwrap();
        let config = AcceleratorConfig { model: accelerator.to_owned(), label: None, preset: None, set, origin: None };
        // 16 bits, as the topology's layers have.
        let quantization = QuantizationConfig { weight_bits: 16, activation_bits: 16, ..QuantizationConfig::default() };
        let priced = simulate_topology(
            &topology,
            &quantization,
            &Designs::embedded(),
            &[config],
            &CostsConfig::Auto,
            None,
            &Silent,
        )
        .unwrap();
        priced.record.accelerators.into_iter().next().unwrap()
    }

    fn events(record: &AcceleratorRecord, name: &str) -> u64 {
        record.layers.iter().map(|layer| layer.events[name]).sum()
    }

    #[test]
    fn tetris_runs_networks_as_networks() {
        let line = |(idx, (extent, c, k)): (usize, (usize, usize, usize))| {
            format!("conv{idx},{0},{0},3,3,{c},{k},1,pads=1:1:1:1\n", extent + 2)
        };
        let lines: String = VGG16_CONVOLUTIONS.into_iter().enumerate().map(line).collect();
        let settings = "dram_megabytes_per_s = 0.0\naccumulation = \"engine\"\nwhole_array = true";
        let found = run(&lines, "tetris", settings);
        // The same layers handed to the engine itself.
        let engine = skimp_digital::tetris::TETRIS.engine(&settings.parse().unwrap()).unwrap();
        let layers: Vec<_> = VGG16_CONVOLUTIONS
            .iter()
            .map(|&(extent, c, k)| LayerWorkload::conv("c", c, extent, extent, k, 3).unwrap())
            .collect();
        let direct = engine.simulate_network(&layers).unwrap().unwrap();
        for (layer, direct) in found.layers.iter().zip(&direct) {
            assert_eq!(layer.cycles.total, direct.total_cycles(), "{}", layer.name);
            for (statistic, count) in direct.events.iter() {
                assert_eq!(layer.events[statistic.name], count, "{} {}", layer.name, statistic.name);
            }
        }
        // A layer alone finds its inputs where it wants them: that is not what a network does.
        let alone: u64 = layers
            .iter()
            .map(|layer| engine.simulate_layer(layer, None).unwrap().events.get("noc_hops").unwrap())
            .sum();
        assert!(alone < events(&found, "noc_hops"), "{alone}");
        // stanford-mast/nn_dataflow 2.1, batch 16, images not split: cycles, mJ, words of DRAM, words times hops.
        let open_model = [91_348_992.0, 1210.79, 1_042_438_144.0, 178_963_840.0].map(|batch: f64| batch / 16.0);
        let dram = ["dram_filter_words", "dram_ifmap_words", "dram_ofmap_words"].map(|name| events(&found, name));
        let shares = [
            found.total.cycles as f64 / open_model[0],
            found.total.energy_mj / open_model[1],
            dram.iter().sum::<u64>() as f64 / open_model[2],
            events(&found, "noc_hops") as f64 / open_model[3],
        ];
        assert!((shares[0] - 1.0).abs() < 1e-6, "{shares:?}");
        // Recorded: ours tries every loop blocking and splits images, too, and so finds schedules that move less.
        for (share, expected) in shares[1..].iter().zip([0.966, 0.671, 0.425]) {
            assert!((share - expected).abs() < 2e-3, "{shares:?}");
        }
    }

    #[test]
    fn padding_of_a_topology_is_stored_unless_the_line_tells() {
        // conv5_1 of VGG-16 on ComPEND without END: 2,428,216 cycles in the recorded run, where padding is not stored. Ours
        // differ by the mean time of a DRAM line.
        let share = |line: &str| run(line, "compend", "end = false").total.cycles as f64 / 2_428_216.0;
        let told = share("conv5_1,16,16,3,3,512,512,1,pads=1:1:1:1\n");
        assert!((told - 1.0).abs() < 3e-4, "{told}");
        let untold = share("conv5_1,16,16,3,3,512,512,1,\n");
        assert!((1.02..1.05).contains(&untold), "{untold}");
    }

    #[test]
    fn a_stride_that_leaves_a_rest_rounds_up() {
        // SCALE-Sim 3.0.0: the last cycle is 7,083, counted from 0.
        let settings = "rows = 8\ncolumns = 8\ndataflow = \"output_stationary\"\ndram_gb_per_s = 1000000.0";
        assert_eq!(run("c,30,30,7,7,3,16,2,\n", "systolic", settings).total.cycles, 7_084);
    }

    static POOLING: Statistic = Statistic::new("pooling", "cycles", "pooling");

    /// A design that takes a cycle for each output of a layer without weights.
    #[derive(Debug)]
    struct Pooling {
        facts: Facts,
        in_totals: bool,
    }

    impl Accelerator for Pooling {
        fn facts(&self) -> &Facts {
            &self.facts
        }

        fn simulate_layer(&self, layer: &LayerWorkload, _trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
            Ok(LayerResult::new(layer))
        }

        fn simulate_other(&self, layer: &OtherLayer) -> Result<OtherOutcome, SimError> {
            let mut result = LayerResult::of_other(layer);
            result.cycles.add(&POOLING, layer.output_count());
            Ok(if self.in_totals { OtherOutcome::InTotals(result) } else { OtherOutcome::Beside(result) })
        }
    }

    #[derive(Debug)]
    struct PoolingModel {
        facts: Facts,
        in_totals: bool,
    }

    impl AcceleratorModel for PoolingModel {
        fn name(&self) -> &'static str {
            "pooling"
        }

        fn summary(&self) -> &'static str {
            "a cycle for each output"
        }

        fn source(&self) -> &'static str {
            "this test"
        }

        fn preset(&self) -> &'static str {
            ""
        }

        fn configure(&self, _overrides: &toml::Table) -> Result<Configured, SimError> {
            Ok(Pooling { facts: self.facts.clone(), in_totals: self.in_totals }.into())
        }
    }

    #[test]
    fn a_design_models_other_layers_beside_its_totals_or_in_them() {
        let layer = OtherLayer {
            name: "pool".to_owned(),
            operator: "MaxPool".to_owned(),
            kind: OtherKind::Pool,
            shape: None,
            inputs: vec![Operand { elements: 64, bits: 16 }],
            outputs: vec![Operand { elements: 16, bits: 16 }],
            work: vec![(Work::Comparisons, 48)],
        };
        let others = std::slice::from_ref(&layer);
        let price = |in_totals: Option<bool>| {
            let facts = Design::named("dadiannao").unwrap().facts().clone();
            let design = match in_totals {
                Some(in_totals) => Design::of(&PoolingModel { facts, in_totals }, &toml::Table::new()).unwrap(),
                None => Design::named("dadiannao").unwrap(),
            };
            let mut run = DesignRun::new(&design, 0);
            run.simulate_others(others, 3).unwrap();
            let simulated = Simulated::of_others(others.to_vec(), vec![run]);
            let mut record = simulated.price(&CostsConfig::Paper).unwrap().record;
            (record.accelerators.remove(0), record.other_layers.remove(0).not_modelled_by)
        };
        let (without, listed) = price(None);
        assert_eq!((without.total.cycles, without.layers.len(), without.other_layers.len()), (0, 0, 0));
        assert_eq!(listed, ["dadiannao"]);
        // 16 outputs of each of three images.
        let (beside, listed) = price(Some(false));
        assert_eq!((beside.total.cycles, beside.layers.len(), beside.other_layers[0].cycles.total), (0, 0, 48));
        assert!(listed.is_empty());
        let (within, listed) = price(Some(true));
        assert_eq!((within.total.cycles, within.layers[0].cycles.total, within.other_layers.len()), (48, 48, 0));
        assert!(listed.is_empty());
    }
}
