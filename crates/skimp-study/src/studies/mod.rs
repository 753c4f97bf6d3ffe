//! Studies: a file, a kind, a record, a report.

pub(crate) mod accelerators;
pub(crate) mod binary_table;
pub(crate) mod cell_pictures;
pub(crate) mod config;
pub(crate) mod crossbars;
pub(crate) mod embedded;
#[cfg(test)]
mod honest_tests;
pub(crate) mod kind;
#[cfg(test)]
mod kind_tests;
pub(crate) mod precision;
pub(crate) mod published;
#[cfg(test)]
mod published_tests;
pub(crate) mod ranks;
pub(crate) mod recasting_table;
pub(crate) mod reduction;
pub(crate) mod runner;
pub(crate) mod tour;
#[cfg(test)]
mod tour_tests;
pub(crate) mod widths;

use self::kind::{KindOf, StudyKind};

/// Every kind of study, one line each.
pub static STUDY_KINDS: &[&dyn StudyKind] = &[
    &KindOf::<tour::TourPlan>::ENTRY,
    &KindOf::<accelerators::AcceleratorsPlan>::ENTRY,
    &KindOf::<precision::PrecisionPlan>::ENTRY,
    &KindOf::<widths::WidthsPlan>::ENTRY,
    &KindOf::<recasting_table::RecastingTablePlan>::ENTRY,
    &KindOf::<reduction::ReductionPlan>::ENTRY,
    &KindOf::<binary_table::BinaryTablePlan>::ENTRY,
    &KindOf::<crossbars::CrossbarsPlan>::ENTRY,
];
