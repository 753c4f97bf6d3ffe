use skimp_cpu::CpuExecutor;
use skimp_graph::testing::{ElementTypes, random_cnn, random_graph, random_relu_cnn};
use skimp_graph::{Executor, Tensor};

use super::{RELATIVE, bits, check, image, with_threads};

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

/// Graphs of every operator: where results are exact, engines give the same numbers; else they are close.
#[test]
fn random_graphs_agree_with_the_reference() {
    let mut wrong = Vec::new();
    for seed in 0..3000 {
        let random = random_graph(seed, if seed % 4 == 0 { ElementTypes::Any } else { ElementTypes::F32 });
        let executor = CpuExecutor::new(&random.graph).expect("constants evaluate");
        let outputs = with_threads(1 + seed as usize % 3, || executor.run(&random.inputs)).expect("runs");
        for (idx, (got, expected)) in outputs.iter().zip(&random.expected).enumerate() {
            let tolerance = if random.is_exact[idx] { 0.0 } else { RELATIVE * random.largest };
            let near = |(g, e): (&f32, &f32)| {
                g.to_bits() == e.to_bits() || (g - e).abs() <= tolerance || g.is_nan() && e.is_nan()
            };
            let alike = match (got.as_f32(), expected.as_f32()) {
                (Some(g), Some(e)) => got.shape() == expected.shape() && g.iter().zip(e).all(near),
                _ => !random.is_exact[idx] || got == expected,
            };
            if !alike {
                wrong.push(format!("seed {seed}, output {idx}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
