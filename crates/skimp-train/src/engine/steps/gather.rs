//! Operators that only move elements (slice, pad, concat, split, reshape, transpose, ...), as lists of runs to copy.
//!
//! The lists are found by running the reference interpreter on tensors of indices, so each operator means here what it
//! means there.

use skimp_graph::{Data, Op, PadMode, Tensor, reference};

use crate::TrainError;
use crate::engine::kernels::per_image;
use crate::engine::step::{Keeps, Place, Run, Step};
use crate::engine::tensors::TensorSpec;

/// `len` elements from `input` to `output`, both offsets within an image in memory order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    input: usize,
    output: usize,
    len: usize,
}

/// A movement of elements within each image.
#[derive(Debug)]
pub(crate) struct Gather {
    /// For each output and input, the runs from one to the other.
    moves: Vec<Vec<Vec<Move>>>,
    /// For each output, the runs (offset, length) that no input fills.
    holes: Vec<Vec<(usize, usize)>>,
    fill: f32,
    /// For each input, whether each element goes to exactly one place, so that its gradient is a copy.
    is_bijective: Vec<bool>,
}

impl Gather {
    /// The movement of an operator on `inputs`; `None` if the operator computes something.
    ///
    /// # Errors
    /// The node's error if its shapes do not fit.
    pub(crate) fn new(
        op: &Op,
        node: &str,
        inputs: &[&TensorSpec],
        outputs: &[&TensorSpec],
    ) -> Result<Option<Self>, TrainError> {
        let fill = match op {
            Op::Pad(pad) if pad.mode == PadMode::Constant => pad.value,
            Op::Concat(_)
            | Op::Split(_)
            | Op::Slice(_)
            | Op::Pad(_)
            | Op::Flatten(_)
            | Op::Reshape(_)
            | Op::Transpose(_)
            | Op::Squeeze(_)
            | Op::Unsqueeze(_)
            | Op::Identity => 0.0,
            _ => return Ok(None),
        };
        // Constant padding must be told apart: index 0 stands for it.
        let op = match op {
            Op::Pad(pad) => Op::Pad(skimp_graph::Pad { value: 0.0, ..pad.clone() }),
            op => op.clone(),
        };
        let mut first = 1;
        let mut tensors = Vec::new();
        let mut firsts = Vec::new();
        for spec in inputs {
            tensors.push(indices(spec, first));
            firsts.push(first);
            first += spec.len();
        }
        let tensors: Vec<Option<&Tensor>> = tensors.iter().map(Option::as_ref).collect();
        let moved = reference::evaluate(&op, node, &tensors)?;
        if !keeps_images_apart(&op, node, &tensors, &moved)? {
            let cause = "it moves elements between the images of a batch".to_owned();
            return Err(TrainError::Untrainable { node: node.to_owned(), op: op.name().to_owned(), cause });
        }
        let mut gather = Self { moves: Vec::new(), holes: Vec::new(), fill, is_bijective: Vec::new() };
        let mut n_uses: Vec<Vec<usize>> = inputs.iter().map(|spec| vec![0; spec.len()]).collect();
        for (spec, indices) in outputs.iter().zip(&moved) {
            let mut moves = vec![Vec::new(); inputs.len()];
            let mut holes = Vec::new();
            let elements = indices.as_i64().unwrap_or_default();
            for (output, graph_idx) in memory_order(spec).enumerate() {
                let index = elements.get(graph_idx).copied().unwrap_or_default() as usize;
                match firsts.iter().rposition(|&first| index >= first) {
                    Some(source) => {
                        let input = index - firsts[source];
                        n_uses[source][input] += 1;
                        push_move(&mut moves[source], input, output);
                    }
                    None => push_hole(&mut holes, output),
                }
            }
            gather.moves.push(moves);
            gather.holes.push(holes);
        }
        gather.is_bijective = n_uses.iter().map(|uses| uses.iter().all(|&n| n == 1)).collect();
        Ok(Some(gather))
    }
}

/// Index in the graph's order of each element in memory order.
fn memory_order(spec: &TensorSpec) -> impl Iterator<Item = usize> {
    let (channels, pixels) = (spec.channels(), spec.pixels());
    (0..pixels).flat_map(move |pixel| (0..channels).map(move |c| c * pixels + pixel))
}

/// A batch of one whose elements are their places in memory, counted from `first`.
fn indices(spec: &TensorSpec, first: usize) -> Option<Tensor> {
    let mut elements = vec![0_i64; spec.len()];
    for (memory_idx, graph_idx) in memory_order(spec).enumerate() {
        elements[graph_idx] = (first + memory_idx) as i64;
    }
    let shape = std::iter::once(1).chain(spec.dims.iter().copied()).collect();
    Tensor::new(shape, Data::from(elements))
}

/// Whether the second of two images is moved as the first, to itself, which goes as a batch of one does.
fn keeps_images_apart(
    op: &Op,
    node: &str,
    one: &[Option<&Tensor>],
    moved: &[Tensor],
) -> Result<bool, skimp_graph::GraphError> {
    let elements = |tensor: &Tensor| tensor.as_i64().unwrap_or_default().to_vec();
    let n_indices: i64 = one.iter().flatten().map(|tensor| tensor.len() as i64).sum();
    let twice = |indices: Vec<i64>| -> Vec<i64> {
        let second = indices.iter().map(|&index| if index > 0 { index + n_indices } else { 0 }).collect::<Vec<i64>>();
        [indices, second].concat()
    };
    let two: Vec<Option<Tensor>> = one
        .iter()
        .map(|tensor| {
            let mut shape = tensor.as_ref()?.shape().to_vec();
            *shape.first_mut()? = 2;
            Tensor::new(shape, Data::from(twice(elements(tensor.as_ref()?))))
        })
        .collect();
    let two: Vec<Option<&Tensor>> = two.iter().map(Option::as_ref).collect();
    let found = reference::evaluate(op, node, &two)?;
    Ok(found.iter().zip(moved).all(|(found, moved)| elements(found) == twice(elements(moved))))
}

fn push_move(moves: &mut Vec<Move>, input: usize, output: usize) {
    match moves.last_mut() {
        Some(last) if last.input + last.len == input && last.output + last.len == output => last.len += 1,
        _ => moves.push(Move { input, output, len: 1 }),
    }
}

fn push_hole(holes: &mut Vec<(usize, usize)>, output: usize) {
    match holes.last_mut() {
        Some((start, len)) if *start + *len == output => *len += 1,
        _ => holes.push((output, 1)),
    }
}

impl Step for Gather {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: false, outputs: false }
    }

    fn moves_only(&self) -> bool {
        true
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        for (idx, &output) in place.outputs.iter().enumerate() {
            let output_len = run.tensors.spec(output).len();
            run.produce(output, |y, run| {
                for (port, moves) in place.inputs.iter().zip(&self.moves[idx]) {
                    let (x, input_len) = (run.value(port.id), run.tensors.spec(port.id).len());
                    per_image(y, output_len, |n, image| {
                        let x = &x[n * input_len..][..input_len];
                        for m in moves {
                            image[m.output..m.output + m.len].copy_from_slice(&x[m.input..m.input + m.len]);
                        }
                    });
                }
                let holes = &self.holes[idx];
                if !holes.is_empty() {
                    per_image(y, output_len, |_, image| {
                        for &(start, len) in holes {
                            image[start..start + len].fill(self.fill);
                        }
                    });
                }
            });
        }
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        for (input, port) in place.inputs.iter().enumerate() {
            let input_len = run.tensors.spec(port.id).len();
            run.contribute(port, |dx, run| {
                if !self.is_bijective[input] || place.outputs.iter().any(|&output| run.grad(output).is_empty()) {
                    dx.fill(0.0);
                }
                for (idx, &output) in place.outputs.iter().enumerate() {
                    let (dy, output_len) = (run.grad(output), run.tensors.spec(output).len());
                    if dy.is_empty() {
                        continue;
                    }
                    let moves = &self.moves[idx][input];
                    per_image(dx, input_len, |n, image| {
                        let dy = &dy[n * output_len..][..output_len];
                        for m in moves {
                            let (dx, dy) = (&mut image[m.input..m.input + m.len], &dy[m.output..m.output + m.len]);
                            if self.is_bijective[input] {
                                dx.copy_from_slice(dy);
                            } else {
                                dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy);
                            }
                        }
                    });
                }
            });
        }
        Ok(())
    }
}
