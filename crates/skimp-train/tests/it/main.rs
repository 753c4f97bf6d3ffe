//! Integration tests of the training engine.

mod casts;
mod model;
mod nets;
mod oracle;
mod pytorch;
mod random;
mod steps;
mod trained;
