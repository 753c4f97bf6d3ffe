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
mod tables;
mod tour;
mod training;
mod unread;

pub(super) use self::provenance::inputs_and_configuration;

use crate::StudyRecord;
use crate::table::Table;

/// One section of the report: what is shown of a study's sections, on the page, on the terminal and as CSV.
pub trait Section: Sync {
    /// Unique identifier in the page, kebab-case.
    fn id(&self) -> &'static str;

    /// Heading.
    fn title(&self) -> &'static str;

    /// What stands below the heading, as HTML; `None` if the study has no data for it.
    fn body(&self, study: &StudyRecord) -> Option<String>;

    /// What it says at the top of the page: names and values.
    fn facts(&self, _study: &StudyRecord) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The essentials for a terminal of `width` columns, in parts that end in a line break.
    fn text(&self, _study: &StudyRecord, _width: Option<usize>) -> Vec<String> {
        Vec::new()
    }

    /// Names of the CSV files that it may have.
    fn csv_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// A table for each of [`csv_names`](Self::csv_names), in their order, or none.
    fn csv(&self, _study: &StudyRecord) -> Vec<Table> {
        Vec::new()
    }
}

/// Every section, in the order of the page.
pub static SECTIONS: &[&dyn Section] = &[
    &summary::Summary,
    &tour::Tour,
    &tables::Tables,
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
    &unread::Unread,
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
            assert!(section.facts(&empty).is_empty() && section.text(&empty, None).is_empty(), "{}", section.id());
        }
    }
}
