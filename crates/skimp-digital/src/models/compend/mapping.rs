//! How a layer is laid out on ComPEND, in counts that do not depend on operand values.

use std::ops::Range;

use skimp_sim::{LayerKind, LayerWorkload, SimError};

use super::config::Hardware;

/// Cycles between the last line sent to the registers and the first plane: three pipeline stages.
const REGISTER_FILL_CYCLES: u64 = 3;

/// Cycles that a block load from STT-RAM to weight buffers takes beyond one per line, on top of the read latency.
const BLOCK_FILL_CYCLES: u64 = 2;

/// Filters that share the activations of one walk over the map: a bundle of groups, or the part of it whose weights
/// fit the STT-RAM.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Filters by output channel; the end may lie beyond `k` where padding filters fill the last block.
    pub(super) filters: Range<usize>,
    /// Filters per block.
    pub(super) block: usize,
    /// Leaf units that the inputs of one output fill, pass by pass.
    pub(super) leaves: Vec<u64>,
    /// Filters side by side.
    pub(super) divisions: usize,
    /// Windows of the walk.
    pub(super) windows: u64,
}

impl Part {
    /// The blocks in order.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.filters.clone().step_by(self.block).map(|start| start..(start + self.block).min(self.filters.end))
    }

    /// Filters of each division in a block of `filters`: contiguous runs whose lengths differ by at most one.
    pub(super) fn runs(&self, filters: usize) -> impl Iterator<Item = usize> {
        let (each, more) = (filters / self.divisions, filters % self.divisions);
        (0..self.divisions).map(move |division| each + usize::from(division < more))
    }
}

/// Lines moved, cycles that depend on shapes only, and the parts to run.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    pub(super) parts: Vec<Part>,
    /// Lines from off-chip memory to STT-RAM.
    pub(super) stt_writes: u64,
    /// Lines from STT-RAM to weight buffers.
    pub(super) stt_reads: u64,
    /// Lines from off-chip memory straight to weight buffers.
    pub(super) wb_direct: u64,
    /// Lines from off-chip memory to the activation buffer.
    pub(super) ab_writes: u64,
    /// Lines from the activation buffer to registers.
    pub(super) ab_reads: u64,
    /// The same, each times the divisions that take it.
    pub(super) register_writes: u64,
    pub(super) stt_wb_cycles: u64,
    pub(super) ab_pu_cycles: u64,
    pub(super) activation_passes: u64,
    pub(super) column_strips: u64,
    pub(super) bundles: u64,
}

/// Lays out one image of `layer`.
pub(super) fn lay_out(layer: &LayerWorkload, hw: &Hardware) -> Result<Layout, SimError> {
    let mut layout = Layout::default();
    let bundle = (hw.inputs_per_pu / layer.shape.channels_per_group()).clamp(1, layer.shape.groups());
    let mut first_group = 0;
    while first_group < layer.shape.groups() {
        let groups = bundle.min(layer.shape.groups() - first_group);
        let per_group = layer.shape.filters_per_group();
        let filters = first_group * per_group..(first_group + groups) * per_group;
        let slices = (groups * layer.shape.channels_per_group()).div_ceil(hw.inputs_per_pu);
        match layer.kind {
            LayerKind::Conv => layout.add_convolution(layer, hw, filters, slices)?,
            LayerKind::Dense => layout.add_dense(layer, hw, filters, slices),
        }
        layout.bundles += 1;
        first_group += groups;
    }
    Ok(layout)
}

/// What is the same for all parts of one bundle.
struct Footprint {
    leaves: Vec<u64>,
    total_leaves: u64,
    filter_bits: u64,
    pixel_bits: u64,
}

impl Footprint {
    fn new(layer: &LayerWorkload, hw: &Hardware, slices: usize) -> Self {
        let total = layer.shape.r() * layer.shape.s() * slices;
        let leaves = (0..total).step_by(hw.leaf_pus).map(|start| hw.leaf_pus.min(total - start) as u64).collect();
        let activation_bytes = u64::from(layer.activation_bits.div_ceil(8));
        Footprint {
            leaves,
            total_leaves: total as u64,
            filter_bits: (total * hw.inputs_per_pu) as u64 * u64::from(layer.weight_bits),
            pixel_bits: (slices * hw.inputs_per_pu) as u64 * activation_bytes * 8,
        }
    }

    fn divisions(&self, hw: &Hardware, filters: usize) -> usize {
        (hw.leaf_pus / self.total_leaves as usize).clamp(1, hw.max_divisions).min(filters)
    }

    fn passes(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// How many filters a buffer holds, at least 1.
    fn filters_in(&self, buffer_bits: u64, filters: usize) -> usize {
        usize::try_from(buffer_bits / self.filter_bits).unwrap_or(usize::MAX).clamp(1, filters)
    }

    fn weight_lines(&self, hw: &Hardware, filters: usize) -> u64 {
        (filters as u64 * self.filter_bits).div_ceil(hw.line_bits)
    }
}

impl Layout {
    fn add_convolution(
        &mut self,
        layer: &LayerWorkload,
        hw: &Hardware,
        filters: Range<usize>,
        slices: usize,
    ) -> Result<(), SimError> {
        let footprint = Footprint::new(layer, hw, slices);
        let walk = Walk::new(layer, hw, footprint.pixel_bits)?;
        let per_part = footprint.filters_in(hw.stt_bits, filters.len());
        for start in filters.clone().step_by(per_part) {
            let filters = start..(start + per_part).min(filters.end);
            let part = Part {
                block: footprint.filters_in(hw.wb_bits, filters.len()),
                divisions: footprint.divisions(hw, filters.len()),
                leaves: footprint.leaves.clone(),
                windows: (layer.shape.p() * layer.shape.q()) as u64,
                filters,
            };
            self.add_weights(&part, &footprint, &walk, hw);
            let (lines, loads) = walk.register_loads(layer, slices as u64, &footprint);
            let blocks = part.blocks().count() as u64;
            self.ab_writes += walk.lines;
            self.ab_reads += blocks * lines;
            self.register_writes += blocks * lines * part.divisions as u64;
            self.ab_pu_cycles += blocks * (lines + REGISTER_FILL_CYCLES * loads);
            self.activation_passes += walk.count();
            self.column_strips = walk.strips;
            self.parts.push(part);
        }
        Ok(())
    }

    /// Weights go to STT-RAM once and to the weight buffers block by block. The order of the blocks turns round at
    /// each new pass over the activation buffer, so the block that is in place is not read again.
    fn add_weights(&mut self, part: &Part, footprint: &Footprint, walk: &Walk, hw: &Hardware) {
        self.stt_writes += footprint.weight_lines(hw, part.filters.len());
        let lines: Vec<u64> = part.blocks().map(|block| footprint.weight_lines(hw, block.len())).collect();
        let all: u64 = lines.iter().sum();
        let (passes, blocks) = (walk.count(), lines.len() as u64);
        let (first, last) = (lines.first().copied().unwrap_or(0), lines.last().copied().unwrap_or(0));
        let reads = passes * all - passes / 2 * last - (passes - 1) / 2 * first;
        let loads = passes * blocks - (passes - 1);
        self.stt_reads += reads;
        self.stt_wb_cycles += reads * hw.stt_cycles_per_line + loads * (hw.stt_read_cycles + BLOCK_FILL_CYCLES);
    }

    /// Weights bypass the STT-RAM; the input vector stays in the registers, or is loaded again for each block where
    /// it takes more than one pass.
    fn add_dense(&mut self, layer: &LayerWorkload, hw: &Hardware, filters: Range<usize>, slices: usize) {
        let footprint = Footprint::new(layer, hw, slices);
        let block = footprint.filters_in(hw.wb_bits, filters.len());
        let blocks = filters.len().div_ceil(block);
        // Padding filters may follow the layer's last filter only: their ends are appended after all others.
        let padded = hw.faithful_dense_blocks && filters.end == layer.shape.k();
        let end = if padded { filters.start + blocks * block } else { filters.end };
        let part = Part {
            divisions: footprint.divisions(hw, filters.len()),
            filters: filters.start..end,
            block,
            leaves: footprint.leaves.clone(),
            windows: 1,
        };
        self.wb_direct += part.blocks().map(|block| footprint.weight_lines(hw, block.len())).sum::<u64>();
        let passes = footprint.passes();
        let vector_lines = footprint.pixel_bits.div_ceil(hw.line_bits);
        let fits = footprint.pixel_bits <= hw.ab_bits;
        let loads = if passes == 1 { 1 } else { blocks as u64 };
        self.ab_writes += if fits { vector_lines } else { loads * vector_lines };
        self.ab_reads += loads * footprint.total_leaves;
        self.register_writes += loads * footprint.total_leaves * part.divisions as u64;
        self.ab_pu_cycles += loads * (footprint.total_leaves + REGISTER_FILL_CYCLES * passes);
        self.activation_passes += 1;
        self.column_strips = 1;
        self.parts.push(part);
    }
}

/// The path of the window over the map: strips of columns, each cut into passes of as many output rows as the
/// activation buffer serves.
struct Walk {
    passes: Vec<Pass>,
    /// Lines from off-chip memory, padding rows included where the map is loaded in more than one pass, as published.
    lines: u64,
    strips: u64,
}

/// Passes over the activation buffer with the same output rows and columns.
struct Pass {
    rows: u64,
    columns: u64,
    count: u64,
}

impl Walk {
    fn new(layer: &LayerWorkload, hw: &Hardware, pixel_bits: u64) -> Result<Walk, SimError> {
        let (p, q) = (layer.shape.p() as u64, layer.shape.q() as u64);
        let (height, width) = (layer.shape.h() as u64, layer.shape.w() as u64);
        let map_bits = height * width * pixel_bits;
        if map_bits <= hw.ab_bits {
            let passes = vec![Pass { rows: p, columns: q, count: 1 }];
            return Ok(Walk { passes, lines: map_bits.div_ceil(hw.line_bits), strips: 1 });
        }
        let reach = |kernel: usize, axis: usize| ((kernel - 1) * layer.shape.dilations()[axis] + 1) as u64;
        let (rows, columns) = (reach(layer.shape.r(), 0), reach(layer.shape.s(), 1));
        let row_step = rows.min(layer.shape.strides()[0] as u64);
        let column_step = columns.min(layer.shape.strides()[1] as u64);
        let (strip_columns, strip_width) = if hw.ab_bits / (width * pixel_bits) >= rows {
            (q, width)
        } else {
            let fitting = hw.ab_bits / (rows * pixel_bits);
            if fitting < columns {
                return Err(SimError::Unsupported {
                    layer: layer.name.clone(),
                    accelerator: super::NAME,
                    what: format!(
                        "a window of {rows} x {columns} pixels of {pixel_bits} bits: the activation buffer holds {} bits",
                        hw.ab_bits
                    ),
                });
            }
            let strip = ((fitting - columns) / column_step + 1).min(q);
            (strip, (strip - 1) * column_step + columns)
        };
        let buffered_rows = hw.ab_bits / (strip_width * pixel_bits);
        let pass_rows = ((buffered_rows - rows) / row_step + 1).min(p);
        let loaded_rows = (p - 1) * row_step + rows;
        let mut walk = Walk { passes: Vec::new(), lines: 0, strips: q.div_ceil(strip_columns) };
        let mut add_strips = |columns_here: u64, strip_width: u64, strips: u64| {
            walk.lines += strips * (loaded_rows * strip_width * pixel_bits).div_ceil(hw.line_bits);
            for (rows, count) in [(pass_rows, p / pass_rows), (p % pass_rows, 1)] {
                if rows > 0 {
                    walk.passes.push(Pass { rows, columns: columns_here, count: strips * count });
                }
            }
        };
        add_strips(strip_columns, strip_width, q / strip_columns);
        let rest = q % strip_columns;
        if rest > 0 {
            add_strips(rest, (rest - 1) * column_step + columns, 1);
        }
        Ok(walk)
    }

    /// Number of passes.
    fn count(&self) -> u64 {
        self.passes.iter().map(|pass| pass.count).sum()
    }

    /// Lines from buffer to registers for one filter block, and the number of loads they come in. The window walks
    /// left to right, one down, right to left, so a step brings only new columns (or rows) of the kernel. Inputs that
    /// take more than one pass are loaded whole for each window.
    fn register_loads(&self, layer: &LayerWorkload, slices: u64, footprint: &Footprint) -> (u64, u64) {
        let passes = footprint.passes();
        let windows = (layer.shape.p() * layer.shape.q()) as u64;
        if passes > 1 {
            return (windows * footprint.total_leaves, windows * passes);
        }
        let fresh = |kernel: usize, axis: usize| {
            let (stride, dilation) = (layer.shape.strides()[axis], layer.shape.dilations()[axis]);
            if stride.is_multiple_of(dilation) { kernel.min(stride / dilation) as u64 } else { kernel as u64 }
        };
        let sideways = layer.shape.r() as u64 * fresh(layer.shape.s(), 1) * slices;
        let downward = fresh(layer.shape.r(), 0) * layer.shape.s() as u64 * slices;
        let lines = self.passes.iter().map(|pass| {
            let steps = pass.rows * (pass.columns - 1) * sideways + (pass.rows - 1) * downward;
            pass.count * (footprint.total_leaves + steps)
        });
        (lines.sum(), windows)
    }
}
