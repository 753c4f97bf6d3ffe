//! A network and what is done with it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use skimp::graph::Dim;
use skimp::{Compiled, Engine, EvaluateConfig, Monitor, Order, StudyError};

use crate::arrays::{array, numpy_name, tensor};
use crate::design::designs;
use crate::errors::raised;
use crate::options::Options;
use crate::record::Record;
use crate::work::{leave, work};

/// How a network runs.
type Choice = (Engine, Order);

/// A network that was read. What an engine prepares is kept.
#[pyclass(frozen, module = "skimp._native")]
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) network: Arc<skimp::Network>,
    /// What it was opened by.
    model: String,
    compiled: Mutex<Vec<(Choice, Arc<Compiled>)>>,
}

impl Network {
    pub(crate) fn of(network: skimp::Network, model: String) -> Self {
        Self { network: Arc::new(network), model, compiled: Mutex::default() }
    }

    fn compile(&self, py: Python<'_>, (engine, order): Choice) -> PyResult<Arc<Compiled>> {
        let known = || {
            let compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
            compiled.iter().find(|(known, _)| *known == (engine, order)).map(|(_, compiled)| Arc::clone(compiled))
        };
        if let Some(compiled) = known() {
            return Ok(compiled);
        }
        let network = Arc::clone(&self.network);
        let compiled = Arc::new(leave(py, move |_| network.compile(engine, order))?);
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner).push(((engine, order), Arc::clone(&compiled)));
        Ok(compiled)
    }
}

/// In which order the f32 engine adds up.
fn order(options: &Options<'_>) -> PyResult<Order> {
    Ok(if options.or("exact_order", false)? { Order::Exact } else { Order::Free })
}

/// Name, element type and extents of an input.
type InputForm = (String, &'static str, Vec<Py<PyAny>>);

#[pymethods]
impl Network {
    /// Opens a file or a network by its name.
    #[new]
    fn new(py: Python<'_>, model: String) -> PyResult<Self> {
        leave(py, move |monitor| {
            let network = skimp::Network::open(&model)?;
            network.adaptation().iter().for_each(|text| monitor.note(text));
            Ok(Self::of(network, model))
        })
    }

    #[getter]
    fn name(&self) -> &str {
        &self.network.name
    }

    #[getter]
    fn model(&self) -> &str {
        &self.model
    }

    #[getter]
    fn path(&self) -> Option<PathBuf> {
        self.network.path.clone()
    }

    #[getter]
    fn sha256(&self) -> &str {
        &self.network.sha256
    }

    #[getter]
    fn is_untrained(&self) -> bool {
        self.network.is_untrained
    }

    /// Name, element type and extents of each input; a name, or nothing, for an extent that is left open.
    #[getter]
    fn inputs(&self, py: Python<'_>) -> PyResult<Vec<InputForm>> {
        let graph = &self.network.graph;
        let extent = |dim: &Dim| match dim {
            Dim::Fixed(extent) => Ok(extent.into_pyobject(py)?.into_any().unbind()),
            Dim::Free(name) if name.is_empty() => Ok(py.None()),
            Dim::Free(name) => Ok(name.into_pyobject(py)?.into_any().unbind()),
        };
        let of = graph.inputs().iter().map(|input| {
            let extents = input.dims.iter().map(extent).collect::<PyResult<_>>()?;
            Ok((graph.value(input.value).name.clone(), numpy_name(input.dtype), extents))
        });
        of.collect()
    }

    /// Names of the outputs.
    #[getter]
    fn outputs(&self) -> Vec<String> {
        self.network.output_names().into_iter().map(str::to_owned).collect()
    }

    /// Writes the network to a file.
    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        work(py, |_| self.network.export(&path))
    }

    /// Layers and counts.
    fn inspect(&self, py: Python<'_>, options: Options<'_>) -> PyResult<Record> {
        let size = options.data()?.input_size;
        let network = Arc::clone(&self.network);
        leave(py, move |_| Ok(Record::new(skimp::inspect(&network, size)?)))
    }

    /// Runs the network on arrays, in the order of its inputs; outputs in order.
    fn run<'py>(
        &self,
        py: Python<'py>,
        arrays: Vec<Bound<'py, PyAny>>,
        options: Options<'py>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let engine = options.word("engine")?.unwrap_or(Engine::Cpu);
        let compiled = self.compile(py, (engine, order(&options)?))?;
        let inputs = arrays.iter().zip(self.network.graph.inputs()).map(|(array, input)| tensor(array, input.dtype));
        let inputs = inputs.collect::<PyResult<Vec<_>>>()?;
        let outputs = leave(py, move |_| compiled.run(&inputs))?;
        outputs.into_iter().map(|output| array(py, output)).collect()
    }

    /// Accuracy.
    fn evaluate(&self, py: Python<'_>, options: Options<'_>) -> PyResult<Record> {
        let data = options.data()?;
        let failed = |error: StudyError| raised(py, &error);
        let config = EvaluateConfig {
            data: data.config(0, options.or("images", usize::MAX)?).map_err(failed)?,
            input_size: data.input_size,
            engine: options.word("engine")?,
            order: order(&options)?,
            quantization: options.settings()?,
        };
        let network = Arc::clone(&self.network);
        leave(py, move |monitor| Ok(Record::new(skimp::evaluate(&network, &config, monitor)?)))
    }

    /// Accelerators on it.
    fn simulate(&self, py: Python<'_>, options: Options<'_>) -> PyResult<Record> {
        let flags = options.simulate()?;
        let designs = designs(&options.or("designs", Vec::new())?)?;
        let (network, model) = (Arc::clone(&self.network), self.model.clone());
        if let Some(folder) = options.get::<PathBuf>("report")? {
            return work(py, move |monitor| {
                let record = skimp::simulate_report(&model, &flags.config(designs)?, &folder, monitor)?;
                Ok(Record::new(record.simulation().cloned().unwrap_or_default()))
            });
        }
        let writes = flags.dump.is_some() || flags.trace.is_some();
        let simulate = move |monitor: &dyn Monitor| {
            Ok(Record::new(skimp::simulate(&network, &flags.config(designs)?, monitor)?.record))
        };
        if writes { work(py, simulate) } else { leave(py, simulate) }
    }
}
