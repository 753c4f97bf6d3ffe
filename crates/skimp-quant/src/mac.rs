//! Nodes that are multiply-accumulate layers, in one form.

use std::borrow::Cow;
use std::ops::Range;

use skimp_graph::integer::MacLayout;
use skimp_graph::ops;
use skimp_graph::{Graph, Node, Op, Tensor, Window};

use crate::QuantError;

/// A convolution or dense layer with constant weights, in real numbers.
#[derive(Clone, Debug)]
pub(crate) struct RealLayer {
    pub(crate) layout: MacLayout,
    pub(crate) window: Window,
    pub(crate) groups: usize,
    /// k, c / groups, r, s.
    pub(crate) weight_shape: [usize; 4],
    pub(crate) weight: RealWeight,
    pub(crate) bias: Vec<f64>,
}

/// Weights in real numbers, which take memory only while somebody looks at them: most are a constant of the network.
#[derive(Clone, Debug)]
pub(crate) enum RealWeight {
    /// The elements of a constant as they lie.
    Constant(Tensor),
    /// A matrix `[c, k]`, if `transposed`, or `[k, c]`, times `alpha`.
    Matrix { matrix: Tensor, transposed: bool, alpha: f64, k: usize, c: usize },
    /// Computed from several constants.
    Computed(Vec<f64>),
}

impl RealWeight {
    fn len(&self) -> usize {
        match self {
            Self::Constant(tensor) | Self::Matrix { matrix: tensor, .. } => tensor.len(),
            Self::Computed(weight) => weight.len(),
        }
    }

    /// The elements `range` of `[k, c / groups, r, s]`, row-major.
    fn elements(&self, range: Range<usize>) -> Cow<'_, [f64]> {
        let of = |source: &[f32]| source.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        match self {
            Self::Constant(tensor) => of(&tensor.as_f32().unwrap_or_default()[range]).into(),
            Self::Matrix { matrix, transposed, alpha, k, c } => {
                let (source, k, c) = (matrix.as_f32().unwrap_or_default(), *k, *c);
                let at = |i: usize| if *transposed { i % c * k + i / c } else { i };
                range.map(|i| alpha * f64::from(source[at(i)])).collect::<Vec<f64>>().into()
            }
            Self::Computed(weight) => weight[range].into(),
        }
    }
}

impl RealLayer {
    /// The weights of each output channel, one channel after the other: a layer may hold most of a network's.
    pub(crate) fn channels(&self) -> impl Iterator<Item = Cow<'_, [f64]>> {
        let (n, depth) = (self.weight.len(), self.depth().max(1));
        (0..n).step_by(depth).map(move |start| self.weight.elements(start..(start + depth).min(n)))
    }

    /// Products behind one output.
    pub(crate) fn depth(&self) -> usize {
        self.weight_shape[1..].iter().product()
    }
}

/// A window over one axis as one over two, the first of which has one element.
fn with_unit_rows(window: &Window) -> Window {
    let before = |first: usize, list: &[usize]| std::iter::once(first).chain(list.iter().copied()).collect();
    Window {
        kernel: before(1, &window.kernel),
        strides: before(1, &window.strides),
        dilations: before(1, &window.dilations),
        pads_begin: before(0, &window.pads_begin),
        pads_end: before(0, &window.pads_end),
        auto_pad: window.auto_pad,
        ceil_mode: window.ceil_mode,
    }
}

fn constant(graph: &Graph, node: &Node, i: usize) -> Option<Tensor> {
    let id = (*node.inputs.get(i)?)?;
    graph.constant(id).filter(|tensor| tensor.as_f32().is_some()).cloned()
}

fn elements(tensor: &Tensor) -> Vec<f64> {
    tensor.as_f32().unwrap_or_default().iter().map(|&x| f64::from(x)).collect()
}

/// A value per channel out of a constant that broadcasts to it from the given axes: every extent is 1 but, at most, that
/// of the channel axis, which is `trailing` axes before the last.
pub(crate) fn per_channel(tensor: &Tensor, channels: usize, trailing: usize) -> Option<Vec<f64>> {
    let shape = tensor.shape();
    let channel_axis = shape.len().checked_sub(trailing + 1);
    let fits = shape
        .iter()
        .enumerate()
        .all(|(axis, &extent)| extent == 1 || (Some(axis) == channel_axis && extent == channels));
    let values = elements(tensor);
    match values.len() {
        _ if !fits => None,
        1 => Some(vec![values[0]; channels]),
        n if n == channels => Some(values),
        _ => None,
    }
}

/// The layer behind `node`, whose first input has `rank` axes; `None` if it is no multiply-accumulate layer that an
/// integer network can run.
///
/// # Errors
/// [`QuantError::InvalidNode`] if a weight or bias is not finite.
pub(crate) fn real_layer(graph: &Graph, node: &Node, rank: usize) -> Result<Option<RealLayer>, QuantError> {
    let layer = match &node.op {
        Op::Conv(ops::Conv { window, groups }) => convolution(graph, node, window, *groups),
        Op::Gemm(gemm) if !gemm.trans_a && rank == 2 => dense(graph, node, rank, gemm.trans_b, (gemm.alpha, gemm.beta)),
        Op::MatMul if rank >= 2 => dense(graph, node, rank, false, (1.0, 0.0)),
        Op::BatchNormalization(ops::BatchNormalization { epsilon }) if rank == 4 => {
            batch_norm(graph, node, f64::from(*epsilon))
        }
        _ => None,
    };
    if let Some(layer) = &layer {
        let weights = layer.channels().map(|channel| ("weight", channel));
        for (what, list) in weights.chain(std::iter::once(("bias", Cow::Borrowed(layer.bias.as_slice())))) {
            if let Some(x) = list.iter().find(|x| !x.is_finite()) {
                return Err(QuantError::InvalidNode {
                    node: node.name.clone(),
                    op: node.op.name().to_owned(),
                    cause: format!("a {what} is {x}, expected finite numbers"),
                });
            }
        }
    }
    Ok(layer)
}

fn convolution(graph: &Graph, node: &Node, window: &Window, groups: usize) -> Option<RealLayer> {
    let weight = constant(graph, node, 1)?;
    let (layout, weight_shape, window) = match *weight.shape() {
        [k, c, r, s] => (MacLayout::Planes, [k, c, r, s], window.clone()),
        [k, c, s] => (MacLayout::Line, [k, c, 1, s], with_unit_rows(window)),
        _ => return None,
    };
    let bias = match node.inputs.get(2) {
        Some(Some(_)) => elements(&constant(graph, node, 2)?),
        _ => vec![0.0; weight_shape[0]],
    };
    let consistent = bias.len() == weight_shape[0] && window.kernel == weight_shape[2..] && !weight.is_empty();
    let weight = RealWeight::Constant(weight);
    consistent.then_some(RealLayer { layout, window, groups, weight_shape, weight, bias })
}

fn dense(graph: &Graph, node: &Node, rank: usize, transposed: bool, (alpha, beta): (f32, f32)) -> Option<RealLayer> {
    let tensor = constant(graph, node, 1)?;
    // Leading extents of 1 change nothing but the number of axes, which the activations set.
    let (leading, &[rows, cols]) = tensor.shape().split_last_chunk()?;
    if leading.iter().any(|&extent| extent != 1) || tensor.shape().len() > rank {
        return None;
    }
    let (k, c) = if transposed { (rows, cols) } else { (cols, rows) };
    let bias = match (&node.op, node.inputs.get(2)) {
        (Op::Gemm(_), Some(Some(_))) => {
            let addend = constant(graph, node, 2)?;
            per_channel(&addend, k, 0)?.into_iter().map(|x| f64::from(beta) * x).collect()
        }
        _ => vec![0.0; k],
    };
    (k * c > 0).then(|| RealLayer {
        layout: MacLayout::Rows,
        window: Window::pointwise(2),
        groups: 1,
        weight_shape: [k, c, 1, 1],
        weight: RealWeight::Matrix { matrix: tensor, transposed: !transposed, alpha: f64::from(alpha), k, c },
        bias,
    })
}

/// A batch normalization that no convolution took in is a depthwise 1x1 convolution.
fn batch_norm(graph: &Graph, node: &Node, epsilon: f64) -> Option<RealLayer> {
    let [scale, bias, mean, variance] = [1, 2, 3, 4].map(|i| constant(graph, node, i).map(|t| elements(&t)));
    let (scale, bias, mean, variance) = (scale?, bias?, mean?, variance?);
    let channels = scale.len();
    if channels == 0 || [bias.len(), mean.len(), variance.len()] != [channels; 3] {
        return None;
    }
    let weight: Vec<f64> = (0..channels).map(|k| scale[k] / (variance[k] + epsilon).sqrt()).collect();
    let bias = (0..channels).map(|k| bias[k] - weight[k] * mean[k]).collect();
    Some(RealLayer {
        layout: MacLayout::Planes,
        window: Window::pointwise(2),
        groups: channels,
        weight_shape: [channels, 1, 1, 1],
        weight: RealWeight::Computed(weight),
        bias,
    })
}
