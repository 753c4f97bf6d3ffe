//! What belongs to no network.

use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use skimp::{Checked, CostsConfig, StudyOverrides, StudyRun};

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

/// What a data set holds.
#[pyfunction]
pub(crate) fn describe_data(py: Python<'_>, data: String, all: bool) -> PyResult<Record> {
    let checked = if all { Checked::All } else { Checked::Sample };
    work::leave(py, move |_| Ok(Record::new(skimp::describe_data(&data, checked)?)))
}

/// A preset, a cost table or a study as the file that it is.
#[pyfunction]
pub(crate) fn show(py: Python<'_>, name: String, kind: Option<String>) -> PyResult<String> {
    work::leave(py, move |_| Ok(skimp::show(&name, kind.as_deref())?.toml))
}

/// The HTML report of a study or a sweep.
#[pyfunction]
pub(crate) fn report(py: Python<'_>, results: PathBuf) -> PyResult<String> {
    crate::sweep::sweeping(py, false, move |_| skimp::report(&results))
}

/// What can be done with a network, and why not.
#[pyfunction]
pub(crate) fn support(py: Python<'_>, model: String, options: Options<'_>) -> PyResult<Record> {
    let (size, designs) = (options.data()?.input_size, design::designs(&[])?);
    work::leave(py, move |_| Ok(Record::new(skimp::support(&model, size, &designs)?)))
}
