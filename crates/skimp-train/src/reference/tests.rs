//! Every gradient against central differences in f64, over random shapes and attributes.

use proptest::prelude::*;
use skimp_graph::ops;
use skimp_graph::{AutoPad, DType, Gemm, Op, Pad, PadMode, Slice, Window};
use skimp_numerics::rng::{Draws, permutation, stream};

use super::*;
use crate::policy::{BatchNormKind, RangeConstant};

/// What gradients are compared with, from inputs to outputs.
type Function<'a> = dyn Fn(&[Option<Array>]) -> Vec<Vec<f64>> + 'a;

/// Half the distance of the two evaluations of a central difference.
const STEP: f64 = 1e-5;

/// The difference is exact to about `STEP²` times a third derivative, and to 1e-16 / `STEP` times the size of the sum.
const TOLERANCE: f64 = 1e-6;

#[derive(Clone, Debug)]
struct Array {
    shape: Vec<usize>,
    data: Vec<f64>,
}

/// Normal numbers; those closer than 0.05 to a kink are moved away by 0.1.
fn smooth(seed: u64, name: &str, shape: &[usize], kinks: &[f64]) -> Array {
    let mut draws = Draws::new(seed, stream(name));
    let away = |x: f64| if kinks.iter().any(|kink| (x - kink).abs() < 0.05) { x + 0.1 } else { x };
    let data = (0..shape.iter().product()).map(|_| away(draws.normal())).collect();
    Array { shape: shape.to_vec(), data }
}

fn normal(seed: u64, name: &str, shape: &[usize]) -> Array {
    smooth(seed, name, shape, &[])
}

/// Distinct numbers in a random order, 0.01 or more apart.
fn distinct(seed: u64, shape: &[usize]) -> Array {
    let n = shape.iter().product();
    let data =
        permutation(seed, stream("distinct"), n).into_iter().map(|i| i as f64 * 0.01 - n as f64 * 0.005).collect();
    Array { shape: shape.to_vec(), data }
}

fn views(inputs: &[Option<Array>]) -> Vec<Option<View<'_, f64>>> {
    inputs.iter().map(|input| input.as_ref().map(|a| View { shape: &a.shape, data: &a.data })).collect()
}

/// Compares `backward` with central differences of the sum of the outputs times random errors. `function` stands in for
/// `forward` where the gradient is deliberately another function's.
fn check_against(
    op: &Op,
    training: &Training,
    mut inputs: Vec<Option<Array>>,
    function: &Function<'_>,
) -> Result<(), TestCaseError> {
    let mut draws = Draws::new(1, stream("errors"));
    let outputs = function(&inputs);
    let errors: Vec<Vec<f64>> = outputs.iter().map(|y| y.iter().map(|_| draws.normal()).collect()).collect();
    let gradients = {
        let views = views(&inputs);
        let call = Call { op, node: "node", training, inputs: &views };
        let errors: Vec<Option<&[f64]>> = errors.iter().map(|error| Some(error.as_slice())).collect();
        backward(&call, &errors).expect("a valid call")
    };
    prop_assert_eq!(gradients.len(), inputs.len());
    let loss = |inputs: &[Option<Array>]| -> f64 {
        function(inputs).iter().zip(&errors).flat_map(|(y, e)| y.iter().zip(e)).map(|(y, e)| y * e).sum()
    };
    for (idx, gradient) in gradients.iter().enumerate() {
        let Some(gradient) = gradient else { continue };
        let n = inputs[idx].as_ref().expect("a gradient belongs to an input").data.len();
        prop_assert_eq!(gradient.len(), n);
        // Every element where there are few, else a random choice.
        for element in permutation(2, idx as u64, n).into_iter().take(16) {
            let mut at = |shift: f64| {
                inputs[idx].as_mut().expect("checked above").data[element] += shift;
                let value = loss(&inputs);
                inputs[idx].as_mut().expect("checked above").data[element] -= shift;
                value
            };
            let expected = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            let found = gradient[element];
            prop_assert!(
                (found - expected).abs() <= TOLERANCE * (1.0 + expected.abs()),
                "{op:?} {training:?}: input {idx}, element {element}: gradient {found}, difference {expected}"
            );
        }
    }
    Ok(())
}

fn check_with(op: &Op, training: &Training, inputs: Vec<Option<Array>>) -> Result<(), TestCaseError> {
    let function = |inputs: &[Option<Array>]| {
        let views = views(inputs);
        forward(&Call { op, node: "node", training, inputs: &views }).expect("a valid call").outputs
    };
    check_against(op, training, inputs, &function)
}

fn check(op: &Op, inputs: Vec<Option<Array>>) -> Result<(), TestCaseError> {
    check_with(op, &Training::default(), inputs)
}

#[derive(Clone, Debug)]
struct Spatial {
    extents: Vec<usize>,
    window: Window,
}

/// One to three spatial axes with a window that fits; `pads` may reach beyond the kernel only where `wide`.
fn spatial(wide: bool) -> impl Strategy<Value = Spatial> {
    // Kernel, stride, dilation, pads, and how much the input is larger than the kernel.
    let axis = [1..4_usize, 1..4, 1..3, 0..3, 0..3, 0..4];
    let auto = prop_oneof![
        4 => Just(AutoPad::NotSet),
        1 => Just(AutoPad::SameUpper),
        1 => Just(AutoPad::SameLower),
        1 => Just(AutoPad::Valid)
    ];
    (prop::collection::vec(axis, 1..4), auto, any::<bool>()).prop_map(move |(axes, auto_pad, ceil_mode)| {
        let each = |pick: &dyn Fn(&[usize; 6]) -> usize| axes.iter().map(pick).collect();
        let reach = |kernel: usize, dilation: usize| (kernel - 1) * dilation + 1;
        let pad = |pad: usize, reach: usize| if wide { pad } else { pad.min(reach - 1) };
        Spatial {
            extents: each(&|a| reach(a[0], a[2]) + a[5]),
            window: Window {
                kernel: each(&|a| a[0]),
                strides: each(&|a| a[1]),
                dilations: each(&|a| a[2]),
                pads_begin: each(&|a| pad(a[3], reach(a[0], a[2]))),
                pads_end: each(&|a| pad(a[4], reach(a[0], a[2]))),
                auto_pad,
                ceil_mode: ceil_mode && !wide,
            },
        }
    })
}

fn with(shape: &[usize], more: &[usize]) -> Vec<usize> {
    shape.iter().chain(more).copied().collect()
}

/// `shape` with some extents turned into 1 and some leading axes dropped, so that it broadcasts.
fn narrowed(shape: &[usize], ones: u8, dropped: usize) -> Vec<usize> {
    let kept = shape.iter().enumerate().map(|(axis, &n)| if ones >> axis & 1 == 1 { 1 } else { n });
    kept.skip(dropped.min(shape.len())).collect()
}

fn shape_of(most: usize) -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..5_usize, 1..=most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn conv(
        seed: u64,
        spatial in spatial(true),
        (n, groups, inputs, outputs) in (1..3_usize, 1..3_usize, 1..3_usize, 1..3_usize),
        has_bias: bool,
    ) {
        let x = normal(seed, "x", &with(&[n, groups * inputs], &spatial.extents));
        let weight = normal(seed, "w", &with(&[groups * outputs, inputs], &spatial.window.kernel));
        let bias = has_bias.then(|| normal(seed, "b", &[groups * outputs]));
        check(&Op::Conv(ops::Conv { window: spatial.window, groups }), vec![Some(x), Some(weight), bias])?;
    }

    #[test]
    fn gemm(
        seed: u64,
        (m, k, n) in (1..5_usize, 1..5_usize, 1..5_usize),
        (trans_a, trans_b, has_c, ones) in (any::<bool>(), any::<bool>(), any::<bool>(), 0..4_u8),
    ) {
        let a = normal(seed, "a", &if trans_a { [k, m] } else { [m, k] });
        let b = normal(seed, "b", &if trans_b { [n, k] } else { [k, n] });
        let c = has_c.then(|| normal(seed, "c", &narrowed(&[m, n], ones, usize::from(ones == 1))));
        check(&Op::Gemm(Gemm { alpha: 0.75, beta: -1.5, trans_a, trans_b }), vec![Some(a), Some(b), c])?;
    }

    #[test]
    fn matmul(seed: u64, batch in shape_of(2), ones in 0..4_u8, (m, k, n) in (1..4_usize, 1..4_usize, 1..4_usize)) {
        let wide = normal(seed, "a", &with(&batch, &[m, k]));
        let narrow = normal(seed, "b", &with(&narrowed(&batch, ones, 0), &[k, n]));
        check(&Op::MatMul, vec![Some(wide.clone()), Some(narrow)])?;
        check(&Op::MatMul, vec![Some(normal(seed, "c", &[n, m])), Some(wide.clone())])?;
        check(&Op::MatMul, vec![Some(wide), Some(normal(seed, "d", &[k]))])?;
        check(&Op::MatMul, vec![Some(normal(seed, "e", &[k])), Some(normal(seed, "f", &[k, n]))])?;
    }

    #[test]
    fn batch_norm(seed: u64, (n, c) in (2..6_usize, 1..4_usize), extents in shape_of(3), rank in 0..4_usize) {
        let extents = &extents[..rank.min(extents.len())];
        let x = distinct(seed, &with(&[n, c], extents));
        let parameter = |name: &str| Some(normal(seed, name, &[c]));
        let mut variance = normal(seed, "v", &[c]);
        variance.data.iter_mut().for_each(|v| *v = v.abs() + 0.1);
        let inputs = vec![Some(x), parameter("s"), parameter("b"), parameter("m"), Some(variance)];
        let kinds = [
            BatchNorm::Frozen,
            BatchNorm::Batch(BatchNormKind::Standard),
            BatchNorm::Batch(BatchNormKind::Range { n_chunks: 16, constant: RangeConstant::Code }),
            BatchNorm::Batch(BatchNormKind::Range { n_chunks: 3, constant: RangeConstant::Code }),
            BatchNorm::Batch(BatchNormKind::Range { n_chunks: 1, constant: RangeConstant::Paper }),
        ];
        for batch_norm in kinds {
            let training = Training { batch_norm, ..Training::default() };
            check_with(&Op::BatchNormalization(ops::BatchNormalization { epsilon: 1e-3 }), &training, inputs.clone())?;
        }
    }

    #[test]
    fn activations(seed: u64, shape in shape_of(4)) {
        let cases: [(Op, &[f64]); 9] = [
            (Op::Relu, &[0.0]),
            (Op::LeakyRelu(ops::LeakyRelu { alpha: 0.25 }), &[0.0]),
            (Op::Clip(ops::Clip { min: Some(-0.5), max: Some(0.75) }), &[-0.5, 0.75]),
            (Op::Clip(ops::Clip { min: None, max: Some(0.5) }), &[0.5]),
            (Op::Sigmoid, &[]),
            (Op::HardSigmoid(ops::HardSigmoid { alpha: 0.5, beta: 0.25 }), &[-0.5, 1.5]),
            (Op::HardSwish, &[-3.0, 3.0]),
            (Op::Tanh, &[]),
            (Op::Cast(ops::Cast { to: DType::F64 }), &[]),
        ];
        for (op, kinks) in cases {
            let mut x = smooth(seed, "x", &shape, kinks);
            if op == Op::HardSwish {
                x.data.iter_mut().for_each(|x| *x *= 2.0);
                x.data.retain(|x| (x.abs() - 3.0).abs() > 0.01);
                x.shape = vec![x.data.len()];
            }
            check(&op, vec![Some(x)])?;
        }
    }

    #[test]
    fn sign_passes_what_its_estimator_says(seed: u64, shape in shape_of(4)) {
        let clipped = SignEstimator::Clipped { slope: 1.0 };
        // What each estimator is the derivative of.
        let cases: [(SignTraining, &dyn Fn(f64) -> f64); 4] = [
            (SignTraining { values: SignValues::Onnx, estimator: SignEstimator::Identity }, &|x| x),
            (SignTraining { values: SignValues::PlusMinusOne, estimator: clipped }, &|x| x.clamp(-1.0, 1.0)),
            (SignTraining::default(), &|x| x.clamp(-1.0, 1.0)),
            (SignTraining::BINARY_SIGMOID, &|x| ((x + 1.0) / 2.0).clamp(0.0, 1.0)),
        ];
        let x = smooth(seed, "x", &shape, &[-1.0, 1.0]);
        for (sign, function) in cases {
            let training = Training { sign, ..Training::default() };
            let function = |inputs: &[Option<Array>]| {
                vec![inputs[0].as_ref().expect("x").data.iter().map(|&x| function(x)).collect::<Vec<f64>>()]
            };
            check_against(&Op::Sign, &training, vec![Some(x.clone())], &function)?;
        }
    }

    #[test]
    fn arithmetic(seed: u64, shape in shape_of(4), ones in 0..16_u8, dropped in 0..4_usize) {
        let wide = normal(seed, "a", &shape);
        let narrow_shape = narrowed(&shape, ones, dropped);
        // Divisors away from 0, where the quotient's third derivative is too large for the tolerance.
        let mut narrow = normal(seed, "b", &narrow_shape);
        narrow.data.iter_mut().for_each(|b| *b += 0.5_f64.copysign(*b));
        let mut divisor = wide.clone();
        divisor.data.iter_mut().for_each(|b| *b += 0.5_f64.copysign(*b));
        for op in [Op::Add, Op::Sub, Op::Mul, Op::Div] {
            check(&op, vec![Some(wide.clone()), Some(narrow.clone())])?;
            check(&op, vec![Some(narrow.clone()), Some(divisor.clone())])?;
        }
        check(&Op::PRelu, vec![Some(smooth(seed, "x", &shape, &[0.0])), Some(narrow)])?;
    }

    #[test]
    fn movements(seed: u64, shape in shape_of(4), pick in 0..4_usize, others in prop::collection::vec(0..4_usize, 0..3)) {
        let x = || Some(normal(seed, "x", &shape));
        let axis = pick % shape.len();
        let negative = axis as i64 - shape.len() as i64;
        let mut joined = vec![x()];
        for (idx, extent) in others.iter().enumerate() {
            let mut part = shape.clone();
            part[axis] = *extent;
            joined.push(Some(normal(seed, &format!("part{idx}"), &part)));
        }
        check(&Op::Concat(ops::Concat { axis: negative }), joined)?;
        let first = shape[axis] / 2;
        check(&Op::Split(ops::Split { axis: axis as i64, sizes: vec![first, shape[axis] - first] }), vec![x()])?;
        for step in [1, 2, -1, -3] {
            let (starts, ends) = if step > 0 { (vec![-3], vec![i64::MAX]) } else { (vec![-1], vec![i64::MIN]) };
            check(&Op::Slice(Slice { axes: vec![negative], starts, ends, steps: vec![step] }), vec![x()])?;
        }
        let perm: Vec<usize> = permutation(seed, 0, shape.len());
        check(&Op::Transpose(ops::Transpose { perm }), vec![x()])?;
        check(&Op::Flatten(ops::Flatten { axis: axis as i64 }), vec![x()])?;
        check(&Op::Reshape(ops::Reshape { shape: vec![-1], allow_zero: false }), vec![x()])?;
        check(&Op::Unsqueeze(ops::Unsqueeze { axes: vec![0, -1] }), vec![x()])?;
        check(&Op::Squeeze(ops::Squeeze { axes: vec![] }), vec![x()])?;
        check(&Op::Identity, vec![x()])?;
    }

    #[test]
    fn pads(seed: u64, axes in prop::collection::vec((1..4_usize, -1..4_i64, 0..4_i64), 1..4)) {
        let shape: Vec<usize> = axes.iter().map(|axis| axis.0).collect();
        for mode in [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap] {
            let (begin, end) = axes.iter().map(|axis| (axis.1, axis.2)).unzip();
            let pad = Pad { begin, end, mode, value: 0.5 };
            check(&Op::Pad(pad), vec![Some(normal(seed, "x", &shape))])?;
        }
    }

    #[test]
    fn pools(seed: u64, spatial in spatial(false), (n, c) in (1..3_usize, 1..3_usize), count_include_pad: bool) {
        let x = || Some(distinct(seed, &with(&[n, c], &spatial.extents)));
        check(&Op::MaxPool(ops::MaxPool { window: spatial.window.clone() }), vec![x()])?;
        check(&Op::AveragePool(ops::AveragePool { window: spatial.window.clone(), count_include_pad }), vec![x()])?;
        check(&Op::GlobalMaxPool, vec![x()])?;
        check(&Op::GlobalAveragePool, vec![x()])?;
    }

    #[test]
    fn means(seed: u64, shape in shape_of(4), which in 0..16_u8, keep_dims: bool) {
        let axes = (0..shape.len() as i64).filter(|axis| which >> axis & 1 == 1).collect();
        check(&Op::ReduceMean(ops::ReduceMean { axes, keep_dims }), vec![Some(normal(seed, "x", &shape))])?;
    }

    #[test]
    fn normalizations(seed: u64, shape in prop::collection::vec(1..6_usize, 2..5), size in 1..6_usize, axis in 0..2_i64) {
        let x = || Some(normal(seed, "x", &shape));
        check(&Op::Softmax(ops::Softmax { axis }), vec![x()])?;
        check(&Op::Softmax(ops::Softmax { axis: -1 }), vec![x()])?;
        check(&Op::Lrn(ops::Lrn { size, alpha: 0.5, beta: 0.75, bias: 1.5 }), vec![x()])?;
    }

    #[test]
    fn dropout(seed: u64, shape in shape_of(4), step: u64) {
        let training = Training { dropout: Some(DropoutKey { seed, step }), ..Training::default() };
        check_with(&Op::Dropout(ops::Dropout { ratio: 0.5 }), &training, vec![Some(normal(seed, "x", &shape))])?;
        check(&Op::Dropout(ops::Dropout { ratio: 0.5 }), vec![Some(normal(seed, "x", &shape))])?;
    }

    #[test]
    fn an_f32_gradient_is_the_f64_gradient_rounded_once(seed: u64, spatial in spatial(true)) {
        let weight_shape = with(&[2, 3], &spatial.window.kernel);
        let x_shape = with(&[2, 3], &spatial.extents);
        let narrow = |array: Array| array.data.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let (x, weight) = (narrow(normal(seed, "x", &x_shape)), narrow(normal(seed, "w", &weight_shape)));
        let (wide_x, wide_weight) = (widened(&x), widened(&weight));
        let op = Op::Conv(ops::Conv { window: spatial.window, groups: 1 });
        let training = Training::default();
        let inputs = [Some(View { shape: &x_shape, data: &x }), Some(View { shape: &weight_shape, data: &weight })];
        let call = Call { op: &op, node: "node", training: &training, inputs: &inputs };
        let y = forward(&call).expect("a valid call");
        let found = backward(&call, &[Some(&y.outputs[0])]).expect("a valid call");
        let inputs =
            [Some(View { shape: &x_shape, data: &wide_x }), Some(View { shape: &weight_shape, data: &wide_weight })];
        let call = Call { op: &op, node: "node", training: &training, inputs: &inputs };
        let error = widened(&y.outputs[0]);
        let expected = backward(&call, &[Some(&error)]).expect("a valid call");
        for (found, expected) in found.into_iter().zip(expected) {
            let bits = |elements: Vec<f32>| elements.into_iter().map(f32::to_bits).collect::<Vec<u32>>();
            prop_assert_eq!(found.map(bits), expected.map(rounded::<f32>).map(bits));
        }
    }
}

fn call_one<'a>(op: &'a Op, training: &'a Training, inputs: &'a [Option<View<'a, f64>>]) -> Call<'a, f64> {
    Call { op, node: "layer", training, inputs }
}

#[test]
fn equal_maxima_go_to_the_first() {
    let window = Window {
        kernel: vec![2, 2],
        strides: vec![2, 2],
        dilations: vec![1, 1],
        pads_begin: vec![0, 0],
        pads_end: vec![0, 0],
        auto_pad: AutoPad::NotSet,
        ceil_mode: false,
    };
    let data = [1.0, 3.0, 0.0, f64::NAN, 3.0, 3.0, 9.0, f64::NAN];
    let inputs = [Some(View { shape: &[1, 1, 2, 4], data: &data })];
    let (op, training) = (Op::MaxPool(ops::MaxPool { window }), Training::default());
    let call = call_one(&op, &training, &inputs);
    let found = forward(&call).unwrap();
    assert_eq!(found.winners, Some(vec![Some(1), Some(3)]));
    assert!(found.outputs[0][1].is_nan());
    let gradient = backward(&call, &[Some(&[5.0, 7.0])]).unwrap();
    assert_eq!(gradient, [Some(vec![0.0, 5.0, 0.0, 7.0, 0.0, 0.0, 0.0, 0.0])]);
    let op = Op::GlobalMaxPool;
    let inputs = [Some(View { shape: &[1, 1, 2, 2], data: &[2.0, 4.0, 4.0, 4.0][..] })];
    assert_eq!(forward(&call_one(&op, &training, &inputs)).unwrap().winners, Some(vec![Some(1)]));
}

#[test]
fn binarizations_have_their_values() {
    let x = [-2.0, -0.0, 0.0, 0.5];
    let values = |sign: SignTraining| x.map(|x| sign.value(x)).to_vec();
    let of = |values: SignValues| SignTraining { values, ..SignTraining::default() };
    assert_eq!(values(of(SignValues::Onnx)), [-1.0, 0.0, 0.0, 1.0]);
    assert_eq!(values(of(SignValues::PlusMinusOne)), [-1.0, 1.0, 1.0, 1.0]);
    let options = SignTraining { values: SignValues::PlusMinusOne, estimator: SignEstimator::Identity };
    assert_eq!((values(options), options.slope(2.0)), (vec![-1.0, 1.0, 1.0, 1.0], 1.0));
    assert_eq!(values(SignTraining::BINARY_SIGMOID), [0.0, 1.0, 1.0, 1.0]);
    let slopes = [-1.5, -1.0, 0.0, 1.0, 1.5].map(|x| SignTraining::BINARY_SIGMOID.slope(x)).to_vec();
    assert_eq!(slopes, [0.0, 0.5, 0.5, 0.5, 0.0]);
    assert!(SignTraining::BINARY_SIGMOID.value(f64::NAN).is_nan());
}

#[test]
fn dropout_masks_depend_on_their_key_alone() {
    let key = DropoutKey { seed: 1, step: 2 };
    let mask = |key: DropoutKey, node: &str| -> Vec<bool> {
        (0..40_000).map(|idx| key.keeps(DropoutKey::stream(node), idx, 0.25)).collect()
    };
    let base = mask(key, "a");
    assert_eq!(base, mask(key, "a"));
    // A share of 3/4 of 40,000: sigma is 0.0022, the bound five of them.
    let share = base.iter().filter(|&&kept| kept).count() as f64 / base.len() as f64;
    assert!((share - 0.75).abs() < 0.011, "{share}");
    // Independent masks agree on 9/16 + 1/16 of the elements, sigma 0.0024.
    for other in [mask(key, "b"), mask(DropoutKey { seed: 2, ..key }, "a"), mask(DropoutKey { step: 3, ..key }, "a")] {
        let same = base.iter().zip(&other).filter(|(a, b)| a == b).count() as f64 / base.len() as f64;
        assert!((same - 0.625).abs() < 0.0125, "{same}");
    }
}

/// The fact that the constant of the code makes deviations of normal numbers about right, and the paper's does not.
#[test]
fn range_batch_norm_estimates_deviations() {
    // Mean over 200 channels of the scaled range. Its sigma is below 0.14 · 1.7 / sqrt(200) = 0.017 for the paper's
    // constant and a quarter of that for sixteen chunks; the bounds are about four of them.
    for (n_chunks, constant, chunk_len, expected, bound) in [
        (16, RangeConstant::Code, 16, 0.811, 0.02),
        (16, RangeConstant::Code, 256, 0.919, 0.02),
        (1, RangeConstant::Paper, 256, 1.701, 0.07),
        (1, RangeConstant::Paper, 16, 1.501, 0.1),
    ] {
        let n_channels = 200;
        let x = normal(5, "x", &[n_chunks, n_channels, chunk_len]);
        let ones = vec![1.0; n_channels];
        let parameter = Some(View { shape: &[200], data: &ones });
        let inputs = [Some(View { shape: &x.shape, data: &x.data }), parameter, parameter, parameter, parameter];
        let training = Training {
            batch_norm: BatchNorm::Batch(BatchNormKind::Range { n_chunks, constant }),
            ..Training::default()
        };
        let op = Op::BatchNormalization(ops::BatchNormalization { epsilon: 0.0 });
        let moments = forward(&call_one(&op, &training, &inputs)).unwrap().moments.unwrap();
        let mean = moments.variance.iter().map(|v| v.sqrt()).sum::<f64>() / n_channels as f64;
        assert!((mean - expected).abs() < bound, "{constant:?} {chunk_len}: {mean}, expected {expected}");
    }
}

#[test]
fn running_statistics() {
    let x = [1.0, 3.0, 5.0, 7.0];
    let one = [1.0];
    let parameter = Some(View { shape: &[1], data: &one[..] });
    let inputs = [Some(View { shape: &[4, 1], data: &x[..] }), parameter, parameter, parameter, parameter];
    let op = Op::BatchNormalization(ops::BatchNormalization { epsilon: 1e-5 });
    let training = Training::default();
    let moments = forward(&call_one(&op, &training, &inputs)).unwrap().moments.unwrap();
    assert_eq!((moments.mean[0], moments.variance[0], moments.count), (4.0, 5.0, 4));
    // 0.75 · 2 + 0.25 · 4, and 0.75 · 1 + 0.25 · 20 / 3.
    assert_eq!(moments.running(0, 0.25, [2.0, 1.0]).to_vec(), [2.5, 0.75 + 5.0 / 3.0]);
}

#[test]
fn bad_calls_are_errors() {
    let x = [1.0, 2.0];
    let good = [Some(View { shape: &[2], data: &x[..] })];
    let short = [Some(View { shape: &[3], data: &x[..] })];
    let training = Training::default();
    let message = |op: &Op, training: &Training, inputs: &[Option<View<'_, f64>>], errors: &[Option<&[f64]>]| {
        backward(&Call { op, node: "layer", training, inputs }, errors).unwrap_err().to_string()
    };
    let cases = [
        (
            message(&Op::Relu, &training, &short, &[None]),
            "node \"layer\" (Relu): input 0 has 2 elements, its shape is [3]",
        ),
        (message(&Op::Relu, &training, &good, &[]), "node \"layer\" (Relu): got errors of 0 outputs, expected 1"),
        (
            message(&Op::Relu, &training, &good, &[Some(&[1.0])]),
            "node \"layer\" (Relu): the error of output 0 has 1 elements, expected 2",
        ),
        (message(&Op::Add, &training, &good, &[None]), "node \"layer\" (Add): has 1 inputs, expected 2"),
        (
            message(&Op::Cast(ops::Cast { to: DType::F32 }), &training, &good, &[None]),
            "node \"layer\" (Cast): unsupported: training through it",
        ),
        (
            message(
                &Op::Dropout(ops::Dropout { ratio: 1.0 }),
                &Training { dropout: Some(DropoutKey { seed: 0, step: 0 }), ..training },
                &good,
                &[None],
            ),
            "node \"layer\" (Dropout): dropout ratio is 1, expected at least 0 and less than 1",
        ),
    ];
    for (found, expected) in cases {
        assert_eq!(found, expected);
    }
}

#[test]
fn a_missing_error_is_zero() {
    let x = [1.0, 2.0];
    let inputs = [Some(View { shape: &[2], data: &x[..] })];
    let (op, training) = (Op::Split(ops::Split { axis: 0, sizes: vec![1, 1] }), Training::default());
    let gradient = backward(&call_one(&op, &training, &inputs), &[None, Some(&[3.0])]).unwrap();
    assert_eq!(gradient, [Some(vec![0.0, 3.0])]);
}

/// What `has_gradient` promises, `backward` keeps, for every operator that the reference interpreter has.
#[test]
fn backward_knows_the_operators_that_have_gradients() {
    let mut n_checked = 0;
    for case in skimp_graph::testing::cases() {
        let typed = |tensor: &skimp_graph::Tensor| Some((tensor.shape().to_vec(), tensor.as_f32()?.to_vec()));
        let Some(inputs) = case.inputs.iter().map(typed).collect::<Option<Vec<_>>>() else { continue };
        let views: Vec<Option<View<'_, f32>>> = inputs.iter().map(|(shape, data)| Some(View { shape, data })).collect();
        let training = Training::default();
        let call = Call { op: &case.op, node: "node", training: &training, inputs: &views };
        let found = backward(&call, &vec![None; case.expected.len()]);
        let stays_f32 = case.expected.iter().all(|output| output.as_f32().is_some());
        assert_eq!(found.is_ok(), has_gradient(&case.op) && stays_f32, "{}: {found:?}", case.what);
        n_checked += 1;
    }
    assert!(n_checked > 50, "{n_checked}");
}
