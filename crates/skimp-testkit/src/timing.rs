//! How benches measure: every run kept, the median and its spread reported, raw times in a file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Wall-clock and processor seconds of repeated runs of one thing.
#[derive(Clone, Debug, Default)]
pub struct Times {
    /// Wall-clock seconds of each run.
    pub wall: Vec<f64>,
    /// Seconds that the threads of this process ran in each run; NaN where the system does not tell (it is Linux's).
    pub processor: Vec<f64>,
}

impl Times {
    /// Times `n_runs` runs.
    pub fn of(n_runs: usize, mut run: impl FnMut()) -> Self {
        let mut times = Self::default();
        (0..n_runs).for_each(|_| times.add(&mut run));
        times
    }

    /// Times one more run. Things that are compared alternate.
    pub fn add(&mut self, run: impl FnOnce()) {
        let (start, processor) = (Instant::now(), processor_seconds());
        run();
        self.wall.push(start.elapsed().as_secs_f64());
        self.processor.push(processor_seconds() - processor);
    }

    /// The median wall-clock time, in seconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        quantile(&self.wall, 0.5)
    }

    /// The median processor time, in seconds: other programs on the same cores do not add to it.
    #[must_use]
    pub fn processor_median(&self) -> f64 {
        quantile(&self.processor, 0.5)
    }

    /// How many times as long a run of `other` takes.
    #[must_use]
    pub fn speedup_over(&self, other: &Self) -> f64 {
        other.median() / self.median()
    }

    /// Half the distance between the quartiles of the wall-clock times, as a share of the median, in percent.
    #[must_use]
    pub fn spread_percent(&self) -> f64 {
        50.0 * (quantile(&self.wall, 0.75) - quantile(&self.wall, 0.25)) / self.median()
    }
}

impl fmt::Display for Times {
    /// The median in milliseconds and the spread, as `1.234 ms ±2 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} ms ±{:.0} %", 1e3 * self.median(), self.spread_percent())
    }
}

/// Linear between the two nearest of the sorted values; NaN of none.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// Seconds that the threads of this process have run; NaN where the system does not tell.
fn processor_seconds() -> f64 {
    let of_thread = |task: std::fs::DirEntry| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    match std::fs::read_dir("/proc/self/task") {
        Ok(tasks) => tasks.flatten().filter_map(of_thread).sum::<f64>() * 1e-9,
        Err(_) => f64::NAN,
    }
}

/// The raw times of a bench, written to `target/bench/NAME.csv` when it ends: what, run, wall-clock and processor seconds.
#[derive(Debug)]
pub struct RawTimes {
    path: PathBuf,
    lines: String,
}

impl RawTimes {
    /// For the bench called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
        let path = target.join("bench").join(format!("{name}.csv"));
        Self { path, lines: "what,run,wall_s,processor_s\n".to_owned() }
    }

    /// Adds the runs of `what`.
    pub fn add(&mut self, what: &str, times: &Times) {
        for (run, (wall, processor)) in times.wall.iter().zip(&times.processor).enumerate() {
            self.lines.push_str(&format!("{what},{run},{wall:e},{processor:e}\n"));
        }
    }

    /// Writes the file, whole or not at all, and gives its path.
    ///
    /// # Errors
    /// The system's, where it cannot be written.
    pub fn save(&self) -> std::io::Result<&Path> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let part = self.path.with_extension("part");
        std::fs::write(&part, &self.lines)?;
        std::fs::rename(&part, &self.path)?;
        Ok(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads_are_of_all_runs() {
        let times = |wall: &[f64]| Times { wall: wall.to_vec(), processor: vec![f64::NAN; wall.len()] };
        // NumPy: percentile([4, 1, 2, 3, 10], [25, 50, 75]) is 2, 3, 4.
        let five = times(&[4.0, 1.0, 2.0, 3.0, 10.0]);
        assert!((five.median() - 3.0).abs() < 1e-12 && (five.spread_percent() - 100.0 / 3.0).abs() < 1e-9);
        // percentile([1, 2, 3, 4], [25, 50, 75]) is 1.75, 2.5, 3.25.
        let four = times(&[1.0, 2.0, 3.0, 4.0]);
        assert!((four.median() - 2.5).abs() < 1e-12 && (four.spread_percent() - 30.0).abs() < 1e-9);
        assert!((four.speedup_over(&five) - 1.2).abs() < 1e-12);
        assert!(Times::default().median().is_nan());
        let mut n_runs = 0;
        assert_eq!(Times::of(3, || n_runs += 1).wall.len(), 3);
        assert_eq!(n_runs, 3);
    }
}
