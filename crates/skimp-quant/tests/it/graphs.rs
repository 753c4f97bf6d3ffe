//! Random graphs of every operator: each engine against its specification.
//!
//! `SKIMP_GRAPHS=FIRST..END` runs those seeds instead of the usual ones.

use rayon::{ThreadPool, ThreadPoolBuilder};
use skimp_cpu::CpuExecutor;
use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::integer::{IntegerEngine, IntegerReference, lower};
use skimp_graph::ops;
use skimp_graph::reference::Reference;
use skimp_graph::rewrite::simplify;
use skimp_graph::testing::{ElementTypes, RandomGraph, random_graph, random_tensor};
use skimp_graph::{AutoPad, DType, Data, Dim, Executor, GraphBuilder, GraphError, Op, Tensor, Window};
use skimp_quant::{QdqConfig, QuantizationConfig, WeightScales, calibrate, quantize, quantize_qdq};

use crate::qdq::configs;

/// How far inexact outputs may be off, relative to the largest magnitude in the graph: ten nodes, each with the
/// rounding of a sum of at most a thousand products in f32.
const RELATIVE: f32 = 1e-4;

/// What went wrong with a graph.
type Wrong = String;

fn elements(tensor: &Tensor) -> (Vec<usize>, Vec<u64>) {
    let bits = match tensor.data() {
        Data::F32(x) => x.iter().map(|x| u64::from(x.to_bits())).collect(),
        Data::F64(x) => x.iter().map(|x| x.to_bits()).collect(),
        Data::I64(x) => x.iter().map(|&x| x as u64).collect(),
        Data::I32(x) => x.iter().map(|&x| x as u64).collect(),
        Data::I16(x) => x.iter().map(|&x| x as u64).collect(),
        Data::I8(x) => x.iter().map(|&x| x as u64).collect(),
        Data::U16(x) => x.iter().map(|&x| u64::from(x)).collect(),
        Data::U8(x) => x.iter().map(|&x| u64::from(x)).collect(),
        Data::Bool(x) => x.iter().map(|&x| u64::from(x)).collect(),
    };
    (tensor.shape().to_vec(), bits)
}

/// Whether two runs gave the same bits, or the same kind of error.
fn same(what: &str, a: &Result<Vec<Tensor>, GraphError>, b: &Result<Vec<Tensor>, GraphError>) -> Result<(), Wrong> {
    let same = match (a, b) {
        (Ok(a), Ok(b)) => a.iter().map(elements).eq(b.iter().map(elements)),
        (Err(a), Err(b)) => std::mem::discriminant(a) == std::mem::discriminant(b),
        _ => false,
    };
    if same { Ok(()) } else { Err(format!("{what}: {a:?} and {b:?}")) }
}

/// Whether outputs are the expected ones: exactly where they are exact, else closely.
fn close(what: &str, got: &[Tensor], expected: &[Tensor], random: &RandomGraph) -> Result<(), Wrong> {
    for (idx, (got, expected)) in got.iter().zip(expected).enumerate() {
        let wrong = |cause: String| Err(format!("{what}, output {idx}: {cause}"));
        if (got.shape(), got.dtype()) != (expected.shape(), expected.dtype()) {
            return wrong(format!("{} {:?} for {} {:?}", got.dtype(), got.shape(), expected.dtype(), expected.shape()));
        }
        let finite = |x: &&f32| x.is_finite();
        let elsewhere =
            expected.as_f32().unwrap_or_default().iter().filter(finite).fold(0_f32, |most, x| most.max(x.abs()));
        let tolerance = if random.is_exact[idx] { 0.0 } else { RELATIVE * random.largest.max(elsewhere) };
        match (got.as_f32(), expected.as_f32()) {
            (Some(got), Some(expected)) => {
                // A single image of a graph that mixes images may leave the range that the generator keeps to.
                let near = |(g, e): (&f32, &f32)| {
                    g.to_bits() == e.to_bits() || (g - e).abs() <= tolerance || g.is_nan() && e.is_nan()
                };
                if !got.iter().zip(expected).all(near) {
                    return wrong(format!("{got:?} for {expected:?}"));
                }
            }
            // f64 from f32.
            _ if !random.is_exact[idx] => {}
            _ if elements(got) != elements(expected) => return wrong(format!("{got:?} for {expected:?}")),
            _ => {}
        }
    }
    Ok(())
}

fn first_image(batch: &Tensor) -> Option<Tensor> {
    let (&n, rest) = batch.shape().split_first()?;
    let elements = batch.as_f32()?;
    let shape = std::iter::once(1).chain(rest.iter().copied()).collect();
    Some(Tensor::from_f32(shape, elements[..elements.len() / n].to_vec()))
}

struct Harness {
    pools: [ThreadPool; 2],
    configs: Vec<QdqConfig>,
}

impl Harness {
    fn new() -> Self {
        let pool = |n| ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        Self { pools: [1, 2].map(pool), configs: configs() }
    }

    /// The f32 engine on the whole batch and on its first image, by one and two threads.
    fn f32_engine(&self, random: &RandomGraph) -> Result<(), Wrong> {
        let graph = &random.graph;
        let executor = CpuExecutor::new(graph).map_err(|error| error.to_string())?;
        let [one, two] = [0, 1].map(|i: usize| self.pools[i].install(|| executor.run(&random.inputs)));
        same("one and two threads", &one, &two)?;
        close("f32", &one.map_err(|error| error.to_string())?, &random.expected, random)?;
        let single: Option<Vec<Tensor>> = random.inputs.iter().map(first_image).collect();
        let single = single.ok_or("inputs are batches of f32")?;
        match (Reference::new(graph).run(&single), self.pools[0].install(|| executor.run(&single))) {
            (Ok(expected), Ok(got)) => close("f32, one image", &got, &expected, random),
            (Err(_), Err(_)) => Ok(()),
            // The engine leaves out what no output needs and what hands its input on, and with it that node's error.
            (Err(_), Ok(got)) => match Reference::new(&simplify(graph)).run(&single) {
                Ok(expected) => close("f32, one image", &got, &expected, random),
                Err(error) => Err(format!("one image: {got:?} for {error}")),
            },
            (Ok(expected), Err(error)) => Err(format!("one image: {error} for {expected:?}")),
        }
    }

    /// The integer engine against its specification, and at 16 bits near the f32 one.
    fn integer_engine(&self, random: &RandomGraph, seed: u64) -> Result<bool, Wrong> {
        let Ok(calibration) = calibrate(&random.graph, &Reference::new(&random.graph), [random.inputs.clone()]) else {
            return Ok(false);
        };
        let bits = [16, 8, 4][seed as usize % 3];
        let config = QuantizationConfig {
            weight_bits: bits,
            activation_bits: bits,
            weight_scales: WeightScales::PerChannel,
            ..QuantizationConfig::default()
        };
        let Ok(quantized) = quantize(&random.graph, &config, &calibration) else { return Ok(false) };
        let specified = IntegerReference::new(&quantized.graph).map_err(|error| error.to_string())?;
        let executor = IntegerExecutor::new(&quantized.graph).map_err(|error| error.to_string())?;
        let expected = specified.run(&random.inputs);
        let [one, two] = [0, 1].map(|i: usize| self.pools[i].install(|| executor.run(&random.inputs)));
        same("integer engine", &one, &expected)?;
        same("integer engine, two threads", &two, &expected)?;
        if let (Ok(got), true, 16) = (&expected, random.is_smooth, bits) {
            for (got, expected) in got.iter().zip(&random.expected) {
                let (Some(got), Some(expected)) = (got.as_f32(), expected.as_f32()) else { continue };
                let far = got.iter().zip(expected).any(|(g, e)| (g - e).abs() > random.largest / 16.0);
                if far || got.len() != expected.len() {
                    return Err(format!("integer specification: {got:?} for {expected:?}"));
                }
            }
        }
        Ok(true)
    }

    /// The network in QDQ form on the integer engine.
    fn qdq_engine(&self, random: &RandomGraph, seed: u64) -> Result<bool, Wrong> {
        let Ok(calibration) = calibrate(&random.graph, &Reference::new(&random.graph), [random.inputs.clone()]) else {
            return Ok(false);
        };
        let config = &self.configs[seed as usize % self.configs.len()];
        let Ok(network) = quantize_qdq(&random.graph, config, &calibration) else { return Ok(false) };
        let Ok(lowered) = lower(&network.graph) else { return Ok(false) };
        let expected = IntegerReference::new(&lowered).and_then(|engine| engine.run(&random.inputs));
        let executor = IntegerExecutor::new(&lowered).map_err(|error| error.to_string())?;
        let [one, two] = [0, 1].map(|i: usize| self.pools[i].install(|| executor.run(&random.inputs)));
        same("QDQ, integer engine", &one, &expected)?;
        same("QDQ, integer engine, two threads", &two, &expected)?;
        Ok(true)
    }

    fn check(&self, seed: u64, counts: &mut [usize; 3]) -> Result<(), Wrong> {
        let types = if seed % 8 == 7 { ElementTypes::Any } else { ElementTypes::F32 };
        let random = random_graph(seed, types);
        let nodes: Vec<String> =
            random.graph.nodes().iter().map(|n| format!("{:?} -> {:?}: {:?}", n.inputs, n.outputs, n.op)).collect();
        let context = |wrong: Wrong| format!("seed {seed}: {wrong}\n{}", nodes.join("\n"));
        self.f32_engine(&random).map_err(context)?;
        counts[0] += 1;
        if seed.is_multiple_of(4) {
            counts[1] += usize::from(self.integer_engine(&random, seed / 4).map_err(context)?);
        }
        if seed % 4 == 2 {
            counts[2] += usize::from(self.qdq_engine(&random, seed / 4).map_err(context)?);
        }
        Ok(())
    }
}

#[test]
fn engines_equal_their_specifications_on_any_graph() {
    let range = std::env::var("SKIMP_GRAPHS").ok().map(|range| {
        let (first, end) = range.split_once("..").expect("SKIMP_GRAPHS=FIRST..END");
        first.parse::<u64>().unwrap()..end.parse::<u64>().unwrap()
    });
    let harness = Harness::new();
    let mut counts = [0; 3];
    let mut failures = Vec::new();
    let is_usual = range.is_none();
    for seed in range.unwrap_or(0..8000) {
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut own = [0; 3];
            harness.check(seed, &mut own).map(|()| own)
        }));
        match checked {
            Ok(Ok(own)) => counts.iter_mut().zip(own).for_each(|(sum, n)| *sum += n),
            Ok(Err(wrong)) => failures.push(wrong),
            Err(_) => failures.push(format!("seed {seed}: panic")),
        }
        if failures.len() >= 20 {
            break;
        }
        if seed % 50_000 == 49_999 {
            println!("seed {seed}: {counts:?} graphs by the f32, integer and 8-bit engines, {} wrong", failures.len());
        }
    }
    println!("{counts:?} graphs by the f32, integer and 8-bit engines, {} wrong", failures.len());
    assert!(failures.is_empty(), "{} wrong\n{}", failures.len(), failures.join("\n"));
    if is_usual {
        assert!(counts[1] > 300 && counts[2] > 300, "{counts:?}");
    }
}

/// Padding and dilation of 10^8 in every engine of codes: nothing of that size is stored.
#[test]
fn wide_paddings_are_not_stored() {
    const FAR: usize = 100_000_000;
    let mut builder = GraphBuilder::new("wide");
    let dims = vec![Dim::Free("N".into()), Dim::Fixed(3), Dim::Fixed(2), Dim::Fixed(4)];
    let x = builder.input("x", DType::F32, dims);
    let mut layer = |name: &str, x, groups: usize| {
        let window = Window {
            kernel: vec![3; 2],
            strides: vec![1; 2],
            dilations: vec![FAR; 2],
            pads_begin: vec![FAR; 2],
            pads_end: vec![FAR; 2],
            auto_pad: AutoPad::NotSet,
            ceil_mode: false,
        };
        let weight = random_tensor(3, name, vec![3, 3 / groups, 3, 3], 0.0, 1.0);
        let weight = builder.constant(format!("{name}.w"), weight);
        builder.node(name, Op::Conv(ops::Conv { window, groups }), &[x, weight])
    };
    let a = layer("a", x, 1);
    let b = layer("b", a, 3);
    let sum = builder.node("sum", Op::Add, &[b, a]);
    builder.output(sum);
    let graph = builder.build().unwrap();
    let inputs = vec![random_tensor(3, "x", vec![2, 3, 2, 4], 0.0, 1.0)];
    let calibration = calibrate(&graph, &Reference::new(&graph), [inputs.clone()]).unwrap();

    let quantized = quantize(&graph, &QuantizationConfig::default(), &calibration).unwrap();
    let specified = IntegerReference::new(&quantized.graph).unwrap().run(&inputs);
    let got = IntegerExecutor::new(&quantized.graph).unwrap().run(&inputs);
    same("integer engine", &got, &specified).unwrap();

    let lowered = lower(&quantize_qdq(&graph, &configs()[0], &calibration).unwrap().graph).unwrap();
    let specified = IntegerReference::new(&lowered).and_then(|engine| engine.run(&inputs));
    assert!(specified.is_ok(), "{specified:?}");
    let got = IntegerExecutor::new(&lowered).and_then(|engine| engine.run(&inputs));
    same("QDQ, integer engine", &got, &specified).unwrap();
}
