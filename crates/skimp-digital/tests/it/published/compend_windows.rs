//! Cycles and decided planes of one division in one window.

use skimp_digital::compend::{literal, slots};

#[test]
fn window_vectors() {
    let mixed = vec![16, 6, 7, 8, 9, 16, 7, 6];
    let alternating: Vec<u8> = [16, 8].repeat(8);
    let mut late = vec![8; 31];
    late.push(16);
    let cases: [(Vec<u8>, u64, u64); 13] = [
        (vec![16], 24, 16),
        (vec![8], 16, 8),
        (vec![1], 9, 1),
        (vec![16; 8], 136, 128),
        (vec![8; 8], 72, 64),
        (vec![1; 8], 16, 8),
        (vec![16; 9], 152, 144),
        (vec![16; 32], 520, 512),
        (vec![8; 32], 264, 256),
        (vec![1; 32], 40, 32),
        (mixed, 90, 82),
        (alternating, 204, 196),
        (late, 278, 270),
    ];
    for (ends, cycles, decided) in cases {
        let moved = literal::run_window(&[&ends], 16);
        let mut window = slots::WindowRun::default();
        window.add_division(slots::run_division(&ends, 16).unwrap());
        let counted = window.finish();
        for counts in [moved, counted] {
            assert_eq!((counts.cycles, counts.decisions), (cycles, decided), "{ends:?}");
        }
    }
}
