//! What approximate designs do to a network's answers, after their parameters have been fitted to it where they ask for it.

use crate::error::StudyError;
use crate::inputs::config::DataConfig;
use crate::inputs::images::Images;
use crate::monitor::Monitor;
use crate::simulate::effects::Judge;
use crate::simulate::layers::SimulatedLayer;
use crate::simulate::runs::DesignRun;
use crate::simulate::tuning::{TuningImages, tuned};
use crate::stages::quantized::Quantized;

impl<'a> Judge<'a> {
    /// On `accuracy_images` of the images' settings.
    pub(crate) fn of(quantized: &'a Quantized, images: &'a Images, layers: &'a [SimulatedLayer]) -> Self {
        let data = images.config();
        Self {
            executor: &quantized.executor,
            images,
            layers,
            range: 0..data.accuracy_images.min(images.len()),
            judge_by: data.judge_by,
        }
    }
}

/// Searches parameters for the designs that ask for it, on images that do not judge them, and measures the accuracy of
/// those that change values on `accuracy_images` of the images' settings. Exact designs run nothing.
pub(crate) fn judge(
    quantized: &Quantized,
    images: &Images,
    layers: &[SimulatedLayer],
    runs: &mut [DesignRun],
    monitor: &dyn Monitor,
) -> Result<(), StudyError> {
    let judge = Judge::of(quantized, images, layers);
    tune(quantized, &judge, runs, monitor)?;
    let accelerators = runs.iter().map(|run| run.design().accelerator()).collect::<Result<Vec<_>, _>>()?;
    let accuracies = judge.accuracies(&accelerators, monitor)?;
    for (run, accuracy) in runs.iter_mut().zip(accuracies) {
        run.accuracy = accuracy;
    }
    Ok(())
}

/// The images of searches.
pub(crate) fn tuning_images(quantized: &Quantized, images: &Images) -> Result<TuningImages, StudyError> {
    let input = images.input();
    let open = |data: &DataConfig| Images::open(data, &quantized.network.graph, Some([input.height, input.width]));
    TuningImages::open(images, open)
}

fn tune(
    quantized: &Quantized,
    judge: &Judge<'_>,
    runs: &mut [DesignRun],
    monitor: &dyn Monitor,
) -> Result<(), StudyError> {
    if runs.iter().all(|run| run.design().search().is_none()) {
        return Ok(());
    }
    quantized.network.check_one_step("a search for parameters of designs")?;
    let tuning_images = tuning_images(quantized, judge.images)?;
    let judge = tuning_images.judge(judge);
    for run in runs {
        if let Some(search) = run.design().search() {
            let found = tuned(&judge, search, monitor)?;
            run.found(found.accelerator, found.record);
        }
    }
    Ok(())
}
