//! Records of older schemas in the form of today.
//!
//! Before `skimp.simulate/3` and `skimp.study/3` one speciality, early negative detection, had fields of its own: `end` of
//! layers and of their statistics, `end_planes` and `mean_planes` beside it, `exactness` of a study. They are findings now.

use serde_json::{Map, Value, json};

use super::{
    AccuracyRecord, ComparisonRecord, Distribution, LayersRecord, PrecisionRecord, SectionRecord, SimulationRecord,
    TRAINING_RUN, TrainingRecord,
};

/// `skimp.simulate/1` and `/2`.
pub(super) fn simulation(record: &mut Value) {
    for accelerator in members(record, "accelerators") {
        for key in ["layers", "shape_layers", "other_layers"] {
            for layer in members(accelerator, key) {
                if let Some(end) = layer.as_object_mut().and_then(|layer| layer.remove("end")) {
                    push(
                        layer,
                        json!({ "key": "end", "label": "early negative detection", "kind": "state",
                        "basis": "simulated", "verdict": verdict(&end) }),
                    );
                }
            }
        }
    }
}

/// `skimp.study/1` to `/3`.
pub(super) fn study(record: &mut Value) {
    if record["schema"] != "skimp.study/3" {
        specialities(record);
    }
    sections(record);
}

/// `skimp.study/3`, whose header had a field for each section.
fn sections(record: &mut Value) {
    let untrained = record["simulation"]["model"]["untrained"] == true;
    let Some(record) = record.as_object_mut() else { return };
    let mut take = |key: &str| record.remove(key).filter(|value| !value.is_null());
    let lists = ["comparisons", "accelerator_figures"].map(|key| take(key).unwrap_or_else(|| json!([])));
    let baseline = take("baseline");
    let is_compared = baseline.is_some() || lists.iter().any(|list| *list != json!([]));
    let [comparisons, figures] = lists;
    let mut comparison = json!({ "comparisons": comparisons, "accelerator_figures": figures });
    if let Some(baseline) = baseline {
        comparison["baseline"] = baseline;
    }
    let layers = take("layers").filter(|layers| *layers != json!([]));
    let found = [
        (AccuracyRecord::NAME, AccuracyRecord::SCHEMA, take("accuracy")),
        (LayersRecord::NAME, LayersRecord::SCHEMA, layers.map(|layers| json!({ "layers": layers }))),
        (SimulationRecord::NAME, SimulationRecord::SCHEMA, take("simulation")),
        (TrainingRecord::NAME, TrainingRecord::SCHEMA, take("training")),
        (PrecisionRecord::NAME, PrecisionRecord::SCHEMA, take("precision")),
        (ComparisonRecord::NAME, ComparisonRecord::SCHEMA, is_compared.then_some(comparison)),
    ];
    let mut sections = Map::new();
    for (name, schema, section) in found {
        if let Some(mut section) = section {
            section["schema"] = schema.into();
            sections.insert(name.to_owned(), section);
        }
    }
    let has = |name: &str| sections.contains_key(name);
    let kind = match () {
        () if has(SimulationRecord::NAME) => "accelerators",
        () if has(PrecisionRecord::NAME) => "precision",
        () if has(TrainingRecord::NAME) => TRAINING_RUN,
        () => "",
    };
    record.insert("kind".to_owned(), kind.into());
    record.insert("untrained".to_owned(), untrained.into());
    record.insert("sections".to_owned(), Value::Object(sections));
}

/// `skimp.study/1` and `/2`.
fn specialities(record: &mut Value) {
    if let Some(own) = record.get_mut("simulation").filter(|own| own.is_object()) {
        own["schema"] = super::SIMULATION_SCHEMA.into();
        simulation(own);
    }
    let mut planes = Vec::new();
    for layer in members(record, "layers") {
        let Some(layer) = layer.as_object_mut() else { continue };
        if let Some(end) = layer.remove("end") {
            layer.insert("negative_sums_unseen".to_owned(), verdict(&end));
        }
        layer.remove("mean_planes");
        let counts: Vec<u64> =
            layer.remove("end_planes").and_then(|counts| serde_json::from_value(counts).ok()).unwrap_or_default();
        if !counts.is_empty() {
            planes.push((layer["name"].clone(), counts));
        }
    }
    let exactness = record.as_object_mut().and_then(|record| record.remove("exactness"));
    let headline = record["comparisons"][0]["variant"].clone();
    let Some(own) = record.get_mut("simulation").filter(|own| own.is_object()) else { return };
    let mut compared = exactness.filter(|exactness| exactness.is_object());
    for accelerator in members(own, "accelerators") {
        let mut at_work = false;
        for layer in members(accelerator, "layers") {
            let ends = layer["findings"][0]["verdict"]["holds"] == true;
            at_work |= ends;
            let here = planes.iter().find(|(name, _)| ends && *name == layer["name"]);
            if let Some((_, counts)) = here {
                push(layer, distribution(counts));
            }
        }
        let is_headline = headline.is_null() || headline == accelerator["label"];
        if let Some(exactness) = compared.take_if(|_| at_work && is_headline) {
            push(
                accelerator,
                json!({ "key": "outputs_compared", "label": "outputs after ReLU compared with the exact ones",
                "kind": "agreement", "basis": "measured", "unit": "outputs", "value": exactness["n_outputs_different"],
                "of": exactness["n_outputs_compared"], "verdict": { "holds": exactness["bit_exact"] } }),
            );
        }
    }
}

fn distribution(counts: &[u64]) -> Value {
    let distribution = Distribution { first: 1, counts: counts.to_vec() };
    json!({ "key": "end_planes", "label": "weight planes used per output", "kind": "distribution", "basis": "measured",
        "unit": "planes", "value": distribution.mean(), "of": distribution.total(), "distribution": distribution })
}

fn verdict(end: &Value) -> Value {
    match end["reason"].as_str() {
        Some(reason) => json!({ "holds": end["enabled"], "reason": reason }),
        None => json!({ "holds": end["enabled"] }),
    }
}

fn members<'v>(value: &'v mut Value, key: &str) -> impl Iterator<Item = &'v mut Value> {
    value.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

fn push(value: &mut Value, finding: Value) {
    if let Some(object) = value.as_object_mut() {
        let findings = object.entry("findings").or_insert_with(|| Value::Array(Vec::new()));
        findings.as_array_mut().into_iter().for_each(|findings| findings.push(finding.clone()));
    }
}
