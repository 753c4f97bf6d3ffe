//! One answer out of the outputs of all time steps.

use crate::{GraphError, Tensor};

/// How the outputs of the time steps become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Their mean: the rate of spikes, or the mean current of a layer that does not spike.
    Mean,
    /// Their sum: the number of spikes.
    Sum,
    /// That of the last step.
    Last,
    /// Time steps from an element's first spike to the end, 0 without a spike: the earliest has the largest.
    FirstSpike,
    /// All of them, along a new first axis: spike trains, and potentials over time.
    All,
}

impl Join {
    /// Every way.
    pub const ALL: [Self; 5] = [Self::Mean, Self::Sum, Self::Last, Self::FirstSpike, Self::All];

    /// Name in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
            Self::Last => "last",
            Self::FirstSpike => "first-spike",
            Self::All => "all",
        }
    }
}

/// The outputs of the steps so far, joined.
///
/// # Rounding
/// Sums and means are accumulated in f64 and rounded once.
#[derive(Clone, Debug)]
pub struct Joined {
    join: Join,
    n_steps: usize,
    shapes: Vec<Vec<usize>>,
    sums: Vec<Vec<f64>>,
    last: Vec<Tensor>,
}

impl Joined {
    /// Nothing yet.
    pub fn new(join: Join) -> Self {
        Self { join, n_steps: 0, shapes: Vec::new(), sums: Vec::new(), last: Vec::new() }
    }

    /// The outputs of the next step.
    ///
    /// # Errors
    /// [`GraphError::InvalidGraph`] if they are not f32 and are to be summed.
    pub fn add(&mut self, outputs: &[Tensor]) -> Result<(), GraphError> {
        self.n_steps += 1;
        if self.join == Join::Last {
            self.last = outputs.to_vec();
            return Ok(());
        }
        if self.n_steps == 1 {
            self.shapes = outputs.iter().map(|output| output.shape().to_vec()).collect();
            self.sums = outputs.iter().map(|output| vec![0.0; output.data().len()]).collect();
        }
        for (sums, output) in self.sums.iter_mut().zip(outputs) {
            let Some(elements) = output.as_f32() else {
                return Err(GraphError::InvalidGraph {
                    graph: "time steps".to_owned(),
                    cause: format!("outputs of element type {} have no sum, expected f32", output.dtype()),
                });
            };
            if self.join == Join::All {
                if self.n_steps == 1 {
                    sums.clear();
                }
                sums.extend(elements.iter().map(|&x| f64::from(x)));
                continue;
            }
            for (sum, &x) in sums.iter_mut().zip(elements) {
                *sum = match self.join {
                    Join::FirstSpike if *sum > 0.0 => *sum + 1.0,
                    Join::FirstSpike => f64::from(u8::from(x > 0.0)),
                    _ => *sum + f64::from(x),
                };
            }
        }
        Ok(())
    }

    /// What the steps so far give.
    pub fn outputs(&self) -> Vec<Tensor> {
        if self.join == Join::Last {
            return self.last.clone();
        }
        let divisor = if self.join == Join::Mean { self.n_steps.max(1) as f64 } else { 1.0 };
        let joined = |(shape, sums): (&Vec<usize>, &Vec<f64>)| {
            let time = (self.join == Join::All).then_some(self.n_steps);
            let shape = time.into_iter().chain(shape.iter().copied()).collect();
            Tensor::from_f32(shape, sums.iter().map(|sum| (sum / divisor) as f32).collect())
        };
        self.shapes.iter().zip(&self.sums).map(joined).collect()
    }
}
