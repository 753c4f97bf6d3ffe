//! The sections of the report, one file each.

mod accelerators;
mod accuracy;
mod assumptions;
mod energy;
mod findings;
mod losses;
mod picture;
mod precision;
mod provenance;
mod published;
mod roofline;
mod runtime;
mod sparsity;
mod speedup;
mod stacks;
mod summary;
mod training;

use crate::StudyRecord;

/// One section of the report.
pub trait Section: Sync {
    /// Unique identifier in the page, kebab-case.
    fn id(&self) -> &'static str;

    /// Heading.
    fn title(&self) -> &'static str;

    /// What stands below the heading, as HTML; `None` if the study has no data for it.
    fn body(&self, study: &StudyRecord) -> Option<String>;
}

/// Every section, in the order of the page.
pub static SECTIONS: &[&dyn Section] = &[
    &summary::Summary,
    &training::Training,
    &precision::Precision,
    &accelerators::Accelerators,
    &speedup::Speedup,
    &roofline::Roofline,
    &runtime::Runtime,
    &energy::Energy,
    &losses::Losses,
    &findings::Findings,
    &sparsity::Sparsity,
    &accuracy::AccuracySection,
    &published::Published,
    &assumptions::Assumptions,
    &provenance::ProvenanceSection,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_have_unique_names_and_need_data() {
        let mut ids: Vec<&str> = SECTIONS.iter().map(|section| section.id()).collect();
        assert!(ids.iter().all(|id| id.chars().all(|c| c.is_ascii_lowercase() || c == '-')), "{ids:?}");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), SECTIONS.len());
        let empty = StudyRecord::default();
        for section in SECTIONS.iter().filter(|section| section.id() != "provenance") {
            assert_eq!(section.body(&empty), None, "section {}", section.id());
        }
    }
}
