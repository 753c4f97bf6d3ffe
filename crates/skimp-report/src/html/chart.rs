//! Bar charts: what is drawn, and the table of the same numbers.

use serde::Serialize;

use super::{escape, inline_json};
use crate::table::{Cell, Column, Table};

/// A bar chart over categories.
///
/// Bars of one category stand side by side by `group` (stacked charts) or by series.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Chart {
    /// Identifier in the page.
    #[serde(skip)]
    pub(super) id: String,
    /// What the chart shows, with its unit and, for comparisons, the baseline. Plain text.
    #[serde(skip)]
    pub(super) caption: String,
    /// Title of the value axis, without the unit.
    pub(super) value_title: String,
    /// Unit of the values.
    pub(super) unit: String,
    /// What a category is, such as `layer`.
    pub(super) category_title: String,
    /// Stack the series of a group.
    pub(super) stacked: bool,
    /// Keep the bars upright however many there are.
    pub(super) upright: bool,
    /// Lay the bars down however few there are: a low chart with names beside the bars.
    pub(super) flat: bool,
    /// End of the value axis, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<f64>,
    /// The names of the groups in drawing order. Fewer than two: no groups.
    pub(super) groups: Vec<String>,
    /// Points instead of bars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scatter: Option<Scatter>,
    /// What can be shown, one at a time. More than one: the page offers a choice.
    pub(super) views: Vec<View>,
}

/// Points and lines over two numeric axes.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Scatter {
    /// Title of the horizontal axis, without the unit.
    pub(super) x_title: String,
    /// Its unit.
    pub(super) x_unit: String,
    /// Linear axes instead of logarithmic ones.
    pub(super) linear: bool,
    /// The clouds; each view's series stays empty.
    pub(super) clouds: Vec<Cloud>,
}

/// Points of one color, and the line above them.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Cloud {
    /// Name in the legend.
    pub(super) name: String,
    /// Index into the palette.
    pub(super) color: usize,
    /// Name, x, y.
    pub(super) points: Vec<(String, f64, f64)>,
    /// Corners of the line.
    pub(super) roof: Vec<(f64, f64)>,
}

/// One selectable content of a chart.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct View {
    /// Name in the choice.
    pub(super) name: String,
    /// The categories.
    pub(super) labels: Vec<String>,
    /// The bars.
    pub(super) series: Vec<Series>,
}

/// One color of bars.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Series {
    /// Name in the legend. Series of several groups with one name share legend entry and color.
    pub(super) name: String,
    /// Index into the chart's groups.
    pub(super) group: usize,
    /// Index into the palette.
    pub(super) color: usize,
    /// Draw hatched instead of filled.
    pub(super) hatched: bool,
    /// One value per category; `None` where there is none.
    pub(super) values: Vec<Option<f64>>,
}

/// Colors in the palette of `assets/report.css`.
pub(super) const N_COLORS: usize = 8;

impl Chart {
    /// The figure: caption, canvas, data for the script, and the numbers as a table.
    pub(super) fn to_html(&self, data: &Table) -> String {
        format!(
            "<figure class=\"chart\" id=\"{id}\">\n<figcaption>{caption}</figcaption>\n\
             <div class=\"legend\"></div>\n\
             <div class=\"plot\"><canvas role=\"img\" aria-label=\"{caption} The numbers are in the table below.\">\
             </canvas></div>\n\
             <noscript><p>The chart needs JavaScript. Its numbers are in the table below.</p></noscript>\n\
             <script type=\"application/json\">{spec}</script>\n</figure>\n\
             <details class=\"data\"><summary>Numbers of this chart</summary>\n{table}</details>\n",
            id = self.id,
            caption = escape(&self.caption),
            spec = inline_json(self),
            table = data.to_html(),
        )
    }

    /// The numbers of the first view: a row per category, a column per group and series.
    pub(super) fn table(&self, decimals: usize) -> Table {
        let Some(view) = self.views.first() else { return Table::default() };
        let mut columns = vec![Column::text(self.category_title.as_str(), self.category_title.as_str())];
        for series in &view.series {
            let group = self.groups.get(series.group).filter(|_| self.groups.len() > 1);
            let header = group.map_or_else(|| series.name.clone(), |group| format!("{group}: {}", series.name));
            columns.push(Column::number(header.clone(), header, self.unit.as_str()));
        }
        let mut table = Table::new(self.caption.as_str(), columns);
        for (idx, label) in view.labels.iter().enumerate() {
            let mut row = vec![Cell::from(label.as_str())];
            row.extend(
                view.series.iter().map(|series| Cell::real(series.values.get(idx).copied().flatten(), decimals)),
            );
            table.row(row);
        }
        table
    }
}
