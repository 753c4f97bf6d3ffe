//! What a sweep did, as text for people.

use serde::Serialize;
use serde_json::Value as Json;
use skimp_report::number;
use skimp_report::records::{PointStatus, SweepRecord};
use skimp_report::table::{Cell, Column, Table};
use skimp_study::Tabular;

use crate::stages::StageCount;

/// Points of the front that a table names at most.
const MAX_ROWS: usize = 20;

/// Reasons that a text tells at most.
const MAX_REASONS: usize = 3;

/// What a sweep did.
#[derive(Clone, Debug, Serialize)]
pub struct SweepSummary {
    /// All points that are there, those of earlier runs among them.
    pub record: SweepRecord,
    /// Points of the search that are done.
    pub n_done: usize,
    /// Points of the search, as far as it is known.
    pub n_points: usize,
    /// Points that this run worked out.
    pub n_new: usize,
    /// Names of the points that no other one within the constraints dominates.
    pub front: Vec<String>,
    /// Whether the user stopped it.
    pub interrupted: bool,
    /// Wall-clock time.
    pub seconds: f64,
    /// What each stage worked out, and how often points shared it.
    pub stages: Vec<StageCount>,
}

impl SweepSummary {
    /// What became of the points, in a sentence or two.
    fn sentences(&self) -> String {
        let record = &self.record;
        let n = |status| record.n_with(status);
        let count = |n: usize| number::count(n as u64);
        let what = if self.interrupted { "stopped: " } else { "" };
        let mut text = format!(
            "{}: {what}{} of {} points are done, {} of them in this run ({:.1} s): {} ran, {} break a constraint, {} failed\n",
            record.name,
            count(self.n_done),
            count(self.n_points),
            count(self.n_new),
            self.seconds,
            count(n(PointStatus::Ok)),
            count(n(PointStatus::Infeasible)),
            count(n(PointStatus::Failed)),
        );
        let mut reasons: Vec<(usize, &str)> = Vec::new();
        for (_, reason) in
            record.status.iter().zip(&record.reasons).filter(|(status, _)| **status == PointStatus::Failed)
        {
            match reasons.iter_mut().find(|(_, known)| known == reason) {
                Some((n, _)) => *n += 1,
                None => reasons.push((1, reason)),
            }
        }
        reasons.sort_by_key(|&(n, _)| std::cmp::Reverse(n));
        for (n, reason) in reasons.iter().take(MAX_REASONS) {
            text.push_str(&format!("failed {} times: {reason}\n", count(*n)));
        }
        if reasons.len() > MAX_REASONS {
            text.push_str(&format!("and for {} other reasons\n", reasons.len() - MAX_REASONS));
        }
        let shared: Vec<String> = self
            .stages
            .iter()
            .map(|StageCount { stage, made, from_disk, shared }| match from_disk {
                0 => format!("{stage} {made} (shared {shared} times)"),
                _ => format!("{stage} {made} ({from_disk} more from disk, shared {shared} times)"),
            })
            .collect();
        if self.n_new > 0 {
            text.push_str(&format!("worked out: {}\n", shared.join(", ")));
        }
        text
    }

    /// The points `ids`, in that order.
    fn table(&self, caption: String, ids: &[String]) -> Table {
        let record = &self.record;
        let mut columns = vec![Column::text("point_id", "point")];
        let keys: Vec<&str> = record.axes.iter().map(|axis| axis.key.as_str()).collect();
        for axis in &record.axes {
            let header = ending(&axis.key, &keys);
            let is_number = axis.values.iter().all(|value| value.is_number() || value.is_null());
            columns.push(match is_number {
                true => Column::number(axis.key.as_str(), header, ""),
                false => Column::text(axis.key.as_str(), header),
            });
        }
        for figure in &record.figures {
            columns.push(Column::number(figure.name.as_str(), figure.name.replace('_', " "), figure.unit.as_str()));
        }
        let mut table = Table::new(caption, columns);
        for id in ids {
            let Some(idx) = record.point_ids.iter().position(|own| own == id) else { continue };
            let mut cells: Vec<Cell> = vec![id.as_str().into()];
            cells.extend(record.axes.iter().map(|axis| match &axis.values[idx] {
                Json::Null => Cell::Empty,
                Json::String(text) => text.as_str().into(),
                other => other.to_string().into(),
            }));
            cells.extend(record.figures.iter().map(|figure| match figure.values[idx] {
                Some(value) => Cell::Real(value, decimals(value)),
                None => Cell::Empty,
            }));
            table.row(cells);
        }
        table
    }
}

/// Settings may have long keys: the shortest end of `key`, cut at a dot, that is no other one's.
fn ending<'k>(key: &'k str, keys: &[&str]) -> &'k str {
    let cuts = key.rmatch_indices('.').map(|(dot, _)| &key[dot + 1..]);
    let is_own = |end: &&str| !keys.iter().any(|other| *other != key && is_end(other, end));
    cuts.filter(|end| end.matches('"').count() % 2 == 0).find(is_own).unwrap_or(key)
}

/// Whether `end` is all of `key`, or what follows one of its dots.
fn is_end(key: &str, end: &str) -> bool {
    key.strip_suffix(end).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Decimals that show some four digits.
fn decimals(value: f64) -> usize {
    let digits = value.abs().log10().floor();
    if value == 0.0 || !digits.is_finite() { 0 } else { (3.0 - digits).clamp(0.0, 9.0) as usize }
}

impl Tabular for SweepSummary {
    /// The points of the front; CSV has all of them.
    fn tables(&self) -> Vec<Table> {
        let objectives =
            self.record.objectives.iter().map(|own| format!("{}{}", if own.maximize { "-" } else { "" }, own.name));
        let objectives = objectives.collect::<Vec<_>>().join(", ");
        vec![self.table(format!("Pareto front of {objectives}: {} points", self.front.len()), &self.front)]
    }

    fn to_text(&self, width: Option<usize>) -> String {
        let mut tables = self.tables();
        let mut more = String::new();
        for table in &mut tables {
            if table.rows.len() > MAX_ROWS {
                more = format!("and {} more: report.html, sweep export\n", table.rows.len() - MAX_ROWS);
                table.rows.truncate(MAX_ROWS);
            }
        }
        let tables: Vec<String> =
            tables.iter().filter(|table| !table.rows.is_empty()).map(|table| table.to_text(width)).collect();
        format!("{}\n{}{more}", self.sentences(), tables.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_names_of_their_own() {
        let keys = ["widths.weight_bits.conv1", "widths.activation_bits.conv1", "bits", "accelerator.set.pu_rows"];
        let ends = keys.map(|key| ending(key, &keys));
        assert_eq!(ends, ["weight_bits.conv1", "activation_bits.conv1", "bits", "pu_rows"]);
        let keys = ["conv1", "widths.weight_bits.\"a.b\"", "widths.weight_bits.conv1"];
        assert_eq!(keys.map(|key| ending(key, &keys)), ["conv1", "\"a.b\"", "weight_bits.conv1"]);
    }
}
