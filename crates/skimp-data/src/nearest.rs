//! The nearest valid choice for a misspelled name.

/// The candidate with the smallest edit distance to `name`, if that is close enough to be a likely misspelling.
/// Ties keep the earlier candidate.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let limit = name.chars().count().max(3) / 2;
    let (distance, best) =
        candidates.into_iter().map(|c| (strsim::levenshtein(&name, c), c)).min_by_key(|(d, _)| *d)?;
    (distance <= limit).then_some(best)
}

/// `", did you mean …?"` for the end of an error message, or nothing.
pub fn hint(nearest: Option<&str>) -> String {
    nearest.map(|n| format!(", did you mean \"{n}\"?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_likely_misspellings_are_offered() {
        assert_eq!(nearest("Cifar-10", ["mnist", "cifar10"]), Some("cifar10"));
        assert_eq!(nearest("minst", ["mnist", "cifar10"]), Some("mnist"));
        assert_eq!(nearest("horse", ["mnist", "cifar10"]), None);
        assert_eq!(nearest("", ["mnist", "cifar10"]), None);
        // One letter for each of three names; distances are of characters, not bytes.
        assert_eq!(nearest("dät", ["dat", "det", "dot"]), Some("dat"));
    }
}
