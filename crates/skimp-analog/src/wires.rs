//! The resistance of wires: what is left of the voltages at the cells.
//!
//! Every cell sits between a node of its row's wire and one of its column's. A row's wire is driven behind one segment before
//! its first cell; a column's wire ends in a virtual ground behind one segment after its last cell. Kirchhoff's law at all nodes
//! is a symmetric positive definite system of `2 rows columns` unknowns.
//!
//! Each wire alone is a tridiagonal system. Row nodes are eliminated wire by wire, and conjugate gradients find the column
//! nodes, with the columns' own tridiagonal systems as preconditioner. All sums are in f64 in a fixed order.

use crate::{AnalogError, Array};

/// Largest residual of a solution, over the largest current into a column node.
pub const TOLERANCE: f64 = 1e-12;

/// Most iterations.
const MOST_ITERATIONS: usize = 10_000;

/// Rows that are eliminated side by side.
const BLOCK: usize = 8;

/// Resistance of one segment of a wire, from cell to cell, in ohm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wires {
    /// Of a row.
    pub row_ohm: f64,
    /// Of a column.
    pub column_ohm: f64,
}

/// An array with the resistance of its wires, factored for many reads.
#[derive(Clone, Debug)]
pub struct WiredArray {
    array: Array,
    /// Conductance of a row's and of a column's segment; `None` for no resistance.
    row: Option<Factors>,
    column: Option<Factors>,
}

/// A read.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    /// Currents into the virtual grounds of the columns, in amperes.
    pub currents: Vec<f64>,
    /// Voltages of the row nodes, row after row.
    pub row_volts: Vec<f64>,
    /// Voltages of the column nodes, row after row.
    pub column_volts: Vec<f64>,
    /// Largest current that a node gains or loses, over the largest current into a column node.
    pub residual: f64,
    /// Iterations.
    pub iterations: usize,
}

/// Tridiagonal systems of all wires of one direction: diagonals differ, off-diagonals are one conductance.
#[derive(Clone, Debug)]
struct Factors {
    /// Conductance of a segment.
    segment: f64,
    /// One over the pivots of the elimination, in the order of the cells.
    pivots: Vec<f64>,
}

impl WiredArray {
    /// An array with these wires.
    ///
    /// # Errors
    /// [`AnalogError::Wire`] for a resistance that is negative or not finite.
    pub fn new(array: Array, wires: Wires) -> Result<Self, AnalogError> {
        let segment = |key, ohm: f64| match ohm {
            ohm if !ohm.is_finite() || ohm < 0.0 => Err(AnalogError::Wire { key, found: ohm }),
            0.0 => Ok(None),
            ohm => Ok(Some(1.0 / ohm)),
        };
        let (row, column) = (segment("row_ohm", wires.row_ohm)?, segment("column_ohm", wires.column_ohm)?);
        let (row, column) = (row.map(|s| of_rows(&array, s)), column.map(|s| of_columns(&array, s)));
        Ok(Self { array, row, column })
    }

    /// The array.
    pub fn array(&self) -> &Array {
        &self.array
    }

    /// Currents and node voltages where the rows are driven with `volts`, to [`TOLERANCE`].
    ///
    /// # Errors
    /// [`AnalogError::Volts`] if there is not one finite voltage for each row, [`AnalogError::NotConverged`] if the tolerance is
    /// out of reach of f64.
    pub fn read(&self, volts: &[f64]) -> Result<Read, AnalogError> {
        let read = self.iterate(volts, TOLERANCE, MOST_ITERATIONS)?;
        if read.residual > TOLERANCE {
            let (rows, columns) = (self.array.rows(), self.array.columns());
            let Read { residual, iterations, .. } = read;
            return Err(AnalogError::NotConverged { rows, columns, iterations, residual, tolerance: TOLERANCE });
        }
        Ok(read)
    }

    /// A read that stops after some iterations; after none it is two passes over the array: rows as if the columns were grounded
    /// at every cell, then columns with the currents that these rows give. Its residual says how far off it is.
    ///
    /// # Errors
    /// [`AnalogError::Volts`] if there is not one finite voltage for each row.
    pub fn estimate(&self, volts: &[f64], iterations: usize) -> Result<Read, AnalogError> {
        self.iterate(volts, TOLERANCE, iterations)
    }

    /// Iterates until the residual is within `tolerance`, `most_iterations` times at most.
    fn iterate(&self, volts: &[f64], tolerance: f64, most_iterations: usize) -> Result<Read, AnalogError> {
        self.array.check(volts)?;
        let (rows, columns) = (self.array.rows(), self.array.columns());
        let g = self.array.conductances();
        let driven = self.row_volts(volts, None);
        let Some(column) = &self.column else {
            // Column nodes are grounded: nothing is left to find.
            let mut currents = vec![0.0; columns];
            for (g, v) in g.chunks_exact(columns).zip(driven.chunks_exact(columns)) {
                currents.iter_mut().zip(g.iter().zip(v)).for_each(|(current, (g, v))| *current += g * v);
            }
            let column_volts = vec![0.0; g.len()];
            return Ok(Read { currents, row_volts: driven, column_volts, residual: 0.0, iterations: 0 });
        };
        let right: Vec<f64> = g.iter().zip(&driven).map(|(g, v)| g * v).collect();
        let scale = largest(&right);
        let mut found = right.clone();
        column.solve_columns(&mut found, columns);
        let mut iterations = 0;
        let mut residual = 0.0;
        if let Some(row) = &self.row
            && scale > 0.0
        {
            let mut left = right;
            let mut product = self.apply(row, column, &found);
            left.iter_mut().zip(&product).for_each(|(left, product)| *left -= product);
            let mut conditioned = left.clone();
            column.solve_columns(&mut conditioned, columns);
            let mut direction = conditioned.clone();
            let mut energy = dot(&left, &conditioned);
            residual = largest(&left) / scale;
            while residual > tolerance && iterations < most_iterations && energy > 0.0 {
                product = self.apply(row, column, &direction);
                let step = energy / dot(&direction, &product);
                found.iter_mut().zip(&direction).for_each(|(found, direction)| *found += step * direction);
                left.iter_mut().zip(&product).for_each(|(left, product)| *left -= step * product);
                conditioned.copy_from_slice(&left);
                column.solve_columns(&mut conditioned, columns);
                let next = dot(&left, &conditioned);
                let turn = next / energy;
                direction.iter_mut().zip(&conditioned).for_each(|(direction, c)| *direction = c + turn * *direction);
                (energy, iterations, residual) = (next, iterations + 1, largest(&left) / scale);
            }
        }
        let currents = found[(rows - 1) * columns..].iter().map(|v| column.segment * v).collect();
        let row_volts = self.row_volts(volts, Some(&found));
        Ok(Read { currents, row_volts, column_volts: found, residual, iterations })
    }

    /// Voltages of the row nodes, given those of the column nodes (0 where none are given).
    fn row_volts(&self, volts: &[f64], column_volts: Option<&[f64]>) -> Vec<f64> {
        let columns = self.array.columns();
        let g = self.array.conductances();
        let Some(row) = &self.row else {
            return volts.iter().flat_map(|&v| std::iter::repeat_n(v, columns)).collect();
        };
        let mut nodes = match column_volts {
            Some(column_volts) => g.iter().zip(column_volts).map(|(g, v)| g * v).collect(),
            None => vec![0.0; g.len()],
        };
        nodes.chunks_exact_mut(columns).zip(volts).for_each(|(nodes, volts)| nodes[0] += row.segment * volts);
        row.solve_rows(&mut nodes, columns);
        nodes
    }

    /// The columns' system, with the rows eliminated, times `x`.
    fn apply(&self, row: &Factors, column: &Factors, x: &[f64]) -> Vec<f64> {
        let columns = self.array.columns();
        let g = self.array.conductances();
        let mut nodes: Vec<f64> = g.iter().zip(x).map(|(g, x)| g * x).collect();
        row.solve_rows(&mut nodes, columns);
        let n_rows = self.array.rows();
        for (idx, nodes) in nodes.chunks_exact_mut(columns).enumerate() {
            let line = |idx: usize| &x[idx * columns..][..columns];
            let segments = if idx == 0 { 1.0 } else { 2.0 } * column.segment;
            let g = &g[idx * columns..][..columns];
            for ((node, g), x) in nodes.iter_mut().zip(g).zip(line(idx)) {
                *node = (segments + g) * x - g * *node;
            }
            let neighbors = idx.checked_sub(1).into_iter().chain((idx + 1 < n_rows).then_some(idx + 1));
            for neighbor in neighbors {
                nodes.iter_mut().zip(line(neighbor)).for_each(|(node, x)| *node -= column.segment * x);
            }
        }
        nodes
    }
}

/// Pivots of the rows' systems: a node has a segment before it, and one behind it unless it is the last.
fn of_rows(array: &Array, segment: f64) -> Factors {
    let columns = array.columns();
    let mut pivots = array.conductances().to_vec();
    for row in pivots.chunks_exact_mut(columns) {
        let mut above = 0.0;
        for (idx, pivot) in row.iter_mut().enumerate() {
            let segments = if idx + 1 < columns { 2.0 } else { 1.0 };
            above = 1.0 / (segments * segment + *pivot - segment * segment * above);
            *pivot = above;
        }
    }
    Factors { segment, pivots }
}

/// Pivots of the columns' systems: a node has a segment behind it, and one before it unless it is the first.
fn of_columns(array: &Array, segment: f64) -> Factors {
    let columns = array.columns();
    let mut pivots = array.conductances().to_vec();
    let mut above = vec![0.0; columns];
    for (idx, row) in pivots.chunks_exact_mut(columns).enumerate() {
        let segments = if idx > 0 { 2.0 } else { 1.0 };
        for (pivot, above) in row.iter_mut().zip(&mut above) {
            *above = 1.0 / (segments * segment + *pivot - segment * segment * *above);
            *pivot = *above;
        }
    }
    Factors { segment, pivots }
}

impl Factors {
    /// Solves the systems of all columns in place, side by side.
    fn solve_columns(&self, x: &mut [f64], columns: usize) {
        let n_rows = x.len() / columns;
        for row in 1..n_rows {
            let (before, here) = x.split_at_mut(row * columns);
            let before = &before[(row - 1) * columns..];
            let pivots = &self.pivots[(row - 1) * columns..][..columns];
            for ((x, before), pivot) in here[..columns].iter_mut().zip(before).zip(pivots) {
                *x += self.segment * pivot * before;
            }
        }
        let last = (n_rows - 1) * columns;
        x[last..].iter_mut().zip(&self.pivots[last..]).for_each(|(x, pivot)| *x *= pivot);
        for row in (0..n_rows - 1).rev() {
            let (here, behind) = x.split_at_mut((row + 1) * columns);
            let here = &mut here[row * columns..];
            let pivots = &self.pivots[row * columns..][..columns];
            for ((x, behind), pivot) in here.iter_mut().zip(&behind[..columns]).zip(pivots) {
                *x = (*x + self.segment * behind) * pivot;
            }
        }
    }

    /// Solves the systems of all rows in place, some side by side.
    fn solve_rows(&self, x: &mut [f64], columns: usize) {
        let blocks = x.chunks_mut(BLOCK * columns).zip(self.pivots.chunks(BLOCK * columns));
        for (x, pivots) in blocks {
            if x.len() == BLOCK * columns {
                self.solve_block::<BLOCK>(x, pivots, columns);
            } else {
                let rows = x.chunks_exact_mut(columns).zip(pivots.chunks_exact(columns));
                rows.for_each(|(x, pivots)| self.solve_block::<1>(x, pivots, columns));
            }
        }
    }

    /// Solves the systems of `N` rows. Each is a chain of operations that wait for each other; side by side they do not.
    fn solve_block<const N: usize>(&self, x: &mut [f64], pivots: &[f64], columns: usize) {
        let mut carry = [0.0; N];
        for column in 0..columns {
            for (row, carry) in carry.iter_mut().enumerate() {
                let idx = row * columns + column;
                x[idx] += *carry;
                *carry = self.segment * pivots[idx] * x[idx];
            }
        }
        let mut behind = [0.0; N];
        for column in (0..columns).rev() {
            for (row, behind) in behind.iter_mut().enumerate() {
                let idx = row * columns + column;
                *behind = (x[idx] + self.segment * *behind) * pivots[idx];
                x[idx] = *behind;
            }
        }
    }
}

/// Sum of products: eight partial sums, then these in their order.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a, b) = (a.chunks(8), b.chunks(8));
    for (a, b) in a.zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    sums.iter().sum()
}

fn largest(x: &[f64]) -> f64 {
    x.iter().fold(0.0, |most, x| x.abs().max(most))
}

#[cfg(test)]
mod tests;
