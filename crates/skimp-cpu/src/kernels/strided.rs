//! Copies between plain tensors whose elements lie in another order: transposes, cuts, joins.

/// An axis of a copy: extent, and elements from one index to the next in the source and in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    pub(crate) extent: usize,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// A copy of elements, from the first one on in the source and in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Copy {
    from: usize,
    to: usize,
    axes: Vec<Axis>,
}

/// Extent of the squares that turned planes are copied in.
const SQUARE: usize = 16;

impl Copy {
    /// A copy over these axes, simplified.
    pub(crate) fn new(from: usize, to: usize, axes: &[Axis]) -> Self {
        let mut merged: Vec<Axis> = Vec::new();
        for &axis in axes.iter().filter(|axis| axis.extent != 1) {
            match merged.last_mut() {
                Some(last) if last.from == axis.extent * axis.from && last.to == axis.extent * axis.to => {
                    *last = Axis { extent: last.extent * axis.extent, ..axis };
                }
                _ => merged.push(axis),
            }
        }
        if merged.is_empty() {
            merged.push(Axis { extent: 1, from: 1, to: 1 });
        }
        Self { from, to, axes: merged }
    }

    /// Copies.
    pub(crate) fn run(&self, source: &[f32], target: &mut [f32]) {
        let [.., last] = self.axes[..] else { return };
        let outer = &self.axes[..self.axes.len() - 1];
        // The axis along which the source lies, if that is another one: squares of both are copied.
        let turned = outer.iter().position(|axis| axis.from == 1 && last.from != 1);
        let looped: Vec<Axis> = (0..outer.len()).filter(|&i| Some(i) != turned).map(|i| outer[i]).collect();
        let mut index = vec![0; looped.len()];
        let (mut from, mut to) = (self.from, self.to);
        loop {
            match turned {
                Some(axis) => turn(outer[axis], last, &source[from..], &mut target[to..]),
                None => line(last, &source[from..], &mut target[to..]),
            }
            let mut axis = looped.len();
            loop {
                let Some(next) = axis.checked_sub(1) else { return };
                axis = next;
                let Axis { extent, from: step, to: wide } = looped[axis];
                index[axis] += 1;
                (from, to) = (from + step, to + wide);
                if index[axis] < extent {
                    break;
                }
                index[axis] = 0;
                (from, to) = (from - extent * step, to - extent * wide);
            }
        }
    }
}

fn line(axis: Axis, source: &[f32], target: &mut [f32]) {
    if (axis.from, axis.to) == (1, 1) {
        target[..axis.extent].copy_from_slice(&source[..axis.extent]);
        return;
    }
    let target = target.iter_mut().step_by(axis.to).take(axis.extent);
    match axis.from {
        0 => target.for_each(|y| *y = source[0]),
        step => target.zip(source.iter().step_by(step)).for_each(|(y, &x)| *y = x),
    }
}

/// A plane whose axis `rows` lies along the source, and `columns` (the last one) along the target.
fn turn(rows: Axis, columns: Axis, source: &[f32], target: &mut [f32]) {
    for first_row in (0..rows.extent).step_by(SQUARE) {
        for first_column in (0..columns.extent).step_by(SQUARE) {
            let n_rows = SQUARE.min(rows.extent - first_row);
            let n_columns = SQUARE.min(columns.extent - first_column);
            let mut square = [[0.0; SQUARE]; SQUARE];
            for (i, line) in square.iter_mut().take(n_columns).enumerate() {
                let start = (first_column + i) * columns.from + first_row;
                line[..n_rows].copy_from_slice(&source[start..start + n_rows]);
            }
            for row in 0..n_rows {
                let start = (first_row + row) * rows.to + first_column * columns.to;
                let target = target[start..].iter_mut().step_by(columns.to).take(n_columns);
                target.zip(&square).for_each(|(y, line)| *y = line[row]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::noise;
    use super::*;

    /// Index by index.
    fn naive(from: usize, to: usize, axes: &[Axis], source: &[f32], target: &mut [f32]) {
        let Some((axis, rest)) = axes.split_first() else {
            target[to] = source[from];
            return;
        };
        for i in 0..axis.extent {
            naive(from + i * axis.from, to + i * axis.to, rest, source, target);
        }
    }

    #[test]
    fn copies_are_those_of_the_definition() {
        let axis = |extent, from, to| Axis { extent, from, to };
        let cases = [
            vec![],
            vec![axis(7, 1, 1)],
            vec![axis(5, 3, 1)],
            vec![axis(4, 0, 1)],
            vec![axis(3, 20, 5), axis(5, 4, 1)],
            // Turned planes, larger than a square and not, in front and behind other axes.
            vec![axis(37, 1, 21), axis(21, 37, 1)],
            vec![axis(2, 37 * 21, 37 * 21), axis(37, 1, 21), axis(21, 37, 1)],
            vec![axis(33, 1, 60), axis(2, 99, 30), axis(3, 33, 1)],
            vec![axis(9, 1, 40), axis(4, 200, 10), axis(10, 20, 1)],
            // A join: lines at a distance.
            vec![axis(6, 5, 11), axis(5, 1, 1)],
            vec![axis(6, 5, 22), axis(5, 1, 2)],
        ];
        for axes in cases {
            for (from, to) in [(0, 0), (3, 5)] {
                let source = noise(5000, 1);
                let (mut expected, mut found) = (vec![0.5; 5000], vec![0.5; 5000]);
                naive(from, to, &axes, &source, &mut expected);
                Copy::new(from, to, &axes).run(&source, &mut found);
                assert_eq!(found, expected, "{axes:?}");
            }
        }
    }
}
