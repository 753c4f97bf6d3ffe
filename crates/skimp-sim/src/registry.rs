//! Looking up registered accelerators by name.

use crate::settings::nearest;
use crate::{AcceleratorModel, SimError};

/// The model called `name` in one of the registries.
///
/// # Errors
/// [`SimError::UnknownAccelerator`] with the nearest and all known names.
pub fn find_model(
    models: &[&'static dyn AcceleratorModel],
    name: &str,
) -> Result<&'static dyn AcceleratorModel, SimError> {
    models.iter().copied().find(|model| model.name() == name).ok_or_else(|| {
        let known: Vec<_> = models.iter().map(|model| model.name()).collect();
        SimError::UnknownAccelerator {
            name: name.to_owned(),
            nearest: nearest(name, known.iter().copied()),
            known: known.join(", "),
        }
    })
}
