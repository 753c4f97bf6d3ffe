//! Whatever the network, importing, planning and running it within a budget of memory ends in outputs or an error; every
//! engine runs what the reference runs, with outputs of the same shapes.

#![no_main]

mod peak;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use skimp_cpu::CpuExecutor;
use skimp_cpu::integer::IntegerExecutor;
use skimp_graph::ops;
use skimp_graph::integer::{IntegerEngine, is_quantized, lower};
use skimp_graph::reference::Reference;
use skimp_graph::shape::{Shapes, TensorType, infer};
use skimp_graph::{DType, Dim, Executor, Graph, GraphError, GraphInput, Op, Tensor, ValueId, onnx, statistics};

/// Bytes that a run may take.
const BUDGET: usize = 16 << 20;

/// Bytes that may be allocated at once: the budget is a bound on what input can blow up, not an account of every byte.
const ALLOWED: usize = 3 * BUDGET;

/// Multiplications, window elements and values of a network that is run: more takes too long for a fuzzer, unless the
/// budget has to refuse it.
const MAX_WORK: u64 = 1 << 20;

/// Elements that never fit the budget.
const MAX_ELEMENTS: u64 = BUDGET as u64;

/// Small whole numbers of the types and shapes that the network asks for, with a batch of `n` and other free axes of 5.
fn inputs(graph: &Graph, n: usize) -> Option<Vec<Tensor>> {
    let tensor = |input: &GraphInput| {
        let extent = |(axis, dim): (usize, &Dim)| match dim {
            Dim::Fixed(extent) => *extent,
            Dim::Free(_) if axis == 0 => n,
            Dim::Free(_) => 5,
        };
        let shape: Vec<usize> = input.dims.iter().enumerate().map(extent).collect();
        let len =
            shape.iter().try_fold(1_usize, |len, &extent| len.checked_mul(extent)).filter(|&len| len <= 1 << 12)?;
        match input.dtype {
            DType::F32 => Some(Tensor::from_f32(shape, (0..len).map(|i| (i % 17) as f32 - 8.0).collect())),
            DType::I64 => Some(Tensor::from_i64(shape, (0..len).map(|i| i as i64 % 5 - 1).collect())),
            _ => None,
        }
    };
    graph.inputs().iter().map(tensor).collect()
}

/// What a run has to compute, and the elements of its largest value.
fn work(graph: &Graph, shapes: &Shapes) -> (u64, u64) {
    let elements = |id: ValueId| shapes.get(id).map_or(0, TensorType::n_elements);
    let windows = graph.nodes().iter().map(|node| {
        let outputs = node.outputs.iter().map(|&id| elements(id)).fold(0, u64::saturating_add);
        let window = match &node.op {
            Op::MaxPool(ops::MaxPool { window }) | Op::AveragePool(ops::AveragePool { window, .. }) => &window.kernel[..],
            _ => &[],
        };
        window.iter().fold(outputs, |work, &extent| work.saturating_mul(extent as u64))
    });
    let values = (0..graph.values().len()).map(|idx| elements(ValueId(idx)));
    let macs = statistics::compute(graph, shapes).macs;
    let largest = values.clone().max().unwrap_or(0);
    (windows.chain(values).fold(macs, u64::saturating_add), largest)
}

/// Whether a loop may run more often than a fuzzer can wait for: it runs as often as it says.
fn is_long(graph: &Graph) -> bool {
    const MAX_TRIPS: i64 = 1 << 8;
    graph.nodes().iter().any(|node| {
        let trips = node.inputs.first().copied().flatten().and_then(|id| graph.constant(id));
        let trips = trips.and_then(|tensor| tensor.as_i64()?.first().copied());
        let is_endless = matches!(node.op, Op::Loop(_)) && trips.is_none_or(|trips| trips > MAX_TRIPS);
        is_endless || node.op.bodies().iter().any(|body| is_long(body.graph()))
    })
}

fn shapes_of(tensors: &[Tensor]) -> Vec<&[usize]> {
    tensors.iter().map(Tensor::shape).collect()
}

/// An engine has to run what the reference ran.
fn agrees(name: &str, reference: &[Tensor], engine: Result<Vec<Tensor>, GraphError>) {
    match engine {
        Ok(outputs) => assert_eq!(shapes_of(reference), shapes_of(&outputs), "shapes of the outputs of {name}"),
        // Engines differ in what they take.
        Err(GraphError::Memory(_)) => {}
        Err(error) => panic!("the reference runs it, {name} does not: {error}"),
    }
}

fn run(data: &[u8]) {
    let Ok(graph) = onnx::import_bytes(Bytes::copy_from_slice(data), None, "fuzz") else { return };
    // A file of the corpus is a network: how many images it gets follows from its length.
    let Some(inputs) = inputs(&graph, data.len() % 3 + 1) else { return };
    let types: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
    let Ok(shapes) = infer(&graph, &types) else {
        assert!(Reference::new(&graph).run(&inputs).is_err(), "a network without shapes runs");
        return;
    };
    if is_long(&graph) {
        return;
    }
    let (work, largest) = work(&graph, &shapes);
    if work > MAX_WORK && largest <= MAX_ELEMENTS {
        return;
    }
    let reference = Reference::new(&graph).run(&inputs);
    let cpu = CpuExecutor::new(&graph).and_then(|executor| executor.run(&inputs));
    let integer = is_quantized(&graph).then(|| IntegerExecutor::new(&lower(&graph)?)?.run(&inputs));
    if let Ok(reference) = reference {
        agrees("the f32 engine", &reference, cpu);
        // Not every quantized network has integer arithmetic.
        if let Some(Ok(outputs)) = integer {
            agrees("the integer engine", &reference, Ok(outputs));
        }
    }
}

fuzz_target!(|data: &[u8]| {
    skimp_memory::set_budget(skimp_memory::Size(BUDGET as u64));
    peak::within(ALLOWED, || run(data));
});
