use super::super::conv::tests::Case;
use super::super::{Bounds, Halo, Isa, Planes, layout, noise};
use super::{Algorithm, Order, PackedWinograd, Pieces, transform};

fn cases() -> Vec<Case> {
    let case = |channels, image, pads| Case {
        channels,
        groups: 1,
        image,
        kernel: [3, 3],
        strides: [1; 2],
        dilations: [1; 2],
        pads,
    };
    let mut cases = vec![
        case((16, 16), [8, 8], [1; 4]),
        case((16, 32), [6, 6], [0; 4]),
        case((1, 1), [1, 1], [1; 4]),
        case((3, 5), [3, 3], [0; 4]),
        case((20, 50), [7, 17], [1; 4]),
        case((33, 48), [4, 15], [2; 4]),
        case((64, 80), [14, 14], [1; 4]),
        case((17, 40), [9, 13], [0, 2, 1, 3]),
        case((48, 19), [5, 31], [3, 0, 0, 1]),
        // Several pieces.
        case((16, 16), [130, 9], [1; 4]),
        case((128, 96), [37, 58], [1; 4]),
    ];
    for side in 1..=9 {
        cases.push(case((18, 34), [side, 10 - side], [1; 4]));
    }
    cases
}

/// The image, the filters, the bias and the residual.
type Operands = [Vec<f32>; 4];

fn blocked(
    case: &Case,
    isa: Isa,
    algorithm: Algorithm,
    threads: usize,
    [x, weight, bias, residual]: &Operands,
) -> Vec<f32> {
    let shape = case.shape();
    let packed = PackedWinograd::new(isa, algorithm, &shape, weight, bias).expect("small");
    let plain = Planes::plain(case.channels.0, case.image[0], case.image[1]);
    let needed = PackedWinograd::halo(algorithm, &shape, case.image[0], case.image[1]);
    let halo = needed.union(Halo { top: 2, left: 0, bottom: 0, right: 1 });
    let padded = Planes { block: 16, halo, ..plain };
    let mut source = vec![f32::NAN; padded.len()];
    layout::convert(x, &plain, &mut source, &padded);
    // What lies in lanes past the last channel is nobody's.
    let n_lanes = case.channels.0 % 16;
    if n_lanes > 0 {
        let last = &mut source[(padded.n_blocks() - 1) * padded.plane()..];
        last.chunks_exact_mut(16).for_each(|pixel| pixel[n_lanes..].fill(f32::NAN));
    }
    let out_plain = Planes::plain(case.channels.1, shape.output[0], shape.output[1]);
    let out_blocked = Planes { block: 16, halo: Halo { top: 1, left: 1, bottom: 1, right: 1 }, ..out_plain };
    let residual_blocked = Planes { halo: Halo::default(), ..out_blocked };
    let mut addend = vec![f32::NAN; residual_blocked.len()];
    layout::convert(residual, &out_plain, &mut addend, &residual_blocked);
    let mut out = vec![f32::NAN; out_blocked.len()];
    let mut scratch = vec![f32::NAN; PackedWinograd::scratch(algorithm, &shape)];
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    pool.install(|| {
        packed.run(
            &shape,
            (Bounds { low: 0.0, high: 3.0 }, None),
            (&source, &padded),
            (&mut out, &out_blocked),
            Some((&addend, &residual_blocked)),
            &mut scratch,
            threads > 1,
        );
    });
    let mut y = vec![f32::NAN; out_plain.len()];
    layout::convert(&out, &out_blocked, &mut y, &out_plain);
    y
}

#[test]
fn every_kernel_matches_the_definition() {
    let mut failures = Vec::new();
    for case in cases() {
        let shape = case.shape();
        let operands = [
            noise(case.channels.0 * case.image[0] * case.image[1], 1),
            noise(case.channels.1 * case.channels.0 * 9, 2),
            noise(case.channels.1, 3),
            noise(case.channels.1 * shape.output[0] * shape.output[1], 4),
        ];
        let expected = case.naive(&operands[0], &operands[1], &operands[2], &operands[3]);
        for algorithm in [Algorithm::Two, Algorithm::Four] {
            // Terms of an output, of which every channel has one, are at most the amplification in magnitude; their roundings
            // of both signs add up like the root of their number.
            let n_terms = case.channels.0 as f64;
            let tolerance = transform::amplification(algorithm) * n_terms.sqrt() * 2.0_f64.powi(-24);
            for isa in Isa::available() {
                let y = blocked(&case, isa, algorithm, 1, &operands);
                let worst = y.iter().zip(&expected).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
                if worst > tolerance || y.iter().any(|v| v.is_nan()) {
                    failures.push(format!("{isa:?} {algorithm:?} {case:?}: off by {worst}, tolerated {tolerance}"));
                }
                for threads in [2, 7] {
                    if y != blocked(&case, isa, algorithm, threads, &operands) {
                        failures.push(format!("{isa:?} {algorithm:?} {case:?}: {threads} threads change bits"));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn pieces_cover_every_row_of_tiles_once() {
    for (image, channels) in [([224, 224], 64), ([1, 1], 16), ([57, 3], 700), ([400, 9], 16)] {
        let case = Case {
            channels: (channels, channels),
            groups: 1,
            image,
            kernel: [3; 2],
            strides: [1; 2],
            dilations: [1; 2],
            pads: [1; 4],
        };
        let pieces = Pieces::of(Algorithm::Four, &case.shape());
        let rows: Vec<usize> = (0..pieces.count()).flat_map(|piece| pieces.rows(piece)).collect();
        assert_eq!(rows, (0..image[0].div_ceil(4)).collect::<Vec<_>>(), "{image:?}");
        assert!((0..pieces.count()).all(|piece| !pieces.rows(piece).is_empty()));
    }
}

#[test]
fn weights_beyond_the_memory_budget_are_refused() {
    let case = Case {
        channels: (1 << 20, 1 << 20),
        groups: 1,
        image: [4, 4],
        kernel: [3; 2],
        strides: [1; 2],
        dilations: [1; 2],
        pads: [1; 4],
    };
    let error = PackedWinograd::new(Isa::Portable, Algorithm::Four, &case.shape(), &[], &[]).expect_err("far too many");
    assert!(error.to_string().contains("exact order needs none"), "{error}");
}

#[test]
fn the_rule_is_one_of_the_shape() {
    let rule = |channels, filters, extent| {
        let case = Case {
            channels: (channels, filters),
            groups: 1,
            image: [extent; 2],
            kernel: [3; 2],
            strides: [1; 2],
            dilations: [1; 2],
            pads: [1; 4],
        };
        Order::Free.algorithm(&case.shape(), &[1.0])
    };
    assert_eq!(rule(64, 64, 56), Some(Algorithm::Four));
    assert_eq!(rule(512, 512, 7), Some(Algorithm::Two), "few tiles, many weights");
    assert_eq!(rule(3, 64, 224), None, "too few channels to fill a vector");
    assert_eq!(rule(256, 256, 2), None, "weights that are read for four pixels");
    let case = Case { strides: [2; 2], ..cases().swap_remove(0) };
    assert_eq!(Order::Four.algorithm(&case.shape(), &[1.0]), None, "no algorithm for strides");
    let shape = cases()[0].shape();
    assert_eq!(Order::Four.algorithm(&shape, &[1e35]), None, "its transform may not be finite");
    assert_eq!(Order::Exact.algorithm(&shape, &[1.0]), None);
}
