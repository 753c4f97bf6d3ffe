//! Running statistics of batch normalization, measured again.

use skimp_graph::Graph;
use skimp_train::{Mode, policy};

use crate::{Learning, ReduceError};

/// The network with the running mean and variance of each batch normalization measured again on the first `n_images`
/// training images of the first epoch, as they are augmented; weights stay as they are.
///
/// After channels are removed the statistics of the layers behind are those of other sums. Each batch counts with the
/// recipe's momentum, so that the last ones count most.
///
/// # Errors
/// [`ReduceError::Train`] for a network that cannot be trained, or an image that cannot be read.
pub fn reestimate(graph: &Graph, learning: &Learning<'_>, n_images: usize) -> Result<Graph, ReduceError> {
    let mut model = learning.model(graph, &[])?;
    let mut policy = policy::create(&learning.recipe.precision)?;
    let mut n_seen = 0;
    for step in 0..learning.training.steps_per_epoch() {
        if n_seen >= n_images {
            break;
        }
        let batch = learning.training.batch(step)?;
        let mode = Mode::Train { step, seed: learning.recipe.seed };
        model.forward_images(&batch.images, &batch.indices, mode, &mut *policy)?;
        n_seen += batch.labels.len();
    }
    Ok(model.to_graph()?)
}
