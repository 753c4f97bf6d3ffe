//! `skimp prune`, `skimp distill` and `skimp recast`.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::{fails, json, ok, text};

#[test]
fn a_pruned_network_is_smaller_and_learns_again() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("half.onnx");
    let prune = ["prune", "sample-resnet", "--method", "taylor", "--target", "channels=0.5", "--data", "sample"];
    let tuned = ["--finetune", "2", "--learning-rate", "0.02", "--accuracy-images", "400", "-o", text(&file)];
    let record = json(&[&prune[..], &tuned].concat());
    assert_eq!(record["schema"], "skimp.prune/1");
    let of = |when: &str, what: &str| record[when][what].as_f64().unwrap_or_else(|| panic!("{when}.{what}"));
    for what in ["parameters", "weights", "macs", "activation_elements", "activation_bytes_moved", "file_bytes"] {
        assert!(of("after", what) < 0.6 * of("before", what), "{what}");
    }
    // The file is the network that the record tells of.
    let inspected = json(&["inspect", text(&file)]);
    for what in ["macs", "parameters", "weights"] {
        assert_eq!(inspected["total"][what], record["after"][what], "{what}");
    }
    let evaluated = json(&["eval", text(&file), "--data", "sample", "--images", "400"]);
    assert_eq!(evaluated["top1"], record["after"]["top1"]);
    // Ten classes: far from chance, not far from where it was.
    assert!(of("after", "top1") > 0.6 && of("before", "top1") > 0.85, "{record}");
    let groups = record["groups"].as_array().expect("groups");
    assert!(
        groups
            .iter()
            .all(|group| group["removed"].as_array().map(Vec::len) == group["after"].as_u64().map(|n| n as usize))
    );
    assert_eq!(record["refused"][0]["node"], "fc");

    let plan =
        ok(&["prune", "sample-resnet", "--method", "l1", "--target", "macs=0.5", "--round-to", "1", "--dry-run"]);
    assert!(plan.contains("MACs") && plan.contains("why it stays whole"), "{plan}");
}

#[test]
fn targets_are_measured() {
    let prune = ["prune", "sample-resnet", "--method", "l1", "--round-to", "1", "--dry-run"];
    let share = |record: &serde_json::Value| {
        let of = |when: &str| record[when]["activation_elements"].as_u64().expect("counted") as f64;
        of("after") / of("before")
    };
    let record = json(&[&prune[..], &["--target", "activations=0.5"]].concat());
    assert!(share(&record) <= 0.5, "{record}");
    for (target, data) in [("cycles@systolic=0.6", None), ("energy@eyeriss=0.7", Some("sample"))] {
        let data: Vec<&str> = data.map(|data| ["--data", data]).into_iter().flatten().collect();
        let record = json(&[&prune[..], &["--target", target], &data].concat());
        let name = target.split('=').next().unwrap_or_default();
        let note = record["notes"][0].as_str().expect("a note");
        assert!(note.starts_with(&format!("{name} remains, as measured: ")), "{note}");
        assert!(record["after"]["macs"].as_u64() < record["before"]["macs"].as_u64());
    }
    let asked = |target| [&prune[..], &["--target", target]].concat();
    fails(&asked("cycles@compend=0.5"), 2, "--data");
    fails(&asked("energy@nothing=0.5"), 2, "nothing");
    fails(&asked("cycles=0.5"), 2, "cycles@DESIGN");
}

#[test]
fn compressed_networks_are_networks() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [packed, plain] = ["small.skz", "small.onnx"].map(|name| folder.path().join(name));
    let prune = ["prune", "sample-resnet", "--method", "deep-compression", "--target", "sparsity=0.6"];
    ok(&[&prune[..], &["-o", text(&packed)]].concat());
    ok(&[&prune[..], &["-o", text(&plain)]].concat());
    let size = |path: &std::path::Path| std::fs::metadata(path).expect("a file").len();
    assert!(2 * size(&packed) < size(&plain), "{} {}", size(&packed), size(&plain));
    let evaluated = |path| json(&["eval", text(path), "--data", "sample", "--images", "200"])["top1"].clone();
    assert_eq!(evaluated(&packed), evaluated(&plain));
    let total = |path| json(&["inspect", text(path)])["total"].clone();
    assert_eq!(total(&packed), total(&plain));
    // Damaged ones are refused with their name.
    let mut bytes = std::fs::read(&packed).expect("a file");
    for length in [4, 100, bytes.len() - 1] {
        std::fs::write(&plain, &bytes[..length]).expect("written");
        fails(&["inspect", text(&plain)], 1, "small.onnx");
    }
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&plain, &bytes).expect("written");
    fails(&["inspect", text(&plain)], 1, "check sum");
}

#[test]
fn what_cannot_be_pruned_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("never.onnx");
    let prune = |target: &str, extra: &[&str], code: i32, message: &str| {
        let asked = ["prune", "sample-resnet", "--method", "l1", "--target", target, "-o", text(&file)];
        fails(&[&asked[..], extra].concat(), code, message);
        assert!(!file.exists());
    };
    prune("macs=0.0001", &[], 1, "the most that was reached");
    prune("sparsity=0.5", &[], 2, "channels=");
    prune("channels=2", &[], 2, "above 0 and at most 1");
    prune("channels=0.5", &["--keep", "nobody"], 1, "nobody");
    prune("channels=0.5", &["--set", "images=3"], 2, "no settings");
    prune("channels=0.5", &["--finetune", "1"], 2, "--data");
    fails(&["prune", "sample-resnet", "--method", "l1", "--target", "channels=0.5"], 2, "--dry-run");
    let of = |method: &str, command: &str| {
        let asked = ["prune", "sample-resnet", "--method", method, "--target", "channels=0.5", "--dry-run"];
        fails(&asked, 2, &format!("it is a command of its own: {command}; methods: l1"));
        let listed = json(&["list", "methods"]);
        let entry = listed["entries"].as_array().expect("entries").iter().find(|entry| entry["name"] == method);
        assert_eq!(entry.expect("listed")["command"], command, "{method}");
    };
    of("distill", "skimp distill");
    of("hint", "skimp distill --hint");
    of("attention", "skimp distill --attention");
    of("recast", "skimp recast");
    fails(&["prune", "sample-resnet", "--method", "apoz", "--target", "channels=0.5", "--dry-run"], 2, "--data");
    let rnp = ["prune", "sample-resnet", "--method", "rnp", "--target", "macs=0.5", "-o", text(&file)];
    fails(&rnp, 2, "there is no smaller one");
    assert!(!file.exists());
}

#[test]
fn images_skip_operations() {
    let rnp = ["prune", "sample-resnet", "--method", "rnp", "--target", "macs=1", "--data", "sample", "--dry-run"];
    let short = ["--set", "penalties=[0.1, 5]", "--train-images", "128", "--accuracy-images", "64"];
    let record = json(&[&rnp[..], &short].concat());
    let (runtime, whole) = (&record["runtime"], record["before"]["macs"].as_f64().expect("a number"));
    assert_eq!(runtime["macs"], record["before"]["macs"]);
    let points = runtime["points"].as_array().expect("points");
    assert_eq!(points.len(), 2);
    for point in points {
        let macs = point["macs"].as_f64().expect("a number");
        assert!(macs > 0.0 && macs <= whole && point["top1"].is_f64() && point["whole_top1"].is_f64(), "{point}");
    }
}

/// Every group of layers alone, for channels and for weights, as a table, JSON and a page.
#[test]
fn sensitivity_is_told_layer_by_layer() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("sensitivity.html");
    let asked = |method: &'static str, fractions: &'static str| {
        vec!["prune", "sample-resnet", "--method", method, fractions, "--data", "sample", "--accuracy-images", "100"]
    };
    let record = json(&[&asked("l1", "--sensitivity=1,0.5,0.1")[..], &["-o", text(&page)]].concat());
    assert_eq!(record["schema"], "skimp.sensitivity/1");
    let curves = record["curves"].as_array().expect("curves");
    assert!(curves.len() >= 4, "{record}");
    let mut fell = 0;
    for curve in curves {
        let point = |at: usize, what: &str| curve["points"][at][what].as_f64().expect("a number");
        // All of it is the network as it is.
        assert_eq!((point(0, "kept"), &curve["points"][0]["top1"]), (1.0, &record["top1"]), "{curve}");
        assert!((point(1, "kept") - 0.5).abs() < 0.05 && point(2, "kept") < 0.2, "{curve}");
        fell += i32::from(point(2, "top1") < point(0, "top1"));
    }
    assert!(fell > 2, "{record}");
    let html = std::fs::read_to_string(&page).expect("written");
    assert!(html.contains("fraction kept") && html.contains("conv1") && html.contains("Sensitivity of sample-resnet"));
    // Weights: a curve for each layer that has some; the first one alone at 0.5 is half of its weights.
    let table = ok(&asked("magnitude", "--sensitivity=0.5"));
    assert!(table.contains("0.5 kept") && table.contains("block1_conv1") && table.contains("fc"), "{table}");
    fails(&asked("gradual", "--sensitivity=0.5"), 2, "take a method that needs none");
    fails(&asked("l1", "--sensitivity=1.5"), 2, "above 0 and at most 1");
    fails(&["prune", "sample-resnet", "--method", "l1", "--sensitivity"], 2, "--data");
}

#[test]
fn a_student_learns_from_a_teacher() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (half, taught) = (folder.path().join("half.onnx"), folder.path().join("taught.onnx"));
    ok(&["prune", "sample-resnet", "--method", "l2", "--target", "channels=0.5", "-o", text(&half)]);
    let distill = ["distill", text(&half), "--teacher", "sample-resnet", "--data", "sample", "-o", text(&taught)];
    let record =
        json(&[&distill[..], &["--epochs", "2", "--learning-rate", "0.02", "--accuracy-images", "300"]].concat());
    assert_eq!(record["schema"], "skimp.distill/1");
    let [before, after] = [0, 1].map(|at| &record["losses"][at]);
    for term in ["teacher_term", "label_term", "total"] {
        assert!(after[term].as_f64() < before[term].as_f64(), "{term}: {record}");
    }
    let total = |loss: &serde_json::Value| {
        0.9 * loss["teacher_term"].as_f64().unwrap() + 0.1 * loss["label_term"].as_f64().unwrap()
    };
    assert!((total(after) - after["total"].as_f64().unwrap()).abs() < 1e-6, "{record}");
    assert_eq!(json(&["eval", text(&taught), "--data", "sample", "--images", "300"])["top1"], record["after"]["top1"]);
    fails(&[&distill[..], &["--temperature", "0"]].concat(), 2, "temperature");
    let other = ["distill", "resnet20:classes=7,channels=1,size=28", "--teacher", "sample-resnet", "--data", "sample"];
    fails(&[&other[..], &["-o", text(&folder.path().join("never.onnx"))]].concat(), 2, "7");
}

/// A hint before distillation, and attention beside it: every term is told, and nothing of them is in the file.
#[test]
fn a_student_learns_from_values_inside_of_a_teacher() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (half, taught) = (folder.path().join("half.onnx"), folder.path().join("taught.onnx"));
    ok(&["prune", "sample-resnet", "--method", "l2", "--target", "channels=0.5", "-o", text(&half)]);
    let distill =
        ["distill", text(&half), "--teacher", "sample-resnet", "--data", "sample", "--accuracy-images", "200"];
    let asked =
        ["--hint", "auto", "--attention", "auto", "--epochs", "1", "--hint-epochs", "1", "--train-images", "640"];
    let record = json(&[&distill[..], &asked, &["-o", text(&taught)]].concat());
    let hint = &record["hint"];
    let mse: Vec<f64> =
        hint["mse"].as_array().expect("three").iter().map(|mse| mse.as_f64().expect("a number")).collect();
    assert!(mse.len() == 3 && mse[1] < mse[0], "{hint}");
    assert_eq!(hint["regressor"].as_array().map(Vec::len), Some(4));
    assert_eq!(record["attention"].as_array().map(Vec::len), Some(3), "{record}");
    let terms = |at: usize| -> f64 {
        let terms = record["losses"][at]["attention_terms"].as_array().expect("terms");
        assert_eq!(terms.len(), 3);
        terms.iter().map(|term| term.as_f64().expect("a number")).sum()
    };
    assert!(terms(1) < terms(0), "{record}");
    let loss = &record["losses"][1];
    let total =
        0.9 * loss["teacher_term"].as_f64().unwrap() + 0.1 * loss["label_term"].as_f64().unwrap() + 1000.0 * terms(1);
    assert!((total - loss["total"].as_f64().unwrap()).abs() < 1e-4 * total, "{record}");
    assert_eq!(record["before"]["parameters"], record["after"]["parameters"]);
    assert_eq!(
        record["before"]["file_bytes"].as_u64().map(|bytes| bytes / 1000),
        record["after"]["file_bytes"].as_u64().map(|bytes| bytes / 1000)
    );
    let evaluated = json(&["eval", text(&taught), "--data", "sample", "--images", "200"]);
    assert_eq!(evaluated["top1"], record["after"]["top1"]);
    let never = folder.path().join("never.onnx");
    let fails = |more: &[&str], code: i32, message: &str| {
        fails(&[&distill[..], &["--epochs", "1", "-o", text(&never)], more].concat(), code, message);
        assert!(!never.exists());
    };
    fails(&["--hint", "nothing"], 2, "STUDENT_VALUE=TEACHER_VALUE");
    fails(&["--hint", "nobody=conv1"], 1, "no value or node \"nobody\"; values between its blocks are");
    fails(&["--attention", "fc=fc"], 1, "expected maps");
    fails(&["--attention", "auto", "--beta=-1"], 2, "beta");
    fails(&["--hint-epochs", "3"], 2, "--hint");
}

#[test]
fn blocks_are_recast_and_learn() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("plain.onnx");
    // Weights and operations of the released configuration on ResNet-50, first with the stride on the first convolution.
    for (network, macs) in [("resnet50-v1", 2_457_862_144_u64), ("resnet50", 2_534_932_480)] {
        let asked = ["recast", network, "--blocks", "1-11", "--into", "conv", "--structure-only", "-o", text(&file)];
        let record = json(&asked);
        assert_eq!(
            (record["after"]["weights"].as_u64(), record["after"]["macs"].as_u64()),
            (Some(21_984_448), Some(macs))
        );
        assert_eq!(record["untrained"], true);
        std::fs::remove_file(&file).expect("it was written");
    }
    let listed = ok(&["recast", "sample-resnet"]);
    assert!(listed.contains("residual") && listed.contains("conv1"), "{listed}");
    let recast = ["recast", "sample-resnet", "--blocks", "2", "--into", "conv", "-o", text(&file)];
    let learned =
        ["--data", "sample", "--epochs", "2", "--finetune", "1", "--optimizer", "adam", "--learning-rate", "1e-3"];
    let record = json(&[&recast[..], &learned, &["--accuracy-images", "300"]].concat());
    assert_eq!(record["steps"].as_array().map(Vec::len), Some(1));
    assert!(record["after"]["top1"].as_f64() > Some(0.5), "{record}");
    assert_eq!(json(&["eval", text(&file), "--data", "sample", "--images", "300"])["top1"], record["after"]["top1"]);
    fails(&recast, 2, "--structure-only");
    fails(
        &["recast", "sample-resnet", "--blocks", "99", "--structure-only", "-o", text(&folder.path().join("n.onnx"))],
        2,
        "99",
    );
}

/// Steps of all training runs of a folder that its checkpoints hold.
fn steps(folder: &Path) -> u64 {
    let step = |number: usize| {
        let text = std::fs::read_to_string(folder.join(format!("run-{number}/checkpoint.toml"))).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix("step = ")).map_or(0, |step| step.parse().expect("a number"))
    };
    (1..9).map(step).sum()
}

/// Kills the process (SIGKILL) again and again, in every training run of the command, and resumes it each time.
#[test]
fn killed_runs_end_with_the_same_bits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let data = ["--data", "sample", "--train-images", "64", "--batch-size", "8", "--accuracy-images", "32", "-q"];
    let commands: [&[&str]; 4] = [
        // The masks of the method are part of its checkpoint; the run of fine-tuning follows.
        &["prune", "sample-resnet", "--method", "gradual", "--target", "sparsity=0.6", "--finetune", "1"],
        &["prune", "sample-resnet", "--method", "taylor", "--target", "channels=0.5", "--finetune", "2"],
        &[
            "distill",
            "sample-resnet",
            "--teacher",
            "sample-resnet",
            "--epochs",
            "2",
            "--hint",
            "auto",
            "--attention",
            "auto",
        ],
        &["recast", "sample-resnet", "--blocks", "2-3", "--epochs", "1", "--finetune", "1"],
    ];
    let settings: [&[&str]; 4] = [&["--set", "epochs=2"], &[], &[], &[]];
    for (idx, (command, more)) in commands.iter().zip(settings).enumerate() {
        let [whole, killed] = ["whole", "killed"].map(|name| path(&format!("{name}{idx}.onnx")));
        let asked = [command, &data[..], more].concat();
        ok(&[&asked[..], &["-o", text(&whole)]].concat());
        let run = path(&format!("killed{idx}.train"));
        let resume = [&asked[..], &["--checkpoint-every", "3", "--resume", "-o", text(&killed)]].concat();
        let n_steps = steps(&path(&format!("whole{idx}.train")));
        assert!(n_steps >= 16, "{command:?}: {n_steps}");
        let mut n_kills = 0;
        while steps(&run) + 6 < n_steps {
            let before = steps(&run);
            let mut child = Command::new(env!("CARGO_BIN_EXE_skimp"))
                .args(&resume)
                .stdout(Stdio::null())
                .spawn()
                .expect("the binary runs");
            while steps(&run) < before + 4 && child.try_wait().expect("a child").is_none() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            child.kill().expect("a child");
            child.wait().expect("a child");
            n_kills += 1;
            if killed.exists() {
                break;
            }
        }
        assert!(n_kills > 1, "{command:?}");
        ok(&resume);
        assert!(std::fs::read(&whole).expect("written") == std::fs::read(&killed).expect("written"), "{command:?}");
    }
}

#[test]
fn checkpoints_of_other_reductions_are_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = folder.path().join("net.onnx");
    let data = ["--data", "sample", "--train-images", "32", "--accuracy-images", "16", "-q", "-o", text(&output)];
    let tune = ["prune", "sample-resnet", "--method", "l1", "--target", "channels=0.5"];
    let asked = |more: &[&'static str]| [&tune[..], &data, more].concat();
    ok(&asked(&["--finetune", "1"]));
    let run = folder.path().join("net.train");
    assert!(run.join("run-1/checkpoint.toml").exists() && !run.join("run-2").exists());
    fails(&asked(&["--finetune", "1"]), 2, "use --resume to go on");
    fails(&asked(&["--finetune", "1", "--resume", "--learning-rate", "0.02"]), 1, "training.learning_rate = 0.01");
    fails(&asked(&["--finetune", "1", "--resume", "--round-to", "4"]), 1, "round_to = 8, this run has 4");
    let other = ["distill", "sample-resnet", "--teacher", "sample-resnet", "--epochs", "1", "--resume"];
    fails(&[&other[..], &data].concat(), 1, "it is of a run with");
    // Finished is finished, and may be made longer.
    let before = std::fs::read(&output).expect("written");
    ok(&asked(&["--finetune", "1", "--resume"]));
    assert!(before == std::fs::read(&output).expect("written"));
    ok(&asked(&["--finetune", "2", "--resume"]));
    assert!(before != std::fs::read(&output).expect("written"));
    // What does not train keeps none.
    let plain = folder.path().join("plain.onnx");
    ok(&[&tune[..], &["-o", text(&plain)]].concat());
    assert!(plain.exists() && !folder.path().join("plain.train").exists());
}

/// A reduced network is an ordinary file: a new process reads it, and onnxruntime gives the same outputs.
#[test]
fn reduced_networks_run_in_onnxruntime() {
    let Some(python) = skimp_testkit::python("onnxruntime to run reduced networks") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [x, y] = ["x.npy", "y.npy"].map(|name| folder.path().join(name));
    let draw =
        "import sys, numpy; numpy.save(sys.argv[1], numpy.random.default_rng(1).standard_normal((3, 1, 28, 28), 'f4'))";
    let compare = "import sys, numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
want = session.run(None, {session.get_inputs()[0].name: numpy.load(sys.argv[2])})[0]
got = numpy.load(sys.argv[3])
assert got.shape == want.shape
off = abs(got - want).max() / max(1, abs(want).max())
assert off < 1e-5, off";
    let run = |program: &str, arguments: &[&Path]| {
        let output = Command::new(&python).args(["-c", program]).args(arguments).output().expect("Python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    run(draw, &[&x]);
    let prune = ["prune", "sample-resnet", "--method"];
    let recast = ["recast", "sample-resnet", "--blocks", "1", "--into", "conv", "--structure-only"];
    let ways: [(&str, Vec<&str>); 3] = [
        ("half", [&prune[..], &["l1", "--target", "channels=0.5"]].concat()),
        ("sparse", [&prune[..], &["magnitude", "--target", "sparsity=0.9"]].concat()),
        ("plain", recast.to_vec()),
    ];
    for (name, way) in ways {
        let file = folder.path().join(format!("{name}.onnx"));
        ok(&[&way[..], &["-o", text(&file)]].concat());
        ok(&["run", text(&file), "--input", text(&x), "-o", text(&y), "--force"]);
        run(compare, &[&file, &x, &y]);
    }
}
