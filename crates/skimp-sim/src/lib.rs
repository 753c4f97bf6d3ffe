//! Layer workloads, event counters, cost tables and the accelerator trait.
