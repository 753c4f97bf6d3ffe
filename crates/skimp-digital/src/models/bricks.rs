//! What DaDianNao and the designs built on its node share: bricks, bundles of groups, passes over filters.

use std::ops::Range;

use serde::Deserialize;
use skimp_sim::{LayerWorkload, Operation, OperationCount, SimError, Statistic};
use toml::Table;

use super::config::{extents, read};

/// Width of stored activations and weights.
pub(super) const VALUE_BITS: u64 = 16;

pub(super) static COMPUTE: Statistic =
    Statistic::new("compute", "cycles", "Cycles in which a brick is broadcast to all tiles.").working();
pub(super) static BRICK_READS: Statistic =
    Statistic::new("brick_reads", "bricks", "Bricks of activations read and broadcast.");
pub(super) static WEIGHT_READS: Statistic =
    Statistic::new("weight_reads", "weights", "Weight positions read from the tiles' eDRAM.");

/// The multipliers of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Filters in flight.
    pub(super) filters: u64,
    /// Filters of one tile, which share a weight memory.
    pub(super) tile_filters: u64,
    /// Activations of one brick.
    pub(super) brick: usize,
}

/// Groups that share bricks and run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bundle {
    /// Input channels.
    pub(super) channels: Range<usize>,
    /// Bricks of those channels at one position.
    pub(super) bricks: usize,
    /// Passes over the filters.
    pub(super) passes: u64,
}

impl Node {
    /// The node that the settings of a quick rule ask for, and the rule's other settings.
    pub(super) fn of_settings(mut settings: Table) -> Result<(Node, Table), SimError> {
        #[derive(Deserialize)]
        struct Extents {
            tiles: u32,
            filters_per_tile: u32,
            inputs_per_brick: u32,
        }
        let mut own = Table::new();
        for key in ["tiles", "filters_per_tile", "inputs_per_brick"] {
            own.extend(settings.remove_entry(key));
        }
        let Extents { tiles, filters_per_tile, inputs_per_brick } = read(own)?;
        Ok((Node::new(tiles, filters_per_tile, inputs_per_brick)?, settings))
    }

    /// Checks the extents of a configuration.
    pub(super) fn new(tiles: u32, filters_per_tile: u32, inputs_per_brick: u32) -> Result<Node, SimError> {
        extents(&[("tiles", tiles), ("filters_per_tile", filters_per_tile), ("inputs_per_brick", inputs_per_brick)])?;
        let tile_filters = u64::from(filters_per_tile);
        Ok(Node { filters: u64::from(tiles) * tile_filters, tile_filters, brick: inputs_per_brick as usize })
    }

    /// Multiplications per cycle.
    pub(super) fn multipliers(&self) -> u64 {
        self.filters * self.brick as u64
    }

    /// Tiles.
    pub(super) fn tiles(&self) -> u64 {
        self.filters / self.tile_filters.max(1)
    }

    /// Width of a brick of activations.
    pub(super) fn brick_bits(&self) -> u64 {
        self.brick as u64 * VALUE_BITS
    }

    /// Width of what a tile reads of its weights in a cycle: a brick of each of its filters.
    pub(super) fn weight_line_bits(&self) -> u64 {
        self.tile_filters * self.brick_bits()
    }

    /// Bricks that hold so many values.
    pub(super) fn bricks_of(&self, values: u64) -> u64 {
        values.div_ceil(self.brick as u64)
    }

    /// How groups share bricks: groups of fewer channels than a brick are bundled, `floor(brick / channels)` of them
    /// into one, with zero weights where a filter does not reach; the last bundle takes the rest.
    pub(super) fn bundles(&self, layer: &LayerWorkload) -> impl Iterator<Item = Bundle> {
        let (channels, filters, groups) =
            (layer.shape.channels_per_group(), layer.shape.filters_per_group(), layer.shape.groups());
        let (brick, lanes) = (self.brick, self.filters);
        let width = (brick / channels).clamp(1, groups);
        (0..groups).step_by(width).map(move |first| {
            let here = width.min(groups - first);
            Bundle {
                channels: first * channels..(first + here) * channels,
                bricks: (here * channels).div_ceil(brick),
                passes: ((here * filters) as u64).div_ceil(lanes),
            }
        })
    }

    /// Brick steps of one window, over all bundles and passes, without the kernel taps.
    pub(super) fn bricks_per_tap(&self, layer: &LayerWorkload) -> u64 {
        let (channels, filters) = (layer.shape.channels_per_group(), layer.shape.filters_per_group());
        let width = (self.brick / channels).clamp(1, layer.shape.groups());
        let of_bundle = |groups: usize| {
            (groups * channels).div_ceil(self.brick) as u64 * ((groups * filters) as u64).div_ceil(self.filters)
        };
        let rest = layer.shape.groups() % width;
        (layer.shape.groups() / width) as u64 * of_bundle(width) + if rest > 0 { of_bundle(rest) } else { 0 }
    }

    /// Cycles of one image when nothing is skipped.
    pub(super) fn dense_cycles(&self, layer: &LayerWorkload) -> u64 {
        (layer.shape.p() * layer.shape.q() * layer.shape.r() * layer.shape.s()) as u64 * self.bricks_per_tap(layer)
    }
}

/// Capacity as which the memories of activations and weights are priced: large ones, their banks and sizes aside (assumed).
pub(super) const MEMORY_BYTES: u64 = 1 << 20;

/// Accesses of a memory: how many, and how wide.
pub(super) type Accesses = (u64, u64);

/// What a run on a node of DaDianNao's organization takes, ready to be priced by a generic table.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeWork {
    /// Accesses of the central activation memory.
    pub(super) activations: Accesses,
    /// Accesses of the tiles' weight memories.
    pub(super) weights: Accesses,
    /// Operations of the array.
    pub(super) arithmetic: (Operation, u64),
    /// Sums of the adder trees that an accumulator takes up.
    pub(super) accumulations: u64,
    /// Bits to and from off-chip memory.
    pub(super) off_chip_bits: u64,
}

impl NodeWork {
    /// Dense work: whole bricks, every weight slot, every multiplication of the layer, outputs written once.
    pub(super) fn dense(node: &Node, layer: &LayerWorkload, cycles: u64, macs: u64) -> NodeWork {
        NodeWork {
            activations: (cycles + node.bricks_of(outputs(layer)), node.brick_bits()),
            weights: (cycles * node.tiles(), node.weight_line_bits()),
            arithmetic: (Operation::MultiplyAdd { bits: VALUE_BITS as u32 }, macs),
            accumulations: cycles * node.filters,
            off_chip_bits: layer.compulsory_bits(),
        }
    }

    /// One entry for each component.
    pub(super) fn operations(self) -> Vec<OperationCount> {
        let memory = |component, (count, bits): Accesses| {
            OperationCount::on_chip(component, MEMORY_BYTES, u32::try_from(bits).unwrap_or(u32::MAX), count)
        };
        vec![
            memory("neuron_memory", self.activations),
            memory("synapse_memory", self.weights),
            OperationCount::new("multipliers", self.arithmetic.0, self.arithmetic.1),
            OperationCount::accumulators(self.accumulations),
            OperationCount::off_chip(self.off_chip_bits),
        ]
    }
}

/// Outputs of all images of a workload.
pub(super) fn outputs(layer: &LayerWorkload) -> u64 {
    (layer.shape.n() * layer.shape.output_count()) as u64
}

/// Input row (axis 0) or column (axis 1) under a tap, unless it lies in the padding.
pub(super) fn tap_position(layer: &LayerWorkload, axis: usize, output: usize, tap: usize) -> Option<usize> {
    layer.shape.axes()[axis].read(output, tap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_cover_the_channels_and_agree_with_the_closed_form() {
        let node = Node { filters: 256, tile_filters: 16, brick: 16 };
        for (groups, channels, filters) in [(1, 3, 64), (40, 1, 1), (7, 5, 90), (3, 24, 300), (2, 16, 1), (5, 8, 8)] {
            let layer = LayerWorkload::conv("x", groups * channels, 5, 5, groups * filters, 3)
                .unwrap()
                .with_shape(|shape| shape.groups = groups)
                .unwrap();
            let bundles: Vec<_> = node.bundles(&layer).collect();
            let mut next = 0;
            for bundle in &bundles {
                assert_eq!(bundle.channels.start, next);
                next = bundle.channels.end;
            }
            assert_eq!(next, layer.shape.c());
            let steps: u64 = bundles.iter().map(|bundle| bundle.bricks as u64 * bundle.passes).sum();
            assert_eq!(steps, node.bricks_per_tap(&layer));
        }
    }
}
