//! Spiking neurons beside those of three libraries.

use std::collections::BTreeMap;

use skimp_graph::ops::{Neuron, Reset, ResetTime};
use skimp_graph::reference::Reference;
use skimp_graph::spiking::{Join, Temporal, TimeLoop};
use skimp_graph::{DType, Dim, Executor, Graph, GraphBuilder, GraphError, Op, Tensor};

const TRACES: &str = include_str!("../data/spiking_traces.csv");

/// A neuron of a library as skimp says it.
#[derive(Debug)]
struct Setting {
    neuron: Neuron,
    /// What the inputs of the file are multiplied by.
    scale: f32,
    /// What the current of skimp is multiplied by to be that of the library, which may show it when it has leaked.
    current: f32,
}

/// The table of docs/spiking.md. `name` is `library.Class:key=value..`.
fn setting(name: &str) -> Setting {
    let (class, keys) = name.split_once(':').unwrap_or((name, ""));
    let keys: BTreeMap<&str, &str> = keys.split(':').filter_map(|key| key.split_once('=')).collect();
    let number = |key: &str| keys.get(key).map(|value| value.parse::<f32>().expect("a number"));
    let reset = keys
        .get("reset")
        .map_or(Reset::Zero, |name| Reset::ALL.into_iter().find(|r| r.name() == *name).expect("a reset"));
    let neuron = match class {
        "snntorch.Leaky" | "snntorch.Synaptic" => {
            let is_synaptic = class.ends_with("Synaptic");
            let is_delayed = number("delay") == Some(1.0);
            Neuron {
                leak: number("beta").expect("a leak"),
                current_leak: number("alpha").unwrap_or(0.0),
                is_strict: true,
                reset: if is_synaptic && reset == Reset::Zero { Reset::Clear } else { reset },
                reset_time: match (is_delayed, reset) {
                    (true, _) => ResetTime::NextStep,
                    (false, Reset::Subtract) => ResetTime::Ahead,
                    (false, _) => ResetTime::SameStep,
                },
                ..Neuron::default()
            }
        }
        "spikingjelly.IFNode" | "spikingjelly.LIFNode" => {
            let tau = number("tau").unwrap_or(f32::INFINITY);
            let rest = number("v_reset").unwrap_or(0.0);
            Neuron {
                leak: 1.0 - 1.0 / tau,
                gain: if number("decay_input") == Some(1.0) { 1.0 / tau } else { 1.0 },
                rest: if class.ends_with("LIFNode") { rest } else { 0.0 },
                reset,
                reset_value: rest,
                initial: rest,
                ..Neuron::default()
            }
        }
        // dt 1 ms; the membrane's time constant is 10 ms, the current's 5 ms.
        "norse.lif_feed_forward" | "norse.LIFCell" | "norse.lif_box_feed_forward" => Neuron {
            leak: 0.9,
            gain: 0.1,
            current_leak: if class.contains("box") { 0.0 } else { 0.8 },
            reset: Reset::Zero,
            is_strict: true,
            ..Neuron::default()
        },
        _ => panic!("{name} is unknown"),
    };
    let current = if class.starts_with("norse") { neuron.current_leak } else { 1.0 };
    Setting { neuron, scale: number("scale").unwrap_or(1.0), current }
}

/// A neuron whose outputs are spikes and states.
fn network(neuron: Neuron) -> Graph {
    let neuron = Neuron { returns_state: true, ..neuron };
    let mut builder = GraphBuilder::new("neuron");
    let x = builder.input("x", DType::F32, vec![Dim::Fixed(1)]);
    let outputs = builder.node_with_outputs("neuron", Op::Neuron(neuron), &[x], neuron.n_outputs());
    outputs.into_iter().for_each(|id| builder.output(id));
    builder.build().expect("a neuron is a graph")
}

fn columns(text: &str) -> Vec<(String, Vec<f32>)> {
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let names = lines.next().expect("a line of names").split(',');
    let mut columns: Vec<_> = names.map(|name| (name.to_owned(), Vec::new())).collect();
    for line in lines {
        for (value, (_, column)) in line.split(',').zip(&mut columns) {
            column.push(value.parse().expect("a number"));
        }
    }
    columns
}

/// Every trace of three libraries is a setting: spikes are equal, potentials and currents within a few roundings.
#[test]
fn traces_of_three_libraries() {
    let columns = columns(TRACES);
    let inputs = &columns[0].1;
    let mut neurons: BTreeMap<&str, Vec<(&str, &[f32])>> = BTreeMap::new();
    for (name, column) in &columns[1..] {
        let (neuron, shown) = name.rsplit_once('.').unwrap();
        neurons.entry(neuron).or_default().push((shown, column));
    }
    assert_eq!(neurons.len(), 42);
    for (name, shown) in neurons {
        let setting = setting(name);
        let temporal = Temporal { join: Join::All, ..Temporal::new(inputs.len()).unwrap() };
        let engine = |graph: &Graph| -> Result<Box<dyn Executor>, GraphError> { Ok(Box::new(Reference::new(graph))) };
        let run = TimeLoop::new(&network(setting.neuron), temporal, engine).unwrap();
        let x = Tensor::from_f32(vec![inputs.len(), 1], inputs.iter().map(|x| x * setting.scale).collect());
        let outputs = run.run(&[x]).unwrap();
        for (shown, expected) in shown {
            let (output, factor) = match shown {
                "spike" => (0, 1.0),
                "v" | "mem" => (1, 1.0),
                "i" | "syn" => (2, setting.current),
                _ => panic!("{name} shows {shown}"),
            };
            let found = outputs[output].as_f32().unwrap();
            for (step, (found, &expected)) in found.iter().map(|x| x * factor).zip(expected).enumerate() {
                let tolerance = if shown == "spike" { 0.0 } else { 2e-6 * expected.abs().max(1.0) };
                let is_near = (found - expected).abs() <= tolerance;
                assert!(is_near, "{name}.{shown}, step {step}: {found}, expected {expected} ({setting:?})");
            }
        }
    }
}
