//! A network as a chain of blocks: layer, pools, batch normalization, activation.

use skimp_graph::ops;
use skimp_graph::rewrite;
use skimp_graph::{AutoPad, Gemm, Graph, GraphBuilder, GraphInput, Node, Op, Pad, PadMode, Tensor, ValueId};

use crate::TrainError;

/// A network that is one chain of layers.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) name: String,
    input: GraphInput,
    input_name: String,
    /// What lies before the first layer and computes nothing.
    pub(crate) head: Vec<Step>,
    pub(crate) blocks: Vec<Block>,
    metadata: Vec<(String, String)>,
}

/// A node of one input by its name.
pub(crate) type Step = (String, Op);

/// One layer with what follows it, in the order of the fields.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// What the padding of the layer is filled with, where a node of its own pads.
    pub(crate) pad: Option<Step>,
    pub(crate) layer: Step,
    /// Output channels first.
    pub(crate) weight: Tensor,
    pub(crate) bias: Option<Vec<f32>>,
    pub(crate) pools: Vec<Step>,
    pub(crate) norm: Option<Norm>,
    pub(crate) activation: Option<Step>,
    /// What comes before the next layer and computes nothing (`Flatten`).
    pub(crate) shapes: Vec<Step>,
}

/// A batch normalization.
#[derive(Clone, Debug)]
pub(crate) struct Norm {
    pub(crate) name: String,
    pub(crate) epsilon: f32,
    pub(crate) scale: Vec<f32>,
    pub(crate) shift: Vec<f32>,
    pub(crate) mean: Vec<f32>,
    pub(crate) variance: Vec<f32>,
}

/// Epsilon of a batch normalization that a quantizer adds: that of BinaryNet.
const EPSILON: f32 = 1e-4;

impl Norm {
    /// A batch normalization that changes nothing but for a bias.
    fn new(name: String, channels: usize, bias: Option<Vec<f32>>) -> Self {
        Self {
            name,
            epsilon: EPSILON,
            scale: vec![1.0; channels],
            shift: bias.unwrap_or_else(|| vec![0.0; channels]),
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
        }
    }

    /// What a centered sum is multiplied by, as the training engine computes it.
    pub(crate) fn factors(&self) -> Vec<f32> {
        let inverse = |variance: f32| (1.0 / (f64::from(variance) + f64::from(self.epsilon)).sqrt()) as f32;
        self.scale.iter().zip(&self.variance).map(|(scale, &variance)| inverse(variance) * scale).collect()
    }
}

impl Block {
    /// Output channels.
    pub(crate) fn channels(&self) -> usize {
        self.weight.shape()[0]
    }

    /// Products of one sum.
    pub(crate) fn fan_in(&self) -> usize {
        self.weight.shape()[1..].iter().product()
    }

    /// The name of the weight's constant.
    pub(crate) fn weight_name(&self) -> String {
        format!("{}.weight", self.layer.0)
    }

    /// Turns the sign of the filters whose batch normalization has a negative scale, which a greatest value does not go
    /// through.
    fn turn(&mut self) {
        let fan_in = self.fan_in().max(1);
        let Some(norm) = &mut self.norm else { return };
        let mut weight = self.weight.as_f32().unwrap_or_default().to_vec();
        let channels = norm.scale.iter_mut().zip(&mut norm.mean);
        for (filter, (scale, mean)) in weight.chunks_mut(fan_in).zip(channels).filter(|(_, (scale, _))| **scale < 0.0) {
            filter.iter_mut().for_each(|w| *w = -*w);
            *scale = -*scale;
            *mean = -*mean;
        }
        self.weight = Tensor::from_f32(self.weight.shape().to_vec(), weight);
    }

    /// Moves the padding of a convolution to a node of its own that fills with `value`.
    fn pad_with(&mut self, value: f32) {
        let (name, Op::Conv(ops::Conv { window, .. })) = &mut self.layer else { return };
        if window.pads_begin.iter().chain(&window.pads_end).all(|&pad| pad == 0) {
            return;
        }
        let whole = |pads: &[usize]| [0, 0].into_iter().chain(pads.iter().map(|&pad| pad as i64)).collect();
        let pad =
            Pad { begin: whole(&window.pads_begin), end: whole(&window.pads_end), mode: PadMode::Constant, value };
        self.pad = Some((format!("{name}.pad"), Op::Pad(pad)));
        window.pads_begin.fill(0);
        window.pads_end.fill(0);
    }
}

impl Chain {
    /// Reads a network.
    ///
    /// # Errors
    /// [`TrainError::Untrainable`] naming the first node that does not belong into such a chain.
    pub(crate) fn read(graph: &Graph) -> Result<Self, TrainError> {
        let graph = &rewrite::simplify(graph);
        let network = |cause: String| TrainError::Network { network: graph.name().to_owned(), cause };
        let ([input], [output]) = (graph.inputs(), graph.outputs()) else {
            let found = format!("{} inputs and {} outputs", graph.inputs().len(), graph.outputs().len());
            return Err(network(format!("{found}; a quantizer takes networks of one each")));
        };
        let mut chain = Self {
            name: graph.name().to_owned(),
            input: input.clone(),
            input_name: graph.value(input.value).name.clone(),
            head: Vec::new(),
            blocks: Vec::new(),
            metadata: graph.all_metadata().to_vec(),
        };
        let consumers = graph.consumers();
        let (mut value, mut pad) = (input.value, None);
        while value != *output {
            let &[idx] = consumers[value.0].as_slice() else {
                let name = &graph.value(value).name;
                return Err(network(format!(
                    "\"{name}\" is read by {} nodes; a quantizer takes networks that are one chain of layers",
                    consumers[value.0].len()
                )));
            };
            let node = &graph.nodes()[idx];
            chain.add(graph, node, value, &mut pad)?;
            value = node.outputs[0];
        }
        if chain.blocks.is_empty() {
            return Err(network("there is no convolution or dense layer".to_owned()));
        }
        Ok(chain)
    }

    fn add(&mut self, graph: &Graph, node: &Node, x: ValueId, pad: &mut Option<Step>) -> Result<(), TrainError> {
        let wrong = |cause: &str| TrainError::Untrainable {
            node: node.name.clone(),
            op: node.op.name().to_owned(),
            cause: format!("with a quantizer: {cause}"),
        };
        if node.inputs.first() != Some(&Some(x)) || node.outputs.len() != 1 {
            return Err(wrong("it does not read the layer before as its first input"));
        }
        let step = || (node.name.clone(), node.op.clone());
        let numbers = |idx: usize| {
            let id = node.inputs.get(idx).copied().flatten()?;
            graph.constant(id)?.as_f32().map(<[f32]>::to_vec)
        };
        if matches!(node.op, Op::Conv(_) | Op::Gemm(_)) {
            let bias = if node.inputs.get(2).copied().flatten().is_some() {
                Some(numbers(2).ok_or_else(|| wrong("its bias is not a constant"))?)
            } else {
                None
            };
            let (op, weight) = layer(graph, node).map_err(wrong)?;
            if bias.as_ref().is_some_and(|bias| bias.len() != weight.shape()[0]) {
                return Err(wrong("its bias is not one number for each output channel"));
            }
            let layer = (node.name.clone(), op);
            let (pools, shapes, norm, activation) = (Vec::new(), Vec::new(), None, None);
            self.blocks.push(Block { pad: pad.take(), layer, weight, bias, pools, norm, activation, shapes });
            return Ok(());
        }
        if let Op::Pad(_) = node.op {
            *pad = Some(step());
            return Ok(());
        }
        let Some(block) = self.blocks.last_mut() else {
            return match node.op {
                Op::Flatten(_) | Op::Reshape(_) | Op::Identity => {
                    self.head.push(step());
                    Ok(())
                }
                _ => Err(wrong("only Flatten may stand before the first layer")),
            };
        };
        match node.op {
            Op::MaxPool(_) => block.pools.push(step()),
            Op::Flatten(_) | Op::Reshape(_) => block.shapes.push(step()),
            Op::Relu | Op::Clip(_) | Op::Sign | Op::Neuron(_) if block.activation.is_none() => {
                block.activation = Some(step())
            }
            Op::BatchNormalization(ops::BatchNormalization { epsilon }) if block.norm.is_none() => {
                let constants = [1, 2, 3, 4].map(numbers);
                let [Some(scale), Some(shift), Some(mean), Some(variance)] = constants else {
                    return Err(wrong("its parameters are not constants"));
                };
                block.norm = Some(Norm { name: node.name.clone(), epsilon, scale, shift, mean, variance });
            }
            _ => {
                return Err(wrong(
                    "it takes chains of Conv and Gemm with one BatchNormalization, one Relu, MaxPool and Flatten behind each",
                ));
            }
        }
        Ok(())
    }

    /// The network with a batch normalization in every block, no biases, and pools right behind the layers; `activation`
    /// ends every block but the last one. Layers whose input is an activation pad with `padding`.
    ///
    /// # Errors
    /// [`TrainError::Untrainable`] for a network that is quantized already, or with padding that is not written out.
    pub(crate) fn trainable(mut self, activation: &Op, padding: f32) -> Result<Self, TrainError> {
        let n_blocks = self.blocks.len();
        for (idx, block) in self.blocks.iter_mut().enumerate() {
            let name = &block.layer.0;
            let error = |node: &str, op: &Op, cause: &str| TrainError::Untrainable {
                node: node.to_owned(),
                op: op.name().to_owned(),
                cause: cause.to_owned(),
            };
            if let Some((node, op)) = block.activation.as_ref().filter(|(_, op)| matches!(op, Op::Sign | Op::Neuron(_)))
            {
                return Err(error(node, op, "a quantizer takes networks with rectifiers"));
            }
            let is_last = idx + 1 == n_blocks;
            if is_last && (block.activation.is_some() || !block.pools.is_empty()) {
                return Err(error(
                    name,
                    &block.layer.1,
                    "a quantizer takes networks whose last layer makes the answers",
                ));
            }
            let bias = block.bias.take();
            match (&mut block.norm, bias) {
                (Some(norm), Some(bias)) => norm.mean.iter_mut().zip(bias).for_each(|(mean, bias)| *mean -= bias),
                (Some(_), None) => {}
                (None, bias) => block.norm = Some(Norm::new(format!("{name}.bn"), block.weight.shape()[0], bias)),
            }
            if !block.pools.is_empty() {
                block.turn();
            }
            let name = &block.layer.0;
            if !is_last {
                let name = block.activation.take().map_or_else(|| format!("{name}.activation"), |(name, _)| name);
                block.activation = Some((name, activation.clone()));
            }
            if let Op::Conv(ops::Conv { window, .. }) = &block.layer.1
                && matches!(window.auto_pad, AutoPad::SameUpper | AutoPad::SameLower)
            {
                return Err(error(name, &block.layer.1, "a quantizer takes convolutions whose padding is written out"));
            }
            if idx > 0 && padding != 0.0 {
                block.pad_with(padding);
            }
        }
        Ok(self)
    }

    /// The chain as a graph.
    ///
    /// # Errors
    /// [`TrainError::Graph`] if names clash.
    pub(crate) fn build(&self) -> Result<Graph, TrainError> {
        self.build_with(
            |_, x| x,
            |builder, block, x| {
                let weight = builder.constant(block.weight_name(), block.weight.clone());
                let mut inputs = vec![x, weight];
                if let Some(bias) = &block.bias {
                    inputs.push(vector(builder, format!("{}.bias", block.layer.0), bias));
                }
                let mut x = builder.node(&block.layer.0, block.layer.1.clone(), &inputs);
                x = steps(builder, &block.pools, x);
                if let Some(norm) = &block.norm {
                    let mut inputs = vec![x];
                    let parts = [("scale", &norm.scale), ("bias", &norm.shift), ("mean", &norm.mean)];
                    for (part, values) in parts.into_iter().chain([("variance", &norm.variance)]) {
                        inputs.push(vector(builder, format!("{}.{part}", norm.name), values));
                    }
                    let op = Op::BatchNormalization(ops::BatchNormalization { epsilon: norm.epsilon });
                    x = builder.node(&norm.name, op, &inputs);
                }
                x = steps(builder, block.activation.as_slice(), x);
                steps(builder, &block.shapes, x)
            },
        )
    }

    /// A graph whose blocks `write` makes, from behind their padding on; `begin` comes before the first one.
    pub(crate) fn build_with(
        &self,
        begin: impl FnOnce(&mut GraphBuilder, ValueId) -> ValueId,
        mut write: impl FnMut(&mut GraphBuilder, &Block, ValueId) -> ValueId,
    ) -> Result<Graph, TrainError> {
        let mut builder = GraphBuilder::new(&self.name);
        let x = builder.input(&self.input_name, self.input.dtype, self.input.dims.clone());
        let x = steps(&mut builder, &self.head, x);
        let mut x = begin(&mut builder, x);
        for block in &self.blocks {
            x = steps(&mut builder, block.pad.as_slice(), x);
            x = write(&mut builder, block, x);
        }
        builder.output(x);
        let graph = builder.build()?;
        Ok(self.metadata.iter().fold(graph, |graph, (key, value)| graph.with_metadata(key, value)))
    }
}

/// The operator of a layer and its weight with the output channels first.
fn layer(graph: &Graph, node: &Node) -> Result<(Op, Tensor), &'static str> {
    let constant = node.inputs.get(1).copied().flatten().and_then(|id| graph.constant(id));
    let Some(weight) = constant.filter(|weight| weight.as_f32().is_some()) else {
        return Err("its weight is not a constant of f32");
    };
    let Op::Gemm(gemm) = &node.op else { return Ok((node.op.clone(), weight.clone())) };
    let is_plain = gemm.alpha.to_bits() == 1.0_f32.to_bits() && gemm.beta.to_bits() == 1.0_f32.to_bits();
    let (&[rows, columns], true, false) = (weight.shape(), is_plain, gemm.trans_a) else {
        return Err("it is not x · w + b");
    };
    let op = Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b: true });
    if gemm.trans_b {
        return Ok((op, weight.clone()));
    }
    let elements = weight.as_f32().unwrap_or_default();
    let transposed = (0..rows * columns).map(|i| elements[i % rows * columns + i / rows]).collect();
    Ok((op, Tensor::from_f32(vec![columns, rows], transposed)))
}

/// Adds nodes of one input each.
pub(crate) fn steps(builder: &mut GraphBuilder, steps: &[Step], x: ValueId) -> ValueId {
    steps.iter().fold(x, |x, (name, op)| builder.node(name, op.clone(), &[x]))
}

/// Adds a constant of one axis.
pub(crate) fn vector(builder: &mut GraphBuilder, name: String, values: &[f32]) -> ValueId {
    builder.constant(name, Tensor::from_f32(vec![values.len()], values.to_vec()))
}
