//! What the designs that stop sums early find, in common words.

use skimp_sim::{Basis, Finding, Found, Quantity};

/// Whether sums of a layer stop early.
static END: Quantity = Quantity {
    key: "end",
    label: "early negative detection",
    unit: "",
    description: "Early negative detection (END) stops a sum once it is known to end negative. It runs where its proof holds: \
                  non-negative activations, a ReLU on the layer's own sum that nobody reads before.",
    basis: Basis::Simulated,
};

/// It does.
pub(super) fn at_work() -> Finding {
    Finding::new(&END, Found::AtWork)
}

/// It does not, for this reason.
pub(super) fn off(reason: impl Into<String>) -> Finding {
    Finding::new(&END, Found::Off(reason.into()))
}
