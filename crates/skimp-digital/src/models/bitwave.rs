//! BitWave: weights in sign-magnitude, zero bit columns of groups of weights skipped.
//!
//! Fidelity: quick rule. Eight weights of one filter along the input channels at one kernel tap form a *group*; its
//! magnitudes form *bit columns*, one per bit position. A group takes as many cycles as it has columns that are not all
//! zero, a group of zeros `empty_group_cycles`. Signs are stored as one more column and steer the additions. Filters in
//! flight run their groups one after another, each at its own pace, and meet at the end of a group of windows; windows
//! share their weights and so stay together.
//!
//! Beyond the published rule: channels are filled up to whole weight groups with zeros; groups of a layer run one after
//! another, narrow ones do not share weight groups; filters of a layer with a single window (dense layers) spread over
//! the lanes of the windows, too. Activations are not looked at. Operand supply costs no cycles.

use rayon::prelude::*;
use serde::Deserialize;
use skimp_sim::{
    Activity, Configured, EXECUTED_MACS, Facts, IDLE_SLOTS, LayerResult, LayerTrace, LayerWorkload, Needs,
    OperationCount, SKIPPED_MACS, SimError, Statistic,
};
use toml::Table;

use super::bricks::MEMORY_BYTES;
use super::config::{extents, read};
use super::entry::Entry;
use super::quick::{self, QuickMachine, QuickRule};

const NAME: &str = "bitwave";
const PRESET: &str = include_str!("../../../../configs/accelerators/bitwave.toml");

/// Width of weights at which the dense peak rate is stated: the width the design is made for.
const PEAK_BITS: u32 = 8;

/// The registered model.
///
/// # Source
/// M. Shi et al., "BitWave: Exploiting Column-Based Bit-Level Sparsity for Deep Learning Acceleration", HPCA 2024, arXiv
/// 2507.12444: sign-magnitude bit columns; area and power of the 16 nm design.
/// Differs: the extents of the array and the clock are assumed; bit flipping, which makes more columns zero at some
/// loss of accuracy, is a matter of the weights given.
pub(super) static BITWAVE: Entry = Entry {
    name: NAME,
    summary: "skips zero bit columns of groups of sign-magnitude weights (quick rule)",
    source: "M. Shi et al., BitWave: Exploiting Column-Based Bit-Level Sparsity for Deep Learning Acceleration, HPCA 2024",
    preset: PRESET,
    build,
};

fn build(resolved: Table) -> Result<Configured, SimError> {
    let (facts, settings) = quick::settings(NAME, resolved)?;
    let config: Config = read(settings)?;
    extents(&[
        ("weights_per_group", config.weights_per_group),
        ("filters_in_parallel", config.filters_in_parallel),
        ("windows_in_parallel", config.windows_in_parallel),
    ])?;
    if config.empty_group_cycles > 1 {
        let reason = format!("expected 0 or 1, found {}", config.empty_group_cycles);
        return Err(SimError::SettingValue { key: "empty_group_cycles".into(), reason });
    }
    let area_mm2 = facts.costs.area_mm2("chip.area")?;
    let rule = Rule { config };
    let dense_macs_per_cycle = rule.lanes() as f64 / f64::from(PEAK_BITS - 1);
    let facts = Facts {
        area_mm2,
        energy_scope: "published chip power times runtime at an assumed clock; no breakdown by event, off-chip \
                       memory is not included",
        needs: Needs::Weights,
        exploits: vec!["zero bit columns of groups of weights"],
        ..facts
    };
    Ok(QuickMachine::new(facts, dense_macs_per_cycle, rule).into())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    weights_per_group: u32,
    filters_in_parallel: u32,
    windows_in_parallel: u32,
    empty_group_cycles: u32,
}

static COLUMNS_USED: Statistic =
    Statistic::new("columns_executed", "columns", "Bit columns of magnitudes that were processed, over all windows.");
static COLUMNS_SKIPPED: Statistic = Statistic::new(
    "columns_skipped",
    "columns",
    "Bit columns of magnitudes that were all zero and skipped, over all windows.",
);
static STORED_BITS: Statistic = Statistic::new(
    "weight_bits_stored",
    "bits",
    "Storage of the weights: columns that are not zero, signs, and a flag per column.",
);

#[derive(Debug)]
struct Rule {
    config: Config,
}

/// The weight groups of one filter.
#[derive(Clone, Copy, Default)]
struct FilterColumns {
    cycles: u64,
    used: u64,
    groups: u64,
    /// Groups with a weight that is not zero.
    signed: u64,
}

impl Rule {
    fn lanes(&self) -> u64 {
        let config = &self.config;
        [config.weights_per_group, config.filters_in_parallel, config.windows_in_parallel]
            .map(u64::from)
            .iter()
            .product()
    }

    fn of_filter(&self, layer: &LayerWorkload, codes: &[i32]) -> FilterColumns {
        let taps = layer.shape.r() * layer.shape.s();
        let mut columns = FilterColumns::default();
        for run in codes.chunks(self.config.weights_per_group as usize * taps) {
            for tap in 0..taps {
                let bits = run.iter().skip(tap).step_by(taps).fold(0, |bits, code| bits | code.unsigned_abs());
                let used = u64::from(bits.count_ones());
                columns.groups += 1;
                columns.used += used;
                columns.signed += u64::from(used > 0);
                columns.cycles += used.max(u64::from(self.config.empty_group_cycles));
            }
        }
        columns
    }
}

impl QuickRule for Rule {
    fn idle(&self) -> (u64, &'static str) {
        (self.lanes(), "lanes wait for the group with the most bit columns, or have no filter or window")
    }

    fn run(&self, layer: &LayerWorkload, _trace: Option<&LayerTrace>) -> Result<LayerResult, SimError> {
        let weights = quick::weights(layer, NAME)?;
        let filters: Vec<FilterColumns> =
            weights.par_chunks(layer.shape.inputs_per_output()).map(|codes| self.of_filter(layer, codes)).collect();
        let windows = layer.shape.p() * layer.shape.q();
        let mut in_flight = self.config.filters_in_parallel as usize;
        let mut groups_of_windows = windows.div_ceil(self.config.windows_in_parallel as usize) as u64;
        if windows == 1 {
            in_flight *= self.config.windows_in_parallel as usize;
            groups_of_windows = 1;
        }
        let of_group = |filters: &[FilterColumns]| -> u64 {
            filters.chunks(in_flight).filter_map(|block| block.iter().map(|filter| filter.cycles).max()).sum()
        };
        let images = layer.shape.n() as u64;
        let cycles =
            images * groups_of_windows * filters.chunks(layer.shape.filters_per_group()).map(of_group).sum::<u64>();

        let sum = |part: fn(&FilterColumns) -> u64| filters.iter().map(part).sum::<u64>();
        let (used, groups, signed) = (sum(|f| f.used), sum(|f| f.groups), sum(|f| f.signed));
        let magnitude_bits = u64::from(layer.weight_bits.saturating_sub(1)).max(1);
        let most_bits =
            weights.iter().map(|code| u64::from(32 - code.unsigned_abs().leading_zeros())).max().unwrap_or(0);
        let uses = images * windows as u64;
        let executed = uses * weights.iter().filter(|&&code| code != 0).count() as u64;
        let stored =
            (used + signed) * u64::from(self.config.weights_per_group) + groups * magnitude_bits.max(most_bits);

        let mut result = LayerResult::new(layer);
        result.cycles.add(&quick::COMPUTE, cycles);
        result.events.add(&EXECUTED_MACS, executed);
        result.events.add(&SKIPPED_MACS, result.macs - executed);
        result.events.add(&COLUMNS_USED, uses * used);
        result.events.add(&COLUMNS_SKIPPED, uses * (groups * magnitude_bits.max(most_bits) - used));
        let lane_columns = uses.saturating_mul(used).saturating_mul(u64::from(self.config.weights_per_group));
        result.events.add(&IDLE_SLOTS, cycles.saturating_mul(self.lanes()).saturating_sub(lane_columns));
        result.events.add(&STORED_BITS, images * stored);
        result.activity.push(Activity::chip(cycles));
        let inputs = images.saturating_mul(layer.shape.input_count() as u64 * u64::from(layer.activation_bits));
        let outputs = images.saturating_mul(layer.shape.output_count() as u64 * u64::from(layer.activation_bits));
        let group = self.config.weights_per_group;
        result.operations = vec![
            OperationCount::add("lanes", 16, lane_columns),
            // A column of a group, for every window in flight; activations of a group, once for its filters in flight.
            OperationCount::on_chip(
                "weight_memory",
                MEMORY_BYTES,
                group,
                images.saturating_mul(groups_of_windows).saturating_mul(used),
            ),
            OperationCount::on_chip(
                "activation_memory",
                MEMORY_BYTES,
                group.saturating_mul(layer.activation_bits),
                uses.saturating_mul(groups.div_ceil(in_flight as u64)),
            ),
            OperationCount::accumulators(uses.saturating_mul(used)),
            OperationCount::off_chip(inputs + stored + outputs),
        ];
        if windows == 1 {
            result.note("a single window: filters spread over the lanes of the windows, too");
        }
        Ok(result)
    }
}
