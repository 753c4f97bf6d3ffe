//! Small random networks for tests and benches ([`random_cnn`]). Well-known ones are in [`networks`](crate::networks).
//!
//! They stand here, not in a test, because the tests of every engine use them. Nothing here is for production.

mod layers;
mod random;

pub use layers::random_tensor;
pub use random::{random_cnn, random_relu_cnn};
