//! The fast executor of integer networks.

mod conv;
mod finish;
mod layer;
mod pool;
mod recording;
mod separable;
mod vector;

use std::sync::Arc;

use rayon::prelude::*;
use skimp_graph::{
    Dim, GraphError, Tensor, ValueId,
    integer::{
        self, IntegerEngine, IntegerGraph, IntegerNode, IntegerObserver, IntegerOp, IntegerTensor, MacHook, MacLayer,
        MacObservation, MacOperands, Observation, ValueKind,
    },
};

pub use self::recording::Recording;

use self::layer::{LayerResult, LayerScratch, Observed, PreparedLayer};

/// Runs an [`IntegerGraph`] with vector kernels, images in parallel.
///
/// Returns bit for bit what [`IntegerReference`](skimp_graph::integer::IntegerReference) returns: sums of products are
/// floating-point sums of integers that never leave the range where these are exact. Weights are packed once.
/// A batch is cut into pieces of a few images where the network treats images separately.
#[derive(Debug)]
pub struct IntegerExecutor {
    graph: IntegerGraph,
    /// One entry per node.
    layers: Vec<Option<PreparedLayer>>,
    last_use: Vec<Option<usize>>,
}

/// Most images in a piece.
const MOST_IMAGES: usize = 16;

impl IntegerExecutor {
    /// Prepares `graph`.
    ///
    /// # Errors
    /// Those of [`integer::check`].
    pub fn new(graph: &IntegerGraph) -> Result<Self, GraphError> {
        integer::check(graph)?;
        let encoding = |id: &ValueId| match &graph.values[id.0].kind {
            ValueKind::Codes(encoding) => Some(*encoding),
            ValueKind::Real => None,
        };
        let prepare = |node: &IntegerNode| match &node.op {
            IntegerOp::Mac(layer) => {
                let residual = node.inputs.get(1).and_then(encoding);
                Some(PreparedLayer::new(layer, &encoding(&node.inputs[0])?, residual.as_ref()))
            }
            _ => None,
        };
        Ok(Self {
            layers: graph.nodes.par_iter().map(prepare).collect(),
            last_use: graph.last_uses(),
            graph: graph.clone(),
        })
    }

    /// The number of images, if the batch may be cut.
    fn n_separable(&self, inputs: &[Tensor]) -> Option<usize> {
        let n = inputs.first()?.shape().first().copied()?;
        let input_shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let fixed = self.graph.inputs.iter().any(|input| matches!(input.dims.first(), Some(Dim::Fixed(_))));
        if n < 2 || fixed {
            return None;
        }
        // A network that does not run at all tells so when it is run as a whole.
        let batch = self.graph.shapes(&input_shapes).ok()?;
        let one_image = |shape: Vec<usize>| [1].into_iter().chain(shape.into_iter().skip(1)).collect();
        let single = self.graph.shapes(&input_shapes.into_iter().map(one_image).collect::<Vec<_>>()).ok()?;
        separable::is_separable(&self.graph, &batch, &single, n).then_some(n)
    }

    /// The number of images and how many make a piece, if the batch may be cut.
    fn pieces(&self, inputs: &[Tensor]) -> Option<(usize, usize)> {
        let n = self.n_separable(inputs)?;
        Some((n, n.div_ceil(rayon::current_num_threads() * 2).clamp(1, MOST_IMAGES)))
    }

    /// Checks that the values of a run fit into the memory budget: of the whole batch, or of the images that are computed
    /// at once where it is cut.
    fn check_memory(&self, inputs: &[Tensor], at_once: Option<usize>) -> Result<(), GraphError> {
        let shape = |input: &Tensor| match at_once {
            Some(_) => [1].into_iter().chain(input.shape().iter().skip(1).copied()).collect(),
            None => input.shape().to_vec(),
        };
        self.graph.check_memory(&inputs.iter().map(shape).collect::<Vec<Vec<usize>>>(), at_once.unwrap_or(1) as u64)
    }

    fn run_piece(
        &self,
        inputs: &[Tensor],
        scratch: &mut LayerScratch,
        first_image: usize,
        watch: Watch<'_, '_>,
    ) -> Result<Vec<Tensor>, GraphError> {
        let mut values = self.input_values(inputs);
        self.run_nodes(&mut values, 0, (scratch, first_image), Kept::InUse, watch)?;
        self.outputs(&values)
    }

    /// Room for every value, holding the inputs.
    fn input_values(&self, inputs: &[Tensor]) -> Vec<Option<Arc<IntegerTensor>>> {
        let mut values = vec![None; self.graph.values.len()];
        for (input, tensor) in self.graph.inputs.iter().zip(inputs) {
            values[input.value.0] = Some(Arc::new(IntegerTensor::Real(tensor.clone())));
        }
        values
    }

    /// Runs the nodes from `first` on; `values` hold what they read.
    fn run_nodes(
        &self,
        values: &mut [Option<Arc<IntegerTensor>>],
        first: usize,
        (scratch, first_image): (&mut LayerScratch, usize),
        kept: Kept,
        mut watch: Watch<'_, '_>,
    ) -> Result<(), GraphError> {
        for (node_idx, node) in self.graph.nodes.iter().enumerate().skip(first) {
            let operands: Vec<&IntegerTensor> = node
                .inputs
                .iter()
                .map(|id| values[id.0].as_deref().expect("nodes are sorted, uses are counted"))
                .collect();
            let hook = match watch {
                Watch::Hook(hook) if hook.applies(node_idx) => Some(hook),
                _ => None,
            };
            let (outputs, accumulators) = match (&node.op, hook) {
                (IntegerOp::Mac(layer), Some(hook)) => {
                    (vec![self.run_hooked(node_idx, layer, &operands, scratch, hook)?], None)
                }
                _ => self.run_node(node_idx, &operands, scratch, watch.observed())?,
            };
            if let Watch::Observer(observer) = &mut watch {
                let mac = accumulators.as_ref().and_then(|(accumulators, residual)| {
                    let input = operands[0].as_codes()?;
                    Some(MacObservation { input, residual: residual.as_deref(), accumulators })
                });
                observer(&Observation { node_idx, first_image, outputs: &outputs, mac });
            }
            for (id, output) in node.outputs.iter().zip(outputs) {
                values[id.0] = Some(Arc::new(output));
            }
            if kept == Kept::InUse {
                for id in &node.inputs {
                    if self.last_use[id.0] == Some(node_idx) {
                        values[id.0] = None;
                    }
                }
            }
        }
        Ok(())
    }

    fn outputs(&self, values: &[Option<Arc<IntegerTensor>>]) -> Result<Vec<Tensor>, GraphError> {
        let output = |id: &ValueId| match values[id.0].as_deref() {
            Some(IntegerTensor::Real(tensor)) => Ok(tensor.clone()),
            _ => Err(GraphError::InvalidGraph {
                graph: self.graph.name.clone(),
                cause: format!("output \"{}\" is not a real value", self.graph.values[id.0].name),
            }),
        };
        self.graph.outputs.iter().map(output).collect()
    }

    /// A multiply-accumulate layer with `hook` before and after its sums.
    fn run_hooked(
        &self,
        node_idx: usize,
        layer: &MacLayer,
        operands: &[&IntegerTensor],
        scratch: &mut LayerScratch,
        hook: &dyn MacHook,
    ) -> Result<IntegerTensor, GraphError> {
        let node = &self.graph.nodes[node_idx];
        let real = || GraphError::invalid_node(&node.name, "Mac", "an input is real, expected codes");
        let mut input = operands[0].as_codes().ok_or_else(real)?.clone();
        hook.change_input(node_idx, &mut input)?;
        let input = IntegerTensor::Codes(input);
        let mut changed = operands.to_vec();
        changed[0] = &input;
        let (_, inside) = self.run_node(node_idx, &changed, scratch, Observed::Yes)?;
        let (mut accumulators, residual) = inside.ok_or_else(real)?;
        let input = input.as_codes().ok_or_else(real)?;
        let shape = layer.shape_on(&node.name, &input.shape)?;
        let seen = MacOperands { node_idx, layer, shape: &shape, input, residual: residual.as_deref() };
        hook.change_accumulators(&seen, &mut accumulators)?;
        let kind = self.graph.values[node.outputs[0].0].kind;
        layer.output(&node.name, &accumulators, layer.output_shape(&input.shape, &shape), &kind)
    }

    #[allow(clippy::type_complexity, reason = "outputs, and the inside of a layer")]
    fn run_node(
        &self,
        node_idx: usize,
        operands: &[&IntegerTensor],
        scratch: &mut LayerScratch,
        observed: Observed,
    ) -> Result<(Vec<IntegerTensor>, Option<(Vec<i64>, Option<Vec<i64>>)>), GraphError> {
        let node = &self.graph.nodes[node_idx];
        let kind = |id: &ValueId| self.graph.values[id.0].kind;
        if let (IntegerOp::Mac(layer), Some(prepared)) = (&node.op, &self.layers[node_idx]) {
            let real = || GraphError::invalid_node(&node.name, "Mac", "an input is real, expected codes");
            let input = operands[0].as_codes().ok_or_else(real)?;
            let residual = operands.get(1).map(|tensor| tensor.as_codes().ok_or_else(real)).transpose()?;
            let kind = kind(&node.outputs[0]);
            let LayerResult { output, accumulators } =
                prepared.run(&node.name, layer, (input, residual), &kind, scratch, observed)?;
            return Ok((vec![output], accumulators));
        }
        if let (IntegerOp::MaxPool(_), Some(input), ValueKind::Codes(encoding)) =
            (&node.op, operands[0].as_codes(), kind(&node.outputs[0]))
            && let Some(output) = pool::max_pool(node, input, &encoding)?
        {
            return Ok((vec![IntegerTensor::Codes(output)], None));
        }
        if let (IntegerOp::AveragePool { .. }, Some(input), ValueKind::Codes(encoding)) =
            (&node.op, operands[0].as_codes(), kind(&node.inputs[0]))
            && let Some(output) = pool::average_pool(node, input, &encoding, &kind(&node.outputs[0]))?
        {
            return Ok((vec![output], None));
        }
        let input_kinds: Vec<ValueKind> = node.inputs.iter().map(kind).collect();
        let output_kinds: Vec<ValueKind> = node.outputs.iter().map(kind).collect();
        Ok((integer::evaluate(node, operands, &input_kinds, &output_kinds)?, None))
    }
}

impl IntegerEngine for IntegerExecutor {
    fn name(&self) -> &'static str {
        "integer-cpu"
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.run_pieces(inputs, None)
    }

    fn run_with(&self, inputs: &[Tensor], hook: &dyn MacHook) -> Result<Vec<Tensor>, GraphError> {
        self.run_pieces(inputs, Some(hook))
    }

    fn run_observed(&self, inputs: &[Tensor], observer: &mut IntegerObserver<'_>) -> Result<Vec<Tensor>, GraphError> {
        self.graph.bind(inputs)?;
        let mut scratch = LayerScratch::default();
        let n_images = self.n_separable(inputs);
        self.check_memory(inputs, n_images.map(|_| 1))?;
        let Some(n) = n_images else {
            return self.run_piece(inputs, &mut scratch, 0, Watch::Observer(observer));
        };
        let mut pieces = Vec::with_capacity(n);
        for image in 0..n {
            let cut: Vec<Tensor> = inputs.iter().map(|t| images(t, image, image + 1)).collect();
            pieces.push(self.run_piece(&cut, &mut scratch, image, Watch::Observer(observer)));
        }
        joined(pieces)
    }
}

/// Which values outlive their last use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    InUse,
    Every,
}

/// Who looks on while the nodes run.
enum Watch<'w, 'o> {
    Nobody,
    Observer(&'w mut IntegerObserver<'o>),
    Hook(&'w dyn MacHook),
}

impl Watch<'_, '_> {
    fn observed(&self) -> Observed {
        if matches!(self, Watch::Observer(_)) { Observed::Yes } else { Observed::No }
    }
}

impl IntegerExecutor {
    /// Images in parallel, where the network treats them separately.
    fn run_pieces(&self, inputs: &[Tensor], hook: Option<&dyn MacHook>) -> Result<Vec<Tensor>, GraphError> {
        self.graph.bind(inputs)?;
        let watch = || hook.map_or(Watch::Nobody, Watch::Hook);
        let pieces = self.pieces(inputs);
        self.check_memory(inputs, pieces.map(|(n, piece)| n.min(piece * rayon::current_num_threads())))?;
        let Some((n, piece)) = pieces else {
            return self.run_piece(inputs, &mut LayerScratch::default(), 0, watch());
        };
        let starts: Vec<usize> = (0..n).step_by(piece).collect();
        let pieces: Vec<Result<Vec<Tensor>, GraphError>> = starts
            .into_par_iter()
            .map_init(LayerScratch::default, |scratch, start| {
                let cut: Vec<Tensor> = inputs.iter().map(|t| images(t, start, (start + piece).min(n))).collect();
                self.run_piece(&cut, scratch, start, watch())
            })
            .collect();
        joined(pieces)
    }
}

/// Images `start .. end` of a batch of f32.
fn images(tensor: &Tensor, start: usize, end: usize) -> Tensor {
    let n = tensor.shape()[0].max(1);
    let image_len = tensor.len() / n;
    let mut shape = tensor.shape().to_vec();
    shape[0] = end - start;
    let elements = tensor.as_f32().unwrap_or_default();
    Tensor::from_f32(shape, elements[start * image_len..end * image_len].to_vec())
}

/// The outputs of all pieces, joined along the batch; the first error otherwise.
fn joined(pieces: Vec<Result<Vec<Tensor>, GraphError>>) -> Result<Vec<Tensor>, GraphError> {
    let pieces = pieces.into_iter().collect::<Result<Vec<_>, _>>()?;
    let n_outputs = pieces.first().map_or(0, Vec::len);
    let join = |i: usize| {
        let mut shape = pieces[0][i].shape().to_vec();
        shape[0] = pieces.iter().map(|piece| piece[i].shape()[0]).sum();
        let mut data = Vec::with_capacity(shape.iter().product());
        for piece in &pieces {
            data.extend_from_slice(piece[i].as_f32().unwrap_or_default());
        }
        Tensor::from_f32(shape, data)
    };
    Ok((0..n_outputs).map(join).collect())
}
