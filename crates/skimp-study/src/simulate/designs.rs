//! The designs that a run chooses from: the embedded ones, and those of whoever calls.

use skimp_digital::{ACCELERATORS, comparison_table};
use skimp_sim::{AcceleratorModel, ComparisonRow, SimError, find_model};

use crate::error::StudyError;

/// The models that names of accelerators stand for. A model of one's own takes part in simulations, studies and reports
/// like an embedded one:
///
/// ```
/// use skimp_study::Designs;
/// # let mine = skimp_digital::ACCELERATORS[0];
/// # assert!(Designs::embedded().with(mine).is_err());
/// // let designs = Designs::embedded().with(&MINE)?;
/// let designs = Designs::only(&[mine]);
/// assert_eq!(designs.models().len(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Designs(Vec<&'static dyn AcceleratorModel>);

impl Default for Designs {
    fn default() -> Self {
        Self::embedded()
    }
}

/// The same names: configurations are equal where they ask for the same.
impl PartialEq for Designs {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|model| model.name()).eq(other.0.iter().map(|model| model.name()))
    }
}

impl Designs {
    /// The embedded models.
    #[must_use]
    pub fn embedded() -> Self {
        Self(ACCELERATORS.to_vec())
    }

    /// These models and no other.
    #[must_use]
    pub fn only(models: &[&'static dyn AcceleratorModel]) -> Self {
        Self(models.to_vec())
    }

    /// One model more.
    ///
    /// # Errors
    /// [`StudyError::Usage`] if there is one of that name.
    pub fn with(mut self, model: &'static dyn AcceleratorModel) -> Result<Self, StudyError> {
        let name = model.name();
        if self.0.iter().any(|known| known.name() == name) {
            return Err(StudyError::Usage(format!("two accelerator models are called \"{name}\"")));
        }
        self.0.push(model);
        Ok(self)
    }

    /// All of them, in order.
    #[must_use]
    pub fn models(&self) -> &[&'static dyn AcceleratorModel] {
        &self.0
    }

    /// The model of that name.
    ///
    /// # Errors
    /// [`SimError::UnknownAccelerator`] with the nearest and all names.
    pub fn find(&self, name: &str) -> Result<&'static dyn AcceleratorModel, SimError> {
        find_model(&self.0, name)
    }

    /// Each model's rows of the comparison table, published first, at its default preset.
    pub(crate) fn comparison_rows(&self) -> Result<Vec<ComparisonRow>, SimError> {
        comparison_table(&self.0)
    }
}
