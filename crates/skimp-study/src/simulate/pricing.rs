//! Which cost table prices the energies of a run.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use skimp_digital::costs::{COMMON_COSTS, named_or_written};
use skimp_report::records::EnergyRecord;
use skimp_sim::{CostTable, Coverage, Energy, LayerResult, Scopes};

use crate::error::StudyError;
use crate::simulate::accelerators::table_file;
use crate::simulate::config::AcceleratorConfig;
use crate::simulate::designs::Design;

/// Which cost table prices the energies of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum CostsConfig {
    /// A design alone, in one form or several, by its paper's table; designs beside each other by the common one, but for
    /// those whose settings name a table.
    #[default]
    Auto,
    /// Every design by the common table.
    Common,
    /// Every design by the table that its settings name: its paper's, unless they are changed.
    Paper,
    /// Every design by this table: the name of an embedded one, the path of a file (until
    /// [`read_file`](Self::read_file)), or a table itself.
    Table(String),
}

impl From<String> for CostsConfig {
    fn from(text: String) -> Self {
        match text.as_str() {
            "auto" => CostsConfig::Auto,
            "common" => CostsConfig::Common,
            "paper" => CostsConfig::Paper,
            _ => CostsConfig::Table(text),
        }
    }
}

impl From<CostsConfig> for String {
    fn from(costs: CostsConfig) -> Self {
        costs.to_string()
    }
}

impl FromStr for CostsConfig {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(CostsConfig::from(text.to_owned()))
    }
}

impl fmt::Display for CostsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CostsConfig::Auto => "auto",
            CostsConfig::Common => "common",
            CostsConfig::Paper => "paper",
            CostsConfig::Table(name) => name,
        })
    }
}

impl CostsConfig {
    /// Takes in the file that it names, if it names one, relative to `folder`.
    ///
    /// # Errors
    /// [`StudyError`] naming the file and what is wrong in it.
    pub fn read_file(&mut self, folder: &Path) -> Result<(), StudyError> {
        let CostsConfig::Table(named) = self else { return Ok(()) };
        if let Some(text) = table_file(named, folder)? {
            *named = text;
        }
        Ok(())
    }

    /// Whether this is the default.
    pub(crate) fn is_auto(&self) -> bool {
        *self == CostsConfig::Auto
    }

    /// Refuses a table that is not there.
    ///
    /// # Errors
    /// [`StudyError::Sim`] naming the nearest table.
    pub fn check(&self) -> Result<(), StudyError> {
        self.tables(&[]).map(drop)
    }

    /// The table that prices each of the accelerators; `None` where it is the design's own.
    ///
    /// # Errors
    /// [`StudyError::Sim`] naming the nearest table if there is none of that name.
    pub(crate) fn tables(&self, accelerators: &[AcceleratorConfig]) -> Result<Vec<Option<CostTable>>, StudyError> {
        let models: BTreeSet<&str> = accelerators.iter().map(|accelerator| accelerator.model.as_str()).collect();
        let named = match self {
            CostsConfig::Auto if models.len() > 1 => COMMON_COSTS,
            CostsConfig::Auto | CostsConfig::Paper => return Ok(vec![None; accelerators.len()]),
            CostsConfig::Common => COMMON_COSTS,
            CostsConfig::Table(name) => name,
        };
        let table = named_or_written(named)?;
        let own = |accelerator: &AcceleratorConfig| self.is_auto() && accelerator.set.contains_key("costs");
        Ok(accelerators.iter().map(|accelerator| (!own(accelerator)).then(|| table.clone())).collect())
    }

    /// As [`tables`](Self::tables), of designs that are there: chosen automatically, one that no generic table knows keeps its
    /// own beside others; the record says that they do not compare.
    ///
    /// # Errors
    /// As [`tables`](Self::tables).
    pub(crate) fn tables_of(&self, designs: &[&Design]) -> Result<Vec<Option<CostTable>>, StudyError> {
        let configs: Vec<AcceleratorConfig> = designs.iter().map(|design| design.config().clone()).collect();
        let mut tables = self.tables(&configs)?;
        if self.is_auto() {
            let own = designs.iter().map(|design| design.facts().own_costs_only);
            tables.iter_mut().zip(own).filter(|(_, own)| *own).for_each(|(table, _)| *table = None);
        }
        Ok(tables)
    }
}

/// What the energies of one design cover; `layers` are its results with their energies.
pub(crate) fn energy_record<'l>(
    layers: impl Iterator<Item = (&'l LayerResult, &'l Energy)>,
    table: &CostTable,
    not_counted: Scopes,
) -> EnergyRecord {
    let (mut all, mut covered) = (Energy::default(), Coverage::default());
    for (result, energy) in layers {
        let layer = Energy::coverage(result, table, not_counted);
        covered.priced = covered.priced.union(layer.priced);
        covered.left_out = covered.left_out.union(layer.left_out);
        all.merge(energy);
    }
    let keys = |scopes: Scopes| scopes.iter().map(|scope| scope.key().to_owned()).collect();
    EnergyRecord {
        technology_nm: table.technology_nm,
        priced: keys(covered.priced),
        left_out: keys(covered.left_out.without(covered.priced)),
        components: all.components.iter().map(|c| (c.component.to_owned(), c.scope.key().to_owned())).collect(),
        by_scope_mj: all.by_scope().into_iter().map(|(scope, nj)| (scope.key().to_owned(), nj * 1e-6)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configs(models: &[&str]) -> Vec<AcceleratorConfig> {
        models
            .iter()
            .map(|model| AcceleratorConfig {
                model: (*model).to_owned(),
                label: None,
                preset: None,
                set: toml::Table::new(),
                origin: None,
            })
            .collect()
    }

    fn names(costs: &str, accelerators: &[AcceleratorConfig]) -> Vec<Option<String>> {
        let tables = CostsConfig::from(costs.to_owned()).tables(accelerators).unwrap();
        tables.into_iter().map(|table| table.map(|table| table.name)).collect()
    }

    #[test]
    fn one_design_keeps_its_paper_and_several_share_a_table() {
        let common = || Some(COMMON_COSTS.to_owned());
        assert_eq!(names("auto", &configs(&["compend"])), [None]);
        assert_eq!(names("auto", &configs(&["compend", "compend"])), [None, None]);
        assert_eq!(names("common", &configs(&["compend"])), [common()]);
        let mut two = configs(&["compend", "eyeriss"]);
        assert_eq!(names("auto", &two), [common(), common()]);
        assert_eq!(names("paper", &two), [None, None]);
        assert_eq!(names("compend-45nm", &two), [Some("compend-45nm".to_owned()), Some("compend-45nm".to_owned())]);
        // Who names a table for one design means it.
        two[1].set.insert("costs".into(), "eyeriss-relative".into());
        assert_eq!(names("auto", &two), [common(), None]);
        assert_eq!(names("common", &two), [common(), common()]);
        let error = CostsConfig::Table("horowitz".into()).tables(&two).unwrap_err().to_string();
        assert!(error.contains("did you mean \"horowitz-45nm\""), "{error}");
    }
}
