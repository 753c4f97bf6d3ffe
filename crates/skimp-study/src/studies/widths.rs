//! Accuracy of one network by the bits of its weights and activations: how few are enough.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skimp_graph::integer::is_quantized;
use skimp_quant::QuantizationConfig;
use skimp_report::records::{Accuracy, Assumption, ColumnRecord, Provenance, Sections, TableRecord, TablesRecord};
use skimp_report::{SimulationRecord, StudyRecord};
use toml::{Table, Value};

use crate::error::StudyError;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::stages::evaluate::{Engine, EvaluateConfig, evaluate};
use crate::store::desk::Desk;
use crate::store::point::{Point, Points};
use crate::store::queue::Bench;
use crate::studies::config::StudyHeader;
use crate::studies::kind::StudyPlan;

/// What a study of widths asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WidthsPlan {
    /// The widths.
    pub widths: WidthsConfig,
    /// Calibration and the rest; the widths in it mean nothing here.
    #[serde(default)]
    pub quantization: QuantizationConfig,
}

/// Which widths: each of the weights with each of the activations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WidthsConfig {
    /// Bits of the weights.
    pub weight_bits: Vec<u32>,
    /// Bits of the activations.
    pub activation_bits: Vec<u32>,
    /// Points of top-1 accuracy below 32-bit floating point that are still enough.
    #[serde(default = "SimulationRecord::default_allowed_loss_points")]
    pub allowed_loss_points: f64,
}

impl WidthsConfig {
    /// Every pair of widths: of weights, of activations.
    fn pairs(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.weight_bits.iter().flat_map(|&weights| self.activation_bits.iter().map(move |&bits| (weights, bits)))
    }
}

/// What a point brings: accuracy, or why the network cannot be quantized so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    accuracy: Option<Accuracy>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// 32-bit floating point, and behind it the pairs of widths. A point is one measurement of accuracy.
struct WidthPoints<'a> {
    study: &'a StudyHeader,
    plan: &'a WidthsPlan,
    network: Network,
    data_sha256: String,
    points: Vec<Point>,
    pairs: Vec<Option<(u32, u32)>>,
}

impl WidthPoints<'_> {
    fn config(&self, idx: usize) -> EvaluateConfig {
        let (engine, (weight_bits, activation_bits)) = match self.pairs[idx] {
            None => (Engine::Cpu, (self.plan.quantization.weight_bits, self.plan.quantization.activation_bits)),
            Some(pair) => (Engine::Integer, pair),
        };
        EvaluateConfig {
            data: self.study.data.clone(),
            input_size: self.study.network.input_size,
            engine: Some(engine),
            order: skimp_cpu::Order::Exact,
            quantization: QuantizationConfig { weight_bits, activation_bits, ..self.plan.quantization },
        }
    }
}

impl Points for WidthPoints<'_> {
    type Outcome = Outcome;

    fn points(&self) -> &[Point] {
        &self.points
    }

    fn identity(&self, idx: usize) -> Result<Table, StudyError> {
        let config = self.config(idx);
        let mut table = Table::try_from(&self.study.network)?;
        table.insert("engine".to_owned(), config.engine.map_or("", Engine::name).into());
        table.insert("data".to_owned(), Value::try_from(&config.data)?);
        if self.pairs[idx].is_some() {
            table.insert("quantization".to_owned(), Value::try_from(config.quantization)?);
        }
        let digests = [("network_sha256", &self.network.sha256), ("data_sha256", &self.data_sha256)];
        let digests: Table = digests.into_iter().map(|(key, digest)| (key.to_owned(), digest.clone().into())).collect();
        table.insert("inputs".to_owned(), digests.into());
        Ok(table)
    }

    fn free_keys(&self) -> &'static [&'static str] {
        &["model", "data.set"]
    }

    fn is_disposable(&self) -> bool {
        true
    }

    fn run(&self, job: &[usize], bench: &Bench<'_, Self>) -> Result<(), StudyError> {
        for &idx in job {
            let outcome = match evaluate(&self.network, &self.config(idx), bench.monitor()) {
                Ok(record) => {
                    let accuracy = Accuracy { top1: record.top1, top5: record.top5, n_images: record.images };
                    Outcome { accuracy: Some(accuracy), failure: None }
                }
                Err(StudyError::Quant(error)) => Outcome { accuracy: None, failure: Some(error.to_string()) },
                Err(error) => return Err(error),
            };
            bench.finish(idx, outcome)?;
        }
        Ok(())
    }

    fn said(&self, outcome: &Outcome) -> String {
        outcome.accuracy.as_ref().map_or_else(|| "failed".to_owned(), |own| format!("{:.2} %", 100.0 * own.top1))
    }

    fn figures(&self, outcome: &Outcome) -> BTreeMap<String, f64> {
        outcome.accuracy.iter().map(|accuracy| ("top1".to_owned(), accuracy.top1)).collect()
    }

    fn failure(&self, outcome: &Outcome) -> Option<String> {
        outcome.failure.clone()
    }
}

impl StudyPlan for WidthsPlan {
    const KIND: &'static str = "widths";
    const SUMMARY: &'static str = "accuracy of one network by the bits of its weights and activations";
    const MARK: &'static str = "[widths]";

    fn check(&self, study: &StudyHeader) -> Result<(), String> {
        let WidthsConfig { weight_bits, activation_bits, allowed_loss_points } = &self.widths;
        for (key, bits) in [("weight_bits", weight_bits), ("activation_bits", activation_bits)] {
            if bits.is_empty() {
                return Err(format!("widths.{key} is empty, expected at least one width"));
            }
            if let Some((_, twice)) = bits.iter().enumerate().find(|&(idx, width)| bits[..idx].contains(width)) {
                return Err(format!("widths.{key} has {twice} twice"));
            }
        }
        if !allowed_loss_points.is_finite() || *allowed_loss_points < 0.0 {
            let found = allowed_loss_points;
            return Err(format!("widths.allowed_loss_points is {found}, expected a number of points of at least 0"));
        }
        self.quantization.check().map_err(|error| format!("quantization: {error}"))?;
        study.check_accuracy_images()
    }

    fn run(&self, study: &StudyHeader, desk: &Desk<'_>) -> Result<StudyRecord, StudyError> {
        let network = Network::open(&study.network.model)?.for_any_batch().into_owned();
        if is_quantized(&network.graph) {
            // Its file says its widths: every row would be the same.
            return Err(StudyError::AlreadyQuantized { network: network.name });
        }
        let images = Images::open(&study.data, &network.graph, study.network.input_size)?;
        let data = images.record()?;
        let point = |(weights, activations): (u32, u32)| Point {
            name: format!("weights{weights}-activations{activations}"),
            label: format!("{weights} × {activations} bits"),
        };
        let float = Point { name: "fp32".to_owned(), label: "fp32".to_owned() };
        let points = WidthPoints {
            study,
            plan: self,
            network,
            data_sha256: data.sha256.clone().unwrap_or_default(),
            points: std::iter::once(float).chain(self.widths.pairs().map(point)).collect(),
            pairs: std::iter::once(None).chain(self.widths.pairs().map(Some)).collect(),
        };
        let outcomes = desk.outcomes(&points)?;
        let inputs = vec![points.network.digest(), images.digest(&data)];
        Ok(StudyRecord {
            model_name: points.network.name.clone(),
            untrained: points.network.is_untrained,
            data_name: images.name().to_owned(),
            seed: study.data.seed.unwrap_or(0),
            sections: Sections::default().with(tables(&self.widths, &points.network.name, &points.pairs, &outcomes)),
            published: study.published.iter().map(|figure| figure.beside(None, Provenance::Measured)).collect(),
            assumptions: assumptions(&self.quantization),
            inputs,
            ..StudyRecord::default()
        })
    }
}

/// What a reader has to know to judge the figures.
fn assumptions(quantization: &QuantizationConfig) -> Vec<Assumption> {
    let own =
        |text: String| Assumption { text, source: "this study's configuration; docs/integer-execution.md".to_owned() };
    vec![
        own(format!(
            "each width is calibrated anew: ranges by {} over {} images; accuracy is that of the exact integer network",
            quantization.calibration, quantization.calibration_images
        )),
        own("the fewest bits are chosen on the images that accuracy is measured on: on others the loss may be larger"
            .to_owned()),
    ]
}

/// The answer, and the accuracy of every pair of widths.
fn tables(widths: &WidthsConfig, network: &str, pairs: &[Option<(u32, u32)>], outcomes: &[Outcome]) -> TablesRecord {
    let top1 = |outcome: &Outcome| outcome.accuracy.as_ref().map(|accuracy| 100.0 * accuracy.top1);
    let float = outcomes.first().and_then(top1);
    let difference = |outcome: &Outcome| Some(top1(outcome)? - float?);
    let allowed = widths.allowed_loss_points;
    let enough = pairs.iter().zip(outcomes).filter_map(|(pair, outcome)| {
        // No negative zero in a sentence.
        let lost = (-100.0 * difference(outcome)?).round() / 100.0 + 0.0;
        Some((*pair)?).filter(|_| lost <= allowed).map(|(weights, bits)| (weights + bits, weights, bits, lost))
    });
    let fewest = enough.min_by_key(|&(sum, weights, bits, _)| (sum, weights, bits));
    let is_measured = pairs.iter().zip(outcomes).any(|(pair, own)| pair.is_some() && own.accuracy.is_some());
    let text = match fewest {
        Some((_, weights, activations, lost)) => format!(
            "{weights}-bit weights and {activations}-bit activations are enough for {network}: {lost:.2} points of top-1 are lost to \
             fp32, {allowed} are allowed."
        ),
        None if !is_measured => format!("None of these widths could be measured on {network}: see the table."),
        None => format!("No width that was measured is enough for {network}: {allowed} points of top-1 are allowed."),
    };
    let rows = pairs.iter().zip(outcomes).map(|(pair, outcome)| {
        let bits = |of: fn(&(u32, u32)) -> u32| pair.as_ref().map_or_else(|| "fp32".into(), |pair| of(pair).into());
        vec![
            bits(|pair| pair.0),
            bits(|pair| pair.1),
            top1(outcome).into(),
            difference(outcome).filter(|_| pair.is_some()).into(),
            outcome.accuracy.as_ref().map(|accuracy| accuracy.n_images).into(),
            outcome.failure.clone().into(),
        ]
    });
    let columns = vec![
        ColumnRecord::new("weight_bits", "weight bits"),
        ColumnRecord::new("activation_bits", "activation bits"),
        ColumnRecord::real("top1_percent", "top-1", "%", 2),
        ColumnRecord::real("difference_points", "against fp32", "points", 2),
        ColumnRecord::new("n_images", "images"),
        ColumnRecord::new("failure", "why not"),
    ];
    let caption = "Accuracy by bits of weights and activations, measured here".to_owned();
    TablesRecord { text, tables: vec![TableRecord { caption, columns, rows: rows.collect() }], charts: Vec::new() }
}

#[cfg(test)]
mod tests {
    use skimp_quant::{LayerChoices, QdqConfig};

    use super::*;
    use crate::inputs::config::DataConfig;
    use crate::monitor::Silent;
    use crate::stages::qdq::{self, QuantizeConfig};
    use crate::store::memory::Memory;
    use crate::studies::config::StudyConfig;
    use crate::studies::runner::{study, study_in};

    const STUDY: &str = r#"
        schema = 1
        name = "few"
        title = "How few bits {network} needs"
        summary = "s"

        [network]
        model = "sample-resnet"

        [data]
        set = "sample"
        accuracy_images = 60

        [quantization]
        calibration_images = 8

        [widths]
        weight_bits = [8, 2, 1]
        activation_bits = [8]
    "#;

    fn config(text: &str) -> StudyConfig {
        StudyConfig::parse(text, "few.toml").unwrap()
    }

    #[test]
    fn every_width_has_the_accuracy_of_its_own_evaluation() {
        let config = config(STUDY);
        let record = study(&config, &Silent).unwrap();
        let tables = record.section::<TablesRecord>().unwrap();
        let top1 = |engine, weight_bits| {
            let quantization =
                QuantizationConfig { weight_bits, activation_bits: 8, calibration_images: 8, ..Default::default() };
            let evaluation = EvaluateConfig {
                data: config.header.data.clone(),
                input_size: None,
                engine: Some(engine),
                order: skimp_cpu::Order::Exact,
                quantization,
            };
            100.0 * evaluate(&Network::open("sample-resnet").unwrap(), &evaluation, &Silent).unwrap().top1
        };
        let (float, eight, two) = (top1(Engine::Cpu, 8), top1(Engine::Integer, 8), top1(Engine::Integer, 2));
        let rows = &tables.tables[0].rows;
        assert_eq!((rows[0][0].as_str(), rows[0][2].as_f64(), rows[0][3].is_null()), (Some("fp32"), Some(float), true));
        assert_eq!((rows[1][2].as_f64(), rows[1][3].as_f64()), (Some(eight), Some(eight - float)));
        assert_eq!((rows[2][0].as_u64(), rows[2][2].as_f64()), (Some(2), Some(two)));
        assert!(two < eight - 1.0, "{two} {eight}");
        assert!(rows[3][2].is_null() && rows[3][5].as_str().unwrap().contains("weight_bits"), "{rows:?}");
        assert!(
            tables.text.starts_with("8-bit weights and 8-bit activations are enough for sample-resnet: "),
            "{}",
            tables.text
        );
        let strict = config.plan.get::<WidthsPlan>().unwrap().widths.clone();
        let none = tables_of(&WidthsConfig { allowed_loss_points: 0.0, ..strict }, float);
        assert!(none.text.starts_with("No width that was measured is enough for net: 0 points"), "{}", none.text);
    }

    #[test]
    fn nothing_is_said_of_widths_that_were_not_measured() {
        let widths = config(STUDY).plan.get::<WidthsPlan>().unwrap().widths.clone();
        let outcome = |top1: Option<f64>| Outcome {
            accuracy: top1.map(|top1| Accuracy { top1, top5: None, n_images: 60 }),
            failure: None,
        };
        let none = tables(&widths, "net", &[None, Some((1, 8))], &[outcome(Some(0.9)), outcome(None)]);
        assert!(none.text.starts_with("None of these widths could be measured on net"), "{}", none.text);
        // A loss that rounds to nothing has no sign.
        let same = tables(&widths, "net", &[None, Some((8, 8))], &[outcome(Some(0.9)), outcome(Some(0.900_001))]);
        assert!(same.text.contains(" 0.00 points"), "{}", same.text);
    }

    #[test]
    fn a_network_whose_file_says_its_widths_is_refused_and_nothing_is_thrown_away() {
        let store = Memory::new(usize::MAX);
        study_in(&config(STUDY), &store, false, &Silent).unwrap();
        let before = store.points.lock().unwrap().clone();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("q.onnx");
        let quantize = QuantizeConfig {
            data: DataConfig { accuracy_images: 0, ..config(STUDY).header.data },
            input_size: None,
            qdq: QdqConfig { calibration_images: 4, ..QdqConfig::default() },
            choices: LayerChoices::default(),
        };
        qdq::quantize(&Network::open("sample-resnet").unwrap(), &quantize, &path, &Silent).unwrap();
        for model in [path.to_str().unwrap(), "no-such-network"] {
            let mut other = config(STUDY);
            other.header.network.model = model.to_owned();
            let error = study_in(&other, &store, false, &Silent).map(drop).unwrap_err();
            assert!(error.is_usage(), "{error}");
        }
        assert_eq!(*store.points.lock().unwrap(), before);
    }

    /// One pair, one point of accuracy below `float`.
    fn tables_of(widths: &WidthsConfig, float: f64) -> TablesRecord {
        let outcome = |top1: f64| Outcome {
            accuracy: Some(Accuracy { top1: top1 / 100.0, top5: None, n_images: 60 }),
            failure: None,
        };
        tables(widths, "net", &[None, Some((8, 8))], &[outcome(float), outcome(float - 1.0)])
    }

    #[test]
    fn a_width_that_is_added_runs_alone() {
        let store = Memory::new(usize::MAX);
        study_in(&config(STUDY), &store, false, &Silent).unwrap();
        let before = store.points.lock().unwrap().clone();
        let more = config(&STUDY.replace("activation_bits = [8]", "activation_bits = [8, 4]"));
        let grown = study_in(&more, &store, true, &Silent).unwrap();
        assert_eq!(grown.sections, study(&more, &Silent).unwrap().sections);
        let after = store.points.lock().unwrap().clone();
        assert!(after.len() == 7 && before.iter().all(|(name, point)| after[name] == *point));
        assert!(after["weights1-activations4"].failure.is_some());
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, message) in [
            ("[8, 2, 1]", "[]", "widths.weight_bits is empty"),
            ("[8, 2, 1]", "[8, 8]", "widths.weight_bits has 8 twice"),
            ("activation_bits = [8]", "activation_bits = [8]\nallowed_loss_points = -1.0", "allowed_loss_points is -1"),
            ("accuracy_images = 60", "accuracy_images = 0", "data.accuracy_images is 0"),
            ("calibration_images = 8", "calibration = \"mse\"", "quantization: calibration is mse"),
            ("activation_bits = [8]", "activations = [8]", "unknown field `activations`"),
        ] {
            assert!(STUDY.contains(from), "{from}");
            let error = StudyConfig::parse(&STUDY.replace(from, to), "few.toml").unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
