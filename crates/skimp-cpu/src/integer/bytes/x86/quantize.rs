//! Real numbers to codes: the portable code, compiled for vectors.

use skimp_graph::integer::Quotient;

use super::super::Isa;
use super::super::store::Coded;

/// Quantizes real numbers.
pub(in crate::integer::bytes) fn run(coded: &Coded, quotient: Quotient, reals: &[f32], bytes: &mut [u8], isa: Isa) {
    match isa {
        // SAFETY: an `Isa` exists only where it was detected.
        Isa::Avx512Vnni => unsafe { avx512(coded, quotient, reals, bytes) },
        // SAFETY: as above.
        Isa::Avx2 => unsafe { avx2(coded, quotient, reals, bytes) },
        Isa::Portable => coded.quantize_plainly(quotient, reals, bytes),
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
fn avx512(coded: &Coded, quotient: Quotient, reals: &[f32], bytes: &mut [u8]) {
    coded.quantize_plainly(quotient, reals, bytes);
}

#[target_feature(enable = "avx2")]
fn avx2(coded: &Coded, quotient: Quotient, reals: &[f32], bytes: &mut [u8]) {
    coded.quantize_plainly(quotient, reals, bytes);
}
