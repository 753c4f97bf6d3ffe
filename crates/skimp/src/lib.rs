//! The public API of skimp: one call for each step.
