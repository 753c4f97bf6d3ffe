//! Tables of a kind of study that has no section of the report of its own: the section `tables` of a study.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::SectionRecord;
use crate::table::{Cell, Column, Table};

/// What a study found, as text and tables: they stand in the report, on the terminal and, the first one, in `results.csv`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TablesRecord {
    /// The answer in a sentence or two; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The tables, the most important one first.
    pub tables: Vec<TableRecord>,
    /// Pictures of their numbers, for the page.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub charts: Vec<ChartRecord>,
}

impl SectionRecord for TablesRecord {
    const NAME: &'static str = "tables";
    const SCHEMA: &'static str = "skimp.tables/1";
}

/// One table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TableRecord {
    /// What it shows.
    pub caption: String,
    /// The columns, left to right.
    pub columns: Vec<ColumnRecord>,
    /// The rows, a number, a text or `null` for each column.
    pub rows: Vec<Vec<Value>>,
}

/// A picture: points over two axes, and lines through some of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ChartRecord {
    /// What it shows.
    pub caption: String,
    /// Titles of the axes, across and up, without the units.
    pub axes: [String; 2],
    /// Their units.
    pub units: [String; 2],
    /// The points, by color.
    pub clouds: Vec<CloudRecord>,
}

/// Points of one color.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CloudRecord {
    /// Name in the legend.
    pub name: String,
    /// The points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub points: Vec<PointRecord>,
    /// Corners of a line, across and up; may be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub line: Vec<[f64; 2]>,
}

/// One point.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PointRecord {
    /// What it is.
    pub name: String,
    /// Its place across.
    pub x: f64,
    /// Its place up.
    pub y: f64,
}

/// The head of a column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnRecord {
    /// Head in CSV: lower case, underscores, unit as suffix.
    pub key: String,
    /// Head for people, without the unit.
    pub header: String,
    /// Unit for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Decimals of its numbers for people; `None` for words and whole numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decimals: Option<usize>,
}

impl ColumnRecord {
    /// A column of words or whole numbers.
    pub fn new(key: &str, header: &str) -> Self {
        Self { key: key.to_owned(), header: header.to_owned(), ..Self::default() }
    }

    /// A column of numbers, shown with that many decimals.
    pub fn real(key: &str, header: &str, unit: &str, decimals: usize) -> Self {
        Self { unit: unit.to_owned(), decimals: Some(decimals), ..Self::new(key, header) }
    }
}

impl TableRecord {
    /// As a table to be shown.
    pub(crate) fn table(&self) -> Table {
        let is_number = |idx: usize| self.rows.iter().all(|row| !row.get(idx).is_some_and(Value::is_string));
        let columns = self.columns.iter().enumerate().map(|(idx, column)| match is_number(idx) {
            true => Column::number(column.key.as_str(), column.header.as_str(), column.unit.as_str()),
            false => Column { unit: column.unit.clone(), ..Column::text(column.key.as_str(), column.header.as_str()) },
        });
        let mut table = Table::new(self.caption.as_str(), columns.collect());
        for row in &self.rows {
            let decimals = self.columns.iter().map(|column| column.decimals);
            table.row(row.iter().zip(decimals).map(|(value, decimals)| cell(value, decimals)).collect());
        }
        table
    }
}

fn cell(value: &Value, decimals: Option<usize>) -> Cell {
    match (value, decimals) {
        (Value::Null, _) => Cell::Empty,
        (Value::String(text), _) => text.as_str().into(),
        (Value::Number(number), Some(decimals)) => Cell::real(number.as_f64(), decimals),
        (Value::Number(number), None) if number.is_u64() => number.as_u64().into(),
        (other, _) => other.to_string().into(),
    }
}
