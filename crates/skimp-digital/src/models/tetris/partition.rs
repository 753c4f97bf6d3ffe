//! How a layer is split over a mesh of vaults, and how far its words travel.
//!
//! Images, output tiles (rows and columns) and output channels are split; a combination of them is a hybrid. Filters
//! are copied to every vault that needs them. Channels of ofmaps are ifmap channels of the next layer, so the layout of
//! one layer's ofmaps is where the next one finds its ifmaps.
//!
//! # Source
//! M. Gao et al., "TETRIS", ASPLOS 2017, hybrid partitioning; open model stanford-mast/nn_dataflow (version 2.1).
//! Differs: input channels are not split (the open model leaves that off too), and tiles never overlap the padding.

use std::ops::Range;

use skimp_sim::LayerWorkload;

/// A split of a layer over a mesh, as (rows, columns) of the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Partition {
    /// Parts of the batch.
    pub batch: [u64; 2],
    /// Tiles of the output map.
    pub fmap: [u64; 2],
    /// Parts of the output channels, or of the groups.
    pub output: [u64; 2],
    /// Whether parts of output channels lie further apart than tiles.
    pub output_outside: bool,
}

impl Partition {
    /// Nothing is split.
    pub const WHOLE: Partition = Partition { batch: [1, 1], fmap: [1, 1], output: [1, 1], output_outside: false };

    /// Parts of the batch.
    #[must_use]
    pub fn batch_parts(&self) -> u64 {
        self.batch[0] * self.batch[1]
    }

    /// Tiles.
    #[must_use]
    pub fn tiles(&self) -> u64 {
        self.fmap[0] * self.fmap[1]
    }

    /// Parts of the output channels.
    #[must_use]
    pub fn output_parts(&self) -> u64 {
        self.output[0] * self.output[1]
    }

    /// Vaults at work.
    #[must_use]
    pub fn vaults(&self) -> u64 {
        self.batch_parts() * self.tiles() * self.output_parts()
    }

    /// Index of batch part, tile row, tile column and output part of each vault at work, with its place.
    fn places(&self) -> impl Iterator<Item = ([u64; 2], [u64; 4])> + '_ {
        let extent = |axis: usize| self.batch[axis] * self.fmap[axis] * self.output[axis];
        let digits = |axis: usize, place: u64| {
            let (fmap, output) = (self.fmap[axis], self.output[axis]);
            let (tile, part) = if self.output_outside {
                (place % fmap, place / fmap % output)
            } else {
                (place / output % fmap, place % output)
            };
            (place / (fmap * output), tile, part)
        };
        (0..extent(0)).flat_map(move |y| {
            (0..extent(1)).map(move |x| {
                let (rows, columns) = (digits(0, y), digits(1, x));
                let batch = rows.0 * self.batch[1] + columns.0;
                let output = rows.2 * self.output[1] + columns.2;
                ([y, x], [batch, rows.1, columns.1, output])
            })
        })
    }
}

/// The `index`-th of `parts` nearly equal parts.
pub(super) fn share(total: u64, parts: u64, index: u64) -> Range<u64> {
    index * total / parts..(index + 1) * total / parts
}

/// Which splits are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionRule {
    /// All of them.
    Hybrid,
    /// Tiles for convolutions, output channels for dense layers and 1 x 1 outputs.
    Naive,
}

impl PartitionRule {
    /// All rules with their names in settings.
    pub const ALL: [(&'static str, PartitionRule); 2] =
        [("hybrid", PartitionRule::Hybrid), ("naive", PartitionRule::Naive)];
}

/// Splits that keep all vaults of `mesh` busy; if there are none, those that keep the most busy.
#[must_use]
pub fn partitions(layer: &LayerWorkload, images: u64, mesh: [u64; 2], rule: PartitionRule) -> Vec<Partition> {
    let mut found = Vec::new();
    let mut most = 0;
    let axis_splits = mesh.map(splits);
    for rows in &axis_splits[0] {
        for columns in &axis_splits[1] {
            for output_outside in [false, true] {
                let [batch, fmap, output] = [0, 1, 2].map(|kind| [rows[kind], columns[kind]]);
                let mixed = (0..2).any(|axis| fmap[axis] > 1 && output[axis] > 1);
                let partition = Partition { batch, fmap, output, output_outside };
                if (output_outside && !mixed) || partition.vaults() < most || !fits(&partition, layer, images, rule) {
                    continue;
                }
                if partition.vaults() > most {
                    most = partition.vaults();
                    found.clear();
                }
                found.push(partition);
            }
        }
    }
    found
}

/// Three factors whose product divides `extent`.
fn splits(extent: u64) -> Vec<[u64; 3]> {
    let mut found = Vec::new();
    for a in 1..=extent {
        for b in 1..=extent / a {
            for c in 1..=extent / (a * b) {
                if extent.is_multiple_of(a * b * c) {
                    found.push([a, b, c]);
                }
            }
        }
    }
    // Fuller meshes first, so that the others are dismissed by their size alone.
    found.sort_by_key(|factors| std::cmp::Reverse(factors.iter().product::<u64>()));
    found
}

fn fits(partition: &Partition, layer: &LayerWorkload, images: u64, rule: PartitionRule) -> bool {
    let point = layer.shape.p() == 1 && layer.shape.q() == 1;
    let allowed = match rule {
        PartitionRule::Hybrid => true,
        PartitionRule::Naive if point => partition.batch_parts() * partition.tiles() == 1,
        PartitionRule::Naive => partition.batch_parts() * partition.output_parts() == 1,
    };
    let outputs = partition.output_parts();
    let channels = if layer.shape.groups() == 1 {
        layer.shape.k() as u64 >= outputs
    } else {
        (layer.shape.groups() as u64) >= outputs
    };
    allowed
        && channels
        && images.is_multiple_of(partition.batch_parts())
        && layer.shape.p() as u64 >= partition.fmap[0]
        && layer.shape.q() as u64 >= partition.fmap[1]
}

/// Where memory is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Channels at the left and right edge of the mesh.
    Planar,
    /// A vault on each node.
    Stacked,
}

impl Memory {
    /// All kinds with their names in settings.
    pub const ALL: [(&'static str, Memory); 2] = [("2d", Memory::Planar), ("3d", Memory::Stacked)];

    /// The node whose memory serves `place`.
    fn home(self, place: [u64; 2], mesh: [u64; 2]) -> [u64; 2] {
        match self {
            Memory::Stacked => place,
            Memory::Planar if 2 * place[1] < mesh[1] => [place[0], 0],
            Memory::Planar => [place[0], mesh[1] - 1],
        }
    }
}

fn distance(a: [u64; 2], b: [u64; 2]) -> u64 {
    a[0].abs_diff(b[0]) + a[1].abs_diff(b[1])
}

fn overlap(a: &Range<u64>, b: &Range<u64>) -> u64 {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

/// Words times hops when filters, ifmaps and ofmaps are moved once, with the ifmaps laid out as `layout`.
#[must_use]
pub fn hop_words(
    layer: &LayerWorkload,
    images: u64,
    partition: &Partition,
    layout: &Partition,
    memory: Memory,
    mesh: [u64; 2],
) -> [u128; 3] {
    let [c, k, h, w] = [layer.shape.c(), layer.shape.k(), layer.shape.h(), layer.shape.w()].map(|extent| extent as u64);
    let (p, q, groups) = (layer.shape.p() as u64, layer.shape.q() as u64, layer.shape.groups() as u64);
    let stored: Vec<_> = layout
        .places()
        .map(|(place, [batch, row, column, part])| {
            let ranges = [
                share(images, layout.batch_parts(), batch),
                share(h, layout.fmap[0], row),
                share(w, layout.fmap[1], column),
                share(c, layout.output_parts(), part),
            ];
            (memory.home(place, mesh), ranges)
        })
        .collect();
    let mut hops = [0u128; 3];
    for (place, [batch, row, column, part]) in partition.places() {
        let outputs = partition.output_parts();
        let (filters, channels) = if groups == 1 {
            (share(k, outputs, part), 0..c)
        } else {
            let mine = share(groups, outputs, part);
            (mine.start * (k / groups)..mine.end * (k / groups), mine.start * (c / groups)..mine.end * (c / groups))
        };
        let rows = share(p, partition.fmap[0], row);
        let columns = share(q, partition.fmap[1], column);
        let my_images = share(images, partition.batch_parts(), batch);
        let home_hops = u128::from(distance(place, memory.home(place, mesh)));
        if home_hops > 0 {
            let size = |range: &Range<u64>| u128::from(range.end - range.start);
            hops[0] += home_hops * size(&filters) * layer.shape.inputs_per_output() as u128;
            hops[2] += home_hops * size(&filters) * size(&rows) * size(&columns) * size(&my_images);
        }
        let rows = inputs_of(&rows, layer, 0);
        let columns = inputs_of(&columns, layer, 1);
        for (home, [b, y, x, ch]) in &stored {
            let hop = u128::from(distance(place, *home));
            if hop > 0 {
                let area = u128::from(overlap(y, &rows)) * u128::from(overlap(x, &columns));
                hops[1] += hop * area * u128::from(overlap(b, &my_images)) * u128::from(overlap(ch, &channels));
            }
        }
    }
    hops
}

/// Input positions, without padding, that outputs `range` need along an axis.
fn inputs_of(range: &Range<u64>, layer: &LayerWorkload, axis: usize) -> Range<u64> {
    let window = layer.shape.axes()[axis];
    let [extent, kernel, stride, dilation, pad] =
        [window.input, window.kernel, window.stride, window.dilation, window.pad_begin].map(|extent| extent as u64);
    let start = (range.start * stride).saturating_sub(pad);
    let end = ((range.end.max(1) - 1) * stride + (kernel - 1) * dilation + 1).saturating_sub(pad);
    start.min(extent)..end.min(extent)
}
