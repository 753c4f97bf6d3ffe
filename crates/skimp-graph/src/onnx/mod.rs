//! ONNX files in and out.
//!
//! [`import`] reads opset 7 to 28 and [`export`] writes plain ONNX (opset 13, or higher where an operator needs it)
//! that any runtime runs. The importer normalizes: parameters that ONNX passes as tensors (axes, pads, shapes, bounds)
//! become attributes, shape arithmetic is evaluated, legacy forms become compositions of today's operators. What it
//! cannot express is an error that names the node. Importing an exported graph gives the same [`Graph`] again.
//!
//! How an operator is read and written stands in its file under [`ops`].

mod calculations;
pub(crate) mod dtype;
pub(crate) mod export;
mod external;
pub(crate) mod functions;
pub(crate) mod import;
pub(crate) mod packed;
pub(crate) mod proto;
mod sparse;
pub(crate) mod symbolic;
mod tensor;

use std::path::Path;

use bytes::Bytes;

pub use self::import::UnknownOperator;
use crate::{Graph, GraphError, ops};

/// Key of a network's metadata under which the element types stand that its file holds and that are computed in f32 here,
/// `FLOAT16` or `BFLOAT16`.
pub const WIDENED_KEY: &str = "skimp.widened";

/// Oldest operator set that [`import`] reads.
pub const MIN_OPSET: i64 = 7;

/// Newest operator set that [`import`] reads.
pub const MAX_OPSET: i64 = 28;

/// Reads a network from an ONNX file. External data is looked up in the file's folder.
///
/// Extents that the file leaves open (named, absent, 0 or −1) become [`Dim::Free`](crate::Dim::Free). Initializers in
/// half precision (FLOAT16, BFLOAT16) are widened to f32, which is exact.
///
/// # Errors
/// [`GraphError::Io`] if a file cannot be read, [`GraphError::InvalidFile`] or [`GraphError::InvalidGraph`] if it is
/// not a valid model, [`GraphError::InvalidNode`] or [`GraphError::UnsupportedNode`] for a node that is wrong or
/// beyond skimp.
pub fn import(path: &Path) -> Result<Graph, GraphError> {
    let io = |source| GraphError::Io { path: path.to_owned(), source };
    let bytes = Bytes::from(skimp_files::read(path, skimp_memory::budget().0).map_err(io)?);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    import::import(bytes, Some(folder), path, &[])
}

/// Reads a network from the bytes of an ONNX file. `name` stands for the file in errors, and names a graph without a
/// name. External data is looked up in `base_dir`, and refused without one.
///
/// # Errors
/// As [`import`].
pub fn import_bytes(bytes: Bytes, base_dir: Option<&Path>, name: &str) -> Result<Graph, GraphError> {
    import::import(bytes, base_dir, Path::new(name), &[])
}

/// [`import_bytes`] for inputs of these extents, by name (any input, if the name is empty): what the file leaves open there is
/// fixed. A network that chooses
/// between branches by the extents of its inputs is often read only this way.
///
/// # Errors
/// As [`import`]; [`GraphError::InvalidInput`] if the file fixes an extent to another value, or an input has another number
/// of axes.
pub fn import_bytes_for(
    bytes: Bytes,
    base_dir: Option<&Path>,
    name: &str,
    extents: &[(String, Vec<usize>)],
) -> Result<Graph, GraphError> {
    import::import(bytes, base_dir, Path::new(name), extents)
}

/// The operators of an ONNX file that [`import`] does not know, those in graphs of nodes included. `name` stands for the file
/// in errors.
///
/// # Errors
/// [`GraphError::InvalidFile`] if it is no ONNX model.
pub fn unknown_operators(bytes: Bytes, name: &str) -> Result<Vec<UnknownOperator>, GraphError> {
    import::unknown_operators(bytes, Path::new(name))
}

/// Writes `graph` as an ONNX file: to a temporary file beside `path` first, which is then renamed.
///
/// # Errors
/// [`GraphError::Io`] if the file cannot be written, [`GraphError::InvalidFile`] if it would exceed the 2 GB limit of
/// protobuf, [`GraphError::UnsupportedNode`] if ONNX cannot express a node.
pub fn export(graph: &Graph, path: &Path) -> Result<(), GraphError> {
    export::export(graph, path)
}

/// The bytes of the file that [`export`] writes.
///
/// # Errors
/// As [`export`].
pub fn export_bytes(graph: &Graph) -> Result<Vec<u8>, GraphError> {
    export::export_bytes(graph)
}

/// An operator that [`import`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownOperator {
    /// Its domain; empty for ONNX's own.
    pub domain: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What becomes of it, in a few words.
    pub treatment: &'static str,
}

/// The operators that [`import`] knows: those of graphs in the order of their registry, those that it expands into them, and
/// those that it only evaluates.
pub fn operators() -> impl Iterator<Item = KnownOperator> {
    let known = |domain, name, treatment| KnownOperator { domain, name, treatment };
    let own = ops::ENTRIES.iter().map(move |entry| known(entry.domain, entry.name, "imported and exported"));
    let expanded = functions::all().map(move |(domain, name)| known(domain, name, "expanded into others at import"));
    let evaluated = calculations::CALCULATIONS.iter().map(|calculation| calculation.name());
    let evaluated = evaluated.filter(|name| ops::find(name).is_none());
    own.chain(expanded).chain(evaluated.map(move |name| known("", name, "evaluated at import")))
}
