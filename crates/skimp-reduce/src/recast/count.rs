//! Sizes of activations.

use skimp_graph::rewrite::batch_shapes;
use skimp_graph::{Graph, GraphError, statistics};

/// Elements of activations for one image, by three definitions.
///
/// # Source
/// (a) and (c) are [`statistics`](mod@skimp_graph::statistics)'s; (b) is what a recast network's blocks write, as the
/// rectifiers of Yu, Kang and Choi's (AAAI 2019) blocks end them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activations {
    /// (a) The outputs of all layers that multiply.
    pub products: u64,
    /// (b) The outputs of all rectifiers.
    pub rectified: u64,
    /// (c) The largest number alive at one time, nodes in the order of the network.
    pub peak: u64,
}

impl Activations {
    /// Counts a network.
    ///
    /// # Errors
    /// [`GraphError`] if its shapes cannot be found.
    pub fn of(graph: &Graph) -> Result<Self, GraphError> {
        let found = statistics::compute(graph, &batch_shapes(graph, 1)?);
        let rectifiers = found.layers.iter().filter(|layer| layer.op == "Relu");
        Ok(Self {
            products: found.activation_sum,
            rectified: rectifiers.map(|layer| layer.output_elements).fold(0, u64::saturating_add),
            peak: found.activation_peak,
        })
    }
}
