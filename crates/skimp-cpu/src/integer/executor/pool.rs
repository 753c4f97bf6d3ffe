//! Fast pooling of codes for the common shapes; anything else is left to the specification.

use skimp_graph::ops;
use skimp_graph::{
    GraphError,
    integer::{CodeTensor, Encoding, IntegerMeans, IntegerNode, IntegerOp, IntegerTensor, ValueKind},
    shape::window_axes,
};

/// Maximum over 2-D windows; `None` where the specification should do it.
pub(super) fn max_pool(
    node: &IntegerNode,
    input: &CodeTensor,
    encoding: &Encoding,
) -> Result<Option<CodeTensor>, GraphError> {
    let (IntegerOp::MaxPool(Some(window)), &[n, c, h, w]) = (&node.op, input.shape.as_slice()) else { return Ok(None) };
    let op = skimp_graph::Op::MaxPool(ops::MaxPool { window: window.clone() });
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

/// Mean over 2-D windows or whole planes; `None` where the specification should do it.
pub(super) fn average_pool(
    node: &IntegerNode,
    input: &CodeTensor,
    from: &Encoding,
    to: &ValueKind,
) -> Result<Option<IntegerTensor>, GraphError> {
    let (IntegerOp::AveragePool { window, count_include_pad, rounding, min, max }, &[n, c, h, w]) =
        (&node.op, input.shape.as_slice())
    else {
        return Ok(None);
    };
    if input.data.is_empty() {
        return Ok(None);
    }
    let means = IntegerMeans { node: &node.name, from, to, rounding: *rounding, range: (*min, *max) };
    let zero_point = i64::from(from.zero_point);
    let planes = input.data.chunks_exact(h * w);
    let Some(window) = window else {
        let sums: Vec<_> =
            planes.map(|plane| (plane.iter().map(|&code| i64::from(code) - zero_point).sum(), h * w)).collect();
        return means.of(vec![n, c, 1, 1], &sums).map(Some);
    };
    let op = skimp_graph::Op::AveragePool(ops::AveragePool {
        window: window.clone(),
        count_include_pad: *count_include_pad,
    });
    let axes = window_axes(&op, &node.name, window, &[h, w])?;
    let (rows, cols) = (axes[0], axes[1]);
    let mut sums = Vec::with_capacity(n * c * rows.output * cols.output);
    for plane in planes {
        for p in 0..rows.output {
            for q in 0..cols.output {
                let mut sum = 0;
                for r in rows.taps(p) {
                    let line = &plane[rows.input_idx(p, r) * w..];
                    sum += cols.taps(q).map(|s| i64::from(line[cols.input_idx(q, s)]) - zero_point).sum::<i64>();
                }
                let count = if *count_include_pad {
                    rows.n_padded_taps(p) * cols.n_padded_taps(q)
                } else {
                    rows.taps(p).len() * cols.taps(q).len()
                };
                sums.push((sum, count));
            }
        }
    }
    means.of(vec![n, c, rows.output, cols.output], &sums).map(Some)
}
