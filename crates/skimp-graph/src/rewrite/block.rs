//! Another graph in the place of some nodes.

use std::collections::HashSet;

use super::Editor;
use super::editor::free_name;
use crate::{Graph, GraphError, Node, Op, ValueId};

impl Editor<'_> {
    /// Puts `replacement` in the place of the nodes `block`: its inputs read the values `inputs`, its outputs make the
    /// values `outputs`, which keep their names, in order. Both may have other extents than before if the readers fit.
    ///
    /// Its nodes and inner values keep their names where they are free, else they get a number behind them, so that no
    /// two share one. An output that `replacement` takes straight from an input or a constant, or gives twice, comes
    /// from an `Identity`.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if a node does not exist or is named twice, the numbers of inputs or outputs differ,
    /// an input is made by the block itself or an output is not; [`GraphError::InvalidNode`] if what a node of the block
    /// makes is used elsewhere and not among `outputs`. Nothing is changed then.
    pub fn replace_block(
        &mut self,
        block: &[&str],
        replacement: &Graph,
        inputs: &[ValueId],
        outputs: &[ValueId],
    ) -> Result<(), GraphError> {
        let block = self.block(block, inputs, outputs)?;
        let (n_inputs, n_outputs) = (replacement.inputs().len(), replacement.outputs().len());
        if (n_inputs, n_outputs) != (inputs.len(), outputs.len()) {
            let (given, made) = (inputs.len(), outputs.len());
            return Err(self.invalid(format!(
                "\"{}\" has {n_inputs} inputs and {n_outputs} outputs, the block in its place {given} and {made}",
                replacement.name()
            )));
        }
        let place = block.iter().copied().min().unwrap_or(self.nodes.len());
        self.cut(&block, outputs);
        let nodes = self.grafted(replacement, inputs, outputs);
        self.nodes.splice(place..place, nodes);
        Ok(())
    }

    /// The indices of the block's nodes, after the checks that need no replacement.
    fn block(&self, names: &[&str], inputs: &[ValueId], outputs: &[ValueId]) -> Result<HashSet<usize>, GraphError> {
        let mut block = HashSet::new();
        for name in names {
            if !block.insert(self.position(name)?) {
                return Err(self.invalid(format!("the block names \"{name}\" twice")));
            }
        }
        let made: HashSet<ValueId> = block.iter().flat_map(|&idx| &self.nodes[idx].outputs).copied().collect();
        for &input in inputs {
            self.check_value(input)?;
            if made.contains(&input) {
                let name = &self.values[input.0].name;
                return Err(self.invalid(format!("the block reads \"{name}\" from itself, not from outside")));
            }
        }
        let mut wanted = HashSet::new();
        for &output in outputs {
            self.check_value(output)?;
            let name = &self.values[output.0].name;
            if !made.contains(&output) {
                return Err(self.invalid(format!("no node of the block makes \"{name}\"")));
            }
            if !wanted.insert(output) {
                return Err(self.invalid(format!("\"{name}\" is named twice among the block's outputs")));
            }
        }
        let outside = self.nodes.iter().enumerate().filter(|(idx, _)| !block.contains(idx));
        let read: HashSet<ValueId> = outside.flat_map(|(_, node)| node.inputs.iter().flatten()).copied().collect();
        let mut members: Vec<usize> = block.iter().copied().collect();
        members.sort_unstable();
        for idx in members {
            for &id in &self.nodes[idx].outputs {
                if !wanted.contains(&id) && (read.contains(&id) || self.outputs.contains(&id)) {
                    let cause = format!("\"{}\" is used outside of the block", self.values[id.0].name);
                    return Err(self.invalid_node(idx, cause));
                }
            }
        }
        Ok(block)
    }

    /// Removes the block's nodes with what only they use.
    fn cut(&mut self, block: &HashSet<usize>, outputs: &[ValueId]) {
        let (mut kept, mut cut) = (Vec::with_capacity(self.nodes.len()), Vec::new());
        for (idx, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if block.contains(&idx) { cut.push(node) } else { kept.push(node) }
        }
        self.nodes = kept;
        let made = cut.iter().flat_map(|node| &node.outputs).filter(|id| !outputs.contains(id));
        made.for_each(|&id| self.values[id.0].name.clear());
        self.release_constants(cut.iter().flat_map(|node| node.inputs.iter().flatten()).copied());
    }

    /// The nodes of `replacement` on values of this graph.
    fn grafted(&mut self, replacement: &Graph, inputs: &[ValueId], outputs: &[ValueId]) -> Vec<Node> {
        let made: HashSet<ValueId> = replacement.nodes().iter().flat_map(|node| &node.outputs).copied().collect();
        let mut ids: Vec<Option<ValueId>> = vec![None; replacement.values().len()];
        for (input, &id) in replacement.inputs().iter().zip(inputs) {
            ids[input.value.0] = Some(id);
        }
        let mut copies = Vec::new();
        for (&inner, &id) in replacement.outputs().iter().zip(outputs) {
            match ids[inner.0] {
                None if made.contains(&inner) => ids[inner.0] = Some(id),
                Some(_) | None => copies.push((inner, id)),
            }
        }
        let mut mapped = Vec::with_capacity(ids.len());
        for (value, id) in replacement.values().iter().zip(ids) {
            mapped.push(id.unwrap_or_else(|| self.add_value(&value.name, value.constant.clone())));
        }
        let mut taken: HashSet<String> = self.nodes.iter().map(|node| node.name.clone()).collect();
        let mut name = |base: &str| {
            let name = free_name(base, &taken.iter().map(String::as_str).collect());
            taken.insert(name.clone());
            name
        };
        let mut nodes = Vec::with_capacity(replacement.nodes().len() + copies.len());
        for node in replacement.nodes() {
            nodes.push(Node {
                name: name(&node.name),
                op: node.op.clone(),
                inputs: node.inputs.iter().map(|id| id.map(|id| mapped[id.0])).collect(),
                outputs: node.outputs.iter().map(|id| mapped[id.0]).collect(),
            });
        }
        for (inner, id) in copies {
            let base = format!("{}.identity", replacement.value(inner).name);
            let inputs = vec![Some(mapped[inner.0])];
            nodes.push(Node { name: name(&base), op: Op::Identity, inputs, outputs: vec![id] });
        }
        nodes
    }
}
