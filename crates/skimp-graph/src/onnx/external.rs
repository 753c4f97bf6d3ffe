//! Tensor data that a model keeps in files beside it.
//!
//! A model is untrusted: `location` must stay inside the model's folder, also after links are followed.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};

use super::proto::StringStringEntryProto;
use crate::GraphError;

/// Where a tensor's bytes are.
struct Reference<'a> {
    location: &'a str,
    offset: u64,
    length: Option<u64>,
}

/// Reads the `n_bytes` bytes of tensor `tensor` of model `file`. Nothing is allocated before the file is known to
/// hold them.
pub(crate) fn read(
    entries: &[StringStringEntryProto],
    n_bytes: u64,
    base_dir: Option<&Path>,
    file: &Path,
    tensor: &str,
) -> Result<Vec<u8>, GraphError> {
    let invalid = |cause: String| GraphError::InvalidFile {
        path: file.to_owned(),
        cause: format!("initializer \"{tensor}\": {cause}"),
    };
    let reference = parse(entries).map_err(invalid)?;
    let base_dir = base_dir.ok_or_else(|| invalid("external data, but the model has no folder".to_owned()))?;
    let path = resolve(base_dir, reference.location, &invalid)?;
    if let Some(length) = reference.length
        && length != n_bytes
    {
        return Err(invalid(format!("external data of {length} bytes, expected {n_bytes} for its dimensions")));
    }

    let io = |source| GraphError::Io { path: path.clone(), source };
    let mut data = File::open(&path).map_err(io)?;
    let available = data.metadata().map_err(io)?.len();
    if reference.offset.checked_add(n_bytes).is_none_or(|end| end > available) {
        return Err(invalid(format!(
            "external data at offset {} with {n_bytes} bytes lies outside of \"{}\", which has {available} bytes",
            reference.offset, reference.location
        )));
    }
    skimp_files::note_input(&path);
    skimp_memory::check(n_bytes, || format!("initializer \"{tensor}\" of {}", file.display()))?;
    data.seek(SeekFrom::Start(reference.offset)).map_err(io)?;
    let mut bytes = Vec::new();
    data.take(n_bytes).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 != n_bytes {
        return Err(invalid(format!("\"{}\" ended early", reference.location)));
    }
    Ok(bytes)
}

fn parse(entries: &[StringStringEntryProto]) -> Result<Reference<'_>, String> {
    let get = |key: &str| entries.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let number = |key: &str| match get(key) {
        None => Ok(None),
        Some(text) => {
            text.parse::<u64>().map(Some).map_err(|_| format!("external data: {key} \"{text}\" is no number"))
        }
    };
    let location = get("location").ok_or("external data without a location")?;
    Ok(Reference { location, offset: number("offset")?.unwrap_or(0), length: number("length")? })
}

/// The file behind `location`, which must lie in `base_dir`.
fn resolve(base_dir: &Path, location: &str, invalid: &impl Fn(String) -> GraphError) -> Result<PathBuf, GraphError> {
    let relative = Path::new(location);
    let plain = !location.is_empty()
        && !location.contains(['\\', '\0'])
        && relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !plain {
        return Err(invalid(format!("external data location \"{location}\" leaves the folder of the model")));
    }
    let joined = base_dir.join(relative);
    let real = joined.canonicalize().map_err(|source| GraphError::Io { path: joined.clone(), source })?;
    let folder = base_dir.canonicalize().map_err(|source| GraphError::Io { path: base_dir.to_owned(), source })?;
    if !real.starts_with(&folder) {
        return Err(invalid(format!(
            "external data location \"{location}\" is a link that leaves the folder of the model"
        )));
    }
    if !real.is_file() {
        return Err(invalid(format!("external data location \"{location}\" is not a file")));
    }
    Ok(real)
}
