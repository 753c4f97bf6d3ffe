//! The Python module of skimp: what the package `skimp` (in `python/`) is made of.
//!
//! Classes and functions here take checked Python objects and give opaque ones; names, signatures and documentation for
//! people are the package's. Work runs without the interpreter's lock and ends when Python has a signal to handle.

mod arrays;
mod commands;
mod design;
mod errors;
mod made;
mod network;
mod options;
mod record;
mod sweep;
mod work;

use pyo3::prelude::*;

#[global_allocator]
static ALLOCATOR: skimp::cpu::HugePages = skimp::cpu::HugePages;

/// The native part of the package `skimp`.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::arrays::Arrays;
    #[pymodule_export]
    use crate::commands::{describe_data, listed, report, set_memory, set_threads, show, study, support};
    #[pymodule_export]
    use crate::design::register;
    #[pymodule_export]
    use crate::made::{binarize, convert_snn, distill, prune, quantize, recast, train};
    #[pymodule_export]
    use crate::network::Network;
    #[pymodule_export]
    use crate::record::Record;
    #[pymodule_export]
    use crate::sweep::{Sweep, SweepStore, export_sweep, figure_names, merge_sweeps};
    #[pymodule_export]
    use crate::work::last_seconds;

    /// Version of the program.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
