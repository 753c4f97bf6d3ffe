//! What a program learns from an error: fields, not prose.

use skimp::graph::{DType, Dim, GraphBuilder, Op};
use skimp::sim::toml::Table;
use skimp::{
    AnswerFault, DataConfig, DataError, Dataset, Design, Designs, Engine, Images, InputFault, LayersConfig, Network,
    QuantizationConfig, Quantized, Silent, SimError, StudyError, with_threads,
};

fn sample() -> DataConfig {
    DataConfig { set: "sample".into(), ..DataConfig::default() }
}

fn parts() -> (Network, Images, Quantized) {
    let network = Network::open("sample-resnet").unwrap();
    let images = network.images(&sample()).unwrap();
    let quantized = Quantized::new(&network, &images, &QuantizationConfig::default(), &Silent).unwrap();
    (network, images, quantized)
}

/// A network of one ReLU whose input has these extents.
fn relu(dims: &[Option<usize>]) -> Network {
    let mut builder = GraphBuilder::new("relu");
    let dims = dims.iter().map(|dim| dim.map_or_else(|| Dim::Free("any".into()), Dim::Fixed)).collect();
    let x = builder.input("x", DType::F32, dims);
    let y = builder.node("y", Op::Relu, &[x]);
    builder.output(y);
    Network::from_graph(builder.build().unwrap()).unwrap()
}

#[test]
fn what_is_not_there_is_named_beside_what_is() {
    let error = Network::open("resnet-20").unwrap_err();
    let StudyError::UnknownNetwork { name, known } = &error else { panic!("{error}") };
    assert!(name == "resnet-20" && known.contains(&"resnet20") && error.is_usage());
    assert!(matches!(Network::open(""), Err(StudyError::NoNetwork)));
    let network = Network::open("sample-resnet").unwrap();
    let error = network.images(&DataConfig { output_name: Some("softmax".into()), ..sample() }).unwrap_err();
    assert!(
        matches!(&error, StudyError::UnknownOutput { name, known } if name == "softmax" && known == &["fc"]),
        "{error}"
    );
    let error = Design::named("compedn").unwrap_err();
    assert!(matches!(&error, StudyError::Sim(SimError::UnknownAccelerator { .. })), "{error}");
    let settings: Table = "end_ = false".parse().unwrap();
    let error = Design::of(Designs::embedded().find("compend").unwrap(), &settings).unwrap_err();
    assert!(matches!(&error, StudyError::Sim(SimError::UnknownSetting { .. })) && error.is_usage(), "{error}");
    let error = network.images(&DataConfig { set: "sampel".into(), ..DataConfig::default() }).unwrap_err();
    assert!(matches!(&error, StudyError::Data(DataError::UnknownDataset { .. })) && error.is_usage(), "{error}");
    let error = skimp::show("compedn", None).unwrap_err();
    assert!(matches!(&error, StudyError::Unknown { nearest, .. } if nearest == "compend"), "{error}");
}

#[test]
fn networks_that_take_no_images_say_why() {
    let fault = |network: &Network, size| match Images::open(&sample(), &network.graph, size).unwrap_err() {
        StudyError::Input(fault) => fault,
        error => panic!("{error}"),
    };
    let input = || "x".to_owned();
    assert_eq!(fault(&relu(&[None, Some(3)]), None), InputFault::Rank { input: input(), found: 2 });
    assert_eq!(fault(&relu(&[None, None, None, None]), None), InputFault::OpenChannels { input: input() });
    let fixed = relu(&[None, Some(1), Some(28), Some(28)]);
    let found = fault(&fixed, Some([28, 32]));
    assert_eq!(found, InputFault::Size { input: input(), is_height: false, fixed: 28, given: 32 });
    let network = "relu".to_owned();
    assert_eq!(fault(&relu(&[Some(0), Some(1), Some(28), Some(28)]), None), InputFault::NoImages { network });
    let mut builder = GraphBuilder::new("sum");
    let [x, y] = ["x", "y"].map(|name| builder.input(name, DType::F32, vec![Dim::Fixed(1)]));
    let sum = builder.node("sum", Op::Add, &[x, y]);
    builder.output(sum);
    let sum = Network::from_graph(builder.build().unwrap()).unwrap();
    assert_eq!(fault(&sum, None), InputFault::Number { network: "sum".into(), found: 2 });
}

#[test]
fn answers_and_labels_that_do_not_fit_are_counted() {
    let network = relu(&[None, Some(1), Some(28), Some(28)]);
    let images = network.images(&sample()).unwrap();
    // 784 numbers for each image: labels fit, answers mean nothing, and nobody can know.
    assert!(network.accuracy(&images, 10, &Silent).is_ok());
    let sample_resnet = Network::open("sample-resnet").unwrap();
    let dataset = Dataset::from_arrays([1, 28, 28], vec![0_u8; 2 * 784], &[3, 12]).unwrap();
    let images = Images::of(dataset, &DataConfig::default(), &sample_resnet.graph, None).unwrap();
    let error = sample_resnet.accuracy(&images, 2, &Silent).unwrap_err();
    let expected = AnswerFault::Label { label: 12, n_classes: 10 };
    assert!(matches!(&error, StudyError::Answers(fault) if *fault == expected), "{error}");
}

#[test]
fn numbers_that_cannot_be_say_what_may_be() {
    let (network, images, quantized) = parts();
    let error = network.calibrate(&images, 0, &Silent).unwrap_err();
    assert!(matches!(&error, StudyError::Count { what: "calibration images", found: 0, .. }), "{error}");
    let error = with_threads(5000, || ()).unwrap_err();
    assert!(matches!(&error, StudyError::Count { what: "threads", found: 5000, .. }), "{error}");
    let error = network.run(Engine::Integer, &[]).unwrap_err();
    assert!(matches!(&error, StudyError::NotQuantized { network } if network == "sample-resnet"), "{error}");
    let none = LayersConfig { convolutions: false, dense: false, ..LayersConfig::default() };
    let error = quantized.trace(&images, 1, &none, &Silent).unwrap_err();
    assert!(matches!(error, StudyError::NoLayers { .. }), "{error}");
    let error = Designs::embedded().with(Designs::embedded().models()[0]).unwrap_err();
    assert!(matches!(&error, StudyError::SameName { .. }), "{error}");
    // A search finds no images of its own.
    let images = network.images(&DataConfig { accuracy_images: 999, tuning_images: 5, ..sample() }).unwrap();
    let traced = quantized.trace(&images, 1, &LayersConfig::default(), &Silent).unwrap();
    let search: Table = "mode = \"search\"".parse().unwrap();
    let design = Design::of(Designs::embedded().find("compreend").unwrap(), &search).unwrap();
    let error = traced.simulate(&[design], &Silent).unwrap_err();
    let StudyError::TuningImages { n_judging, wanted, there } = error else { panic!("{error}") };
    assert_eq!((n_judging, wanted, there), (999, 5, images.len() - 999));
}
