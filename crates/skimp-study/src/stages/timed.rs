//! The integer network of one time step, run as often as the network says.

use std::sync::Arc;

use skimp_cpu::integer::IntegerExecutor;
use skimp_data::InputSpec;
use skimp_graph::integer::{IntegerEngine, IntegerGraph, MacHook, Observation};
use skimp_graph::spiking::{InputCoding, Joined, State, Stepped, Temporal};
use skimp_graph::{Graph, GraphError, Tensor, shape};

use crate::error::StudyError;
use crate::inputs::network::Network;

/// Runs one step of that number on inputs and states.
pub(crate) type RunStep<'a> = dyn FnMut(u64, &[Tensor]) -> Result<Vec<Tensor>, GraphError> + 'a;

/// How a spiking network runs over time: its step takes and gives the states of neurons, the answers are joined.
#[derive(Debug)]
pub(crate) struct OverTime {
    pub(crate) temporal: Temporal,
    /// The network as it was given, of whose values states have the shapes.
    network: Graph,
    /// One step: inputs and outputs of the network, then states.
    pub(crate) step: Graph,
    states: Vec<State>,
}

impl OverTime {
    /// Of a network with time; `None` of others.
    ///
    /// # Errors
    /// [`StudyError::Spiking`] for random input spikes, which have no codes; [`StudyError::Graph`] as [`Stepped::new`].
    pub(crate) fn of(network: &Network) -> Result<Option<Arc<Self>>, StudyError> {
        let Some(temporal) = network.temporal()? else { return Ok(None) };
        if temporal.input != InputCoding::Direct {
            return Err(network.spiking(temporal.steps, "the integer engine, whose input is the same in each step,"));
        }
        let Stepped { graph, states, .. } = Stepped::new(&network.graph)?;
        Ok(Some(Arc::new(Self { temporal, network: network.graph.clone(), step: graph, states })))
    }

    /// Extents of the states for inputs of these extents.
    fn state_extents(&self, inputs: &[Vec<usize>]) -> Result<Vec<Vec<usize>>, GraphError> {
        let shapes = shape::infer(&self.network, inputs)?;
        Ok(self.states.iter().map(|state| shapes.shape(state.like).to_vec()).collect())
    }

    /// Runs all steps, each by `run` with its number, on inputs and states, and joins the answers.
    pub(crate) fn run(&self, inputs: &[Tensor], run: &mut RunStep<'_>) -> Result<Vec<Tensor>, GraphError> {
        let extents: Vec<Vec<usize>> = inputs.iter().map(|input| input.shape().to_vec()).collect();
        let initial = |(state, extents): (&State, Vec<usize>)| {
            let n = extents.iter().product();
            Tensor::from_f32(extents, vec![state.initial; n])
        };
        let mut states: Vec<Tensor> = self.states.iter().zip(self.state_extents(&extents)?).map(initial).collect();
        let mut joined = Joined::new(self.temporal.join);
        for step in 0..self.temporal.steps {
            let mut operands = inputs.to_vec();
            operands.append(&mut states);
            let mut outputs = run(step as u64, &operands)?;
            states = outputs.split_off(self.network.outputs().len());
            joined.add(&outputs)?;
        }
        Ok(joined.outputs())
    }
}

/// An integer network, ready to run: once, or over time.
#[derive(Clone, Debug)]
pub(crate) struct TimedExecutor {
    engine: Arc<IntegerExecutor>,
    time: Option<Arc<OverTime>>,
}

impl TimedExecutor {
    /// Of `graph`, which is the network or, with `time`, one step of it.
    ///
    /// # Errors
    /// As [`IntegerExecutor::new`].
    pub(crate) fn new(graph: &IntegerGraph, time: Option<Arc<OverTime>>) -> Result<Self, GraphError> {
        Ok(Self { engine: Arc::new(IntegerExecutor::new(graph)?), time })
    }

    /// The executor of a network without time.
    pub(crate) fn once(&self) -> Option<&IntegerExecutor> {
        self.time.is_none().then_some(&*self.engine)
    }

    /// Time steps; 1 without time.
    pub(crate) fn n_steps(&self) -> usize {
        self.time.as_ref().map_or(1, |time| time.temporal.steps)
    }

    /// Extents of all inputs of the integer network, for `batch` images at once.
    pub(crate) fn extents(&self, input: InputSpec, batch: usize) -> Result<Vec<Vec<usize>>, GraphError> {
        let mut extents = vec![vec![batch, input.channels, input.height, input.width]];
        if let Some(time) = &self.time {
            let states = time.state_extents(&extents)?;
            extents.extend(states);
        }
        Ok(extents)
    }

    fn steps(&self, inputs: &[Tensor], run: &mut RunStep<'_>) -> Result<Vec<Tensor>, GraphError> {
        match &self.time {
            None => run(0, inputs),
            Some(time) => time.run(inputs, run),
        }
    }

    /// The answers.
    pub(crate) fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.steps(inputs, &mut |_, operands| self.engine.run(operands))
    }

    /// The answers with the hook of each step in the way.
    pub(crate) fn run_with<H: MacHook>(
        &self,
        inputs: &[Tensor],
        hook: impl Fn(u64) -> H,
    ) -> Result<Vec<Tensor>, GraphError> {
        self.steps(inputs, &mut |step, operands| self.engine.run_with(operands, &hook(step)))
    }

    /// The answers; every node's work in each step is shown.
    pub(crate) fn run_observed(
        &self,
        inputs: &[Tensor],
        observer: &mut dyn FnMut(u64, &Observation<'_>),
    ) -> Result<Vec<Tensor>, GraphError> {
        self.steps(inputs, &mut |step, operands| {
            self.engine.run_observed(operands, &mut |observation| observer(step, observation))
        })
    }
}
