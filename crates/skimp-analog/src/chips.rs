//! Chips: what programming leaves in the cells, once, and what each read adds.
//!
//! A chip is a number under a seed. What is drawn for a cell depends on seed, chip, tile and the cell's place alone; what a
//! read adds, on the read's number too. So chips can be made again, in any order, on any thread.

use skimp_numerics::rng::{self, Draws, Key, random_u64, stream};

use crate::{Array, Cell};

/// One sample of a chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chip {
    /// Seed of the run.
    pub seed: u64,
    /// Its number.
    pub number: u64,
}

impl Chip {
    /// Conductances in siemens of cells that were programmed once: `states` says which are in LRS, `tile` where they are on the
    /// chip. `ln R` is normal around the state's median; cells that are stuck have the state that they are stuck at.
    pub fn program(self, cell: &Cell, states: &[bool], tile: u64) -> Vec<f64> {
        let mut draws = self.draws(stream("analog/program"), tile, 0);
        states.iter().map(|&is_low| Self::programmed(cell, is_low, &mut draws)).collect()
    }

    /// Conductance of the next cell.
    pub(crate) fn programmed(cell: &Cell, is_low: bool, draws: &mut Draws) -> f64 {
        // Two draws for each cell, whatever the settings: a setting changes no other cell.
        let (normal, fault) = (draws.normal(), f64::from(draws.uniform(0.0, 1.0)));
        let is_low = match fault {
            fault if fault < cell.stuck_at_lrs => true,
            fault if fault < cell.stuck_at_lrs + cell.stuck_at_hrs => false,
            _ => is_low,
        };
        let (ohm, spread) = if is_low { (cell.lrs_ohm, cell.lrs_spread) } else { (cell.hrs_ohm, cell.hrs_spread) };
        (-spread * normal).exp() / ohm
    }

    /// Currents in amperes of the columns of one read, where wires have no resistance: every cell has a deviation of its own,
    /// drawn anew for each read. The specification of [`read`](Self::read).
    pub fn read_cell_by_cell(self, cell: &Cell, array: &Array, volts: &[f64], tile: u64, read: u64) -> Vec<f64> {
        let mut draws = self.draws(stream("analog/read/cells"), tile, read);
        let deviation = cell.read_noise * cell.lrs_siemens();
        let mut currents = vec![0.0; array.columns()];
        for (row, &volts) in array.conductances().chunks_exact(array.columns()).zip(volts) {
            for (current, g) in currents.iter_mut().zip(row) {
                *current += (g + deviation * draws.normal()) * volts;
            }
        }
        currents
    }

    /// As [`read_cell_by_cell`](Self::read_cell_by_cell), with one draw for each column: the sum of independent normal deviations
    /// is normal, and its variance is known exactly for these voltages. `currents` are those without noise.
    pub fn read(self, cell: &Cell, mut currents: Vec<f64>, volts: &[f64], tile: u64, read: u64) -> Vec<f64> {
        if cell.read_noise > 0.0 {
            let mut draws = self.draws(stream("analog/read/columns"), tile, read);
            let power: f64 = volts.iter().map(|v| v * v).sum();
            let deviation = cell.read_noise * cell.lrs_siemens() * power.sqrt();
            currents.iter_mut().for_each(|current| *current += deviation * draws.normal());
        }
        currents
    }

    fn draws(self, stream: u64, tile: u64, read: u64) -> Draws {
        let of_chip = random_u64(self.seed, rng::stream("analog/chip"), self.number);
        Key { seed: of_chip, stream, step: tile, image: read }.draws()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells::find;

    const CHIP: Chip = Chip { seed: 7, number: 3 };

    fn cell(overrides: &str) -> Cell {
        find("neurosim").unwrap().cell(&overrides.parse().unwrap()).unwrap()
    }

    fn mean_and_deviation(x: &[f64]) -> (f64, f64) {
        let mean = x.iter().sum::<f64>() / x.len() as f64;
        (mean, (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (x.len() - 1) as f64).sqrt())
    }

    /// `ln R` has the median and the spread that the cell says; 40,000 cells, five standard errors.
    #[test]
    fn programmed_cells_are_lognormal() {
        let cell = cell("");
        for (is_low, ohm, spread) in [(true, 6e3, 0.1), (false, 9e5, 0.5)] {
            let found = CHIP.program(&cell, &[is_low; 40_000], 0);
            let logarithms: Vec<f64> = found.iter().map(|g| -g.ln()).collect();
            let (mean, deviation) = mean_and_deviation(&logarithms);
            let error = 5.0 * spread / 200.0;
            assert!((mean - f64::ln(ohm)).abs() < error, "{mean}");
            assert!((deviation - spread).abs() < error, "{deviation}");
        }
    }

    #[test]
    fn stuck_cells_do_not_listen() {
        let cell = Cell { stuck_at_lrs: 0.3, stuck_at_hrs: 0.1, ..cell("").ideal() };
        let found = CHIP.program(&cell, &[false; 10_000], 5);
        let low = found.iter().filter(|&&g| g > 1e-5).count();
        // 3,000 expected; five standard deviations of a binomial distribution.
        assert!((2_771..=3_229).contains(&low), "{low}");
        assert!(found.iter().all(|&g| (g * 6e3 - 1.0).abs() < 1e-12 || (g * 9e5 - 1.0).abs() < 1e-12));
    }

    /// The same chip is the same again; other chips, tiles and reads are not, and a chip's cells do not depend on how many are asked
    /// for.
    #[test]
    fn draws_are_keyed() {
        let cell = cell("");
        let of = |chip: Chip, tile| chip.program(&cell, &[true; 16], tile);
        assert_eq!(of(CHIP, 1), of(CHIP, 1));
        assert_eq!(of(CHIP, 1)[..8], CHIP.program(&cell, &[true; 8], 1));
        assert_ne!(of(CHIP, 1), of(CHIP, 2));
        assert_ne!(of(CHIP, 1), of(Chip { number: 4, ..CHIP }, 1));
        assert_ne!(of(CHIP, 1), of(Chip { seed: 8, ..CHIP }, 1));
        let read = |read| CHIP.read(&cell, vec![0.0; 4], &[0.5; 9], 1, read);
        assert_eq!(read(5), read(5));
        assert_ne!(read(5), read(6));
    }

    /// One draw for a column has the distribution of one for each cell: mean and deviation of 20,000 reads within five standard
    /// errors of the same numbers, and the deviations of two columns do not hang together.
    #[test]
    fn a_draw_for_a_column_is_a_draw_for_each_cell() {
        let cell = cell("read_noise = 0.05");
        let array = Array::new(9, 2, CHIP.program(&cell, &[true; 18], 0)).unwrap();
        let volts: Vec<f64> = (0..9).map(|row| if row % 3 == 0 { 0.0 } else { 0.1 * row as f64 }).collect();
        let ideal = array.currents(&volts).unwrap();
        let deviation = 0.05 / 6e3 * volts.iter().map(|v| v * v).sum::<f64>().sqrt();
        let check = |one: &dyn Fn(u64) -> Vec<f64>| {
            let reads: Vec<Vec<f64>> = (0..20_000).map(one).collect();
            let column = |idx: usize| reads.iter().map(|read| read[idx] - ideal[idx]).collect::<Vec<f64>>();
            let both = [column(0), column(1)];
            for column in &both {
                let (mean, found) = mean_and_deviation(column);
                assert!(mean.abs() < 5.0 * deviation / 20_000_f64.sqrt(), "{mean}");
                assert!((found / deviation - 1.0).abs() < 5.0 / 40_000_f64.sqrt(), "{found} for {deviation}");
            }
            let product: f64 = both[0].iter().zip(&both[1]).map(|(a, b)| a * b).sum::<f64>() / 20_000.0;
            assert!(product.abs() < 5.0 * deviation * deviation / 20_000_f64.sqrt(), "{product}");
        };
        check(&|read| CHIP.read_cell_by_cell(&cell, &array, &volts, 0, read));
        check(&|read| CHIP.read(&cell, ideal.clone(), &volts, 0, read));
    }
}
