//! Timelines as Chrome trace JSON, which Perfetto and `chrome://tracing` open.

use std::path::Path;

use serde_json::{Value, json};
use skimp_sim::TimelineSpan;

use crate::error::StudyError;

/// The timeline of one accelerator: layers one after another.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    label: String,
    clock_mhz: f64,
    tracks: Vec<String>,
    events: Vec<Span>,
    end_cycle: u64,
}

#[derive(Clone, Debug)]
struct Span {
    track_idx: usize,
    name: String,
    start_cycle: u64,
    cycles: u64,
}

impl Timeline {
    pub(crate) fn new(label: &str, clock_mhz: f64) -> Self {
        Self { label: label.to_owned(), clock_mhz, tracks: Vec::new(), events: Vec::new(), end_cycle: 0 }
    }

    /// Appends a layer.
    pub(crate) fn push(&mut self, spans: Vec<TimelineSpan>) {
        let start = self.end_cycle;
        for span in spans {
            let known = self.tracks.iter().position(|track| *track == span.track);
            let track_idx = known.unwrap_or_else(|| {
                self.tracks.push(span.track);
                self.tracks.len() - 1
            });
            let start_cycle = start + span.start_cycle;
            self.end_cycle = self.end_cycle.max(start_cycle + span.cycles);
            self.events.push(Span { track_idx, name: span.name, start_cycle, cycles: span.cycles });
        }
    }

    /// Events of one process: its name, its tracks' names, then the spans in microseconds.
    fn chrome_events(&self, pid: usize) -> Vec<Value> {
        let mut events = vec![json!({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": self.label}})];
        for (idx, track) in self.tracks.iter().enumerate() {
            let args = json!({"name": track});
            events.push(json!({"ph": "M", "name": "thread_name", "pid": pid, "tid": idx + 1, "args": args}));
        }
        for span in &self.events {
            events.push(json!({
                "ph": "X", "name": span.name, "cat": "layer", "pid": pid, "tid": span.track_idx + 1,
                "ts": span.start_cycle as f64 / self.clock_mhz, "dur": span.cycles as f64 / self.clock_mhz,
                "args": {"start_cycle": span.start_cycle, "cycles": span.cycles},
            }));
        }
        events
    }
}

/// Writes timelines whole or not at all.
///
/// # Errors
/// [`StudyError::Report`] if the file cannot be written.
pub(crate) fn write(path: &Path, timelines: &[Timeline]) -> Result<(), StudyError> {
    let events: Vec<Value> = (1..).zip(timelines).flat_map(|(pid, timeline)| timeline.chrome_events(pid)).collect();
    let document = json!({"displayTimeUnit": "ns", "traceEvents": events});
    Ok(skimp_report::write_atomic(path, format!("{document}\n").as_bytes())?)
}
