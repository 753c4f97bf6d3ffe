//! NumPy arrays as tensors and as data sets.

use numpy::{
    Element, PyArrayDyn, PyArrayMethods, PyReadonlyArray4, PyReadonlyArrayDyn, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use skimp::data::{DataError, DatasetFormat, Image, ImageSource, Layout};
use skimp::graph::{DType, Data};
use skimp::{Dataset, HeldData, Samples, Split, StudyError, Tensor};

use crate::errors::raised;

/// Images of NumPy arrays, read where they lie.
#[derive(Debug)]
struct Borrowed {
    /// Reads the arrays' memory.
    dataset: Dataset,
    /// Keeps that memory.
    _owner: Py<PyAny>,
}

impl ImageSource for Borrowed {
    fn labels(&self) -> &[usize] {
        self.dataset.labels()
    }

    fn n_classes(&self) -> usize {
        self.dataset.n_classes()
    }

    fn channels(&self) -> usize {
        self.dataset.channels()
    }

    fn image_shape(&self) -> Option<[usize; 3]> {
        self.dataset.image_shape()
    }

    fn has_splits(&self) -> bool {
        self.dataset.has_splits()
    }

    fn layout(&self) -> Layout {
        self.dataset.layout()
    }

    fn image(&self, index: usize) -> Result<Image<'_>, DataError> {
        self.dataset.image(index)
    }
}

/// The elements of a contiguous array for as long as its owner is kept.
///
/// The result must be dropped before the array is.
#[expect(unsafe_code, reason = "the array's owner is kept beside what reads it")]
fn elements<T: Element>(array: &PyReadonlyArray4<'_, T>) -> PyResult<&'static [T]> {
    let slice = array.as_slice().map_err(|_| PyTypeError::new_err("images: expected a contiguous array"))?;
    // SAFETY: `Arrays::new`, the only caller, puts a reference to the array beside the slice, in `Borrowed`, whose fields are
    // dropped in their order: the slice first. NumPy does not move the memory of an array that is referred to.
    Ok(unsafe { std::slice::from_raw_parts(slice.as_ptr(), slice.len()) })
}

/// Images and labels that Python holds.
#[pyclass(frozen, module = "skimp._native")]
#[derive(Debug)]
pub(crate) struct Arrays(HeldData);

impl Arrays {
    /// The data set.
    pub(crate) fn held(&self) -> HeldData {
        self.0.clone()
    }
}

#[pymethods]
impl Arrays {
    /// Takes contiguous images `[n, c, h, w]` of bytes or single precision.
    #[new]
    fn new(py: Python<'_>, images: &Bound<'_, PyAny>, labels: Vec<usize>) -> PyResult<Self> {
        let (shape, samples) = if let Ok(bytes) = images.extract::<PyReadonlyArray4<'_, u8>>() {
            (bytes.shape().to_vec(), Samples::U8(elements(&bytes)?.into()))
        } else if let Ok(numbers) = images.extract::<PyReadonlyArray4<'_, f32>>() {
            (numbers.shape().to_vec(), Samples::F32(elements(&numbers)?.into()))
        } else {
            return Err(PyTypeError::new_err("images: expected an array [n, c, h, w] of uint8 or float32"));
        };
        let dataset = py.detach(|| Dataset::from_arrays([shape[1], shape[2], shape[3]], samples, &labels));
        let dataset = dataset.map_err(|error| raised(py, &StudyError::Data(error)))?;
        let format: &'static dyn DatasetFormat = dataset.format();
        let source = Borrowed { dataset, _owner: images.clone().unbind() };
        Ok(Self(HeldData::new(Dataset::from_source(format, Split::Test, Box::new(source)))))
    }

    /// Number of images.
    fn __len__(&self) -> usize {
        self.0.dataset().len()
    }

    /// Number of classes.
    #[getter]
    fn n_classes(&self) -> usize {
        self.0.dataset().n_classes()
    }

    /// `[c, h, w]`.
    #[getter]
    fn shape(&self) -> Option<[usize; 3]> {
        self.0.dataset().image_shape()
    }
}

/// Name of an element type in NumPy.
pub(crate) fn numpy_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float32",
        DType::F64 => "float64",
        DType::I64 => "int64",
        DType::I32 => "int32",
        DType::I16 => "int16",
        DType::I8 => "int8",
        DType::U16 => "uint16",
        DType::U8 => "uint8",
        DType::Bool => "bool",
    }
}

/// A copy of an array, which the package has made contiguous and of the element type.
pub(crate) fn tensor(array: &Bound<'_, PyAny>, dtype: DType) -> PyResult<Tensor> {
    match dtype {
        DType::F32 => copied::<f32>(array),
        DType::F64 => copied::<f64>(array),
        DType::I64 => copied::<i64>(array),
        DType::I32 => copied::<i32>(array),
        DType::I16 => copied::<i16>(array),
        DType::I8 => copied::<i8>(array),
        DType::U16 => copied::<u16>(array),
        DType::U8 => copied::<u8>(array),
        DType::Bool => copied::<bool>(array),
    }
}

fn copied<T: Element + Copy>(array: &Bound<'_, PyAny>) -> PyResult<Tensor>
where
    Data: From<Vec<T>>,
{
    let wrong = || {
        let found = array.cast::<PyUntypedArray>().map(|array| array.dtype().to_string());
        PyTypeError::new_err(format!("an array of {}", found.unwrap_or_else(|_| "no NumPy type".to_owned())))
    };
    let array: PyReadonlyArrayDyn<'_, T> = array.extract().map_err(|_| wrong())?;
    let slice = array.as_slice().map_err(|_| PyTypeError::new_err("expected a contiguous array"))?;
    let values = array.py().detach(|| slice.to_vec());
    Tensor::new(array.shape().to_vec(), values.into()).ok_or_else(wrong)
}

/// The elements of a tensor as an array: those themselves where nothing else holds them.
pub(crate) fn array(py: Python<'_>, tensor: Tensor) -> PyResult<Bound<'_, PyAny>> {
    let (shape, data) = (tensor.shape().to_vec(), tensor.data().clone());
    drop(tensor);
    match data {
        Data::F32(values) => shaped(py, values, &shape),
        Data::F64(values) => shaped(py, values, &shape),
        Data::I64(values) => shaped(py, values, &shape),
        Data::I32(values) => shaped(py, values, &shape),
        Data::I16(values) => shaped(py, values, &shape),
        Data::I8(values) => shaped(py, values, &shape),
        Data::U16(values) => shaped(py, values, &shape),
        Data::U8(values) => shaped(py, values, &shape),
        Data::Bool(values) => shaped(py, values, &shape),
    }
}

fn shaped<'py, T: Element + Clone>(
    py: Python<'py>,
    values: std::sync::Arc<Vec<T>>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    let array = numpy::PyArray1::from_vec(py, std::sync::Arc::unwrap_or_clone(values));
    let array: Bound<'py, PyArrayDyn<T>> = array.reshape(shape)?;
    Ok(array.into_any())
}
