//! Trained networks of other frameworks, where the data folder is at hand.

use skimp_graph::testing::random_tensor;
use skimp_graph::{Executor, Tensor, onnx, reference};
use skimp_train::{LossSum, Mode, Model, ModelOptions, Targets, policy};

use crate::model::{STEP, distance};

#[test]
fn imported_networks_train() {
    let Some(folder) = skimp_testkit::data("models") else { return };
    for name in ["cifar10_resnet8", "cifar10_resnet14_projection", "cifar10_cnv_w1a1_binary"] {
        let graph = onnx::import(&folder.join("models").join(format!("{name}.onnx"))).expect("imports");
        let mut model = Model::new(&graph, &ModelOptions { batch: 2, ..ModelOptions::default() }).expect("trains");
        let len = 2 * model.input_shape().iter().product::<usize>();
        let images = random_tensor(9, "images", vec![len], 0.0, 1.0).into_f32().expect("f32");
        let mut policy = policy::create("fp32").expect("registered");
        model.forward(&images, 2, Mode::Eval, policy.as_mut()).expect("fits");
        let shape = std::iter::once(2).chain(model.input_shape().iter().copied()).collect();
        let expected = reference::Reference::new(&model.to_graph().expect("well-formed"))
            .run(&[Tensor::from_f32(shape, images.clone())])
            .expect("runs");
        let expected: Vec<f64> = expected[0].as_f32().expect("f32").iter().map(|&x| f64::from(x)).collect();
        // Reordered f32 sums over thousands of terms per layer.
        let off = distance(model.logits(), &expected);
        assert!(off < 1e-4, "{name} is off by {off}");
        model.forward(&images, 2, STEP, policy.as_mut()).expect("fits");
        let targets = Targets { labels: &[0, 1], tensors: &[] };
        model.backward(&LossSum::cross_entropy(0.0), &targets, policy.as_mut()).expect("fits");
        let moved = model.params().iter().filter(|param| param.grad().iter().any(|g| g.abs() > 0.0)).count();
        assert!(moved * 2 > model.params().len(), "{name}: {moved} parameters have a gradient");
        assert_eq!(model.first_bad_layer(), None, "{name}");
    }
}
