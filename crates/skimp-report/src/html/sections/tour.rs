//! Levers one after another: where the energy of each stop goes, and what the stop adds.

use indexmap::IndexSet;

use super::Section;
use crate::html::chart::{Chart, N_COLORS, Series, View};
use crate::html::escape;
use crate::number::{self, Scale};
use crate::records::{AcceleratorRecord, StopRecord, TourRecord};
use crate::table::{Cell, Column, Table};
use crate::views::{fitted, words_for_count};
use crate::{StudyRecord, records};

/// The stops, their picture and their tables.
pub(super) struct Tour;

impl Section for Tour {
    fn id(&self) -> &'static str {
        "tour"
    }

    fn title(&self) -> &'static str {
        "Levers one after another"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let tour = study.section::<TourRecord>().filter(|tour| !tour.stops.is_empty())?;
        let texts: String = tour.stops.iter().map(|stop| item(&stop.label, &stop.text)).collect();
        Some(format!(
            "<p class=\"lead\">{}</p>\n{}{}<ol>\n{texts}</ol>\n{}",
            escape(&sentence(tour)).replace(" %", "\u{a0}%"),
            picture(tour).unwrap_or_default(),
            way(tour).to_html(),
            every_design(tour).to_html(),
        ))
    }

    fn text(&self, study: &StudyRecord, width: Option<usize>) -> Vec<String> {
        let Some(tour) = study.section::<TourRecord>().filter(|tour| !tour.stops.is_empty()) else { return Vec::new() };
        vec![fitted(format!("{}\n", sentence(tour)), width), way(tour).to_text(width)]
    }

    fn csv_names(&self) -> &'static [&'static str] {
        &["tour.csv"]
    }

    fn csv(&self, study: &StudyRecord) -> Vec<Table> {
        let tour = study.section::<TourRecord>().filter(|tour| !tour.stops.is_empty());
        tour.map(every_design).into_iter().collect()
    }
}

fn item(label: &str, text: &str) -> String {
    let colon = if text.is_empty() { "" } else { ": " };
    format!("<li><strong>{}</strong>{colon}{}</li>\n", escape(label), escape(text))
}

/// Energy per image in joules.
fn energy(tour: &TourRecord, design: &AcceleratorRecord) -> f64 {
    design.total.energy_mj * 1e-3 / tour.images.max(1) as f64
}

/// Cycles per image.
fn cycles(tour: &TourRecord, design: &AcceleratorRecord) -> f64 {
    design.total.cycles as f64 / tour.images.max(1) as f64
}

fn percent(stop: &StopRecord) -> String {
    stop.top1().map_or_else(|| number::NOT_A_NUMBER.to_owned(), |(top1, _)| number::percent(top1, 2))
}

/// `3.9 times less`, or more.
fn times(gain: f64, less: &str) -> String {
    let (factor, word) = if gain >= 1.0 { (gain, less) } else { (1.0 / gain, "more") };
    format!("{} times {word}", number::fixed(factor, 1))
}

/// What the levers together do, and which stop does not compare.
fn sentence(tour: &TourRecord) -> String {
    let Some((first, others)) = tour.stops.split_first() else { return String::new() };
    let Some(base) = first.designs.first() else { return String::new() };
    let joules = |design: &AcceleratorRecord| number::si(energy(tour, design), "J");
    let mut sentences = Vec::new();
    let own = others.iter().take_while(|stop| !stop.is_another_network && tour.energy_gain(stop, first).is_ok()).last();
    match own.and_then(|last| Some((last, tour.energy_gain(last, first).ok()?, last.designs.first()?))) {
        Some((last, gain, design)) => {
            let cycles = match tour.cycles_gain(last, first) {
                Ok(gain) => format!(" and {} cycles", times(gain, "fewer")),
                Err(_) => String::new(),
            };
            sentences.push(format!(
                "From \"{}\" to \"{}\", {} takes {} energy{cycles} for an image ({} → {}); top-1 goes from {} to {} on {}.",
                first.label,
                last.label,
                first.network,
                times(gain, "less"),
                joules(base),
                joules(design),
                percent(first),
                percent(last),
                words_for_count(last.top1().map_or(0, |(_, n)| n), "image"),
            ));
        }
        None => sentences.push(format!(
            "{} takes {} for an image on {}; top-1 {}.",
            first.network,
            joules(base),
            base.label,
            percent(first)
        )),
    }
    for stop in others.iter().filter(|stop| stop.is_another_network) {
        let Some(design) = stop.designs.first() else { continue };
        let compares = match tour.energy_gain(stop, first) {
            Ok(gain) => format!("{} than the first stop", times(gain, "less")),
            Err(reason) => reason,
        };
        sentences.push(format!(
            "Another network, {} (\"{}\"), takes {} on {} ({compares}); top-1 {}.",
            stop.network,
            stop.label,
            joules(design),
            design.label,
            percent(stop),
        ));
    }
    sentences.join(" ")
}

/// Energy per image of each stop on its first design, by what takes it.
fn picture(tour: &TourRecord) -> Option<String> {
    let firsts: Vec<&AcceleratorRecord> = tour.stops.iter().filter_map(|stop| stop.designs.first()).collect();
    let parts = |design: &AcceleratorRecord| {
        let scopes = design.energy.as_ref().map(|energy| energy.by_scope_mj.clone()).unwrap_or_default();
        scopes.into_iter().filter(|&(_, value)| value > 0.0).collect::<Vec<_>>()
    };
    let largest = firsts.iter().map(|design| energy(tour, design)).fold(0.0, f64::max);
    if firsts.len() < tour.stops.len() || largest <= 0.0 {
        return None;
    }
    let scale = Scale::of(largest, "J");
    let names: IndexSet<String> = firsts.iter().flat_map(|design| parts(design)).map(|(name, _)| name).collect();
    let series = names.iter().enumerate().map(|(idx, name)| Series {
        name: records::scope_words(std::slice::from_ref(name)),
        color: idx % N_COLORS,
        values: firsts
            .iter()
            .map(|design| {
                let own = parts(design).into_iter().find(|(scope, _)| scope == name).map_or(0.0, |(_, value)| value);
                Some(own * 1e-3 / tour.images.max(1) as f64 * scale.factor)
            })
            .collect(),
        ..Series::default()
    });
    let label = |stop: &StopRecord| format!("{} ({})", stop.label, percent(stop));
    let differs: Vec<String> = tour
        .stops
        .iter()
        .skip(1)
        .filter_map(|stop| Some(format!(" \"{}\": {}.", stop.label, tour.energy_gain(stop, &tour.stops[0]).err()?)))
        .collect();
    let chart = Chart {
        id: "tour-chart".to_owned(),
        caption: format!(
            "Energy per image by what takes it, and top-1 accuracy, at each stop; mean of {}. Simulated; accuracy measured here.{}",
            words_for_count(tour.images, "image"),
            differs.concat()
        ),
        value_title: "energy per image".to_owned(),
        unit: scale.unit.clone(),
        category_title: "stop".to_owned(),
        stacked: true,
        flat: true,
        views: vec![View {
            name: String::new(),
            labels: tour.stops.iter().map(label).collect(),
            series: series.collect(),
        }],
        ..Chart::default()
    };
    Some(chart.to_html(&chart.table(4)))
}

/// A row for each stop: what it is, and what it gains over the one before and over the first.
fn way(tour: &TourRecord) -> Table {
    let mut table = Table::new(
        "What each lever adds, on the first design of each stop. Cycles and energy are simulated, per image",
        vec![
            Column::text("stop", "stop"),
            Column::text("design", "design"),
            Column::text("bits", "bits, weights x activations"),
            Column::number("macs", "MACs", ""),
            Column::number("zero_weights_percent", "zero weights", "%"),
            Column::number("weights_kb", "weights", "kB"),
            Column::number("top1_percent", "top-1", "%"),
            Column::number("cycles", "cycles", ""),
            Column::number("energy_uj", "energy", "µJ"),
            Column::text("less_than_before", "times less than before"),
            Column::text("less_than_first", "than first"),
        ],
    );
    for (idx, stop) in tour.stops.iter().enumerate() {
        let Some(design) = stop.designs.first() else { continue };
        let gain = |other: Option<&StopRecord>| match other.map(|other| tour.energy_gain(stop, other)) {
            Some(Ok(gain)) => Cell::Text(number::fixed(gain, 2)),
            Some(Err(reason)) => Cell::Text(reason.split(": ").next().unwrap_or_default().to_owned()),
            None => Cell::Empty,
        };
        let before = idx.checked_sub(1).and_then(|before| tour.stops.get(before));
        table.row(vec![
            stop.label.as_str().into(),
            design.label.as_str().into(),
            format!("{} x {}", stop.weight_bits, stop.activation_bits).into(),
            stop.macs.into(),
            Cell::Real(100.0 * stop.zero_weights as f64 / stop.weights.max(1) as f64, 1),
            Cell::Real(stop.weight_bytes() * 1e-3, 1),
            Cell::real(stop.top1().map(|(top1, _)| 100.0 * top1), 2),
            (cycles(tour, design).round() as u64).into(),
            Cell::Real(energy(tour, design) * 1e6, 2),
            gain(before),
            gain(tour.stops.first().filter(|_| idx > 0)),
        ]);
    }
    table
}

/// A row for each stop and design.
fn every_design(tour: &TourRecord) -> Table {
    let mut table = Table::new(
        "Every design at every stop, each at its own clock and node. Simulated, per image",
        vec![
            Column::text("stop", "stop"),
            Column::text("network", "network"),
            Column::number("weight_bits", "weights", "bits"),
            Column::number("activation_bits", "activations", "bits"),
            Column::text("design", "design"),
            Column::number("cycles", "cycles", ""),
            Column::number("latency_ms", "time", "ms"),
            Column::number("energy_uj", "energy", "µJ"),
            Column::text("costs", "priced by"),
            Column::text("not_priced", "not priced"),
            Column::number("top1_percent", "top-1 of the design", "%"),
            Column::text("void", "what it saves"),
        ],
    );
    for stop in &tour.stops {
        for design in &stop.designs {
            let not_priced = design.energy.as_ref().map_or_else(String::new, |own| records::scope_words(&own.left_out));
            let top1 = stop.top1_on(design);
            table.row(vec![
                stop.label.as_str().into(),
                stop.network.as_str().into(),
                u64::from(stop.weight_bits).into(),
                u64::from(stop.activation_bits).into(),
                design.label.as_str().into(),
                (cycles(tour, design).round() as u64).into(),
                Cell::Real(design.total.latency_ms, 4),
                Cell::Real(energy(tour, design) * 1e6, 2),
                design.costs.as_str().into(),
                not_priced.into(),
                Cell::real(top1.map(|(top1, _)| 100.0 * top1), 2),
                design.void(tour.allowed_loss_points).map_or(Cell::Empty, Cell::Text),
            ]);
        }
    }
    table
}
