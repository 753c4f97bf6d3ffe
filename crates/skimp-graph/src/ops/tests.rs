use std::collections::BTreeSet;

use super::ENTRIES;
use crate::testing::cases;

#[test]
fn every_operator_has_a_name_of_its_own_and_cases() {
    let names: BTreeSet<&str> = ENTRIES.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), ENTRIES.len());
    let shown: BTreeSet<&str> = cases().map(|case| case.op.name()).collect();
    let missing: Vec<&&str> = names.difference(&shown).collect();
    assert!(missing.is_empty(), "no cases: {missing:?}");
}
