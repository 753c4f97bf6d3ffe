//! What the models saw of one image, as `.npy` and JSON files that anyone can check.

use std::path::Path;

use serde_json::json;
use skimp_data::npy;
use skimp_report::write_atomic;

use crate::StudyError;
use crate::layers::SimulatedLayer;
use crate::trace::ImageTrace;

/// Writes one layer: `LAYER.weight.npy` (KCRS), `LAYER.bias.npy` (K), `LAYER.activation.npy` (NCHW),
/// `LAYER.output.npy` (NKPQ, exact sums before the activation function), `LAYER.residual.npy` where another tensor is
/// added, `LAYER.end_planes.npy` where early negative detection is valid and a model asked for it, and `LAYER.json`.
pub(crate) fn layer(folder: &Path, layer: &SimulatedLayer, image: &ImageTrace) -> Result<(), StudyError> {
    std::fs::create_dir_all(folder).map_err(|source| StudyError::Io { path: folder.to_owned(), source })?;
    let workload = &layer.operands.workload;
    let stem = file_stem(&workload.name);
    let path = |suffix: &str| folder.join(format!("{stem}.{suffix}"));
    let output = [1, workload.k, workload.p, workload.q];
    let weight = [workload.k, workload.channels_per_group(), workload.r, workload.s];
    let activation = [1, workload.c, workload.h, workload.w];
    npy::write(path("weight.npy"), &weight, &layer.operands.weights)?;
    npy::write(path("bias.npy"), &[workload.k], &layer.operands.bias)?;
    npy::write(path("activation.npy"), &activation, &image.activation)?;
    npy::write(path("output.npy"), &output, &image.sums)?;
    if let Some(residual) = &image.residual {
        npy::write(path("residual.npy"), &output, residual)?;
    }
    if let Some(planes) = image.negative.get() {
        npy::write(path("end_planes.npy"), &output, planes)?;
    }
    if let Some(planes) = image.non_positive.get() {
        npy::write(path("end_planes_non_positive.npy"), &output, planes)?;
    }
    let valid = workload.end.is_valid();
    let reason = (!valid).then(|| workload.end.to_string());
    let pads = [workload.pads_begin, workload.pads_end].concat();
    let description = json!({
        "schema": "skimp.dump/1",
        "name": workload.name,
        "operator": layer.operator(),
        "strides": workload.strides,
        "pads": pads,
        "dilations": workload.dilations,
        "groups": workload.groups,
        "weight_bits": workload.weight_bits,
        "activation_bits": workload.activation_bits,
        "activation_signed": layer.operands.codes_signed,
        "input_offset": layer.operands.input_offset,
        "activation_scale": layer.scales.activation,
        "weight_scales": layer.scales.weights,
        "residual": layer.scales.residual,
        "relu": workload.nonlinearity != skimp_sim::Nonlinearity::None,
        "end": { "valid": valid, "reason": reason },
    });
    let text = format!("{description:#}\n");
    Ok(write_atomic(&path("json"), text.as_bytes())?)
}

/// A layer's name as a file name: everything but letters, digits, `_`, `-` and `.` becomes `_`.
fn file_stem(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' }).collect()
}
