//! Agreement with numpy and `ml_dtypes`.

use std::path::Path;
use std::process::Command;

use skimp_numerics::formats::{
    BF16, FP4_E2M1, FP6_E2M3, FP6_E3M2, FP8_E4M3, FP8_E4M3_FNUZ, FP8_E5M2, FP8_E5M2_FNUZ, FP16,
};
use skimp_numerics::rng::random_u64;
use skimp_numerics::{FloatCast, FloatFormat};

/// In the order of the script.
const FORMATS: [(&str, FloatFormat); 9] = [
    ("float16", FP16),
    ("bfloat16", BF16),
    ("float8_e4m3fn", FP8_E4M3),
    ("float8_e5m2", FP8_E5M2),
    ("float8_e4m3fnuz", FP8_E4M3_FNUZ),
    ("float8_e5m2fnuz", FP8_E5M2_FNUZ),
    ("float6_e3m2fn", FP6_E3M2),
    ("float6_e2m3fn", FP6_E2M3),
    ("float4_e2m1fn", FP4_E2M1),
];

/// Every bf16 number and its neighbors among the f32 numbers, random bit patterns, and random numbers of middle size.
fn numbers() -> Vec<f32> {
    let bf16 = (0..1_u32 << 16).flat_map(|code| {
        let bits = code << 16;
        [bits, bits.wrapping_add(1), bits.wrapping_sub(1), bits | 0x8000]
    });
    let random = (0..200_000).map(|i| random_u64(1, 2, i) as u32);
    let middle = (0..200_000).map(|i| {
        let word = random_u64(1, 3, i);
        (word as u32 & 0x807F_FFFF) | (92 + (word >> 32) as u32 % 64) << 23
    });
    bf16.chain(random).chain(middle).map(f32::from_bits).collect()
}

#[test]
fn conversions_agree_with_ml_dtypes() {
    let Some(python) = skimp_testkit::python("numpy and ml_dtypes") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (folder.path().join("numbers.bin"), folder.path().join("codes.bin"));
    let numbers = numbers();
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    std::fs::write(&input, bytes).expect("writable");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oracle_codes.py");
    let status = Command::new(python).arg(script).arg(&input).arg(&output).status().expect("Python starts");
    assert!(status.success(), "the script fails");
    let codes = std::fs::read(&output).expect("codes");
    assert_eq!(codes.len(), FORMATS.len() * numbers.len() * 2);
    for ((name, format), codes) in FORMATS.iter().zip(codes.chunks(numbers.len() * 2)) {
        // The libraries give infinity or NaN where the format has one, and saturate elsewhere.
        let cast = FloatCast::new(*format);
        for (&number, code) in numbers.iter().zip(codes.as_chunks::<2>().0) {
            let (got, want) = (cast.encode(number), u32::from(u16::from_le_bytes(*code)));
            if number.is_nan() {
                // Formats without NaN: the sign of the zero that stands for it is of no meaning.
                assert!(format.decode(got).is_nan() == format.decode(want).is_nan(), "{name} {:#x}", number.to_bits());
                continue;
            }
            assert_eq!(got, want, "{name} {number:e} ({:#x})", number.to_bits());
        }
    }
}
