//! Layers of at most 8 bits, on bytes.
//!
//! Images lie channels-last, so that four neighboring channels are one operand of a byte dot product (AVX-512 VNNI; AVX2
//! widens to 16 bits; portable code otherwise). Halos of zero-point bytes spare border tests, and the zero points of inputs
//! go into the bias: `Σ (x − z) · w = Σ x · w − z · Σ w`. A sum of two values joins the layer that makes the later one.

mod conv;
mod depthwise;
mod finish;
mod gather;
mod layout;
mod plan;
mod pool;
mod run;
mod store;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(super) use plan::{Plan, fits};
pub(super) use run::Planned;

/// Vector instructions that the kernels may use; made only where they were detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    /// AVX-512 F, BW, DQ, VL and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    /// AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the compiler makes of plain code.
    Portable,
}

impl Isa {
    /// Every choice of this machine, best first.
    pub(super) fn available() -> Vec<Self> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
            {
                all.push(Self::Avx512Vnni);
            }
            if is_x86_feature_detected!("avx2") {
                all.push(Self::Avx2);
            }
        }
        all.push(Self::Portable);
        all
    }

    /// Name, as in [`IntegerExecutor::instruction_sets`](super::IntegerExecutor::instruction_sets).
    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Vnni => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        }
    }
}
