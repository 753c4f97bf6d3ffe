//! The `skimp` command.
fn main() {}
