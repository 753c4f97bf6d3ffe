//! The page as text.

use skimp_report::html::{SECTIONS, render};
use skimp_report::records::{ComparisonRecord, LayersRecord, Sections, TRAINING_RUN};
use skimp_report::{SimulationRecord, StudyRecord};

use crate::demo;

#[test]
fn every_section_is_there_once_and_linked() {
    let page = render(&demo::with_every_section());
    for section in SECTIONS {
        let (heading, link) = (format!("<section id=\"{}\"", section.id()), format!("href=\"#{}\"", section.id()));
        assert_eq!(page.matches(&heading).count(), 1, "{heading}");
        assert_eq!(page.matches(&link).count(), 1, "{link}");
    }
    assert!(page.len() < 600_000, "{} bytes", page.len());
}

#[test]
fn sections_without_data_are_left_out() {
    let page = render(&StudyRecord { name: "empty".to_owned(), ..StudyRecord::default() });
    let sections = page.matches("<section id=").count();
    assert_eq!(sections, 1);
    assert!(page.contains("<section id=\"provenance\""));
}

/// Nothing in the page makes a browser fetch anything.
#[test]
fn nothing_is_loaded() {
    let page = render(&demo::study());
    assert!(page.contains("default-src 'none'"));
    // The library's text is fixed by its digest: it names addresses in its license comments only, and uses none.
    let library = page.find("* Chart.js v").unwrap()..page.rfind("<script>").unwrap();
    let own = format!("{}{}", &page[..library.start], &page[library.end..]).to_lowercase();
    for forbidden in
        ["<link", "<img", "<iframe", "<object", "<embed", "<base", "@import", "url(", "src=", "fetch(", "://"]
    {
        assert!(!own.contains(forbidden), "{forbidden}");
    }
    assert!(!page[library].contains("sourceMappingURL"));
}

#[test]
fn each_chart_has_a_label_and_its_numbers() {
    let page = render(&demo::study());
    let charts = page.matches("<figure class=\"chart\"").count();
    assert_eq!(charts, 12);
    assert_eq!(page.matches("<canvas role=\"img\" aria-label=\"").count(), charts);
    assert_eq!(page.matches("</figure>\n<details class=\"data\">").count(), charts);
    assert_eq!(page.matches("<table").count(), page.matches("<caption>").count());
}

#[test]
fn a_training_run_is_a_page_of_its_own() {
    let page = render(&StudyRecord {
        kind: TRAINING_RUN.to_owned(),
        sections: Sections::default().with(demo::training()),
        ..StudyRecord::default()
    });
    assert!(page.contains("<p class=\"kind\">skimp train</p>"));
    assert!(!page.contains("simulated on"));
    assert_eq!(page.matches("<figure class=\"chart\"").count(), 3);
    assert!(page.contains("\"linear\":true") && page.contains("272,474 parameters trained on 50,000 images"));
    // No validation in the last epoch: its line ends before it, and the table has a gap.
    assert_eq!(page.matches("[\"epoch 11\",").count(), 5);
    assert_eq!(page.matches("[\"epoch 12\",").count(), 3);
}

#[test]
fn names_of_users_stay_text() {
    let evil = "</script><script>alert(1)</script><b onclick='x'>\"&\u{1b}";
    let mut study = demo::study();
    for text in [&mut study.title, &mut study.name, &mut study.model_name, &mut study.data_name, &mut study.config_toml]
    {
        evil.clone_into(text);
    }
    study.sections.get_mut::<ComparisonRecord>().unwrap().comparisons[0].baseline = evil.to_owned();
    study.published[0].remark = Some(evil.to_owned());
    study.sections.get_mut::<LayersRecord>().unwrap().layers[1].name = evil.to_owned();
    let accelerators = &mut study.sections.get_mut::<SimulationRecord>().unwrap().accelerators;
    evil.clone_into(&mut accelerators[0].label);
    evil.clone_into(&mut accelerators[0].layers[0].name);
    let page = render(&study);
    let plain = render(&demo::study());
    for tag in ["<script", "</script", "<b "] {
        assert_eq!(page.matches(tag).count(), plain.matches(tag).count(), "{tag}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn the_page_is_the_same_every_time() {
    assert_eq!(render(&demo::study()), render(&demo::study()));
}
