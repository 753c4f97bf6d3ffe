use std::sync::atomic::{AtomicI64, Ordering};

use skimp_train::TrainError;
use skimp_train::policy::POLICIES;

use super::*;
use crate::monitor::Silent;

/// Asks to stop after that many steps.
struct StopAt(AtomicI64);

impl Monitor for StopAt {
    fn stage(&self, _name: &str, _n_steps: u64) {}
    fn advance(&self, _n: u64) {}
    fn note(&self, text: &str) {
        assert!(text.starts_with("going on from step "), "{text}");
    }
    fn interrupted(&self) -> bool {
        self.0.fetch_sub(1, Ordering::SeqCst) <= 0
    }
}

/// Nine steps, three of each epoch.
fn config(precision: &str, optimizer: &str) -> TrainConfig {
    TrainConfig {
        network: "conv4-fc2:channels=1,size=28,widths=2-2-4-4-8,batch-norm=true".to_owned(),
        data: "sample".to_owned(),
        images: Some(40),
        validation_images: Some(20),
        epochs: 3,
        batch_size: 16,
        schedule: "cosine".to_owned(),
        optimizer: optimizer.to_owned(),
        weight_decay: 1e-4,
        augment: vec!["crop:pad=2".to_owned()],
        precision: precision.to_owned(),
        seed: 3,
        ..TrainConfig::default()
    }
}

fn run(folder: &Path, logs: &[&str]) -> TrainRun {
    TrainRun {
        output: folder.join("net.onnx"),
        resume: true,
        logs: logs.iter().map(|&log| log.to_owned()).collect(),
        ..TrainRun::default()
    }
}

/// Stopped in the middle of the second and of the third epoch, and resumed by new objects each time, under every policy,
/// with intervals so short that its scales move: the same file to the byte.
#[test]
fn every_policy_is_resumed_to_the_bit() {
    let mut cases: Vec<(String, &str)> = Vec::new();
    for entry in POLICIES {
        let precision = match entry.name() {
            "fp16" => "fp16:interval=2,initial-scale=1e9,backoff=0.01",
            "dfxp" => "dfxp:interval=32,warm-up=48,round=stochastic",
            "flexpoint" => "flexpoint:history=2",
            "fp8-ocp" => "fp8-ocp:history=2",
            name => name,
        };
        cases.push((precision.to_owned(), "sgd"));
    }
    cases.push(("fp16:interval=2,initial-scale=1e9,backoff=0.01".to_owned(), "adam"));
    cases.push(("fp8-ibm".to_owned(), "adam"));
    for (precision, optimizer) in cases {
        let config = config(&precision, optimizer);
        let [whole, parts] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let expected = train(&config, &run(whole.path(), &[]), &Silent).unwrap();
        for (n_steps, stopped_at) in [(4, 4), (4, 8)] {
            let monitor = StopAt(AtomicI64::new(n_steps));
            let error = train(&config, &run(parts.path(), &[]), &monitor).unwrap_err();
            assert!(matches!(error, StudyError::Train(TrainError::Interrupted { .. })), "{precision}: {error}");
            let checkpoint = Checkpoint::load(&parts.path().join("net.train")).unwrap().unwrap();
            assert_eq!(checkpoint.state().step, stopped_at, "{precision}");
        }
        let found = train(&config, &run(parts.path(), &[]), &Silent).unwrap();
        let bytes = |folder: &Path| std::fs::read(folder.join("net.onnx")).unwrap();
        assert!(bytes(whole.path()) == bytes(parts.path()), "{precision} {optimizer}");
        assert_eq!(found.output.sha256, expected.output.sha256);
        let skipped = |record: &TrainRecord| -> Vec<_> {
            record.training.epochs.iter().map(|epoch| (epoch.skipped_steps, epoch.train_loss.to_bits())).collect()
        };
        assert_eq!(skipped(&found), skipped(&expected), "{precision} {optimizer}");
        assert_eq!(skipped(&found).iter().any(|epoch| epoch.0 > 0), precision.starts_with("fp16"), "{precision}");
    }
}

/// Cells that deviate are those of the step and the image, whoever goes on.
#[test]
fn noise_is_resumed_to_the_bit() {
    for noise in ["neurosim:lrs_spread=0.4,read_noise=0.05", "neurosim:synapse=xnor,draw=step,sense_offset=0.02"] {
        let config = TrainConfig {
            quantizer: Some("bnn".to_owned()),
            noise: Some(noise.to_owned()),
            learning_rate: 0.01,
            ..config("fp32", "adam")
        };
        let trained = |config: &TrainConfig| {
            let folder = tempfile::tempdir().unwrap();
            let sha256 = train(config, &run(folder.path(), &[]), &Silent).unwrap().output.sha256;
            (folder, sha256)
        };
        let (_, expected) = trained(&config);
        let parts = tempfile::tempdir().unwrap();
        train(&config, &run(parts.path(), &[]), &StopAt(AtomicI64::new(4))).unwrap_err();
        let other = TrainConfig { noise: Some("neurosim".to_owned()), ..config.clone() };
        let error = train(&other, &run(parts.path(), &[]), &Silent).unwrap_err().to_string();
        assert!(error.contains("noise"), "{error}");
        assert_eq!(train(&config, &run(parts.path(), &[]), &Silent).unwrap().output.sha256, expected, "{noise}");
        let (_, plain) = trained(&TrainConfig { noise: None, ..config.clone() });
        assert_ne!(plain, expected, "{noise}");
    }
}

#[test]
fn noise_needs_binary_weights() {
    let folder = tempfile::tempdir().unwrap();
    let text = |quantizer: Option<&str>, noise: &str| {
        let (quantizer, noise) = (quantizer.map(str::to_owned), Some(noise.to_owned()));
        let config = TrainConfig { quantizer, noise, ..config("fp32", "adam") };
        train(&config, &run(folder.path(), &[]), &Silent).unwrap_err().to_string()
    };
    assert!(text(None, "neurosim").contains("--quantizer bnn"), "{}", text(None, "neurosim"));
    let error = text(Some("int4"), "neurosim");
    assert!(error.contains("noise: expected") && error.contains("int4") && error.contains("±1"), "{error}");
    assert!(text(Some("bnn"), "neurosim:lrs_spread=3").contains("from 0 to 2"));
}

/// The report is there while the run goes on, and a report that cannot be written does not end it.
#[test]
fn the_report_follows_the_epochs() {
    let folder = tempfile::tempdir().unwrap();
    let config = config("fp32", "sgd");
    let inner = folder.path().join("net.train");
    let n_epochs = || {
        let text = std::fs::read_to_string(inner.join("results.json")).unwrap();
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(std::fs::read_to_string(inner.join("report.html")).unwrap().contains("id=\"training-accuracy\""));
        record["sections"]["training"]["epochs"].as_array().unwrap().len()
    };
    for expected in [1, 2] {
        let monitor = StopAt(AtomicI64::new(4));
        train(&config, &run(folder.path(), &["csv"]), &monitor).unwrap_err();
        assert_eq!(n_epochs(), expected);
    }
    std::fs::remove_file(inner.join("report.html")).unwrap();
    std::fs::create_dir(inner.join("report.html")).unwrap();
    let error = train(&config, &run(folder.path(), &["csv"]), &Silent).unwrap_err().to_string();
    assert!(error.contains("report.html: is a folder"), "{error}");
    // Everything that matters was written before.
    assert!(folder.path().join("net.onnx").exists());
    std::fs::remove_dir(inner.join("report.html")).unwrap();
    train(&config, &run(folder.path(), &["csv"]), &Silent).unwrap();
    assert_eq!(n_epochs(), 3);
}

#[test]
fn a_missing_folder_is_named_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("embed").join("net.onnx");
    let run = TrainRun { output: output.clone(), ..TrainRun::default() };
    // The network does not exist: nothing is opened before the output is checked.
    let config = TrainConfig { network: "no such network".to_owned(), ..config("fp32", "sgd") };
    let error = train(&config, &run, &Silent).unwrap_err().to_string();
    let name = folder.path().join("embed");
    let expected =
        format!("{}: there is no folder \"{}\"; make it first, or write elsewhere", output.display(), name.display());
    assert_eq!(error, expected);
    assert!(!name.exists());
}

/// A network of two outputs: the one with the classes is trained, or the one that is asked for, and the checkpoint says
/// which.
#[test]
fn the_output_with_the_answers_is_trained() {
    use skimp_graph::testing::random_tensor;
    use skimp_graph::{DType, Dim, GraphBuilder, Op};

    struct Notes(std::sync::Mutex<Vec<String>>);
    impl Monitor for Notes {
        fn stage(&self, _name: &str, _n_steps: u64) {}
        fn advance(&self, _n: u64) {}
        fn note(&self, text: &str) {
            self.0.lock().unwrap().push(text.to_owned());
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let mut builder = GraphBuilder::new("two");
    let dims = [Dim::Free("N".into()), Dim::Fixed(1), Dim::Fixed(28), Dim::Fixed(28)];
    let mut x = builder.input("x", DType::F32, dims.to_vec());
    x = builder.node("flat", Op::Flatten(skimp_graph::ops::Flatten { axis: 1 }), &[x]);
    let mut names = Vec::new();
    for (name, shape) in [("features", [784, 12]), ("logits", [12, 10])] {
        let weight = builder.constant(format!("{name}.weight"), random_tensor(1, name, shape.to_vec(), 0.0, 0.05));
        x = builder.node(name, Op::MatMul, &[x, weight]);
        builder.output(x);
    }
    let graph = builder.build().unwrap();
    names.extend(graph.outputs().iter().map(|&id| graph.value(id).name.clone()));
    let model = folder.path().join("two.onnx");
    std::fs::write(&model, onnx::export_bytes(&graph).unwrap()).unwrap();

    let trained = |output: &str, output_name: Option<&str>| {
        let network = model.display().to_string();
        let config = TrainConfig { network, output_name: output_name.map(str::to_owned), ..config("fp32", "sgd") };
        let run = TrainRun { output: folder.path().join(output), ..TrainRun::default() };
        let notes = Notes(std::sync::Mutex::default());
        train(&config, &run, &notes).map(|record| (record.config.output_name, notes.0.into_inner().unwrap()))
    };
    let (chosen, notes) = trained("a.onnx", None).unwrap();
    assert_eq!(chosen.as_ref(), Some(&names[1]));
    assert!(notes.iter().any(|note| note.contains(&names[1]) && note.contains("--output-name")), "{notes:?}");
    let (chosen, notes) = trained("b.onnx", Some(&names[0])).unwrap();
    assert_eq!(chosen.as_ref(), Some(&names[0]));
    assert!(notes.iter().all(|note| !note.contains("--output-name")), "{notes:?}");
    let bytes = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(bytes("a.onnx") != bytes("b.onnx"));
    let error = trained("c.onnx", Some("nothing")).unwrap_err().to_string();
    assert_eq!(error, format!("the network has no output \"nothing\" (there are: {})", names.join(", ")));
}
