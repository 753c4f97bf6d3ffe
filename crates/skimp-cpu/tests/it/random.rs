use skimp_cpu::CpuExecutor;
use skimp_graph::testing::{random_cnn, random_relu_cnn};
use skimp_graph::{Executor, Tensor};

use super::{bits, check, image};

#[test]
fn random_networks_agree_with_the_reference() {
    let wrong: Vec<String> = (0..400)
        .flat_map(|seed| {
            let (graph, inputs) = if seed % 2 == 0 { random_cnn(seed) } else { random_relu_cnn(seed) };
            check(&graph, &inputs)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_image_does_not_depend_on_its_batch() {
    let mut wrong = Vec::new();
    for seed in 0..150 {
        let (graph, inputs) = random_cnn(seed);
        let executor = CpuExecutor::new(&graph).expect("constants evaluate");
        let whole = executor.run(&inputs).expect("runs");
        for idx in 0..inputs[0].shape()[0] {
            let alone = executor.run(&[image(&inputs[0], idx)]).expect("runs");
            let part: Vec<Tensor> = whole.iter().map(|output| image(output, idx)).collect();
            if bits(&alone) != bits(&part) {
                wrong.push(format!("seed {seed}, image {idx}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
