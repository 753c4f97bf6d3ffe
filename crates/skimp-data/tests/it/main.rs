//! Tests of the public interface.
#![allow(clippy::float_cmp, reason = "results are compared exactly")]
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code, also outside test functions")]

mod batches;
mod hostile;
mod imagenet;
mod layouts;
mod npy;
mod real_data;
mod sample;
mod support;
