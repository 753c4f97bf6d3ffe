//! Sweeps that ship with skimp.

/// Name and text of each.
static SWEEPS: &[(&str, &str)] = &[
    ("sample-buffers", include_str!("../../../configs/sweeps/sample-buffers.toml")),
    ("design-space", include_str!("../../../configs/sweeps/design-space.toml")),
];

/// Names of the embedded sweeps.
#[must_use]
pub fn names() -> Vec<&'static str> {
    SWEEPS.iter().map(|(name, _)| *name).collect()
}

/// The file of an embedded sweep.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    SWEEPS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use crate::{Space, SweepConfig};

    #[test]
    fn embedded_sweeps_are_sound() {
        for (name, _) in super::SWEEPS {
            let sweep = SweepConfig::open(name).unwrap();
            assert_eq!(sweep.name, *name);
            assert!(!sweep.summary.is_empty());
            Space::new(&sweep, &skimp_study::Designs::embedded()).unwrap();
        }
    }
}
