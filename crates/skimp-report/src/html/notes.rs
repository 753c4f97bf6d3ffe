//! Tables whose long columns stand below them as numbered notes.

use indexmap::IndexSet;

use super::escape;
use crate::table::{Cell, Column, Table};

/// `table` as HTML, with the columns of `keys` in numbered notes below it. Rows with the same text share a note.
///
/// A column of note numbers comes last, so that the table keeps to numbers and a few words and fits the page.
pub(super) fn noted(table: &Table, keys: &[&str]) -> String {
    let (moved, kept): (Vec<usize>, Vec<usize>) =
        (0..table.columns.len()).partition(|&idx| keys.contains(&table.columns[idx].key.as_str()));
    let mut notes: IndexSet<String> = IndexSet::new();
    let pick = |row: &[Cell]| kept.iter().map(|&idx| row.get(idx).cloned().unwrap_or_default()).collect();
    let mut short = Table::new(table.caption.clone(), kept.iter().map(|&idx| table.columns[idx].clone()).collect());
    short.columns.push(Column::text("note", "note"));
    for row in &table.rows {
        let texts = moved.iter().filter_map(|&idx| row.get(idx)).map(|cell| cell.display());
        let text = texts.filter(|text| !text.is_empty()).collect::<Vec<_>>().join(". ");
        let mut cells: Vec<Cell> = pick(row);
        cells.push(if text.is_empty() { Cell::Empty } else { (notes.insert_full(text).0 + 1).to_string().into() });
        short.row(cells);
    }
    if notes.is_empty() {
        short.columns.pop();
    }
    let items: String = notes.iter().map(|note| format!("<li>{}</li>\n", escape(note))).collect();
    let list = if items.is_empty() { String::new() } else { format!("<ol class=\"notes\">\n{items}</ol>\n") };
    format!("{}{list}", short.to_html())
}
