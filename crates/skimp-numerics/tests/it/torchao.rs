//! Agreement with the block scales of torchao.

use std::path::Path;
use std::process::Command;

use skimp_numerics::formats::{FP4_E2M1, FP6_E2M3, FP6_E3M2, FP8_E4M3, FP8_E5M2};
use skimp_numerics::rng::{normal, random_u64};
use skimp_numerics::{BlockAxis, FloatFormat, MX_BLOCK, MxCast, MxElement, RandomBits, Rounding, ScaleRule};

/// In the order of the script.
const FORMATS: [FloatFormat; 5] = [FP8_E4M3, FP8_E5M2, FP6_E3M2, FP6_E2M3, FP4_E2M1];

/// Blocks around every power of two, every largest magnitude of 6 mantissa bits and its neighbors, and blocks of zeros.
fn blocks() -> Vec<f32> {
    let mut blocks = Vec::new();
    for i in 0..6000_u64 {
        let mantissa = (i % 64) as u32 * 0x2_0000;
        let exponent = 1 + (random_u64(1, 2, i) % 250) as u32;
        let neighbor = (i / 64 % 3) as u32;
        let largest = f32::from_bits((exponent << 23 | mantissa).wrapping_add(neighbor).wrapping_sub(1));
        for j in 0..MX_BLOCK as u64 {
            let share = (normal(3, i, j) as f32 * 0.4).clamp(-1.0, 1.0);
            let value = if j == i % MX_BLOCK as u64 { largest } else { share * largest };
            blocks.push(if i % 100 == 99 { 0.0 } else { value });
        }
    }
    blocks
}

#[test]
fn scales_and_elements_agree_with_torchao() {
    let Some(python) = skimp_testkit::python("numpy and ml_dtypes") else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (folder.path().join("blocks.bin"), folder.path().join("rounded.bin"));
    let blocks = blocks();
    std::fs::write(&input, blocks.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()).expect("writable");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/oracle_mx.py");
    let status = Command::new(python).arg(script).arg(&input).arg(&output).status().expect("Python starts");
    assert!(status.success(), "the script fails");
    let found = std::fs::read(&output).expect("results");
    let n_blocks = blocks.len() / MX_BLOCK;
    let mut results = found.chunks(n_blocks + 4 * blocks.len());
    for format in FORMATS {
        for rule in ScaleRule::ALL {
            let (codes, numbers) = results.next().expect("one result a case").split_at(n_blocks);
            let cast = MxCast::new(MxElement::Float(format), Rounding::NearestEven, rule);
            for (block, &code) in blocks.chunks(MX_BLOCK).zip(codes) {
                assert_eq!(cast.encode_block(block).scale, code, "{format:?} {rule:?} {block:?}");
            }
            let mut rounded = blocks.clone();
            cast.round_matrix(&mut rounded, MX_BLOCK, BlockAxis::Rows, RandomBits::default());
            for ((i, got), want) in rounded.iter().enumerate().zip(numbers.as_chunks::<4>().0) {
                let want = f32::from_le_bytes(*want);
                // Formats differ in the sign of a zero that a negative number becomes: +0 added takes it away.
                let bits = |number: f32| (number + 0.0).to_bits();
                assert!(
                    bits(*got) == bits(want),
                    "{format:?} {rule:?} number {i}: {} is {got}, there {want}",
                    blocks[i]
                );
            }
        }
    }
}
