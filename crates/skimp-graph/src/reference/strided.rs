//! Walking a tensor in the order of another.

/// Offsets `start + Σ index[axis] · strides[axis]` for every index of `shape`, row-major.
#[derive(Clone, Debug)]
pub(crate) struct Offsets {
    shape: Vec<usize>,
    strides: Vec<isize>,
    index: Vec<usize>,
    offset: isize,
    n_left: usize,
}

impl Offsets {
    /// Every offset must be the index of an element, so that none is negative.
    pub(crate) fn new(shape: &[usize], strides: Vec<isize>, start: usize) -> Self {
        Self {
            index: vec![0; shape.len()],
            offset: start as isize,
            n_left: shape.iter().product(),
            shape: shape.to_vec(),
            strides,
        }
    }

    /// Offsets into a tensor of shape `from` as it broadcasts to `to`.
    pub(crate) fn broadcast(from: &[usize], to: &[usize]) -> Self {
        let mut strides = vec![0; to.len() - from.len()];
        strides.extend(strides_of(from).into_iter().zip(from).map(|(stride, &n)| if n == 1 { 0 } else { stride }));
        Self::new(to, strides, 0)
    }
}

impl Iterator for Offsets {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.n_left = self.n_left.checked_sub(1)?;
        let offset = self.offset as usize;
        for axis in (0..self.shape.len()).rev() {
            self.index[axis] += 1;
            self.offset += self.strides[axis];
            if self.index[axis] < self.shape[axis] {
                break;
            }
            self.offset -= self.strides[axis] * self.shape[axis] as isize;
            self.index[axis] = 0;
        }
        Some(offset)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.n_left, Some(self.n_left))
    }
}

/// Row-major strides.
pub(crate) fn strides_of(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1_isize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as isize;
    }
    strides
}

/// Elements before, on and after an axis: the tensor seen as `[outer, extent, inner]`.
pub(crate) fn around_axis(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}

/// Offsets over the axes that stay, and within each of them over the `reduced` ones.
pub(crate) fn strided_reduction(shape: &[usize], reduced: &[bool]) -> (Offsets, Offsets) {
    let over = |wanted: bool| {
        let axes = shape.iter().zip(strides_of(shape)).zip(reduced).filter(|&(_, &reduced)| reduced == wanted);
        let (extents, strides): (Vec<usize>, Vec<isize>) = axes.map(|((&extent, stride), _)| (extent, stride)).unzip();
        Offsets::new(&extents, strides, 0)
    };
    (over(false), over(true))
}
