//! External data files, well-behaved and not.

use std::fs;
use std::path::Path;

use skimp_graph::{Graph, GraphError, onnx};

use crate::build::{FLOAT, Is, Model, external};

fn model(entries: &[(&str, &str)]) -> Model {
    Model::new(13)
        .input("x", FLOAT, &[Is(1), Is(2)])
        .initializer(&external("w", FLOAT, &[2], entries))
        .node("Add", &["x", "w"], &["y"], &[])
        .output("y")
}

fn weights(graph: &Graph) -> Vec<f32> {
    let tensor = graph.values().iter().find_map(|value| value.constant.as_ref()).expect("one constant");
    tensor.as_f32().expect("f32").to_vec()
}

fn write(path: &Path, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(path, bytes).expect("writable");
}

#[test]
fn data_is_read_relative_to_the_model() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(folder.path().join("data")).expect("writable");
    write(&folder.path().join("data/w.bin"), &[9.0, 1.5, 2.5, 9.0]);
    let entries = [("location", "data/w.bin"), ("offset", "4"), ("length", "8")];
    let path = folder.path().join("model.onnx");
    fs::write(&path, model(&entries).to_bytes()).expect("writable");
    assert_eq!(weights(&onnx::import(&path).expect("valid")), [1.5, 2.5]);
    let no_length = model(&[("location", "./data/w.bin")]);
    assert_eq!(weights(&no_length.import_beside(folder.path()).expect("valid")), [9.0, 1.5]);
}

#[test]
fn bad_references_are_refused() {
    let outer = tempfile::tempdir().expect("a temporary folder");
    let folder = outer.path().join("model");
    fs::create_dir(&folder).expect("writable");
    write(&outer.path().join("secret.bin"), &[1.0, 2.0]);
    write(&folder.join("w.bin"), &[1.0, 2.0]);
    fs::create_dir(folder.join("sub")).expect("writable");
    let absolute = folder.join("w.bin").to_string_lossy().into_owned();
    let mut cases: Vec<(Vec<(&str, &str)>, &str)> = vec![
        (vec![("location", "../secret.bin")], "leaves the folder"),
        (vec![("location", "sub/../../secret.bin")], "leaves the folder"),
        (vec![("location", "sub/../w.bin")], "leaves the folder"),
        (vec![("location", &absolute)], "leaves the folder"),
        (vec![("location", "..\\secret.bin")], "leaves the folder"),
        (vec![("location", "")], "leaves the folder"),
        (vec![("location", "sub")], "not a file"),
        (vec![("location", "missing.bin")], "missing.bin"),
        (vec![], "without a location"),
        (vec![("location", "w.bin"), ("offset", "1")], "lies outside"),
        (vec![("location", "w.bin"), ("offset", "18446744073709551615")], "lies outside"),
        (vec![("location", "w.bin"), ("offset", "-1")], "offset \"-1\" is no number"),
        (vec![("location", "w.bin"), ("length", "4")], "4 bytes, expected 8"),
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(outer.path().join("secret.bin"), folder.join("link.bin")).expect("links");
        std::os::unix::fs::symlink(outer.path(), folder.join("up")).expect("links");
        std::os::unix::fs::symlink("w.bin", folder.join("inside.bin")).expect("links");
        cases.push((vec![("location", "link.bin")], "link that leaves"));
        cases.push((vec![("location", "up/secret.bin")], "link that leaves"));
        let inside = model(&[("location", "inside.bin")]).import_beside(&folder).expect("the link stays inside");
        assert_eq!(weights(&inside), [1.0, 2.0]);
    }
    for (entries, fragment) in cases {
        let error = model(&entries).import_beside(&folder).expect_err(fragment).to_string();
        assert!(error.contains(fragment), "{entries:?}: {error}");
    }
    let error = model(&[("location", "w.bin")]).import().expect_err("no folder").to_string();
    assert!(error.contains("no folder"), "{error}");
}

#[test]
fn huge_external_tensors_allocate_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(&folder.path().join("w.bin"), &[1.0, 2.0]);
    let huge = Model::new(13)
        .input("x", FLOAT, &[Is(1)])
        .initializer(&external("w", FLOAT, &[1 << 40], &[("location", "w.bin")]))
        .node("Add", &["x", "w"], &["y"], &[])
        .output("y");
    let error = huge.import_beside(folder.path()).expect_err("too large");
    assert!(matches!(error, GraphError::InvalidFile { .. }), "{error}");
    assert!(error.to_string().contains("lies outside"), "{error}");
}
