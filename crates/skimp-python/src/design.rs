//! Accelerators whose models are Python classes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use numpy::ndarray::ArrayView;
use numpy::{Element, IxDyn, PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyList, PyString};
use skimp::digital::costs::{COMMON_COSTS, named_or_written};
use skimp::sim::toml::{Table, Value};
use skimp::sim::{
    Accelerator, AcceleratorModel, Activity, Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult, LayerTrace,
    LayerWorkload, LossEvent, Needs, Nonlinearity, OperationCount, SKIPPED_MACS, Scope, SimError, Statistic,
    preset_settings, resolve_config,
};
use skimp::{Designs, StudyError};

use crate::errors::{exception, raised, usage};

/// Texts that models need for as long as the process runs. Each is kept once.
static TEXTS: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
/// Statistics, the same.
static STATISTICS: Mutex<Vec<&'static Statistic>> = Mutex::new(Vec::new());
/// Models of every class that was seen.
static MODELS: Mutex<Vec<&'static PythonModel>> = Mutex::new(Vec::new());
/// Those that have a name for the rest of the process.
static REGISTERED: Mutex<Vec<&'static PythonModel>> = Mutex::new(Vec::new());

fn kept(text: &str) -> &'static str {
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.iter().find(|known| **known == text) {
        return known;
    }
    let new: &'static str = Box::leak(text.to_owned().into_boxed_str());
    texts.push(new);
    new
}

/// The embedded designs, those that were registered, and `classes`, which come before registered ones of the same name.
pub(crate) fn designs(classes: &[Bound<'_, PyAny>]) -> PyResult<Designs> {
    let mut models: Vec<&'static PythonModel> = Vec::new();
    for class in classes {
        let model = model(class)?;
        if let Some(other) = models.iter().find(|known| known.name == model.name)
            && !std::ptr::eq(*other, model)
        {
            return Err(usage(format!("two accelerators are called \"{}\"", model.name)));
        }
        if !models.iter().any(|known| std::ptr::eq(*known, model)) {
            models.push(model);
        }
    }
    for registered in REGISTERED.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        if models.iter().all(|known| known.name != registered.name) {
            models.push(registered);
        }
    }
    let all = models.into_iter().try_fold(Designs::embedded(), |designs, model| designs.with(model));
    all.map_err(|error| usage(error.to_string()))
}

/// A class of Python.
struct PythonModel {
    name: &'static str,
    summary: &'static str,
    source: &'static str,
    preset: &'static str,
    class: Py<PyAny>,
}

impl fmt::Debug for PythonModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PythonModel({})", self.name)
    }
}

/// The model of a subclass of `skimp.Accelerator`.
fn model(class: &Bound<'_, PyAny>) -> PyResult<&'static PythonModel> {
    let mut models = MODELS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = models.iter().find(|known| known.class.bind(class.py()).is(class)) {
        return Ok(known);
    }
    let text = |name: &str| class.getattr(name)?.extract::<String>().map(|text| kept(&text));
    let name = text("name")?;
    let preset = preset(&class.getattr("preset")?)?;
    preset_settings(&preset).map_err(|error| usage(format!("{name}: preset: {error}")))?;
    let (summary, source) = (text("summary")?, text("source")?);
    if Designs::embedded().find(name).is_ok() {
        return Err(usage(format!("\"{name}\" is an embedded accelerator: choose another name")));
    }
    let class = class.clone().unbind();
    let model = Box::leak(Box::new(PythonModel { name, summary, source, preset: kept(&preset), class }));
    models.push(model);
    Ok(model)
}

/// Gives a subclass of `skimp.Accelerator` its name for the rest of the process, instead of an earlier one.
#[pyfunction]
pub(crate) fn register(py: Python<'_>, class: Bound<'_, PyAny>) -> PyResult<()> {
    let model = model(&class)?;
    // Reports show every design at its preset: one that cannot be had so is refused now.
    model.configure(&Table::new()).map_err(|error| raised(py, &StudyError::Sim(error)))?;
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    registered.retain(|known| known.name != model.name);
    registered.push(model);
    Ok(())
}

/// The preset as TOML: as it is written, or settings with their defaults.
fn preset(preset: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(text) = preset.cast::<PyString>() {
        return Ok(text.to_str()?.to_owned());
    }
    let mut table = Table::new();
    for (key, value) in preset.cast::<PyDict>()? {
        let key: String = key.extract()?;
        let value = if value.is_instance_of::<PyBool>() {
            Value::Boolean(value.extract()?)
        } else if value.is_instance_of::<PyInt>() {
            Value::Integer(value.extract()?)
        } else if let Ok(text) = value.cast::<PyString>() {
            Value::String(text.to_str()?.to_owned())
        } else {
            Value::Float(value.extract()?)
        };
        table.insert(key, value);
    }
    Ok(table.to_string())
}

impl AcceleratorModel for PythonModel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn source(&self) -> &'static str {
        self.source
    }

    fn preset(&self) -> &'static str {
        self.preset
    }

    fn configure(&self, overrides: &Table) -> Result<Configured, SimError> {
        let config = resolve_config(self.preset, overrides)?;
        let design = Python::attach(|py| self.design(py, config));
        design.map(Configured::from).map_err(|error| failed(self.name, "", error))
    }
}

fn failed(accelerator: &'static str, layer: &str, error: PyErr) -> SimError {
    SimError::Model { layer: layer.to_owned(), accelerator, source: Box::new(error) }
}

impl PythonModel {
    fn design(&self, py: Python<'_>, config: Table) -> PyResult<PythonDesign> {
        let settings = PyDict::new(py);
        for (key, value) in &config {
            settings.set_item(key, python(py, value)?)?;
        }
        let object = self.class.bind(py).call1((settings,))?;
        let costs: Option<String> = object.getattr("costs")?.extract()?;
        let costs = named_or_written(costs.as_deref().unwrap_or(COMMON_COSTS));
        let costs = costs.map_err(|error| raised(py, &StudyError::Sim(error)))?;
        let number = |name: &str| -> PyResult<f64> {
            let number: f64 = object.getattr(name)?.extract()?;
            if number.is_finite() && number >= 0.0 {
                return Ok(number);
            }
            Err(nonsense(py, &format!("{name} is {number}, expected a number of at least 0")))
        };
        let clock_mhz = number("clock_mhz")?;
        if clock_mhz == 0.0 {
            return Err(nonsense(py, "clock_mhz is 0"));
        }
        let texts = |name: &str| -> PyResult<Vec<String>> { object.getattr(name)?.extract() };
        let reads = Reads::of(py, &texts("reads")?)?;
        let facts = Facts {
            area_mm2: number("area_mm2")?,
            peak_gmacs: number("peak_gmacs")?,
            energy_scope: kept(&object.getattr("energy_scope")?.extract::<String>()?),
            exploits: texts("exploits")?.iter().map(|text| kept(text)).collect(),
            remarks: texts("remarks")?,
            needs: reads.needs(),
            loss_events: vec![LossEvent::idle(kept(&object.getattr("idle")?.extract::<String>()?))],
            ..Facts::new(self.name, config, clock_mhz, costs)
        };
        let phases = statistics(&object.getattr("phases")?, "cycles", true)?;
        let counters = statistics(&object.getattr("counters")?, "events", false)?;
        Ok(PythonDesign { facts, reads, phases, counters, object: object.unbind() })
    }
}

/// Statistics of `{name: description}`, where the first phase is work, and of `{name: (unit, description)}`.
fn statistics(given: &Bound<'_, PyAny>, unit: &str, are_phases: bool) -> PyResult<Vec<&'static Statistic>> {
    let mut found = Vec::new();
    for (idx, entry) in given.cast::<PyDict>()?.iter().enumerate() {
        let name: String = entry.0.extract()?;
        let (unit, description) = match entry.1.extract::<(String, String)>() {
            Ok(both) => both,
            Err(_) => (unit.to_owned(), entry.1.extract::<String>()?),
        };
        let statistic = Statistic::new(kept(&name), kept(&unit), kept(&description));
        let statistic = if are_phases && idx == 0 { statistic.working() } else { statistic };
        let mut all = STATISTICS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().copied().find(|known| **known == statistic);
        found.push(known.unwrap_or_else(|| {
            let new: &'static Statistic = Box::leak(Box::new(statistic));
            all.push(new);
            new
        }));
    }
    Ok(found)
}

/// A value of TOML in Python.
pub(crate) fn python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Boolean(value) => PyBool::new(py, *value).to_owned().into_any(),
        Value::Integer(value) => value.into_pyobject(py)?.into_any(),
        Value::Float(value) => value.into_pyobject(py)?.into_any(),
        Value::String(value) => value.into_pyobject(py)?.into_any(),
        Value::Array(values) => {
            let values = values.iter().map(|value| python(py, value)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, values)?.into_any()
        }
        Value::Table(table) => {
            let inner = PyDict::new(py);
            table.iter().try_for_each(|(key, value)| inner.set_item(key, python(py, value)?))?;
            inner.into_any()
        }
        Value::Datetime(value) => value.to_string().into_pyobject(py)?.into_any(),
    })
}

/// What a model returned and should not.
fn nonsense(py: Python<'_>, text: &str) -> PyErr {
    exception(py, "UsageError", text)
}

/// What a model reads of a layer.
#[derive(Clone, Copy, Debug, Default)]
struct Reads {
    weights: bool,
    activation: bool,
    output_sums: bool,
    bias: bool,
    residual: bool,
}

impl Reads {
    fn of(py: Python<'_>, words: &[String]) -> PyResult<Self> {
        let mut reads = Self::default();
        for word in words {
            let slot = match word.as_str() {
                "weights" => &mut reads.weights,
                "activation" => &mut reads.activation,
                "output_sums" => &mut reads.output_sums,
                "bias" => &mut reads.bias,
                "residual" => &mut reads.residual,
                other => {
                    let known = "weights, activation, output_sums, bias, residual";
                    return Err(nonsense(py, &format!("reads {other:?}, expected some of: {known}")));
                }
            };
            *slot = true;
        }
        Ok(reads)
    }

    fn has_values(self) -> bool {
        self.activation || self.output_sums || self.bias || self.residual
    }

    fn needs(self) -> Needs {
        match (self.has_values(), self.weights) {
            (true, _) => Needs::Values,
            (false, true) => Needs::Weights,
            (false, false) => Needs::Shape,
        }
    }
}

/// An object of such a class.
struct PythonDesign {
    facts: Facts,
    reads: Reads,
    phases: Vec<&'static Statistic>,
    counters: Vec<&'static Statistic>,
    object: Py<PyAny>,
}

impl fmt::Debug for PythonDesign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PythonDesign({})", self.facts.name)
    }
}

/// The values of a layer that a model reads.
#[derive(Default)]
struct Values {
    activation: Option<Arc<[i32]>>,
    output_sums: Option<Arc<[i64]>>,
    bias: Option<Arc<[i64]>>,
    residual: Option<Arc<[i64]>>,
}

impl Accelerator for PythonDesign {
    fn facts(&self) -> &Facts {
        &self.facts
    }

    fn simulate_layer(&self, layer: &LayerWorkload, trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        layer.check()?;
        let (reads, name) = (self.reads, self.facts.name);
        let mut values = Values::default();
        if reads.has_values() {
            let missing =
                || SimError::TraceRequired { layer: layer.name.clone(), accelerator: name, trace: "activation" };
            let trace = trace.ok_or_else(missing)?;
            values.activation = reads.activation.then(|| trace.activation()).transpose()?;
            values.output_sums = reads.output_sums.then(|| trace.output_sums()).transpose()?;
            values.bias = reads.bias.then(|| trace.bias()).transpose()?;
            values.residual = if reads.residual { trace.residual()? } else { None };
        }
        if reads.weights && layer.weights.is_none() {
            return Err(SimError::WeightsRequired { layer: layer.name.clone(), accelerator: name });
        }
        Python::attach(|py| self.called(py, layer, values)).map_err(|error| failed(name, &layer.name, error))
    }
}

impl PythonDesign {
    fn called(&self, py: Python<'_>, layer: &LayerWorkload, values: Values) -> PyResult<LayerResult> {
        let shape = &layer.shape;
        let outputs = [shape.k(), shape.p(), shape.q()];
        let trace = PyDict::new(py);
        if let Some(codes) = values.activation {
            trace.set_item("activation", view(py, codes, &[shape.c(), shape.h(), shape.w()])?)?;
        }
        if let Some(sums) = values.output_sums {
            trace.set_item("output_sums", view(py, sums, &outputs)?)?;
        }
        if let Some(bias) = values.bias {
            trace.set_item("bias", view(py, bias, &outputs[..1])?)?;
        }
        if self.reads.residual {
            let residual = values.residual.map(|residual| view(py, residual, &outputs)).transpose()?;
            trace.set_item("residual", residual)?;
        }
        let object = self.object.bind(py);
        let returned = object.call_method1("_simulate", (self.layer(py, layer)?, trace))?;
        self.result(py, layer, &returned)
    }

    fn layer<'py>(&self, py: Python<'py>, layer: &LayerWorkload) -> PyResult<Bound<'py, PyDict>> {
        let (shape, entries) = (&layer.shape, PyDict::new(py));
        entries.set_item("name", &layer.name)?;
        entries.set_item("kind", layer.kind.name())?;
        for (key, extent) in [
            ("n", shape.n()),
            ("c", shape.c()),
            ("h", shape.h()),
            ("w", shape.w()),
            ("k", shape.k()),
            ("r", shape.r()),
            ("s", shape.s()),
            ("p", shape.p()),
            ("q", shape.q()),
            ("groups", shape.groups()),
        ] {
            entries.set_item(key, extent)?;
        }
        for (key, both) in [
            ("strides", shape.strides()),
            ("dilations", shape.dilations()),
            ("pads_begin", shape.pads_begin()),
            ("pads_end", shape.pads_end()),
        ] {
            entries.set_item(key, (both[0], both[1]))?;
        }
        entries.set_item("dense_macs", shape.dense_macs())?;
        entries.set_item("compulsory_bits", layer.compulsory_bits())?;
        entries.set_item("weight_bits", layer.weight_bits)?;
        entries.set_item("activation_bits", layer.activation_bits)?;
        entries.set_item("activation_signed", layer.activation_signed)?;
        entries.set_item("padding_code", layer.padding_code)?;
        entries.set_item("bias", layer.bias)?;
        entries.set_item("first", layer.first)?;
        let nonlinearity = match layer.nonlinearity {
            Nonlinearity::None => "none",
            Nonlinearity::Relu => "relu",
            Nonlinearity::ClippedRelu => "clipped-relu",
            Nonlinearity::Sign => "sign",
        };
        entries.set_item("nonlinearity", nonlinearity)?;
        let weights = layer.weights.as_ref().filter(|_| self.reads.weights);
        let extents = [shape.k(), shape.channels_per_group(), shape.r(), shape.s()];
        let weights = weights.map(|weights| view(py, Arc::clone(weights), &extents)).transpose()?;
        entries.set_item("weights", weights)?;
        Ok(entries)
    }

    /// What the model returned, if it is a result.
    fn result(&self, py: Python<'_>, layer: &LayerWorkload, returned: &Bound<'_, PyAny>) -> PyResult<LayerResult> {
        let mut result = LayerResult::new(layer);
        for (name, count) in counts(returned, "cycles")? {
            let statistic = known(py, &self.phases, "phases", &name)?;
            result.cycles.add(statistic, count);
        }
        let shared = [&EXECUTED_MACS, &SKIPPED_MACS, &IDLE_SLOTS];
        let all: Vec<&'static Statistic> = shared.into_iter().chain(self.counters.iter().copied()).collect();
        for (name, count) in counts(returned, "events")? {
            result.events.add(known(py, &all, "counters", &name)?, count);
        }
        let [executed, skipped] = [&EXECUTED_MACS, &SKIPPED_MACS].map(|one| result.events.get(one.name));
        let (macs, sum) = (result.macs, executed.unwrap_or(0).saturating_add(skipped.unwrap_or(0)));
        if sum > macs || (executed.is_some() && skipped.is_some() && sum != macs) {
            let text = format!("executed and skipped MACs are {sum}, the layer has {macs}");
            return Err(nonsense(py, &text));
        }
        if result.cycles.total() == 0 && macs > 0 {
            return Err(nonsense(py, &format!("0 cycles for {macs} MACs")));
        }
        for entry in returned.getattr("activity")?.try_iter()? {
            let (component, scope, key, count): (String, String, String, u64) = entry?.extract()?;
            let (component, key) = (kept(&component), kept(&key));
            let found = Scope::ALL.into_iter().find(|known| known.key() == scope);
            let scope = found.ok_or_else(|| nonsense(py, &format!("activity of {component}: no scope {scope:?}")))?;
            result.activity.push(match scope {
                Scope::Static => Activity::leaking(component, key, count),
                scope => Activity::events(component, scope, key, count),
            });
        }
        for entry in returned.getattr("operations")?.try_iter()? {
            result.operations.push(operation(py, &entry?)?);
        }
        for (name, number) in counts(returned, "mapping")? {
            result.mapping.push((kept(&name), number));
        }
        for note in returned.getattr("notes")?.extract::<Vec<String>>()? {
            result.note(note);
        }
        Ok(result)
    }
}

fn operation(py: Python<'_>, entry: &Bound<'_, PyAny>) -> PyResult<OperationCount> {
    let (what, component, bytes, bits, count): (String, String, u64, u32, u64) = entry.extract()?;
    let component = kept(&component);
    Ok(match what.as_str() {
        "multiply_add" => OperationCount::multiply_add(component, bits, count),
        "add" => OperationCount::add(component, bits, count),
        "registers" => OperationCount::registers(component, bytes, bits, count),
        "buffer" => OperationCount::buffer(component, bytes, bits, count),
        "on_chip" => OperationCount::on_chip(component, bytes, bits, count),
        "off_chip" => OperationCount::off_chip(count),
        other => return Err(nonsense(py, &format!("no operation {other:?}"))),
    })
}

/// Whole numbers of at least 0 by name.
fn counts(returned: &Bound<'_, PyAny>, of: &str) -> PyResult<Vec<(String, u64)>> {
    let py = returned.py();
    let given = returned.getattr(of)?;
    let mut found = Vec::new();
    for (name, count) in given.cast::<PyDict>()? {
        let name: String = name.extract()?;
        // NumPy's integers have __index__, its real numbers have not.
        let number = if count.is_instance_of::<PyBool>() { None } else { count.extract::<u64>().ok() };
        let number = number
            .ok_or_else(|| nonsense(py, &format!("{of} {name:?} is {count}, expected a whole number of at least 0")))?;
        found.push((name, number));
    }
    Ok(found)
}

fn known(
    py: Python<'_>,
    statistics: &[&'static Statistic],
    declared: &str,
    name: &str,
) -> PyResult<&'static Statistic> {
    statistics.iter().copied().find(|known| known.name == name).ok_or_else(|| {
        let names: Vec<_> = statistics.iter().map(|known| known.name).collect();
        nonsense(py, &format!("returns {name:?}, which its {declared} do not name; they are: {}", names.join(", ")))
    })
}

/// Keeps what a view reads.
#[pyclass(frozen, module = "skimp._native")]
struct Kept(#[expect(dead_code, reason = "it is kept, not read")] Box<dyn std::any::Any + Send + Sync>);

/// The elements as an array that cannot be written to, without a copy.
#[expect(unsafe_code, reason = "the array keeps what it reads")]
fn view<'py, T: Element + Send + Sync + 'static>(
    py: Python<'py>,
    elements: Arc<[T]>,
    extents: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    let owner = Bound::new(py, Kept(Box::new(Arc::clone(&elements))))?;
    let shaped = ArrayView::from_shape(IxDyn(extents), &elements[..]);
    let shaped = shaped.map_err(|error| nonsense(py, &format!("values that do not fit their layer: {error}")))?;
    // SAFETY: `owner`, which becomes the array's base, holds the elements, which do not move, as long as the array lives; and
    // nothing writes to them, since the array is made read-only before anyone sees it.
    let array = unsafe { PyArrayDyn::borrow_from_array(&shaped, owner.into_any()) };
    array.readwrite().make_nonwriteable();
    Ok(array)
}
