//! TensorBoard event files.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::record_file::frame;
use super::{Log, LogFormat};
use crate::TrainError;
use crate::trainer::EpochRecord;

/// Scalars over steps.
#[derive(Debug)]
pub(super) struct TensorBoard;

impl LogFormat for TensorBoard {
    fn name(&self) -> &'static str {
        "tensorboard"
    }

    fn summary(&self) -> &'static str {
        "event files with loss, accuracy and learning rate over steps, read by `tensorboard --logdir`"
    }

    fn source(&self) -> &'static str {
        "TensorFlow, tensorflow/core/util/event.proto and framework/summary.proto"
    }

    fn open(&self, folder: &Path, step: u64) -> Result<Box<dyn Log>, TrainError> {
        let seconds = now() as u64;
        // The first free name: a run may be resumed within the same second.
        let mut part = 0_u32;
        let (path, file) = loop {
            let path = folder.join(format!("events.out.tfevents.{seconds:010}.skimp.{part}"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => part += 1,
                Err(source) => return Err(TrainError::Io { path, source }),
            }
        };
        let mut events = Events { path, file };
        events.write(&Event { file_version: Some("brain.Event:2".to_owned()), ..Event::at(0) })?;
        // What earlier files have from the next step on is void; readers drop what is at the start's own step, too.
        events.write(&Event { session_log: Some(SessionLog { status: START }), ..Event::at(step + 1) })?;
        Ok(Box::new(events))
    }
}

#[derive(Debug)]
struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    fn write(&mut self, event: &Event) -> Result<(), TrainError> {
        let written = self.file.write_all(&frame(&event.encode_to_vec()));
        written.map_err(|source| TrainError::Io { path: self.path.clone(), source })
    }
}

impl Log for Events {
    fn epoch(&mut self, history: &[EpochRecord]) -> Result<(), TrainError> {
        let Some(record) = history.last() else { return Ok(()) };
        let values = [
            ("loss/train", Some(record.train_loss)),
            ("accuracy/train", Some(record.train_accuracy)),
            ("loss/validation", record.validation_loss),
            ("accuracy/validation", record.validation_accuracy),
            ("learning_rate", Some(record.learning_rate)),
            ("images_per_second", Some(record.images_per_second)),
        ];
        let value = values
            .into_iter()
            .filter_map(|(tag, value)| Some(SummaryValue { tag: tag.to_owned(), simple_value: Some(value? as f32) }));
        self.write(&Event { summary: Some(Summary { value: value.collect() }), ..Event::at(record.step) })
    }
}

/// Seconds since 1970; 0 where the clock is wrong. Logs alone carry the time, no result depends on it.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// `SessionLog.SessionStatus.START`.
const START: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(string, optional, tag = "3")]
    pub(super) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub(super) session_log: Option<SessionLog>,
}

impl Event {
    fn at(step: u64) -> Self {
        Self { wall_time: now(), step: step.cast_signed(), ..Self::default() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionLog {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SummaryValue {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
}
