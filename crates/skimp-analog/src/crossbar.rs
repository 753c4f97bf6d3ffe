//! A layer of weights of ±1 on the tiles of one chip: sums of inputs, in units of a weight.
//!
//! An ideal cell adds exactly ±1, so that what is kept is how far each one is off: sums of ideal chips are the integer sums,
//! bit for bit.

use skimp_numerics::rng::{Draws, normal, random_u64, stream};

use crate::{AnalogError, Cell, Chip, Tiling};

/// How cells hold a weight of ±1, and what their currents are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Synapse {
    /// One cell: LRS for +1, HRS for −1. A tile's reference column has an LRS and an HRS cell in each row, and half of their
    /// current. An input of 0 does not drive its row.
    Single,
    /// Two cells side by side, (LRS, HRS) for +1, (HRS, LRS) for −1; their currents are subtracted. An input of 0 does not drive
    /// its row.
    Differential,
    /// Two cells one above the other, (LRS, HRS) for +1, (HRS, LRS) for −1: an input of +1 drives the first one's row, −1 the
    /// second one's. The current of as many HRS cells as there are inputs is subtracted.
    Xnor,
}

/// Deviations of the sums of one read, as standard deviations in units of a weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadNoise {
    /// Of each output on its own.
    pub own: f64,
    /// Of all outputs of a tile together: its reference column's.
    pub shared: f64,
}

/// A layer on the tiles of one chip.
#[derive(Clone, Debug)]
pub struct Crossbar {
    tiling: Tiling,
    synapse: Synapse,
    cell: Cell,
    /// Key of what reads add.
    reads: u64,
    /// What an active input adds beside an inactive one, less the ideal: row by row, `[inputs, outputs]`.
    off: Vec<f32>,
    /// What inactive inputs add, less the ideal: `[row tiles, outputs]`; empty where they add nothing.
    idle: Vec<f32>,
}

/// Bound of a standard normal draw by Box and Muller of 53 bits: the square root of `2 · 53 · ln 2`.
const REACH: f64 = 8.572;

impl Crossbar {
    /// Weights `[outputs, inputs]`, positive for +1, as they come out on the tiles of a chip from number `first_tile` on.
    ///
    /// # Errors
    /// [`AnalogError::Count`] if there is not a weight for each input and output.
    pub fn new(
        weights: &[i32],
        tiling: Tiling,
        (synapse, cell): (Synapse, Cell),
        (chip, first_tile): (Chip, u64),
    ) -> Result<Self, AnalogError> {
        let (n, k) = (tiling.inputs(), tiling.outputs());
        if weights.len() != n * k {
            return Err(AnalogError::Count { what: "weights", found: weights.len(), expected: n * k });
        }
        let mut off = vec![0.0; n * k];
        let mut idle = vec![0.0; if synapse == Synapse::Xnor { tiling.row_tiles() * k } else { 0 }];
        let mut tile = first_tile;
        for row_tile in 0..tiling.row_tiles() {
            let rows = row_tile * tiling.rows()..n.min((row_tile + 1) * tiling.rows());
            for column_tile in 0..tiling.column_tiles() {
                let columns = column_tile * tiling.columns()..k.min((column_tile + 1) * tiling.columns());
                let mut put = Programmed::new((synapse, cell), (chip, tile), rows.len());
                for column in columns {
                    let positive = |row: usize| weights[column * n + row] > 0;
                    for (at, row) in rows.clone().enumerate() {
                        let [active, inactive] = put.deviations(at, positive(row));
                        off[row * k + column] = (active - inactive) as f32;
                        if let Some(sum) = idle.get_mut(row_tile * k + column) {
                            *sum += inactive as f32;
                        }
                    }
                }
                tile += 1;
            }
        }
        let of_chip = random_u64(chip.seed, stream("analog/crossbar/chip"), chip.number);
        let reads = random_u64(of_chip, stream("analog/crossbar/reads"), first_tile);
        Ok(Self { tiling, synapse, cell, reads, off, idle })
    }

    /// Its tiles.
    pub fn tiling(&self) -> Tiling {
        self.tiling
    }

    /// Whether every sum of noiseless reads is the integer sum.
    pub fn is_exact(&self) -> bool {
        self.off.iter().chain(&self.idle).all(|&off| off == 0.0)
    }

    /// Adds to `sums`, one for each output, how far the sums of all tiles are off: `active` are the inputs that are not 0 (of
    /// [`Synapse::Xnor`]: those of +1) in ascending order, each with what it counts.
    pub fn deviations(&self, active: &[(usize, f32)], sums: &mut [f32]) {
        let k = self.tiling.outputs();
        for idle in self.idle.chunks_exact(k) {
            sums.iter_mut().zip(idle).for_each(|(sum, idle)| *sum += idle);
        }
        self.add_rows(active, sums);
    }

    /// As [`deviations`](Self::deviations), of row tile `row_tile` alone, whose active inputs are `active`.
    pub fn deviations_of_tile(&self, row_tile: usize, active: &[(usize, f32)], sums: &mut [f32]) {
        let k = self.tiling.outputs();
        if let Some(idle) = self.idle.get(row_tile * k..(row_tile + 1) * k) {
            sums.iter_mut().zip(idle).for_each(|(sum, idle)| *sum += idle);
        }
        self.add_rows(active, sums);
    }

    /// Adds what active inputs add beside inactive ones, less the ideal.
    pub fn add_rows(&self, active: &[(usize, f32)], sums: &mut [f32]) {
        add_rows(&self.off, active, sums);
    }

    /// What an active input adds beside an inactive one, less the ideal: row by row, `[inputs, outputs]`.
    pub fn active(&self) -> &[f32] {
        &self.off
    }

    /// What inactive inputs add, less the ideal: `[row tiles, outputs]`; empty where they add nothing.
    pub fn inactive(&self) -> &[f32] {
        &self.idle
    }

    /// What a read adds; see [`Synapse::read_noise`].
    pub fn noise(&self, power: f64) -> ReadNoise {
        self.synapse.read_noise(&self.cell, power)
    }

    /// What read `read` adds to the sum of `output` of row tile `row_tile` (0, where all row tiles are read as one column). Sums
    /// that lie further than `margin` from where anything changes may pass it: what is further than any draw reaches is not drawn.
    pub fn read(&self, noise: ReadNoise, read: u64, row_tile: usize, output: usize, margin: f64) -> f64 {
        if noise.own == 0.0 || REACH * (noise.own + noise.shared) < margin {
            return 0.0;
        }
        let of_read = random_u64(self.reads, stream("analog/crossbar/read"), read);
        let place = |idx: usize| (row_tile * self.tiling.outputs() + idx) as u64;
        let own = noise.own * normal(of_read, stream("analog/crossbar/own"), place(output));
        if noise.shared == 0.0 {
            return own;
        }
        let column_tile = output / self.tiling.columns();
        own + noise.shared * normal(of_read, stream("analog/crossbar/shared"), place(column_tile))
    }
}

/// Adds the rows of a matrix `[inputs, sums]` that are active, each times what it counts. Four rows at a time: the order of the
/// additions depends on the active inputs alone.
pub fn add_rows(matrix: &[f32], active: &[(usize, f32)], sums: &mut [f32]) {
    let k = sums.len();
    let row = |idx: usize| &matrix[idx * k..(idx + 1) * k];
    let mut blocks = active.chunks_exact(4);
    for block in &mut blocks {
        let [(a, x), (b, y), (c, z), (d, w)] = [block[0], block[1], block[2], block[3]];
        let rows = row(a).iter().zip(row(b)).zip(row(c).iter().zip(row(d)));
        for (sum, ((a, b), (c, d))) in sums.iter_mut().zip(rows) {
            *sum += (x * a + y * b) + (z * c + w * d);
        }
    }
    for &(idx, x) in blocks.remainder() {
        sums.iter_mut().zip(row(idx)).for_each(|(sum, off)| *sum += x * off);
    }
}

/// The cells of one tile, column after column.
struct Programmed {
    synapse: Synapse,
    cell: Cell,
    /// `[rows]`: the reference column.
    reference: Vec<f64>,
    draws: Draws,
}

impl Programmed {
    fn new((synapse, cell): (Synapse, Cell), (chip, tile): (Chip, u64), rows: usize) -> Self {
        let of_chip = random_u64(chip.seed, stream("analog/crossbar/chip"), chip.number);
        let of_tile = random_u64(of_chip, stream("analog/crossbar/tile"), tile);
        let rows = if synapse == Synapse::Single { rows } else { 0 };
        let mut draws = Draws::new(of_tile, stream("analog/crossbar/reference"));
        let mut pair = || [true, false].map(|is_low| Chip::programmed(&cell, is_low, &mut draws));
        let reference = (0..rows).map(|_| 0.5 * pair().iter().sum::<f64>()).collect();
        Self { synapse, cell, reference, draws: Draws::new(of_tile, stream("analog/crossbar/cells")) }
    }

    /// How far what a weight adds with an active and with an inactive input is off, in units of a weight.
    fn deviations(&mut self, row: usize, is_positive: bool) -> [f64; 2] {
        let (low, high) = (self.cell.lrs_siemens(), self.cell.hrs_siemens());
        let step = low - high;
        // Exactly 0 for cells without deviation: the nominal conductance is subtracted, not the ideal weight added.
        let nominal = |is_low: bool| if is_low { low } else { high };
        let mut off = |is_low: bool| Chip::programmed(&self.cell, is_low, &mut self.draws) - nominal(is_low);
        match self.synapse {
            Synapse::Single => {
                let own = off(is_positive);
                [2.0 * (own - (self.reference[row] - 0.5 * (low + high))) / step, 0.0]
            }
            Synapse::Differential => [(off(is_positive) - off(!is_positive)) / step, 0.0],
            Synapse::Xnor => [2.0 * off(is_positive) / step, 2.0 * off(!is_positive) / step],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Array;
    use crate::cells::find;

    const CHIP: Chip = Chip { seed: 11, number: 2 };
    const FORMS: [Synapse; 3] = [Synapse::Single, Synapse::Differential, Synapse::Xnor];

    fn cell(overrides: &str) -> Cell {
        find("neurosim").unwrap().cell(&overrides.parse().unwrap()).unwrap()
    }

    fn layer(n: usize, k: usize) -> (Vec<i32>, Tiling) {
        let mut draws = Draws::new(3, stream("test/crossbar"));
        let weights = (0..n * k).map(|_| if draws.chance(0.5) { 1 } else { -1 }).collect();
        (weights, Tiling::new([n, k], [27, 32]).unwrap())
    }

    fn active(n: usize) -> Vec<(usize, f32)> {
        (0..n).filter(|row| row % 3 != 1).map(|row| (row, 1.0)).collect()
    }

    #[test]
    fn ideal_cells_are_exact_and_others_are_not() {
        let (weights, tiling) = layer(100, 40);
        for form in FORMS {
            let new = |cell| Crossbar::new(&weights, tiling, (form, cell), (CHIP, 0)).unwrap();
            assert!(new(cell("").ideal()).is_exact(), "{form:?}");
            assert!(!new(cell("")).is_exact(), "{form:?}");
            let mut sums = vec![0.0; 40];
            new(cell("").ideal()).deviations(&active(100), &mut sums);
            assert!(sums.iter().all(|&sum| sum == 0.0));
        }
        let error = Crossbar::new(&weights[1..], tiling, (Synapse::Single, cell("")), (CHIP, 0)).unwrap_err();
        assert_eq!(error.to_string(), "weights: found 3999, expected 4000");
    }

    /// The sum of the tiles is the sum of the layer, up to rounding in f32.
    #[test]
    fn tiles_add_up() {
        let (weights, tiling) = layer(100, 40);
        for form in FORMS {
            let bar = Crossbar::new(&weights, tiling, (form, cell("")), (CHIP, 0)).unwrap();
            let inputs = active(100);
            let (mut whole, mut parts) = (vec![0.0; 40], vec![0.0; 40]);
            bar.deviations(&inputs, &mut whole);
            for tile in 0..tiling.row_tiles() {
                let here: Vec<_> = inputs.iter().copied().filter(|(row, _)| row / 27 == tile).collect();
                bar.deviations_of_tile(tile, &here, &mut parts);
            }
            assert!(whole.iter().zip(&parts).all(|(a, b)| (a - b).abs() < 1e-4), "{form:?}");
        }
    }

    /// Cells stuck at LRS: of two equal cells nothing is left, one alone counts +1.
    #[test]
    fn stuck_cells_count_what_they_conduct() {
        let stuck = Cell { stuck_at_lrs: 1.0, ..cell("").ideal() };
        let of = |form, weight: i32| {
            let tiling = Tiling::new([1, 1], [27, 32]).unwrap();
            let bar = Crossbar::new(&[weight], tiling, (form, stuck), (CHIP, 0)).unwrap();
            let mut sums = [weight as f32];
            bar.deviations(&[(0, 1.0)], &mut sums);
            sums[0]
        };
        let close = |found: f32, expected: f32| assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        close(of(Synapse::Differential, 1), 0.0);
        close(of(Synapse::Differential, -1), 0.0);
        close(of(Synapse::Xnor, 1), 1.0);
        close(of(Synapse::Xnor, -1), 1.0);
        // The reference is two LRS cells, half of their current: as much as the weight's own cell.
        close(of(Synapse::Single, 1), 0.0);
    }

    /// The spread of sums is that of the cells: 4,000 sums of 9 active differential weights of LRS and HRS cells, within five
    /// standard errors of the variance that lognormal cells have.
    #[test]
    fn sums_spread_as_their_cells_do() {
        let cell = cell(
            "lrs_spread = 0.1
hrs_spread = 0.5",
        );
        let tiling = Tiling::new([9, 4000], [27, 32]).unwrap();
        let bar = Crossbar::new(&vec![1; 9 * 4000], tiling, (Synapse::Differential, cell), (CHIP, 0)).unwrap();
        let inputs: Vec<_> = (0..9).map(|row| (row, 1.0)).collect();
        let mut sums = vec![0.0; 4000];
        bar.deviations(&inputs, &mut sums);
        let variance = |g: f64, spread: f64| g * g * (spread * spread).exp() * ((spread * spread).exp() - 1.0);
        let step = cell.lrs_siemens() - cell.hrs_siemens();
        let one = variance(cell.lrs_siemens(), 0.1) + variance(cell.hrs_siemens(), 0.5);
        let expected = (9.0 * one).sqrt() / step;
        let mean = sums.iter().map(|&s| f64::from(s)).sum::<f64>() / 4000.0;
        let found = (sums.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / 3999.0).sqrt();
        assert!((found / expected - 1.0).abs() < 5.0 / 8000_f64.sqrt(), "{found} for {expected}");
    }

    /// One draw for a column, and one for a tile's reference, have the distribution of one for each cell: mean and deviation of
    /// 10,000 reads of both within five standard errors of the same numbers, and so the correlation of two outputs.
    #[test]
    fn reads_of_columns_are_reads_of_cells() {
        let cell = Cell { read_noise: 0.05, ..cell("").ideal() };
        let (rows, step) = (9_usize, cell.lrs_siemens() - cell.hrs_siemens());
        let tiling = Tiling::new([rows, 2], [27, 32]).unwrap();
        let moments = |reads: &[[f64; 2]]| {
            let n = reads.len() as f64;
            let of = |f: &dyn Fn(&[f64; 2]) -> f64| reads.iter().map(f).sum::<f64>() / n;
            [of(&|r| r[0]), of(&|r| r[0] * r[0]).sqrt(), of(&|r| r[0] * r[1])]
        };
        for form in FORMS {
            let bar = Crossbar::new(&[1; 18], tiling, (form, cell), (CHIP, 0)).unwrap();
            // Voltages of 1 V: currents are conductances. Columns: of weights, then of references.
            let (columns, scale) = match form {
                Synapse::Single => (4, 2.0 / step),
                Synapse::Differential => (4, 1.0 / step),
                Synapse::Xnor => (2, 2.0 / step),
            };
            let array = Array::new(rows, columns, vec![0.0; rows * columns]).unwrap();
            let by_cell: Vec<[f64; 2]> = (0..10_000)
                .map(|read| {
                    let i = CHIP.read_cell_by_cell(&cell, &array, &vec![1.0; rows], 0, read);
                    match form {
                        Synapse::Single => [0, 1].map(|idx| scale * (i[idx] - 0.5 * (i[2] + i[3]))),
                        Synapse::Differential => [0, 2].map(|idx| scale * (i[idx] - i[idx + 1])),
                        Synapse::Xnor => [0, 1].map(|idx| scale * i[idx]),
                    }
                })
                .collect();
            let noise = bar.noise(rows as f64);
            let by_column: Vec<[f64; 2]> =
                (0..10_000).map(|read| [0, 1].map(|idx| bar.read(noise, read, 0, idx, 0.0))).collect();
            let expected = noise.own.hypot(noise.shared);
            for [mean, deviation, product] in [moments(&by_cell), moments(&by_column)] {
                assert!(mean.abs() < 5.0 * expected / 100.0, "{form:?} {mean}");
                assert!((deviation / expected - 1.0).abs() < 5.0 / 20_000_f64.sqrt(), "{form:?} {deviation}");
                assert!((product - noise.shared.powi(2)).abs() < 7.0 * expected.powi(2) / 100.0, "{form:?} {product}");
            }
        }
    }

    #[test]
    fn what_no_draw_reaches_is_not_drawn() {
        let (weights, tiling) = layer(27, 32);
        let bar = Crossbar::new(&weights, tiling, (Synapse::Single, cell("")), (CHIP, 0)).unwrap();
        let noise = bar.noise(9.0);
        let far = (0..20_000).map(|read| bar.read(noise, read, 0, 3, 0.0).abs()).fold(0.0, f64::max);
        assert!(far < REACH * (noise.own + noise.shared) && far > 2.0 * noise.own);
        assert!(bar.read(noise, 5, 0, 3, 1e3).abs() == 0.0);
        assert_eq!(bar.read(noise, 5, 0, 3, 0.0).to_bits(), bar.read(noise, 5, 0, 3, 0.1).to_bits());
        assert_ne!(bar.read(noise, 5, 0, 3, 0.0).to_bits(), bar.read(noise, 6, 0, 3, 0.0).to_bits());
    }
}
