//! The layers that a block has, for other widths.

use skimp_graph::rewrite::{Edge, Editor};
use skimp_graph::{GraphError, Node, Op, Tensor, ValueId};

use super::block::{Block, BlockKind, Form, Layer, Shortcut};
use super::build::{self, Fresh, NORM, needs_projection, vector};

/// Gives the layers of a block new weights for `inputs` channels read and `outputs` channels made. Nodes keep their
/// names; batch norms begin anew, biases are zero. The shortcut of a residual block becomes what widths and stride ask for.
///
/// # Errors
/// [`GraphError`] if the block is not one of the edited graph.
pub(super) fn refit(
    editor: &mut Editor<'_>,
    block: &Block,
    [inputs, outputs]: [usize; 2],
    (prefix, fresh): (&str, &Fresh),
) -> Result<(), GraphError> {
    match &block.form {
        Form::Layer(layer) => fit(editor, layer, [inputs, outputs], fresh),
        Form::Residual { layers, shortcut, join, side } => {
            let mut read = inputs;
            for (idx, layer) in layers.iter().enumerate() {
                let is_inner = idx + 1 < layers.len() && matches!(block.kind, BlockKind::Bottleneck { .. });
                let made = if is_inner { layer.outputs } else { outputs };
                fit(editor, layer, [read, made], fresh)?;
                read = made;
            }
            let widths = [inputs, outputs];
            let is_kept = widths == [block.in_width, block.width];
            let projects = needs_projection(inputs, outputs, block.stride);
            let value = |editor: &Editor<'_>, name: &str| {
                editor.value(name).ok_or_else(|| GraphError::InvalidGraph {
                    graph: prefix.to_owned(),
                    cause: format!("has no value \"{name}\""),
                })
            };
            match shortcut {
                Shortcut::Projection(layer) if projects => fit(editor, layer, widths, fresh),
                Shortcut::Padding(_) if is_kept => Ok(()),
                Shortcut::Identity if !projects => Ok(()),
                Shortcut::Identity => {
                    let (name, norm) = (format!("{prefix}.shortcut"), format!("{prefix}.shortcut.bn"));
                    let weight = fresh.weight("shortcut", vec![outputs, inputs, 1, 1]);
                    let weight = editor.add_constant(&format!("{name}.weight"), weight);
                    let edge = Edge::Input { node: join, input: *side };
                    editor.insert(edge, &name, build::conv_op(1, block.stride), &[Some(weight)])?;
                    let constants = NORM.map(|(part, element)| {
                        Some(editor.add_constant(&format!("{norm}.{part}"), vector(outputs, element)))
                    });
                    let op = Op::BatchNormalization(skimp_graph::ops::BatchNormalization { epsilon: build::EPSILON });
                    editor.insert(edge, &norm, op, &constants).map(|_| ())
                }
                Shortcut::Padding(nodes) if projects => {
                    let graph = build::projection(prefix, [inputs, outputs, block.stride], fresh)?;
                    let input = value(editor, &block.input)?;
                    let short = editor.node(join).and_then(|node| node.inputs.get(*side).copied().flatten());
                    let nodes: Vec<&str> = nodes.iter().map(String::as_str).collect();
                    editor.replace_block(&nodes, &graph, &[input], &short.into_iter().collect::<Vec<_>>())
                }
                Shortcut::Projection(_) | Shortcut::Padding(_) => {
                    let input = value(editor, &block.input)?;
                    editor.set_input(join, *side, Some(input))?;
                    let unread: Vec<&String> = match shortcut {
                        Shortcut::Projection(layer) => std::iter::once(&layer.node).chain(&layer.norm).collect(),
                        Shortcut::Padding(nodes) => nodes.iter().collect(),
                        Shortcut::Identity => Vec::new(),
                    };
                    unread.iter().rev().try_for_each(|node| editor.remove_node(node))
                }
            }
        }
        Form::Dense { .. } | Form::Opaque => renew(editor, block, fresh),
    }
}

/// New weights of the same extents.
fn renew(editor: &mut Editor<'_>, block: &Block, fresh: &Fresh) -> Result<(), GraphError> {
    for name in &block.nodes {
        let Some(node) = editor.node(name) else { continue };
        let shape = constant(editor, node, 1).map(Tensor::shape).unwrap_or_default().to_vec();
        let extent = shape.first().copied().unwrap_or(0);
        if matches!(node.op, Op::Conv(_)) {
            put(editor, name, 1, fresh.weight(name, shape))?;
            clear_bias(editor, name, extent)?;
        } else if matches!(node.op, Op::BatchNormalization(_)) {
            renorm(editor, name, extent)?;
        }
    }
    Ok(())
}

/// New weights of a layer.
fn fit(editor: &mut Editor<'_>, layer: &Layer, [inputs, outputs]: [usize; 2], fresh: &Fresh) -> Result<(), GraphError> {
    let [r, s] = layer.kernel;
    let op = editor.node(&layer.node).map(|node| &node.op);
    let is_conv = matches!(op, Some(Op::Conv(_)));
    let is_transposed = matches!(op, Some(Op::Gemm(gemm)) if gemm.trans_b);
    let shape = match is_conv {
        true => vec![outputs, inputs, r, s],
        false if is_transposed => vec![outputs, inputs],
        false => vec![inputs, outputs],
    };
    put(editor, &layer.node, 1, fresh.weight(&layer.node, shape))?;
    clear_bias(editor, &layer.node, outputs)?;
    if let Some(addend) = &layer.addend {
        let place = editor.node(addend).and_then(|node| {
            (0..node.inputs.len()).find_map(|input| Some((input, constant(editor, node, input)?.shape().to_vec())))
        });
        if let Some((input, shape)) = place {
            put(editor, addend, input, zeros(&shape, layer.outputs, outputs))?;
        }
    }
    layer.norm.as_ref().map_or(Ok(()), |norm| renorm(editor, norm, outputs))
}

/// A bias of zeros, where a layer has one.
fn clear_bias(editor: &mut Editor<'_>, layer: &str, outputs: usize) -> Result<(), GraphError> {
    let node = editor.node(layer);
    let Some(bias) = node.and_then(|node| constant(editor, node, 2)) else { return Ok(()) };
    let (shape, n) = (bias.shape().to_vec(), bias.len());
    put(editor, layer, 2, zeros(&shape, n, outputs))
}

/// Zeros of a shape, with `outputs` in the place of the extent `n`; a single number stays one.
fn zeros(shape: &[usize], n: usize, outputs: usize) -> Tensor {
    let shape: Vec<usize> = shape.iter().map(|&extent| if extent == n && n > 1 { outputs } else { extent }).collect();
    let n = shape.iter().product();
    Tensor::from_f32(shape, vec![0.0; n])
}

/// A batch norm before any training.
fn renorm(editor: &mut Editor<'_>, norm: &str, channels: usize) -> Result<(), GraphError> {
    NORM.iter().enumerate().try_for_each(|(idx, (_, element))| put(editor, norm, idx + 1, vector(channels, *element)))
}

fn constant<'e>(editor: &'e Editor<'_>, node: &Node, input: usize) -> Option<&'e Tensor> {
    node.inputs.get(input).copied().flatten().and_then(|id| editor.constant(id))
}

/// Puts a constant into an input: in place where no other node reads it, else as a new one.
fn put(editor: &mut Editor<'_>, node: &str, input: usize, tensor: Tensor) -> Result<(), GraphError> {
    let old = editor.node(node).and_then(|node| node.inputs.get(input).copied().flatten());
    let is_own = |id: ValueId| {
        let uses = editor.nodes().iter().flat_map(|node| node.inputs.iter().flatten());
        uses.filter(|&&other| other == id).count() == 1
    };
    match old {
        Some(id) if is_own(id) => editor.set_constant(id, tensor),
        _ => {
            let name = format!("{node}.{input}");
            let id = editor.add_constant(&name, tensor);
            editor.set_input(node, input, Some(id))
        }
    }
}
