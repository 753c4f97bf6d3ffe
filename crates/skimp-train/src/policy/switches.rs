//! Switches that several policies have.

use skimp_numerics::{Rounding, Subnormals};

use super::Site;
use crate::spec::{Spec, SpecError};

/// What `round` means.
pub(super) const ROUND: &str = "rounding of casts: nearest-even, nearest-away, toward-zero or stochastic";

/// What `exempt` means.
pub(super) const EXEMPT: &str = "layers with weights that stay in f32: none, first, last or ends";

/// A rounding mode by name.
pub(super) fn rounding(text: &str) -> Option<Rounding> {
    [Rounding::NearestEven, Rounding::NearestAway, Rounding::TowardZero, Rounding::STOCHASTIC]
        .into_iter()
        .find(|rounding| rounding.name() == text)
}

/// The switch `round`; to nearest even by default.
pub(super) fn round_switch(spec: &mut Spec) -> Result<Rounding, SpecError> {
    rounding_switch(spec, "round", Rounding::NearestEven)
}

/// A switch for a rounding mode.
pub(super) fn rounding_switch(spec: &mut Spec, key: &'static str, default: Rounding) -> Result<Rounding, SpecError> {
    spec.read(key, default, "nearest-even, nearest-away, toward-zero or stochastic", rounding)
}

/// The switch `subnormals`: `keep` or `flush`.
pub(super) fn subnormals_switch(spec: &mut Spec) -> Result<Subnormals, SpecError> {
    choice(spec, "subnormals", &[("keep", Subnormals::Keep), ("flush", Subnormals::Flush)])
}

/// A switch among named values, the first of which is the default.
pub(super) fn choice<T: Copy>(spec: &mut Spec, key: &'static str, values: &[(&str, T)]) -> Result<T, SpecError> {
    let expected = values.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" or ");
    let read = |text: &str| values.iter().find(|(name, _)| *name == text).map(|&(_, value)| value);
    spec.read(key, values[0].1, &expected, read)
}

/// A switch for a whole number.
pub(super) fn integer(
    spec: &mut Spec,
    key: &'static str,
    default: u64,
    range: std::ops::RangeInclusive<u64>,
) -> Result<u64, SpecError> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    spec.read(key, default, &expected, |text| text.parse().ok().filter(|number| range.contains(number)))
}

/// Layers with weights that a policy leaves alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exempt {
    first: bool,
    last: bool,
}

impl Exempt {
    /// The switch `exempt`; none by default.
    pub(super) fn read(spec: &mut Spec) -> Result<Self, SpecError> {
        let of = |first, last| Self { first, last };
        let values = [
            ("none", of(false, false)),
            ("first", of(true, false)),
            ("last", of(false, true)),
            ("ends", of(true, true)),
        ];
        choice(spec, "exempt", &values)
    }

    pub(super) fn holds(self, site: &Site) -> bool {
        (self.first && site.is_first) || (self.last && site.is_last)
    }
}
