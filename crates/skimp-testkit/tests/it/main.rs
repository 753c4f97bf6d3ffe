//! Tests of what the tests of several crates share.

#[cfg(test)]
mod figures;
