//! Spiking networks in NIR files.

use std::path::Path;

use skimp_nir::Reading;

use crate::error::StudyError;
use crate::inputs::network::Network;

impl Network {
    /// Opens a NIR file; `reading` is what such files do not say.
    ///
    /// # Errors
    /// [`StudyError::Io`] if the file cannot be read, [`StudyError::Nir`] naming the node that is wrong or not supported.
    pub fn open_nir(path: &Path, reading: &Reading) -> Result<Self, StudyError> {
        let failed = |source| StudyError::Io { path: path.to_owned(), source };
        let bytes = skimp_files::read(path, skimp_memory::budget().0).map_err(failed)?;
        let graph = skimp_nir::read(bytes, &path.display().to_string(), reading)?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, path: Some(path.to_owned()), ..Self::from_graph(graph)? })
    }

    /// Writes the network, whose time step lasts `dt` seconds, as a NIR file. Returns what the file does not say.
    ///
    /// # Errors
    /// [`StudyError::Nir`] naming the node that NIR has no form of, [`StudyError::Io`] if the file cannot be written.
    pub fn export_nir(&self, dt: f64, path: &Path) -> Result<Vec<String>, StudyError> {
        let written = skimp_nir::write(&self.graph, dt)?;
        let done = skimp_files::write(path, |file| file.write_all(&written.bytes));
        done.map_err(|source| StudyError::Io { path: path.to_owned(), source })?;
        Ok(written.lost)
    }
}
