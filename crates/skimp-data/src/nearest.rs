//! The nearest valid choice for a misspelled name.

/// The candidate with the smallest edit distance to `name`, if that is close enough to be a likely misspelling.
/// Ties keep the earlier candidate.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let limit = name.chars().count().max(3) / 2;
    let (distance, best) = candidates.into_iter().map(|c| (edit_distance(&name, c), c)).min_by_key(|(d, _)| *d)?;
    (distance <= limit).then_some(best)
}

/// `", did you mean …?"` for the end of an error message, or nothing.
pub fn hint(nearest: Option<&str>) -> String {
    nearest.map(|n| format!(", did you mean \"{n}\"?")).unwrap_or_default()
}

/// Levenshtein distance in characters, one row at a time.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("cifar", "cifar10", 2)] {
            assert_eq!(edit_distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_likely_misspellings_are_offered() {
        assert_eq!(nearest("Cifar-10", ["mnist", "cifar10"]), Some("cifar10"));
        assert_eq!(nearest("minst", ["mnist", "cifar10"]), Some("mnist"));
        assert_eq!(nearest("horse", ["mnist", "cifar10"]), None);
    }
}
