use super::*;
use crate::reference::Reference;
use crate::statistics::{self, Statistics};
use crate::testing::random_tensor;
use crate::{Executor as _, Op, onnx};

fn zero(text: &str) -> Graph {
    build(text, Weights::Zero).unwrap()
}

fn statistics(graph: &Graph) -> Statistics {
    statistics::compute(graph, &shape::infer(graph, &shape::bind(graph, 1, None).unwrap()).unwrap())
}

/// Weights without biases and batch norms, all parameters, MACs, MACs of convolutions, outputs of convolutions and dense
/// layers. Totals of parameters are those of the public implementations. MACs of convolutions of VGG-16 as in He, Zhang
/// and Sun, "Channel Pruning for Accelerating Very Deep Neural Networks"; of CIFAR networks as in Li et al., "Pruning
/// Filters for Efficient ConvNets", with the dense layer. MobileNet's paper prints 4.2 million parameters and 569
/// million MACs.
#[test]
fn networks_have_their_well_known_counts() {
    let cases: &[(&str, [u64; 5])] = &[
        ("lenet-300-100", [266_200, 266_610, 266_200, 0, 410]),
        ("lenet-5", [430_500, 431_080, 2_293_000, 1_888_000, 15_230]),
        ("mlp", [535_040, 536_596, 535_040, 0, 778]),
        ("mlp:widths=none,batch-norm=false", [7_840, 7_850, 7_840, 0, 10]),
        ("conv4-fc2", [4_459_200, 4_460_106, 100_340_736, 96_141_312, 197_130]),
        ("conv4-fc2:batch-norm=true", [4_459_200, 4_461_002, 100_340_736, 96_141_312, 197_130]),
        ("vgg-small", [14_022_016, 14_029_716, 616_966_144, 607_518_720, 460_810]),
        ("sample-resnet", [78_960, 79_482, 7_338_720, 7_338_240, 38_426]),
        ("resnet8", [74_800, 75_290, 12_239_488, 12_238_848, 73_738]),
        ("resnet20", [268_336, 269_722, 40_551_040, 40_550_400, 188_426]),
        ("resnet20:shortcut=projection", [270_896, 272_474, 40_813_184, 40_812_544, 200_714]),
        ("resnet56", [848_944, 853_018, 125_485_696, 125_485_056, 532_490]),
        ("resnet56:shortcut=projection", [851_504, 855_770, 125_747_840, 125_747_200, 544_778]),
        ("resnet110", [1_719_856, 1_727_962, 252_887_680, 252_887_040, 1_048_586]),
        ("densenet-bc-100-12", [745_164, 769_162, 287_929_692, 287_926_272, 1_463_818]),
        ("alexnet", [61_090_496, 61_100_840, 714_188_480, 655_566_528, 494_184]),
        ("alexnet-caffe", [60_954_656, 60_965_224, 724_406_816, 665_784_864, 659_272]),
        ("vgg16", [138_344_128, 138_357_544, 15_470_264_320, 15_346_630_656, 13_556_712]),
        ("vgg16-bn", [138_344_128, 138_365_992, 15_470_264_320, 15_346_630_656, 13_556_712]),
        ("vgg16-cifar", [14_977_728, 14_991_946, 313_463_808, 313_196_544, 277_002]),
        ("resnet18", [11_678_912, 11_689_512, 1_814_073_344, 1_813_561_344, 2_484_712]),
        ("resnet34", [21_779_648, 21_797_672, 3_663_761_408, 3_663_249_408, 3_739_112]),
        ("resnet50", [25_502_912, 25_557_032, 4_089_184_256, 4_087_136_256, 11_114_984]),
        ("resnet50-v1", [25_502_912, 25_557_032, 3_857_973_248, 3_855_925_248, 10_588_136]),
        ("densenet121", [7_894_208, 7_978_856, 2_834_161_664, 2_833_137_664, 6_900_200]),
        ("mobilenet-v1", [4_209_088, 4_231_976, 568_740_352, 567_716_352, 5_043_688]),
    ];
    let mut failures = Vec::new();
    for (text, expected) in cases {
        let Statistics { weights, parameters, macs, conv_macs, activation_sum, .. } = statistics(&zero(text));
        let found = [weights, parameters, macs, conv_macs, activation_sum];
        if found != *expected {
            failures.push(format!("{text}: expected {expected:?}, found {found:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn alexnet_layers_have_their_well_known_counts() {
    let counts = |text: &str| -> Vec<[u64; 2]> {
        let layers = statistics(&zero(text)).layers.into_iter().filter(|layer| layer.op == "Conv");
        layers.map(|layer| [layer.weights, layer.macs]).collect()
    };
    let one_tower = [
        [23_232, 70_276_800],
        [307_200, 223_948_800],
        [663_552, 112_140_288],
        [884_736, 149_520_384],
        [589_824, 99_680_256],
    ];
    assert_eq!(counts("alexnet"), one_tower);
    let weights: Vec<u64> = counts("alexnet-caffe").into_iter().map(|[weights, _]| weights).collect();
    assert_eq!(weights, [34_848, 307_200, 884_736, 663_552, 442_368]);
}

#[test]
fn definitions_are_well_formed() {
    let mut names: Vec<&str> = networks().map(|network| network.name).collect();
    let n_networks = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), n_networks, "names are unique");
    for network in networks() {
        let name = network.name;
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        assert!(!network.summary.is_empty() && !network.source.is_empty(), "{name}");
        let graph = zero(&format!("{name}:classes=7"));
        let shapes = shape::infer(&graph, &shape::bind(&graph, 2, None).unwrap()).unwrap();
        assert_eq!(shapes.shape(graph.outputs()[0]), [2, 7], "{name}");
        assert_eq!(shapes.shape(graph.inputs()[0].value)[1..], network.image, "{name}");
        let settings: Vec<String> = network.settings.iter().map(|s| format!("{}={}", s.name, s.default)).collect();
        let nodes = |text: &str| zero(text).nodes().to_vec();
        assert_eq!(nodes(&format!("{name}:{}", settings.join(","))), nodes(name), "{name}: defaults are valid");
    }
}

#[test]
fn settings_change_the_input() {
    let graph = zero("resnet8:size=20x36,channels=1");
    let shapes = shape::infer(&graph, &shape::bind(&graph, 1, None).unwrap()).unwrap();
    assert_eq!(shapes.shape(graph.inputs()[0].value), [1, 1, 20, 36]);
    assert_eq!(statistics(&zero("conv4-fc2:widths=32-32-64-64-512")).weights, 65_376 + 2_102_272);
    // An odd extent is halved upwards by both branches.
    assert!(build("resnet20:size=33", Weights::Zero).is_ok());
}

#[test]
fn bad_names_and_settings_are_errors() {
    let message = |text: &str| build(text, Weights::Zero).unwrap_err().to_string();
    let unknown = message("resnet21:classes=10");
    assert!(
        unknown.starts_with("no built-in network \"resnet21:classes=10\", expected one of: lenet-300-100, lenet-5, "),
        "{unknown}"
    );
    for (text, expected) in [
        ("resnet20:classes", "network \"resnet20\": \"classes\" is no setting, expected setting=value"),
        ("resnet20:classes=0", "network \"resnet20\": classes is \"0\", expected a whole number from 1 to 1000000"),
        (
            "resnet20:width=2",
            "network \"resnet20\": no setting \"width\", expected one of: classes, channels, size, shortcut",
        ),
        ("resnet20:shortcut=none", "network \"resnet20\": shortcut is \"none\", expected one of: pad, projection"),
        (
            "conv4-fc2:widths=1-2-3-4",
            "network \"conv4-fc2\": widths is \"1-2-3-4\", expected 5 numbers from 1 to 1000000, like 64-128",
        ),
        (
            "mlp:widths=512-",
            "network \"mlp\": widths is \"512-\", expected none, or numbers from 1 to 1000000, like 512-256",
        ),
        ("lenet-300-100:size=999999", "network \"lenet-300-100\": more than 2^32 parameters"),
        (
            "lenet-5:size=9",
            "node \"conv2\" (Conv): spatial axis 0: a kernel that spans 5 does not fit an input of 2, 2 with padding",
        ),
    ] {
        assert_eq!(message(text), expected);
    }
}

/// The deviation of a parameter's elements.
fn deviation(graph: &Graph, name: &str) -> f64 {
    let value = graph.values().iter().find(|value| value.name == name).unwrap();
    let elements = value.constant.as_ref().unwrap().as_f32().unwrap();
    (elements.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / elements.len() as f64).sqrt()
}

#[test]
fn weights_follow_the_scheme() {
    let text = "conv4-fc2:widths=32-64-64-128-64";
    let small = build(text, Weights::Seeded(3)).unwrap();
    let mobile = build("mobilenet-v1:size=32", Weights::Seeded(3)).unwrap();
    // The sigma of a sample deviation over n elements is the deviation over sqrt(2 n): 2.4 % with the 864 elements of
    // conv1, 0.7 % or less with the 9,216 of the depthwise layer and more, 2.8 % with the 640 of fc2. Bounds are five
    // sigma.
    for (graph, name, expected, bound) in [
        (&small, "conv1.weight", (2.0_f64 / (32.0 * 9.0)).sqrt(), 0.12),
        (&small, "conv4.weight", (2.0_f64 / (128.0 * 9.0)).sqrt(), 0.035),
        (&small, "fc1.weight", (2.0_f64 / 8192.0).sqrt(), 0.035),
        (&small, "fc2.weight", (1.0_f64 / 64.0).sqrt(), 0.14),
        (&mobile, "pair13.depthwise.weight", (2.0_f64 / 9.0).sqrt(), 0.035),
    ] {
        let found = deviation(graph, name);
        assert!((found / expected - 1.0).abs() < bound, "{name}: deviation {found}, expected {expected}");
    }
    assert_eq!(small, build(text, Weights::Seeded(3)).unwrap());
    let classes = build(&format!("{text},classes=7"), Weights::Seeded(3)).unwrap();
    assert_eq!(deviation(&small, "conv2.weight").to_bits(), deviation(&classes, "conv2.weight").to_bits());
    let other = build(text, Weights::Seeded(4)).unwrap();
    assert_ne!(deviation(&small, "conv2.weight").to_bits(), deviation(&other, "conv2.weight").to_bits());
}

#[test]
fn small_networks_run_and_survive_a_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["lenet-5", "resnet8", "conv4-fc2:widths=4-4-8-8-16,batch-norm=true", "densenet-bc-100-12:size=8"] {
        let graph = build(text, Weights::Seeded(1)).unwrap();
        let shape = shape::bind(&graph, 2, None).unwrap().remove(0);
        let logits = Reference::new(&graph).run(&[random_tensor(1, "x", shape, 0.0, 1.0)]).unwrap().remove(0);
        let logits = logits.as_f32().unwrap();
        assert!(logits.iter().all(|x| x.is_finite()) && logits.iter().any(|&x| x > 0.0), "{text}: {logits:?}");
        let path = folder.path().join("network.onnx");
        onnx::export(&graph, &path).unwrap();
        assert_eq!(onnx::import(&path).unwrap(), graph, "{text}");
    }
}

#[test]
fn batch_norms_are_not_folded_and_there_is_no_softmax() {
    let n_batch_norms =
        |text: &str| zero(text).nodes().iter().filter(|node| matches!(node.op, Op::BatchNormalization(_))).count();
    assert_eq!((n_batch_norms("resnet20"), n_batch_norms("vgg-small"), n_batch_norms("vgg16-bn")), (19, 9, 13));
    for network in networks() {
        assert!(zero(network.name).nodes().iter().all(|node| !matches!(node.op, Op::Softmax(_))));
    }
}
