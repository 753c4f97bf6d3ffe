//! What may go wrong.

/// What may go wrong.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnalogError {
    /// A device that is not known.
    #[error("device \"{name}\" is unknown: expected one of {known}")]
    UnknownDevice {
        /// Its name.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// A setting that is out of its range, unknown or not of its type.
    #[error("device \"{device}\", {key}: {found}, expected {expected}")]
    Setting {
        /// Name of the device.
        device: String,
        /// The setting.
        key: String,
        /// What was given.
        found: String,
        /// What would do.
        expected: String,
    },
    /// Cells that make no array.
    #[error("an array of {rows} rows and {columns} columns: {cause}")]
    Array {
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        columns: usize,
        /// What is wrong.
        cause: String,
    },
    /// Voltages that do not fit an array.
    #[error("{found}, expected a finite one for each of {rows} rows")]
    Volts {
        /// Number of rows.
        rows: usize,
        /// What was given.
        found: String,
    },
    /// A wire whose resistance is none.
    #[error("{key}: {found} ohm, expected 0 or more")]
    Wire {
        /// Which one.
        key: &'static str,
        /// What was given.
        found: f64,
    },
    /// Node voltages that were not found to the accuracy asked for.
    #[error(
        "the voltages of an array of {rows} rows and {columns} columns: a residual of {residual:e} of the largest current after \
         {iterations} iterations, expected {tolerance:e}"
    )]
    NotConverged {
        /// Number of rows.
        rows: usize,
        /// Number of columns.
        columns: usize,
        /// Iterations.
        iterations: usize,
        /// Largest current that a node gains or loses, over the largest current into a column node.
        residual: f64,
        /// What was asked for.
        tolerance: f64,
    },
    /// A layer or a tile without extent.
    #[error("tiles of a layer: {what} is 0, expected at least 1")]
    Tiling {
        /// Which extent.
        what: &'static str,
    },
    /// Weights or inputs that do not fit a layer.
    #[error("{what}: found {found}, expected {expected}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// Levels that cannot be told apart.
    #[error("{what}: {found}, expected {expected}")]
    Levels {
        /// Which ones.
        what: &'static str,
        /// What was given.
        found: String,
        /// What would do.
        expected: String,
    },
}
