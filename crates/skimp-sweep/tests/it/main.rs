//! Sweeps from file to folder, on the embedded network.
#![allow(clippy::unwrap_used, reason = "tests")]

mod disk;
mod kills;
mod optimizing;
mod rows;
mod stores;
