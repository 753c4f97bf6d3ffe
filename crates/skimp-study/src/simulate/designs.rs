//! The designs that a run chooses from, the embedded ones and those of whoever calls, and one of them configured.

use std::sync::Arc;

use skimp_digital::{ACCELERATORS, comparison_table};
use skimp_sim::{
    Accelerator, AcceleratorModel, ComparisonRow, Configured, CostTable, Facts, LayerWorkload, Searchable, SimError,
    find_model,
};
use toml::{Table, Value};

use crate::error::StudyError;
use crate::simulate::config::AcceleratorConfig;

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
    /// [`StudyError::SameName`] if there is one of that name.
    pub fn with(mut self, model: &'static dyn AcceleratorModel) -> Result<Self, StudyError> {
        let name = model.name();
        if self.0.iter().any(|known| known.name() == name) {
            return Err(StudyError::SameName { what: "accelerator models", name: name.to_owned(), hint: None });
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

    /// The design that `config` describes; files that it names have been read before.
    ///
    /// # Errors
    /// [`SimError`] naming the model or the setting, with the nearest one.
    pub fn configure(&self, config: &AcceleratorConfig) -> Result<Design, StudyError> {
        let form = Form::from(self.find(&config.model)?.configure(&config.set)?);
        Ok(Design { config: config.clone(), form })
    }

    /// What the figures of these accelerators depend on: the resolved settings of each, with its model and its label.
    pub(crate) fn identity(&self, accelerators: &[AcceleratorConfig]) -> Result<Value, StudyError> {
        let settings = accelerators.iter().map(|own| {
            let mut table = self.configure(own)?.facts().config.clone();
            table.insert("model".to_owned(), own.model.clone().into());
            table.insert("label".to_owned(), own.label().into());
            Ok(Value::Table(table))
        });
        Ok(Value::Array(settings.collect::<Result<_, StudyError>>()?))
    }

    /// Each model's rows of the comparison table, published first, at its default preset.
    pub(crate) fn comparison_rows(&self) -> Result<Vec<ComparisonRow>, SimError> {
        comparison_table(&self.0)
    }
}

/// A configured design with a label, ready for simulations: of as many traced networks as one likes. A clone shares it.
#[derive(Clone, Debug)]
pub struct Design {
    config: AcceleratorConfig,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Ready(Arc<dyn Accelerator>),
    NeedsSearch(Arc<dyn Searchable>),
}

impl From<Configured> for Form {
    fn from(configured: Configured) -> Self {
        match configured {
            Configured::Ready(accelerator) => Form::Ready(accelerator.into()),
            Configured::NeedsSearch(search) => Form::NeedsSearch(search.into()),
        }
    }
}

impl Design {
    /// The embedded design `name` as its preset has it.
    ///
    /// # Errors
    /// [`SimError::UnknownAccelerator`] with the nearest and all names.
    pub fn named(name: &str) -> Result<Self, StudyError> {
        Self::of(Designs::embedded().find(name)?, &Table::new())
    }

    /// `model`, an embedded one or one of one's own, with `settings` on top of its preset.
    ///
    /// # Errors
    /// [`SimError`] naming the setting that is unknown, has the wrong type or lies outside its range.
    pub fn of(model: &dyn AcceleratorModel, settings: &Table) -> Result<Self, StudyError> {
        let config = AcceleratorConfig {
            model: model.name().to_owned(),
            label: None,
            preset: None,
            set: settings.clone(),
            origin: None,
        };
        Ok(Self { form: model.configure(settings)?.into(), config })
    }

    /// The same design under another name in tables and reports.
    #[must_use]
    pub fn labeled(mut self, label: impl Into<String>) -> Self {
        self.config.label = Some(label.into());
        self
    }

    /// Its name in tables and reports: the model's, unless it was [labeled](Self::labeled).
    #[must_use]
    pub fn label(&self) -> &str {
        self.config.label()
    }

    /// What holds of it, whatever it runs.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        match &self.form {
            Form::Ready(accelerator) => accelerator.facts(),
            Form::NeedsSearch(search) => search.facts(),
        }
    }

    /// The table that prices it: `table`, or else its own.
    ///
    /// # Errors
    /// [`SimError::ComponentsOnly`] if `table` prices operations, which say nothing of this design.
    pub(crate) fn table<'t>(&'t self, table: Option<&'t CostTable>) -> Result<&'t CostTable, SimError> {
        let facts = self.facts();
        let table = table.unwrap_or(&facts.costs);
        if facts.own_costs_only && table.prices == skimp_sim::Priced::Operations {
            return Err(SimError::ComponentsOnly { table: table.name.clone(), design: self.label().to_owned() });
        }
        Ok(table)
    }

    /// How it was asked for.
    pub(crate) fn config(&self) -> &AcceleratorConfig {
        &self.config
    }

    /// The search for its parameters that it needs before it runs.
    pub(crate) fn search(&self) -> Option<&dyn Searchable> {
        match &self.form {
            Form::Ready(_) => None,
            Form::NeedsSearch(search) => Some(&**search),
        }
    }

    /// The same with the parameters that a search found.
    pub(crate) fn found(&mut self, accelerator: Box<dyn Accelerator>) {
        self.form = Form::Ready(accelerator.into());
    }

    /// Refuses settings of layers that are not there. What a search chooses is not known yet.
    ///
    /// # Errors
    /// [`StudyError::Sim`] naming setting and layer.
    pub(crate) fn check_network(&self, layers: &[LayerWorkload]) -> Result<(), StudyError> {
        match self.search() {
            Some(_) => Ok(()),
            None => self.accelerator()?.check_network(layers).map_err(|error| self.config().fault(error)),
        }
    }

    /// The design as it runs.
    ///
    /// # Errors
    /// [`SimError::NeedsSearch`].
    pub(crate) fn accelerator(&self) -> Result<&dyn Accelerator, StudyError> {
        match &self.form {
            Form::Ready(accelerator) => Ok(&**accelerator),
            Form::NeedsSearch(search) => Err(search.needed().into()),
        }
    }
}
