//! The slot pipeline moved slot by slot: the specification of [`super::slots`].
//!
//! Eight stages form a ring. Each cycle the controller decides about the slot that stands before it, for each
//! division on its own, then all slots move one stage on. Counters look at the stages before the controller decides.

use super::slots::{SLOTS, SlotCounts};

/// A plane on its way: position in the table of live filters, and plane number from 1.
#[derive(Clone, Copy, Debug)]
struct Plane {
    filter: usize,
    plane: u8,
}

const WEIGHT_BUFFER: usize = 0;
const NETWORK: [usize; 2] = [1, 2];
const LEAF: usize = 3;
const ROOT: usize = 4;
const TOP: usize = 5;
const CONTROLLER: usize = 6;
const ISSUE_REGISTER: usize = 7;

/// A plane that enters the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Division.
    pub division: usize,
    /// Filter, counted within the division.
    pub filter: usize,
    /// Plane, from 1.
    pub plane: u8,
    /// Cycle of the window in which it stands in the issue register. Its slot is this modulo [`SLOTS`]; it reaches the
    /// controller seven cycles later, unless the division is done before.
    pub cycle: u64,
}

/// One division: its queue, its live table of eight positions, its part of each stage.
#[derive(Debug)]
struct Division<'e> {
    ends: &'e [u8],
    planes: u8,
    /// First filter that still waits.
    next: usize,
    /// Live filter and the highest plane issued, by table position.
    table: [Option<(usize, u8)>; SLOTS],
    stages: [Option<Plane>; SLOTS],
    finished: bool,
    issued: u64,
}

impl<'e> Division<'e> {
    fn new(ends: &'e [u8], planes: u8) -> Self {
        let mut division = Division {
            ends,
            planes,
            next: 0,
            table: [None; SLOTS],
            stages: [None; SLOTS],
            finished: ends.is_empty(),
            issued: 0,
        };
        if !division.finished {
            division.stages[ISSUE_REGISTER] = division.refill();
        }
        division
    }

    fn position_of(&self, filter: usize) -> Option<usize> {
        self.table.iter().position(|entry| matches!(entry, Some((live, _)) if *live == filter))
    }

    fn issue(&mut self, position: usize) -> Option<Plane> {
        let (filter, highest) = self.table[position].as_mut()?;
        *highest += 1;
        self.issued += 1;
        Some(Plane { filter: *filter, plane: *highest })
    }

    fn refill(&mut self) -> Option<Plane> {
        if self.next < self.ends.len() {
            let position = self.table.iter().position(Option::is_none)?;
            self.table[position] = Some((self.next, 0));
            self.next += 1;
            return self.issue(position);
        }
        let planes = self.planes;
        let waiting = self.table.iter().position(|entry| matches!(entry, Some((_, highest)) if *highest < planes));
        match waiting {
            Some(position) => self.issue(position),
            None => {
                self.finished = self.table.iter().all(Option::is_none);
                None
            }
        }
    }

    fn decide(&mut self) {
        let arrived = self.stages[CONTROLLER].take();
        let live = arrived.and_then(|slot| Some((slot, self.position_of(slot.filter)?)));
        let next = match live {
            None => self.refill(),
            Some((slot, position)) if slot.plane >= self.ends[slot.filter] || slot.plane == self.planes => {
                self.table[position] = None;
                self.refill()
            }
            Some((_, position)) if matches!(self.table[position], Some((_, highest)) if highest == self.planes) => {
                self.refill()
            }
            Some((_, position)) => self.issue(position),
        };
        if self.finished {
            self.stages = [None; SLOTS];
        } else {
            self.stages[CONTROLLER] = next;
        }
    }

    fn advance(&mut self) {
        self.stages.rotate_right(1);
    }
}

/// Runs one window: `divisions[d]` holds the end planes of division `d`'s filters in their order, each 1 to `planes`.
#[must_use]
pub fn run_window(divisions: &[&[u8]], planes: u8) -> SlotCounts {
    watch_window(divisions, planes, &mut |_| ())
}

/// [`run_window`], showing each plane as it enters, in the order of cycles and divisions.
pub fn watch_window(divisions: &[&[u8]], planes: u8, watch: &mut dyn FnMut(Issue)) -> SlotCounts {
    let mut divisions: Vec<_> = divisions.iter().map(|ends| Division::new(ends, planes)).collect();
    let mut counts = SlotCounts::default();
    if divisions.iter().all(|division| division.finished) {
        return counts;
    }
    while divisions.iter().any(|division| !division.finished) {
        for (division, state) in divisions.iter().enumerate() {
            if let Some(Plane { filter, plane }) = state.stages[ISSUE_REGISTER] {
                watch(Issue { division, filter, plane, cycle: counts.cycles });
            }
        }
        let seen = |stage: usize| divisions.iter().filter(|d| d.stages[stage].is_some()).count() as u64;
        counts.cycles += 1;
        counts.wb_active += seen(WEIGHT_BUFFER).min(1);
        counts.net_active += seen(NETWORK[0]).min(1) + seen(NETWORK[1]).min(1);
        counts.leaf_planes += seen(LEAF);
        counts.root_planes += seen(ROOT);
        counts.top_active += seen(TOP).min(1);
        counts.decisions += seen(CONTROLLER);
        for division in divisions.iter_mut().filter(|division| !division.finished) {
            division.decide();
            division.advance();
        }
    }
    counts.cycles += 1;
    counts.issued = divisions.iter().map(|division| division.issued).sum();
    counts
}
