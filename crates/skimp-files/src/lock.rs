//! One writer at a time, and what a killed one left behind.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

pub(crate) const PART_PREFIX: &str = ".skimp-";
pub(crate) const PART_SUFFIX: &str = ".part";

/// Parts of nobody knows which process are left alone for this long.
const AGE: Duration = Duration::from_secs(3600);

/// A file that one process holds at a time. The system gives it up when the process ends, however it ends.
#[derive(Debug)]
#[must_use = "it is given up when it is dropped"]
pub struct Lock {
    path: PathBuf,
    _file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is still held: whoever comes next makes a new one. Best effort.
        let _ = fs::remove_file(&self.path);
    }
}

/// Takes the lock file at `path`, which is made. Where the file system knows no locks, everyone gets it.
///
/// # Errors
/// `ResourceBusy` if another process holds it, naming that; or the file system's.
pub fn lock(path: &Path) -> io::Result<Lock> {
    loop {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(path).unwrap_or_default();
                let owner =
                    owner.trim().parse::<u32>().map_or_else(|_| String::new(), |pid| format!(" (process {pid})"));
                let cause = format!("another run{owner} writes here; wait until it ends, or write elsewhere");
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, cause));
            }
            // No locks here: better a run without than none.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        if is_still_there(path, &file) {
            // For the message above; best effort.
            let _ = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            return Ok(Lock { path: path.to_owned(), _file: file });
        }
    }
}

/// Whether `path` names `file`, and not a newer one: who held it before may have removed it meanwhile.
fn is_still_there(path: &Path, file: &File) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let (Ok(named), Ok(held)) = (fs::metadata(path), file.metadata()) else { return false };
        (named.dev(), named.ino()) == (held.dev(), held.ino())
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        path.exists()
    }
}

/// How names of temporary files of this process begin.
pub(crate) fn part_prefix() -> String {
    format!("{PART_PREFIX}{}-", std::process::id())
}

/// Removes temporary files from `folder` that a process left there which is gone: nobody holds their lock, and the
/// process is not there or they are old. Once for each folder; best effort.
pub(crate) fn remove_stale_parts(folder: &Path) {
    static SEEN: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
    let Ok(folder) = fs::canonicalize(folder) else { return };
    if !SEEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert_default().insert(folder.clone()) {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let Some(middle) = name.strip_prefix(PART_PREFIX).and_then(|name| name.strip_suffix(PART_SUFFIX)) else {
            continue;
        };
        let owner = middle.split_once('-').and_then(|(pid, _)| pid.parse::<u32>().ok());
        if (owner.is_some_and(is_gone) || is_old(&entry.path())) && is_unlocked(&entry.path()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether there is no process of that number, where the system says.
fn is_gone(pid: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new("/proc").join(pid.to_string()).exists()
}

fn is_old(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
    matches!(age, Ok(Ok(age)) if age > AGE)
}

fn is_unlocked(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_file())
        && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_a_lock_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".skimp-lock");
        // Left by a process that was killed.
        fs::write(&path, "999999999\n").unwrap();
        let held = lock(&path).unwrap();
        let error = lock(&path).unwrap_err();
        let expected =
            format!("another run (process {}) writes here; wait until it ends, or write elsewhere", std::process::id());
        assert_eq!((error.kind(), error.to_string()), (io::ErrorKind::ResourceBusy, expected));
        drop(held);
        assert!(!path.exists());
        drop(lock(&path).unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn parts_of_processes_that_are_gone_go() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let own = format!("{}x.part", part_prefix());
        for name in [".skimp-999999999-a.part", ".skimp-999999998-held.part", ".skimp-old.part", &own, "mine.part"] {
            fs::write(at(name), "").unwrap();
        }
        let held = File::open(at(".skimp-999999998-held.part")).unwrap();
        held.lock().unwrap();
        remove_stale_parts(folder.path());
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let mut expected =
            vec![".skimp-999999998-held.part".to_owned(), own, ".skimp-old.part".to_owned(), "mine.part".to_owned()];
        expected.sort();
        assert_eq!(names, expected);
    }
}
