//! Numbers as text, the same on every machine and in every locale.

/// What stands for a number that is not finite.
pub const NOT_A_NUMBER: &str = "n/a";

/// A count with a comma between groups of three digits, for people.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (idx, digit) in digits.chars().enumerate() {
        if idx > 0 && (digits.len() - idx).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with a fixed count of decimals and a comma between groups of three digits, for people.
///
/// # Rounding
/// `nearest_even` on the exact binary value. A result of zero has no sign.
pub fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return NOT_A_NUMBER.to_owned();
    }
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    let is_zero = plain.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    let sign = if value < 0.0 && !is_zero { "-" } else { "" };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A number with all its digits and no separators, for programs: it reads back as the same bits.
pub fn plain(value: f64) -> String {
    if value.is_finite() { value.to_string() } else { String::new() }
}

/// A fraction as a percentage with one space before the sign: `0.271` is `27.1 %` with one decimal.
pub fn percent(fraction: f64, decimals: usize) -> String {
    format!("{} %", fixed(100.0 * fraction, decimals))
}

/// A unit with an SI prefix that suits a range of values.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// Prefix and unit, such as `mJ`.
    pub unit: String,
    /// What a value in the plain unit is multiplied by.
    pub factor: f64,
}

/// Prefixes with the power of ten they stand for, largest first.
const PREFIXES: [(&str, i32); 9] =
    [("T", 12), ("G", 9), ("M", 6), ("k", 3), ("", 0), ("m", -3), ("µ", -6), ("n", -9), ("p", -12)];

impl Scale {
    /// The scale that shows `largest`, given in the plain `unit`, as a number from 1 to below 1000 where a prefix
    /// from pico to tera allows it.
    pub fn of(largest: f64, unit: &str) -> Self {
        let largest = if largest.is_finite() { largest.abs() } else { 0.0 };
        let plain = ("", 0);
        let (prefix, exponent) = match PREFIXES.iter().find(|(_, exponent)| largest >= 10f64.powi(*exponent)) {
            Some(found) => *found,
            None if largest > 0.0 => ("p", -12),
            None => plain,
        };
        Self { unit: format!("{prefix}{unit}"), factor: 10f64.powi(-exponent) }
    }
}

/// A value in the plain `unit` with an SI prefix and three or four significant digits: `0.0123` J is `12.3 mJ`.
pub fn si(value: f64, unit: &str) -> String {
    if !value.is_finite() {
        return NOT_A_NUMBER.to_owned();
    }
    let scale = Scale::of(value, unit);
    let scaled = value * scale.factor;
    let decimals = match scaled.abs() {
        large if large >= 100.0 => 1,
        medium if medium >= 10.0 => 2,
        _ => 3,
    };
    format!("{} {}", fixed(scaled, decimals), scale.unit).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_group_three_digits() {
        for (value, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(count(value), expected);
        }
    }

    #[test]
    fn fixed_keeps_the_decimals() {
        for (value, decimals, expected) in [
            (0.0, 2, "0.00"),
            (-0.001, 2, "0.00"),
            (-1234.5, 1, "-1,234.5"),
            (0.5, 0, "0"),
            (1.5, 0, "2"),
            (999.999, 1, "1,000.0"),
            (1e21, 1, "1000000000000000000000.0"),
            (f64::NAN, 1, "n/a"),
            (f64::NEG_INFINITY, 1, "n/a"),
        ] {
            assert_eq!(fixed(value, decimals), expected, "{value} with {decimals} decimals");
        }
    }

    #[test]
    fn plain_reads_back() {
        for value in [0.1, 1.0 / 3.0, 1e-300, 123_456_789.123_456_78, -0.0] {
            assert_eq!(plain(value).parse::<f64>().map(f64::to_bits), Ok(value.to_bits()));
        }
        assert_eq!(plain(f64::NAN), "");
    }

    #[test]
    fn prefixes_follow_the_magnitude() {
        for (value, unit, expected) in [
            (0.0123, "J", "12.30 mJ"),
            (70.04e-3, "s", "70.04 ms"),
            (288e9, "MAC/s", "288.0 GMAC/s"),
            (1.0, "s", "1.000 s"),
            (0.0, "J", "0.000 J"),
            (-2e-6, "J", "-2.000 µJ"),
            (3e-15, "J", "0.003 pJ"),
            (5e16, "", "50,000.0 T"),
            (f64::NAN, "J", "n/a"),
        ] {
            assert_eq!(si(value, unit), expected, "{value} {unit}");
        }
    }

    #[test]
    fn percentages_have_a_space() {
        assert_eq!(percent(0.2712, 1), "27.1 %");
        assert_eq!(percent(-0.05, 2), "-5.00 %");
    }
}
