//! What belongs to no network.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use skimp::{CostsConfig, StudyOverrides, StudyRun};

use crate::options::Options;
use crate::record::Record;
use crate::{design, errors, work};

/// What is registered.
#[pyfunction]
pub(crate) fn listed(py: Python<'_>, what: String, accelerator: Option<String>) -> PyResult<Record> {
    work::leave(py, move |_| match accelerator {
        Some(accelerator) if what == "settings" => Ok(Record::new(skimp::settings(&accelerator)?)),
        _ => Ok(Record::new(skimp::list(&what)?)),
    })
}

/// Threads of the process.
#[pyfunction]
pub(crate) fn set_threads(py: Python<'_>, n: usize) -> PyResult<()> {
    skimp::set_threads(n).map_err(|error| errors::raised(py, &error))
}

/// Memory that runs may take.
#[pyfunction]
pub(crate) fn set_memory(size: &str) -> PyResult<()> {
    match size.parse() {
        Ok(size) => {
            skimp::set_memory(size);
            Ok(())
        }
        Err(error) => Err(errors::usage(format!("memory: {error}"))),
    }
}

/// Runs a study and writes its folder.
#[pyfunction]
pub(crate) fn study(py: Python<'_>, study: String, output: PathBuf, options: Options<'_>) -> PyResult<Record> {
    let data = options.data()?;
    let mut overrides = StudyOverrides {
        model: options.get("network")?,
        data: data.data,
        preprocess: data.preprocess,
        input_size: data.input_size,
        images: options.get("images")?,
        accuracy_images: options.get("accuracy_images")?,
        seed: data.seed,
        ..StudyOverrides::default()
    };
    if let Some(points) = options.get::<f64>("allowed_loss_points")? {
        overrides.own.insert("allowed_loss_points".to_owned(), points.into());
    }
    let costs = options.get::<String>("costs")?.map(CostsConfig::from);
    let designs = design::designs(&[])?;
    let (tuning, resume) = (options.tuning()?, options.or("resume", false)?);
    work::work(py, move |monitor| {
        if let Some(mut costs) = costs {
            costs.read_file(Path::new(""))?;
            overrides.own.insert("costs".to_owned(), costs.to_string().into());
        }
        let mut config = skimp::StudyConfig::open_with(&study, &overrides, designs)?;
        tuning.apply(&mut config.header.data);
        Ok(Record::study(skimp::run_study(&config, &StudyRun { folder: output, resume }, monitor)?))
    })
}
