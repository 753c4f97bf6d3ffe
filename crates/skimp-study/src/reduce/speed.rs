//! How much faster a smaller network runs, measured side by side.

use std::time::Instant;

use serde::Serialize;
use skimp_cpu::{CpuExecutor, Order};
use skimp_graph::{DType, Executor, Graph, Tensor, shape};
use skimp_numerics::rng::{Draws, stream};

use crate::error::StudyError;
use crate::monitor::{Monitor, step};

/// Pairs of runs that are not counted.
const WARM_UP: usize = 2;

/// How often both networks run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Pairs of runs that are counted, at least and at most.
    pub(crate) pairs: (usize, usize),
    /// Between these as many as fit in so many seconds, about.
    pub(crate) seconds: f64,
}

impl Effort {
    /// For one network of a search.
    pub(crate) const BRIEF: Self = Self { pairs: (15, 100), seconds: 2.0 };
}

impl Default for Effort {
    fn default() -> Self {
        Self { pairs: (15, 100), seconds: 6.0 }
    }
}

/// Samples of the bootstrap.
const SAMPLES: usize = 2000;

/// Time before and after, measured here, in alternation.
#[derive(Clone, Debug, Serialize)]
pub struct SpeedRecord {
    /// Images of a batch.
    pub batch: usize,
    /// Threads.
    pub threads: usize,
    /// Pairs of runs, one of each network.
    pub pairs: usize,
    /// Median time of the network before, in milliseconds.
    pub before_ms: f64,
    /// Median time of the network after, in milliseconds.
    pub after_ms: f64,
    /// Ratio of the medians, before over after: above 1 is faster.
    pub speed_up: f64,
    /// Interval that holds the ratio with 95 %, by bootstrap over the pairs.
    pub interval: [f64; 2],
    /// What may be said: `faster`, `slower`, or `no difference` where the interval holds 1.
    pub verdict: &'static str,
    /// Layers of the network after that left out weights that are zero.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sparse_layers: Vec<String>,
    /// Times of every pair in milliseconds, before and after.
    pub times_ms: Vec<[f64; 2]>,
}

/// Median time of one batch of zeros on the f32 engine, in milliseconds, measured here on the threads of the caller.
///
/// # Errors
/// [`StudyError::Graph`] if the network cannot run.
pub fn latency_ms(
    graph: &Graph,
    batch: usize,
    input_size: Option<[usize; 2]>,
    monitor: &dyn Monitor,
) -> Result<f64, StudyError> {
    let Effort { pairs: (least, most), seconds } = Effort::BRIEF;
    let executor = CpuExecutor::with_order(graph, Order::Free)?;
    let inputs = inputs(graph, batch, input_size)?;
    monitor.stage("measuring the network", least as u64);
    let begun = Instant::now();
    let mut times = Vec::new();
    for run in 0..WARM_UP + most {
        let start = Instant::now();
        executor.run(&inputs)?;
        if run >= WARM_UP {
            times.push(1e3 * start.elapsed().as_secs_f64());
        }
        step(monitor, u64::from(times.len() <= least))?;
        if times.len() >= least && begun.elapsed().as_secs_f64() > seconds {
            break;
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Measures both networks on a batch of zeros, on the threads of the caller.
pub(crate) fn speed(
    before: &Graph,
    after: &Graph,
    batch: usize,
    input_size: Option<[usize; 2]>,
    monitor: &dyn Monitor,
) -> Result<SpeedRecord, StudyError> {
    speed_with(before, after, (batch, input_size), Effort::default(), monitor)
}

/// As [`speed`], with more or fewer pairs of runs.
pub(crate) fn speed_with(
    before: &Graph,
    after: &Graph,
    (batch, input_size): (usize, Option<[usize; 2]>),
    Effort { pairs: (least, most), seconds }: Effort,
    monitor: &dyn Monitor,
) -> Result<SpeedRecord, StudyError> {
    let executor = |graph| CpuExecutor::with_order(graph, Order::Free);
    let (old, new) = (executor(before)?, executor(after)?);
    let (old_inputs, new_inputs) = (inputs(before, batch, input_size)?, inputs(after, batch, input_size)?);
    let time = |executor: &CpuExecutor, inputs: &[Tensor]| -> Result<f64, StudyError> {
        let start = Instant::now();
        executor.run(inputs)?;
        Ok(1e3 * start.elapsed().as_secs_f64())
    };
    monitor.stage("measuring both networks", least as u64);
    let start = Instant::now();
    let mut times: Vec<[f64; 2]> = Vec::new();
    for pair in 0..WARM_UP + most {
        // Each goes first in every second pair.
        let found = if pair % 2 == 0 {
            let old = time(&old, &old_inputs)?;
            [old, time(&new, &new_inputs)?]
        } else {
            let new = time(&new, &new_inputs)?;
            [time(&old, &old_inputs)?, new]
        };
        if pair >= WARM_UP {
            times.push(found);
        }
        step(monitor, u64::from(times.len() <= least))?;
        if times.len() >= least && start.elapsed().as_secs_f64() > seconds {
            break;
        }
    }
    let interval = bootstrap(&times);
    let (before_ms, after_ms) = medians(&times);
    let verdict = match interval {
        [low, _] if low > 1.0 => "faster",
        [_, high] if high < 1.0 => "slower",
        _ => "no difference",
    };
    let threads = rayon::current_num_threads();
    let shapes: Vec<Vec<usize>> = new_inputs.iter().map(|input| input.shape().to_vec()).collect();
    Ok(SpeedRecord {
        batch,
        threads,
        pairs: times.len(),
        before_ms,
        after_ms,
        speed_up: before_ms / after_ms,
        interval,
        verdict,
        sparse_layers: new.sparse_layers(&shapes)?,
        times_ms: times,
    })
}

fn inputs(graph: &Graph, batch: usize, input_size: Option<[usize; 2]>) -> Result<Vec<Tensor>, StudyError> {
    let extents = shape::bind(graph, batch, input_size.map(|[height, width]| (height, width)))?;
    let of = |(input, shape): (&skimp_graph::GraphInput, Vec<usize>)| {
        let n = shape.iter().product();
        match input.dtype {
            DType::I64 => Tensor::from_i64(shape, vec![0; n]),
            _ => Tensor::from_f32(shape, vec![0.0; n]),
        }
    };
    Ok(graph.inputs().iter().zip(extents).map(of).collect())
}

fn medians(times: &[[f64; 2]]) -> (f64, f64) {
    let median = |which: usize| {
        let mut sorted: Vec<f64> = times.iter().map(|pair| pair[which]).collect();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        f64::midpoint(low, high)
    };
    (median(0), median(1))
}

/// The middle 95 % of the ratios of medians over samples of the pairs.
fn bootstrap(times: &[[f64; 2]]) -> [f64; 2] {
    let mut draws = Draws::new(0, stream("reduce/bootstrap"));
    let mut ratios: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let sample: Vec<[f64; 2]> = times.iter().map(|_| times[draws.below(times.len())]).collect();
            let (before, after) = medians(&sample);
            before / after
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    [ratios[SAMPLES / 40], ratios[SAMPLES - 1 - SAMPLES / 40]]
}

#[cfg(test)]
mod tests {
    use super::{bootstrap, medians};

    #[test]
    fn an_interval_holds_the_ratio() {
        let times: Vec<[f64; 2]> =
            (0..20).map(|i| [2.0 + 0.01 * f64::from(i % 7), 1.0 + 0.01 * f64::from(i % 5)]).collect();
        let (before, after) = medians(&times);
        let [low, high] = bootstrap(&times);
        assert!(low <= before / after && before / after <= high && low > 1.9 && high < 2.1, "{low} {high}");
        let same = vec![[1.0, 1.0]; 15];
        assert_eq!(bootstrap(&same).map(f64::to_bits), [1.0_f64; 2].map(f64::to_bits));
    }
}
