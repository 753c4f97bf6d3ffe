//! What lies in a folder of pictures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::DataError;
use crate::layout::LeftOutTally;

/// Endings of the files that are read.
pub(super) const EXTENSIONS: [&str; 11] =
    ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "ppm", "pgm", "pbm", "pnm"];

/// Endings of pictures in formats that are not read.
const UNREAD: [&str; 18] = [
    "gif", "tif", "tiff", "heic", "heif", "avif", "jp2", "j2k", "jxl", "tga", "psd", "dng", "cr2", "nef", "exr", "hdr",
    "ico", "svg",
];

/// Folders that archives, file servers and systems leave behind.
const SYSTEM_FOLDERS: [&str; 7] =
    ["__MACOSX", "@eaDir", "#recycle", "lost+found", "$RECYCLE.BIN", "System Volume Information", "__pycache__"];

/// Folders in folders are followed this far.
const MAX_DEPTH: usize = 16;

/// One entry of a folder.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    Picture,
    /// A picture in a format that is not read.
    Unread,
    /// Anything else: what it is, for the count of what was left out.
    Other(String),
}

/// What lies in a folder, in the byte order of the names.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let read = fs::read_dir(folder).map_err(DataError::io(folder))?;
    let list = read.map(|entry| entry.and_then(Entry::of)).collect::<Result<Vec<_>, _>>();
    let mut list = list.map_err(DataError::io(folder))?;
    list.sort_by(|a, b| a.path.as_os_str().cmp(b.path.as_os_str()));
    Ok(list)
}

impl Entry {
    /// Looks behind links only, which would else cost a look at each file.
    fn of(entry: fs::DirEntry) -> io::Result<Self> {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let mut file_type = entry.file_type()?;
        if file_type.is_symlink() {
            match fs::metadata(&path) {
                Ok(behind) => file_type = behind.file_type(),
                Err(_) => return Ok(Self { path, name, kind: Kind::Other("broken links".to_owned()) }),
            }
        }
        let kind = kind(&path, &name, file_type);
        Ok(Self { path, name, kind })
    }
}

fn kind(path: &Path, name: &str, file_type: fs::FileType) -> Kind {
    if file_type.is_dir() {
        return match name.starts_with('.') || SYSTEM_FOLDERS.iter().any(|system| name.eq_ignore_ascii_case(system)) {
            true => Kind::Other("hidden and system folders".to_owned()),
            false => Kind::Folder,
        };
    }
    if name.starts_with('.') {
        return Kind::Other("hidden files".to_owned());
    }
    if !file_type.is_file() {
        return Kind::Other("pipes and devices".to_owned());
    }
    let Some(extension) = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase()) else {
        return Kind::Other("files without an ending".to_owned());
    };
    match extension.as_str() {
        known if EXTENSIONS.contains(&known) => Kind::Picture,
        unread if UNREAD.contains(&unread) => Kind::Unread,
        other => Kind::Other(format!(".{other} files")),
    }
}

/// What to call pictures in a format that is not read.
pub(super) fn unread_name(path: &Path) -> String {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    format!(".{extension} files (not a format that is read)")
}

/// All pictures of a folder and of the folders below it.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    /// In the order of torchvision's `ImageFolder`: folders, then files, by the bytes of their names.
    pub(super) files: Vec<PathBuf>,
    /// Those that lie in the folder itself.
    pub(super) n_direct: usize,
    /// The folders right below it that hold pictures.
    pub(super) nested: BTreeSet<String>,
    /// Pictures in formats that are not read.
    pub(super) unread: Vec<PathBuf>,
}

impl Pictures {
    /// Walks through `folder`; what is no picture is counted in `left_out`, below `root`.
    pub(super) fn of(folder: &Path, root: &Path, left_out: &mut LeftOutTally) -> Result<Self, DataError> {
        let mut walk = Walk { root, left_out, folders: BTreeMap::new(), unread: Vec::new(), above: Vec::new() };
        walk.visit(folder)?;
        let Walk { folders, unread, .. } = walk;
        let mut pictures = Self { unread, ..Self::default() };
        for (at, files) in folders {
            let below = Path::new(&at).strip_prefix(folder).ok().and_then(|below| below.components().next());
            match below {
                None => pictures.n_direct = files.len(),
                Some(first) if !files.is_empty() => {
                    pictures.nested.insert(first.as_os_str().to_string_lossy().into_owned());
                }
                Some(_) => {}
            }
            pictures.files.extend(files);
        }
        Ok(pictures)
    }
}

struct Walk<'a> {
    root: &'a Path,
    left_out: &'a mut LeftOutTally,
    folders: BTreeMap<std::ffi::OsString, Vec<PathBuf>>,
    unread: Vec<PathBuf>,
    /// The folders on the way to the present one, links resolved.
    above: Vec<PathBuf>,
}

impl Walk<'_> {
    fn visit(&mut self, folder: &Path) -> Result<(), DataError> {
        let real = fs::canonicalize(folder).map_err(DataError::io(folder))?;
        if self.above.iter().any(|above| above.starts_with(&real)) || self.above.len() == MAX_DEPTH {
            self.left_out.add("folders too deep, or links to a folder above", folder, self.root);
            return Ok(());
        }
        self.above.push(real);
        let mut files = Vec::new();
        for Entry { path, kind, .. } in entries(folder)? {
            match kind {
                Kind::Folder => self.visit(&path)?,
                Kind::Picture => files.push(path),
                Kind::Unread => {
                    self.left_out.add(unread_name(&path), &path, self.root);
                    self.unread.push(path);
                }
                Kind::Other(what) => self.left_out.add(what, &path, self.root),
            }
        }
        self.above.pop();
        self.folders.insert(folder.as_os_str().to_owned(), files);
        Ok(())
    }
}

/// Whether there is a picture in `folder` or below; of a format that is not read, too.
pub(super) fn holds_pictures(folder: &Path) -> Result<bool, DataError> {
    fn look(folder: &Path, above: &mut Vec<PathBuf>) -> Result<bool, DataError> {
        let real = fs::canonicalize(folder).map_err(DataError::io(folder))?;
        if above.iter().any(|above| above.starts_with(&real)) || above.len() == MAX_DEPTH {
            return Ok(false);
        }
        let mut folders = Vec::new();
        for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
            let entry = entry.and_then(Entry::of).map_err(DataError::io(folder))?;
            match entry.kind {
                Kind::Picture | Kind::Unread => return Ok(true),
                Kind::Folder => folders.push(entry.path),
                Kind::Other(_) => {}
            }
        }
        above.push(real);
        for folder in folders {
            if look(&folder, above)? {
                return Ok(true);
            }
        }
        above.pop();
        Ok(false)
    }
    look(folder, &mut Vec::new())
}
