//! The data sets, one file each.
//!
//! To add one: write a unit struct that implements [`DatasetFormat`] in a file of its own, then add its `mod` line and
//! its entry here. Command line, documentation and tests read the slice.

pub(crate) mod arrays;
mod cifar10;
mod fashion_mnist;
mod imagenet;
mod mnist;
mod npy_pair;
mod sample;

use crate::dataset::DatasetFormat;

/// Every data set, in the order `skimp list datasets` prints them.
pub static DATASETS: &[&dyn DatasetFormat] = &[
    &sample::Sample,
    &cifar10::Cifar10,
    &mnist::Mnist,
    &fashion_mnist::FashionMnist,
    &imagenet::ImageNet,
    &npy_pair::NpyPair,
];

/// The place of a data set that cannot do without one.
fn required<'a>(format: &dyn DatasetFormat, location: Option<&'a str>) -> Result<&'a str, crate::DataError> {
    location.ok_or_else(|| crate::DataError::MissingLocation { dataset: format.name(), example: format.example() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{DataError, Dataset, Preprocess, Split};

    #[test]
    fn entries_are_complete() {
        let mut names = BTreeSet::new();
        for format in DATASETS {
            let name = format.name();
            assert!(names.insert(name), "{name} occurs twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            for text in [format.summary(), format.source()] {
                assert!(!text.is_empty() && !text.contains('\n') && !text.ends_with('.'), "{name}: {text}");
            }
            assert_eq!(format.example().split(':').next(), Some(name));
            format.default_preprocess().parse::<Preprocess>().unwrap();
        }
    }

    #[test]
    fn places_are_demanded_and_checked() {
        for format in DATASETS {
            let name = format.name();
            if format.example().contains(':') {
                let error = Dataset::open(name, Split::Test).unwrap_err();
                assert!(matches!(error, DataError::MissingLocation { .. }), "{name}: {error}");
                let error = Dataset::open(&format!("{name}:"), Split::Test).unwrap_err();
                assert!(matches!(error, DataError::MissingLocation { .. }), "{name}: {error}");
                assert!(Dataset::open(&format!("{name}:/no/such/a,/no/such/b"), Split::Test).is_err());
            } else {
                let error = Dataset::open(&format!("{name}:somewhere"), Split::Test).unwrap_err();
                assert!(matches!(error, DataError::InvalidLocation { .. }), "{name}: {error}");
            }
        }
    }

    #[test]
    fn an_unknown_name_lists_the_valid_ones() {
        let error = Dataset::open("cifar:x", Split::Test).unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown data set \"cifar\", did you mean \"cifar10\"?; \
             valid are sample, cifar10, mnist, fashion-mnist, imagenet, npy"
        );
    }
}
