//! The slot pipeline of the processing phase, counted in closed form where that is exact.
//!
//! Eight slots go round: weight buffer (1 stage), provider network (2), processing units (3), controller (1), issue
//! register (1). One slot reaches the controller per cycle. In steady state, while a division's queue still holds
//! filters, each slot carries one filter from its first plane to its last, so a slot is a server that is busy for
//! eight cycles per plane and the next filter goes to the server that is free first. Only the tail, where free slots
//! run ahead on the planes of the filters that are left, needs a decision per cycle. [`crate::compend::literal`] moves
//! the slots one by one; tests hold the two equal.

/// Slots in the loop.
pub const SLOTS: usize = 8;

/// Cycle of the first decision: the first plane is issued in cycle 0 and seven stages lie before the controller.
const FIRST_DECISION: i64 = SLOTS as i64 - 1;

/// What one division did in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DivisionRun {
    /// Cycle of the decision that retired the last filter.
    pub finish: u64,
    /// Planes issued, counting those in flight when the division finished.
    pub issued: u64,
}

/// Sums of what the stages saw. All add over windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCounts {
    /// Cycles of the phase, one to leave it included.
    pub cycles: u64,
    /// Planes issued.
    pub issued: u64,
    /// Cycles in which the weight-buffer stage held a plane of any division.
    pub wb_active: u64,
    /// The same for the two stages of the provider network, added.
    pub net_active: u64,
    /// Planes seen by the leaf processing units.
    pub leaf_planes: u64,
    /// Planes seen by the root of a division.
    pub root_planes: u64,
    /// Cycles in which the top stage held a plane.
    pub top_active: u64,
    /// Planes decided by the controller.
    pub decisions: u64,
}

impl SlotCounts {
    /// Adds another window.
    pub fn add(&mut self, other: &SlotCounts) {
        self.cycles += other.cycles;
        self.issued += other.issued;
        self.wb_active += other.wb_active;
        self.net_active += other.net_active;
        self.leaf_planes += other.leaf_planes;
        self.root_planes += other.root_planes;
        self.top_active += other.top_active;
        self.decisions += other.decisions;
    }

    /// The same window `times` times.
    #[must_use]
    pub fn times(&self, times: u64) -> SlotCounts {
        SlotCounts {
            cycles: self.cycles * times,
            issued: self.issued * times,
            wb_active: self.wb_active * times,
            net_active: self.net_active * times,
            leaf_planes: self.leaf_planes * times,
            root_planes: self.root_planes * times,
            top_active: self.top_active * times,
            decisions: self.decisions * times,
        }
    }
}

/// Accumulates the divisions of one window.
///
/// A division issues in every cycle from the first on until nothing is left to issue, so what a stage sees of it is
/// a run of consecutive cycles with a common start: the union over divisions is the longest run. Slots in flight are
/// cleared in the cycle after the finishing decision; `stage_delay` cycles lie between issue and stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct WindowRun {
    counts: SlotCounts,
    net_first: u64,
    net_second: u64,
}

impl WindowRun {
    /// Adds a division.
    pub fn add_division(&mut self, run: DivisionRun) {
        // Plane number i (from 0) is issued in cycle i and stands in a stage in cycle i + delay.
        let seen = |delay: u64| run.issued.min((run.finish + 1).saturating_sub(delay));
        let counts = &mut self.counts;
        counts.cycles = counts.cycles.max(run.finish + 2);
        counts.issued += run.issued;
        counts.wb_active = counts.wb_active.max(seen(1));
        self.net_first = self.net_first.max(seen(2));
        self.net_second = self.net_second.max(seen(3));
        counts.leaf_planes += seen(4);
        counts.root_planes += seen(5);
        counts.top_active = counts.top_active.max(seen(6));
        counts.decisions += seen(7);
    }

    /// Counts of the window, all divisions added.
    #[must_use]
    pub fn finish(mut self) -> SlotCounts {
        self.counts.net_active = self.net_first + self.net_second;
        self.counts
    }
}

/// Runs the filters of one division in one window: `ends[i]` is the number of planes that filter `i` uses, 1 to
/// `planes`. `None` without filters: such a division takes no part.
#[must_use]
pub fn run_division(ends: &[u8], planes: u8) -> Option<DivisionRun> {
    if ends.is_empty() {
        return None;
    }
    let mut slots = Tail::new(planes);
    // release[s]: cycle of the decision that retires the filter of slot s. Decision cycles of a slot are its residue
    // modulo 8, so they never tie.
    let mut release = [0i64; SLOTS];
    let head = ends.len().min(SLOTS);
    for (slot, &end) in ends[..head].iter().enumerate() {
        release[slot] = slot as i64 - 1 + SLOTS as i64 * i64::from(end);
        slots.end[slot] = end;
    }
    let mut last_issue = head as i64 - 2;
    for &end in &ends[head..] {
        last_issue = release.iter().copied().fold(i64::MAX, i64::min);
        let slot = ((last_issue + 1) as usize) % SLOTS;
        release[slot] = last_issue + SLOTS as i64 * i64::from(end);
        slots.end[slot] = end;
    }
    for (slot, &retired) in release[..head].iter().enumerate() {
        let first = retired - SLOTS as i64 * i64::from(slots.end[slot]);
        let done = (last_issue - first) / SLOTS as i64 + 1;
        slots.start(slot, done as u8);
    }
    // Nothing but full slots so far: one plane per decision cycle from -1 on.
    let issued = (last_issue + 2) as u64;
    let (finish, tail_issued) = slots.run(last_issue + 1);
    Some(DivisionRun { finish, issued: issued + tail_issued })
}

/// Cycles of one window whose filters all use `end` planes, `longest` filters in the longest division. Exact where
/// `longest` is a multiple of 8 or `end` is the weight width; else the tail may add up to a round of planes in vain.
#[must_use]
pub fn uniform_cycles(longest: u64, end: u64) -> u64 {
    longest * end + SLOTS as u64
}

/// The live table (positions are slots, see the module's text) once the queue is empty.
struct Tail {
    planes: u8,
    end: [u8; SLOTS],
    issued: [u8; SLOTS],
    live: u8,
    /// Live filters with planes left to issue.
    left: u8,
    /// Table position and plane in each slot; plane 0 is an empty slot.
    slot: [(u8, u8); SLOTS],
}

impl Tail {
    fn new(planes: u8) -> Self {
        Tail { planes, end: [0; SLOTS], issued: [0; SLOTS], live: 0, left: 0, slot: [(0, 0); SLOTS] }
    }

    fn start(&mut self, position: usize, issued: u8) {
        self.issued[position] = issued;
        self.slot[position] = (position as u8, issued);
        self.live |= 1 << position;
        if issued < self.planes {
            self.left |= 1 << position;
        }
    }

    /// Decides from cycle `cycle` on; returns the finishing cycle and the planes issued meanwhile.
    fn run(mut self, mut cycle: i64) -> (u64, u64) {
        let mut issued = 0;
        loop {
            let slot = ((cycle + 1) as usize) % SLOTS;
            let (position, plane) = self.slot[slot];
            let bit = 1u8 << position;
            let mut next = None;
            if plane != 0 && self.live & bit != 0 {
                if plane >= self.end[usize::from(position)] {
                    self.live &= !bit;
                    self.left &= !bit;
                    if self.live == 0 {
                        debug_assert!(cycle >= FIRST_DECISION, "a plane returns after seven stages");
                        return (cycle as u64, issued);
                    }
                } else if self.left & bit != 0 {
                    next = Some(position);
                }
            }
            let next = next.or_else(|| (self.left != 0).then(|| self.left.trailing_zeros() as u8));
            self.slot[slot] = match next {
                Some(position) => {
                    let count = &mut self.issued[usize::from(position)];
                    *count += 1;
                    if *count == self.planes {
                        self.left &= !(1 << position);
                    }
                    issued += 1;
                    (position, *count)
                }
                None => (0, 0),
            };
            cycle += 1;
        }
    }
}
