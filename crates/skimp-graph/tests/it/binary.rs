//! Binary networks as other tools write them.

use skimp_graph::binary::{BinaryOutput, BinaryReference, lower};
use skimp_graph::reference::Reference;
use skimp_graph::testing::random_tensor;
use skimp_graph::{Executor as _, onnx};

/// The network CNV W1A1 of FINN, from the folder that `SKIMP_DATA` names.
#[test]
fn a_real_network_is_bits_from_the_second_layer_on() {
    let Some(data) = skimp_testkit::data("models") else { return };
    let graph = onnx::import(&data.join("models/cifar10_cnv_w1a1_binary.onnx")).expect("a supported network");
    let binary = lower(&graph).expect("a binary network");
    let layers: Vec<(&str, bool)> = binary
        .layers()
        .map(|(node, layer)| (node.name.as_str(), matches!(layer.output, BinaryOutput::Bits(..))))
        .collect();
    assert_eq!(layers.len(), 8, "{layers:?}");
    assert!(layers[..7].iter().all(|(_, is_bits)| *is_bits), "{layers:?}");
    assert_eq!(binary.float_layers.len(), 1, "the first one, on pixels");
    let input = random_tensor(1, "x", vec![2, 3, 32, 32], 0.0, 1.0);
    let expected = Reference::new(&graph).run(std::slice::from_ref(&input)).expect("it runs");
    let found = BinaryReference::new(&binary).run(&[input]).expect("it runs");
    assert_eq!(found, expected);
}
