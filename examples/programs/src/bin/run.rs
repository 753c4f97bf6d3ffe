//! A network on images: outputs as arrays, and what they mean.
//!
//!     cargo run -p skimp-examples --bin run

use skimp::{DataConfig, Engine, Network};

fn main() -> anyhow::Result<()> {
    let network = Network::open("sample-resnet")?;
    // The embedded test images, preprocessed as the network names it. Any tensor of the right shape would do.
    let images = network.images(&DataConfig { set: "sample".into(), ..DataConfig::default() })?;
    let (inputs, labels) = images.tensors(0..4)?;

    // The fast engine, prepared once for any number of runs, and the naive interpreter that specifies what it computes.
    let compiled = network.compile(Engine::Cpu, skimp::Order::Free)?;
    let outputs = compiled.run(std::slice::from_ref(&inputs))?;
    let reference = network.run(Engine::Reference, std::slice::from_ref(&inputs))?;
    println!("output \"{}\" of shape {:?}", compiled.output_names()[0], outputs[0].shape());

    let logits = outputs[0].as_f32().unwrap_or_default();
    let expected = reference[0].as_f32().unwrap_or_default();
    let furthest = logits.iter().zip(expected).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    println!("the engines differ by {furthest:.1e} at most");

    let names = images.dataset().format().class_names();
    let n_classes = logits.len() / labels.len();
    for (row, &label) in logits.chunks(n_classes).zip(&labels) {
        let mut classes: Vec<usize> = (0..n_classes).collect();
        classes.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
        let guesses: Vec<String> = classes[..3].iter().map(|&c| format!("{} {:.1}", names[c], row[c])).collect();
        println!("{:<12} -> {}", names[label], guesses.join(", "));
    }
    Ok(())
}
