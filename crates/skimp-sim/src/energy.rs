//! Energy by component, computed from counts and a cost table.

use crate::{CostTable, LayerResult, SimError};

/// Energy of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentEnergy {
    /// Component (`pu`, `stt`, ..).
    pub component: &'static str,
    /// Energy of its events, in nanojoules.
    pub dynamic_nj: f64,
    /// Its static power over the runtime, in nanojoules.
    pub static_nj: f64,
}

/// Energy by component in a stable order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Energy {
    /// Components in the model's order.
    pub components: Vec<ComponentEnergy>,
}

impl Energy {
    /// Prices what was counted.
    ///
    /// # Units
    /// Counts times pJ, and powered cycles times mW over `clock_mhz`: 1 mW for 1 µs is 1 nJ.
    ///
    /// # Errors
    /// [`SimError::MissingCost`] if the table lacks a key.
    pub fn price(result: &LayerResult, table: &CostTable, clock_mhz: f64) -> Result<Energy, SimError> {
        let mut components = Vec::with_capacity(result.activity.len());
        for activity in &result.activity {
            let mut entry = ComponentEnergy { component: activity.component, dynamic_nj: 0.0, static_nj: 0.0 };
            for &(key, events) in &activity.dynamic {
                entry.dynamic_nj += events as f64 * table.energy_pj(key)? / 1e3;
            }
            for &(key, powered_cycles) in &activity.leakage {
                entry.static_nj += powered_cycles as f64 / clock_mhz * table.power_mw(key)?;
            }
            components.push(entry);
        }
        Ok(Energy { components })
    }

    /// Energy of everything, in nanojoules.
    #[must_use]
    pub fn total_nj(&self) -> f64 {
        self.components.iter().map(|c| c.dynamic_nj + c.static_nj).sum()
    }

    /// Dynamic energy of everything, in nanojoules.
    #[must_use]
    pub fn dynamic_nj(&self) -> f64 {
        self.components.iter().map(|c| c.dynamic_nj).sum()
    }

    /// Static energy of everything, in nanojoules.
    #[must_use]
    pub fn static_nj(&self) -> f64 {
        self.components.iter().map(|c| c.static_nj).sum()
    }

    /// The component of that name.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&ComponentEnergy> {
        self.components.iter().find(|c| c.component == name)
    }

    /// Named terms in a stable order: `ctrl_dynamic`, .., then `ctrl_static`, ...
    #[must_use]
    pub fn terms(&self) -> Vec<(String, f64)> {
        let dynamic = self.components.iter().map(|c| (format!("{}_dynamic", c.component), c.dynamic_nj));
        let leakage = self.components.iter().map(|c| (format!("{}_static", c.component), c.static_nj));
        dynamic.chain(leakage).collect()
    }

    /// Adds another energy, component by component.
    pub fn merge(&mut self, other: &Energy) {
        for theirs in &other.components {
            match self.components.iter_mut().find(|ours| ours.component == theirs.component) {
                Some(ours) => {
                    ours.dynamic_nj += theirs.dynamic_nj;
                    ours.static_nj += theirs.static_nj;
                }
                None => self.components.push(theirs.clone()),
            }
        }
    }
}
