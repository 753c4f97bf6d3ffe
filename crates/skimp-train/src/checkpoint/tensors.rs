//! The tensor file of a checkpoint.

use std::collections::BTreeMap;

use safetensors::tensor::{SafeTensorError, TensorView};
use safetensors::{Dtype, SafeTensors};

use super::Parts;
use crate::TrainError;
use crate::optimizer::Memory;

/// Extents and elements, still as bytes.
#[derive(Debug)]
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// The tensors of a file, by name. Taking them out leaves those that nobody asked for.
#[derive(Debug)]
pub(super) struct TensorFile {
    tensors: BTreeMap<String, Stored>,
}

/// What is wrong with the tensors.
#[derive(Debug)]
pub(super) enum DecodeError {
    /// A tensor does not fit; the cause names it.
    Tensor(String),
    /// The policy refused its state.
    Policy(Box<TrainError>),
}

/// The file's bytes. Equal parts give equal bytes.
pub(super) fn encode(parts: &Parts<'_>) -> Result<Vec<u8>, TrainError> {
    let mut stored: Vec<(String, Stored)> = Vec::new();
    let floats = |shape: Vec<usize>, values: &[f32]| Stored {
        dtype: Dtype::F32,
        shape,
        bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    let params = parts.model.params();
    for param in params {
        stored.push((format!("param/{}", param.name()), floats(param.shape().to_vec(), &param.graph_values())));
    }
    for buffer in parts.model.buffers() {
        stored.push((format!("buffer/{}", buffer.name), floats(vec![buffer.values.len()], &buffer.values)));
    }
    for (name, param, values) in parts.optimizer.state(params) {
        stored.push((format!("optimizer/{name}"), floats(param.shape().to_vec(), &values)));
    }
    for (idx, (name, values)) in parts.policy.state().into_iter().enumerate() {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        // Numbered, so that the policy gets its state back in its own order.
        stored
            .push((format!("policy/{idx:06}/{name}"), Stored { dtype: Dtype::F64, shape: vec![values.len()], bytes }));
    }
    for (hook, memory) in parts.optimizer.memories().into_iter().enumerate() {
        for (idx, (name, values)) in memory.into_iter().enumerate() {
            stored.push((format!("hook/{hook:03}/{idx:06}/{name}"), numbers(&values)));
        }
    }
    let failed = |error: SafeTensorError| TrainError::Data {
        what: "tensors of the checkpoint".to_owned(),
        expected: "names and shapes that safetensors can hold".to_owned(),
        found: error.to_string(),
    };
    let views: Result<Vec<_>, _> = stored
        .iter()
        .map(|(name, tensor)| Ok((name, TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)?)))
        .collect();
    safetensors::serialize(views.map_err(failed)?, None).map_err(failed)
}

/// Numbers as f32 where that holds all of them exactly, as masks and weights are; as f64 otherwise.
fn numbers(values: &[f64]) -> Stored {
    let shape = vec![values.len()];
    if values.iter().all(|&value| f64::from(value as f32).to_bits() == value.to_bits()) {
        let bytes = values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect();
        return Stored { dtype: Dtype::F32, shape, bytes };
    }
    Stored { dtype: Dtype::F64, shape, bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
}

/// Puts the tensors back where they came from.
pub(super) fn decode(file: &mut TensorFile, parts: &mut Parts<'_>, n_updates: u64) -> Result<(), DecodeError> {
    for param in parts.model.params_mut() {
        let values = file.take(&format!("param/{}", param.name()), param.shape())?;
        param.set_graph_values(&values);
    }
    for buffer in parts.model.buffers_mut() {
        buffer.values = file.take(&format!("buffer/{}", buffer.name), &[buffer.values.len()])?;
    }
    let params = parts.model.params();
    parts.optimizer.restore(params, n_updates, |name, param| file.take(&format!("optimizer/{name}"), param.shape()))?;
    parts.optimizer.recall(file.take_memories()).map_err(DecodeError::Tensor)?;
    let policy = file.take_policy();
    if let Some((name, _)) = file.tensors.first_key_value() {
        return Err(DecodeError::Tensor(format!("tensor \"{name}\" does not belong to this network and optimizer")));
    }
    parts.policy.restore(&policy).map_err(|error| DecodeError::Policy(Box::new(error)))
}

impl TensorFile {
    /// Takes a file apart.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| match error {
            SafeTensorError::MetadataIncompleteBuffer => cut_off(bytes),
            SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => {
                format!("file is truncated: {} bytes do not hold its list of tensors", bytes.len())
            }
            error => format!("not a tensor file: {error}"),
        })?;
        let tensors = file.iter().map(|(name, view)| {
            let stored = Stored { dtype: view.dtype(), shape: view.shape().to_vec(), bytes: view.data().to_vec() };
            (name.to_owned(), stored)
        });
        Ok(Self { tensors: tensors.collect() })
    }

    /// Elements of a tensor of f32.
    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, DecodeError> {
        let wrong = |cause: String| DecodeError::Tensor(format!("tensor \"{name}\": {cause}"));
        let Some(tensor) = self.tensors.remove(name) else {
            return Err(wrong("missing; the checkpoint is one of another network or optimizer".to_owned()));
        };
        if tensor.dtype != Dtype::F32 || tensor.shape != shape {
            let found = format!("{:?} {:?}", tensor.dtype, tensor.shape);
            return Err(wrong(format!("expected F32 {shape:?}, found {found}")));
        }
        Ok(tensor.bytes.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect())
    }

    /// What each hook remembers, in its own order.
    fn take_memories(&mut self) -> Vec<Vec<Memory>> {
        let mut memories: Vec<Vec<Memory>> = Vec::new();
        // More hooks than any run has are none of ours: they stay, and are complained about.
        let place = |name: &str| {
            let (hook, rest) = name.strip_prefix("hook/")?.split_once('/')?;
            let (_, name) = rest.split_once('/')?;
            Some((hook.parse::<usize>().ok().filter(|&hook| hook < 1000)?, name.to_owned()))
        };
        self.tensors.retain(|name, tensor| {
            let Some((hook, name)) = place(name) else { return true };
            let values = match tensor.dtype {
                Dtype::F32 => {
                    let values = tensor.bytes.as_chunks::<4>().0.iter();
                    values.map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect()
                }
                Dtype::F64 => tensor.bytes.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
                _ => return true,
            };
            memories.resize(memories.len().max(hook + 1), Vec::new());
            memories[hook].push((name, values));
            false
        });
        memories
    }

    /// The state of the policy, in its own order.
    fn take_policy(&mut self) -> Vec<(String, Vec<f64>)> {
        let mut state = Vec::new();
        self.tensors.retain(|name, tensor| match name.strip_prefix("policy/").and_then(|name| name.split_once('/')) {
            Some((_, name)) if tensor.dtype == Dtype::F64 => {
                let values = tensor.bytes.as_chunks::<8>().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
                state.push((name.to_owned(), values.collect()));
                false
            }
            _ => true,
        });
        state
    }
}

/// Which tensor a file that is too short breaks off in. The list of tensors is intact.
fn cut_off(bytes: &[u8]) -> String {
    let header = bytes.first_chunk::<8>().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    let list = bytes.get(8..8 + header).and_then(|json| serde_json::from_slice::<serde_json::Value>(json).ok());
    let available = bytes.len().saturating_sub(8 + header) as u64;
    let ends = list.as_ref().and_then(serde_json::Value::as_object).into_iter().flatten().filter_map(|(name, info)| {
        let end = info.get("data_offsets")?.get(1)?.as_u64()?;
        Some((end, name))
    });
    let mut ends: Vec<_> = ends.collect();
    ends.sort();
    match (ends.iter().find(|(end, _)| *end > available), ends.last()) {
        (Some((end, name)), _) => {
            format!("file is truncated in tensor \"{name}\": it ends at byte {end} of the data, found {available}")
        }
        (None, Some((end, name))) => {
            format!("file goes on after its last tensor \"{name}\": expected {end} bytes of data, found {available}")
        }
        (None, None) => "file has no tensors".to_owned(),
    }
}
