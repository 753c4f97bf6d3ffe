//! What the tests of policies share, and tests of all policies.
#![allow(clippy::float_cmp, reason = "results are compared exactly")]

use super::{Site, SiteKind};

/// A convolution in the middle of a network.
pub(super) fn site(layer: usize) -> Site {
    Site { layer, name: format!("conv{layer}"), kind: SiteKind::Conv, is_first: false, is_last: false }
}
