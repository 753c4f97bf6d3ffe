//! The statistics that Eyeriss reports.

use skimp_sim::Statistic;

pub(super) static COMPUTE: Statistic =
    Statistic::new("compute", "cycles", "One multiply-accumulate in each active processing element.").working();
pub(super) static FILL: Statistic =
    Statistic::new("fill", "cycles", "Filters and first windows into the register files, first sums up the columns.");
pub(super) static BUFFER_STALL: Statistic =
    Statistic::new("buffer_stall", "cycles", "Waiting for activations or partial sums of the global buffer.");
pub(super) static DRAM_STALL: Statistic = Statistic::new("dram_stall", "cycles", "Waiting for off-chip memory.");

pub(super) static GATED: Statistic = Statistic::new(
    "gated_macs",
    "macs",
    "Multiplications by an activation of 0: filter read and multiplier rest, time passes.",
);
pub(super) static RF_ACCESSES: Statistic = Statistic::new(
    "rf_accesses",
    "words",
    "Reads and writes of register files by multiplications: four each, three where gated.",
);
pub(super) static ARRAY_TRANSFERS: Statistic = Statistic::new(
    "array_transfers",
    "words",
    "Words that reach a processing element from the buffer or from a neighbor.",
);
pub(super) static BUFFER_ACCESSES: Statistic = Statistic::new(
    "buffer_accesses",
    "words",
    "Words between the global buffer and the array, and outputs on the way out.",
);
pub(super) static DRAM_IFMAP: Statistic =
    Statistic::new("dram_ifmap_words", "words", "16-bit words of activations read from off-chip memory, as stored.");
pub(super) static DRAM_FILTER: Statistic =
    Statistic::new("dram_filter_words", "words", "16-bit words of weights read from off-chip memory.");
pub(super) static DRAM_OFMAP: Statistic =
    Statistic::new("dram_ofmap_words", "words", "16-bit words of outputs written to off-chip memory, as stored.");
pub(super) static DRAM_RAW: Statistic =
    Statistic::new("dram_uncompressed_words", "words", "Words of off-chip memory without compression.");
