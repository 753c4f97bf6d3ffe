//! Stores as tables for other tools: CSV and Parquet.

use std::path::Path;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use serde_json::{Map, Value as Json};
use skimp_study::StudyError;

use crate::error::SweepError;
use crate::figure::FIGURES;
use crate::store::{PointRow, SqliteStore};

/// A form of export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// Comma-separated values with a header line; a missing value is empty.
    Csv,
    /// Apache Parquet, one row group, uncompressed; a missing value is null.
    Parquet,
}

impl ExportFormat {
    /// Every form, by name.
    pub const ALL: [(&'static str, Self); 2] = [("csv", Self::Csv), ("parquet", Self::Parquet)];
}

/// Writes the points of the store in `folder` to `file` and returns their number: columns `point_id`, `status`, `reason`, one
/// for each axis by its name, one for each figure, `seconds`, `skimp_version`, and `config` as JSON. Rows are in the order of
/// `point_id`.
///
/// # Errors
/// [`SweepError::Store`] if there is no store, [`SweepError::Study`] if the file cannot be written.
pub fn export(folder: &Path, format: ExportFormat, file: &Path) -> Result<usize, SweepError> {
    let store = SqliteStore::open(folder)?;
    let rows = store.rows()?;
    let columns = columns(&rows);
    let bytes = match format {
        ExportFormat::Csv => csv_bytes(&columns, rows.len()),
        ExportFormat::Parquet => parquet_bytes(&columns, rows.len())
            .map_err(|error| SweepError::Store { path: file.to_owned(), cause: error.to_string() })?,
    };
    skimp_report::write_atomic(file, &bytes).map_err(StudyError::from)?;
    Ok(rows.len())
}

/// A named column of one kind of values.
struct Column {
    name: String,
    values: Values,
}

enum Values {
    Text(Vec<Option<String>>),
    Integers(Vec<Option<i64>>),
    Numbers(Vec<Option<f64>>),
    Truth(Vec<Option<bool>>),
}

fn columns(rows: &[PointRow]) -> Vec<Column> {
    let of = |row: &PointRow| serde_json::from_str::<Map<String, Json>>(&row.axes).unwrap_or_default();
    let axes: Vec<Map<String, Json>> = rows.iter().map(of).collect();
    let mut names: Vec<&String> = Vec::new();
    for key in axes.iter().flat_map(Map::keys) {
        if !names.contains(&key) {
            names.push(key);
        }
    }
    // Rows lie in no order of the axes: their names do.
    names.sort_unstable();
    let text = |name: &str, of: &dyn Fn(&PointRow) -> Option<String>| Column {
        name: name.to_owned(),
        values: Values::Text(rows.iter().map(of).collect()),
    };
    let mut all = vec![
        text("point_id", &|row| Some(row.point_id.clone())),
        text("status", &|row| Some(row.status.name().to_owned())),
        text("reason", &|row| row.reason.clone()),
    ];
    for name in names {
        let cells: Vec<Option<&Json>> =
            axes.iter().map(|axes| axes.get(name).filter(|value| !value.is_null())).collect();
        // An axis may have the name of a figure or of another column.
        let taken = FIGURES.iter().any(|figure| figure.name == *name) || ["seconds", "config"].contains(&name.as_str());
        let name =
            if taken || all.iter().any(|column| column.name == *name) { format!("axis.{name}") } else { name.clone() };
        all.push(Column { name, values: typed(&cells) });
    }
    for (idx, figure) in FIGURES.iter().enumerate() {
        let values = Values::Numbers(rows.iter().map(|row| row.figures[idx]).collect());
        all.push(Column { name: figure.name.to_owned(), values });
    }
    let seconds = Values::Numbers(rows.iter().map(|row| row.seconds).collect());
    all.push(Column { name: "seconds".to_owned(), values: seconds });
    all.push(text("skimp_version", &|row| Some(row.skimp_version.clone())));
    all.push(text("config", &|row| Some(row.config.clone())));
    all
}

/// The narrowest kind that holds all cells.
fn typed(cells: &[Option<&Json>]) -> Values {
    let all = |fits: fn(&Json) -> bool| cells.iter().flatten().all(|value| fits(value));
    if all(Json::is_i64) {
        Values::Integers(cells.iter().map(|cell| cell.and_then(Json::as_i64)).collect())
    } else if all(Json::is_number) {
        Values::Numbers(cells.iter().map(|cell| cell.and_then(Json::as_f64)).collect())
    } else if all(Json::is_boolean) {
        Values::Truth(cells.iter().map(|cell| cell.and_then(Json::as_bool)).collect())
    } else {
        let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Values::Text(cells.iter().map(|cell| cell.map(text)).collect())
    }
}

fn csv_bytes(columns: &[Column], n_rows: usize) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let cell = |column: &Column, row: usize| match &column.values {
        Values::Text(values) => values[row].clone().unwrap_or_default(),
        Values::Integers(values) => values[row].map_or_else(String::new, |value| value.to_string()),
        Values::Numbers(values) => values[row].map_or_else(String::new, |value| value.to_string()),
        Values::Truth(values) => values[row].map_or_else(String::new, |value| value.to_string()),
    };
    // A vector takes all that is written.
    let _ = writer.write_record(columns.iter().map(|column| column.name.as_str()));
    for row in 0..n_rows {
        let _ = writer.write_record(columns.iter().map(|column| cell(column, row)));
    }
    writer.into_inner().unwrap_or_default()
}

fn parquet_bytes(columns: &[Column], n_rows: usize) -> Result<Vec<u8>, ParquetError> {
    let field = |column: &Column| -> Result<TypePtr, ParquetError> {
        let (physical, logical) = match &column.values {
            Values::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Values::Integers(_) => (Physical::INT64, None),
            Values::Numbers(_) => (Physical::DOUBLE, None),
            Values::Truth(_) => (Physical::BOOLEAN, None),
        };
        let builder = Type::primitive_type_builder(&column.name, physical).with_repetition(Repetition::OPTIONAL);
        Ok(Arc::new(builder.with_logical_type(logical).build()?))
    };
    let fields = columns.iter().map(field).collect::<Result<Vec<_>, _>>()?;
    let schema = Arc::new(Type::group_type_builder("points").with_fields(fields).build()?);
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().set_created_by("skimp".to_owned()).build());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties)?;
    if n_rows > 0 {
        let mut group = writer.next_row_group()?;
        for column in columns {
            let Some(mut into) = group.next_column()? else { break };
            write_column(&column.values, into.untyped())?;
            into.close()?;
        }
        group.close()?;
    }
    writer.close()?;
    Ok(bytes)
}

fn write_column(values: &Values, into: &mut ColumnWriter<'_>) -> Result<(), ParquetError> {
    fn split<T: Clone, U>(values: &[Option<T>], of: impl Fn(&T) -> U) -> (Vec<U>, Vec<i16>) {
        let levels = values.iter().map(|value| i16::from(value.is_some())).collect();
        (values.iter().flatten().map(of).collect(), levels)
    }
    match (values, into) {
        (Values::Text(values), ColumnWriter::ByteArrayColumnWriter(into)) => {
            let (present, levels) = split(values, |text| ByteArray::from(text.as_str()));
            into.write_batch(&present, Some(&levels), None)?;
        }
        (Values::Integers(values), ColumnWriter::Int64ColumnWriter(into)) => {
            let (present, levels) = split(values, |&value| value);
            into.write_batch(&present, Some(&levels), None)?;
        }
        (Values::Numbers(values), ColumnWriter::DoubleColumnWriter(into)) => {
            let (present, levels) = split(values, |&value| value);
            into.write_batch(&present, Some(&levels), None)?;
        }
        (Values::Truth(values), ColumnWriter::BoolColumnWriter(into)) => {
            let (present, levels) = split(values, |&value| value);
            into.write_batch(&present, Some(&levels), None)?;
        }
        _ => return Err(ParquetError::General("a column of another kind than its values".to_owned())),
    }
    Ok(())
}
