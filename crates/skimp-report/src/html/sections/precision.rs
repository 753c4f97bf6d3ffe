//! One network under several precision policies: accuracy, loss curves, and what rounding lost.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, Cloud, N_COLORS, Scatter, View};
use crate::html::escape;
use crate::records::{PolicyRecord, PrecisionRecord};
use crate::table::{Cell, Column, Table};
use crate::views::{casts_table, curves_table, mean_curve, precision_table, words_for_count};

/// Precision policies side by side.
pub(super) struct Precision;

impl Section for Precision {
    fn id(&self) -> &'static str {
        "precision"
    }

    fn title(&self) -> &'static str {
        "Training in few bits"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let record = study.section::<PrecisionRecord>().filter(|record| !record.policies.is_empty())?;
        let casts = casts_table(record);
        let casts = if casts.rows.is_empty() { String::new() } else { casts.to_html() };
        Some(format!(
            "{}{}{}{}{casts}",
            sentence(record),
            precision_table(record).to_html(),
            charts(record),
            diverged(record)
        ))
    }

    fn text(&self, study: &StudyRecord, width: Option<usize>) -> Vec<String> {
        let table = study.section::<PrecisionRecord>().map(|record| {
            let mut table = precision_table(record);
            // What is written in the study's file belongs in the report, not in a terminal's columns.
            table.columns.truncate(7);
            table.to_text(width)
        });
        table.into_iter().collect()
    }

    fn csv_names(&self) -> &'static [&'static str] {
        &["precision.csv", "casts.csv", "curves.csv"]
    }

    fn csv(&self, study: &StudyRecord) -> Vec<Table> {
        let record = study.section::<PrecisionRecord>();
        record.map_or_else(Vec::new, |record| vec![precision_table(record), casts_table(record), curves_table(record)])
    }
}

fn sentence(record: &PrecisionRecord) -> String {
    format!(
        "<p>{} trained for {} on {} in batches of {}, once per seed ({}) and policy; accuracy on {} after the last \
         epoch.</p>\n",
        words_for_count(record.n_parameters, "parameter"),
        words_for_count(record.epochs, "epoch"),
        words_for_count(record.n_train_images, "image"),
        record.batch_size,
        record.seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
        words_for_count(record.n_validation_images, "image"),
    )
}

/// Where runs ended early.
fn diverged(record: &PrecisionRecord) -> String {
    let mut items = String::new();
    for policy in &record.policies {
        for run in &policy.runs {
            if let Some(cause) = &run.diverged {
                let (label, cause) = (escape(&policy.label), escape(cause));
                items.push_str(&format!("<li>{label}, seed {}: {cause}</li>\n", run.seed));
            }
        }
    }
    if items.is_empty() { items } else { format!("<p>Runs that diverged:</p>\n<ul>\n{items}</ul>\n") }
}

/// Identifiers of the charts of loss curves, each of which shows the baseline and some others.
const CHARTS: [&str; 6] = [
    "precision-loss",
    "precision-loss-2",
    "precision-loss-3",
    "precision-loss-4",
    "precision-loss-5",
    "precision-loss-6",
];

fn charts(record: &PrecisionRecord) -> String {
    let baseline = record.policy(&record.baseline);
    let others: Vec<&PolicyRecord> = record.policies.iter().filter(|policy| policy.label != record.baseline).collect();
    let mut charts = String::new();
    for (id, others) in CHARTS.iter().zip(others.chunks(N_COLORS - 1)) {
        let shown: Vec<&PolicyRecord> = baseline.into_iter().chain(others.iter().copied()).collect();
        charts.push_str(&chart(id, &shown));
    }
    charts
}

fn chart(id: &'static str, policies: &[&PolicyRecord]) -> String {
    let caption = "Mean training loss by epoch, over the runs that finished it.";
    let columns = vec![
        Column::text("policy", "policy"),
        Column::number("epoch", "epoch", ""),
        Column::number("train_loss", "training loss", ""),
    ];
    let mut table = Table::new(caption, columns);
    let mut clouds = Vec::new();
    for (color, policy) in policies.iter().enumerate() {
        let curve = mean_curve(policy);
        for &(epoch, loss) in &curve {
            table.row(vec![policy.label.as_str().into(), epoch.into(), Cell::real(loss, 4)]);
        }
        let line: Vec<(f64, f64)> = curve.iter().map(|&(epoch, loss)| (epoch as f64, loss)).collect();
        let points = line.iter().map(|&(x, y)| (format!("{}, epoch {x}", policy.label), x, y)).collect();
        if !line.is_empty() {
            clouds.push(Cloud { name: policy.label.clone(), color, points, roof: line });
        }
    }
    let chart = Chart {
        id: id.to_owned(),
        caption: caption.to_owned(),
        value_title: "loss".to_owned(),
        category_title: "epoch".to_owned(),
        scatter: Some(Scatter { x_title: "epoch".to_owned(), x_unit: String::new(), linear: true, clouds }),
        views: vec![View::default()],
        ..Chart::default()
    };
    chart.to_html(&table)
}
