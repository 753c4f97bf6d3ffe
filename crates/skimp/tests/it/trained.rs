//! Training in memory.

use skimp::training::optimizer::{ParamHook, UpdateOf};
use skimp::training::{LossKind, LossSum, LossTerm, Param, Target, Teacher};
use skimp::{DataConfig, Dataset, Images, Network, Silent, Split, StudyError, Tensor, TrainConfig, with_threads};

fn images(network: &Network, split: Split) -> Images {
    network.images(&DataConfig { set: "sample".into(), split, ..DataConfig::default() }).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig {
        epochs: 2,
        images: Some(512),
        validation_images: Some(100),
        batch_size: 16,
        learning_rate: 0.05,
        ..TrainConfig::default()
    }
}

/// Keeps one parameter as it is.
#[derive(Debug)]
struct Frozen(String);

impl ParamHook for Frozen {
    fn before_update(&mut self, _of: UpdateOf, param: &mut Param) {
        if param.name() == self.0 {
            param.grad_mut().fill(0.0);
        }
    }
}

/// The weights of the first layer, and their name.
fn first_weights(network: &Network) -> (String, Tensor) {
    let weights = network.graph.values().iter().find_map(|value| {
        let constant = value.constant.as_ref().filter(|constant| constant.shape().len() == 4)?;
        Some((value.name.clone(), constant.clone()))
    });
    weights.unwrap()
}

#[test]
fn a_hook_of_ones_own_takes_part() {
    let network = Network::open("sample-resnet").unwrap();
    let training = images(&network, Split::Train);
    let (name, before) = first_weights(&network);
    let plain = network.training(&training, &config()).run(&Silent).unwrap();
    assert_ne!(first_weights(plain.network()).1, before);
    let frozen = network.training(&training, &config()).param_hook(Frozen(name)).run(&Silent).unwrap();
    assert_eq!(first_weights(frozen.network()).1, before);
    assert_eq!(frozen.accuracy(), None);
}

#[test]
fn a_network_is_trained_with_a_teacher_and_goes_on() {
    let teacher = Network::open("sample-resnet").unwrap();
    let student = Network::open_for_training("sample-resnet", 1).unwrap();
    let (training, test) = (images(&student, Split::Train), images(&student, Split::Test));
    let term = |kind, factor, target| LossTerm { kind, tensor: None, factor, target };
    let losses = || LossSum {
        terms: vec![
            term(LossKind::Distillation { temperature: 2.0 }, 0.5, Target::Tensor("teacher".into())),
            term(LossKind::CrossEntropy { label_smoothing: 0.1 }, 0.5, Target::Labels),
        ],
    };
    let run = || {
        let source = Teacher::new(&teacher.graph, &[("teacher", None)]).unwrap();
        let training = student.training(&training, &config()).validated_on(&test).losses(losses()).targets(source);
        training.run(&Silent).unwrap()
    };
    let (one, two) = (with_threads(1, run).unwrap(), with_threads(2, run).unwrap());
    assert_eq!(one.network().sha256, two.network().sha256);
    assert_eq!((one.history().len(), one.network().name.as_str()), (2, "sample-resnet"));
    let accuracy = one.accuracy().unwrap();
    assert!(accuracy > 0.2, "{accuracy}");
    // What was trained is a network like any other.
    assert_ne!(one.network().sha256, student.sha256);
    let measured = one.network().accuracy(&test, 100, &Silent).unwrap();
    assert!((measured.top1 - accuracy).abs() < 0.02, "{}, expected {accuracy}", measured.top1);
    assert_eq!(one.network().graph.metadata("skimp.preprocess"), Some("sample"));
    let further = one.network().training(&training, &config()).validated_on(&test).run(&Silent).unwrap();
    assert_ne!(further.network().sha256, one.network().sha256);
}

#[test]
fn images_in_memory_are_learned() {
    // Class 1 is bright, class 0 is dark.
    let pixels: Vec<u8> =
        (0..64_u8).flat_map(|idx| [if idx % 2 == 1 { 200 + idx % 5 } else { 20 + idx % 7 }; 784]).collect();
    let labels: Vec<usize> = (0..64).map(|idx| idx % 2).collect();
    let network = Network::open_for_training("lenet-5", 3).unwrap();
    let dataset = Dataset::from_arrays([1, 28, 28], pixels, &labels).unwrap();
    let data = DataConfig { set: "brightness".into(), preprocess: Some("unit".into()), ..DataConfig::default() };
    let images = Images::of(dataset, &data, &network.graph, None).unwrap();
    let config = TrainConfig { epochs: 4, batch_size: 8, learning_rate: 0.02, ..TrainConfig::default() };
    let trained = network.training(&images, &config).validated_on(&images).run(&Silent).unwrap();
    assert!(trained.accuracy().unwrap() > 0.95, "{:?}", trained.history());
}

#[test]
fn faults_are_named() {
    let network = Network::open_for_training("sample-resnet", 1).unwrap();
    let training = images(&network, Split::Train);
    let run = |config| network.training(&training, &config).run(&Silent).unwrap_err();
    assert!(run(TrainConfig { precision: "fp3".into(), ..config() }).is_usage());
    assert!(run(TrainConfig { batch_size: 0, ..config() }).is_usage());
    let missing = LossSum::distillation(1.0, 0.5, "nobody");
    let error = network.training(&training, &config()).losses(missing).run(&Silent).unwrap_err();
    assert!(matches!(error, StudyError::Train(_)) && error.to_string().contains("nobody"), "{error}");
}
