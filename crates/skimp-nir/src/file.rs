//! The tree of groups and arrays in an HDF5 file.

use std::collections::BTreeMap;

use hdf5_pure::{DType, Dataset, File, FileBuilder, GroupBuilder};

use crate::NirError;

/// Deepest group of a file.
const MAX_DEPTH: usize = 32;

/// An array of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Values,
}

/// Elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    Floats(Vec<f64>),
    Integers(Vec<i64>),
    Texts(Vec<String>),
}

impl Field {
    pub(crate) fn text(text: &str) -> Self {
        Self { shape: Vec::new(), values: Values::Texts(vec![text.to_owned()]) }
    }

    pub(crate) fn floats(shape: &[usize], values: Vec<f64>) -> Self {
        Self { shape: shape.to_vec(), values: Values::Floats(values) }
    }

    pub(crate) fn integer(value: usize) -> Self {
        Self { shape: Vec::new(), values: Values::Integers(vec![signed(value)]) }
    }

    pub(crate) fn integers(values: &[usize]) -> Self {
        let shape = vec![values.len()];
        Self { shape, values: Values::Integers(values.iter().map(|&value| signed(value)).collect()) }
    }

    /// The elements as numbers.
    pub(crate) fn numbers(&self) -> Option<Vec<f64>> {
        match &self.values {
            Values::Floats(values) => Some(values.clone()),
            Values::Integers(values) => Some(values.iter().map(|&value| value as f64).collect()),
            Values::Texts(_) => None,
        }
    }
}

fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A group of a file.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Group {
    pub(crate) fields: BTreeMap<String, Field>,
    pub(crate) groups: BTreeMap<String, Group>,
}

impl Group {
    /// The only text under a name.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match &self.fields.get(name)?.values {
            Values::Texts(texts) if texts.len() == 1 => texts.first().map(String::as_str),
            _ => None,
        }
    }

    pub(crate) fn with(mut self, name: &str, field: Field) -> Self {
        self.fields.insert(name.to_owned(), field);
        self
    }
}

/// The tree of a file.
pub(crate) fn read(bytes: Vec<u8>, file: &str) -> Result<Group, NirError> {
    let invalid = |cause: String| NirError::InvalidFile { file: file.to_owned(), cause };
    let opened = File::from_bytes(bytes).map_err(|error| invalid(format!("not an HDF5 file: {error}")))?;
    group(&opened.root(), "", 0, file)
}

fn group(from: &hdf5_pure::Group, path: &str, depth: usize, file: &str) -> Result<Group, NirError> {
    let invalid = |cause: String| NirError::InvalidFile { file: file.to_owned(), cause };
    let failed = |error: hdf5_pure::Error| invalid(format!("{path}/: {error}"));
    if depth > MAX_DEPTH {
        return Err(invalid(format!("{path}/: groups inside of groups more than {MAX_DEPTH} deep")));
    }
    let mut found = Group::default();
    for name in from.datasets().map_err(failed)? {
        let dataset = from.dataset(&name).map_err(failed)?;
        let read = field(&dataset, &format!("{path}/{name}"), file)?;
        found.fields.insert(name, read);
    }
    for name in from.groups().map_err(failed)? {
        let inner = from.group(&name).map_err(failed)?;
        found.groups.insert(name.clone(), group(&inner, &format!("{path}/{name}"), depth + 1, file)?);
    }
    Ok(found)
}

fn field(dataset: &Dataset, path: &str, file: &str) -> Result<Field, NirError> {
    let invalid = |cause: String| NirError::InvalidFile { file: file.to_owned(), cause: format!("{path}: {cause}") };
    let failed = |error: hdf5_pure::Error| invalid(error.to_string());
    let extents = dataset.shape().map_err(failed)?;
    let n_elements = extents.iter().try_fold(1_u64, |n, &extent| n.checked_mul(extent));
    let n_elements = n_elements.ok_or_else(|| invalid(format!("extents {extents:?} are too large")))?;
    skimp_memory::check(skimp_memory::bytes_of::<f64>(n_elements), || format!("array {path} of {file}"))?;
    let shape = extents.iter().map(|&extent| usize::try_from(extent).unwrap_or(usize::MAX)).collect();
    let dtype = dataset.dtype().map_err(failed)?;
    let values = match dtype {
        DType::F32 | DType::F64 => Values::Floats(dataset.read_f64().map_err(failed)?),
        DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::U8 | DType::U16 | DType::U32 | DType::U64 => {
            Values::Integers(dataset.read_i64().map_err(failed)?)
        }
        DType::String | DType::VariableLengthString => Values::Texts(dataset.read_string().map_err(failed)?),
        // h5py writes truth values as an enumeration of bytes.
        DType::Enum(_) => Values::Integers(dataset.read_raw().map_err(failed)?.into_iter().map(i64::from).collect()),
        other => return Err(invalid(format!("element type {other}, expected numbers or text"))),
    };
    Ok(Field { shape, values })
}

/// The bytes of a file.
pub(crate) fn write(root: &Group, file: &str) -> Result<Vec<u8>, NirError> {
    let mut builder = FileBuilder::new();
    for (name, field) in &root.fields {
        put(builder.create_dataset(name), field);
    }
    for (name, inner) in &root.groups {
        let mut made = builder.create_group(name);
        fill(&mut made, inner);
        builder.add_group(made.finish());
    }
    builder.finish().map_err(|error| NirError::InvalidFile { file: file.to_owned(), cause: error.to_string() })
}

fn fill(builder: &mut GroupBuilder, group: &Group) {
    for (name, field) in &group.fields {
        put(builder.create_dataset(name), field);
    }
    for (name, inner) in &group.groups {
        let mut made = builder.create_group(name);
        fill(&mut made, inner);
        builder.add_group(made.finish());
    }
}

fn put(dataset: &mut hdf5_pure::DatasetBuilder, field: &Field) {
    let shape: Vec<u64> = field.shape.iter().map(|&extent| extent as u64).collect();
    match &field.values {
        Values::Floats(values) => {
            let rounded: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            dataset.with_f32_data(&rounded).with_shape(&shape);
        }
        Values::Integers(values) => {
            dataset.with_i64_data(values).with_shape(&shape);
        }
        Values::Texts(texts) => {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            dataset.with_vlen_strings(&texts).with_shape(&shape);
        }
    }
}
