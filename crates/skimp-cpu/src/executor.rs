//! The f32 executor.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use skimp_graph::shape::{self, TensorType};
use skimp_graph::{
    DType, Dim, Executor, Graph, GraphError, GraphInput, Node, Observer, Tensor, Value, ValueId, memory, reference,
    rewrite,
};

use crate::kernels::sparse::Zeros;
use crate::kernels::winograd::Order;
use crate::plan::{Arenas, Choices, Packs, Plan, build};

/// Plans kept per graph; one for each image size in use.
const MAX_PLANS: usize = 8;

/// Runs f32 networks on blocked SIMD kernels, planned once per image size.
///
/// What no output needs, what hands its input on and transposes that cancel are left out, with the errors that they would
/// raise; batch normalization, what else scales and shifts channels, residual additions and activations are fused into
/// convolutions, elementwise operators into products of matrices and into one pass; memory is planned, and weights are
/// packed once. Whole batches run image by image over the current
/// rayon pool; a batch smaller than the pool is split inside its layers. [`run_observed`](Executor::run_observed) runs every
/// node of the network by itself.
///
/// # Determinism
/// The result for an image depends neither on the number of threads nor on the other images of the batch, bit by bit.
/// It may differ between processors with different vector instructions, and between fused and observed runs, by
/// rounding.
///
/// # Order
/// [`new`](Self::new) adds up products in the order of the definition; [`with_order`](Self::with_order) may take the fewer
/// multiplications of [`Order::Free`].
///
/// # Zeros
/// Convolutions and dense layers with many weights that are zero leave these out where that is faster ([`Zeros`]): the
/// terms that remain are added in the same order. A product of zero and an infinite or undefined activation is left out
/// with the others, where the definition has NaN.
///
/// # Examples
/// ```
/// use skimp_cpu::CpuExecutor;
/// use skimp_graph::{DType, Dim, Executor, Graph, GraphInput, Node, Op, Tensor, Value, ValueId};
///
/// let value = |name: &str| Value { name: name.into(), constant: None };
/// let relu = Node { name: "relu".into(), op: Op::Relu, inputs: vec![Some(ValueId(0))], outputs: vec![ValueId(1)] };
/// let dims = vec![Dim::Free("N".into()), Dim::Fixed(2)];
/// let input = GraphInput { value: ValueId(0), dtype: DType::F32, dims };
/// let graph = Graph::new("tiny", vec![input], vec![ValueId(1)], vec![value("x"), value("y")], vec![relu])?;
/// let outputs = CpuExecutor::new(&graph)?.run(&[Tensor::from_f32(vec![1, 2], vec![-1.0, 3.0])])?;
/// assert_eq!(outputs[0].as_f32(), Some([0.0, 3.0].as_slice()));
/// # Ok::<(), skimp_graph::GraphError>(())
/// ```
#[derive(Debug)]
pub struct CpuExecutor {
    prepared: Runner,
    /// The network as it was given, where preparing changed it.
    given: Option<Graph>,
    /// Runs that, made on first use.
    observed: OnceLock<Runner>,
}

impl CpuExecutor {
    /// Binds the executor to a graph and evaluates what does not depend on the inputs.
    ///
    /// # Errors
    /// A node's error where it has only constant inputs and cannot run.
    pub fn new(graph: &Graph) -> Result<Self, GraphError> {
        Self::with_zeros(graph, Zeros::default())
    }

    /// The same, with a choice of what becomes of weights that are zero.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_zeros(graph: &Graph, zeros: Zeros) -> Result<Self, GraphError> {
        Self::with(graph, Choices { zeros, ..Choices::default() })
    }

    /// The same, with a choice of the order of sums.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_order(graph: &Graph, order: Order) -> Result<Self, GraphError> {
        Self::with(graph, Choices { order, ..Choices::default() })
    }

    fn with(graph: &Graph, choices: Choices) -> Result<Self, GraphError> {
        let prepared = rewrite::prepare(graph);
        let is_same = prepared.nodes() == graph.nodes();
        let prepared = Runner::new(if is_same { graph } else { &prepared }, choices)?;
        Ok(Self { prepared, given: (!is_same).then(|| graph.clone()), observed: OnceLock::new() })
    }

    /// Bytes of working memory that a run on inputs of these shapes takes beside its inputs, outputs and packed weights,
    /// by `n_threads` threads. Planned, not measured: nothing of it is allocated yet. Where the network runs node by
    /// node, it is what its values take while they are needed.
    ///
    /// # Errors
    /// As [`shape::infer`], where the inputs do not fit the network.
    pub fn working_bytes(&self, inputs: &[Vec<usize>], n_threads: usize) -> Result<u64, GraphError> {
        let engine = &self.prepared.engine;
        let shapes = shape::infer(&engine.graph, inputs)?;
        if let Some((n_images, planned)) = engine.planned_for(inputs)?
            && let Some(plan) = &planned.plan
        {
            return Ok(plan.arena_bytes().saturating_mul(n_images.min(n_threads.max(1)) as u64));
        }
        Ok(memory::beside_inputs(&engine.graph, &shapes))
    }

    /// Names of the layers that leave out weights that are zero, for inputs of these shapes.
    ///
    /// # Errors
    /// As [`shape::infer`], where the inputs do not fit the network.
    pub fn sparse_layers(&self, inputs: &[Vec<usize>]) -> Result<Vec<String>, GraphError> {
        let engine = &self.prepared.engine;
        shape::infer(&engine.graph, inputs)?;
        let planned = engine.planned_for(inputs)?;
        let plan = planned.as_ref().and_then(|(_, planned)| planned.plan.as_ref());
        Ok(plan.map(|plan| plan.sparse().to_vec()).unwrap_or_default())
    }

    /// Runs the network as it was given.
    fn observed(&self) -> Result<&Runner, GraphError> {
        let Some(graph) = &self.given else { return Ok(&self.prepared) };
        if let Some(runner) = self.observed.get() {
            return Ok(runner);
        }
        let runner = Runner::new(graph, self.prepared.engine.choices)?;
        Ok(self.observed.get_or_init(|| runner))
    }
}

/// A graph, to be run whole or node by node.
#[derive(Debug)]
struct Runner {
    engine: Engine,
    /// For each node, an engine for it alone, made on first use.
    nodes: Vec<OnceLock<Option<Engine>>>,
}

impl Runner {
    fn new(graph: &Graph, choices: Choices) -> Result<Self, GraphError> {
        let nodes = graph.nodes().iter().map(|_| OnceLock::new()).collect();
        Ok(Self { engine: Engine::new(graph, choices, Arc::default())?, nodes })
    }

    /// Runs every node by itself on the whole batch.
    fn run_nodes(&self, inputs: &[Tensor], observer: &mut Observer<'_>) -> Result<Vec<Tensor>, GraphError> {
        let graph = &self.engine.graph;
        let mut values: Vec<Option<Tensor>> = graph.values().iter().map(|value| value.constant.clone()).collect();
        for (input, tensor) in graph.inputs().iter().zip(inputs) {
            values[input.value.0] = Some(tensor.clone());
        }
        let mut n_readers: Vec<usize> = graph.consumers().iter().map(Vec::len).collect();
        graph.outputs().iter().for_each(|id| n_readers[id.0] += 1);
        for (idx, node) in graph.nodes().iter().enumerate() {
            let constants = node.outputs.iter().map(|id| self.engine.constants[id.0].clone());
            let outputs = match constants.collect::<Option<Vec<Tensor>>>() {
                Some(outputs) => outputs,
                None => self.run_node(idx, node, &values)?,
            };
            for (&id, tensor) in node.outputs.iter().zip(outputs) {
                observer(id, &tensor);
                values[id.0] = Some(tensor);
            }
            for &id in node.inputs.iter().flatten() {
                n_readers[id.0] -= 1;
                if n_readers[id.0] == 0 {
                    values[id.0] = None;
                }
            }
        }
        Ok(graph.outputs().iter().filter_map(|id| values[id.0].clone()).collect())
    }

    fn run_node(&self, idx: usize, node: &Node, values: &[Option<Tensor>]) -> Result<Vec<Tensor>, GraphError> {
        let engine = self.nodes[idx].get_or_init(|| Engine::for_node(node, &self.engine, values).ok());
        if let Some(engine) = engine {
            let inputs: Option<Vec<Tensor>> =
                engine.sources.iter().map(|id| values.get(id.0).cloned().flatten()).collect();
            if let Some(outputs) = inputs.map(|inputs| engine.run(&inputs)).transpose()?.flatten() {
                return Ok(outputs);
            }
        }
        let inputs: Vec<Option<&Tensor>> =
            node.inputs.iter().map(|input| input.and_then(|id| values[id.0].as_ref())).collect();
        reference::evaluate(&node.op, &node.name, &inputs)
    }
}

impl Executor for CpuExecutor {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        check(&self.prepared.engine.graph, inputs)?;
        match self.prepared.engine.run(inputs)? {
            Some(outputs) => Ok(outputs),
            None => self.prepared.run_nodes(inputs, &mut |_, _| {}),
        }
    }

    fn run_observed(&self, inputs: &[Tensor], observer: &mut Observer<'_>) -> Result<Vec<Tensor>, GraphError> {
        let observed = self.observed()?;
        check(&observed.engine.graph, inputs)?;
        observed.run_nodes(inputs, observer)
    }
}

fn check(graph: &Graph, inputs: &[Tensor]) -> Result<(), GraphError> {
    let types: Vec<TensorType> = inputs.iter().map(TensorType::of).collect();
    shape::check_inputs(graph, &types)
}

/// A graph with its plans.
#[derive(Debug)]
struct Engine {
    graph: Graph,
    /// For each value, its elements if they do not depend on the inputs.
    constants: Vec<Option<Tensor>>,
    packs: Packs,
    choices: Choices,
    /// Working memory: the engines of single nodes, which run one after another, share that of the whole graph.
    arenas: Arc<Arenas>,
    plans: Mutex<BTreeMap<Vec<Vec<usize>>, Arc<Planned>>>,
    /// For an engine of one node: the values of the whole graph that are its inputs.
    sources: Vec<ValueId>,
}

/// What is known about one set of input shapes (of a batch of one).
#[derive(Debug)]
struct Planned {
    /// `None` where the graph computes something that is not f32.
    plan: Option<Plan>,
    shapes: shape::Shapes,
}

impl Engine {
    fn new(graph: &Graph, choices: Choices, arenas: Arc<Arenas>) -> Result<Self, GraphError> {
        let mut constants: Vec<Option<Tensor>> = graph.values().iter().map(|value| value.constant.clone()).collect();
        for node in graph.nodes() {
            let inputs: Vec<Option<&Tensor>> =
                node.inputs.iter().map(|input| input.and_then(|id| constants[id.0].as_ref())).collect();
            if node.inputs.iter().zip(&inputs).all(|(id, tensor)| id.is_none() == tensor.is_none()) {
                let outputs = reference::evaluate(&node.op, &node.name, &inputs)?;
                for (&id, tensor) in node.outputs.iter().zip(outputs) {
                    constants[id.0] = Some(tensor);
                }
            }
        }
        let (packs, plans) = (Packs::default(), Mutex::default());
        Ok(Self { graph: graph.clone(), constants, packs, choices, arenas, plans, sources: Vec::new() })
    }

    /// An engine for one node of the graph of `whole`, for inputs with the ranks of `computed`.
    fn for_node(node: &Node, whole: &Self, computed: &[Option<Tensor>]) -> Result<Self, GraphError> {
        let mut values: Vec<Value> = Vec::new();
        let mut ids: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        let mut inputs = Vec::new();
        let mut sources = Vec::new();
        for &id in node.inputs.iter().flatten().chain(&node.outputs) {
            if ids.contains_key(&id) {
                continue;
            }
            let local = ValueId(values.len());
            ids.insert(id, local);
            let constant = whole.constants[id.0].clone();
            if constant.is_none() && !node.outputs.contains(&id) {
                let (dtype, rank) = computed[id.0].as_ref().map_or((DType::F32, 0), |x| (x.dtype(), x.shape().len()));
                inputs.push(GraphInput { value: local, dtype, dims: vec![Dim::Free(String::new()); rank] });
                sources.push(id);
            }
            values.push(Value { name: whole.graph.value(id).name.clone(), constant });
        }
        let node = Node {
            inputs: node.inputs.iter().map(|input| input.map(|id| ids[&id])).collect(),
            outputs: node.outputs.iter().map(|id| ids[id]).collect(),
            ..node.clone()
        };
        let outputs = node.outputs.clone();
        let graph = Graph::new(node.name.clone(), inputs, outputs, values, vec![node])?;
        Ok(Self { sources, ..Self::new(&graph, whole.choices, Arc::clone(&whole.arenas))? })
    }

    /// Runs the plan for these inputs; `None` where there is none.
    fn run(&self, inputs: &[Tensor]) -> Result<Option<Vec<Tensor>>, GraphError> {
        let Some(elements) = inputs.iter().map(Tensor::as_f32).collect::<Option<Vec<&[f32]>>>() else {
            return Ok(None);
        };
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|x| x.shape().to_vec()).collect();
        let Some((n_images, planned)) = self.planned_for(&shapes)? else { return Ok(None) };
        let Some(plan) = &planned.plan else { return Ok(None) };
        plan.run(n_images, &elements).map(Some)
    }

    /// The number of images in inputs of these shapes, and the plan for one of them; `None` where the images cannot run
    /// apart.
    fn planned_for(&self, inputs: &[Vec<usize>]) -> Result<Option<(usize, Arc<Planned>)>, GraphError> {
        let n_images = match inputs.first().and_then(|shape| shape.first()) {
            Some(&n) if n > 0 && inputs.iter().all(|shape| shape.first() == Some(&n)) => n,
            _ => return Ok(None),
        };
        let single = inputs.iter().map(|shape| std::iter::once(1).chain(shape[1..].iter().copied()).collect());
        let Some(planned) = self.planned(single.collect())? else { return Ok(None) };
        if n_images > 1 {
            let is_constant: Vec<bool> = self.constants.iter().map(Option::is_some).collect();
            if !shape::images_stay_apart(&self.graph, &planned.shapes, &is_constant, n_images) {
                return Ok(None);
            }
        }
        Ok(Some((n_images, planned)))
    }

    /// The plan for inputs of these shapes (of a batch of one); `None` where a batch of one does not fit the graph.
    fn planned(&self, shapes: Vec<Vec<usize>>) -> Result<Option<Arc<Planned>>, GraphError> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(planned) = plans.get(&shapes) {
            return Ok(Some(Arc::clone(planned)));
        }
        let Ok(inferred) = shape::infer(&self.graph, &shapes) else { return Ok(None) };
        memory::check(&self.graph, &inferred, 1)?;
        let plan = build(&self.graph, &inferred, &self.constants, &self.packs, self.choices, &self.arenas)?;
        let planned = Arc::new(Planned { plan, shapes: inferred });
        if plans.len() >= MAX_PLANS {
            plans.clear();
        }
        plans.insert(shapes, Arc::clone(&planned));
        Ok(Some(planned))
    }
}
