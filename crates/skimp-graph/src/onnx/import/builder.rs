//! The state of an import: what each ONNX name stands for, and the graph built so far.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::{NodeView, scope};
use crate::onnx::proto::{NodeProto, SparseTensorProto, TensorProto, ValueInfoProto};
use crate::onnx::symbolic::{Extent, Shape, Symbol, SymbolicTensor, Symbols};
use crate::onnx::{packed, sparse, tensor};
use crate::{DType, Data, Dim, Graph, GraphError, GraphInput, Node, Op, Tensor, Value, ValueId};

/// Most entries that the operands of one shape calculation, and all results together, may have. Networks need a few
/// per node; a file of tiny nodes that each make a large tensor must not exhaust the memory.
const MAX_SHAPE_ENTRIES: usize = 1 << 22;

/// What a name of the file stands for.
#[derive(Debug)]
enum Binding {
    /// A value of the graph.
    Value(ValueId),
    /// An initializer that nobody has read yet.
    Initializer(Box<TensorProto>),
    /// A constant that is not (yet) a value of the graph.
    Constant(Tensor),
    /// The result of shape arithmetic.
    Symbolic(SymbolicTensor),
    /// Other names, one behind the other.
    Sequence(Vec<String>),
    /// An optional without an element.
    Nothing,
}

/// What is known about a value of the graph.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) dtype: DType,
    pub(super) shape: Shape,
}

/// A name that was made up.
#[derive(Debug)]
enum MadeUp {
    Node(String),
    Value(String),
}

/// How much of a graph there is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) values: usize,
    nodes: usize,
    names: usize,
}

/// A graph in the making.
#[derive(Debug)]
pub(crate) struct Importer {
    file: PathBuf,
    base_dir: Option<PathBuf>,
    bindings: HashMap<String, Binding>,
    inputs: Vec<GraphInput>,
    values: Vec<Value>,
    facts: Vec<Fact>,
    nodes: Vec<Node>,
    /// Every value name of the file and every generated one.
    value_names: HashSet<String>,
    /// Every node name given out, and those of the file that are still to come.
    node_names: HashSet<String>,
    file_node_names: HashMap<String, usize>,
    /// Names that a node or the network reads.
    read: HashSet<String>,
    /// Names that the network returns.
    network_outputs: HashSet<String>,
    /// Entries of all results of shape arithmetic so far.
    n_shape_entries: usize,
    /// Names that were made up for values and nodes, in the order in which they were.
    made_up: Vec<MadeUp>,
    /// Nodes of trips of loops that have been written out so far.
    n_written_out: usize,
    /// Constants whose elements have 8 bits or fewer in the file in a way that no element type here says, with its number.
    packed: HashMap<String, i32>,
    /// Whether the network is read for inputs of given extents.
    pub(super) is_for_extents: bool,
    /// Symbols of open extents and fresh ones.
    pub(crate) symbols: Symbols,
}

impl Importer {
    pub(crate) fn new(file: &Path, base_dir: Option<&Path>, nodes: &[NodeProto], outputs: &[ValueInfoProto]) -> Self {
        let mut file_node_names: HashMap<String, usize> = HashMap::new();
        for (idx, node) in nodes.iter().enumerate().filter(|(_, node)| !node.name.is_empty()) {
            file_node_names.entry(node.name.clone()).or_insert(idx);
        }
        let made = nodes.iter().flat_map(|node| node.output.iter().cloned());
        let mut importer = Self {
            file: file.to_owned(),
            base_dir: base_dir.map(Path::to_owned),
            bindings: HashMap::new(),
            inputs: Vec::new(),
            values: Vec::new(),
            facts: Vec::new(),
            nodes: Vec::new(),
            value_names: made.collect(),
            node_names: HashSet::new(),
            file_node_names,
            read: HashSet::new(),
            network_outputs: outputs.iter().map(|v| v.name.clone()).collect(),
            n_shape_entries: 0,
            made_up: Vec::new(),
            n_written_out: 0,
            packed: HashMap::new(),
            is_for_extents: false,
            symbols: Symbols::default(),
        };
        let read = nodes.iter().flat_map(scope::reads).map(str::to_owned);
        importer.read = read.chain(importer.network_outputs.iter().cloned()).collect();
        importer
    }

    pub(crate) fn add_input(&mut self, name: &str, dtype: DType, dims: Vec<Dim>) -> Result<(), String> {
        if name.is_empty() {
            return Err("an input has no name".to_owned());
        }
        if self.value_names.contains(name) {
            return Err(format!("two sources for the value \"{name}\""));
        }
        let extent = |dim: &Dim| match dim {
            Dim::Fixed(n) => Extent::Known(*n),
            Dim::Free(name) => Extent::Symbol(self.symbols.named(name)),
        };
        let shape = Some(dims.iter().map(extent).collect());
        let value = self.push_value(name.to_owned(), None, Fact { dtype, shape });
        self.bindings.insert(name.to_owned(), Binding::Value(value));
        self.inputs.push(GraphInput { value, dtype, dims });
        Ok(())
    }

    pub(crate) fn add_initializer(&mut self, proto: TensorProto) -> Result<(), String> {
        let name = proto.name.clone();
        if name.is_empty() {
            return Err("an initializer has no name".to_owned());
        }
        self.value_names.insert(name.clone());
        self.note_packed(&name, proto.data_type);
        match self.bindings.insert(name.clone(), Binding::Initializer(Box::new(proto))) {
            None => Ok(()),
            Some(_) => Err(format!("two initializers are named \"{name}\"")),
        }
    }

    /// A unique name for node `idx` of the file; the first of several nodes of one name keeps it.
    pub(crate) fn node_name(&mut self, proto: &NodeProto, idx: usize) -> String {
        if self.file_node_names.get(&proto.name) == Some(&idx) {
            self.node_names.insert(proto.name.clone());
            return proto.name.clone();
        }
        let base = if proto.name.is_empty() { &proto.op_type } else { &proto.name };
        self.free_node_name(&format!("{base}_{idx}"))
    }

    /// `base`, or `base` with the lowest number that makes it unique.
    pub(crate) fn free_node_name(&mut self, base: &str) -> String {
        let taken = |name: &str| self.node_names.contains(name) || self.file_node_names.contains_key(name);
        let name = free_name(base, taken);
        self.node_names.insert(name.clone());
        self.made_up.push(MadeUp::Node(name.clone()));
        name
    }

    pub(crate) fn free_value_name(&mut self, base: &str) -> String {
        let name = free_name(base, |name| self.value_names.contains(name));
        self.value_names.insert(name.clone());
        self.made_up.push(MadeUp::Value(name.clone()));
        name
    }

    /// Makes a name stand for nothing.
    pub(super) fn unbind(&mut self, name: &str) {
        self.bindings.remove(name);
    }

    /// Names that were made up for values from a place on.
    pub(super) fn value_names_since(&self, from: &Place) -> HashSet<String> {
        let names = self.made_up[from.names..].iter().filter_map(|name| match name {
            MadeUp::Value(name) => Some(name.clone()),
            MadeUp::Node(_) => None,
        });
        names.collect()
    }

    /// Frees the names that were made up from a place on, and what they stand for.
    pub(super) fn forget_names(&mut self, from: &Place) {
        for name in self.made_up.drain(from.names..) {
            match name {
                MadeUp::Node(name) => {
                    self.node_names.remove(&name);
                }
                MadeUp::Value(name) => {
                    self.value_names.remove(&name);
                    self.bindings.remove(&name);
                }
            }
        }
    }

    fn push_value(&mut self, name: String, constant: Option<Tensor>, fact: Fact) -> ValueId {
        self.value_names.insert(name.clone());
        self.values.push(Value { name, constant });
        self.facts.push(fact);
        ValueId(self.values.len() - 1)
    }

    /// How much there is so far.
    pub(super) fn place(&self) -> Place {
        Place { values: self.values.len(), nodes: self.nodes.len(), names: self.made_up.len() }
    }

    /// How many nodes there are.
    pub(crate) fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Counts a trip of a loop that is written out, of so many nodes; `false` where there have been too many.
    pub(crate) fn count_trip(&mut self, n_nodes: usize) -> bool {
        const MOST_NODES: usize = 1 << 16;
        self.n_written_out = self.n_written_out.saturating_add(1 + n_nodes);
        self.n_written_out <= MOST_NODES
    }

    /// Takes values and nodes from a place on out of the graph; a constant among them is one that is no value yet.
    pub(super) fn take_back(&mut self, from: &Place) -> (Vec<Value>, Vec<Node>) {
        let values = self.values.split_off(from.values);
        self.facts.truncate(from.values);
        // Values have the names that they are bound to, or names made up since then.
        let made_up = self.made_up[from.names..].iter().filter_map(|name| match name {
            MadeUp::Value(name) => Some(name),
            MadeUp::Node(_) => None,
        });
        for name in values.iter().map(|value| &value.name).chain(made_up) {
            let Some(Binding::Value(id)) = self.bindings.get(name) else { continue };
            let Some(value) = id.0.checked_sub(from.values).and_then(|idx| values.get(idx)) else { continue };
            match &value.constant {
                Some(tensor) => self.bindings.insert(name.clone(), Binding::Constant(tensor.clone())),
                None => self.bindings.remove(name),
            };
        }
        (values, self.nodes.split_off(from.nodes))
    }

    /// A value of the graph under a name of its own.
    pub(super) fn new_value(&mut self, name: &str, fact: Fact) -> ValueId {
        let id = self.push_value(name.to_owned(), None, fact);
        self.bindings.insert(name.to_owned(), Binding::Value(id));
        self.mark_read(name);
        id
    }

    /// A value of the graph.
    pub(super) fn value_at(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// Whether any node or the network reads the value.
    pub(crate) fn is_read(&self, name: &str) -> bool {
        self.read.contains(name)
    }

    /// Whether the network returns the value.
    pub(crate) fn is_network_output(&self, name: &str) -> bool {
        self.network_outputs.contains(name)
    }

    /// The constant behind a name, if it is one. An initializer is converted on first use, once.
    pub(crate) fn constant(&mut self, name: &str) -> Result<Option<Tensor>, GraphError> {
        if let Some(Binding::Initializer(proto)) = self.bindings.get_mut(name) {
            let proto = std::mem::take(proto.as_mut());
            let what = format!("initializer \"{name}\"");
            let tensor = self.convert(proto, &what)?;
            self.bindings.insert(name.to_owned(), Binding::Constant(tensor));
        }
        Ok(match self.bindings.get(name) {
            Some(Binding::Constant(tensor)) => Some(tensor.clone()),
            Some(Binding::Symbolic(symbolic)) => symbolic.to_constant(),
            Some(Binding::Value(id)) => self.values[id.0].constant.clone(),
            Some(Binding::Initializer(_) | Binding::Sequence(_) | Binding::Nothing) | None => None,
        })
    }

    /// The names of the elements of a sequence.
    pub(crate) fn sequence(&self, name: &str) -> Option<&[String]> {
        match self.bindings.get(name) {
            Some(Binding::Sequence(elements)) => Some(elements),
            _ => None,
        }
    }

    /// Whether a name stands for an optional without an element.
    pub(crate) fn is_nothing(&self, name: &str) -> bool {
        matches!(self.bindings.get(name), Some(Binding::Nothing))
    }

    /// Makes the only output of `node` a sequence.
    pub(crate) fn bind_sequence(&mut self, node: &NodeView<'_>, elements: Vec<String>) -> Result<(), GraphError> {
        let output = self.only_output(node)?;
        self.bind_sequence_as(node, output, elements)
    }

    /// Makes an output of `node` a sequence.
    pub(crate) fn bind_sequence_as(
        &mut self,
        node: &NodeView<'_>,
        output: &str,
        elements: Vec<String>,
    ) -> Result<(), GraphError> {
        self.bind_as(node, output, Binding::Sequence(elements))
    }

    /// Makes an output of `node` an optional without an element.
    pub(crate) fn bind_nothing(&mut self, node: &NodeView<'_>, output: &str) -> Result<(), GraphError> {
        self.bind_as(node, output, Binding::Nothing)
    }

    /// Converts a tensor of this model.
    pub(crate) fn convert(&self, proto: TensorProto, what: &str) -> Result<Tensor, GraphError> {
        tensor::to_tensor(proto, self.base_dir.as_deref(), &self.file, what)
    }

    /// Converts a sparse tensor of this model, to a dense one.
    pub(crate) fn convert_sparse(&self, proto: SparseTensorProto, what: &str) -> Result<Tensor, GraphError> {
        sparse::to_tensor(proto, self.base_dir.as_deref(), &self.file, what)
    }

    /// Adds a constant that the file holds as the elements other than 0 and their places.
    pub(crate) fn add_sparse_initializer(&mut self, proto: SparseTensorProto, name: &str) -> Result<(), GraphError> {
        let tensor = self.convert_sparse(proto, &format!("initializer \"{name}\""))?;
        self.value_names.insert(name.to_owned());
        match self.bindings.insert(name.to_owned(), Binding::Constant(tensor)) {
            None => Ok(()),
            Some(_) => Err(GraphError::InvalidFile {
                path: self.file.clone(),
                cause: format!("two initializers are named \"{name}\""),
            }),
        }
    }

    /// The graph value behind input `idx` of `node`. A constant becomes a value here; its floats must be finite, or
    /// those of a mask.
    pub(crate) fn value(&mut self, node: &NodeView<'_>, idx: usize) -> Result<ValueId, GraphError> {
        let name = node.input(idx).ok_or_else(|| node.invalid(format!("input {idx} is missing")))?;
        self.value_named(node, name)
    }

    /// [`value`](Importer::value) by its name.
    pub(crate) fn value_named(&mut self, node: &NodeView<'_>, name: &str) -> Result<ValueId, GraphError> {
        self.value_of(name)?.ok_or_else(|| {
            node.unsupported(match self.bindings.get(name) {
                Some(Binding::Sequence(_) | Binding::Nothing) => {
                    format!("\"{name}\", a list or an option, as data: export with fixed extents, or run onnxsim on the file")
                }
                _ => format!(
                    "\"{name}\" depends on the extents of an input in a way that is only supported as a shape: export \
                     with fixed extents"
                ),
            })
        })
    }

    /// Like [`value`](Importer::value), `None` for an input left out.
    pub(crate) fn optional_value(&mut self, node: &NodeView<'_>, idx: usize) -> Result<Option<ValueId>, GraphError> {
        node.input(idx).map(|_| self.value(node, idx)).transpose()
    }

    fn value_of(&mut self, name: &str) -> Result<Option<ValueId>, GraphError> {
        if let Some(Binding::Value(id)) = self.bindings.get(name) {
            return Ok(Some(*id));
        }
        let Some(tensor) = self.constant(name)? else { return Ok(None) };
        if let Some((position, value)) = tensor::meaningless(&tensor) {
            return Err(GraphError::InvalidFile {
                path: self.file.clone(),
                cause: format!(
                    "initializer \"{name}\": element {position} is {value}, expected finite numbers or a mask of zeros, or \
                     finite numbers, and infinities: export the network again"
                ),
            });
        }
        let shape = Some(tensor.shape().iter().map(|&n| Extent::Known(n)).collect());
        let fact = Fact { dtype: tensor.dtype(), shape };
        let id = self.push_value(name.to_owned(), Some(tensor), fact);
        self.bindings.insert(name.to_owned(), Binding::Value(id));
        Ok(Some(id))
    }

    /// The values of the graph whose rank is known, with their shapes, in the order in which they were made.
    pub(crate) fn shapes(&self) -> impl Iterator<Item = (ValueId, &[Extent])> {
        self.facts.iter().enumerate().filter_map(|(idx, fact)| Some((ValueId(idx), fact.shape.as_deref()?)))
    }

    /// The shape of a graph value.
    pub(crate) fn shape(&self, id: ValueId) -> &Shape {
        &self.facts[id.0].shape
    }

    /// The element type of a graph value.
    pub(crate) fn dtype(&self, id: ValueId) -> DType {
        self.facts[id.0].dtype
    }

    /// The inputs as symbolic tensors, if all of them are known to shape arithmetic and at least one comes from it or
    /// holds integers. (Floating-point constants alone are data.)
    pub(crate) fn shape_inputs(
        &mut self,
        node: &NodeView<'_>,
        n: usize,
    ) -> Result<Option<Vec<SymbolicTensor>>, GraphError> {
        let Some(tensors) = self.known_inputs(node, n)? else { return Ok(None) };
        let is_bound = |name: &str| matches!(self.bindings.get(name), Some(Binding::Symbolic(_)));
        let is_shape = tensors.iter().any(|tensor| tensor.dtype() != DType::F32)
            || (0..n).any(|idx| node.input(idx).is_some_and(is_bound));
        Ok(is_shape.then_some(tensors))
    }

    /// The one integer or truth value behind a name, as far as it is known at import.
    pub(crate) fn known_number(&mut self, name: &str) -> Result<Option<Result<i64, Symbol>>, GraphError> {
        let entries = self.symbolic(name)?.and_then(|tensor| tensor.ints());
        Ok(entries.filter(|entries| entries.len() == 1).map(|entries| entries[0]))
    }

    /// The inputs as symbolic tensors, if all of them are known at import.
    pub(crate) fn known_inputs(
        &mut self,
        node: &NodeView<'_>,
        n: usize,
    ) -> Result<Option<Vec<SymbolicTensor>>, GraphError> {
        let mut tensors = Vec::with_capacity(n);
        let mut n_entries = 0_usize;
        for idx in 0..n {
            let Some(name) = node.input(idx) else { return Ok(None) };
            let Some(tensor) = self.symbolic(name)? else { return Ok(None) };
            n_entries += tensor.n_entries();
            check_shape_entries(node, n_entries)?;
            tensors.push(tensor);
        }
        Ok(Some(tensors))
    }

    fn symbolic(&mut self, name: &str) -> Result<Option<SymbolicTensor>, GraphError> {
        if let Some(Binding::Symbolic(tensor)) = self.bindings.get(name) {
            return Ok(Some(tensor.clone()));
        }
        Ok(self.constant(name)?.as_ref().and_then(SymbolicTensor::from_constant))
    }

    /// The integers of a parameter input; unknown entries are symbols. `None` if it is left out.
    pub(crate) fn symbolic_ints(
        &mut self,
        node: &NodeView<'_>,
        idx: usize,
    ) -> Result<Option<Vec<Result<i64, Symbol>>>, GraphError> {
        let Some(name) = node.input(idx) else { return Ok(None) };
        let Some(tensor) = self.symbolic(name)? else {
            return Err(node.unsupported(format!("input \"{name}\" is not known at import")));
        };
        if !matches!(tensor.dtype(), DType::I64 | DType::I32) || tensor.shape().len() > 1 {
            return Err(node.invalid(format!(
                "input \"{name}\" is {:?} of shape {:?}, expected a vector of integers",
                tensor.dtype(),
                tensor.shape()
            )));
        }
        Ok(tensor.ints())
    }

    /// The integers of a parameter input that must be known.
    pub(crate) fn ints(&mut self, node: &NodeView<'_>, idx: usize) -> Result<Option<Vec<i64>>, GraphError> {
        let Some(entries) = self.symbolic_ints(node, idx)? else { return Ok(None) };
        let known: Option<Vec<i64>> = entries.into_iter().map(Result::ok).collect();
        known.map(Some).ok_or_else(|| {
            let name = node.input(idx).unwrap_or_default();
            node.unsupported(format!("input \"{name}\" depends on the extents of an input of the network"))
        })
    }

    /// The constant behind parameter input `idx`.
    pub(crate) fn parameter(&mut self, node: &NodeView<'_>, idx: usize) -> Result<Option<Tensor>, GraphError> {
        let Some(name) = node.input(idx) else { return Ok(None) };
        self.constant(name)?
            .map(Some)
            .ok_or_else(|| node.unsupported(format!("input \"{name}\" is not known at import")))
    }

    /// The one finite or infinite number of parameter input `idx`, of the element type of `x`.
    pub(crate) fn scalar(&mut self, node: &NodeView<'_>, idx: usize, x: ValueId) -> Result<Option<f32>, GraphError> {
        let Some(tensor) = self.parameter(node, idx)? else { return Ok(None) };
        let name = node.input(idx).unwrap_or_default();
        let (found, expected) = (tensor.dtype(), self.dtype(x));
        if found != expected {
            return Err(node.invalid(format!("input \"{name}\" has element type {found}, expected {expected}")));
        }
        if tensor.len() != 1 {
            return Err(node.invalid(format!("input \"{name}\" has shape {:?}, expected one number", tensor.shape())));
        }
        match super::as_f32(&tensor).as_deref() {
            Some([number]) if !number.is_nan() => Ok(Some(*number)),
            Some(_) => Err(node.invalid(format!("input \"{name}\" is not a number"))),
            None => Err(node.unsupported(format!("input \"{name}\" is not exactly representable in f32"))),
        }
    }

    /// A number that an attribute gives beside `x`: integers have one zero.
    pub(crate) fn beside(&self, x: ValueId, number: f32) -> f32 {
        if self.dtype(x).is_float() { number } else { number + 0.0 }
    }

    /// Adds the only graph node of an ONNX node. Outputs after the first must be unread.
    pub(crate) fn emit(&mut self, node: &NodeView<'_>, op: Op, inputs: Vec<Option<ValueId>>) -> Result<(), GraphError> {
        let output = self.only_output(node)?;
        if let Some(tensor) = self.folded_weight(node, &op, &inputs) {
            return self.bind(node, Binding::Constant(tensor));
        }
        if let (Op::Identity, &[Some(x)]) = (&op, inputs.as_slice())
            && self.values[x.0].constant.is_some()
            && !self.is_network_output(output)
        {
            return self.bind(node, Binding::Value(x));
        }
        self.emit_as(node, node.name().to_owned(), op, inputs, &[output]).map(|_| ())
    }

    /// What a node of constants gives, whatever their size: weights that are masked, quantized, turned or cast are weights.
    /// `DequantizeLinear` says how they are stored, and stays.
    fn folded_weight(&self, node: &NodeView<'_>, op: &Op, inputs: &[Option<ValueId>]) -> Option<Tensor> {
        let constants: Vec<Option<&Tensor>> =
            inputs.iter().map(|id| id.and_then(|id| self.values[id.0].constant.as_ref())).collect();
        let all_known = constants.iter().zip(inputs).all(|(constant, id)| constant.is_some() || id.is_none());
        // A clip of codes says how many bits they have.
        let is_code = |tensor: &Tensor| !tensor.dtype().is_float();
        let stays = match op {
            Op::Identity => true,
            Op::Clip(_) => constants.first().copied().flatten().is_some_and(is_code),
            _ => false,
        };
        if !all_known || constants.iter().all(Option::is_none) || stays {
            return None;
        }
        let results = crate::rewrite::folded(op, node.name(), &constants)?;
        let [result] = <[Tensor; 1]>::try_from(results).ok()?;
        // What no constant of a file may hold is left to the network.
        tensor::meaningless(&result).is_none().then_some(result)
    }

    /// The name of the first output, if the others are unread.
    pub(crate) fn only_output<'a>(&self, node: &NodeView<'a>) -> Result<&'a str, GraphError> {
        if let Some(extra) = node.outputs().iter().skip(1).find(|name| !name.is_empty() && self.is_read(name)) {
            return Err(node.unsupported(format!("output \"{extra}\"")));
        }
        first_output(node)
    }

    /// Adds a graph node under a name of its own; returns the outputs.
    pub(crate) fn emit_as(
        &mut self,
        node: &NodeView<'_>,
        name: String,
        op: Op,
        inputs: Vec<Option<ValueId>>,
        outputs: &[&str],
    ) -> Result<Vec<ValueId>, GraphError> {
        if let Some(results) = self.folded(node, &op, &inputs)?
            && results.len() == outputs.len()
        {
            let mut ids = Vec::with_capacity(outputs.len());
            for (output, tensor) in outputs.iter().zip(results) {
                let shape = Some(tensor.shape().iter().map(|&n| Extent::Known(n)).collect());
                let fact = Fact { dtype: tensor.dtype(), shape };
                let id = self.push_value((*output).to_owned(), Some(tensor), fact);
                if self.bindings.insert((*output).to_owned(), Binding::Value(id)).is_some() {
                    return Err(node.invalid(format!("output \"{output}\" exists already")));
                }
                ids.push(id);
            }
            return Ok(ids);
        }
        let dtypes: Vec<Option<DType>> = inputs.iter().map(|id| id.map(|id| self.dtype(id))).collect();
        let unknown = None;
        let shapes: Vec<&Shape> = inputs.iter().map(|id| id.map_or(&unknown, |id| &self.facts[id.0].shape)).collect();
        let shapes = op.symbolic_shapes(&shapes, outputs.len(), &mut self.symbols);
        let mut ids = Vec::with_capacity(outputs.len());
        for (idx, (output, shape)) in outputs.iter().zip(shapes).enumerate() {
            let dtype = op.output_dtype(&dtypes, idx).map_err(|cause| node.invalid(cause))?;
            let id = self.push_value((*output).to_owned(), None, Fact { dtype, shape });
            if self.bindings.insert((*output).to_owned(), Binding::Value(id)).is_some() {
                return Err(node.invalid(format!("output \"{output}\" exists already")));
            }
            ids.push(id);
        }
        self.nodes.push(Node { name, op, inputs, outputs: ids.clone() });
        Ok(ids)
    }

    /// Adds the only graph node of an ONNX node with outputs of these names; one without a name gets one. Returns the
    /// names.
    pub(crate) fn emit_all<'a>(
        &mut self,
        node: &NodeView<'_>,
        op: Op,
        inputs: Vec<Option<ValueId>>,
        outputs: impl IntoIterator<Item = Option<&'a str>>,
    ) -> Result<Vec<String>, GraphError> {
        let mut names = Vec::new();
        for (idx, output) in outputs.into_iter().enumerate() {
            names.push(match output.filter(|name| !name.is_empty()) {
                Some(name) => name.to_owned(),
                None => self.free_value_name(&format!("{}.{idx}", node.name())),
            });
        }
        let outputs: Vec<&str> = names.iter().map(String::as_str).collect();
        self.emit_as(node, node.name().to_owned(), op, inputs, &outputs)?;
        Ok(names)
    }

    /// What a small calculation on constants gives, if it gives truth values or integers: exporters decide with them what a
    /// network looks like. Calculations of floating point are left to the network, where they may be weights.
    fn folded(
        &self,
        node: &NodeView<'_>,
        op: &Op,
        inputs: &[Option<ValueId>],
    ) -> Result<Option<Vec<Tensor>>, GraphError> {
        const MOST_ELEMENTS: usize = 4096;
        let constants: Vec<Option<&Tensor>> =
            inputs.iter().map(|id| id.and_then(|id| self.values[id.0].constant.as_ref())).collect();
        let all_known = constants.iter().zip(inputs).all(|(constant, id)| constant.is_some() || id.is_none());
        let is_small = constants.iter().flatten().all(|tensor| tensor.len() <= MOST_ELEMENTS);
        let dtypes: Vec<Option<DType>> = constants.iter().map(|tensor| tensor.map(Tensor::dtype)).collect();
        let discrete = [DType::Bool, DType::I64, DType::I32];
        let is_discrete = op.output_dtype(&dtypes, 0).is_ok_and(|dtype| discrete.contains(&dtype));
        if inputs.is_empty() || !all_known || !is_small || !is_discrete || !op.folds() {
            return Ok(None);
        }
        let results = crate::reference::evaluate(op, node.name(), &constants)?;
        Ok(results.iter().all(|tensor| tensor.len() <= MOST_ELEMENTS).then_some(results))
    }

    /// Adds a step of a composition, with generated names; returns its output.
    pub(crate) fn emit_step(
        &mut self,
        node: &NodeView<'_>,
        label: &str,
        op: Op,
        inputs: Vec<Option<ValueId>>,
    ) -> Result<ValueId, GraphError> {
        let name = self.free_node_name(&format!("{}.{label}", node.name()));
        let output = self.free_value_name(&format!("{}.{label}", first_output(node)?));
        let ids = self.emit_as(node, name, op, inputs, &[&output])?;
        ids.first().copied().ok_or_else(|| node.invalid("no output"))
    }

    /// Makes the only output of `node` a result of shape arithmetic.
    pub(crate) fn bind_symbolic(&mut self, node: &NodeView<'_>, tensor: SymbolicTensor) -> Result<(), GraphError> {
        self.n_shape_entries = self.n_shape_entries.saturating_add(tensor.n_entries());
        check_shape_entries(node, self.n_shape_entries)?;
        self.bind(node, Binding::Symbolic(tensor))
    }

    /// Makes the only output of `node` a constant.
    pub(crate) fn bind_constant(&mut self, node: &NodeView<'_>, tensor: Tensor) -> Result<(), GraphError> {
        self.bind(node, Binding::Constant(tensor))
    }

    /// Makes the only output of `node` another name of a graph value.
    pub(crate) fn bind_alias(&mut self, node: &NodeView<'_>, value: ValueId) -> Result<(), GraphError> {
        self.bind(node, Binding::Value(value))
    }

    /// Makes `name` another name of what `known` stands for.
    pub(crate) fn alias(&mut self, node: &NodeView<'_>, name: &str, known: &str) -> Result<(), GraphError> {
        // A constant is converted first, so that there is one of it.
        let constant = self.constant(known)?;
        let binding = match self.bindings.get(known) {
            // Outputs of the network keep their names.
            Some(Binding::Value(id)) if self.is_network_output(name) => {
                let id = *id;
                let own = format!("{}/{name}", node.name());
                return self.emit_as(node, own, Op::Identity, vec![Some(id)], &[name]).map(drop);
            }
            Some(Binding::Value(id)) => Binding::Value(*id),
            Some(Binding::Symbolic(tensor)) => Binding::Symbolic(tensor.clone()),
            Some(Binding::Sequence(elements)) => Binding::Sequence(elements.clone()),
            Some(Binding::Nothing) => Binding::Nothing,
            _ => Binding::Constant(constant.ok_or_else(|| node.invalid(format!("nothing produces \"{known}\"")))?),
        };
        self.bind_as(node, name, binding)
    }

    fn bind(&mut self, node: &NodeView<'_>, binding: Binding) -> Result<(), GraphError> {
        let output = self.only_output(node)?;
        self.bind_as(node, output, binding)
    }

    fn bind_as(&mut self, node: &NodeView<'_>, output: &str, binding: Binding) -> Result<(), GraphError> {
        match self.bindings.insert(output.to_owned(), binding) {
            None => Ok(()),
            Some(_) => Err(node.invalid(format!("output \"{output}\" exists already"))),
        }
    }

    /// A constant that the file does not have, under a name that is free.
    pub(crate) fn add_constant(&mut self, name: &str, tensor: Tensor) {
        self.bindings.insert(name.to_owned(), Binding::Constant(tensor));
    }

    /// Notes the element type of a constant of the file where no element type here says it.
    pub(crate) fn note_packed(&mut self, name: &str, number: i32) {
        if packed::Coded::of(number).is_some() {
            self.packed.insert(name.to_owned(), number);
        }
    }

    /// How the elements of a constant are coded in the file where no element type here says it.
    pub(crate) fn packed(&self, name: &str) -> Option<packed::Coded> {
        packed::Coded::of(*self.packed.get(name)?)
    }

    /// Notes that a node of an expansion reads the value.
    pub(crate) fn mark_read(&mut self, name: &str) {
        self.read.insert(name.to_owned());
    }

    /// A constant that the file does not have, as a graph value.
    pub(crate) fn new_constant(&mut self, base: &str, tensor: Tensor) -> ValueId {
        let name = self.free_value_name(base);
        let shape = Some(tensor.shape().iter().map(|&n| Extent::Known(n)).collect());
        let fact = Fact { dtype: tensor.dtype(), shape };
        self.push_value(name, Some(tensor), fact)
    }

    /// A scalar of `dtype` as a graph value.
    pub(crate) fn new_zero(&mut self, base: &str, dtype: DType) -> Option<ValueId> {
        let data = match dtype {
            DType::I8 => Data::I8(vec![0].into()),
            DType::U8 => Data::U8(vec![0].into()),
            DType::I16 => Data::I16(vec![0].into()),
            DType::U16 => Data::U16(vec![0].into()),
            _ => return None,
        };
        Tensor::new(Vec::new(), data).map(|tensor| self.new_constant(base, tensor))
    }

    /// Every output that somebody reads must have been made.
    pub(crate) fn check_outputs(&self, node: &NodeView<'_>) -> Result<(), GraphError> {
        let missing = |name: &&String| !name.is_empty() && self.is_read(name) && !self.bindings.contains_key(*name);
        match node.outputs().iter().find(missing) {
            Some(output) => Err(node.unsupported(format!("output \"{output}\""))),
            None => Ok(()),
        }
    }

    /// The graph with these outputs.
    pub(crate) fn finish(mut self, name: String, outputs: &[&str]) -> Result<Graph, GraphError> {
        let invalid = |cause: String| GraphError::InvalidGraph { graph: name.clone(), cause };
        if outputs.is_empty() {
            return Err(invalid("the network has no output".to_owned()));
        }
        let mut ids = Vec::with_capacity(outputs.len());
        for &output in outputs {
            if !self.bindings.contains_key(output) {
                return Err(invalid(format!("nothing produces the output \"{output}\"")));
            }
            let id = self.value_of(output)?;
            ids.push(id.ok_or_else(|| {
                let what = match self.bindings.get(output) {
                    Some(Binding::Sequence(_) | Binding::Nothing) => "is a list or an option",
                    _ => "holds extents of an input",
                };
                invalid(format!("output \"{output}\" {what}, which is not supported: export without it"))
            })?);
        }
        self.renumber(&mut ids);
        Graph::new(name, self.inputs, ids, self.values, self.nodes)
    }

    /// Numbers the values anew: inputs, then as the nodes read and make them. Constants that only calculations at import have
    /// read go.
    fn renumber(&mut self, outputs: &mut [ValueId]) {
        let mut places: Vec<Option<usize>> = vec![None; self.values.len()];
        let mut order = Vec::with_capacity(self.values.len());
        let inputs = self.inputs.iter().map(|input| input.value);
        let of_nodes = self.nodes.iter().flat_map(|node| node.inputs.iter().flatten().chain(&node.outputs).copied());
        for id in inputs.chain(of_nodes).chain(outputs.iter().copied()) {
            places[id.0].get_or_insert_with(|| {
                order.push(id);
                order.len() - 1
            });
        }
        let mut values: Vec<Option<Value>> = std::mem::take(&mut self.values).into_iter().map(Some).collect();
        self.values = order.iter().filter_map(|id| values[id.0].take()).collect();
        let ids = self.nodes.iter_mut().flat_map(|node| node.inputs.iter_mut().flatten().chain(&mut node.outputs));
        let inputs = self.inputs.iter_mut().map(|input| &mut input.value);
        ids.chain(outputs).chain(inputs).for_each(|id| *id = ValueId(places[id.0].unwrap_or(0)));
    }
}

fn check_shape_entries(node: &NodeView<'_>, n_entries: usize) -> Result<(), GraphError> {
    if n_entries <= MAX_SHAPE_ENTRIES {
        return Ok(());
    }
    Err(node.unsupported(format!("shape calculations on more than {MAX_SHAPE_ENTRIES} entries in total")))
}

fn first_output<'a>(node: &NodeView<'a>) -> Result<&'a str, GraphError> {
    let first = node.outputs().first().map(String::as_str).filter(|name| !name.is_empty());
    first.ok_or_else(|| node.invalid("the first output has no name"))
}

fn free_name(base: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(base) {
        return base.to_owned();
    }
    let mut number = 1_usize;
    loop {
        let name = format!("{base}_{number}");
        if !taken(&name) {
            return name;
        }
        number += 1;
    }
}
