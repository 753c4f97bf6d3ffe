//! The page of an optimization, as text and in headless Chromium.

use skimp_report::html::render_optimize;
use skimp_report::records::{
    ContributionRecord, FinalRecord, InputDigest, JudgementRecord, LeverRecord, NoLeverRecord, OPTIMIZE_SCHEMA,
    OptimizeRecord, SearchBudget, SetRecord, SpentRecord, TriedRecord, WidthRecord,
};
use skimp_report::views::{optimize_sentences, optimize_text};

use crate::browser::{Session, assert_picture, attribute};

/// A search of `n` points after the start.
fn optimized(n: usize) -> OptimizeRecord {
    let tried = |why: &str, turned: &[(&str, &str)], status: &str, objective: f64, loss: Option<f64>| TriedRecord {
        why: why.to_owned(),
        turned: turned.iter().map(|(lever, value)| ((*lever).to_owned(), (*value).to_owned())).collect(),
        status: status.to_owned(),
        reason: (status == "failed").then(|| "layer \"conv1\" does not fit".to_owned()),
        objective: (status != "failed").then_some(objective),
        loss,
        loss_error: loss.map(|_| 0.21),
        images: if loss.is_some() { 1000 } else { 0 },
    };
    let mut path = vec![tried("start", &[], "best", 0.583, Some(0.0))];
    for at in 0..n {
        let share = at as f64 / n.max(1) as f64;
        let status = ["kept", "best", "lossy", "no gain", "failed"][at % 5];
        let loss = match status {
            "lossy" => Some(0.6 + 5.0 * share),
            "no gain" | "failed" => None,
            _ => Some(0.3 * share - 0.1),
        };
        path.push(tried("predicted", &[("weight_bits", "5"), ("array", "9 x 8")], status, 0.5 - 0.3 * share, loss));
    }
    let of = |correct: u64, objective: Option<f64>| FinalRecord {
        correct,
        top1: correct as f64 / 1e4,
        top1_interval: [correct as f64 / 1e4 - 0.005, correct as f64 / 1e4 + 0.005],
        objective,
    };
    OptimizeRecord {
        schema: OPTIMIZE_SCHEMA.to_owned(),
        skimp_version: "0.0.0".to_owned(),
        command: "skimp optimize net.onnx --data 'cifar10:a b' --max-loss 0.5".to_owned(),
        model: InputDigest { path: "net.onnx".to_owned(), size_bytes: Some(12), sha256: "ab".repeat(32) },
        data: "cifar10".to_owned(),
        sets: ["calibration", "search", "training", "final"]
            .map(|name| SetRecord {
                name: name.to_owned(),
                sha256: "cd".repeat(32),
                images: 64,
                ..SetRecord::default()
            })
            .to_vec(),
        objective: "energy@compend".to_owned(),
        unit: "mJ".to_owned(),
        max_loss: 0.5,
        strategy: "guided".to_owned(),
        seed: 1,
        budget: SearchBudget::Minutes(20.0),
        interrupted: false,
        seconds: 1180.0,
        spent: SpentRecord { reducing: 700.0, judging: 300.0, ..SpentRecord::default() },
        search_top1: 0.91,
        levers: vec![
            LeverRecord { name: "weight_bits".to_owned(), values: vec!["16".to_owned(), "5".to_owned()] },
            LeverRecord { name: "array".to_owned(), values: vec!["9 x 16".to_owned(), "9 x 8".to_owned()] },
        ],
        left_out: vec![NoLeverRecord {
            name: "layer_bits".to_owned(),
            reason: "the design cannot use fewer".to_owned(),
        }],
        path,
        values: vec!["5".to_owned(), "9 x 8".to_owned()],
        improvements: 2,
        widths: vec![WidthRecord { layer: "conv1".to_owned(), weight_bits: 6, activation_bits: 8 }],
        contributions: vec![ContributionRecord {
            lever: "weight_bits".to_owned(),
            value: "5".to_owned(),
            objective_without: Some(0.51),
            times: Some(2.58),
            loss_without: Some(0.0),
        }],
        judgement: Some(JudgementRecord {
            images: 10_000,
            float: of(9173, None),
            start: of(9173, Some(0.583)),
            result: of(9122, Some(0.199)),
            loss: 0.51,
            loss_interval: [0.2, 0.82],
            interval_method: "Newcombe, paired".to_owned(),
            verdict: "not proven".to_owned(),
            gain: 2.93,
        }),
        files: vec!["network.onnx".to_owned()],
        notes: Vec::new(),
    }
}

#[test]
fn the_page_says_what_is_proven_and_what_was_tried() {
    let record = optimized(40);
    let page = render_optimize(&record);
    for text in [
        "2.93 times less mJ than at the start (0.19900 of 0.58300 mJ)",
        "(95 % interval 0.20 to 0.82) where 0.5 may be lost",
        "<strong class=\"verdict bad\">not proven</strong>",
        "0.5 points lie inside the interval",
        "skimp optimize net.onnx --data &#39;cifar10:a b&#39; --max-loss 0.5",
        "no lever here: the design cannot use fewer",
        "pruning, recasting and training",
        "not judged: its objective is not less than the best&#39;s",
        "layer &quot;conv1&quot; does not fit",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for id in ["result", "path", "levers", "tried", "images", "provenance"] {
        assert_eq!(page.matches(&format!("<section id=\"{id}\"")).count(), 1, "{id}");
    }
    assert_eq!(page.matches(&"cd".repeat(32)).count(), 4);
    assert_eq!(page.matches("<table").count(), page.matches("<caption").count());
    let judged = record.path.iter().filter(|own| own.loss.is_some()).count();
    assert_eq!(page.matches("class=\"mark\"").count(), judged + 1);
    for forbidden in ["<link", "<img", "<iframe", "@import", "url(", "src=", "fetch(", "://"] {
        assert!(!page.to_lowercase().contains(forbidden), "{forbidden}");
    }
    let proven = |verdict: &str| {
        let mut record = optimized(3);
        record.judgement.as_mut().unwrap().verdict = verdict.to_owned();
        render_optimize(&record)
    };
    assert!(proven("proven").contains("<strong class=\"verdict\">proven</strong>"));
    assert!(proven("broken").contains("the whole interval lies beyond 0.5 points"));
}

#[test]
fn a_stopped_search_is_a_page_too() {
    let stopped = OptimizeRecord { judgement: None, interrupted: true, ..optimized(5) };
    assert!(render_optimize(&stopped).contains("Nothing is proven."));
    assert!(optimize_sentences(&stopped).contains("nothing is proven"));
    assert!(!render_optimize(&OptimizeRecord::default()).contains("<figure"));
}

#[test]
fn records_read_back() {
    let record = optimized(6);
    assert_eq!(OptimizeRecord::from_json(&serde_json::to_string(&record).unwrap()).unwrap(), record);
    let error = OptimizeRecord::from_json("{\"schema\": \"skimp.optimize/1\"}").unwrap_err().to_string();
    assert!(error.contains("skimp.optimize/2"), "{error}");
    assert!(optimize_text(&record).contains("Newcombe, paired"));
}

fn assert_sound(dom: &str, what: &str, marks: usize) {
    assert_eq!(attribute(dom, "data-errors"), None, "{what}");
    assert_eq!(attribute(dom, "data-overflow-px").as_deref(), Some("0"), "{what}");
    assert_eq!(attribute(dom, "data-marks"), Some(marks.to_string()), "{what}");
}

#[test]
fn it_fits_laptop_phone_and_paper() {
    let record = optimized(300);
    let marks = 1 + record.path.iter().filter(|own| own.loss.is_some()).count();
    let Some(session) = Session::with_page(&render_optimize(&record)) else { return };
    assert_sound(&session.dom("report.html", 1366), "laptop", marks);
    let phone = session.frame(390);
    assert_sound(&session.dom(&phone, 800), "phone", marks);
    for (page, name, size) in [
        ("report.html", "laptop.png", "1366,768"),
        (&phone, "phone.png", "390,844"),
        ("report.html#dark", "dark.png", "1366,768"),
    ] {
        let path = session.path(name);
        let screenshot = format!("--screenshot={}", path.display());
        session.run(page, &[&screenshot, &format!("--window-size={size}")]);
        assert_picture(&path);
    }
    let path = session.path("report.pdf");
    session.run("report.html", &["--no-pdf-header-footer", &format!("--print-to-pdf={}", path.display())]);
    let bytes = std::fs::read(&path).unwrap();
    assert!(bytes.starts_with(b"%PDF") && bytes.len() > 30_000, "{} bytes", bytes.len());
}

/// The picture stands on the first screen; marks are reached by keys and say what they are; the table shows a status alone.
#[test]
fn keys_and_choices_work() {
    let record = optimized(40);
    let lossy = record.n_with("lossy");
    let Some(session) = Session::with_page(&render_optimize(&record)) else { return };
    let page =
        "<!DOCTYPE html><body><iframe id=\"frame\" src=\"report.html\" style=\"width:1366px;height:768px\"></iframe>
<script>onload = () => {
  const page = document.getElementById('frame').contentWindow;
  const inside = page.document;
  const marks = [...inside.querySelectorAll('#picture .mark[tabindex=\"0\"]')];
  marks[0].focus({ preventScroll: true });
  const first = inside.getElementById('shown').textContent;
  marks[0].dispatchEvent(new page.KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }));
  const last = inside.getElementById('shown').textContent;
  const select = inside.getElementById('status');
  select.value = 'lossy';
  select.dispatchEvent(new page.Event('change'));
  const picture = inside.querySelector('#picture > svg').getBoundingClientRect();
  const rows = inside.body.dataset.rows;
  Object.assign(document.body.dataset, inside.body.dataset, {
    first, last, rows, seen: Math.round(100 * (Math.min(768, picture.bottom) - picture.top) / picture.height) });
}</script>";
    std::fs::write(session.path("keys.html"), page).unwrap();
    let dom = session.dom("keys.html", 1400);
    assert_eq!(attribute(&dom, "data-errors"), None);
    assert!(attribute(&dom, "data-first").unwrap().starts_with("Point 0, start"));
    assert!(attribute(&dom, "data-last").is_some_and(|text| text.starts_with("Point ")));
    assert_eq!(attribute(&dom, "data-rows"), Some(lossy.to_string()));
    let seen: i64 = attribute(&dom, "data-seen").unwrap().parse().unwrap();
    assert!(seen >= 85, "{seen} % of the picture on the first screen");
}

#[test]
fn hostile_names_run_nothing() {
    let evil = "</script><script>document.body.dataset.errors = 'ran'</script><img src=x onerror=\"document.body.dataset.errors='ran'\">";
    let mut record = optimized(8);
    let OptimizeRecord { command, data, objective, unit, .. } = &mut record;
    [command, data, objective, unit].into_iter().for_each(|field| evil.clone_into(field));
    evil.clone_into(&mut record.model.path);
    evil.clone_into(&mut record.levers[0].name);
    evil.clone_into(&mut record.path[1].turned[0].1);
    record.path[1].reason = Some(evil.to_owned());
    record.notes.push(evil.to_owned());
    let marks = 1 + record.path.iter().filter(|own| own.loss.is_some()).count();
    let Some(session) = Session::with_page(&render_optimize(&record)) else { return };
    assert_sound(&session.dom("report.html", 1366), "hostile names", marks);
}
