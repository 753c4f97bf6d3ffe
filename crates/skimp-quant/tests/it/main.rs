//! Integer networks: the fast engine against the specification, and accuracy on real data.

mod accuracy;
mod random;
