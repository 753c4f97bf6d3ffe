//! Every kernel path against the definition.

use proptest::prelude::*;
use skimp_graph::integer::end;
use skimp_graph::shape::{LayerShape, ShapeSpec};
use skimp_numerics::{EndTest, rng};

use super::dots::Isa;
use super::{ConvError, ConvProblem, conv, conv_exact, end_planes};

/// Owned operands of a [`ConvProblem`].
#[derive(Clone, Debug)]
struct Case {
    activations: Vec<i32>,
    weights: Vec<i32>,
    bias: Vec<i64>,
    residual: Option<Vec<i64>>,
    shape: LayerShape,
    weight_bits: u32,
    activation_bits: u32,
    activation_signed: bool,
    input_offset: i32,
}

/// How the codes of a case are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// Weights near zero, half of the activations zero: like a trained network.
    Typical,
    /// Uniform over all codes.
    Uniform,
    /// Only extreme codes.
    Extreme,
}

impl Case {
    fn new(seed: u64, spread: Spread, shape: LayerShape, bits: [u32; 2], signed: bool) -> Self {
        let [weight_bits, activation_bits] = bits;
        let mut case = Self {
            activations: Vec::new(),
            weights: Vec::new(),
            bias: Vec::new(),
            residual: None,
            shape,
            weight_bits,
            activation_bits,
            activation_signed: signed,
            input_offset: 0,
        };
        let (n_activations, n_weights) = (shape.input_count() as u64, shape.weight_count() as u64);
        let half = 1_i64 << (weight_bits - 1);
        let (min, max) = if signed {
            (1 - (1_i64 << (activation_bits - 1)), (1_i64 << (activation_bits - 1)) - 1)
        } else {
            (0, (1_i64 << activation_bits) - 1)
        };
        case.weights = (0..n_weights).map(|i| code(seed, 1, i, spread, 1 - half, half)).collect();
        case.activations = (0..n_activations).map(|i| code(seed, 2, i, spread, min, max)).collect();
        let typical = (max * half / 8).max(2);
        let addend = |stream, i| rng::below(seed, stream, i, 2 * typical as u64) as i64 - typical;
        case.bias = (0..shape.k() as u64).map(|i| addend(3, i)).collect();
        if seed.is_multiple_of(2) {
            case.residual = Some((0..shape.output_count() as u64).map(|i| addend(4, i)).collect());
        }
        case
    }

    fn problem(&self) -> ConvProblem<'_> {
        ConvProblem {
            activations: &self.activations,
            weights: &self.weights,
            bias: &self.bias,
            residual: self.residual.as_deref(),
            shape: self.shape,
            weight_bits: self.weight_bits,
            activation_bits: self.activation_bits,
            activation_signed: self.activation_signed,
            input_offset: self.input_offset,
        }
    }
}

/// Input c, h, w; filters k, r, s; strides, dilations and pads before and after; `None` where the kernel does not fit.
fn shape(
    [c, h, w]: [usize; 3],
    [k, r, s]: [usize; 3],
    [strides, dilations, pads]: [[usize; 2]; 3],
    groups: usize,
) -> Option<LayerShape> {
    let (pads_begin, pads_end) = (pads, pads);
    LayerShape::new(ShapeSpec { n: 1, c, h, w, k, r, s, strides, dilations, pads_begin, pads_end, groups }).ok()
}

fn code(seed: u64, stream: u64, index: u64, spread: Spread, min: i64, max: i64) -> i32 {
    let uniform = rng::below(seed, stream, index, (max - min + 1) as u64) as i64 + min;
    let coin = rng::random_u64(seed, stream + 100, index);
    let value = match spread {
        Spread::Uniform => uniform,
        Spread::Extreme if coin.is_multiple_of(2) => min,
        Spread::Extreme => max,
        Spread::Typical if min == 0 && coin.is_multiple_of(2) => 0,
        Spread::Typical => uniform >> (coin % 5),
    };
    value as i32
}

/// Compares every path with the definition.
fn check(case: &Case) {
    let problem = case.problem();
    let sums = end::conv_sums(&problem).unwrap();
    assert_eq!(conv_exact(&problem).unwrap(), sums, "{case:?}");
    for isa in Isa::available() {
        assert_eq!(conv::run(&problem, None, isa).sums, sums, "{isa:?}: {case:?}");
    }
    for test in [EndTest::Negative, EndTest::NonPositive] {
        let expected = end::end_planes(&problem, test);
        assert_eq!(end_planes(&problem, test), expected, "{test:?}: {case:?}");
        let Ok(expected) = expected else {
            assert!(case.activation_signed && case.input_offset == 0, "{case:?}");
            continue;
        };
        for isa in Isa::available() {
            assert_eq!(conv::run(&problem, Some(test), isa), expected, "{isa:?}, {test:?}: {case:?}");
        }
    }
}

/// The case with its signed activations made non-negative by an offset.
fn offset(case: &Case) -> Case {
    let input_offset = (1 << (case.activation_bits - 1)) - 1;
    let depth = case.problem().shape.inputs_per_output();
    let mut moved = Case { input_offset, ..case.clone() };
    for (bias, filter) in moved.bias.iter_mut().zip(case.weights.chunks(depth.max(1))) {
        *bias -= i64::from(input_offset) * filter.iter().map(|&w| i64::from(w)).sum::<i64>();
    }
    moved
}

fn spread() -> impl Strategy<Value = Spread> {
    prop_oneof![3 => Just(Spread::Typical), 2 => Just(Spread::Uniform), 1 => Just(Spread::Extreme)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn kernels_equal_the_definition(
        seed in 0_u64..1 << 40,
        spread in spread(),
        (groups, c, k) in (1_usize..4, 1_usize..7, 1_usize..6).prop_map(|(g, c, k)| (g, g * c, g * k)),
        (h, w) in (1_usize..9, 1_usize..9),
        (r, s) in (1_usize..4, 1_usize..4),
        strides in [1_usize..4, 1_usize..4],
        dilations in [1_usize..3, 1_usize..3],
        pads in [0_usize..4, 0_usize..4],
        bits in [2_u32..=16, 2_u32..=16],
        signed in any::<bool>(),
    ) {
        let window = [strides, dilations, pads];
        let Some(shape) = shape([c, h, w], [k, r, s], window, groups) else { return Ok(()) };
        let case = Case::new(seed, spread, shape, bits, signed);
        check(&case);
        if signed {
            let moved = offset(&case);
            check(&moved);
            prop_assert_eq!(conv_exact(&moved.problem()).unwrap(), conv_exact(&case.problem()).unwrap());
        }
    }

    #[test]
    fn deep_filters_equal_the_definition(
        seed in 0_u64..1 << 40, spread in spread(), c in 500_usize..3000, k in 1_usize..7, w in 1_usize..8,
        weight_bits in prop_oneof![Just(16_u32), 2_u32..=16], signed in any::<bool>(),
    ) {
        let window = [[1, 1], [1, 1], [0, 1]];
        let shape = shape([c, 1, w], [k, 1, 1], window, 1).unwrap();
        let case = Case::new(seed, spread, shape, [weight_bits, 16], signed);
        check(&if signed { offset(&case) } else { case });
    }
}

#[test]
fn shapes_at_the_edge() {
    let unit = [[1, 1], [1, 1], [0, 0]];
    for seed in 0..6 {
        let case = |input, filters, window, groups| {
            let shape = shape(input, filters, window, groups).unwrap();
            check(&Case::new(seed, Spread::Typical, shape, [16, 16], false));
        };
        // Depthwise, many positions in several tiles.
        case([19, 15, 17], [19, 3, 3], [[1, 1], [1, 1], [1, 1]], 19);
        // Nothing in, nothing out.
        case([0, 3, 3], [2, 3, 3], [[1, 1], [1, 1], [1, 1]], 1);
        case([2, 3, 3], [0, 3, 3], [[1, 1], [1, 1], [1, 1]], 1);
        // Only padding.
        case([3, 1, 1], [5, 1, 1], [[3, 3], [1, 1], [4, 4]], 1);
        // Dense.
        case([700, 1, 1], [33, 1, 1], unit, 1);
        // A large stride, and taps that jump over the input.
        case([4, 9, 9], [6, 3, 3], [[5, 4], [6, 7], [6, 7]], 2);
    }
}

/// A few positions and filters with the depths of VGG-16's layers.
#[test]
fn vgg_like_layers_equal_the_definition() {
    for (seed, c, test_bits) in [(1, 64, 16), (2, 256, 16), (3, 512, 16), (4, 512, 8)] {
        let window = [[1, 1], [1, 1], [1, 1]];
        let bits = [test_bits, test_bits];
        check(&Case::new(seed, Spread::Typical, shape([c, 5, 4], [9, 3, 3], window, 1).unwrap(), bits, false));
    }
}

/// Activations of a position that add up to 2^32 or more leave the 32-bit kernels.
#[test]
fn wide_sums_equal_the_definition() {
    let unit = [[1, 1], [1, 1], [0, 0]];
    for (c, spread) in [(66_000, Spread::Extreme), (140_000, Spread::Uniform), (200_000, Spread::Typical)] {
        let case = Case::new(5, spread, shape([c, 1, 2], [3, 1, 1], unit, 1).unwrap(), [16, 16], false);
        check(&case);
        let all_set = Case { activations: vec![65_535; 2 * c], ..case };
        check(&all_set);
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let shape = shape([32, 20, 20], [40, 3, 3], [[1, 1], [1, 1], [1, 1]], 1).unwrap();
    let case = Case::new(7, Spread::Typical, shape, [16, 16], false);
    let with_threads = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| end_planes(&case.problem(), EndTest::Negative).unwrap())
    };
    assert_eq!(with_threads(1), with_threads(5));
}

#[test]
fn faults_are_errors() {
    let shape = shape([2, 3, 3], [2, 3, 3], [[1, 1], [1, 1], [1, 1]], 1).unwrap();
    let case = Case::new(0, Spread::Uniform, shape, [8, 8], true);
    assert_eq!(end_planes(&case.problem(), EndTest::Negative), Err(ConvError::SignedOperands { bits: 8, offset: 0 }));
    let problem = case.problem();
    let shaped = |change: fn(&mut ShapeSpec)| ConvProblem { shape: shape.with(change).unwrap(), ..problem };
    assert!(matches!(conv_exact(&shaped(|spec| spec.c = 3)), Err(ConvError::Length { .. })));
    assert!(matches!(conv_exact(&ConvProblem { weight_bits: 4, ..problem }), Err(ConvError::Code { .. })));
    assert!(matches!(conv_exact(&shaped(|spec| spec.strides[0] = 1 << 25)), Err(ConvError::Extent { .. })));
}
