//! The statistics that Eyeriss reports.

use skimp_sim::Statistic;

const fn statistic(name: &'static str, unit: &'static str, description: &'static str) -> Statistic {
    Statistic { name, unit, description }
}

pub(super) static COMPUTE: Statistic =
    statistic("compute", "cycles", "One multiply-accumulate in each active processing element.");
pub(super) static FILL: Statistic =
    statistic("fill", "cycles", "Filters and first windows into the register files, first sums up the columns.");
pub(super) static BUFFER_STALL: Statistic =
    statistic("buffer_stall", "cycles", "Waiting for activations or partial sums of the global buffer.");
pub(super) static DRAM_STALL: Statistic = statistic("dram_stall", "cycles", "Waiting for off-chip memory.");

pub(super) static EXECUTED: Statistic = statistic("executed_macs", "macs", "Multiplications carried out in full.");
pub(super) static GATED: Statistic = statistic(
    "gated_macs",
    "macs",
    "Multiplications by an activation of 0: filter read and multiplier rest, time passes.",
);
pub(super) static IDLE: Statistic =
    statistic("idle_slots", "macs", "Cycles of multiplying in which a processing element has no work.");
pub(super) static RF_ACCESSES: Statistic = statistic(
    "rf_accesses",
    "words",
    "Reads and writes of register files by multiplications: four each, three where gated.",
);
pub(super) static ARRAY_TRANSFERS: Statistic =
    statistic("array_transfers", "words", "Words that reach a processing element from the buffer or from a neighbor.");
pub(super) static BUFFER_ACCESSES: Statistic =
    statistic("buffer_accesses", "words", "Words between the global buffer and the array, and outputs on the way out.");
pub(super) static DRAM_IFMAP: Statistic =
    statistic("dram_ifmap_words", "words", "16-bit words of activations read from off-chip memory, as stored.");
pub(super) static DRAM_FILTER: Statistic =
    statistic("dram_filter_words", "words", "16-bit words of weights read from off-chip memory.");
pub(super) static DRAM_OFMAP: Statistic =
    statistic("dram_ofmap_words", "words", "16-bit words of outputs written to off-chip memory, as stored.");
pub(super) static DRAM_RAW: Statistic =
    statistic("dram_uncompressed_words", "words", "Words of off-chip memory without compression.");
