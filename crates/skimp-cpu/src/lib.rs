//! Fast CPU kernels and executors, checked against the reference interpreters.

pub mod integer;
