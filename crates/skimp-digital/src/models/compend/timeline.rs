//! The processing phase drawn slot by slot, by moving the slots one by one.

use skimp_sim::TimelineSpan;

use super::literal::{Issue, watch_window};
use super::mapping::Part;
use super::slots::SLOTS;

/// Most spans of slots per layer: a traced file holds some 150 bytes for each.
pub(super) const MOST_SPANS: usize = 2000;

/// A filter in a slot, from its first plane there to its last.
#[derive(Clone, Copy, Debug)]
struct Stay {
    filter: usize,
    planes: [u8; 2],
    start: u64,
    end: u64,
}

/// The windows of the first block of filters, from `start_cycle` on, as many as [`MOST_SPANS`] leaves room for: a track of
/// windows, and a track for each slot of each division. `end(filter, window)` is the number of planes that an output
/// uses. Windows that are not drawn in full are left out.
pub(super) fn slot_spans(
    part: &Part,
    planes: u8,
    start_cycle: u64,
    end: impl Fn(usize, usize) -> u8,
) -> Vec<TimelineSpan> {
    let Some(block) = part.blocks().next() else { return Vec::new() };
    let lengths: Vec<usize> = part.runs(block.len()).collect();
    let firsts: Vec<usize> =
        lengths.iter().scan(block.start, |next, length| Some(std::mem::replace(next, *next + length))).collect();
    let mut spans = Vec::new();
    let mut start = start_cycle;
    for window in 0..part.windows as usize {
        let ends: Vec<u8> = block.clone().map(|filter| end(filter, window)).collect();
        let mut rest = ends.as_slice();
        let divisions: Vec<&[u8]> = lengths
            .iter()
            .map(|&length| {
                let (mine, others) = rest.split_at(length);
                rest = others;
                mine
            })
            .collect();
        let mut issues = Vec::new();
        let cycles = watch_window(&divisions, planes, &mut |issue| issues.push(issue)).cycles;
        let here = spans_of_window(&issues, cycles, start, &firsts);
        if spans.len() + here.len() + 1 > MOST_SPANS {
            break;
        }
        let name = format!("window {window}");
        spans.push(TimelineSpan { track: "windows".to_owned(), name, start_cycle: start, cycles });
        spans.extend(here);
        start += cycles;
    }
    spans
}

/// `cycles` of a window end what is still in flight.
fn spans_of_window(issues: &[Issue], cycles: u64, start: u64, firsts: &[usize]) -> Vec<TimelineSpan> {
    let mut open: Vec<[Option<Stay>; SLOTS]> = vec![[None; SLOTS]; firsts.len()];
    let mut spans = Vec::new();
    let mut close = |division: usize, slot: usize, stay: Stay| {
        let [first, last] = stay.planes;
        spans.push(TimelineSpan {
            track: format!("division {division} slot {slot}"),
            name: format!("filter {}, planes {first} to {last}", firsts[division] + stay.filter),
            start_cycle: start + stay.start,
            cycles: stay.end.min(cycles) - stay.start,
        });
    };
    for issue in issues {
        let slot = issue.cycle as usize % SLOTS;
        let end = issue.cycle + SLOTS as u64;
        let place = &mut open[issue.division][slot];
        match place {
            Some(stay) if (stay.filter, stay.planes[1] + 1, stay.end) == (issue.filter, issue.plane, issue.cycle) => {
                (stay.planes[1], stay.end) = (issue.plane, end);
            }
            _ => {
                let stay = Stay { filter: issue.filter, planes: [issue.plane; 2], start: issue.cycle, end };
                if let Some(done) = place.replace(stay) {
                    close(issue.division, slot, done);
                }
            }
        }
    }
    for (division, slots) in open.into_iter().enumerate() {
        for (slot, stay) in slots.into_iter().enumerate() {
            if let Some(stay) = stay {
                close(division, slot, stay);
            }
        }
    }
    spans.sort_by_key(|span| span.start_cycle);
    spans
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::slots::{WindowRun, run_division};
    use super::*;

    const PLANES: u8 = 16;

    fn part(filters: usize, divisions: usize, windows: u64) -> Part {
        Part { filters: 0..filters, block: filters, leaves: vec![9], divisions, windows }
    }

    fn end(filter: usize, window: usize) -> u8 {
        ((filter * 7 + window * 5 + filter * window) % usize::from(PLANES)) as u8 + 1
    }

    /// Filter, first and last plane of a span's name.
    fn numbers(name: &str) -> [u64; 3] {
        let digits: Vec<_> = name.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty()).collect();
        [0, 1, 2].map(|i| digits[i].parse().unwrap())
    }

    #[test]
    fn spans_show_every_plane_of_the_closed_form() {
        let part = part(44, 3, 4);
        let spans = slot_spans(&part, PLANES, 1000, end);
        let windows: Vec<_> = spans.iter().filter(|span| span.track == "windows").collect();
        assert_eq!(windows.len(), 4);
        let mut start = 1000;
        for (number, window) in windows.iter().enumerate() {
            let ends: Vec<u8> = (0..44).map(|filter| end(filter, number)).collect();
            let mut run = WindowRun::default();
            for division in [&ends[..15], &ends[15..30], &ends[30..]] {
                run.add_division(run_division(division, PLANES).unwrap());
            }
            let counts = run.finish();
            assert_eq!((window.start_cycle, window.cycles), (start, counts.cycles), "window {number}");
            let inside = start..start + counts.cycles;
            start += counts.cycles;
            let mine: Vec<_> =
                spans.iter().filter(|span| span.track != "windows" && inside.contains(&span.start_cycle)).collect();
            let mut shown = BTreeMap::new();
            for span in &mine {
                let [filter, first, last] = numbers(&span.name);
                *shown.entry(filter).or_insert(0) += last - first + 1;
                assert!(span.start_cycle + span.cycles <= inside.end, "{span:?}");
            }
            assert_eq!(shown.values().sum::<u64>(), counts.issued, "window {number}");
            assert!(ends.iter().enumerate().all(|(filter, &end)| shown[&(filter as u64)] >= u64::from(end)));
        }
    }

    #[test]
    fn slots_hold_one_plane_at_a_time() {
        let spans = slot_spans(&part(40, 2, 9), PLANES, 0, end);
        let mut busy_until: BTreeMap<&str, u64> = BTreeMap::new();
        for span in &spans {
            let until = busy_until.entry(&span.track).or_insert(0);
            assert!(span.start_cycle >= *until && span.cycles > 0, "{span:?} after {until}");
            *until = span.start_cycle + span.cycles;
        }
        assert_eq!(busy_until.len(), 1 + 2 * SLOTS);
    }

    #[test]
    fn a_long_layer_is_drawn_in_part() {
        let spans = slot_spans(&part(64, 4, 100_000), PLANES, 0, end);
        assert!((MOST_SPANS / 2..=MOST_SPANS).contains(&spans.len()), "{}", spans.len());
        // Not even one window fits.
        assert!(slot_spans(&part(5000, 1, 1), PLANES, 0, end).is_empty());
    }
}
