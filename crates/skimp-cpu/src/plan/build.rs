//! Turning a graph into a plan.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use skimp_graph::shape::Shapes;
use skimp_graph::{DType, Graph, GraphError, Node, Tensor, ValueId};

use super::cones::Cones;
use super::fuse::{self, Role};
use super::places::{Form, Places};
use super::{
    Arenas, BufferId, Choices, OutputSource, Plan, PlannedOutput, ReferenceInput, Step, WORTH_THREADS, known, memory,
};
use crate::kernels::Isa;
use crate::kernels::conv::PackedConv;
use crate::kernels::dense::PackedDense;
use crate::kernels::depthwise::PackedDepthwise;
use crate::kernels::grouped::PackedGrouped;
use crate::kernels::matmul::Panels;
use crate::kernels::sparse::conv::PackedSparse;
use crate::kernels::sparse::dense::PackedSparseDense;
use crate::kernels::winograd::PackedWinograd;

/// Weights packed once per graph, shared by the plans for all image sizes. Keyed by node and input block.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    pub(super) conv: Shared<PackedConv>,
    pub(super) winograd: Shared<PackedWinograd>,
    pub(super) depthwise: Shared<PackedDepthwise>,
    pub(super) grouped: Shared<PackedGrouped>,
    pub(super) planar: Shared<(Vec<f32>, Vec<f32>)>,
    pub(super) dense: Shared<PackedDense>,
    pub(super) panels: Shared<Panels>,
    pub(super) sparse: Shared<PackedSparse>,
    pub(super) sparse_dense: Shared<PackedSparseDense>,
}

/// Values made on first use.
#[derive(Debug)]
pub(super) struct Shared<T>(Mutex<BTreeMap<(usize, usize), Arc<T>>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Shared<T> {
    pub(super) fn get_or(&self, key: (usize, usize), make: impl FnOnce() -> T) -> Arc<T> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.entry(key).or_insert_with(|| Arc::new(make())).clone()
    }

    /// The same for what cannot always be made.
    pub(super) fn try_get_or<E>(&self, key: (usize, usize), make: impl FnOnce() -> Result<T, E>) -> Result<Arc<T>, E> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = map.get(&key) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(make()?);
        map.insert(key, Arc::clone(&made));
        Ok(made)
    }
}

/// A plan in the making.
pub(super) struct Builder<'a> {
    pub(super) graph: &'a Graph,
    pub(super) shapes: &'a Shapes,
    /// For each value, its elements if they do not depend on the inputs.
    pub(super) constants: &'a [Option<Tensor>],
    pub(super) packs: &'a Packs,
    pub(super) isa: Isa,
    pub(super) cones: Cones<'a>,
    pub(super) choices: Choices,
    /// Why there can be no plan.
    pub(super) failure: Option<GraphError>,
    pub(super) places: Places<'a>,
    /// Names of the layers that leave out weights that are zero.
    pub(super) sparse: Vec<String>,
    steps: Vec<Step>,
}

/// Plans `graph` for the shapes of a batch of one; `None` where a computed value is not f32. It runs in memory from
/// `arenas`.
///
/// # Errors
/// The node's error if its constants do not fit; where transformed weights do not fit into the memory budget.
pub(crate) fn build(
    graph: &Graph,
    shapes: &Shapes,
    constants: &[Option<Tensor>],
    packs: &Packs,
    choices: Choices,
    arenas: &Arc<Arenas>,
) -> Result<Option<Plan>, GraphError> {
    let known = known::constants(graph, shapes, constants)?;
    // Weights that follow from the shapes are packed for these alone.
    let own = Packs::default();
    let grew = known.iter().zip(constants).any(|(now, before)| now.is_some() && before.is_none());
    let packs = if grew { &own } else { packs };
    let (constants, needed) = (known.as_slice(), known::needed(graph, &known));
    let (isa, cones, places) = (Isa::detect(), Cones::new(graph, shapes, constants), Places::new(shapes));
    let (sparse, steps) = (Vec::new(), Vec::new());
    let mut builder =
        Builder { graph, shapes, constants, packs, isa, cones, choices, failure: None, places, sparse, steps };
    let computed = graph.inputs().iter().map(|input| input.value);
    let nodes = graph.nodes().iter().zip(&needed).filter_map(|(node, &needed)| needed.then_some(node));
    let computed = computed.chain(nodes.flat_map(|node| node.outputs.iter().copied()));
    for id in computed.filter(|id| constants[id.0].is_none()) {
        match shapes.get(id) {
            Some(value) if value.dtype == DType::F32 && value.n_elements() > 0 => {}
            _ => return Ok(None),
        }
    }
    let inputs: Vec<BufferId> =
        graph.inputs().iter().map(|input| builder.places.place(input.value, Form::Plain)).collect();
    let is_constant: Vec<bool> = constants.iter().map(Option::is_some).collect();
    let roles = fuse::roles(
        &builder.cones,
        &is_constant,
        |conv| builder.anchor(&graph.nodes()[conv]),
        |idx| builder.multiplies(&graph.nodes()[idx]),
    );
    for (idx, (node, role)) in graph.nodes().iter().zip(roles).enumerate() {
        if node.outputs.iter().all(|id| is_constant[id.0]) || !needed[idx] {
            continue;
        }
        match role {
            Role::Swallowed => {}
            Role::Ends(chain) => builder.convolution(&chain),
            Role::EndsCone(cone) => builder.cone(&cone),
            Role::EndsProduct(product, cone) => {
                builder.product(product, Some(&cone));
            }
            Role::EndsNorm(norm) => builder.channel_norm(norm, idx),
            Role::Alone => builder.node(idx),
        }
    }
    let outputs: Vec<PlannedOutput> = graph
        .outputs()
        .iter()
        .map(|&id| PlannedOutput {
            shape: shapes.shape(id).to_vec(),
            source: match &constants[id.0] {
                Some(tensor) => OutputSource::Constant(tensor.clone()),
                None => OutputSource::Computed(builder.request(id, Form::Plain)),
            },
        })
        .collect();
    let kept: Vec<BufferId> = outputs
        .iter()
        .filter_map(|output| match output.source {
            OutputSource::Computed(buffer) => Some(buffer),
            OutputSource::Constant(_) => None,
        })
        .collect();
    let Builder { places, sparse, steps, failure, .. } = builder;
    if let Some(error) = failure {
        return Err(error);
    }
    let mut drafts = places.finish();
    memory::share_in_place(&mut drafts, &steps, &kept);
    let (buffers, arena_len) =
        memory::place(&drafts, &steps, &inputs, &kept).ok_or_else(|| GraphError::InvalidGraph {
            graph: graph.name().to_owned(),
            cause: "its values need more memory than can be addressed".to_owned(),
        })?;
    let graph = graph.name().to_owned();
    let len = |buffer: BufferId| buffers[buffer].planes.len();
    let spread = steps.iter().map(|step| step.work(len) >= WORTH_THREADS).collect();
    Ok(Some(Plan { graph, steps, spread, buffers, arena_len, inputs, outputs, arenas: Arc::clone(arenas), sparse }))
}

impl Builder<'_> {
    /// Channels, rows and columns of a value that is one image; a signal `[1, c, l]` is an image of one row.
    pub(super) fn image(&self, id: ValueId) -> Option<[usize; 3]> {
        self.places.image(id)
    }

    /// Whether the value does not depend on the inputs.
    pub(super) fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.constants[id.0].as_ref()
    }

    /// Input `idx` of a node, if it is there and depends on the inputs.
    pub(super) fn computed(&self, node: &Node, idx: usize) -> Option<ValueId> {
        node.inputs.get(idx).copied().flatten().filter(|id| self.constants[id.0].is_none())
    }

    /// The elements of input `idx` of a node, if it is a constant of f32.
    pub(super) fn parameter(&self, node: &Node, idx: usize) -> Option<&[f32]> {
        self.constant(node.inputs.get(idx).copied().flatten()?)?.as_f32()
    }

    pub(super) fn push(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// A new buffer for a value.
    pub(super) fn place(&mut self, id: ValueId, form: Form) -> BufferId {
        self.places.place(id, form)
    }

    /// Gives a value the elements of another one, in the same order.
    pub(super) fn alias(&mut self, id: ValueId, of: ValueId) {
        if self.places.lie_alike(id, of) {
            self.places.share(id, of);
        } else {
            let buffer = self.request(of, Form::Plain);
            self.places.view(id, buffer);
        }
    }

    /// The form that a value has already; blocked where it has both.
    pub(super) fn form(&self, id: ValueId) -> Form {
        if self.places.get(id, Form::Blocked).is_some() { Form::Blocked } else { Form::Plain }
    }

    /// The buffer of a computed value in the given form, converted if need be.
    pub(super) fn request(&mut self, id: ValueId, form: Form) -> BufferId {
        if let Some(buffer) = self.places.get(id, form) {
            return buffer;
        }
        let other = if form == Form::Plain { Form::Blocked } else { Form::Plain };
        let x = self.places.get(id, other).expect("nodes come after the nodes that they read");
        let out = self.place(id, form);
        self.push(Step::Convert { x, out });
        out
    }

    /// Runs a node on the reference interpreter.
    pub(super) fn reference(&mut self, node: &Node) {
        let inputs = node
            .inputs
            .iter()
            .map(|input| match input {
                None => ReferenceInput::Absent,
                Some(id) => match &self.constants[id.0] {
                    Some(tensor) => ReferenceInput::Constant(tensor.clone()),
                    None => ReferenceInput::Computed(self.request(*id, Form::Plain), self.shapes.shape(*id).to_vec()),
                },
            })
            .collect();
        let outputs = node.outputs.iter().map(|&id| self.place(id, Form::Plain)).collect();
        self.push(Step::Reference { op: node.op.clone(), node: node.name.clone(), inputs, outputs });
    }
}
