//! Records of older schemas in the form of today.
//!
//! Before `skimp.simulate/3` and `skimp.study/3` one speciality, early negative detection, had fields of its own: `end` of
//! layers and of their statistics, `end_planes` and `mean_planes` beside it, `exactness` of a study. They are findings now.

use serde_json::{Value, json};

use super::Distribution;

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

/// `skimp.study/1` and `/2`.
pub(super) fn study(record: &mut Value) {
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
    let Some(own) = record.get_mut("simulation") else { return };
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
