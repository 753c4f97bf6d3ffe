//! When each part of an accelerator is at work on a layer.

use crate::LayerResult;

/// A stretch of time on one track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineSpan {
    /// Phase, division or unit at work; spans of one track do not overlap.
    pub track: String,
    /// What it works on.
    pub name: String,
    /// First cycle, counted from the start of the layer.
    pub start_cycle: u64,
    /// Length; above 0.
    pub cycles: u64,
}

impl TimelineSpan {
    /// The phases of a result laid end to end, each on its own track: their sum is the runtime. Phases that took no
    /// cycle are left out.
    #[must_use]
    pub fn phases(result: &LayerResult) -> Vec<TimelineSpan> {
        let mut start_cycle = 0;
        let mut spans = Vec::new();
        for (phase, cycles) in result.cycles.iter().filter(|&(_, cycles)| cycles > 0) {
            spans.push(TimelineSpan { track: phase.name.to_owned(), name: result.layer.clone(), start_cycle, cycles });
            start_cycle += cycles;
        }
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counts, LayerWorkload, Statistic};

    #[test]
    fn phases_follow_each_other() {
        static A: Statistic = Statistic::new("a", "cycles", "First.");
        static B: Statistic = Statistic::new("b", "cycles", "Second.");
        static C: Statistic = Statistic::new("c", "cycles", "Third.");
        let mut result = LayerResult::new(&LayerWorkload::dense("d", 3, 4));
        result.cycles = Counts::new(&[(&A, 5), (&B, 0), (&C, 7)]);
        let spans = TimelineSpan::phases(&result);
        let seen: Vec<_> = spans.iter().map(|span| (span.track.as_str(), span.start_cycle, span.cycles)).collect();
        assert_eq!(seen, [("a", 0, 5), ("c", 5, 7)]);
        assert!(spans.iter().all(|span| span.name == "d"));
    }
}
