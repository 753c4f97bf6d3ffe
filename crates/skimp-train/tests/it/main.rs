//! Integration tests of the training engine.

mod casts;
mod distill;
mod graphs;
mod groups;
mod hooks;
mod model;
mod nets;
mod noise;
mod oracle;
mod policies;
mod pytorch;
mod quantizers;
mod random;
mod steps;
mod trained;
