//! Tensors, the network graph, its reference interpreters, statistics, rewrites and ONNX.
//!
//! The main types are [`Graph`] (a static single-assignment network over the closed operator enum [`Op`]) and
//! [`Tensor`]. [`Executor`] is the seam that every engine implements. The reference interpreters here are the
//! specification: naive, safe, single-threaded. This crate does no terminal or network I/O.

pub mod binary;
mod builder;
mod error;
mod executor;
mod graph;
pub mod integer;
pub mod memory;
pub mod networks;
pub mod noise;
pub mod onnx;
pub mod ops;
pub mod reference;
pub mod rewrite;
pub mod shape;
pub mod spiking;
pub mod statistics;
mod tensor;
pub mod testing;
mod topology;

pub use builder::GraphBuilder;
pub use error::GraphError;
pub use executor::{Executor, Observer};
pub use graph::{Dim, Graph, GraphInput, Node, Value, ValueId};
pub use ops::{AutoPad, Gemm, Op, Pad, PadMode, Slice, Window};
pub use tensor::{DType, Data, Element, Tensor};
