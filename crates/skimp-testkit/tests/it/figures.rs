//! The list of published figures: complete, each measured by one test, and `docs/published.md` written from it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use skimp_testkit::{Class, Figure, WIDEST_TOLERANCE, figures};

const UPDATE: &str = "SKIMP_UPDATE_DOCS";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn figures_are_complete() {
    let mut ids: Vec<String> = Vec::new();
    for figure in figures() {
        let id = &figure.id;
        assert!(!ids.contains(id), "{id} twice");
        assert!(id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{id}");
        for (key, text) in
            [("design", &figure.design), ("quantity", &figure.quantity), ("published", &figure.published)]
        {
            assert!(!text.is_empty(), "{id} lacks {key}");
        }
        // Authors or a program, with a year or a version.
        assert!(figure.source.chars().any(|c| c.is_ascii_digit()), "{id}: source {:?}", figure.source);
        assert!(figure.ours.is_finite(), "{id} lacks ours");
        match figure.class {
            Class::Reproduces => {
                let tolerance = figure.tolerance.unwrap_or(f64::NAN);
                assert!(figure.value.is_some() && tolerance >= 0.0, "{id} lacks value or tolerance");
                assert!(tolerance <= WIDEST_TOLERANCE, "{id}: a tolerance of {tolerance} reproduces nothing");
            }
            Class::Trend => {
                assert!(figure.at_least.is_some() || figure.at_most.is_some(), "{id} lacks its bounds");
                if let (Some(least), Some(most)) = (figure.at_least, figure.at_most) {
                    assert!(least <= most && most < 2.0 * least, "{id}: bounds that cannot fail");
                }
            }
            Class::Recorded => assert!(!figure.gap.is_empty(), "{id}: ours differs without a reason"),
        }
        assert_eq!(figure.fault(figure.ours), None);
        assert!(figure.fault(1.5 * figure.ours).is_some() && figure.fault(0.5 * figure.ours).is_some(), "{id}");
        ids.push(figure.id);
    }
}

/// Rust files below a folder.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The files that measure each figure.
fn tests() -> BTreeMap<String, Vec<String>> {
    let mut files = Vec::new();
    for name in ["skimp-digital/tests", "skimp-study/src"] {
        sources(&root().join("crates").join(name), &mut files);
    }
    files.sort();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        for figure in figures() {
            if text.contains(&format!("\"{}\"", figure.id)) {
                let crates = root().join("crates");
                let file = path.strip_prefix(&crates).unwrap().to_string_lossy().replace('\\', "/");
                found.entry(figure.id).or_default().push(file);
            }
        }
    }
    found
}

#[test]
fn each_figure_is_measured_by_one_test() {
    let tests = tests();
    for figure in figures() {
        let files = tests.get(&figure.id).map_or(0, Vec::len);
        assert_eq!(files, 1, "{}: {:?}", figure.id, tests.get(&figure.id));
    }
}

/// Up to four digits that matter.
fn digits(value: f64) -> String {
    let places = if value.fract().abs() < 1e-9 { 0 } else { (3 - value.abs().log10().floor() as i32).max(0) as usize };
    format!("{value:.places$}")
}

fn row(figure: &Figure, tests: &BTreeMap<String, Vec<String>>) -> String {
    let unit = if figure.unit.is_empty() { String::new() } else { format!(" {}", figure.unit) };
    let gap = match (figure.class, figure.value) {
        (Class::Reproduces, Some(value)) if value.abs() > 0.0 => {
            format!("{:+.2} %", 100.0 * (figure.ours / value - 1.0))
        }
        _ => String::new(),
    };
    let why = [gap, figure.gap.clone()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ");
    format!(
        "| {} | {} | {} | {}{unit} | {} | {} | `{}` |",
        figure.design,
        figure.quantity,
        figure.published,
        digits(figure.ours),
        why,
        figure.source,
        tests.get(&figure.id).map_or(String::new(), |files| files.join("`, `"))
    )
}

fn page() -> String {
    let tests = tests();
    let mut page = String::from(
        "# Published figures beside ours

Every figure of a paper or another program that ours is held against, told apart by what its test shows. *Reproduced*: the
source states the value, and ours lies within a stated tolerance of at most 10 %. *Trends*: the source states an order, a
sign or a range, and ours keeps it. *Recorded*: ours differs, for the reason given; the test holds our own value and shows
nothing but that it did not move.

Written by `SKIMP_UPDATE_DOCS=1 cargo test -p skimp-testkit` from `crates/skimp-testkit/figures.toml`; a test fails when the
page is stale, and each figure's test when our value leaves what is written here by more than 1 %.
",
    );
    for (class, heading) in [(Class::Reproduces, "Reproduced"), (Class::Trend, "Trends"), (Class::Recorded, "Recorded")]
    {
        let of_class: Vec<Figure> = figures().into_iter().filter(|figure| figure.class == class).collect();
        writeln!(page, "\n## {heading}: {}\n", of_class.len()).unwrap();
        page.push_str("| design | quantity | published | ours | gap, why | source | test, below `crates/` |\n");
        page.push_str("|---|---|---|---|---|---|---|\n");
        for figure in of_class {
            writeln!(page, "{}", row(&figure, &tests)).unwrap();
        }
    }
    page
}

#[test]
fn the_page_of_published_figures_is_up_to_date() {
    let path = root().join("docs/published.md");
    let page = page();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, &page).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(known == page, "docs/published.md is stale: set {UPDATE}=1, run this test, commit the page");
}
