//! Integration tests of the graph crate: ONNX in and out, and the interpreter against independent results.

#![allow(clippy::print_stderr, reason = "tests report what they skip and what they measure")]

mod binary;
mod build;
mod compare;
mod control;
mod external_data;
mod forms;
mod free_batch;
mod functions;
mod fused_attention;
mod hostile;
mod lists;
mod local_functions;
mod networks;
mod node_cases;
mod qonnx;
mod round_trip;
mod sampling;
mod shape_arithmetic;
mod spiking;
mod standard;
mod surgery;
