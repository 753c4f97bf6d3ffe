//! Sizes of memory as people write them.

use std::fmt;
use std::str::FromStr;

/// Bytes, written `8GiB`, `512 MiB`, `2e9` or `4096`.
///
/// `K`, `M`, `G` and `T` with or without `iB` are powers of 1024; `kB`, `MB`, `GB` and `TB` are powers of 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text is no [`Size`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is no size of memory; expected a positive number and a unit, such as 8GiB, 512MiB or 2GB")]
pub struct InvalidSize(String);

const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
];

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let invalid = || InvalidSize(text.to_owned());
        let text = text.trim();
        // An exponent, as in 2e9, belongs to the number.
        let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.').map_or(0, |last| last + 1);
        let (number, unit) = text.split_at(end);
        let unit = unit.trim().to_ascii_lowercase();
        let &(_, factor) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        let bytes = match number.parse::<u64>() {
            Ok(number) => number.checked_mul(factor).ok_or_else(invalid)?,
            Err(_) => {
                let bytes = number.parse::<f64>().map_err(|_| invalid())? * factor as f64;
                if !(bytes.is_finite() && bytes < u64::MAX as f64) {
                    return Err(invalid());
                }
                bytes as u64
            }
        };
        if bytes == 0 { Err(invalid()) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut size = self.0 as f64 / 1024.0;
        let mut name = 0;
        while size >= 1023.95 && name + 1 < NAMES.len() {
            size /= 1024.0;
            name += 1;
        }
        write!(f, "{size:.1} {}", NAMES[name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("4096", 4096),
            ("1b", 1),
            ("8GiB", 8 << 30),
            ("8 gib", 8 << 30),
            ("8G", 8 << 30),
            ("8GB", 8_000_000_000),
            ("1.5KiB", 1536),
            ("2e9", 2_000_000_000),
            (" 512 MiB ", 512 << 20),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in
            ["", "0", "-1", "GiB", "nan", "inf", "1e30", "8 GiBs", "0.1", "99999999999999999999T", "1 2", "١GiB"]
        {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_shown_in_the_largest_unit_below_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (22_u64 << 30, "22.0 GiB"),
            (u64::MAX, "16384.0 PiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }
}
