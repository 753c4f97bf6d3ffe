//! Precision policies as tables.

use super::words_for_count;
use crate::records::{PolicyRecord, PrecisionRecord, Spread};
use crate::table::{Cell, Column, Table};

/// One row per policy: accuracy, and what it is against the baseline.
pub fn precision_table(record: &PrecisionRecord) -> Table {
    let mut table = Table::new(
        format!(
            "Accuracy by precision policy, measured here: mean and sample standard deviation over {}; differences to {} \
             in points, seed by seed",
            words_for_count(record.seeds.len() as u64, "seed"),
            record.baseline
        ),
        vec![
            Column::text("policy", "policy"),
            Column::number("top1_percent", "top-1", "%"),
            Column::number("top1_std_percent", "std", "%"),
            Column::number("difference_percent", "difference", "points"),
            Column::number("difference_std_percent", "std", "points"),
            Column::number("diverged", "diverged", "runs"),
            Column::number("skipped_steps", "skipped steps", ""),
            Column::text("ablates", "ablation of"),
            Column::text("precision", "as written"),
        ],
    );
    for policy in &record.policies {
        let mean = |spread: Option<Spread>| Cell::real(spread.map(|spread| 100.0 * spread.mean), 2);
        let std = |spread: Option<Spread>| Cell::real(spread.and_then(|spread| spread.std).map(|std| 100.0 * std), 2);
        table.row(vec![
            policy.label.as_str().into(),
            mean(policy.top1),
            std(policy.top1),
            mean(policy.difference),
            std(policy.difference),
            policy.n_diverged.into(),
            policy.skipped_steps.into(),
            policy.ablates.as_deref().unwrap_or("").into(),
            policy.precision.as_str().into(),
        ]);
    }
    table
}

/// One row per policy and class of tensors: the share of elements that rounding changed beyond repair.
pub fn casts_table(record: &PrecisionRecord) -> Table {
    let mut table = Table::new(
        "Shares of rounded elements that overflowed, underflowed to zero, or were flushed, measured here over all training \
         steps",
        vec![
            Column::text("policy", "policy"),
            Column::text("class", "tensors"),
            Column::number("elements", "elements", ""),
            Column::number("overflow_percent", "overflow", "%"),
            Column::number("underflow_percent", "underflow", "%"),
            Column::number("flushed_percent", "flushed", "%"),
        ],
    );
    for policy in &record.policies {
        for cast in &policy.casts {
            let share = |count: u64| Cell::real(100.0 * count as f64 / cast.elements.max(1) as f64, 4);
            table.row(vec![
                policy.label.as_str().into(),
                cast.class.as_str().into(),
                cast.elements.into(),
                share(cast.overflows),
                share(cast.underflows),
                share(cast.flushed),
            ]);
        }
    }
    table
}

/// One row per run and epoch.
pub fn curves_table(record: &PrecisionRecord) -> Table {
    let mut table = Table::new(
        "Loss and accuracy of every run by epoch, measured here",
        vec![
            Column::text("policy", "policy"),
            Column::number("seed", "seed", ""),
            Column::number("epoch", "epoch", ""),
            Column::number("train_loss", "training loss", ""),
            Column::number("validation_loss", "validation loss", ""),
            Column::number("validation_accuracy_percent", "validation accuracy", "%"),
        ],
    );
    for policy in &record.policies {
        for run in &policy.runs {
            for point in &run.curve {
                table.row(vec![
                    policy.label.as_str().into(),
                    run.seed.into(),
                    point.epoch.into(),
                    Cell::real(point.train_loss, 4),
                    Cell::real(point.validation_loss, 4),
                    Cell::real(point.validation_accuracy.map(|accuracy| 100.0 * accuracy), 2),
                ]);
            }
        }
    }
    table
}

/// Mean training loss of a policy's runs by epoch, over the runs that finished the epoch.
pub(crate) fn mean_curve(policy: &PolicyRecord) -> Vec<(u64, f64)> {
    let n_epochs = policy.runs.iter().map(|run| run.curve.len()).max().unwrap_or(0);
    (0..n_epochs)
        .filter_map(|idx| {
            let points: Vec<_> = policy.runs.iter().filter_map(|run| run.curve.get(idx)).collect();
            let losses: Vec<f64> = points.iter().map(|point| point.train_loss).collect();
            Some((points.first()?.epoch, Spread::of(&losses)?.mean))
        })
        .collect()
}
