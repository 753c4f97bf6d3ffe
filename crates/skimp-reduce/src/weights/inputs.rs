//! What layers read: sums over calibration images.
//!
//! A layer's product is `y = W x` for each output position, with `x` the window under the kernel (a column of [`Matrix`]
//! each). Methods need sums over all windows of all images: of squares, or of all products.

use std::collections::BTreeMap;

use rayon::prelude::*;
use skimp_cpu::CpuExecutor;
use skimp_graph::rewrite::free_batch;
use skimp_graph::shape::window_axes;
use skimp_graph::{AutoPad, Dim, Executor, Gemm, Graph, GraphError, Node, Op, Tensor, ValueId, ops};

use super::tensors::{Found, Matrix, WeightTensor};
use crate::{Learning, ReduceError};

/// Windows that are summed at a time.
const CHUNK: usize = 256;

/// Bytes of sums that are held at a time; what does not fit takes another pass over the images.
const BUDGET: usize = 1 << 30;

/// Sums over windows, one for each group of a layer.
pub(crate) trait WindowSum: Sized + Send {
    /// No windows of so many elements yet.
    fn new(n_columns: usize) -> Self;

    /// Bytes that it takes.
    fn bytes(n_columns: usize) -> usize;

    /// Adds windows, one after the other.
    fn add(&mut self, windows: &[f64]);
}

/// Sums of squares of each column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Squares {
    /// One for each column.
    pub(crate) sums: Vec<f64>,
    /// Windows that were summed.
    pub(crate) n_windows: usize,
}

impl WindowSum for Squares {
    fn new(n_columns: usize) -> Self {
        Self { sums: vec![0.0; n_columns], n_windows: 0 }
    }

    fn bytes(n_columns: usize) -> usize {
        n_columns * size_of::<f64>()
    }

    fn add(&mut self, windows: &[f64]) {
        let n_columns = self.sums.len();
        self.n_windows += windows.len() / n_columns.max(1);
        for window in windows.chunks_exact(n_columns.max(1)) {
            self.sums.iter_mut().zip(window).for_each(|(sum, x)| *sum += x * x);
        }
    }
}

/// Sums of products of each two columns: `Xᵀ X`, of which the part on and above the diagonal is filled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gram {
    /// Row by row.
    pub(crate) sums: Vec<f64>,
    /// Rows and columns.
    pub(crate) n: usize,
    /// Windows that were summed.
    pub(crate) n_windows: usize,
}

impl WindowSum for Gram {
    fn new(n_columns: usize) -> Self {
        Self { sums: vec![0.0; n_columns * n_columns], n: n_columns, n_windows: 0 }
    }

    fn bytes(n_columns: usize) -> usize {
        n_columns * n_columns * size_of::<f64>()
    }

    /// # Determinism
    /// Each sum is in the order of the windows.
    fn add(&mut self, windows: &[f64]) {
        const ROWS: usize = 8;
        let n = self.n.max(1);
        self.n_windows += windows.len() / n;
        self.sums.par_chunks_mut(ROWS * n).enumerate().for_each(|(block, rows)| {
            for window in windows.chunks_exact(n) {
                for (row, sums) in rows.chunks_exact_mut(n).enumerate() {
                    let row = block * ROWS + row;
                    let factor = window[row];
                    if factor.abs() > 0.0 {
                        sums[row..].iter_mut().zip(&window[row..]).for_each(|(sum, x)| *sum += factor * x);
                    }
                }
            }
        });
    }
}

/// Why a layer's windows are not known; `None` if they are.
pub(crate) fn unknown_windows(graph: &Graph, tensor: &WeightTensor) -> Option<String> {
    tensor.nodes.iter().find_map(|&idx| {
        let node = &graph.nodes()[idx];
        let is_left = node.inputs.first() == Some(&Some(tensor.value));
        let reason = if let Op::ConvTranspose(ops::ConvTranspose { window, output_shape, .. }) = &node.op {
            let is_implied = window.auto_pad != AutoPad::NotSet || output_shape.is_some();
            is_implied.then_some("a transposed convolution whose padding follows from its output")
        } else if let Op::Gemm(Gemm { trans_a, .. }) = &node.op {
            trans_a.then_some("a dense layer that turns its input")
        } else if node.op == Op::MatMul {
            (tensor.shape.len() != 2 || is_left).then_some("a product with a stack of weights, or a weight on the left")
        } else {
            (!matches!(node.op, Op::Conv(_))).then_some("no layer whose windows are known")
        };
        reason.map(str::to_owned)
    })
}

/// The windows of one layer for inputs of some extents.
#[derive(Debug)]
pub(crate) enum Windows {
    /// The last axis of the input, at every position of the others.
    Rows,
    /// For each output position and tap, where the element of a channel lies, if not in the padding.
    Taps(Vec<Option<usize>>),
}

impl Windows {
    /// Those of a layer that [`unknown_windows`] has nothing against, for an input of the extents `x`.
    ///
    /// # Errors
    /// Extents that do not fit.
    pub(crate) fn of(node: &Node, x: &[usize]) -> Result<Self, GraphError> {
        let extents = x.get(2..).unwrap_or_default();
        if let Op::Conv(ops::Conv { window, .. }) = &node.op {
            let axes = window_axes(&node.op, &node.name, window, extents)?;
            let axes = axes.iter().map(|axis| Axis {
                input: axis.input,
                kernel: axis.kernel,
                output: axis.output,
                at: Box::new(|position, tap| {
                    (position * axis.stride + tap * axis.dilation).checked_sub(axis.pad_begin)
                }),
            });
            return Ok(Self::Taps(taps(&axes.collect::<Vec<_>>())));
        }
        if let Op::ConvTranspose(ops::ConvTranspose { window, output_padding, .. }) = &node.op {
            let axes = extents.iter().enumerate().map(|(idx, &input)| {
                let (kernel, stride, dilation) = (window.kernel[idx], window.strides[idx], window.dilations[idx]);
                let (begin, end) = (window.pads_begin[idx], window.pads_end[idx]);
                let reach = stride * input.saturating_sub(1) + output_padding[idx] + dilation * (kernel - 1) + 1;
                Axis {
                    input,
                    kernel,
                    output: reach.saturating_sub(begin + end),
                    at: Box::new(move |position, tap| {
                        let offset = (position + begin).checked_sub(tap * dilation)?;
                        offset.is_multiple_of(stride).then_some(offset / stride)
                    }),
                }
            });
            return Ok(Self::Taps(taps(&axes.collect::<Vec<_>>())));
        }
        Ok(Self::Rows)
    }

    /// Output positions of an image of the input `x`.
    pub(crate) fn n_positions(&self, x: &Tensor, matrix: &Matrix) -> usize {
        match self {
            Self::Rows => x.len() / (x.shape().first().copied().unwrap_or(1) * matrix.columns()).max(1),
            Self::Taps(taps) => taps.len() / matrix.taps().max(1),
        }
    }

    /// Puts what a group of the layer multiplies for one output position of one image into `window`.
    pub(crate) fn window(
        &self,
        x: &Tensor,
        matrix: &Matrix,
        (image, position, group): (usize, usize, usize),
        window: &mut Vec<f64>,
    ) {
        let elements = x.as_f32().unwrap_or_default();
        window.clear();
        match self {
            Self::Rows => {
                let row = image * self.n_positions(x, matrix) + position;
                window.extend(elements[row * matrix.columns()..][..matrix.columns()].iter().map(|&x| f64::from(x)));
            }
            Self::Taps(taps) => {
                let n_pixels: usize = x.shape()[2..].iter().product();
                let group_len = matrix.inputs() * n_pixels;
                let channels = &elements[(image * matrix.groups() + group) * group_len..][..group_len];
                let offsets = &taps[position * matrix.taps()..][..matrix.taps()];
                for channel in channels.chunks_exact(n_pixels.max(1)) {
                    window.extend(offsets.iter().map(|offset| offset.map_or(0.0, |idx| f64::from(channel[idx]))));
                }
            }
        }
    }

    /// Where the layer's output holds the row `row` of `n_rows` has for an output position of an image.
    pub(crate) fn output(
        &self,
        n_rows: usize,
        (image, position, row): (usize, usize, usize),
        n_positions: usize,
    ) -> usize {
        match self {
            Self::Rows => (image * n_positions + position) * n_rows + row,
            Self::Taps(_) => (image * n_rows + row) * n_positions + position,
        }
    }

    /// Adds all windows of an input to the sums of the groups.
    fn add<S: WindowSum>(&self, x: &Tensor, matrix: &Matrix, sums: &mut [S]) {
        let (elements, columns) = (x.as_f32().unwrap_or_default(), matrix.columns());
        let mut chunk = Vec::with_capacity(CHUNK * columns);
        match self {
            Self::Rows => {
                for rows in elements.chunks(CHUNK * columns) {
                    chunk.clear();
                    chunk.extend(rows.iter().map(|&x| f64::from(x)));
                    sums[0].add(&chunk);
                }
            }
            Self::Taps(taps) => {
                let n_pixels: usize = x.shape()[2..].iter().product();
                let group_len = matrix.inputs() * n_pixels;
                for (part, channels) in elements.chunks_exact(group_len.max(1)).enumerate() {
                    let sum = &mut sums[part % matrix.groups()];
                    for positions in taps.chunks(CHUNK * matrix.taps()) {
                        chunk.clear();
                        for offsets in positions.chunks_exact(matrix.taps()) {
                            for channel in channels.chunks_exact(n_pixels) {
                                let of = |offset: &Option<usize>| offset.map_or(0.0, |idx| f64::from(channel[idx]));
                                chunk.extend(offsets.iter().map(of));
                            }
                        }
                        sum.add(&chunk);
                    }
                }
            }
        }
    }
}

/// A spatial axis: where a tap of an output position lies in the input.
struct Axis<'a> {
    input: usize,
    kernel: usize,
    output: usize,
    at: Box<dyn Fn(usize, usize) -> Option<usize> + 'a>,
}

/// For each output position and tap, in order, the place in a channel.
fn taps(axes: &[Axis<'_>]) -> Vec<Option<usize>> {
    // (place, position) pairs are built axis by axis: all positions so far times all taps so far.
    let mut places = vec![Some(0)];
    let (mut n_positions, mut n_taps) = (1, 1);
    for axis in axes {
        let mut next = Vec::with_capacity(places.len() * axis.output * axis.kernel);
        for outer_position in 0..n_positions {
            for position in 0..axis.output {
                for outer_tap in 0..n_taps {
                    for tap in 0..axis.kernel {
                        let at = (axis.at)(position, tap).filter(|&at| at < axis.input);
                        let outer = places[outer_position * n_taps + outer_tap];
                        next.push(outer.zip(at).map(|(outer, at)| outer * axis.input + at));
                    }
                }
            }
        }
        (n_positions, n_taps) = (n_positions * axis.output, n_taps * axis.kernel);
        places = next;
    }
    places
}

/// Sums over the windows of every tensor's layers, one for each group, and the number of images.
///
/// The first `n_images` training images are taken, or as many as there are.
///
/// # Errors
/// An image that cannot be read, an input that does not fit the network, a node that cannot run.
pub(crate) fn sum_windows<S: WindowSum>(
    graph: &Graph,
    found: &Found,
    learning: &Learning<'_>,
    n_images: usize,
) -> Result<(Vec<Vec<S>>, usize), ReduceError> {
    let mut all = Vec::with_capacity(found.tensors.len());
    let mut n_used = 0;
    let bytes = |tensor: &WeightTensor| tensor.matrix.groups() * S::bytes(tensor.matrix.columns());
    while all.len() < found.tensors.len() {
        let rest = &found.tensors[all.len()..];
        let mut total = 0;
        let n_tensors = rest.iter().take_while(|tensor| {
            total += bytes(tensor);
            total <= BUDGET
        });
        let tensors = &rest[..n_tensors.count().max(1)];
        let (sums, n) = pass(graph, tensors, learning, n_images)?;
        all.extend(sums);
        n_used = n;
    }
    Ok((all, n_used))
}

/// One pass over the images, for some tensors.
fn pass<S: WindowSum>(
    graph: &Graph,
    tensors: &[WeightTensor],
    learning: &Learning<'_>,
    n_images: usize,
) -> Result<(Vec<Vec<S>>, usize), ReduceError> {
    let mut sums: Vec<Vec<S>> = tensors
        .iter()
        .map(|tensor| (0..tensor.matrix.groups()).map(|_| S::new(tensor.matrix.columns())).collect())
        .collect();
    let mut readers: BTreeMap<ValueId, Vec<(usize, usize)>> = BTreeMap::new();
    for (position, tensor) in tensors.iter().enumerate() {
        for &idx in &tensor.nodes {
            if let Some(x) = graph.nodes()[idx].inputs.first().copied().flatten() {
                readers.entry(x).or_default().push((position, idx));
            }
        }
    }
    let n_used = observe(graph, learning, n_images, |id, x| {
        for &(position, idx) in readers.get(&id).into_iter().flatten() {
            Windows::of(&graph.nodes()[idx], x.shape())?.add(x, &tensors[position].matrix, &mut sums[position]);
        }
        Ok(())
    })?;
    Ok((sums, n_used))
}

/// Shows every value that the network computes from the first `n_images` training images, and these, batch by batch; how
/// many images there were.
///
/// # Errors
/// As [`sum_windows`], and what `visit` says.
pub(crate) fn observe(
    graph: &Graph,
    learning: &Learning<'_>,
    n_images: usize,
    mut visit: impl FnMut(ValueId, &Tensor) -> Result<(), ReduceError>,
) -> Result<usize, ReduceError> {
    let (runnable, fixed_batch) = with_open_batch(graph)?;
    let executor = CpuExecutor::new(&runnable)?;
    let mut n_used = 0;
    let mut result = Ok(());
    for step in 0..learning.training.steps_per_epoch() {
        let batch = learning.training.batch(step)?;
        let [n, shape @ ..] = batch.shape;
        let n = n.min(n_images - n_used);
        let len: usize = shape.iter().product();
        let step_len = fixed_batch.unwrap_or(n).max(1);
        for images in batch.images[..n * len].chunks_exact(step_len * len) {
            let shape = std::iter::once(step_len).chain(shape).collect();
            let images = image_tensor(graph, shape, images);
            let mut visit = |id: ValueId, x: &Tensor| {
                if result.is_ok() {
                    result = visit(id, x);
                }
            };
            visit(graph.inputs()[0].value, &images);
            executor.run_observed(std::slice::from_ref(&images), &mut visit)?;
            n_used += step_len;
        }
        std::mem::replace(&mut result, Ok(()))?;
        if n_used >= n_images {
            break;
        }
    }
    Ok(n_used)
}

/// Images as the network takes them: some networks take flat ones.
fn image_tensor(graph: &Graph, shape: Vec<usize>, images: &[f32]) -> Tensor {
    let dims = &graph.inputs()[0].dims;
    let fits = dims.len() == shape.len();
    let flat = vec![shape[0], shape[1..].iter().product()];
    Tensor::from_f32(if fits { shape } else { flat }, images.to_vec())
}

/// The network for batches of any size, or else the size that it takes.
fn with_open_batch(graph: &Graph) -> Result<(Graph, Option<usize>), ReduceError> {
    let [input] = graph.inputs() else {
        let cause = format!("{} inputs, expected one that takes images", graph.inputs().len());
        return Err(ReduceError::Nothing { network: graph.name().to_owned(), cause });
    };
    Ok(match (input.dims.first(), free_batch(graph)) {
        (Some(Dim::Fixed(_)), Some(open)) => (open, None),
        (Some(Dim::Fixed(n)), None) => (graph.clone(), Some(*n)),
        _ => (graph.clone(), None),
    })
}

#[cfg(test)]
mod tests {
    use skimp_graph::reference;
    use skimp_graph::testing::random_tensor;
    use skimp_graph::{DType, GraphBuilder, Window};

    use super::*;
    use crate::weights::tensors::find;
    use crate::weights::testing::window;

    /// Windows times weights are the layer's outputs, as the reference computes them.
    #[test]
    fn windows_are_what_layers_multiply() {
        let conv = |window: Window, groups| Op::Conv(ops::Conv { window, groups });
        let transposed = |window: Window, groups| {
            let (output_padding, output_shape) = (vec![1; 2], None);
            Op::ConvTranspose(ops::ConvTranspose { window, groups, output_padding, output_shape })
        };
        let gemm = |trans_b| Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, trans_a: false, trans_b });
        let uneven = Window { pads_end: vec![0, 2], dilations: vec![2, 1], ..window(3, 2, 1) };
        let same = Window { auto_pad: AutoPad::SameUpper, ..window(3, 2, 0) };
        let cases: Vec<(Op, Vec<usize>, Vec<usize>)> = vec![
            (conv(window(3, 1, 1), 1), vec![2, 4, 6, 5], vec![3, 4, 3, 3]),
            (conv(uneven, 2), vec![2, 4, 6, 5], vec![6, 2, 3, 3]),
            (conv(same, 4), vec![1, 4, 7, 5], vec![4, 1, 3, 3]),
            (transposed(window(3, 2, 1), 1), vec![2, 4, 3, 4], vec![4, 3, 3, 3]),
            (transposed(window(2, 2, 0), 2), vec![1, 4, 3, 4], vec![4, 3, 2, 2]),
            (gemm(true), vec![5, 7], vec![3, 7]),
            (gemm(false), vec![5, 7], vec![7, 3]),
            (Op::MatMul, vec![2, 5, 7], vec![7, 3]),
        ];
        for (op, x_shape, w_shape) in cases {
            let mut builder = GraphBuilder::new("layer");
            let x = builder.input("x", DType::F32, x_shape.iter().map(|&n| Dim::Fixed(n)).collect());
            let w = builder.constant("w", random_tensor(1, "w", w_shape.clone(), 0.0, 1.0));
            let y = builder.node("layer", op.clone(), &[x, w]);
            builder.output(y);
            let graph = builder.build().unwrap();
            let found = find(&graph, |_| false);
            let tensor = &found.tensors[0];
            assert_eq!(unknown_windows(&graph, tensor), None);
            let (matrix, weights) = (&tensor.matrix, tensor.elements(&graph));
            let x = random_tensor(2, "x", x_shape.clone(), 0.0, 1.0);
            let expected = reference::Reference::new(&graph).run(std::slice::from_ref(&x)).unwrap();

            // The sum of squares of all outputs of a row is wᵀ (Xᵀ X) w.
            let windows = Windows::of(&graph.nodes()[0], &x_shape).unwrap();
            let mut sums: Vec<Gram> = (0..matrix.groups()).map(|_| Gram::new(matrix.columns())).collect();
            windows.add(&x, matrix, &mut sums);
            let mut squares: Vec<Squares> = (0..matrix.groups()).map(|_| Squares::new(matrix.columns())).collect();
            windows.add(&x, matrix, &mut squares);
            let (y, y_shape) = (expected[0].as_f32().unwrap(), expected[0].shape());
            let is_dense = w_shape.len() == 2;
            let n_after: usize = if is_dense { 1 } else { y_shape[2..].iter().product() };
            for row in 0..matrix.rows() {
                let Gram { sums, n, n_windows } = &sums[row / (matrix.rows() / matrix.groups())];
                let w = matrix.row(weights, row);
                let at = |i: usize, j: usize| f64::from(w[i]) * sums[i.min(j) * n + i.max(j)] * f64::from(w[j]);
                let found: f64 = (0..*n).flat_map(|i| (0..*n).map(move |j| (i, j))).map(|(i, j)| at(i, j)).sum();
                let of_row = y.iter().enumerate().filter(|(idx, _)| idx / n_after % matrix.rows() == row);
                let expected: f64 = of_row.clone().map(|(_, y)| f64::from(*y).powi(2)).sum();
                assert!((found - expected).abs() < 1e-4 * expected, "{} row {row}: {found}, {expected}", op.name());
                assert_eq!(*n_windows, of_row.count(), "{}", op.name());
            }
            for (gram, squares) in sums.iter().zip(&squares) {
                let diagonal: Vec<f64> = (0..gram.n).map(|i| gram.sums[i * gram.n + i]).collect();
                assert_eq!((&diagonal, gram.n_windows), (&squares.sums, squares.n_windows));
            }
        }
    }
}
