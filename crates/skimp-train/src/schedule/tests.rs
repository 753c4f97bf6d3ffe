use std::collections::BTreeSet;

use super::*;

/// Factors of PyTorch's schedulers, from `tests/data/optimizer_golden.py`.
const GOLDEN: &str = include_str!("../../tests/data/schedule_golden.txt");

#[test]
fn entries_are_complete() {
    let names: BTreeSet<_> = SCHEDULES.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), SCHEDULES.len());
    for kind in SCHEDULES {
        assert!(kind.name().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        assert!(!kind.summary().is_empty() && !kind.source().is_empty(), "{}", kind.name());
        let error = Schedule::parse(&format!("{}:at=3,every=5,no-such=1", kind.name())).unwrap_err();
        assert!(matches!(error, SpecError::UnknownKey { .. } | SpecError::InvalidValue { .. }), "{error}");
    }
}

/// Both compute in f64; PyTorch multiplies its way from step to step where we use the closed form.
#[test]
fn factors_equal_pytorch() {
    let mut n_cases = 0;
    for case in GOLDEN.split("\n\n").filter_map(|case| case.trim().strip_prefix("schedule ")) {
        let (head, factors) = case.split_once('\n').unwrap();
        let words: Vec<&str> = head.split(' ').collect();
        let [text, _, epochs, _, steps] = words[..] else { panic!("{head}") };
        let (epochs, steps): (u64, u64) = (epochs.parse().unwrap(), steps.parse().unwrap());
        let schedule = Schedule::parse(text).unwrap();
        let factors: Vec<f64> = factors.split(' ').map(|word| word.parse().unwrap()).collect();
        assert_eq!(factors.len() as u64, epochs * steps, "{text}");
        for (step, expected) in factors.into_iter().enumerate() {
            let found = schedule.factor(step as u64, epochs * steps, steps);
            assert!((found - expected).abs() < 1e-9, "{text} step {step}: expected {expected}, found {found}");
        }
        n_cases += 1;
    }
    assert_eq!(n_cases, 8);
}

#[test]
fn warm_up_rises_and_shifts_the_rest() {
    let schedule = Schedule::parse("step:at=2,gamma=0.5,warmup=0.5").unwrap();
    let factors: Vec<f64> = (0..16).map(|step| schedule.factor(step, 16, 4)).collect();
    assert_eq!(factors, [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    // A warm-up that is longer than the run never ends.
    let schedule = Schedule::parse("constant:warmup=9").unwrap();
    assert_eq!(schedule.factor(3, 4, 4).to_bits(), 0.75_f64.to_bits());
}

#[test]
fn bad_settings_are_named() {
    for (text, expected) in [
        ("cosin", "unknown schedule \"cosin\", did you mean \"cosine\"?; valid are constant, step, cosine"),
        ("step", "schedule \"step\": at=: expected epochs such as at=80/120, or every=N, and not both"),
        ("step:at=5/3", "schedule \"step\": at=5/3: expected rising epochs such as 80/120"),
        ("cosine:min=2", "schedule \"cosine\": min=2: expected a number from 0 to 1"),
        ("constant:warmup=-1", "schedule \"constant\": warmup=-1: expected a number from 0"),
    ] {
        let error = Schedule::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
