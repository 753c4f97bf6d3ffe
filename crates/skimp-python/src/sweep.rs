//! Design spaces: their points, worked out for whoever asks, and the store that they go to.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use skimp::sim::toml::{self, Table, Value};
use skimp::sweeps::{Caching, Engine, ExportFormat, FIGURES, Figures, PointRow, Shard, SqliteStore, Status, search};
use skimp::{Monitor, Size, StudyError, SweepConfig, SweepError, SweepRun};

use crate::design::{designs, python};
use crate::errors::{exception, raised, usage};
use crate::options::Options;
use crate::record::Record;
use crate::work::{leave, work};

/// An error of a sweep as Python sees it.
fn of_sweep(py: Python<'_>, error: &SweepError) -> PyErr {
    match error {
        SweepError::Study(error) => raised(py, error),
        other => exception(py, "SweepError", &other.to_string()),
    }
}

/// [`work`] and [`leave`] know errors of studies only: those of sweeps come through as they are.
pub(crate) fn sweeping<R: Send + 'static>(
    py: Python<'_>,
    writes: bool,
    job: impl FnOnce(&dyn Monitor) -> Result<R, SweepError> + Send + 'static,
) -> PyResult<R> {
    let through = move |monitor: &dyn Monitor| -> Result<Result<R, SweepError>, StudyError> { Ok(job(monitor)) };
    let done = if writes { work(py, through) } else { leave(py, through) };
    done?.map_err(|error| of_sweep(py, &error))
}

/// A value of Python in TOML.
pub(crate) fn value(given: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(table) = given.cast::<PyDict>() {
        let mut found = Table::new();
        for (key, inner) in table {
            if !inner.is_none() {
                found.insert(key.extract()?, value(&inner)?);
            }
        }
        return Ok(Value::Table(found));
    }
    if let Ok(flag) = given.extract::<bool>() {
        return Ok(Value::Boolean(flag));
    }
    if let Ok(integer) = given.extract::<i64>() {
        return Ok(Value::Integer(integer));
    }
    if let Ok(float) = given.extract::<f64>() {
        return Ok(Value::Float(float));
    }
    if let Ok(text) = given.extract::<String>() {
        return Ok(Value::String(text));
    }
    match given.try_iter() {
        Ok(items) => items.map(|item| value(&item?)).collect::<PyResult<Vec<_>>>().map(Value::Array),
        Err(_) => Err(PyTypeError::new_err(format!("{given} has no form in a sweep file"))),
    }
}

/// A row on its way: between processes, and to a store.
type Row = (String, String, Option<String>, String, String, String, Vec<Option<f64>>, String, Option<f64>, String);

fn row_of(row: PointRow) -> Row {
    let PointRow { point_id, status, reason, config, axes, inputs, figures, outcome, seconds, skimp_version } = row;
    let status = status.name().to_owned();
    (point_id, status, reason, config, axes, inputs, figures.to_vec(), outcome, seconds, skimp_version)
}

fn stored(row: Row) -> PyResult<PointRow> {
    let (point_id, status, reason, config, axes, inputs, given, outcome, seconds, skimp_version) = row;
    let known = [Status::Ok, Status::Infeasible, Status::Failed].into_iter().find(|known| known.name() == status);
    let status = known.ok_or_else(|| usage(format!("no status \"{status}\"")))?;
    let mut figures = Figures::default();
    if given.len() != figures.len() {
        return Err(usage(format!("{} figures, expected {}", given.len(), figures.len())));
    }
    figures.copy_from_slice(&given);
    Ok(PointRow { point_id, status, reason, config, axes, inputs, figures, outcome, seconds, skimp_version })
}

/// A sweep that is open.
#[pyclass(frozen, module = "skimp._native")]
#[derive(Debug)]
pub(crate) struct Sweep {
    config: SweepConfig,
    engine: Arc<Engine>,
    caching: Caching,
}

#[pymethods]
impl Sweep {
    /// Opens a sweep: an embedded one or a file by `name`, or a `written` one, which is called so.
    #[new]
    fn new(
        py: Python<'_>,
        name: String,
        written: Option<Bound<'_, PyAny>>,
        classes: Vec<Bound<'_, PyAny>>,
        options: Options<'_>,
    ) -> PyResult<Self> {
        let written = match written {
            None => None,
            Some(text) if text.extract::<String>().is_ok() => Some(text.extract::<String>()?),
            Some(table) => {
                let table = value(&table)?;
                Some(toml::to_string(&table).map_err(|error| usage(format!("{name}: {error}")))?)
            }
        };
        let designs = designs(&classes)?;
        let mut changes = Vec::new();
        for (section, key, option) in [
            ("network", "model", "network"),
            ("data", "set", "data"),
            ("data", "images", "images"),
            ("data", "accuracy_images", "accuracy_images"),
        ] {
            if let Some(given) = options.get::<Bound<'_, PyAny>>(option)? {
                changes.push((section, key, value(&given)?));
            }
        }
        let mut caching = Caching { folder: options.get("cache_dir")?, ..Caching::default() };
        if let Some(text) = options.get::<String>("cache")? {
            caching.bytes = text.parse::<Size>().map_err(|error| usage(format!("cache: {error}")))?.0;
        }
        sweeping(py, false, move |_| {
            let mut config = match written {
                Some(text) => SweepConfig::parse(&text, &name, Path::new(""))?,
                None => SweepConfig::open(&name)?,
            };
            for (section, key, value) in changes {
                let table = if section == "network" { &mut config.network } else { &mut config.data };
                table.insert(key.to_owned(), value);
            }
            let engine = Arc::new(Engine::new(&config, &designs, &caching)?);
            Ok(Self { config, engine, caching })
        })
    }

    /// Name.
    #[getter]
    fn name(&self) -> &str {
        &self.config.name
    }

    /// Names of the axes.
    #[getter]
    fn axes(&self) -> Vec<&str> {
        self.engine.space().axes().iter().map(|axis| axis.name.as_str()).collect()
    }

    /// The resolved sweep as TOML.
    fn toml(&self, py: Python<'_>) -> PyResult<String> {
        self.config.to_toml().map_err(|error| of_sweep(py, &error))
    }

    /// Whether all points are known before the first has run.
    #[getter]
    fn is_planned(&self) -> PyResult<bool> {
        Ok(search::find(&self.config.search.method).map_err(usage)?.is_planned())
    }

    /// The points of the sweep's own search, as far as they are known: the value of each axis, or none.
    fn points<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyList>>> {
        let method = search::find(&self.config.search.method).map_err(usage)?;
        let begun = method.begin(self.engine.space(), &self.config.search, self.engine.aims());
        let points = begun.map_err(|error| of_sweep(py, &error))?.ask();
        let of = |point: &Option<Value>| match point {
            Some(value) => python(py, value),
            None => Ok(py.None().into_bound(py)),
        };
        points.iter().map(|point| PyList::new(py, point.iter().map(of).collect::<PyResult<Vec<_>>>()?)).collect()
    }

    /// Rows of points, in order.
    fn evaluate(&self, py: Python<'_>, points: Vec<Vec<Bound<'_, PyAny>>>) -> PyResult<Vec<Row>> {
        let n_axes = self.engine.space().axes().len();
        let of = |point: &Vec<Bound<'_, PyAny>>| {
            if point.len() != n_axes {
                return Err(usage(format!("a point of {} values, expected {n_axes}", point.len())));
            }
            point.iter().map(|item| if item.is_none() { Ok(None) } else { value(item).map(Some) }).collect()
        };
        let points = points.iter().map(of).collect::<PyResult<Vec<Vec<Option<Value>>>>>()?;
        let engine = Arc::clone(&self.engine);
        let rows = sweeping(py, false, move |monitor| engine.evaluate(&points, monitor))?;
        Ok(rows.into_iter().map(row_of).collect())
    }

    /// Runs the sweep and writes its folder.
    fn run(
        &self,
        py: Python<'_>,
        folder: PathBuf,
        classes: Vec<Bound<'_, PyAny>>,
        options: Options<'_>,
    ) -> PyResult<Record> {
        let shard = options.get::<String>("shard")?.map(|text| text.parse::<Shard>()).transpose().map_err(usage)?;
        let run = SweepRun {
            resume: options.or("resume", false)?,
            shard,
            designs: designs(&classes)?,
            caching: self.caching.clone(),
            ..SweepRun::new(folder)
        };
        let config = self.config.clone();
        sweeping(py, true, move |monitor| Ok(Record::new(skimp::sweep(&config, &run, monitor)?)))
    }
}

/// The store of a sweep, for one writer.
#[pyclass(frozen, module = "skimp._native")]
#[derive(Debug)]
pub(crate) struct SweepStore(SqliteStore);

#[pymethods]
impl SweepStore {
    /// Opens or makes the store of `sweep` in a folder.
    #[new]
    fn new(py: Python<'_>, sweep: &Bound<'_, Sweep>, folder: PathBuf, resume: bool) -> PyResult<Self> {
        let run = SweepRun { resume, ..SweepRun::new(folder) };
        let (config, engine) = (sweep.get().config.clone(), Arc::clone(&sweep.get().engine));
        sweeping(py, true, move |monitor| {
            // As a local run does: what is wrong with all points leaves no folder behind.
            engine.check(monitor)?;
            run.open_store(&config)
        })
        .map(Self)
    }

    /// The axes of the points that are there, as JSON objects.
    fn axes(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let rows = py.detach(|| self.0.rows()).map_err(|error| of_sweep(py, &error))?;
        Ok(rows.into_iter().map(|row| row.axes).collect())
    }

    /// Writes rows.
    fn add(&self, py: Python<'_>, rows: Vec<Row>) -> PyResult<()> {
        let rows = rows.into_iter().map(stored).collect::<PyResult<Vec<_>>>()?;
        py.detach(|| self.0.add_all(&rows)).map_err(|error| of_sweep(py, &error))
    }
}

/// Names of figures, in the order of rows.
#[pyfunction]
pub(crate) fn figure_names() -> Vec<&'static str> {
    FIGURES.iter().map(|figure| figure.name).collect()
}

/// Writes the points of a sweep as a table.
#[pyfunction]
pub(crate) fn export_sweep(py: Python<'_>, folder: PathBuf, format: String, output: PathBuf) -> PyResult<usize> {
    let found = ExportFormat::ALL.iter().find(|(name, _)| *name == format).map(|(_, format)| *format);
    let names = ExportFormat::ALL.map(|(name, _)| name).join(", ");
    let format = found.ok_or_else(|| usage(format!("format \"{format}\", expected one of: {names}")))?;
    let n = sweeping(py, true, move |_| skimp::sweeps::export(&folder, format, &output))?;
    Ok(n as usize)
}

/// Joins sweeps.
#[pyfunction]
pub(crate) fn merge_sweeps(py: Python<'_>, folders: Vec<PathBuf>, output: PathBuf) -> PyResult<usize> {
    let n = sweeping(py, true, move |_| {
        let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
        skimp::sweeps::merge(&folders, &output)
    })?;
    Ok(n as usize)
}
