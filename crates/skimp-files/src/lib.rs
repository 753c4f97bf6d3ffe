//! Result files that are either complete or absent, and inputs that no result replaces.
//!
//! Every file that skimp writes goes through [`write()`]: a reader sees the old content or the new, never a part of it,
//! and a run that is killed or meets a full disk loses nothing that was there before. What a run is given is read by
//! [`read()`]; once a program turns [`guard`] on, [`write()`] does not replace it.

mod guard;
mod input;
mod lock;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

pub use guard::{Refusal, check_own, claim, guard, is_record, note_input, note_input_folder, refusal};
pub use input::{Input, is_waiting, open, read, read_own, read_own_to_string, read_to_string};
pub use lock::{Lock, lock};

/// Writes a file so that a reader sees the old content or the new, never a part of it.
///
/// The bytes go to a temporary file in the same folder, which is flushed to the disk and renamed. A symbolic link stays
/// one: the file behind it is replaced, and keeps its permissions. What is not a file (`/dev/stdout`, `/dev/null`, a
/// named pipe) is written to as it stands, since a rename would put a file in its place.
///
/// # Errors
/// The first failure, of `content` or of the file system; the old file is untouched then, and the temporary one removed.
/// A missing folder is an error that names it, not created. A [`Refusal`] if the file is an input of the run.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("codes.txt");
/// skimp_files::write(&path, |out| out.write_all(b"0 1 1 2"))?;
/// # Ok(())
/// # }
/// ```
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    replace(path, content, true)
}

/// As [`write()`], but without waiting for the disk, which takes longer than all the rest: for files that are written
/// again and again to be looked at. Readers see the old content or the new; after a power failure there may be neither.
///
/// # Errors
/// As [`write()`].
pub fn refresh(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    replace(path, content, false)
}

fn replace(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>, durably: bool) -> io::Result<()> {
    let target = behind_links(path);
    let present = fs::metadata(&target).ok();
    if let Some(present) = &present
        && !present.is_file()
    {
        if present.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
        }
        let _wait = input::Wait::begin();
        let mut out = BufWriter::new(OpenOptions::new().write(true).open(&target)?);
        content(&mut out)?;
        return out.flush();
    }

    guard::check_target(path, &target)?;
    let folder = folder_of(&target);
    let mut file = temporary(folder)?;
    if let Some(present) = present {
        file.as_file().set_permissions(present.permissions())?;
    }
    let mut out = BufWriter::with_capacity(1 << 16, &mut file);
    content(&mut out)?;
    out.flush()?;
    drop(out);
    if durably {
        file.as_file().sync_all()?;
    }
    file.persist(&target).map_err(|error| error.error)?;
    if !durably {
        return Ok(());
    }
    // The rename itself reaches the disk with the folder. Not every file system can flush one: best effort.
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// Checks that [`write()`] could write `path`, and leaves everything as it is. Better before a long run than after it.
///
/// # Errors
/// What [`write()`] would meet before any content: a folder that is missing or cannot be written to, or a folder in the
/// file's place; a [`Refusal`].
pub fn check(path: &Path) -> io::Result<()> {
    let target = behind_links(path);
    match fs::metadata(&target) {
        Ok(present) if present.is_dir() => Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder")),
        Ok(present) if !present.is_file() => Ok(()),
        _ => {
            guard::check_target(path, &target)?;
            temporary(folder_of(&target)).map(drop)
        }
    }
}

/// Makes a folder and those above it where they are missing, and checks that files can be made in it.
///
/// # Errors
/// A file in its place, or whatever forbids to make it or files in it.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let present = folder.ancestors().find(|folder| folder.symlink_metadata().is_ok());
    if let Some(file) = present.filter(|present| !present.is_dir()) {
        return Err(not_a_folder(file));
    }
    fs::create_dir_all(folder)?;
    temporary(folder).map(drop)
}

fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new file in `folder` that goes when it is dropped, or with the next one after its process was killed. Its errors
/// name the folder, not the file.
fn temporary(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    lock::remove_stale_parts(folder);
    let prefix = lock::part_prefix();
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(lock::PART_SUFFIX);
    // Temporary files are private by default; results are as readable as any file the user makes.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let made = builder.tempfile_in(folder).inspect(|file| {
        // Tells others that it is in use. Not every file system can: then its age does.
        let _ = file.as_file().try_lock();
    });
    made.map_err(|error| {
        let (kind, name) = (error.kind(), folder.display());
        match fs::metadata(folder) {
            Ok(present) if present.is_dir() => {
                io::Error::new(kind, format!("cannot make a file in folder \"{name}\": {kind}"))
            }
            Ok(_) => not_a_folder(folder),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                folder.ancestors().find(|above| above.is_file()).map_or(error, not_a_folder)
            }
            Err(_) => io::Error::new(kind, format!("there is no folder \"{name}\"; make it first, or write elsewhere")),
        }
    })
}

fn not_a_folder(file: &Path) -> io::Error {
    let cause = format!("\"{}\" is a file, expected a folder", file.display());
    io::Error::new(io::ErrorKind::NotADirectory, cause)
}

/// The path itself, or what it leads to if it is a symbolic link to something that exists.
fn behind_links(path: &Path) -> PathBuf {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
        write(path, |out| out.write_all(bytes))
    }

    fn n_entries(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn replaces_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        put(&path, b"old").unwrap();
        put(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        refresh(&path, |out| out.write_all(b"newer")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"newer");
        assert_eq!(n_entries(folder.path()), 1);
    }

    #[test]
    fn a_failure_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        put(&path, b"old").unwrap();
        let failed = write(&path, |out| {
            out.write_all(b"half of the ne")?;
            Err(io::Error::other("the source ended"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the source ended");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(n_entries(folder.path()), 1);
    }

    #[test]
    fn folders_are_not_replaced_and_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no").join("results.json");
        let error = put(&missing, b"").unwrap_err();
        let name = folder.path().join("no");
        let expected = format!("there is no folder \"{}\"; make it first, or write elsewhere", name.display());
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::NotFound, expected));
        assert_eq!(check(&missing).unwrap_err().to_string(), error.to_string());
        let occupied = folder.path().join("occupied");
        fs::create_dir(&occupied).unwrap();
        assert_eq!(put(&occupied, b"").unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(check(&occupied).unwrap_err().to_string(), "is a folder");
        assert_eq!(n_entries(folder.path()), 1);
    }

    #[test]
    fn a_check_leaves_nothing_and_tells_what_writing_would() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("results.json");
        check(&file).unwrap();
        assert_eq!(n_entries(folder.path()), 0);
        put(&file, b"old").unwrap();
        check(&file).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old");
        // A file where a folder should be, one or two steps up.
        let expected = format!("\"{}\" is a file, expected a folder", file.display());
        for below in [file.join("x"), file.join("y").join("x")] {
            assert_eq!(check(&below).unwrap_err().to_string(), expected);
            assert_eq!(put(&below, b"").unwrap_err().to_string(), expected);
            assert_eq!(make_folder(&below).unwrap_err().to_string(), expected);
        }
        assert_eq!(make_folder(&file).unwrap_err().to_string(), expected);
        let made = folder.path().join("a").join("b");
        for _ in 0..2 {
            make_folder(&made).unwrap();
            assert_eq!(n_entries(&made), 0);
        }
        // Relative to where the program stands.
        let error = check(Path::new("no-such-folder/x.onnx")).unwrap_err().to_string();
        assert!(error.starts_with("there is no folder \"no-such-folder\";"), "{error}");
    }

    /// A file system that makes no files, for everyone: even the superuser.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_that_takes_no_files_is_named() {
        let error = check(Path::new("/proc/self/x.onnx")).unwrap_err().to_string();
        assert!(error.starts_with("cannot make a file in folder \"/proc/self\": "), "{error}");
        assert!(!error.contains(".skimp-"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        put(&file, b"old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        put(&link, b"new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn what_is_not_a_file_is_written_to_not_replaced() {
        use std::os::unix::net::UnixListener;
        // A socket stands for devices here: not a file, and a rename would replace it.
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        assert!(put(&socket, b"text").is_err());
        assert!(!fs::symlink_metadata(&socket).unwrap().is_file());
        assert_eq!(n_entries(folder.path()), 1);
    }
}
