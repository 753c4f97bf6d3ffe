//! Whole records through every writer, and the page in a real browser.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests fail and skip with a message")]

mod browser;
mod demo;
mod demo_sweep;
mod html;
mod optimize_html;
mod records;
mod sweep_browser;
mod sweep_html;
