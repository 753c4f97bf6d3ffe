//! The test of early negative detection.

/// When a falling partial sum proves that ReLU gives 0. Both tests are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum EndTest {
    /// Partial sum < 0: the sign bit alone, as in the published hardware.
    #[default]
    Negative,
    /// Partial sum ≤ 0: stops no later than [`EndTest::Negative`].
    NonPositive,
}

impl EndTest {
    /// Whether `psum`, a partial sum after the first plane or a later one, proves that the rectified sum is zero.
    pub fn stops(self, psum: i64) -> bool {
        match self {
            Self::Negative => psum < 0,
            Self::NonPositive => psum <= 0,
        }
    }
}
