//! Networks: embedded ones by name, others by path.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use skimp_graph::{Graph, onnx};
use skimp_report::records::{InputDigest, ModelRecord};

use crate::StudyError;

/// A network that ships with skimp.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedNetwork {
    /// Name on the command line.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    bytes: &'static [u8],
}

/// Every embedded network.
pub static NETWORKS: &[EmbeddedNetwork] = &[EmbeddedNetwork {
    name: "sample-resnet",
    summary: "small residual network for the embedded Fashion-MNIST sample",
    source: "trained for skimp; docs/recipes/train_sample_network.py",
    bytes: include_bytes!("../../../assets/networks/sample-resnet.onnx"),
}];

/// A network and where it came from.
#[derive(Clone, Debug)]
pub struct Network {
    /// The graph as imported: nothing is folded.
    pub graph: Graph,
    /// Short name: of the embedded network, or the file's stem.
    pub name: String,
    /// The file; `None` for an embedded network.
    pub path: Option<PathBuf>,
    /// SHA-256 of the file in lower-case hexadecimal digits.
    pub sha256: String,
    /// Size of the file.
    pub size_bytes: u64,
}

impl Network {
    /// Opens an embedded network by name, or an ONNX file by path.
    ///
    /// # Errors
    /// [`StudyError::Io`] if the file cannot be read, [`StudyError::Graph`] if it is no network that skimp can run.
    pub fn open(model: &str) -> Result<Self, StudyError> {
        if model.is_empty() {
            return Err(StudyError::Usage("no network given; use --network MODEL.onnx".to_owned()));
        }
        let (name, path, bytes) = match NETWORKS.iter().find(|network| network.name == model) {
            Some(network) => (network.name.to_owned(), None, bytes::Bytes::from_static(network.bytes)),
            None => {
                let path = PathBuf::from(model);
                let bytes = read(&path)?;
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                (name, Some(path), bytes)
            }
        };
        let sha256 = hex(&Sha256::digest(&bytes));
        let size_bytes = bytes.len() as u64;
        let origin = path.clone().unwrap_or_else(|| PathBuf::from(model));
        let folder = path.as_deref().map(|path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        });
        let graph = onnx::import_bytes(bytes, folder, &origin.display().to_string())?;
        Ok(Self { graph, name, path, sha256, size_bytes })
    }

    pub(crate) fn record(&self) -> ModelRecord {
        ModelRecord {
            name: self.name.clone(),
            path: self.path.as_ref().map(|path| path.display().to_string()),
            sha256: self.sha256.clone(),
        }
    }

    pub(crate) fn digest(&self) -> InputDigest {
        InputDigest {
            path: self.path.as_ref().map_or_else(|| self.name.clone(), |path| path.display().to_string()),
            sha256: self.sha256.clone(),
            size_bytes: self.size_bytes,
        }
    }

    /// Writes the network as plain ONNX.
    ///
    /// # Errors
    /// [`StudyError::Graph`] if the file cannot be written.
    pub fn export(&self, path: &Path) -> Result<(), StudyError> {
        Ok(onnx::export(&self.graph, path)?)
    }
}

fn read(path: &Path) -> Result<bytes::Bytes, StudyError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(bytes::Bytes::from(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let names: Vec<_> = NETWORKS.iter().map(|network| network.name).collect();
            Err(StudyError::Usage(format!(
                "{}: no such file, and no embedded network of that name (embedded: {})",
                path.display(),
                names.join(", ")
            )))
        }
        Err(source) => Err(StudyError::Io { path: path.to_owned(), source }),
    }
}

pub(crate) fn hex(digest: &[u8]) -> String {
    use std::fmt::Write;
    digest.iter().fold(String::with_capacity(2 * digest.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
