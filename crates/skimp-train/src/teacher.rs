//! Tensors of a second network for the losses of a training step.

use skimp_cpu::CpuExecutor;
use skimp_data::Batch;
use skimp_graph::rewrite::{Editor, free_batch};
use skimp_graph::{Dim, Executor, Graph, GraphError, Op, Tensor, ValueId};

use crate::TrainError;

/// Where the tensors come from that losses compare with, beside the labels.
///
/// It is asked once for every batch, training and validation alike, with the batch as the network gets it: augmented, in
/// its order. What it gives must depend on the batch only; what it remembers is not in checkpoints.
pub trait TargetSource: std::fmt::Debug + Send {
    /// Named tensors, NCHW, one image for each of the batch: [`Targets::tensors`](crate::Targets::tensors).
    ///
    /// # Errors
    /// Whatever keeps the source from its work; it ends the run.
    fn targets(&mut self, batch: &Batch) -> Result<&[(String, Vec<f32>)], TrainError>;
}

/// A frozen network that answers for the images of each batch: a teacher.
///
/// It runs on the f32 engine, in inference form: running statistics, no dropout. Nothing in it changes.
#[derive(Debug)]
pub struct Teacher {
    executor: CpuExecutor,
    targets: Vec<(String, Vec<f32>)>,
}

impl Teacher {
    /// A teacher that gives the values of `graph` named in `values` under names of their own: pairs of the target's name
    /// and the value's, or `None` for the logits (the first output, or what a softmax right before it reads).
    ///
    /// # Errors
    /// [`TrainError::Network`] for a network with other than one input, without such a value, or with one that is not
    /// f32; [`TrainError::Graph`] if the engine refuses it.
    pub fn new(graph: &Graph, values: &[(&str, Option<&str>)]) -> Result<Self, TrainError> {
        let error = |cause: String| TrainError::Network { network: graph.name().to_owned(), cause };
        let [input] = graph.inputs() else {
            return Err(error(format!("{} inputs, expected one", graph.inputs().len())));
        };
        let any_batch = free_batch(graph);
        let mut editor = Editor::new(any_batch.as_ref().unwrap_or(graph));
        let find = |name: &str| editor.value(name).ok_or_else(|| error(format!("it has no value \"{name}\"")));
        let ids = values.iter().map(|(_, value)| value.map_or_else(|| Ok(logits(graph)), find));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let mut dims = input.dims.clone();
        if let Some(batch) = dims.first_mut() {
            *batch = Dim::Free("N".to_owned());
        }
        editor.set_input_dims(0, dims)?;
        editor.set_outputs(ids)?;
        let executor = CpuExecutor::new(&editor.finish()?)?;
        let targets = values.iter().map(|(name, _)| ((*name).to_owned(), Vec::new())).collect();
        Ok(Self { executor, targets })
    }
}

impl TargetSource for Teacher {
    fn targets(&mut self, batch: &Batch) -> Result<&[(String, Vec<f32>)], TrainError> {
        let images = Tensor::from_f32(batch.shape.to_vec(), batch.images.clone());
        let outputs = self.executor.run(&[images])?;
        for ((name, elements), output) in self.targets.iter_mut().zip(outputs) {
            let dtype = output.dtype();
            *elements = output.into_f32().ok_or_else(|| GraphError::InvalidGraph {
                graph: name.clone(),
                cause: format!("a target has the element type {dtype}, expected f32"),
            })?;
        }
        Ok(&self.targets)
    }
}

/// The first output, or what a softmax reads that makes it.
fn logits(graph: &Graph) -> ValueId {
    let output = graph.outputs()[0];
    let producer = graph.nodes().iter().find(|node| node.outputs.contains(&output));
    let softmax = producer.filter(|node| matches!(node.op, Op::Softmax(_)));
    softmax.and_then(|node| node.inputs.first().copied().flatten()).unwrap_or(output)
}
