//! A network on its way: block after block becomes another one.

use skimp_graph::rewrite::{Editor, fold_constants, remove_dead, trial_shapes};
use skimp_graph::{Graph, Op, ops};

use super::block::{Block, BlockKind};
use super::build::{self, Fresh};
use super::detect::{REMOVED, blocks};
use super::refit::refit;
use super::target::{self, Change, Plan, plan};
use crate::ReduceError;

/// A copy of the teacher whose blocks become other ones.
///
/// # Determinism
/// Every new weight depends on the seed, its block and its layer alone, not on the blocks changed before.
#[derive(Clone, Debug)]
pub struct Student {
    graph: Graph,
    blocks: Vec<Block>,
    seed: u64,
}

/// A network recast, weights of changed blocks random.
#[derive(Clone, Debug)]
pub struct Recast {
    /// The network.
    pub graph: Graph,
    /// Its blocks; numbers are those of the network it comes from.
    pub blocks: Vec<Block>,
}

impl Student {
    /// A student that is the teacher still. Constants are folded and what no output needs is left out.
    ///
    /// # Errors
    /// As [`blocks`].
    pub fn new(teacher: &Graph, seed: u64) -> Result<Self, ReduceError> {
        let graph = remove_dead(&fold_constants(teacher));
        let blocks = blocks(&graph)?;
        Ok(Self { graph, blocks, seed })
    }

    /// The network as it stands.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Its blocks as they stand. Their number, and the names of the values that they make, never change.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The result.
    pub fn finish(self) -> Recast {
        Recast { graph: self.graph, blocks: self.blocks }
    }

    /// Puts another block in the place of one, and rebuilds the block behind it: of its own type, for what the new one
    /// makes, of its own output width. Both get new weights, the latter even where its extents stay.
    ///
    /// # Errors
    /// [`ReduceError::Node`] with the block's first node if there is no rule or no such width, or the block behind it
    /// cannot be rebuilt; [`ReduceError::Setting`] for a number that no block has; [`ReduceError::Graph`] if what rides
    /// between both does not take the new width. The student stays as it was.
    ///
    /// # Source
    /// Yu, Kang and Choi, AAAI 2019, section on dimension mismatch, and the released code: no adapter is ever added.
    pub fn replace(&mut self, change: &Change) -> Result<(), ReduceError> {
        let Some(block) = self.blocks.get(change.block) else {
            return Err(ReduceError::Setting {
                method: "recast".to_owned(),
                setting: "blocks".to_owned(),
                expected: format!("numbers below {}, the network's blocks", self.blocks.len()),
                found: change.block.to_string(),
            });
        };
        let wrong = |of: &Block, at: usize, cause: String| ReduceError::Node {
            network: self.graph.name().to_owned(),
            node: of.nodes.first().cloned().unwrap_or_default(),
            cause: format!("block {at} ({}): {cause}", of.kind),
        };
        let made = plan(block, change.into, change.ratio).map_err(|cause| wrong(block, change.block, cause))?;
        let at = change.block + 1;
        let Some(next) = self.blocks.get(at) else {
            let cause = "no block lies behind it, by whose output it could be compared".to_owned();
            return Err(wrong(block, change.block, cause));
        };
        let width = width_of(made, block);
        let features = next.in_width * width;
        if block.width == 0 || !features.is_multiple_of(block.width) {
            let cause =
                format!("it reads {} channels where {} are made; expected a multiple", next.in_width, block.width);
            return Err(wrong(next, at, cause));
        }
        let rebuilt = rebuilt(next, features / block.width).map_err(|cause| wrong(next, at, cause))?;

        let mut editor = Editor::new(&self.graph);
        let prefix = self.prefix(change.block);
        let target = Fresh { seed: self.seed, block: change.block, role: "target" };
        apply(&mut editor, block, made, block.in_width, (&prefix, &target))?;
        self.free_riders(&mut editor, block)?;
        let prefix = self.prefix(at);
        let behind = Fresh { seed: self.seed, block: at, role: "next" };
        apply(&mut editor, next, rebuilt, features / block.width, (&prefix, &behind))?;
        let mut graph = remove_dead(&editor.finish()?);
        if made == Plan::Removed {
            let known = graph.metadata(REMOVED).map(|known| format!("{known}\n")).unwrap_or_default();
            let node = producer_of(&graph, &block.output).to_owned();
            graph = graph.with_metadata(REMOVED, format!("{known}{node}"));
        }
        let found = blocks(&graph)?;
        let outputs = |blocks: &[Block]| blocks.iter().map(|block| block.output.clone()).collect::<Vec<_>>();
        if outputs(&found) != outputs(&self.blocks) {
            return Err(wrong(block, change.block, "the network falls into other blocks once it is recast".to_owned()));
        }
        let (before, after) = (shape(&self.graph, &next.output)?, shape(&graph, &next.output)?);
        if before != after {
            let cause = format!("it would make {after:?} in the place of {before:?}");
            return Err(wrong(next, at, cause));
        }
        self.graph = graph;
        self.blocks = found;
        Ok(())
    }

    /// Reshaping to fixed extents behind a block becomes flattening, which takes any width.
    fn free_riders(&self, editor: &mut Editor<'_>, block: &Block) -> Result<(), ReduceError> {
        let shapes = trial_shapes(&self.graph)?;
        for name in &block.riders {
            let node = self.graph.nodes().iter().find(|node| node.name == *name);
            let Some(node) = node.filter(|node| matches!(node.op, Op::Reshape(_))) else { continue };
            let rank = |id| shapes.shape(id).len();
            let input = node.inputs.first().copied().flatten().map_or(0, rank);
            if input > 2 && node.outputs.first().copied().map_or(0, rank) == 2 {
                editor.replace_op(name, Op::Flatten(ops::Flatten { axis: 1 }))?;
            }
        }
        Ok(())
    }

    /// What the names of new nodes of a block begin with: no name of the network does.
    fn prefix(&self, block: usize) -> String {
        let is_taken = |prefix: &str| {
            let mut names = self.graph.nodes().iter().map(|node| &node.name);
            let mut values = self.graph.values().iter().map(|value| &value.name);
            let dotted = format!("{prefix}.");
            names.any(|name| name.starts_with(&dotted)) || values.any(|name| name.starts_with(&dotted))
        };
        let mut prefix = format!("recast{block}");
        let mut number = 1;
        while is_taken(&prefix) {
            number += 1;
            prefix = format!("recast{block}_{number}");
        }
        prefix
    }

    /// Takes another network of the same nodes, with other weights.
    pub(super) fn set_graph(&mut self, graph: Graph) {
        self.graph = graph;
    }
}

/// Channels that a block makes once it is built.
fn width_of(plan: Plan, source: &Block) -> usize {
    match plan {
        Plan::Conv { outputs, .. } | Plan::Basic { outputs, .. } | Plan::Refit { outputs } => outputs,
        Plan::Dense { growth, n_layers, .. } => source.in_width + growth * n_layers,
        Plan::Removed => source.in_width,
    }
}

/// How the block behind a recast one is built for what it reads now.
fn rebuilt(next: &Block, inputs: usize) -> Result<Plan, String> {
    match &next.kind {
        BlockKind::Other { node, reason } => Err(format!(
            "the block before it cannot be recast, as this one would have to be rebuilt: node \"{node}\": {reason}"
        )),
        BlockKind::Removed => {
            Err("the block before it cannot be recast after it was removed; recast it first".to_owned())
        }
        BlockKind::Dense { .. } if inputs != next.in_width => {
            target::dense(&Block { in_width: inputs, ..next.clone() }, next.width, None)
        }
        _ => Ok(Plan::Refit { outputs: next.width }),
    }
}

/// Builds a block in the place of `block`, for `inputs` channels.
fn apply(
    editor: &mut Editor<'_>,
    block: &Block,
    plan: Plan,
    inputs: usize,
    (prefix, fresh): (&str, &Fresh),
) -> Result<(), ReduceError> {
    let replacement = match plan {
        Plan::Refit { outputs } => return Ok(refit(editor, block, [inputs, outputs], (prefix, fresh))?),
        Plan::Conv { outputs, stride } => build::conv(prefix, [inputs, outputs, stride], fresh)?,
        Plan::Basic { outputs, stride } => build::basic(prefix, [inputs, outputs, stride], fresh)?,
        Plan::Dense { growth, n_layers, bottleneck } => {
            build::dense(prefix, [inputs, growth, n_layers], bottleneck, fresh)?
        }
        Plan::Removed => build::removed(prefix, inputs, fresh)?,
    };
    let names: Vec<&str> = block.nodes.iter().map(String::as_str).collect();
    let ids = [&block.input, &block.output].map(|name| editor.value(name));
    let (input, output): (Vec<_>, Vec<_>) = (ids[0].into_iter().collect(), ids[1].into_iter().collect());
    Ok(editor.replace_block(&names, &replacement, &input, &output)?)
}

/// The extents of a value, for trial extents of the input.
fn shape(graph: &Graph, value: &str) -> Result<Vec<usize>, ReduceError> {
    let shapes = trial_shapes(graph)?;
    let id = graph.values().iter().position(|other| other.name == value);
    Ok(id.map_or_else(Vec::new, |id| shapes.shape(skimp_graph::ValueId(id)).to_vec()))
}

/// The name of the node that makes a value.
fn producer_of<'g>(graph: &'g Graph, value: &str) -> &'g str {
    let makes = |node: &&skimp_graph::Node| node.outputs.iter().any(|&id| graph.value(id).name == value);
    graph.nodes().iter().find(makes).map_or("", |node| node.name.as_str())
}
