//! Nothing takes more memory than it may, whatever the input: an error that says what needs how much, never a crash.

use std::path::Path;
use std::process::{Command, Output};

use skimp::data::npy;
use skimp::graph::{AutoPad, DType, Dim, GraphBuilder, Op, Pad, PadMode, Tensor, Window, onnx, ops};

use crate::{fails, ok, text};

/// Runs `skimp` where the system gives out no more than `kilobytes` of address space: an allocation beyond it aborts.
#[cfg(target_os = "linux")]
fn confined(kilobytes: u64, args: &[&str]) -> Output {
    Command::new("sh")
        .args(["-c", &format!("ulimit -v {kilobytes}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_skimp")])
        .args(args)
        .output()
        .expect("the shell runs")
}

/// The command may succeed; if it does not, then as in [`refuses`].
#[cfg(target_os = "linux")]
fn survives(args: &[&str]) {
    let output = confined(1 << 20, &[args, &["--memory", "64MiB", "--threads", "1"]].concat());
    if !output.status.success() {
        refuses(args);
    }
}

/// The command must end with one clear error about memory, within 1 GiB of address space and a budget of 64 MiB.
#[cfg(target_os = "linux")]
fn refuses(args: &[&str]) {
    let output = confined(1 << 20, &[args, &["--memory", "64MiB", "--threads", "1"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(1 | 2)), "skimp {args:?}: {}\n{stderr}", output.status);
    assert!(!stderr.contains("panicked") && output.stdout.is_empty(), "skimp {args:?}: {stderr}");
    let known = ["the memory budget is 64.0 MiB", "at most", "extents are too large", "more than 16777216"];
    assert!(known.iter().any(|known| stderr.contains(known)), "skimp {args:?}: {stderr}");
}

fn window(kernel: usize, dilation: usize, pad: usize) -> Window {
    Window {
        kernel: vec![kernel; 2],
        strides: vec![1; 2],
        dilations: vec![dilation; 2],
        pads_begin: vec![pad; 2],
        pads_end: vec![pad; 2],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    }
}

/// Networks of a few bytes whose values are gigabytes, and one whose frame of padding would be.
fn hostile(folder: &Path) -> Vec<String> {
    let image = || [1, 1, 4, 4].map(Dim::Fixed).to_vec();
    let mut paths = Vec::new();
    let mut put = |name: &str, op: Op, weight: Option<Tensor>| {
        let mut builder = GraphBuilder::new(name);
        let x = builder.input("x", DType::F32, image());
        let mut inputs = vec![x];
        inputs.extend(weight.map(|weight| builder.constant("w", weight)));
        let y = builder.node(name, op, &inputs);
        let y = builder.node("relu", Op::Relu, &[y]);
        builder.output(y);
        let path = folder.join(format!("{name}.onnx"));
        onnx::export(&builder.build().expect("a valid graph"), &path).expect("a small file");
        paths.push(text(&path).to_owned());
    };
    let conv = |dilation, pad| Op::Conv(ops::Conv { window: window(2, dilation, pad), groups: 1 });
    let weight = || Some(Tensor::from_f32(vec![1, 1, 2, 2], vec![1.0; 4]));
    put("large_conv", conv(1, 50_000), weight());
    let pads = Pad { begin: vec![0, 0, 40_000, 40_000], end: vec![0; 4], mode: PadMode::Constant, value: 0.0 };
    put("large_pad", Op::Pad(pads), None);
    put("large_frame", conv(100_000_000, 50_000_000), weight());
    paths
}

#[cfg(target_os = "linux")]
#[test]
fn hostile_networks_are_refused_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    npy::write(at("x.npy"), &[1, 1, 4, 4], &[0.5_f32; 16]).unwrap();
    npy::write(at("labels.npy"), &[1], &[0_i64]).unwrap();
    let data = format!("npy:{},{}", at("x.npy"), at("labels.npy"));
    for net in hostile(folder.path()) {
        let ends = if net.contains("large_frame") { survives } else { refuses };
        for engine in ["cpu", "reference"] {
            ends(&["run", &net, "--input", &at("x.npy"), "-o", &at("y.npy"), "--engine", engine]);
        }
        ends(&["eval", &net, "--data", &data, "--preprocess", "raw"]);
        ends(&["quantize", &net, "--data", &data, "--preprocess", "raw", "-o", &at("q.onnx")]);
        ends(&["simulate", &net, "--data", &data, "--preprocess", "raw", "--accelerator", "dadiannao"]);
        // Counting takes no memory.
        let inspected = confined(1 << 20, &["inspect", &net]);
        assert!(inspected.status.success(), "{}", String::from_utf8_lossy(&inspected.stderr));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn devices_that_never_end_are_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let output = text(&folder.path().join("y.npy")).to_owned();
    for args in [
        &["inspect", "/dev/zero"][..],
        &["study", "/dev/zero"],
        &["report", "/dev/zero"],
        &["simulate", "sample-resnet", "--accelerator", "compend", "--preset", "compend=/dev/zero"],
        &["simulate", "sample-resnet", "--accelerator", "compend", "--set", "compend.costs=/dev/zero"],
        &["run", "sample-resnet", "--input", "/dev/zero", "-o", &output],
        &["eval", "sample-resnet", "--data", "npy:/dev/zero,/dev/zero"],
    ] {
        let output = confined(1 << 20, &[args, &["--memory", "32MiB", "--threads", "1"]].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(1 | 2)), "skimp {args:?}: {}\n{stderr}", output.status);
        assert!(stderr.contains("/dev/zero"), "skimp {args:?}: {stderr}");
    }
}

/// The most memory in MiB that a run of `skimp` held.
#[cfg(target_os = "linux")]
fn peak_mib(args: &[&str]) -> u64 {
    let mut child = Command::new(env!("CARGO_BIN_EXE_skimp"))
        .args(args)
        .args(["--threads", "1"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the binary runs");
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    loop {
        let ended = child.try_wait().expect("a child of ours");
        // The kernel keeps the peak; that of a process about to end is no longer told.
        let lines = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = lines.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        most = most.max(peak.unwrap_or(0));
        if let Some(ended) = ended {
            assert!(ended.success(), "skimp {args:?}: {ended}");
            return most / 1024;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// A network of 430 nodes is calibrated in the working memory of its largest one, not in that of all together.
#[cfg(target_os = "linux")]
#[test]
fn calibration_holds_the_memory_of_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let output = text(&folder.path().join("q.onnx")).to_owned();
    let densenet = ["densenet-bc-100-12", "--data", "sample", "--calibration-images", "1"];
    for (command, rest) in
        [("quantize", &["-o", &output, "--accuracy-images", "0"][..]), ("simulate", &["--accelerator", "dadiannao"])]
    {
        let args = [&[command], &densenet[..], rest].concat();
        let peak = peak_mib(&args);
        assert!((5..80).contains(&peak), "skimp {args:?} took {peak} MiB");
    }
}

#[test]
fn a_budget_is_a_number_and_a_unit() {
    for wrong in ["0", "-1", "lots", "8 Gib!", "nan"] {
        fails(&["list", "networks", &format!("--memory={wrong}")], 2, "expected a positive number and a unit");
    }
    ok(&["list", "networks", "--memory", "1GiB"]);
}

#[test]
fn threads_are_bounded() {
    for wrong in ["0", "1025", "2147483648"] {
        fails(&["inspect", "lenet-5", "--threads", wrong], 2, "expected 1 to 1024");
    }
}

#[test]
fn batches_are_no_larger_than_the_images() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("net.onnx");
    let train = ["train", "lenet-5", "--data", "sample", "--images", "20", "--epochs", "1", "-o", text(&output)];
    let printed = ok(&[&train[..], &["--batch-size", &i64::MAX.to_string(), "--format", "json"]].concat());
    let record: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(record["config"]["batch_size"], 20);
    fails(&[&train[..], &["--epochs", "99999999999"]].concat(), 2, "epochs");
}

/// A named pipe that nobody writes to: the run ends when it is asked to.
#[cfg(unix)]
#[test]
fn a_run_that_waits_for_a_pipe_ends_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe.onnx");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut child = Command::new(env!("CARGO_BIN_EXE_skimp"))
        .args(["inspect", text(&pipe)])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "it waits");
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while child.try_wait().unwrap().is_none() {
        assert!(std::time::Instant::now() < deadline, "it ignores the signal");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}
