//! Batches cut into images, and joined again.

use skimp_graph::{GraphError, Op, Slice, Tensor, ops, reference};

/// Images `start .. end` of a batch.
pub(super) fn images(tensor: &Tensor, start: usize, end: usize) -> Result<Tensor, GraphError> {
    let n = tensor.shape()[0].max(1);
    if let Some(elements) = tensor.as_f32() {
        let image_len = tensor.len() / n;
        let mut shape = tensor.shape().to_vec();
        shape[0] = end - start;
        return Ok(Tensor::from_f32(shape, elements[start * image_len..end * image_len].to_vec()));
    }
    let bound = |i: usize| vec![i64::try_from(i).unwrap_or(i64::MAX)];
    let slice = Slice { axes: vec![0], starts: bound(start), ends: bound(end), steps: vec![1] };
    first(reference::evaluate(&Op::Slice(slice), "batch", &[Some(tensor)])?)
}

/// The outputs of all pieces, joined along the batch; the first error otherwise.
pub(super) fn joined(pieces: Vec<Result<Vec<Tensor>, GraphError>>) -> Result<Vec<Tensor>, GraphError> {
    let pieces = pieces.into_iter().collect::<Result<Vec<_>, _>>()?;
    let n_outputs = pieces.first().map_or(0, Vec::len);
    let join = |i: usize| {
        if pieces.iter().any(|piece| piece[i].as_f32().is_none()) {
            let parts: Vec<Option<&Tensor>> = pieces.iter().map(|piece| piece.get(i)).collect();
            return first(reference::evaluate(&Op::Concat(ops::Concat { axis: 0 }), "batch", &parts)?);
        }
        let mut shape = pieces[0][i].shape().to_vec();
        shape[0] = pieces.iter().map(|piece| piece[i].shape()[0]).sum();
        let mut data = Vec::with_capacity(shape.iter().product());
        for piece in &pieces {
            data.extend_from_slice(piece[i].as_f32().unwrap_or_default());
        }
        Ok(Tensor::from_f32(shape, data))
    };
    (0..n_outputs).map(join).collect()
}

fn first(outputs: Vec<Tensor>) -> Result<Tensor, GraphError> {
    let missing = || GraphError::invalid_node("batch", "Slice", "no output");
    outputs.into_iter().next().ok_or_else(missing)
}
