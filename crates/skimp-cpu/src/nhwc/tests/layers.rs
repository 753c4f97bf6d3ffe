//! Normalization, pools and elementwise passes.

use proptest::prelude::*;
use rayon::ThreadPoolBuilder;

use super::*;

/// Runs on every instruction set and on one and three threads; all results must have the same bits.
fn everywhere(run: impl Fn(&mut Workspace) -> Vec<f32> + Sync) -> Vec<f32> {
    let mut all = Vec::new();
    for isa in Isa::available() {
        for n_threads in [1, 3] {
            let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().expect("a pool");
            all.push(pool.install(|| run(&mut Workspace::with_isa(isa))));
        }
    }
    let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<u32>>();
    assert!(all.iter().all(|other| bits(other) == bits(&all[0])), "instruction sets and threads agree");
    all.swap_remove(0)
}

/// Within a few roundings of f32, relative to `scale`.
fn close(name: &str, found: &[f32], expected: &[f64], scale: f64) -> Result<(), TestCaseError> {
    for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
        prop_assert!((f64::from(a) - b).abs() <= 2e-6 * scale.max(b.abs()), "{name}: element {i} is {a}, expected {b}");
    }
    prop_assert_eq!(found.len(), expected.len());
    Ok(())
}

/// Statistics of each channel in f64.
fn moments(x: &[f32], c: usize) -> (Vec<f64>, Vec<f64>) {
    let m = (x.len() / c) as f64;
    let channel = |channel: usize| x.iter().skip(channel).step_by(c).map(|&x| f64::from(x));
    let mean: Vec<f64> = (0..c).map(|i| channel(i).sum::<f64>() / m).collect();
    let variance = (0..c).map(|i| channel(i).map(|x| (x - mean[i]).powi(2)).sum::<f64>() / m).collect();
    (mean, variance)
}

/// A case of batch normalization.
#[derive(Debug)]
struct Case {
    c: usize,
    pixels: usize,
    activation: Rectifier,
    has_residual: bool,
    offset: f32,
    seed: u64,
}

fn check_norm(case: &Case) -> Result<(), TestCaseError> {
    let &Case { c, pixels, activation, has_residual, offset, seed } = case;
    let len = c * pixels;
    let x: Vec<f32> = noise(len, seed).iter().map(|x| x + offset).collect();
    let (residual, dy) = (noise(len, seed + 1), noise(len, seed + 2));
    let (scale, shift) = (noise(c, seed + 3), noise(c, seed + 4));
    let (mean, variance) = moments(&x, c);
    let found = everywhere(|workspace| {
        let (mut mean, mut variance) = (vec![f32::NAN; c], vec![f32::NAN; c]);
        batch_statistics(&x, &mut mean, &mut variance, workspace);
        [mean, variance].concat()
    });
    close("mean", &found[..c], &mean, 1.0 + f64::from(offset.abs()))?;
    close("variance", &found[c..], &variance, 1.0)?;

    let inverse: Vec<f32> = variance.iter().map(|v| (1.0 / (v + 1e-5).sqrt()) as f32).collect();
    let mean: Vec<f32> = mean.iter().map(|&mean| mean as f32).collect();
    let norm = BatchNorm { mean: &mean, inverse_deviation: &inverse, scale: &scale, shift: &shift };
    let residual = has_residual.then_some(&residual[..]);
    let y = everywhere(|workspace| {
        let mut y = vec![f32::NAN; len];
        batch_norm_forward(&norm, &x, residual, activation, &mut y, workspace);
        y
    });
    let expected: Vec<f32> = (0..len)
        .map(|i| {
            let v = (x[i] - mean[i % c]) * (inverse[i % c] * scale[i % c]) + shift[i % c];
            let v = residual.map_or(v, |residual| v + residual[i]);
            if activation == Rectifier::Relu { v.max(0.0) } else { v }
        })
        .collect();
    differences("normalized", &y, &expected)?;

    let found = everywhere(|workspace| {
        let (mut dx, mut dz) = (vec![f32::NAN; len], vec![f32::NAN; if has_residual { len } else { 0 }]);
        let (mut dscale, mut dshift) = (vec![f32::NAN; c], vec![f32::NAN; c]);
        let residual_grad = has_residual.then_some(&mut dz[..]);
        let grads = NormGrads { dx: &mut dx, residual_grad, dscale: &mut dscale, dshift: &mut dshift };
        batch_norm_backward(&norm, &NormTensors { x: &x, y: &y, dy: &dy }, activation, grads, workspace);
        [dx, dscale, dshift, dz].concat()
    });
    let dz: Vec<f64> =
        (0..len).map(|i| if activation == Rectifier::Identity || y[i] > 0.0 { dy[i].into() } else { 0.0 }).collect();
    let normal = |i: usize| (f64::from(x[i]) - f64::from(mean[i % c])) * f64::from(inverse[i % c]);
    let sum = |channel: usize, f: &dyn Fn(usize) -> f64| (channel..len).step_by(c).map(f).sum::<f64>();
    let dscale: Vec<f64> = (0..c).map(|channel| sum(channel, &|i| dz[i] * normal(i))).collect();
    let dshift: Vec<f64> = (0..c).map(|channel| sum(channel, &|i| dz[i])).collect();
    let m = pixels as f64;
    let dx: Vec<f64> = (0..len)
        .map(|i| {
            let factor = f64::from(scale[i % c]) * f64::from(inverse[i % c]);
            factor * (dz[i] - dshift[i % c] / m - normal(i) * dscale[i % c] / m)
        })
        .collect();
    // A channel with little variance has large factors; errors grow with them.
    let largest = inverse.iter().fold(1.0_f64, |most, &x| most.max(f64::from(x)));
    close("dx", &found[..len], &dx, 2.0 * largest)?;
    close("dscale", &found[len..len + c], &dscale, (1.0 + f64::from(offset.abs())) * m.sqrt() * largest)?;
    close("dshift", &found[len + c..len + 2 * c], &dshift, m.sqrt())?;
    let dz: Vec<f32> = dz.iter().map(|&dz| dz as f32).collect();
    if has_residual {
        differences("residual gradient", &found[len + 2 * c..], &dz)?;
    }
    Ok(())
}

fn naive_pool(shape: &PoolShape, mut visit: impl FnMut(usize, usize, Option<usize>)) {
    for i in 0..shape.n * shape.p * shape.q * shape.c {
        let (c, column, row) = (i % shape.c, i / shape.c % shape.q, i / shape.c / shape.q % shape.p);
        let image = i / shape.c / shape.q / shape.p;
        for position in 0..shape.kh * shape.kw {
            let h =
                (row * shape.strides[0] + position / shape.kw * shape.dilations[0]).checked_sub(shape.pads_begin[0]);
            let w =
                (column * shape.strides[1] + position % shape.kw * shape.dilations[1]).checked_sub(shape.pads_begin[1]);
            let at = h.filter(|&h| h < shape.h).zip(w.filter(|&w| w < shape.w));
            visit(i, position, at.map(|(h, w)| ((image * shape.h + h) * shape.w + w) * shape.c + c));
        }
    }
}

fn check_pool(shape: &PoolShape, seed: u64) -> Result<(), TestCaseError> {
    // Few different values, so that there are ties.
    let x: Vec<f32> = coarse(shape.n * shape.h * shape.w * shape.c, seed);
    let len = shape.n * shape.p * shape.q * shape.c;
    let dy = noise(len, seed + 1);
    let mut best: Vec<Option<(f32, usize, usize)>> = vec![None; len];
    let (mut sums, mut counts) = (vec![0.0_f32; len], vec![0.0_f32; len]);
    naive_pool(shape, |i, position, at| {
        if let Some(at) = at {
            if best[i].is_none_or(|(value, ..)| x[at] > value) {
                best[i] = Some((x[at], position, at));
            }
            sums[i] += x[at];
            counts[i] += 1.0;
        }
    });
    let best: Vec<(f32, usize, usize)> = best.into_iter().map(|best| best.expect("no empty window")).collect();
    let found = everywhere(|workspace| {
        let (mut y, mut winners) = (vec![f32::NAN; len], vec![0; len]);
        max_pool_forward(shape, &x, &mut y, &mut winners, workspace);
        let mut dx = vec![f32::NAN; x.len()];
        max_pool_backward(shape, &dy, &winners, &mut dx, workspace);
        [y, winners.iter().map(|&winner| winner.into()).collect(), dx].concat()
    });
    let mut dx = vec![0.0; x.len()];
    best.iter().zip(&dy).for_each(|(best, dy)| dx[best.2] += dy);
    differences("maxima", &found[..len], &best.iter().map(|best| best.0).collect::<Vec<_>>())?;
    differences("winners", &found[len..2 * len], &best.iter().map(|best| best.1 as f32).collect::<Vec<_>>())?;
    differences("gradient of maxima", &found[2 * len..], &dx)?;

    let window = (shape.kh * shape.kw) as f32;
    for divisor in [Divisor::Window, Divisor::Inside] {
        let found = everywhere(|workspace| {
            let (mut y, mut dx) = (vec![f32::NAN; len], vec![f32::NAN; x.len()]);
            average_pool_forward(shape, divisor, &x, &mut y, workspace);
            average_pool_backward(shape, divisor, &dy, &mut dx, workspace);
            [y, dx].concat()
        });
        let count = |i: usize| if divisor == Divisor::Window { window } else { counts[i] };
        let y: Vec<f32> = (0..len).map(|i| sums[i] / count(i)).collect();
        let mut dx = vec![0.0; x.len()];
        naive_pool(shape, |i, _, at| at.into_iter().for_each(|at| dx[at] += dy[i] / count(i)));
        differences("averages", &found[..len], &y)?;
        differences("gradient of averages", &found[len..], &dx)?;
    }
    Ok(())
}

prop_compose! {
    fn pools()(
        (n, h, w, c) in (1_usize..4, 1_usize..12, 1_usize..12, 1_usize..40),
        (kh, kw) in (1_usize..4, 1_usize..4),
        strides in prop::array::uniform2(1_usize..4),
        dilations in prop::array::uniform2(1_usize..3),
        pads in prop::array::uniform4(0_usize..2),
    ) -> PoolShape {
        let output = |extent: usize, kernel: usize, axis: usize| {
            let padded = extent + pads[axis] + pads[2 + axis];
            padded.checked_sub((kernel - 1) * dilations[axis] + 1).map(|free| free / strides[axis] + 1)
        };
        let pads_begin = [pads[0], pads[1]];
        match (output(h, kh, 0), output(w, kw, 1)) {
            (Some(p), Some(q)) => PoolShape { n, h, w, c, p, q, kh, kw, strides, dilations, pads_begin },
            _ => PoolShape { n, h, w, c, p: h, q: w, kh: 1, kw: 1, strides: [1; 2], dilations, pads_begin: [0; 2] },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn batch_norm_matches_its_formulas(
        (c, pixels) in (prop_oneof![1_usize..20, 100_usize..150], 2_usize..300),
        relu in any::<bool>(),
        has_residual in any::<bool>(),
        offset in prop_oneof![Just(0.0_f32), Just(30.0)],
        seed in 0_u64..1000,
    ) {
        let activation = if relu { Rectifier::Relu } else { Rectifier::Identity };
        check_norm(&Case { c, pixels, activation, has_residual, offset, seed })?;
    }

    #[test]
    fn pools_match_their_definitions(shape in pools(), seed in 0_u64..1000) {
        if shape.check_max().is_ok() {
            check_pool(&shape, seed)?;
        }
    }
}

#[test]
fn statistics_of_many_pixels_keep_their_accuracy() {
    let (c, pixels) = (16, 30_000);
    for offset in [0.0, 100.0] {
        let x: Vec<f32> = noise(c * pixels, 9).iter().map(|x| x + offset).collect();
        let (mean, variance) = moments(&x, c);
        let (mut found_mean, mut found_variance) = (vec![0.0; c], vec![0.0; c]);
        batch_statistics(&x, &mut found_mean, &mut found_variance, &mut Workspace::new());
        for i in 0..c {
            assert!((f64::from(found_mean[i]) - mean[i]).abs() < 1e-7 * (1.0 + f64::from(offset)));
            assert!((f64::from(found_variance[i]) / variance[i] - 1.0).abs() < 1e-6);
        }
    }
}

#[test]
fn a_count_with_padding_ends_with_the_padding() {
    // Windows of 3 at 0, 2 and 4 over a padded extent of 4 + 1: the last one has one position left.
    let shape = PoolShape {
        n: 1,
        h: 1,
        w: 4,
        c: 1,
        p: 1,
        q: 3,
        kh: 1,
        kw: 3,
        strides: [1, 2],
        dilations: [1, 1],
        pads_begin: [0, 1],
    };
    let mut y = [0.0; 3];
    let divisor = Divisor::Padded { pads_end: [0, 0] };
    average_pool_forward(&shape, divisor, &[1.0, 2.0, 3.0, 4.0], &mut y, &mut Workspace::new());
    assert_eq!(y.map(f32::to_bits), [1.0_f32, 3.0, 4.0].map(f32::to_bits));
}

#[test]
fn elementwise_passes_match_their_definitions() {
    for len in [0, 1, 15, 40_000] {
        let (a, b) = (noise(len, 1), noise(len, 2));
        let expect = |run: &(dyn Fn(&mut Workspace) -> Vec<f32> + Sync), f: &dyn Fn(f32, f32) -> f32| {
            let expected: Vec<f32> = a.iter().zip(&b).map(|(&a, &b)| f(a, b)).collect();
            assert_eq!(everywhere(run), expected);
        };
        let filled = |run: &dyn Fn(&mut [f32])| {
            let mut y = vec![f32::NAN; len];
            run(&mut y);
            y
        };
        expect(&|ws| filled(&|y| relu_forward(&a, y, &mut Workspace::with_isa(ws.isa))), &|a, _| a.max(0.0));
        expect(&|ws| filled(&|y| relu_backward(&a, &b, y, &mut Workspace::with_isa(ws.isa))), &|a, b| {
            if a > 0.0 { b } else { 0.0 }
        });
        expect(&|ws| filled(&|y| add(&a, &b, Rectifier::Identity, y, &mut Workspace::with_isa(ws.isa))), &|a, b| a + b);
        expect(&|ws| filled(&|y| add(&a, &b, Rectifier::Relu, y, &mut Workspace::with_isa(ws.isa))), &|a, b| {
            (a + b).max(0.0)
        });
        let sum = everywhere(|ws| {
            let mut sum = a.clone();
            accumulate(&mut sum, &b, ws);
            sum
        });
        assert_eq!(sum, a.iter().zip(&b).map(|(a, b)| a + b).collect::<Vec<_>>());
    }
}

#[test]
fn bias_gradients_and_layouts_match_their_definitions() {
    let (n, c, pixels) = (3, 21, 130);
    let dy = noise(n * c * pixels, 5);
    let db = everywhere(|ws| {
        let mut db = vec![f32::NAN; c];
        bias_grad(&dy, &mut db, ws);
        db
    });
    for (channel, &db) in db.iter().enumerate() {
        let sum: f64 = dy.iter().skip(channel).step_by(c).map(|&x| f64::from(x)).sum();
        assert!((f64::from(db) - sum).abs() < 1e-5, "{db} {sum}");
    }
    let (mut planar, mut back) = (vec![0.0; dy.len()], vec![0.0; dy.len()]);
    nhwc_to_nchw(&dy, c, pixels, &mut planar);
    for (i, &x) in planar.iter().enumerate() {
        let (pixel, channel, image) = (i % pixels, i / pixels % c, i / pixels / c);
        assert_eq!(x.to_bits(), dy[(image * pixels + pixel) * c + channel].to_bits());
    }
    nchw_to_nhwc(&planar, c, pixels, &mut back);
    assert_eq!(back, dy);
}
