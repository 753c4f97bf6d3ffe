//! The page of a sweep as text.

use skimp_report::html::render_sweep;
use skimp_report::records::{PointStatus, SweepPoint, SweepRecord};

use crate::demo_sweep;

#[test]
fn counts_and_front_are_said_without_scripts() {
    let record = demo_sweep::sweep(300);
    let (infeasible, failed) = (record.n_with(PointStatus::Infeasible), record.n_with(PointStatus::Failed));
    assert!(infeasible > 5 && failed > 5);
    let page = render_sweep(&record);
    let ok = 300 - failed - infeasible;
    let ran =
        format!("{ok} of 300 points ran within the constraints, {infeasible} violate one, {failed} could not run.");
    assert!(page.contains(&ran), "{ran}");
    assert!(
        page.contains("are on the Pareto front of low latency and low energy, ")
            && page.contains(" are on that of all 3 objectives.")
    );
    assert!(page.contains("layer block3.conv1: a tile takes 16 KiB, more than the buffer"));
    for id in ["summary", "front", "left-out", "provenance"] {
        assert_eq!(page.matches(&format!("<section id=\"{id}\"")).count(), 1, "{id}");
    }
    assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
}

#[test]
fn a_sweep_without_points_or_objectives_is_a_page() {
    let page = render_sweep(&SweepRecord::default());
    assert!(page.contains("0 points ran."));
    let mut one = demo_sweep::sweep(0);
    one.objectives.truncate(1);
    one.push(SweepPoint { id: "a".to_owned(), ..SweepPoint::default() });
    assert!(render_sweep(&one).contains("1 point ran."));
}

#[test]
fn nothing_is_loaded() {
    // Saved files are addresses within the page.
    let page = render_sweep(&demo_sweep::sweep(50)).replace("ObjectURL(", "").to_lowercase();
    assert!(page.contains("default-src 'none'"));
    for forbidden in
        ["<link", "<img", "<iframe", "<object", "<embed", "<base", "@import", "url(", "src=", "fetch(", "://"]
    {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
}

/// Names and values that try to become markup, in every field.
pub(crate) fn hostile(evil: &str) -> SweepRecord {
    let mut record = demo_sweep::sweep(40);
    let fields = [&mut record.name, &mut record.title, &mut record.summary, &mut record.config_toml];
    fields.into_iter().for_each(|field| evil.clone_into(field));
    record.base_toml = format!("# {}\n", evil.replace(char::is_control, ""));
    evil.clone_into(&mut record.figures[0].name);
    evil.clone_into(&mut record.objectives[0].name);
    evil.clone_into(&mut record.axes[1].key);
    record.axes[0].values[0] = evil.into();
    record.constraints.push(evil.to_owned());
    record.provenance.push(evil.to_owned());
    record.why.layers[0] = evil.to_owned();
    record.why.bounds[0] = evil.to_owned();
    evil.clone_into(&mut record.point_ids[0]);
    record.status[1] = PointStatus::Failed;
    evil.clone_into(&mut record.reasons[1]);
    record
}

#[test]
fn names_of_users_stay_text() {
    let page = render_sweep(&hostile("</script><script>alert(1)</script><b onclick='x'>\"&\u{1b}"));
    let plain = render_sweep(&demo_sweep::sweep(40));
    for tag in ["<script", "</script", "<b "] {
        assert_eq!(page.matches(tag).count(), plain.matches(tag).count(), "{tag}");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn the_page_is_the_same_every_time() {
    assert_eq!(render_sweep(&demo_sweep::sweep(60)), render_sweep(&demo_sweep::sweep(60)));
}
