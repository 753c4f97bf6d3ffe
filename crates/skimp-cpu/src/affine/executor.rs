//! The executor of 8-bit networks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use skimp_graph::affine::{self, AffineGraph};
use skimp_graph::ops;
use skimp_graph::{GraphError, Op, Tensor, reference};

use super::Isa;
use super::conv::{self, Images, Tail};
use super::depthwise;
use super::layout::Layout;
use super::plan::{Plan, Step, is_separable};
use super::pool;
use super::store::{Coded, Store};

/// Runs an [`AffineGraph`] fast; the same bits as the interpreter's.
///
/// # Determinism
/// The same outputs for any number of threads and any split of the batch: the arithmetic is exact, image by image.
#[derive(Debug)]
pub struct AffineExecutor {
    graph: AffineGraph,
    isa: Isa,
    plans: Mutex<BTreeMap<Vec<Vec<usize>>, Arc<Planned>>>,
}

/// A plan and memory that its runs have left behind.
#[derive(Debug)]
struct Planned {
    plan: Plan,
    /// Whether the plan is for one image of a batch.
    by_image: bool,
    stores: Mutex<Vec<Store>>,
}

impl AffineExecutor {
    /// Binds the executor to a network, on the best instructions of this machine.
    pub fn new(graph: &AffineGraph) -> Self {
        let isa = Isa::available().first().copied().unwrap_or(Isa::Portable);
        Self { graph: graph.clone(), isa, plans: Mutex::new(BTreeMap::new()) }
    }

    /// As [`new`](Self::new), on an instruction set of [`instruction_sets`](Self::instruction_sets); `None` for another name.
    pub fn with_instructions(graph: &AffineGraph, name: &str) -> Option<Self> {
        let isa = Isa::available().into_iter().find(|isa| isa.name() == name)?;
        Some(Self { graph: graph.clone(), isa, plans: Mutex::new(BTreeMap::new()) })
    }

    /// Names of the instruction sets of this machine, the best first.
    pub fn instruction_sets() -> Vec<&'static str> {
        Isa::available().into_iter().map(Isa::name).collect()
    }

    /// Runs the network on `inputs`.
    ///
    /// # Errors
    /// [`GraphError::InvalidInput`] if an input does not fit; the node's error where an operator cannot run.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.graph.check_inputs(inputs)?;
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let planned = self.planned(&shapes)?;
        let n = shapes.first().and_then(|shape| shape.first().copied()).unwrap_or(1);
        if !planned.by_image || n <= 1 {
            return self.run_store(&planned, inputs, rayon::current_num_threads());
        }
        let image = |i: usize| inputs.iter().map(|input| row(input, i)).collect::<Result<Vec<Tensor>, GraphError>>();
        let run = |i: usize| self.run_store(&planned, &image(i)?, 1);
        let parts: Vec<Vec<Tensor>> = (0..n).into_par_iter().map(run).collect::<Result<_, _>>()?;
        let output = |j: usize| {
            let parts: Vec<Option<&Tensor>> = parts.iter().map(|part| part.get(j)).collect();
            let joined = reference::evaluate(&Op::Concat(ops::Concat { axis: 0 }), "batch", &parts)?;
            joined.into_iter().next().ok_or_else(|| broken("a batch has no output"))
        };
        (0..self.graph.outputs.len()).map(output).collect()
    }

    fn planned(&self, shapes: &[Vec<usize>]) -> Result<Arc<Planned>, GraphError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(planned) = plans.get(shapes) {
            return Ok(Arc::clone(planned));
        }
        let whole = Plan::new(&self.graph, shapes)?;
        let n = shapes.first().and_then(|shape| shape.first().copied()).unwrap_or(1);
        let can_cut = n > 1 && shapes.iter().all(|shape| shape.first() == Some(&n));
        let single: Vec<Vec<usize>> =
            shapes.iter().map(|shape| [1].into_iter().chain(shape.iter().skip(1).copied()).collect()).collect();
        let single = if can_cut { Plan::new(&self.graph, &single).ok() } else { None };
        let single = single.filter(|single| is_separable(&self.graph, &whole, single, n));
        let by_image = single.is_some();
        let planned = Arc::new(Planned { plan: single.unwrap_or(whole), by_image, stores: Mutex::new(Vec::new()) });
        plans.insert(shapes.to_vec(), Arc::clone(&planned));
        Ok(planned)
    }

    fn run_store(&self, planned: &Planned, inputs: &[Tensor], threads: usize) -> Result<Vec<Tensor>, GraphError> {
        let known = planned.stores.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut store = match known {
            Some(store) => store,
            None => {
                let bytes = planned.plan.coded.iter().flatten().fold(0_u64, |sum, coded| {
                    let n_images = coded.shape.first().copied().unwrap_or(1) as u64;
                    sum.saturating_add((coded.layout.n_bytes() as u64).saturating_mul(n_images))
                });
                skimp_memory::check(bytes, || "the codes of the 8-bit network".to_owned())?;
                Store::new(&self.graph, &planned.plan.coded)
            }
        };
        for (input, tensor) in self.graph.inputs.iter().zip(inputs) {
            store.put(&planned.plan.coded, input.value.0, tensor.clone());
        }
        let run = Run { graph: &self.graph, coded: &planned.plan.coded, isa: self.isa, threads };
        let result = planned.plan.steps.iter().try_for_each(|step| run.step(step, &mut store)).and_then(|()| {
            let output = |id: &skimp_graph::ValueId| {
                store.tensor(&planned.plan.coded, id.0).ok_or_else(|| broken("an output has no source"))
            };
            self.graph.outputs.iter().map(output).collect()
        });
        planned.stores.lock().unwrap_or_else(PoisonError::into_inner).push(store);
        result
    }
}

fn broken(cause: &str) -> GraphError {
    GraphError::InvalidGraph { graph: "8-bit network".to_owned(), cause: cause.to_owned() }
}

/// Image `i` of a batch.
fn row(batch: &Tensor, i: usize) -> Result<Tensor, GraphError> {
    let shape: Vec<usize> = [1].into_iter().chain(batch.shape()[1..].iter().copied()).collect();
    if let Some(elements) = batch.as_f32() {
        let n = shape.iter().product();
        return Ok(Tensor::from_f32(shape, elements[i * n..][..n].to_vec()));
    }
    let bound = |i: usize| vec![i64::try_from(i).unwrap_or(i64::MAX)];
    let slice = skimp_graph::Slice { axes: vec![0], starts: bound(i), ends: bound(i + 1), steps: vec![1] };
    let rows = reference::evaluate(&Op::Slice(slice), "batch", &[Some(batch)])?;
    rows.into_iter().next().ok_or_else(|| broken("a batch has no image"))
}

struct Run<'a> {
    graph: &'a AffineGraph,
    coded: &'a [Option<Coded>],
    isa: Isa,
    threads: usize,
}

impl Run<'_> {
    fn layout(&self, value: usize) -> Layout {
        self.coded(value).layout
    }

    fn coded(&self, value: usize) -> &Coded {
        self.coded[value].as_ref().expect("a plan takes only values with a layout for bytes")
    }

    /// Calls `work` with the bytes of `inputs` and of `output`, image by image.
    fn by_image<const N: usize>(
        &self,
        store: &mut Store,
        inputs: [usize; N],
        output: usize,
        work: impl Fn([&[u8]; N], &mut [u8]),
    ) {
        let n = self.coded(output).shape[0];
        let mut to = std::mem::take(&mut store.bytes[output]);
        let to_len = self.layout(output).n_bytes();
        for (image, to) in to.chunks_exact_mut(to_len).take(n).enumerate() {
            let from = inputs.map(|input| {
                let len = self.layout(input).n_bytes();
                &store.bytes[input][image * len..][..len]
            });
            work(from, to);
        }
        store.bytes[output] = to;
    }

    fn step(&self, step: &Step, store: &mut Store) -> Result<(), GraphError> {
        match step {
            Step::Node(idx) => return self.node(*idx, store),
            Step::Quantize { input, output } => {
                let tensor = store.tensors[*input].clone().ok_or_else(|| broken("a value has no source"))?;
                let reals = tensor.as_f32().ok_or_else(|| broken("a value to quantize is not f32"))?;
                self.coded(*output).quantize(reals, &mut store.bytes[*output]);
            }
            Step::Dequantize { input, output } => {
                store.tensors[*output] = Some(self.coded(*input).dequantize(&store.bytes[*input]));
            }
            Step::Conv { conv, input, other, output } => self.conv(conv, *input, *other, *output, store),
            Step::Depthwise { layer, input, other, output } => {
                let others = other.unwrap_or(*input);
                self.by_image(store, [*input, others], *output, |[input, others], to| {
                    let images = Images { input, other: other.map(|_| others) };
                    depthwise::run(layer, images, to, self.isa);
                });
            }
            Step::Add { sums, a, b, output } => {
                let [of_a, of_b, of_sum] = [*a, *b, *output].map(|value| self.layout(value));
                self.by_image(store, [*a, *b], *output, |[a, b], to| {
                    for pixel in 0..of_sum.n_pixels() {
                        let (a, b) = (&a[of_a.pixel(pixel)..], &b[of_b.pixel(pixel)..]);
                        let to = &mut to[of_sum.pixel(pixel)..][..of_sum.channels];
                        for ((to, &a), &b) in to.iter_mut().zip(a).zip(b) {
                            *to = sums[usize::from(a) << 8 | usize::from(b)];
                        }
                    }
                });
            }
            Step::Mean { mean, input, output } => {
                let (from, to) = (self.layout(*input), self.layout(*output));
                self.by_image(store, [*input], *output, |[input], output| mean.run(&from, input, &to, output));
            }
            Step::Max { axes, input, output } => {
                let (from, to) = (self.layout(*input), self.layout(*output));
                self.by_image(store, [*input], *output, |[input], output| pool::max(axes, &from, input, &to, output));
            }
            Step::Table { table, input, output } => {
                let (from, to) = (self.layout(*input), self.layout(*output));
                self.by_image(store, [*input], *output, |[input], output| {
                    for pixel in 0..to.n_pixels() {
                        let input = &input[from.pixel(pixel)..];
                        let output = &mut output[to.pixel(pixel)..][..to.channels];
                        output.iter_mut().zip(input).for_each(|(to, &from)| *to = table[usize::from(from)]);
                    }
                });
            }
            Step::Gather { gather, input, output } => {
                self.by_image(store, [*input], *output, |[input], output| gather.run(input, output));
            }
            Step::Concat { inputs, output } => self.concat(inputs, *output, store),
            Step::Copy { input, output } => {
                let (from, to) = (self.layout(*input), self.layout(*output));
                self.by_image(store, [*input], *output, |[input], output| {
                    let n = to.channels;
                    output[to.at(0, 0)..][..n].copy_from_slice(&input[from.at(0, 0)..][..n]);
                });
            }
        }
        Ok(())
    }

    fn conv(&self, conv: &conv::Conv, input: usize, other: Option<usize>, output: usize, store: &mut Store) {
        match &conv.tail {
            Tail::Codes(finish) => {
                self.by_image(store, [input, other.unwrap_or(input)], output, |[input, others], to| {
                    let images = Images { input, other: other.map(|_| others) };
                    conv::run(conv, finish, images, to, self.isa, self.threads);
                });
            }
            Tail::Real(scales) => {
                let from = self.coded(input);
                let to = conv.ends.output;
                let n_elements = to.channels * to.n_pixels();
                let mut reals = vec![0.0; from.shape[0] * n_elements];
                for (image, reals) in reals.chunks_exact_mut(n_elements).enumerate() {
                    let len = from.layout.n_bytes();
                    conv::real(conv, scales, &store.bytes[input][image * len..][..len], reals);
                }
                let n = from.shape[0];
                let dense = from.shape.len() == 2;
                let shape = if dense { vec![n, to.channels] } else { vec![n, to.channels, to.height, to.width] };
                store.tensors[output] = Some(Tensor::from_f32(shape, reals));
            }
        }
    }

    fn concat(&self, inputs: &[usize], output: usize, store: &mut Store) {
        let to = self.layout(output);
        let mut first = 0;
        for &input in inputs {
            let from = self.layout(input);
            self.by_image(store, [input], output, |[input], output| {
                for pixel in 0..to.n_pixels() {
                    let input = &input[from.pixel(pixel)..][..from.channels];
                    output[to.pixel(pixel) + first..][..from.channels].copy_from_slice(input);
                }
            });
            first += from.channels;
        }
    }

    /// A node without a step of its own, by the definition of its operator.
    fn node(&self, idx: usize, store: &mut Store) -> Result<(), GraphError> {
        let node = &self.graph.nodes[idx];
        let inputs: Vec<Option<Tensor>> =
            node.inputs.iter().map(|input| input.and_then(|id| store.tensor(self.coded, id.0))).collect();
        let inputs: Vec<Option<&Tensor>> = inputs.iter().map(Option::as_ref).collect();
        let outputs = affine::evaluate(self.graph, node, &inputs)?;
        for (&id, tensor) in node.outputs.iter().zip(outputs) {
            store.put(self.coded, id.0, tensor);
        }
        Ok(())
    }
}
