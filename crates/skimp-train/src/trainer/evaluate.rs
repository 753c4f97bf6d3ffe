//! Loss and accuracy on images that are not trained on.

use super::{AHEAD, tensors};
use crate::loader::Loader;
use crate::policy::Policy;
use crate::teacher::TargetSource;
use crate::{LossSum, Mode, Model, Targets, TrainError};

/// Loss and accuracy over a set of images.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Mean loss.
    pub loss: f64,
    /// Images whose greatest logit is their label's.
    pub n_correct: u64,
    /// Images.
    pub n_images: u64,
}

impl Evaluation {
    /// Share of images classified correctly.
    pub fn accuracy(&self) -> f64 {
        self.n_correct as f64 / self.n_images.max(1) as f64
    }
}

/// Runs the first epoch of `loader` through the network in inference mode.
///
/// # Errors
/// An image that cannot be read, or whatever the model reports.
pub fn evaluate(
    model: &mut Model,
    policy: &mut dyn Policy,
    loader: &Loader,
    losses: &LossSum,
) -> Result<Evaluation, TrainError> {
    evaluate_with(model, policy, loader, losses, None)
}

/// As [`evaluate`], with losses that compare with tensors beside the labels.
///
/// # Errors
/// As [`evaluate`], and those of the source.
pub fn evaluate_with(
    model: &mut Model,
    policy: &mut dyn Policy,
    loader: &Loader,
    losses: &LossSum,
    mut source: Option<&mut (dyn TargetSource + 'static)>,
) -> Result<Evaluation, TrainError> {
    let mut sum = Evaluation::default();
    let mut batches = loader.stream(0..loader.steps_per_epoch(), AHEAD);
    while let Some(batch) = batches.next() {
        let batch = batch?;
        let n_images = batch.labels.len();
        model.forward_images(&batch.images, &batch.indices, Mode::Eval, policy)?;
        let tensors = tensors(source.as_deref_mut(), &batch)?;
        let report = model.evaluate(losses, &Targets { labels: &batch.labels, tensors: &tensors })?;
        sum.loss += report.total * n_images as f64;
        sum.n_correct += report.n_correct as u64;
        sum.n_images += n_images as u64;
        batches.recycle(batch);
    }
    sum.loss /= sum.n_images.max(1) as f64;
    Ok(sum)
}
