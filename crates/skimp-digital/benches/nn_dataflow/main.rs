//! The schedules of TETRIS's engine for layers that a file lists, and how many networks a CPU-second finds: one side of the
//! comparison that `run.py` beside this file prints.
//!
//!     cargo bench -p skimp-digital --bench nn_dataflow -- LAYERS ARRAY_ROWS ARRAY_COLUMNS BUFFER_BYTES REGISTER_BYTES GOAL
//!
//! A line of LAYERS: name c k h w r s stride. Without arguments it does nothing.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench")]

use skimp_digital::tetris::TETRIS_L1;
use skimp_sim::{Accelerator, LayerKind, LayerResult, LayerShape, LayerWorkload, ShapeSpec};

/// Costs of nn-dataflow by default, relative to a multiply-accumulate; no static energy.
const COSTS: &str = "
schema = 1
name = \"relative\"
summary = \"the defaults of nn-dataflow\"
technology_nm = 65
[mac]
op_pj = 1.0
source = \"stanford-mast/nn_dataflow 2.1, defaults\"
[rf]
access_pj = 1.0
source = \"stanford-mast/nn_dataflow 2.1, defaults\"
[itcn]
access_pj = 2.0
source = \"stanford-mast/nn_dataflow 2.1, defaults\"
[gbuf]
access_pj = 6.0
source = \"stanford-mast/nn_dataflow 2.1, defaults\"
[dram]
cell_pj = 200.0
transfer_pj = 0.0
source = \"stanford-mast/nn_dataflow 2.1, defaults\"
[noc]
hop_pj = 0.0
source = \"one node\"
[static]
power_mw = 0.0
source = \"none\"
[vault]
area_mm2 = 1.0
source = \"none\"
";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [layers, rows, columns, buffer, registers, goal] = &arguments[..] else { return };
    let layers: Vec<LayerWorkload> = std::fs::read_to_string(layers).unwrap().lines().map(layer).collect();
    // As the open model has it: memory without a bound, whole arrays, sums in the engine.
    let settings = format!(
        "batch = 1\narray_rows = {rows}\narray_columns = {columns}\nbuffer_bytes = {buffer}\nregister_bytes = {registers}\n\
         dram_megabytes_per_s = 0.0\nwhole_array = true\ngoal = {goal:?}\ncosts = '''{COSTS}'''"
    );
    let settings: toml::Table = settings.parse().unwrap();
    let search = || {
        let engine = TETRIS_L1.engine(&settings).unwrap();
        let results = engine.simulate_network(&layers).unwrap().unwrap();
        (engine, results)
    };
    let (engine, results) = search();
    let (mut n_searched, begun) = (0, cpu());
    while cpu() - begun < 2.0 {
        assert_eq!(search().1.len(), layers.len());
        n_searched += 1;
    }
    println!("seconds {:e}", (cpu() - begun) / f64::from(n_searched));
    for result in &results {
        let events = |name: &str| result.events.get(name).unwrap();
        let dram: u64 = ["dram_filter_words", "dram_ifmap_words", "dram_ofmap_words"].map(events).iter().sum();
        let cost = 1e3 * engine.facts().price(result).unwrap().total_nj();
        println!(
            "layer {} {} {cost:e} {dram} {} {}",
            result.layer,
            cycles(result),
            events("gbuf_words"),
            events("itcn_words")
        );
    }
}

fn cycles(result: &LayerResult) -> u64 {
    result.total_cycles()
}

fn layer(line: &str) -> LayerWorkload {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [c, k, h, w, r, s, stride] = std::array::from_fn(|idx| fields[idx + 1].parse().unwrap());
    let square = ShapeSpec::square(c, h, w, k, r);
    // Padding is part of the extents.
    let spec = ShapeSpec { s, strides: [stride; 2], pads_begin: [0; 2], pads_end: [0; 2], ..square };
    let kind = if h * w == 1 { LayerKind::Dense } else { LayerKind::Conv };
    LayerWorkload::of_shape(fields[0], kind, LayerShape::new(spec).unwrap())
}

/// CPU-seconds of this process so far, in hundredths (Linux).
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1;
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}
