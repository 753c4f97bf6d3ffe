//! Models know the image and the time step of a trace.

use std::sync::Arc;

use rayon::ThreadPoolBuilder;
use skimp_digital::ACCELERATORS;
use skimp_graph::Tensor;
use skimp_numerics::rng::stream;
use skimp_quant::QuantizationConfig;
use skimp_sim::{
    Accelerator, Facts, LayerEffect, LayerResult, LayerTrace, LayerWorkload, RecordedTrace, SimError, Statistic,
    TimedTrace, TraceProvider, find_model,
};

use crate::inputs::config::{DataConfig, JudgeBy};
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Silent;
use crate::simulate::config::LayersConfig;
use crate::simulate::effects::Judge;
use crate::simulate::layers::{SimulatedLayer, choose};
use crate::stages::quantized::Quantized;
use crate::stages::timed::TimedExecutor;

/// An analog array: each sum gets noise that belongs to the image and the time step.
#[derive(Debug)]
struct Noisy;

impl LayerEffect for Noisy {
    fn applies(&self, _layer: &LayerWorkload) -> bool {
        true
    }

    fn sums(&self, layer: &LayerWorkload, operands: &LayerTrace, sums: &mut [i64]) -> Result<(), SimError> {
        let mut draws = operands.moment().key(3, stream(&layer.name)).draws();
        sums.iter_mut().for_each(|sum| *sum += (2000.0 * draws.normal()).round_ties_even() as i64);
        Ok(())
    }
}

struct Set {
    images: Images,
    layers: Vec<SimulatedLayer>,
    executor: TimedExecutor,
}

impl Set {
    fn open(seed: Option<u64>) -> Self {
        let network = Network::open("sample-resnet").unwrap();
        let data = DataConfig { set: "sample".into(), seed, ..DataConfig::default() };
        let images = Images::open(&data, &network.graph, None).unwrap();
        // Ranges of the same images whatever the order of the run.
        let ranges = Images::open(&DataConfig { seed: None, ..data }, &network.graph, None).unwrap();
        let quantization = QuantizationConfig { calibration_images: 4, ..QuantizationConfig::default() };
        let quantized = Quantized::new(&network, &ranges, &quantization, &Silent).unwrap();
        let layers = choose(&quantized.integer, images.input(), 1, &LayersConfig::default()).unwrap().simulated;
        let executor = quantized.executor.clone();
        Self { images, layers, executor }
    }

    /// The index in the data set and the answers, bit by bit, of the first `n` images of the run, `at_once` in a batch.
    fn answers(&self, n: usize, at_once: usize, effect: Option<&dyn LayerEffect>) -> Vec<(u64, Vec<u32>)> {
        let judge = Judge {
            executor: &self.executor,
            images: &self.images,
            layers: &self.layers,
            range: 0..n,
            judge_by: JudgeBy::Labels,
        };
        let mut answers = Vec::new();
        for range in self.images.batches_of(0..n, at_once) {
            let batch = self.images.batch(range).unwrap();
            let inputs = std::slice::from_ref(&batch.inputs);
            let outputs = match effect {
                Some(effect) => self.executor.run_with(inputs, |step| judge.hook(effect, &batch.images, step)).unwrap(),
                None => self.executor.run(inputs).unwrap(),
            };
            let logits = outputs.first().and_then(Tensor::as_f32).unwrap();
            let classes = logits.len() / batch.labels.len();
            for (position, row) in logits.chunks(classes).enumerate() {
                let bits = row.iter().map(|x| x.to_bits()).collect();
                answers.push((batch.images.at(position).unwrap(), bits));
            }
        }
        answers
    }
}

#[test]
fn noise_of_an_image_is_its_own_in_any_batch_order_and_thread_count() {
    let in_order = Set::open(None);
    let expected = in_order.answers(40, 40, Some(&Noisy));
    assert_ne!(expected, in_order.answers(40, 40, None), "the noise does something");
    assert!(expected.iter().enumerate().all(|(position, (index, _))| *index == position as u64));
    for (at_once, n_threads) in [(1, 1), (7, 2), (40, 3)] {
        let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let found = pool.install(|| in_order.answers(40, at_once, Some(&Noisy)));
        assert_eq!(found, expected, "{at_once} at once, {n_threads} threads");
    }
    // The same images at other places of another order.
    let n = in_order.images.len();
    let shuffled = Set::open(Some(5)).answers(n.min(400), 16, Some(&Noisy));
    let mut n_met = 0;
    for (index, bits) in shuffled {
        if let Some((_, expected)) = expected.iter().find(|(known, _)| *known == index) {
            assert_eq!(&bits, expected, "image {index}");
            n_met += 1;
        }
    }
    assert!(n_met > 10, "{n_met} images of both runs");
}

static SPIKES: Statistic = Statistic::new("spikes", "spikes", "inputs that are not 0");

/// A design that counts spikes over all time steps.
#[derive(Debug)]
struct Spiking(Facts);

impl Accelerator for Spiking {
    fn facts(&self) -> &Facts {
        &self.0
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let mut result = LayerResult::new(layer);
        if let Some(trace) = trace {
            trace.each_step(layer, |step| {
                let spikes = step.activation()?.iter().filter(|&&spike| spike != 0).count();
                result.events.add(&SPIKES, spikes as u64);
                Ok(())
            })?;
        }
        Ok(result)
    }
}

#[test]
fn two_time_steps_reach_a_model() {
    let design = find_model(ACCELERATORS, "dadiannao").unwrap().configure(&toml::Table::new()).unwrap();
    let (model, layer) = (Spiking(design.facts().clone()), LayerWorkload::dense("d", 4, 2));
    let step = |spikes: [i32; 4]| -> Arc<dyn TraceProvider> {
        Arc::new(RecordedTrace { activation: Some(spikes.to_vec().into()), ..RecordedTrace::default() })
    };
    let count = |provider: Arc<dyn TraceProvider>| {
        model.simulate_layer(&layer, Some(&LayerTrace::new(&layer, provider))).map(|result| result.events.get("spikes"))
    };
    let two = TimedTrace::new(0, vec![step([1, 0, 1, 1]), step([0, 1, 0, 0])]);
    assert_eq!(count(Arc::new(two)).unwrap(), Some(4));
    assert_eq!(count(step([1, 0, 1, 1])).unwrap(), Some(3));
    let short = TimedTrace::new(0, vec![step([1, 0, 1, 1]), Arc::new(RecordedTrace::default())]);
    assert!(count(Arc::new(short)).is_err(), "a step without values is no silence");
}
