//! Constants that scale and shift channels.

use super::batch_norm::{Affine, Linear};
use super::{Editor, remove_dead};
use crate::{Graph, Op, Tensor, ValueId};

/// Folds `Add`, `Sub`, `Mul` and `Div` with a constant number for each channel, or one for all, into the `Conv` or `Gemm`
/// before them, as [`fold_batch_norm`](super::fold_batch_norm) does a batch normalization. So exporters write a bias, and
/// a batch normalization that they took apart.
///
/// The layer takes over the output of what is folded. What cannot be folded stays: where another node reads the layer's
/// output or the weights are no f32 constants, and where weights would not be finite.
///
/// # Rounding
/// f64 throughout, weight and bias rounded once to f32 for each node that is folded.
pub fn fold_arithmetic(graph: &Graph) -> Graph {
    let mut parts = Editor::new(graph);
    let mut idx = 0;
    while idx < parts.nodes.len() {
        if fold(&mut parts, idx).is_some() {
            parts.nodes.remove(idx);
        } else {
            idx += 1;
        }
    }
    remove_dead(&parts.rebuilt())
}

/// Folds the node at `idx`, which stays for the caller to remove.
fn fold(parts: &mut Editor<'_>, idx: usize) -> Option<()> {
    let node = &parts.nodes[idx];
    let (&[Some(a), Some(b)], &[output]) = (node.inputs.as_slice(), node.outputs.as_slice()) else { return None };
    let (x, constant, is_first) = match (parts.constant(a), parts.constant(b)) {
        (Some(constant), None) => (b, constant, false),
        (None, Some(constant)) => (a, constant, true),
        _ => return None,
    };
    let factor_and_shift: fn(f64) -> (f64, f64) = match (&node.op, is_first) {
        (Op::Add, _) => |c| (1.0, c),
        (Op::Sub, true) => |c| (1.0, -c),
        (Op::Sub, false) => |c| (-1.0, c),
        (Op::Mul, _) => |c| (c, 0.0),
        (Op::Div, true) => |c| (c.recip(), 0.0),
        _ => return None,
    };
    let producer = parts.producer(x).filter(|&producer| parts.nodes[producer].outputs == [x])?;
    if !matches!(parts.nodes[producer].op, Op::Conv(_) | Op::Gemm(_)) || parts.n_uses(x) != 1 {
        return None;
    }
    let linear = Linear::of(parts, &parts.nodes[producer])?;
    let rank = match parts.nodes[producer].op {
        Op::Conv(_) => linear.weight_shape.len(),
        _ => 2,
    };
    let numbers = per_channel(constant, rank, linear.n_channels)?;
    let affine = Affine::new(numbers.into_iter().map(factor_and_shift));
    put(parts, producer, &linear, &affine, output)
}

/// Writes a folded layer.
fn put(parts: &mut Editor<'_>, layer: usize, linear: &Linear, affine: &Affine, output: ValueId) -> Option<()> {
    let (weight, bias) = linear.folded(affine)?;
    if !weight.iter().chain(&bias).all(|x| x.is_finite()) {
        return None;
    }
    let weight = Tensor::from_f32(linear.weight_shape.clone(), weight);
    let bias = Tensor::from_f32(vec![bias.len()], bias);
    let name = parts.nodes[layer].name.clone();
    parts.put_constant(layer, 1, weight, &format!("{name}.weight"));
    parts.put_constant(layer, 2, bias, &format!("{name}.bias"));
    let layer = &mut parts.nodes[layer];
    layer.outputs = vec![output];
    if let Op::Gemm(gemm) = &mut layer.op {
        gemm.beta = 1.0;
    }
    Some(())
}

/// A number for each channel of axis 1 of an output of `rank` axes, which the constant does not make larger.
fn per_channel(constant: &Tensor, rank: usize, n_channels: usize) -> Option<Vec<f64>> {
    let (elements, shape) = (constant.as_f32()?, constant.shape());
    if shape.len() > rank {
        return None;
    }
    if let [one] = elements {
        return Some(vec![f64::from(*one); n_channels]);
    }
    // Right-aligned: axis 1 of the output.
    let axis = (1 + shape.len()).checked_sub(rank)?;
    let fits = shape.iter().enumerate().all(|(i, &extent)| extent == if i == axis { n_channels } else { 1 });
    fits.then(|| elements.iter().copied().map(f64::from).collect())
}
