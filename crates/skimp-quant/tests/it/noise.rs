//! Noise on the exact sums of integer networks: the same on every engine, thread count and batch, with the moments asked
//! for.

use std::sync::Mutex;

use rayon::ThreadPoolBuilder;
use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::integer::{IntegerEngine, IntegerReference, MacHook, MacOperands};
use skimp_graph::noise::{ImageIndices, SumNoise};
use skimp_graph::reference::Reference;
use skimp_graph::testing::{random_cnn, random_tensor};
use skimp_graph::{GraphError, Tensor};
use skimp_quant::{QuantizationConfig, Quantized, calibrate, quantize};

const IMAGES: usize = 5;

fn network(seed: u64) -> (Quantized, Tensor) {
    let (graph, inputs) = random_cnn(seed);
    let calibration = calibrate(&graph, &Reference::new(&graph), [inputs.clone()]).unwrap();
    let quantized = quantize(&graph, &QuantizationConfig::default(), &calibration).unwrap();
    let mut shape = inputs[0].shape().to_vec();
    shape[0] = IMAGES;
    (quantized, random_tensor(seed, "images", shape, 0.0, 1.0))
}

fn noise(quantized: &Quantized, step: u64, images: ImageIndices, deviation: f64) -> SumNoise {
    SumNoise::new(&quantized.graph, (7, step), images, |_| Some(deviation)).unwrap()
}

fn bits(outputs: &[Tensor]) -> Vec<Vec<u32>> {
    outputs.iter().map(|t| t.as_f32().unwrap().iter().map(|x| x.to_bits()).collect()).collect()
}

/// Rows of one image of every output.
fn rows(outputs: &[Vec<u32>], image: usize) -> Vec<Vec<u32>> {
    outputs.iter().map(|all| all[image * all.len() / IMAGES..(image + 1) * all.len() / IMAGES].to_vec()).collect()
}

#[test]
fn noise_is_the_same_in_every_run() {
    let mut n_changed = 0;
    for seed in 0..20 {
        let (quantized, images) = network(seed);
        let reference = IntegerReference::new(&quantized.graph).unwrap();
        let executor = IntegerExecutor::new(&quantized.graph).unwrap();
        let hook = noise(&quantized, 0, ImageIndices::From(10), 300.0);
        let inputs = [images];
        let expected = bits(&reference.run_with(&inputs, &hook).unwrap());
        for n_threads in [1, 2, 3] {
            let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
            let found = pool.install(|| executor.run_with(&inputs, &hook).unwrap());
            assert_eq!(bits(&found), expected, "seed {seed}, {n_threads} threads");
        }
        let recording = executor.record(&inputs).unwrap();
        assert_eq!(bits(&executor.run_recorded(&recording, &hook).unwrap()), expected, "seed {seed}: recorded");
        // Other batches: each image alone, and two of them turned around.
        let alone = |i: usize| inputs[0].keep(0, &[i]);
        for i in 0..IMAGES {
            let hook = noise(&quantized, 0, ImageIndices::From(10 + i as u64), 300.0);
            let found = bits(&executor.run_with(&[alone(i)], &hook).unwrap());
            assert_eq!(found, rows(&expected, i), "seed {seed}: image {i} alone");
        }
        let hook = noise(&quantized, 0, ImageIndices::Each(vec![13, 11]), 300.0);
        let found = bits(&executor.run_with(&[inputs[0].keep(0, &[3, 1])], &hook).unwrap());
        let of_two: Vec<Vec<u32>> =
            rows(&expected, 3).iter().zip(rows(&expected, 1)).map(|(a, b)| [a.as_slice(), &b].concat()).collect();
        assert_eq!(found, of_two, "seed {seed}: two images");
        // Another time step is another noise.
        let later = bits(&executor.run_with(&inputs, &noise(&quantized, 1, ImageIndices::From(10), 300.0)).unwrap());
        n_changed += usize::from(later != expected);
        let error = executor.run_with(&inputs, &noise(&quantized, 0, ImageIndices::Each(vec![1]), 1.0)).unwrap_err();
        assert!(error.to_string().contains("a run that knows 1"), "{error}");
    }
    assert!(n_changed > 10, "{n_changed}");
}

/// Keeps what the noise adds.
#[derive(Debug)]
struct Measured {
    noise: SumNoise,
    added: Mutex<Vec<i64>>,
}

impl MacHook for Measured {
    fn applies(&self, node_idx: usize) -> bool {
        self.noise.applies(node_idx)
    }

    fn change_accumulators(&self, operands: &MacOperands<'_>, accumulators: &mut [i64]) -> Result<(), GraphError> {
        let before = accumulators.to_vec();
        self.noise.change_accumulators(operands, accumulators)?;
        let added = accumulators.iter().zip(&before).map(|(after, before)| after - before);
        self.added.lock().unwrap().extend(added);
        Ok(())
    }
}

#[test]
fn noise_has_the_moments_that_were_asked_for() {
    for deviation in [0.5, 20.0] {
        let mut added: Vec<f64> = Vec::new();
        for seed in 0..20 {
            let (quantized, images) = network(seed);
            let measured =
                Measured { noise: noise(&quantized, seed, ImageIndices::From(0), deviation), added: Mutex::default() };
            IntegerExecutor::new(&quantized.graph).unwrap().run_with(&[images], &measured).unwrap();
            added.extend(measured.added.into_inner().unwrap().into_iter().map(|x| x as f64));
        }
        let n = added.len() as f64;
        assert!(n > 1e4, "{n}");
        let mean = added.iter().sum::<f64>() / n;
        let variance = added.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        // Rounding to whole numbers adds 1/12 to the variance, less where the grid is coarse: the sum over k of k² times
        // the normal measure of [k − 1/2, k + 1/2] is 0.32541 for a deviation of 0.5. Four standard errors each.
        let expected = if deviation < 1.0 { 0.32541 } else { deviation * deviation + 1.0 / 12.0 };
        assert!(mean.abs() < 4.0 * expected.sqrt() / n.sqrt(), "deviation {deviation}: mean {mean} of {n}");
        let off = (variance / expected - 1.0).abs();
        assert!(
            off < 4.0 * (2.0 / n).sqrt() * 1.2,
            "deviation {deviation}: variance {variance} of {n}, expected {expected}"
        );
    }
    let (quantized, _) = network(1);
    let error = SumNoise::new(&quantized.graph, (1, 0), ImageIndices::From(0), |_| Some(-1.0)).unwrap_err().to_string();
    assert!(error.contains("a noise of deviation -1"), "{error}");
}
