//! Fast pooling of codes for the common shapes; anything else is left to the specification.

use skimp_graph::{
    GraphError,
    integer::{CodeTensor, Encoding, IntegerNode, IntegerOp},
    shape::window_axes,
};

/// Maximum over 2-D windows; `None` where the specification should do it.
pub(super) fn max_pool(
    node: &IntegerNode,
    input: &CodeTensor,
    encoding: &Encoding,
) -> Result<Option<CodeTensor>, GraphError> {
    let (IntegerOp::MaxPool(Some(window)), &[n, c, h, w]) = (&node.op, input.shape.as_slice()) else { return Ok(None) };
    let op = skimp_graph::Op::MaxPool(window.clone());
    let axes = window_axes(&op, &node.name, window, &[h, w])?;
    let (rows, cols) = (axes[0], axes[1]);
    let mut data = vec![encoding.min_code(); n * c * rows.output * cols.output];
    if data.is_empty() || h * w == 0 {
        return Ok(None);
    }
    let taps: Vec<_> = (0..cols.output).map(|q| cols.taps(q)).collect();
    for (plane, output) in input.data.chunks_exact(h * w).zip(data.chunks_exact_mut(rows.output * cols.output)) {
        for (p, line) in output.chunks_exact_mut(cols.output).enumerate() {
            for r in rows.taps(p) {
                let y = rows.input_idx(p, r);
                let source = &plane[y * w..(y + 1) * w];
                for (q, max) in line.iter_mut().enumerate() {
                    for s in taps[q].clone() {
                        *max = (*max).max(source[cols.input_idx(q, s)]);
                    }
                }
            }
        }
    }
    Ok(Some(CodeTensor { shape: vec![n, c, rows.output, cols.output], data }))
}
