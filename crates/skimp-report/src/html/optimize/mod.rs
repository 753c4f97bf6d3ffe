//! An optimization under a bound as one page.

mod picture;

use super::page::Page;
use super::sections::inputs_and_configuration;
use super::{assets, escape};
use crate::records::{JudgementRecord, OptimizeRecord, SearchBudget};
use crate::table::{Cell, Column, Table};
use crate::views::optimize::{
    contribution_table, decimals, gain, judged_table, lever_table, points_table, set_table, shown, spent_table, turned,
    width_table,
};

/// The page. It loads nothing; without scripts it is complete but for the choice of points.
pub fn render_optimize(record: &OptimizeRecord) -> String {
    let mut sections = vec![("result", "Result".to_owned(), result(record))];
    sections.push(("path", "The path to it".to_owned(), path(record)));
    if !record.contributions.is_empty() || !record.widths.is_empty() {
        sections.push(("levers", "What each lever contributes".to_owned(), contributions(record)));
    }
    sections.push(("tried", "Tried and rejected".to_owned(), tried(record)));
    sections.push(("images", "Images".to_owned(), images(record)));
    sections.push(("provenance", "Command and inputs".to_owned(), provenance(record)));
    Page {
        version: record.skimp_version.clone(),
        kind: "skimp optimize",
        name: record.model.path.clone(),
        title: format!("{} within {} points of top-1", record.objective, record.max_loss),
        facts: facts(record),
        sections,
        css: assets::OPTIMIZE_CSS,
        foot: "This file is complete: it loads nothing.",
        scripts: vec![assets::OPTIMIZE_SCRIPT.to_owned()],
    }
    .html()
}

fn facts(record: &OptimizeRecord) -> Vec<(&'static str, String)> {
    let budget = match record.budget {
        SearchBudget::Minutes(minutes) => format!("{minutes} minutes, {:.1} taken", record.seconds / 60.0),
        SearchBudget::Steps(steps) => format!("{steps} points"),
    };
    vec![
        ("data", record.data.clone()),
        ("strategy", record.strategy.clone()),
        ("budget", budget),
        ("points tried", record.path.len().to_string()),
        ("seed", record.seed.to_string()),
    ]
}

/// The sentence on top: gain, loss against the bound, verdict.
fn lead(record: &OptimizeRecord) -> String {
    let Some(judged) = &record.judgement else {
        return "<p class=\"lead\">Stopped: the best so far is written, the final images have not been looked at. \
                <strong class=\"verdict bad\">Nothing is proven.</strong></p>\n"
            .to_owned();
    };
    let objectives = match (judged.result.objective, judged.start.objective) {
        (Some(result), Some(start)) => format!(" ({} of {} {})", shown(result), shown(start), record.unit),
        _ => String::new(),
    };
    let [low, high] = judged.loss_interval;
    format!(
        "<p class=\"lead\">{}{}: it loses {:.2} points of top-1 (95 % interval {low:.2} to {high:.2}) where {} may be lost: \
         <strong class=\"{}\">{}</strong>.</p>\n",
        escape(&capital(&gain(record, judged))),
        escape(&objectives),
        judged.loss,
        record.max_loss,
        if judged.verdict == "proven" { "verdict" } else { "verdict bad" },
        escape(&judged.verdict),
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn result(record: &OptimizeRecord) -> String {
    let mut html = lead(record);
    html.push_str(&picture::picture(record).unwrap_or_default());
    if let Some(judged) = &record.judgement {
        html.push_str(&verdict(record, judged));
        html.push_str(&judged_table(record, judged).to_html());
    }
    let values = record.levers.iter().zip(&record.values).filter(|(lever, value)| lever.values.first() != Some(value));
    let values: Vec<String> = values.map(|(lever, value)| format!("{} {value}", lever.name)).collect();
    let values = if values.is_empty() { "no lever: it is the start".to_owned() } else { values.join("; ") };
    html.push_str(&format!("<p>Turned: {}.</p>\n", escape(&values)));
    for note in &record.notes {
        html.push_str(&format!("<p class=\"note\">{}.</p>\n", escape(note)));
    }
    html
}

/// What the verdict means.
fn verdict(record: &OptimizeRecord, judged: &JudgementRecord) -> String {
    let bound = record.max_loss;
    let meaning = match judged.verdict.as_str() {
        "proven" => format!("the whole interval lies within {bound} points"),
        "broken" => format!("the whole interval lies beyond {bound} points"),
        _ => format!("{bound} points lie inside the interval: these images cannot tell on which side the loss is"),
    };
    format!(
        "<p class=\"note\">{}: {meaning}. The interval is that of the loss against the float network ({}), on {} images that \
         nothing else looked at.</p>\n",
        escape(&capital(&judged.verdict)),
        escape(&judged.interval_method),
        judged.images
    )
}

/// The points that were better than all before, and what each changed.
fn path(record: &OptimizeRecord) -> String {
    let columns = vec![
        Column::number("step", "step", ""),
        Column::number("point", "point", ""),
        Column::text("why", "why"),
        Column::number("objective", record.objective.as_str(), record.unit.as_str()),
        Column::number("times", "times less than the start", ""),
        Column::number("loss", "loss", "points"),
        Column::text("turned", "turned"),
    ];
    let mut table = Table::new("points that were better than all before, on the search images", columns);
    let start = record.path.iter().find(|own| own.why == "start").and_then(|own| own.objective);
    let steps = record.path.iter().enumerate().filter(|(_, own)| own.status == "best" || own.why == "start");
    for (step, (idx, own)) in steps.enumerate() {
        let times = start.zip(own.objective).map(|(start, objective)| start / objective);
        table.row(vec![
            (step as u64).into(),
            (idx as u64).into(),
            own.why.as_str().into(),
            Cell::real(own.objective, decimals(own.objective)),
            Cell::real(times, 3),
            Cell::real(own.loss, 2),
            turned(own).as_str().into(),
        ]);
    }
    table.to_html()
}

fn contributions(record: &OptimizeRecord) -> String {
    let mut html = String::new();
    if !record.contributions.is_empty() {
        html.push_str(
            "<p>Each lever of the result taken back alone: what is lost with it. Factors multiply to less or more than the \
             whole where levers need each other.</p>\n",
        );
        html.push_str(&contribution_table(record).to_html());
    }
    html.push_str(&width_table(record).map(|table| table.to_html()).unwrap_or_default());
    html
}

/// Statuses, what they mean, and how many points have them.
const STATUSES: [(&str, &str); 5] = [
    ("best", "better than all before"),
    ("kept", "within the bound, but no better than the best"),
    ("no gain", "not judged: its objective is not less than the best's"),
    ("lossy", "loses more than the bound, or cannot be told from it: judging ends where that is clear"),
    ("failed", "could not run"),
];

fn tried(record: &OptimizeRecord) -> String {
    let columns =
        vec![Column::text("status", "status"), Column::number("points", "points", ""), Column::text("why", "meaning")];
    let mut table = Table::new("what became of the points", columns);
    for (status, meaning) in STATUSES.iter().filter(|(status, _)| record.n_with(status) > 0) {
        table.row(vec![(*status).into(), (record.n_with(status) as u64).into(), (*meaning).into()]);
    }
    let mut html = table.to_html();
    html.push_str(
        "<p class=\"choice\" hidden><label for=\"status\">Points to show</label> <select id=\"status\">\
         <option value=\"\">all</option>",
    );
    for (status, _) in STATUSES.iter().filter(|(status, _)| record.n_with(status) > 0) {
        html.push_str(&format!("<option>{status}</option>"));
    }
    html.push_str("</select></p>\n<div id=\"points\">");
    let caption = "points in the order in which they were tried, on the search images";
    html.push_str(&points_table(record, caption, |_| true).to_html());
    html.push_str("</div>\n");
    html.push_str(&lever_table(record).to_html());
    html
}

fn images(record: &OptimizeRecord) -> String {
    format!(
        "<p>Ranges come from one set, points are compared on another, pruned and recast networks learn from a third; the \
         final one, of another split, is looked at once, when the search is over. <code>sets.json</code> has the place of \
         every image.</p>\n{}",
        set_table(record).to_html()
    )
}

fn provenance(record: &OptimizeRecord) -> String {
    let mut html = String::new();
    if !record.command.is_empty() {
        html.push_str(&format!("<pre tabindex=\"0\"><code>{}</code></pre>\n", escape(&record.command)));
    }
    html.push_str(&inputs_and_configuration(std::slice::from_ref(&record.model), ""));
    html.push_str(&spent_table(record).to_html());
    html.push_str(&format!("<p>Files beside this one: {}.</p>\n", escape(&record.files.join(", "))));
    html
}
