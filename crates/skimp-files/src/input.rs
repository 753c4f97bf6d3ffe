//! Reading what a run is given, whatever is there.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::guard::note_input;

/// Files that somebody waits for.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// While it lives, the process waits for a file that may never come or end.
#[derive(Debug)]
pub(crate) struct Wait(());

impl Wait {
    pub(crate) fn begin() -> Self {
        WAITING.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        WAITING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether the process waits for a named pipe, a terminal or a device at this moment. A program that is asked to end
/// should not wait with it.
pub fn is_waiting() -> bool {
    WAITING.load(Ordering::SeqCst) > 0
}

/// A file that a run is given, opened for reading.
#[derive(Debug)]
pub struct Input {
    file: File,
    _wait: Option<Wait>,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

/// Opens a file that a run is given, and notes it as an input ([`note_input`]). For files of any size that are read in
/// pieces; [`read()`] takes a whole one.
///
/// # Errors
/// The file system's.
pub fn open(path: &Path) -> io::Result<Input> {
    let input = open_own(path)?;
    note_input(path);
    Ok(input)
}

/// As [`open`], not noted.
fn open_own(path: &Path) -> io::Result<Input> {
    let _wait = (!fs::metadata(path)?.is_file()).then(Wait::begin);
    Ok(Input { file: File::open(path)?, _wait })
}

/// Reads a file that a run is given, and notes it as an input ([`note_input`]): at most `limit` bytes, of a device that
/// never ends, too. A file that is longer is refused before it is read.
///
/// # Errors
/// The file system's, and `FileTooLarge` beyond `limit`.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_opened(path, limit, open)
}

/// As [`read()`], for a file that an earlier run of skimp wrote and this one may replace: it is not noted as an input.
///
/// # Errors
/// As [`read()`].
pub fn read_own(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_opened(path, limit, open_own)
}

fn read_opened(path: &Path, limit: u64, open: impl FnOnce(&Path) -> io::Result<Input>) -> io::Result<Vec<u8>> {
    let too_large = |size: &str| {
        io::Error::new(io::ErrorKind::FileTooLarge, format!("{size}, at most {limit} bytes are read here"))
    };
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder, expected a file"));
    }
    let expected = if metadata.is_file() { metadata.len() } else { 0 };
    if expected > limit {
        return Err(too_large(&format!("has {expected} bytes")));
    }
    let file = open(path)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(expected).unwrap_or(usize::MAX))?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(too_large("has no end in sight")) } else { Ok(bytes) }
}

/// As [`read()`], for text in UTF-8.
///
/// # Errors
/// As [`read()`], and `InvalidData`.
pub fn read_to_string(path: &Path, limit: u64) -> io::Result<String> {
    text(read(path, limit)?)
}

/// As [`read_own`], for text in UTF-8.
///
/// # Errors
/// As [`read_to_string`].
pub fn read_own_to_string(path: &Path, limit: u64) -> io::Result<String> {
    text(read_own(path, limit)?)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not text in UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, [7; 100]).unwrap();
        assert_eq!(read(&path, 100).unwrap(), [7; 100]);
        let error = read(&path, 99).unwrap_err();
        assert_eq!(error.to_string(), "has 100 bytes, at most 99 bytes are read here");
        assert_eq!(read(folder.path(), 99).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read(&folder.path().join("y"), 99).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_to_string(&path, 99).unwrap_err().to_string(), "is not text in UTF-8");
    }

    #[cfg(unix)]
    #[test]
    fn what_never_ends_is_given_up() {
        let error = read(Path::new("/dev/zero"), 10_000).unwrap_err();
        assert_eq!(error.to_string(), "has no end in sight, at most 10000 bytes are read here");
        assert_eq!(read(Path::new("/dev/null"), 10).unwrap(), []);
        assert_eq!(read_own(Path::new("/dev/zero"), 10).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
