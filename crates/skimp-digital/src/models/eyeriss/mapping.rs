//! The row-stationary mapping of a layer: which rows lie where, what moves, and how long it takes.

use skimp_sim::LayerWorkload;

use super::config::Hardware;

/// Costs of a word that moves, relative to a multiply-accumulate, by which equally fast mappings are ranked: DRAM,
/// global buffer, array (Y.-H. Chen, J. Emer, V. Sze, ISCA 2016, as in the defaults of stanford-mast/nn_dataflow).
const RELATIVE: [u64; 3] = [200, 6, 2];

/// Greatest count: leaves room for sums and relative costs.
const MAX_COUNT: u64 = 1 << 52;

/// The product, unless it exceeds [`MAX_COUNT`].
fn product(factors: &[u64]) -> Option<u64> {
    let product = factors.iter().try_fold(1u64, |product, &factor| product.checked_mul(factor))?;
    (product <= MAX_COUNT).then_some(product)
}

/// A layer's extents, wide enough for products.
#[derive(Clone, Copy, Debug)]
struct Extents {
    n: u64,
    groups: u64,
    /// Channels and filters of one group.
    c: u64,
    k: u64,
    h: u64,
    w: u64,
    r: u64,
    s: u64,
    p: u64,
    q: u64,
    strides: [u64; 2],
    dilations: [u64; 2],
    weights: u64,
    outputs: u64,
}

impl Extents {
    fn of(layer: &LayerWorkload) -> Self {
        let wide = |extent: usize| extent as u64;
        Extents {
            n: wide(layer.n),
            groups: wide(layer.groups),
            c: wide(layer.channels_per_group()),
            k: wide(layer.filters_per_group()),
            h: wide(layer.h),
            w: wide(layer.w),
            r: wide(layer.r),
            s: wide(layer.s),
            p: wide(layer.p),
            q: wide(layer.q),
            strides: layer.strides.map(wide),
            dilations: layer.dilations.map(wide),
            weights: wide(layer.weight_count()),
            outputs: wide(layer.output_count()),
        }
    }

    /// Input rows under `outputs` output rows and `taps` kernel rows.
    fn input_rows(&self, outputs: u64, taps: u64) -> u64 {
        ((outputs - 1) * self.strides[0] + (taps - 1) * self.dilations[0] + 1).min(self.h)
    }

    fn input_columns(&self, outputs: u64, taps: u64) -> u64 {
        ((outputs - 1) * self.strides[1] + (taps - 1) * self.dilations[1] + 1).min(self.w)
    }
}

/// A mapping with what follows from it. Letters as in the papers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mapping {
    /// Output rows side by side in a set (`e`), and strips of that many rows.
    pub(super) set_rows: u64,
    pub(super) row_strips: u64,
    pub(super) column_strips: u64,
    /// Pieces of the kernel, where it exceeds the array's rows or a register file.
    pub(super) kernel_pieces: u64,
    /// Filters (`p`) and channels (`q`) that a processing element interleaves.
    pub(super) filters_per_pe: u64,
    pub(super) channels_per_pe: u64,
    /// Sets of different channels (`r`), filters (`t`) and groups on the array.
    pub(super) channel_sets: u64,
    pub(super) filter_sets: u64,
    pub(super) group_sets: u64,
    /// Filters (`m`) whose partial sums lie in the buffer, and images (`n`) of a pass.
    pub(super) filters_in_buffer: u64,
    pub(super) images_in_pass: u64,
    pub(super) passes: u64,

    /// Cycles of multiplying, of filling the register files and draining, and of waiting for the buffer's networks.
    pub(super) compute: u64,
    pub(super) fill: u64,
    pub(super) buffer_stall: u64,

    /// Words between buffer and array.
    pub(super) buffer_ifmap: u64,
    pub(super) buffer_filter: u64,
    pub(super) buffer_psum: u64,
    /// Words into and between processing elements.
    pub(super) array: u64,
    /// Words of off-chip memory, uncompressed.
    pub(super) dram_ifmap: u64,
    pub(super) dram_filter: u64,
    pub(super) dram_ofmap: u64,
}

impl Mapping {
    pub(super) fn on_chip_cycles(&self) -> u64 {
        self.compute + self.fill + self.buffer_stall
    }

    pub(super) fn buffer(&self) -> u64 {
        self.buffer_ifmap + self.buffer_filter + self.buffer_psum
    }

    fn rank(&self, hw: &Hardware) -> (u64, u64) {
        let dram = self.dram_ifmap + self.dram_filter + self.dram_ofmap;
        let moved = RELATIVE[0] * dram + RELATIVE[1] * self.buffer() + RELATIVE[2] * self.array;
        (self.on_chip_cycles().max(hw.link_cycles(dram)), moved)
    }
}

/// Pieces of the kernel and the largest of them.
#[derive(Clone, Copy, Debug)]
struct Pieces {
    rows: u64,
    columns: u64,
    r: u64,
    s: u64,
}

/// The fastest mapping, the one with the least data movement among equals; `None` if even one output does not fit.
pub(super) fn best_mapping(layer: &LayerWorkload, hw: &Hardware) -> Option<Mapping> {
    let x = Extents::of(layer);
    let (rows, columns) = (x.r.div_ceil(hw.rows), x.s.div_ceil(hw.ifmap_words.min(hw.filter_words)));
    let pieces = Pieces { rows, columns, r: x.r.div_ceil(rows), s: x.s.div_ceil(columns) };
    let mut column_strips = 1;
    loop {
        let best = best_of_strips(&x, pieces, column_strips, hw);
        if best.is_some() || column_strips >= x.q {
            return best;
        }
        column_strips = (2 * column_strips).min(x.q);
    }
}

fn best_of_strips(x: &Extents, pieces: Pieces, column_strips: u64, hw: &Hardware) -> Option<Mapping> {
    let slots = hw.rows / pieces.r;
    let channels_per_pe = x.c.min(hw.ifmap_words.min(hw.filter_words) / pieces.s);
    let mut best: Option<((u64, u64), Mapping)> = None;
    let mut set_rows = x.p.min(slots * hw.columns);
    loop {
        let row_strips = x.p.div_ceil(set_rows);
        set_rows = x.p.div_ceil(row_strips);
        let sets = match hw.columns / set_rows {
            0 => slots / set_rows.div_ceil(hw.columns),
            beside => slots * beside,
        };
        for channel_sets in 1..=sets.min(x.c.div_ceil(channels_per_pe)).min(hw.channels_in_pass) {
            let channels_per_pe = channels_per_pe.min(hw.channels_in_pass / channel_sets);
            let filter_sets = (sets / channel_sets).min(x.k);
            let group_sets = (sets / (channel_sets * filter_sets)).min(x.groups);
            let mut images = x.n;
            loop {
                let candidate = Candidate {
                    set_rows,
                    row_strips,
                    column_strips,
                    channels_per_pe,
                    channel_sets,
                    filter_sets,
                    group_sets,
                    images,
                };
                // All filters that fit; with prefetching also fewer, which leave room for the next ones.
                let mut most_filters = hw.filter_words;
                while let Some(mapping) = candidate.evaluate(x, pieces, hw, most_filters) {
                    let rank = mapping.rank(hw);
                    if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                        best = Some((rank, mapping));
                    }
                    if !hw.filter_prefetch {
                        break;
                    }
                    most_filters = mapping.filters_per_pe - 1;
                }
                if images == 1 {
                    break;
                }
                images = images.div_ceil(2);
            }
        }
        // The next smaller extent that makes one more strip.
        match x.p.div_ceil(row_strips + 1) {
            smaller if smaller < set_rows => set_rows = smaller,
            _ if set_rows > 1 => set_rows -= 1,
            _ => return best.map(|(_, mapping)| mapping),
        }
    }
}

/// A choice before the filters are dealt to passes.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    set_rows: u64,
    row_strips: u64,
    column_strips: u64,
    channels_per_pe: u64,
    channel_sets: u64,
    filter_sets: u64,
    group_sets: u64,
    images: u64,
}

impl Candidate {
    /// With at most `most_filters` in a processing element; `None` if none fits.
    fn evaluate(&self, x: &Extents, pieces: Pieces, hw: &Hardware, most_filters: u64) -> Option<Mapping> {
        let (r, t, g, n) = (self.channel_sets, self.filter_sets, self.group_sets, self.images);
        let n_pieces = pieces.rows * pieces.columns;
        let channel_rounds = x.c.div_ceil(self.channels_per_pe * r);
        let q = x.c.div_ceil(channel_rounds * r);
        let strip_columns = x.q.div_ceil(self.column_strips);
        let kept_rows = x.input_rows(self.set_rows, x.r);
        let kept_columns = x.input_columns(strip_columns, x.s);
        let free = hw.buffer_words.checked_sub(n * g * q * r * kept_rows * kept_columns)?;
        let psums_of_filter = n * g * self.set_rows * strip_columns;
        let filter = g * q * r * pieces.r * pieces.s;
        let fitting = free / (t * (psums_of_filter + filter));
        let most = hw.psum_words.min(hw.filter_words / (q * pieces.s)).min(fitting).min(x.k).min(most_filters);
        if most == 0 {
            return None;
        }
        let filter_rounds = x.k.div_ceil(most * t);
        let p = x.k.div_ceil(filter_rounds * t);
        let rounds_in_buffer = ((free - p * t * filter) / (psums_of_filter * p * t)).clamp(1, filter_rounds);
        let group_rounds = x.groups.div_ceil(g);
        let batches = x.n.div_ceil(n);
        let walks = batches * self.row_strips * self.column_strips;
        let passes = walks * group_rounds * n_pieces * channel_rounds * filter_rounds;

        // The last round of channels and filters may leave sets with less to do.
        let all_channels = (channel_rounds - 1) * q + (x.c - (channel_rounds - 1) * q * r).div_ceil(r);
        let all_filters = (filter_rounds - 1) * p + (x.k - (filter_rounds - 1) * p * t).div_ceil(t);
        let compute = product(&[x.n, group_rounds, self.row_strips, pieces.rows, x.s, x.q, all_channels, all_filters])?;

        // Filters stay where they are if one pass holds them all.
        let stationary = n_pieces * channel_rounds * filter_rounds * group_rounds == 1;
        let buffer_filter = product(&[x.weights, if stationary { 1 } else { walks }])?;
        let channels = x.n * x.groups * x.c;
        let piece_rows = self.row_strips * pieces.rows * x.input_rows(self.set_rows, pieces.r);
        let piece_columns = self.column_strips * pieces.columns * x.input_columns(strip_columns, pieces.s);
        let buffer_ifmap = product(&[channels, piece_rows, piece_columns, filter_rounds])?;
        let rounds = channel_rounds * n_pieces;
        let load = Load { words: buffer_filter, passes, kept: p * q * pieces.s, compute };
        let outputs = x.n * x.outputs;
        let psums = product(&[outputs, rounds])?;
        let busiest = buffer_ifmap.div_ceil(hw.ifmap_rate).max(psums.div_ceil(hw.psum_rate));
        let array_ifmap = product(&[channels, x.p, x.r, x.k.div_ceil(p), piece_columns])?;
        let array_filter = product(&[x.weights, x.p, if stationary { 1 } else { batches * self.column_strips }])?;
        let array_psum = product(&[psums, pieces.r * r + 1])?;
        let walked = [self.row_strips, kept_rows, self.column_strips, kept_columns].iter().product();
        let dram_ifmap = product(&[channels, walked, filter_rounds.div_ceil(rounds_in_buffer)])?;
        Some(Mapping {
            set_rows: self.set_rows,
            row_strips: self.row_strips,
            column_strips: self.column_strips,
            kernel_pieces: n_pieces,
            filters_per_pe: p,
            channels_per_pe: q,
            channel_sets: r,
            filter_sets: t,
            group_sets: g,
            filters_in_buffer: (rounds_in_buffer * p * t).min(x.k),
            images_in_pass: n,
            passes,
            compute,
            fill: load.exposed_cycles(hw) + passes * (pieces.r + q * pieces.s),
            buffer_stall: busiest.saturating_sub(compute),
            buffer_ifmap,
            buffer_filter,
            // Written in every round, read in all but the first, and read once more on the way out.
            buffer_psum: 2 * psums,
            array: array_ifmap + array_filter + array_psum,
            dram_ifmap,
            dram_filter: buffer_filter,
            dram_ofmap: outputs,
        })
    }
}

/// The loading of filters into the register files, over all passes.
#[derive(Clone, Copy, Debug)]
struct Load {
    words: u64,
    passes: u64,
    /// Words of a pass in one register file.
    kept: u64,
    compute: u64,
}

impl Load {
    /// Cycles in which the array waits. With prefetching, what fits beside the words in use is loaded during the pass
    /// before; the first pass waits for all of its filters.
    fn exposed_cycles(&self, hw: &Hardware) -> u64 {
        let cycles = self.words.div_ceil(hw.filter_rate);
        if !hw.filter_prefetch {
            return cycles;
        }
        let free = (hw.filter_words - self.kept).min(self.kept);
        let later = u128::from(self.words - self.words.div_ceil(self.passes));
        let early = later * u128::from(free) / u128::from(self.kept * hw.filter_rate);
        cycles - u64::try_from(early).map_or(self.compute, |early| early.min(self.compute))
    }
}
