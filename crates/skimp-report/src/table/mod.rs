//! One table, written as text, CSV or HTML.

mod text;

pub(crate) use self::text::wrapped;

use std::ops::RangeInclusive;

use crate::html::escape;
use crate::{ReportError, number};

/// A table with a caption, typed cells and an optional footer of totals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// What the table shows, as a short title.
    pub caption: String,
    /// The columns, left to right.
    pub columns: Vec<Column>,
    /// The rows. A short row is padded with empty cells.
    pub rows: Vec<Vec<Cell>>,
    /// Rows of totals. CSV leaves them out: they are no data.
    pub footer: Vec<Vec<Cell>>,
}

/// The head of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Head in CSV: lower case, underscores, unit as suffix.
    pub key: String,
    /// Head for people, without the unit.
    pub header: String,
    /// Unit for people; empty for none.
    pub unit: String,
    /// Where cells stand.
    pub align: Align,
}

/// Where the cells of a column stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

impl Column {
    /// A column of words.
    pub fn text(key: impl Into<String>, header: impl Into<String>) -> Self {
        Self { key: key.into(), header: header.into(), unit: String::new(), align: Align::Left }
    }

    /// A column of numbers. The key names the unit, too.
    pub fn number(key: impl Into<String>, header: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { key: key.into(), header: header.into(), unit: unit.into(), align: Align::Right }
    }

    /// The head for people, with its unit.
    fn title(&self) -> String {
        if self.unit.is_empty() { self.header.clone() } else { format!("{} ({})", self.header, self.unit) }
    }
}

/// One cell.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Cell {
    /// Nothing: not applicable or not known.
    #[default]
    Empty,
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A number, shown with that many decimals. CSV has all digits.
    Real(f64, usize),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

impl Cell {
    /// A number with decimals that may be missing.
    pub fn real(value: impl Into<Option<f64>>, decimals: usize) -> Self {
        value.into().map_or(Self::Empty, |value| Self::Real(value, decimals))
    }

    /// The cell for people.
    pub fn display(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Count(value) => number::count(*value),
            Self::Real(value, decimals) => number::fixed(*value, *decimals),
        }
    }

    /// The cell for programs: all digits, no separators.
    pub fn raw(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Count(value) => value.to_string(),
            Self::Real(value, _) => number::plain(*value),
        }
    }
}

impl Table {
    /// A table without rows.
    pub fn new(caption: impl Into<String>, columns: Vec<Column>) -> Self {
        Self { caption: caption.into(), columns, rows: Vec::new(), footer: Vec::new() }
    }

    /// Appends a row.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table for a terminal: caption, head with units, aligned columns, within `width` columns of the terminal;
    /// `None` for as wide as it takes. Words wrap, numbers are never cut. Ends with a newline.
    pub fn to_text(&self, width: Option<usize>) -> String {
        text::text(self, width)
    }

    /// The rows as CSV (RFC 4180, comma, `\n`) under the columns' keys. No text has power over a terminal or a spreadsheet:
    /// control characters are escaped, and a quotation mark makes a formula text.
    ///
    /// # Errors
    /// [`ReportError::Encode`] if the CSV writer fails, which it does not on memory.
    pub fn to_csv(&self) -> Result<String, ReportError> {
        let failed = |cause: String| ReportError::Encode { what: "CSV", cause };
        let mut writer = csv::Writer::from_writer(Vec::new());
        let head = self.columns.iter().map(|column| column.key.as_str());
        writer.write_record(head).map_err(|error| failed(error.to_string()))?;
        for row in &self.rows {
            let cells = (0..self.columns.len()).map(|idx| match row.get(idx) {
                Some(Cell::Text(text)) => harmless(text),
                other => other.map(Cell::raw).unwrap_or_default(),
            });
            writer.write_record(cells).map_err(|error| failed(error.to_string()))?;
        }
        let bytes = writer.into_inner().map_err(|error| failed(error.to_string()))?;
        String::from_utf8(bytes).map_err(|error| failed(error.to_string()))
    }

    /// The table as an HTML `<table>` in a container that scrolls sideways. The first cell of a row is its head.
    pub fn to_html(&self) -> String {
        self.html(&|_, _| None)
    }

    /// As [`Self::to_html`], with the numbers of some columns shaded in proportion: `full` is the darkest.
    pub fn to_heat_html(&self, columns: RangeInclusive<usize>, full: f64) -> String {
        self.html(&|idx, cell| match cell {
            Cell::Real(value, _) if columns.contains(&idx) && full > 0.0 => Some((value / full).clamp(0.0, 1.0)),
            _ => None,
        })
    }

    fn html(&self, heat: &dyn Fn(usize, &Cell) -> Option<f64>) -> String {
        let mut html = format!(
            "<div class=\"table-scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\n<table{wide}>\n\
             <caption><span>{caption}</span></caption>\n<thead><tr>",
            caption = escape(&self.caption),
            wide = if self.columns.len() > 8 { " class=\"wide\"" } else { "" },
        );
        for column in &self.columns {
            html.push_str(&format!("<th scope=\"col\"{}>{}</th>", class(column.align), escape(&column.title())));
        }
        html.push_str("</tr></thead>\n<tbody>\n");
        self.rows.iter().for_each(|row| html.push_str(&self.html_row(row, heat)));
        html.push_str("</tbody>\n");
        if !self.footer.is_empty() {
            html.push_str("<tfoot>\n");
            self.footer.iter().for_each(|row| html.push_str(&self.html_row(row, heat)));
            html.push_str("</tfoot>\n");
        }
        html.push_str("</table>\n</div>\n");
        html
    }

    fn html_row(&self, row: &[Cell], heat: &dyn Fn(usize, &Cell) -> Option<f64>) -> String {
        let cells = self.columns.iter().enumerate().map(|(idx, column)| {
            let cell = row.get(idx).unwrap_or(&Cell::Empty);
            let (text, class) = (escape(&cell.display()), class(column.align));
            match heat(idx, cell) {
                _ if idx == 0 => format!("<th scope=\"row\"{class}>{text}</th>"),
                Some(heat) => format!("<td class=\"number heat\" style=\"--heat:{heat:.3}\">{text}</td>"),
                None => format!("<td{class}>{text}</td>"),
            }
        });
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    }
}

/// A text as a field of CSV that neither a terminal nor a spreadsheet obeys: control characters are written as `\\u{1b}`,
/// and what a spreadsheet would take for a formula gets a quotation mark before it.
fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    if text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err() {
        safe.push('\'');
    }
    text.chars().for_each(|c| if c.is_control() { safe.extend(c.escape_unicode()) } else { safe.push(c) });
    safe
}

fn class(align: Align) -> &'static str {
    match align {
        Align::Left => "",
        Align::Right => " class=\"number\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(
            "Energy <by> layer",
            vec![
                Column::text("layer", "layer"),
                Column::number("cycles", "cycles", ""),
                Column::number("energy_nj", "energy", "nJ"),
            ],
        );
        table.row(vec!["conv1, \"first\"".into(), 4_243_674.into(), Cell::Real(10.892_345, 2)]);
        table.row(vec!["größe".into(), 7.into()]);
        table.footer.push(vec!["total".into(), 4_243_681.into(), Cell::Real(10.892_345, 2)]);
        table
    }

    #[test]
    fn text_is_aligned_by_characters() {
        let expected = "\
Energy <by> layer
layer              cycles  energy
                               nJ
──────────────  ─────────  ──────
conv1, \"first\"  4,243,674   10.89
größe                   7
──────────────  ─────────  ──────
total           4,243,681   10.89
";
        assert_eq!(sample().to_text(None), expected);
    }

    #[test]
    fn csv_has_keys_all_digits_and_no_footer() {
        let expected = "layer,cycles,energy_nj\n\"conv1, \"\"first\"\"\",4243674,10.892345\ngröße,7,\n";
        assert_eq!(sample().to_csv().unwrap(), expected);
    }

    #[test]
    fn html_is_escaped_and_names_heads_and_units() {
        let html = sample().to_html();
        assert!(html.contains("<caption><span>Energy &lt;by&gt; layer</span></caption>"), "{html}");
        assert!(html.contains("<th scope=\"col\" class=\"number\">energy (nJ)</th>"), "{html}");
        assert!(html.contains("<th scope=\"row\">conv1, &quot;first&quot;</th>"), "{html}");
        assert!(html.contains("<tfoot>"), "{html}");
    }

    #[test]
    fn csv_is_obeyed_by_nobody() {
        let mut table = Table::new("", vec![Column::text("name", "name"), Column::number("n", "n", "")]);
        for name in ["=HYPERLINK(\"x\")", "@sum", "-1+cmd|' /C calc'!A0", "+a", "-12.5", "a\u{1b}[31m\r\n", "a=b"] {
            table.row(vec![name.into(), Cell::real(-1.5, 1)]);
        }
        let expected = "name,n\n\"'=HYPERLINK(\"\"x\"\")\",-1.5\n'@sum,-1.5\n'-1+cmd|' /C calc'!A0,-1.5\n'+a,-1.5\n-12.5,-1.5\n\
             a\\u{1b}[31m\\u{d}\\u{a},-1.5\na=b,-1.5\n";
        assert_eq!(table.to_csv().unwrap(), expected);
    }

    #[test]
    fn control_characters_cannot_break_a_line() {
        let mut table = Table::new("", vec![Column::text("name", "name")]);
        table.row(vec!["a\nb\u{1b}[31m".into()]);
        assert_eq!(table.to_text(None), "name\n────────\na b [31m\n");
    }
}
