//! The answers of all time steps as one.

use skimp_graph::spiking::Join;

use crate::TrainError;
use crate::engine::kernels::per_image;
use crate::engine::step::{Keeps, Place, Run, Step};

/// Mean, sum or last of the time steps.
///
/// # Rounding
/// As [`skimp_graph::spiking::Joined`]: sums in f64 from the first step on, rounded once.
#[derive(Debug)]
pub(crate) struct JoinSteps {
    join: Join,
    n_steps: usize,
}

impl JoinSteps {
    /// Of so many steps; what is wrong with the join if it has no gradient.
    pub(crate) fn new(join: Join, n_steps: usize) -> Result<Self, String> {
        match join {
            Join::Mean | Join::Sum | Join::Last => Ok(Self { join, n_steps }),
            Join::FirstSpike | Join::All => {
                Err(format!("its steps are joined by \"{}\"; training takes mean, sum or last", join.name()))
            }
        }
    }
}

impl Step for JoinSteps {
    fn keeps(&self) -> Keeps {
        Keeps { inputs: false, outputs: false }
    }

    fn forward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let (x, y) = (place.inputs[0].id, place.outputs[0]);
        run.produce(y, |y, run| {
            let (x, len) = (run.value(x), run.tensors.spec(x).len());
            let last = (self.n_steps - 1) * len;
            per_image(y, len, |n, image| {
                let x = &x[n * len * self.n_steps..][..len * self.n_steps];
                for (i, y) in image.iter_mut().enumerate() {
                    let sum = || x[i..].iter().step_by(len).map(|&x| f64::from(x)).sum::<f64>();
                    *y = match self.join {
                        Join::Mean => (sum() / self.n_steps as f64) as f32,
                        Join::Sum => sum() as f32,
                        Join::Last | Join::FirstSpike | Join::All => x[last + i],
                    };
                }
            });
        });
        Ok(())
    }

    fn backward(&mut self, place: &Place, run: &mut Run<'_>) -> Result<(), TrainError> {
        let y = place.outputs[0];
        run.contribute(&place.inputs[0], |dx, run| {
            let (dy, len) = (run.grad(y), run.tensors.spec(y).len());
            per_image(dx, len, |frame, dx| {
                let dy = &dy[frame / self.n_steps * len..][..len];
                match self.join {
                    Join::Mean => {
                        dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx = (f64::from(dy) / self.n_steps as f64) as f32);
                    }
                    Join::Sum => dx.copy_from_slice(dy),
                    Join::Last | Join::FirstSpike | Join::All if (frame + 1) % self.n_steps == 0 => {
                        dx.copy_from_slice(dy);
                    }
                    Join::Last | Join::FirstSpike | Join::All => dx.fill(0.0),
                }
            });
        });
        Ok(())
    }
}
