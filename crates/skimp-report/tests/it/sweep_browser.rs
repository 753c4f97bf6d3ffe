//! The explorer in headless Chromium: what it computes, selects, saves, draws and prints.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::{Value, json};
use skimp_report::html::render_sweep;
use skimp_report::records::{FigureColumn, ObjectiveRecord, PointStatus, SweepPoint, SweepRecord};

use crate::browser::{Session, assert_picture, attribute};
use crate::{demo_sweep, sweep_html};

/// What a script finds in the page: it runs inside an asynchronous function with `page` (the window), `inside` `byId`, `type` (sets a field and says so), `rows` (cells of the table of all points in sight), `frontIds` and
/// `saved` (the texts that a button saves), and gives a value.
fn look(record: &SweepRecord, script: &str) -> Option<Value> {
    let session = Session::with_page(&render_sweep(record))?;
    look_in(&session, 1200, script)
}

fn look_in(session: &Session, width: u32, script: &str) -> Option<Value> {
    let page = format!(
        "<!DOCTYPE html><body><iframe id=\"frame\" src=\"report.html\" style=\"border:0;width:{width}px;height:900px\"></iframe>
<script>onload = async () => {{
  const page = document.getElementById('frame').contentWindow;
  const inside = page.document;
  const byId = (id) => inside.getElementById(id);
  // Frames are rare in virtual time.
  page.requestAnimationFrame = (draw) => page.setTimeout(draw, 0);
  page.cancelAnimationFrame = page.clearTimeout.bind(page);
  const drawn = () => new Promise((done) => page.setTimeout(done, 1));
  const type = async (id, text, event = 'input') => {{
    byId(id).value = text;
    byId(id).dispatchEvent(new page.Event(event, {{ bubbles: true }}));
    await drawn();
  }};
  const press = async (node, key, rest = {{}}) => {{
    node.dispatchEvent(new page.KeyboardEvent('keydown', {{ key, bubbles: true, ...rest }}));
    await drawn();
  }};
  const pointer = async (node, kind, x, y) => {{
    const box = node.getBoundingClientRect();
    const at = {{ clientX: Math.round(box.left + x), clientY: Math.round(box.top + y), button: 0, bubbles: true, pointerId: 1, pointerType: 'mouse' }};
    node.dispatchEvent(kind === 'click' ? new page.MouseEvent(kind, at) : new page.PointerEvent(kind, at));
    await drawn();
  }};
  const rows = () => [...inside.querySelectorAll('#points tbody tr:not(.space)')].map((row) => [...row.cells].map((cell) => cell.textContent));
  const frontIds = () => [...inside.querySelectorAll('#front-table tbody th')].map((cell) => cell.textContent);
  const saved = async (id) => {{
    let text;
    page.Blob = class {{ constructor(parts) {{ text = parts.join(''); }} }};
    page.URL.createObjectURL = () => '#';
    page.HTMLAnchorElement.prototype.click = () => {{}};
    byId(id).click();
    return text;
  }};
  let found;
  try {{ found = await (async () => {{ {script} }})(); }} catch (error) {{ found = String(error.stack); }}
  document.body.dataset.found = encodeURIComponent(JSON.stringify({{ found, errors: inside.body.dataset.errors ?? null, overflow: inside.body.dataset.overflowPx }}));
}};</script>"
    );
    std::fs::write(session.path("look.html"), page).unwrap();
    let dom = session.dom("look.html", width + 40);
    let found = attribute(&dom, "data-found").unwrap();
    let all: Value = serde_json::from_str(&decoded(&found)).unwrap();
    assert_eq!(all["errors"], Value::Null, "{all}");
    assert_eq!(all["overflow"], "0", "{all}");
    Some(all["found"].clone())
}

/// The text behind JavaScript's `encodeURIComponent`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        bytes.extend(&rest.as_bytes()[..at]);
        bytes.push(u8::from_str_radix(&rest[at + 1..at + 3], 16).unwrap());
        rest = &rest[at + 3..];
    }
    bytes.extend(rest.as_bytes());
    String::from_utf8(bytes).unwrap()
}

/// Points on few distinct values, so that there are many ties, some without a value and some that are not finite.
fn ties(n: u64, seed: u64, maximize: [bool; 2]) -> SweepRecord {
    let figure = |name: &str| FigureColumn { name: name.to_owned(), ..FigureColumn::default() };
    let objective = |name: &str, maximize| ObjectiveRecord { name: name.to_owned(), unit: String::new(), maximize };
    let mut record = SweepRecord {
        name: "ties".to_owned(),
        objectives: vec![objective("a", maximize[0]), objective("b", maximize[1])],
        figures: vec![figure("a"), figure("b")],
        ..SweepRecord::default()
    };
    record.extend((0..n).map(|idx| {
        let draw = |stream| demo_sweep::draw(idx + 1000 * seed, stream);
        let value = |stream| match draw(stream + 10) {
            gap if gap < 0.05 => None,
            gap if gap < 0.1 => Some(f64::NAN),
            gap if gap < 0.12 => Some(f64::INFINITY),
            gap if gap < 0.14 => Some(-0.0),
            _ => Some((draw(stream) * 30.0 - 8.0).floor() / 10.0),
        };
        SweepPoint {
            id: format!("p{idx}"),
            status: if draw(2) < 0.1 { PointStatus::Infeasible } else { PointStatus::Ok },
            figures: vec![value(0), value(1)],
            ..SweepPoint::default()
        }
    }));
    record
}

/// By the definition, each point against each, over the first figures: those of the objectives.
fn naive_front(record: &SweepRecord) -> Vec<String> {
    let signed = |idx: usize| {
        let values = record.objectives.iter().zip(&record.figures).map(|(objective, figure)| {
            let value = figure.values[idx].filter(|value| value.is_finite())?;
            Some(if objective.maximize { -value } else { value })
        });
        values.collect::<Option<Vec<f64>>>()
    };
    let points: Vec<(usize, Vec<f64>)> = (0..record.n_points())
        .filter(|&idx| record.status[idx] == PointStatus::Ok)
        .filter_map(|idx| Some((idx, signed(idx)?)))
        .collect();
    let beats = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| a <= b) && a.iter().zip(b).any(|(a, b)| a < b);
    let mut front: Vec<String> = points
        .iter()
        .filter(|(_, own)| !points.iter().any(|(_, other)| beats(other, own)))
        .map(|(idx, _)| record.point_ids[*idx].clone())
        .collect();
    front.sort();
    front
}

/// The page begins with the first two objectives as the sweep has them, whatever the order of the figures, with and without
/// scripts.
#[test]
fn objectives_keep_their_order() {
    let mut record = demo_sweep::sweep(300);
    record.objectives.reverse();
    let script = "const text = (id) => byId(id).selectedOptions[0].textContent;
        return [text('x'), text('y'), text('color'), frontIds()];";
    let Some(found) = look(&record, script) else { return };
    assert_eq!((&found[0], &found[1], &found[2]), (&json!("top1 (%)"), &json!("energy (mJ)"), &json!("latency (ms)")));
    let page = render_sweep(&record);
    let stated = &page[page.find("id=\"front-table\"").unwrap()..];
    let heads = stated[..stated.find("</table>").unwrap()].split("<th scope=\"row\">").skip(1);
    let ids: Vec<&str> = heads.map(|head| &head[..head.find('<').unwrap()]).collect();
    assert!(ids.len() > 3);
    assert_eq!(found[3], json!(ids));
}

#[test]
fn the_front_of_all_objectives_can_be_marked() {
    let record = demo_sweep::sweep(500);
    let script = "byId('mark-best').click(); await drawn();
        return [byId('mark-best').textContent, byId('csv').textContent, await saved('csv')];";
    let Some(found) = look(&record, script) else { return };
    let expected = naive_front(&record);
    assert_eq!(found[0], "Mark the front of all 3 objectives");
    assert_eq!(found[1], format!("Save {} marked points as CSV", expected.len()));
    let saved = found[2].as_str().unwrap().lines().skip(1).map(|line| line.split(',').next().unwrap());
    assert_eq!(saved.collect::<Vec<_>>(), expected);
    let stated = format!("{} are on that of all 3 objectives.", expected.len());
    assert!(render_sweep(&record).contains(&stated), "{stated}");
}

#[test]
fn the_front_is_the_one_of_the_definition() {
    for (seed, maximize) in [[false, false], [true, false], [false, true], [true, true]].into_iter().enumerate() {
        let record = ties(300, seed as u64, maximize);
        let expected = naive_front(&record);
        let Some(found) = look(&record, "return frontIds();") else { return };
        let mut found: Vec<String> = serde_json::from_value(found).unwrap();
        found.sort();
        assert_eq!(found, expected, "{maximize:?}");
        // Without scripts the page has the same front.
        let page = render_sweep(&record);
        let stated = &page[page.find("id=\"front-table\"").unwrap()..];
        let stated = &stated[..stated.find("</table>").unwrap()];
        assert_eq!(stated.matches("<th scope=\"row\">").count(), expected.len());
        assert!(expected.iter().all(|id| stated.contains(&format!(">{id}<"))));
    }
}

/// Number of points for which a condition holds.
fn count_of(record: &SweepRecord, holds: impl Fn(usize) -> bool) -> usize {
    (0..record.n_points()).filter(|&idx| holds(idx)).count()
}

#[test]
fn filters_select_what_they_say() {
    let record = demo_sweep::sweep(500);
    let figure = |name: &'static str| move |idx: usize, record: &SweepRecord| record.figure(name).unwrap().values[idx];
    let (energy, top1) = (figure("energy"), figure("top1"));
    let model = |idx: usize| record.axes[0].values[idx].as_str().unwrap();
    let bits = |idx: usize| record.axes[1].values[idx].as_u64().unwrap();
    let energy = |idx: usize| energy(idx, &record);
    let top1 = |idx: usize| top1(idx, &record);
    let failed = |idx: usize| record.status[idx] == PointStatus::Failed;
    let cases: Vec<(&str, usize)> = vec![
        ("energy < 0.5", count_of(&record, |idx| energy(idx).is_some_and(|energy| energy < 0.5))),
        ("energy<5e-1", count_of(&record, |idx| energy(idx).is_some_and(|energy| energy < 0.5))),
        ("model = ComPEND", count_of(&record, |idx| model(idx) == "compend")),
        ("accelerator.model != 'compend'", count_of(&record, |idx| model(idx) != "compend")),
        ("weight_bits >= 6, model ~ s", count_of(&record, |idx| bits(idx) >= 6 && model(idx).contains('s'))),
        ("not (weight_bits = 2 or weight_bits = 4)", count_of(&record, |idx| bits(idx) > 4)),
        ("stripes or status = failed", count_of(&record, |idx| model(idx) == "stripes" || failed(idx))),
        ("reason ~ \"16 KiB\"", count_of(&record, failed)),
        ("top1 = none and not failed", count_of(&record, |idx| top1(idx).is_none() && !failed(idx))),
        ("top1 != none", count_of(&record, |idx| top1(idx).is_some())),
        ("calibration = none", count_of(&record, |idx| record.axes[5].values[idx].is_null())),
        ("units < 1,000", 500),
        ("", 500),
    ];
    let script = format!(
        "const found = [];
        for (const filter of {}) {{
          await type('filter', filter);
          found.push([byId('shown-words').textContent, Number(byId('points').getAttribute('aria-rowcount')) - 1, byId('filter-error').textContent]);
        }}
        const wrong = [];
        for (const filter of ['enrgy < 2', 'energy < many', 'energy <', 'model < 3', '(energy < 2', 'energy < 2)', '< 2', '\"open', 'not']) {{
          await type('filter', filter);
          wrong.push(byId('filter-error').textContent);
        }}
        return {{ found, wrong, kept: byId('points').getAttribute('aria-rowcount') }};",
        json!(cases.iter().map(|(filter, _)| filter).collect::<Vec<_>>())
    );
    let Some(found) = look(&record, &script) else { return };
    for ((filter, expected), found) in cases.iter().zip(found["found"].as_array().unwrap()) {
        assert!(*expected > 0 && found[2] == "", "{filter}: {found}");
        assert_eq!(found[1], json!(expected), "{filter}");
        let words =
            if *expected == 500 { "All 500 points".to_owned() } else { format!("{expected} of 500 points shown") };
        assert!(found[0].as_str().unwrap().starts_with(&words), "{filter}: {}", found[0]);
    }
    let wrong: Vec<&str> = found["wrong"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let expected = [
        "No column is named \"enrgy\". Did you mean energy?",
        "energy holds numbers, and \"many\" is none.",
        "After \"energy <\" a value is missing.",
        "model holds words: compare it with =, != or ~ (contains).",
        "A bracket is not closed.",
        "What does \")\" mean here?",
        "Before \"<\" a name is missing.",
        "A quotation mark is not closed.",
        "The filter ends too early.",
    ];
    assert_eq!(wrong, expected);
    // What was shown stays while the text makes no sense.
    assert_eq!(found["kept"], "501");
}

#[test]
fn brushes_select_in_all_pictures() {
    let record = demo_sweep::sweep(400);
    // Axes stand from 56 to 56 before the right edge, and from 62 above the bottom to 52.
    let script = "const over = inside.querySelector('#parallel .over');
        const box = over.getBoundingClientRect();
        const drag = async (axis, from, to) => {
          const x = 56 + axis * (box.width - 112) / 8;
          await pointer(over, 'pointerdown', x, from);
          await pointer(over, 'pointermove', x, (from + to) / 2);
          await pointer(over, 'pointermove', x, to);
          await pointer(over, 'pointerup', x, to);
        };
        const words = () => byId('shown-words').textContent;
        const found = {};
        const [bottom, top] = [box.height - 62, 52];
        // The lower half of weight_bits: 2 and 4. It is the second axis.
        await drag(1, bottom + 4, (bottom + top) / 2 + 4);
        found.bits = words();
        // Clicked, it goes.
        const x = 56 + (box.width - 112) / 8;
        await pointer(over, 'pointerdown', x, bottom); await pointer(over, 'pointerup', x, bottom);
        found.lifted = words();
        // Points without latency: the place below its axis, the seventh.
        await drag(6, box.height - 30, box.height - 18);
        found.none = words();
        byId('reset').click(); await drawn();
        // Typed ranges.
        byId('ranges').open = true; await drawn();
        const field = [...inside.querySelectorAll('.range')].find((row) => row.querySelector('legend').textContent.startsWith('energy')).querySelectorAll('input[type=text]')[1];
        field.value = '0.5'; field.dispatchEvent(new page.Event('change')); await drawn();
        found.typed = words();
        const level = inside.querySelectorAll('.range')[0].querySelectorAll('input[type=checkbox]')[1];
        level.click(); await drawn();
        found.level = words();
        byId('reset').click(); await drawn();
        // All of the points' picture.
        const spots = inside.querySelector('#scatter .over');
        const area = spots.getBoundingClientRect();
        await pointer(spots, 'pointerdown', 60, 20);
        await pointer(spots, 'pointermove', area.width, area.height);
        await pointer(spots, 'pointerup', area.width, area.height);
        found.picture = words();
        return found;";
    let Some(found) = look(&record, script) else { return };
    let starts = |key: &str, expected: usize| {
        let words = found[key].as_str().unwrap();
        assert!(
            expected > 0 && words.starts_with(&format!("{expected} of 400 points shown")),
            "{key}: {words}, not {expected}"
        );
    };
    starts("bits", count_of(&record, |idx| record.axes[1].values[idx].as_u64() <= Some(4)));
    assert!(found["lifted"].as_str().unwrap().starts_with("All 400 points"), "{found}");
    starts("none", record.n_with(PointStatus::Failed));
    let cheap = |idx: usize| record.figures[1].values[idx].is_some_and(|energy| energy <= 0.5);
    starts("typed", count_of(&record, cheap));
    let first = &record.axes[0].values[0];
    starts("level", count_of(&record, |idx| cheap(idx) && record.axes[0].values[idx] != *first));
    starts("picture", 400 - record.n_with(PointStatus::Failed));
}

#[test]
fn keys_walk_mark_and_go_back() {
    let record = demo_sweep::sweep(400);
    let script = "const found = [];
        const over = inside.querySelector('#scatter .over');
        const current = () => byId('detail').querySelector('h3')?.textContent ?? null;
        for (const key of ['ArrowRight', 'ArrowRight', 'ArrowLeft', 'End', 'Home']) { await press(over, key); found.push(current()); }
        await press(over, ' ');
        const marked = byId('csv').textContent;
        const why = byId('detail').textContent;
        const ids = frontIds();
        await press(over, 'Escape');
        const gone = current();
        await press(over, 'Escape');
        const unmarked = byId('csv').textContent;
        await press(byId('table'), 'ArrowDown'); await press(byId('table'), 'ArrowDown');
        const row = current();
        await press(byId('table'), 'Enter');
        const checked = byId('points').querySelectorAll('input:checked').length;
        await press(byId('table'), 'End');
        return { found, marked, why, ids, gone, unmarked, row, checked, last: current(), inSight: rows().at(-1)[1], stops: inside.querySelectorAll('canvas.over[tabindex]').length };";
    let Some(found) = look(&record, script) else { return };
    let ids: Vec<&str> = found["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let last = ids[ids.len() - 1];
    assert_eq!(found["found"], json!([ids[0], ids[1], ids[0], last, ids[0]]));
    assert_eq!(found["marked"], "Save 1 marked point as CSV");
    let why = found["why"].as_str().unwrap();
    for words in ["ok, on the front", "Slowest layers", "% of all cycles, bound by", "Configuration", "buffer_kib"] {
        assert!(why.contains(words), "{words}: {why}");
    }
    assert_eq!(found["gone"], Value::Null);
    assert_eq!(found["unmarked"], "Save 400 shown points as CSV");
    assert_eq!((&found["row"], &found["checked"]), (&json!("p00001"), &json!(1)));
    assert_eq!((&found["last"], &found["inSight"]), (&json!("p00399"), &json!("p00399")));
}

/// A selection draws the same lines whichever selections came before.
#[test]
fn lines_do_not_depend_on_the_way() {
    let record = demo_sweep::sweep(600);
    let script = "const picture = () => inside.querySelector('#parallel .base').toDataURL();
        const pictures = [];
        for (const filter of ['energy < 1', 'energy < 0.6 or stripes', 'not compend', '', 'status = failed', 'latency > 3']) {
          await type('filter', filter);
          const way = picture();
          await type('color', byId('color').value, 'change');
          pictures.push([way === picture(), way.length]);
        }
        return pictures;";
    let Some(found) = look(&record, script) else { return };
    let pictures = found.as_array().unwrap();
    assert!(pictures.iter().all(|picture| picture[0] == true), "{found}");
    assert!(pictures.iter().any(|picture| picture[1] != pictures[0][1]), "{found}");
}

/// A point that is pointed at is shown, one that is clicked on stays, and a click on nothing lets it go.
#[test]
fn points_are_shown_where_they_are_pointed_at() {
    let record = demo_sweep::sweep(400);
    let script = "const current = () => byId('detail').querySelector('h3')?.textContent ?? null;
        const found = {};
        for (const name of ['scatter', 'parallel']) {
          const over = inside.querySelector(`#${name} .over`);
          const box = over.getBoundingClientRect();
          const seen = new Set();
          let spot;
          for (let step = 1; step < 40; step += 1) {
            const at = [box.width * step / 40, box.height * (name === 'scatter' ? 0.8 : 0.5)];
            await pointer(over, 'pointermove', ...at);
            if (!current() || over.style.cursor === 'ns-resize') continue;
            seen.add(current());
            spot = at;
          }
          await pointer(over, 'pointermove', ...spot);
          const there = current();
          await pointer(over, 'click', ...spot);
          await pointer(over, 'pointermove', 200, 150);
          await pointer(over, 'pointerleave', 0, 0);
          found[name] = [seen.size, current() === there];
          await pointer(inside.querySelector('#scatter .over'), 'click', 2, 2);
          found[name].push(current());
        }
        return found;";
    let Some(found) = look(&record, script) else { return };
    for name in ["scatter", "parallel"] {
        assert!(found[name][0].as_u64().unwrap() > 5, "{found}");
        assert_eq!((&found[name][1], &found[name][2]), (&json!(true), &Value::Null), "{name}");
    }
}

#[test]
fn the_table_sorts_with_gaps_last() {
    let record = demo_sweep::sweep(300);
    let script = "const heads = [...byId('points').tHead.querySelectorAll('button')];
        const top1 = heads.findIndex((button) => button.textContent.startsWith('top1'));
        const column = () => rows().slice(0, 12).map((cells) => cells[top1 + 1]);
        const order = [];
        for (let click = 0; click < 3; click += 1) {
          heads[top1].click(); await drawn();
          order.push([column(), heads[top1].parentNode.getAttribute('aria-sort'), rows()[0][1]]);
        }
        heads[top1].click(); await drawn(); await press(byId('table'), 'End');
        return { order, last: rows().at(-1)[top1 + 1] };";
    let Some(found) = look(&record, script) else { return };
    let numbers = |at: usize| -> Vec<f64> {
        let cells = found["order"][at][0].as_array().unwrap();
        cells.iter().map(|cell| cell.as_str().unwrap().parse().unwrap()).collect()
    };
    assert!(numbers(0).is_sorted() && numbers(1).iter().rev().is_sorted() && numbers(0)[0] < numbers(1)[0]);
    assert_eq!((&found["order"][0][1], &found["order"][1][1]), (&json!("ascending"), &json!("descending")));
    assert_eq!((&found["order"][2][1], &found["order"][2][2]), (&json!("none"), &json!("p00000")));
    assert_eq!(found["last"], "–");
}

#[test]
fn saved_points_read_back_exactly() {
    let mut record = demo_sweep::sweep(200);
    // Values that are easily lost: whole and real numbers, large ones, signs of zero, words that look like something else.
    let odd = [
        json!(8.0),
        json!(9_007_199_254_740_993u64),
        json!(1e-300),
        json!(true),
        json!("a \"b\"\n\\ ü"),
        json!([1, 2.5, "x"]),
    ];
    record.axes[2].values.splice(..6, odd);
    record.figures[0].values.splice(..3, [Some(0.1 + 0.2), Some(-0.0), Some(5e-324)]);
    record.axes[4].key = "weird \"key\".x\u{7f}".to_owned();
    let script = "const csv = await saved('csv');
        const toml = await saved('toml');
        await type('filter', 'status = failed');
        return { csv, toml, failed: await saved('toml') };";
    let Some(found) = look(&record, script) else { return };

    let mut csv = csv::Reader::from_reader(found["csv"].as_str().unwrap().as_bytes());
    let heads = csv.headers().unwrap().clone();
    assert_eq!(heads.iter().take(4).collect::<Vec<_>>(), ["point_id", "status", "reason", "accelerator.model"]);
    let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 200);
    for (idx, row) in rows.iter().enumerate() {
        assert_eq!(
            (&row[0], &row[1], &row[2]),
            (&*record.point_ids[idx], record.status[idx].word(), &*record.reasons[idx])
        );
        for (column, figure) in record.figures.iter().enumerate() {
            let bits = row[3 + record.axes.len() + column].parse::<f64>().ok().map(f64::to_bits);
            assert_eq!(bits, figure.values[idx].map(f64::to_bits), "{} of {idx}", figure.name);
        }
    }

    let check = |text: &Value, expected: &[usize]| {
        let read: toml::Table = text.as_str().unwrap().parse().unwrap();
        assert_eq!(read["network"]["name"].as_str(), Some("sample-resnet"));
        let points = read["points"].as_array().unwrap();
        assert_eq!(points.len(), expected.len());
        for (point, &idx) in points.iter().zip(expected) {
            let read = serde_json::to_value(point).unwrap();
            let mut own = serde_json::Map::new();
            for axis in record.axes.iter().filter(|axis| !axis.values[idx].is_null()) {
                own.insert(axis.key.clone(), axis.values[idx].clone());
            }
            assert_eq!(read, Value::Object(own));
        }
    };
    check(&found["toml"], &(0..200).collect::<Vec<_>>());
    let failed: Vec<usize> = (0..200).filter(|&idx| record.status[idx] == PointStatus::Failed).collect();
    check(&found["failed"], &failed);
}

#[test]
fn hostile_names_run_nothing() {
    let evil = "</script><script>document.body.dataset.errors = 'ran'</script><img src=x onerror=\"document.body.dataset.errors='ran'\">";
    let record = sweep_html::hostile(evil);
    let script = "for (const id of ['x', 'y', 'color']) {
          for (const one of [...byId(id).options]) await type(id, one.value, 'change');
        }
        byId('ranges').open = true;
        const over = inside.querySelector('#scatter .over');
        await press(byId('table'), 'ArrowDown');
        const [first, reason] = [byId('detail').textContent, (await type('filter', 'status = failed'), await press(byId('table'), 'Home'), byId('detail').textContent)];
        return { first, reason, images: inside.images.length, toml: await saved('toml') };";
    let Some(found) = look(&record, script) else { return };
    assert_eq!(found["images"], 0);
    for key in ["first", "reason", "toml"] {
        assert!(found[key].as_str().unwrap().contains(evil) || key == "toml", "{key}: {found}");
    }
    let read: toml::Table = found["toml"].as_str().unwrap().parse().unwrap();
    assert!(read["points"][0].as_table().unwrap().contains_key(evil));
}

#[test]
fn odd_sweeps_draw() {
    let mut one = demo_sweep::sweep(1);
    one.objectives.truncate(1);
    let mut failed = demo_sweep::sweep(30);
    failed.status.fill(PointStatus::Failed);
    failed.figures.iter_mut().for_each(|figure| figure.values.fill(None));
    let mut same = demo_sweep::sweep(30);
    same.figures.iter_mut().for_each(|figure| figure.values.fill(Some(0.0)));
    same.axes.iter_mut().for_each(|axis| axis.values.fill(json!("x")));
    let mut bare = demo_sweep::sweep(30);
    bare.axes.clear();
    bare.why = Default::default();
    bare.base_toml.clear();
    let mut words = demo_sweep::sweep(40);
    words.axes[0].values = (0..40).map(|idx| json!(format!("a long name of a network, number {idx}"))).collect();
    for (name, record) in [("one", one), ("failed", failed), ("same", same), ("bare", bare), ("words", words)] {
        let script = "const words = byId('scatter-words').textContent;
            for (const id of ['x', 'y', 'color']) {
              for (const one of [...byId(id).options]) await type(id, one.value, 'change');
            }
            byId('ranges').open = true;
            const over = inside.querySelector('#scatter .over');
            await press(over, 'ArrowRight'); await press(byId('table'), 'ArrowDown');
            return [rows().length, byId('toml').hidden, words];";
        let Some(found) = look(&record, script) else { return };
        assert!(found[0].as_u64().unwrap() >= 1, "{name}: {found}");
        assert_eq!(found[1], json!(name == "bare"), "{name}");
        if name == "failed" {
            assert!(found[2].as_str().unwrap().contains("30 points without"), "{found}");
        }
    }
}

#[test]
fn it_fits_a_phone_and_prints() {
    let Some(session) = Session::with_page(&render_sweep(&demo_sweep::sweep(2000))) else { return };
    // `look_in` checks that nothing is wider than the window.
    let lying = look_in(&session, 360, "return inside.querySelector('#parallel .plot').clientHeight;").unwrap();
    assert!(lying.as_u64().unwrap() > 500, "{lying}");
    let phone = session.frame(360);
    for (page, size) in [("report.html", "1366,900"), (phone.as_str(), "360,844")] {
        let path = session.path("picture.png");
        session.run(page, &[&format!("--screenshot={}", path.display()), &format!("--window-size={size}")]);
        assert_picture(&path);
    }
    let path = session.path("report.pdf");
    session.run("report.html", &["--no-pdf-header-footer", &format!("--print-to-pdf={}", path.display())]);
    let bytes = std::fs::read(&path).unwrap();
    // 156 kB without the picture of the points.
    assert!(bytes.starts_with(b"%PDF") && bytes.len() > 230_000, "{} bytes", bytes.len());
}

/// Prints how long ten thousand points take: `SKIMP_SLOW_TESTS=1 cargo test -p skimp-report --test it ten_thousand --
/// --nocapture`. The page is opened as a user does, measures itself in real time, and says so by going to an address here.
#[test]
fn ten_thousand_points_are_measured() {
    if std::env::var_os("SKIMP_SLOW_TESTS").is_none() {
        eprintln!("skipped: SKIMP_SLOW_TESTS is not set");
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let script = format!(
        "<script>addEventListener('load', () => {{ const drawn = Math.round(performance.now()); setTimeout(async () => {{
  const paint = performance.getEntriesByType('paint').map((one) => Math.round(one.startTime));
  const over = document.querySelector('#parallel .over');
  const box = over.getBoundingClientRect();
  const send = (kind, y) => over.dispatchEvent(new PointerEvent(kind, {{ clientX: box.left + 56 + (box.width - 112) / 8 * 7,
    clientY: box.top + y, button: 0, bubbles: true, pointerId: 1 }}));
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
  const brush = [];
  send('pointerdown', 60);
  for (let step = 1; step <= 20; step += 1) {{
    const start = performance.now();
    send('pointermove', 60 + step * 11);
    await frame();
    brush.push(performance.now() - start);
  }}
  send('pointerup', 280);
  brush.sort((a, b) => a - b);
  const hover = [];
  const spots = document.querySelector('#scatter .over');
  const area = spots.getBoundingClientRect();
  for (let step = 1; step <= 20; step += 1) {{
    const start = performance.now();
    spots.dispatchEvent(new PointerEvent('pointermove', {{ clientX: area.left + 60 + 20 * step, clientY: area.bottom - 80, bubbles: true }}));
    await frame();
    hover.push(performance.now() - start);
  }}
  hover.sort((a, b) => a - b);
  const filter = document.getElementById('filter');
  const start = performance.now();
  filter.value = 'energy < 1 and stripes'; filter.dispatchEvent(new Event('input')); await frame();
  const typed = performance.now() - start;
  const words = document.getElementById('shown-words').textContent;
  location.href = 'http://{address}/?' + encodeURIComponent(JSON.stringify({{ paint, drawn, brush: [brush[10], brush[19]], hover: hover[10], typed, words, errors: document.body.dataset.errors }}));
}}, 300); }});</script></body>",
        address = listener.local_addr().unwrap()
    );
    let page = render_sweep(&demo_sweep::sweep(10_000)).replace("</body>", &script);
    let Some(session) = Session::with_page(&page) else { return };
    let mut browser = session.start("report.html", &["--window-size=1366,900"]);
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = String::new();
    BufReader::new(&stream).read_line(&mut request).unwrap();
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
    browser.kill().unwrap();
    browser.wait().unwrap();
    let found = request.split_once("/?").unwrap().1;
    let found: Value = serde_json::from_str(&decoded(found.split(' ').next().unwrap())).unwrap();
    eprintln!("10,000 points, {} kB: {found}", page.len() / 1000);
    assert!(found["words"].as_str().unwrap().contains(" of 10,000 points shown"), "{found}");
    assert_eq!(found["errors"], Value::Null);
}
