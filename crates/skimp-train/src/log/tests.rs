use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use prost::Message;

use super::record_file::{crc32c, frame};
use super::tensorboard::Event;
use super::*;

fn record(epoch: u64) -> EpochRecord {
    EpochRecord {
        epoch,
        step: 10 * epoch,
        learning_rate: 0.1,
        train_loss: 0.5,
        train_accuracy: 0.75,
        validation_loss: (epoch > 1).then_some(0.25),
        validation_accuracy: (epoch > 1).then_some(0.875),
        skipped_steps: 0,
        seconds: 2.0,
        images_per_second: 320.0,
    }
}

#[test]
fn entries_are_complete() {
    let names: BTreeSet<_> = LOG_FORMATS.iter().map(|format| format.name()).collect();
    assert_eq!(names.len(), LOG_FORMATS.len());
    for format in LOG_FORMATS {
        assert!(!format.summary().is_empty() && !format.source().is_empty());
        let folder = tempfile::tempdir().unwrap();
        let mut log = format.open(folder.path(), 0).unwrap();
        log.epoch(&[record(1)]).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{}", format.name());
        assert!(format.open(&folder.path().join("no"), 0).and_then(|mut log| log.epoch(&[record(1)])).is_err());
    }
}

#[test]
fn csv_has_a_line_per_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = csv::Csv.open(folder.path(), 0).unwrap();
    log.epoch(&[record(1), record(7)]).unwrap();
    // A resumed run that is behind takes the line back.
    log.epoch(&[record(1), record(2)]).unwrap();
    let text = std::fs::read_to_string(folder.path().join("log.csv")).unwrap();
    assert_eq!(
        text,
        "epoch,step,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,skipped_steps,seconds,\
         images_per_second\n1,10,0.1,0.5,0.75,,,0,2.000,320.0\n2,20,0.1,0.5,0.75,0.25,0.875,0,2.000,320.0\n"
    );
}

/// The vectors of RFC 3720, section B.4.
#[test]
fn crc32c_vectors() {
    assert_eq!(crc32c(b""), 0);
    assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    assert_eq!(crc32c(&[0xFF; 32]), 0x62A8_AB43);
    assert_eq!(crc32c(&std::array::from_fn::<u8, 32, _>(|i| i as u8)), 0x46DD_794E);
}

/// The events of a file; checks its frames.
fn events(path: &Path) -> Vec<Event> {
    let bytes = std::fs::read(path).unwrap();
    let (mut rest, mut events) = (bytes.as_slice(), Vec::new());
    while !rest.is_empty() {
        let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let (this, after) = rest.split_at(len + 16);
        assert_eq!(this, frame(&this[12..12 + len]));
        events.push(Event::decode(&this[12..12 + len]).unwrap());
        rest = after;
    }
    events
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn event_files_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for step in [0, 15] {
        let mut log = tensorboard::TensorBoard.open(folder.path(), step).unwrap();
        log.epoch(&[record(2)]).unwrap();
    }
    let paths = files(folder.path());
    assert_eq!(paths.len(), 2);
    for (path, start) in paths.iter().zip([1, 16]) {
        let events = events(path);
        assert_eq!(events.len(), 3);
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        assert_eq!((events[1].step, events[1].session_log.as_ref().unwrap().status), (start, 1));
        assert_eq!(events[2].step, 20);
        let values: Vec<_> =
            events[2].summary.as_ref().unwrap().value.iter().map(|v| (v.tag.as_str(), v.simple_value)).collect();
        assert_eq!(values[0], ("loss/train", Some(0.5)));
        assert_eq!(values[3], ("accuracy/validation", Some(0.875)));
        assert_eq!(values.len(), 6);
    }
}

/// As TensorBoard reads a folder: files in the order of their names, and each start drops all points from its step on.
fn points(folder: &Path) -> Vec<(i64, f32)> {
    let mut points = Vec::new();
    for event in files(folder).iter().flat_map(|path| events(path)) {
        if event.session_log.is_some_and(|log| log.status == 1) {
            points.retain(|(step, _)| *step < event.step);
        }
        let values = event.summary.into_iter().flat_map(|summary| summary.value);
        points.extend(values.filter(|v| v.tag == "loss/train").map(|v| (event.step, v.simple_value.unwrap())));
    }
    points
}

#[test]
fn a_resumed_run_keeps_all_points_and_takes_back_what_it_repeats() {
    let folder = tempfile::tempdir().unwrap();
    let run = |step: u64, epochs: &[u64], loss: f64| {
        let mut log = tensorboard::TensorBoard.open(folder.path(), step).unwrap();
        epochs.iter().for_each(|&epoch| log.epoch(&[EpochRecord { train_loss: loss, ..record(epoch) }]).unwrap());
    };
    // Killed before the first checkpoint, begun again, interrupted at the end of epoch 2, in epoch 3 after its log was
    // written but not its checkpoint, and at the end.
    run(0, &[1], 9.0);
    run(0, &[1, 2], 1.0);
    run(20, &[3], 9.0);
    run(20, &[3, 4], 2.0);
    run(45, &[5], 3.0);
    run(50, &[], 0.0);
    assert_eq!(points(folder.path()), [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0), (50, 3.0)]);
}
