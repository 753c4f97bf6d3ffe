//! Wrong input gives a clear error, the right exit code, and leaves nothing behind.

use std::path::Path;

use crate::{fails, ok, skimp, text};

#[test]
fn wrong_usage_exits_with_2() {
    fails(&["inspect"], 2, "MODEL");
    fails(&["inspect", "no-such-file.onnx"], 2, "no-such-file.onnx: no such file");
    fails(&["inspect", "resnet21"], 2, "resnet20, resnet32");
    fails(&["inspect", "resnet20:depth=3"], 2, "no setting \"depth\", expected one of: classes, channels, size");
    fails(&["eval", "sample-resnet", "--data", "cifar11:x"], 2, "cifar10");
    fails(&["eval", "sample-resnet", "--data", "cifar10"], 2, "cifar10:");
    fails(&["eval", "sample-resnet", "--data", "sample", "--preprocess", "imagnet"], 2, "imagenet");
    fails(&["eval", "sample-resnet", "--data", "sample", "--limit", "0"], 2, "at least 1");
    fails(
        &["eval", "sample-resnet", "--data", "sample", "--engine", "gpu"],
        2,
        "[possible values: reference, cpu, integer, binary]",
    );
    fails(
        &["eval", "sample-resnet", "--data", "sample", "--engine", "integer", "--weight-bits", "17"],
        2,
        "expected 2 to 16",
    );
    fails(&["eval", "sample-resnet", "--data", "sample", "--threads", "0"], 2, "--threads 0");
    fails(&["eval", "sample-resnet", "--data", "sample", "--input-size", "32"], 2, "--input-size 32");
    let simulate = ["simulate", "sample-resnet", "--data", "sample", "--accelerator"];
    let with = |extra: &[&str], message: &str| fails(&[&simulate[..], extra].concat(), 2, message);
    with(&["compond"], "compend");
    with(&["compend", "--set", "compend.ent=false"], "end");
    with(&["compend", "--set", "compend.end=maybe"], "maybe");
    with(&["compend", "--set", "dadiannao.tiles=2"], "dadiannao is not among --accelerator");
    with(&["compend", "--set", "nonsense"], "ACCELERATOR.KEY=VALUE");
    fails(&["study", "no-such-study"], 2, "no embedded study of that name");
    fails(&["study", "vgg16-imagenet"], 2, "--network");
    fails(&["list", "accelerator"], 2, "accelerators");
    let quantize = ["quantize", "sample-resnet", "--data", "sample"];
    fails(&quantize, 2, "--output");
    let with =
        |extra: &[&str], message: &str| fails(&[&quantize[..], &["-o", "never.onnx"], extra].concat(), 2, message);
    with(&["--calibration", "least"], "min-max, percentile:P, mse or entropy");
    with(&["--activations", "4"], "expected 8");
    with(&["--weights", "9"], "expected 2 to 8");
    with(&["--requantization", "nearest"], "`float`, `gemmlowp`, `single`");
}

#[test]
fn damaged_networks_exit_with_1_and_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.onnx");
    ok(&["inspect", "sample-resnet", "--export", text(&good)]);
    let bytes = std::fs::read(&good).unwrap();
    for (name, bytes) in [
        ("empty.onnx", &bytes[..0]),
        ("truncated.onnx", &bytes[..bytes.len() / 2]),
        ("garbage.onnx", &b"this is no network at all, but some text that goes on"[..]),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        fails(&["inspect", text(&path)], 1, name);
    }
    fails(&["inspect", text(folder.path())], 1, text(folder.path()));
}

#[test]
fn damaged_data_exit_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let spec = |name: &str| format!("{name}:{}", text(folder.path()));
    fails(&["data", &spec("cifar10")], 1, "test_batch.bin");
    fails(&["data", &spec("imagenet")], 1, text(folder.path()));
    std::fs::write(folder.path().join("test_batch.bin"), vec![0; 3073 + 5]).unwrap();
    fails(&["eval", "sample-resnet", "--data", &spec("cifar10")], 1, "test_batch.bin");
    let mut records = vec![0; 3073];
    records[0] = 10;
    std::fs::write(folder.path().join("test_batch.bin"), records).unwrap();
    fails(&["eval", "sample-resnet", "--data", &spec("cifar10")], 1, "label 10 is out of range");
}

#[test]
fn outputs_that_cannot_be_written_are_named_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    std::fs::write(&occupied, b"a file").unwrap();
    let inside = occupied.join("out");
    fails(&["study", "-o", text(&inside)], 1, "occupied");
    fails(&["inspect", "sample-resnet", "-o", text(&inside)], 1, "occupied");
    let missing = folder.path().join("no-such-folder").join("x.json");
    fails(&["inspect", "sample-resnet", "-o", text(&missing)], 1, "no-such-folder");
    assert_eq!(left_in(folder.path()), ["occupied"]);
}

#[test]
fn an_input_tensor_that_does_not_fit_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("x.npy");
    skimp::data::npy::write(&input, &[1, 3, 28, 28], &[0_f32; 3 * 784]).unwrap();
    let output = folder.path().join("y.npy");
    fails(&["run", "sample-resnet", "--input", text(&input), "--output", text(&output)], 1, "expected");
    fails(&["run", "sample-resnet", "--input", text(&input)], 2, "--output");
    assert_eq!(left_in(folder.path()), ["x.npy"]);
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_run_and_leaves_no_half_written_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_skimp"))
        .args(["study", "sample", "--images", "1000", "--accuracy-images", "1000", "-o", text(&out)])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The folder appears when the run has begun.
    while !out.is_dir() {
        std::thread::yield_now();
    }
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("interrupted"), "{stderr}");
    assert!(left_in(&out).is_empty(), "{:?}", left_in(&out));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_skimp"))
        .args(["completions", "man"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert!(skimp(&["--version"]).status.success());
}

fn left_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is readable");
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The folder is named, not the temporary file that could not be made in it.
#[test]
fn a_missing_output_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("embed");
    let message = format!("there is no folder \"{}\"; make it first, or write elsewhere", text(&missing));
    let onnx = missing.join("net.onnx");
    // Long runs are not begun: these networks and data do not exist.
    let train = ["train", "no-such-network", "--data", "sample", "-o", text(&onnx)];
    let quantize = ["quantize", "no-such-network", "--data", "sample", "-o", text(&onnx)];
    let eval = ["eval", "no-such-network", "--data", "sample", "-o", text(&onnx)];
    let simulate = ["simulate", "no-such-network", "--accelerator", "compend", "--data", "sample", "-o", text(&onnx)];
    for arguments in [&train[..], &quantize, &eval, &simulate, &["list", "networks", "-o", text(&onnx)]] {
        fails(arguments, 1, &message);
        let stderr = String::from_utf8_lossy(&skimp(arguments).stderr).into_owned();
        assert!(!stderr.contains(".skimp-") && !stderr.contains("os error"), "{stderr}");
    }
    assert!(!missing.exists());
}
