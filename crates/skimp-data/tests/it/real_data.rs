//! The real sets, where `SKIMP_DATA` says where they are. Numbers were computed once with NumPy 2.4 and Pillow 13.

use std::fs::{self, File};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use skimp_data::{Dataset, Samples, Split};

use crate::support::{byte_digest, float_digest, open, preprocess, real_data};

#[test]
fn cifar10() {
    let Some(folder) = real_data("cifar10") else { return };
    let location = format!("cifar10:{}", folder.display());
    let test = open(&location);
    assert_eq!((test.len(), test.n_classes(), test.image_shape()), (10_000, 10, Some([3, 32, 32])));
    assert_eq!(test.layout().partial_text(), None);
    assert_eq!(test.labels()[..10], [3, 6, 8, 5, 6, 9, 5, 0, 3, 1]);
    let batch = test.batch(0..10_000, &preprocess("raw"), [3, 32, 32]).unwrap();
    assert_eq!(byte_digest(&batch.images), "fdb96504bea3723d29c134c739ecc6d8b9ce7cab62ff3130d1a4cc00b491ee94");
    let batch = test.batch(100..300, &preprocess("imagenet"), [3, 32, 32]).unwrap();
    assert_eq!(float_digest(&batch.images), "97af4cde91b5f53bc4f6a8162c567af52f78c1413a1bf50d31167ed5dad912ef");
    let train = Dataset::open(&location, Split::Train).unwrap();
    assert_eq!(train.len(), 50_000);
    assert!((0..10).all(|class| train.labels().iter().filter(|&&label| label == class).count() == 5000));
}

#[test]
fn mnist_and_fashion_mnist() {
    let cases = [
        ("mnist", "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161", [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]),
        (
            "fashion-mnist",
            "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
            [9, 2, 1, 1, 6, 1, 4, 6, 5, 7],
        ),
    ];
    for (name, digest, labels) in cases {
        let Some(folder) = real_data(name) else { return };
        let location = format!("{name}:{}", folder.display());
        let test = open(&location);
        assert_eq!((test.len(), test.image_shape()), (10_000, Some([1, 28, 28])), "{name}");
        assert_eq!(test.labels()[..10], labels, "{name}");
        let batch = test.batch(0..10_000, &preprocess("raw"), [1, 28, 28]).unwrap();
        assert_eq!(byte_digest(&batch.images), digest, "{name}");
        assert_eq!(Dataset::open(&location, Split::Train).unwrap().len(), 60_000, "{name}");
    }
}

#[test]
fn packed_files_give_the_same_digest() {
    let Some(folder) = real_data("mnist") else { return };
    let packed = tempfile::tempdir().unwrap();
    for name in ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"] {
        let file = File::create(packed.path().join(format!("{name}.gz"))).unwrap();
        let mut encoder = GzEncoder::new(file, Compression::fast());
        encoder.write_all(&fs::read(folder.join(name)).unwrap()).unwrap();
        encoder.finish().unwrap();
    }
    let digest = |folder: &std::path::Path| open(&format!("mnist:{}", folder.display())).digest().unwrap().to_owned();
    assert_eq!(digest(&folder), digest(packed.path()));
}

/// The rule stated in `assets/sample/README.md`.
#[test]
fn the_sample_is_the_first_of_each_class() {
    let Some(folder) = real_data("fashion-mnist") else { return };
    for (split, per_class) in [(Split::Test, 100), (Split::Train, 400)] {
        let whole = Dataset::open(&format!("fashion-mnist:{}", folder.display()), split).unwrap();
        let sample = Dataset::open("sample", split).unwrap();
        let mut taken = [0; 10];
        let chosen: Vec<usize> = (0..whole.len())
            .filter(|&index| {
                let count = &mut taken[whole.labels()[index]];
                *count += 1;
                *count <= per_class
            })
            .collect();
        let input = [1, 28, 28];
        let expected = whole.gather(&chosen, &preprocess("raw"), input).unwrap();
        let found = sample.batch(0..sample.len(), &preprocess("raw"), input).unwrap();
        // Their places in the data set differ.
        assert_eq!((found.shape, found.labels), (expected.shape, expected.labels), "{split}");
        assert!(found.images == expected.images, "{split}: images differ");
    }
}

/// Pixels of the 224x224 centre, decoded by Pillow with libjpeg-turbo.
///
/// JPEG decoders differ in the inverse transform and in how they interpolate the halved color planes: over all 334
/// images this one differs from libjpeg-turbo by at most 5 of 255, by 0.20 on average (worst image 0.38).
#[test]
fn imagenet_sample() {
    let Some(folder) = real_data("imagenet-sample") else { return };
    let dataset = open(&format!("imagenet:{}", folder.display()));
    assert_eq!((dataset.len(), dataset.n_classes(), dataset.image_shape()), (334, 1000, None));
    assert_eq!((&dataset.labels()[..3], dataset.labels()[333]), (&[0, 2, 5][..], 997));
    assert!(dataset.labels().is_sorted_by(|a, b| a < b));
    let cases: &[(usize, [f64; 3], [u8; 24])] = &[
        (
            0,
            [123.173, 122.092, 97.377],
            [75, 102, 90, 90, 88, 72, 85, 81, 73, 111, 109, 109, 136, 244, 97, 93, 86, 104, 105, 84, 68, 216, 84, 84],
        ),
        (
            100,
            [139.824, 134.388, 119.645],
            [
                150, 186, 166, 131, 155, 61, 37, 98, 126, 157, 157, 165, 77, 28, 44, 118, 118, 115, 27, 78, 37, 40, 24,
                37,
            ],
        ),
        (
            333,
            [101.615, 82.116, 56.65],
            [91, 143, 140, 140, 136, 34, 160, 115, 33, 70, 42, 148, 54, 74, 121, 146, 53, 25, 45, 55, 39, 78, 21, 108],
        ),
    ];
    for (index, means, pixels) in cases {
        let batch = dataset.batch(*index..index + 1, &preprocess("raw"), [3, 224, 224]).unwrap();
        for (channel, mean) in means.iter().enumerate() {
            let plane = &batch.images[channel * 224 * 224..][..224 * 224];
            let found = plane.iter().map(|&value| f64::from(value)).sum::<f64>() / (224.0 * 224.0);
            assert!((found - mean).abs() < 0.4, "image {index}, channel {channel}: mean {found}, expected {mean}");
        }
        for (&pixel, position) in pixels.iter().zip((0..).map(|i| i * 6271)) {
            let found = batch.images[position];
            assert!(
                (found - f32::from(pixel)).abs() <= 5.0,
                "image {index}, value {position}: {found}, expected {pixel}"
            );
        }
        let Samples::U8(stored) = dataset.image(*index).unwrap().samples else { panic!("a JPEG has bytes") };
        assert!(stored.len() >= 3 * 256 * 256);
    }
}
