//! A graph of the orders that were chosen.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::choose::Choice;
use super::view::{View, transposed};
use crate::onnx::symbolic::Extent;
use crate::ops::order::{inverse, is_identity, then};
use crate::ops::{Reshape, Transpose};
use crate::rewrite::Editor;
use crate::rewrite::editor::free_name;
use crate::{Graph, Node, Op, Tensor, Value, ValueId};

/// The graph of a view with every node as chosen, and transposes where orders differ.
pub(super) fn emit(view: &View<'_>, choice: &Choice<'_>) -> Graph {
    let mut emitter = Emitter::new(view, choice);
    for (idx, node) in view.graph.nodes().iter().enumerate() {
        if transposed(node).is_none() {
            emitter.node(idx, node);
        }
    }
    for &id in view.graph.outputs() {
        emitter.output(id);
    }
    emitter.finish()
}

/// A value in an order.
type Ordered = (ValueId, Vec<usize>);

struct Emitter<'v> {
    view: &'v View<'v>,
    choice: &'v Choice<'v>,
    parts: Editor<'v>,
    names: HashSet<String>,
    node_names: HashSet<String>,
    /// For each root and each order in which it is there, its value.
    values: BTreeMap<Ordered, ValueId>,
    /// For each root and each order that a transpose of the network makes, its value and the name of the node.
    named: BTreeMap<Ordered, (ValueId, &'v str)>,
    /// Constants that are read in one order only.
    replaced: BTreeMap<ValueId, Tensor>,
    nodes: Vec<Node>,
}

impl<'v> Emitter<'v> {
    fn new(view: &'v View<'v>, choice: &'v Choice<'v>) -> Self {
        let graph = view.graph;
        let mut named: BTreeMap<Ordered, (ValueId, &str)> = BTreeMap::new();
        let is_output: HashSet<ValueId> = graph.outputs().iter().copied().collect();
        for node in graph.nodes().iter().filter(|node| transposed(node).is_some()) {
            let made = node.outputs[0];
            let source = &view.sources[made.0];
            let entry = named.entry((source.root, source.order.clone())).or_insert((made, &node.name));
            // Of several, one that the network gives.
            if is_output.contains(&made) && !is_output.contains(&entry.0) {
                *entry = (made, &node.name);
            }
        }
        let mut parts = Editor::new(graph);
        parts.nodes.clear();
        let names = graph.values().iter().map(|value| value.name.clone()).collect();
        let kept = graph.nodes().iter().filter(|node| transposed(node).is_none());
        let node_names = kept.map(|node| node.name.clone()).collect();
        let (values, replaced, nodes) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut emitter = Self { view, choice, parts, names, node_names, values, named, replaced, nodes };
        emitter.place_roots();
        emitter
    }

    /// Finds the value that each root is stored in: its own, unless the network gives that in another order.
    fn place_roots(&mut self) {
        let graph = self.view.graph;
        let is_output: HashSet<ValueId> = graph.outputs().iter().copied().collect();
        let inputs = graph.inputs().iter().map(|input| input.value);
        let made = graph.nodes().iter().filter(|node| transposed(node).is_none());
        let made = made.flat_map(|node| node.outputs.iter().copied());
        for root in inputs.chain(made).collect::<Vec<ValueId>>() {
            let order = self.choice.made(root);
            let stored = if is_output.contains(&root) && !is_identity(&order) {
                let name = format!("{}.reordered", graph.value(root).name);
                self.value(&name, None)
            } else {
                root
            };
            self.values.insert((root, order), stored);
        }
        self.place_constants();
    }

    /// Puts constants that all readers want in one order into that order.
    fn place_constants(&mut self) {
        let view = self.view;
        let mut wanted: BTreeMap<ValueId, BTreeSet<Option<Vec<usize>>>> = BTreeMap::new();
        for (idx, node) in view.graph.nodes().iter().enumerate() {
            for (input, id) in node.inputs.iter().enumerate() {
                let Some(id) = id.filter(|&id| view.is_constant(view.sources[id.0].root)) else { continue };
                let order = self.choice.form(idx).and_then(|form| form.inputs.get(input)?.clone());
                let order = if transposed(node).is_some() { None } else { order };
                wanted.entry(id).or_default().insert(order.filter(|order| !is_identity(order)));
            }
        }
        let outputs: HashSet<ValueId> = view.graph.outputs().iter().copied().collect();
        for (id, orders) in wanted {
            let (Some(tensor), false) = (view.graph.constant(id), outputs.contains(&id)) else { continue };
            if let (Some(Some(order)), 1) = (orders.first(), orders.len()) {
                let turned = reordered(tensor, order);
                self.values.insert((id, order.clone()), id);
                self.replaced.insert(id, turned);
            }
        }
    }

    fn node(&mut self, idx: usize, node: &Node) {
        let form = self.choice.form(idx);
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for (input, id) in node.inputs.iter().enumerate() {
            let own = form.and_then(|form| form.inputs.get(input)?.as_ref());
            inputs.push(id.map(|id| self.read(id, own)));
        }
        let outputs = node.outputs.iter().map(|&id| self.stored(id)).collect();
        let op = form.and_then(|form| form.op.clone()).unwrap_or_else(|| node.op.clone());
        self.nodes.push(Node { name: node.name.clone(), op, inputs, outputs });
    }

    /// The value that a root is stored in.
    fn stored(&self, root: ValueId) -> ValueId {
        self.values.get(&(root, self.choice.made(root))).copied().unwrap_or(root)
    }

    /// The value that a node reads in place of `id` where it takes it in the order `own`.
    fn read(&mut self, id: ValueId, own: Option<&Vec<usize>>) -> ValueId {
        let source = &self.view.sources[id.0];
        let (root, order) = (source.root, source.order.clone());
        match self.view.graph.constant(root) {
            Some(tensor) => self.constant(root, tensor, &order, own),
            None => self.ordered(root, own.map_or(order.clone(), |own| then(&order, own))),
        }
    }

    /// A constant, behind a transpose or not, in an order that may have more axes.
    fn constant(&mut self, root: ValueId, tensor: &Tensor, order: &[usize], own: Option<&Vec<usize>>) -> ValueId {
        let own = own.filter(|own| !is_identity(own));
        if own.is_none() && is_identity(order) {
            return root;
        }
        // Leading axes come before those of the constant.
        let n_new = own.map_or(0, |own| own.len() - order.len());
        let spread: Vec<usize> = (0..n_new).chain(order.iter().map(|axis| axis + n_new)).collect();
        let whole = own.map_or(spread.clone(), |own| then(&spread, own));
        if let Some(&id) = self.values.get(&(root, whole.clone())) {
            return id;
        }
        let name = format!("{}.reordered", self.view.graph.value(root).name);
        let id = self.value(&name, Some(reordered(tensor, &whole)));
        self.values.insert((root, whole), id);
        id
    }

    /// A root in an order.
    fn ordered(&mut self, root: ValueId, order: Vec<usize>) -> ValueId {
        let key = (root, order);
        if let Some(&id) = self.values.get(&key) {
            return id;
        }
        let (id, name) = match self.named.get(&key) {
            Some(&(id, name)) => (id, name.to_owned()),
            // The network gives the root itself, which is stored elsewhere.
            None if is_identity(&key.1) && self.stored(root) != root => {
                (root, format!("{}.order", self.view.graph.value(root).name))
            }
            None => {
                let name = format!("{}.transposed", self.view.graph.value(root).name);
                (self.value(&name, None), name)
            }
        };
        self.convert(root, &key.1, id, &name);
        self.values.insert(key, id);
        id
    }

    /// A value that the network gives.
    fn output(&mut self, id: ValueId) {
        let source = &self.view.sources[id.0];
        let (root, order) = (source.root, source.order.clone());
        if self.view.is_constant(root) && is_identity(&order) {
            return;
        }
        let made = self.values.get(&(root, order.clone())).copied();
        if made == Some(id) || self.nodes.iter().any(|node| node.outputs.contains(&id)) {
            return;
        }
        if made.is_none() && self.named.get(&(root, order.clone())).is_some_and(|&(named, _)| named == id) {
            self.ordered(root, order);
            return;
        }
        let name = format!("{}.order", self.view.graph.value(id).name);
        self.convert(root, &order, id, &name);
    }

    /// Makes `id` of a root in an order, from what is there already.
    fn convert(&mut self, root: ValueId, order: &[usize], id: ValueId, name: &str) {
        let effective = self.view.effective(root, order);
        let there = |(_, stored): &&Ordered| self.view.effective(root, stored) == effective;
        let made = (root, self.choice.made(root));
        let alike = if self.view.effective(root, &made.1) == effective {
            Some(made.clone())
        } else {
            let of_root = self.values.range((root, Vec::new())..).map(|(key, _)| key);
            of_root.take_while(|(other, _)| *other == root).find(there).cloned()
        };
        let from = alike.unwrap_or(made);
        let perm = then(&inverse(&from.1), order);
        let op = match self.renaming(root, &from.1, order, &perm) {
            _ if is_identity(&perm) => Op::Identity,
            Some(op) => op,
            None => Op::Transpose(Transpose { perm }),
        };
        let x = self.values.get(&from).copied().unwrap_or(root);
        let name = free_name(name, &self.node_names.iter().map(String::as_str).collect());
        self.node_names.insert(name.clone());
        self.nodes.push(Node { name, op, inputs: vec![Some(x)], outputs: vec![id] });
    }

    /// A `Reshape` in the place of a transpose, where elements lie alike in both orders.
    fn renaming(&self, root: ValueId, from: &[usize], order: &[usize], perm: &[usize]) -> Option<Op> {
        let alike = self.view.effective(root, from) == self.view.effective(root, order);
        if !alike {
            return None;
        }
        let mut has_open = false;
        let mut shape = Vec::with_capacity(order.len());
        for (place, (&axis, &source)) in order.iter().zip(perm).enumerate() {
            shape.push(match self.view.extent(root, axis)? {
                _ if source == place => 0,
                Extent::Known(n) if n > 0 => i64::try_from(n).ok()?,
                Extent::Symbol(_) if !std::mem::replace(&mut has_open, true) => -1,
                Extent::Known(_) | Extent::Symbol(_) => return None,
            });
        }
        Some(Op::Reshape(Reshape { shape, allow_zero: false }))
    }

    fn value(&mut self, name: &str, constant: Option<Tensor>) -> ValueId {
        let name = if self.names.contains(name) {
            free_name(name, &self.names.iter().map(String::as_str).collect())
        } else {
            name.to_owned()
        };
        self.names.insert(name.clone());
        self.parts.values.push(Value { name, constant });
        ValueId(self.parts.values.len() - 1)
    }

    fn finish(mut self) -> Graph {
        for (id, tensor) in std::mem::take(&mut self.replaced) {
            self.parts.values[id.0].constant = Some(tensor);
        }
        self.parts.nodes = std::mem::take(&mut self.nodes);
        // What only left-out transposes made has no source, and nothing reads it.
        let mut needed = vec![false; self.parts.values.len()];
        let used = self.parts.nodes.iter().flat_map(|node| node.inputs.iter().flatten().chain(&node.outputs));
        let inputs = self.parts.inputs.iter().map(|input| &input.value);
        used.chain(inputs).chain(&self.parts.outputs).for_each(|id| needed[id.0] = true);
        self.parts.compact(&needed);
        self.parts.rebuilt()
    }
}

/// A constant with its axes in an order, axes of extent 1 put before its own where the order has more.
pub(super) fn reordered(tensor: &Tensor, order: &[usize]) -> Tensor {
    let mut shape = vec![1; order.len() - tensor.shape().len()];
    shape.extend(tensor.shape());
    let spread = tensor.reshaped(shape).expect("axes of extent 1 change no number of elements");
    let turned = crate::rewrite::folded(&Op::Transpose(Transpose { perm: order.to_vec() }), "order", &[Some(&spread)]);
    turned.and_then(|mut turned| turned.pop()).expect("a transpose of a constant is folded")
}
