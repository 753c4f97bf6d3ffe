//! What a checkpoint belongs to: the configuration and the digests of what was read.

use std::path::Path;

use skimp_data::{Dataset, Split};
use skimp_report::records::{DataRecord, InputDigest};
use skimp_train::TrainError;
use toml::{Table, Value};

use super::config::TrainConfig;
use super::data::Data;
use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::store::difference;

/// Configuration and inputs of a run.
#[derive(Debug)]
pub(crate) struct Identity {
    config: TrainConfig,
    network_sha256: String,
    pub(crate) training: DataRecord,
    pub(crate) test: Option<DataRecord>,
}

impl Identity {
    pub(crate) fn new(config: &TrainConfig, network: &Network, data: &Data) -> Result<Self, StudyError> {
        let record = |dataset: &Dataset| -> Result<DataRecord, StudyError> {
            let split = if dataset.split() == Split::Train { "train" } else { "test" };
            Ok(DataRecord {
                name: dataset.name().to_owned(),
                spec: Some(config.data.clone()),
                split: Some(split.to_owned()),
                preprocess: Some(data.preprocess.clone()),
                adapted: data.adapted(dataset),
                sha256: Some(dataset.digest()?.to_owned()),
            })
        };
        Ok(Self {
            config: data.resolved(config),
            network_sha256: network.sha256.clone(),
            training: record(data.training())?,
            test: data.test().map(record).transpose()?,
        })
    }

    /// What was read, for a report: the network and the parts of the data set.
    pub(crate) fn inputs(&self, network: &Network) -> Vec<InputDigest> {
        let data = [Some(&self.training), self.test.as_ref()].into_iter().flatten().map(|data| InputDigest {
            path: format!(
                "{} ({} split)",
                data.spec.as_deref().unwrap_or(&data.name),
                data.split.as_deref().unwrap_or("train")
            ),
            sha256: data.sha256.clone().unwrap_or_default(),
            size_bytes: None,
        });
        std::iter::once(network.digest()).chain(data).collect()
    }

    /// As a table: the configuration, and `[inputs]` with the digests.
    pub(crate) fn table(&self) -> Result<Table, StudyError> {
        let mut table = Table::try_from(&self.config)?;
        let mut inputs = Table::new();
        inputs.insert("network_sha256".to_owned(), self.network_sha256.clone().into());
        for (key, data) in [("train_sha256", Some(&self.training)), ("test_sha256", self.test.as_ref())] {
            if let Some(digest) = data.and_then(|data| data.sha256.clone()) {
                inputs.insert(key.to_owned(), digest.into());
            }
        }
        table.insert("inputs".to_owned(), Value::Table(inputs));
        Ok(table)
    }

    /// As TOML.
    pub(crate) fn text(&self) -> Result<String, StudyError> {
        Ok(toml::to_string(&self.table()?)?)
    }

    /// Checks that a checkpoint was written by this run. The places of network and data, which their digests stand for,
    /// and the number of epochs may differ.
    pub(crate) fn check(&self, path: &Path, written: &Table) -> Result<(), StudyError> {
        match difference(&self.table()?, written, &["epochs", "data", "network"]) {
            None => Ok(()),
            Some(cause) => Err(TrainError::Checkpoint { path: path.to_owned(), cause }.into()),
        }
    }
}
