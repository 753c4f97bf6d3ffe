//! From a stored pixel to the number that the network sees.
//!
//! Every preprocessing is one formula with settings, computed in f32, rounding to nearest even after each operation:
//!
//! ```text
//! x = p · scale / max          (p: stored value; x = p where scale = max)
//! y = (x − mean) / std
//! z = y, or with fraction_bits = b:  clamp(floor(y · 2^b + 0.5), −2^b, 2^b − 1) / 2^b
//! ```
//!
//! With the defaults scale = 1 and max = 255 that is `(p as f32 / 255.0 - mean) / std`.
//!
//! | key | value | default |
//! |---|---|---|
//! | `scale` | what a full-scale pixel becomes before mean and std | 1 |
//! | `max` | the stored value of a full-scale pixel; 1 for `.npy` files on 0..1 | 255 |
//! | `mean`, `std` | one value, or one per channel separated by `/`, in the order the network sees the channels | 0, 1 |
//! | `order` | `rgb` or `bgr` | `rgb` |
//! | `fraction_bits` | rounding to fixed point, 0 to 16 | none |
//! | `resize` | the short side before the crop, 1 to 65536 | see below |
//! | `filter` | `bicubic`, `bilinear` or `nearest` | `bicubic` |
//!
//! A text is a preset's name ([`PRESETS`]), keys (`mean=0.498,std=0.502,order=bgr`), or a name with keys that change
//! it (`imagenet,order=bgr`).
//!
//! An image whose rows and columns are those of the network's input keeps its pixels, unless `resize` is given. Others
//! are scaled, then cropped around the centre (offsets rounded down): to a short side of 256 (images in folders, and `.npy` images that are at
//! least as large), or just so that they cover the input (smaller images such as 28x28 for a network that takes 32x32;
//! also where a short side of 256 does not cover it). Gray images become three equal channels for a network that takes three;
//! any other difference in channels is an error.

mod presets;

use std::fmt;
use std::str::FromStr;

pub use presets::{PRESETS, Preset};

use crate::nearest::nearest;
use crate::resize::fit;
use crate::{DataError, Image, Samples};

/// Order in which the network sees color channels. Data is stored as RGB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ChannelOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// How pixels are weighed when an image is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Filter {
    /// The pixel whose center is nearest, so that a factor of two repeats each pixel.
    Nearest,
    /// Triangle, antialiased.
    Bilinear,
    /// Keys' cubic with a = −1/2, antialiased.
    #[default]
    Bicubic,
}

/// A preprocessing; see the [module](self) for its formula and its keys.
///
/// Parse one from text. [`fmt::Display`] writes it as keys, which parse to an equal one.
///
/// ```
/// use skimp_data::Preprocess;
///
/// let preset: Preprocess = "caffe".parse()?;
/// assert_eq!(preset, "scale=255,order=bgr,mean=103.939/116.779/123.68".parse()?);
/// # Ok::<(), skimp_data::DataError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    scale: f32,
    max: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
    order: ChannelOrder,
    fraction_bits: Option<u32>,
    resize: Option<usize>,
    filter: Filter,
}

impl Default for Preprocess {
    /// The preset `unit`.
    fn default() -> Self {
        Self {
            scale: 1.0,
            max: 255.0,
            mean: vec![0.0],
            std: vec![1.0],
            order: ChannelOrder::Rgb,
            fraction_bits: None,
            resize: None,
            filter: Filter::default(),
        }
    }
}

const KEYS: [&str; 8] = ["scale", "max", "mean", "std", "order", "fraction_bits", "resize", "filter"];
const MAX_FRACTION_BITS: u32 = 16;
const MAX_RESIZE: usize = 1 << 16;

impl FromStr for Preprocess {
    type Err = DataError;

    fn from_str(text: &str) -> Result<Self, DataError> {
        let mut preprocess = Self::default();
        let mut seen = Vec::new();
        for (index, item) in text.split(',').map(str::trim).enumerate() {
            match item.split_once('=') {
                Some((key, value)) => {
                    let (key, value) = (key.trim(), value.trim());
                    if seen.contains(&key) {
                        return Err(invalid(key, value, "each key once"));
                    }
                    preprocess.set(key, value)?;
                    seen.push(key);
                }
                None if index == 0 => {
                    let preset = find_preset(item)?;
                    for (key, value) in preset.keys.split(',').filter_map(|item| item.split_once('=')) {
                        preprocess.set(key, value)?;
                    }
                }
                None => return Err(invalid(item, "", "key=value after the first item")),
            }
        }
        Ok(preprocess)
    }
}

fn find_preset(name: &str) -> Result<&'static Preset, DataError> {
    let names = || PRESETS.iter().map(|preset| preset.name);
    PRESETS.iter().find(|preset| preset.name == name).ok_or_else(|| {
        let keys = KEYS.map(|key| format!("{key}=…")).join(", ");
        DataError::UnknownPreprocess {
            kind: "preset",
            name: name.to_owned(),
            nearest: nearest(name, names()),
            valid: format!("{}, or the keys {keys}", names().collect::<Vec<_>>().join(", ")),
        }
    })
}

fn invalid(key: &str, value: &str, expected: &'static str) -> DataError {
    DataError::InvalidPreprocess { key: key.to_owned(), value: value.to_owned(), expected }
}

impl Preprocess {
    fn set(&mut self, key: &str, value: &str) -> Result<(), DataError> {
        let positive = |number: &f32| *number > 0.0 && number.is_finite();
        let list = |valid: fn(f32) -> bool, expected| {
            let numbers = value.split('/').map(|part| part.trim().parse::<f32>().ok().filter(|&n| valid(n)));
            numbers.collect::<Option<Vec<f32>>>().ok_or_else(|| invalid(key, value, expected))
        };
        let number = |expected| value.parse::<f32>().ok().filter(positive).ok_or_else(|| invalid(key, value, expected));
        match key {
            "scale" => self.scale = number("a positive number")?,
            "max" => self.max = number("a positive number")?,
            "mean" => self.mean = list(f32::is_finite, "a number, or one per channel such as 0.485/0.456/0.406")?,
            "std" => {
                self.std =
                    list(|n| n > 0.0 && n.is_finite(), "a positive number, or one per channel such as 0.2/0.3/0.3")?;
            }
            "order" => {
                self.order = match value {
                    "rgb" => ChannelOrder::Rgb,
                    "bgr" => ChannelOrder::Bgr,
                    _ => return Err(invalid(key, value, "rgb or bgr")),
                }
            }
            "fraction_bits" => {
                let bits = value.parse().ok().filter(|&bits| bits <= MAX_FRACTION_BITS);
                self.fraction_bits = Some(bits.ok_or_else(|| invalid(key, value, "an integer from 0 to 16"))?);
            }
            "resize" => {
                let side = value.parse().ok().filter(|side| (1..=MAX_RESIZE).contains(side));
                self.resize = Some(side.ok_or_else(|| invalid(key, value, "an integer from 1 to 65536"))?);
            }
            "filter" => {
                self.filter = match value {
                    "bicubic" => Filter::Bicubic,
                    "bilinear" => Filter::Bilinear,
                    "nearest" => Filter::Nearest,
                    _ => return Err(invalid(key, value, "bicubic, bilinear or nearest")),
                }
            }
            _ => {
                return Err(DataError::UnknownPreprocess {
                    kind: "key",
                    name: key.to_owned(),
                    nearest: nearest(key, KEYS),
                    valid: KEYS.join(", "),
                });
            }
        }
        Ok(())
    }

    /// The number that the network sees in its input channel `channel` for the stored value `p`.
    ///
    /// A single mean or standard deviation stands for all channels; where there are more, a `channel` beyond the last
    /// counts as the last.
    pub fn value(&self, p: f32, channel: usize) -> f32 {
        let pick = |list: &[f32], default: f32| list.get(channel).or(list.last()).copied().unwrap_or(default);
        let x = if self.scale.total_cmp(&self.max).is_eq() { p } else { p * self.scale / self.max };
        let y = (x - pick(&self.mean, 0.0)) / pick(&self.std, 1.0);
        match self.fraction_bits {
            None => y,
            Some(bits) => {
                let one = (1u32 << bits) as f32;
                (y * one + 0.5).floor().clamp(-one, one - 1.0) / one
            }
        }
    }

    /// Least and greatest number that 8-bit pixels become in channel `channel`.
    pub fn byte_range(&self, channel: usize) -> [f32; 2] {
        [self.value(0.0, channel), self.value(255.0, channel)]
    }

    /// The short side before the crop, where it is given.
    pub(crate) fn short_side(&self) -> Option<usize> {
        self.resize
    }

    /// Checks that data and network fit and tabulates the formula for bytes.
    pub(crate) fn compile(&self, dataset: &str, data: usize, input: usize, fixed: bool) -> Result<Pipeline, DataError> {
        if data != input && [data, input] != [1, 3] {
            return Err(DataError::Channels { dataset: dataset.to_owned(), data, input, last_axis: false });
        }
        for (key, list) in [("mean", &self.mean), ("std", &self.std)] {
            if list.len() != 1 && list.len() != input {
                let cause = format!("has {} values", list.len());
                return Err(DataError::PreprocessChannels { key, cause, channels: input });
            }
        }
        let reverse = self.order == ChannelOrder::Bgr && data != 1;
        if reverse && input != 3 {
            let cause = "needs 3 channels".to_owned();
            return Err(DataError::PreprocessChannels { key: "order=bgr", cause, channels: input });
        }
        let channels = (0..input)
            .map(|channel| Channel {
                plane: if data == 1 {
                    0
                } else if reverse {
                    input - 1 - channel
                } else {
                    channel
                },
                table: std::array::from_fn(|p| self.value(p as f32, channel)),
            })
            .collect();
        Ok(Pipeline { preprocess: self.clone(), channels, fixed })
    }
}

impl fmt::Display for Preprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let default = Self::default();
        let list = |numbers: &[f32]| numbers.iter().map(f32::to_string).collect::<Vec<_>>().join("/");
        write!(f, "scale={}", self.scale)?;
        if self.max.total_cmp(&default.max).is_ne() {
            write!(f, ",max={}", self.max)?;
        }
        if self.mean != default.mean {
            write!(f, ",mean={}", list(&self.mean))?;
        }
        if self.std != default.std {
            write!(f, ",std={}", list(&self.std))?;
        }
        if self.order == ChannelOrder::Bgr {
            f.write_str(",order=bgr")?;
        }
        if let Some(bits) = self.fraction_bits {
            write!(f, ",fraction_bits={bits}")?;
        }
        if let Some(side) = self.resize {
            write!(f, ",resize={side}")?;
        }
        f.write_str(match self.filter {
            Filter::Bicubic => "",
            Filter::Bilinear => ",filter=bilinear",
            Filter::Nearest => ",filter=nearest",
        })
    }
}

/// A preprocessing made ready for one data set and one network.
pub(crate) struct Pipeline {
    preprocess: Preprocess,
    channels: Vec<Channel>,
    fixed: bool,
}

/// Where an input channel comes from, and what each byte becomes in it.
struct Channel {
    plane: usize,
    table: [f32; 256],
}

impl Pipeline {
    /// Writes the preprocessed image to `out`, which holds channels · height · width values.
    pub(crate) fn apply(&self, image: Image<'_>, height: usize, width: usize, out: &mut [f32]) {
        let Preprocess { resize, filter, .. } = self.preprocess;
        let image = fit(image, [height, width], resize, filter, self.fixed);
        let len = height * width;
        for (index, (channel, out)) in self.channels.iter().zip(out.chunks_exact_mut(len)).enumerate() {
            let plane = channel.plane * len..(channel.plane + 1) * len;
            match &image.samples {
                Samples::U8(values) => {
                    let pixels = values[plane].iter();
                    out.iter_mut().zip(pixels).for_each(|(out, &p)| *out = channel.table[usize::from(p)]);
                }
                Samples::F32(values) => {
                    let pixels = values[plane].iter();
                    out.iter_mut().zip(pixels).for_each(|(out, &p)| *out = self.preprocess.value(p, index));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn presets_are_complete_and_round_trip() {
        let mut names = BTreeSet::new();
        for Preset { name, summary, source, keys } in PRESETS {
            assert!(names.insert(name), "{name} occurs twice");
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-'), "{name}");
            assert!(!summary.is_empty() && !source.is_empty(), "{name}");
            let preset: Preprocess = name.parse().unwrap();
            assert_eq!(preset, keys.parse().unwrap(), "{name}");
            assert_eq!(preset, preset.to_string().parse().unwrap(), "{name}: {preset}");
        }
    }

    #[test]
    fn every_key_round_trips() {
        let text = "scale=2,max=7,mean=0.1/-0.2,std=0.3/1e-9,order=bgr,fraction_bits=3,resize=99,filter=nearest";
        let parsed: Preprocess = text.parse().unwrap();
        assert_eq!(parsed, parsed.to_string().parse().unwrap());
        assert_eq!(KEYS.iter().filter(|key| parsed.to_string().contains(&format!("{key}="))).count(), KEYS.len());
        assert_eq!("imagenet, order=bgr , filter = bilinear".parse::<Preprocess>().unwrap().order, ChannelOrder::Bgr);
    }

    /// Bits computed with NumPy in float32: for p = 0, 1, 77, 128, 254, 255 by the formula of each preset.
    #[test]
    fn values_equal_numpy_bit_for_bit() {
        let table: &[(&str, usize, [u32; 6])] = &include!("numpy_values.in");
        for (name, channel, expected) in table {
            let preprocess: Preprocess = name.parse().unwrap();
            let values = [0.0, 1.0, 77.0, 128.0, 254.0, 255.0].map(|p| preprocess.value(p, *channel).to_bits());
            assert_eq!(values, *expected, "{name}, channel {channel}");
        }
    }

    #[test]
    fn errors_name_the_nearest_choice() {
        let cases = [
            (
                "imagnet",
                "preprocessing: unknown preset \"imagnet\", did you mean \"imagenet\"?; valid are imagenet, caffe",
            ),
            ("", "preprocessing: unknown preset \"\"; valid are imagenet"),
            ("means=0", "preprocessing: unknown key \"means\", did you mean \"mean\"?; valid are scale, max"),
            ("mean=a", "preprocessing: mean=a: expected a number, or one per channel such as 0.485/0.456/0.406"),
            ("mean=inf", "preprocessing: mean=inf: expected a number"),
            ("mean=1//2", "preprocessing: mean=1//2: expected a number"),
            ("std=0", "preprocessing: std=0: expected a positive number"),
            ("std=NaN", "preprocessing: std=NaN: expected a positive number"),
            ("scale=-1", "preprocessing: scale=-1: expected a positive number"),
            ("order=gbr", "preprocessing: order=gbr: expected rgb or bgr"),
            ("fraction_bits=17", "preprocessing: fraction_bits=17: expected an integer from 0 to 16"),
            ("resize=0", "preprocessing: resize=0: expected an integer from 1 to 65536"),
            ("filter=box", "preprocessing: filter=box: expected bicubic"),
            ("unit,raw", "preprocessing: raw=: expected key=value after the first item"),
            ("max=1,max=2", "preprocessing: max=2: expected each key once"),
        ];
        for (text, expected) in cases {
            let error = text.parse::<Preprocess>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
