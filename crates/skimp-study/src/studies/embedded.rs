//! The embedded studies, and how a study is found and changed from the command line.

use std::path::Path;

use crate::error::StudyError;
use crate::simulate::designs::Designs;
use crate::studies::config::StudyConfig;
use crate::studies::published::PublishedConfig;

/// Every embedded study, in the order of `skimp list studies`.
pub(crate) static STUDIES: &[(&str, &str)] = &[
    ("tour", include_str!("../../../../configs/studies/tour.toml")),
    ("sample", include_str!("../../../../configs/studies/sample.toml")),
    ("cifar10-resnet20", include_str!("../../../../configs/studies/cifar10-resnet20.toml")),
    ("vgg16-imagenet", include_str!("../../../../configs/studies/vgg16-imagenet.toml")),
    ("zero-skipping", include_str!("../../../../configs/studies/zero-skipping.toml")),
    ("lecture-comparison", include_str!("../../../../configs/studies/lecture-comparison.toml")),
    ("selective-gradients", include_str!("../../../../configs/studies/selective-gradients.toml")),
    ("low-precision-training", include_str!("../../../../configs/studies/low-precision-training.toml")),
    ("few-bits", include_str!("../../../../configs/studies/few-bits.toml")),
    ("recasting-table", include_str!("../../../../configs/studies/recasting-table.toml")),
    ("reduction", include_str!("../../../../configs/studies/reduction.toml")),
    ("reduction-cifar10", include_str!("../../../../configs/studies/reduction-cifar10.toml")),
    ("composition", include_str!("../../../../configs/studies/composition.toml")),
    ("binary-table", include_str!("../../../../configs/studies/binary-table.toml")),
    ("binary-table-cifar10", include_str!("../../../../configs/studies/binary-table-cifar10.toml")),
    ("one-pops-per-watt", include_str!("../../../../configs/studies/one-pops-per-watt.toml")),
    ("analog-comparison", include_str!("../../../../configs/studies/analog-comparison.toml")),
    ("device-sweep", include_str!("../../../../configs/studies/device-sweep.toml")),
    ("low-precision-cifar10", include_str!("../../../../configs/studies/low-precision-cifar10.toml")),
];

/// The embedded studies.
///
/// # Errors
/// [`StudyError::InvalidStudy`] if one does not parse: a bug, which a test looks for.
pub fn embedded_studies() -> Result<Vec<StudyConfig>, StudyError> {
    STUDIES.iter().map(|(name, text)| StudyConfig::parse(text, name)).collect()
}

/// What the command line changes in a study.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StudyOverrides {
    /// Another network.
    pub model: Option<String>,
    /// Another data set.
    pub data: Option<String>,
    /// Another preprocessing.
    pub preprocess: Option<String>,
    /// Another input height and width.
    pub input_size: Option<[usize; 2]>,
    /// Another number of simulated images.
    pub images: Option<usize>,
    /// Another number of images for the accuracy.
    pub accuracy_images: Option<usize>,
    /// Images at random, keyed by this seed.
    pub seed: Option<u64>,
    /// Keys that are the kind's own, as they stand in a study file.
    pub own: toml::Table,
}

impl StudyConfig {
    /// An embedded study by name, or a file by path, of embedded designs; with `overrides` on top.
    ///
    /// # Errors
    /// [`StudyError::UnknownStudy`] if there is no such study, [`StudyError::InvalidStudy`] if it is wrong.
    pub fn open(study: &str, overrides: &StudyOverrides) -> Result<Self, StudyError> {
        Self::open_with(study, overrides, Designs::embedded())
    }

    /// As [`open`](Self::open), of these designs.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_with(study: &str, overrides: &StudyOverrides, designs: Designs) -> Result<Self, StudyError> {
        let mut opened = match STUDIES.iter().find(|(name, _)| *name == study) {
            Some((name, text)) => Self::parse(text, name)?,
            None => Self::parse(&read(study)?, study)?,
        };
        if !opened.plan.reads_header() {
            let StudyOverrides { model, data, preprocess, input_size, images, accuracy_images, seed, own: _ } =
                overrides;
            let texts = [model.is_some(), data.is_some(), preprocess.is_some(), input_size.is_some()];
            let numbers = [images.is_some(), accuracy_images.is_some(), seed.is_some()];
            if texts.into_iter().chain(numbers).any(|is_given| is_given) {
                let cause =
                    format!("a study of kind {} names its networks itself and reads no images", opened.plan.kind());
                return Err(StudyError::InvalidStudy { path: study.into(), cause });
            }
        }
        let folder = Path::new(study).parent().unwrap_or(Path::new(""));
        opened.plan.set(&overrides.own)?;
        opened.plan.read_files(&designs, folder)?;
        let config = &mut opened.header;
        let data = &mut config.data;
        let replaces =
            |own: &str, given: &Option<String>| given.as_ref().is_some_and(|given| !own.is_empty() && own != given);
        // A heading or a comparison of the file's own network says nothing of another one.
        if replaces(&config.network.model, &overrides.model) {
            config.published.iter_mut().for_each(PublishedConfig::disown);
            if !config.title.contains("{network}") {
                config.title.push_str(" (here on {network})");
            }
        }
        if replaces(&data.set, &overrides.data) && !config.title.contains("{data}") {
            config.title.push_str(" (here on {data})");
        }
        if let Some(model) = &overrides.model {
            config.network.model.clone_from(model);
        }
        if let Some(set) = &overrides.data {
            data.set.clone_from(set);
        }
        if overrides.preprocess.is_some() {
            data.preprocess.clone_from(&overrides.preprocess);
        }
        config.network.input_size = overrides.input_size.or(config.network.input_size);
        data.images = overrides.images.unwrap_or(data.images);
        data.accuracy_images = overrides.accuracy_images.unwrap_or(data.accuracy_images);
        data.seed = overrides.seed.or(data.seed);
        for (value, what, flag) in
            [(&config.network.model, "network", "--network MODEL"), (&data.set, "data set", "--data NAME[:DIR]")]
        {
            if opened.plan.reads_header() && value.is_empty() {
                return Err(StudyError::StudyNeeds { study: config.name.clone(), what, flag });
            }
        }
        let invalid = |cause| StudyError::InvalidStudy { path: study.into(), cause };
        opened.plan.check(&opened.header).map_err(invalid)?;
        Ok(opened)
    }
}

/// Longer files are no study.
const MAX_BYTES: u64 = 16 << 20;

fn read(study: &str) -> Result<String, StudyError> {
    match skimp_files::read_to_string(Path::new(study), MAX_BYTES) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let known = STUDIES.iter().map(|(name, _)| *name).collect();
            Err(StudyError::UnknownStudy { name: study.to_owned(), known })
        }
        Err(source) => Err(StudyError::Io { path: study.into(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_studies_parse_and_round_trip() {
        for (study, (name, _)) in embedded_studies().unwrap().into_iter().zip(STUDIES) {
            assert_eq!(study.header.name, *name);
            let again = StudyConfig::parse(&study.to_toml().unwrap(), name).unwrap();
            assert_eq!(again, study);
        }
    }

    #[test]
    fn the_documented_example_is_a_study() {
        let page = include_str!("../../../../docs/studies.md");
        let (_, rest) = page.split_once("```toml\n").unwrap();
        let (example, _) = rest.split_once("```").unwrap();
        StudyConfig::parse(example, "docs/studies.md").unwrap();
    }

    #[test]
    fn a_study_says_what_it_lacks() {
        let none = StudyOverrides::default();
        let error = StudyConfig::open("vgg16-imagenet", &none).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("--network"), "{error}");
        let error = StudyConfig::open("no-such-study", &none).unwrap_err();
        assert!(error.to_string().contains("lecture-comparison"), "{error}");
    }

    #[test]
    fn mistakes_in_a_study_are_named() {
        let (_, good) = STUDIES.iter().find(|(name, _)| *name == "sample").unwrap();
        for (from, to, message) in [
            ("schema = 1", "schema = 2", "schema is 2, expected 1"),
            ("title =", "tittle =", "unknown field `tittle`"),
            ("baseline = \"ComPEND without END\"", "baseline = \"x\"", "comparison names \"x\""),
            ("label = \"ComPEND with END\"", "label = \"y\"", "comparison names \"ComPEND with END\""),
            ("label = \"DaDianNao\"", "label = \"ComPEND with END\"", "two accelerators are labeled"),
        ] {
            assert!(good.contains(from), "{from}");
            let error = StudyConfig::parse(&good.replacen(from, to, 1), "s.toml").unwrap_err().to_string();
            assert!(error.starts_with("s.toml: ") && error.contains(message), "{error}");
        }
    }
}
