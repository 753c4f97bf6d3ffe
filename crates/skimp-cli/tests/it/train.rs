//! `skimp train`: a run from start to end, killed, resumed, out of disk space, or asked for what cannot be.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{fails, json, ok, skimp, text};

/// A short run on the sample: 12 epochs of 8 steps.
const SHORT: [&str; 17] = [
    "train",
    "sample-resnet",
    "--data",
    "sample",
    "--images",
    "64",
    "--batch-size",
    "8",
    "--epochs",
    "12",
    "--lr",
    "0.02",
    "--validation-images",
    "32",
    "--augment",
    "flip",
    "-q",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = SHORT.to_vec();
    arguments.extend(more);
    arguments
}

/// The step of a folder's checkpoint; 0 without one.
fn checkpoint_step(folder: &Path) -> u64 {
    let text = std::fs::read_to_string(folder.join("checkpoint.toml")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("step = ")).map_or(0, |step| step.parse().expect("a number"))
}

#[test]
fn a_network_carries_its_preprocessing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (net, tuned, codes) = (path("net.onnx"), path("tuned.onnx"), path("codes.onnx"));
    let train = |network: &str, more: &[&str]| {
        let common =
            ["train", network, "--data", "sample", "--images", "16", "--batch-size", "8", "--epochs", "1", "-q"];
        json(&[&common[..], &["--validation-images", "40", "--log", "none"], more].concat())
    };
    let eval = |network: &str, more: &[&str]| {
        json(&[&["eval", network, "--data", "sample", "--limit", "40"][..], more].concat())
    };
    let odd = "mean=0.1,std=0.9";
    let trained = train("sample-resnet", &["--preprocess", odd, "-o", &net]);
    // What evaluation, further training and quantization take without being told, and what they can be told.
    let evaluated = eval(&net, &[]);
    assert_eq!((&evaluated["data"]["preprocess"], &evaluated["top1"]), (&odd.into(), &trained["top1"]));
    assert_eq!(eval(&net, &["--preprocess", "sample"])["data"]["preprocess"], "sample");
    assert_eq!(train(&net, &["-o", &tuned])["data"]["preprocess"], odd);
    ok(&["quantize", &net, "--data", "sample", "--calibration-images", "4", "-q", "-o", &codes]);
    assert_eq!(eval(&codes, &[])["data"]["preprocess"], odd);
    // A file that says nonsense is named; the flag helps.
    let bytes = std::fs::read(&net).unwrap();
    let at = bytes.windows(odd.len()).position(|part| part == odd.as_bytes()).unwrap();
    let mut broken = bytes.clone();
    broken[at..at + odd.len()].copy_from_slice(b"mean=0.1,sdt=0.9");
    std::fs::write(&net, broken).unwrap();
    fails(&["eval", &net, "--data", "sample"], 2, "network \"sample-resnet\": metadata skimp.preprocess: ");
    assert_eq!(eval(&net, &["--preprocess", odd])["top1"], trained["top1"]);
}

#[test]
fn a_trained_network_is_a_plain_one_with_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("net.onnx");
    let record = json(&with(&["--schedule", "cosine:warmup=1", "--nesterov", "-o", text(&output)]));
    assert_eq!(record["schema"], "skimp.train/1");
    assert_eq!(record["config"]["optimizer"], "sgd:nesterov=true");
    assert_eq!(record["training"]["n_parameters"], 79_482);
    let epochs = record["training"]["epochs"].as_array().unwrap();
    assert_eq!((epochs.len(), &epochs[11]["step"]), (12, &96.into()));
    let loss = |epoch: usize| epochs[epoch]["train_loss"].as_f64().unwrap();
    assert!(loss(11) < 0.7 * loss(0), "{epochs:?}");

    // The executor agrees with the training engine about the network that was written.
    let evaluated = json(&["eval", text(&output), "--data", "sample", "--limit", "32"]);
    assert_eq!(evaluated["top1"], record["top1"]);
    assert_eq!(evaluated["model"]["sha256"], record["output"]["sha256"]);

    let run = folder.path().join("net.train");
    let mut names: Vec<_> =
        std::fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let log = std::fs::read_to_string(run.join("log.csv")).unwrap();
    assert_eq!(log.lines().count(), 13, "{log}");
    assert!(names[1].starts_with("events.out.tfevents."), "{names:?}");
    let page = ok(&["report", text(&run)]);
    assert!(page.contains("id=\"training-accuracy\"") && page.contains("network_sha256"));
    assert_eq!(checkpoint_step(&run), 96);

    // Finished is finished: nothing is trained again, and the network is the same.
    let again = folder.path().join("again.onnx");
    let resumed = json(&with(&[
        "--schedule",
        "cosine:warmup=1",
        "--nesterov",
        "--resume",
        "--folder",
        text(&run),
        "-o",
        text(&again),
    ]));
    assert_eq!(resumed["output"]["sha256"], record["output"]["sha256"]);
}

#[test]
fn threads_do_not_change_a_bit() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = ["1", "2", "3"].map(|threads| {
        let output = folder.path().join(format!("{threads}.onnx"));
        ok(&with(&["--threads", threads, "-o", text(&output)]));
        std::fs::read(output).unwrap()
    });
    assert!(outputs[0] == outputs[1] && outputs[1] == outputs[2]);
}

/// Kills the process (SIGKILL) again and again, in the middle of epochs too, and resumes it each time.
#[test]
fn a_killed_run_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let stateful = ["--precision", "fp16:interval=5,initial-scale=1e9", "--optimizer", "adam"];
    let mut n_mid_epoch = 0;
    for (more, n_kills) in [(&[][..], 4), (&stateful, 2)] {
        let [whole, killed] = ["whole", "killed"].map(|name| folder.path().join(format!("{name}{n_kills}.onnx")));
        ok(&[with(&["-o", text(&whole)]), more.to_vec()].concat());
        let run = killed.with_extension("train");
        let resume = [with(&["--checkpoint-every", "3", "--resume", "-o", text(&killed)]), more.to_vec()].concat();
        for _ in 0..n_kills {
            let before = checkpoint_step(&run);
            let mut child = Command::new(env!("CARGO_BIN_EXE_skimp"))
                .args(&resume)
                .stdout(Stdio::null())
                .spawn()
                .expect("the binary runs");
            while checkpoint_step(&run) < before + 9 && child.try_wait().unwrap().is_none() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(!killed.exists(), "killed at step {}", checkpoint_step(&run));
            n_mid_epoch += u32::from(!checkpoint_step(&run).is_multiple_of(8));
        }
        ok(&resume);
        assert!(std::fs::read(&whole).unwrap() == std::fs::read(&killed).unwrap(), "{more:?}");
        let log = std::fs::read_to_string(run.join("log.csv")).unwrap();
        assert_eq!(log.lines().count(), 13, "{log}");
    }
    assert!(n_mid_epoch > 0);
}

/// A limit on the size of files stands for a full disk: writing fails in the middle of the tensor file.
#[cfg(unix)]
#[test]
fn a_full_disk_keeps_the_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, full) = (folder.path().join("whole.onnx"), folder.path().join("full.onnx"));
    let arguments = |epochs, output| {
        let mut arguments = SHORT.to_vec();
        arguments[9] = epochs;
        arguments.extend(["--resume", "-o", output]);
        arguments
    };
    ok(&arguments("2", text(&whole)));
    ok(&arguments("1", text(&full)));
    let run = folder.path().join("full.train");
    let good = std::fs::read(run.join("checkpoint.toml")).unwrap();
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_skimp")])
        .args(arguments("2", text(&full)))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("step-00000016.safetensors: File too large"), "{stderr}");
    assert_eq!(std::fs::read(run.join("checkpoint.toml")).unwrap(), good);
    assert_eq!(checkpoint_step(&run), 8);
    ok(&arguments("2", text(&full)));
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&full).unwrap());
}

#[test]
fn wrong_settings_exit_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("net.onnx");
    let fails = |more: &[&str], message: &str| {
        let mut arguments = vec!["train", "lenet-5", "--data", "sample", "-o", text(&output)];
        arguments.extend(more);
        fails(&arguments, 2, message);
    };
    fails(&["--precision", "fp31"], "unknown policy \"fp31\"");
    fails(&["--optimizer", "sdgm"], "unknown optimizer \"sdgm\", did you mean \"sgd\"?");
    fails(&["--optimizer", "adam", "--momentum", "0.9"], "optimizer \"adam\": unknown setting \"momentum\"");
    fails(&["--schedule", "cosin"], "unknown schedule \"cosin\", did you mean \"cosine\"?");
    fails(&["--schedule", "step:at=9/3"], "rising epochs");
    fails(&["--augment", "flap"], "unknown augmentation \"flap\", did you mean \"flip\"?");
    fails(&["--loss", "cross-entrpy"], "unknown loss \"cross-entrpy\", did you mean \"cross-entropy\"?");
    fails(&["--log", "cvs"], "unknown log format \"cvs\"");
    fails(&["--no-decay", "biases"], "expected one of: weight, bias");
    fails(&["--batch-size", "0"], "0 images of a batch, expected at least 1");
    fails(&["--epochs", "0"], "epochs: expected at least 1, found 0");
    fails(&["--lr=-1"], "learning rate: expected a number above 0");
    fails(&["--weight-decay", "nan"], "weight decay: expected a number from 0");
    fails(&["--validation", "0"], "expected test, none, or a number");
    fails(&["--validation", "4000"], "expected fewer than the 4000 training images");
    fails(&["--images", "0"], "0 training images, expected at least 1");
    fails(&["--freeze", "conv9*"], "no parameter is called \"conv9*\"");
    fails(&["--checkpoint-every", "0"], "steps between checkpoints: expected at least 1");
    assert!(!output.exists());
    crate::fails(&["train", "lenet-5", "--data", "sample"], 2, "--output MODEL.onnx");
    crate::fails(&["train", "lenet-6", "--data", "sample", "-o", text(&output)], 2, "lenet-6: no such file");
}

#[test]
fn data_that_do_not_fit_exit_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, shape: &[usize]| {
        let n_values: usize = shape.iter().product();
        // Labels are 7; images differ from each other, so that none is trained and validated on.
        let value = |idx: usize| if shape.len() == 1 { 7 } else { (idx * shape[0] / n_values) as u8 };
        skimp::data::npy::write(path(name), shape, &(0..n_values).map(value).collect::<Vec<u8>>()).unwrap();
    };
    write("gray.npy", &[4, 1, 28, 28]);
    write("color.npy", &[4, 3, 28, 28]);
    write("labels.npy", &[4]);
    write("few.npy", &[3]);
    let fails = |network: &str, images: &str, labels: &str, message: &str| {
        let data = format!("npy:{},{}", text(&path(images)), text(&path(labels)));
        fails(&["train", network, "--data", &data, "-o", text(&path("net.onnx"))], 1, message);
    };
    fails("lenet-5:classes=7", "gray.npy", "labels.npy", "labels up to 7, of 8 classes, but the network tells 7 apart");
    fails("lenet-5", "gray.npy", "few.npy", "holds 4 images, but");
    fails("lenet-5", "color.npy", "labels.npy", "3 channels, but the network takes 1");
    assert!(!path("net.onnx").exists());
}

#[test]
fn checkpoints_of_other_runs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (output, run) = (folder.path().join("net.onnx"), folder.path().join("net.train"));
    let train = |network: &'static str, more: &[&'static str]| {
        let mut arguments = vec!["train", network, "--data", "sample", "--images", "16", "--epochs", "1"];
        arguments.extend(["--validation", "none", "--log", "none", "-o", text(&output)]);
        arguments.extend(more);
        arguments.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let fails = |network, more: &[&'static str], code, message: &str| {
        let arguments = train(network, more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        fails(&arguments, code, message);
    };
    let arguments = train("lenet-5", &["--resume"]);
    ok(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    fails("lenet-5", &[], 2, "use --resume to go on");
    fails(
        "lenet-300-100",
        &["--resume"],
        1,
        "tensor \"param/fc1.weight\": expected F32 [300, 784], found F32 [500, 800]",
    );
    fails("lenet-5", &["--resume", "--seed", "1"], 1, "it is of a run with inputs.network_sha256 = ");
    fails("lenet-5", &["--resume", "--lr", "0.5"], 1, "it is of a run with learning_rate = 0.01, this run has 0.5");
    let tensors = run.join("step-00000001.safetensors");
    let bytes = std::fs::read(&tensors).unwrap();
    std::fs::write(&tensors, &bytes[..bytes.len() - 10]).unwrap();
    fails("lenet-5", &["--resume"], 1, "file is truncated in tensor \"param/fc2.weight\"");
}

/// The first Ctrl-C ends the run between two steps, with a checkpoint.
#[cfg(unix)]
#[test]
fn an_interrupt_writes_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("net.onnx");
    let run = folder.path().join("net.train");
    let child = Command::new(env!("CARGO_BIN_EXE_skimp"))
        .args(with(&["-o", text(&output)]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while checkpoint_step(&run) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let signaled = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signaled.success());
    let ended = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("interrupted in epoch") && stderr.contains("checkpoint.toml"), "{stderr}");
    let whole = folder.path().join("whole.onnx");
    ok(&with(&["-o", text(&whole)]));
    ok(&with(&["--resume", "-o", text(&output)]));
    assert!(std::fs::read(&whole).unwrap() == std::fs::read(&output).unwrap());
    assert!(skimp(&["inspect", text(&output)]).status.success());
}
