//! The fast executor of integer networks.

mod batch;
mod conv;
mod finish;
mod layer;
mod pool;
mod recording;
mod separable;
mod vector;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rayon::prelude::*;
use skimp_graph::{
    Dim, GraphError, Tensor, ValueId,
    integer::{
        self, IntegerEngine, IntegerGraph, IntegerObserver, IntegerOp, IntegerTensor, MacHook, MacLayer,
        MacObservation, MacOperands, Observation, ValueKind,
    },
};

pub use self::recording::Recording;

use self::batch::{images, joined};
use self::layer::{LayerResult, LayerScratch, Observed, PreparedLayer};
use super::bytes::{self, Isa, Plan, Planned};

/// Runs an [`IntegerGraph`] with vector kernels, images in parallel.
///
/// Returns bit for bit what [`IntegerReference`](skimp_graph::integer::IntegerReference) returns. Kernels go by width:
///
/// - Layers of at most 8 bits whose sums fit 32 bits run on bytes, as long as nobody looks into them.
/// - All others, and all under a hook or an observer, as floating-point sums of integers that never leave the range where
///   these are exact.
///
/// Weights are packed once. A batch is cut into pieces of a few images where the network treats images separately.
#[derive(Debug)]
pub struct IntegerExecutor {
    graph: IntegerGraph,
    /// For each node, whether it is a layer with kernels on bytes.
    on_bytes: Vec<bool>,
    /// The other kernels of each layer, made when they are first used.
    layers: Vec<OnceLock<Option<PreparedLayer>>>,
    last_use: Vec<Option<usize>>,
    isa: Isa,
    plans: Mutex<BTreeMap<Vec<Vec<usize>>, Arc<Planned>>>,
}

/// Most images in a piece.
const MOST_IMAGES: usize = 16;

impl IntegerExecutor {
    /// Prepares `graph`.
    ///
    /// # Errors
    /// Those of [`integer::check`].
    pub fn new(graph: &IntegerGraph) -> Result<Self, GraphError> {
        Self::on(graph, Isa::available().first().copied().unwrap_or(Isa::Portable))
    }

    /// As [`new`](Self::new), with the kernels on bytes of one of [`instruction_sets`](Self::instruction_sets); `None` for
    /// another name.
    ///
    /// # Errors
    /// Those of [`integer::check`].
    pub fn with_instructions(graph: &IntegerGraph, name: &str) -> Result<Option<Self>, GraphError> {
        Isa::available().into_iter().find(|isa| isa.name() == name).map(|isa| Self::on(graph, isa)).transpose()
    }

    /// Names of the instruction sets of this machine, the best first.
    pub fn instruction_sets() -> Vec<&'static str> {
        Isa::available().into_iter().map(Isa::name).collect()
    }

    fn on(graph: &IntegerGraph, isa: Isa) -> Result<Self, GraphError> {
        integer::check(graph)?;
        let on_bytes = graph.nodes.par_iter().map(|node| match &node.op {
            IntegerOp::Mac(layer) => bytes::fits(graph, node, layer),
            _ => false,
        });
        let executor = Self {
            on_bytes: on_bytes.collect(),
            layers: graph.nodes.iter().map(|_| OnceLock::new()).collect(),
            last_use: graph.last_uses(),
            graph: graph.clone(),
            isa,
            plans: Mutex::new(BTreeMap::new()),
        };
        if !executor.takes_bytes() {
            (0..graph.nodes.len()).into_par_iter().for_each(|idx| {
                executor.prepared(idx);
            });
        }
        Ok(executor)
    }

    /// Whether a run that nobody looks into goes on bytes: where at least half of the layers do, and none would have to
    /// bring its residual input there and back.
    fn takes_bytes(&self) -> bool {
        let n_on_bytes = self.on_bytes.iter().filter(|&&on_bytes| on_bytes).count();
        2 * n_on_bytes >= self.graph.layers().count() && self.graph.layers().all(|(_, layer)| layer.residual.is_none())
    }

    /// The kernels of a layer that are not on bytes; `None` for another node.
    fn prepared(&self, node_idx: usize) -> Option<&PreparedLayer> {
        let node = &self.graph.nodes[node_idx];
        let prepare = || match &node.op {
            IntegerOp::Mac(layer) => {
                let encoding = |i: usize| node.inputs.get(i).and_then(|&id| self.graph.encoding(id));
                Some(PreparedLayer::new(layer, &encoding(0)?, encoding(1).as_ref()))
            }
            _ => None,
        };
        self.layers[node_idx].get_or_init(prepare).as_ref()
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
                    (vec![self.run_hooked((node_idx, first_image), layer, &operands, scratch, hook)?], None)
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
        self.graph.outputs.iter().map(|id| self.graph.real_output(*id, values[id.0].as_deref())).collect()
    }

    /// A multiply-accumulate layer with `hook` before and after its sums.
    fn run_hooked(
        &self,
        (node_idx, first_image): (usize, usize),
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
        let residual = residual.as_deref();
        let seen = MacOperands { node_idx, first_image, layer, shape: &shape, input, residual };
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
        if let (IntegerOp::Mac(layer), Some(prepared)) = (&node.op, self.prepared(node_idx)) {
            let real = || GraphError::invalid_node(&node.name, "Mac", "an input is real, expected codes");
            let input = operands[0].as_codes().ok_or_else(real)?;
            let residual = operands.get(1).map(|tensor| tensor.as_codes().ok_or_else(real)).transpose()?;
            let kind = kind(&node.outputs[0]);
            let LayerResult { output, accumulators } =
                prepared.run(&node.name, layer, (input, residual), &kind, scratch, observed)?;
            return Ok((vec![output], accumulators));
        }
        let first = operands.first().and_then(|operand| operand.as_codes());
        if let (IntegerOp::MaxPool(_), Some(input), ValueKind::Codes(encoding)) =
            (&node.op, first, kind(&node.outputs[0]))
            && let Some(output) = pool::max_pool(node, input, &encoding)?
        {
            return Ok((vec![IntegerTensor::Codes(output)], None));
        }
        let encoding = node.inputs.first().and_then(|&id| self.graph.encoding(id));
        if let (IntegerOp::AveragePool { .. }, Some(input), Some(encoding)) = (&node.op, first, encoding)
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
        if self.takes_bytes() { self.run_bytes(inputs) } else { self.run_pieces(inputs, None) }
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
            let cut = inputs.iter().map(|t| images(t, image, image + 1)).collect::<Result<Vec<_>, _>>()?;
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
    /// On bytes, images in parallel where the network treats them separately.
    fn run_bytes(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.graph.bind(inputs)?;
        let planned = self.planned(inputs)?;
        let run = |inputs: &[Tensor], threads: usize| {
            planned.run(&self.graph, inputs, (self.isa, threads), &|idx, operands| {
                self.run_node(idx, operands, &mut LayerScratch::default(), Observed::No).map(|(outputs, _)| outputs)
            })
        };
        let n = inputs.first().and_then(|input| input.shape().first().copied()).unwrap_or(1);
        if !planned.by_image || n <= 1 {
            return run(inputs, rayon::current_num_threads());
        }
        let image = |i: usize| inputs.iter().map(|input| images(input, i, i + 1)).collect::<Result<Vec<_>, _>>();
        joined((0..n).into_par_iter().map(|i| run(&image(i)?, 1)).collect())
    }

    /// The plan for inputs of these shapes, made on first use.
    fn planned(&self, inputs: &[Tensor]) -> Result<Arc<Planned>, GraphError> {
        let mut shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(planned) = plans.get(&shapes) {
            return Ok(Arc::clone(planned));
        }
        let key = shapes.clone();
        let by_image = self.n_separable(inputs).is_some();
        if by_image {
            shapes.iter_mut().for_each(|shape| shape[0] = 1);
        }
        let plan = Plan::new(&self.graph, &self.on_bytes, &self.graph.shapes(&shapes)?)?;
        let planned = Planned::new(plan, by_image);
        plans.insert(key, Arc::clone(&planned));
        Ok(planned)
    }

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
                let image = |t: &Tensor| images(t, start, (start + piece).min(n));
                let cut = inputs.iter().map(image).collect::<Result<Vec<_>, _>>()?;
                self.run_piece(&cut, scratch, start, watch())
            })
            .collect();
        joined(pieces)
    }
}
