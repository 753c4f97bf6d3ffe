//! How many points a second a sweep works out, and where the time goes. Prints ratios measured in this run.
//!
//!     SKIMP_DATA=DIR cargo bench -p skimp-sweep --bench rate -- [rates [DESIGN...]] [settings]
//!
//! 1. `rates`: whole-network points of dense closed-form designs, on the embedded network and on ResNet-20: the bare rate
//!    (configure, simulate, price, in memory) and the rate through a sweep with every row in its store, on one thread, in
//!    points a CPU-second. Beside it, what store and page take by themselves.
//! 2. `settings`: 1,000 settings of ComPEND and of Cnvlutin on ResNet-20 and 16 CIFAR-10 images, beside single simulations of
//!    the same points.
//!
//! Without `SKIMP_DATA` the embedded network and images take the place of the others. Seconds are CPU-seconds of all threads,
//! in hundredths, where the system tells them (Linux), else of the clock.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use std::path::Path;
use std::time::Instant;

use skimp_study::{
    AcceleratorConfig, CostsConfig, DataConfig, Design, Designs, LayersConfig, Network, QuantizationConfig, Silent,
    SimulateConfig, Traced, simulate,
};
use skimp_sweep::{SqliteStore, Status, SweepConfig, SweepRun, stored_sweep, sweep};

/// A network on images.
struct Bench {
    model: String,
    data: String,
    preprocess: &'static str,
}

impl Bench {
    fn base(&self, images: usize) -> String {
        let Bench { model, data, preprocess } = self;
        format!(
            "schema = 1\nname = \"rate\"\nobjectives = [\"latency\", \"energy\"]\n[network]\nmodel = \"{model}\"\n\
             [data]\nset = \"{data}\"\n{preprocess}images = {images}\n\
             [quantization]\nweight_bits = 8\nactivation_bits = 8\n"
        )
    }
}

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|one| one == part);
    let embedded = Bench { model: "sample-resnet".to_owned(), data: "sample".to_owned(), preprocess: "" };
    let real = std::env::var("SKIMP_DATA").ok().map(|folder| Bench {
        model: format!("{folder}/models/cifar10_resnet20.onnx"),
        data: format!("cifar10:{folder}/cifar10"),
        preprocess: "preprocess = \"imagenet\"\n",
    });
    if is_asked("rates") {
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        for bench in [Some(&embedded), real.as_ref()].into_iter().flatten() {
            println!("network {}", bench.model);
            one.install(|| closed_form(bench, &asked));
        }
    }
    if is_asked("settings") {
        let bench = real.as_ref().unwrap_or(&embedded);
        println!("network {}", bench.model);
        let buffers = "key = \"accelerator.set.ab_bank_bytes\"\nfrom = 8192\nto = 80928\ncount = 40";
        let rows = "key = \"accelerator.set.pu_rows\"\nfrom = 1\nto = 25\ncount = 25";
        settings(bench, "compend", [buffers, rows], "pu_rows");
        let tiles = "key = \"accelerator.set.tiles\"\nfrom = 1\nto = 40\ncount = 40";
        let bricks = "key = \"accelerator.set.inputs_per_brick\"\nfrom = 4\nto = 16\ncount = 13";
        let empty = "key = \"accelerator.set.empty_brick_cycles\"\nvalues = [0, 1]";
        settings(bench, "cnvlutin", [tiles, &format!("{bricks}\n[[axes]]\n{empty}")], "tiles");
    }
}

/// CPU-seconds of this process so far.
fn cpu() -> f64 {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let clock = BEGUN.get_or_init(Instant::now).elapsed().as_secs_f64();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields after the name, which may hold blanks: the 12th and 13th are user and system time in hundredths.
    let ticks = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace().skip(11).take(2));
    let ticks: Vec<f64> = ticks.into_iter().flatten().filter_map(|ticks| ticks.parse().ok()).collect();
    if ticks.len() == 2 { ticks.iter().sum::<f64>() / 100.0 } else { clock }
}

/// CPU-seconds of `work`.
fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let begun = cpu();
    let done = work();
    (cpu() - begun, done)
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

/// The mappings that a search finds, as a setting: a point that states them searches nothing. Without numbers that follow
/// from the others and from the buffer's size.
fn found_mappings(traced: &Traced, design: &str, settings: &str) -> String {
    let searched = Design::of(Designs::embedded().find(design).unwrap(), &settings.parse().unwrap()).unwrap();
    let found = traced.simulate(&[searched], &Silent).unwrap();
    let given = found.runs()[0].results().map(|result| {
        let numbers = result.mapping.iter().filter(|(name, _)| *name != "filters_in_buffer" && *name != "passes");
        let numbers: Vec<String> = numbers.map(|(name, number)| format!("{name}:{number}")).collect();
        format!("\"{}={}\"", result.layer, numbers.join(" "))
    });
    format!("{settings}mappings = [{}]\n", given.collect::<Vec<_>>().join(", "))
}

/// Of the designs that `asked` names, or of all.
fn closed_form(bench: &Bench, asked: &[String]) {
    const N: usize = 4000;
    let network = Network::open(&bench.model).unwrap();
    let images = network.images(&data_of(&bench.data, bench.preprocess, 1)).unwrap();
    let quantized = network.calibrate(&images, 16, &Silent).unwrap().quantize(&EIGHT, &Silent).unwrap();
    let traced = quantized.trace(&images, 1, &LayersConfig::default(), &Silent).unwrap();
    let designs = [
        ("systolic", "rows", 8, ""),
        ("tpu-v1", "rows", 8, ""),
        ("dadiannao", "tiles", 1, ""),
        ("eyeriss", "buffer_bytes", 110_592, "zero_gating = false\ncompression = false\n"),
        ("tetris", "buffer_bytes", 133_032, ""),
    ];
    let is_asked = |design: &str| asked.iter().any(|one| one == design);
    let names_any = designs.iter().any(|(design, ..)| is_asked(design));
    for (design, key, from, settings) in designs {
        if names_any && !is_asked(design) {
            continue;
        }
        let maps = matches!(design, "eyeriss" | "tetris");
        let fixed = if maps { found_mappings(&traced, design, settings) } else { settings.to_owned() };
        let configured = |n: usize| {
            let mut set: toml::Table = fixed.parse().unwrap();
            set.insert(key.to_owned(), toml::Value::Integer((from + n) as i64));
            set
        };
        let sets: Vec<toml::Table> = (0..N).map(configured).collect();
        let model = Designs::embedded().find(design).unwrap();
        let (mut configure, mut simulate, mut price, mut sum) = (0.0, 0.0, 0.0, 0.0);
        // In batches: what is kept for long costs its memory, too.
        for sets in sets.chunks(1000) {
            let (seconds, designs) =
                timed(|| sets.iter().map(|set| Design::of(model, set).unwrap()).collect::<Vec<Design>>());
            configure += seconds;
            let one = |design: &Design| traced.simulate(std::slice::from_ref(design), &Silent).unwrap();
            let (seconds, simulated) = timed(|| designs.iter().map(one).collect::<Vec<_>>());
            simulate += seconds;
            let cost =
                || simulated.iter().map(|one| one.figures(&CostsConfig::Paper).unwrap()[0].latency_ms).sum::<f64>();
            let (seconds, latencies) = timed(cost);
            price += seconds;
            sum += latencies;
            simulate += timed(|| drop(simulated)).0;
        }
        assert!(sum > 0.0);
        let set: String = fixed.trim_end().lines().map(|line| format!("{line}, ")).collect();
        let text = format!(
            "{}[accelerator]\nmodel = \"{design}\"\nset = {{ {} }}\n\
             [[axes]]\nkey = \"accelerator.set.{key}\"\nfrom = {from}\nto = {}\ncount = {N}\n",
            bench.base(1),
            set.trim_end_matches(", "),
            from + N - 1,
        );
        let run = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let (seconds, summary) = timed(|| sweep(&parse(text), &SweepRun::new(folder.path()), &Silent).unwrap());
            (seconds, summary.n_new, folder)
        };
        // What a sweep of one point takes is opening, calibrating and tracing, once for all points.
        let last = from + N - 1;
        let few = text.replace(&format!("from = {from}\nto = {last}\ncount = {N}"), &format!("values = [{from}]"));
        let (once, n_few, _) = run(&few);
        let (seconds, n_new, folder) = run(&text);
        let whole = seconds - once;
        assert_eq!((n_few, n_new), (1, N));
        let rows = SqliteStore::open(folder.path()).unwrap().rows().unwrap();
        let failed = rows.iter().find(|row| row.status == Status::Failed);
        assert!(failed.is_none(), "{design}: {failed:?}");
        let again = tempfile::tempdir().unwrap();
        let (storing, ()) = timed(|| {
            let store = SqliteStore::create(again.path()).unwrap();
            rows.into_iter().for_each(|row| store.add(row).unwrap());
        });
        let (page, _) = timed(|| skimp_report::html::render_sweep(&stored_sweep(folder.path()).unwrap()).len());
        let bare = configure + simulate + price;
        let micros = |seconds: f64| 1e6 * seconds / N as f64;
        println!(
            "{design}: bare {:.0} points/s (configure {:.0} us, simulate {:.0}, price {:.0}); sweep with store {:.0} points/s, \
             {:.2} of the bare rate; {:.2} s once, {:.0} points/s with it ({:.0} us: store {:.0}, page {:.0}, names and rows {:.0})",
            N as f64 / bare,
            micros(configure),
            micros(simulate),
            micros(price),
            N as f64 / whole,
            bare / whole,
            once,
            N as f64 / seconds,
            micros(whole),
            micros(storing),
            micros(page),
            micros(whole - bare - storing - page),
        );
    }
}

fn settings(bench: &Bench, design: &str, axes: [&str; 2], key: &str) {
    const ALONE: usize = 20;
    let text = format!(
        "{}[accelerator]\nmodel = \"{design}\"\n[[axes]]\n{}\n[[axes]]\n{}\n",
        bench.base(16),
        axes[0],
        axes[1]
    );
    let folder = tempfile::tempdir().unwrap();
    let (begun, clock) = (cpu(), Instant::now());
    let summary = sweep(&parse(&text), &SweepRun::new(folder.path()), &Silent).unwrap();
    let (whole, wall) = (cpu() - begun, clock.elapsed().as_secs_f64());
    let n_points = summary.n_new;
    assert!(n_points >= 1000);
    let (alone, ()) = timed(|| {
        for point in 0..ALONE {
            let network = Network::open(&bench.model).unwrap();
            let mut set = toml::Table::new();
            set.insert(key.to_owned(), toml::Value::Integer(point as i64 + 1));
            let config = SimulateConfig {
                data: data_of(&bench.data, bench.preprocess, 16),
                input_size: None,
                quantization: EIGHT,
                layers: LayersConfig::default(),
                designs: Designs::embedded(),
                accelerators: vec![AcceleratorConfig {
                    model: design.into(),
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
    });
    let alone = alone / ALONE as f64;
    println!(
        "{design}, 16 images: {n_points} settings in {whole:.2} CPU-s ({wall:.2} s); single simulations {:.1} ms each, {:.1} times as long",
        1e3 * alone,
        n_points as f64 * alone / whole
    );
}
