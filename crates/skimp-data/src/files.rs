//! Reading whole files, plain or gzip-compressed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::{DataError, limits};

/// Fails unless `path` is a folder.
pub(crate) fn check_folder(path: &Path) -> Result<(), DataError> {
    if path.is_dir() { Ok(()) } else { Err(DataError::MissingFolder { path: path.to_path_buf() }) }
}

/// The first of `names` in `folder` that is a file.
pub(crate) fn find(folder: &Path, names: &[String]) -> Result<PathBuf, DataError> {
    names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| DataError::MissingFile { folder: folder.to_path_buf(), expected: names.join(" or ") })
}

/// Fails unless `path` is a regular file: a device may never end, and opening a pipe waits for whoever writes to it.
pub(crate) fn check_regular(path: &Path) -> Result<(), DataError> {
    let metadata = fs::metadata(path).map_err(DataError::io(path))?;
    if metadata.is_file() {
        return Ok(());
    }
    let found = if metadata.is_dir() { "a folder" } else { "a pipe or device" };
    Err(DataError::invalid(path, format!("expected a regular file, found {found}")))
}

/// Reads a regular file whole, if it fits the memory budget.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    check_regular(path)?;
    let len = fs::metadata(path).map_err(DataError::io(path))?.len();
    limits::check_file(path, len)?;
    fs::read(path).map_err(DataError::io(path))
}

/// Opens a file for reading; a name ending in `.gz` is unpacked on the way.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Read>, DataError> {
    check_regular(path)?;
    let file = File::open(path).map_err(DataError::io(path))?;
    skimp_files::note_input(path);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz")) {
        Ok(Box::new(MultiGzDecoder::new(io::BufReader::new(file))))
    } else {
        Ok(Box::new(file))
    }
}

/// Bytes that are read at once.
const STEP_BYTES: u64 = 64 << 20;

/// Reads exactly `len` bytes. Memory grows with what is really there, never with what a header claims.
///
/// # Errors
/// [`DataError::FileTooLarge`]; [`DataError::Truncated`], counting the `already` bytes read before.
pub(crate) fn read_exactly(reader: &mut dyn Read, len: u64, already: u64, path: &Path) -> Result<Vec<u8>, DataError> {
    limits::check_file(path, len)?;
    let mut bytes = Vec::new();
    let mut reader = reader.take(len);
    loop {
        // In steps, so that memory is never twice what there is.
        let before = bytes.len();
        bytes.reserve_exact((len - before as u64).min(STEP_BYTES) as usize);
        match reader.by_ref().take(STEP_BYTES).read_to_end(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            // A gzip stream that is cut off.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(DataError::io(path)(error)),
        }
    }
    let found = bytes.len() as u64;
    if found < len {
        return Err(DataError::Truncated {
            path: path.to_path_buf(),
            expected: already.saturating_add(len),
            found: already + found,
        });
    }
    Ok(bytes)
}

/// Fails if there is a byte left.
pub(crate) fn check_end(reader: &mut dyn Read, expected: u64, path: &Path) -> Result<(), DataError> {
    let mut byte = [0];
    match reader.read(&mut byte).map_err(DataError::io(path))? {
        0 => Ok(()),
        _ => Err(DataError::invalid(path, format!("expected {expected} bytes, found more"))),
    }
}
