//! Networks and data that no file holds.

use skimp::graph::onnx;
use skimp::{DataConfig, DataError, Dataset, Engine, Images, Network, Samples, Silent, StudyError, Tensor};

const SHAPE: [usize; 3] = [1, 28, 28];

/// The embedded test images as a program would hold them.
fn arrays() -> (Vec<u8>, Vec<usize>) {
    let sample = Dataset::open("sample", skimp::data::Split::Test).unwrap();
    let pixels = (0..100).flat_map(|index| match sample.image(index).unwrap().samples {
        Samples::U8(values) => values.into_owned(),
        Samples::F32(_) => panic!("pixels are bytes"),
    });
    (pixels.collect(), sample.labels()[..100].to_vec())
}

#[test]
fn arrays_do_what_the_data_set_does() {
    let network = Network::open("sample-resnet").unwrap();
    let (pixels, labels) = arrays();
    let dataset = Dataset::from_arrays(SHAPE, pixels, &labels).unwrap();
    // The network names its preprocessing.
    let config = DataConfig { set: "mine".into(), ..DataConfig::default() };
    let own = Images::of(dataset, &config, &network.graph, None).unwrap();
    let sample = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() }).unwrap();
    assert_eq!(own.tensors(0..10).unwrap(), sample.tensors(0..10).unwrap());
    let accuracy = |images: &Images| network.accuracy(images, 100, &Silent).unwrap();
    assert_eq!(accuracy(&own), accuracy(&sample));
    assert_eq!(own.len(), 100);
    // Images of another order.
    let config = DataConfig { seed: Some(3), ..config };
    let (pixels, labels) = arrays();
    let shuffled = Images::of(Dataset::from_arrays(SHAPE, pixels, &labels).unwrap(), &config, &network.graph, None);
    let shuffled = shuffled.unwrap();
    assert_ne!(shuffled.tensors(0..10).unwrap(), own.tensors(0..10).unwrap());
    assert_eq!(accuracy(&shuffled).top1.to_bits(), accuracy(&own).top1.to_bits());
    assert!(matches!(shuffled.tensors(90..101), Err(StudyError::Data(DataError::IndexOutOfRange { .. }))));
}

#[test]
fn arrays_that_do_not_fit_are_told_from_each_other() {
    let wrong = Dataset::from_arrays(SHAPE, vec![0_u8; 28 * 28], &[0, 1]).unwrap_err();
    assert!(matches!(wrong, DataError::CountMismatch { n_images: 1, n_labels: 2, .. }), "{wrong}");
    let network = Network::open("sample-resnet").unwrap();
    let colored = Dataset::from_arrays([3, 28, 28], vec![0_u8; 3 * 28 * 28], &[0]).unwrap();
    let images = Images::of(colored, &DataConfig::default(), &network.graph, None).unwrap();
    let error = images.tensors(0..1).unwrap_err();
    assert!(matches!(error, StudyError::Data(DataError::Channels { .. })), "{error}");
}

#[test]
fn networks_come_from_bytes_and_graphs() {
    let network = Network::open("sample-resnet").unwrap();
    let bytes = onnx::export_bytes(&network.graph).unwrap();
    let read = Network::from_bytes("mine", bytes).unwrap();
    let built = Network::from_graph(network.graph.clone()).unwrap();
    assert_eq!((read.name.as_str(), built.name.as_str()), ("mine", network.graph.name()));
    assert_eq!(read.sha256, built.sha256);
    assert_eq!(read.graph.nodes(), built.graph.nodes());
    assert_eq!((read.input_names(), read.output_names()), (network.input_names(), network.output_names()));
    let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() }).unwrap();
    let (inputs, _) = images.tensors(0..3).unwrap();
    let run = |network: &Network, engine| network.run(engine, std::slice::from_ref(&inputs)).unwrap().remove(0);
    let logits = run(&network, Engine::Cpu);
    assert_eq!(logits.shape(), [3, 10]);
    assert_eq!(run(&read, Engine::Cpu), logits);
    let reference = run(&built, Engine::Reference);
    let pairs = |tensor: &Tensor| tensor.as_f32().unwrap().to_vec();
    for (found, expected) in pairs(&logits).into_iter().zip(pairs(&reference)) {
        assert!((found - expected).abs() < 1e-3, "{found}, expected {expected}");
    }
    // Prepared once, used again, from several threads.
    let compiled = network.compile(Engine::Cpu, skimp::Order::Free).unwrap();
    let again = || compiled.run(std::slice::from_ref(&inputs)).unwrap().remove(0);
    std::thread::scope(|scope| {
        let threads = [(); 2].map(|()| scope.spawn(again));
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), logits));
    });
    assert_eq!(compiled.output_names(), network.output_names());
    assert!(network.run(Engine::Integer, std::slice::from_ref(&inputs)).unwrap_err().is_usage());
    assert!(matches!(Network::from_bytes("none", b"no network".to_vec()), Err(StudyError::Graph(_))));
}
