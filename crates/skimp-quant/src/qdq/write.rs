//! Writing the network in QDQ form.

use std::collections::HashSet;

use skimp_graph::integer::{CodeType, Encoding, MacLayout, ROUNDING_KEY, WEIGHT_BITS_KEY};
use skimp_graph::ops;
use skimp_graph::{Gemm, Graph, Node, Op, Tensor, Value, ValueId};

use super::roles::{Role, Roles};
use super::weights::{Stored, stored};
use super::{LayerChoices, QdqConfig, QdqLayer, QdqNetwork, QdqValue};
use crate::mac::RealLayer;
use crate::{FloatNode, QuantError, WeightScales};

/// Key of the network's metadata under which its settings stand.
const SETTINGS_KEY: &str = "skimp.quantization";

/// Writes the network.
pub(super) fn write(
    graph: &Graph,
    roles: &Roles,
    encodings: &[Option<Encoding>],
    (config, choices): (&QdqConfig, &LayerChoices),
    n_images: usize,
) -> Result<QdqNetwork, QuantError> {
    let mut writer = Writer {
        values: graph.values().to_vec(),
        nodes: Vec::new(),
        value_names: graph.values().iter().map(|value| value.name.clone()).collect(),
        node_names: graph.nodes().iter().map(|node| node.name.clone()).collect(),
        dequantized: (0..graph.values().len()).map(ValueId).collect(),
        coded: Vec::new(),
    };
    for input in graph.inputs() {
        if let Some(encoding) = encodings[input.value.0] {
            let name = graph.value(input.value).name.clone();
            let real = writer.push_value(format!("{name}.dequantized"), None);
            writer.pair(&name, input.value, real, encoding)?;
            writer.dequantized[input.value.0] = real;
        }
    }
    let (mut layers, mut products, mut float_nodes) = (Vec::new(), Vec::new(), Vec::new());
    for (node_idx, node) in graph.nodes().iter().enumerate() {
        match &roles.nodes[node_idx] {
            Role::Joined => continue,
            Role::Layer(layer) => {
                let own = choices.config(config, &node.name);
                layers.push(writer.layer(graph, roles, encodings, node_idx, layer, &own)?);
            }
            Role::Arithmetic | Role::Move => {
                if matches!(node.op, Op::MatMul) {
                    products.push(node.name.clone());
                }
                writer.operator(graph, roles, encodings, node_idx)?;
            }
            Role::Float => {
                float_nodes.push(FloatNode { name: node.name.clone(), op: node.op.name() });
                writer.operator(graph, roles, encodings, node_idx)?;
            }
        }
    }
    let Writer { values, nodes, coded, .. } = writer;
    let graph = Graph::new(graph.name(), graph.inputs().to_vec(), graph.outputs().to_vec(), values, nodes)?
        .with_metadata(ROUNDING_KEY, config.requantization.name())
        .with_metadata(WEIGHT_BITS_KEY, widths(config, &layers))
        .with_metadata(SETTINGS_KEY, settings(config, choices, n_images));
    Ok(QdqNetwork {
        graph: skimp_graph::rewrite::remove_dead(&graph),
        layers,
        products,
        values: coded,
        float_nodes,
        n_calibration_images: n_images,
    })
}

/// Widths of weights, as [`WEIGHT_BITS_KEY`] says.
fn widths(config: &QdqConfig, layers: &[QdqLayer]) -> String {
    let others = layers.iter().filter(|layer| layer.weight_bits != config.weight_bits);
    let lines = others.map(|layer| format!("\n{} {}", layer.weight_bits, layer.name));
    std::iter::once(config.weight_bits.to_string()).chain(lines).collect()
}

fn settings(config: &QdqConfig, choices: &LayerChoices, n_images: usize) -> String {
    let widths: Vec<String> = choices.layer_weight_bits.iter().map(|(name, bits)| format!("{name}={bits}")).collect();
    let listed = |what: &str, list: &[String]| match list {
        [] => String::new(),
        list => format!("; {what}: {}", list.join(", ")),
    };
    let exceptions = listed("in float", &choices.keep_float) + &listed("weight bits", &widths);
    let granularity = match config.weight_scales {
        WeightScales::PerLayer => "per-tensor",
        WeightScales::PerChannel => "per-channel",
    };
    format!(
        "weights {} bits {} {granularity}; activations {} {}; calibration {} on {n_images} images{exceptions}",
        config.weight_bits,
        config.weight_scheme,
        config.activation_type.dtype(),
        config.activation_scheme,
        config.calibration
    )
}

struct Writer {
    values: Vec<Value>,
    nodes: Vec<Node>,
    value_names: HashSet<String>,
    node_names: HashSet<String>,
    /// For each value of the float network, the value that operators read instead.
    dequantized: Vec<ValueId>,
    coded: Vec<QdqValue>,
}

impl Writer {
    fn push_value(&mut self, name: String, constant: Option<Tensor>) -> ValueId {
        let name = unique(&mut self.value_names, name);
        self.values.push(Value { name, constant });
        ValueId(self.values.len() - 1)
    }

    fn push_node(&mut self, name: String, op: Op, inputs: Vec<ValueId>, output: ValueId) {
        let name = unique(&mut self.node_names, name);
        self.nodes.push(Node { name, op, inputs: inputs.into_iter().map(Some).collect(), outputs: vec![output] });
    }

    /// Quantizes `from` and dequantizes it to `to`; `name` is the value's.
    fn pair(&mut self, name: &str, from: ValueId, to: ValueId, encoding: Encoding) -> Result<(), QuantError> {
        let scale = Tensor::from_f32(Vec::new(), vec![encoding.scale as f32]);
        let scale = self.push_value(format!("{name}.scale"), Some(scale));
        let zero_point = encoding.code_type().tensor(Vec::new(), std::iter::once(encoding.zero_point));
        let zero_point = self.push_value(format!("{name}.zero_point"), zero_point);
        let codes = self.push_value(format!("{name}.codes"), None);
        let quantize = Op::QuantizeLinear(ops::QuantizeLinear { axis: 1 });
        self.push_node(format!("{name}.quantize"), quantize, vec![from, scale, zero_point], codes);
        let dequantize = Op::DequantizeLinear(ops::DequantizeLinear { axis: 1 });
        self.push_node(format!("{name}.dequantize"), dequantize, vec![codes, scale, zero_point], to);
        self.coded.push(QdqValue { name: name.to_owned(), encoding });
        Ok(())
    }

    /// The value that a node makes in the place of `output`: the same, or one that a pair follows.
    fn real(&mut self, output: ValueId, encodings: &[Option<Encoding>]) -> ValueId {
        match encodings[output.0] {
            Some(_) => self.push_value(format!("{}.real", self.values[output.0].name), None),
            None => output,
        }
    }

    fn finish(&mut self, real: ValueId, output: ValueId, encodings: &[Option<Encoding>]) -> Result<(), QuantError> {
        match encodings[output.0] {
            Some(encoding) => {
                let name = self.values[output.0].name.clone();
                self.pair(&name, real, output, encoding)
            }
            None => Ok(()),
        }
    }

    /// Any node but a layer, with the activation function that joined it.
    fn operator(
        &mut self,
        graph: &Graph,
        roles: &Roles,
        encodings: &[Option<Encoding>],
        node_idx: usize,
    ) -> Result<(), QuantError> {
        let node = &graph.nodes()[node_idx];
        let inputs: Vec<Option<ValueId>> = node.inputs.iter().map(|id| id.map(|id| self.dequantized[id.0])).collect();
        let joined = roles.activations[node_idx];
        let outputs: Vec<ValueId> = match joined {
            Some(_) => node.outputs.clone(),
            None => node.outputs.iter().map(|&output| self.real(output, encodings)).collect(),
        };
        self.nodes.push(Node { name: node.name.clone(), op: node.op.clone(), inputs, outputs: outputs.clone() });
        if let Some(next) = joined {
            return self.activation(graph, next, node.outputs[0], encodings);
        }
        for (&real, &output) in outputs.iter().zip(&node.outputs) {
            self.finish(real, output, encodings)?;
        }
        Ok(())
    }

    fn activation(
        &mut self,
        graph: &Graph,
        node_idx: usize,
        input: ValueId,
        encodings: &[Option<Encoding>],
    ) -> Result<(), QuantError> {
        let node = &graph.nodes()[node_idx];
        let output = node.outputs[0];
        let real = self.real(output, encodings);
        self.nodes.push(Node {
            name: node.name.clone(),
            op: node.op.clone(),
            inputs: vec![Some(input)],
            outputs: vec![real],
        });
        self.finish(real, output, encodings)
    }

    fn layer(
        &mut self,
        graph: &Graph,
        roles: &Roles,
        encodings: &[Option<Encoding>],
        node_idx: usize,
        layer: &RealLayer,
        config: &QdqConfig,
    ) -> Result<QdqLayer, QuantError> {
        let node = &graph.nodes()[node_idx];
        let unsupported = |feature: &str| QuantError::UnsupportedNode {
            node: node.name.clone(),
            op: node.op.name().to_owned(),
            feature: feature.to_owned(),
        };
        let input = node.inputs[0].ok_or_else(|| unsupported("an input left out"))?;
        let encoding = encodings[input.0].ok_or_else(|| unsupported("an input that is not quantized"))?;
        let stored = stored(layer, encoding.scale as f32, config);
        let (weight_scales, weight_zero_points) = (stored.scales.clone(), stored.zero_points.clone());
        let is_matrix = layer.layout == MacLayout::Rows && roles.is_stacked[node_idx];
        let has_bias = stored.bias.iter().any(|&code| code != 0);
        let [weight, bias] = self.constants(&node.name, layer, stored, is_matrix);
        // What joined the layer ends in `output`; an activation function reads the value before it.
        let output = roles.outputs[node_idx].unwrap_or(node.outputs[0]);
        let before = match roles.activations[node_idx] {
            Some(next) => graph.nodes()[next].inputs[0].unwrap_or(output),
            None => self.real(output, encodings),
        };
        if is_matrix {
            // A product of stacked rows with a matrix; a bias is a sum of its own.
            let sum = if has_bias { self.push_value(format!("{}.product", node.name), None) } else { before };
            let inputs = vec![Some(self.dequantized[input.0]), Some(weight)];
            self.nodes.push(Node { name: node.name.clone(), op: Op::MatMul, inputs, outputs: vec![sum] });
            if has_bias {
                self.push_node(format!("{}.add", node.name), Op::Add, vec![sum, bias], before);
            }
        } else {
            self.plain_layer(node, layer, [self.dequantized[input.0], weight, bias], before);
        }
        match roles.activations[node_idx] {
            Some(next) => self.activation(graph, next, before, encodings)?,
            None => self.finish(before, output, encodings)?,
        }
        Ok(QdqLayer {
            name: node.name.clone(),
            op: node.op.name(),
            weight_shape: layer.weight_shape,
            weight_bits: config.weight_bits,
            weight_scales,
            weight_zero_points: weight_zero_points.into_iter().map(i32::from).collect(),
            input: encoding,
            output: encodings[output.0],
        })
    }

    /// A convolution, or a product of rows with a matrix.
    fn plain_layer(&mut self, node: &Node, layer: &RealLayer, inputs: [ValueId; 3], output: ValueId) {
        let op = match layer.layout {
            MacLayout::Rows => Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true }),
            MacLayout::Line | MacLayout::Planes => {
                Op::Conv(ops::Conv { window: layer.window.clone(), groups: layer.groups })
            }
        };
        let inputs = inputs.map(Some).to_vec();
        self.nodes.push(Node { name: node.name.clone(), op, inputs, outputs: vec![output] });
    }

    /// Weight and bias behind a `DequantizeLinear` each; the weight of a MatMul has its output channels last.
    fn constants(&mut self, name: &str, layer: &RealLayer, mut stored: Stored, is_matrix: bool) -> [ValueId; 2] {
        let [k, c, r, s] = layer.weight_shape;
        let shape = match layer.layout {
            MacLayout::Rows if is_matrix => vec![c, k],
            MacLayout::Rows => vec![k, c],
            MacLayout::Line | MacLayout::Planes => vec![k, c, r, s],
        };
        if is_matrix {
            stored.weight = (0..k * c).map(|i| stored.weight[i % k * c + i / k]).collect();
        }
        let n_scales = stored.scales.len();
        let scale_shape = if n_scales == 1 { Vec::new() } else { vec![n_scales] };
        let weight = CodeType::I8.tensor(shape, stored.weight.into_iter().map(i32::from));
        let zero_points = CodeType::I8.tensor(scale_shape.clone(), stored.zero_points.into_iter().map(i32::from));
        let bias = Tensor::new(vec![k], stored.bias.into());
        let no_zero_points = Tensor::new(scale_shape.clone(), vec![0_i32; n_scales].into());
        let weight_scale = Tensor::from_f32(scale_shape.clone(), stored.scales);
        let bias_scale = Tensor::from_f32(scale_shape, stored.bias_scales);
        let parts = [("weight", weight, weight_scale, zero_points), ("bias", bias, bias_scale, no_zero_points)];
        parts.map(|(what, codes, scale, zero_point)| {
            let axis = i64::from(is_matrix && what == "weight");
            let codes = self.push_value(format!("{name}.{what}.codes"), codes);
            let scale = self.push_value(format!("{name}.{what}.scale"), Some(scale));
            let zero_point = self.push_value(format!("{name}.{what}.zero_point"), zero_point);
            let real = self.push_value(format!("{name}.{what}"), None);
            let dequantize = Op::DequantizeLinear(ops::DequantizeLinear { axis });
            self.push_node(format!("{name}.{what}.dequantize"), dequantize, vec![codes, scale, zero_point], real);
            real
        })
    }
}

/// `name`, or with a number behind it where that is taken; it is taken afterwards.
fn unique(taken: &mut HashSet<String>, name: String) -> String {
    let numbered = (2..).map(|i| format!("{name}.{i}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name));
    let free = free.unwrap_or(name);
    taken.insert(free.clone());
    free
}
