//! Records through JSON, CSV and terminal tables.

use skimp_report::records::{
    AccuracyRecord, Breakdown, Comparison, ComparisonRecord, Coverage, EffectAccuracy, EnergyRecord, LayerRecord,
    LayerStatistics, LayersRecord, LeftOut, PrecisionRecord, STUDY_SCHEMA, Sections, TRAINING_RUN, TrainingRecord,
    Verdict,
};
use skimp_report::table::Cell;
use skimp_report::{IndexMap, SimulationRecord, StudyRecord, WRITERS, views, write_study};

use crate::demo;

#[test]
fn a_study_survives_json_bit_by_bit() {
    let study = demo::study();
    let text = study.to_json().unwrap();
    assert!(text.ends_with("}\n"));
    let again = StudyRecord::from_json(&text).unwrap();
    assert_eq!(again, study);
    assert_eq!(again.to_json().unwrap(), text);
}

#[test]
fn a_simulation_has_the_documented_keys_in_order() {
    let simulation = demo::study().sections.remove::<SimulationRecord>().unwrap();
    let text = simulation.to_json().unwrap();
    assert_eq!(SimulationRecord::from_json(&text).unwrap(), simulation);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let expected = [
        "schema",
        "skimp_version",
        "model",
        "data",
        "images",
        "weight_bits",
        "activation_bits",
        "simulated",
        "allowed_loss_points",
        "accelerators",
    ];
    assert_eq!(keys(&value), expected);
    let accelerator = &value["accelerators"][1];
    let expected = [
        "name",
        "label",
        "config",
        "costs",
        "clock_mhz",
        "area_mm2",
        "peak_gmacs_per_s",
        "dram_gb_per_s",
        "findings",
        "layers",
        "total",
    ];
    assert_eq!(keys(accelerator), expected);
    let expected = ["cycles", "latency_ms", "energy_mj", "tops_per_w", "gmacs_per_s", "simulated_percent"];
    assert_eq!(keys(&accelerator["total"]), expected);
    assert_eq!(value["simulated"]["percent"].as_f64(), Some(100.0));
    let layer = &accelerator["layers"][0];
    let expected = ["name", "operator", "macs", "images", "findings", "cycles", "events", "energy_nj", "why", "notes"];
    assert_eq!(keys(layer), expected);
    assert_eq!(keys(&layer["findings"][0]), ["key", "label", "kind", "basis", "verdict"]);
    let planes = &accelerator["layers"][1]["findings"][1];
    assert_eq!(keys(planes), ["key", "label", "kind", "basis", "value", "of", "unit", "distribution"]);
    assert_eq!(planes["distribution"]["first"], 1);
    assert_eq!(keys(&layer["cycles"]), ["total", "mem_stt", "stt_wb", "mem_wb", "mem_ab", "ab_pu", "run_pu"]);
    assert_eq!(layer["cycles"]["run_pu"], 4 * 3_612_672);
}

/// A record small enough to read, whole as text.
#[test]
fn golden_json() {
    let layers = vec![LayerStatistics {
        name: "c1".to_owned(),
        operator: "Conv".to_owned(),
        activation_density: 0.1,
        negative_sums_unseen: Verdict::no("no ReLU follows"),
        ..LayerStatistics::default()
    }];
    let study = StudyRecord {
        skimp_version: "0.0.0".to_owned(),
        kind: "accelerators".to_owned(),
        name: "tiny".to_owned(),
        sections: Sections::default().with(LayersRecord { layers }),
        ..StudyRecord::default()
    };
    let expected = r#"{
  "schema": "skimp.study/4",
  "skimp_version": "0.0.0",
  "kind": "accelerators",
  "name": "tiny",
  "title": "",
  "subject": "",
  "model_name": "",
  "data_name": "",
  "n_images": 0,
  "seed": 0,
  "sections": {
    "layers": {
      "schema": "skimp.layers/1",
      "layers": [
        {
          "name": "c1",
          "operator": "Conv",
          "input_shape": [],
          "weight_shape": [],
          "output_shape": [],
          "macs": 0,
          "weights": 0,
          "activation_density": 0.1,
          "weight_density": 0.0,
          "negative_sums_unseen": {
            "holds": false,
            "reason": "no ReLU follows"
          }
        }
      ]
    }
  },
  "published": [],
  "assumptions": [],
  "config_toml": "",
  "inputs": [],
  "timings": []
}
"#;
    assert_eq!(study.to_json().unwrap(), expected);
    assert_eq!(StudyRecord::from_json(expected).unwrap(), study);
}

#[test]
fn foreign_text_is_an_error_that_says_why() {
    for (text, expected) in [
        ("{}", "expected a record of schema \"skimp.study/4\", found no schema"),
        ("{\"schema\": \"skimp.study/9\"}", "expected a record of schema \"skimp.study/4\", found \"skimp.study/9\""),
        ("{\"schema\": \"skimp.study/4\"}", "invalid skimp.study/4 record: missing field `skimp_version`"),
        ("{", "invalid skimp.study/4 record: EOF"),
    ] {
        let error = StudyRecord::from_json(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn every_writer_writes_and_the_folder_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let paths = write_study(folder.path(), &demo::study()).unwrap();
    // Another study in the same folder leaves none of this one's tables.
    let other = tempfile::tempdir().unwrap();
    write_study(other.path(), &demo::study()).unwrap();
    let kept = write_study(other.path(), &StudyRecord::default()).unwrap();
    let there = std::fs::read_dir(other.path()).unwrap().count();
    assert!(kept.len() < paths.len() && there == kept.len(), "{there} files");
    let names: Vec<_> = paths.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let expected = [
        "results.json",
        "study.toml",
        "precision.csv",
        "casts.csv",
        "curves.csv",
        "cycles.csv",
        "energy.csv",
        "events.csv",
        "findings.csv",
        "distributions.csv",
        "layers.csv",
        "report.html",
    ];
    assert_eq!(names, expected);
    assert!(paths.iter().all(|path| path.is_file()));
    let mut writers: Vec<_> = WRITERS.iter().map(|writer| writer.name()).collect();
    writers.dedup();
    assert_eq!(writers.len(), WRITERS.len());
    assert!(WRITERS.iter().all(|writer| !writer.summary().is_empty()));
    // Every CSV has as many cells in each row as in its head.
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "csv")) {
        let mut reader = csv::Reader::from_path(path).unwrap();
        assert!(reader.records().all(|record| record.is_ok()), "{}", path.display());
    }
}

/// A record of `skimp.study/4` as /3 had it: with a field for each section.
fn third(mut record: serde_json::Value) -> serde_json::Value {
    let own = record.as_object_mut().unwrap();
    own.remove("kind");
    for (name, mut section) in own.remove("sections").unwrap().as_object().unwrap().clone() {
        match name.as_str() {
            "layers" => drop(own.insert(name, section["layers"].take())),
            "comparison" => own.extend(section.as_object().unwrap().clone()),
            _ => drop(own.insert(name, section)),
        }
    }
    own.insert("schema".to_owned(), "skimp.study/3".into());
    record
}

/// Files that version 0.1.0 wrote before a study's sections stood in one place.
#[test]
fn files_of_the_third_schema_are_read() {
    let files = [
        (
            include_str!("older/accelerators-3.json"),
            "accelerators",
            vec!["accuracy", "layers", "simulation", "comparison"],
        ),
        (include_str!("older/precision-3.json"), "precision", vec!["precision"]),
        (include_str!("older/train-3.json"), TRAINING_RUN, vec!["training"]),
    ];
    for (text, kind, sections) in files {
        let record = StudyRecord::from_json(text).unwrap();
        assert_eq!((record.schema.as_str(), record.kind.as_str()), (STUDY_SCHEMA, kind));
        assert_eq!(record.sections.names().collect::<Vec<_>>(), sections);
        // Nothing is lost: as /3 again it is the file.
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let again = third(serde_json::from_str(&record.to_json().unwrap()).unwrap());
        for (key, value) in file.as_object().unwrap().iter().filter(|(_, value)| **value != serde_json::json!([])) {
            let mut own = again[key].clone();
            if !value.get("schema").is_some_and(|schema| schema.is_string()) {
                own.as_object_mut().map(|own| own.remove("schema"));
            }
            assert_eq!(own, *value, "{kind} {key}");
        }
        assert!(skimp_report::html::render(&record).contains("</html>"));
    }
    // A training run says what it is, a study of training is a study.
    let page = |text| skimp_report::html::render(&StudyRecord::from_json(text).unwrap());
    assert!(page(include_str!("older/train-3.json")).contains("<p class=\"kind\">skimp train"));
    assert!(page(include_str!("older/precision-3.json")).contains("<p class=\"kind\">skimp study"));
}

/// Sections of other versions survive, and every output says that they are there.
#[test]
fn sections_that_are_not_known_are_kept_and_named() {
    let study = demo::with_every_section();
    assert_eq!(study.sections.unread().collect::<Vec<_>>(), [("aging", "skimp.aging/7")]);
    let text = study.to_json().unwrap();
    assert_eq!(StudyRecord::from_json(&text).unwrap(), study);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["sections"]["aging"], serde_json::json!({ "schema": "skimp.aging/7", "years": [1, 2.5] }));
    for shown in [skimp_report::html::render(&study), views::study_text(&study, None)] {
        assert!(shown.contains("aging (skimp.aging/7)"), "{shown}");
        assert!(shown.contains("Eight bits are enough.") && shown.contains("Accuracy by bits"), "{shown}");
    }
    // A known section in a form of another version is not guessed at; one that is broken is an error that names it.
    let later = text.replace("skimp.tables/1", "skimp.tables/2");
    let later = StudyRecord::from_json(&later).unwrap();
    assert!(later.section::<skimp_report::records::TablesRecord>().is_none());
    assert_eq!(later.sections.unread().count(), 2);
    let broken = text.replacen("\"caption\": \"Accuracy by bits\"", "\"caption\": 3", 1);
    let error = StudyRecord::from_json(&broken).unwrap_err().to_string();
    assert!(error.contains("section tables: ") && error.contains("expected a string"), "{error}");
}

/// What versions before the schemas of today wrote: rates under other names, no coverage, early negative detection in fields
/// of its own.
#[test]
fn records_of_older_schemas_can_be_read() {
    let study = demo::study();
    let mut simulation = study.simulation().unwrap().clone();
    let older = |mut value: serde_json::Value, layers: &str| {
        let accelerators = value.pointer_mut(layers).unwrap().as_array_mut().unwrap();
        let mut planes = Vec::new();
        for accelerator in accelerators {
            accelerator.as_object_mut().unwrap().remove("findings");
            for layer in accelerator["layers"].as_array_mut().unwrap() {
                let findings = layer.as_object_mut().unwrap().remove("findings");
                for finding in findings.iter().flat_map(|findings| findings.as_array().unwrap()) {
                    match finding["key"].as_str() {
                        Some("end") => {
                            let verdict = &finding["verdict"];
                            layer["end"] =
                                serde_json::json!({ "enabled": verdict["holds"], "reason": verdict["reason"] });
                        }
                        _ => planes.push((layer["name"].clone(), finding.clone())),
                    }
                }
            }
        }
        for layer in value["layers"].as_array_mut().into_iter().flatten() {
            let unseen = layer.as_object_mut().unwrap().remove("negative_sums_unseen").unwrap();
            layer["end"] = serde_json::json!({ "enabled": unseen["holds"], "reason": unseen["reason"] });
            if let Some((_, finding)) = planes.iter().find(|(name, _)| *name == layer["name"]) {
                (layer["end_planes"], layer["mean_planes"]) =
                    (finding["distribution"]["counts"].clone(), finding["value"].clone());
            }
        }
        if value["schema"] == "skimp.study/3" {
            value["exactness"] = serde_json::json!({ "bit_exact": true, "n_outputs_compared": 54_190_080,
                "n_outputs_different": 0 });
        }
        value
    };
    let value = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let second = older(value(simulation.to_json().unwrap()), "/accelerators").to_string();
    let second = second.replace("skimp.simulate/3", "skimp.simulate/2");
    let read = SimulationRecord::from_json(&second).unwrap();
    let mut expected = simulation.clone();
    for accelerator in &mut expected.accelerators {
        // The planes of a layer stood in the study alone, and so did what was compared.
        accelerator.findings.clear();
        accelerator.layers.iter_mut().for_each(|layer| layer.findings.truncate(1));
    }
    for accelerator in &mut expected.accelerators {
        for finding in accelerator.layers.iter_mut().flat_map(|layer| &mut layer.findings) {
            finding.basis = skimp_report::records::Provenance::Simulated;
        }
    }
    assert_eq!(read, expected);

    let third = third(value(study.to_json().unwrap()));
    assert_eq!(StudyRecord::from_json(&third.to_string()).unwrap(), study);
    let second = older(third, "/simulation/accelerators").to_string();
    let second = second.replace("skimp.study/3", "skimp.study/2").replace("skimp.simulate/3", "skimp.simulate/2");
    let read = StudyRecord::from_json(&second).unwrap();
    assert_eq!(read, study);
    assert_eq!(skimp_report::html::render(&read), skimp_report::html::render(&study));

    let first = |text: &str| {
        text.replace("skimp.simulate/2", "skimp.simulate/1")
            .replace("skimp.study/2", "skimp.study/1")
            .replace("peak_gmacs_per_s", "peak_gmacs")
            .replace("gmacs_per_s_per_mm2", "gmacs_per_mm2")
            .replace("gmacs_per_s_per_w", "gmacs_per_w")
            .replace("\"gmacs_per_s\"", "\"gmacs\"")
    };
    assert_eq!(StudyRecord::from_json(&first(&second)).unwrap(), study);
    // Without what /1 did not have.
    simulation.simulated = None;
    let mut value = older(value(simulation.to_json().unwrap()), "/accelerators");
    for accelerator in value["accelerators"].as_array_mut().unwrap() {
        accelerator["total"].as_object_mut().unwrap().remove("simulated_percent").unwrap();
    }
    let text = first(&value.to_string().replace("skimp.simulate/3", "skimp.simulate/2"));
    let read = SimulationRecord::from_json(&text).unwrap();
    assert_eq!((read.simulated, read.accelerators[0].total.cycles), (None, simulation.accelerators[0].total.cycles));
}

/// A report speaks of a design's specialities only where that design takes part.
#[test]
fn designs_without_a_speciality_do_not_mention_it() {
    let mut study = demo::study();
    study.sections.remove::<ComparisonRecord>();
    (study.subject, study.title) = (String::new(), String::new());
    study.assumptions.clear();
    study.published.clear();
    study.sections.remove::<PrecisionRecord>();
    study.sections.remove::<TrainingRecord>();
    study.config_toml.clear();
    study.timings.clear();
    study.sections.get_mut::<SimulationRecord>().unwrap().accelerators.drain(..2);
    let simulation = study.simulation().unwrap();
    let texts = [
        skimp_report::html::render(&study).to_lowercase(),
        views::simulation_text(simulation, None).to_lowercase(),
        views::simulation_csv(simulation).unwrap(),
        study.to_json().unwrap(),
    ];
    for text in texts {
        for word in ["early negative", "end_planes", "bit-exact", ",end,", "recomputed"] {
            assert!(!text.contains(word), "{word} in\n{text}");
        }
    }
}

/// One layer that is not simulated: every view says so.
#[test]
fn what_is_left_out_stands_beside_the_totals() {
    let mut study = demo::study();
    let simulation = study.sections.get_mut::<SimulationRecord>().unwrap();
    let left_out = LeftOut {
        name: "attention".to_owned(),
        operator: "MatMul".to_owned(),
        macs: 1_234_567,
        reason: "a product of two activations".to_owned(),
    };
    let coverage = Coverage::new(98_765_433, 0, vec![left_out]);
    assert_eq!(coverage.percent_text(), "98.76");
    simulation.simulated = Some(coverage.clone());
    simulation.warnings.push("the network guesses".to_owned());
    study.sections.get_mut::<AccuracyRecord>().unwrap().in_integers = Some(coverage);
    let text = views::simulation_text(study.simulation().unwrap(), None);
    let html = skimp_report::html::render(&study);
    for page in [&text, &views::study_text(&study, None), &html] {
        for expected in ["98.76", "100,000,000 MACs per image", "attention", "1,234,567", "two activations", "guesses"]
        {
            assert!(page.contains(expected), "{expected} in\n{page}");
        }
    }
    assert!(html.contains("ran in 32-bit floating point"));
}

#[test]
fn csv_has_one_row_per_accelerator_and_layer() {
    let simulation = demo::study().sections.remove::<SimulationRecord>().unwrap();
    let text = views::simulation_csv(&simulation).unwrap();
    assert_eq!(text.lines().count(), 1 + 3 * 13);
    let head = text.lines().next().unwrap();
    assert!(head.starts_with("accelerator,layer,operator,macs,images,end,cycles_total,cycles_mem_stt"), "{head}");
    assert!(head.ends_with("events_pu_accesses,events_ctrl_decisions,found_end_planes"), "{head}");
    let cycles = views::cycles_table(&simulation).to_csv().unwrap();
    let row = cycles.lines().nth(1).unwrap();
    assert_eq!(row, "ComPEND without END,conv1_1,Conv,346816512,4,off,16974696,14804,2320,0,1301888,1204992,14450688,");
}

#[test]
fn terminal_tables_add_up() {
    let study = demo::study();
    let simulation = study.simulation().unwrap();
    let text = views::layer_cycles(&simulation.accelerators[0]).to_text(None);
    // The recorded total of the thirteen convolutions is 70,043,623 cycles; fill-in phases differ by their rounding.
    assert!(text.contains("70,0"), "{text}");
    assert!(!text.contains("mem wb"), "a phase without cycles has no column:\n{text}");
    let text = views::simulation_text(simulation, None);
    for expected in ["ComPEND with END: cycles per image by layer and phase", "DaDianNao", "ms per image", "TOPS/W"] {
        assert!(text.contains(expected), "{expected} in\n{text}");
    }
    let text = views::study_text(&study, None);
    assert!(text.starts_with("Early negative detection saves "), "{text}");
}

#[test]
fn the_summary_says_what_happened() {
    let mut study = demo::study();
    let sentence = views::summary_sentence(&study).unwrap();
    assert!(
        sentence.ends_with(
            "of ComPEND without END on vgg16 over 4 images of imagenet, and changes no answer: bit-exact in \
             54,190,080 outputs."
        ),
        "{sentence}"
    );
    let agreement = &mut study.sections.get_mut::<SimulationRecord>().unwrap().accelerators[1].findings[0];
    (agreement.value, agreement.verdict) = (Some(1200.0), Some(Verdict { holds: false, reason: None }));
    study.sections.get_mut::<ComparisonRecord>().unwrap().comparisons[0].total_runtime_reduction_percent = -2.04;
    study.n_images = 1;
    let sentence = views::summary_sentence(&study).unwrap();
    assert!(sentence.contains("adds 2.0 % to the run time but saves "), "{sentence}");
    assert!(sentence.contains("over 1 image of"), "{sentence}");
    assert!(sentence.ends_with(", but is not exact: 1,200 of 54,190,080 outputs differ."), "{sentence}");
    study.sections.remove::<ComparisonRecord>();
    assert_eq!(views::summary_sentence(&study).as_deref(), Some("3 accelerators on vgg16 over 1 image of imagenet."));
}

#[test]
fn comparisons_average_layers_by_name() {
    let layer = |name: &str, cycles, nanojoules| LayerRecord {
        name: name.to_owned(),
        cycles: Breakdown { total: cycles, parts: IndexMap::new() },
        energy_nj: Breakdown { total: nanojoules, parts: IndexMap::new() },
        ..LayerRecord::default()
    };
    let mut baseline = demo::study().sections.remove::<SimulationRecord>().unwrap().accelerators.remove(0);
    let mut variant = baseline.clone();
    baseline.layers = vec![layer("a", 100, 10.0), layer("b", 50, 10.0), layer("free", 0, 0.0), layer("gone", 10, 1.0)];
    variant.layers = vec![layer("b", 25, 10.0), layer("a", 90, 5.0), layer("free", 0, 0.0)];
    baseline.total.latency_ms = 2.0;
    variant.total.latency_ms = 1.5;
    baseline.total.energy_mj = 0.0;
    let comparison = Comparison::between(&baseline, &variant, 1.0);
    let percents = [
        comparison.mean_layer_runtime_reduction_percent,
        comparison.mean_layer_energy_reduction_percent.unwrap(),
        comparison.total_runtime_reduction_percent,
        comparison.total_energy_reduction_percent.unwrap(),
    ];
    for (got, expected) in percents.into_iter().zip([30.0, 25.0, 25.0, 0.0]) {
        assert!((got - expected).abs() < 1e-12, "{percents:?}");
    }
    assert_eq!(comparison.n_layers, 2);
}

#[test]
fn energies_compare_within_one_cost_table() {
    let mut study = demo::study();
    let simulation = study.simulation().unwrap().clone();
    let [plain, end, dadiannao] = [0, 1, 2].map(|idx| &simulation.accelerators[idx]);
    assert_eq!((plain.costs.as_str(), dadiannao.costs.as_str()), ("compend-45nm", "dadiannao-28nm"));
    let baseline = |of, preferred| simulation.energy_baseline(of, preferred).label.as_str();
    assert_eq!(baseline(end, Some(&dadiannao.label)), plain.label);
    assert_eq!(baseline(plain, Some(&end.label)), end.label);
    assert_eq!(baseline(dadiannao, None), dadiannao.label);

    assert!(!Comparison::between(plain, end, 1.0).costs_differ);
    let comparison = ComparisonRecord {
        baseline: Some(dadiannao.label.clone()),
        comparisons: vec![Comparison::between(dadiannao, end, 1.0)],
        ..ComparisonRecord::default()
    };
    study.sections.set(comparison);
    assert!(study.comparisons()[0].costs_differ);
    let sentence = views::summary_sentence(&study).unwrap();
    assert!(!sentence.contains("energy"), "{sentence}");
    let table = views::comparison_table(study.comparisons());
    let cell = |key: &str| &table.rows[0][table.columns.iter().position(|column| column.key == key).unwrap()];
    let reason = Cell::from("priced by compend-45nm and dadiannao-28nm");
    assert_eq!(cell("total_energy_reduction_percent"), &reason);
    assert_ne!(cell("total_runtime_reduction_percent"), &Cell::Empty);

    let page = skimp_report::html::render(&study);
    for needle in [
        "do not compare: priced by compend-45nm and dadiannao-28nm",
        "Energies compare only where table, node and the scopes left out are the same",
    ] {
        assert!(page.contains(needle), "{needle}");
    }
    // ComPEND is set against its own form without END, DaDianNao against nothing.
    assert!(page.contains(&format!("{} over {}", end.label, plain.label)));
}

/// ComPEND without and with END, both with energies over `left_out` of the same table.
fn alike(left_out: [&[&str]; 2]) -> [skimp_report::records::AcceleratorRecord; 2] {
    let mut both = demo::study().sections.remove::<SimulationRecord>().unwrap().accelerators;
    both.truncate(2);
    for (accelerator, left_out) in both.iter_mut().zip(left_out) {
        accelerator.energy = Some(EnergyRecord {
            technology_nm: 45.0,
            priced: vec!["mac".into(), "off_chip".into()],
            left_out: left_out.iter().map(|&scope| scope.to_owned()).collect(),
            ..EnergyRecord::default()
        });
    }
    [both.remove(0), both.remove(0)]
}

#[test]
fn energies_compare_only_over_the_same_scopes() {
    let [plain, end] = alike([&["static"], &["static"]]);
    let same = Comparison::between(&plain, &end, 1.0);
    assert!(same.energy_differs.is_none() && same.total_energy_reduction_percent.is_some());

    let [plain, end] = alike([&["static"], &["off_chip", "static"]]);
    let other = Comparison::between(&plain, &end, 1.0);
    assert_eq!(other.total_energy_reduction_percent, None);
    let reason = format!("{} without off-chip", end.label);
    assert_eq!(other.energy_differs.as_deref(), Some(reason.as_str()));
    let table = views::comparison_table(&[other]);
    assert!(table.to_text(None).contains(&reason), "{}", table.to_text(None));
    let mut simulation = demo::study().sections.remove::<SimulationRecord>().unwrap();
    simulation.accelerators = vec![plain, end];
    let note = views::energy_note(&simulation);
    assert!(note.contains("compend-45nm, 45 nm; priced: MAC, off-chip; not priced: off-chip, static"), "{note}");
    assert!(views::simulation_text(&simulation, None).contains(&note));
}

#[test]
fn savings_that_cost_too_much_accuracy_are_void() {
    let [plain, mut end] = alike([&[], &[]]);
    let accuracy =
        |top1: f64| Some(EffectAccuracy { top1_exact: 0.9, top1, n_images: 200, ..EffectAccuracy::default() });
    end.approximate = true;
    for (measured, expected) in [
        (accuracy(0.895), None),
        (accuracy(0.889), Some("void: \u{2212}1.10 points")),
        (accuracy(0.0), Some("void: \u{2212}90.00 points")),
        (None, Some("void: accuracy not measured")),
    ] {
        end.accuracy = measured;
        let comparison = Comparison::between(&plain, &end, 1.0);
        assert_eq!(comparison.void.as_deref(), expected);
        let table = views::comparison_table(std::slice::from_ref(&comparison)).to_text(None);
        assert_eq!(table.contains("void"), expected.is_some(), "{table}");
        assert!(table.contains("top-1") || expected.is_none(), "{table}");
        let mut study = demo::study();
        let baseline = Some(plain.label.clone());
        study.sections.set(ComparisonRecord { baseline, comparisons: vec![comparison], ..ComparisonRecord::default() });
        let simulation = study.sections.get_mut::<SimulationRecord>().unwrap();
        simulation.accelerators = vec![plain.clone(), end.clone()];
        let sentence = views::summary_sentence(&study).unwrap();
        assert_eq!(sentence.contains("saves nothing that counts"), expected.is_some(), "{sentence}");
        let text = views::simulation_text(study.simulation().unwrap(), None);
        assert_eq!(text.contains("void"), expected.is_some(), "{text}");
        let page = skimp_report::html::render(&study);
        assert_eq!(page.contains("void: "), expected.is_some());
    }
    // A looser bound lets more pass; an exact design has nothing to lose.
    end.accuracy = accuracy(0.87);
    assert!(end.void(3.0).is_none() && end.void(1.0).is_some());
    end.approximate = false;
    assert!(end.void(0.0).is_none());
}
