//! Turning a graph into a plan.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use skimp_graph::shape::Shapes;
use skimp_graph::{DType, Graph, GraphError, Node, Tensor, ValueId};

use super::fuse::{self, Role};
use super::{BufferId, OutputSource, Plan, PlannedOutput, ReferenceInput, Step, memory};
use crate::kernels::conv::PackedConv;
use crate::kernels::dense::PackedDense;
use crate::kernels::depthwise::PackedDepthwise;
use crate::kernels::{Isa, LANES, Planes};

/// Weights packed once per graph, shared by the plans for all image sizes. Keyed by node and input block.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    pub(super) conv: Shared<PackedConv>,
    pub(super) depthwise: Shared<PackedDepthwise>,
    pub(super) planar: Shared<(Vec<f32>, Vec<f32>)>,
    pub(super) dense: Shared<PackedDense>,
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
}

/// How a value lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// Row-major, as in a [`Tensor`].
    Plain,
    /// Blocks of 16 channels, with whatever halo its readers ask for.
    Blocked,
}

/// A plan in the making.
pub(super) struct Builder<'a> {
    pub(super) graph: &'a Graph,
    pub(super) shapes: &'a Shapes,
    /// For each value, its elements if they do not depend on the inputs.
    pub(super) constants: &'a [Option<Tensor>],
    pub(super) packs: &'a Packs,
    pub(super) isa: Isa,
    steps: Vec<Step>,
    planes: Vec<Planes>,
    places: BTreeMap<(usize, Form), BufferId>,
    /// For a buffer that is a range of another one's blocks: that one, and the first block.
    views: BTreeMap<BufferId, (BufferId, usize)>,
}

/// Plans `graph` for the shapes of a batch of one; `None` where a computed value is not f32.
///
/// # Errors
/// The node's error if its constants do not fit.
pub(crate) fn build(
    graph: &Graph,
    shapes: &Shapes,
    constants: &[Option<Tensor>],
    packs: &Packs,
) -> Result<Option<Plan>, GraphError> {
    let mut builder = Builder {
        graph,
        shapes,
        constants,
        packs,
        isa: Isa::detect(),
        steps: Vec::new(),
        planes: Vec::new(),
        places: BTreeMap::new(),
        views: BTreeMap::new(),
    };
    let computed = graph.inputs().iter().map(|input| input.value);
    let computed = computed.chain(graph.nodes().iter().flat_map(|node| node.outputs.iter().copied()));
    for id in computed.filter(|id| constants[id.0].is_none()) {
        match shapes.get(id) {
            Some(value) if value.dtype == DType::F32 && value.n_elements() > 0 => {}
            _ => return Ok(None),
        }
    }
    let inputs: Vec<BufferId> = graph.inputs().iter().map(|input| builder.place(input.value, Form::Plain)).collect();
    let is_constant: Vec<bool> = constants.iter().map(Option::is_some).collect();
    let roles = fuse::roles(graph, shapes, &is_constant, |conv| builder.adds_residual(&graph.nodes()[conv]));
    for (node, role) in graph.nodes().iter().zip(roles) {
        if node.outputs.iter().all(|id| is_constant[id.0]) {
            continue;
        }
        match role {
            Role::Swallowed => {}
            Role::Ends(chain) => builder.convolution(&chain)?,
            Role::Alone => builder.node(node)?,
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
    builder.share_halos();
    let (buffers, arena_len) = memory::place(&builder.planes, &builder.views, &builder.steps, &inputs, &kept);
    Ok(Some(Plan { steps: builder.steps, buffers, arena_len, inputs, outputs, arenas: Mutex::default() }))
}

impl Builder<'_> {
    /// Channels, rows and columns of a value that is one image; a signal `[1, c, l]` is an image of one row.
    pub(super) fn image(&self, id: ValueId) -> Option<[usize; 3]> {
        match *self.shapes.shape(id) {
            [1, c, h, w] => Some([c, h, w]),
            [1, c, l] => Some([c, 1, l]),
            _ => None,
        }
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

    pub(super) fn buffer(&mut self, planes: Planes) -> BufferId {
        self.planes.push(planes);
        self.planes.len() - 1
    }

    pub(super) fn planes(&mut self, buffer: BufferId) -> &mut Planes {
        &mut self.planes[buffer]
    }

    /// A new buffer for a value. Only images have a blocked form.
    pub(super) fn place(&mut self, id: ValueId, form: Form) -> BufferId {
        let planes = match (form, self.image(id)) {
            (Form::Blocked, Some([c, h, w])) => Planes::blocked(c, h, w),
            (Form::Plain, Some([c, h, w])) => Planes::plain(c, h, w),
            (_, None) => Planes::plain(self.shapes.shape(id).iter().product(), 1, 1),
        };
        let buffer = self.buffer(planes);
        self.places.insert((id.0, form), buffer);
        buffer
    }

    /// Gives a value the buffers of another one with the same elements in the same order.
    pub(super) fn alias(&mut self, id: ValueId, of: ValueId) {
        if self.shapes.shape(id) != self.shapes.shape(of) {
            let buffer = self.request(of, Form::Plain);
            self.places.insert((id.0, Form::Plain), buffer);
            return;
        }
        for form in [Form::Plain, Form::Blocked] {
            if let Some(&buffer) = self.places.get(&(of.0, form)) {
                self.places.insert((id.0, form), buffer);
            }
        }
    }

    /// The form that a value has already; blocked where it has both.
    pub(super) fn form(&self, id: ValueId) -> Form {
        if self.places.contains_key(&(id.0, Form::Blocked)) { Form::Blocked } else { Form::Plain }
    }

    /// The buffer of a computed value in the given form, converted if need be.
    pub(super) fn request(&mut self, id: ValueId, form: Form) -> BufferId {
        if let Some(&buffer) = self.places.get(&(id.0, form)) {
            return buffer;
        }
        let other = if form == Form::Plain { Form::Blocked } else { Form::Plain };
        let x = *self.places.get(&(id.0, other)).expect("nodes come after the nodes that they read");
        let out = self.place(id, form);
        self.push(Step::Convert { x, out });
        out
    }

    /// The buffer that the value's blocked form lies in, if it has one.
    pub(super) fn root(&self, id: ValueId) -> Option<BufferId> {
        let mut buffer = *self.places.get(&(id.0, Form::Blocked))?;
        while let Some(&(whole, _)) = self.views.get(&buffer) {
            buffer = whole;
        }
        Some(buffer)
    }

    /// Makes the blocked buffer of a computed value a part of `whole`, from channel `channel` on, so that what writes
    /// the value writes there. Returns whether that can be.
    pub(super) fn embed(&mut self, id: ValueId, whole: BufferId, channel: usize) -> bool {
        let Some(&part) = self.places.get(&(id.0, Form::Blocked)) else { return false };
        let fits = channel.is_multiple_of(LANES)
            && (self.planes[part].channels.is_multiple_of(LANES)
                || channel + self.planes[part].channels == self.planes[whole].channels);
        if !fits || self.views.contains_key(&part) {
            return false;
        }
        self.views.insert(part, (whole, channel / LANES));
        true
    }

    /// Gives parts and wholes the same halo.
    fn share_halos(&mut self) {
        // A part is older than its whole, so one pass up and one down reach all.
        for (&part, &(whole, _)) in &self.views {
            self.planes[whole].halo = self.planes[whole].halo.union(self.planes[part].halo);
        }
        for (&part, &(whole, _)) in self.views.iter().rev() {
            self.planes[part].halo = self.planes[whole].halo;
        }
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

    /// One parameter for each channel of an image, padded to whole blocks: from a constant that is a scalar or has
    /// the channel as its only extent.
    pub(super) fn per_channel(&self, id: ValueId, channels: usize, rank: usize) -> Option<Vec<f32>> {
        let tensor = self.constant(id)?;
        let elements = tensor.as_f32()?;
        let n_padded = channels.next_multiple_of(LANES);
        if let [only] = elements {
            return Some(vec![*only; n_padded]);
        }
        let shape = tensor.shape();
        // Right-aligned against [1, channels, ..].
        let channel_axis = shape.len().checked_sub(rank - 1)?;
        let fits =
            shape.iter().enumerate().all(|(axis, &extent)| extent == if axis == channel_axis { channels } else { 1 });
        let mut parameters = elements.to_vec();
        parameters.resize(n_padded, 0.0);
        fits.then_some(parameters)
    }
}
