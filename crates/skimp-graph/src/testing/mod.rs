//! Small random networks ([`random_cnn`]) and graphs of every operator ([`random_graph`]) for tests and benches. Well-known ones are in [`networks`](crate::networks).
//!
//! They stand here, not in a test, because the tests of every engine use them. Nothing here is for production.

mod binary;
mod cases;
mod graphs;
mod layers;
mod random;

pub use binary::{binarized, random_binary_network, random_spiking_network};
pub use cases::{Case, cases};
pub(crate) use cases::{case, f, t};
pub use graphs::{ElementTypes, RandomGraph, random_graph, random_graph_of};
pub(crate) use graphs::{Generator, Source};
pub use layers::random_tensor;
pub use random::{random_cnn, random_relu_cnn};
