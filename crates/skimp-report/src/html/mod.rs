//! A study, a sweep, or an optimization, as one self-contained HTML page.
//!
//! The page loads nothing: style, scripts, charts and data are inline, and a content security policy forbids the
//! browser to fetch. Sections of a study are listed in [`SECTIONS`]; each chart is followed by its numbers as a table, so
//! that the page is complete without JavaScript, colors or a pointer.

mod assets;
mod chart;
mod escape;
mod notes;
mod optimize;
mod page;
mod sections;
mod sweep;

pub use self::escape::{escape, inline_json};
pub use self::optimize::render_optimize;
pub use self::sections::{SECTIONS, Section};
pub use self::sweep::render_sweep;

use self::page::Page;
use crate::StudyRecord;
use crate::records::TRAINING_RUN;
use crate::views::words_for_count;

/// The page. Sections whose data are absent are left out.
pub fn render(study: &StudyRecord) -> String {
    let section = |section: &&dyn Section| Some((section.id(), section.title().to_owned(), section.body(study)?));
    Page {
        version: study.skimp_version.clone(),
        kind: if study.kind == TRAINING_RUN { "skimp train" } else { "skimp study" },
        name: study.name.clone(),
        title: study.title.clone(),
        facts: facts(study),
        sections: SECTIONS.iter().filter_map(section).collect(),
        css: "",
        foot: "This file is complete: it loads nothing. Charts are drawn by Chart.js 4 (MIT license, \
               © Chart.js Contributors).",
        scripts: vec![assets::chart_js().to_owned(), assets::SCRIPT.to_owned()],
    }
    .html()
}

fn facts(study: &StudyRecord) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("network", study.network_words()),
        ("data", study.data_name.clone()),
        ("simulated on", if study.n_images > 0 { words_for_count(study.n_images, "image") } else { String::new() }),
        ("seed", study.seed.to_string()),
    ];
    facts.extend(SECTIONS.iter().flat_map(|section| section.facts(study)));
    facts
}
