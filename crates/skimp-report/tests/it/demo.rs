//! A study of realistic size for tests and the example: the thirteen convolutions of VGG-16 at 224x224.
//!
//! Cycles and energy without early negative detection are the recorded ones of the public simulator of the ComPEND
//! authors (Lee, Kang, Choi, "ComPEND", ICS 2018); histograms of C5 to C13 follow its recorded end positions. Those of
//! C2 to C4, densities, accuracies and all that is scaled from them are made up: they show a report, not a result.

use skimp_report::IndexMap;
use skimp_report::records::{
    AcceleratorFigures, AcceleratorRecord, AcceleratorTotal, Accuracy, AccuracyRecord, Assumption, Breakdown,
    CastRecord, ColumnRecord, Comparison, ComparisonRecord, Coverage, CurvePoint, DataRecord, Distribution,
    FindingKind, FindingRecord, InputDigest, LayerRecord, LayerStatistics, LayersRecord, ModelRecord, PolicyRecord,
    PolicyRun, PrecisionRecord, Provenance, PublishedFigure, Sections, SimulationRecord, Spread, StopRecord,
    StudyRecord, TableRecord, TablesRecord, Timing, TourRecord, TrainingEpoch, TrainingRecord, VariantAccuracy,
    Verdict,
};

/// name, output side, input channels, output channels, MEM_STT, STT_WB, MEM_AB, AB_PU, RUN_PU.
type ShapeAndCycles = (&'static str, u64, u64, u64, [u64; 5]);

const LAYERS: [ShapeAndCycles; 13] = [
    ("conv1_1", 224, 3, 64, [3701, 580, 325_472, 301_248, 3_612_672]),
    ("conv1_2", 224, 64, 64, [7269, 1156, 652_546, 452_928, 6_823_936]),
    ("conv2_1", 112, 64, 128, [14_724, 2308, 164_860, 113_088, 3_311_616]),
    ("conv2_2", 112, 128, 128, [29_360, 4612, 329_745, 189_504, 6_522_880]),
    ("conv3_1", 56, 128, 256, [58_713, 41_508, 83_779, 94_464, 3_261_440]),
    ("conv3_2", 56, 256, 256, [117_395, 392_020, 167_216, 344_064, 6_522_880]),
    ("conv3_3", 56, 256, 256, [117_395, 392_020, 167_216, 344_064, 6_522_880]),
    ("conv4_1", 28, 256, 512, [234_176, 133_748, 43_142, 170_880, 3_261_440]),
    ("conv4_2", 28, 512, 512, [468_551, 973_132, 86_349, 661_248, 6_522_880]),
    ("conv4_3", 28, 512, 512, [468_551, 973_132, 86_349, 661_248, 6_522_880]),
    ("conv5_1", 14, 512, 512, [468_551, 142_972, 22_964, 163_008, 1_630_720]),
    ("conv5_2", 14, 512, 512, [468_551, 142_972, 22_964, 163_008, 1_630_720]),
    ("conv5_3", 14, 512, 512, [468_551, 142_972, 22_964, 163_008, 1_630_720]),
];

/// RUN_PU cycles with early negative detection.
const RUN_PU_END: [u64; 13] = [
    3_612_672, 5_690_000, 2_760_000, 5_500_000, 2_851_341, 5_394_882, 4_511_735, 2_466_096, 4_705_370, 4_068_280,
    1_021_687, 1_023_196, 941_943,
];

/// Dynamic energy of STT, AB, WB, PU, NET, CTRL and static energy of STT, PU and the rest, in mJ.
const ENERGY_MJ: [[f64; 9]; 13] = [
    [0.0006, 0.0057, 0.8131, 8.7832, 0.6911, 0.3498, 0.1783, 0.0361, 0.0343],
    [0.0012, 0.0114, 1.6262, 9.1549, 1.3821, 0.3498, 0.3336, 0.0641, 0.0608],
    [0.0025, 0.0028, 0.8131, 4.5733, 0.6911, 0.1749, 0.1516, 0.0291, 0.0276],
    [0.0049, 0.0057, 1.6262, 7.0438, 1.3821, 0.1749, 0.2973, 0.0557, 0.0527],
    [0.0187, 0.0025, 0.8142, 3.5219, 0.6911, 0.0874, 0.1488, 0.0278, 0.0264],
    [0.1221, 0.0094, 1.6371, 6.5191, 1.3821, 0.0874, 0.3170, 0.0586, 0.0554],
    [0.1221, 0.0094, 1.6371, 6.5191, 1.3821, 0.0874, 0.3170, 0.0586, 0.0554],
    [0.0660, 0.0045, 0.8168, 3.2596, 0.6911, 0.0437, 0.1615, 0.0298, 0.0283],
    [0.3253, 0.0179, 1.6535, 6.3880, 1.3821, 0.0437, 0.3661, 0.0672, 0.0635],
    [0.3253, 0.0179, 1.6535, 6.3880, 1.3821, 0.0437, 0.3661, 0.0672, 0.0635],
    [0.0979, 0.0044, 0.4105, 1.5970, 0.3455, 0.0109, 0.1020, 0.0187, 0.0178],
    [0.0979, 0.0044, 0.4105, 1.5970, 0.3455, 0.0109, 0.1020, 0.0187, 0.0178],
    [0.0979, 0.0044, 0.4105, 1.5970, 0.3455, 0.0109, 0.1020, 0.0187, 0.0178],
];

const COMPONENTS: [&str; 9] = [
    "stt_dynamic",
    "ab_dynamic",
    "wb_dynamic",
    "pu_dynamic",
    "net_dynamic",
    "ctrl_dynamic",
    "stt_static",
    "pu_static",
    "other_static",
];

/// Shares of outputs in thousandths that end after 6 to 16 planes.
const END_PLANES: [[u64; 11]; 13] = [
    [0; 11],
    [2, 30, 90, 96, 70, 42, 24, 12, 6, 3, 625],
    [6, 44, 98, 101, 76, 44, 26, 13, 7, 3, 582],
    [3, 40, 92, 99, 78, 46, 24, 12, 6, 3, 597],
    [4, 38, 98, 107, 80, 48, 26, 13, 7, 3, 576],
    [8, 68, 131, 114, 70, 38, 20, 10, 5, 3, 533],
    [4, 126, 286, 187, 84, 38, 17, 8, 4, 2, 244],
    [8, 95, 200, 157, 84, 42, 21, 10, 5, 3, 375],
    [0, 11, 178, 256, 147, 70, 33, 15, 8, 4, 278],
    [0, 56, 393, 267, 98, 38, 16, 7, 4, 2, 119],
    [69, 286, 230, 105, 45, 21, 11, 5, 2, 1, 225],
    [69, 286, 230, 105, 45, 21, 11, 5, 2, 1, 225],
    [92, 350, 280, 125, 47, 19, 9, 4, 2, 1, 71],
];

const IMAGES: u64 = 4;
const BASELINE: &str = "ComPEND without END";
const VARIANT: &str = "ComPEND with END";

fn unseen(idx: usize) -> Verdict {
    if idx == 0 { Verdict::no("the input is signed: partial sums can rise again") } else { Verdict::yes() }
}

/// What a design with early negative detection found in a layer.
fn findings(idx: usize, end: bool) -> Vec<FindingRecord> {
    let state = FindingRecord {
        key: "end".to_owned(),
        label: "early negative detection".to_owned(),
        kind: FindingKind::State,
        verdict: Some(if end { unseen(idx) } else { Verdict::no("switched off") }),
        ..FindingRecord::default()
    };
    let (_, side, _, filters, _) = LAYERS[idx];
    let outputs = side * side * filters * IMAGES;
    let mut counts = vec![0; 5];
    counts.extend(END_PLANES[idx].iter().map(|thousandths| outputs * thousandths / 1000));
    let distribution = Distribution { first: 1, counts };
    let planes = FindingRecord {
        key: "end_planes".to_owned(),
        label: "weight planes used per output".to_owned(),
        kind: FindingKind::Distribution,
        basis: Provenance::Measured,
        value: distribution.mean(),
        of: Some(distribution.total()),
        unit: "planes".to_owned(),
        distribution: Some(distribution),
        ..FindingRecord::default()
    };
    if end && idx > 0 { vec![state, planes] } else { vec![state] }
}

/// Outputs that the variant's design compared with the exact ones.
fn agreement() -> FindingRecord {
    FindingRecord {
        key: "outputs_compared".to_owned(),
        label: "outputs after ReLU compared with the exact ones".to_owned(),
        kind: FindingKind::Agreement,
        basis: Provenance::Measured,
        value: Some(0.0),
        of: Some(54_190_080),
        unit: "outputs".to_owned(),
        verdict: Some(Verdict::yes()),
        ..FindingRecord::default()
    }
}

fn macs(idx: usize) -> u64 {
    let (_, side, channels, filters, _) = LAYERS[idx];
    side * side * channels * filters * 9
}

fn compend(label: &str, end: bool) -> AcceleratorRecord {
    let layers: Vec<LayerRecord> = (0..LAYERS.len()).map(|idx| compend_layer(idx, end)).collect();
    let mut config = serde_json::Map::new();
    config.insert("end".to_owned(), end.into());
    config.insert("pu_rows".to_owned(), 9.into());
    accelerator("compend", label, 1000.0, Some(5.62), config, layers)
}

fn compend_layer(idx: usize, end: bool) -> LayerRecord {
    let (name, .., [mem_stt, stt_wb, mem_ab, ab_pu, run_pu]) = LAYERS[idx];
    let run = if end { RUN_PU_END[idx] } else { run_pu };
    let phases = [
        ("mem_stt", mem_stt),
        ("stt_wb", stt_wb),
        ("mem_wb", 0),
        ("mem_ab", mem_ab),
        ("ab_pu", ab_pu),
        ("run_pu", run),
    ];
    let parts: IndexMap<String, u64> =
        phases.iter().map(|(phase, cycles)| ((*phase).to_owned(), cycles * IMAGES)).collect();
    let total = parts.values().sum::<u64>() + IMAGES;
    let before = (mem_stt + stt_wb + mem_ab + ab_pu + run_pu) as f64;
    let (work, time) = (run as f64 / run_pu as f64, total as f64 / IMAGES as f64 / before);
    let energy: IndexMap<String, f64> = COMPONENTS
        .iter()
        .zip(ENERGY_MJ[idx])
        .map(|(component, millijoules)| {
            let factor = match *component {
                "stt_dynamic" | "ab_dynamic" => 1.0,
                component if component.ends_with("_dynamic") => work,
                _ => time,
            };
            ((*component).to_owned(), millijoules * 1e6 * factor * IMAGES as f64)
        })
        .collect();
    LayerRecord {
        name: name.to_owned(),
        operator: "Conv".to_owned(),
        macs: macs(idx),
        images: IMAGES,
        findings: findings(idx, end),
        cycles: Breakdown { total, parts },
        events: IndexMap::from([("pu_accesses".to_owned(), run * 144), ("ctrl_decisions".to_owned(), run)]),
        energy_nj: Breakdown { total: energy.values().sum(), parts: energy },
        mapping: IndexMap::new(),
        why: vec!["12.5 % of the slots: lanes wait".to_owned()],
        notes: Vec::new(),
    }
}

fn dadiannao() -> AcceleratorRecord {
    let layers = (0..LAYERS.len())
        .map(|idx| {
            let (name, side, channels, filters, _) = LAYERS[idx];
            let cycles = side * side * 9 * channels.div_ceil(16) * filters.div_ceil(256) * IMAGES;
            LayerRecord {
                name: name.to_owned(),
                operator: "Conv".to_owned(),
                macs: macs(idx),
                images: IMAGES,
                cycles: Breakdown { total: cycles, parts: IndexMap::from([("compute".to_owned(), cycles)]) },
                energy_nj: Breakdown {
                    total: cycles as f64 * 26.35,
                    parts: IndexMap::from([("chip".to_owned(), cycles as f64 * 26.35)]),
                },
                ..LayerRecord::default()
            }
        })
        .collect();
    accelerator("dadiannao", "DaDianNao", 606.0, Some(67.73), serde_json::Map::new(), layers)
}

fn accelerator(
    name: &str,
    label: &str,
    clock_mhz: f64,
    area_mm2: Option<f64>,
    config: serde_json::Map<String, serde_json::Value>,
    layers: Vec<LayerRecord>,
) -> AcceleratorRecord {
    let cycles: u64 = layers.iter().map(|layer| layer.cycles.total).sum();
    let energy_mj = layers.iter().map(|layer| layer.energy_nj.total).sum::<f64>() * 1e-6;
    let macs = layers.iter().map(|layer| layer.macs).sum::<u64>() as f64 * IMAGES as f64;
    let seconds = cycles as f64 / (clock_mhz * 1e6);
    AcceleratorRecord {
        name: name.to_owned(),
        label: label.to_owned(),
        config,
        energy: None,
        findings: Vec::new(),
        facts: None,
        approximate: false,
        costs: if name == "compend" { "compend-45nm" } else { "dadiannao-28nm" }.to_owned(),
        clock_mhz,
        area_mm2,
        peak_gmacs: Some(macs / seconds * 1.4e-9),
        dram_gb_per_s: (name == "compend").then_some(10.67),
        layers,
        shape_layers: Vec::new(),
        other_layers: Vec::new(),
        chips: None,
        tuning: None,
        accuracy: None,
        total: AcceleratorTotal {
            cycles,
            latency_ms: seconds * 1e3 / IMAGES as f64,
            energy_mj,
            tops_per_w: 2.0 * macs / (energy_mj * 1e-3) * 1e-12,
            gmacs_per_s: macs / seconds * 1e-9,
            simulated_percent: 100.0,
        },
    }
}

fn statistics(idx: usize) -> LayerStatistics {
    let (name, side, channels, filters, _) = LAYERS[idx];
    LayerStatistics {
        name: name.to_owned(),
        operator: "Conv".to_owned(),
        input_shape: vec![1, channels, side, side],
        weight_shape: vec![filters, channels, 3, 3],
        output_shape: vec![1, filters, side, side],
        macs: macs(idx),
        weights: filters * channels * 9,
        activation_density: if idx == 0 { 0.998 } else { 0.82 - 0.05 * idx as f64 },
        weight_density: 0.9999 - 0.004 * idx as f64,
        activation_bit_density: Some(0.3 - 0.02 * idx as f64),
        weight_bit_density: Some(0.45),
        output_density: Some(0.77 - 0.051 * idx as f64),
        negative_sums_unseen: unseen(idx),
    }
}

/// The study.
pub(crate) fn study() -> StudyRecord {
    let (baseline, mut variant, dense) = (compend(BASELINE, false), compend(VARIANT, true), dadiannao());
    variant.findings.push(agreement());
    let comparisons = vec![Comparison::between(&baseline, &variant, 1.0), Comparison::between(&dense, &variant, 1.0)];
    let digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned();
    let simulation = SimulationRecord {
        model: ModelRecord {
            name: "vgg16".to_owned(),
            path: Some("vgg16.onnx".to_owned()),
            sha256: digest.clone(),
            untrained: false,
        },
        data: DataRecord { name: "imagenet".to_owned(), preprocess: Some("caffe".to_owned()), ..Default::default() },
        images: IMAGES,
        weight_bits: 16,
        activation_bits: 16,
        simulated: Some(Coverage::new((0..LAYERS.len()).map(macs).sum(), 0, Vec::new())),
        accelerators: vec![baseline, variant, dense],
        ..Default::default()
    };
    let published = published(&comparisons[0]);
    let sections = Sections::default()
        .with(accuracy())
        .with(LayersRecord { layers: (0..LAYERS.len()).map(statistics).collect() })
        .with(simulation)
        .with(training())
        .with(precision())
        .with(ComparisonRecord { baseline: Some("DaDianNao".to_owned()), comparisons, accelerator_figures: figures() });
    StudyRecord {
        kind: "accelerators".to_owned(),
        name: "vgg16-demo".to_owned(),
        title: "Early negative detection on VGG-16 (demonstration)".to_owned(),
        subject: "Early negative detection".to_owned(),
        model_name: "vgg16".to_owned(),
        data_name: "imagenet".to_owned(),
        n_images: IMAGES,
        seed: 1,
        assumptions: assumptions(),
        config_toml: "schema = 1\nname = \"vgg16-demo\"\n\n[quantization]\nweight_bits = 16\nactivation_bits = 16\n\
                      calibration = \"max\"\n\n[accelerator.compend]\nclock_mhz = 1000\nend = true\n"
            .to_owned(),
        inputs: vec![InputDigest { path: "vgg16.onnx".to_owned(), sha256: digest, size_bytes: Some(553_432_060) }],
        timings: vec![
            Timing { step: "read the network".to_owned(), seconds: 0.31 },
            Timing { step: "quantize".to_owned(), seconds: 1.87 },
            Timing { step: "find end planes".to_owned(), seconds: 11.4 },
            Timing { step: "simulate".to_owned(), seconds: 3.02 },
        ],
        sections,
        published,
        ..StudyRecord::default()
    }
}

/// A run of twelve epochs, the last without validation.
pub(crate) fn training() -> TrainingRecord {
    let epochs = (1..=12_u64).map(|epoch| {
        let left = 0.7_f64.powi(epoch as i32);
        TrainingEpoch {
            epoch,
            step: 391 * epoch,
            learning_rate: 0.1 * (13 - epoch) as f64 / 12.0,
            train_loss: 0.2 + 2.0 * left,
            train_accuracy: 0.95 - 0.7 * left,
            validation_loss: (epoch < 12).then_some(0.3 + 1.8 * left),
            validation_accuracy: (epoch < 12).then_some(0.92 - 0.6 * left),
            skipped_steps: 0,
            seconds: 41.5,
            images_per_second: 1204.8,
        }
    });
    TrainingRecord {
        precision: "fp32".to_owned(),
        optimizer: "sgd:momentum=0.9".to_owned(),
        schedule: "cosine".to_owned(),
        loss: "cross-entropy".to_owned(),
        batch_size: 128,
        n_train_images: 50_000,
        n_validation_images: 10_000,
        n_parameters: 272_474,
        before: None,
        epochs: epochs.collect(),
    }
}

/// Two policies with two seeds each.
fn precision() -> PrecisionRecord {
    let policy = |label: &str, tops: [f64; 2], casts: Vec<CastRecord>| PolicyRecord {
        label: label.to_owned(),
        precision: label.to_owned(),
        top1: Spread::of(&tops),
        difference: Spread::of(&[tops[0] - 0.90, tops[1] - 0.91]),
        casts,
        runs: (1..)
            .zip(tops)
            .map(|(seed, top1)| PolicyRun {
                seed,
                top1: Some(top1),
                diverged: None,
                curve: (1..=4_u64)
                    .map(|epoch| CurvePoint { epoch, train_loss: 2.0 / epoch as f64, ..CurvePoint::default() })
                    .collect(),
            })
            .collect(),
        ..PolicyRecord::default()
    };
    let errors =
        CastRecord { class: "error".to_owned(), elements: 1_000_000, overflows: 3, underflows: 12_000, flushed: 0 };
    PrecisionRecord {
        baseline: "fp32".to_owned(),
        seeds: vec![1, 2],
        epochs: 4,
        batch_size: 32,
        n_train_images: 1600,
        n_validation_images: 1000,
        n_parameters: 59_498,
        policies: vec![policy("fp32", [0.90, 0.91], Vec::new()), policy("fp8-ibm", [0.89, 0.905], vec![errors])],
    }
}

fn accuracy() -> AccuracyRecord {
    let of = |top1, top5| Accuracy { top1, top5: Some(top5), n_images: 1000 };
    let variant = VariantAccuracy {
        label: "ComPEND with END".to_owned(),
        basis: "no output differs".to_owned(),
        accuracy: of(0.716, 0.905),
    };
    let (fp32, integer) = (Some(of(0.716, 0.906)), Some(of(0.716, 0.905)));
    AccuracyRecord { fp32, integer, variant: Some(variant), in_integers: None }
}

fn published(ours: &Comparison) -> Vec<PublishedFigure> {
    let source = "D. Lee, S. Kang, K. Choi, ComPEND, ICS 2018, DOI 10.1145/3205289.3205295";
    vec![
        PublishedFigure {
            quantity: "run time, mean of layers' changes".to_owned(),
            published: "−16.62 %".to_owned(),
            ours: Some(format!("−{:.2} %", ours.mean_layer_runtime_reduction_percent)),
            provenance: Provenance::Simulated,
            source: source.to_owned(),
            remark: Some("published over C1..C13, F2 and F3; ours over the convolutions, other images".to_owned()),
        },
        PublishedFigure {
            quantity: "energy, mean of layers' changes".to_owned(),
            published: "−23.50 %".to_owned(),
            ours: Some(format!("−{:.2} %", ours.mean_layer_energy_reduction_percent.unwrap_or_default())),
            provenance: Provenance::Simulated,
            source: source.to_owned(),
            remark: Some("without off-chip memory".to_owned()),
        },
        PublishedFigure {
            quantity: "change of top-1 accuracy".to_owned(),
            published: "0 points".to_owned(),
            ours: Some("0 points".to_owned()),
            provenance: Provenance::Measured,
            source: source.to_owned(),
            remark: None,
        },
        PublishedFigure {
            quantity: "predictive mode, energy".to_owned(),
            published: "−41.4 %".to_owned(),
            source: "N. Kim et al., ComPreEND, IEEE Trans. Computers 71(7), 2022".to_owned(),
            remark: Some("not modeled".to_owned()),
            ..PublishedFigure::default()
        },
    ]
}

fn figures() -> Vec<AcceleratorFigures> {
    let row = |name: &str, provenance, source: &str, values: [f64; 7]| {
        let [technology, clock, gmacs, area, power, per_area, per_watt] = values.map(Some);
        AcceleratorFigures {
            name: name.to_owned(),
            provenance,
            source: source.to_owned(),
            precision_bits: Some(16),
            technology_nm: technology,
            clock_mhz: clock,
            peak_gmacs: gmacs,
            area_mm2: area,
            power_mw: power,
            gmacs_per_mm2: per_area,
            gmacs_per_w: per_watt,
        }
    };
    let published = Provenance::Published;
    vec![
        row("Eyeriss", published, "Y.-H. Chen et al., ISSCC 2016", [65.0, 250.0, 42.0, 12.25, 450.0, 3.43, 93.3]),
        row("DaDianNao", published, "Y. Chen et al., MICRO 2014", [28.0, 606.0, 2790.0, 67.73, 15970.0, 41.19, 174.7]),
        row("ComPEND", Provenance::Simulated, "preset compend", [45.0, 1000.0, 288.0, 5.62, 1180.0, 51.25, 244.1]),
    ]
}

fn assumptions() -> Vec<Assumption> {
    [
        ("Phases run one after another; nothing is prefetched.", "public simulator of the authors, 2020"),
        ("Off-chip memory energy is not counted.", "ComPEND, ICS 2018: the breakdown has CTRL, NET, STT, AB, WB, PU"),
        ("A running sum below zero ends an output; zero does not.", "the sign bit decides; ComPEND, ICS 2018"),
    ]
    .map(|(text, source)| Assumption { text: text.to_owned(), source: source.to_owned() })
    .to_vec()
}

/// The study with its layers repeated to `n_layers`, under long names like those of exported networks.
#[allow(dead_code, reason = "the example does not need it")]
pub(crate) fn study_with_layers(n_layers: usize) -> StudyRecord {
    let mut study = study();
    let name = |idx: usize| format!("/layer{}/layer{}.{}/conv{}/Conv", idx / 12, idx / 12, idx / 3, idx % 3);
    let layers = study.layers();
    let layers =
        (0..n_layers).map(|idx| LayerStatistics { name: name(idx), ..layers[idx % layers.len()].clone() }).collect();
    study.sections.set(LayersRecord { layers });
    let simulation: Option<&mut SimulationRecord> = study.sections.get_mut();
    for accelerator in simulation.into_iter().flat_map(|simulation| &mut simulation.accelerators) {
        accelerator.layers = (0..n_layers)
            .map(|idx| LayerRecord { name: name(idx), ..accelerator.layers[idx % LAYERS.len()].clone() })
            .collect();
    }
    study
}

/// The study with tables of its own, and a section that this version does not know.
#[allow(dead_code, reason = "the example does not need it")]
pub(crate) fn with_every_section() -> StudyRecord {
    let mut study = study();
    let rows = vec![vec![8.into(), 0.9375.into(), "as measured".into()], vec![2.into(), 0.5.into(), ().into()]];
    let columns = vec![
        ColumnRecord::new("bits", "bits"),
        ColumnRecord::real("top1_percent", "top-1", "%", 2),
        ColumnRecord::new("remark", "remark"),
    ];
    let tables = vec![TableRecord { caption: "Accuracy by bits".to_owned(), columns, rows }];
    study.sections.set(TablesRecord { text: "Eight bits are enough.".to_owned(), tables, charts: Vec::new() });
    let stop = |label: &str, design: AcceleratorRecord| StopRecord {
        label: label.to_owned(),
        network: "demo".to_owned(),
        designs: vec![design],
        ..StopRecord::default()
    };
    let stops = vec![stop("dense", compend(BASELINE, false)), stop("early", compend(VARIANT, true))];
    study.sections.set(TourRecord { images: IMAGES, allowed_loss_points: 1.0, stops });
    let text = study.to_json().expect("the record has a JSON form");
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    value["sections"]["aging"] = serde_json::json!({ "schema": "skimp.aging/7", "years": [1, 2.5] });
    StudyRecord::from_json(&value.to_string()).expect("it is a record")
}
