//! Networks that spike over time, on designs.

use skimp_graph::spiking::Temporal;
use skimp_graph::{DType, Dim, Gemm, GraphBuilder, Op, Tensor, ops};
use skimp_numerics::rng::{Draws, stream};
use skimp_quant::QuantizationConfig;
use skimp_report::records::AcceleratorRecord;

use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Silent;
use crate::simulate::accelerators::accelerator_configs;
use crate::simulate::config::LayersConfig;
use crate::simulate::designs::Designs;
use crate::simulate::pricing::CostsConfig;
use crate::simulate::session::{SimulateConfig, simulate};
use crate::stages::evaluate::Engine;
use crate::stages::quantized::Quantized;
use crate::stages::spiking::measure;

pub(super) const STEPS: usize = 3;
const IMAGES: usize = 4;

/// Two layers of ±1 with neurons between them.
pub(super) fn network(temporal: Option<Temporal>) -> Network {
    let mut builder = GraphBuilder::new("spiking");
    let mut draws = Draws::new(2, stream("test/over-time"));
    let dims = [Dim::Free("n".to_owned()), Dim::Fixed(3), Dim::Fixed(32), Dim::Fixed(32)];
    let x = builder.input("x", DType::F32, dims.to_vec());
    let gemm = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true });
    let mut signs = |k: usize, n: usize| {
        Tensor::from_f32(vec![k, n], (0..k * n).map(|_| if draws.chance(0.5) { 1.0 } else { -1.0 }).collect())
    };
    let (first, second) = (signs(60, 3072), signs(10, 60));
    let flat = builder.node("flat", Op::Flatten(ops::Flatten { axis: 1 }), &[x]);
    let first = builder.constant("w1", first);
    let currents = builder.node("fc1", gemm.clone(), &[flat, first]);
    let neuron = ops::Neuron { threshold: 25.0, leak: 0.5, ..ops::Neuron::default() };
    let spikes = builder.node("neurons", Op::Neuron(neuron), &[currents]);
    let second = builder.constant("w2", second);
    let answers = builder.node("fc2", gemm, &[spikes, second]);
    builder.output(answers);
    let graph = builder.build().unwrap();
    Network::from_graph(temporal.map_or(graph.clone(), |temporal| temporal.on(graph))).unwrap()
}

fn data() -> DataConfig {
    DataConfig { set: "sample".into(), images: IMAGES, accuracy_images: 20, ..DataConfig::default() }
}

fn simulated(network: &Network, designs: &[&str]) -> Result<Vec<AcceleratorRecord>, StudyError> {
    let names: Vec<String> = designs.iter().map(|&name| name.to_owned()).collect();
    let config = SimulateConfig {
        data: data(),
        input_size: None,
        quantization: QuantizationConfig { calibration_images: 8, ..QuantizationConfig::default() },
        layers: LayersConfig::default(),
        designs: Designs::embedded(),
        accelerators: accelerator_configs(&Designs::embedded(), &names, &[], &[]).unwrap(),
        costs: CostsConfig::Paper,
        allowed_loss_points: 1.0,
        chips: None,
        dump: None,
        trace: None,
    };
    Ok(simulate(network, &config, &Silent)?.record.accelerators)
}

#[test]
fn designs_see_every_step() {
    let temporal = Temporal::new(STEPS).unwrap();
    let spiking = network(Some(temporal));
    let found = simulated(&spiking, &["bsnn-tile", "dadiannao"]).unwrap();
    let once = simulated(&network(None), &["dadiannao"]).unwrap().remove(0);
    let images = Images::open(&data(), &spiking.graph, None).unwrap();
    let measured = measure(&spiking, Engine::Reference, &images, IMAGES, &[], &Silent).unwrap().remove(0);
    let spikes = measured.spikes_per_image * IMAGES as f64;
    // Each spike reaches the ten sums of the second layer.
    assert_eq!(measured.synaptic_operations_per_image, Some(10.0 * measured.spikes_per_image));
    assert!(spikes > 50.0, "{spikes} spikes show little");

    let [tile, dense] = [&found[0], &found[1]];
    let layer = |record: &AcceleratorRecord, name: &str| {
        record.layers.iter().find(|layer| layer.name == name).expect("simulated").clone()
    };
    // Spikes drive the rows of the second layer, which has one column tile. The first layer's currents are of codes of
    // 16 bits, so that single spikes may be others.
    let rows = layer(tile, "fc2").events["row_drives"] as f64;
    assert!((rows - spikes).abs() <= 0.02 * spikes, "{rows} rows, {spikes} spikes");
    // One read in each step and image: spikes have one bit.
    assert_eq!(layer(tile, "fc2").cycles.total, (STEPS * IMAGES) as u64);
    for name in ["fc1", "fc2"] {
        let (over_time, of_one) = (layer(dense, name), layer(&once, name));
        assert_eq!((over_time.images, over_time.macs), (of_one.images, of_one.macs * STEPS as u64), "{name}");
        assert_eq!(over_time.cycles.total, of_one.cycles.total * STEPS as u64, "{name}");
    }
    // Totals are of an image.
    assert!((dense.total.latency_ms / once.total.latency_ms - STEPS as f64).abs() < 1e-9);
    assert!(tile.accuracy.as_ref().is_some_and(|accuracy| accuracy.n_images == 20));
}

#[test]
fn the_integer_network_answers_as_the_float_one_over_time() {
    let spiking = network(Some(Temporal::new(STEPS).unwrap()));
    let images = Images::open(&data(), &spiking.graph, None).unwrap();
    let quantization = QuantizationConfig { calibration_images: 8, ..QuantizationConfig::default() };
    let quantized = Quantized::new(&spiking, &images, &quantization, &Silent).unwrap();
    let batch = images.batch(0..IMAGES).unwrap();
    let found = quantized.run(std::slice::from_ref(&batch.inputs)).unwrap().remove(0);
    // Alone, an image gives the same.
    let alone = images.batch(2..3).unwrap();
    let alone = quantized.run(std::slice::from_ref(&alone.inputs)).unwrap().remove(0);
    assert_eq!(alone.as_f32().unwrap(), &found.as_f32().unwrap()[20..30]);
    // Means of sums of ±1 over the steps.
    let thirds = found.as_f32().unwrap().iter().all(|x| (x * STEPS as f32 - (x * STEPS as f32).round()).abs() < 1e-4);
    assert!(thirds, "{found:?}");
    let right = quantized.classify(&images, 20, &Silent).unwrap().accuracy().top1;
    let float = measure(&spiking, Engine::Reference, &images, 20, &[], &Silent).unwrap().remove(0);
    assert!((right - float.tally.accuracy().top1).abs() <= 0.1, "{right}");
}

#[test]
fn what_takes_one_step_says_so() {
    let spiking = network(Some(Temporal::new(STEPS).unwrap()));
    let images = Images::open(&data(), &spiking.graph, None).unwrap();
    let quantization = QuantizationConfig { calibration_images: 2, ..QuantizationConfig::default() };
    let quantized = Quantized::new(&spiking, &images, &quantization, &Silent).unwrap();
    let refused = |error: StudyError| error.to_string();
    let found = refused(quantized.trace(&images, 1, &LayersConfig::default(), &Silent).unwrap_err());
    assert!(found.contains("time steps (3)") && found.contains("a trace that is kept"), "{found}");
    let random = Temporal { input: skimp_graph::spiking::InputCoding::Bernoulli, ..Temporal::new(STEPS).unwrap() };
    let found = refused(simulated(&network(Some(random)), &["dadiannao"]).unwrap_err());
    assert!(found.contains("the same in each step"), "{found}");
}
