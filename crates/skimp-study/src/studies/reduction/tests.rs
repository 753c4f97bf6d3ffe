//! Reductions of the embedded network.

use skimp_reduce::recast::{NewKind, recast};
use skimp_reduce::{METHODS, Target};
use skimp_report::records::{TableRecord, TablesRecord};

use super::points::{DesignFigures, Outcome};
use super::tables::{Row, found};
use super::*;
use crate::inputs::config::DataConfig;
use crate::monitor::Silent;
use crate::reduce::measured::NetworkMeasures;
use crate::reduce::prune::{PruneConfig, prune};
use crate::store::memory::Memory;
use crate::studies::config::StudyConfig;
use crate::studies::runner::{study, study_in};

const STUDY: &str = r#"
    schema = 1
    name = "smaller"
    title = "Reductions of {network}"
    summary = "s"

    [network]
    model = "sample-resnet"

    [data]
    set = "sample"
    images = 1
    accuracy_images = 60

    [quantization]
    weight_bits = 8
    activation_bits = 8
    calibration_images = 8

    [reduction]
    methods = ["l1", "magnitude"]
    channels_target = "macs=0.5"
    weights_target = "sparsity=0.75"
    seeds = [1]

    [reduction.run]
    images = 32
    batch_size = 16
    epochs = 1

    [[reduction.accelerators]]
    model = "dadiannao"

    [[reduction.accelerators]]
    model = "scnn"

    [[reduction.variants]]
    label = "plain"
    steps = [{ blocks = "2", into = "conv" }]

    [[reduction.variants]]
    label = "plain, then zeros"
    steps = [{ blocks = "2", into = "conv" }, { prune = "magnitude", target = "sparsity=0.75" }]
"#;

fn config(text: &str) -> StudyConfig {
    StudyConfig::parse(text, "smaller.toml").unwrap()
}

fn tables(record: &StudyRecord) -> &TablesRecord {
    record.section::<TablesRecord>().unwrap()
}

/// The cell of a row, by the keys of both.
fn cell<'t>(table: &'t TableRecord, row: &str, column: &str) -> &'t serde_json::Value {
    let at = table.columns.iter().position(|own| own.key == column).unwrap();
    &table.rows.iter().find(|own| own[0] == row).unwrap()[at]
}

#[test]
fn each_reduction_is_that_of_its_own_command() {
    let record = study(&config(STUDY), &Silent).unwrap();
    let found = tables(&record);
    let overview = &found.tables[0];
    let labels: Vec<&str> = overview.rows.iter().map(|row| row[0].as_str().unwrap()).collect();
    assert_eq!(labels, ["before", "l1", "magnitude", "plain", "plain, then zeros"]);
    let network = Network::open("sample-resnet").unwrap();
    let data = config(STUDY).header.data;
    let pruned = |method: &str, target: &str| {
        let config = PruneConfig {
            method: method.to_owned(),
            target: target.parse::<Target>().unwrap(),
            scope: skimp_reduce::Scope::default(),
            keep: Vec::new(),
            round_to: 8,
            inexact: false,
            settings: toml::Table::new(),
            data: Some(DataConfig { accuracy_images: 60, ..data.clone() }),
            input_size: None,
            batch_norm_images: 0,
            finetune: 0,
            training: TrainConfig::default(),
            latency_batch: None,
        };
        prune(&network, &config, None, &Silent).unwrap()
    };
    for (method, target) in [("l1", "macs=0.5"), ("magnitude", "sparsity=0.75")] {
        let own = pruned(method, target);
        let number = |column: &str| cell(overview, method, column).as_f64();
        assert_eq!(number("top1_percent"), own.after.top1.map(|top1| 100.0 * top1), "{method}");
        assert_eq!(number("macs"), Some(own.after.macs as f64), "{method}");
        assert_eq!(number("parameters"), Some(own.after.parameters as f64), "{method}");
        assert_eq!(cell(overview, "before", "macs").as_f64(), Some(own.before.macs as f64));
        assert_eq!(cell(overview, "before", "top1_percent").as_f64(), own.before.top1.map(|top1| 100.0 * top1));
    }
    // A network that became another one has its counts.
    let plain = recast(&network.graph, &[2], NewKind::Conv, &[], 1).unwrap();
    let measures = NetworkMeasures::of(&plain.graph, None, 0).unwrap();
    assert_eq!(cell(overview, "plain", "macs").as_f64(), Some(measures.macs as f64));
    assert_eq!(cell(overview, "plain, then zeros", "macs").as_f64(), Some(measures.macs as f64));
    let zeros = cell(overview, "plain, then zeros", "zero_weights_percent").as_f64().unwrap();
    assert!((zeros - 75.0).abs() < 0.5, "{zeros}");
    // Zeros in weights are work that SCNN skips and DaDianNao does.
    let cycles = |row: &str, design: &str| cell(overview, row, &format!("{design}_cycles")).as_f64().unwrap();
    assert!(cycles("magnitude", "scnn") < 0.8 * cycles("before", "scnn"));
    assert!((cycles("magnitude", "dadiannao") - cycles("before", "dadiannao")).abs() < 1.0);
    assert!(cycles("l1", "dadiannao") < cycles("before", "dadiannao"));
}

#[test]
fn layers_levers_and_pictures() {
    let record = study(&config(STUDY), &Silent).unwrap();
    let TablesRecord { text, tables, charts } = tables(&record);
    let [overview, channels, weights, together] = &tables[..] else { panic!("{}", tables.len()) };
    assert!(channels.rows.len() == weights.rows.len() && channels.columns[1].key == "l1");
    let keys: Vec<&str> = weights.columns.iter().map(|column| column.key.as_str()).collect();
    assert_eq!(keys, ["layer", "magnitude", "plain", "plain_then_zeros"]);
    let kept = channels.rows.iter().map(|row| row[1].as_f64().unwrap());
    assert!(kept.clone().all(|kept| kept > 0.0 && kept <= 1.0) && kept.clone().any(|kept| kept < 1.0));
    let zeros = weights.rows.iter().map(|row| row[1].as_f64().unwrap());
    assert!(zeros.clone().any(|kept| kept < 0.5) && zeros.clone().all(|kept| kept <= 1.0));
    // Layers that are no more have no share.
    assert!(weights.rows.iter().any(|row| row[2].is_null()) && weights.rows.iter().any(|row| row[2] == 1.0));
    // Each reduction on the second design, and the steps on both.
    assert_eq!(together.rows.len(), 6);
    assert!(text.starts_with("On the front of accuracy against MACs: ") && text.contains("levers that share most"));
    let captions: Vec<&str> = charts.iter().map(|chart| chart.axes[0].as_str()).collect();
    let energies = ["energy on dadiannao", "energy on scnn"];
    assert_eq!(captions, ["weights not zero", "MACs", "activations moved", energies[0], energies[1]]);
    // The front is the line of those whose row says so.
    let on = overview.rows.iter().filter(|row| {
        let at = overview.columns.iter().position(|column| column.key == "front").unwrap();
        row[at].as_str().unwrap().split(", ").any(|name| name == "MACs")
    });
    assert_eq!(charts[1].clouds.last().unwrap().line.len(), on.count());
}

#[test]
fn what_is_finished_is_kept() {
    let full = config(STUDY);
    let expected = study(&full, &Silent).unwrap();
    let store = Memory::new(3);
    let error = study_in(&full, &store, false, &Silent).unwrap_err().to_string();
    assert!(error.contains("killed"), "{error}");
    *store.writes_left.lock().unwrap() = usize::MAX;
    let resumed = study_in(&full, &store, true, &Silent).unwrap();
    assert_eq!(resumed.sections, expected.sections);
    assert_eq!(store.held().len(), 5);
    // Trainings take long: nobody throws them away without asking.
    assert!(matches!(study_in(&full, &store, false, &Silent), Err(StudyError::Begun { .. })));
    let other = config(&STUDY.replace("images = 32", "images = 48"));
    let error = study_in(&other, &store, true, &Silent).unwrap_err().to_string();
    assert!(error.contains("run.images"), "{error}");
}

#[test]
fn a_reduction_that_cannot_be_says_why() {
    let text = STUDY.replace("channels_target = \"macs=0.5\"", "channels_target = \"sparsity=0.5\"");
    let record = study(&config(&text), &Silent).unwrap();
    let overview = &tables(&record).tables[0];
    assert!(cell(overview, "l1", "failure").as_str().unwrap().contains("sparsity=0.5"));
    assert!(cell(overview, "l1", "top1_percent").is_null() && cell(overview, "l1", "front") == "");
    assert!(cell(overview, "magnitude", "failure").is_null());
}

#[test]
fn methods_are_those_of_the_registry() {
    let text = STUDY.replace("methods = [\"l1\", \"magnitude\"]", "");
    let plan = config(&text).plan.get::<ReductionPlan>().unwrap().clone();
    let labels: Vec<String> = plan.reduction.all().into_iter().map(|variant| variant.label).collect();
    // One lets each image skip operations: there is no smaller network.
    let facts = METHODS.iter().map(|method| method.facts());
    let names: Vec<&str> = facts.filter(|own| own.name != "rnp").map(|own| own.name).collect();
    assert_eq!(labels[1..=names.len()], names);
}

/// Figures by hand: what is alone, what is together.
#[test]
fn levers_that_share_work_are_told_from_those_that_do_not() {
    let step = |method: &str| StepConfig::prune(method, "macs=0.5");
    let variant = |label: &str, steps: &[StepConfig]| Variant {
        label: label.to_owned(),
        family: if steps.is_empty() { Family::Before } else { Family::Steps },
        steps: steps.to_vec(),
    };
    let (a, b) = (step("l1"), step("l2"));
    let variants = [
        variant("before", &[]),
        variant("a", std::slice::from_ref(&a)),
        variant("b", std::slice::from_ref(&b)),
        variant("ab", &[a.clone(), b.clone()]),
    ];
    let outcome = |first: u64, second: u64| Outcome {
        designs: [("D", first), ("E", second)]
            .map(|(label, cycles)| DesignFigures { label: label.to_owned(), cycles, energy_mj: cycles as f64 })
            .to_vec(),
        ..Outcome::default()
    };
    // Alone: a 2 and b 4 times on D, E 2 times; ab is 6 times where 8 would be the product.
    let outcomes = [outcome(1200, 600), outcome(600, 300), outcome(300, 300), outcome(200, 200)];
    let rows: Vec<Row<'_>> =
        variants.iter().zip(&outcomes).map(|(variant, outcome)| Row { variant, outcomes: vec![outcome] }).collect();
    let found = found(&rows, &["D", "E"], 0);
    let table = found.tables.last().unwrap();
    let gains: Vec<(String, String, f64, f64)> = table
        .rows
        .iter()
        .map(|row| {
            let text = |at: usize| row[at].as_str().unwrap().to_owned();
            let number = |at: usize| (100.0 * row[at].as_f64().unwrap()).round() / 100.0;
            (text(0), text(1), number(3), number(4))
        })
        .collect();
    let expected = [
        ("a", "E instead of D", 4.0, 4.0),
        ("b", "E instead of D", 4.0, 8.0),
        ("ab", "D", 6.0, 8.0),
        ("ab", "E", 3.0, 4.0),
        ("ab", "E instead of D", 6.0, 12.0),
    ];
    let expected = expected.map(|(label, design, together, product)| (label.into(), design.into(), together, product));
    assert_eq!(gains, expected);
    assert!(
        found.text.ends_with("together 4.00 times less cycles where the product of both alone is 8.00."),
        "{}",
        found.text
    );
}

#[test]
fn mistakes_are_named() {
    for (from, to, message) in [
        ("seeds = [1]", "seeds = []", "reduction.seeds is empty"),
        ("seeds = [1]", "seeds = [1, 1]", "seed 1 is given twice"),
        ("[\"l1\", \"magnitude\"]", "[\"l1\", \"l1\"]", "two reductions are called \"l1\""),
        ("[\"l1\", \"magnitude\"]", "[\"l9\"]", "\"l9\": prune is \"l9\", expected one of"),
        ("label = \"plain\"", "label = \"before\"", "two reductions are called \"before\""),
        ("\"macs=0.5\"", "\"macs=5\"", "\"l1\": target"),
        ("images = 32", "seed = 3", "[reduction.run] sets seed"),
        ("model = \"scnn\"", "model = \"dadiannao\"", "two accelerators are labeled \"dadiannao\""),
        ("accuracy_images = 60", "accuracy_images = 0", "data.accuracy_images is 0"),
        ("seeds = [1]", "seeds = [1]\nlatency_batch = 1\npairs = 0", "reduction.pairs is 0"),
    ] {
        assert!(STUDY.contains(from), "{from}");
        let error = StudyConfig::parse(&STUDY.replacen(from, to, 1), "smaller.toml").unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
