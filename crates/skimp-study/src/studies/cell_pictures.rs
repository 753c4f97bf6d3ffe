//! Pictures of resistive cells: how programmed conductances are spread, and a tile of a network's weights.

use skimp_analog::{Cell, Chip};
use skimp_graph::{Graph, Op};
use skimp_report::records::{ChartRecord, CloudRecord, PointRecord};
use toml::{Table, Value};

/// Cells of either state behind a distribution.
const CELLS: usize = 20_000;

/// Bins of a distribution.
const BINS: usize = 60;

/// The cell, the tile and the chip of a resolved design; `None` for one that is not made of cells of two states.
fn sample_of(config: &Table) -> Option<(Cell, [usize; 2], Chip)> {
    let number = |key: &str| config.get(key).and_then(|v: &Value| v.as_float().or(v.as_integer().map(|n| n as f64)));
    let lrs_ohm = number("lrs_ohm")?;
    let cell = Cell {
        lrs_ohm,
        hrs_ohm: lrs_ohm * number("on_off_ratio")?,
        read_volts: number("read_volts")?,
        lrs_spread: number("lrs_spread")?,
        hrs_spread: number("hrs_spread")?,
        read_noise: number("read_noise")?,
        stuck_at_lrs: number("stuck_at_lrs")?,
        stuck_at_hrs: number("stuck_at_hrs")?,
    };
    let tile = ["inputs_per_tile", "columns_per_tile"].map(|key| number(key).map_or(0, |n| n as usize));
    let chip = Chip { seed: number("seed")? as u64, number: number("chip")? as u64 };
    (tile[0] > 0 && tile[1] > 0).then_some((cell, tile, chip))
}

/// The distribution of both states, and the first tile of the network's first layer of binary weights, on one chip.
pub(crate) fn pictures(label: &str, config: &Table, graph: &Graph) -> Vec<ChartRecord> {
    let Some((cell, tile, chip)) = sample_of(config) else { return Vec::new() };
    std::iter::once(distribution(label, &cell, chip)).chain(map(label, (&cell, tile, chip), graph)).collect()
}

/// Decimal logarithm of a conductance in microsiemens.
fn place(siemens: f64) -> f64 {
    (1e6 * siemens).log10()
}

fn distribution(label: &str, cell: &Cell, chip: Chip) -> ChartRecord {
    let states = [("LRS", true), ("HRS", false)];
    let places = states.map(|(name, is_low)| {
        let drawn = chip.program(cell, &[is_low; CELLS], u64::from(is_low));
        (name, drawn.into_iter().map(place).collect::<Vec<_>>())
    });
    let all = || places.iter().flat_map(|(_, places)| places).copied();
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    let width = (high - low).max(1e-3) / BINS as f64;
    let line = |places: &[f64]| {
        let mut counts = [0_usize; BINS];
        places.iter().for_each(|x| counts[(((x - low) / width) as usize).min(BINS - 1)] += 1);
        let middle = |bin: usize| low + (bin as f64 + 0.5) * width;
        let share = |count: usize| 100.0 * count as f64 / CELLS as f64;
        counts.iter().enumerate().map(|(bin, &count)| [middle(bin), share(count)]).collect()
    };
    let clouds = places.iter().map(|(name, places)| {
        let (mean, y) = (places.iter().sum::<f64>() / CELLS as f64, 0.0);
        let point = PointRecord { name: format!("{name}, mean"), x: mean, y };
        CloudRecord { name: (*name).to_owned(), points: vec![point], line: line(places) }
    });
    ChartRecord {
        caption: format!("{label}: conductances of {CELLS} programmed cells of either state, in {BINS} steps"),
        axes: ["decimal logarithm of the conductance in microsiemens".to_owned(), "share of the cells".to_owned()],
        units: [String::new(), "%".to_owned()],
        clouds: clouds.collect(),
    }
}

/// The weights of the first layer whose filters have one magnitude each, `[outputs][inputs]`.
fn binary_layer(graph: &Graph) -> Option<(&str, &[f32], usize)> {
    graph.nodes().iter().filter(|node| matches!(node.op, Op::Conv(_) | Op::Gemm(_))).find_map(|node| {
        let weight = graph.constant(node.inputs.get(1).copied().flatten()?)?;
        let (&outputs, elements) = (weight.shape().first()?, weight.as_f32()?);
        let inputs = elements.len() / outputs.max(1);
        let is_one =
            |filter: &[f32]| filter.iter().all(|w| *w != 0.0 && w.abs().to_bits() == filter[0].abs().to_bits());
        let transposed = matches!(&node.op, Op::Gemm(gemm) if !gemm.trans_b);
        let is_binary = inputs > 0 && !transposed && elements.chunks(inputs).all(is_one);
        is_binary.then_some((node.name.as_str(), elements, inputs))
    })
}

fn map(label: &str, (cell, [rows, columns], chip): (&Cell, [usize; 2], Chip), graph: &Graph) -> Option<ChartRecord> {
    let (layer, weights, inputs) = binary_layer(graph)?;
    let (rows, columns) = (rows.min(inputs), columns.min(weights.len() / inputs));
    let states: Vec<bool> =
        (0..rows).flat_map(|row| (0..columns).map(move |column| weights[column * inputs + row] > 0.0)).collect();
    let drawn = chip.program(cell, &states, 0);
    let classes = ["below", "as programmed", "above"];
    let mut clouds: Vec<CloudRecord> = ["LRS", "HRS"]
        .iter()
        .flat_map(|state| {
            classes.map(|class| CloudRecord { name: format!("{state}, {class}"), ..CloudRecord::default() })
        })
        .collect();
    for (idx, (&is_low, &siemens)) in states.iter().zip(&drawn).enumerate() {
        let (nominal, spread) =
            if is_low { (cell.lrs_siemens(), cell.lrs_spread) } else { (cell.hrs_siemens(), cell.hrs_spread) };
        let off = (siemens / nominal).ln();
        // Within a standard deviation, or beyond it.
        let class = if off < -spread {
            0
        } else if off > spread {
            2
        } else {
            1
        };
        let (row, column) = (idx / columns, idx % columns);
        let name = format!("row {row}, column {column}: {:.2} microsiemens", 1e6 * siemens);
        let point = PointRecord { name, x: column as f64, y: row as f64 };
        clouds[3 * usize::from(!is_low) + class].points.push(point);
    }
    clouds.retain(|cloud| !cloud.points.is_empty());
    Some(ChartRecord {
        caption: format!(
            "{label}: cells of the first tile of layer \"{layer}\", chip {}; below and above: more than one standard deviation off",
            chip.number
        ),
        axes: ["column".to_owned(), "row".to_owned()],
        units: [String::new(), String::new()],
        clouds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inputs::network::Network;
    use crate::simulate::designs::Designs;

    fn config(name: &str) -> Table {
        let designs = Designs::embedded();
        let configured = designs.find(name).unwrap().configure(&Table::new()).unwrap();
        configured.facts().config.clone()
    }

    #[test]
    fn a_tile_has_a_cell_for_each_weight() {
        let network = Network::open("sample-bnn").unwrap();
        let charts = pictures("tile", &config("bsnn-tile"), &network.graph);
        assert_eq!(charts.len(), 2);
        let [low, high] = [0, 1].map(|idx| &charts[0].clouds[idx]);
        for cloud in [low, high] {
            let total: f64 = cloud.line.iter().map(|[_, share]| share).sum();
            assert!((total - 100.0).abs() < 1e-6, "{total}");
        }
        // 6 kohm and 900 kohm: 166.7 and 1.11 microsiemens.
        assert!(
            (low.points[0].x - 166.67_f64.log10()).abs() < 0.01 && (high.points[0].x - 1.111_f64.log10()).abs() < 0.01
        );
        let (_, weights, inputs) = binary_layer(&network.graph).unwrap();
        let cells: usize = charts[1].clouds.iter().map(|cloud| cloud.points.len()).sum();
        assert_eq!(cells, 27.min(inputs) * 32.min(weights.len() / inputs));
        assert!(pictures("others", &config("dadiannao"), &network.graph).is_empty());
    }
}
