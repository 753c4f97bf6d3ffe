use skimp_graph::binary::{BinaryReference, lower};
use skimp_graph::reference::Reference;
use skimp_graph::spiking::{Temporal, TimeLoop};
use skimp_graph::testing::{random_binary_network, random_spiking_network};
use skimp_graph::{Executor, Graph, GraphError};

use super::BinaryExecutor;
use super::kernel::{Isa, Windows, Words, above, counts};

/// Random binary networks hold every kind of node, layer, padding and threshold. Their parts in floating point are drawn so that
/// a difference in rounding flips no bit, or none that was seen in these seeds.
#[test]
fn every_instruction_set_gives_what_the_reference_gives() {
    for seed in 0..300 {
        let (graph, inputs) = random_binary_network(seed);
        let binary = lower(&graph).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        let expected = BinaryReference::new(&binary).run(&inputs).expect("it runs");
        for isa in Isa::available() {
            let executor = BinaryExecutor::with_isa(binary.clone(), isa).expect("a sound network");
            let found = executor.run(&inputs).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(found.shape(), expected.shape(), "seed {seed}");
                let pairs = found.as_f32().expect("f32").iter().zip(expected.as_f32().expect("f32"));
                let far = pairs.filter(|(a, b)| (*a - *b).abs() > 1e-5 * b.abs().max(1.0)).count();
                assert_eq!(far, 0, "seed {seed}, {isa:?}");
            }
        }
    }
}

#[test]
fn images_do_not_depend_on_the_batch_they_are_in() {
    for seed in 300..360 {
        let (graph, inputs) = random_binary_network(seed);
        let executor = BinaryExecutor::new(lower(&graph).expect("binary")).expect("a sound network");
        let whole = executor.run(&inputs).expect("it runs");
        let n = inputs[0].shape()[0];
        for image in 0..n {
            let alone = executor.run(&[inputs[0].keep(0, &[image])]).expect("it runs");
            assert_eq!(alone[0], whole[0].keep(0, &[image]), "seed {seed}");
        }
    }
}

#[test]
fn counts_are_those_of_bits_one_by_one() {
    let words: Vec<u64> = (0..200_u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(i as u32)).collect();
    let weights: Vec<Words> = (0..140)
        .map(|i| Words(std::array::from_fn(|f| words[(i * 7 + f * 13) % words.len()].rotate_left(9))))
        .collect();
    for is_spikes in [false, true] {
        for (stretches, len) in [(vec![0, 70, 120], 3), (vec![5], 70), (vec![0, 1], 1), (vec![0], 0)] {
            let windows = Windows { words: &words, stretches: &stretches, len, is_spikes };
            let weights = &weights[..stretches.len() * len];
            let bases = [0, 1, 17, 40, 3, 3, 60, 2];
            let expected = bases.map(|base| {
                let mut sums = [0_i64; 8];
                for (i, weights) in weights.iter().enumerate() {
                    let word = words[base + stretches[i / len] + i % len];
                    for (f, weight) in weights.0.iter().enumerate() {
                        for bit in 0..64 {
                            let (a, w) = (word >> bit & 1, weight >> bit & 1);
                            sums[f] += if is_spikes { a & w } else { a ^ w } as i64;
                        }
                    }
                }
                sums
            });
            for isa in Isa::available() {
                assert_eq!(counts(isa, &windows, bases, weights).map(|counts| counts.0), expected, "{isa:?}");
            }
        }
    }
}

#[test]
fn numbers_become_bits_one_by_one() {
    for n in [0, 1, 7, 16, 33, 100] {
        for n_rows in [1, 5, 8] {
            let number = |row: usize, at: usize| match (row * 31 + at * 17) % 11 {
                0 => 0.5,
                1 => f32::NAN,
                2 => f32::INFINITY,
                rest => rest as f32 - 5.0,
            };
            let rows: Vec<Vec<f32>> = (0..n_rows).map(|row| (0..n).map(|at| number(row, at)).collect()).collect();
            let rows: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
            for is_at_above in [false, true] {
                let bit = |x: f32| x > 0.5 || (is_at_above && x >= 0.5);
                let expected: Vec<u8> =
                    (0..n).map(|at| (0..n_rows).map(|j| u8::from(bit(rows[j][at])) << j).sum()).collect();
                for isa in Isa::available() {
                    let mut bytes = vec![0xaa; n];
                    above(isa, &rows, 0.5, is_at_above, &mut bytes);
                    assert_eq!(bytes, expected, "{isa:?}");
                }
            }
        }
    }
}

#[test]
fn spiking_networks_over_time_are_those_of_the_reference() {
    for seed in 0..150 {
        let (graph, inputs) = random_spiking_network(seed);
        let temporal = Temporal::new(5).expect("five steps");
        let reference = |step: &Graph| -> Result<Box<dyn Executor>, GraphError> { Ok(Box::new(Reference::new(step))) };
        let expected = TimeLoop::new(&graph, temporal, reference).expect("a network").run(&inputs).expect("it runs");
        for isa in Isa::available() {
            let bits = |step: &Graph| -> Result<Box<dyn Executor>, GraphError> {
                Ok(Box::new(BinaryExecutor::with_isa(lower(step)?, isa)?))
            };
            let found = TimeLoop::new(&graph, temporal, bits).expect("a network").run(&inputs).expect("it runs");
            assert_eq!(found, expected, "seed {seed}, {isa:?}");
        }
    }
}
