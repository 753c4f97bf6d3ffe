//! Files that are either complete or absent.

use std::path::Path;

use crate::ReportError;

/// Writes a file so that a reader sees the old content or the new, never a part of it; see [`skimp_files::write()`].
///
/// # Errors
/// [`ReportError::Io`] naming `path`.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    skimp_files::write(path, |out| out.write_all(bytes))
        .map_err(|source| ReportError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no").join("results.json");
        let error = write_atomic(&missing, b"").unwrap_err().to_string();
        assert!(error.contains("results.json"), "{error}");
    }
}
