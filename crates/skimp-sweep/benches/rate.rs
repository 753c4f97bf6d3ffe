//! How many points a second a sweep works out, and where the time goes. Prints ratios measured in this run.
//!
//!     SKIMP_DATA=DIR cargo bench -p skimp-sweep --bench rate
//!
//! 1. Whole-network points of dense closed-form designs on ResNet-20: the bare rate (configure, simulate, price, in memory)
//!    and the rate through a sweep with every row in its store, on one thread.
//! 2. 1,000 settings of ComPEND on ResNet-20 and 16 CIFAR-10 images, beside single simulations of the same points.
//!
//! Without `SKIMP_DATA` the embedded network and images take their place.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::path::Path;
use std::time::Instant;

use skimp_study::{
    AcceleratorConfig, CostsConfig, DataConfig, Design, Designs, LayersConfig, Network, QuantizationConfig, Silent,
    SimulateConfig, simulate,
};
use skimp_sweep::{SweepConfig, SweepRun, sweep};

fn main() {
    let folder = std::env::var("SKIMP_DATA").ok();
    let (model, data, preprocess) = match &folder {
        Some(folder) => (
            format!("{folder}/models/cifar10_resnet20.onnx"),
            format!("cifar10:{folder}/cifar10"),
            "preprocess = \"imagenet\"\n",
        ),
        None => ("sample-resnet".to_owned(), "sample".to_owned(), ""),
    };
    println!("network {model}");
    let base = |images: usize| {
        format!(
            "schema = 1\nname = \"rate\"\nobjectives = [\"latency\", \"energy\"]\n[network]\nmodel = \"{model}\"\n\
             [data]\nset = \"{data}\"\n{preprocess}images = {images}\n\
             [quantization]\nweight_bits = 8\nactivation_bits = 8\n"
        )
    };
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    one.install(|| closed_form(&base(1), &model, &data, preprocess));
    settings(&base(16), &model, &data, preprocess);
}

fn parse(text: &str) -> SweepConfig {
    SweepConfig::parse(text, "rate.toml", Path::new("")).unwrap()
}

fn data_of(set: &str, preprocess: &str, images: usize) -> DataConfig {
    let preprocess = preprocess.split('"').nth(1).map(str::to_owned);
    DataConfig { set: set.to_owned(), preprocess, images, ..DataConfig::default() }
}

const EIGHT: QuantizationConfig = QuantizationConfig {
    weight_bits: 8,
    activation_bits: 8,
    weight_scales: skimp_study::WeightScales::PerLayer,
    calibration: skimp_study::RangeMethod::MinMax,
    calibration_images: 16,
    calibration_split: None,
    first_layer: skimp_study::FirstLayer::Signed,
};

fn closed_form(base: &str, model: &str, data: &str, preprocess: &str) {
    const N: usize = 4000;
    for (design, key, from, to, fixed) in [
        ("systolic", "rows", 8, 8 + N - 1, ""),
        ("tpu-v1", "rows", 8, 8 + N - 1, ""),
        ("dadiannao", "tiles", 1, N, ""),
        // A mapping for each layer, no search.
        ("eyeriss", "buffer_bytes", 110_592, 110_592 + N - 1, "zero_gating = false\ncompression = false\n"),
    ] {
        let mut fixed = fixed.to_owned();
        let network = Network::open(model).unwrap();
        let images = network.images(&data_of(data, preprocess, 1)).unwrap();
        let quantized = network.calibrate(&images, 16, &Silent).unwrap().quantize(&EIGHT, &Silent).unwrap();
        let traced = quantized.trace(&images, 1, &LayersConfig::default(), &Silent).unwrap();
        if design == "eyeriss" {
            let searched = Design::of(Designs::embedded().find(design).unwrap(), &fixed.parse().unwrap()).unwrap();
            let found = traced.simulate(&[searched], &Silent).unwrap();
            let given = found.runs()[0].results().map(|result| {
                let numbers: Vec<String> =
                    result.mapping.iter().map(|(name, number)| format!("{name}:{number}")).collect();
                format!("\"{}={}\"", result.layer, numbers.join(" "))
            });
            fixed.push_str(&format!("mappings = [{}]\n", given.collect::<Vec<_>>().join(", ")));
        }
        let configured = |n: usize| {
            let mut set: toml::Table = fixed.parse().unwrap();
            set.insert(key.to_owned(), toml::Value::Integer((from + n) as i64));
            Design::of(Designs::embedded().find(design).unwrap(), &set).unwrap()
        };
        let start = Instant::now();
        let designs: Vec<Design> = (0..N).map(configured).collect();
        let configure = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let simulated: Vec<_> =
            designs.iter().map(|design| traced.simulate(std::slice::from_ref(design), &Silent).unwrap()).collect();
        let simulate = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let sum: f64 = simulated.iter().map(|one| one.figures(&CostsConfig::Paper).unwrap()[0].latency_ms).sum();
        let price = start.elapsed().as_secs_f64();
        assert!(sum > 0.0);
        drop(simulated);
        let set: String = fixed.trim_end().lines().map(|line| format!("{line}, ")).collect();
        let text = format!(
            "{base}[accelerator]\nmodel = \"{design}\"\nset = {{ {} }}\n\
             [[axes]]\nkey = \"accelerator.set.{key}\"\nfrom = {from}\nto = {to}\ncount = {N}\n",
            set.trim_end_matches(", ")
        );
        let folder = tempfile::tempdir().unwrap();
        let start = Instant::now();
        let summary = sweep(&parse(&text), &SweepRun::new(folder.path()), &Silent).unwrap();
        let whole = start.elapsed().as_secs_f64();
        assert_eq!(summary.n_new, N);
        let bare = configure + simulate + price;
        println!(
            "{design}: bare {:.0} points/s (configure {:.0} us, simulate {:.0}, price {:.0}); sweep with store {:.0} points/s, {:.2} of it",
            N as f64 / bare,
            1e6 * configure / N as f64,
            1e6 * simulate / N as f64,
            1e6 * price / N as f64,
            N as f64 / whole,
            bare / whole,
        );
    }
}

fn settings(base: &str, model: &str, data: &str, preprocess: &str) {
    const ALONE: usize = 20;
    let text = format!(
        "{base}[accelerator]\nmodel = \"compend\"\n[[axes]]\nkey = \"accelerator.set.ab_bank_bytes\"\n\
         from = 8192\nto = 80928\ncount = 40\n[[axes]]\nkey = \"accelerator.set.pu_rows\"\nfrom = 1\nto = 25\ncount = 25\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let summary = sweep(&parse(&text), &SweepRun::new(folder.path()), &Silent).unwrap();
    let whole = start.elapsed().as_secs_f64();
    assert_eq!(summary.n_new, 1000);
    let start = Instant::now();
    for point in 0..ALONE {
        let network = Network::open(model).unwrap();
        let mut set = toml::Table::new();
        set.insert("pu_rows".to_owned(), toml::Value::Integer(point as i64 + 1));
        let config = SimulateConfig {
            data: data_of(data, preprocess, 16),
            input_size: None,
            quantization: EIGHT,
            layers: LayersConfig::default(),
            designs: Designs::embedded(),
            accelerators: vec![AcceleratorConfig {
                model: "compend".into(),
                label: None,
                preset: None,
                set,
                origin: None,
            }],
            costs: CostsConfig::Auto,
            allowed_loss_points: 1.0,
            chips: None,
            dump: None,
            trace: None,
        };
        simulate(&network, &config, &Silent).unwrap();
    }
    let alone = start.elapsed().as_secs_f64() / ALONE as f64;
    println!(
        "compend, 16 images: 1,000 settings in {whole:.2} s; single simulations {:.1} ms each, {:.1} times as long",
        1e3 * alone,
        1000.0 * alone / whole
    );
}
