//! Approximate accelerators end to end: what a run reports of them equals an evaluation by their definitions, on the
//! reference interpreter.

use skimp_data::Split;
use skimp_graph::GraphError;
use skimp_graph::integer::{IntegerEngine, IntegerReference, MacHook, MacOperands};
use skimp_quant::QuantizationConfig;
use skimp_report::records::AcceleratorRecord;

use crate::error::StudyError;
use crate::inputs::config::{DataConfig, JudgeBy};
use crate::inputs::images::{Batch, Images};
use crate::inputs::network::Network;
use crate::monitor::Silent;
use crate::simulate::accelerators::accelerator_configs;
use crate::simulate::config::LayersConfig;
use crate::simulate::designs::Designs;
use crate::simulate::layers::{SimulatedLayer, choose};
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{SimulateConfig, simulate};
use crate::stages::quantized::Quantized;

const NETWORK: &str = "sample-resnet";

fn config(model: &str, settings: &[&str], data: DataConfig) -> SimulateConfig {
    let settings: Vec<String> = settings.iter().map(|setting| format!("{model}.{setting}")).collect();
    SimulateConfig {
        data,
        input_size: None,
        quantization: quantization(),
        layers: LayersConfig::default(),
        designs: Designs::embedded(),
        accelerators: accelerator_configs(&Designs::embedded(), &[model.to_owned()], &[], &settings).unwrap(),
        costs: CostsConfig::Auto,
        allowed_loss_points: 1.0,
        chips: None,
        dump: None,
        trace: None,
    }
}

fn quantization() -> QuantizationConfig {
    QuantizationConfig { weight_bits: 8, activation_bits: 8, calibration_images: 4, ..QuantizationConfig::default() }
}

fn data(accuracy_images: usize, tuning_images: usize) -> DataConfig {
    DataConfig { set: "sample".into(), accuracy_images, tuning_images, ..DataConfig::default() }
}

fn run(config: &SimulateConfig) -> Result<AcceleratorRecord, StudyError> {
    let network = Network::open(NETWORK)?;
    Ok(simulate(&network, config, &Silent)?.record.accelerators.remove(0))
}

/// Whether an output is taken for negative: the layer, the output's filter, its operands, weights and start.
type Predicted = dyn Fn(&SimulatedLayer, usize, &[i64], &[i64], i64) -> bool + Sync;

/// Puts -1 for every output that is predicted negative, one after the other, from its own operands.
struct ByDefinition<'a> {
    layers: &'a [SimulatedLayer],
    predicted: &'a Predicted,
}

impl std::fmt::Debug for ByDefinition<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByDefinition")
    }
}

impl ByDefinition<'_> {
    fn layer(&self, node_idx: usize) -> Option<&SimulatedLayer> {
        let valid = |layer: &&SimulatedLayer| layer.operands.workload.negatives.are_unseen();
        self.layers.iter().find(|layer| layer.node_idx == node_idx).filter(valid)
    }
}

impl MacHook for ByDefinition<'_> {
    fn applies(&self, node_idx: usize) -> bool {
        self.layer(node_idx).is_some()
    }

    fn change_accumulators(&self, operands: &MacOperands<'_>, accumulators: &mut [i64]) -> Result<(), GraphError> {
        let layer = self.layer(operands.node_idx).unwrap();
        let w = &layer.operands.workload.shape;
        assert_eq!((w.groups(), w.dilations(), layer.operands.input_offset), (1, [1, 1], 0));
        let (input_len, output_len, depth) = (w.input_count(), w.output_count(), w.inputs_per_output());
        for (idx, sum) in accumulators.iter_mut().enumerate() {
            let (image, output) = (idx / output_len, idx % output_len);
            let (k, p, q) = (output / (w.p() * w.q()), output / w.q() % w.p(), output % w.q());
            let codes = &operands.input.data[image * input_len..(image + 1) * input_len];
            let (mut inputs, mut weights) = (Vec::new(), Vec::new());
            for at in 0..depth {
                let (c, r, s) = (at / (w.r() * w.s()), at / w.s() % w.r(), at % w.s());
                let y = (p * w.strides()[0] + r).wrapping_sub(w.pads_begin()[0]);
                let x = (q * w.strides()[1] + s).wrapping_sub(w.pads_begin()[1]);
                let inside = y < w.h() && x < w.w();
                inputs.push(if inside { i64::from(codes[(c * w.h() + y) * w.w() + x]) } else { 0 });
                weights.push(i64::from(layer.operands.weights[k * depth + at]));
            }
            let exact: i64 = inputs.iter().zip(&weights).map(|(a, w)| a * w).sum();
            if (self.predicted)(layer, k, &inputs, &weights, *sum - exact) {
                *sum = (*sum).min(-1);
            }
        }
        Ok(())
    }
}

/// Share of the images `range` that the integer network gets right, exactly and under `predicted`.
fn independently(data: &DataConfig, range: std::ops::Range<usize>, predicted: &Predicted) -> (f64, f64) {
    let network = Network::open(NETWORK).unwrap();
    let images = Images::open(data, &network.graph, None).unwrap();
    let quantized = Quantized::new(&network, &images, &quantization(), &Silent).unwrap();
    let layers = choose(&quantized.integer, images.input(), 1, &LayersConfig::default()).unwrap().simulated;
    let reference = IntegerReference::new(quantized.graph()).unwrap();
    let Batch { inputs, labels, .. } = images.batch(range).unwrap();
    let right = |outputs: &[skimp_graph::Tensor]| {
        let logits = outputs[0].as_f32().unwrap();
        let classes = logits.len() / labels.len();
        let guess = |row: &[f32]| (0..classes).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
        let hits = logits.chunks(classes).zip(&labels).filter(|&(row, &label)| guess(row) == label).count();
        hits as f64 / labels.len() as f64
    };
    let inputs = std::slice::from_ref(&inputs);
    let exact = right(&reference.run(inputs).unwrap());
    let hook = ByDefinition { layers: &layers, predicted };
    (exact, right(&reference.run_with(inputs, &hook).unwrap()))
}

fn assert_same(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-12, "{found}, expected {expected}");
}

/// ComPreEND's rule, plane by plane: stops where the planes left are expected to take a share of all they can.
fn stops_early(share: f64) -> impl Fn(&SimulatedLayer, usize, &[i64], &[i64], i64) -> bool + Sync {
    move |layer, _, inputs, weights, start| {
        let bits = layer.operands.workload.weight_bits;
        let all: i64 = inputs.iter().sum();
        let mut sum = start;
        for plane in 1..bits {
            let bit = bits - plane;
            // Inverted two's complement of w is two's complement of -w.
            let set: i64 = inputs.iter().zip(weights).filter(|&(_, &w)| (-w >> bit) & 1 == 1).map(|(a, _)| a).sum();
            sum += if plane == 1 { set << bit } else { -(set << bit) };
            let most_left = ((1_i64 << bit) - 1) * all;
            if (sum as f64) < share * most_left as f64 {
                return true;
            }
        }
        false
    }
}

#[test]
fn accuracy_of_predicted_stops_is_that_of_the_definition() {
    let data = data(10, 100);
    for share in [0.3, 0.6] {
        let record = run(&config("compreend", &[&format!("predictive_share={share}")], data.clone())).unwrap();
        let accuracy = record.accuracy.unwrap();
        let (exact, predicted) = independently(&data, 0..10, &stops_early(share));
        assert_same(accuracy.top1_exact, exact);
        assert_same(accuracy.top1, predicted);
        assert_eq!((accuracy.n_images, accuracy.judged_by.as_str(), record.tuning), (10, "labels", None));
        assert!(share < 0.5 || accuracy.top1 < accuracy.top1_exact, "a share of {share} must cost answers");
    }
}

#[test]
fn a_share_is_searched_on_images_that_do_not_judge_it() {
    let data = data(8, 10);
    let record = run(&config("compreend", &["mode=search", "max_accuracy_loss_percent=10.0"], data.clone())).unwrap();
    let tuning = record.tuning.unwrap();
    assert_eq!((tuning.first_image, tuning.n_images, tuning.split.as_str()), (8, 10, "test"));
    assert_eq!(record.config["mode"], "predictive");
    let share = record.config["predictive_share"].as_f64().unwrap();
    assert!(share > 0.0 && tuning.top1 >= tuning.top1_exact - 0.1 - 1e-9, "{share} {tuning:?}");
    let (exact, predicted) = independently(&data, 8..18, &stops_early(share));
    assert_same(tuning.top1_exact, exact);
    assert_same(tuning.top1, predicted);
    let (exact, predicted) = independently(&data, 0..8, &stops_early(share));
    let accuracy = record.accuracy.unwrap();
    assert_same(accuracy.top1_exact, exact);
    assert_same(accuracy.top1, predicted);
}

/// By layer: kernel, speculation weights, threshold.
type Predictions = Vec<(String, Vec<(usize, usize, i64)>)>;

/// SnaPEA's rule: the sum after the speculation weights is at most the threshold. `predictions` are the recorded ones.
fn speculates(predictions: Predictions) -> impl Fn(&SimulatedLayer, usize, &[i64], &[i64], i64) -> bool + Sync {
    move |layer, kernel, inputs, weights, start| {
        let Some((_, kernels)) = predictions.iter().find(|(name, _)| *name == layer.operands.workload.name) else {
            return false;
        };
        let Some(&(_, groups, threshold)) = kernels.iter().find(|entry| entry.0 == kernel) else { return false };
        let mut order: Vec<usize> = (0..weights.len()).filter(|&idx| weights[idx] != 0).collect();
        order.sort_by_key(|&idx| (weights[idx].abs(), idx));
        let n = order.len();
        let mut sum = start;
        for group in 0..groups.min(n) {
            let members = &order[group * n / groups.min(n)..(group + 1) * n / groups.min(n)];
            let largest = members.iter().map(|&idx| weights[idx].abs()).max().unwrap();
            let idx = members.iter().copied().filter(|&idx| weights[idx].abs() == largest).min().unwrap();
            sum += inputs[idx] * weights[idx];
        }
        sum <= threshold
    }
}

fn recorded_predictions(record: &AcceleratorRecord) -> Predictions {
    let entry = |text: &str| {
        let mut parts = text.split(':');
        let mut next = || parts.next().unwrap();
        (next().parse().unwrap(), next().parse().unwrap(), next().parse().unwrap())
    };
    let layers = record.config["kernel_predictions"].as_array().unwrap();
    let layer = |text: &serde_json::Value| {
        let (name, kernels) = text.as_str().unwrap().split_once('=').unwrap();
        (name.to_owned(), kernels.split(' ').map(entry).collect())
    };
    layers.iter().map(layer).collect()
}

#[test]
fn predictions_are_searched_recorded_and_change_what_they_say() {
    let data = data(8, 10);
    let settings = [
        "mode=predictive",
        "max_accuracy_loss_percent=10.0",
        "speculation_weights=[4]",
        "squashed_share_percent=[10.0, 1.0]",
    ];
    let record = run(&config("snapea", &settings, data.clone())).unwrap();
    let tuning = record.tuning.clone().unwrap();
    assert!(tuning.top1 >= tuning.top1_exact - 0.1 - 1e-9, "{tuning:?}");
    let predictions = recorded_predictions(&record);
    assert!(predictions.iter().any(|(_, kernels)| !kernels.is_empty()));
    let (exact, predicted) = independently(&data, 8..18, &speculates(predictions.clone()));
    assert_same(tuning.top1_exact, exact);
    assert_same(tuning.top1, predicted);
    let (exact, predicted) = independently(&data, 0..8, &speculates(predictions));
    let accuracy = record.accuracy.clone().unwrap();
    assert_same(accuracy.top1_exact, exact);
    assert_same(accuracy.top1, predicted);
    let squashed: u64 = record.layers.iter().filter_map(|layer| layer.events.get("squashed_outputs")).sum();
    assert!(squashed > 0);

    // The recorded parameters reproduce the run without a search.
    let mut again = config("snapea", &["mode=predictive"], data);
    again.accelerators[0]
        .set
        .insert("kernel_predictions".into(), toml::Value::try_from(&record.config["kernel_predictions"]).unwrap());
    let again = run(&again).unwrap();
    assert_eq!((again.tuning, again.accuracy), (None, record.accuracy));
    assert_eq!((again.layers, again.total), (record.layers, record.total));
}

#[test]
fn searches_keep_their_bound_on_their_own_images() {
    for (model, settings, key) in [
        ("stripes", ["precision=search", "max_accuracy_loss=0.1"], "layer_precisions"),
        ("cnvlutin", ["search_thresholds=true", "max_accuracy_loss=0.1"], "layer_thresholds"),
    ] {
        let record = run(&config(model, &settings, data(8, 10))).unwrap();
        let tuning = record.tuning.unwrap();
        assert_eq!((tuning.first_image, tuning.n_images), (8, 10), "{model}");
        assert!(tuning.top1 >= tuning.top1_exact - 0.1 - 1e-9, "{model}: {tuning:?}");
        assert!(!record.config[key].as_array().unwrap().is_empty(), "{model}");
        assert_eq!(record.accuracy.unwrap().n_images, 8, "{model}");
    }
}

#[test]
fn answers_of_the_exact_network_may_judge() {
    let by_answers = DataConfig { judge_by: JudgeBy::Answers, ..data(10, 100) };
    let record = run(&config("compreend", &["predictive_share=0.6"], by_answers)).unwrap();
    let accuracy = record.accuracy.unwrap();
    assert_same(accuracy.top1_exact, 1.0);
    assert!(accuracy.top1 < 1.0 && accuracy.judged_by == "answers", "{accuracy:?}");
}

#[test]
fn a_search_without_images_of_its_own_is_refused() {
    let search = |data: DataConfig| run(&config("stripes", &["precision=search"], data)).unwrap_err();
    for (accuracy_images, tuning_images) in [(990, 100), (10, 0), (5000, 1)] {
        let error = search(data(accuracy_images, tuning_images));
        assert!(error.is_usage() && error.to_string().contains("--tuning-images"), "{error}");
    }
    let train = DataConfig { tuning_split: Some(Split::Train), ..data(990, 20) };
    let tuning =
        run(&config("stripes", &["precision=search"], DataConfig { accuracy_images: 5, ..train })).unwrap().tuning;
    let tuning = tuning.unwrap();
    assert_eq!((tuning.split.as_str(), tuning.first_image, tuning.n_images), ("train", 0, 20));
}
