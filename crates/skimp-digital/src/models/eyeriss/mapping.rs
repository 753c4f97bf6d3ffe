//! The row-stationary mapping of a layer: which rows lie where, what moves, and how long it takes.

use skimp_sim::LayerWorkload;

use super::config::Hardware;
use crate::models::cuts::{Cut, cuts};
use crate::models::given::Matcher;

/// Costs of a word that moves, relative to a multiply-accumulate, by which equally fast mappings are ranked: DRAM,
/// global buffer, array (Y.-H. Chen, J. Emer, V. Sze, ISCA 2016, as in the defaults of stanford-mast/nn_dataflow).
const RELATIVE: [u64; 3] = [200, 6, 2];

/// 16-bit words in a word of coded maps.
const WORDS_PER_CODED: u64 = 4;

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
            n: wide(layer.shape.n()),
            groups: wide(layer.shape.groups()),
            c: wide(layer.shape.channels_per_group()),
            k: wide(layer.shape.filters_per_group()),
            h: wide(layer.shape.h()),
            w: wide(layer.shape.w()),
            r: wide(layer.shape.r()),
            s: wide(layer.shape.s()),
            p: wide(layer.shape.p()),
            q: wide(layer.shape.q()),
            strides: layer.shape.strides().map(wide),
            dilations: layer.shape.dilations().map(wide),
            weights: wide(layer.shape.weight_count()),
            outputs: wide(layer.shape.output_count()),
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
    /// What a result says of it.
    pub(super) fn numbers(&self) -> [(&'static str, u64); 12] {
        [
            ("set_rows", self.set_rows),
            ("row_strips", self.row_strips),
            ("column_strips", self.column_strips),
            ("kernel_pieces", self.kernel_pieces),
            ("filters_per_pe", self.filters_per_pe),
            ("channels_per_pe", self.channels_per_pe),
            ("channel_sets", self.channel_sets),
            ("filter_sets", self.filter_sets),
            ("group_sets", self.group_sets),
            ("filters_in_buffer", self.filters_in_buffer),
            ("images_in_pass", self.images_in_pass),
            ("passes", self.passes),
        ]
    }

    pub(super) fn on_chip_cycles(&self) -> u64 {
        self.compute + self.fill + self.buffer_stall
    }

    pub(super) fn buffer(&self) -> u64 {
        self.buffer_ifmap + self.buffer_filter + self.buffer_psum
    }

    fn rank(&self, hw: &Hardware, coding: &Coding) -> (u64, u64) {
        let dram = self.dram_ifmap + self.dram_filter + self.dram_ofmap;
        let moved = RELATIVE[0] * dram + RELATIVE[1] * self.buffer() + RELATIVE[2] * self.array;
        (hw.runtime(self.on_chip_cycles(), coding.dram_words(self)), moved)
    }
}

/// Words that a map takes in off-chip memory, for each of its own: four of 16 bits in a word of coded maps.
#[derive(Clone, Copy, Debug)]
pub(super) struct MapCoding {
    coded_words: u64,
    raw_words: u64,
}

impl MapCoding {
    /// As it is.
    pub(super) const RAW: MapCoding = MapCoding { coded_words: 1, raw_words: 1 };

    /// A map of `raw` words that takes `coded` words of 64 bits.
    pub(super) fn run_lengths(coded: u64, raw: usize) -> Self {
        MapCoding { coded_words: coded * WORDS_PER_CODED, raw_words: raw as u64 }
    }

    /// What `words` of the map, read once or more, take.
    pub(super) fn words(self, words: u64) -> u64 {
        let coded = u128::from(words) * u128::from(self.coded_words);
        u64::try_from(coded.div_ceil(u128::from(self.raw_words))).unwrap_or(u64::MAX)
    }
}

/// How maps lie in off-chip memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coding {
    pub(super) ifmap: MapCoding,
    pub(super) ofmap: MapCoding,
}

impl Coding {
    /// Words of off-chip memory.
    pub(super) fn dram_words(&self, mapping: &Mapping) -> u64 {
        let maps = self.ifmap.words(mapping.dram_ifmap).saturating_add(self.ofmap.words(mapping.dram_ofmap));
        maps.saturating_add(mapping.dram_filter)
    }
}

/// The kernel, whole or in pieces.
#[derive(Clone, Copy, Debug)]
struct Pieces {
    rows: Cut,
    columns: Cut,
    /// Sets above each other in the array, and most channels in an element.
    slots: u64,
    most_channels: u64,
}

impl Pieces {
    /// A kernel that fits is whole. In pieces it lies as on an array or register file too small for it: one set above
    /// the other and one channel at a time.
    fn all(x: &Extents, hw: &Hardware) -> Vec<Pieces> {
        let words = hw.ifmap_words.min(hw.filter_words);
        let mut found = Vec::new();
        for rows in cuts(x.r, hw.rows) {
            for columns in cuts(x.s, words) {
                let slots = if rows.parts == 1 { hw.rows / rows.share } else { 1 };
                let most_channels = if columns.parts == 1 { words / columns.share } else { 1 };
                found.push(Pieces { rows, columns, slots, most_channels });
            }
        }
        found
    }

    fn count(&self) -> u64 {
        self.rows.parts * self.columns.parts
    }
}

/// What lies on the array at once.
#[derive(Clone, Copy, Debug)]
struct Placement {
    pieces: Pieces,
    /// Output rows, channels, filters and groups: rounds and how many at once.
    rows: Cut,
    channels: Cut,
    filters: Cut,
    groups: Cut,
    /// Cycles of multiplying.
    compute: u64,
}

impl Placement {
    /// All of them, the fastest to compute first.
    fn all(x: &Extents, hw: &Hardware) -> Vec<Placement> {
        let mut found = Vec::new();
        for pieces in Pieces::all(x, hw) {
            for rows in cuts(x.p, pieces.slots * hw.columns) {
                let sets = match hw.columns / rows.share {
                    0 => pieces.slots / rows.share.div_ceil(hw.columns),
                    beside => pieces.slots * beside,
                };
                for channels in cuts(x.c, sets.min(hw.channels_in_pass)) {
                    for filters in cuts(x.k, sets / channels.share) {
                        for groups in cuts(x.groups, sets / (channels.share * filters.share)) {
                            let rounds = [groups.parts, rows.parts, channels.parts, filters.parts];
                            let each = product(&[x.n, pieces.rows.parts, x.s, x.q]);
                            let compute = product(&rounds).and_then(|rounds| product(&[each?, rounds]));
                            let Some(compute) = compute else { continue };
                            found.push(Placement { pieces, rows, channels, filters, groups, compute });
                        }
                    }
                }
            }
        }
        found.sort_by_key(|placement| placement.compute);
        found
    }
}

/// The mapping that takes the least time with maps in off-chip memory coded as in `coding`, the one with the least data
/// movement among equals; `None` if even one output does not fit.
///
/// Every mapping of smaller hardware is one of larger hardware, and takes no longer there: more of anything never costs
/// time.
///
/// A `matcher` leaves it the mappings that are as the user wants them.
pub(super) fn best_mapping(
    layer: &LayerWorkload,
    hw: &Hardware,
    coding: &Coding,
    matcher: Option<&mut Matcher<'_>>,
) -> Option<Mapping> {
    let x = Extents::of(layer);
    let mut best = Best { hw, coding, matcher, found: None };
    for placement in Placement::all(&x, hw) {
        if placement.compute > best.least_cycles() {
            break;
        }
        best.search(&x, &placement);
    }
    best.found.map(|(_, mapping)| mapping)
}

/// The best mapping so far, with its rank.
struct Best<'s, 'g> {
    hw: &'s Hardware,
    coding: &'s Coding,
    matcher: Option<&'s mut Matcher<'g>>,
    found: Option<((u64, u64), Mapping)>,
}

impl Best<'_, '_> {
    fn least_cycles(&self) -> u64 {
        self.found.map_or(u64::MAX, |((cycles, _), _)| cycles)
    }

    /// Every number of strips, images, channels and filters.
    fn search(&mut self, x: &Extents, placement: &Placement) {
        let (hw, pieces) = (self.hw, &placement.pieces);
        let rounds = placement.rows.parts * placement.groups.parts * pieces.count();
        let most_channels = pieces.most_channels.min(hw.channels_in_pass / placement.channels.share);
        for column_strips in halvings(x.q).map(|columns| x.q.div_ceil(columns)) {
            for images in halvings(x.n) {
                let walks = rounds.saturating_mul(column_strips * x.n.div_ceil(images));
                for q in cuts(placement.channels.parts, most_channels) {
                    let most_filters = hw.psum_words.min(hw.filter_words / (q.share * pieces.columns.share));
                    // What sums and passes take at least.
                    let psums = (x.n * x.outputs).saturating_mul(q.parts * pieces.count()) / hw.psum_rate;
                    let pass = pieces.rows.share + q.share * pieces.columns.share;
                    let least = placement.compute.max(psums);
                    let fill = |p: &Cut| walks.saturating_mul(q.parts * p.parts).saturating_mul(pass);
                    for p in cuts(placement.filters.parts, most_filters) {
                        if least.saturating_add(fill(&p)) > self.least_cycles() {
                            break;
                        }
                        let candidate = Candidate { placement, column_strips, images, q, p };
                        let Some(mapping) = candidate.evaluate(x, hw) else { continue };
                        if self.matcher.as_mut().is_some_and(|matcher| !matcher.accepts(&mapping.numbers())) {
                            continue;
                        }
                        let rank = mapping.rank(hw, self.coding);
                        if self.found.as_ref().is_none_or(|(least, _)| rank < *least) {
                            self.found = Some((rank, mapping));
                        }
                    }
                }
            }
        }
    }
}

/// `extent`, half of it, a quarter, .. 1, rounded up.
fn halvings(extent: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(extent), |&last| (last > 1).then(|| last.div_ceil(2)))
}

/// A choice that is complete.
#[derive(Clone, Copy, Debug)]
struct Candidate<'p> {
    placement: &'p Placement,
    column_strips: u64,
    images: u64,
    /// Channels and filters of an element, out of those that its place in the array leaves to it.
    q: Cut,
    p: Cut,
}

impl Candidate<'_> {
    /// `None` if it does not fit.
    fn evaluate(&self, x: &Extents, hw: &Hardware) -> Option<Mapping> {
        let Placement { pieces, rows, channels, filters, groups, compute } = *self.placement;
        let (r, t, g, n) = (channels.share, filters.share, groups.share, self.images);
        let (q, p) = (self.q.share, self.p.share);
        let (channel_rounds, filter_rounds) = (self.q.parts, self.p.parts);
        let (piece_r, piece_s) = (pieces.rows.share, pieces.columns.share);
        let n_pieces = pieces.count();
        let strip_columns = x.q.div_ceil(self.column_strips);
        let kept_rows = x.input_rows(rows.share, x.r);
        let kept_columns = x.input_columns(strip_columns, x.s);
        let free = hw.buffer_words.checked_sub(n * g * q * r * kept_rows * kept_columns)?;
        let psums_of_filter = n * g * rows.share * strip_columns;
        let filter = g * q * r * piece_r * piece_s;
        if p * t * (psums_of_filter + filter) > free {
            return None;
        }
        let rounds_in_buffer = ((free - p * t * filter) / (psums_of_filter * p * t)).clamp(1, filter_rounds);
        let batches = x.n.div_ceil(n);
        let walks = batches * rows.parts * self.column_strips;
        let passes = product(&[walks, groups.parts, n_pieces, channel_rounds, filter_rounds])?;

        // Filters stay where they are if one pass holds them all.
        let stationary = n_pieces * channel_rounds * filter_rounds * groups.parts == 1;
        let buffer_filter = product(&[x.weights, if stationary { 1 } else { walks }])?;
        let all_channels = x.n * x.groups * x.c;
        let piece_rows = rows.parts * pieces.rows.parts * x.input_rows(rows.share, piece_r);
        let piece_columns = self.column_strips * pieces.columns.parts * x.input_columns(strip_columns, piece_s);
        let buffer_ifmap = product(&[all_channels, piece_rows, piece_columns, filter_rounds])?;
        let load = Load { words: buffer_filter, passes, kept: p * q * piece_s, compute };
        let outputs = x.n * x.outputs;
        let psums = product(&[outputs, channel_rounds * n_pieces])?;
        let busiest = buffer_ifmap.div_ceil(hw.ifmap_rate).max(psums.div_ceil(hw.psum_rate));
        let array_ifmap = product(&[all_channels, x.p, x.r, x.k.div_ceil(p), piece_columns])?;
        let array_filter = product(&[x.weights, x.p, if stationary { 1 } else { batches * self.column_strips }])?;
        let array_psum = product(&[psums, piece_r * r + 1])?;
        let walked = product(&[rows.parts, kept_rows, self.column_strips, kept_columns])?;
        let dram_ifmap = product(&[all_channels, walked, filter_rounds.div_ceil(rounds_in_buffer)])?;
        Some(Mapping {
            set_rows: rows.share,
            row_strips: rows.parts,
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
            fill: load.exposed_cycles(hw) + product(&[passes, piece_r + q * piece_s])?,
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
        let all = self.words.div_ceil(hw.filter_rate);
        if !hw.filter_prefetch {
            return all;
        }
        let free = (hw.filter_words - self.kept).min(self.kept);
        let later = u128::from(self.words - self.words.div_ceil(self.passes));
        // No more than all words, so it fits.
        let early = (later * u128::from(free) / u128::from(self.kept)) as u64;
        (self.words - early).div_ceil(hw.filter_rate).max(all.saturating_sub(self.compute))
    }
}
