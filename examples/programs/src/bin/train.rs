//! Training with losses of one's own: a small student learns from the labels and from a teacher's answers.
//!
//!     cargo run -p skimp-examples --bin train

use skimp::training::{LossKind, LossSum, LossTerm, Target, Teacher};
use skimp::{DataConfig, Network, Silent, Split, TrainConfig};

fn main() -> anyhow::Result<()> {
    let teacher = Network::open("sample-resnet")?;
    // The same architecture with initial weights.
    let student = Network::open_for_training("sample-resnet", 7)?;
    let of_split = |split| DataConfig { set: "sample".into(), split, ..DataConfig::default() };
    let training = student.images(&of_split(Split::Train))?;
    let test = student.images(&of_split(Split::Test))?;
    let config = TrainConfig {
        epochs: 2,
        images: Some(512),
        validation_images: Some(200),
        batch_size: 16,
        learning_rate: 0.05,
        schedule: "cosine".into(),
        ..TrainConfig::default()
    };

    // Any sum of losses at any tensor: here two at the logits.
    let term = |kind, factor, target| LossTerm { kind, tensor: None, factor, target };
    let distilled = LossSum {
        terms: vec![
            term(LossKind::Distillation { temperature: 2.0 }, 0.7, Target::Tensor("teacher".into())),
            term(LossKind::CrossEntropy { label_smoothing: 0.1 }, 0.3, Target::Labels),
        ],
    };
    let answers = Teacher::new(&teacher.graph, &[("teacher", None)])?;

    let plain = student.training(&training, &config).validated_on(&test).run(&Silent)?;
    let taught = student.training(&training, &config).validated_on(&test).losses(distilled).targets(answers);
    let taught = taught.run(&Silent)?;
    for (name, trained) in [("labels alone", &plain), ("with a teacher", &taught)] {
        for epoch in trained.history() {
            let accuracy = 100.0 * epoch.validation_accuracy.unwrap_or_default();
            println!("{name}, epoch {}: loss {:.3}, {accuracy:.1} % right", epoch.epoch, epoch.train_loss);
        }
    }
    // The trained network is one like any other: it can be run, quantized, traced, or written.
    println!("{} parameters' digest: {}", taught.network().name, &taught.network().sha256[..16]);
    Ok(())
}
