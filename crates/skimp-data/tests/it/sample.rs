//! The embedded sample.

use skimp_data::{Dataset, InputSpec, Split};

use crate::support::{byte_digest, preprocess};

const INPUT: InputSpec = InputSpec { channels: 1, height: 28, width: 28 };

#[derive(Debug)]
struct Case {
    split: Split,
    per_class: usize,
    digest: &'static str,
}

const CASES: [Case; 2] = [
    Case {
        split: Split::Test,
        per_class: 100,
        digest: "2cc1c62850307862b82816cfaea743bbbedabb93424897cf443769ffcc96c88a",
    },
    Case {
        split: Split::Train,
        per_class: 400,
        digest: "173d5bb2e9785bb93475fe450ebc2780f302ea7a6a3404bd15dd7a5d691e5302",
    },
];

#[test]
fn both_splits_are_balanced_and_fixed() {
    for case in CASES {
        let sample = Dataset::open("sample", case.split).unwrap();
        assert_eq!((sample.name(), sample.split(), sample.n_classes()), ("sample", case.split, 10));
        assert_eq!(sample.image_shape(), Some([1, 28, 28]));
        assert_eq!(sample.len(), 10 * case.per_class, "{case:?}");
        for class in 0..10 {
            let n = sample.labels().iter().filter(|&&label| label == class).count();
            assert_eq!(n, case.per_class, "class {class} of {case:?}");
        }
        assert_eq!(sample.digest().unwrap(), case.digest, "{case:?}");
        assert_eq!(sample.digest().unwrap(), case.digest, "second call, {case:?}");
    }
}

#[test]
fn pixels_are_those_of_the_idx_files() {
    let sample = Dataset::open("sample", Split::Test).unwrap();
    assert_eq!(sample.labels()[..10], [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]);
    let batch = sample.batch(0..1000, &preprocess("raw"), INPUT).unwrap();
    assert_eq!(batch.shape, [1000, 1, 28, 28]);
    assert_eq!(byte_digest(&batch.images), "3d7f6d64869a3f2d1afe64ae33ffb9b20670a91b31e3bbf0657e3999ec7b35cf");
    assert_eq!(batch.labels, sample.labels());
}

#[test]
fn its_preprocessing_centres_it() {
    let sample = Dataset::open("sample", Split::Train).unwrap();
    let batch = sample.batch(0..sample.len(), &preprocess("sample"), INPUT).unwrap();
    let n = batch.images.len() as f64;
    let mean = batch.images.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
    let variance = batch.images.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / n - mean * mean;
    // 4,000 of the 60,000 images from which mean and deviation were taken.
    assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
}
