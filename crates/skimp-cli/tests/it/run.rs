//! `skimp run` on several inputs and chosen outputs.

use skimp::data::npy;
use skimp::graph::{DType, Dim, GraphBuilder, Op, Tensor, onnx};

use crate::{fails, ok, text};

#[test]
fn inputs_and_outputs_are_taken_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    // One name begins with the other, and holds the character that ends a name.
    let mut builder = GraphBuilder::new("two");
    let dims = || vec![Dim::Free("N".to_owned()), Dim::Fixed(2)];
    let a = builder.input("a", DType::F32, dims());
    let b = builder.input("a=b", DType::I64, vec![Dim::Fixed(2)]);
    let sum = builder.node("sum", Op::Add, &[a, a]);
    let twice = builder.node("twice", Op::Add, &[b, b]);
    builder.output(sum);
    builder.output(twice);
    onnx::export(&builder.build().unwrap(), folder.path().join("two.onnx").as_path()).unwrap();
    npy::write(path("1.npy"), &[1, 2], &[1_f32, 2.0]).unwrap();
    npy::write(path("2.npy"), &[2], &[3_i64, 4]).unwrap();
    let (first, second) = (format!("a={}", path("1.npy")), format!("a=b={}", path("2.npy")));
    let (net, y) = (path("two.onnx"), path("y.npy"));
    let run = |inputs: &[&str], rest: &[&str]| {
        let mut args = vec!["run", &net, "-o", &y];
        inputs.iter().for_each(|input| args.extend(["--input", input]));
        args.extend(rest);
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let done = |args: Vec<String>| ok(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let refused = |args: Vec<String>, cause: &str| {
        fails(&args.iter().map(String::as_str).collect::<Vec<_>>(), 2, cause);
    };
    // In any order; both outputs.
    done(run(&[&second, &first], &[]));
    assert_eq!(npy::read(&y).unwrap().data, npy::Data::F32(vec![2.0, 4.0]));
    assert_eq!(npy::read(path("y.1.npy")).unwrap().data, npy::Data::I64(vec![6, 8]));
    // The second output alone, in a file of its own.
    done(run(&[&first, &second], &["--outputs", "twice", "--force"]));
    assert_eq!(npy::read(&y).unwrap().data, npy::Data::I64(vec![6, 8]));
    refused(run(&[&first], &[]), "no --input NAME=X.npy for \"a=b\"");
    refused(run(&[&first, &first, &second], &[]), "two --input files are called \"a\"");
    refused(
        run(&[&path("1.npy")], &[]),
        "expected NAME=X.npy, where the inputs are \"a\" (f32 [N, 2]), \"a=b\" (i64 [2])",
    );
    refused(run(&[&first, &second], &["--outputs", "thrice"]), "the network has no output \"thrice\"");
    refused(run(&[&first, &second], &["--outputs", "sum,sum"]), "two --outputs are called \"sum\"");
}

#[test]
fn a_network_of_constants_takes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| text(&folder.path().join(name)).to_owned();
    let mut builder = GraphBuilder::new("constant");
    let one = builder.constant("one", Tensor::from_f32(vec![2], vec![1.0, 2.0]));
    let sum = builder.node("sum", Op::Add, &[one, one]);
    builder.output(sum);
    onnx::export(&builder.build().unwrap(), folder.path().join("net.onnx").as_path()).unwrap();
    let (net, y) = (path("net.onnx"), path("y.npy"));
    for engine in ["cpu", "reference"] {
        ok(&["run", &net, "-o", &y, "--engine", engine]);
        assert_eq!(npy::read(&y).unwrap().data, npy::Data::F32(vec![2.0, 4.0]));
    }
    fails(&["run", &net, "--input", &y, "-o", &path("z.npy")], 2, "--input");
}
