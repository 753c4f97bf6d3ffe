//! From stored images to a network's input: channels, extents, errors.

use rayon::ThreadPoolBuilder;
use skimp_data::{InputSpec, npy};

use crate::support::{batch_of, byte_digest, float_digest, open, picture, preprocess};

#[derive(Debug)]
struct Scaled {
    image: [usize; 3],
    keys: &'static str,
    target: [usize; 3],
    digest: &'static str,
}

/// Digests of Pillow 13.0.0's result: `Image.resize` to the scaled extents, then `Image.crop`.
#[test]
fn scaling_equals_pillow_bit_for_bit() {
    let cases = &include!("pillow_digests.in");
    for case @ Scaled { image: [c, h, w], keys, target, digest } in cases {
        let batch = batch_of([*c, *h, *w], &picture(*c, *h, *w), keys, *target);
        assert_eq!(byte_digest(&batch.images), *digest, "{case:?}");
    }
}

#[test]
fn nearest_repeats_pixels() {
    let batch = batch_of([1, 2, 2], &[1u8, 2, 3, 4], "raw,filter=nearest", [1, 4, 4]);
    assert_eq!(batch.images, [1., 1., 2., 2., 1., 1., 2., 2., 3., 3., 4., 4., 3., 3., 4., 4.]);
}

/// Digest of Pillow 13.0.0's result in its mode "F".
#[test]
fn floats_scale_without_rounding_to_bytes() {
    let floats: Vec<f32> = picture(1, 28, 28).iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let batch = batch_of([1, 28, 28], &floats, "raw", [1, 32, 32]);
    let digest = "990da8864b3cc3d590b22c1133e81b98fd1643afb645397c360c5d4e77637e54";
    assert_eq!(float_digest(&batch.images), digest);
}

#[test]
fn channels() {
    let gray = batch_of([1, 1, 2], &[10u8, 20], "caffe", [3, 1, 2]);
    let expected = [10.0 - 103.939, 20.0 - 103.939, 10.0 - 116.779, 20.0 - 116.779, 10.0 - 123.68, 20.0 - 123.68f32];
    assert_eq!(gray.images, expected);
    let bgr = batch_of([3, 1, 1], &[1u8, 2, 3], "raw,order=bgr", [3, 1, 1]);
    assert_eq!(bgr.images, [3.0, 2.0, 1.0]);
    let four = batch_of([4, 1, 1], &[1u8, 2, 3, 4], "raw", [4, 1, 1]);
    assert_eq!(four.images, [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn misfits_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
    npy::write(&x, &[1, 3, 2, 2], &[0u8; 12]).unwrap();
    npy::write(&y, &[1], &[0u8]).unwrap();
    let rgb = open(&format!("npy:{},{}", x.display(), y.display()));
    let sample = open("sample");
    let cases = [
        (&rgb, 0..1, "unit", [1, 2, 2], "data set \"npy\" has 3 channels, but the network takes 1"),
        (&rgb, 0..1, "unit", [4, 2, 2], "data set \"npy\" has 3 channels, but the network takes 4"),
        (&rgb, 0..1, "unit", [2, 3, 2], "the network takes 2, as many as the last axis has: transpose"),
        (&sample, 0..1, "unit", [1000, 28, 28], "data set \"sample\" has 1 channels, but the network takes 1000"),
        (&sample, 0..1, "unit", [2, 28, 28], "(gray becomes color, 1 to 3; nothing else is changed)"),
        (&sample, 0..1, "imagenet", [1, 28, 28], "\"mean\" has 3 values, but the network's input has 1 channels"),
        (&sample, 999..1001, "unit", [1, 28, 28], "image 1000 is out of range, data set \"sample\" has 1000 images"),
        (&sample, 0..usize::MAX, "unit", [1, 28, 28], "is out of range"),
        (&sample, 0..1, "unit", [1, 0, 28], "must not be 0"),
        (&sample, 0..1, "unit", [1, usize::MAX, 28], "must not exceed 2^24"),
        (&sample, 0..1000, "unit", [1, 1 << 24, 1 << 24], "it needs more than 64 GiB"),
    ];
    for (dataset, range, keys, target, expected) in cases {
        let error = dataset.batch(range, &preprocess(keys), InputSpec::from(target)).unwrap_err().to_string();
        assert!(error.contains(expected), "{keys} {target:?}: {error}");
    }
    assert_eq!(sample.batch(5..5, &preprocess("unit"), [1, 28, 28]).unwrap().shape, [0, 1, 28, 28]);
    assert!(sample.image(1000).is_err());
}

/// What is changed in an image is said: scaled sides as `Resize(256)` of torchvision has them, long sides rounded down.
#[test]
fn adaptations_are_named() {
    let set = |shape: [usize; 3]| {
        let folder = tempfile::tempdir().unwrap();
        let (x, y) = (folder.path().join("x.npy"), folder.path().join("y.npy"));
        npy::write(&x, &[1, shape[0], shape[1], shape[2]], &vec![0u8; shape.iter().product()]).unwrap();
        npy::write(&y, &[1], &[0u8]).unwrap();
        open(&format!("npy:{},{}", x.display(), y.display()))
    };
    type Adapted<'a> = ([usize; 3], &'a str, [usize; 3], &'a [&'a str]);
    let cases: [Adapted; 6] = [
        ([3, 32, 32], "unit", [3, 32, 32], &[]),
        ([1, 28, 28], "unit", [1, 28, 28], &[]),
        ([1, 28, 28], "unit", [3, 32, 32], &["resized from 28x28 to 32x32", "gray repeated to 3 channels"]),
        (
            [3, 300, 400],
            "unit",
            [3, 224, 224],
            &["resized from 300x400 to 256x341, then cropped to 224x224 around the center"],
        ),
        ([3, 40, 40], "unit,resize=40", [3, 32, 32], &["cropped from 40x40 to 32x32 around the center"]),
        (
            [3, 32, 32],
            "unit,resize=40",
            [3, 32, 32],
            &["resized from 32x32 to 40x40, then cropped to 32x32 around the center"],
        ),
    ];
    for (shape, keys, target, expected) in cases {
        assert_eq!(set(shape).adaptations(&preprocess(keys), target), expected, "{shape:?} {keys} {target:?}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let sample = open("sample");
    let batch = |threads| {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| sample.batch(0..200, &preprocess("sample"), [3, 40, 30]).unwrap())
    };
    assert_eq!(batch(1), batch(3));
}
