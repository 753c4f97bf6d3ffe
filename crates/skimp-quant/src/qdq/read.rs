//! A network in QDQ form as a quantized network: its own codes, with operands as multipliers want them.

use std::collections::HashMap;

use skimp_graph::integer::{self, AddRule, Encoding, IntegerGraph, IntegerNode, IntegerOp, MacLayer, ValueKind};
use skimp_graph::{Graph, Op, PadMode, Window};

use crate::{FirstLayer, FloatNode, NegativeSums, QuantError, QuantizationReport, Quantized, QuantizedLayer};

/// The quantized network that `graph`, in QDQ form, states: codes, scales and zero points of the file, nothing calibrated
/// and nothing rounded again.
///
/// Accumulators and outputs are those of [`integer::lower`]. What a multiplier reads is chosen for each layer:
///
/// - codes that are never below their zero point (after a Relu, or all of them) less the zero point;
/// - codes whose zero point is the middle of their range, as signed numbers less the zero point, or, for a layer that reads
///   the network's input under [`FirstLayer::Offset`], as below;
/// - all others counted from the least code, so that no operand is negative, with `(z − least) · Σ weight` taken off the
///   bias.
///
/// Negative sums are unseen where the least output code is the one of real 0 or above: a fused Relu, a Clip from 0, or
/// codes that saturate there.
///
/// # Errors
/// [`QuantError::Graph`] if the network has no integer form.
///
/// # Source
/// Operands counted from the least code: `Σ (q − z) · W = Σ q · W − z · Σ W`, as in Jacob et al., CVPR 2018, section 2.3.
pub fn read_qdq(graph: &Graph, first_layer: FirstLayer) -> Result<Quantized, QuantError> {
    let mut lowered = integer::lower(graph)?;
    let least = least_codes(&lowered);
    let from_input = from_input(&lowered);
    let source = Source::new(graph);
    let mut layers = Vec::new();
    for node_idx in 0..lowered.nodes.len() {
        let node = &lowered.nodes[node_idx];
        let (Some(&input), Some(&output)) = (node.inputs.first(), node.outputs.first()) else { continue };
        let (IntegerOp::Mac(layer), Some(encoding)) = (&node.op, lowered.encoding(input)) else { continue };
        let as_offset = first_layer == FirstLayer::Offset && from_input[input.0];
        let offset = input_offset(&encoding, least[input.0], as_offset);
        let operands_signed = least[input.0] + offset < 0;
        let kind = lowered.values[output.0].kind;
        let negatives = match negative_sums(&lowered, layer, node, &kind) {
            NegativeSums::Unseen if operands_signed => NegativeSums::SignedOperands,
            known => known,
        };
        layers.push(QuantizedLayer {
            name: node.name.clone(),
            op: source.operator(&node.name).unwrap_or("Conv"),
            node_idx,
            fused: source.fused(&node.name),
            input: encoding,
            operands_signed,
            residual: None,
            output: kind,
            negatives,
        });
        if let IntegerOp::Mac(layer) = &mut lowered.nodes[node_idx].op {
            set_offset(layer, offset);
        }
    }
    integer::check(&lowered)?;
    let float_nodes =
        lowered.float_nodes().map(|node| FloatNode { name: node.name.clone(), op: node.op.name() }).collect();
    let report = QuantizationReport { n_calibration_images: 0, float_nodes, is_from_file: true };
    Ok(Quantized { graph: lowered, layers, report })
}

/// What is added to the codes of a layer's input, of which `least` is the least one that occurs.
fn input_offset(encoding: &Encoding, least: i32, as_offset: bool) -> i32 {
    let is_centered = encoding.zero_point - encoding.min_code() == 1 << (encoding.bits - 1);
    if least >= encoding.zero_point || (is_centered && !as_offset) {
        -encoding.zero_point
    } else {
        -encoding.min_code()
    }
}

/// Another offset, with the bias that gives the same sums.
fn set_offset(layer: &mut MacLayer, offset: i32) {
    let moved = i64::from(offset) - i64::from(layer.input_offset);
    for k in 0..layer.bias.len() {
        let sum: i64 = layer.channel(k).iter().map(|&w| i64::from(w)).sum();
        layer.bias[k] -= moved * sum;
    }
    layer.input_offset = offset;
}

/// Whether the outputs of negative sums are all those of a sum of 0.
fn negative_sums(graph: &IntegerGraph, layer: &MacLayer, node: &IntegerNode, output: &ValueKind) -> NegativeSums {
    if let ValueKind::Codes(encoding) = output
        && layer.code_range(encoding).0 >= encoding.zero_point
    {
        return NegativeSums::Unseen;
    }
    let reader = graph.nodes.iter().find(|reader| reader.inputs.iter().any(|id| node.outputs.contains(id)));
    let next = reader.filter(|reader| !matches!(reader.op, IntegerOp::Dequantize));
    NegativeSums::NoRelu {
        next: next.map_or_else(|| "network output".to_owned(), |next| format!("{} \"{}\"", next.op.name(), next.name)),
    }
}

/// For each value that holds codes, a code that none is below; that of real 0 or less.
fn least_codes(graph: &IntegerGraph) -> Vec<i32> {
    let mut least = vec![i32::MIN; graph.values.len()];
    for node in &graph.nodes {
        let Some(&output) = node.outputs.first() else { continue };
        let Some(to) = graph.encoding(output) else { continue };
        let inputs = || node.inputs.iter().map(|id| least[id.0]);
        // Sums and means of numbers that are not negative are not, since roundings keep their order.
        let non_negative =
            node.inputs.iter().all(|&id| graph.encoding(id).is_some_and(|from| least[id.0] >= from.zero_point));
        let or_zero = |min: i32| if non_negative { min.max(to.zero_point) } else { min };
        let found = match &node.op {
            IntegerOp::Mac(layer) => layer.code_range(&to).0,
            IntegerOp::AveragePool { min, .. } | IntegerOp::Product { min, .. } => or_zero(*min),
            IntegerOp::Add { rule: AddRule::Exact { factors, .. }, min, .. } if factors.iter().any(|&f| f < 0) => *min,
            IntegerOp::Add { min, .. } => or_zero(*min),
            IntegerOp::Rescale { min, .. } => or_zero(*min),
            IntegerOp::Table(table) => {
                let first = node.inputs.first().and_then(|&id| Some((id, graph.encoding(id)?)));
                let below = first.map_or(0, |(id, from)| (least[id.0] - from.min_code()).max(0));
                table.iter().skip(below as usize).copied().min().unwrap_or_else(|| to.min_code())
            }
            IntegerOp::Pad { pad, code } if pad.mode == PadMode::Constant => {
                inputs().min().unwrap_or(i32::MIN).min(*code)
            }
            // A window of nothing but padding has the least code.
            IntegerOp::MaxPool(Some(window)) if !reads_input(window) => to.min_code(),
            IntegerOp::MaxPool(_)
            | IntegerOp::Concat { .. }
            | IntegerOp::Slice(_)
            | IntegerOp::Pad { .. }
            | IntegerOp::Move(_) => inputs().min().unwrap_or(i32::MIN),
            IntegerOp::Sign => -1,
            IntegerOp::Quantize(_) | IntegerOp::Dequantize | IntegerOp::Expose | IntegerOp::Float { .. } => {
                to.min_code()
            }
        };
        least[output.0] = found.max(to.min_code());
    }
    least
}

/// Whether every window meets the input, whatever its extents.
fn reads_input(window: &Window) -> bool {
    let is_short = |pads: &[usize]| pads.iter().zip(&window.kernel).all(|(pad, kernel)| pad < kernel);
    let is_dense = window.dilations.iter().all(|&dilation| dilation == 1);
    let has_pads = window.pads_begin.iter().chain(&window.pads_end).any(|&pad| pad > 0);
    !window.ceil_mode && (!has_pads || (is_dense && is_short(&window.pads_begin) && is_short(&window.pads_end)))
}

/// Which values come from the network's input without passing a layer.
fn from_input(graph: &IntegerGraph) -> Vec<bool> {
    let mut from_input = vec![false; graph.values.len()];
    graph.inputs.iter().for_each(|input| from_input[input.value.0] = true);
    for node in &graph.nodes {
        let passes = !matches!(node.op, IntegerOp::Mac(_)) && node.inputs.iter().all(|id| from_input[id.0]);
        node.outputs.iter().for_each(|id| from_input[id.0] = passes);
    }
    from_input
}

/// Names and operators of the network in QDQ form.
struct Source<'g> {
    graph: &'g Graph,
    nodes: HashMap<&'g str, usize>,
    consumers: Vec<Vec<usize>>,
}

impl<'g> Source<'g> {
    fn new(graph: &'g Graph) -> Self {
        let nodes = graph.nodes().iter().enumerate().map(|(idx, node)| (node.name.as_str(), idx)).collect();
        Self { graph, nodes, consumers: graph.consumers() }
    }

    fn operator(&self, name: &str) -> Option<&'static str> {
        self.nodes.get(name).map(|&idx| self.graph.nodes()[idx].op.name())
    }

    /// The activation function that follows a node alone.
    fn fused(&self, name: &str) -> Vec<String> {
        let output = self.nodes.get(name).and_then(|&idx| self.graph.nodes()[idx].outputs.first());
        let next = output.map(|id| self.consumers[id.0].as_slice());
        match next {
            Some(&[idx]) if matches!(self.graph.nodes()[idx].op, Op::Relu | Op::Clip(_)) => {
                vec![self.graph.nodes()[idx].name.clone()]
            }
            _ => Vec::new(),
        }
    }
}
