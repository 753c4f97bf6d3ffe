//! Random networks against the reference operators.

use skimp_graph::Graph;
use skimp_graph::testing::{random_cnn, random_tensor};
use skimp_train::reference::loss;
use skimp_train::{LossKind, LossSum, Model, ModelOptions, Target, Targets, policy};

use crate::model::{STEP, distance, images, logits_name};
use crate::oracle;

const BATCH: usize = 3;

fn check(graph: &Graph) -> Result<(), String> {
    let options = ModelOptions { batch: BATCH, ..ModelOptions::default() };
    let mut model = Model::new(graph, &options).map_err(|error| error.to_string())?;
    let images = images(graph, BATCH);
    let logits = logits_name(graph);
    let target = |n: usize| random_tensor(1, "target", vec![n], 0.0, 1.0).into_f32().expect("f32");
    let trace = oracle::train(graph, &images, BATCH, &|name, value| {
        let target: Vec<f64> = target(value.data.len()).into_iter().map(f64::from).collect();
        (name == logits).then(|| loss::mean_squared(&value.data, &target).gradient)
    });
    let mut policy = policy::create("fp32").expect("registered");
    model.forward(&images, BATCH, STEP, policy.as_mut()).map_err(|error| error.to_string())?;
    let expected = &trace.values[&logits];
    // Reordered f32 sums, through up to a dozen layers; small batches make small deviations, which magnify.
    let off = distance(model.logits(), &channels_last(&expected.shape, &expected.data));
    if off > 1e-4 {
        return Err(format!("the logits are off by {off}"));
    }
    let target = target(expected.data.len());
    let losses = LossSum::one(LossKind::MeanSquared, Target::Tensor("t".into()));
    let targets = Targets { labels: &[], tensors: &[("t", &target)] };
    model.backward(&losses, &targets, policy.as_mut()).map_err(|error| error.to_string())?;
    for param in model.params() {
        let zeros = vec![0.0; param.len()];
        let off = distance(&param.graph_grad(), trace.gradients.get(param.name()).unwrap_or(&zeros));
        if off > 1e-3 {
            return Err(format!("the gradient of {} is off by {off}", param.name()));
        }
    }
    Ok(())
}

fn channels_last(shape: &[usize], data: &[f64]) -> Vec<f64> {
    let channels = shape.get(1).copied().unwrap_or(1);
    let pixels: usize = shape.iter().skip(2).product();
    let index = |i: usize| i / (channels * pixels) * channels * pixels + i % channels * pixels + i / channels % pixels;
    (0..data.len()).map(|i| data[index(i)]).collect()
}

#[test]
fn random_networks_equal_the_reference() {
    let failures: Vec<String> = (0..60)
        .filter_map(|seed| check(&random_cnn(seed).0).err().map(|error| format!("seed {seed}: {error}")))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
