//! What the models saw of one image, as `.npy` and JSON files that anyone can check.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use skimp_data::npy;
use skimp_report::write_atomic;
use skimp_sim::LayerTrace;

use crate::error::StudyError;
use crate::simulate::layers::SimulatedLayer;
use crate::simulate::trace::ImageTrace;

/// The file that says which layer a number is.
const INDEX: &str = "index.json";

/// The schema of [`INDEX`].
const INDEX_SCHEMA: &str = "skimp.dump-index/1";

/// Longer files are no index.
const MAX_INDEX_BYTES: u64 = 64 << 20;

/// What is written of any layer, in files `NUMBER.SUFFIX`; what designs work out of it comes beside as `NUMBER.KEY.npy`.
const SUFFIXES: [&str; 5] = ["weight.npy", "bias.npy", "activation.npy", "output.npy", "residual.npy"];

/// A folder that takes the layers of one run. Names of layers may hold anything and differ in anything, so files are
/// numbered by layer, and `index.json` names the layers.
#[derive(Debug)]
pub(crate) struct Dump<'a> {
    folder: &'a Path,
}

impl<'a> Dump<'a> {
    /// Makes the folder and its index of `layers`, and removes what an earlier dump left there.
    ///
    /// # Errors
    /// [`StudyError::Io`] naming the folder, or the file in it that skimp did not write.
    pub(crate) fn open(folder: &'a Path, layers: &[SimulatedLayer]) -> Result<Self, StudyError> {
        let failed = |path: &Path, source| StudyError::Io { path: path.to_owned(), source };
        skimp_files::make_folder(folder).map_err(|source| failed(folder, source))?;
        let index = folder.join(INDEX);
        match read_index(&index) {
            Some(present) => {
                skimp_files::check(&index).map_err(|source| failed(&index, source))?;
                let numbers = present["layers"].as_object().into_iter().flat_map(serde_json::Map::keys);
                let stems: Vec<&str> =
                    numbers.map(String::as_str).filter(|stem| stem.bytes().all(|byte| byte.is_ascii_digit())).collect();
                for entry in std::fs::read_dir(folder).map_err(|source| failed(folder, source))?.flatten() {
                    // Best effort: what cannot be removed cannot be replaced either, and that is an error.
                    if entry.file_name().to_str().is_some_and(|name| is_of_layer(name, &stems)) {
                        let _ = std::fs::remove_file(entry.path());
                    }
                }
            }
            None => {
                let files = (0..layers.len())
                    .flat_map(|idx| SUFFIXES.iter().chain(&["json"]).map(move |suffix| file_name(idx, suffix)));
                for path in files.map(|name| folder.join(name)).chain([index.clone()]) {
                    skimp_files::check_own(&path, |_| false).map_err(|source| failed(&path, source))?;
                }
            }
        }
        let names: serde_json::Map<String, Value> = layers
            .iter()
            .enumerate()
            .map(|(idx, layer)| (number(idx), layer.operands.workload.name.clone().into()))
            .collect();
        let text = format!("{:#}\n", json!({ "schema": INDEX_SCHEMA, "layers": names }));
        write_atomic(&index, text.as_bytes())?;
        Ok(Self { folder })
    }

    /// Writes one layer; see docs/simulate.md.
    pub(crate) fn layer(
        &self,
        idx: usize,
        layer: &SimulatedLayer,
        image: &ImageTrace,
        trace: &LayerTrace,
    ) -> Result<(), StudyError> {
        write_layer(&|suffix| self.folder.join(file_name(idx, suffix)), layer, image, trace)
    }
}

/// Refuses a folder whose index is not skimp's: before the run, which may be long.
///
/// # Errors
/// [`StudyError::Io`] naming the file.
pub(crate) fn check(folder: &Path) -> Result<(), StudyError> {
    let index = folder.join(INDEX);
    let checked = skimp_files::check_own(&index, |index| read_index(index).is_some());
    checked.map_err(|source| StudyError::Io { path: index, source })
}

/// The index of an earlier dump.
fn read_index(path: &Path) -> Option<Value> {
    if !skimp_files::is_record(path) {
        return None;
    }
    let file = File::open(path).ok()?;
    let index: Value = serde_json::from_reader(BufReader::new(file.take(MAX_INDEX_BYTES))).ok()?;
    (index["schema"] == INDEX_SCHEMA).then_some(index)
}

fn number(idx: usize) -> String {
    format!("{idx:03}")
}

/// Whether a file holds something of the layers of these numbers: `NUMBER.json` or `NUMBER.WORD.npy`.
fn is_of_layer(name: &str, stems: &[&str]) -> bool {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    match name.split('.').collect::<Vec<_>>()[..] {
        [stem, "json"] => stems.contains(&stem),
        [stem, key, "npy"] => stems.contains(&stem) && word(key),
        _ => false,
    }
}

fn file_name(idx: usize, suffix: &str) -> String {
    format!("{}.{suffix}", number(idx))
}

/// Writes one layer: `weight.npy` (KCRS), `bias.npy` (K), `activation.npy` (NCHW), `output.npy` (NKPQ, exact sums before
/// the activation function), `residual.npy` where another tensor is added, `KEY.npy` (NKPQ) for what a design worked out of
/// each output, and `json`.
fn write_layer(
    path: &dyn Fn(&str) -> PathBuf,
    layer: &SimulatedLayer,
    image: &ImageTrace,
    trace: &LayerTrace,
) -> Result<(), StudyError> {
    let workload = &layer.operands.workload;
    let shape = &workload.shape;
    let output = [1, shape.k(), shape.p(), shape.q()];
    let weight = [shape.k(), shape.channels_per_group(), shape.r(), shape.s()];
    let activation = [1, shape.c(), shape.h(), shape.w()];
    npy::write(path("weight.npy"), &weight, &layer.operands.weights)?;
    npy::write(path("bias.npy"), &[shape.k()], &layer.operands.bias)?;
    npy::write(path("activation.npy"), &activation, &image.activation)?;
    npy::write(path("output.npy"), &output, &image.sums)?;
    if let Some(residual) = &image.residual {
        npy::write(path("residual.npy"), &output, residual)?;
    }
    for (key, derived) in trace.all_derived() {
        if let Some(values) = derived.outputs() {
            npy::write(path(&format!("{key}.npy")), &output, values)?;
        }
    }
    let unseen = workload.negatives.are_unseen();
    let reason = (!unseen).then(|| workload.negatives.to_string());
    let pads = [shape.pads_begin(), shape.pads_end()].concat();
    let description = json!({
        "schema": "skimp.dump/2",
        "name": workload.name,
        "operator": layer.operator(),
        "strides": shape.strides(),
        "pads": pads,
        "dilations": shape.dilations(),
        "groups": shape.groups(),
        "weight_bits": workload.weight_bits,
        "activation_bits": workload.activation_bits,
        "activation_signed": layer.operands.codes_signed,
        "zero_point": layer.operands.zero_point,
        "input_offset": layer.operands.input_offset,
        "activation_scale": layer.scales.activation,
        "weight_scales": layer.scales.weights,
        "residual": layer.scales.residual,
        "relu": workload.nonlinearity.is_relu(),
        "negative_sums_unseen": { "holds": unseen, "reason": reason },
    });
    let text = format!("{description:#}\n");
    Ok(write_atomic(&path("json"), text.as_bytes())?)
}
