//! What can go wrong with a report.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A text is not a record of the expected schema.
    #[error("expected a record of schema \"{expected}\", found {found}")]
    Schema {
        /// The schema that the caller asked for.
        expected: &'static str,
        /// What the text declares, quoted, or "no schema".
        found: String,
    },
    /// A text is not valid JSON, or not the JSON of the record.
    #[error("invalid {schema} record: {source}")]
    Json {
        /// The schema that the caller asked for.
        schema: &'static str,
        /// The cause, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A record could not be turned into text.
    #[error("cannot write {what}: {cause}")]
    Encode {
        /// What was being written.
        what: &'static str,
        /// The cause.
        cause: String,
    },
}
