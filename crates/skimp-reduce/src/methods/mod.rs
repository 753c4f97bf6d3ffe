//! Reduction methods: one file each, and one line here.

mod apoz;
mod autopruner;
mod channel_pruning;
mod deep_compression;
mod dep_graph;
mod fpgm;
mod gradual;
mod han;
mod l1;
mod l2;
mod lottery;
mod magnitude;
mod movement;
mod nm;
mod obc;
mod rnp;
mod slimming;
mod surgery;
mod taylor;
mod thinet;
mod wanda;

use crate::Method;

/// Every method.
pub static METHODS: &[&dyn Method] = &[
    &l1::L1,
    &l2::L2,
    &fpgm::Fpgm,
    &apoz::Apoz,
    &thinet::Thinet,
    &channel_pruning::ChannelPruning,
    &autopruner::Autopruner,
    &taylor::Taylor,
    &slimming::Slimming,
    &dep_graph::DepGraph,
    &rnp::Rnp,
    &magnitude::Magnitude,
    &gradual::Gradual,
    &nm::Nm,
    &wanda::Wanda,
    &obc::Obc,
    &han::Han,
    &deep_compression::DeepCompression,
    &surgery::Surgery,
    &lottery::Lottery,
    &movement::Movement,
];

/// The method of that name.
pub fn find(name: &str) -> Option<&'static dyn Method> {
    METHODS.iter().copied().find(|method| method.facts().name == name)
}
