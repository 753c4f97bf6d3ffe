//! The statistics that ComPEND reports.

use skimp_sim::Statistic;

const fn statistic(name: &'static str, unit: &'static str, description: &'static str) -> Statistic {
    Statistic { name, unit, description }
}

pub(super) static MEM_STT: Statistic =
    statistic("mem_stt", "cycles", "Weights from off-chip memory to the STT-RAM global buffer.");
pub(super) static STT_WB: Statistic =
    statistic("stt_wb", "cycles", "Filter blocks from STT-RAM to the weight buffers.");
pub(super) static MEM_WB: Statistic =
    statistic("mem_wb", "cycles", "Weights of dense layers from off-chip memory to the weight buffers.");
pub(super) static MEM_AB: Statistic =
    statistic("mem_ab", "cycles", "Activations from off-chip memory to the activation buffer.");
pub(super) static AB_PU: Statistic =
    statistic("ab_pu", "cycles", "Activations from their buffer to the registers of the processing units.");
pub(super) static RUN_PU: Statistic = statistic("run_pu", "cycles", "Weight planes through the processing units.");
pub(super) static START_UP: Statistic = statistic("start_up", "cycles", "Start of the layer.");
pub(super) static WRITE_BACK: Statistic =
    statistic("write_back", "cycles", "Outputs to off-chip memory (an option; the published model leaves it out).");

pub(super) static DRAM_WEIGHT_LINES: Statistic =
    statistic("dram_weight_lines", "lines", "Lines of weights read from off-chip memory.");
pub(super) static DRAM_ACTIVATION_LINES: Statistic =
    statistic("dram_activation_lines", "lines", "Lines of activations read from off-chip memory.");
pub(super) static DRAM_OUTPUT_LINES: Statistic =
    statistic("dram_output_lines", "lines", "Lines of outputs written to off-chip memory; 0 unless modeled.");
pub(super) static STT_WRITES: Statistic = statistic("stt_writes", "lines", "Lines written to STT-RAM.");
pub(super) static STT_READS: Statistic = statistic("stt_reads", "lines", "Lines read from STT-RAM.");
pub(super) static AB_ACCESSES: Statistic =
    statistic("ab_accesses", "lines", "Lines written to and read from the activation buffer.");
pub(super) static WB_ACCESSES: Statistic = statistic(
    "wb_accesses",
    "accesses",
    "Lines written to the weight buffers, and one read per row of units and slot.",
);
pub(super) static NET_TRAVERSALS: Statistic =
    statistic("net_traversals", "traversals", "Occupied cycles of the two stages of the provider network.");
pub(super) static PU_ACCESSES: Statistic =
    statistic("pu_accesses", "accesses", "Plane sums of leaf, root and top units, and register writes of leaf units.");
pub(super) static CTRL_DECISIONS: Statistic =
    statistic("ctrl_decisions", "decisions", "Planes that came back to the controller.");
pub(super) static PLANES_DENSE: Statistic = statistic(
    "planes_dense",
    "planes",
    "Weight planes of all outputs and passes when none is skipped, padding filters included.",
);
pub(super) static PLANES_USEFUL: Statistic =
    statistic("planes_useful", "planes", "Planes up to the end plane of each output.");
pub(super) static PLANES_ISSUED: Statistic =
    statistic("planes_issued", "planes", "Planes issued, those in vain included.");
pub(super) static PLANES_SKIPPED: Statistic = statistic("planes_skipped", "planes", "Planes never issued.");
