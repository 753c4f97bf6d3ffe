//! What a model returns for one layer.

use crate::{Counts, Finding, LayerWorkload, OperationCount, OtherLayer, Scope, Scopes, Work};

/// What one component did, in terms of the keys of the design's own cost table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Component as named in energies: `pu` gives `pu_dynamic` and `pu_static`.
    pub component: &'static str,
    /// Where its energy is spent; power while on is [`Scope::Static`] in any component but the whole chip.
    pub scope: Scope,
    /// Other scopes that the same costs hold.
    pub includes: Scopes,
    /// Cost key (in energy per event) and number of events.
    pub dynamic: Vec<(&'static str, u64)>,
    /// Cost key (in power) and powered instances times cycles.
    pub leakage: Vec<(&'static str, u64)>,
}

impl Activity {
    /// Events of one key.
    #[must_use]
    pub fn events(component: &'static str, scope: Scope, key: &'static str, events: u64) -> Self {
        Self { component, scope, includes: Scopes::NONE, dynamic: vec![(key, events)], leakage: vec![] }
    }

    /// Power of one key while `powered_cycles` pass.
    #[must_use]
    pub fn leaking(component: &'static str, key: &'static str, powered_cycles: u64) -> Self {
        let leakage = vec![(key, powered_cycles)];
        Self { component, scope: Scope::Static, includes: Scopes::NONE, dynamic: vec![], leakage }
    }

    /// The whole chip, whose source gives its power (`chip.power`) and no breakdown.
    #[must_use]
    pub fn chip(cycles: u64) -> Self {
        let leakage = vec![("chip.power", cycles)];
        Self { component: "chip", scope: Scope::Chip, includes: Scopes::NONE, dynamic: vec![], leakage }
    }
}

/// Cycles and events of one layer, for one image or summed over images. Everything that is counted is an integer, so
/// results add up exactly in any order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerResult {
    /// Name of the layer.
    pub layer: String,
    /// Images in the sums.
    pub images: u64,
    /// Dense multiply-accumulates.
    pub macs: u64,
    /// Cycles by phase; their sum is the runtime.
    pub cycles: Counts,
    /// Events.
    pub events: Counts,
    /// What the components did, ready to be priced by the design's own table; empty where no table of its own is known.
    pub activity: Vec<Activity>,
    /// The same as physical operations, ready to be priced by a generic table.
    pub operations: Vec<OperationCount>,
    /// What the design found beside that, each quantity once.
    pub findings: Vec<Finding>,
    /// How the layer was laid out, as named numbers (`divisions`, `filter_blocks`, ..). The same for each image.
    pub mapping: Vec<(&'static str, u64)>,
    /// Remarks for the reader: mapping rules used, why a feature was off. Each stands once.
    pub notes: Vec<String>,
}

impl LayerResult {
    /// An empty result of one run of `layer`.
    #[must_use]
    pub fn new(layer: &LayerWorkload) -> Self {
        LayerResult {
            layer: layer.name.clone(),
            images: layer.shape.n() as u64,
            macs: layer.shape.dense_macs(),
            cycles: Counts::default(),
            events: Counts::default(),
            activity: Vec::new(),
            operations: Vec::new(),
            findings: Vec::new(),
            mapping: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// An empty result of one run of a layer without a matrix of weights.
    #[must_use]
    pub fn of_other(layer: &OtherLayer) -> Self {
        LayerResult {
            layer: layer.name.clone(),
            images: 1,
            macs: layer.work_of(Work::Macs),
            cycles: Counts::default(),
            events: Counts::default(),
            activity: Vec::new(),
            operations: Vec::new(),
            findings: Vec::new(),
            mapping: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Cycles over all phases.
    #[must_use]
    pub fn total_cycles(&self) -> u64 {
        self.cycles.total()
    }

    /// Adds a remark unless it is there already.
    pub fn note(&mut self, remark: impl Into<String>) {
        let remark = remark.into();
        if !self.notes.contains(&remark) {
            self.notes.push(remark);
        }
    }

    /// Adds another result of the same layer on the same accelerator (another image).
    pub fn merge(&mut self, other: &LayerResult) {
        self.images += other.images;
        self.macs += other.macs;
        self.cycles.merge(&other.cycles);
        self.events.merge(&other.events);
        for activity in &other.activity {
            match self.activity.iter_mut().find(|known| known.component == activity.component) {
                Some(known) => {
                    add_keyed(&mut known.dynamic, &activity.dynamic);
                    add_keyed(&mut known.leakage, &activity.leakage);
                }
                None => self.activity.push(activity.clone()),
            }
        }
        for more in &other.operations {
            let same =
                |known: &&mut OperationCount| known.component == more.component && known.operation == more.operation;
            match self.operations.iter_mut().find(same) {
                Some(known) => known.count += more.count,
                None => self.operations.push(more.clone()),
            }
        }
        Finding::merge_all(&mut self.findings, &other.findings);
        for remark in &other.notes {
            self.note(remark.as_str());
        }
    }
}

impl LayerResult {
    /// The sum of `n` such results, of as many images that all did the same; `n` of at least 1.
    #[must_use]
    pub fn times(mut self, n: u64) -> Self {
        let scale = |counts: &mut Vec<(&'static str, u64)>| counts.iter_mut().for_each(|(_, count)| *count *= n);
        self.images *= n;
        self.macs *= n;
        self.cycles.scale(n);
        self.events.scale(n);
        for activity in &mut self.activity {
            scale(&mut activity.dynamic);
            scale(&mut activity.leakage);
        }
        self.operations.iter_mut().for_each(|done| done.count *= n);
        self.findings.iter_mut().for_each(|finding| finding.scale(n));
        self
    }
}

fn add_keyed(totals: &mut Vec<(&'static str, u64)>, more: &[(&'static str, u64)]) {
    for &(key, count) in more {
        match totals.iter_mut().find(|(known, _)| *known == key) {
            Some((_, total)) => *total += count,
            None => totals.push((key, count)),
        }
    }
}
