//! An optimization in sentences and tables.

use crate::number;
use crate::records::{JudgementRecord, OptimizeRecord, TriedRecord};
use crate::table::{Cell, Column, Table};

/// What came out, in sentences, each on its line.
#[must_use]
pub fn optimize_sentences(record: &OptimizeRecord) -> String {
    let n = |status: &str| record.n_with(status);
    let mut text = format!(
        "{}: {} points tried ({}), {} within {} points of top-1 on the search images, {} beyond, {} without gain, {} failed; \
         {:.0} s\n",
        record.objective,
        record.path.len(),
        record.strategy,
        n("best") + n("kept"),
        record.max_loss,
        n("lossy"),
        n("no gain"),
        n("failed"),
        record.seconds
    );
    let Some(judged) = &record.judgement else {
        text.push_str(
            "stopped: the best so far is written; the final images have not been looked at, nothing is proven\n",
        );
        return text;
    };
    text.push_str(&gain(record, judged));
    text.push('\n');
    text.push_str(&loss(record, judged));
    text.push('\n');
    text
}

/// The gain in words.
pub(crate) fn gain(record: &OptimizeRecord, judged: &JudgementRecord) -> String {
    if !record.is_turned() || judged.gain <= 1.0 {
        "no better than the start".to_owned()
    } else {
        format!("{:.2} times less {} than at the start", judged.gain, record.unit)
    }
}

/// The loss in words.
pub(crate) fn loss(record: &OptimizeRecord, judged: &JudgementRecord) -> String {
    let [low, high] = judged.loss_interval;
    format!(
        "loss on {} final images: {:.2} points, 95 % interval {low:.2} to {high:.2} ({}); bound {}: {}",
        judged.images, judged.loss, judged.interval_method, record.max_loss, judged.verdict
    )
}

/// The tables for a terminal: the judgement and what each lever contributes, or the points where there is neither.
#[must_use]
pub fn optimize_tables(record: &OptimizeRecord) -> Vec<Table> {
    let mut tables: Vec<Table> = record.judgement.iter().map(|judged| judged_table(record, judged)).collect();
    if !record.contributions.is_empty() {
        tables.push(contribution_table(record));
    }
    if tables.is_empty() {
        tables.push(path_table(record));
    }
    tables
}

/// The float network, the start and the result on the final images.
pub(crate) fn judged_table(record: &OptimizeRecord, judged: &JudgementRecord) -> Table {
    let columns = vec![
        Column::text("network", "network"),
        Column::number("objective", record.objective.as_str(), record.unit.as_str()),
        Column::number("top1", "top-1", "%"),
        Column::text("interval", "95 % interval"),
    ];
    let mut table = Table::new(format!("on {} final images", judged.images), columns);
    for (name, own) in [("float", &judged.float), ("start", &judged.start), ("result", &judged.result)] {
        let [low, high] = own.top1_interval.map(|share| 100.0 * share);
        table.row(vec![
            name.into(),
            Cell::real(own.objective, decimals(own.objective)),
            Cell::real(100.0 * own.top1, 2),
            format!("{low:.2} to {high:.2}").as_str().into(),
        ]);
    }
    table
}

/// The result without one lever after the other.
pub(crate) fn contribution_table(record: &OptimizeRecord) -> Table {
    let columns = vec![
        Column::text("lever", "lever"),
        Column::text("value", "value"),
        Column::number("objective_without", "without it", record.unit.as_str()),
        Column::number("times", "times larger", ""),
        Column::number("loss_without", "loss without it", "points"),
    ];
    let mut table = Table::new("what each lever contributes to the result, on the search images", columns);
    for own in &record.contributions {
        table.row(vec![
            own.lever.as_str().into(),
            own.value.as_str().into(),
            Cell::real(own.objective_without, decimals(own.objective_without)),
            Cell::real(own.times, 3),
            Cell::real(own.loss_without, 2),
        ]);
    }
    table
}

/// Levers and their values in words; a reason at the end.
pub(crate) fn turned(own: &TriedRecord) -> String {
    let all: Vec<String> = own.turned.iter().map(|(lever, value)| format!("{lever} {value}")).collect();
    let turned = if all.is_empty() { "none".to_owned() } else { all.join("; ") };
    match &own.reason {
        Some(reason) => format!("{turned}: {reason}"),
        None => turned,
    }
}

/// Every point.
pub(crate) fn path_table(record: &OptimizeRecord) -> Table {
    points_table(record, "points in the order in which they were tried, on the search images", |_| true)
}

/// The points that `chosen` takes.
pub(crate) fn points_table(record: &OptimizeRecord, caption: &str, chosen: impl Fn(&TriedRecord) -> bool) -> Table {
    let columns = vec![
        Column::number("point", "point", ""),
        Column::text("why", "why"),
        Column::text("status", "status"),
        Column::number("objective", record.objective.as_str(), record.unit.as_str()),
        Column::number("loss", "loss", "points"),
        Column::number("loss_error", "error", "points"),
        Column::number("images", "images", ""),
        Column::text("turned", "turned"),
    ];
    let mut table = Table::new(caption, columns);
    for (idx, own) in record.path.iter().enumerate().filter(|(_, own)| chosen(own)) {
        table.row(vec![
            (idx as u64).into(),
            own.why.as_str().into(),
            own.status.as_str().into(),
            Cell::real(own.objective, decimals(own.objective)),
            Cell::real(own.loss, 2),
            Cell::real(own.loss_error, 2),
            own.images.into(),
            turned(own).as_str().into(),
        ]);
    }
    table
}

/// Where the time went.
pub(crate) fn spent_table(record: &OptimizeRecord) -> Table {
    let columns = vec![
        Column::text("what", "what"),
        Column::number("seconds", "time", "s"),
        Column::number("share", "share", "%"),
    ];
    let mut table = Table::new(format!("where {:.0} s went", record.seconds), columns);
    let spent = &record.spent;
    let known = [
        ("pruning, recasting and training", spent.reducing),
        ("calibrating and quantizing", spent.quantizing),
        ("answers on the search images", spent.judging),
        ("traces and simulations", spent.simulating),
        ("how much each layer's widths matter", spent.sensitivity),
        ("the final images", spent.last),
    ];
    let rest = (record.seconds - known.iter().map(|(_, seconds)| seconds).sum::<f64>()).max(0.0);
    for (what, seconds) in known.into_iter().chain([("all else", rest)]) {
        let share = if record.seconds > 0.0 { 100.0 * seconds / record.seconds } else { 0.0 };
        table.row(vec![what.into(), Cell::real(seconds, 1), Cell::real(share, 1)]);
    }
    table
}

/// Widths of the result's layers; `None` where all are alike.
pub(crate) fn width_table(record: &OptimizeRecord) -> Option<Table> {
    let columns = vec![
        Column::text("layer", "layer"),
        Column::number("weight_bits", "weights", "bits"),
        Column::number("activation_bits", "activations", "bits"),
    ];
    let mut table = Table::new("widths of the result's layers", columns);
    for own in &record.widths {
        table.row(vec![
            own.layer.as_str().into(),
            u64::from(own.weight_bits).into(),
            u64::from(own.activation_bits).into(),
        ]);
    }
    (!record.widths.is_empty()).then_some(table)
}

/// Sets of images and their digests.
pub(crate) fn set_table(record: &OptimizeRecord) -> Table {
    let columns = vec![
        Column::text("set", "set"),
        Column::text("split", "split"),
        Column::number("images", "images", ""),
        Column::text("sha256", "SHA-256 of their places"),
    ];
    let mut table = Table::new("disjoint sets of images", columns);
    for set in &record.sets {
        let images = (set.images as u64).into();
        table.row(vec![set.name.as_str().into(), set.split.as_str().into(), images, set.sha256.as_str().into()]);
    }
    table
}

/// Levers, their rungs, and those that there are not.
pub(crate) fn lever_table(record: &OptimizeRecord) -> Table {
    let columns = vec![Column::text("lever", "lever"), Column::text("values", "values, the start's first")];
    let mut table = Table::new("what could be turned", columns);
    for lever in &record.levers {
        table.row(vec![lever.name.as_str().into(), lever.values.join(" · ").as_str().into()]);
    }
    for own in &record.left_out {
        table.row(vec![own.name.as_str().into(), format!("no lever here: {}", own.reason).as_str().into()]);
    }
    table
}

/// The report as text in Markdown: sentences, then every table.
#[must_use]
pub fn optimize_text(record: &OptimizeRecord) -> String {
    let mut text = format!("# {} within {} points of top-1\n\n", record.objective, record.max_loss);
    let sentences = optimize_sentences(record);
    text.push_str(&format!("{} on {}, seed {}\n\n{sentences}\n", record.model.path, record.data, record.seed));
    if !record.command.is_empty() {
        text.push_str(&format!("    {}\n\n", record.command));
    }
    for note in &record.notes {
        text.push_str(&format!("- {note}\n"));
    }
    let mut tables = optimize_tables(record);
    tables.extend(width_table(record));
    tables.extend([path_table(record), lever_table(record), set_table(record), spent_table(record)]);
    for table in tables {
        text.push_str(&format!("\n```\n{}```\n", table.to_text(None)));
    }
    text
}

/// Decimals that show some five digits.
pub(crate) fn decimals(value: Option<f64>) -> usize {
    let digits = value.unwrap_or(0.0).abs().log10().floor();
    if digits.is_finite() { (4.0 - digits).clamp(0.0, 9.0) as usize } else { 0 }
}

/// A value of the objective, some five digits.
pub(crate) fn shown(value: f64) -> String {
    number::fixed(value, decimals(Some(value)))
}
