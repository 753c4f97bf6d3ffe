//! What designs found, as records.

use skimp_report::records::{Distribution, FindingKind, FindingRecord, Provenance, Verdict};
use skimp_sim::{Basis, Finding, Found, LayerResult};

/// What one layer's result holds.
pub(crate) fn of_layer(result: &LayerResult) -> Vec<FindingRecord> {
    result.findings.iter().map(record).collect()
}

/// What the results of a network's layers say of it, with what a reader needs to know.
pub(crate) fn of_network<'l>(results: impl IntoIterator<Item = &'l LayerResult>) -> Vec<FindingRecord> {
    let with_words = |finding: &Finding| {
        let record = record(finding);
        let of_layers = matches!(finding.found, Found::Share { .. }) && record.unit.is_empty();
        let unit = if of_layers { "layers".to_owned() } else { record.unit };
        FindingRecord { unit, description: finding.quantity.description.to_owned(), ..record }
    };
    Finding::of_network(results).iter().map(with_words).collect()
}

fn record(finding: &Finding) -> FindingRecord {
    let empty = FindingRecord {
        key: finding.quantity.key.to_owned(),
        label: finding.quantity.label.to_owned(),
        basis: match finding.quantity.basis {
            Basis::Measured => Provenance::Measured,
            Basis::Simulated => Provenance::Simulated,
        },
        unit: finding.quantity.unit.to_owned(),
        ..FindingRecord::default()
    };
    let state = |verdict| FindingRecord { kind: FindingKind::State, verdict: Some(verdict), ..empty.clone() };
    match &finding.found {
        Found::AtWork => state(Verdict::yes()),
        Found::Off(reason) => state(Verdict::no(reason.as_str())),
        Found::Count(count) => FindingRecord { kind: FindingKind::Count, value: Some(*count as f64), ..empty },
        Found::Share { part, whole } => {
            FindingRecord { kind: FindingKind::Share, value: Some(*part as f64), of: Some(*whole), ..empty }
        }
        Found::Distribution { first, counts } => {
            let distribution = Distribution { first: *first, counts: counts.clone() };
            FindingRecord {
                kind: FindingKind::Distribution,
                value: distribution.mean(),
                of: Some(distribution.total()),
                distribution: Some(distribution),
                ..empty
            }
        }
        Found::Agreement { compared, different } => FindingRecord {
            kind: FindingKind::Agreement,
            value: Some(*different as f64),
            of: Some(*compared),
            verdict: Some(Verdict { holds: *different == 0, reason: None }),
            ..empty
        },
    }
}
