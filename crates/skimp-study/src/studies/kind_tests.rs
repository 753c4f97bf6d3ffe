//! A kind of study that is defined here and nowhere else runs like the embedded ones: file, points, store, record, report.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skimp_quant::QuantizationConfig;
use skimp_report::StudyRecord;
use skimp_report::records::{ColumnRecord, Provenance, Sections, TableRecord, TablesRecord};
use toml::Table;

use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::monitor::Silent;
use crate::stages::evaluate::{Engine, EvaluateConfig, evaluate};
use crate::store::Store;
use crate::store::desk::Desk;
use crate::store::memory::Memory;
use crate::store::point::{Pace, Point, Points};
use crate::store::queue::Bench;
use crate::studies::STUDY_KINDS;
use crate::studies::config::{StudyConfig, StudyHeader};
use crate::studies::embedded::embedded_studies;
use crate::studies::kind::{KindOf, StudyKind, StudyPlan};
use crate::studies::published::PublishedConfig;
use crate::studies::runner::{StudyRun, run_study, study, study_in};

/// Accuracy of a network whose weights have fewer and fewer bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct NarrowPlan {
    narrow: Narrow,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Narrow {
    weight_bits: Vec<u32>,
    #[serde(default)]
    quantization: QuantizationConfig,
}

/// A width that is out of range is a result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Outcome {
    top1: Option<f64>,
    failure: Option<String>,
}

struct WidthPoints<'a> {
    plan: &'a Narrow,
    study: &'a StudyHeader,
    network: Network,
    points: Vec<Point>,
}

impl Points for WidthPoints<'_> {
    type Outcome = Outcome;

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn identity(&self, idx: usize) -> Result<Table, StudyError> {
        let mut table = Table::try_from(self.config(idx).quantization).unwrap();
        table.insert("network_sha256".to_owned(), self.network.sha256.clone().into());
        Ok(table)
    }

    fn pace(&self) -> Pace {
        Pace::SideBySide { what: "measuring", n_steps: 1, memory: 1 << 20 }
    }

    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError> {
        for &idx in job {
            let outcome = match evaluate(&self.network, &self.config(idx), &Silent) {
                Ok(record) => Outcome { top1: Some(record.top1), failure: None },
                Err(StudyError::Quant(error)) => Outcome { top1: None, failure: Some(error.to_string()) },
                Err(error) => return Err(error),
            };
            bench.step(idx, &self.points[idx].label);
            bench.finish(idx, outcome)?;
        }
        Ok(())
    }

    fn figures(&self, outcome: &Outcome) -> BTreeMap<String, f64> {
        outcome.top1.map(|top1| ("top1".to_owned(), top1)).into_iter().collect()
    }

    fn failure(&self, outcome: &Outcome) -> Option<String> {
        outcome.failure.clone()
    }
}

impl WidthPoints<'_> {
    fn config(&self, idx: usize) -> EvaluateConfig {
        let weight_bits = self.plan.weight_bits[idx];
        EvaluateConfig {
            data: self.study.data.clone(),
            input_size: None,
            engine: Some(Engine::Integer),
            order: skimp_cpu::Order::Exact,
            quantization: QuantizationConfig { weight_bits, ..self.plan.quantization },
        }
    }
}

impl StudyPlan for NarrowPlan {
    const KIND: &'static str = "narrow";
    const SUMMARY: &'static str = "accuracy by bits of the weights";
    const MARK: &'static str = "[narrow]";

    fn check(&self, _study: &StudyHeader) -> Result<(), String> {
        if self.narrow.weight_bits.is_empty() { Err("narrow.weight_bits is empty".to_owned()) } else { Ok(()) }
    }

    fn check_published(&self, figure: &PublishedConfig) -> Result<(), String> {
        if figure.ours == "top1" { Ok(()) } else { Err("ours must be \"top1\"".to_owned()) }
    }

    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        let network = Network::open(&study.network.model)?;
        let point = |bits: &u32| Point { name: format!("bits{bits}"), label: format!("{bits} bits") };
        let points = self.narrow.weight_bits.iter().map(point).collect();
        let points = WidthPoints { plan: &self.narrow, study, network, points };
        let outcomes = desk.outcomes(&points)?;
        let row = |(bits, outcome): (&u32, &Outcome)| {
            vec![(*bits).into(), outcome.top1.map(|top1| 100.0 * top1).into(), outcome.failure.clone().into()]
        };
        let rows = self.narrow.weight_bits.iter().zip(&outcomes).map(row).collect();
        let columns = vec![
            ColumnRecord::new("weight_bits", "weight bits"),
            ColumnRecord::real("top1_percent", "top-1", "%", 2),
            ColumnRecord::new("failure", "why not"),
        ];
        let table = TableRecord { caption: "Accuracy by bits of the weights, measured".to_owned(), columns, rows };
        let text = format!("{} widths of {}.", outcomes.len(), points.network.name);
        let top1 = outcomes.first().and_then(|outcome| outcome.top1).map(|top1| format!("{:.2} %", 100.0 * top1));
        Ok(StudyRecord {
            model_name: points.network.name.clone(),
            data_name: study.data.set.clone(),
            sections: Sections::default().with(TablesRecord { text, tables: vec![table], ..TablesRecord::default() }),
            published: study.published.iter().map(|own| own.beside(top1.clone(), Provenance::Measured)).collect(),
            inputs: vec![points.network.digest()],
            ..StudyRecord::default()
        })
    }
}

static KINDS: &[&dyn StudyKind] = &[&KindOf::<NarrowPlan>::ENTRY, STUDY_KINDS[0], STUDY_KINDS[1], STUDY_KINDS[2]];

const STUDY: &str = r#"
schema = 1
name = "few-bits"
title = "Few bits on {network}"
summary = "s"

[network]
model = "sample-resnet"

[data]
set = "sample"
accuracy_images = 40

[narrow]
weight_bits = [8, 4, 2, 1]

[narrow.quantization]
activation_bits = 8
calibration_images = 4

[[published]]
quantity = "top-1 in 8 bits"
value = "95 %"
source = "somebody"
ours = "top1"
"#;

fn parse(text: &str) -> Result<StudyConfig, StudyError> {
    StudyConfig::parse_as(text, "few.toml", KINDS)
}

fn json(record: &StudyRecord) -> String {
    StudyRecord { timings: Vec::new(), ..record.clone() }.to_json().unwrap()
}

#[test]
fn a_kind_of_ones_own_takes_part() {
    let config = parse(STUDY).unwrap();
    let whole = study(&config, &Silent).unwrap();
    assert_eq!((whole.kind.as_str(), whole.title.as_str()), ("narrow", "Few bits on sample-resnet"));
    // What one evaluation gives, and a width that cannot be.
    let plan = config.plan.get::<NarrowPlan>().unwrap();
    let network = Network::open("sample-resnet").unwrap();
    let points = WidthPoints { plan: &plan.narrow, study: &config.header, network, points: Vec::new() };
    let four = evaluate(&points.network, &points.config(1), &Silent).unwrap();
    let rows = &whole.section::<TablesRecord>().unwrap().tables[0].rows;
    assert_eq!(rows[1][1].as_f64(), Some(100.0 * four.top1));
    assert!(rows[3][1].is_null() && rows[3][2].as_str().unwrap().contains("weight_bits"), "{rows:?}");
    // The resolved configuration, the record and what is shown of it.
    let text = config.to_toml().unwrap();
    assert_eq!(parse(&text).unwrap(), config);
    assert_eq!(whole.config_toml, text);
    let again = StudyRecord::from_json(&whole.to_json().unwrap()).unwrap();
    assert_eq!(again, whole);
    let page = skimp_report::html::render(&again);
    for words in ["4 widths of sample-resnet.", "Accuracy by bits of the weights", "top-1 in 8 bits", "skimp study"] {
        assert!(page.contains(words), "{words}");
    }
    let shown = skimp_report::views::study_text(&again, None);
    assert!(shown.contains("weight bits") && shown.contains("95 %"), "{shown}");
    let csv = skimp_report::views::study_csv(&again).unwrap();
    assert!(csv.starts_with("weight_bits,top1_percent,failure\n8,"), "{csv}");
}

#[test]
fn its_points_are_kept_and_found_again() {
    let config = parse(STUDY).unwrap();
    let whole = study(&config, &Silent).unwrap();
    // The power goes after the second point; on one thread, so that it is known which.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let store = Memory::new(2);
    let killed = pool.install(|| study_in(&config, &store, false, &Silent)).unwrap_err();
    assert!(killed.to_string().contains("killed"), "{killed}");
    assert_eq!(store.held(), ["bits4", "bits8"]);
    let before = store.points.lock().unwrap().clone();
    *store.writes_left.lock().unwrap() = 2;
    let resumed = study_in(&config, &store, true, &Silent).unwrap();
    assert_eq!(json(&resumed), json(&whole));
    let failed = store.read("bits1").unwrap().unwrap();
    assert!(failed.failure.is_some() && failed.figures.is_empty() && failed.seconds.is_some());
    assert_eq!(store.read("bits4").unwrap().unwrap(), before["bits4"]);
    assert!(before["bits4"].figures["top1"] > 0.0);
    // The same in a folder, with the files of a study; without --resume what took work is not thrown away.
    let folder = tempfile::tempdir().unwrap();
    let run = |resume| StudyRun { folder: folder.path().to_owned(), resume };
    assert_eq!(json(&run_study(&config, &run(false), &Silent).unwrap()), json(&whole));
    assert!(folder.path().join("results.csv").is_file() && folder.path().join("runs/bits2.toml").is_file());
    let refused = run_study(&config, &run(false), &Silent).unwrap_err();
    assert!(refused.is_usage() && refused.to_string().contains("use --resume"), "{refused}");
    assert_eq!(json(&run_study(&config, &run(true), &Silent).unwrap()), json(&whole));
    let other = parse(&STUDY.replace("calibration_images = 4", "calibration_images = 5")).unwrap();
    let refused = run_study(&other, &run(true), &Silent).unwrap_err().to_string();
    assert!(refused.contains("calibration_images = 4, this run has 5"), "{refused}");
}

#[test]
fn mistakes_in_its_file_are_named() {
    for (from, to, message) in [
        ("weight_bits = [8", "weigth_bits = [8", "unknown field `weigth_bits`"),
        ("weight_bits = [8, 4, 2, 1]", "weight_bits = []", "narrow.weight_bits is empty"),
        ("summary", "sumary", "line 5: unknown field `sumary`, expected one of `schema`"),
        ("ours = \"top1\"", "ours = \"top5\"", "published \"top-1 in 8 bits\": ours must be \"top1\""),
        (
            "[narrow]",
            "[[accelerators]]\nmodel = \"compend\"\n[narrow]",
            "[narrow] and [[accelerators]] exclude each other",
        ),
        (
            "schema = 1",
            "schema = 1\nkind = \"precision\"",
            "kind is \"precision\", but [narrow] tells one of kind narrow",
        ),
        (
            "schema = 1",
            "schema = 1\nkind = \"x\"",
            "kind is \"x\", expected one of: narrow, tour, accelerators, precision",
        ),
        ("[narrow]", "[layers]\n[narrow]", "`layers` in a study of kind narrow, it is one of accelerators"),
        ("[narrow", "[network", "duplicate key"),
    ] {
        let error = parse(&STUDY.replace(from, to)).unwrap_err().to_string();
        assert!(error.starts_with("few.toml: ") && error.contains(message), "{error}");
    }
    let (head, _) = STUDY.split_once("[narrow]").unwrap();
    let error = parse(head).unwrap_err().to_string();
    assert!(
        error.contains("there is no [narrow], no [tour], no [[accelerators]], no [training], nor a kind"),
        "{error}"
    );
    // A kind may be said, too, and is then said again.
    let said = parse(&STUDY.replace("schema = 1", "schema = 1\nkind = \"narrow\"")).unwrap();
    assert!(said.to_toml().unwrap().contains("kind = \"narrow\""));
}

/// Kinds have names and tables of their own, and no key of the header.
#[test]
fn kinds_do_not_collide() {
    let header = crate::schema::fields_of::<StudyHeader>();
    assert!(header.contains(&"network") && header.contains(&"published"));
    for (idx, kind) in STUDY_KINDS.iter().enumerate() {
        assert!(kind.keys().iter().all(|key| !header.contains(key)), "{kind:?}");
        assert!(!kind.summary().is_empty());
        for other in &STUDY_KINDS[..idx] {
            assert!(kind.name() != other.name() && kind.mark() != other.mark());
            assert!(!other.keys().contains(&kind.mark().trim_matches(['[', ']'])), "{kind:?} {other:?}");
        }
    }
    let kinds: Vec<_> = embedded_studies().unwrap().iter().map(|study| study.plan.kind()).collect();
    assert!(STUDY_KINDS.iter().all(|kind| kinds.contains(&kind.name())), "{kinds:?}");
}
