//! Points in a data base: SQLite, one row a point.
//!
//! # Kills
//! The data base is in write-ahead mode with `synchronous = NORMAL`: a process that is killed loses the rows of the
//! transaction that is under way and nothing else; a power cut may take the last transactions. Rows are written as points
//! finish: whoever finishes writes all that has piled up, in one transaction. Several processes may share a data base on a
//! local file system; write-ahead mode does not work on network file systems, where each process needs a folder of its own
//! (`--shard`, and then `sweep merge`).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row as SqlRow, TransactionBehavior, params};
use skimp_study::{KeptPoint, Store, StudyError};
use toml::Table;

use crate::error::SweepError;
use crate::figure::{FIGURES, Figures};

/// Name of the data base in a sweep's folder.
pub const STORE_FILE: &str = "sweep.sqlite";

/// Version of the tables: `PRAGMA user_version`.
pub const STORE_SCHEMA: i32 = 1;

/// `PRAGMA application_id`: "skmp".
const APPLICATION_ID: i32 = 0x736B_6D70;

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the data base keeps in memory: names of points are digests, so rows go to pages at random.
const CACHE_KIBIBYTES: i64 = 32 << 10;

/// Pages of the write-ahead log, of 4 KiB, after which it goes into the data base.
const PAGES_TO_CHECKPOINT: i64 = 8 << 10;

/// What became of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// It ran, within the constraints.
    Ok,
    /// It ran, and breaks a constraint.
    Infeasible,
    /// It could not run.
    Failed,
}

impl Status {
    /// As the store has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::Infeasible => "infeasible",
            Status::Failed => "failed",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Status::Ok, Status::Infeasible, Status::Failed].into_iter().find(|status| status.name() == name)
    }
}

/// A row: one point and what it brought.
#[derive(Clone, Debug, PartialEq)]
pub struct PointRow {
    /// Name of the point: a digest of all that it depends on.
    pub point_id: String,
    /// What became of it.
    pub status: Status,
    /// Why it failed, or which constraint it breaks.
    pub reason: Option<String>,
    /// The resolved configuration, a JSON object.
    pub config: String,
    /// The values of the axes, a JSON object.
    pub axes: String,
    /// Path and SHA-256 digest of each input, a JSON list.
    pub inputs: String,
    /// The figures.
    pub figures: Figures,
    /// What else it brought, a JSON object: the slowest layers, the cost table; of a study its whole outcome.
    pub outcome: String,
    /// Wall-clock time of its own work, shared stages apart.
    pub seconds: Option<f64>,
    /// Version of the program that made it.
    pub skimp_version: String,
}

/// The data base of a sweep.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    connection: Mutex<Connection>,
    waiting: Mutex<Vec<PointRow>>,
}

/// What holds for all points of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreMeta {
    /// The sweep's name.
    pub name: String,
    /// The resolved sweep that wrote last, as TOML.
    pub sweep: String,
    /// What all points have that no axis changes, as TOML without title, search, objectives and constraints.
    pub base: String,
}

/// Columns of a row before the figures, and after them.
const BEFORE: [&str; 6] = ["point_id", "status", "reason", "config", "axes", "inputs"];
const AFTER: [&str; 3] = ["outcome", "seconds", "skimp_version"];

fn columns() -> String {
    let names = BEFORE.into_iter().chain(FIGURES.iter().map(|figure| figure.name)).chain(AFTER);
    names.collect::<Vec<_>>().join(", ")
}

impl SqliteStore {
    /// Opens the store in `folder`, or makes one.
    ///
    /// # Errors
    /// [`SweepError::Store`] if the file is no store, or of another schema, or cannot be opened.
    pub fn create(folder: &Path) -> Result<Self, SweepError> {
        let path = folder.join(STORE_FILE);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let store = Self::connect(path, flags)?;
        store.with(|connection| {
            // Before write-ahead mode, which two processes may ask for at once.
            connection.busy_timeout(PATIENCE)?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "normal")?;
            connection.pragma_update(None, "cache_size", -CACHE_KIBIBYTES)?;
            connection.pragma_update(None, "wal_autocheckpoint", PAGES_TO_CHECKPOINT)?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
            let n_tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
            if version == 0 && n_tables == 0 {
                transaction.execute_batch(&schema())?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", STORE_SCHEMA)?;
            }
            transaction.commit()
        })?;
        store.check_schema()?;
        Ok(store)
    }

    /// Opens the store in `folder` to read it.
    ///
    /// # Errors
    /// [`SweepError::Store`] if there is none, or it cannot be opened.
    pub fn open(folder: &Path) -> Result<Self, SweepError> {
        let path = if folder.is_file() { folder.to_owned() } else { folder.join(STORE_FILE) };
        if !path.exists() {
            let cause = "there is no such file: is this the folder of a sweep?".to_owned();
            return Err(SweepError::Store { path, cause });
        }
        // A reader of a store in write-ahead mode takes part in its locks.
        let store = Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        store.with(|connection| connection.busy_timeout(PATIENCE))?;
        store.check_schema()?;
        Ok(store)
    }

    fn connect(path: PathBuf, flags: OpenFlags) -> Result<Self, SweepError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(|error| failure(&path, &error))?;
        Ok(Self { path, connection: Mutex::new(connection), waiting: Mutex::default() })
    }

    fn check_schema(&self) -> Result<(), SweepError> {
        let (version, id): (i32, i32) = self.with(|connection| {
            let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get(0));
            Ok((pragma("user_version")?, pragma("application_id")?))
        })?;
        let cause = match (version, id) {
            (STORE_SCHEMA, APPLICATION_ID) => return Ok(()),
            (version, APPLICATION_ID) => {
                format!(
                    "the store has schema {version}, this version of skimp reads {STORE_SCHEMA}; write to another folder"
                )
            }
            _ => "this data base is not from skimp; write to another folder".to_owned(),
        };
        Err(SweepError::Store { path: self.path.clone(), cause })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Result<T, SweepError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut connection).map_err(|error| failure(&self.path, &error))
    }

    /// The data base.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What holds for all points; `None` in a new store.
    ///
    /// # Errors
    /// [`SweepError::Store`]; so in all other methods.
    pub fn meta(&self) -> Result<Option<StoreMeta>, SweepError> {
        self.with(|connection| {
            let read = |key: &str| {
                connection
                    .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, String>(0))
                    .optional()
            };
            let (name, sweep, base) = (read("name")?, read("sweep")?, read("base")?);
            Ok(name.zip(sweep).zip(base).map(|((name, sweep), base)| StoreMeta { name, sweep, base }))
        })
    }

    /// Sets what holds for all points.
    ///
    /// # Errors
    /// As [`meta`](Self::meta).
    pub fn set_meta(&self, meta: &StoreMeta) -> Result<(), SweepError> {
        self.with(|connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (key, value) in [("name", &meta.name), ("sweep", &meta.sweep), ("base", &meta.base)] {
                transaction.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", [key, value])?;
            }
            transaction.commit()
        })
    }

    /// Names of the points that are done.
    ///
    /// # Errors
    /// As [`meta`](Self::meta).
    pub fn done(&self) -> Result<HashSet<String>, SweepError> {
        self.with(|connection| {
            let mut query = connection.prepare("SELECT point_id FROM points")?;
            query.query_map([], |row| row.get(0))?.collect()
        })
    }

    /// How many points are done.
    ///
    /// # Errors
    /// As [`meta`](Self::meta).
    pub fn n_points(&self) -> Result<u64, SweepError> {
        self.with(|connection| connection.query_row("SELECT count(*) FROM points", [], |row| row.get::<_, i64>(0)))
            .map(i64::unsigned_abs)
    }

    /// Every row, by the order of names.
    ///
    /// # Errors
    /// As [`meta`](Self::meta).
    pub fn rows(&self) -> Result<Vec<PointRow>, SweepError> {
        self.with(|connection| {
            let mut query = connection.prepare(&format!("SELECT {} FROM points ORDER BY point_id", columns()))?;
            query.query_map([], read_row)?.collect()
        })
    }

    /// The row of that name.
    ///
    /// # Errors
    /// As [`meta`](Self::meta).
    pub fn row(&self, point_id: &str) -> Result<Option<PointRow>, SweepError> {
        self.with(|connection| {
            let mut query =
                connection.prepare_cached(&format!("SELECT {} FROM points WHERE point_id = ?1", columns()))?;
            query.query_row([point_id], read_row).optional()
        })
    }

    /// Adds a row, unless one of its name is there. Where another thread is writing, that one writes it as well; the row is
    /// in the store when the last of those who call has come back.
    ///
    /// # Errors
    /// As [`meta`](Self::meta).
    pub fn add(&self, row: PointRow) -> Result<(), SweepError> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push(row);
        loop {
            let Ok(mut connection) = self.connection.try_lock() else { return Ok(()) };
            let rows = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
            if rows.is_empty() {
                return Ok(());
            }
            let written = write_rows(&mut connection, &rows);
            drop(connection);
            if let Err(error) = written {
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).extend(rows);
                return Err(failure(&self.path, &error));
            }
            // What was handed in meanwhile by those who found the store taken.
            if self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return Ok(());
            }
        }
    }

    /// Adds rows in one transaction, those apart whose names are there.
    ///
    /// # Errors
    /// As [`meta`](Self::meta).
    pub fn add_all(&self, rows: &[PointRow]) -> Result<(), SweepError> {
        self.with(|connection| write_rows(connection, rows))
    }

    /// Writes what still waits.
    ///
    /// # Errors
    /// As [`meta`](Self::meta).
    pub fn flush(&self) -> Result<(), SweepError> {
        let rows = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        self.add_all(&rows)
    }
}

/// The tables. Documented in docs/sweeps.md.
fn schema() -> String {
    let figures: String = FIGURES.iter().map(|figure| format!("    {} REAL,\n", figure.name)).collect();
    format!(
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;\n\
         CREATE TABLE points (\n    point_id TEXT PRIMARY KEY,\n    \
         status TEXT NOT NULL CHECK (status IN ('ok', 'infeasible', 'failed')),\n    reason TEXT,\n    \
         config TEXT NOT NULL,\n    axes TEXT NOT NULL,\n    inputs TEXT NOT NULL,\n{figures}    \
         outcome TEXT NOT NULL,\n    seconds REAL,\n    skimp_version TEXT NOT NULL\n) STRICT, WITHOUT ROWID;\n"
    )
}

fn write_rows(connection: &mut Connection, rows: &[PointRow]) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    {
        let n_columns = BEFORE.len() + FIGURES.len() + AFTER.len();
        let places: Vec<String> = (1..=n_columns).map(|place| format!("?{place}")).collect();
        let insert = format!("INSERT OR IGNORE INTO points ({}) VALUES ({})", columns(), places.join(", "));
        let mut insert = transaction.prepare_cached(&insert)?;
        for row in rows {
            let PointRow {
                point_id,
                status,
                reason,
                config,
                axes,
                inputs,
                figures: f,
                outcome,
                seconds,
                skimp_version,
            } = row;
            insert.execute(params![
                point_id,
                status.name(),
                reason,
                config,
                axes,
                inputs,
                f[0],
                f[1],
                f[2],
                f[3],
                f[4],
                f[5],
                f[6],
                outcome,
                seconds,
                skimp_version
            ])?;
        }
    }
    transaction.commit()
}

fn read_row(row: &SqlRow<'_>) -> rusqlite::Result<PointRow> {
    let mut figures = Figures::default();
    for (idx, figure) in figures.iter_mut().enumerate() {
        *figure = row.get(BEFORE.len() + idx)?;
    }
    let after = BEFORE.len() + FIGURES.len();
    let status: String = row.get(1)?;
    let status = Status::from_name(&status).ok_or_else(|| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, format!("status \"{status}\"").into())
    })?;
    Ok(PointRow {
        point_id: row.get(0)?,
        status,
        reason: row.get(2)?,
        config: row.get(3)?,
        axes: row.get(4)?,
        inputs: row.get(5)?,
        figures,
        outcome: row.get(after)?,
        seconds: row.get(after + 1)?,
        skimp_version: row.get(after + 2)?,
    })
}

fn failure(path: &Path, error: &rusqlite::Error) -> SweepError {
    let cause = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => {
            "the disk is full; finished points are kept: make room and go on with --resume".to_owned()
        }
        Some(rusqlite::ErrorCode::NotADatabase) => {
            "this file is no data base of a sweep; write to another folder".to_owned()
        }
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
            "another process holds the data base; try again, or give each process a folder of its own".to_owned()
        }
        Some(
            rusqlite::ErrorCode::ReadOnly | rusqlite::ErrorCode::CannotOpen | rusqlite::ErrorCode::PermissionDenied,
        ) => {
            format!("the data base cannot be opened or written: {error}")
        }
        _ => error.to_string(),
    };
    SweepError::Store { path: path.to_owned(), cause }
}

/// The same error for a user of the [`Store`] seam.
fn as_study(error: SweepError) -> StudyError {
    match error {
        SweepError::Study(error) => error,
        SweepError::Store { path, cause } => StudyError::Kept { path, cause },
        other => StudyError::Kept { path: PathBuf::from(STORE_FILE), cause: other.to_string() },
    }
}

/// Points of any study: figures that are columns go there, all others into the outcome.
impl Store for SqliteStore {
    fn place(&self) -> &Path {
        &self.path
    }

    fn place_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn names(&self) -> Result<Vec<String>, StudyError> {
        let mut names: Vec<String> = self.done().map_err(as_study)?.into_iter().collect();
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Option<KeptPoint>, StudyError> {
        let damaged = |cause: String| StudyError::Kept { path: self.place_of(name), cause };
        let Some(row) = self.row(name).map_err(as_study)? else { return Ok(None) };
        let kept: Kept = serde_json::from_str(&row.outcome).map_err(|error| damaged(error.to_string()))?;
        let config: Table = serde_json::from_str(&row.config).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(KeptPoint {
            skimp_version: row.skimp_version,
            disposable: kept.disposable,
            seconds: row.seconds,
            failure: row.reason,
            figures: kept.figures,
            outcome: kept.outcome,
            config,
        }))
    }

    fn write(&self, name: &str, point: &KeptPoint) -> Result<(), StudyError> {
        let failed =
            |error: serde_json::Error| StudyError::Kept { path: self.place_of(name), cause: error.to_string() };
        let kept =
            Kept { disposable: point.disposable, figures: point.figures.clone(), outcome: point.outcome.clone() };
        let mut figures = Figures::default();
        for (figure, value) in FIGURES.iter().zip(&mut figures) {
            *value = point.figures.get(figure.name).copied();
        }
        let row = PointRow {
            point_id: name.to_owned(),
            status: if point.failure.is_some() { Status::Failed } else { Status::Ok },
            reason: point.failure.clone(),
            config: serde_json::to_string(&point.config).map_err(failed)?,
            axes: "{}".to_owned(),
            inputs: "[]".to_owned(),
            figures,
            outcome: serde_json::to_string(&kept).map_err(failed)?,
            seconds: point.seconds,
            skimp_version: point.skimp_version.clone(),
        };
        self.remove(name)?;
        self.add_all(&[row]).map_err(as_study)
    }

    fn remove(&self, name: &str) -> Result<(), StudyError> {
        self.with(|connection| connection.execute("DELETE FROM points WHERE point_id = ?1", [name]))
            .map_err(as_study)?;
        Ok(())
    }
}

/// What the columns do not hold of a study's point.
#[derive(serde::Serialize, serde::Deserialize)]
struct Kept {
    disposable: bool,
    figures: BTreeMap<String, f64>,
    outcome: Table,
}
