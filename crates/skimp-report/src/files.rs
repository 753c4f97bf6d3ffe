//! Files that are either complete or absent.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::ReportError;

/// Writes a file so that a reader sees the old content or the new, never a part of it.
///
/// The bytes go to a temporary file in the same folder, which is flushed to the disk and renamed. A missing folder is
/// an error, not created.
///
/// # Errors
/// [`ReportError::Io`] naming `path`.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), ReportError> {
    let failed = |source| ReportError::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".skimp-").suffix(".part");
    // Temporary files are private by default; results are as readable as any file the user makes.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    // The rename itself reaches the disk with the folder. Not every file system can flush one: best effort.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        write_atomic(&path, b"old").unwrap();
        write_atomic(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_error_names_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no").join("results.json");
        let error = write_atomic(&missing, b"").unwrap_err().to_string();
        assert!(error.contains("results.json"), "{error}");

        // A folder cannot be replaced by a file, and the temporary file goes away.
        let occupied = folder.path().join("occupied");
        std::fs::create_dir(&occupied).unwrap();
        let error = write_atomic(&occupied, b"").unwrap_err().to_string();
        assert!(error.contains("occupied"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
