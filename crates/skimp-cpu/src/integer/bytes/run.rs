//! The steps of a plan.

use std::sync::{Arc, Mutex, PoisonError};

use skimp_graph::integer::{IntegerGraph, IntegerNode, IntegerTensor, Quotient};
use skimp_graph::{GraphError, Tensor};

use super::Isa;
use super::conv::{self, Images, Tail};
use super::depthwise;
use super::layout::Layout;
use super::plan::{Plan, Step};
use super::pool;
use super::store::{Coded, Store};

/// Runs a node, by its index, on tensors.
type NodeRunner<'a> = dyn Fn(usize, &[&IntegerTensor]) -> Result<Vec<IntegerTensor>, GraphError> + 'a;

/// A plan and memory that its runs have left behind.
#[derive(Debug)]
pub(in crate::integer) struct Planned {
    plan: Plan,
    /// Whether the plan is for one image of a batch.
    pub(in crate::integer) by_image: bool,
    stores: Mutex<Vec<Store>>,
}

impl Planned {
    pub(in crate::integer) fn new(plan: Plan, by_image: bool) -> Arc<Self> {
        Arc::new(Self { plan, by_image, stores: Mutex::new(Vec::new()) })
    }

    /// The outputs for `inputs`. `node` runs a node that has no step of its own.
    pub(in crate::integer) fn run(
        &self,
        graph: &IntegerGraph,
        inputs: &[Tensor],
        (isa, threads): (Isa, usize),
        node: &NodeRunner<'_>,
    ) -> Result<Vec<Tensor>, GraphError> {
        let known = self.stores.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut store = match known {
            Some(store) => store,
            None => {
                skimp_memory::check(self.plan.n_bytes(), || "the codes of the integer network".to_owned())?;
                Store::new(&self.plan.coded)
            }
        };
        for (input, tensor) in graph.inputs.iter().zip(inputs) {
            store.put(&self.plan.coded, input.value.0, IntegerTensor::Real(tensor.clone()));
        }
        let run = Run { graph, coded: &self.plan.coded, isa, threads, node };
        let result = self.plan.steps.iter().try_for_each(|step| run.step(step, &mut store));
        let outputs = result.and_then(|()| {
            let output = |id: &skimp_graph::ValueId| graph.real_output(*id, store.tensors[id.0].as_ref());
            graph.outputs.iter().map(output).collect()
        });
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).push(store);
        outputs
    }
}

struct Run<'a> {
    graph: &'a IntegerGraph,
    coded: &'a [Option<Coded>],
    isa: Isa,
    threads: usize,
    node: &'a NodeRunner<'a>,
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
            Step::Quantize { quotient, input, output } => {
                let Some(IntegerTensor::Real(tensor)) = &store.tensors[*input] else {
                    return Err(self.broken("a value to quantize has no source"));
                };
                let reals = tensor.as_f32().ok_or_else(|| self.broken("a value to quantize is not f32"))?;
                if *quotient == Quotient::Double && reals.iter().any(|x| x.is_nan()) {
                    let input = self.graph.values[*input].name.clone();
                    return Err(GraphError::InvalidInput { input, cause: "holds NaN, which has no code".to_owned() });
                }
                let mut bytes = std::mem::take(&mut store.bytes[*output]);
                self.coded(*output).quantize(*quotient, reals, &mut bytes, self.isa);
                store.bytes[*output] = bytes;
            }
            Step::Dequantize { input, output } => {
                let tensor = self.coded(*input).dequantize(&store.bytes[*input]);
                store.tensors[*output] = Some(IntegerTensor::Real(tensor));
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
                store.tensors[output] = Some(IntegerTensor::Real(Tensor::from_f32(shape, reals)));
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

    /// A node without a step of its own.
    fn node(&self, idx: usize, store: &mut Store) -> Result<(), GraphError> {
        let node: &IntegerNode = &self.graph.nodes[idx];
        let operand = |id: &skimp_graph::ValueId| {
            store.tensor(self.coded, id.0).ok_or_else(|| self.broken("an operand has no source"))
        };
        let inputs = node.inputs.iter().map(operand).collect::<Result<Vec<IntegerTensor>, _>>()?;
        let outputs = (self.node)(idx, &inputs.iter().collect::<Vec<_>>())?;
        for (&id, tensor) in node.outputs.iter().zip(outputs) {
            store.put(self.coded, id.0, tensor);
        }
        Ok(())
    }

    fn broken(&self, cause: &str) -> GraphError {
        GraphError::InvalidGraph { graph: self.graph.name.clone(), cause: cause.to_owned() }
    }
}
