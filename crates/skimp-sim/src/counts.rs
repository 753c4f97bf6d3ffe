//! Named integer statistics in a stable order.

/// A statistic: every count has a name, a unit and a sentence (after gem5's `ADD_STAT`).
#[derive(Debug, PartialEq, Eq)]
pub struct Statistic {
    /// Key in tables and JSON, snake_case.
    pub name: &'static str,
    /// Unit of one count.
    pub unit: &'static str,
    /// What is counted.
    pub description: &'static str,
    /// Whether it is a phase in which the design does the layer's own work; every other phase is a loss.
    pub working: bool,
}

impl Statistic {
    /// An event, or a phase that is a loss.
    #[must_use]
    pub const fn new(name: &'static str, unit: &'static str, description: &'static str) -> Self {
        Self { name, unit, description, working: false }
    }

    /// The same as a phase in which the design does the layer's own work.
    #[must_use]
    pub const fn working(self) -> Self {
        Self { working: true, ..self }
    }
}

/// Multiply-accumulates of the layer that took a slot of the hardware.
pub static EXECUTED_MACS: Statistic =
    Statistic::new("executed_macs", "macs", "Multiply-accumulates of the layer that took a slot.");

/// Multiply-accumulates that the design left out.
pub static SKIPPED_MACS: Statistic =
    Statistic::new("skipped_macs", "macs", "Multiply-accumulates that took neither a slot nor energy.");

/// Slots without useful work.
pub static IDLE_SLOTS: Statistic =
    Statistic::new("idle_slots", "slots", "Slots (cycles of a multiplier or lane) without useful work.");

/// Counts in the order in which a model lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<(&'static Statistic, u64)>);

impl Counts {
    /// Counts in the order given; a repeated statistic adds up.
    #[must_use]
    pub fn new(entries: &[(&'static Statistic, u64)]) -> Self {
        let mut counts = Counts::default();
        for &(statistic, count) in entries {
            counts.add(statistic, count);
        }
        counts
    }

    /// Adds to a statistic, appending it if it is new.
    pub fn add(&mut self, statistic: &'static Statistic, count: u64) {
        match self.0.iter_mut().find(|(known, _)| known.name == statistic.name) {
            Some((_, total)) => *total += count,
            None => self.0.push((statistic, count)),
        }
    }

    /// The count of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(statistic, _)| statistic.name == name).map(|&(_, count)| count)
    }

    /// Sum over all statistics.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().map(|&(_, count)| count).sum()
    }

    /// All counts in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Statistic, u64)> + '_ {
        self.0.iter().copied()
    }

    /// Multiplies each count.
    pub fn scale(&mut self, n: u64) {
        self.0.iter_mut().for_each(|(_, count)| *count *= n);
    }

    /// Adds each count of `other`.
    pub fn merge(&mut self, other: &Counts) {
        for (statistic, count) in other.iter() {
            self.add(statistic, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static A: Statistic = Statistic::new("a", "cycles", "First.");
    static B: Statistic = Statistic::new("b", "cycles", "Second.");

    #[test]
    fn order_is_kept_and_repeats_add_up() {
        let mut counts = Counts::new(&[(&B, 2), (&A, 1), (&B, 3)]);
        counts.merge(&Counts::new(&[(&A, 10)]));
        let seen: Vec<_> = counts.iter().map(|(s, n)| (s.name, n)).collect();
        assert_eq!(seen, [("b", 5), ("a", 11)]);
        assert_eq!((counts.total(), counts.get("a"), counts.get("c")), (16, Some(11), None));
    }
}
