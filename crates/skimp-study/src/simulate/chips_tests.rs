//! Chips of designs: the same accuracy on any number of threads, also over time and where each is searched.

use skimp_report::records::ChipsRecord;

use crate::inputs::config::{DataConfig, JudgeBy};
use crate::inputs::network::Network;
use crate::monitor::Silent;
use crate::simulate::accelerators::accelerator_configs;
use crate::simulate::chips::ChipsConfig;
use crate::simulate::config::LayersConfig;
use crate::simulate::designs::Designs;
use crate::simulate::over_time_tests::{STEPS, network};
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{SimulateConfig, simulate};

use skimp_graph::spiking::Temporal;
use skimp_quant::QuantizationConfig;

/// The accuracies of three chips of a design, and what of their loss its parts make.
fn chips(network: &Network, design: &str, settings: &[&str], attribution: bool, threads: usize) -> ChipsRecord {
    let settings: Vec<String> = settings.iter().map(|setting| format!("{design}.{setting}")).collect();
    let data = DataConfig {
        set: "sample".into(),
        images: 1,
        accuracy_images: 20,
        tuning_images: 24,
        judge_by: JudgeBy::Answers,
        ..DataConfig::default()
    };
    let config = SimulateConfig {
        data,
        input_size: None,
        quantization: QuantizationConfig { calibration_images: 8, ..QuantizationConfig::default() },
        layers: LayersConfig::default(),
        designs: Designs::embedded(),
        accelerators: accelerator_configs(&Designs::embedded(), &[design.to_owned()], &[], &settings).unwrap(),
        costs: CostsConfig::Paper,
        allowed_loss_points: 1.0,
        chips: Some(ChipsConfig { count: 3, attribution }),
        dump: None,
        trace: None,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let record = pool.install(|| simulate(network, &config, &Silent)).unwrap().record.accelerators.remove(0);
    record.chips.expect("a design of chips")
}

fn check(network: &Network, design: &str, settings: &[&str]) -> ChipsRecord {
    // What each part of the loss makes is the same measurement again: of one design is enough.
    let attribution = settings.len() == 1;
    let one = chips(network, design, settings, attribution, 1);
    assert_eq!((one.top1.len(), one.attribution.is_empty()), (3, !attribution));
    for threads in [2, 3] {
        let again = chips(network, design, settings, attribution, threads);
        assert_eq!(again, one, "{design} {settings:?} on {threads} threads");
    }
    one
}

/// A network of three steps on chips whose cells spread so widely that they answer differently.
#[test]
fn chips_run_over_time() {
    let spiking = network(Some(Temporal::new(STEPS).unwrap()));
    let wide = ["lrs_spread=1.0", "sense_offset=0.2"];
    for design in ["bsnn-tile", "xnor-rram"] {
        let found = check(&spiking, design, &wide);
        assert!(found.top1.windows(2).any(|pair| pair[0].to_bits() != pair[1].to_bits()), "{design}: {found:?}");
    }
}

/// What is searched on tuning images is searched for each chip.
#[test]
fn chips_are_searched_one_by_one() {
    let network = network(None);
    let wide = "lrs_spread=0.4";
    let levels = check(&network, "bsnn-tile", &[wide, "combine=adder", "levels_from=layer"]);
    assert!(levels.top1.windows(2).any(|pair| pair[0].to_bits() != pair[1].to_bits()), "{levels:?}");
    let plain = check(&network, "bsnn-tile", &[wide]);
    let own = check(&network, "bsnn-tile", &[wide, "thresholds_from=chip"]);
    assert!(own.mean > plain.mean, "{own:?}, {plain:?}");
}
