//! The counted slot model equals the slots moved one by one.

use proptest::prelude::*;
use skimp_digital::compend::{literal, slots};

fn counted(divisions: &[Vec<u8>], planes: u8) -> slots::SlotCounts {
    let mut window = slots::WindowRun::default();
    for run in divisions.iter().filter_map(|ends| slots::run_division(ends, planes)) {
        window.add_division(run);
    }
    window.finish()
}

fn moved(divisions: &[Vec<u8>], planes: u8) -> slots::SlotCounts {
    let divisions: Vec<_> = divisions.iter().map(Vec::as_slice).collect();
    literal::run_window(&divisions, planes)
}

fn windows() -> impl Strategy<Value = (u8, Vec<Vec<u8>>)> {
    (1u8..=16).prop_flat_map(|planes| {
        let division = prop::collection::vec(1..=planes, 0..40);
        (Just(planes), prop::collection::vec(division, 1..6))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn counted_equals_moved((planes, divisions) in windows()) {
        prop_assert_eq!(counted(&divisions, planes), moved(&divisions, planes));
    }

    #[test]
    fn planes_are_conserved((planes, divisions) in windows()) {
        let counts = counted(&divisions, planes);
        let useful: u64 = divisions.iter().flatten().map(|&end| u64::from(end)).sum();
        let dense = divisions.iter().map(|ends| ends.len() as u64 * u64::from(planes)).sum::<u64>();
        prop_assert!(useful <= counts.decisions && counts.decisions <= counts.issued && counts.issued <= dense);
        let longest = divisions.iter().map(Vec::len).max().unwrap_or(0) as u64;
        if longest > 0 {
            prop_assert!(counts.cycles <= slots::uniform_cycles(longest, u64::from(planes)));
        }
    }

    #[test]
    fn uniform_ends_have_a_closed_form(filters in 1usize..70, planes in 1u8..=16, less in 0u8..16) {
        let end = planes.saturating_sub(less).max(1);
        let counts = counted(&[vec![end; filters]], planes);
        let closed = slots::uniform_cycles(filters as u64, u64::from(end));
        if filters.is_multiple_of(slots::SLOTS) || end == planes {
            prop_assert_eq!(counts.cycles, closed);
            prop_assert_eq!(counts.decisions, filters as u64 * u64::from(end));
        } else {
            // Fewer filters than slots are left in the end: planes run ahead in vain.
            let all = slots::uniform_cycles(filters as u64, u64::from(planes));
            prop_assert!((closed..=all).contains(&counts.cycles), "{counts:?} {closed}");
        }
    }
}

#[test]
fn one_plane_less_can_cost_cycles() {
    // The test "<= 0" is never later than "< 0" for any output, yet a window is not monotone in its end planes: a
    // filter that retires earlier changes which filters are left for the tail, and there planes run in vain.
    let late = [10, 4, 4, 8, 5, 4, 4, 2, 2, 10, 3, 6];
    let early = [10, 4, 3, 8, 5, 4, 4, 2, 2, 10, 3, 6];
    for run in [counted, moved] {
        assert_eq!(run(&[late.to_vec()], 16).cycles, 79);
        assert_eq!(run(&[early.to_vec()], 16).cycles, 81);
    }
}
