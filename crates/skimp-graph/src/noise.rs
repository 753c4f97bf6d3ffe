//! Noise on the exact sums of an integer network.

use skimp_numerics::rng::{Key, stream};

use crate::GraphError;
use crate::integer::{IntegerGraph, IntegerOp, MacHook, MacOperands};

/// Which images a run is about: for random numbers that belong to an image, whatever batch it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageIndices {
    /// Images that follow each other in their data set, from this index on.
    From(u64),
    /// The index of each image of the run's batch.
    Each(Vec<u64>),
}

impl ImageIndices {
    /// The index in the data set of the image at this position of the batch.
    ///
    /// # Errors
    /// [`GraphError::InvalidInput`] if the batch has more images than there are indices.
    pub fn at(&self, position: usize) -> Result<u64, GraphError> {
        match self {
            Self::From(first) => Ok(first + position as u64),
            Self::Each(all) => all.get(position).copied().ok_or_else(|| GraphError::InvalidInput {
                input: "images".to_owned(),
                cause: format!("image {position} of a run that knows {} of them", all.len()),
            }),
        }
    }
}

/// Gaussian noise on dot products: every exact sum of a multiply-accumulate layer, bias and residual included, gets an
/// independent number of mean 0 and the layer's deviation, rounded to whole units of the sum.
///
/// # Determinism
/// The numbers of an image belong to the key (seed, layer, step, image): they are the same whatever batch, engine and
/// number of threads it is computed with.
#[derive(Clone, Debug)]
pub struct SumNoise {
    /// Seed of the noise.
    seed: u64,
    /// Time step; 0 of a network without time.
    step: u64,
    images: ImageIndices,
    /// For each node, its stream and deviation in units of its sums.
    layers: Vec<Option<(u64, f64)>>,
}

impl SumNoise {
    /// Noise for a run of `graph` on `images` at time step `step`. `deviation` gives the deviation of the sums of a
    /// multiply-accumulate layer by its name, in units of the sums; `None` for no noise.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`] for a deviation that is negative or no number.
    pub fn new(
        graph: &IntegerGraph,
        (seed, step): (u64, u64),
        images: ImageIndices,
        deviation: impl Fn(&str) -> Option<f64>,
    ) -> Result<Self, GraphError> {
        let mut layers = Vec::with_capacity(graph.nodes.len());
        for node in &graph.nodes {
            let found = if matches!(node.op, IntegerOp::Mac(_)) { deviation(&node.name) } else { None };
            if let Some(found) = found.filter(|found| !(*found >= 0.0 && found.is_finite())) {
                let cause = format!("a noise of deviation {found}, expected a number from 0");
                return Err(GraphError::invalid_node(&node.name, node.op.name(), cause));
            }
            layers.push(found.map(|deviation| (stream(&format!("noise/sums/{}", node.name)), deviation)));
        }
        Ok(Self { seed, step, images, layers })
    }
}

impl MacHook for SumNoise {
    fn applies(&self, node_idx: usize) -> bool {
        self.layers.get(node_idx).is_some_and(Option::is_some)
    }

    fn change_accumulators(&self, operands: &MacOperands<'_>, accumulators: &mut [i64]) -> Result<(), GraphError> {
        let Some((stream, deviation)) = self.layers[operands.node_idx] else { return Ok(()) };
        let per_image = operands.shape.output_count().max(1);
        for (position, sums) in accumulators.chunks_mut(per_image).enumerate() {
            let image = self.images.at(operands.first_image + position)?;
            let mut draws = Key { seed: self.seed, stream, step: self.step, image }.draws();
            sums.iter_mut().for_each(|sum| *sum += (deviation * draws.normal()).round_ties_even() as i64);
        }
        Ok(())
    }
}
