//! Text and tables of kinds of study that have no section of their own here.

use super::Section;
use crate::StudyRecord;
use crate::html::chart::{Chart, Cloud, N_COLORS, Scatter, View};
use crate::html::escape;
use crate::records::{ChartRecord, TableRecord, TablesRecord};
use crate::table::{Cell, Column, Table};
use crate::views::fitted;

/// What a study found, as it says it itself.
pub(super) struct Tables;

impl Section for Tables {
    fn id(&self) -> &'static str {
        "results"
    }

    fn title(&self) -> &'static str {
        "Results"
    }

    fn body(&self, study: &StudyRecord) -> Option<String> {
        let record = study.section::<TablesRecord>()?;
        let text = match record.text.as_str() {
            "" => String::new(),
            text => format!("<p class=\"lead\">{}</p>\n", escape(text)),
        };
        let charts = record.charts.iter().enumerate().map(|(idx, chart)| picture(idx, chart));
        Some(text + &charts.chain(record.tables.iter().map(|table| table.table().to_html())).collect::<String>())
    }

    fn text(&self, study: &StudyRecord, width: Option<usize>) -> Vec<String> {
        let Some(record) = study.section::<TablesRecord>() else { return Vec::new() };
        let text = (!record.text.is_empty()).then(|| fitted(format!("{}\n", record.text), width));
        text.into_iter().chain(record.tables.iter().map(|table| table.table().to_text(width))).collect()
    }

    fn csv_names(&self) -> &'static [&'static str] {
        &["results.csv"]
    }

    fn csv(&self, study: &StudyRecord) -> Vec<Table> {
        let record = study.section::<TablesRecord>();
        record.and_then(|record| record.tables.first()).map(TableRecord::table).into_iter().collect()
    }
}

/// A record's picture, and its numbers as a table.
fn picture(idx: usize, record: &ChartRecord) -> String {
    let ([x_title, y_title], [x_unit, y_unit]) = (&record.axes, &record.units);
    let mut table = Table::new(
        record.caption.as_str(),
        vec![
            Column::text("color", "color"),
            Column::text("point", "point"),
            Column::number("x", x_title.as_str(), x_unit.as_str()),
            Column::number("y", y_title.as_str(), y_unit.as_str()),
        ],
    );
    for cloud in &record.clouds {
        for point in &cloud.points {
            let cells = [Cell::Real(point.x, 3), Cell::Real(point.y, 3)];
            table.row([cloud.name.as_str().into(), point.name.as_str().into()].into_iter().chain(cells).collect());
        }
    }
    let clouds = record.clouds.iter().enumerate().map(|(color, cloud)| Cloud {
        name: cloud.name.clone(),
        color: color % N_COLORS,
        points: cloud.points.iter().map(|point| (point.name.clone(), point.x, point.y)).collect(),
        roof: cloud.line.iter().map(|&[x, y]| (x, y)).collect(),
    });
    let chart = Chart {
        id: format!("results-chart-{}", idx + 1),
        caption: record.caption.clone(),
        value_title: y_title.clone(),
        unit: y_unit.clone(),
        category_title: "color".to_owned(),
        scatter: Some(Scatter {
            x_title: x_title.clone(),
            x_unit: x_unit.clone(),
            linear: true,
            clouds: clouds.collect(),
        }),
        views: vec![View::default()],
        ..Chart::default()
    };
    chart.to_html(&table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{CloudRecord, PointRecord, Sections};

    #[test]
    fn pictures_have_their_numbers_beside_them() {
        let point = PointRecord { name: "l1 & l2".to_owned(), x: 40.5, y: 91.25 };
        let cloud =
            CloudRecord { name: "channels".to_owned(), points: vec![point], line: vec![[1.0, 2.0], [3.0, 4.0]] };
        let chart = ChartRecord {
            caption: "accuracy against operations".to_owned(),
            axes: ["operations".to_owned(), "top-1".to_owned()],
            units: ["MMAC".to_owned(), "%".to_owned()],
            clouds: vec![cloud],
        };
        let record = TablesRecord { text: String::new(), tables: Vec::new(), charts: vec![chart] };
        let read: TablesRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(read, record);
        let study = StudyRecord { sections: Sections::default().with(record), ..StudyRecord::default() };
        let page = Tables.body(&study).unwrap();
        for part in [
            "id=\"results-chart-1\"",
            "accuracy against operations",
            "\"roof\":[[1.0,2.0],[3.0,4.0]]",
            "l1 &amp; l2",
            "40.500",
            "91.250",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert_eq!(Tables.text(&study, None), Vec::<String>::new());
    }
}
