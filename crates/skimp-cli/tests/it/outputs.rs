//! No result replaces an input, another result, or a file of the user's.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skimp::data::npy;
use skimp::graph::{DType, Dim, GraphBuilder, Op, Tensor, ValueId, Window, onnx, ops};

use crate::{fails, ok, text};

/// Names of outputs and layers that meet in one file name under most rules of cleaning.
const NAMES: [&str; 6] = ["a/b", "a_b", "A_b", "a.b", "\u{1b}[31m\n", "../up"];

fn long_name() -> String {
    "x".repeat(5_000)
}

/// A chain of 1x1 convolutions of the given weights on [1, 1, 2, 2], each an output, too.
fn chain(path: &Path, names: &[String]) {
    let mut builder = GraphBuilder::new("chain");
    let dims = [1, 1, 2, 2].map(Dim::Fixed).to_vec();
    let mut x = builder.input("x", DType::F32, dims);
    let mut outputs: Vec<ValueId> = Vec::new();
    for (idx, name) in names.iter().enumerate() {
        let weight = Tensor::from_f32(vec![1, 1, 1, 1], vec![idx as f32 + 2.0]);
        let weight = builder.constant(format!("weight{idx}"), weight);
        let window = Window::pointwise(2);
        x = builder.node(name, Op::Conv(ops::Conv { window, groups: 1 }), &[x, weight]);
        outputs.push(x);
    }
    outputs.into_iter().for_each(|output| builder.output(output));
    onnx::export(&builder.build().expect("a graph"), path).expect("it is whole");
}

fn names() -> Vec<String> {
    NAMES.iter().map(|&name| name.to_owned()).chain([long_name()]).collect()
}

struct Files(tempfile::TempDir);

impl Files {
    /// `net.onnx` with outputs of all kinds of names, `x.npy` and `labels.npy`.
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a folder"));
        chain(&files.at("net.onnx"), &names());
        npy::write(files.at("x.npy"), &[1, 1, 2, 2], &[1_f32, 2.0, 3.0, 4.0]).expect("it is whole");
        npy::write(files.at("labels.npy"), &[1], &[0_i64]).expect("it is whole");
        files
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn arg(&self, name: &str) -> String {
        text(&self.at(name)).to_owned()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.at(name)).expect("a file")).expect("it is whole")
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).expect("it is whole")
    }

    /// The command must refuse, name the reason, and leave `untouched` as it was.
    fn refuses(&self, args: &[&str], untouched: &str, message: &str) {
        let before = self.bytes(untouched);
        fails(args, 2, message);
        assert_eq!(self.bytes(untouched), before, "{args:?}");
    }
}

#[test]
fn every_output_has_a_file_of_its_own() {
    let files = Files::new();
    let run =
        |output: &str| ok(&["run", &files.arg("net.onnx"), "--input", &files.arg("x.npy"), "-o", &files.arg(output)]);
    run("Y.npy");
    let index = files.json("Y.names.json");
    let mut factor = 1.0;
    for (idx, name) in onnx::import(&files.at("net.onnx"))
        .map(|graph| graph.outputs().iter().map(|&id| graph.value(id).name.clone()).collect::<Vec<_>>())
        .unwrap()
        .into_iter()
        .enumerate()
    {
        let file = if idx == 0 { "Y.npy".to_owned() } else { format!("Y.{idx}.npy") };
        factor *= idx as f32 + 2.0;
        let array = npy::read(files.at(&file)).unwrap();
        assert_eq!(array.data, npy::Data::F32([1.0, 2.0, 3.0, 4.0].map(|x| x * factor).to_vec()), "{file}");
        assert_eq!(index[&file], json!(name));
    }
    assert_eq!(index.as_object().unwrap().len(), names().len());
    // Once more: these are our own files. Another output beside files of the user's: not ours.
    run("Y.npy");
    std::fs::write(files.at("Z.2.npy"), "mine").unwrap();
    let other = ["run", &files.arg("net.onnx"), "--input", &files.arg("x.npy"), "-o", &files.arg("Z.npy")];
    files.refuses(&other, "Z.2.npy", "not from skimp");
    assert!(!files.at("Z.npy").exists());
    ok(&[&other[..], &["--force"]].concat());
    assert_eq!(files.json("Z.names.json").as_object().unwrap().len(), names().len());
}

#[test]
fn every_layer_has_files_of_its_own() {
    let files = Files::new();
    let data = format!("npy:{},{}", files.arg("x.npy"), files.arg("labels.npy"));
    let dump = |folder: &str| {
        let mut args = vec!["simulate".to_owned(), files.arg("net.onnx")];
        args.extend(["--accelerator", "dadiannao", "--preprocess", "raw", "--accuracy-images", "0"].map(str::to_owned));
        args.extend(["--data".to_owned(), data.clone(), "--dump".to_owned(), files.arg(folder)]);
        args
    };
    let borrowed = |args: &[String]| args.iter().map(String::as_str).map(str::to_owned).collect::<Vec<_>>();
    let run = |args: Vec<String>| ok(&borrowed(&args).iter().map(String::as_str).collect::<Vec<_>>());
    run(dump("D"));
    let index = files.json("D/index.json");
    assert_eq!(index["schema"], "skimp.dump-index/1");
    let layers = index["layers"].as_object().unwrap();
    assert_eq!(layers.len(), names().len());
    let mut scales = Vec::new();
    for (stem, name) in layers {
        let layer = files.json(&format!("D/{stem}.json"));
        assert_eq!(&layer["name"], name);
        // A 1x1 weight w has the scale w / greatest code: it tells the layers apart.
        scales.push(layer["weight_scales"][0].as_f64().unwrap());
        assert!(files.at(&format!("D/{stem}.weight.npy")).is_file());
    }
    for (idx, scale) in scales.iter().enumerate() {
        let expected = (idx as f64 + 2.0) / 2.0;
        assert!((scale / scales[0] - expected).abs() < 1e-6, "layer {idx}: {scale} beside {}", scales[0]);
    }
    // A smaller network into the same folder leaves nothing of the larger one; a folder of the user's stays.
    chain(&files.at("net.onnx"), &names()[..2]);
    run(dump("D"));
    assert!(files.at("D/001.weight.npy").is_file() && !files.at("D/002.weight.npy").exists());
    std::fs::create_dir(files.at("E")).unwrap();
    std::fs::write(files.at("E/001.bias.npy"), "mine").unwrap();
    let args = dump("E");
    files.refuses(&args.iter().map(String::as_str).collect::<Vec<_>>(), "E/001.bias.npy", "not from skimp");
}

#[test]
fn no_command_writes_over_what_it_reads() {
    let files = Files::new();
    let (net, x) = (files.arg("net.onnx"), files.arg("x.npy"));
    let data = format!("npy:{x},{}", files.arg("labels.npy"));
    let input = "this is an input of the run";
    files.refuses(&["run", &net, "--input", &x, "-o", &net], "net.onnx", input);
    files.refuses(&["run", &net, "--input", &x, "-o", &x], "x.npy", input);
    files.refuses(&["inspect", &net, "-o", &net], "net.onnx", input);
    files.refuses(&["inspect", &net, "--export", &net], "net.onnx", input);
    files.refuses(&["inspect", &net, "--topology", &net], "net.onnx", input);
    files.refuses(&["eval", &net, "--data", &data, "-o", &files.arg("labels.npy")], "labels.npy", input);
    files.refuses(&["quantize", &net, "--data", &data, "-o", &net], "net.onnx", input);
    files.refuses(&["quantize", &net, "--data", &data, "-o", &x], "x.npy", input);
    files.refuses(&["train", &net, "--data", &data, "-o", &net], "net.onnx", input);
    let simulate = ["simulate", &net, "--accelerator", "dadiannao", "--data", &data];
    files.refuses(&[&simulate[..], &["-o", &net]].concat(), "net.onnx", input);
    files.refuses(&[&simulate[..], &["--trace", &x]].concat(), "x.npy", input);
    // The same file by other names.
    let round_about = files.0.path().join(".").join("..").join(files.0.path().file_name().unwrap()).join("net.onnx");
    files.refuses(&["inspect", &net, "-o", text(&round_about)], "net.onnx", input);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(files.at("net.onnx"), files.at("soft.onnx")).unwrap();
        std::fs::hard_link(files.at("net.onnx"), files.at("hard.onnx")).unwrap();
        for link in ["soft.onnx", "hard.onnx"] {
            files.refuses(&["quantize", &net, "--data", &data, "-o", &files.arg(link)], "net.onnx", input);
            files.refuses(&["inspect", &files.arg(link), "-o", &net], "net.onnx", input);
        }
    }
    // Two results at one path.
    files.refuses(
        &[&simulate[..], &["-o", &files.arg("r"), "--trace", &files.arg("r")]].concat(),
        "net.onnx",
        "--trace would replace what --output wrote",
    );
    files.refuses(
        &["inspect", &net, "--export", &files.arg("r"), "--topology", &files.arg("r")],
        "net.onnx",
        "give them different names",
    );
    assert!(!files.at("r").exists());
    ok(&["inspect", &net, "--export", &net, "--force"]);
}

#[test]
fn presets_and_cost_tables_stay() {
    let files = Files::new();
    std::fs::write(files.at("chip.toml"), ok(&["show", "dadiannao"])).unwrap();
    std::fs::write(files.at("costs.toml"), ok(&["show", "horowitz-45nm"])).unwrap();
    let rows = "Layer name,IFMAP h,IFMAP w,Filter h,Filter w,Channels,Filters,Stride,\nc1,8,8,3,3,4,10,1,\n";
    std::fs::write(files.at("rows.csv"), rows).unwrap();
    let preset = format!("dadiannao={}", files.arg("chip.toml"));
    let costs = format!("dadiannao.costs={}", files.arg("costs.toml"));
    let input = "this is an input of the run";
    for model in ["net.onnx", "rows.csv"].map(|name| files.arg(name)) {
        let simulate = ["simulate", &model, "--accelerator", "dadiannao", "--preset", &preset, "--set", &costs];
        for name in ["chip.toml", "costs.toml"] {
            files.refuses(&[&simulate[..], &["-o", &files.arg(name)]].concat(), name, input);
            files.refuses(&[&simulate[..], &["--trace", &files.arg(name)]].concat(), name, input);
        }
    }
}

#[test]
fn files_of_a_data_set_stay() {
    let files = Files::new();
    let folder = files.at("set");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("test_batch.bin"), vec![0; 3073]).unwrap();
    std::fs::write(folder.join("notes.csv"), "mine").unwrap();
    let data = format!("cifar10:{}", text(&folder));
    for name in ["test_batch.bin", "notes.csv"] {
        let output = folder.join(name);
        let args = ["eval", "resnet20", "--data", &data, "--format", "csv", "-o", text(&output)];
        files.refuses(&args, &format!("set/{name}"), "a folder that the run reads");
    }
    // A new file may lie there, and be replaced by the next run where it says whose it is.
    let output = folder.join("result.json");
    for _ in 0..2 {
        ok(&["eval", "lenet-5:channels=3,size=32", "--data", &data, "--format", "json", "-o", text(&output)]);
    }
}

#[test]
fn external_data_of_a_network_stay() {
    let files = Files::new();
    if skimp_testkit::python("onnx").is_none() {
        return skimp_testkit::skipped("no Python with onnx (SKIMP_PYTHON)");
    }
    let script = "import onnx, sys; m = onnx.load(sys.argv[1]); \
         onnx.save(m, sys.argv[2], save_as_external_data=True, location='weights.bin', size_threshold=0)";
    let python = skimp_testkit::python("onnx").unwrap();
    let status = std::process::Command::new(python)
        .args(["-c", script, &files.arg("net.onnx"), &files.arg("external.onnx")])
        .status()
        .unwrap();
    assert!(status.success());
    let net = files.arg("external.onnx");
    let weights = files.arg("weights.bin");
    let args = ["run", &net, "--input", &files.arg("x.npy"), "-o", &weights];
    files.refuses(&args, "weights.bin", "this is an input of the run");
}

#[test]
fn a_study_leaves_files_of_the_users_alone() {
    let files = Files::new();
    let study =
        |folder: &str| ["study", "sample", "--images", "1", "--accuracy-images", "0", "-o", folder].map(str::to_owned);
    for (folder, name, content) in [
        ("html", "report.html", "<html>mine</html>"),
        ("json", "results.json", "{\"mine\": 1}"),
        ("csv", "layers.csv", "mine"),
        ("toml", "study.toml", "mine = 1"),
    ] {
        std::fs::create_dir(files.at(folder)).unwrap();
        std::fs::write(files.at(folder).join(name), content).unwrap();
        let args = study(&files.arg(folder));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        files.refuses(&args, &format!("{folder}/{name}"), "not from skimp");
        assert_eq!(std::fs::read_dir(files.at(folder)).unwrap().count(), 1, "{folder}");
    }
    let args = study(&files.arg("html"));
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    args.push("--force");
    ok(&args);
    // Its own folder it takes again, but not a report that someone put there, nor the configuration that it runs.
    args.pop();
    ok(&args);
    std::fs::write(files.at("html/report.html"), "<html>mine</html>").unwrap();
    files.refuses(&args, "html/report.html", "not from skimp");
    std::fs::remove_file(files.at("html/report.html")).unwrap();
    let config = files.arg("html/study.toml");
    args[1] = &config;
    files.refuses(&args, "html/study.toml", "this is an input of the run");
    // A folder of training is guarded in the same way.
    std::fs::create_dir(files.at("net.train")).unwrap();
    std::fs::write(files.at("net.train/log.csv"), "mine").unwrap();
    let output = files.arg("net.onnx");
    let train =
        ["train", "lenet-5", "--data", "sample", "--images", "8", "--epochs", "1", "--log", "csv", "-o", &output];
    files.refuses(&train, "net.train/log.csv", "not from skimp");
}

#[test]
fn one_run_at_a_time_writes_a_folder() {
    let files = Files::new();
    let output = files.arg("trained.onnx");
    let train = ["train", "lenet-5", "--data", "sample", "--images", "8", "--epochs", "1", "--resume", "-o", &output];
    std::fs::create_dir(files.at("trained.train")).unwrap();
    let path = files.at("trained.train/.skimp-lock");
    let held = std::fs::File::create(&path).unwrap();
    held.lock().unwrap();
    fails(&train, 1, "another run writes here");
    // Not only closed: a process that another test starts right now has the file open, too, until it runs its program.
    held.unlock().unwrap();
    drop(held);
    // Left by a run that was killed: in nobody's way, and gone afterwards, as are its temporary files.
    #[cfg(target_os = "linux")]
    std::fs::write(files.at("trained.train/.skimp-999999999-x.part"), "half").unwrap();
    ok(&train);
    assert!(!path.exists());
    #[cfg(target_os = "linux")]
    assert!(!files.at("trained.train/.skimp-999999999-x.part").exists());
    let other = files.arg("elsewhere");
    let lock = files.at(".trained.onnx.skimp-lock");
    let held = std::fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let args = [&train[..], &["--folder", &other]].concat();
    fails(&args, 1, "another run writes here");
}
