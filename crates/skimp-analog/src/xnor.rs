//! Binary weights in pairs of cells, XNOR with binary inputs, and their count as a current.
//!
//! A weight of +1 is an LRS cell in the first row of its pair and an HRS cell in the second, −1 the other way round; an input
//! of +1 drives the first row, −1 the second. Where the signs match an LRS cell conducts, else an HRS cell, so that a column's
//! current is `V (m G_L + (n - m) G_H)` for `m` matches of `n` synapses, and the dot product of signs is `2 m - n`.
//!
//! # Source
//! X. Sun, S. Yin, X. Peng, R. Liu, J. Seo and S. Yu, "XNOR-RRAM: A Scalable and Parallel Resistive Synaptic Architecture for
//! Binary Neural Networks", DATE 2018.

use crate::{AnalogError, Array, Cell, Chip, WiredArray, Wires};

/// An array of binary weights.
#[derive(Clone, Debug)]
pub struct Xnor {
    cell: Cell,
    wired: WiredArray,
}

impl Xnor {
    /// Weights `[synapses, columns]`, true for +1, as they come out on tile `tile` of a chip, with these wires.
    ///
    /// # Errors
    /// [`AnalogError::Array`] if the weights are not `synapses` times `columns`, [`AnalogError::Wire`] for an impossible wire.
    pub fn new(
        weights: &[bool],
        [synapses, columns]: [usize; 2],
        (cell, wires): (Cell, Wires),
        (chip, tile): (Chip, u64),
    ) -> Result<Self, AnalogError> {
        if synapses.checked_mul(columns) != Some(weights.len()) || weights.is_empty() {
            let cause = format!("{} weights of {synapses} synapses in each column", weights.len());
            return Err(AnalogError::Array { rows: synapses.saturating_mul(2), columns, cause });
        }
        let rows = weights.chunks_exact(columns);
        let states: Vec<bool> = rows.flat_map(|row| row.iter().copied().chain(row.iter().map(|w| !w))).collect();
        let array = Array::new(2 * synapses, columns, chip.program(&cell, &states, tile))?;
        Ok(Self { cell, wired: WiredArray::new(array, wires)? })
    }

    /// Number of synapses of a column.
    pub fn synapses(&self) -> usize {
        self.wired.array().rows() / 2
    }

    /// The array of pairs of cells.
    pub fn wired(&self) -> &WiredArray {
        &self.wired
    }

    /// Voltages of the rows for binary inputs, true for +1.
    pub fn volts(&self, inputs: &[bool]) -> Vec<f64> {
        let volts = self.cell.read_volts;
        inputs.iter().flat_map(|&is_positive| if is_positive { [volts, 0.0] } else { [0.0, volts] }).collect()
    }

    /// Currents of the columns in amperes for binary inputs, without noise.
    ///
    /// # Errors
    /// [`AnalogError::Volts`] if there is not one input for each synapse, else as [`WiredArray::read`].
    pub fn currents(&self, inputs: &[bool]) -> Result<Vec<f64>, AnalogError> {
        Ok(self.wired.read(&self.volts(inputs))?.currents)
    }

    /// How many matches a current stands for, as a real number: the current over what a match adds, less the floor of all cells
    /// in HRS. Of ideal cells and wires it is a whole number up to rounding.
    pub fn matches(&self, current: f64) -> f64 {
        let (low, high) = (self.cell.lrs_siemens(), self.cell.hrs_siemens());
        (current / self.cell.read_volts - self.synapses() as f64 * high) / (low - high)
    }
}

#[cfg(test)]
mod tests {
    use skimp_numerics::rng::{Draws, stream};

    use super::*;
    use crate::cells::find;

    const CHIP: Chip = Chip { seed: 1, number: 0 };

    fn signs(draws: &mut Draws, n: usize) -> Vec<bool> {
        (0..n).map(|_| draws.chance(0.5)).collect()
    }

    fn dot(weights: &[bool], columns: usize, column: usize, inputs: &[bool]) -> i64 {
        let products =
            inputs.iter().enumerate().map(|(row, x)| if weights[row * columns + column] == *x { 1 } else { -1 });
        products.sum()
    }

    /// Ideal cells and wires give the integer dot product for every length up to 128, of every preset.
    #[test]
    fn ideal_arrays_give_the_integer_dot_product() {
        let mut draws = Draws::new(4, stream("analog/xnor"));
        for device in crate::DEVICES {
            let cell = device.cell(&toml::Table::new()).unwrap().ideal();
            for n in 1..=128 {
                let (weights, inputs) = (signs(&mut draws, 3 * n), signs(&mut draws, n));
                let xnor = Xnor::new(&weights, [n, 3], (cell, Wires::default()), (CHIP, 0)).unwrap();
                for (column, current) in xnor.currents(&inputs).unwrap().into_iter().enumerate() {
                    let matches = xnor.matches(current);
                    assert!((matches - matches.round()).abs() < 1e-9, "{matches}");
                    let found = 2 * matches.round() as i64 - n as i64;
                    assert_eq!(found, dot(&weights, 3, column, &inputs), "{n} synapses");
                }
            }
        }
    }

    /// The floor of a column is one match for each on/off ratio's worth of rows: what limits the useful length.
    #[test]
    fn the_floor_is_a_match_for_each_ratio_of_rows() {
        let cell = find("isaac").unwrap().cell(&"on_off_ratio = 16".parse().unwrap()).unwrap().ideal();
        let floor = 64.0 * cell.hrs_siemens() * cell.read_volts;
        let xnor = Xnor::new(&[true; 64], [64, 1], (cell, Wires::default()), (CHIP, 0)).unwrap();
        let none = xnor.currents(&[false; 64]).unwrap()[0];
        assert!((none / floor - 1.0).abs() < 1e-12);
        assert!((none / (cell.read_volts * cell.lrs_siemens()) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn weights_that_are_no_array_are_refused() {
        let cell = find("isaac").unwrap().cell(&toml::Table::new()).unwrap();
        let new = |weights: &[bool], shape| Xnor::new(weights, shape, (cell, Wires::default()), (CHIP, 0));
        assert!(new(&[true; 5], [2, 3]).unwrap_err().to_string().contains("5 weights of 2 synapses"));
        assert!(new(&[], [0, 3]).is_err());
        let xnor = new(&[true; 6], [2, 3]).unwrap();
        assert!(xnor.currents(&[true; 3]).unwrap_err().to_string().contains("6 voltages"));
    }
}
