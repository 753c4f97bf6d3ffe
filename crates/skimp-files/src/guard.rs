//! What a run reads and writes: no result replaces an input, a result of the same run, or a file of the user's.
//!
//! A program turns the guard on with [`guard`], once. [`read`](crate::read()) and [`note_input`] then note the files that a
//! run reads, and [`write()`](crate::write()) refuses to replace them. A library that never calls it is not guarded.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::{behind_links, folder_of};

/// Why a file is not written. It is the inner error of an [`io::Error`] of kind `AlreadyExists`; see [`refusal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The file is one that the run reads.
    #[error("this is an input of the run{}; write elsewhere, or give --force to replace it", also(.input))]
    Input {
        /// The name that it was read by, where it is another one.
        input: Option<PathBuf>,
    },
    /// The file lies in a folder that the run reads.
    #[error(
        "this file is already there, in a folder that the run reads ({}); write elsewhere, or give --force to replace it",
        .folder.display()
    )]
    InputFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// Two results of the run would be one file.
    #[error("{second} would replace what {first} wrote; give them different names")]
    SameOutput {
        /// What claimed the file first.
        first: String,
        /// What wants it, too.
        second: String,
    },
    /// The file was not named by the user, and as far as is known skimp did not write it.
    #[error(
        "this file is already there and, as far as its folder tells, not from skimp; write elsewhere, or give --force to replace it"
    )]
    Foreign,
}

fn also(input: &Option<PathBuf>) -> String {
    input.as_ref().map_or_else(String::new, |input| format!(" ({})", input.display()))
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        io::Error::new(io::ErrorKind::AlreadyExists, refusal)
    }
}

/// The refusal inside an error, if that is what it is.
pub fn refusal(error: &io::Error) -> Option<&Refusal> {
    error.get_ref()?.downcast_ref()
}

/// What makes two paths one file: device and number, where there are such; symbolic and hard links share them.
#[cfg(unix)]
#[derive(Debug, PartialEq, Eq, Hash)]
struct FileId(u64, u64);

#[cfg(not(unix))]
#[derive(Debug, PartialEq, Eq, Hash)]
struct FileId(PathBuf);

impl FileId {
    #[cfg(unix)]
    fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self(metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn of(path: &Path) -> Option<Self> {
        fs::canonicalize(path).ok().filter(|path| path.is_file()).map(Self)
    }
}

#[derive(Debug, Default)]
struct Guard {
    force: bool,
    inputs: HashMap<FileId, PathBuf>,
    folders: Vec<PathBuf>,
    outputs: Vec<(PathBuf, String)>,
}

static GUARD: Mutex<Option<Guard>> = Mutex::new(None);

fn with<T>(work: impl FnOnce(&mut Guard) -> T) -> Option<T> {
    GUARD.lock().unwrap_or_else(std::sync::PoisonError::into_inner).as_mut().map(work)
}

/// Turns the guard on for the rest of the process. With `force`, inputs and files of the user's may be replaced; two
/// results of one run still may not be one file.
pub fn guard(force: bool) {
    *GUARD.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(Guard { force, ..Guard::default() });
}

/// Notes a file that the run reads. What is no file is nobody's input.
pub fn note_input(path: &Path) {
    with(|guard| {
        if let Some(id) = FileId::of(path) {
            guard.inputs.entry(id).or_insert_with(|| path.to_owned());
        }
    });
}

/// Notes a folder whose files the run reads, too many or too late to note them one by one: files in it are not replaced
/// where [`claim`] is asked. Networks are never images, so `.onnx` files are.
pub fn note_input_folder(folder: &Path) {
    with(|guard| {
        if let Ok(folder) = fs::canonicalize(folder) {
            guard.folders.push(folder);
        }
    });
}

/// Says before a run that its result `what` (`--output`, `--trace`) will be written to `path`. It may be said again, once
/// more inputs are known.
///
/// # Errors
/// A [`Refusal`] where the file is an input, lies among inputs, or is another result's.
pub fn claim(path: &Path, what: &str) -> io::Result<()> {
    let target = behind_links(path);
    if fs::metadata(&target).is_ok_and(|present| !present.is_file()) {
        return Ok(());
    }
    check_target(path, &target)?;
    let Some(name) = target.file_name() else { return Ok(()) };
    let folder = fs::canonicalize(folder_of(&target)).unwrap_or_else(|_| folder_of(&target).to_owned());
    let resolved = folder.join(name);
    let is_network = resolved.extension().is_some_and(|extension| extension == "onnx");
    let claimed = with(|guard| {
        if let Some(input) = guard.folders.iter().find(|folder| resolved.starts_with(folder))
            && !guard.force
            && !is_network
            && resolved.exists()
            && !is_record(&resolved)
        {
            return Err(Refusal::InputFolder { folder: input.clone() });
        }
        if let Some((_, first)) = guard.outputs.iter().find(|(other, _)| is_same_name(other, &resolved)) {
            if first == what {
                return Ok(());
            }
            return Err(Refusal::SameOutput { first: first.clone(), second: what.to_owned() });
        }
        guard.outputs.push((resolved, what.to_owned()));
        Ok(())
    });
    claimed.unwrap_or(Ok(())).map_err(io::Error::from)
}

/// Whether two resolved paths are one: some systems do not tell upper from lower case.
fn is_same_name(a: &Path, b: &Path) -> bool {
    let folds = cfg!(any(windows, target_vendor = "apple"));
    a == b || folds && a.to_string_lossy().to_lowercase() == b.to_string_lossy().to_lowercase()
}

/// Refuses to replace the file at `path`, a name that the user did not choose, unless `is_own` knows it for skimp's.
///
/// # Errors
/// [`Refusal::Foreign`].
pub fn check_own(path: &Path, is_own: impl FnOnce(&Path) -> bool) -> io::Result<()> {
    let is_guarded = with(|guard| !guard.force).unwrap_or(false);
    if is_guarded && path.symlink_metadata().is_ok() && !is_own(path) { Err(Refusal::Foreign.into()) } else { Ok(()) }
}

/// Whether a JSON file is one of skimp's records, told by the `schema` at its beginning.
pub fn is_record(path: &Path) -> bool {
    use std::io::Read;
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(200).read_to_end(&mut start));
    let text = String::from_utf8_lossy(&start);
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    read.is_ok() && compact.starts_with("{\"schema\":\"skimp.")
}

/// Refuses a file that the run has read.
pub(crate) fn check_target(path: &Path, target: &Path) -> io::Result<()> {
    let refused = with(|guard| {
        if guard.force {
            return None;
        }
        let id = FileId::of(target)?;
        let input = guard.inputs.get(&id)?;
        // The input may have gone, and its number may be another file's by now.
        (FileId::of(input).as_ref() == Some(&id))
            .then(|| Refusal::Input { input: (input != path).then(|| input.clone()) })
    });
    refused.flatten().map_or(Ok(()), |refusal| Err(refusal.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check, write};

    fn refused(result: io::Result<()>) -> Refusal {
        refusal(&result.expect_err("refused")).expect("for a stated reason").clone()
    }

    /// One test: the guard belongs to the process.
    #[test]
    fn inputs_and_the_users_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["net.onnx", "notes.html", "data/labels.csv", "data/net.onnx"] {
            fs::create_dir_all(at(name).parent().unwrap()).unwrap();
            fs::write(at(name), "of the user's").unwrap();
        }
        fs::write(at("data/ours.json"), "{\n  \"schema\": \"skimp.evaluate/1\"}").unwrap();
        // Tests of other modules share the process: they touch none of these files.
        guard(false);
        assert_eq!(crate::read(&at("net.onnx"), 100).unwrap(), b"of the user's");
        note_input_folder(&at("data"));

        assert_eq!(refused(write(&at("net.onnx"), |_| Ok(()))), Refusal::Input { input: None });
        assert_eq!(refused(check(&at("net.onnx"))), Refusal::Input { input: None });
        let other_way = at("data").join("..").join("net.onnx");
        assert_eq!(refused(check(&other_way)), Refusal::Input { input: Some(at("net.onnx")) });
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("net.onnx"), at("soft")).unwrap();
            fs::hard_link(at("net.onnx"), at("hard")).unwrap();
            for link in ["soft", "hard"] {
                assert!(matches!(refused(claim(&at(link), "--output")), Refusal::Input { input: Some(_) }), "{link}");
            }
        }
        assert!(matches!(refused(claim(&at("data/labels.csv"), "--output")), Refusal::InputFolder { .. }));
        for free in ["data/new.csv", "data/net.onnx", "data/ours.json"] {
            claim(&at(free), "--output").unwrap();
        }
        claim(&at("out.json"), "--output").unwrap();
        let same = refused(claim(&at("data").join("..").join("out.json"), "--trace"));
        assert_eq!(same, Refusal::SameOutput { first: "--output".to_owned(), second: "--trace".to_owned() });
        assert_eq!(refused(check_own(&at("notes.html"), |_| false)), Refusal::Foreign);
        check_own(&at("notes.html"), |_| true).unwrap();
        check_own(&at("new.html"), |_| false).unwrap();
        assert_eq!(fs::read(at("net.onnx")).unwrap(), b"of the user's");

        guard(true);
        note_input(&at("net.onnx"));
        write(&at("net.onnx"), |out| out.write_all(b"new")).unwrap();
        check_own(&at("notes.html"), |_| false).unwrap();
        *GUARD.lock().unwrap() = None;
        check_own(&at("notes.html"), |_| false).unwrap();
    }
}
