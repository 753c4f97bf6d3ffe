//! Integration tests of the training engine.

mod model;
mod nets;
mod oracle;
mod pytorch;
mod steps;
