//! The row-stationary mapping of a layer: which rows lie where, what moves, and how long it takes.

use skimp_sim::LayerWorkload;

use super::config::Hardware;
use crate::models::cuts::{Cut, cut_of, cuts};
use crate::models::given::{GivenMapping, Matcher};

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

/// Names of the numbers of a mapping.
const NUMBERS: [&str; 12] = [
    "set_rows",
    "row_strips",
    "column_strips",
    "kernel_pieces",
    "filters_per_pe",
    "channels_per_pe",
    "channel_sets",
    "filter_sets",
    "group_sets",
    "filters_in_buffer",
    "images_in_pass",
    "passes",
];

/// Numbers that a mapping must have; the others are free. Where all are given hardly anything is left to search.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted([Option<u64>; 12]);

impl Wanted {
    /// The first `n` numbers of a given mapping; `None` if one of them is no number of a mapping.
    fn first(given: &GivenMapping, n: usize) -> Option<Self> {
        let mut wanted = Wanted::default();
        for (name, number) in &given.numbers()[..n] {
            let idx = NUMBERS.iter().position(|known| known == name)?;
            wanted.0[idx] = Some(*number);
        }
        Some(wanted)
    }

    fn of(&self, name: &'static str) -> Option<u64> {
        NUMBERS.iter().position(|known| *known == name).and_then(|idx| self.0[idx])
    }

    fn allows(&self, name: &'static str, number: u64) -> bool {
        self.of(name).is_none_or(|wanted| wanted == number)
    }

    /// All ways to cut `total`, or that whose share is the number `name`.
    fn cuts(&self, name: &'static str, total: u64, most: u64) -> impl Iterator<Item = Cut> {
        let given = self.of(name);
        let all = given.is_none().then(|| cuts(total, most));
        all.into_iter().flatten().chain(given.and_then(|share| cut_of(total, most, share)))
    }

    fn accepts(&self, mapping: &Mapping) -> bool {
        mapping.numbers().iter().zip(self.0).all(|(&(_, number), wanted)| wanted.is_none_or(|wanted| wanted == number))
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
        let numbers = [
            self.set_rows,
            self.row_strips,
            self.column_strips,
            self.kernel_pieces,
            self.filters_per_pe,
            self.channels_per_pe,
            self.channel_sets,
            self.filter_sets,
            self.group_sets,
            self.filters_in_buffer,
            self.images_in_pass,
            self.passes,
        ];
        std::array::from_fn(|idx| (NUMBERS[idx], numbers[idx]))
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
    fn all(x: &Extents, hw: &Hardware, wanted: &Wanted) -> Vec<Pieces> {
        let words = hw.ifmap_words.min(hw.filter_words);
        let mut found = Vec::new();
        for rows in cuts(x.r, hw.rows) {
            for columns in cuts(x.s, words) {
                if !wanted.allows("kernel_pieces", rows.parts * columns.parts) {
                    continue;
                }
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
    /// All of them that are as wanted, the fastest to compute first.
    fn all(x: &Extents, hw: &Hardware, wanted: &Wanted) -> Vec<Placement> {
        let mut found = Vec::new();
        for pieces in Pieces::all(x, hw, wanted) {
            let all_rows = wanted.cuts("set_rows", x.p, pieces.slots * hw.columns);
            for rows in all_rows.filter(|rows| wanted.allows("row_strips", rows.parts)) {
                let sets = match hw.columns / rows.share {
                    0 => pieces.slots / rows.share.div_ceil(hw.columns),
                    beside => pieces.slots * beside,
                };
                for channels in wanted.cuts("channel_sets", x.c, sets.min(hw.channels_in_pass)) {
                    for filters in wanted.cuts("filter_sets", x.k, sets / channels.share) {
                        let most_groups = sets / (channels.share * filters.share);
                        for groups in wanted.cuts("group_sets", x.groups, most_groups) {
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
pub(super) fn best_mapping(layer: &LayerWorkload, hw: &Hardware, coding: &Coding) -> Option<Mapping> {
    let wanted = Wanted::default();
    Best { hw, coding, wanted: &wanted, matcher: None, found: None }.run(&Extents::of(layer))
}

/// The best of the mappings that have the numbers of `given`, or why there is none.
///
/// Only these are looked at. Where there is none, mappings with fewer and fewer of the numbers are, until some fit: the next
/// number is the one that does not.
pub(super) fn given_mapping(
    layer: &LayerWorkload,
    hw: &Hardware,
    coding: &Coding,
    given: &GivenMapping,
) -> Result<Mapping, String> {
    let x = Extents::of(layer);
    let n_given = given.numbers().len();
    if let Some(wanted) = Wanted::first(given, n_given) {
        let found = Best { hw, coding, wanted: &wanted, matcher: None, found: None }.run(&x);
        if let Some(mapping) = found {
            return Ok(mapping);
        }
    }
    let mut matcher = Matcher::new(given);
    for wanted in (0..n_given).rev().filter_map(|n| Wanted::first(given, n)) {
        Best { hw, coding, wanted: &wanted, matcher: Some(&mut matcher), found: None }.run(&x);
        if matcher.met_any() {
            break;
        }
    }
    Err(matcher.reason())
}

/// The best mapping so far, with its rank.
struct Best<'s, 'g> {
    hw: &'s Hardware,
    coding: &'s Coding,
    wanted: &'s Wanted,
    /// Takes those mappings only that are its own.
    matcher: Option<&'s mut Matcher<'g>>,
    found: Option<((u64, u64), Mapping)>,
}

impl Best<'_, '_> {
    fn run(mut self, x: &Extents) -> Option<Mapping> {
        for placement in Placement::all(x, self.hw, self.wanted) {
            if placement.compute > self.least_cycles() {
                break;
            }
            self.search(x, &placement);
        }
        self.found.map(|(_, mapping)| mapping)
    }

    fn least_cycles(&self) -> u64 {
        self.found.map_or(u64::MAX, |((cycles, _), _)| cycles)
    }

    /// Every number of strips, images, channels and filters.
    fn search(&mut self, x: &Extents, placement: &Placement) {
        let (hw, wanted, pieces) = (self.hw, self.wanted, &placement.pieces);
        let rounds = placement.rows.parts * placement.groups.parts * pieces.count();
        let most_channels = pieces.most_channels.min(hw.channels_in_pass / placement.channels.share);
        let strips = halvings(x.q).map(|columns| x.q.div_ceil(columns));
        for column_strips in strips.filter(|&strips| wanted.allows("column_strips", strips)) {
            for images in halvings(x.n).filter(|&images| wanted.allows("images_in_pass", images)) {
                let walks = rounds.saturating_mul(column_strips * x.n.div_ceil(images));
                for q in wanted.cuts("channels_per_pe", placement.channels.parts, most_channels) {
                    let most_filters = hw.psum_words.min(hw.filter_words / (q.share * pieces.columns.share));
                    // What sums and passes take at least.
                    let psums = (x.n * x.outputs).saturating_mul(q.parts * pieces.count()) / hw.psum_rate;
                    let pass = pieces.rows.share + q.share * pieces.columns.share;
                    let least = placement.compute.max(psums);
                    let fill = |p: &Cut| walks.saturating_mul(q.parts * p.parts).saturating_mul(pass);
                    for p in wanted.cuts("filters_per_pe", placement.filters.parts, most_filters) {
                        if least.saturating_add(fill(&p)) > self.least_cycles() {
                            break;
                        }
                        let candidate = Candidate { placement, column_strips, images, q, p };
                        let Some(mapping) = candidate.evaluate(x, hw).filter(|found| wanted.accepts(found)) else {
                            continue;
                        };
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use skimp_sim::{LayerKind, LayerShape, ShapeSpec};

    use super::*;
    use crate::models::given::GivenMappings;

    /// What [`given_mapping`] must come to: of all mappings, those that have the numbers.
    fn enumerated(x: &Extents, hw: &Hardware, coding: &Coding, given: &GivenMapping) -> Result<Mapping, String> {
        let mut matcher = Matcher::new(given);
        let wanted = Wanted::default();
        let found = Best { hw, coding, wanted: &wanted, matcher: Some(&mut matcher), found: None }.run(x);
        found.ok_or_else(|| matcher.reason())
    }

    fn layers() -> impl Strategy<Value = LayerWorkload> {
        let extents = (1usize..4, 1usize..20, 1usize..20, 1usize..40, 1usize..30);
        (extents, 1usize..14, 1usize..4, 1usize..3, 1usize..4).prop_filter_map(
            "the kernel fits",
            |((groups, c, h, w, k), kernel, stride, dilation, n)| {
                let square = ShapeSpec::square(groups * c, h, w, groups * k, kernel);
                let spec = ShapeSpec { n, groups, strides: [stride, 1], dilations: [1, dilation], ..square };
                Some(LayerWorkload::of_shape("c", LayerKind::Conv, LayerShape::new(spec).ok()?))
            },
        )
    }

    fn hardware() -> impl Strategy<Value = Hardware> {
        let words = (2u64..300, 1u64..14, 1u64..26, 200u64..60_000);
        ((2u64..14, 2u64..15), words, prop_oneof![Just(u64::MAX), 1u64..9], any::<(bool, bool)>()).prop_map(
            |((rows, columns), (filter, ifmap, psum, buffer), channels_in_pass, (filter_prefetch, link_overlaps))| {
                Hardware {
                    rows,
                    columns,
                    filter_words: filter,
                    ifmap_words: ifmap,
                    psum_words: psum,
                    buffer_words: buffer,
                    channels_in_pass,
                    filter_prefetch,
                    filter_rate: 4,
                    ifmap_rate: 4,
                    psum_rate: 4,
                    link_bytes_per_cycle: 4.0,
                    link_overlaps,
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// Mappings of this hardware and of other hardware, whole or in part, in any order, some with a number that is wrong
        /// or with one that is none: the same mapping, or the same reason.
        #[test]
        fn a_given_mapping_is_the_one_that_enumeration_finds(
            layer in layers(), own in hardware(), other in hardware(), alike in any::<bool>(),
            kept in any::<u16>(), first in 0usize..12, wrong in 0usize..16, by in 1u64..3, coded in 1u64..200,
        ) {
            let x = Extents::of(&layer);
            let coding = Coding { ifmap: MapCoding::run_lengths(coded, 100), ofmap: MapCoding::RAW };
            let source = if alike { own } else { other };
            let Some(mapping) = best_mapping(&layer, &source, &coding) else { return Ok(()) };
            let mut numbers = mapping.numbers().to_vec();
            numbers.rotate_left(first);
            // Two of three are whole.
            if kept % 3 == 0 {
                let mut at = 0;
                numbers.retain(|_| { at += 1; kept >> at & 1 == 1 });
            }
            match numbers.get_mut(wrong) {
                Some((_, number)) if !alike || kept % 2 == 0 => *number += by,
                Some((name, _)) if kept % 7 == 0 => *name = "rows",
                _ => {}
            }
            let listed: Vec<String> = numbers.iter().map(|(name, number)| format!("{name}:{number}")).collect();
            let Ok(given) = GivenMappings::read(&[format!("c={}", listed.join(" "))]) else { return Ok(()) };
            let given = given.of(&layer).unwrap();
            let found = given_mapping(&layer, &own, &coding, given);
            prop_assert_eq!(&found, &enumerated(&x, &own, &coding, given));
            if alike && wrong >= numbers.len() {
                prop_assert!(found.is_ok());
            }
        }
    }
}
