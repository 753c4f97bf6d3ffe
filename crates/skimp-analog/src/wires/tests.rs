//! Solutions against the dense system, and against closed forms.

use skimp_numerics::rng::{Draws, stream};

use super::*;

/// Voltages of all nodes, rows first, by elimination of the dense system with pivoting.
fn dense(array: &Array, wires: Wires, volts: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (rows, columns) = (array.rows(), array.columns());
    let n = rows * columns;
    let (a, b) = (1.0 / wires.row_ohm, 1.0 / wires.column_ohm);
    let mut matrix = vec![vec![0.0; 2 * n + 1]; 2 * n];
    let join = |matrix: &mut Vec<Vec<f64>>, i: usize, j: usize, g: f64| {
        matrix[i][i] += g;
        matrix[j][j] += g;
        matrix[i][j] -= g;
        matrix[j][i] -= g;
    };
    for (row, volts) in volts.iter().enumerate() {
        for column in 0..columns {
            let (at, below) = (row * columns + column, n + row * columns + column);
            join(&mut matrix, at, below, array.conductances()[at]);
            match column {
                0 => {
                    matrix[at][at] += a;
                    matrix[at][2 * n] += a * volts;
                }
                _ => join(&mut matrix, at - 1, at, a),
            }
            match row + 1 < rows {
                true => join(&mut matrix, below, below + columns, b),
                false => matrix[below][below] += b,
            }
        }
    }
    for i in 0..2 * n {
        let best = (i..2 * n).max_by(|&p, &q| matrix[p][i].abs().total_cmp(&matrix[q][i].abs())).unwrap();
        matrix.swap(i, best);
        for row in i + 1..2 * n {
            let factor = matrix[row][i] / matrix[i][i];
            let pivot = matrix[i].clone();
            matrix[row].iter_mut().zip(&pivot).skip(i).for_each(|(x, pivot)| *x -= factor * pivot);
        }
    }
    let mut x = vec![0.0; 2 * n];
    for i in (0..2 * n).rev() {
        let rest: f64 = (i + 1..2 * n).map(|j| matrix[i][j] * x[j]).sum();
        x[i] = (matrix[i][2 * n] - rest) / matrix[i][i];
    }
    let column_volts = x.split_off(n);
    (x, column_volts)
}

fn random(draws: &mut Draws, rows: usize, columns: usize) -> (Array, Vec<f64>) {
    let g =
        (0..rows * columns).map(|_| if draws.chance(0.5) { 1e-4 } else { 1e-6 } * f64::from(draws.uniform(0.5, 1.5)));
    let array = Array::new(rows, columns, g.collect()).unwrap();
    let volts = (0..rows).map(|_| f64::from(draws.uniform(-0.5, 0.5))).collect();
    (array, volts)
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let scale = largest(expected);
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-10 * scale, "{found} for {expected} of {scale}");
    }
}

/// Kirchhoff's law at all nodes, solved as a dense system by elimination, is the specification.
#[test]
fn reads_are_solutions_of_the_dense_system() {
    let mut draws = Draws::new(1, stream("analog/wires"));
    for (rows, columns) in [(1, 1), (1, 5), (5, 1), (3, 4), (8, 8), (9, 7), (12, 10)] {
        for (row_ohm, column_ohm) in [(4.0, 4.0), (0.5, 30.0), (300.0, 2.0), (5e3, 5e3)] {
            let (array, volts) = random(&mut draws, rows, columns);
            let wires = Wires { row_ohm, column_ohm };
            let (row_volts, column_volts) = dense(&array, wires, &volts);
            let read = WiredArray::new(array, wires).unwrap().read(&volts).unwrap();
            close(&read.row_volts, &row_volts);
            close(&read.column_volts, &column_volts);
            let currents: Vec<f64> = column_volts[(rows - 1) * columns..].iter().map(|v| v / column_ohm).collect();
            close(&read.currents, &currents);
            assert!(read.residual <= TOLERANCE);
        }
    }
}

/// Without resistance of one or both wires the limit of small resistances is met.
#[test]
fn wires_without_resistance_are_the_limit() {
    let mut draws = Draws::new(2, stream("analog/wires"));
    let (array, volts) = random(&mut draws, 10, 6);
    for (row_ohm, column_ohm) in [(0.0, 0.0), (7.0, 0.0), (0.0, 7.0)] {
        let read = WiredArray::new(array.clone(), Wires { row_ohm, column_ohm }).unwrap().read(&volts).unwrap();
        let limit = Wires { row_ohm: row_ohm.max(1e-7), column_ohm: column_ohm.max(1e-7) };
        let expected = WiredArray::new(array.clone(), limit).unwrap().iterate(&volts, 1e-9, 1000).unwrap();
        for (found, expected) in read.currents.iter().zip(&expected.currents) {
            assert!((found - expected).abs() < 1e-8 * largest(&read.currents), "{found} for {expected}");
        }
    }
    let ideal = WiredArray::new(array.clone(), Wires::default()).unwrap().read(&volts).unwrap();
    assert_eq!(ideal.currents, array.currents(&volts).unwrap());
}

/// A single cell is a voltage divider.
#[test]
fn one_cell_is_a_divider() {
    let array = Array::new(1, 1, vec![1.0 / 100.0]).unwrap();
    let read = WiredArray::new(array, Wires { row_ohm: 20.0, column_ohm: 30.0 }).unwrap().read(&[1.5]).unwrap();
    close(&read.currents, &[1.5 / 150.0]);
    close(&read.row_volts, &[1.5 * 130.0 / 150.0]);
}

/// Estimates get better with better wires and with every iteration, and their residuals tell.
#[test]
fn estimates_get_better() {
    let mut draws = Draws::new(3, stream("analog/wires"));
    let (array, volts) = random(&mut draws, 32, 32);
    let off = |ohm: f64, iterations: usize| {
        let wired = WiredArray::new(array.clone(), Wires { row_ohm: ohm, column_ohm: ohm }).unwrap();
        let (read, estimate) = (wired.read(&volts).unwrap(), wired.estimate(&volts, iterations).unwrap());
        assert_eq!(estimate.iterations, iterations);
        assert!(estimate.residual > read.residual, "{} {}", estimate.residual, read.residual);
        let distance = read.currents.iter().zip(&estimate.currents).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        distance / largest(&read.currents)
    };
    let found: Vec<f64> = (0..3).map(|iterations| off(4.0, iterations)).collect();
    assert!(found.windows(2).all(|pair| pair[1] < 0.3 * pair[0]), "{found:?}");
    assert!(off(1.0, 0) < 0.5 * found[0] && found[0] < 0.1, "{found:?}");
}

#[test]
fn impossible_wires_are_refused() {
    let array = Array::new(1, 1, vec![1.0]).unwrap();
    let text = |wires| WiredArray::new(array.clone(), wires).unwrap_err().to_string();
    assert_eq!(text(Wires { row_ohm: -1.0, column_ohm: 0.0 }), "row_ohm: -1 ohm, expected 0 or more");
    assert!(text(Wires { row_ohm: 0.0, column_ohm: f64::NAN }).contains("column_ohm"));
}
