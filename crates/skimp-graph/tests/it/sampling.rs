//! Images read at computed places, maxima that remember theirs, spectra: operators that the importer expands.
//!
//! Expected values are worked out by hand from the operators' texts.

use skimp_graph::reference::Reference;
use skimp_graph::{Executor as _, Graph, Tensor};

use crate::build::*;
use crate::round_trip::through_file;

fn f(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape.to_vec(), values.to_vec())
}

/// The outputs, which the export of the graph gives as well.
fn run(model: &Model, inputs: &[Tensor]) -> Vec<Tensor> {
    let graph = model.import().expect("it is supported");
    let of = |graph: &Graph| Reference::new(graph).run(inputs).expect("it fits");
    let outputs = of(&graph);
    assert_eq!(of(&through_file(&graph)), outputs);
    outputs
}

fn close(found: &Tensor, expected: &[f32]) {
    let values = found.as_f32().expect("f32");
    assert_eq!(values.len(), expected.len(), "{values:?}");
    assert!(values.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 2e-6 * b.abs().max(1.0)), "{values:?}");
}

#[test]
fn an_image_is_read_at_the_places_of_a_grid() {
    // Two corners, the middle, and half an element beyond the right border.
    let grid = f(&[1, 1, 4, 2], &[-1.0, -1.0, 1.0, -1.0, 0.0, 0.0, 2.0, 0.0]);
    let image = f(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    for (outside, beyond) in [("zeros", 1.5), ("border", 3.0), ("reflection", 2.5)] {
        let attributes = [int_attribute("align_corners", 1), text_attribute("padding_mode", outside)];
        let model = Model::new(16)
            .input("x", FLOAT, &[Named("n"), Is(1), Is(2), Is(2)])
            .input("grid", FLOAT, &[Named("n"), Is(1), Is(4), Is(2)])
            .node("GridSample", &["x", "grid"], &["y"], &attributes)
            .output("y");
        let outputs = run(&model, &[image.clone(), grid.clone()]);
        assert_eq!(outputs[0].shape(), [1, 1, 1, 4]);
        close(&outputs[0], &[1.0, 2.0, 2.5, beyond]);
    }
    // With the borders at −1 and 1, these are 0.25, −0.5 and 1.75 elements from the first one's centre.
    let grid = f(&[1, 3, 1, 2], &[-0.25, 0.0, -1.0, 0.0, 1.25, 0.0]);
    let model = Model::new(20).input("x", FLOAT, &[Is(1), Is(1), Is(1), Is(2)]).input(
        "grid",
        FLOAT,
        &[Is(1), Is(3), Is(1), Is(2)],
    );
    let row = f(&[1, 1, 1, 2], &[1.0, 2.0]);
    let sampled = |mode: &str| {
        let model =
            model.clone().node("GridSample", &["x", "grid"], &["y"], &[text_attribute("mode", mode)]).output("y");
        run(&model, &[row.clone(), grid.clone()]).remove(0)
    };
    close(&sampled("linear"), &[1.25, 0.5, 0.5]);
    close(&sampled("nearest"), &[1.0, 1.0, 0.0]);
    // The kernel of a = −0.75 at a quarter: 0.87890625 and 0.26171875.
    assert!((sampled("cubic").as_f32().expect("f32")[0] - 1.402_343_8).abs() < 1e-6);
}

#[test]
fn affine_maps_become_grids() {
    let model = Model::new(20)
        .input("theta", FLOAT, &[Named("n"), Is(2), Is(3)])
        .initializer(&ints("size", &[1, 1, 2, 2]))
        .node("AffineGrid", &["theta", "size"], &["y"], &[int_attribute("align_corners", 1)])
        .output("y");
    let outputs = run(&model, &[f(&[1, 2, 3], &[1.0, 0.0, 0.5, 0.0, 2.0, 0.0])]);
    assert_eq!(outputs[0].shape(), [1, 2, 2, 2]);
    close(&outputs[0], &[-0.5, -2.0, 1.5, -2.0, -0.5, 2.0, 1.5, 2.0]);
}

#[test]
fn maxima_are_put_back_where_they_were() {
    let window = [ints_attribute("kernel_shape", &[2, 2]), ints_attribute("strides", &[2, 2])];
    let pool = Model::new(13).input("x", FLOAT, &[Named("n"), Is(1), Is(2), Is(2)]);
    let images = [f(&[2, 1, 2, 2], &[1.0, 4.0, 3.0, 2.0, 9.0, 8.0, 7.0, 6.0])];
    let model = pool
        .clone()
        .node("MaxPool", &["x"], &["most", "places"], &window)
        .node("MaxUnpool", &["most", "places"], &["back"], &window)
        .output("places")
        .output("back");
    let outputs = run(&model, &images);
    assert_eq!(outputs[0].as_i64(), Some(&[1, 4][..]));
    assert_eq!(outputs[1].as_f32(), Some(&[0.0, 4.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0][..]));
    // By columns, the second element of the first row is the third.
    let by_columns = [&window[..], &[int_attribute("storage_order", 1)]].concat();
    let model = pool.node("MaxPool", &["x"], &["most", "places"], &by_columns).output("places").output("most");
    assert_eq!(run(&model, &images)[0].as_i64(), Some(&[2, 4][..]));
    // Elements outside of the image never win; of equal ones the first does.
    let padded = [ints_attribute("kernel_shape", &[2]), ints_attribute("pads", &[1, 1])];
    let model = Model::new(13)
        .input("x", FLOAT, &[Is(1), Is(1), Is(2)])
        .node("MaxPool", &["x"], &["most", "places"], &padded)
        .output("places");
    assert_eq!(run(&model, &[f(&[1, 1, 2], &[-1.0, -1.0])])[0].as_i64(), Some(&[0, 0, 1][..]));
}

#[test]
fn a_larger_image_is_filled_from_its_beginning() {
    let model = Model::new(11)
        .input("x", FLOAT, &[Is(1), Is(1), Is(1), Is(1)])
        .initializer(&tensor("places", INT64, &[1, 1, 1, 1], &3_i64.to_le_bytes()))
        .initializer(&ints("shape", &[1, 1, 3, 3]))
        .node("MaxUnpool", &["x", "places", "shape"], &["y"], &[ints_attribute("kernel_shape", &[2, 2])])
        .output("y");
    let mut expected = [0.0; 9];
    expected[4] = 5.0;
    assert_eq!(run(&model, &[f(&[1, 1, 1, 1], &[5.0])])[0].as_f32(), Some(&expected[..]));
}

#[test]
fn a_transform_and_its_inverse() {
    let signal = f(&[1, 4, 1], &[1.0, 2.0, 3.0, 4.0]);
    let spectrum = [10.0, 0.0, -2.0, 2.0, -2.0, 0.0, -2.0, -2.0];
    let real = Model::new(17).input("x", FLOAT, &[Named("n"), Is(4), Is(1)]);
    close(
        &run(&real.clone().node("DFT", &["x"], &["y"], &[]).output("y"), std::slice::from_ref(&signal))[0],
        &spectrum,
    );
    let one_side = real.node("DFT", &["x"], &["y"], &[int_attribute("onesided", 1)]).output("y");
    close(&run(&one_side, &[signal])[0], &spectrum[..6]);
    let inverse = Model::new(20)
        .input("x", FLOAT, &[Is(1), Is(4), Is(2)])
        .node("DFT", &["x"], &["y"], &[int_attribute("inverse", 1)])
        .output("y");
    close(&run(&inverse, &[f(&[1, 4, 2], &spectrum)])[0], &[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0]);
    let from_one_side = Model::new(20)
        .input("x", FLOAT, &[Is(3), Is(2)])
        .initializer(&int_scalar("length", 4))
        .initializer(&int_scalar("axis", 0))
        .node("DFT", &["x", "length", "axis"], &["y"], &[int_attribute("inverse", 1), int_attribute("onesided", 1)])
        .output("y");
    close(&run(&from_one_side, &[f(&[3, 2], &spectrum[..6])])[0], &[1.0, 2.0, 3.0, 4.0]);
    // Another axis than the last but one, with zeros behind the elements.
    let other_axis = Model::new(17)
        .input("x", FLOAT, &[Is(1), Is(2), Is(1), Is(1)])
        .initializer(&int_scalar("length", 4))
        .node("DFT", &["x", "length"], &["y"], &[int_attribute("axis", 1)])
        .output("y");
    let outputs = run(&other_axis, &[f(&[1, 2, 1, 1], &[1.0, 2.0])]);
    assert_eq!(outputs[0].shape(), [1, 4, 1, 2]);
    close(&outputs[0], &[3.0, 0.0, 1.0, -2.0, -1.0, 0.0, 1.0, 2.0]);
}

#[test]
fn windows_of_a_signal_are_transformed_apart() {
    let model = Model::new(17)
        .input("x", FLOAT, &[Named("n"), Named("length"), Is(1)])
        .initializer(&int_scalar("step", 2))
        .initializer(&floats("window", &[2], &[1.0, 0.5]))
        .node("STFT", &["x", "step", "window"], &["y"], &[])
        .output("y");
    let outputs = run(&model, &[f(&[1, 5, 1], &[1.0, 2.0, 3.0, 4.0, 9.0])]);
    assert_eq!(outputs[0].shape(), [1, 2, 2, 2]);
    close(&outputs[0], &[2.0, 0.0, 0.0, 0.0, 5.0, 0.0, 1.0, 0.0]);
}

#[test]
fn windows_and_mel_weights_are_constants() {
    let base = Model::new(17).input("x", FLOAT, &[Is(1)]).initializer(&int_scalar("n", 4));
    let of = |op: &str, periodic: i64| {
        let model = base.clone().node(op, &["n"], &["w"], &[int_attribute("periodic", periodic)]);
        run(&model.node("Mul", &["w", "x"], &["y"], &[]).output("y"), &[f(&[1], &[1.0])]).remove(0)
    };
    close(&of("HannWindow", 1), &[0.0, 0.5, 1.0, 0.5]);
    close(&of("HannWindow", 0), &[0.0, 0.75, 0.75, 0.0]);
    close(&of("HammingWindow", 1), &[4.0 / 46.0, 25.0 / 46.0, 1.0, 25.0 / 46.0]);
    close(&of("BlackmanWindow", 1), &[0.0, 0.34, 1.0, 0.34]);
    // The edges are at 0, 921 and 3,056 hertz: in bins of 16,000 / 17 hertz these are 0, 0 and 3.
    let model = Model::new(17)
        .input("x", FLOAT, &[Is(1)])
        .initializer(&int_scalar("bins", 1))
        .initializer(&int_scalar("length", 16))
        .initializer(&int_scalar("rate", 16_000))
        .initializer(&floats("low", &[], &[0.0]))
        .initializer(&floats("high", &[], &[8_000.0]))
        .node("MelWeightMatrix", &["bins", "length", "rate", "low", "high"], &["w"], &[])
        .node("Mul", &["w", "x"], &["y"], &[])
        .output("y");
    let weights = run(&model, &[f(&[1], &[1.0])]);
    assert_eq!(weights[0].shape(), [9, 1]);
    close(&weights[0], &[1.0, 2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}
