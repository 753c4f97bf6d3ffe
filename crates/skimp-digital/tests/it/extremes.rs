//! Every setting of every design at its extremes: an error that names the setting, or a result of finite numbers. Never a
//! crash, an overflow, or a run without end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use skimp_digital::ACCELERATORS;
use skimp_sim::{AcceleratorModel, LayerTrace, LayerWorkload, SimError};
use toml::{Table, Value};

use crate::support::full_operands;

const INTEGERS: [i64; 14] =
    [i64::MIN, -1, 0, 1, 2, 3, 64, 4096, (1 << 16) + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, i64::MAX];

const REALS: [f64; 11] = [f64::NAN, f64::NEG_INFINITY, f64::INFINITY, -1.0, -0.0, 0.0, 1e-308, 1e-9, 1.0, 1e15, 1e308];

/// No layer here takes a design longer, whatever its settings.
const LONGEST: Duration = Duration::from_secs(20);

fn layers() -> Vec<(LayerWorkload, LayerTrace)> {
    let strided =
        LayerWorkload::conv("strided", 4, 9, 7, 6, 3).unwrap().with_shape(|shape| shape.strides = [2, 2]).unwrap();
    // Operands of `full_operands` have the sums of layers without padding.
    let bare = |layer: LayerWorkload| {
        let layer = layer
            .with_shape(|shape| {
                shape.pads_begin = [0; 2];
                shape.pads_end = [0; 2];
            })
            .unwrap();
        full_operands(layer)
    };
    [LayerWorkload::conv("conv", 3, 6, 6, 5, 3).unwrap(), strided, LayerWorkload::dense("dense", 40, 10)]
        .map(bare)
        .into_iter()
        .collect()
}

/// Why a design with one changed setting misbehaves.
fn fault(model: &dyn AcceleratorModel, overrides: &Table, layers: &[(LayerWorkload, LayerTrace)]) -> Option<String> {
    let accelerator = match model.accelerator(overrides) {
        Ok(accelerator) => accelerator,
        Err(error) => {
            // Which one, of several that do not go together, is for the design to say.
            return (!error.to_string().contains("setting")).then(|| format!("the error names no setting: {error}"));
        }
    };
    for number in [accelerator.facts().clock_mhz, accelerator.facts().area_mm2, accelerator.facts().peak_gmacs] {
        if !number.is_finite() {
            return Some(format!("clock, area or peak rate is {number}"));
        }
    }
    for (layer, trace) in layers {
        let result = match accelerator.simulate_layer(layer, Some(trace)) {
            Ok(result) => result,
            Err(SimError::Unsupported { .. } | SimError::SettingValue { .. } | SimError::TraceRequired { .. }) => {
                continue;
            }
            Err(error) => return Some(format!("layer {}: {error}", layer.name)),
        };
        if let Err(error) = accelerator.timeline(layer, Some(trace), &result) {
            return Some(format!("timeline: {error}"));
        }
        if let Some(loss) = accelerator.why(&result).iter().find(|loss| format!("{loss:?}").contains("NaN")) {
            return Some(format!("{loss:?}"));
        }
        match accelerator.facts().price(&result) {
            Ok(energy) => {
                let text = format!("{energy:?}");
                if text.contains("NaN") || text.contains("inf") {
                    return Some(text);
                }
            }
            Err(error) => return Some(format!("price: {error}")),
        }
    }
    None
}

fn leaves(prefix: &str, table: &Table) -> Vec<(String, Value)> {
    table
        .iter()
        .flat_map(|(key, value)| match value {
            Value::Table(inner) => leaves(&format!("{prefix}{key}."), inner),
            value => vec![(format!("{prefix}{key}"), value.clone())],
        })
        .collect()
}

/// `a.b.c = value` as nested tables.
fn nested(key: &str, value: Value) -> Table {
    let mut parts = key.rsplit('.');
    let last = parts.next().unwrap_or_default().to_owned();
    parts.fold(Table::from_iter([(last, value)]), |inner, part| Table::from_iter([(part.to_owned(), inner.into())]))
}

#[test]
fn every_setting_at_its_extremes_is_refused_or_works() {
    let layers = layers();
    let mut faults = Vec::new();
    for model in ACCELERATORS {
        let preset: Table = model.preset().parse().unwrap();
        for (key, known) in leaves("", &preset) {
            let values: Vec<Value> = match known {
                Value::Integer(_) => INTEGERS.map(Value::Integer).to_vec(),
                Value::Float(_) => REALS.map(Value::Float).to_vec(),
                _ => continue,
            };
            for value in values {
                let overrides = nested(&key, value.clone());
                let start = Instant::now();
                let found = catch_unwind(AssertUnwindSafe(|| fault(*model, &overrides, &layers)));
                let found = found.unwrap_or_else(|_| Some("a panic".to_owned()));
                let found = found.or_else(|| (start.elapsed() > LONGEST).then(|| "it takes too long".to_owned()));
                faults.extend(found.map(|found| format!("{}.{key}={value}: {found}", model.name())));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
