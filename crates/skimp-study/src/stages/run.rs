//! A network on tensors.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use skimp_cpu::Order;
use skimp_cpu::integer::IntegerExecutor;
use skimp_data::{DataError, npy};
use skimp_graph::integer::{IntegerEngine, is_quantized, lower};
use skimp_graph::{DType, Data, Dim, Executor, GraphError, Tensor};
use skimp_report::write_atomic;

use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::stages::evaluate::{Engine, float_executor};

/// Most bytes of a `.names.json` that is read to see whose it is.
const MAX_NAMES_BYTES: u64 = 64 << 20;

/// What to run a network on, and what of it to write.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// Which engine computes.
    pub engine: Engine,
    /// In which order [`Engine::Cpu`] adds up.
    pub order: Order,
    /// One file for each input of the network, in the network's order; see [`input_files`].
    pub inputs: Vec<PathBuf>,
    /// Names of the outputs to write, in this order; all of them where there are none.
    pub outputs: Vec<String>,
}

/// Opens a network to run it on the files that `texts` name (see [`input_files`]). A file that skimp does not read because what
/// it leaves open decides between branches is read for the extents of these files.
///
/// # Errors
/// As [`Network::open`].
pub fn open_for_run(model: &str, texts: &[String]) -> Result<Network, StudyError> {
    let error = match Network::open(model) {
        Err(StudyError::Graph(error @ GraphError::UnsupportedNode { .. })) => error,
        other => return other,
    };
    let mut extents = Vec::with_capacity(texts.len());
    for text in texts {
        // A name may hold "=", as may the file's.
        let ends = text.match_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
        let named = ends.chain([("", text.as_str())]).find(|(_, file)| Path::new(file).is_file());
        if let Some((name, file)) = named {
            extents.push((name.to_owned(), npy::read(Path::new(file))?.shape));
        }
    }
    Network::open_for(Path::new(model), &extents).map_err(|_| error.into())
}

/// The file of each input of `network`, in the network's order, from texts such as `x.npy` (of the only input) or
/// `NAME=x.npy`.
///
/// # Errors
/// [`StudyError::NoInputFile`], [`StudyError::SameName`] or [`StudyError::Setting`] naming an input without a file, with two
/// of them, or that the network does not have.
pub fn input_files(network: &Network, texts: &[String]) -> Result<Vec<PathBuf>, StudyError> {
    let graph = &network.graph;
    let names: Vec<&str> = graph.inputs().iter().map(|input| graph.value(input.value).name.as_str()).collect();
    let all = || {
        let of = graph.inputs().iter().zip(&names).map(|(input, name)| {
            let extent = |dim: &Dim| match dim {
                Dim::Fixed(extent) => extent.to_string(),
                Dim::Free(name) if name.is_empty() => "?".to_owned(),
                Dim::Free(name) => name.clone(),
            };
            let extents: Vec<String> = input.dims.iter().map(extent).collect();
            format!("\"{name}\" ({} [{}])", input.dtype, extents.join(", "))
        });
        of.collect::<Vec<_>>().join(", ")
    };
    let mut files: Vec<Option<PathBuf>> = vec![None; names.len()];
    for text in texts {
        // A name may hold "=", and one name may begin with another: the longest that fits is meant.
        let fits = |name: &&str| text.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        let named = (0..names.len()).filter(|&idx| fits(&names[idx])).max_by_key(|&idx| names[idx].len());
        let (idx, file) = match named {
            Some(idx) => (idx, &text[names[idx].len() + 1..]),
            None if names.len() == 1 && (!text.contains('=') || Path::new(text).exists()) => (0, text.as_str()),
            None => {
                let expected = format!("NAME=X.npy, where the inputs are {}", all());
                return Err(StudyError::Setting { setting: "--input", found: text.clone(), expected });
            }
        };
        if files[idx].replace(PathBuf::from(file)).is_some() {
            let (name, hint) = (names[idx].to_owned(), Some("give each input one --input".to_owned()));
            return Err(StudyError::SameName { what: "--input files", name, hint });
        }
    }
    let missing: Vec<String> =
        names.iter().zip(&files).filter(|(_, file)| file.is_none()).map(|(name, _)| (*name).to_owned()).collect();
    if missing.is_empty() {
        return Ok(files.into_iter().flatten().collect());
    }
    Err(StudyError::NoInputFile { missing, inputs: all() })
}

/// The outputs that `wanted` names, by position: all of them where it names none.
fn chosen_outputs(network: &Network, wanted: &[String]) -> Result<Vec<usize>, StudyError> {
    let graph = &network.graph;
    let names: Vec<&str> = graph.outputs().iter().map(|&id| graph.value(id).name.as_str()).collect();
    if wanted.is_empty() {
        return Ok((0..names.len()).collect());
    }
    let mut chosen = Vec::with_capacity(wanted.len());
    for name in wanted {
        let Some(idx) = names.iter().position(|known| known == name) else {
            let known = names.iter().map(|&known| known.to_owned()).collect();
            return Err(StudyError::UnknownOutput { name: name.clone(), known });
        };
        if chosen.contains(&idx) {
            let hint = Some("name each output once in --outputs".to_owned());
            return Err(StudyError::SameName { what: "--outputs", name: name.clone(), hint });
        }
        chosen.push(idx);
    }
    Ok(chosen)
}

/// How many outputs [`run_network`] writes for `outputs`.
///
/// # Errors
/// [`StudyError::UnknownOutput`] naming an output that the network does not have.
pub fn n_chosen_outputs(network: &Network, outputs: &[String]) -> Result<usize, StudyError> {
    chosen_outputs(network, outputs).map(|chosen| chosen.len())
}

impl Network {
    /// Runs the network on `inputs` and returns its outputs, both in order; [`Engine::Cpu`] adds up in [free order](Order::Free).
    /// [`Engine::Integer`] is for networks in QDQ form; others have to be [calibrated](Network::calibrate) first.
    ///
    /// # Errors
    /// [`StudyError::NotQuantized`] for the integer engine on a float network; [`StudyError::Graph`] naming the input that does
    /// not fit, or the node, or why no layer multiplies bits.
    pub fn run(&self, engine: Engine, inputs: &[Tensor]) -> Result<Vec<Tensor>, StudyError> {
        self.compile(engine, Order::Free)?.run(inputs)
    }

    /// Prepares the network for many [runs](Compiled::run): shapes, packed weights and plans are kept. `order` is
    /// that of [`Engine::Cpu`]. [`Engine::Integer`] is for networks in QDQ form.
    ///
    /// # Errors
    /// [`StudyError::NotQuantized`] for the integer engine on a float network; [`StudyError::Graph`] naming the node that the
    /// engine cannot run.
    pub fn compile(&self, engine: Engine, order: Order) -> Result<Compiled, StudyError> {
        self.check_engine(engine)?;
        let ready = match engine {
            Engine::Integer => Ready::Integers(Box::new(IntegerExecutor::new(&lower(&self.graph)?)?)),
            Engine::Reference | Engine::Cpu | Engine::Binary => Ready::Floats(float_executor(self, engine, order)?),
        };
        let names = self.output_names().into_iter().map(str::to_owned).collect();
        Ok(Compiled { ready, output_names: names })
    }

    fn check_engine(&self, engine: Engine) -> Result<(), StudyError> {
        if engine == Engine::Integer {
            self.check_one_step("the integer engine")?;
        }
        if engine == Engine::Integer && !is_quantized(&self.graph) {
            return Err(StudyError::NotQuantized { network: self.name.clone() });
        }
        Ok(())
    }
}

/// A network on an engine, ready to run as often as one likes, from any number of threads.
#[derive(Debug)]
pub struct Compiled {
    ready: Ready,
    output_names: Vec<String>,
}

#[derive(Debug)]
enum Ready {
    Floats(Box<dyn Executor>),
    Integers(Box<IntegerExecutor>),
}

impl Compiled {
    /// Names of the outputs, in order.
    #[must_use]
    pub fn output_names(&self) -> &[String] {
        &self.output_names
    }

    /// Runs the network on `inputs` and returns its outputs, both in order.
    ///
    /// # Errors
    /// [`StudyError::Graph`] naming the input that does not fit, or the node.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, StudyError> {
        Ok(match &self.ready {
            Ready::Floats(executor) => executor.run(inputs)?,
            Ready::Integers(executor) => executor.run(inputs)?,
        })
    }
}

/// Runs `network` on the tensors in the files of `config` and writes its first output to `output`, say `Y.npy`. Further
/// ones go to `Y.1.npy`, `Y.2.npy` and so on, and `Y.names.json`, a JSON object of file and output names, says which is
/// which: output names may hold anything and differ in anything.
///
/// # Errors
/// [`StudyError::NotQuantized`] for the integer engine on a float network, which needs calibration; [`StudyError::Io`] naming a
/// file that must not be replaced, before the run; [`StudyError`] naming the file or node.
pub fn run_network(network: &Network, config: &RunConfig, output: &Path) -> Result<(), StudyError> {
    network.check_engine(config.engine)?;
    let chosen = chosen_outputs(network, &config.outputs)?;
    config.inputs.iter().for_each(|file| skimp_files::note_input(file));
    let paths = Paths::check(output, chosen.len())?;
    let mut tensors = Vec::with_capacity(config.inputs.len());
    for (file, input) in config.inputs.iter().zip(network.graph.inputs()) {
        let array = npy::read(file)?;
        let tensor = typed(array, input.dtype);
        let (path, expected) = (file.clone(), input.dtype);
        tensors.push(tensor.map_err(|found| StudyError::InputArray { path, found, expected })?);
    }
    let outputs = network.compile(config.engine, config.order)?.run(&tensors)?;
    for (&idx, path) in chosen.iter().zip(&paths.outputs) {
        write(path, &outputs[idx])?;
    }
    if let Some(path) = &paths.names {
        let name = |idx: usize| network.graph.value(network.graph.outputs()[idx]).name.as_str();
        let map: Map<String, Value> =
            paths.outputs.iter().zip(&chosen).map(|(path, &idx)| (file_name(path), name(idx).into())).collect();
        let text = format!("{:#}\n", Value::Object(map));
        write_atomic(path, text.as_bytes())?;
    }
    Ok(())
}

/// An array as the input of a network of this element type: rounded to f32 as a picture or a table of numbers is, but any
/// other type takes its own values only. The error is the array's own type.
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
    data.and_then(|data| Tensor::new(array.shape, data)).ok_or_else(|| found.to_string())
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
