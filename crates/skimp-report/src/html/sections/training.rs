//! Loss, accuracy and learning rate over the epochs of a training run.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, Cloud, Scatter, View};
use crate::html::escape;
use crate::records::{TrainingEpoch, TrainingRecord};
use crate::table::{Cell, Column, Table};
use crate::views::{training_table, words_for_count};

/// Training curves.
pub(super) struct Training;

impl Section for Training {
    fn id(&self) -> &'static str {
        "training"
    }

    fn title(&self) -> &'static str {
        "Training"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let training = study.section::<TrainingRecord>().filter(|training| !training.epochs.is_empty())?;
        let curves = [
            Curves {
                id: "training-loss",
                title: "loss",
                unit: "",
                caption: "Mean loss by epoch. Training: each image at the time of its step.",
                lines: &[("training", |epoch| Some(epoch.train_loss)), ("validation", |epoch| epoch.validation_loss)],
                decimals: 4,
            },
            Curves {
                id: "training-accuracy",
                title: "accuracy",
                unit: "%",
                caption: "Images classified correctly (top-1) by epoch. Training: each image at the time of its step.",
                lines: &[
                    ("training", |epoch| Some(100.0 * epoch.train_accuracy)),
                    ("validation", |epoch| epoch.validation_accuracy.map(|accuracy| 100.0 * accuracy)),
                ],
                decimals: 2,
            },
            Curves {
                id: "training-rate",
                title: "learning rate",
                unit: "",
                caption: "Learning rate of the last step of each epoch.",
                lines: &[("learning rate", |epoch| Some(epoch.learning_rate))],
                decimals: 6,
            },
        ];
        let charts: String = curves.iter().map(|curves| curves.html(training)).collect();
        Some(format!("{}{charts}{}", sentence(training), training_table(training).to_html()))
    }
}

fn sentence(training: &TrainingRecord) -> String {
    let words = |count: u64, noun: &str| words_for_count(count, noun);
    let before = training.before.map_or_else(String::new, |before| {
        format!(
            " Before the first step the network classified {:.2} % of the validation images correctly (epoch 0).",
            100.0 * before.validation_accuracy
        )
    });
    format!(
        "<p>{} trained on {} in batches of {}, precision <code>{}</code>, optimizer <code>{}</code>, schedule \
         <code>{}</code>, loss <code>{}</code>.{before}</p>\n",
        words(training.n_parameters, "parameter"),
        words(training.n_train_images, "image"),
        training.batch_size,
        escape(&training.precision),
        escape(&training.optimizer),
        escape(&training.schedule),
        escape(&training.loss),
    )
}

/// Name and value of a line.
type Line = (&'static str, fn(&TrainingEpoch) -> Option<f64>);

/// Lines over epochs.
struct Curves {
    id: &'static str,
    title: &'static str,
    unit: &'static str,
    caption: &'static str,
    lines: &'static [Line],
    decimals: usize,
}

impl Curves {
    fn html(&self, training: &TrainingRecord) -> String {
        let mut columns = vec![Column::number("epoch", "epoch", "")];
        columns.extend(self.lines.iter().map(|(name, _)| Column::number(*name, *name, self.unit)));
        let mut table = Table::new(self.caption, columns);
        for epoch in &training.epochs {
            let mut row = vec![Cell::from(epoch.epoch)];
            row.extend(self.lines.iter().map(|(_, value)| Cell::real(value(epoch), self.decimals)));
            table.row(row);
        }
        let clouds = self.lines.iter().enumerate().map(|(color, (name, value))| {
            let line: Vec<(f64, f64)> =
                training.epochs.iter().filter_map(|epoch| Some((epoch.epoch as f64, value(epoch)?))).collect();
            let points = line.iter().map(|&(x, y)| (format!("epoch {x}"), x, y)).collect();
            Cloud { name: (*name).to_owned(), color, points, roof: line }
        });
        let chart = Chart {
            id: self.id.to_owned(),
            caption: self.caption.to_owned(),
            value_title: self.title.to_owned(),
            unit: self.unit.to_owned(),
            category_title: "epoch".to_owned(),
            scatter: Some(Scatter {
                x_title: "epoch".to_owned(),
                x_unit: String::new(),
                linear: true,
                clouds: clouds.filter(|cloud| !cloud.points.is_empty()).collect(),
            }),
            views: vec![View::default()],
            ..Chart::default()
        };
        chart.to_html(&table)
    }
}
