use std::collections::BTreeSet;

use super::*;
use crate::policy::{self, Policy};
use crate::{Param, ParamRole, Storage, TrainError};

/// Trajectories of PyTorch's optimizers, from `tests/data/optimizer_golden.py`.
const GOLDEN: &str = include_str!("../../tests/data/optimizer_golden.txt");

fn numbers(text: &str) -> Vec<f32> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn param(values: &[f32]) -> Param {
    Param::new("w", ParamRole::Weight, vec![values.len()], Storage::Graph, values, 0)
}

fn fp32() -> Box<dyn Policy> {
    policy::create("fp32").unwrap()
}

#[test]
fn entries_are_complete() {
    let names: BTreeSet<_> = OPTIMIZERS.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), OPTIMIZERS.len());
    for kind in OPTIMIZERS {
        assert!(kind.name().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
        assert!(!kind.summary().is_empty() && !kind.source().is_empty(), "{}", kind.name());
        let rule = parse_rule(Spec::parse("optimizer", kind.name()).unwrap()).unwrap();
        assert!(rule.slots().len() <= 4);
        let error = parse_rule(Spec::parse("optimizer", &format!("{}:no-such=1", kind.name())).unwrap()).unwrap_err();
        assert!(matches!(error, SpecError::UnknownKey { .. }), "{error}");
        assert!(GOLDEN.contains(&format!("\nrule {}", kind.name())), "{} has no golden trajectory", kind.name());
    }
}

/// Both compute in f32 but not in the same order (PyTorch fuses multiplications and additions where the processor can):
/// each of the 20 updates may differ by a few units in the last place of the numbers that go into it.
#[test]
fn trajectories_equal_pytorch() {
    let mut n_cases = 0;
    for case in GOLDEN.split("\n\n").filter(|case| case.contains("rule ")) {
        let field = |name: &str| {
            let line = case.lines().find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with(' ')));
            line.unwrap_or_else(|| panic!("{name} in {case}")).trim().to_owned()
        };
        let number = |name: &str| field(name).parse::<f64>().unwrap();
        let limit = |name: &str| Some(number(name)).filter(|&limit| limit > 0.0);
        let config = OptimizerConfig {
            rule: field("rule"),
            weight_decay: number("weight_decay"),
            no_decay: Vec::new(),
            clip: GradientClip { norm: limit("clip_norm"), value: limit("clip_value") },
        };
        let mut params = [param(&numbers(&field("start")))];
        let mut optimizer = Optimizer::new(&config, &params).unwrap();
        for (step, line) in case.lines().filter_map(|line| line.strip_prefix("step ")).enumerate() {
            let (rate, line) = line.split_once(' ').unwrap();
            let (grad, expected) = line.split_once('|').unwrap();
            params[0].grad_mut().copy_from_slice(&numbers(grad));
            optimizer.step(&mut params, rate.parse().unwrap(), &mut *fp32());
            for (found, expected) in params[0].values().iter().zip(numbers(expected)) {
                let difference = (found - expected).abs();
                assert!(
                    difference <= 4e-7 + 2e-6 * expected.abs(),
                    "{} step {step}: expected {expected}, found {found}",
                    config.rule
                );
            }
        }
        assert_eq!(optimizer.n_updates(), 20, "{}", config.rule);
        n_cases += 1;
    }
    assert!(n_cases >= 10, "{n_cases}");
}

/// Long parameters go through blocks and threads; each element must move as if it were alone.
#[test]
fn blocks_and_threads_do_not_matter() {
    let n = 70_001;
    let value = |i: usize| (i as f32 * 0.37).sin();
    let grad = |i: usize| (i as f32 * 0.11).cos() + 0.3;
    for rule in ["sgd:momentum=0", "sgd:nesterov=true", "adam", "adamw"] {
        let config = OptimizerConfig { rule: rule.to_owned(), weight_decay: 0.01, ..OptimizerConfig::default() };
        let run = |indices: &[usize], policy: &mut dyn Policy| {
            let mut params = [param(&indices.iter().map(|&i| value(i)).collect::<Vec<_>>())];
            let mut optimizer = Optimizer::new(&config, &params).unwrap();
            for _ in 0..3 {
                params[0].grad_mut().iter_mut().zip(indices).for_each(|(to, &i)| *to = grad(i));
                optimizer.step(&mut params, 0.1, policy);
            }
            params[0].values().to_vec()
        };
        let all: Vec<usize> = (0..n).collect();
        let long = run(&all, &mut *fp32());
        assert_eq!(long, run(&all, &mut Rounding::default()), "{rule}: rounding to nothing changes nothing");
        for i in [0, 1, 2047, 2048, 16_383, 16_384, 70_000] {
            assert_eq!(long[i].to_bits(), run(&[i], &mut *fp32())[0].to_bits(), "{rule} element {i}");
        }
    }
}

/// Rounds every assignment to a multiple of 2^-8 if told to, and remembers which there were.
#[derive(Debug, Default)]
struct Rounding {
    coarse: bool,
    kinds: Vec<Assignment>,
}

impl Policy for Rounding {
    fn name(&self) -> &'static str {
        "rounding"
    }

    fn rounds_updates(&self) -> bool {
        true
    }

    fn round_update(&mut self, param_idx: usize, role: ParamRole, kind: Assignment, values: &mut [f32]) {
        assert_eq!((param_idx, role), (0, ParamRole::Weight));
        self.kinds.push(kind);
        if self.coarse {
            values.iter_mut().for_each(|value| *value = (*value * 256.0).round() / 256.0);
        }
    }
}

#[test]
fn policies_round_every_assignment() {
    let config = OptimizerConfig { weight_decay: 0.5, ..OptimizerConfig::default() };
    let mut params = [param(&[1.0])];
    params[0].grad_mut()[0] = 0.3;
    let mut policy = Rounding { coarse: true, kinds: Vec::new() };
    let mut optimizer = Optimizer::new(&config, &params).unwrap();
    optimizer.step(&mut params, 0.1, &mut policy);
    assert_eq!(policy.kinds, [Assignment::Gradient, Assignment::Moment1, Assignment::Value]);
    // 0.3 + 0.5 · 1 = 0.8, rounded to 205/256; 1 − 0.1 · 205/256 is 235.5 of 256ths, rounded away from zero to 236.
    let state = optimizer.state(&params);
    assert_eq!(state, [("momentum/w".to_owned(), &params[0], vec![205.0 / 256.0])]);
    assert_eq!(params[0].values(), [(256.0_f32 * (1.0 - 0.1 * (205.0 / 256.0))).round() / 256.0]);
}

#[test]
fn frozen_parameters_and_exclusions_stay() {
    let config = OptimizerConfig { weight_decay: 0.5, no_decay: vec![ParamRole::Bias], ..OptimizerConfig::default() };
    let of = |role| Param::new(format!("{role:?}"), role, vec![1], Storage::Graph, &[1.0], 0);
    let mut params = [of(ParamRole::Weight), of(ParamRole::Bias), of(ParamRole::Scale)];
    params[2].set_trainable(false);
    let mut optimizer = Optimizer::new(&config, &params).unwrap();
    optimizer.step(&mut params, 0.1, &mut *fp32());
    let values = params.each_ref().map(|param| param.values()[0].to_bits());
    assert_eq!(values, [0.95_f32, 1.0, 1.0].map(f32::to_bits));
    let names: Vec<String> = optimizer.state(&params).into_iter().map(|(name, _, _)| name).collect();
    assert_eq!(names, ["momentum/Weight", "momentum/Bias"]);
}

#[test]
fn hooks_mask_and_clamp() {
    let mut params = [param(&[0.5, 0.9, -0.9])];
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), &params).unwrap();
    optimizer.add_hook(Box::new(Mask { masks: vec![Some(vec![0.0, 1.0, 1.0])] }));
    optimizer.add_hook(Box::new(Clamp { limits: vec![Some(1.0)] }));
    params[0].grad_mut().copy_from_slice(&[f32::INFINITY, -5.0, 5.0]);
    optimizer.step(&mut params, 1.0, &mut *fp32());
    assert_eq!(params[0].values(), [0.0, 1.0, -1.0]);
    assert_eq!(optimizer.state(&params)[0].2, [0.0, -5.0, 5.0]);
}

#[test]
fn a_restored_state_goes_on_to_the_bit() {
    let config = OptimizerConfig { rule: "adam".to_owned(), ..OptimizerConfig::default() };
    let mut params = [Param::new("w", ParamRole::Weight, vec![2, 2], Storage::Transposed, &[1.0, 2.0, 3.0, 4.0], 0)];
    params[0].grad_mut().copy_from_slice(&[0.1, 0.2, 0.3, 0.4]);
    let mut optimizer = Optimizer::new(&config, &params).unwrap();
    optimizer.step(&mut params, 0.1, &mut *fp32());
    let state: Vec<(String, Vec<f32>)> =
        optimizer.state(&params).into_iter().map(|(name, _, values)| (name, values)).collect();
    let (mut other_params, mut other) = (params.clone(), Optimizer::new(&config, &params).unwrap());
    let find = |name: &str, _: &Param| {
        state.iter().find(|(other, _)| other == name).map(|(_, values)| values.clone()).ok_or(())
    };
    other.restore(&params, optimizer.n_updates(), find).unwrap();
    optimizer.step(&mut params, 0.1, &mut *fp32());
    other.step(&mut other_params, 0.1, &mut *fp32());
    assert_eq!(params[0].values(), other_params[0].values());
    assert!(other.restore(&params, 1, |_, _| Err("no")).is_err());
}

#[test]
fn norms_do_not_depend_on_threads() {
    let grads: Vec<f32> = (0..100_000).map(|i| ((i * 7919) % 1013) as f32 * 1e-3).collect();
    let mut params = [param(&grads), param(&[3.0])];
    params[0].grad_mut().copy_from_slice(&grads);
    params[1].grad_mut()[0] = 4.0;
    let norms: Vec<u64> = [1, 2, 5]
        .map(|n| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
            pool.install(|| gradient_norm(&params)).to_bits()
        })
        .to_vec();
    assert!(norms.iter().all(|&norm| norm == norms[0]));
    let expected = (grads.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>() + 16.0).sqrt();
    assert!((f64::from_bits(norms[0]) / expected - 1.0).abs() < 1e-12);
}

#[test]
fn bad_settings_are_named() {
    let error = |config: OptimizerConfig| Optimizer::new(&config, &[]).unwrap_err();
    let default = OptimizerConfig::default;
    assert!(matches!(error(OptimizerConfig { rule: "sgdd".to_owned(), ..default() }), TrainError::Spec(_)));
    for (rule, text) in [
        ("sgd:momentum=2", "optimizer \"sgd\": momentum=2: expected a number from 0 to 1"),
        ("sgd:nesterov=true,momentum=0", "optimizer \"sgd\": nesterov=true: expected momentum above 0"),
        ("adam:beta1=1", "optimizer \"adam\": beta1=1: expected a number from 0 to below 1"),
        ("adam:eps=x", "optimizer \"adam\": eps=x: expected a number"),
        ("momentum", "unknown optimizer \"momentum\"; valid are sgd, adam, adamw"),
    ] {
        let error = error(OptimizerConfig { rule: rule.to_owned(), ..default() }).to_string();
        assert!(error.starts_with(text), "{error}");
    }
    let error = error(OptimizerConfig { weight_decay: f64::NAN, ..default() }).to_string();
    assert_eq!(error, "weight decay: expected a number from 0, found NaN");
}
