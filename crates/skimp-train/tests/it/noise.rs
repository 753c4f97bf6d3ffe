//! Training on cells that deviate: against the naive reference, chip after chip, and on any number of threads.

use skimp_analog::{Synapse, find};
use skimp_graph::Op;
use skimp_numerics::rng::{Draws, Key};
use skimp_train::noise::{DeviceNoise, Draw, Drive, LayerNoise};
use skimp_train::quantizer::{self, Quantizer, SignGradient, SignScale, WeightForm};
use skimp_train::reference::noise::deviations;
use skimp_train::{Mode, Model, ModelOptions, policy};

use crate::nets::Net;
use crate::quantizers::trained_to;

const ROWS: usize = 60;
const COLUMNS: usize = 40;
const DRIVES: [Drive; 3] = [Drive::Signs, Drive::Values { are_images: false }, Drive::Values { are_images: true }];
const SYNAPSES: [Synapse; 3] = [Synapse::Single, Synapse::Differential, Synapse::Xnor];

fn noise(synapse: Synapse, draw: Draw) -> DeviceNoise {
    let settings = "lrs_spread = 0.2\nhrs_spread = 0.4\non_off_ratio = 20\nread_noise = 0.05\nstuck_at_lrs = 0.01";
    let cell = find("neurosim").expect("a device").cell(&settings.parse().expect("TOML")).expect("settings in range");
    DeviceNoise { cell, synapse, draw, rows: 27, sense_offset: 0.05 }
}

fn layers(draw: Draw) -> impl Iterator<Item = LayerNoise> {
    let of = move |synapse| DRIVES.map(move |drive| LayerNoise { noise: noise(synapse, draw), drive });
    SYNAPSES.into_iter().flat_map(of)
}

/// Inputs as a drive has them.
fn inputs(drive: Drive, draws: &mut Draws) -> Vec<f32> {
    let mut of = |values: [f32; 2]| values[usize::from(draws.chance(0.5))];
    match drive {
        Drive::Signs => (0..ROWS).map(|_| of([-1.0, 1.0])).collect(),
        Drive::Values { are_images: false } => (0..ROWS).map(|_| of([0.0, 1.0])).collect(),
        Drive::Values { are_images: true } => (0..ROWS).map(|_| draws.uniform(-1.0, 1.0)).collect(),
    }
}

/// The engine adds what the reference does: dense layers of all synapses and drives, scaled or not, two images of one batch.
#[test]
fn sums_are_those_of_the_reference() {
    for (draw, scale) in [(Draw::Image, SignScale::One), (Draw::Step, SignScale::One), (Draw::Step, SignScale::MeanAbs)]
    {
        for layer in layers(draw) {
            let (mut net, x) = Net::new("one layer", &[ROWS]);
            let y = net.dense("fc", x, [COLUMNS, ROWS]);
            let graph = net.finish(y);
            let mut options = ModelOptions { batch: 2, ..ModelOptions::default() };
            let form = WeightForm::Sign { scale, gradient: SignGradient::Straight };
            options.weights.insert("fc".to_owned(), form);
            let new = |options: &ModelOptions| Model::new(&graph, options).unwrap();
            let mut plain = new(&options);
            options.noise.insert("fc".to_owned(), layer);
            let mut model = new(&options);
            let mut draws = Draws::new(1, 2);
            let images: Vec<f32> = (0..2).flat_map(|_| inputs(layer.drive, &mut draws)).collect();
            let mut fp32 = policy::create("fp32").unwrap();
            let (mode, indices) = (Mode::Train { step: 5, seed: 9 }, [70, 3]);
            for model in [&mut plain, &mut model] {
                model.forward_images(&images, &indices, mode, &mut *fp32).unwrap();
            }
            // Storage order: [inputs][outputs].
            let weight = model.params()[0].values().to_vec();
            let signs: Vec<f32> = weight.iter().map(|w| if *w >= 0.0 { 1.0 } else { -1.0 }).collect();
            for (position, &image) in indices.iter().enumerate() {
                let x = &images[position * ROWS..(position + 1) * ROWS];
                let key = Key { seed: 9, stream: 0, step: 5, image: image as u64 };
                let expected = deviations(&layer, "fc", &signs, x, key).unwrap();
                for (output, expected) in expected.iter().enumerate() {
                    let at = position * COLUMNS + output;
                    let column = || (0..ROWS).map(|row| f64::from(weight[row * COLUMNS + output].abs()));
                    let scale = if scale == SignScale::One { 1.0 } else { column().sum::<f64>() / ROWS as f64 };
                    let found = f64::from(model.logits()[at] - plain.logits()[at]) / scale;
                    assert!((found - expected).abs() < 2e-4, "{layer:?} {image} {output}: {found}, {expected}");
                }
            }
            // Without noise where nothing is trained.
            for model in [&mut plain, &mut model] {
                model.forward_images(&images, &indices, Mode::Eval, &mut *fp32).unwrap();
            }
            assert_eq!(model.logits(), plain.logits());
        }
    }
}

/// One normal number for a sum has mean and variance of chips that are programmed and read cell by cell: 4,000 of either, five
/// standard errors of the mean, and of a variance whose kurtosis is near to a normal one's.
#[test]
fn sums_of_images_are_spread_as_those_of_chips() {
    const N: u64 = 4_000;
    for (chips, images) in layers(Draw::Step).zip(layers(Draw::Image)) {
        let mut draws = Draws::new(3, 4);
        let x = inputs(chips.drive, &mut draws);
        let signs: Vec<f32> = (0..ROWS).map(|_| if draws.chance(0.5) { 1.0 } else { -1.0 }).collect();
        let moments = |of: &dyn Fn(u64) -> f64| {
            let found: Vec<f64> = (0..N).map(of).collect();
            let mean = found.iter().sum::<f64>() / N as f64;
            (mean, found.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (N - 1) as f64)
        };
        let key = |step, image| Key { seed: 1, stream: 0, step, image };
        let by_chip = moments(&|n| deviations(&chips, "fc", &signs, &x, key(n, 0)).unwrap()[0]);
        let by_image = moments(&|n| deviations(&images, "fc", &signs, &x, key(0, n)).unwrap()[0]);
        let error = (2.0 * by_chip.1 / N as f64).sqrt();
        assert!((by_chip.0 - by_image.0).abs() < 5.0 * error, "{chips:?}: {by_chip:?}, {by_image:?}");
        // Each variance is known to sqrt(2 / n), times 1.5 for tails.
        let ratio = by_chip.1 / by_image.1;
        assert!((ratio - 1.0).abs() < 5.0 * 1.5 * (4.0 / N as f64).sqrt(), "{chips:?}: {by_chip:?}, {by_image:?}");
    }
}

fn noisy(text: &str, noise: &str) -> Quantizer {
    quantizer::create(text)
        .expect("a quantizer")
        .with_noise(DeviceNoise::parse(noise).expect("noise"))
        .expect("of bits")
}

fn parameters(model: &Model) -> Vec<u32> {
    model.params().iter().flat_map(|param| param.values().iter().map(|x| x.to_bits())).collect()
}

/// Convolutions, pools and dense layers: the same bits on one, two and three threads; other bits than without noise, and the very
/// same ones on cells that do not deviate.
#[test]
fn bits_do_not_depend_on_threads() {
    let ideal = "neurosim:lrs_spread=0,hrs_spread=0,read_noise=0";
    for text in ["bnn", "bnn:padding=0", "bnn01", "xnor", "bsnn:steps=3"] {
        let plain = parameters(&trained_to(quantizer::create(text).unwrap(), 3).1);
        for draw in ["image", "step"] {
            let train = |noise: &str, threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let quantizer = noisy(text, &format!("{noise},draw={draw}"));
                pool.install(|| parameters(&trained_to(quantizer, 3).1))
            };
            let found = train("neurosim:lrs_spread=0.3,synapse=xnor,sense_offset=0.01", 1);
            for threads in [2, 3] {
                let again = train("neurosim:lrs_spread=0.3,synapse=xnor,sense_offset=0.01", threads);
                assert!(found == again, "{text} {draw} {threads}");
            }
            assert!(found != plain, "{text} {draw}");
            assert!(train(ideal, 2) == plain, "{text} {draw}");
        }
    }
}

/// Real weights have no cells: the first and last layer of XNOR-Net do not deviate, and quantizers without weights of ±1 are refused.
#[test]
fn real_weights_do_not_deviate() {
    let quantizer = noisy("xnor", "neurosim");
    let (_, model, _) = trained_to(quantizer.clone(), 1);
    let graph = model.to_graph().unwrap();
    let options = quantizer.options(&graph, ModelOptions::default()).unwrap();
    let layers: Vec<&str> = graph
        .nodes()
        .iter()
        .filter(|node| matches!(node.op, Op::Conv(_) | Op::Gemm(_)))
        .map(|node| &*node.name)
        .collect();
    let deviating: Vec<&str> = layers[1..layers.len() - 1].to_vec();
    assert_eq!(options.noise.keys().map(String::as_str).collect::<Vec<_>>(), deviating);
    let plain = DeviceNoise::parse("neurosim").unwrap();
    let error = quantizer::create("snn").unwrap().with_noise(plain).unwrap_err().to_string();
    assert!(error.contains("quantizer snn, whose weights are f32"), "{error}");
}
