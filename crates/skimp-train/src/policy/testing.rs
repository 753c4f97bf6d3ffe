//! What the tests of policies share, and tests of where each policy rounds what.
#![allow(clippy::float_cmp, reason = "results are compared exactly")]

use skimp_numerics::formats::{
    BF16, FP8_152, FP8_E4M3, FP8_E5M2, FP16, FP16_169, HFP8_143, MXFP4_E2M1, MXFP6_E3M2, MXFP8_E4M3,
};
use skimp_numerics::{BlockAxis, FloatCast, FloatFormat, MxCast, MxElement, RandomBits, Rounding, ScaleRule};

use super::{Arithmetic, Assignment, ChunkedSum, Contraction, Operand, Pass, Policy, Role, Site, SiteKind, create};
use crate::ParamRole;

/// A convolution in the middle of a network.
pub(super) fn site(layer: usize) -> Site {
    Site { layer, name: format!("conv{layer}"), kind: SiteKind::Conv, is_first: false, is_last: false }
}

const ROWS: usize = 70;
const COLUMNS: usize = 40;

/// Numbers over many magnitudes, some beyond the 8-bit formats.
fn values() -> Vec<f32> {
    (0..(ROWS * COLUMNS) as u64)
        .map(|i| {
            let draw = skimp_numerics::rng::normal(1, 2, i) as f32;
            draw * 2.0_f32.powi((i % 30) as i32 - 18)
        })
        .collect()
}

fn contraction(role: Role, pass: Pass) -> Contraction {
    match (role, pass) {
        (Role::Weight, Pass::Forward) | (_, Pass::WeightGrad) => Contraction::Rows { run: ROWS },
        _ => Contraction::Columns { run: COLUMNS },
    }
}

fn rounded(policy: &mut dyn Policy, site: &Site, role: Role, pass: Pass) -> Vec<f32> {
    let mut all = values();
    if policy.casts(site, role, pass) {
        let contraction = contraction(role, pass);
        policy.cast(site, Operand { role, pass, values: &mut all, rows: ROWS, columns: COLUMNS, contraction });
    }
    all
}

/// What a tensor becomes.
#[derive(Clone, Copy, Debug)]
enum Form {
    F32,
    Float(FloatFormat),
    Block(MxElement),
}

impl Form {
    fn expected(self, role: Role, pass: Pass) -> Vec<f32> {
        let mut all = values();
        match self {
            Self::F32 => {}
            Self::Float(format) => {
                let cast = FloatCast::new(format);
                // Conversions of 8-bit policies saturate whatever the format's own rule; fp16's must not.
                let saturates = format.bits() == 8 || format == FP16_169;
                let overflow =
                    if saturates { skimp_numerics::Overflow::Saturate } else { skimp_numerics::Overflow::Special };
                cast.with_overflow(overflow).round_slice(&mut all, RandomBits::default());
            }
            Self::Block(element) => {
                let axis = match contraction(role, pass) {
                    Contraction::Rows { .. } => BlockAxis::Columns,
                    _ => BlockAxis::Rows,
                };
                let cast = MxCast::new(element, Rounding::NearestEven, ScaleRule::Floor);
                cast.round_matrix(&mut all, COLUMNS, axis, RandomBits::default());
            }
        }
        all
    }
}

/// The operands of the three products and the weight gradient, in this order.
const PLACES: [(Role, Pass); 7] = [
    (Role::Activation, Pass::Forward),
    (Role::Weight, Pass::Forward),
    (Role::Error, Pass::InputGrad),
    (Role::Weight, Pass::InputGrad),
    (Role::Activation, Pass::WeightGrad),
    (Role::Error, Pass::WeightGrad),
    (Role::WeightGradient, Pass::WeightGrad),
];

#[test]
fn each_tensor_has_its_format() {
    use Form::{Block, F32, Float};
    let operands = |activation, weight, error, gradient| {
        [activation, weight, error, weight, activation, error, gradient].map(|form: Form| form)
    };
    let all = |form| operands(form, form, form, F32);
    let wide = operands(Float(FP16_169), Float(FP16_169), Float(FP16_169), Float(FP16_169));
    let ibm = Float(FP8_152);
    let hfp8 = Float(HFP8_143);
    // Policy, and the forms of a layer in the middle, the first and the last one.
    let cases = [
        ("fp32", [all(F32); 3]),
        ("fp16", [operands(Float(FP16), Float(FP16), Float(FP16), Float(FP16)); 3]),
        ("bf16:count=true", [all(Float(BF16)); 3]),
        ("fp8-ibm", [operands(ibm, ibm, ibm, ibm), operands(Float(FP16_169), ibm, ibm, ibm), wide]),
        ("fp8-ibm:first=8,last=8", [operands(ibm, ibm, ibm, ibm); 3]),
        (
            "hfp8",
            [operands(hfp8, hfp8, ibm, Float(FP16_169)), operands(Float(FP16_169), hfp8, ibm, Float(FP16_169)), wide],
        ),
        ("fp8-ocp:scaling=none", [operands(Float(FP8_E4M3), Float(FP8_E4M3), Float(FP8_E5M2), F32); 3]),
        ("mxfp8", [all(Block(MXFP8_E4M3)); 3]),
        ("mxfp6", [all(Block(MXFP6_E3M2)); 3]),
        ("mxfp4", [all(Block(MXFP4_E2M1)); 3]),
        ("mxfp4:exempt=ends", [all(Block(MXFP4_E2M1)), all(F32), all(F32)]),
    ];
    for (name, forms) in cases {
        let sites = [site(1), Site { is_first: true, ..site(0) }, Site { is_last: true, ..site(2) }];
        for (site, forms) in sites.iter().zip(forms) {
            let mut policy = create(name).expect("a policy");
            policy.begin_step(1, 1, 1);
            for ((role, pass), form) in PLACES.into_iter().zip(forms) {
                let found = rounded(policy.as_mut(), site, role, pass);
                assert!(found == form.expected(role, pass), "{name} {} {role:?} {pass:?}: not {form:?}", site.name);
            }
        }
    }
}

#[test]
fn stored_results_have_their_format() {
    for (name, kind, form) in [
        ("fp16", SiteKind::Conv, Form::Float(FP16)),
        ("fp16", SiteKind::BatchNorm, Form::Float(FP16)),
        ("fp16:store=fp32", SiteKind::BatchNorm, Form::F32),
        ("bf16", SiteKind::BatchNorm, Form::F32),
        ("bf16:store=bf16", SiteKind::Elementwise, Form::Float(BF16)),
        // Chunked sums are 16-bit numbers already.
        ("fp8-ibm", SiteKind::Conv, Form::F32),
        ("fp8-ibm:accumulate=fp32", SiteKind::Dense, Form::Float(FP16_169)),
        ("fp8-ibm", SiteKind::BatchNorm, Form::Float(FP16_169)),
        ("hfp8", SiteKind::Elementwise, Form::Float(FP16_169)),
        ("mxfp8", SiteKind::Conv, Form::F32),
    ] {
        let mut policy = create(name).expect("a policy");
        policy.begin_step(1, 1, 1);
        let site = Site { kind, ..site(3) };
        for (role, pass) in [(Role::Output, Pass::Forward), (Role::InputGradient, Pass::InputGrad)] {
            let found = rounded(policy.as_mut(), &site, role, pass);
            assert!(found == form.expected(role, pass), "{name} {kind:?} {role:?}");
        }
    }
}

#[test]
fn sums_and_updates_have_their_arithmetic() {
    let chunked = |chunk| Arithmetic::Chunked(ChunkedSum { chunk, ..ChunkedSum::FP16_169 });
    for (name, arithmetic) in [
        ("fp16", Arithmetic::F32),
        ("bf16", Arithmetic::Bf16),
        ("fp8-ibm", chunked(64)),
        ("fp8-ibm:chunk=0", chunked(usize::MAX)),
        ("hfp8:chunk=128", chunked(128)),
        ("fp8-ibm:accumulate=fp32", Arithmetic::F32),
        ("int8-banner", Arithmetic::F32),
        ("mxfp4", Arithmetic::F32),
    ] {
        let policy = create(name).expect("a policy");
        for pass in [Pass::Forward, Pass::InputGrad, Pass::WeightGrad] {
            assert_eq!(policy.arithmetic(&site(1), pass), arithmetic, "{name} {pass:?}");
            // Operands of 16 bits: those of the last layer, and the images.
            let wide = match arithmetic {
                Arithmetic::Chunked(sum) => Arithmetic::Chunked(ChunkedSum { wide_products: true, ..sum }),
                other => other,
            };
            let last = Site { is_last: true, ..site(2) };
            assert_eq!(policy.arithmetic(&last, pass), wide, "{name} {pass:?}");
            let (first, expected) =
                (Site { is_first: true, ..site(0) }, if pass == Pass::InputGrad { arithmetic } else { wide });
            assert_eq!(policy.arithmetic(&first, pass), expected, "{name} {pass:?}");
        }
    }
    let next = 1.0 + 1.0 / 512.0;
    for (name, expected) in [("fp8-ibm:update=nearest", Some([1.0, next])), ("fp8-ibm:update=fp32", None)] {
        let mut policy = create(name).expect("a policy");
        assert_eq!(policy.rounds_updates(), expected.is_some(), "{name}");
        for kind in [Assignment::Gradient, Assignment::Moment1, Assignment::Value] {
            let mut values = [1.0004, 1.0016];
            policy.round_update(0, ParamRole::Weight, kind, &mut values);
            assert_eq!(values, expected.unwrap_or([1.0004, 1.0016]), "{name} {kind:?}");
        }
    }
    // Stochastic: both neighbors, in the right proportion (sigma of the share 0.004).
    let mut policy = create("fp8-ibm").expect("a policy");
    policy.begin_step(1, 1, 1);
    let mut values = vec![1.0 + 0.25 / 512.0; 10_000];
    policy.round_update(0, ParamRole::Scale, Assignment::Value, &mut values);
    let ups = values.iter().filter(|value| **value == next).count();
    assert!(values.iter().all(|value| *value == 1.0 || *value == next));
    assert!((ups as f64 / 1e4 - 0.25).abs() < 0.022, "{ups}");
}
