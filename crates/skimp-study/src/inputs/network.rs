//! Networks: files by path, embedded and built-in ones by name.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use skimp_graph::networks::{self, Weights};
use skimp_graph::spiking::Temporal;
use skimp_graph::{Graph, onnx, rewrite};
use skimp_reduce::weights::compressed;
use skimp_report::records::{InputDigest, ModelRecord};

use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::monitor::Monitor;

/// A trained network that ships with skimp.
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

/// Every embedded network. Built-in ones, which are untrained, are in [`skimp_graph::networks`].
pub static NETWORKS: &[EmbeddedNetwork] = &[
    EmbeddedNetwork {
        name: "sample-resnet",
        summary: "small residual network for the embedded Fashion-MNIST sample",
        source: "trained by skimp on Fashion-MNIST; docs/recipes/README.md",
        bytes: include_bytes!("../../../../assets/networks/sample-resnet.onnx"),
    },
    EmbeddedNetwork {
        name: "sample-bnn",
        summary: "four convolutions and two dense layers of one bit for the embedded Fashion-MNIST sample",
        source: "trained by skimp on Fashion-MNIST; docs/recipes/README.md",
        bytes: include_bytes!("../../../../assets/networks/sample-bnn.skz"),
    },
];

/// A network and where it came from. A clone shares the weights.
#[derive(Clone, Debug)]
pub struct Network {
    /// The graph as imported: nothing is folded.
    pub graph: Graph,
    /// Short name: of the embedded or built-in network, or the file's stem.
    pub name: String,
    /// The file; `None` for an embedded or built-in network.
    pub path: Option<PathBuf>,
    /// SHA-256 of the file in lower-case hexadecimal digits; of name, settings and seed for a built-in network.
    pub sha256: String,
    /// Size of what the digest is of.
    pub size_bytes: u64,
    /// Whether the weights are initial ones, so that answers mean nothing.
    pub is_untrained: bool,
}

impl Network {
    /// Opens an ONNX file, or one with coded weights (`.skz`), by path, or an embedded or [built-in](networks) network by name. A file of that name wins, then
    /// an embedded network.
    ///
    /// Built-in networks get the initial weights of seed 0.
    ///
    /// # Errors
    /// [`StudyError::Io`] if the file cannot be read, [`StudyError::UnknownNetwork`] if there is neither a file nor one of
    /// that name, [`StudyError::Graph`] if it is no network that skimp can run.
    pub fn open(model: &str) -> Result<Self, StudyError> {
        Self::open_with(model, Weights::Seeded(0))
    }

    /// As [`open`](Self::open), but the weights of a built-in network are zeros, which take neither time nor memory.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for_counting(model: &str) -> Result<Self, StudyError> {
        Self::open_with(model, Weights::Zero)
    }

    /// Opens what is to be trained: as [`open`](Self::open), but a built-in network, with initial weights of `seed`, comes
    /// before an embedded one of the same name.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for_training(model: &str, seed: u64) -> Result<Self, StudyError> {
        match networks::find(model) {
            Some(_) if !Path::new(model).exists() => Self::build(model, Weights::Seeded(seed)),
            _ => Self::open(model),
        }
    }

    /// Opens an ONNX file for inputs of these extents, by name: what it leaves open there is fixed. A network that chooses
    /// between branches by the extents of its inputs is often read only this way.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_for(path: &Path, extents: &[(String, Vec<usize>)]) -> Result<Self, StudyError> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::import(name, Some(path.to_owned()), read(path)?, extents)
    }

    fn open_with(model: &str, weights: Weights) -> Result<Self, StudyError> {
        if model.is_empty() {
            return Err(StudyError::NoNetwork);
        }
        let path = PathBuf::from(model);
        if !path.exists() {
            if let Some(network) = NETWORKS.iter().find(|network| network.name == model) {
                return Self::import(network.name.to_owned(), None, bytes::Bytes::from_static(network.bytes), &[]);
            }
            if networks::find(model).is_some() {
                return Self::build(model, weights);
            }
        }
        let bytes = read(&path)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Self::import(name, Some(path), bytes, &[])
    }

    /// A network from the bytes of an ONNX file, called `name`. Weights that lie beside such a file are not found.
    ///
    /// # Errors
    /// [`StudyError::Graph`] if it is no network that skimp can run.
    pub fn from_bytes(name: &str, bytes: impl Into<bytes::Bytes>) -> Result<Self, StudyError> {
        Self::import(name.to_owned(), None, bytes.into(), &[])
    }

    /// A network that a program built, or changed. Its digest is of the ONNX file that it would be.
    ///
    /// # Errors
    /// [`StudyError::Graph`] if it has no form in ONNX.
    pub fn from_graph(graph: Graph) -> Result<Self, StudyError> {
        let bytes = onnx::export_bytes(&graph)?;
        let (sha256, size_bytes) = (hex(&Sha256::digest(&bytes)), bytes.len() as u64);
        let name = graph.name().to_owned();
        Ok(Self { graph, name, path: None, sha256, size_bytes, is_untrained: false })
    }

    /// The network for batches of any size, where it fixes one and its images stay apart
    /// ([`rewrite::free_batch`]); else the network itself. Answers are the same.
    pub(crate) fn for_any_batch(&self) -> Cow<'_, Self> {
        match rewrite::free_batch(&self.graph) {
            Some(graph) => Cow::Owned(Self { graph, ..self.clone() }),
            None => Cow::Borrowed(self),
        }
    }

    /// The network for batches of any size, where it fixes one and its images stay apart; else the same network. Answers are
    /// the same.
    #[must_use]
    pub fn any_batch(&self) -> Self {
        self.for_any_batch().into_owned()
    }

    /// A built-in network. Its digest is of what decides it: its name, settings and weights.
    fn build(text: &str, weights: Weights) -> Result<Self, StudyError> {
        let graph = networks::build(text, weights)?;
        let identity = format!("built-in network {text}, {weights:?}");
        Ok(Self {
            name: graph.name().to_owned(),
            graph,
            path: None,
            sha256: hex(&Sha256::digest(&identity)),
            size_bytes: identity.len() as u64,
            is_untrained: true,
        })
    }

    fn import(
        name: String,
        path: Option<PathBuf>,
        bytes: bytes::Bytes,
        extents: &[(String, Vec<usize>)],
    ) -> Result<Self, StudyError> {
        let sha256 = hex(&Sha256::digest(&bytes));
        let size_bytes = bytes.len() as u64;
        let origin = path.clone().unwrap_or_else(|| PathBuf::from(&name));
        let folder = path.as_deref().map(|path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        });
        let origin = origin.display().to_string();
        let graph = if compressed::is_compressed(&bytes) {
            let graph = compressed::decode(&bytes, &origin)?;
            match extents {
                [] => graph,
                extents => onnx::import_bytes_for(onnx::export_bytes(&graph)?.into(), folder, &origin, extents)?,
            }
        } else {
            onnx::import_bytes_for(bytes, folder, &origin, extents)?
        };
        Ok(Self { graph, name, path, sha256, size_bytes, is_untrained: false })
    }

    /// How it runs over time; `None` for a network that runs once.
    ///
    /// # Errors
    /// [`StudyError::Graph`] naming a key of its metadata and what may stand under it.
    pub fn temporal(&self) -> Result<Option<Temporal>, StudyError> {
        Ok(Temporal::of(&self.graph)?)
    }

    /// Refuses a network that runs over time for `what` takes one step only.
    pub(crate) fn check_one_step(&self, what: &'static str) -> Result<(), StudyError> {
        match self.temporal()? {
            Some(Temporal { steps, .. }) => Err(self.spiking(steps, what)),
            None => Ok(()),
        }
    }

    /// That `what` does not take this network of so many time steps.
    pub(crate) fn spiking(&self, steps: usize, what: &'static str) -> StudyError {
        StudyError::Spiking { network: self.name.clone(), steps, what }
    }

    /// Names of its inputs, in order.
    #[must_use]
    pub fn input_names(&self) -> Vec<&str> {
        self.graph.inputs().iter().map(|input| self.graph.value(input.value).name.as_str()).collect()
    }

    /// Names of its outputs, in order.
    #[must_use]
    pub fn output_names(&self) -> Vec<&str> {
        self.graph.outputs().iter().map(|&id| self.graph.value(id).name.as_str()).collect()
    }

    /// The images of `data` for its input; see [`Images::open`] for an input whose height and width are open.
    ///
    /// # Errors
    /// As [`Images::open`].
    pub fn images(&self, data: &DataConfig) -> Result<Images, StudyError> {
        Images::open(data, &self.graph, None)
    }

    /// What is computed otherwise than the file says, in words; `None` where nothing is.
    #[must_use]
    pub fn adaptation(&self) -> Option<String> {
        let types = self.graph.metadata(onnx::WIDENED_KEY)?.replace(',', " and ");
        Some(format!("{}: values of {types} are computed in f32", self.name))
    }

    /// Tells the monitor if the network's answers mean nothing.
    pub(crate) fn note_untrained(&self, monitor: &dyn Monitor) {
        if self.is_untrained {
            monitor.note(&format!("{} is untrained: its weights are random", self.name));
        }
    }

    pub(crate) fn record(&self) -> ModelRecord {
        ModelRecord {
            name: self.name.clone(),
            path: self.path.as_ref().map(|path| path.display().to_string()),
            sha256: self.sha256.clone(),
            untrained: self.is_untrained,
        }
    }

    /// The network without transposes that cancel, and with what scales and shifts channels in the layers before: what is
    /// calibrated, quantized and simulated. Names, inputs and outputs are the same.
    pub(crate) fn prepared(&self) -> Self {
        Self { graph: rewrite::prepare(&self.graph), ..self.clone() }
    }

    /// The file, or what stands in its place, and its SHA-256 digest.
    #[must_use]
    pub fn input_digest(&self) -> InputDigest {
        self.digest()
    }

    pub(crate) fn digest(&self) -> InputDigest {
        InputDigest {
            path: self.path.as_ref().map_or_else(|| self.name.clone(), |path| path.display().to_string()),
            sha256: self.sha256.clone(),
            size_bytes: Some(self.size_bytes),
        }
    }

    /// The network as the bytes of an ONNX file.
    ///
    /// # Errors
    /// [`StudyError::Graph`] if it has no form in ONNX.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StudyError> {
        Ok(onnx::export_bytes(&self.graph)?)
    }

    /// Writes the network as plain ONNX, or with coded weights ([`skimp_reduce::weights::compressed`]) to a file whose name
    /// ends in `.skz`, which [`open`](Self::open) reads as well.
    ///
    /// # Errors
    /// [`StudyError::Graph`] or [`StudyError::Io`] if the file cannot be written.
    pub fn export(&self, path: &Path) -> Result<(), StudyError> {
        if !path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("skz")) {
            return Ok(onnx::export(&self.graph, path)?);
        }
        self.write_coded(path).map(|_| ())
    }

    /// Writes the network with coded weights, and says what takes how much.
    pub(crate) fn write_coded(&self, path: &Path) -> Result<compressed::Sizes, StudyError> {
        let compressed::Compressed { bytes, sizes } = compressed::encode(&self.graph)?;
        let written = skimp_files::write(path, |file| file.write_all(&bytes));
        written.map_err(|source| StudyError::Io { path: path.to_owned(), source })?;
        Ok(sizes)
    }
}

fn read(path: &Path) -> Result<bytes::Bytes, StudyError> {
    match skimp_files::read(path, skimp_memory::budget().0) {
        Ok(bytes) => Ok(bytes::Bytes::from(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let embedded = NETWORKS.iter().map(|network| network.name);
            let built_in = networks::networks().map(|network| network.name);
            let mut names: Vec<_> = embedded.chain(built_in).collect();
            // Embedded ones are built-in ones, trained.
            names.sort_unstable();
            names.dedup();
            Err(StudyError::UnknownNetwork { name: path.display().to_string(), known: names })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_network_is_the_documented_one_trained_by_skimp() {
        let trained = Network::open("sample-resnet").unwrap();
        let page = include_str!("../../../../assets/networks/README.md");
        assert!(page.contains(&format!("SHA-256 {}", trained.sha256)), "{}", trained.sha256);
        assert!(page.contains(&format!("({},{:03} bytes", trained.size_bytes / 1000, trained.size_bytes % 1000)));
        // What `skimp train sample-resnet` writes: the built-in network, node for node, with its preprocessing.
        let initial = Network::open_for_training("sample-resnet", 2026).unwrap();
        let nodes = |network: &Network| -> Vec<_> {
            network.graph.nodes().iter().map(|node| (node.name.clone(), node.op.clone())).collect()
        };
        assert_eq!(nodes(&trained), nodes(&initial));
        assert_eq!(trained.graph.metadata("skimp.preprocess"), Some("sample"));
        assert!(initial.is_untrained && !trained.is_untrained);
    }
}
