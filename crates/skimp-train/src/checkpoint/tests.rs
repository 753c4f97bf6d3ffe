use skimp_graph::networks::{self, Weights};

use super::*;
use crate::optimizer::OptimizerConfig;
use crate::{ModelOptions, policy};

struct Run {
    model: Model,
    optimizer: Optimizer,
    policy: Box<dyn Policy>,
}

fn run(network: &str, rule: &str, seed: u64) -> Run {
    let graph = networks::build(network, Weights::Seeded(seed)).unwrap();
    let model = Model::new(&graph, &ModelOptions { batch: 2, ..ModelOptions::default() }).unwrap();
    let config = OptimizerConfig { rule: rule.to_owned(), ..OptimizerConfig::default() };
    let optimizer = Optimizer::new(&config, model.params()).unwrap();
    Run { model, optimizer, policy: policy::create("fp32").unwrap() }
}

impl Run {
    fn parts(&mut self) -> Parts<'_> {
        Parts { model: &mut self.model, optimizer: &mut self.optimizer, policy: &mut *self.policy }
    }

    fn save(&mut self, folder: &Path, step: u64) -> Result<PathBuf, TrainError> {
        save(folder, &self.parts(), &RunState { step, ..RunState::default() }, &toml::Table::new())
    }

    fn restore(&mut self, folder: &Path) -> Result<RunState, TrainError> {
        Checkpoint::load(folder).unwrap().unwrap().restore(&mut self.parts())
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn everything_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("made");
    let mut written = run("sample-resnet", "adam", 1);
    for param in written.model.params_mut() {
        param.grad_mut().fill(0.25);
    }
    written.optimizer.step(written.model.params_mut(), 0.1, &mut *written.policy);
    written.model.buffers_mut()[1].values.fill(0.5);
    let state = RunState { step: 7, n_updates: 1, ..RunState::default() };
    let config: toml::Table = toml::from_str("seed = 3\n[inputs]\nsha256 = \"00\"").unwrap();
    save(&folder, &written.parts(), &state, &config).unwrap();
    assert_eq!(names(&folder), ["checkpoint.toml", "step-00000007.safetensors"]);

    let mut read = run("sample-resnet", "adam", 2);
    assert_ne!(read.model.params()[0].values(), written.model.params()[0].values());
    let checkpoint = Checkpoint::load(&folder).unwrap().unwrap();
    assert_eq!((checkpoint.state(), checkpoint.config()), (&state, &config));
    checkpoint.restore(&mut read.parts()).unwrap();
    assert_eq!(read.model.params().len(), written.model.params().len());
    for (read, written) in read.model.params().iter().zip(written.model.params()) {
        assert_eq!(read.values(), written.values(), "{}", read.name());
    }
    assert_eq!(read.model.buffers(), written.model.buffers());
    assert_eq!(read.optimizer.state(read.model.params())[3].2, written.optimizer.state(written.model.params())[3].2);
    assert_eq!(read.optimizer.n_updates(), 1);
    // Equal runs write equal bytes.
    let again = folder.join("again");
    read.save(&again, 7).unwrap();
    let bytes = |folder: &Path| std::fs::read(folder.join("step-00000007.safetensors")).unwrap();
    assert_eq!(bytes(&folder), bytes(&again));
}

#[test]
fn only_the_last_checkpoint_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run("lenet-5", "sgd", 1);
    assert!(Checkpoint::load(folder.path()).unwrap().is_none());
    for step in [1, 2, 2, 30] {
        run.save(folder.path(), step).unwrap();
    }
    assert_eq!(names(folder.path()), ["checkpoint.toml", "step-00000030.safetensors"]);
}

/// The second file cannot be written: the first is taken back and the checkpoint before stands.
#[test]
fn a_failed_write_keeps_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = run("lenet-5", "sgd", 1);
    run.save(folder.path(), 1).unwrap();
    let good = std::fs::read(folder.path().join(CHECKPOINT_FILE)).unwrap();
    // A folder in the file's place cannot be replaced, for root either.
    std::fs::remove_file(folder.path().join(CHECKPOINT_FILE)).unwrap();
    std::fs::create_dir(folder.path().join(CHECKPOINT_FILE)).unwrap();
    let error = run.save(folder.path(), 2).unwrap_err().to_string();
    assert!(error.contains("checkpoint.toml"), "{error}");
    assert_eq!(names(folder.path()), ["checkpoint.toml", "step-00000001.safetensors"]);
    std::fs::remove_dir(folder.path().join(CHECKPOINT_FILE)).unwrap();
    std::fs::write(folder.path().join(CHECKPOINT_FILE), good).unwrap();
    assert_eq!(run.restore(folder.path()).unwrap().step, 1);
}

#[test]
fn checkpoints_of_others_name_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    run("lenet-5", "sgd", 1).save(folder.path(), 1).unwrap();
    let error = |network, rule| run(network, rule, 1).restore(folder.path()).unwrap_err().to_string();
    let shape = error("lenet-5:classes=7", "sgd");
    assert!(shape.ends_with("tensor \"param/fc2.weight\": expected F32 [7, 500], found F32 [10, 500]"), "{shape}");
    let missing = error("sample-resnet", "sgd");
    assert!(missing.contains("step-00000001.safetensors: tensor \"param/"), "{missing}");
    assert!(error("lenet-5", "adam").contains("tensor \"optimizer/mean/conv1.weight\": missing"));
    let superfluous = error("lenet-5", "sgd:momentum=0");
    assert!(superfluous.contains("tensor \"optimizer/momentum/"), "{superfluous}");
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    run("lenet-5", "sgd:momentum=0", 1).save(folder.path(), 1).unwrap();
    let (toml_path, path) = (folder.path().join(CHECKPOINT_FILE), folder.path().join("step-00000001.safetensors"));
    let good = std::fs::read(&path).unwrap();
    let error = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        Checkpoint::load(folder.path()).unwrap_err().to_string()
    };
    // The file is in the order of names: the last one is fc2.weight, of 20,000 bytes.
    let truncated = error(&good[..good.len() - 1]);
    assert!(truncated.contains("file is truncated in tensor \"param/fc2.weight\""), "{truncated}");
    let truncated = error(&good[..good.len() - 20_001]);
    assert!(truncated.contains("file is truncated in tensor \"param/fc2.bias\""), "{truncated}");
    assert!(error(&good[..3]).contains("file is truncated: 3 bytes"));
    assert!(error(&[]).contains("file is truncated"));
    assert!(error(&[good.as_slice(), &[0]].concat()).contains("goes on after its last tensor \"param/fc2.weight\""));
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    assert!(error(&flipped).contains("content has changed: expected SHA-256 "));
    std::fs::remove_file(&path).unwrap();
    assert!(Checkpoint::load(folder.path()).unwrap_err().to_string().contains("step-00000001.safetensors"));

    std::fs::write(&path, &good).unwrap();
    let text = std::fs::read_to_string(&toml_path).unwrap();
    let error = |text: &str| {
        std::fs::write(&toml_path, text).unwrap();
        Checkpoint::load(folder.path()).unwrap_err().to_string()
    };
    assert!(error(&text.replace("checkpoint/2", "checkpoint/9")).contains("schema: expected skimp.checkpoint/2"));
    assert!(error(&text[..text.len() / 2]).contains("checkpoint.toml: "));
    // Any number, changed by hand or by the disk; a line that is gone or one too many; another digest.
    let body = unseal(&text).unwrap();
    for (position, byte) in body.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()) {
        let mut changed = body.as_bytes().to_vec();
        changed[position] = if byte == b'9' { b'8' } else { byte + 1 };
        let changed = text.replace(body, std::str::from_utf8(&changed).unwrap());
        let found = error(&changed);
        assert!(found.contains("checkpoint.toml: ") && found.contains(": expected "), "{found}");
    }
    for changed in [text.replace("step = 1\n", ""), format!("{text}more = 1\n"), body.to_owned(), seal(body) + "\n"] {
        let found = error(&changed);
        assert!(found.contains("content has changed") || found.contains("digest of the others"), "{found}");
    }
    // Sealed again, what is wrong is still named.
    assert!(error(&seal(&body.replace("step-0", "../step-0"))).contains("expected a file beside it"));
    assert!(error(&seal(&body.replace("tensors_sha256", "digest"))).contains("unknown field `digest`"));
}
