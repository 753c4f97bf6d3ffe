//! Sequences and optionals, which the importer takes apart: their lengths are known there, and each element is a value.
//!
//! # Source
//! ONNX's operator texts of `Sequence*`, `SplitToSequence`, `ConcatFromSequence` and `Optional*`, as of onnx 1.23.2.

use super::{Function, Steps};
use crate::onnx::export::Form;
use crate::shape::normalized_axis;
use crate::{GraphError, Tensor};

/// Most elements of a sequence.
const LONGEST: usize = 1 << 14;

const fn standard(
    name: &'static str,
    attributes: &'static [&'static str],
    expand: fn(&mut Steps<'_, '_>) -> Result<(), GraphError>,
) -> Function {
    Function { domain: "", name, attributes, expand }
}

pub(super) const FUNCTIONS: &[Function] = &[
    standard("SequenceEmpty", &["dtype"], |steps| steps.importer.bind_sequence(steps.node, Vec::new())),
    standard("SequenceConstruct", &[], construct),
    standard("SequenceInsert", &[], insert),
    standard("SequenceErase", &[], erase),
    standard("SequenceAt", &[], at),
    standard("SequenceLength", &[], length),
    standard("SequenceMap", &["body"], map),
    standard("SplitToSequence", &["axis", "keepdims"], split),
    standard("ConcatFromSequence", &["axis", "new_axis"], concat),
    standard("Optional", &["type"], optional),
    standard("OptionalHasElement", &[], has_element),
    standard("OptionalGetElement", &[], get_element),
];

/// The elements of the sequence that input `idx` is.
fn elements(steps: &Steps<'_, '_>, idx: usize) -> Result<Vec<String>, GraphError> {
    let name = steps.required(idx)?;
    steps.importer.sequence(name).map(<[String]>::to_vec).ok_or_else(|| {
        steps.node.unsupported(format!("\"{name}\", a list whose length the data say: export with fixed extents"))
    })
}

/// The place that input `idx` names among `n`, from the end where it is negative; `default` where it is left out.
fn place(steps: &mut Steps<'_, '_>, idx: usize, n: usize, default: usize) -> Result<usize, GraphError> {
    let node = steps.node;
    let Some(name) = node.input(idx) else { return Ok(default) };
    let Some(Ok(place)) = steps.importer.known_number(name)? else {
        let feature = format!("a place \"{name}\" in a list that is not known at import: export with fixed extents");
        return Err(node.unsupported(feature));
    };
    let from_start = if place < 0 { place.saturating_add(n as i64) } else { place };
    let found = usize::try_from(from_start).ok().filter(|&place| place < n);
    found.ok_or_else(|| node.invalid(format!("place {place} in a list of {}", n.saturating_sub(usize::from(idx == 2)))))
}

fn construct(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let names = (0..steps.node.n_inputs()).map(|idx| steps.required(idx).map(str::to_owned));
    let names = names.collect::<Result<Vec<_>, _>>()?;
    steps.importer.bind_sequence(steps.node, names)
}

fn insert(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 3)?;
    let mut names = elements(steps, 0)?;
    if names.len() == LONGEST {
        return Err(steps.node.unsupported(format!("a list of more than {LONGEST} elements: export with fewer steps")));
    }
    let n = names.len();
    let place = place(steps, 2, n + 1, n)?;
    names.insert(place, steps.required(1)?.to_owned());
    steps.importer.bind_sequence(steps.node, names)
}

fn erase(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 2)?;
    let mut names = elements(steps, 0)?;
    let n = names.len();
    if n == 0 {
        return Err(steps.node.invalid("an empty list has no element to leave out"));
    }
    names.remove(place(steps, 1, n, n - 1)?);
    steps.importer.bind_sequence(steps.node, names)
}

fn at(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 2)?;
    let names = elements(steps, 0)?;
    let place = place(steps, 1, names.len(), 0)?;
    let output = steps.importer.only_output(steps.node)?.to_owned();
    steps.importer.alias(steps.node, &output, &names[place])
}

fn length(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let n = elements(steps, 0)?.len() as i64;
    steps.importer.bind_constant(steps.node, Tensor::from_i64(Vec::new(), vec![n]))
}

/// What a graph makes of each element, and of what else it is given: sequences as long, or values.
fn map(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    let body = node.graph("body")?.ok_or_else(|| node.invalid("attribute \"body\" is missing"))?;
    let first = elements(steps, 0)?;
    let mut results = vec![Vec::with_capacity(first.len()); body.output.len()];
    for (idx, element) in first.iter().enumerate() {
        let mut inputs = vec![element.clone()];
        for other in 1..node.n_inputs() {
            let name = steps.required(other)?;
            inputs.push(match steps.importer.sequence(name) {
                Some(others) => others.get(idx).cloned().ok_or_else(|| node.invalid("lists of different lengths"))?,
                None => name.to_owned(),
            });
        }
        if !steps.importer.count_trip(body.node.len()) {
            return Err(node.unsupported("so long a list: export with fewer steps"));
        }
        let made = steps.importer.inline(node, body, &inputs)?;
        results.iter_mut().zip(made).for_each(|(all, result)| all.push(result));
    }
    for (output, names) in node.outputs().iter().zip(results).filter(|(output, _)| !output.is_empty()) {
        steps.importer.bind_sequence_as(node, output, names)?;
    }
    Ok(())
}

/// Pieces of a value along an axis: of extents that are listed, of one extent (the last may be smaller), or of 1.
fn split(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(1, 2)?;
    let x = steps.required(0)?;
    let rank = steps.rank(x)?;
    let axis = normalized_axis(node.int_or("axis", 0)?, rank).map_err(|cause| node.invalid(cause))?;
    let known = steps.known_extent(x, axis)?;
    let open = || {
        let feature = format!("a list as long as the open extent of axis {axis}: export with a fixed one");
        node.unsupported(feature)
    };
    let mut squeezes = false;
    let pieces: Vec<i64> = match node.input(1) {
        None => {
            squeezes = !node.flag("keepdims", true)?;
            vec![1; known.ok_or_else(open)?.min(LONGEST + 1)]
        }
        Some(_) => {
            let is_scalar = steps.rank(steps.input(1)).is_ok_and(|rank| rank == 0);
            let listed = steps.importer.ints(node, 1)?.unwrap_or_default();
            match listed.as_slice() {
                &[each] if is_scalar && each > 0 => {
                    let n = known.ok_or_else(open)? as i64;
                    (0..n.div_euclid(each) + i64::from(n % each != 0)).map(|idx| each.min(n - idx * each)).collect()
                }
                listed if !is_scalar && listed.iter().all(|&n| n >= 0) => listed.to_vec(),
                listed => return Err(node.invalid(format!("pieces of {listed:?}"))),
            }
        }
    };
    if pieces.len() > LONGEST {
        return Err(node.unsupported(format!("a list of more than {LONGEST} elements: export with fewer steps")));
    }
    let total: i64 = pieces.iter().sum();
    if known.is_some_and(|known| known as i64 != total) {
        return Err(node.invalid(format!("pieces of {total} elements together along an axis that has others")));
    }
    let axes = steps.ints("axes", &[axis as i64]);
    let mut names = Vec::with_capacity(pieces.len());
    let mut start = 0;
    for n in pieces {
        let (first, end) = (steps.ints("start", &[start]), steps.ints("end", &[start + n]));
        let mut piece = steps.add("piece", "Slice", &[x, &first, &end, &axes], Vec::new())?;
        if squeezes {
            piece = steps.add("element", "Squeeze", &[&piece, &axes], Vec::new())?;
        }
        names.push(piece);
        start += n;
    }
    steps.importer.bind_sequence(node, names)
}

fn concat(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(1, 1)?;
    let mut names = elements(steps, 0)?;
    let axis = node.int("axis")?.ok_or_else(|| node.invalid("attribute \"axis\" is missing"))?;
    if names.is_empty() {
        return Err(node.invalid("an empty list"));
    }
    if node.flag("new_axis", false)? {
        let axes = steps.ints("axes", &[axis]);
        for name in &mut names {
            *name = steps.add("row", "Unsqueeze", &[name.as_str(), &axes], Vec::new())?;
        }
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    steps.last("Concat", &names, Form::new("").int("axis", axis).attributes)
}

fn optional(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let output = steps.importer.only_output(steps.node)?.to_owned();
    match steps.node.input(0) {
        Some(name) => steps.importer.alias(steps.node, &output, name),
        None => steps.importer.bind_nothing(steps.node, &output),
    }
}

fn has_element(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(0, 1)?;
    let is_there = steps.node.input(0).is_some_and(|name| !steps.importer.is_nothing(name));
    let truth = Tensor::new(Vec::new(), vec![is_there].into()).ok_or_else(|| steps.node.invalid("no truth value"))?;
    steps.importer.bind_constant(steps.node, truth)
}

fn get_element(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let name = steps.required(0)?;
    if steps.importer.is_nothing(name) {
        return Err(steps.node.invalid(format!("\"{name}\" holds nothing")));
    }
    let output = steps.importer.only_output(steps.node)?.to_owned();
    steps.importer.alias(steps.node, &output, name)
}
