//! Stores of one sweep joined into one.

use std::path::Path;

use skimp_study::StudyError;

use crate::config::SweepConfig;
use crate::error::SweepError;
use crate::record::{stored_sweep, write_report};
use crate::run::check_same;
use crate::store::{PointRow, SqliteStore};

/// Joins the stores in `folders` into a new one in `folder`, with its page, and returns the number of its points. A point that
/// is in several of them must have brought the same.
///
/// # Errors
/// [`SweepError::Store`] naming the store that is missing or another sweep's, or the point that differs;
/// [`SweepError::Begun`] if `folder` holds points.
pub fn merge(folders: &[&Path], folder: &Path) -> Result<u64, SweepError> {
    let Some((first, rest)) = folders.split_first() else { return Ok(0) };
    let first = SqliteStore::open(first)?;
    let Some(meta) = first.meta()? else { return Err(empty(&first)) };
    let stores = rest.iter().map(|folder| SqliteStore::open(folder)).collect::<Result<Vec<_>, _>>()?;
    for store in &stores {
        let Some(other) = store.meta()? else { return Err(empty(store)) };
        check_same(store.path(), &meta, &other)?;
    }
    let failed = |source| SweepError::Study(StudyError::Io { path: folder.to_owned(), source });
    skimp_files::make_folder(folder).map_err(failed)?;
    let joined = SqliteStore::create(folder)?;
    let n_points = joined.n_points()?;
    if n_points > 0 {
        return Err(SweepError::Begun { path: joined.path().to_owned(), n_points });
    }
    let mut all: std::collections::BTreeMap<String, PointRow> = std::collections::BTreeMap::new();
    for store in std::iter::once(&first).chain(&stores) {
        for row in store.rows()? {
            match all.get(&row.point_id) {
                Some(known) => same(store, known, &row)?,
                None => drop(all.insert(row.point_id.clone(), row)),
            }
        }
    }
    joined.add_all(&all.into_values().collect::<Vec<_>>())?;
    joined.set_meta(&meta)?;
    let config = SweepConfig::parse(&meta.sweep, &meta.name, Path::new(""))?;
    skimp_report::write_atomic(&folder.join("sweep.toml"), config.to_toml()?.as_bytes()).map_err(StudyError::from)?;
    write_report(folder, &stored_sweep(folder)?)?;
    joined.n_points()
}

fn empty(store: &SqliteStore) -> SweepError {
    SweepError::Store { path: store.path().to_owned(), cause: "the store holds no sweep".to_owned() }
}

/// Checks that two rows of one point agree in all that does not depend on the machine.
fn same(store: &SqliteStore, known: &PointRow, row: &PointRow) -> Result<(), SweepError> {
    let figures = |row: &PointRow| {
        let named = crate::figure::FIGURES.iter().zip(row.figures);
        named
            .filter(|(figure, _)| figure.name != "measured_latency")
            .map(|(_, value)| value.map(f64::to_bits))
            .collect::<Vec<_>>()
    };
    if known.status == row.status && figures(known) == figures(row) {
        return Ok(());
    }
    let cause = format!(
        "point {} differs from the one of another store, which skimp {} made, this one {}",
        row.point_id, known.skimp_version, row.skimp_version
    );
    Err(SweepError::Store { path: store.path().to_owned(), cause })
}
