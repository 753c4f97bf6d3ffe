//! Labels along the axes of a value.

use super::classes::{FIXED, Label};

/// A label for each index along some axes of a value; elements that differ along other axes only share theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Labelling {
    /// The axes, ascending.
    pub(super) axes: Vec<usize>,
    /// Extents of these axes.
    pub(super) extents: Vec<usize>,
    /// The labels, in row-major order.
    pub(super) labels: Vec<Label>,
}

impl Labelling {
    /// Labels along one axis.
    pub(super) fn along(axis: usize, labels: Vec<Label>) -> Self {
        Self { axes: vec![axis], extents: vec![labels.len()], labels }
    }

    /// The labels of all elements of a value of that shape.
    pub(super) fn spread(&self, shape: &[usize]) -> Vec<Label> {
        let all: Vec<usize> = (0..shape.len()).collect();
        self.onto(&all, shape).labels
    }

    /// The same over more axes: those of `axes`, among which are its own; `shape` is the value's.
    pub(super) fn onto(&self, axes: &[usize], shape: &[usize]) -> Self {
        let extents: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
        let strides = strides(&self.extents);
        let of_axis = |axis: &usize| self.axes.iter().position(|own| own == axis).map_or(0, |own| strides[own]);
        let steps: Vec<usize> = axes.iter().map(of_axis).collect();
        let mut labels = Vec::with_capacity(extents.iter().product());
        each_index(&extents, |index| {
            labels.push(self.labels[index.iter().zip(&steps).map(|(i, step)| i * step).sum::<usize>()]);
        });
        Self { axes: axes.to_vec(), extents, labels }
    }

    /// What the labels of all elements of a value come to: the axes along which they vary. Nothing where all stay, the
    /// one label of all elements as an error.
    pub(super) fn compress(dense: &[Label], shape: &[usize]) -> Result<Option<Self>, Label> {
        let first = dense.first().copied().unwrap_or(FIXED);
        if dense.iter().all(|&label| label == first) {
            return if first == FIXED { Ok(None) } else { Err(first) };
        }
        let strides = strides(shape);
        let varies = |&axis: &usize| {
            let (stride, extent) = (strides[axis], shape[axis]);
            dense.iter().enumerate().any(|(idx, label)| *label != dense[idx - (idx / stride % extent) * stride])
        };
        let axes: Vec<usize> = (0..shape.len()).filter(varies).collect();
        let extents: Vec<usize> = axes.iter().map(|&axis| shape[axis]).collect();
        let mut labels = Vec::with_capacity(extents.iter().product());
        each_index(&extents, |index| {
            labels.push(dense[index.iter().zip(&axes).map(|(i, &axis)| i * strides[axis]).sum::<usize>()]);
        });
        Ok(Some(Self { axes, extents, labels }))
    }

    /// Pairs of labels that must be one for the labels to differ along `axis` alone, which is one of its own; and the
    /// labelling along that axis.
    pub(super) fn collapse(&self, axis: usize) -> (Vec<(Label, Label)>, Self) {
        let own = self.axes.iter().position(|&other| other == axis).unwrap_or(0);
        let (stride, extent) = (strides(&self.extents)[own], self.extents[own]);
        let mut firsts: Vec<Option<Label>> = vec![None; extent];
        let mut pairs = Vec::new();
        for (idx, &label) in self.labels.iter().enumerate() {
            match &mut firsts[idx / stride % extent] {
                Some(first) => pairs.push((*first, label)),
                empty @ None => *empty = Some(label),
            }
        }
        let labels = firsts.into_iter().map(|label| label.unwrap_or(FIXED)).collect();
        (pairs, Self::along(axis, labels))
    }

    /// Whether classes of labels, which `class` gives, differ along `axis` alone.
    pub(super) fn differs_along(&self, axis: usize, class: impl Fn(Label) -> Label) -> bool {
        let (pairs, _) = self.collapse(axis);
        pairs.into_iter().all(|(a, b)| class(a) == class(b))
    }
}

/// Steps of a row-major array along its axes.
pub(super) fn strides(extents: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; extents.len()];
    for axis in (1..extents.len()).rev() {
        strides[axis - 1] = strides[axis] * extents[axis];
    }
    strides
}

/// Calls `each` with every index into an array of those extents, in row-major order.
pub(super) fn each_index(extents: &[usize], mut each: impl FnMut(&[usize])) {
    if extents.contains(&0) {
        return;
    }
    let mut index = vec![0; extents.len()];
    loop {
        each(&index);
        let Some(axis) = (0..extents.len()).rev().find(|&axis| index[axis] + 1 < extents[axis]) else { return };
        index[axis] += 1;
        index[axis + 1..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::Labelling;

    #[test]
    fn labels_spread_and_compress() {
        let along = Labelling::along(1, vec![1, 2, 3]);
        let dense = along.spread(&[2, 3, 2]);
        assert_eq!(dense, [1, 1, 2, 2, 3, 3, 1, 1, 2, 2, 3, 3]);
        assert_eq!(Labelling::compress(&dense, &[2, 3, 2]), Ok(Some(along)));
        assert_eq!(Labelling::compress(&[0; 4], &[2, 2]), Ok(None));
        assert_eq!(Labelling::compress(&[5; 4], &[2, 2]), Err(5));
    }

    #[test]
    fn two_axes_collapse_onto_one() {
        let both = Labelling { axes: vec![1, 2], extents: vec![2, 3], labels: vec![1, 2, 3, 4, 5, 6] };
        assert_eq!(Labelling::compress(&both.spread(&[1, 2, 3]), &[1, 2, 3]), Ok(Some(both.clone())));
        assert_eq!(both.collapse(2), (vec![(1, 4), (2, 5), (3, 6)], Labelling::along(2, vec![1, 2, 3])));
        assert_eq!(both.collapse(1).1, Labelling::along(1, vec![1, 4]));
        assert!(both.differs_along(2, |label| (label - 1) % 3) && !both.differs_along(1, |label| (label - 1) % 3));
    }
}
