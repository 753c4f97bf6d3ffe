//! What an optimization found, and what proves it.

use serde::Serialize;
use skimp_report::records::InputDigest;
use skimp_report::table::{Cell, Column, Table};
use skimp_study::Tabular;

use super::config::{Budget, Strategy};
use super::sets::SetRecord;

/// An optimization: `skimp.optimize/1`. Accuracies are fractions, losses are points of top-1.
#[derive(Clone, Debug, Serialize)]
pub struct OptimizeRecord {
    /// `skimp.optimize/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network before.
    pub model: InputDigest,
    /// The data set.
    pub data: String,
    /// Sets of images, disjoint.
    pub sets: Vec<SetRecord>,
    /// What was made small.
    pub objective: String,
    /// Its unit.
    pub unit: &'static str,
    /// Points of top-1 that may be lost.
    pub max_loss: f64,
    /// Who proposed points.
    pub strategy: Strategy,
    /// Seed of sets and draws.
    pub seed: u64,
    /// What the search was given.
    pub budget: Budget,
    /// Whether the user stopped it; the final set has not been looked at then.
    pub interrupted: bool,
    /// Wall-clock time.
    pub seconds: f64,
    /// Accuracy of the float network on the search images.
    pub search_top1: f64,
    /// The levers and their rungs, the start's first.
    pub levers: Vec<LeverRecord>,
    /// Points in the order in which they were tried.
    pub path: Vec<TriedRecord>,
    /// The result: a value of each lever, in their order.
    pub values: Vec<String>,
    /// Points that led there: each was better than all before.
    pub improvements: usize,
    /// What each lever that was turned contributes.
    pub contributions: Vec<ContributionRecord>,
    /// The judgement on the final images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judgement: Option<JudgementRecord>,
    /// Files written, relative to the folder.
    pub files: Vec<String>,
    /// What to know.
    pub notes: Vec<String>,
}

/// A lever.
#[derive(Clone, Debug, Serialize)]
pub struct LeverRecord {
    /// Name.
    pub name: String,
    /// Its values, the start's first.
    pub values: Vec<String>,
}

/// A point that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TriedRecord {
    /// `start`, `alone`, `predicted`, `neighbor`, `drawn`, or `without` for a point without one lever of the best.
    pub why: &'static str,
    /// Levers that were turned, and their values.
    pub turned: Vec<(String, String)>,
    /// `best` where it was better than all before, `kept` within the bound, `lossy` beyond it, `failed`.
    pub status: &'static str,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The objective on the search images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
    /// Points lost on the search images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// The standard error of that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss_error: Option<f64>,
}

/// What a lever contributes to the result: the same without it, on the search images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ContributionRecord {
    /// The lever.
    pub lever: String,
    /// Its value.
    pub value: String,
    /// The objective without it; none where there was no time left or it cannot run.
    pub objective_without: Option<f64>,
    /// How many times larger that is.
    pub times: Option<f64>,
    /// Points lost without it.
    pub loss_without: Option<f64>,
}

/// A network on the final images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FinalRecord {
    /// Images that it gets right.
    pub correct: u64,
    /// Their share.
    pub top1: f64,
    /// Wilson's 95 % interval of that.
    pub top1_interval: [f64; 2],
    /// The objective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective: Option<f64>,
}

/// The judgement on the final images, which nothing else has looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct JudgementRecord {
    /// Images.
    pub images: u64,
    /// The float network that was given.
    pub float: FinalRecord,
    /// The start: 16 bits, the design's preset.
    pub start: FinalRecord,
    /// The result.
    pub result: FinalRecord,
    /// Points of top-1 that the result loses against the float network.
    pub loss: f64,
    /// Its 95 % interval.
    pub loss_interval: [f64; 2],
    /// How that was worked out.
    pub interval_method: &'static str,
    /// `proven`: the interval lies within the bound; `not proven`: the bound lies inside it; `broken`: it lies beyond.
    pub verdict: &'static str,
    /// How many times smaller the objective is than at the start.
    pub gain: f64,
}

/// Whether an interval of a loss keeps a bound.
pub(super) fn verdict([low, high]: [f64; 2], bound: f64) -> &'static str {
    if high <= bound {
        "proven"
    } else if low > bound {
        "broken"
    } else {
        "not proven"
    }
}

impl OptimizeRecord {
    /// What came out, in sentences.
    #[must_use]
    pub fn sentences(&self) -> String {
        let kept = self.path.iter().filter(|own| own.status == "best" || own.status == "kept").count();
        let lossy = self.path.iter().filter(|own| own.status == "lossy").count();
        let failed = self.path.iter().filter(|own| own.status == "failed").count();
        let mut text = format!(
            "{}: {} points tried ({}), {kept} within {} points of top-1 on the search images, {lossy} beyond, {failed} failed; \
             {:.0} s\n",
            self.objective,
            self.path.len(),
            self.strategy.name(),
            self.max_loss,
            self.seconds
        );
        let Some(judged) = &self.judgement else {
            text.push_str(
                "stopped: the best so far is written; the final images have not been looked at, nothing is proven\n",
            );
            return text;
        };
        let turned = self.levers.iter().zip(&self.values).any(|(lever, value)| lever.values.first() != Some(value));
        if !turned || judged.gain <= 1.0 {
            text.push_str("no better than the start\n");
        } else {
            text.push_str(&format!("{:.2} times less {} than at the start\n", judged.gain, self.unit));
        }
        let [low, high] = judged.loss_interval;
        text.push_str(&format!(
            "loss on {} final images: {:.2} points, 95 % interval {low:.2} to {high:.2} ({}); bound {}: {}\n",
            judged.images, judged.loss, judged.interval_method, self.max_loss, judged.verdict
        ));
        text
    }

    fn judged_table(&self, judged: &JudgementRecord) -> Table {
        let columns = vec![
            Column::text("network", "network"),
            Column::number("objective", self.objective.as_str(), self.unit),
            Column::number("top1", "top-1", "%"),
            Column::text("interval", "95 % interval"),
        ];
        let mut table = Table::new(format!("on {} final images", judged.images), columns);
        for (name, own) in [("float", &judged.float), ("start", &judged.start), ("result", &judged.result)] {
            let [low, high] = own.top1_interval.map(|share| 100.0 * share);
            table.row(vec![
                name.into(),
                Cell::real(own.objective, decimals(own.objective)),
                Cell::real(100.0 * own.top1, 2),
                format!("{low:.2} to {high:.2}").as_str().into(),
            ]);
        }
        table
    }

    fn contribution_table(&self) -> Table {
        let columns = vec![
            Column::text("lever", "lever"),
            Column::text("value", "value"),
            Column::number("objective_without", "without it", self.unit),
            Column::number("times", "times larger", ""),
            Column::number("loss_without", "loss without it", "points"),
        ];
        let mut table = Table::new("what each lever contributes to the result, on the search images", columns);
        for own in &self.contributions {
            table.row(vec![
                own.lever.as_str().into(),
                own.value.as_str().into(),
                Cell::real(own.objective_without, decimals(own.objective_without)),
                Cell::real(own.times, 3),
                Cell::real(own.loss_without, 2),
            ]);
        }
        table
    }

    fn path_table(&self) -> Table {
        let columns = vec![
            Column::number("point", "point", ""),
            Column::text("why", "why"),
            Column::text("status", "status"),
            Column::number("objective", self.objective.as_str(), self.unit),
            Column::number("loss", "loss", "points"),
            Column::number("loss_error", "error", "points"),
            Column::text("turned", "turned"),
        ];
        let mut table = Table::new("points in the order in which they were tried, on the search images", columns);
        for (idx, own) in self.path.iter().enumerate() {
            let turned: Vec<String> = own.turned.iter().map(|(lever, value)| format!("{lever} {value}")).collect();
            let mut turned = turned.join("; ");
            if let Some(reason) = &own.reason {
                turned.push_str(&format!(": {reason}"));
            }
            table.row(vec![
                (idx as u64).into(),
                own.why.into(),
                own.status.into(),
                Cell::real(own.objective, decimals(own.objective)),
                Cell::real(own.loss, 2),
                Cell::real(own.loss_error, 2),
                turned.as_str().into(),
            ]);
        }
        table
    }

    /// The report: sentences, then every table.
    pub(super) fn report(&self) -> String {
        let mut text = format!("# {} within {} points of top-1\n\n", self.objective, self.max_loss);
        text.push_str(&format!("{} on {}, seed {}\n\n{}\n", self.model.path, self.data, self.seed, self.sentences()));
        for note in &self.notes {
            text.push_str(&format!("- {note}\n"));
        }
        text.push('\n');
        for set in &self.sets {
            text.push_str(&format!(
                "- {}: {} images of the {} split, SHA-256 {}\n",
                set.name, set.images, set.split, set.sha256
            ));
        }
        let mut tables = self.tables();
        tables.push(self.path_table());
        for table in tables {
            text.push_str(&format!("\n```\n{}```\n", table.to_text(None)));
        }
        text
    }
}

/// Decimals that show some five digits.
fn decimals(value: Option<f64>) -> usize {
    let digits = value.unwrap_or(0.0).abs().log10().floor();
    if digits.is_finite() { (4.0 - digits).clamp(0.0, 9.0) as usize } else { 0 }
}

impl Tabular for OptimizeRecord {
    fn tables(&self) -> Vec<Table> {
        let mut tables: Vec<Table> = self.judgement.iter().map(|judged| self.judged_table(judged)).collect();
        if !self.contributions.is_empty() {
            tables.push(self.contribution_table());
        }
        if tables.is_empty() {
            tables.push(self.path_table());
        }
        tables
    }

    fn to_text(&self, width: Option<usize>) -> String {
        let tables: Vec<String> = self.tables().iter().map(|table| table.to_text(width)).collect();
        format!("{}\n{}", self.sentences(), tables.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn a_bound_inside_the_interval_is_not_proven() {
        assert_eq!(verdict([-0.2, 0.5], 0.5), "proven");
        assert_eq!(verdict([-0.2, 0.51], 0.5), "not proven");
        assert_eq!(verdict([0.5, 0.9], 0.5), "not proven");
        assert_eq!(verdict([0.51, 0.9], 0.5), "broken");
    }
}
