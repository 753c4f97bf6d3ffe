//! Why a layer ran below the array's peak rate, derived from its counters.

use crate::{IDLE_SLOTS, LayerResult};

/// A counter of lost slots: cycles of a multiplier (or the share of one that a lane is) without useful work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossEvent {
    /// The event that counts them.
    pub event: &'static str,
    /// Slots that one count stands for; a slot is one multiply-accumulate of the peak rate.
    pub slots: f64,
    /// The event whose count holds this one too; what is left of that one is reported without it.
    pub part_of: Option<&'static str>,
    /// What loses them, as the continuation of "17 % of the slots: ".
    pub text: &'static str,
}

impl LossEvent {
    /// What most models count: slots without work.
    pub const IDLE: LossEvent =
        LossEvent { event: IDLE_SLOTS.name, slots: 1.0, part_of: None, text: "extents that do not fill the array" };

    /// [`IDLE`](Self::IDLE) with other words.
    #[must_use]
    pub const fn idle(text: &'static str) -> LossEvent {
        LossEvent { text, ..LossEvent::IDLE }
    }
}

/// One reason why a layer took longer than its multiply-accumulates at peak rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The counter or phase it is derived from.
    pub counter: &'static str,
    /// Share of the layer's slots (cycles times the peak rate per cycle), or of its cycles for a phase.
    pub share: f64,
    /// In words, with the share.
    pub text: String,
}

/// Shares below this one are not worth a word.
const LEAST_SHARE: f64 = 0.005;

/// From this share of a phase on a layer is bound by it.
const BOUND_SHARE: f64 = 0.5;

/// The losses of a layer on an array of `peak_macs_per_cycle`, the largest first: phases other than the work itself, and
/// the slots that `events` count. Their shares add up to at most 1 if the events do not overlap.
#[must_use]
pub fn losses(result: &LayerResult, events: &[LossEvent], peak_macs_per_cycle: f64) -> Vec<Loss> {
    let cycles = result.total_cycles() as f64;
    let mut losses = Vec::new();
    let mut add = |counter: &'static str, share: f64, of: &str, text: &str| {
        if share >= LEAST_SHARE {
            let bound = if of == "cycles" && share >= BOUND_SHARE { " (it bounds the layer)" } else { "" };
            losses.push(Loss { counter, share, text: format!("{:.1} % of the {of}: {text}{bound}", 100.0 * share) });
        }
    };
    for (phase, count) in result.cycles.iter() {
        if !phase.working && cycles > 0.0 {
            let text = phase.description.trim_end_matches('.');
            let mut letters = text.chars();
            let first: String = letters.next().map(|letter| letter.to_lowercase().collect()).unwrap_or_default();
            add(phase.name, count as f64 / cycles, "cycles", &(first + letters.as_str()));
        }
    }
    let counted = |event: &LossEvent| result.events.get(event.event).unwrap_or(0) as f64 * event.slots;
    for event in events {
        let inside: f64 = events.iter().filter(|inner| inner.part_of == Some(event.event)).map(counted).sum();
        let slots = cycles * peak_macs_per_cycle;
        if slots > 0.0 {
            add(event.event, (counted(event) - inside) / slots, "slots", event.text);
        }
    }
    losses.sort_by(|a, b| b.share.total_cmp(&a.share));
    losses
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counts, LayerWorkload, Statistic};

    static COMPUTE: Statistic = Statistic::new("compute", "cycles", "Work.").working();
    static STALL: Statistic = Statistic::new("dram_stall", "cycles", "Waiting for memory.");
    static IDLE: Statistic = Statistic::new("idle_slots", "slots", "Idle.");
    static WAIT: Statistic = Statistic::new("wait", "lanes", "Waits.");

    #[test]
    fn shares_come_from_counters() {
        let mut result = LayerResult::new(&LayerWorkload::dense("d", 10, 10));
        result.cycles = Counts::new(&[(&COMPUTE, 40), (&STALL, 60)]);
        result.events = Counts::new(&[(&IDLE, 300), (&WAIT, 50)]);
        let wait = LossEvent { event: "wait", slots: 4.0, part_of: Some("idle_slots"), text: "waits" };
        let found = losses(&result, &[LossEvent::IDLE, wait], 10.0);
        let texts: Vec<&str> = found.iter().map(|loss| loss.text.as_str()).collect();
        // 1,000 slots: 200 of them wait, 100 more are idle.
        assert_eq!(
            texts,
            [
                "60.0 % of the cycles: waiting for memory (it bounds the layer)",
                "20.0 % of the slots: waits",
                "10.0 % of the slots: extents that do not fill the array"
            ]
        );
        assert!((found.iter().skip(1).map(|loss| loss.share).sum::<f64>() - 0.3).abs() < 1e-12);
    }

    #[test]
    fn nothing_lost_says_nothing() {
        let mut result = LayerResult::new(&LayerWorkload::dense("d", 10, 10));
        assert_eq!(losses(&result, &[LossEvent::IDLE], 10.0), []);
        result.cycles = Counts::new(&[(&COMPUTE, 40)]);
        result.events = Counts::new(&[(&IDLE, 1)]);
        assert_eq!(losses(&result, &[LossEvent::IDLE], 10.0), []);
    }
}
