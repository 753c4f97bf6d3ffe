//! A network on one tensor.

use std::path::{Path, PathBuf};

use skimp_cpu::affine::AffineExecutor;
use skimp_data::npy;
use skimp_graph::Tensor;
use skimp_graph::affine::{is_quantized, lower};

use crate::evaluate::{Engine, float_executor};
use crate::{Network, StudyError};

/// Runs `network` on the tensor in `input` and writes its first output to `output`; output NAME beyond the first goes
/// to `OUTPUT-STEM.NAME.npy` in the same folder.
///
/// # Errors
/// [`StudyError::Usage`] for the integer engine on a float network, which needs calibration; [`StudyError`] naming the file or node.
pub fn run_network(network: &Network, engine: Engine, input: &Path, output: &Path) -> Result<(), StudyError> {
    let is_integer = engine == Engine::Integer;
    if is_integer && !is_quantized(&network.graph) {
        return Err(StudyError::Usage("the integer engine needs calibration images; use skimp eval".to_owned()));
    }
    let array = npy::read(input)?;
    let tensor = Tensor::from_f32(array.shape, array.data.into_f32());
    let outputs = if is_integer {
        AffineExecutor::new(&lower(&network.graph)?).run(&[tensor])?
    } else {
        float_executor(network, engine)?.run(&[tensor])?
    };
    for (idx, (tensor, &id)) in outputs.iter().zip(network.graph.outputs()).enumerate() {
        let name = &network.graph.value(id).name;
        let path = if idx == 0 { output.to_owned() } else { sibling(output, name) };
        let values = tensor.as_f32().ok_or_else(|| {
            StudyError::Usage(format!("output \"{name}\" is {:?}, which skimp run cannot write", tensor.dtype()))
        })?;
        npy::write(&path, tensor.shape(), values)?;
    }
    Ok(())
}

fn sibling(output: &Path, name: &str) -> PathBuf {
    let stem = output.file_stem().unwrap_or_default().to_string_lossy();
    let name: String = name.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect();
    output.with_file_name(format!("{stem}.{name}.npy"))
}
