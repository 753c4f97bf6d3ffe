//! The statistics that ComPEND reports.

use skimp_sim::Statistic;

pub(super) static MEM_STT: Statistic =
    Statistic::new("mem_stt", "cycles", "Weights from off-chip memory to the STT-RAM global buffer.");
pub(super) static STT_WB: Statistic =
    Statistic::new("stt_wb", "cycles", "Filter blocks from STT-RAM to the weight buffers.");
pub(super) static MEM_WB: Statistic =
    Statistic::new("mem_wb", "cycles", "Weights of dense layers from off-chip memory to the weight buffers.");
pub(super) static MEM_AB: Statistic =
    Statistic::new("mem_ab", "cycles", "Activations from off-chip memory to the activation buffer.");
pub(super) static AB_PU: Statistic =
    Statistic::new("ab_pu", "cycles", "Activations from their buffer to the registers of the processing units.");
pub(super) static RUN_PU: Statistic =
    Statistic::new("run_pu", "cycles", "Weight planes through the processing units.").working();
pub(super) static START_UP: Statistic = Statistic::new("start_up", "cycles", "Start of the layer.");
pub(super) static WRITE_BACK: Statistic = Statistic::new(
    "write_back",
    "cycles",
    "Outputs to off-chip memory (an option; the published model leaves it out).",
);

pub(super) static DRAM_WEIGHT_LINES: Statistic =
    Statistic::new("dram_weight_lines", "lines", "Lines of weights read from off-chip memory.");
pub(super) static DRAM_ACTIVATION_LINES: Statistic =
    Statistic::new("dram_activation_lines", "lines", "Lines of activations read from off-chip memory.");
pub(super) static DRAM_OUTPUT_LINES: Statistic =
    Statistic::new("dram_output_lines", "lines", "Lines of outputs written to off-chip memory; 0 unless modeled.");
pub(super) static STT_WRITES: Statistic = Statistic::new("stt_writes", "lines", "Lines written to STT-RAM.");
pub(super) static STT_READS: Statistic = Statistic::new("stt_reads", "lines", "Lines read from STT-RAM.");
pub(super) static AB_ACCESSES: Statistic =
    Statistic::new("ab_accesses", "lines", "Lines written to and read from the activation buffer.");
pub(super) static WB_ACCESSES: Statistic = Statistic::new(
    "wb_accesses",
    "accesses",
    "Lines written to the weight buffers, and one read per row of units and slot.",
);
pub(super) static NET_TRAVERSALS: Statistic =
    Statistic::new("net_traversals", "traversals", "Occupied cycles of the two stages of the provider network.");
pub(super) static PU_ACCESSES: Statistic = Statistic::new(
    "pu_accesses",
    "accesses",
    "Plane sums of leaf, root and top units, and register writes of leaf units.",
);
pub(super) static CTRL_DECISIONS: Statistic =
    Statistic::new("ctrl_decisions", "decisions", "Planes that came back to the controller.");
pub(super) static PLANES_DENSE: Statistic = Statistic::new(
    "planes_dense",
    "planes",
    "Weight planes of all outputs and passes when none is skipped, padding filters included.",
);
pub(super) static PLANES_USEFUL: Statistic =
    Statistic::new("planes_useful", "planes", "Planes up to the end plane of each output.");
pub(super) static PLANES_ISSUED: Statistic =
    Statistic::new("planes_issued", "planes", "Planes issued, those in vain included.");
pub(super) static PLANES_SKIPPED: Statistic = Statistic::new("planes_skipped", "planes", "Planes never issued.");
