//! A study as one self-contained HTML page.
//!
//! The page loads nothing: style, scripts, charts and data are inline, and a content security policy forbids the
//! browser to fetch. Sections are listed in [`SECTIONS`]; each chart is followed by its numbers as a table, so that
//! the page is complete without JavaScript, colors or a pointer.

mod assets;
mod chart;
mod escape;
mod notes;
mod sections;

pub use self::escape::{escape, inline_json};
pub use self::sections::{SECTIONS, Section};

use crate::StudyRecord;
use crate::records::TRAINING_RUN;
use crate::views::words_for_count;

/// The page. Sections whose data are absent are left out.
pub fn render(study: &StudyRecord) -> String {
    let sections: Vec<(&dyn Section, String)> =
        SECTIONS.iter().filter_map(|section| Some((*section, section.body(study)?))).collect();
    let title = escape(if study.title.is_empty() { &study.name } else { &study.title });
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{csp}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"generator\" content=\"skimp {version}\">\n\
         <title>{title}</title>\n<style>\n{css}</style>\n</head>\n<body>\n",
        csp = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
        version = escape(&study.skimp_version),
        css = assets::CSS,
    );
    page.push_str(&header(study, &title));
    page.push_str(&navigation(&sections));
    page.push_str("<main id=\"main\">\n");
    for (section, body) in &sections {
        let (id, title) = (section.id(), escape(section.title()));
        page.push_str(&format!(
            "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
        ));
    }
    page.push_str("</main>\n<footer>\n<p>Made by skimp ");
    page.push_str(&escape(&study.skimp_version));
    page.push_str(
        ". This file is complete: it loads nothing. Charts are drawn by Chart.js 4 (MIT license, \
         © Chart.js Contributors).</p>\n</footer>\n",
    );
    page.push_str(&format!("<script>{}</script>\n", assets::chart_js()));
    page.push_str(&format!("<script>\n{}</script>\n</body>\n</html>\n", assets::SCRIPT));
    page
}

fn header(study: &StudyRecord, title: &str) -> String {
    let mut facts = vec![
        ("network", study.network_words()),
        ("data", study.data_name.clone()),
        ("simulated on", if study.n_images > 0 { words_for_count(study.n_images, "image") } else { String::new() }),
        ("seed", study.seed.to_string()),
    ];
    facts.extend(SECTIONS.iter().flat_map(|section| section.facts(study)));
    facts.retain(|(_, value)| !value.is_empty());
    let facts = facts.iter().map(|(name, value)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", escape(value)));
    format!(
        "<a class=\"skip\" href=\"#main\">Skip to the results</a>\n<header>\n<div class=\"head\">\n\
         <div>\n<p class=\"kind\">skimp {}{}</p>\n<h1>{title}</h1>\n</div>\n\
         <button type=\"button\" id=\"theme\" hidden>Theme: system</button>\n</div>\n\
         <dl class=\"facts\">{}</dl>\n</header>\n",
        if study.kind == TRAINING_RUN { "train" } else { "study" },
        if study.name.is_empty() { String::new() } else { format!(" · {}", escape(&study.name)) },
        facts.collect::<String>()
    )
}

fn navigation(sections: &[(&dyn Section, String)]) -> String {
    let links = sections
        .iter()
        .map(|(section, _)| format!("<li><a href=\"#{}\">{}</a></li>", section.id(), escape(section.title())));
    format!("<nav aria-label=\"Sections\">\n<ul>{}</ul>\n</nav>\n", links.collect::<String>())
}
