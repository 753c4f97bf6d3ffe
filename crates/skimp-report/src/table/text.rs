//! A table as aligned text: as wide as it takes, or within the width of a terminal.
//!
//! Too wide a table gives way in this order: words wrap inside their columns, widest column first; heads of numbers
//! wrap; what still does not fit goes on in further blocks that repeat the first column. Numbers are never cut.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Align, Cell, Table};

/// Between two columns.
const GAP: usize = 2;

/// No column of words wraps to less than this.
const LEAST_WORDS: usize = 12;

/// Where a word that is too long for its column breaks, if it has one of these.
const JOINTS: [char; 8] = ['/', '_', '-', ',', '.', ':', '=', '|'];

/// The cells of a table as single lines.
struct Lines {
    aligns: Vec<Align>,
    head: Vec<String>,
    units: Vec<String>,
    rows: Vec<Vec<String>>,
    footer: Vec<Vec<String>>,
}

/// The table as text within `limit` columns of a terminal, `None` for as wide as it takes. Ends with a newline.
pub(super) fn text(table: &Table, limit: Option<usize>) -> String {
    let show = |row: &Vec<Cell>| (0..table.columns.len()).map(|idx| one_line(row.get(idx))).collect::<Vec<_>>();
    let lines = Lines {
        aligns: table.columns.iter().map(|column| column.align).collect(),
        head: table.columns.iter().map(|column| column.header.clone()).collect(),
        units: table.columns.iter().map(|column| column.unit.clone()).collect(),
        rows: table.rows.iter().map(show).collect(),
        footer: table.footer.iter().map(show).collect(),
    };
    let mut text = String::new();
    if !table.caption.is_empty() {
        for line in wrapped(&table.caption, limit.unwrap_or(usize::MAX)) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    for (idx, block) in lines.blocks(limit).iter().enumerate() {
        if idx > 0 {
            text.push('\n');
        }
        lines.block(block, &mut text);
    }
    text
}

/// Columns side by side: index and width of each.
type Block = Vec<(usize, usize)>;

impl Lines {
    fn cells(&self, idx: usize) -> impl Iterator<Item = &str> {
        let cells = std::iter::once(&self.units).chain(&self.rows).chain(&self.footer);
        cells.map(move |line| line[idx].as_str())
    }

    /// Width of a column whose cells stay whole.
    fn natural(&self, idx: usize) -> usize {
        self.cells(idx).chain([self.head[idx].as_str()]).map(UnicodeWidthStr::width).max().unwrap_or(0)
    }

    /// Least width of a column within `limit`.
    fn floor(&self, idx: usize, limit: usize) -> usize {
        let head = self.head[idx].split(' ').map(UnicodeWidthStr::width).max().unwrap_or(0);
        let is_whole = |cell: &&str| self.aligns[idx] == Align::Right || cell.parse::<f64>().is_ok();
        let whole = self.cells(idx).filter(is_whole).map(UnicodeWidthStr::width).max().unwrap_or(0);
        // The first column names the row: it stays readable.
        let words = if idx == 0 { LEAST_WORDS.max(limit / 3) } else { LEAST_WORDS };
        let words = if self.aligns[idx] == Align::Right { 0 } else { self.natural(idx).min(words) };
        head.max(whole).max(words)
    }

    fn blocks(&self, limit: Option<usize>) -> Vec<Block> {
        let natural: Vec<usize> = (0..self.head.len()).map(|idx| self.natural(idx)).collect();
        let all: Block = natural.iter().copied().enumerate().collect();
        let Some(limit) = limit.filter(|&limit| total(&all) > limit) else { return vec![all] };
        let floors: Vec<usize> = (0..self.head.len()).map(|idx| self.floor(idx, limit)).collect();
        let mut blocks: Vec<Block> = Vec::new();
        let mut block: Block = Vec::new();
        for (idx, &floor) in floors.iter().enumerate() {
            if block.len() > 1 && total(&block) + GAP + floor > limit {
                let first = block[0];
                blocks.push(std::mem::replace(&mut block, vec![first]));
            }
            block.push((idx, floor));
        }
        blocks.push(block);
        blocks.iter().map(|block| fitted(block, &natural, limit)).collect()
    }

    fn block(&self, block: &Block, text: &mut String) {
        let rule = block.iter().map(|&(_, width)| "─".repeat(width)).collect::<Vec<_>>().join("  ");
        self.head(block, text);
        if block.iter().any(|&(idx, _)| !self.units[idx].is_empty()) {
            self.row(block, &self.units, text);
        }
        text.push_str(&format!("{rule}\n"));
        self.rows.iter().for_each(|row| self.row(block, row, text));
        if !self.footer.is_empty() {
            text.push_str(&format!("{rule}\n"));
            self.footer.iter().for_each(|row| self.row(block, row, text));
        }
    }

    /// The heads; those of fewer lines stand at the bottom.
    fn head(&self, block: &Block, text: &mut String) {
        let cells: Vec<_> = block.iter().map(|&(idx, width)| wrapped(&self.head[idx], width)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        let cells = cells.into_iter().map(|lines| {
            let above = height - lines.len();
            std::iter::repeat_n(String::new(), above).chain(lines).collect()
        });
        self.lines(block, &cells.collect::<Vec<_>>(), text);
    }

    fn row(&self, block: &Block, row: &[String], text: &mut String) {
        let cells: Vec<_> = block.iter().map(|&(idx, width)| wrapped(&row[idx], width)).collect();
        self.lines(block, &cells, text);
    }

    /// Cells of several lines side by side.
    fn lines(&self, block: &Block, cells: &[Vec<String>], text: &mut String) {
        let height = cells.iter().map(Vec::len).max().unwrap_or(1);
        for line in 0..height {
            let padded = block.iter().zip(cells).map(|(&(idx, width), lines)| {
                let cell = lines.get(line).map_or("", String::as_str);
                let pad = " ".repeat(width.saturating_sub(cell.width()));
                match self.aligns[idx] {
                    Align::Left => format!("{cell}{pad}"),
                    Align::Right => format!("{pad}{cell}"),
                }
            });
            let line = padded.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
}

fn total(block: &Block) -> usize {
    block.iter().map(|&(_, width)| width).sum::<usize>() + GAP * block.len().saturating_sub(1)
}

/// A block from its least widths: what the limit leaves goes to the narrowest column that still wants more, so that the
/// widest columns give way first.
fn fitted(block: &Block, natural: &[usize], limit: usize) -> Block {
    let mut block = block.clone();
    for _ in total(&block)..limit {
        let wanting = block.iter_mut().filter(|(idx, width)| *width < natural[*idx]);
        let Some((_, width)) = wanting.min_by_key(|(_, width)| *width) else { break };
        *width += 1;
    }
    block
}

/// `text` in lines of at most `width` columns, broken at spaces; a longer word breaks behind a joint, or where it must.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word = word;
        let space = usize::from(used > 0);
        if used + space + word.width() <= width {
            used += space + word.width();
        } else {
            if used > 0 {
                lines.push(String::new());
            }
            while word.width() > width {
                let (part, rest) = word.split_at(break_at(word, width));
                lines.last_mut().into_iter().for_each(|line| line.push_str(part));
                lines.push(String::new());
                word = rest;
            }
            used = word.width();
        }
        let Some(line) = lines.last_mut() else { continue };
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines
}

/// Byte at which a word that is wider than `width` breaks: at least one character, behind the last joint that fits.
fn break_at(word: &str, width: usize) -> usize {
    let (mut used, mut end, mut joint) = (0, 0, None);
    for (at, c) in word.char_indices() {
        used += c.width().unwrap_or(0);
        if used > width && at > 0 {
            break;
        }
        end = at + c.len_utf8();
        if JOINTS.contains(&c) {
            joint = Some(end);
        }
    }
    joint.filter(|&joint| 2 * joint >= end).unwrap_or(end)
}

/// A cell on one line of a terminal.
fn one_line(cell: Option<&Cell>) -> String {
    let text = cell.map(Cell::display).unwrap_or_default();
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::wrapped;
    use crate::table::{Cell, Column, Table};

    fn wide() -> Table {
        let mut table = Table::new(
            "designs",
            vec![
                Column::text("name", "name"),
                Column::text("summary", "summary"),
                Column::number("cycles", "executed cycles", "10^6"),
                Column::text("source", "source"),
            ],
        );
        for (name, cycles) in [("compend", 123_456_789_012), ("dadiannao", 7)] {
            let source = "A. Author, B. Author, A Long Title of a Paper, in the Proceedings of a Conference, 2018";
            let summary = "finds out early which sums are going to be negative";
            table.row(vec![name.into(), summary.into(), Cell::Count(cycles), source.into()]);
        }
        table
    }

    #[test]
    fn every_width_is_kept_and_nothing_is_lost() {
        for width in 40..200 {
            let text = wide().to_text(Some(width));
            for line in text.lines() {
                assert!(line.width() <= width, "{width}: {line:?}");
            }
            assert!(text.contains("123,456,789,012"), "{width}: a number was cut\n{text}");
            for word in ["Proceedings", "negative", "executed", "2018"] {
                assert!(text.contains(word), "{width}: {word}\n{text}");
            }
        }
        assert_eq!(wide().to_text(Some(1000)), wide().to_text(None));
    }

    #[test]
    fn many_numbers_go_on_below_with_the_first_column() {
        let mut columns = vec![Column::text("layer", "layer")];
        columns.extend((0..9).map(|idx| Column::number(format!("k{idx}"), format!("count {idx}"), "")));
        let mut table = Table::new("", columns);
        let cells = (0..9).map(|idx| Cell::Count(1_000_000_000 + idx));
        table.row(std::iter::once("conv1".into()).chain(cells).collect());
        let text = table.to_text(Some(60));
        assert!(text.lines().all(|line| line.width() <= 60), "{text}");
        assert_eq!(text.matches("conv1").count(), 3, "{text}");
        assert!((0..9).all(|idx| text.contains(&format!("1,000,000,00{idx}"))), "{text}");
    }

    #[test]
    fn words_wrap_at_spaces_then_at_joints() {
        for (text, width, lines) in [
            ("one two three", 7, vec!["one two", "three"]),
            ("/layer1/layer1.0/conv1/Conv", 12, vec!["/layer1/", "layer1.0/", "conv1/Conv"]),
            ("abcdefghij", 4, vec!["abcd", "efgh", "ij"]),
            ("二三四五", 4, vec!["二三", "四五"]),
            ("fits", 4, vec!["fits"]),
        ] {
            assert_eq!(wrapped(text, width), lines, "{text}");
        }
    }
}
