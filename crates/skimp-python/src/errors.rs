//! Errors as Python's exceptions: one class for each error of Rust, with the text that the command line prints.

use std::error::Error;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;
use skimp::StudyError;

static CLASSES: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// An exception of the class `name` of `skimp.errors`.
pub(crate) fn exception(py: Python<'_>, name: &str, text: &str) -> PyErr {
    let module = CLASSES.get_or_try_init(py, || PyModule::import(py, "skimp.errors").map(Bound::unbind));
    let made = module.and_then(|module| module.bind(py).getattr(name)?.call1((text,)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}

/// The user asked for something that cannot be.
pub(crate) fn usage(text: String) -> PyErr {
    Python::attach(|py| exception(py, "UsageError", &text))
}

/// What became of a run, as Python sees it. What Python code raised on the way is the cause.
pub(crate) fn raised(py: Python<'_>, error: &StudyError) -> PyErr {
    let raised = exception(py, class(error), &skimp::error_text(error));
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(cause) = error.downcast_ref::<PyErr>() {
            raised.set_cause(py, Some(cause.clone_ref(py)));
            break;
        }
        source = error.source();
    }
    raised
}

/// The class of an error: that of the crate which it comes from.
fn class(error: &StudyError) -> &'static str {
    match error {
        StudyError::Graph(_) => "GraphError",
        StudyError::Data(_) | StudyError::Labels(_) | StudyError::NamedPreprocess { .. } => "DataError",
        StudyError::Quant(_) => "QuantError",
        StudyError::Reduce(_) => "ReduceError",
        StudyError::Train(_) => "TrainError",
        StudyError::Sim(_) | StudyError::Preset { .. } => "SimError",
        StudyError::Report(_) => "ReportError",
        StudyError::Nir(_) => "NirError",
        StudyError::Memory(_) => "OutOfMemory",
        StudyError::Io { .. } => "FileError",
        StudyError::Input(_) | StudyError::InputArray { .. } | StudyError::Answers(_) => "InputError",
        StudyError::Interrupted | StudyError::InterruptedRuns { .. } => "Interrupted",
        error if error.is_usage() => "UsageError",
        _ => "StudyError",
    }
}

/// What cannot happen, if it does.
pub(crate) fn broken(what: &str) -> PyErr {
    PyRuntimeError::new_err(format!("{what}; please report this"))
}
