//! Chips of a design: how their accuracy is spread, and what makes the loss.

use crate::records::{ChipsRecord, SimulationRecord};
use crate::table::{Cell, Column, Table};

fn percent(share: f64) -> Cell {
    Cell::real(100.0 * share, 2)
}

/// Accuracy of the chips of each design that has some; no rows where none has.
pub fn chips_table(simulation: &SimulationRecord) -> Table {
    let columns = vec![
        Column::text("accelerator", "accelerator"),
        Column::number("chips", "chips", ""),
        Column::number("exact_percent", "top-1, exact", "%"),
        Column::number("mean_percent", "mean", "%"),
        Column::number("low_percent", "95 % from", "%"),
        Column::number("high_percent", "to", "%"),
        Column::number("deviation_points", "deviation", "points"),
        Column::number("worst_percent", "worst", "%"),
        Column::number("best_percent", "best", "%"),
    ];
    let mut table = Table::new("Accuracy of chips", columns);
    for accelerator in &simulation.accelerators {
        let Some(chips) = &accelerator.chips else { continue };
        let of = |pick: fn(f64, f64) -> f64| {
            Cell::real(chips.top1.iter().copied().reduce(pick).map(|share| 100.0 * share), 2)
        };
        table.row(vec![
            accelerator.label.clone().into(),
            (chips.top1.len() as u64).into(),
            percent(chips.top1_exact),
            percent(chips.mean),
            percent(chips.interval[0]),
            percent(chips.interval[1]),
            percent(chips.deviation),
            of(f64::min),
            of(f64::max),
        ]);
    }
    table
}

/// What each non-ideality of a design does to the accuracy of its chips, and what is left over; no rows where nobody asked.
pub fn attribution_table(label: &str, chips: &ChipsRecord) -> Table {
    let columns = vec![
        Column::text("non_ideality", "non-ideality"),
        Column::number("alone_points", "lost with it alone", "points"),
        Column::number("removed_points", "won back without it", "points"),
    ];
    let mut table = Table::new(format!("{label}: what the chips lose"), columns);
    for part in &chips.attribution {
        table.row(vec![part.name.clone().into(), Cell::real(part.alone_points, 2), Cell::real(part.removed_points, 2)]);
    }
    if let Some(interaction) = chips.interaction_points {
        table.row(vec![
            "interaction: the loss less the sum of those alone".into(),
            Cell::real(interaction, 2),
            Cell::Empty,
        ]);
        table.row(vec!["all".into(), Cell::real(100.0 * (chips.top1_exact - chips.mean), 2), Cell::Empty]);
    }
    table
}
