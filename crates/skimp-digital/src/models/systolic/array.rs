//! The closed form: cycles, accesses and traffic of one layer on one array, without allocation.

use serde::Deserialize;
use skimp_sim::LayerWorkload;

/// Which operand stays in the array while the others pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dataflow {
    /// Rows hold the inputs of an output, columns filters; pixels stream.
    WeightStationary,
    /// Rows hold pixels, columns filters; the inputs of an output stream.
    OutputStationary,
    /// Rows hold the inputs of an output, columns pixels; filters stream.
    InputStationary,
}

/// An array, its buffers and its memory.
#[derive(Clone, Debug)]
pub struct Array {
    /// Rows of multipliers.
    pub rows: u64,
    /// Columns of multipliers.
    pub columns: u64,
    /// What stays in the array.
    pub dataflow: Dataflow,
    /// Whether the next stationary block is shifted in while the present one works.
    pub double_buffered: bool,
    /// Whether output extents round up as in SCALE-Sim.
    pub round_outputs_up: bool,
    /// Operand width of a multiplier.
    pub operand_bits: u32,
    /// Width of a partial sum.
    pub accumulator_bits: u32,
    /// Input buffer.
    pub input_buffer_bytes: u64,
    /// Weight buffer.
    pub weight_buffer_bytes: u64,
    /// Output buffer.
    pub output_buffer_bytes: u64,
    /// Whether inputs and outputs that fit the input buffer stay there between layers.
    pub activations_on_chip: bool,
    /// Whether weights move in whole blocks.
    pub whole_weight_blocks: bool,
    /// Bytes of off-chip memory per cycle.
    pub dram_bytes_per_cycle: f64,
}

/// What one layer takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// Blocks along the rows, of one group.
    pub row_folds: u64,
    /// Blocks along the columns, of one group.
    pub column_folds: u64,
    /// Cycles of the array if operands are always at hand.
    pub compute_cycles: u64,
    /// Cycles of the off-chip memory.
    pub dram_cycles: u64,
    /// Passes for codes wider than a multiplier.
    pub passes: u64,
    /// Input codes read from the input buffer.
    pub input_reads: u64,
    /// Weight codes read from the weight buffer.
    pub weight_reads: u64,
    /// Sums, partial ones included, written to the output buffer.
    pub output_writes: u64,
    /// Partial sums read back to be continued.
    pub psum_reads: u64,
    /// Off-chip bytes of inputs.
    pub dram_input_bytes: u64,
    /// Off-chip bytes of weights.
    pub dram_weight_bytes: u64,
    /// Off-chip bytes of outputs.
    pub dram_output_bytes: u64,
    /// Off-chip bytes of partial sums that did not fit the output buffer.
    pub dram_psum_bytes: u64,
}

impl Evaluation {
    /// Runtime: the array waits where the memory is slower.
    #[must_use]
    pub fn cycles(&self) -> u64 {
        self.compute_cycles.max(self.dram_cycles)
    }

    /// Cycles in which the array waits for the memory.
    #[must_use]
    pub fn stall_cycles(&self) -> u64 {
        self.cycles() - self.compute_cycles
    }

    /// Everything that crosses the chip's border.
    #[must_use]
    pub fn dram_bytes(&self) -> u64 {
        self.dram_input_bytes + self.dram_weight_bytes + self.dram_output_bytes + self.dram_psum_bytes
    }
}

/// The product that one group of a layer is: `m` pixels, `n` filters, `k` inputs of an output.
#[derive(Clone, Copy, Debug)]
struct Gemm {
    m: u64,
    n: u64,
    k: u64,
}

impl Array {
    /// Evaluates a layer that [`LayerWorkload::check`] accepts.
    #[must_use]
    pub fn evaluate(&self, layer: &LayerWorkload) -> Evaluation {
        let groups = layer.shape.groups() as u64;
        let gemm = Gemm {
            m: layer.shape.n() as u64 * self.pixels(layer),
            n: layer.shape.filters_per_group() as u64,
            k: layer.shape.inputs_per_output() as u64,
        };
        let Gemm { m, n, k } = gemm;
        let (row_extent, column_extent, stream) = match self.dataflow {
            Dataflow::WeightStationary => (k, n, m),
            Dataflow::OutputStationary => (m, n, k),
            Dataflow::InputStationary => (k, m, n),
        };
        let passes = u64::from(layer.weight_bits.div_ceil(self.operand_bits))
            * u64::from(layer.activation_bits.div_ceil(self.operand_bits));
        let (row_folds, column_folds) = (row_extent.div_ceil(self.rows), column_extent.div_ceil(self.columns));
        let mut found = Evaluation { row_folds, column_folds, passes, ..Evaluation::default() };
        found.compute_cycles = self.compute_cycles(groups * row_folds * column_folds, stream * passes);
        // SCALE-Sim's counts of the demands at the array's edges; every group has its own.
        (found.input_reads, found.weight_reads, found.output_writes) = match self.dataflow {
            Dataflow::WeightStationary => (m * k * column_folds, n * k, m * n * row_folds),
            Dataflow::OutputStationary => (m * k * column_folds, n * k * row_folds, m * n),
            Dataflow::InputStationary => (m * k, n * k * column_folds, m * n * row_folds),
        };
        found.psum_reads = groups * (found.output_writes - m * n);
        found.input_reads *= groups;
        found.weight_reads *= groups;
        found.output_writes *= groups;
        self.traffic(layer, gemm, &mut found);
        found.dram_cycles = (found.dram_bytes() as f64 / self.dram_bytes_per_cycle).ceil() as u64;
        found
    }

    /// Output positions of one image.
    fn pixels(&self, layer: &LayerWorkload) -> u64 {
        if !self.round_outputs_up {
            return (layer.shape.p() * layer.shape.q()) as u64;
        }
        let extent = |axis: usize, input: usize, kernel: usize| {
            let padded = input + layer.shape.pads_begin()[axis] + layer.shape.pads_end()[axis];
            let covered = layer.shape.dilations()[axis] * (kernel - 1) + 1;
            (padded - covered).div_ceil(layer.shape.strides()[axis]) as u64 + 1
        };
        extent(0, layer.shape.h(), layer.shape.r()) * extent(1, layer.shape.w(), layer.shape.s())
    }

    /// Cycles of `folds` blocks through each of which `stream` vectors pass.
    fn compute_cycles(&self, folds: u64, stream: u64) -> u64 {
        let skew = self.rows + self.columns - 2;
        match (self.dataflow, self.double_buffered) {
            (Dataflow::OutputStationary, false) => folds * (stream + skew),
            (Dataflow::OutputStationary, true) => folds * stream.max(self.rows) + skew,
            (Dataflow::WeightStationary | Dataflow::InputStationary, false) => folds * (self.rows + stream + skew),
            (Dataflow::WeightStationary | Dataflow::InputStationary, true) => {
                self.rows + (folds - 1) * stream.max(self.rows) + stream + skew
            }
        }
    }

    fn traffic(&self, layer: &LayerWorkload, gemm: Gemm, found: &mut Evaluation) {
        let Gemm { m, n, k } = gemm;
        let groups = layer.shape.groups() as u64;
        let bytes = |count: u64, bits: u32| (count * u64::from(bits)).div_ceil(8);
        // A stride beyond the kernel leaves inputs out.
        let touched = (layer.shape.n() as u64 * layer.shape.input_count() as u64).min(groups * m * k);
        let input = bytes(touched, layer.activation_bits);
        let weights = bytes(groups * n * k, layer.weight_bits);
        let outputs = bytes(layer.shape.n() as u64 * layer.shape.output_count() as u64, layer.activation_bits);
        let stay = self.activations_on_chip && input + outputs <= self.input_buffer_bytes;
        let sweeps =
            |bytes: u64, buffer: u64, folds: u64| if bytes <= buffer.saturating_mul(groups) { 1 } else { folds };
        let input_fits = |folds| sweeps(input, self.input_buffer_bytes, folds);
        let weight_block = bytes(k * self.columns.min(n), layer.weight_bits) * groups;
        let (input_sweeps, weight_sweeps, psums_at_once) = match self.dataflow {
            Dataflow::WeightStationary => (input_fits(found.column_folds), 1, m * self.columns.min(n)),
            Dataflow::OutputStationary => {
                (input_fits(found.column_folds), sweeps(weight_block, self.weight_buffer_bytes, found.row_folds), 0)
            }
            Dataflow::InputStationary => {
                (1, sweeps(weights, self.weight_buffer_bytes, found.column_folds), n * self.columns.min(m))
            }
        };
        found.dram_input_bytes = if stay { 0 } else { input * input_sweeps };
        found.dram_output_bytes = if stay { 0 } else { outputs };
        found.dram_weight_bytes = weight_sweeps
            .saturating_mul(if self.whole_weight_blocks {
                let blocks = u128::from(groups * k.div_ceil(self.rows) * n.div_ceil(self.columns));
                let bits = blocks * u128::from(self.rows * self.columns * u64::from(layer.weight_bits));
                // Beyond this the multiplier cycles cannot be counted either, which is reported.
                bits.div_ceil(8).min(1 << 60) as u64
            } else {
                weights
            })
            .min(1 << 60);
        if found.psum_reads > 0 && bytes(psums_at_once, self.accumulator_bits) > self.output_buffer_bytes {
            found.dram_psum_bytes = 2 * bytes(found.psum_reads, self.accumulator_bits);
        }
    }
}

/// Peak rate and memory bandwidth: the two roofs over any program.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roofline {
    /// Peak rate in 10^9 MACs per second.
    pub peak_gmacs: f64,
    /// Off-chip bandwidth in 10^9 bytes per second.
    pub dram_gb_per_s: f64,
}

impl Roofline {
    /// Operational intensity, in MACs per off-chip byte, from which on the peak is within reach.
    #[must_use]
    pub fn ridge(&self) -> f64 {
        self.peak_gmacs / self.dram_gb_per_s
    }

    /// Most that can be reached at an operational intensity, in 10^9 MACs per second.
    #[must_use]
    pub fn bound_gmacs(&self, macs_per_byte: f64) -> f64 {
        self.peak_gmacs.min(macs_per_byte * self.dram_gb_per_s)
    }
}
