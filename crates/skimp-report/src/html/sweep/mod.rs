//! The points of a sweep as one page to explore.

mod data;

use indexmap::{IndexMap, IndexSet};

use super::page::Page;
use super::sections::inputs_and_configuration;
use super::{assets, escape, inline_json};
use crate::front::front_of_columns;
use crate::number;
use crate::records::{FigureColumn, ObjectiveRecord, PointStatus, SweepRecord};
use crate::table::{Align, Cell, Column, Table};
use crate::views::words_for_count;

/// Rows of the front's table at most, here and in the script.
const MOST_ROWS: usize = 500;

/// The page. It loads nothing, and without scripts it still has the front, the counts and the reasons.
pub fn render_sweep(record: &SweepRecord) -> String {
    let mut sections = vec![("summary", "Summary".to_owned(), summary(record))];
    let has_columns = !(record.axes.is_empty() && record.figures.is_empty());
    if record.n_points() > 0 && has_columns {
        sections.push(("explore", "Explore".to_owned(), explorer(record)));
        let table = front_table(record).unwrap_or_default();
        sections.push(("front", "Pareto front".to_owned(), format!("<div id=\"front-table\">{table}</div>\n")));
    }
    if let Some(table) = reasons(record) {
        sections.push(("left-out", "Infeasible and failed points".to_owned(), table));
    }
    sections.push(("provenance", "Configuration and inputs".to_owned(), provenance(record)));
    Page {
        version: record.skimp_version.clone(),
        kind: "skimp sweep",
        name: record.name.clone(),
        title: record.title.clone(),
        facts: facts(record),
        sections,
        css: assets::EXPLORER_CSS,
        foot: "This file is complete: it loads nothing.",
        scripts: if record.n_points() > 0 && has_columns {
            vec![assets::EXPLORER_SCRIPT.to_owned()]
        } else {
            Vec::new()
        },
    }
    .html()
}

fn facts(record: &SweepRecord) -> Vec<(&'static str, String)> {
    let varied: Vec<&str> = record.axes.iter().map(|axis| axis.key.as_str()).collect();
    vec![
        ("points", number::count(record.n_points() as u64)),
        ("varied", data::labels(&varied).join(", ")),
        ("objectives", record.objectives.iter().map(objective_words).collect::<Vec<_>>().join(", ")),
        ("constraints", record.constraints.join(", ")),
        ("seed", record.seed.to_string()),
    ]
}

fn objective_words(objective: &ObjectiveRecord) -> String {
    format!("{} {}", if objective.maximize { "high" } else { "low" }, objective.name)
}

/// The objectives that have figures.
fn sought(record: &SweepRecord) -> Vec<(&ObjectiveRecord, &FigureColumn)> {
    record.objectives.iter().filter_map(|one| Some((one, record.figure(&one.name)?))).collect()
}

/// The front of these objectives, among points that keep every constraint.
fn front(record: &SweepRecord, objectives: &[(&ObjectiveRecord, &FigureColumn)]) -> Vec<usize> {
    let figures: Vec<_> = objectives.iter().map(|(one, figure)| (figure.values.as_slice(), one.maximize)).collect();
    front_of_columns(&figures, |idx| record.status.get(idx) == Some(&PointStatus::Ok))
}

/// The counts in a sentence.
fn summary_sentence(record: &SweepRecord) -> String {
    let n = record.n_points();
    let (infeasible, failed) = (record.n_with(PointStatus::Infeasible), record.n_with(PointStatus::Failed));
    let ok = n.saturating_sub(infeasible + failed) as u64;
    let mut sentence = match (infeasible, failed) {
        (0, 0) => format!("{} ran", words_for_count(n as u64, "point")),
        _ if record.constraints.is_empty() && infeasible == 0 => {
            format!("{} of {} ran", number::count(ok), words_for_count(n as u64, "point"))
        }
        _ => format!("{} of {} ran within the constraints", number::count(ok), words_for_count(n as u64, "point")),
    };
    if infeasible > 0 {
        let verb = if infeasible == 1 { "violates" } else { "violate" };
        sentence.push_str(&format!(", {} {verb} one", number::count(infeasible as u64)));
    }
    if failed > 0 {
        sentence.push_str(&format!(", {} could not run", number::count(failed as u64)));
    }
    let sought = sought(record);
    if let [x, y, rest @ ..] = sought.as_slice() {
        let of = format!("{} and {}", objective_words(x.0), objective_words(y.0));
        let are = |n: usize| format!("{} {}", number::count(n as u64), if n == 1 { "is" } else { "are" });
        sentence.push_str(&format!(". {} on the Pareto front of {of}", are(front(record, &sought[..2]).len())));
        if !rest.is_empty() {
            let all = are(front(record, &sought).len());
            sentence.push_str(&format!(", {all} on that of all {} objectives", sought.len()));
        }
    }
    sentence + "."
}

fn summary(record: &SweepRecord) -> String {
    let own = match record.summary.as_str() {
        "" => String::new(),
        text => format!("<p>{}</p>\n", escape(text)),
    };
    format!("<p class=\"lead\">{}</p>\n{own}", escape(&summary_sentence(record)))
}

/// The controls and pictures, which the script fills, and the points that it reads.
fn explorer(record: &SweepRecord) -> String {
    format!(
        "<noscript><p>The pictures and the table of all points need JavaScript. The front of the first two objectives is \
         in the table below.</p></noscript>\n{EXPLORER}<script type=\"application/json\" id=\"data\">{}</script>\n",
        inline_json(&data::Data::of(record, front(record, &sought(record))))
    )
}

/// What the script fills.
const EXPLORER: &str = include_str!("../../../assets/explorer.html");

/// The points of the front: figures, then what was varied.
fn front_table(record: &SweepRecord) -> Option<String> {
    let sought = sought(record);
    let [x, y, ..] = sought.as_slice() else { return None };
    let front = front(record, &sought[..2]);
    let caption = format!(
        "Front of {} and {}: no other point that keeps the constraints is as good in both and better in one{}",
        objective_words(x.0),
        objective_words(y.0),
        if front.len() > MOST_ROWS {
            format!("; the first {MOST_ROWS} of {} points", front.len())
        } else {
            String::new()
        }
    );
    let mut columns = vec![Column::text("point_id", "point")];
    let right =
        |name: &str, unit: &str| Column { unit: unit.to_owned(), align: Align::Right, ..Column::text(name, name) };
    columns.extend(record.figures.iter().map(|figure| right(&figure.name, &figure.unit)));
    let keys: Vec<&str> = record.axes.iter().map(|axis| axis.key.as_str()).collect();
    columns.extend(data::labels(&keys).iter().map(|label| Column::text(label.as_str(), label.as_str())));
    let mut table = Table::new(caption, columns);
    for &idx in front.iter().take(MOST_ROWS) {
        let mut row = vec![Cell::from(record.point_ids[idx].as_str())];
        let figure = |column: &FigureColumn| column.values.get(idx).copied().flatten().map(significant);
        row.extend(record.figures.iter().map(|column| Cell::from(figure(column))));
        row.extend(record.axes.iter().map(|axis| Cell::from(axis.values.get(idx).map(data::shown))));
        table.row(row);
    }
    Some(table.to_html())
}

/// Four significant digits.
fn significant(value: f64) -> String {
    let magnitude = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    if (-4..15).contains(&magnitude) {
        number::fixed(value, (3 - magnitude).max(0) as usize)
    } else {
        format!("{value:.3e}")
    }
}

/// How many points have no place on a front, by reason. Reasons that differ in numbers only are one row.
fn reasons(record: &SweepRecord) -> Option<String> {
    let mut groups: IndexMap<(PointStatus, String), (u64, IndexSet<&str>)> = IndexMap::new();
    for (&status, reason) in record.status.iter().zip(&record.reasons) {
        if status != PointStatus::Ok {
            let (points, texts) = groups.entry((status, without_numbers(reason))).or_default();
            *points += 1;
            texts.insert(reason);
        }
    }
    groups.sort_by(|_, a, _, b| b.0.cmp(&a.0));
    let columns = vec![
        Column::text("status", "status"),
        Column::number("points", "points", ""),
        Column::text("reason", "reason"),
    ];
    let mut table = Table::new("Points that violate a constraint (infeasible) or could not run (failed)", columns);
    for ((status, _), (points, texts)) in groups.iter().take(MOST_ROWS) {
        let reason = match texts.first() {
            None | Some(&"") => "no reason given".to_owned(),
            Some(first) if texts.len() == 1 => (*first).to_owned(),
            Some(first) => format!("{first}; other points with other numbers"),
        };
        table.row(vec![status.word().into(), (*points).into(), reason.into()]);
    }
    if groups.len() > MOST_ROWS {
        let rest = groups.values().skip(MOST_ROWS).map(|(points, _)| points).sum::<u64>();
        table.footer.push(vec!["others".into(), rest.into(), "reasons of the other points: in the table above".into()]);
    }
    let button = "<button type=\"button\" hidden data-filter=\"not status = ok\">Show these points</button>\n";
    (!groups.is_empty()).then(|| table.to_html() + button)
}

/// A text with `#` for each number.
fn without_numbers(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut last = ' ';
    for character in text.chars() {
        let is_number = character.is_ascii_digit() || (matches!(character, '.' | ',') && last == '#');
        let character = if is_number { '#' } else { character };
        if !(character == '#' && last == '#') {
            masked.push(character);
        }
        last = character;
    }
    masked
}

fn provenance(record: &SweepRecord) -> String {
    let mut html = format!(
        "<p>skimp {}, seed {}, record schema <code>{}</code>.</p>\n",
        escape(&record.skimp_version),
        record.seed,
        escape(&record.schema)
    );
    html.extend(record.provenance.iter().map(|line| format!("<p>{}</p>\n", escape(line))));
    html + &inputs_and_configuration(&record.inputs, &record.config_toml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_numbers_are_one() {
        let reason = |area: &str| format!("area is {area} mm2, the sweep wants area <= 60");
        assert_eq!(without_numbers(&reason("70.77")), without_numbers(&reason("1,234.5")));
        assert_ne!(without_numbers("layer conv_a: 3 x 3"), without_numbers("layer conv_b: 3 x 3"));
        let reasons = [reason("70.77"), reason("81.5"), "does not fit".to_owned()];
        let mut record = SweepRecord::default();
        record.extend(reasons.into_iter().enumerate().map(|(idx, reason)| crate::records::SweepPoint {
            id: idx.to_string(),
            status: PointStatus::Infeasible,
            reason,
            ..Default::default()
        }));
        let html = super::reasons(&record).unwrap();
        assert_eq!(html.matches("<tr>").count(), 3, "{html}");
        assert!(html.contains(">2</td><td>area is 70.77 mm2"), "{html}");
    }

    #[test]
    fn four_digits_are_shown() {
        for (value, expected) in [
            (0.0, "0.000"),
            (1234.56, "1,235"),
            (0.012_341, "0.01234"),
            (-9.9996, "-10.000"),
            (3.2e9, "3,200,000,000"),
            (1.5e-9, "1.500e-9"),
        ] {
            assert_eq!(significant(value), expected);
        }
    }
}
