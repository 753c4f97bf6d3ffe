//! Networks for tests and benches: small random ones ([`random_cnn`]) and well-known ones ([`networks`]).
//!
//! They stand here, not in a test, because the tests of every engine use them. Nothing here is for production.

mod layers;
pub mod networks;
mod random;

pub use layers::{Weights, random_tensor};
pub use random::{random_cnn, random_relu_cnn};
