//! From a float network and images to an integer network.

use skimp_cpu::CpuExecutor;
use skimp_graph::GraphError;
use skimp_quant::{Calibration, Calibrator, Detail, Quantized};

use crate::error::StudyError;
use crate::inputs::answers::Tally;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::{Monitor, step};
use crate::stages::timed::OverTime;

/// Says that a run takes the codes of the file, and where weights need a bit more than they are stored in.
pub(crate) fn note_file_codes(quantized: &Quantized, monitor: &dyn Monitor) {
    let (weight_bits, activation_bits) = quantized.widths();
    monitor.note(&format!(
        "the network is quantized (QDQ form): the run takes the codes in its file, weights of {weight_bits} and \
         activations of {activation_bits} bits; nothing is calibrated, and widths, scales and ranges of the settings do not \
         matter"
    ));
    let wide: Vec<&str> = quantized
        .graph
        .layers()
        .filter(|(_, layer)| layer.weight_bits == 9)
        .map(|(node, _)| node.name.as_str())
        .collect();
    if let [first, ..] = wide[..] {
        let more = if wide.len() == 1 { "" } else { " and others" };
        monitor.note(&format!(
            "layer \"{first}\"{more}: weights take 9 bits, since codes less their zero points reach beyond -127 to 127 ({} of \
             {} layers)",
            wide.len(),
            quantized.layers.len()
        ));
    }
}

/// The ranges of all values on the first images, and how many of these the network gets right: none are counted where
/// its answers and the labels have nothing in common. Where the network fixes the number of images, whole batches of
/// them are taken, at least one. The ranges of a network with time are those of all its steps.
pub(crate) fn calibrate(
    network: &Network,
    time: Option<&OverTime>,
    (images, n_images): (&Images, usize),
    detail: Detail,
    monitor: &dyn Monitor,
) -> Result<(Calibration, Tally), StudyError> {
    let graph = time.map_or(&network.graph, |time| &time.step);
    let executor = CpuExecutor::new(graph)?;
    let mut calibrator = Calibrator::with_detail(graph, detail);
    monitor.stage("calibrating", n_images as u64);
    let mut answers = Some(Tally::default());
    for range in images.batches_of(0..images.in_whole_batches(n_images), 1) {
        let n = range.len() as u64;
        let batch = images.batch(range)?;
        let inputs = std::slice::from_ref(&batch.inputs);
        let outputs = match time {
            None => calibrator.observe(&executor, inputs)?,
            Some(time) => {
                let mut failed = None;
                let outputs = time.run(inputs, &mut |_, operands| {
                    calibrator.observe(&executor, operands).map_err(|error| {
                        let cause = error.to_string();
                        failed = Some(error);
                        GraphError::InvalidGraph { graph: network.name.clone(), cause }
                    })
                });
                failed.map_or(Ok(()), Err)?;
                outputs?
            }
        };
        // A network need not classify to be quantized.
        answers = answers.and_then(|mut tally| {
            tally.add(images.answers(), &outputs, batch.n_run(), &batch.labels).ok().map(|()| tally)
        });
        step(monitor, n)?;
    }
    Ok((calibrator.finish()?, answers.unwrap_or_default()))
}
