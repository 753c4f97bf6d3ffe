//! Running a spiking network over time.

use super::input::Timed;
use super::{Joined, State, Stepped, Temporal};
use crate::{Executor, Graph, GraphError, Observer, Tensor, ValueId, shape};

/// An executor of a spiking network: runs its step on another executor as often as the network says, hands the state from
/// step to step, and joins the outputs.
///
/// An input with one axis more than the network's has time as its first axis: the input of each step.
#[derive(Debug)]
pub struct TimeLoop {
    network: Graph,
    temporal: Temporal,
    states: Vec<State>,
    watched: Vec<String>,
    engine: Box<dyn Executor>,
}

/// What one time step gave.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Which step, from 0.
    pub step: usize,
    /// The network's outputs.
    pub outputs: &'a [Tensor],
    /// The spikes of the neurons that are watched.
    pub spikes: &'a [Tensor],
}

/// Called with what each step gave.
pub type Show<'a> = dyn FnMut(Step<'_>) -> Result<(), GraphError> + 'a;

/// Runs one step.
type Run<'a> = dyn FnMut(&[Tensor]) -> Result<Vec<Tensor>, GraphError> + 'a;

impl TimeLoop {
    /// Of a network that runs over time as `temporal` says; `engine` makes the executor of one step.
    ///
    /// # Errors
    /// As [`Stepped::new`]; what `engine` finds.
    pub fn new<E: From<GraphError>>(
        network: &Graph,
        temporal: Temporal,
        engine: impl FnOnce(&Graph) -> Result<Box<dyn Executor>, E>,
    ) -> Result<Self, E> {
        Self::of(network, temporal, Stepped::new(network)?, engine)
    }

    /// As [`new`](Self::new); the spikes of every neuron are shown in [`for_each_step`](Self::for_each_step).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn watched<E: From<GraphError>>(
        network: &Graph,
        temporal: Temporal,
        engine: impl FnOnce(&Graph) -> Result<Box<dyn Executor>, E>,
    ) -> Result<Self, E> {
        Self::of(network, temporal, Stepped::watched(network)?, engine)
    }

    fn of<E: From<GraphError>>(
        network: &Graph,
        temporal: Temporal,
        stepped: Stepped,
        engine: impl FnOnce(&Graph) -> Result<Box<dyn Executor>, E>,
    ) -> Result<Self, E> {
        let engine = engine(&stepped.graph)?;
        let Stepped { states, watched, .. } = stepped;
        Ok(Self { network: network.clone(), temporal, states, watched, engine })
    }

    /// How it runs.
    pub fn temporal(&self) -> Temporal {
        self.temporal
    }

    /// Names of the neurons whose spikes are shown.
    pub fn watched_neurons(&self) -> &[String] {
        &self.watched
    }

    /// Runs all steps on `inputs` and shows what each gives.
    ///
    /// # Errors
    /// As [`Executor::run`]; what `show` returns.
    pub fn for_each_step(&self, inputs: &[Tensor], show: &mut Show<'_>) -> Result<(), GraphError> {
        self.steps(inputs, show, &mut |inputs| self.engine.run(inputs))
    }

    fn steps(&self, inputs: &[Tensor], show: &mut Show<'_>, run: &mut Run<'_>) -> Result<(), GraphError> {
        let temporal = self.temporal;
        let mut timed = Vec::with_capacity(inputs.len());
        for (tensor, input) in inputs.iter().zip(self.network.inputs()) {
            let name = &self.network.value(input.value).name;
            let coding = (temporal.input, temporal.seed);
            timed.push(Timed::new(tensor, name, input.dims.len(), temporal.steps, coding)?);
        }
        let extents: Vec<Vec<usize>> = timed.iter().map(|input| input.shape().to_vec()).collect();
        let shapes = shape::infer(&self.network, &extents)?;
        let initial = |state: &State| {
            let shape = shapes.shape(state.like).to_vec();
            let n = shape.iter().product();
            Tensor::from_f32(shape, vec![state.initial; n])
        };
        let mut states: Vec<Tensor> = self.states.iter().map(initial).collect();
        let n_outputs = self.network.outputs().len();
        for step in 0..temporal.steps {
            let mut operands: Vec<Tensor> = timed.iter().map(|input| input.at(step).into_owned()).collect();
            operands.append(&mut states);
            let mut results = run(&operands)?;
            states = results.split_off(n_outputs + self.watched.len());
            show(Step { step, outputs: &results[..n_outputs], spikes: &results[n_outputs..] })?;
        }
        Ok(())
    }
}

impl Executor for TimeLoop {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        let mut joined = Joined::new(self.temporal.join);
        self.for_each_step(inputs, &mut |step| joined.add(step.outputs))?;
        Ok(joined.outputs())
    }

    /// Shows every value of the network once in each time step.
    fn run_observed(&self, inputs: &[Tensor], observer: &mut Observer<'_>) -> Result<Vec<Tensor>, GraphError> {
        let mut joined = Joined::new(self.temporal.join);
        let n_values = self.network.values().len();
        let mut seen = |id: ValueId, tensor: &Tensor| {
            if id.0 < n_values {
                observer(id, tensor);
            }
        };
        self.steps(inputs, &mut |step| joined.add(step.outputs), &mut |inputs| {
            self.engine.run_observed(inputs, &mut seen)
        })?;
        Ok(joined.outputs())
    }
}
