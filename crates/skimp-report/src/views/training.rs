//! A training run as a table.

use crate::records::TrainingRecord;
use crate::table::{Cell, Column, Table};

/// One row per epoch.
pub fn training_table(training: &TrainingRecord) -> Table {
    let mut table = Table::new(
        "Loss and accuracy by epoch, measured here",
        vec![
            Column::number("epoch", "epoch", ""),
            Column::number("step", "steps", ""),
            Column::number("learning_rate", "learning rate", ""),
            Column::number("train_loss", "training loss", ""),
            Column::number("train_accuracy_percent", "training accuracy", "%"),
            Column::number("validation_loss", "validation loss", ""),
            Column::number("validation_accuracy_percent", "validation accuracy", "%"),
            Column::number("skipped_steps", "skipped steps", ""),
            Column::number("seconds", "time", "s"),
            Column::number("images_per_second", "rate", "images/s"),
        ],
    );
    if let Some(before) = &training.before {
        let mut row = vec![0_u64.into(), 0_u64.into()];
        row.extend([Cell::Empty, Cell::Empty, Cell::Empty]);
        row.extend([Cell::real(before.validation_loss, 4), Cell::real(100.0 * before.validation_accuracy, 2)]);
        row.extend([Cell::Empty, Cell::Empty, Cell::Empty]);
        table.row(row);
    }
    for epoch in &training.epochs {
        table.row(vec![
            epoch.epoch.into(),
            epoch.step.into(),
            Cell::real(epoch.learning_rate, 6),
            Cell::real(epoch.train_loss, 4),
            Cell::real(100.0 * epoch.train_accuracy, 2),
            Cell::real(epoch.validation_loss, 4),
            Cell::real(epoch.validation_accuracy.map(|accuracy| 100.0 * accuracy), 2),
            epoch.skipped_steps.into(),
            Cell::real(epoch.seconds, 1),
            Cell::real(epoch.images_per_second, 0),
        ]);
    }
    table
}
