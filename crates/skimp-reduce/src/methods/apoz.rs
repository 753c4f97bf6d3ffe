//! Channels that are mostly zero go.

use serde::{Deserialize, Serialize};
use skimp_cpu::CpuExecutor;
use skimp_graph::{Executor, Graph, Op, Tensor, ValueId};

use crate::scores::Means;
use crate::settings;
use crate::{Learning, Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request, filters};

/// Removes the channels with the highest average percentage of zeros behind a rectifier; the mean where several follow.
///
/// `APoZ = zeros / (images · positions)`, measured behind every `Relu` through which the channel passes. A group without
/// one stays, and is listed: other activations have no zeros to count. The paper removes what lies a standard deviation
/// above a layer's mean, a few layers at a time, and retrains; here the target says how many go.
///
/// # Source
/// Hu, Peng, Tai and Tang, "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep
/// Architectures", arXiv:1607.03250, 2016, section 3.1.
#[derive(Debug)]
pub(super) struct Apoz;

/// Settings of [`Apoz`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// Images to measure on.
    images: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { images: 256 }
    }
}

impl Method for Apoz {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: "apoz",
            summary: "channels that are zero most often behind a rectifier go",
            source: "Hu et al., \"Network Trimming\", arXiv:1607.03250, 2016; the target says how many go, not a deviation",
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
            let zeros = zeros(graph, learning, settings.images)?;
            let mut means = Means::new(channels);
            for (id, (counts, n)) in zeros {
                let Some((1, units)) = channels.along(id) else { continue };
                for (count, unit) in counts.iter().zip(units) {
                    unit.into_iter().for_each(|unit| means.add(unit, *count as f64 / n as f64));
                }
            }
            let (zeros, refused) = means.finish(channels, "no Relu follows whose zeros could be counted");
            let rest = |shares: Vec<f64>| shares.into_iter().map(|share| 1.0 - share).collect();
            Ok((zeros.into_iter().map(|shares| shares.map(rest)).collect(), refused))
        })
    }
}

/// Zeros of each channel, and how many elements each has.
type Zeros = (Vec<u64>, u64);

/// For every `Relu`: its zeros in each channel (axis 1), and how many elements each has.
fn zeros(graph: &Graph, learning: &Learning<'_>, n_images: usize) -> Result<Vec<(ValueId, Zeros)>, ReduceError> {
    let relus = graph.nodes().iter().filter(|node| matches!(node.op, Op::Relu)).map(|node| node.outputs[0]);
    let mut found: Vec<(ValueId, Zeros)> = relus.map(|id| (id, (Vec::new(), 0))).collect();
    let executor = CpuExecutor::new(graph)?;
    learning.each_batch(n_images, |images, _| {
        executor.run_observed(&[images], &mut |id, tensor| {
            if let Some((_, (counts, n))) = found.iter_mut().find(|(relu, _)| *relu == id) {
                *n += count(tensor, counts);
            }
        })?;
        Ok(())
    })?;
    Ok(found)
}

/// Adds the zeros of each channel; how many elements each channel has.
fn count(tensor: &Tensor, counts: &mut Vec<u64>) -> u64 {
    let (Some(values), &[n, c, ..]) = (tensor.as_f32(), tensor.shape()) else { return 0 };
    counts.resize(c, 0);
    let inner = values.len() / (n * c).max(1);
    for (at, plane) in values.chunks_exact(inner.max(1)).enumerate() {
        counts[at % c] += plane.iter().filter(|&&x| x == 0.0).count() as u64;
    }
    (n * inner) as u64
}

#[cfg(test)]
mod tests {
    use skimp_graph::Tensor;

    use super::count;

    #[test]
    fn zeros_are_counted_by_channel() {
        // Of two images: all zero, half zero, dense.
        let image = [0.0, 0.0, 0.0, 2.0, 1.0, 3.0];
        let tensor = Tensor::from_f32(vec![2, 3, 1, 2], [image, image].concat());
        let mut counts = Vec::new();
        let n = count(&tensor, &mut counts);
        assert_eq!((counts, n), (vec![4, 2, 0], 4));
    }
}
