//! A network on one tensor.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use skimp_cpu::affine::AffineExecutor;
use skimp_data::{DataError, npy};
use skimp_graph::affine::{is_quantized, lower};
use skimp_graph::{DType, Data, Tensor};
use skimp_report::write_atomic;

use crate::evaluate::{Engine, float_executor};
use crate::{Network, StudyError};

/// Most bytes of a `.names.json` that is read to see whose it is.
const MAX_NAMES_BYTES: u64 = 64 << 20;

/// Runs `network` on the tensor in `input` and writes its first output to `output`, say `Y.npy`. Further ones go to
/// `Y.1.npy`, `Y.2.npy` and so on, and `Y.names.json`, a JSON object of file and output names, says which is which: output
/// names may hold anything and differ in anything.
///
/// # Errors
/// [`StudyError::Usage`] for the integer engine on a float network, which needs calibration; [`StudyError::Io`] naming a
/// file that must not be replaced, before the run; [`StudyError`] naming the file or node.
pub fn run_network(network: &Network, engine: Engine, input: &Path, output: &Path) -> Result<(), StudyError> {
    let is_integer = engine == Engine::Integer;
    if is_integer && !is_quantized(&network.graph) {
        return Err(StudyError::Usage("the integer engine needs calibration images; use skimp eval".to_owned()));
    }
    skimp_files::note_input(input);
    let paths = Paths::check(output, network.graph.outputs().len())?;
    let array = npy::read(input)?;
    let dtype = network.graph.inputs().first().map_or(DType::F32, |input| input.dtype);
    let tensor = typed(array, dtype).map_err(|cause| StudyError::Usage(format!("{}: {cause}", input.display())))?;
    let outputs = if is_integer {
        AffineExecutor::new(&lower(&network.graph)?).run(&[tensor])?
    } else {
        float_executor(network, engine)?.run(&[tensor])?
    };
    let names: Vec<&str> = network.graph.outputs().iter().map(|&id| network.graph.value(id).name.as_str()).collect();
    for (tensor, path) in outputs.iter().zip(&paths.outputs) {
        write(path, tensor)?;
    }
    if let Some(path) = &paths.names {
        let map: Map<String, Value> =
            paths.outputs.iter().zip(names).map(|(path, name)| (file_name(path), name.into())).collect();
        let text = format!("{:#}\n", Value::Object(map));
        write_atomic(path, text.as_bytes())?;
    }
    Ok(())
}

/// An array as the input of a network of this element type: rounded to f32 as a picture or a table of numbers is, but any
/// other type takes its own values only.
fn typed(array: npy::Array, dtype: DType) -> Result<Tensor, String> {
    let found = array.data.dtype();
    let data: Option<Data> = match (dtype, array.data) {
        (DType::F32, data) => Some(data.into_f32().into()),
        (DType::F64, npy::Data::F64(values)) => Some(values.into()),
        (DType::F64, data) => Some(data.into_f32().into_iter().map(f64::from).collect::<Vec<f64>>().into()),
        (DType::I64, data) => integers::<i64>(&data).map(Data::from),
        (DType::I32, data) => integers::<i32>(&data).map(Data::from),
        (DType::I16, data) => integers::<i16>(&data).map(Data::from),
        (DType::I8, data) => integers::<i8>(&data).map(Data::from),
        (DType::U16, data) => integers::<u16>(&data).map(Data::from),
        (DType::U8, data) => integers::<u8>(&data).map(Data::from),
        (DType::Bool, data) => truths(&data).map(Data::from),
    };
    data.and_then(|data| Tensor::new(array.shape, data))
        .ok_or_else(|| format!("an array of {found} for an input of {dtype}, or values beyond that type"))
}

fn integers<T: TryFrom<i128>>(data: &npy::Data) -> Option<Vec<T>> {
    data.to_integers()?.into_iter().map(|value| T::try_from(value).ok()).collect()
}

fn truths(data: &npy::Data) -> Option<Vec<bool>> {
    let truth = |value| match value {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    };
    data.to_integers()?.into_iter().map(truth).collect()
}

/// Writes a tensor in its own element type.
fn write(path: &Path, tensor: &Tensor) -> Result<(), DataError> {
    let shape = tensor.shape();
    match tensor.data() {
        Data::F32(values) => npy::write(path, shape, values),
        Data::F64(values) => npy::write(path, shape, values),
        Data::I64(values) => npy::write(path, shape, values),
        Data::I32(values) => npy::write(path, shape, values),
        Data::I16(values) => npy::write(path, shape, values),
        Data::I8(values) => npy::write(path, shape, values),
        Data::U16(values) => npy::write(path, shape, values),
        Data::U8(values) => npy::write(path, shape, values),
        Data::Bool(values) => npy::write(path, shape, values),
    }
}

/// Where the outputs of a run go.
struct Paths {
    outputs: Vec<PathBuf>,
    /// Where there are several.
    names: Option<PathBuf>,
}

impl Paths {
    /// The paths for `n` outputs. Those that the user did not name are new, or of an earlier run with this output.
    fn check(output: &Path, n: usize) -> Result<Self, StudyError> {
        let stem = match output.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("npy") => output.file_stem().unwrap_or_default(),
            _ => output.file_name().unwrap_or_default(),
        };
        let beside = |suffix: &str| {
            let mut name = stem.to_owned();
            name.push(format!(".{suffix}"));
            output.with_file_name(name)
        };
        let names = (n > 1).then(|| beside("names.json"));
        let mut outputs = vec![output.to_owned()];
        outputs.extend((1..n).map(|idx| beside(&format!("{idx}.npy"))));
        if let Some(names) = &names {
            let known = written(names);
            let first = file_name(output);
            for path in outputs[1..].iter().chain([names]) {
                let is_own = |path: &Path| {
                    known.contains(&first) && (path == names.as_path() || known.contains(&file_name(path)))
                };
                let failed = |source| StudyError::Io { path: path.clone(), source };
                skimp_files::check_own(path, is_own).map_err(failed)?;
                skimp_files::claim(path, &format!("output file {}", file_name(path))).map_err(failed)?;
            }
        }
        Ok(Self { outputs, names })
    }
}

/// The files that a `.names.json` of an earlier run lists; none if it is something else.
fn written(names: &Path) -> Vec<String> {
    let text = if names.is_file() { std::fs::File::open(names).ok() } else { None };
    let map = text.and_then(|file| serde_json::from_reader::<_, Map<String, Value>>(file.take(MAX_NAMES_BYTES)).ok());
    map.map_or_else(Vec::new, |map| {
        if map.values().all(Value::is_string) { map.into_iter().map(|(file, _)| file).collect() } else { Vec::new() }
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
