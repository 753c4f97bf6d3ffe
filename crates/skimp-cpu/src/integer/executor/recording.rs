//! Values of a run that later runs begin from.

use std::sync::Arc;

use rayon::prelude::*;
use skimp_graph::integer::{IntegerOp, IntegerTensor, MacHook};
use skimp_graph::{GraphError, Tensor};

use super::{IntegerExecutor, Kept, LayerScratch, Watch, images, joined};

/// Every value of a network on some images, piece by piece: what a run under a hook need not compute again.
///
/// Values are those of the network without a hook. A run that begins from them computes the nodes from the first
/// multiply-accumulate layer on that its hook changes.
#[derive(Debug)]
pub struct Recording {
    /// The first image of each piece, and its values.
    pieces: Vec<(usize, Vec<Option<Arc<IntegerTensor>>>)>,
}

impl Recording {
    /// Bytes of the recorded values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let size = |value: &Arc<IntegerTensor>| 4 * value.shape().iter().product::<usize>();
        self.pieces.iter().flat_map(|(_, values)| values).flatten().map(size).sum()
    }
}

impl IntegerExecutor {
    /// Runs the network on `inputs` and keeps every value.
    ///
    /// # Errors
    /// As [`run`](skimp_graph::integer::IntegerEngine::run).
    pub fn record(&self, inputs: &[Tensor]) -> Result<Recording, GraphError> {
        self.graph.bind(inputs)?;
        let run = |cut: &[Tensor], scratch: &mut LayerScratch| {
            let mut values = self.input_values(cut);
            self.run_nodes(&mut values, 0, (scratch, 0), Kept::Every, Watch::Nobody)?;
            Ok::<_, GraphError>(values)
        };
        let Some((n, piece)) = self.pieces(inputs) else {
            return Ok(Recording { pieces: vec![(0, run(inputs, &mut LayerScratch::default())?)] });
        };
        let starts: Vec<usize> = (0..n).step_by(piece).collect();
        let pieces = starts.into_par_iter().map_init(LayerScratch::default, |scratch, start| {
            let image = |t: &Tensor| images(t, start, (start + piece).min(n));
            Ok((start, run(&inputs.iter().map(image).collect::<Result<Vec<_>, _>>()?, scratch)?))
        });
        Ok(Recording { pieces: pieces.collect::<Result<_, GraphError>>()? })
    }

    /// The outputs under `hook` on the images of `recording`: bit for bit those of
    /// [`run_with`](skimp_graph::integer::IntegerEngine::run_with).
    ///
    /// # Errors
    /// As [`run_with`](skimp_graph::integer::IntegerEngine::run_with).
    pub fn run_recorded(&self, recording: &Recording, hook: &dyn MacHook) -> Result<Vec<Tensor>, GraphError> {
        let changes = |idx: usize| matches!(self.graph.nodes[idx].op, IntegerOp::Mac(_)) && hook.applies(idx);
        let first = (0..self.graph.nodes.len()).find(|&idx| changes(idx)).unwrap_or(self.graph.nodes.len());
        let pieces = recording.pieces.par_iter().map_init(LayerScratch::default, |scratch, (start, known)| {
            let mut values: Vec<_> = known.clone();
            // What is computed again must not be read before.
            for id in self.graph.nodes[first..].iter().flat_map(|node| &node.outputs) {
                values[id.0] = None;
            }
            self.run_nodes(&mut values, first, (scratch, *start), Kept::InUse, Watch::Hook(hook))?;
            self.outputs(&values)
        });
        joined(pieces.collect())
    }
}
