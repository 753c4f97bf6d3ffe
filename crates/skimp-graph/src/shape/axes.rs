//! Axes and how shapes go together.

/// An axis of a tensor of the given rank; a negative one counts from the end.
///
/// # Errors
/// What is wrong, if the axis is out of range.
pub fn normalized_axis(axis: i64, rank: usize) -> Result<usize, String> {
    let rank_i64 = i64::try_from(rank).map_err(|_| "rank is too large".to_owned())?;
    if axis < -rank_i64 || axis >= rank_i64 {
        return Err(format!("axis {axis} is out of range for {rank} dims"));
    }
    Ok(if axis < 0 { axis + rank_i64 } else { axis } as usize)
}

/// A mark for every axis that is among `axes`; negative ones count from the end.
///
/// # Errors
/// What is wrong, if an axis is out of range or occurs twice.
pub fn normalized_axes(axes: &[i64], rank: usize) -> Result<Vec<bool>, String> {
    let mut marked = vec![false; rank];
    for &axis in axes {
        if std::mem::replace(&mut marked[normalized_axis(axis, rank)?], true) {
            return Err(format!("axis {axis} occurs twice"));
        }
    }
    Ok(marked)
}

/// The shape that two shapes broadcast to, by NumPy's rules.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| (axis + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
    (0..rank)
        .map(|axis| match (extent(a, axis), extent(b, axis)) {
            (m, n) if m == n => Some(m),
            (1, n) => Some(n),
            (m, 1) => Some(m),
            _ => None,
        })
        .collect()
}

/// How a matrix product is taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatMulOperands {
    /// Shape of the result.
    pub shape: Vec<usize>,
    /// Batch axes of the operands and of the result.
    pub batch: [Vec<usize>; 3],
    /// Rows of a.
    pub m: usize,
    /// Columns of a, rows of b.
    pub k: usize,
    /// Columns of b.
    pub n: usize,
}

/// NumPy's `matmul`: a vector counts as a row on the left and as a column on the right.
///
/// # Errors
/// What is wrong, if an operand is a scalar or the extents do not match.
pub fn matmul_operands(a: &[usize], b: &[usize]) -> Result<MatMulOperands, String> {
    if a.is_empty() || b.is_empty() {
        return Err("an operand is a scalar, expected a vector or matrix".to_owned());
    }
    let (batch_a, m, k) = match a {
        [k] => (&a[..0], 1, *k),
        [batch @ .., m, k] => (batch, *m, *k),
        [] => (a, 1, 1),
    };
    let (batch_b, k_b, n) = match b {
        [k] => (&b[..0], *k, 1),
        [batch @ .., k, n] => (batch, *k, *n),
        [] => (b, 1, 1),
    };
    if k != k_b {
        return Err(format!("inner extents differ: {k} of {a:?}, {k_b} of {b:?}"));
    }
    let batch = broadcast(batch_a, batch_b).ok_or_else(|| format!("batch axes of {a:?} and {b:?} do not broadcast"))?;
    let mut shape = batch.clone();
    shape.extend((a.len() > 1).then_some(m));
    shape.extend((b.len() > 1).then_some(n));
    Ok(MatMulOperands { shape, batch: [batch_a.to_vec(), batch_b.to_vec(), batch], m, k, n })
}
