//! Energy by component and scope, computed from counts and a cost table.

use crate::operation::Tariff;
use crate::{CostTable, Coverage, LayerResult, Priced, Scope, Scopes, SimError};

/// Energy of one component.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentEnergy {
    /// Component (`pu`, `stt`, ..).
    pub component: &'static str,
    /// Where its dynamic energy is spent.
    pub scope: Scope,
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
    /// Prices what was counted: the components of a design by its own table, its operations by a generic one.
    ///
    /// # Units
    /// Counts times pJ, and powered cycles times mW over `clock_mhz`: 1 mW for 1 µs is 1 nJ.
    ///
    /// # Errors
    /// [`SimError::MissingCost`] if the table lacks a key, or prices no component of a design without a table of its own.
    pub fn price(result: &LayerResult, table: &CostTable, clock_mhz: f64) -> Result<Energy, SimError> {
        match table.prices {
            Priced::Components => Energy::of_components(result, table, clock_mhz),
            Priced::Operations => Energy::of_operations(result, &Tariff::new(table)?),
        }
    }

    fn of_components(result: &LayerResult, table: &CostTable, clock_mhz: f64) -> Result<Energy, SimError> {
        if result.activity.is_empty() && !result.operations.is_empty() {
            return Err(SimError::OperationsOnly { table: table.name.clone(), layer: result.layer.clone() });
        }
        let mut components = Vec::with_capacity(result.activity.len());
        for activity in &result.activity {
            let (component, scope) = (activity.component, activity.scope);
            let mut entry = ComponentEnergy { component, scope, dynamic_nj: 0.0, static_nj: 0.0 };
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

    fn of_operations(result: &LayerResult, tariff: &Tariff) -> Result<Energy, SimError> {
        let mut energy = Energy::default();
        for done in &result.operations {
            energy.merge_component(&ComponentEnergy {
                component: done.component,
                scope: done.operation.scope(),
                dynamic_nj: done.count as f64 * tariff.picojoules(done.operation) / 1e3,
                static_nj: 0.0,
            });
        }
        Ok(energy)
    }

    /// What a table's energies of this result cover. `not_counted` are the scopes in which the design spends energy that
    /// its model counts in no event.
    #[must_use]
    pub fn coverage(result: &LayerResult, table: &CostTable, not_counted: Scopes) -> Coverage {
        let operations: Scopes = result.operations.iter().map(|done| done.operation.scope()).collect();
        // A sum over the chip says nothing of the scopes that the design has.
        let known = |activity: &&crate::Activity| table.prices == Priced::Components || activity.scope != Scope::Chip;
        // What a table prices at 0 it leaves out: an omission, not a finding.
        let has_price = |keys: &[(&'static str, u64)]| {
            keys.iter()
                .any(|(key, _)| table.energy_pj(key).or_else(|_| table.power_mw(key)).is_ok_and(|price| price > 0.0))
        };
        let (mut components, mut free) = (Scopes::NONE, Scopes::NONE);
        for activity in result.activity.iter().filter(known) {
            let is_priced = has_price(&activity.dynamic) || has_price(&activity.leakage);
            let scopes = if is_priced { &mut components } else { &mut free };
            *scopes = scopes.union(activity.includes);
            if !activity.dynamic.is_empty() {
                *scopes = scopes.with(activity.scope);
            }
            if !activity.leakage.is_empty() {
                let chip = activity.scope == Scope::Chip;
                *scopes = scopes.with(if chip { Scope::Chip } else { Scope::Static });
            }
        }
        let priced = match table.prices {
            Priced::Components => components,
            Priced::Operations => operations,
        };
        Coverage { priced, left_out: components.union(free).union(operations).union(not_counted).without(priced) }
    }

    /// Energy by scope in nanojoules, in the order of [`Scope::ALL`]; scopes without a component are left out.
    #[must_use]
    pub fn by_scope(&self) -> Vec<(Scope, f64)> {
        let of = |scope: Scope| {
            let mut parts = self.components.iter().filter_map(move |c| match (scope, c.scope) {
                (Scope::Chip, Scope::Chip) => Some(c.dynamic_nj + c.static_nj),
                (_, Scope::Chip) => None,
                (Scope::Static, own) => {
                    Some(c.static_nj + if own == Scope::Static { c.dynamic_nj } else { 0.0 }).filter(|nj| *nj > 0.0)
                }
                (scope, own) => (scope == own).then_some(c.dynamic_nj),
            });
            let first = parts.next()?;
            Some((scope, parts.fold(first, |sum, part| sum + part)))
        };
        Scope::ALL.into_iter().filter_map(of).collect()
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
            self.merge_component(theirs);
        }
    }

    fn merge_component(&mut self, theirs: &ComponentEnergy) {
        match self.components.iter_mut().find(|ours| ours.component == theirs.component) {
            Some(ours) => {
                ours.dynamic_nj += theirs.dynamic_nj;
                ours.static_nj += theirs.static_nj;
            }
            None => self.components.push(theirs.clone()),
        }
    }
}
