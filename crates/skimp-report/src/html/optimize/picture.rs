//! Objective against loss: every point, the path to the result, its interval, the bound.

use crate::html::escape;
use crate::records::{OptimizeRecord, TriedRecord};
use crate::views::optimize::{shown, turned};

/// Extents of the picture, and of the plot in it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 350.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 52.0;

/// Points beyond are drawn on the edge: so many bounds of loss, and so many times the start's objective.
const MOST_BOUNDS: f64 = 4.0;
const MOST_STARTS: f64 = 1.25;

/// The least loss that the axis reaches to.
const LEAST_LOSS: f64 = 1.0;

/// Where numbers lie.
struct Scale {
    loss: [f64; 2],
    objective: f64,
}

impl Scale {
    fn x(&self, loss: f64) -> f64 {
        let [from, to] = self.loss;
        let share = ((loss - from) / (to - from)).clamp(0.0, 1.0);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, objective: f64) -> f64 {
        let share = (objective / self.objective).clamp(0.0, 1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

/// Round steps that cut an extent into about five parts.
fn step(extent: f64) -> f64 {
    let rough = extent / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| times * power >= rough).unwrap_or(10.0);
    times * power
}

/// The figure; `None` where no point was judged.
pub(super) fn picture(record: &OptimizeRecord) -> Option<String> {
    let start = record.path.iter().find(|own| own.why == "start")?;
    let start_objective = start.objective.filter(|objective| *objective > 0.0)?;
    let interval = record.judgement.as_ref().map(|judged| judged.loss_interval);
    let judged: Vec<(usize, &TriedRecord, f64, f64)> =
        (record.path.iter().enumerate()).filter_map(|(idx, own)| Some((idx, own, own.loss?, own.objective?))).collect();
    let losses = || judged.iter().map(|point| point.2).chain(interval.iter().flatten().copied());
    let most = (MOST_BOUNDS * record.max_loss).max(LEAST_LOSS).max(interval.map_or(0.0, |[_, high]| high));
    let low = losses().fold(0.0_f64, f64::min).max(-most);
    let high = losses().fold(record.max_loss, f64::max).min(most);
    let room = 0.06 * (high - low).max(0.1);
    let greatest = judged.iter().map(|point| point.3).fold(start_objective, f64::max);
    let scale =
        Scale { loss: [low - room, high + room], objective: greatest.min(MOST_STARTS * start_objective) * 1.04 };
    let mut svg = axes(record, &scale);
    let bound = scale.x(record.max_loss);
    svg.push_str(&format!(
        "<rect class=\"beyond\" x=\"{bound:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>\n\
         <line class=\"bound\" x1=\"{bound:.1}\" x2=\"{bound:.1}\" y1=\"{TOP}\" y2=\"{:.1}\"/>\n\
         <text class=\"bound-name\" x=\"{:.1}\" y=\"{:.1}\">bound {}</text>\n",
        WIDTH - RIGHT - bound,
        HEIGHT - TOP - BOTTOM,
        HEIGHT - BOTTOM,
        bound + 6.0,
        TOP + 14.0,
        record.max_loss
    ));
    let led: Vec<_> = judged.iter().filter(|(_, own, ..)| own.why == "start" || own.status == "best").collect();
    let line: Vec<String> =
        led.iter().map(|point| format!("{:.1},{:.1}", scale.x(point.2), scale.y(point.3))).collect();
    for &(idx, own, loss, objective) in judged.iter().filter(|(_, own, ..)| own.why != "start" && own.status != "best")
    {
        svg.push_str(&point(record, &scale, (idx, own), (loss, objective), false));
    }
    svg.push_str(&format!("<polyline class=\"led\" points=\"{}\"/>\n", line.join(" ")));
    for &&(idx, own, loss, objective) in &led {
        svg.push_str(&point(record, &scale, (idx, own), (loss, objective), true));
    }
    svg.push_str(&result(record, &scale).unwrap_or_default());
    let caption = format!(
        "{} against points of top-1 lost: every point on the search images, the path to the result, and the result on the \
         final images with its 95 % interval. Points beyond the axes lie on the edge.",
        record.objective
    );
    Some(format!(
        "<figure id=\"picture\">\n{LEGEND}\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"group\" aria-label=\"{}\">\n{svg}</svg>\n\
         <p id=\"shown\" class=\"note\" aria-live=\"polite\">Point at a mark, or go from one to the next with the tab or arrow \
         keys.</p>\n<figcaption>{}</figcaption>\n</figure>\n",
        escape(&format!("{} against loss; the numbers are in the tables below", record.objective)),
        escape(&caption),
    ))
}

/// What the marks mean.
const LEGEND: &str = "<p class=\"legend marks\">\
    <span><svg viewBox=\"0 0 20 12\"><polyline class=\"led\" points=\"1,6 19,6\"/><circle class=\"best\" cx=\"10\" cy=\"6\" \
    r=\"5\"/></svg>the path</span> \
    <span><svg viewBox=\"0 0 12 12\"><circle class=\"kept\" cx=\"6\" cy=\"6\" r=\"4\"/></svg>kept</span> \
    <span><svg viewBox=\"0 0 12 12\"><path class=\"lossy\" d=\"M2 2L10 10M10 2L2 10\"/></svg>too lossy</span> \
    <span><svg viewBox=\"0 0 20 12\"><path class=\"final\" d=\"M1 6H19M1 2V10M19 2V10\"/><path class=\"final\" \
    d=\"M10 1L15 6L10 11L5 6Z\"/></svg>result, final images</span></p>\n";

/// Axes with their ticks and titles.
fn axes(record: &OptimizeRecord, scale: &Scale) -> String {
    let mut svg = String::new();
    let [from, to] = scale.loss;
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    let by = step(to - from);
    let mut at = (from / by).ceil() as i64;
    while at as f64 * by <= to {
        let (loss, x) = (at as f64 * by, scale.x(at as f64 * by));
        let decimals = (-by.log10().floor()).max(0.0) as usize;
        svg.push_str(&format!(
            "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{loss:.decimals$}</text>\n",
            bottom + 18.0
        ));
        at += 1;
    }
    let by = step(scale.objective);
    for n in 0..=(scale.objective / by) as u32 {
        let (value, y) = (f64::from(n) * by, scale.y(f64::from(n) * by));
        let decimals = (-by.log10().floor()).clamp(0.0, 9.0) as usize;
        svg.push_str(&format!(
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 8.0,
            y + 4.0,
            crate::number::fixed(value, decimals)
        ));
    }
    let title = format!("{}, {}", record.objective, record.unit);
    svg.push_str(&format!(
        "<text class=\"title\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">points of top-1 lost</text>\n\
         <text class=\"title\" transform=\"translate(15 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
        (LEFT + right) / 2.0,
        HEIGHT - 10.0,
        (TOP + bottom) / 2.0,
        escape(&title)
    ));
    svg
}

/// A mark that says what it is. Those that led to the result are reached by the keyboard.
fn point(
    record: &OptimizeRecord,
    scale: &Scale,
    (idx, own): (usize, &TriedRecord),
    (loss, objective): (f64, f64),
    is_led: bool,
) -> String {
    let text = format!(
        "Point {idx}, {}: {} {}, {loss:.2} points lost ({}). Turned: {}.",
        own.why,
        shown(objective),
        record.unit,
        own.status,
        turned(own)
    );
    let (x, y, text) = (scale.x(loss), scale.y(objective), escape(&text));
    let shape = match own.status.as_str() {
        "lossy" => {
            let [left, right, up, down] = [x - 4.0, x + 4.0, y - 4.0, y + 4.0];
            format!(
                "<path class=\"lossy\" d=\"M{left:.1} {up:.1}L{right:.1} {down:.1}M{right:.1} {up:.1}L{left:.1} {down:.1}\"/>"
            )
        }
        _ if is_led => format!("<circle class=\"best\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"6\"/>"),
        _ => format!("<circle class=\"kept\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"),
    };
    let reach = if is_led { "tabindex=\"0\"" } else { "tabindex=\"-1\"" };
    format!("<g class=\"mark\" role=\"img\" {reach} aria-label=\"{text}\"><title>{text}</title>{shape}</g>\n")
}

/// The result on the final images.
fn result(record: &OptimizeRecord, scale: &Scale) -> Option<String> {
    let judged = record.judgement.as_ref()?;
    let [low, high] = judged.loss_interval.map(|loss| scale.x(loss));
    let objective = judged.result.objective?;
    let (x, y) = (scale.x(judged.loss), scale.y(objective));
    let [from, to] = judged.loss_interval;
    let text = format!(
        "The result on {} final images: {} {}, {:.2} points lost, 95 % interval {from:.2} to {to:.2}: {}.",
        judged.images,
        shown(objective),
        record.unit,
        judged.loss,
        judged.verdict
    );
    let text = escape(&text);
    let [left, right, up, down] = [x - 7.0, x + 7.0, y - 7.0, y + 7.0];
    Some(format!(
        "<g class=\"mark\" role=\"img\" tabindex=\"0\" aria-label=\"{text}\"><title>{text}</title>\
         <path class=\"final\" d=\"M{low:.1} {y:.1}H{high:.1}M{low:.1} {:.1}V{:.1}M{high:.1} {:.1}V{:.1}\"/>\
         <path class=\"final\" d=\"M{x:.1} {up:.1}L{right:.1} {y:.1}L{x:.1} {down:.1}L{left:.1} {y:.1}Z\"/></g>\n",
        y - 6.0,
        y + 6.0,
        y - 6.0,
        y + 6.0
    ))
}
