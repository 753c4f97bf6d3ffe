//! Layers that leave out weights that are zero.

pub(crate) mod conv;
pub(crate) mod dense;

/// What becomes of weights that are zero, in layers that have a kernel which leaves them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zeros {
    /// They are left out where that is expected to be faster: a rule of the layer's shape, its share of zeros and the
    /// processor's vectors, with constants measured once. It depends on nothing else.
    #[default]
    LeftOutWhereItPays,
    /// They are left out.
    LeftOut,
    /// They are multiplied like other weights.
    Multiplied,
}

impl Zeros {
    /// Whether they are left out of a layer in which that pays or not.
    pub(crate) fn are_left_out(self, pays: impl FnOnce() -> bool) -> bool {
        match self {
            Self::LeftOutWhereItPays => pays(),
            Self::LeftOut => true,
            Self::Multiplied => false,
        }
    }
}
