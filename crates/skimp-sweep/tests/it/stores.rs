//! Stores: another sweep's, another schema's, shards, exports, and the seam of studies.

use std::path::Path;

use skimp_study::{KeptPoint, Silent, Store, StudyConfig, StudyOverrides, study_in};
use skimp_sweep::{ExportFormat, PointRow, SqliteStore, Status, SweepConfig, SweepRun, export, merge, sweep};

use crate::rows::{AXES, parse, without_time};

fn run(config: &SweepConfig, folder: &Path) -> SweepRun {
    let run = SweepRun::new(folder);
    sweep(config, &run, &Silent).unwrap();
    run
}

#[test]
fn shards_join_to_the_whole() {
    let config = parse(AXES);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    run(&config, &at("whole"));
    let mut n_points = 0;
    for shard in ["1/3", "2/3", "3/3"] {
        let name = format!("part{}", &shard[..1]);
        let run = SweepRun { shard: Some(shard.parse().unwrap()), ..SweepRun::new(at(&name)) };
        n_points += sweep(&config, &run, &Silent).unwrap().n_new;
    }
    assert_eq!(n_points, 12);
    let parts = [at("part1"), at("part2"), at("part3")];
    let parts: Vec<&Path> = parts.iter().map(|part| part.as_path()).collect();
    assert_eq!(merge(&parts, &at("joined")).unwrap(), 12);
    let rows = |name: &str| without_time(&SqliteStore::open(&at(name)).unwrap().rows().unwrap());
    assert_eq!(rows("joined"), rows("whole"));
    assert_eq!(
        std::fs::read_to_string(at("joined").join("report.html")).unwrap(),
        std::fs::read_to_string(at("whole").join("report.html")).unwrap()
    );
    // The same part twice is one part; a part that found something else is refused.
    assert_eq!(merge(&[parts[0], parts[0]], &at("twice")).unwrap(), 4);
    let store = SqliteStore::open(parts[1]).unwrap();
    let mut row = SqliteStore::open(parts[0]).unwrap().rows().unwrap().remove(0);
    row.figures[0] = row.figures[0].map(|latency| latency + 1.0);
    store.add(row).unwrap();
    let error = merge(&parts, &at("wrong")).unwrap_err().to_string();
    assert!(error.contains("differs from the one of another store"), "{error}");
    let error = merge(&parts[..1], &at("joined")).unwrap_err().to_string();
    assert!(error.contains("there are 12 points of a sweep"), "{error}");
}

#[test]
fn stores_of_others_are_refused_and_stay() {
    let config = parse(AXES);
    let folder = tempfile::tempdir().unwrap();
    let first = run(&config, folder.path());
    let resumed = SweepRun { resume: true, ..first };
    for (from, to, message) in [
        ("name = \"test\"", "name = \"other\"", "holds points of sweep \"test\", this is sweep \"other\""),
        ("images = 2", "images = 3", "another base: this one has images = 3"),
    ] {
        let error = sweep(&parse(&AXES.replacen(from, to, 1)), &resumed, &Silent).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("sweep.sqlite"), "{error}");
    }
    // Another value of an axis is more of the same sweep.
    let more = parse(&AXES.replace("values = [4, 8]", "values = [4, 8, 10]"));
    let summary = sweep(&more, &resumed, &Silent).unwrap();
    assert_eq!((summary.n_done, summary.n_new), (18, 6));

    let connection = rusqlite::Connection::open(folder.path().join("sweep.sqlite")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = sweep(&config, &resumed, &Silent).unwrap_err().to_string();
    assert!(error.contains("the store has schema 99, this version of skimp reads 1"), "{error}");
    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("sweep.sqlite"), "no data base, but a text that is long enough".repeat(40))
        .unwrap();
    let error = sweep(&config, &SweepRun::new(other.path()), &Silent).unwrap_err().to_string();
    assert!(error.contains("this file is no data base of a sweep"), "{error}");
    let foreign = tempfile::tempdir().unwrap();
    let connection = rusqlite::Connection::open(foreign.path().join("sweep.sqlite")).unwrap();
    connection.execute_batch("CREATE TABLE mine (a)").unwrap();
    let error = sweep(&config, &SweepRun::new(foreign.path()), &Silent).unwrap_err().to_string();
    assert!(error.contains("not from skimp"), "{error}");
    let error = export(Path::new("/nowhere"), ExportFormat::Csv, &folder.path().join("x.csv")).unwrap_err().to_string();
    assert!(error.contains("is this the folder of a sweep?"), "{error}");
}

#[test]
fn exports_hold_every_row() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    let config = parse(AXES);
    let folder = tempfile::tempdir().unwrap();
    run(&config, folder.path());
    let store = SqliteStore::open(folder.path()).unwrap();
    let failed = PointRow {
        point_id: "00".to_owned(),
        status: Status::Failed,
        reason: Some("it \"fails\",\nby design".to_owned()),
        axes: "{\"bits\": 4}".to_owned(),
        figures: [None; 7],
        ..store.rows().unwrap().remove(0)
    };
    store.add(failed).unwrap();
    let rows = store.rows().unwrap();
    let (csv, parquet) = (folder.path().join("points.csv"), folder.path().join("points.parquet"));
    assert_eq!(export(folder.path(), ExportFormat::Csv, &csv).unwrap(), 13);
    let mut reader = csv::Reader::from_path(&csv).unwrap();
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|own| own == name).unwrap();
    let cells: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(cells.len(), 13);
    for (cell, row) in cells.iter().zip(&rows) {
        assert_eq!((&cell[at("point_id")], &cell[at("status")]), (&*row.point_id, row.status.name()));
        assert_eq!(&cell[at("reason")], row.reason.as_deref().unwrap_or_default());
        assert_eq!(cell[at("latency")].parse().ok(), row.figures[0]);
        assert_eq!(&cell[at("config")], row.config);
        let axes: serde_json::Value = serde_json::from_str(&row.axes).unwrap();
        assert_eq!(cell[at("bits")].parse().ok(), axes["bits"].as_i64());
        assert_eq!(&cell[at("accelerator")], axes["accelerator"].as_str().unwrap_or_default());
    }
    // Read back by the library's own reader: kinds, nulls, values.
    assert_eq!(export(folder.path(), ExportFormat::Parquet, &parquet).unwrap(), 13);
    let reader = SerializedFileReader::new(std::fs::File::open(&parquet).unwrap()).unwrap();
    let columns: Vec<String> =
        reader.metadata().file_metadata().schema().get_fields().iter().map(|field| field.name().to_owned()).collect();
    assert_eq!(columns, header.iter().collect::<Vec<_>>());
    for (read, row) in reader.get_row_iter(None).unwrap().zip(&rows) {
        let read = read.unwrap();
        assert_eq!(read.get_string(at("point_id")).unwrap(), &row.point_id);
        assert_eq!(read.get_double(at("energy")).ok(), row.figures[1]);
        let axes: serde_json::Value = serde_json::from_str(&row.axes).unwrap();
        assert_eq!(read.get_long(at("bits")).ok(), axes["bits"].as_i64());
    }
}

#[test]
fn a_study_keeps_its_points_in_a_data_base() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::create(folder.path()).unwrap();
    let overrides = StudyOverrides { images: Some(1), accuracy_images: Some(10), ..StudyOverrides::default() };
    let study = StudyConfig::open("sample", &overrides).unwrap();
    let first = study_in(&study, &store, false, &Silent).unwrap();
    let names = Store::names(&store).unwrap();
    assert!(names.iter().any(|name| name == "accuracy") && names.len() > 2, "{names:?}");
    let again = study_in(&study, &store, true, &Silent).unwrap();
    assert_eq!(again.sections, first.sections);
    let kept: KeptPoint = Store::read(&store, &names[0]).unwrap().unwrap();
    Store::write(&store, "other", &kept).unwrap();
    assert_eq!(Store::read(&store, "other").unwrap(), Some(kept));
    Store::remove(&store, "other").unwrap();
    assert_eq!(Store::read(&store, "other").unwrap(), None);
}
