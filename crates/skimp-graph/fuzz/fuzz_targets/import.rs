//! Whatever the bytes, the importer returns; and what it accepts survives an export.
//!
//! docs/robustness.md says how to run it.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use skimp_graph::onnx;

fuzz_target!(|data: &[u8]| {
    let Ok(graph) = onnx::import_bytes(Bytes::copy_from_slice(data), None, "fuzz") else { return };
    let Ok(bytes) = onnx::export_bytes(&graph) else { return };
    let again = onnx::import_bytes(Bytes::from(bytes), None, "fuzz").expect("an exported graph can be imported");
    assert_eq!(format!("{graph:?}"), format!("{again:?}"), "the round trip is the identity");
});
