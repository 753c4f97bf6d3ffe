//! The types of a binary network.

use std::sync::Arc;

use crate::ops::{self, Neuron};
use crate::shape::{LayerShape, window_axes};
use crate::{Graph, GraphError, GraphInput, Op, Tensor, ValueId, Window};

/// What the two states of a bit stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alphabet {
    /// Whether a bit that is not set is `-scale`, as the activations of a binarized network; else it is 0, as a neuron that
    /// does not fire.
    pub is_signed: bool,
    /// What a set bit is, above 0.
    pub scale: f32,
}

impl Alphabet {
    /// The number that a bit stands for.
    pub fn value(self, bit: bool) -> f32 {
        match (bit, self.is_signed) {
            (true, _) => self.scale,
            (false, true) => -self.scale,
            (false, false) => 0.0,
        }
    }

    /// The same in units of the scale.
    pub fn unit(self, bit: bool) -> i32 {
        i32::from(bit) - i32::from(!bit && self.is_signed)
    }
}

/// When a neuron's output bit is set, given the sum of its inputs in units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// Where the sum is at least that; [`ALWAYS`](Self::ALWAYS) and [`NEVER`](Self::NEVER) are of this kind.
    AtLeast(i32),
    /// Where the sum is at most that: a neuron whose batch norm turns the sign.
    AtMost(i32),
}

impl Threshold {
    /// The bit is set whatever the inputs are.
    pub const ALWAYS: Self = Self::AtLeast(i32::MIN);
    /// The bit is never set.
    pub const NEVER: Self = Self::AtLeast(i32::MAX);

    /// Whether the bit is set.
    pub fn fires(self, sum: i32) -> bool {
        match self {
            Self::AtLeast(least) => sum >= least && self != Self::NEVER,
            Self::AtMost(most) => sum <= most,
        }
    }
}

/// What padding of a binary layer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitPadding {
    /// 0: a third value beside signs, a legal one beside spikes. It adds nothing to a sum.
    Zero,
    /// A bit that is set, or not.
    Bit(bool),
}

/// How a binary layer's values lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BinaryLayout {
    /// `[n, c, h, w]` to `[n, k, p, q]`.
    Planes,
    /// `[n, c]` to `[n, k]`.
    Rows,
}

/// A convolution or dense layer of weights ±1 on bits. In units, `sum[k] = Σ weight · activation`, an integer; the real sum
/// is `scales[k] · sum[k]`.
///
/// # Shapes
/// activation `[n, c, h, w]`, weight `[k, c, r, s]`, output `[n, k, p, q]`, or rows as the [layout](BinaryLayout) says.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryLayer {
    /// How activations and outputs lie.
    pub layout: BinaryLayout,
    /// Spatial window, two axes.
    pub window: Window,
    /// What its padding holds.
    pub padding: BitPadding,
    /// Extents of the weight: k, c, r, s.
    pub weight_shape: [usize; 4],
    /// −1 or 1, row-major. Cloning shares them.
    pub weight: Arc<[i8]>,
    /// What the input's bits are.
    pub input: Alphabet,
    /// Real value of a sum of 1, for each filter: the input's scale times the magnitude of the filter's weights.
    pub scales: Vec<f64>,
    /// Real number that is added to each filter's real sum before it is rounded.
    pub bias: Vec<f64>,
    /// What becomes of the sums.
    pub output: BinaryOutput,
}

/// A convolution or dense layer of real weights on spikes: each spike adds the weights that it meets.
/// `y[k] = (bias[k] + Σ unit · weight) as f32` over the inputs that fire.
///
/// # Shapes
/// As [`BinaryLayer`]'s. Padding holds no spikes.
#[derive(Clone, Debug, PartialEq)]
pub struct EventLayer {
    /// How activations and outputs lie.
    pub layout: BinaryLayout,
    /// Spatial window, two axes.
    pub window: Window,
    /// Extents of the weight: k, c, r, s.
    pub weight_shape: [usize; 4],
    /// The weights, row-major. Cloning shares them.
    pub weight: Arc<[f32]>,
    /// What a spike counts.
    pub unit: f64,
    /// Real number that is added to each filter's sum before it is rounded.
    pub bias: Vec<f64>,
}

/// Neurons over time whose spikes are bits; one step of them. Inputs and outputs of the node are those of
/// [`Neuron`](crate::ops::Neuron) without parameters: what comes in, and the state.
#[derive(Clone, Debug, PartialEq)]
pub struct BitNeuron {
    /// The neuron.
    pub neuron: Neuron,
    /// Thresholds, in the place of the neuron's.
    pub threshold: Option<Tensor>,
    /// Leaks, in the place of the neuron's.
    pub leak: Option<Tensor>,
}

/// What becomes of a binary layer's sums.
#[derive(Clone, Debug, PartialEq)]
pub enum BinaryOutput {
    /// A bit of this alphabet for each, by the threshold of its filter. It holds the bias and all that stood between the sum and
    /// the activation.
    Bits(Alphabet, Vec<Threshold>),
    /// The real number `(bias + scale · sum) as f32`.
    Real,
}

/// How a pool joins the bits of a window: as the maximum of what stood in front of a threshold comes out behind it.
#[derive(Clone, Debug, PartialEq)]
pub enum BitPool {
    /// Set where any is.
    Any,
    /// For each channel, set where any is (`true`) or where all are: the threshold turns the order round.
    Each(Vec<bool>),
}

/// A function with two values of a real number: which side of a threshold it is on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The threshold.
    pub threshold: f32,
    /// The bit below it; above it is the other one.
    pub below: bool,
    /// The bit at the threshold itself; `None` where it would be a third value (`Sign` of 0), which is an error.
    pub at: Option<bool>,
}

/// An operator of a binary network.
#[derive(Clone, Debug, PartialEq)]
pub enum BinaryOp {
    /// Real numbers to bits. NaN counts as below the threshold.
    Binarize(Step),
    /// A layer on bits.
    Layer(Box<BinaryLayer>),
    /// A layer of real weights on spikes.
    Events(Box<EventLayer>),
    /// One time step of spiking neurons: real numbers to bits.
    Neuron(Box<BitNeuron>),
    /// The greatest of a window of bits; padding never wins.
    Pool(Window, BitPool),
    /// A move of bits that only renames or reorders axes: Flatten, Reshape, Transpose, Squeeze, Unsqueeze, Identity, Dropout.
    Move(Op),
    /// Bits to real numbers.
    Unpack,
    /// A part of the network in floating point; its inputs and outputs are the node's, in order.
    Float(Box<Graph>),
}

/// What a value of a binary network holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BinaryKind {
    /// Bits.
    Bits(Alphabet),
    /// What the operators of the float network take and give.
    Real,
}

/// An edge of a binary network.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryValue {
    /// Name of the value in the float network. A value that is needed both as bits and as real numbers occurs twice.
    pub name: String,
    /// What it holds.
    pub kind: BinaryKind,
}

/// One operator application.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryNode {
    /// Name of the node of the float network that it comes from; of a layer, the node that multiplies.
    pub name: String,
    /// The operator.
    pub op: BinaryOp,
    /// Inputs.
    pub inputs: Vec<ValueId>,
    /// Outputs.
    pub outputs: Vec<ValueId>,
}

/// A network whose layers multiply signs; nodes are in a topological order.
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryGraph {
    /// Name of the network.
    pub name: String,
    /// Inputs, real.
    pub inputs: Vec<GraphInput>,
    /// Outputs, real.
    pub outputs: Vec<ValueId>,
    /// All values.
    pub values: Vec<BinaryValue>,
    /// All nodes.
    pub nodes: Vec<BinaryNode>,
    /// The nodes that multiply in floating point, and why.
    pub float_layers: Vec<(String, String)>,
}

impl BinaryOp {
    /// Name for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Binarize(_) => "Binarize",
            Self::Layer(_) => "BinaryLayer",
            Self::Events(_) => "EventLayer",
            Self::Neuron(_) => "Neuron",
            Self::Pool(..) => "BitPool",
            Self::Move(op) => op.name(),
            Self::Unpack => "Unpack",
            Self::Float(_) => "Float",
        }
    }
}

impl BinaryGraph {
    /// The layers of real weights on spikes with their nodes, in order.
    pub fn event_layers(&self) -> impl Iterator<Item = (&BinaryNode, &EventLayer)> {
        self.nodes.iter().filter_map(|node| match &node.op {
            BinaryOp::Events(layer) => Some((node, &**layer)),
            _ => None,
        })
    }

    /// The layers on bits with their nodes, in order.
    pub fn layers(&self) -> impl Iterator<Item = (&BinaryNode, &BinaryLayer)> {
        self.nodes.iter().filter_map(|node| match &node.op {
            BinaryOp::Layer(layer) => Some((node, &**layer)),
            _ => None,
        })
    }
}

impl BinaryLayer {
    /// Extents on an input of shape `input`.
    ///
    /// # Errors
    /// [`GraphError::InvalidNode`], naming `node`, if the input does not fit the layer.
    pub fn shape_on(&self, node: &str, input: &[usize]) -> Result<LayerShape, GraphError> {
        self.layout.shape_on(node, input, self.weight_shape, &self.window)
    }

    /// Shape of the output whose extents are `shape`.
    pub fn output_shape(&self, shape: &LayerShape) -> Vec<usize> {
        self.layout.output_shape(shape)
    }

    /// Inputs of each output.
    pub fn fan_in(&self) -> usize {
        self.weight_shape[1..].iter().product()
    }

    /// The real number of a sum of filter `k`.
    pub fn real(&self, k: usize, sum: i32) -> f32 {
        (self.bias[k] + self.scales[k] * f64::from(sum)) as f32
    }

    /// Elements of one channel of one image.
    pub fn plane_len(output_shape: &[usize]) -> usize {
        output_shape.iter().skip(2).product()
    }
}

impl EventLayer {
    /// Extents on an input of shape `input`.
    ///
    /// # Errors
    /// As [`BinaryLayer::shape_on`].
    pub fn shape_on(&self, node: &str, input: &[usize]) -> Result<LayerShape, GraphError> {
        self.layout.shape_on(node, input, self.weight_shape, &self.window)
    }

    /// Shape of the output whose extents are `shape`.
    pub fn output_shape(&self, shape: &LayerShape) -> Vec<usize> {
        self.layout.output_shape(shape)
    }
}

impl BinaryLayout {
    fn shape_on(
        self,
        node: &str,
        input: &[usize],
        weight_shape: [usize; 4],
        window: &Window,
    ) -> Result<LayerShape, GraphError> {
        let invalid = |cause: String| GraphError::invalid_node(node, "BinaryLayer", cause);
        let [k, depth, _, _] = weight_shape;
        let (n, c, spatial) = match (input, self) {
            (&[n, c], BinaryLayout::Rows) => (n, c, [1, 1]),
            (&[n, c, h, w], BinaryLayout::Planes) => (n, c, [h, w]),
            _ => return Err(invalid(format!("input has shape {input:?}, which is not that of its layout"))),
        };
        if c != depth {
            return Err(invalid(format!("input has {c} channels, expected {depth}")));
        }
        let op = Op::Conv(ops::Conv { window: window.clone(), groups: 1 });
        let axes = window_axes(&op, node, window, &spatial)?;
        LayerShape::from_axes(n, [c, k], 1, [axes[0], axes[1]]).map_err(|error| invalid(error.to_string()))
    }

    fn output_shape(self, shape: &LayerShape) -> Vec<usize> {
        match self {
            Self::Rows => vec![shape.n(), shape.k()],
            Self::Planes => vec![shape.n(), shape.k(), shape.p(), shape.q()],
        }
    }
}
