//! Arrays of cells: conductances at the crossings of rows and columns.

use crate::AnalogError;

/// Conductances of cells at the crossings of rows, which carry voltages, and columns, which collect currents.
///
/// A row drives its wire with a voltage; the current of a column is that into a virtual ground.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    rows: usize,
    columns: usize,
    /// In siemens, row after row.
    conductances: Vec<f64>,
}

impl Array {
    /// An array of `rows` x `columns` cells, whose conductances in siemens stand row after row.
    ///
    /// # Errors
    /// [`AnalogError::Array`] without rows or columns, with another number of cells, or with a conductance that is negative
    /// or not finite.
    pub fn new(rows: usize, columns: usize, conductances: Vec<f64>) -> Result<Self, AnalogError> {
        let error = |cause: String| Err(AnalogError::Array { rows, columns, cause });
        if rows == 0 || columns == 0 {
            return error("there is no cell".to_owned());
        }
        if rows.checked_mul(columns) != Some(conductances.len()) {
            return error(format!("{} conductances", conductances.len()));
        }
        match conductances.iter().position(|g| !g.is_finite() || *g < 0.0) {
            Some(idx) => {
                let (row, column, found) = (idx / columns, idx % columns, conductances[idx]);
                error(format!("the cell of row {row}, column {column} has {found} S, expected 0 or more"))
            }
            None => Ok(Self { rows, columns, conductances }),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Conductances in siemens, row after row.
    pub fn conductances(&self) -> &[f64] {
        &self.conductances
    }

    /// Currents of the columns in amperes where wires have no resistance: for each the sum over the rows, in their order.
    ///
    /// # Errors
    /// [`AnalogError::Volts`] if there is not one finite voltage for each row.
    pub fn currents(&self, volts: &[f64]) -> Result<Vec<f64>, AnalogError> {
        self.check(volts)?;
        let mut currents = vec![0.0; self.columns];
        for (row, &volts) in self.conductances.chunks_exact(self.columns).zip(volts) {
            currents.iter_mut().zip(row).for_each(|(current, g)| *current += g * volts);
        }
        Ok(currents)
    }

    /// Checks the voltages of a read.
    pub(crate) fn check(&self, volts: &[f64]) -> Result<(), AnalogError> {
        if volts.len() != self.rows {
            return Err(AnalogError::Volts { rows: self.rows, found: format!("{} voltages", volts.len()) });
        }
        match volts.iter().find(|v| !v.is_finite()) {
            Some(found) => Err(AnalogError::Volts { rows: self.rows, found: format!("a voltage of {found}") }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currents_are_sums_of_products() {
        let array = Array::new(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(array.currents(&[1.0, -0.5]).unwrap(), [-1.0, -0.5, 0.0]);
    }

    #[test]
    fn what_is_no_array_is_refused() {
        let text = |rows, columns, g| Array::new(rows, columns, g).unwrap_err().to_string();
        assert!(text(0, 3, vec![]).contains("no cell"));
        assert!(text(2, 2, vec![1.0; 3]).contains("3 conductances"));
        assert!(text(1, 2, vec![1.0, -1.0]).contains("row 0, column 1 has -1 S"));
        assert!(text(1, 2, vec![f64::NAN, 1.0]).contains("NaN"));
        let array = Array::new(2, 1, vec![1.0; 2]).unwrap();
        assert!(array.currents(&[1.0]).unwrap_err().to_string().contains("1 voltages"));
        assert!(array.currents(&[1.0, f64::INFINITY]).unwrap_err().to_string().contains("inf"));
    }
}
