//! Channels whose removal changes the loss least go, to first order.

use serde::{Deserialize, Serialize};
use skimp_graph::Graph;
use skimp_train::{Mode, Targets, TrainError, policy};

use crate::channels::Weight;
use crate::settings;
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request, filters, scores};

/// Removes the channels with the smallest `(Σ g·w)²`, `g` the loss's gradient and the sum over the weights of a filter:
/// the squared first-order change of the loss if the filter were zero. Batches are averaged after squaring. Joined layers
/// are scored by their mean.
///
/// Gradients are those of a training pass: batch normalization uses the statistics of the batch.
///
/// # Source
/// Molchanov, Mallya, Tyree, Frosio and Kautz, "Importance Estimation for Neural Network Pruning", CVPR 2019, equation 8
/// with the sum over a filter inside of the square.
#[derive(Debug)]
pub(super) struct Taylor;

/// Settings of [`Taylor`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Images to measure on, at most.
    images: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { images: 512 }
    }
}

impl Method for Taylor {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: "taylor",
            summary: "channels whose removal changes the loss least, to first order, go",
            source: "Molchanov et al., \"Importance Estimation for Neural Network Pruning\", CVPR 2019, of filters; joined \
                     layers are scored by their mean",
            removes: Removes::Channels,
            needs: Needs::Images,
        }
    }

    fn settings(&self) -> toml::Table {
        toml::Table::try_from(Settings::default()).unwrap_or_default()
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(self.facts().name, &self.settings(), request.settings)?;
        let learning = request.learning_of(self)?;
        filters::reduce(self, graph, request, |channels| {
            let mut model = learning.model(graph, &[])?;
            let mut policy = policy::create(&learning.recipe.precision)?;
            let mut totals: Option<filters::Scores> = None;
            let n_steps = settings.images.div_ceil(learning.training.batch_len(0).max(1)) as u64;
            for step in 0..n_steps.clamp(1, learning.training.steps_per_epoch()) {
                let batch = learning.training.batch(step)?;
                let mode = Mode::Train { step, seed: request.seed };
                model.forward_images(&batch.images, &batch.indices, mode, &mut *policy)?;
                let targets = Targets { labels: &batch.labels, tensors: &[] };
                model.backward(&learning.recipe.losses, &targets, &mut *policy)?;
                // The scale of the loss multiplies all gradients alike.
                let gradient = |weight: &Weight<'_>| {
                    let name = &graph.value(weight.id).name;
                    let param = model.params().iter().find(|param| param.name() == name);
                    let mut sums = vec![0.0; weight.n_channels()];
                    if let Some(param) = param {
                        let gradients = param.graph_grad();
                        let mut at = 0;
                        weight.for_each(|channel, value| {
                            sums[channel] += f64::from(value) * f64::from(gradients[at]);
                            at += 1;
                        });
                    }
                    sums.into_iter().map(|sum| sum * sum).collect()
                };
                let found = scores::of_makers(channels, gradient);
                totals = Some(match totals {
                    None => found,
                    Some(totals) => totals.into_iter().zip(found).map(|(a, b)| Some(added(a?, &b?))).collect(),
                });
            }
            let missing = || TrainError::Sequence("no batch was seen");
            Ok((totals.ok_or_else(missing)?, Vec::new()))
        })
    }
}

fn added(mut totals: Vec<f64>, found: &[f64]) -> Vec<f64> {
    totals.iter_mut().zip(found).for_each(|(total, found)| *total += found);
    totals
}
