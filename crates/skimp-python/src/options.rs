//! Keyword arguments, which have the names and defaults of the command line's flags.

use std::path::PathBuf;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use skimp::flags::{DataFlags, Settings, SimulateFlags, TuningFlags, input_size, word};
use skimp::sim::toml::Value;

use crate::arrays::Arrays;
use crate::errors::{raised, usage};

/// Keyword arguments by name; one that is not there, or `None`, is as the command line has it by default.
#[derive(Debug)]
pub(crate) struct Options<'py>(pub(crate) Bound<'py, PyDict>);

impl<'py> FromPyObject<'_, 'py> for Options<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self(object.cast::<PyDict>()?.to_owned()))
    }
}

impl<'py> Options<'py> {
    fn item(&self, key: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.0.get_item(key)?.filter(|value| !value.is_none()))
    }

    /// One value; `None` where it is not given.
    pub(crate) fn get<T: for<'a> FromPyObject<'a, 'py>>(&self, key: &str) -> PyResult<Option<T>> {
        let Some(value) = self.item(key)? else { return Ok(None) };
        let of = value.get_type().name()?;
        match value.extract() {
            Ok(value) => Ok(Some(value)),
            Err(error) => {
                let error: PyErr = error.into();
                Err(PyTypeError::new_err(format!("{key}: {}, of type {of}", error.value(self.0.py()))))
            }
        }
    }

    /// One value, or another one where it is not given.
    pub(crate) fn or<T: for<'a> FromPyObject<'a, 'py>>(&self, key: &str, default: T) -> PyResult<T> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// One of the words of a choice.
    pub(crate) fn word<T: serde::de::DeserializeOwned>(&self, key: &'static str) -> PyResult<Option<T>> {
        let Some(text) = self.get::<String>(key)? else { return Ok(None) };
        word(key, &text).map(Some).map_err(|error| raised(self.0.py(), &error))
    }

    /// One of some values by its name.
    pub(crate) fn one_of<T: Copy>(&self, key: &str, all: &[T], name: fn(T) -> &'static str) -> PyResult<Option<T>> {
        let Some(text) = self.get::<String>(key)? else { return Ok(None) };
        let found = all.iter().copied().find(|&one| name(one) == text);
        found.map(Some).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|&one| name(one)).collect();
            usage(format!("{key}: \"{text}\", expected one of: {}", names.join(", ")))
        })
    }

    /// A configuration whose keys are keyword arguments.
    pub(crate) fn settings<C: Settings>(&self) -> PyResult<C> {
        let mut table = C::defaults();
        for &key in skimp::fields_of::<C>() {
            let Some(value) = self.item(key)? else { continue };
            let value = match value.cast::<PyString>() {
                Ok(text) => C::from_text(key, text.to_str()?),
                Err(_) => C::first_taken(key, candidates(key, &value)?),
            };
            let value =
                value.map_err(|cause| usage(if cause.contains(key) { cause } else { format!("{key}: {cause}") }))?;
            table.insert(key.to_owned(), value);
        }
        C::read(table).map_err(usage)
    }

    /// Images.
    pub(crate) fn data(&self) -> PyResult<DataFlags> {
        let (data, held) = match self.item("data")? {
            Some(value) => match value.cast::<Arrays>() {
                Ok(arrays) => (None, Some(arrays.get().held())),
                Err(_) => (self.get("data")?, None),
            },
            None => (None, None),
        };
        let size = match self.item("input_size")? {
            None => None,
            Some(size) if size.is_instance_of::<PyTuple>() || size.is_instance_of::<PyList>() => {
                self.get::<[usize; 2]>("input_size")?
            }
            Some(size) => {
                Some(input_size(&size.str()?.to_string()).map_err(|cause| usage(format!("input_size: {cause}")))?)
            }
        };
        Ok(DataFlags {
            data,
            held,
            split: self.word("split")?,
            preprocess: self.get("preprocess")?,
            input_size: size,
            seed: self.get("seed")?,
            output_name: self.get("output_name")?,
        })
    }

    /// How parameters of approximate designs are searched.
    pub(crate) fn tuning(&self) -> PyResult<TuningFlags> {
        Ok(TuningFlags {
            tuning_images: self.get("tuning_images")?,
            tuning_split: self.word("tuning_split")?,
            judge_by: self.word("judge_by")?,
        })
    }

    /// A simulation.
    pub(crate) fn simulate(&self) -> PyResult<SimulateFlags> {
        let default = SimulateFlags::default();
        Ok(SimulateFlags {
            accelerator: self.or("accelerator", Vec::new())?,
            data: self.data()?,
            images: self.or("images", default.images)?,
            accuracy_images: self.or("accuracy_images", default.accuracy_images)?,
            chips: self.get("chips")?,
            attribution: self.or("attribution", false)?,
            tuning: self.tuning()?,
            quantization: self.settings()?,
            costs: self.get::<String>("costs")?.map_or(default.costs, Into::into),
            allowed_loss_points: self.or("allowed_loss_points", default.allowed_loss_points)?,
            preset: self.or("preset", Vec::new())?,
            set: self.or("set", Vec::new())?,
            dump: self.get::<PathBuf>("dump")?,
            trace: self.get::<PathBuf>("trace")?,
        })
    }
}

/// What a Python value may stand for.
fn candidates(key: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<Value>> {
    if value.is_instance_of::<PyBool>() {
        return Ok(vec![Value::Boolean(value.extract()?)]);
    }
    if value.is_instance_of::<PyInt>() {
        let integer = value.extract::<i64>()?;
        return Ok(vec![Value::Integer(integer), Value::Float(integer as f64)]);
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(vec![Value::Float(value.extract()?)]);
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let words = value.extract::<Vec<String>>()?;
        return Ok(vec![Value::Array(words.into_iter().map(Value::String).collect())]);
    }
    // NumPy's numbers.
    if let Ok(integer) = value.extract::<i64>() {
        return Ok(vec![Value::Integer(integer), Value::Float(integer as f64)]);
    }
    match value.extract::<f64>() {
        Ok(float) => Ok(vec![Value::Float(float)]),
        Err(_) => Err(PyTypeError::new_err(format!("{key}: expected a number, a word or a list, found {value}"))),
    }
}
