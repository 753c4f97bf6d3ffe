//! Einsum.

use std::collections::BTreeMap;

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Parameter, Rounding, arithmetic};
use crate::reference::Call;
use crate::reference::number::{Number, for_number};
use crate::reference::strided::{Offsets, strides_of};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f, t};
use crate::{Data, GraphError};

/// Sums of products over the letters that the output lacks (Einstein's summation). Sums start from 0, in f64 for floating
/// point, and run over the missing letters in alphabetical order, the last one fastest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Einsum {
    /// The equation, such as `bij,bjk->bik`.
    pub equation: String,
}

/// A label of an axis: a letter, or the position from the end among the axes that an ellipsis stands for. The latter come
/// first in the order of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

/// The labels of every input's axes and of the output's.
struct Terms {
    inputs: Vec<Vec<Label>>,
    output: Vec<Label>,
}

impl Einsum {
    /// The labels for inputs of the given ranks.
    fn terms(&self, ranks: &[usize]) -> Result<Terms, String> {
        let equation: String = self.equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match equation.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (equation.as_str(), None),
        };
        let parts: Vec<&str> = left.split(',').collect();
        if parts.len() != ranks.len() {
            return Err(format!("equation \"{equation}\" has {} terms for {} inputs", parts.len(), ranks.len()));
        }
        let mut inputs = Vec::new();
        let mut widest = 0;
        for (part, &rank) in parts.iter().zip(ranks) {
            let n_letters = part.chars().filter(|c| *c != '.').count();
            let n_hidden = rank.checked_sub(n_letters).filter(|&n| n == 0 || part.contains("..."));
            let n_hidden = n_hidden.ok_or_else(|| format!("term \"{part}\" does not fit an input of {rank} dims"))?;
            widest = widest.max(n_hidden);
            inputs.push(labels(part, n_hidden)?);
        }
        let output = match right {
            Some(right) => labels(right, widest)?,
            None => {
                // The axes of the ellipsis, then the letters that occur once, in order.
                let letters = inputs.iter().flatten().filter(|label| matches!(label, Label::Letter(_)));
                let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
                letters.for_each(|label| *counts.entry(*label).or_default() += 1);
                let once = counts.into_iter().filter(|(_, n)| *n == 1).map(|(label, _)| label);
                (0..widest).rev().map(Label::Ellipsis).chain(once).collect()
            }
        };
        let mut seen: Vec<Label> = output.clone();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() != output.len() || !seen.iter().all(|label| inputs.iter().flatten().any(|other| other == label)) {
            return Err(format!("the output of \"{equation}\" repeats a label or has one of its own"));
        }
        Ok(Terms { inputs, output })
    }
}

/// The labels of one term, in which an ellipsis stands for `n_hidden` axes.
fn labels(term: &str, n_hidden: usize) -> Result<Vec<Label>, String> {
    let wrong = || format!("term \"{term}\" is neither letters nor \"...\"");
    let (before, after) = match term.split_once("...") {
        Some((before, after)) => (before, Some(after)),
        None => (term, None),
    };
    let letters = |part: &str| -> Result<Vec<Label>, String> {
        let label = |c: char| if c.is_ascii_alphabetic() { Ok(Label::Letter(c)) } else { Err(wrong()) };
        part.chars().map(label).collect()
    };
    let mut all = letters(before)?;
    if let Some(after) = after {
        all.extend((0..n_hidden).rev().map(Label::Ellipsis));
        all.extend(letters(after)?);
    }
    Ok(all)
}

/// The extent of every label; axes of an ellipsis may be 1 where others are not.
fn extents(terms: &Terms, shapes: &[&[usize]]) -> Result<BTreeMap<Label, usize>, String> {
    let mut extents: BTreeMap<Label, usize> = BTreeMap::new();
    for (labels, shape) in terms.inputs.iter().zip(shapes) {
        for (&label, &extent) in labels.iter().zip(*shape) {
            let known = extents.entry(label).or_insert(extent);
            match (label, *known, extent) {
                (_, a, b) if a == b => {}
                (_, 1, b) => *known = b,
                (_, _, 1) => {}
                (_, a, b) => return Err(format!("extents {a} and {b} have the same label in the equation")),
            }
        }
    }
    Ok(extents)
}

impl Operator for Einsum {
    facts!(Multiplies, 1..=usize::MAX, Number);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.number()?;
        let mut shapes: Vec<&[usize]> = vec![&x.shape];
        for idx in 1..signature.inputs.len() {
            shapes.push(&signature.input_like(idx, x)?.shape);
        }
        let ranks: Vec<usize> = shapes.iter().map(|shape| shape.len()).collect();
        let terms = self.terms(&ranks).map_err(|cause| signature.invalid(cause))?;
        let extents = extents(&terms, &shapes).map_err(|cause| signature.invalid(cause))?;
        Ok(shaped(x, terms.output.iter().map(|label| extents[label]).collect()))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        for_number!(call.input(0).data(), x => Ok(vec![einsum(call, x, self)?.into()]), Err(call.unsupported_type()))
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        let inputs: Option<Vec<_>> = operands.inputs.iter().copied().collect();
        let Some(inputs) = inputs else { return false };
        let ranks: Vec<usize> = inputs.iter().map(|input| input.shape.len()).collect();
        let Ok(terms) = self.terms(&ranks) else { return false };
        let Some(batch) = terms.output.first() else { return false };
        terms.inputs.iter().zip(&inputs).all(|(labels, input)| {
            let only_first = !labels.iter().skip(1).any(|label| label == batch);
            let is_first = labels.first() == Some(batch);
            only_first && if input.is_constant { !is_first } else { is_first }
        })
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        Ok(form.since(12).string("equation", &self.equation))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        let shapes: Vec<&Vec<Extent>> = inputs.iter().map(|shape| shape.as_ref()).collect::<Option<_>>()?;
        let ranks: Vec<usize> = shapes.iter().map(|shape| shape.len()).collect();
        let terms = self.terms(&ranks).ok()?;
        let find = |label: &Label| {
            let all = terms.inputs.iter().zip(&shapes).flat_map(|(labels, shape)| labels.iter().zip(shape.iter()));
            let mut found = all.filter(|(other, _)| *other == label).map(|(_, extent)| *extent);
            // An axis of 1 may be stretched.
            let first = found.next()?;
            Some(if first == Extent::Known(1) { found.next().unwrap_or(first) } else { first })
        };
        terms.output.iter().map(find).collect()
    }

    fn parameter(&self, _input: usize) -> Option<Parameter> {
        Some(Parameter::Weight)
    }

    /// One for each combination of labels and input after the first.
    fn macs(&self, inputs: &[&[usize]], _n_outputs: u64) -> u64 {
        let ranks: Vec<usize> = inputs.iter().map(|shape| shape.len()).collect();
        let Ok(terms) = self.terms(&ranks) else { return 0 };
        let Ok(extents) = extents(&terms, inputs) else { return 0 };
        extents.values().fold(inputs.len().saturating_sub(1) as u64, |n, &extent| n.saturating_mul(extent as u64))
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs.iter().all(|&known| known)
    }
}

fn einsum<T: Number>(call: &Call<'_>, x: &[T], op: &Einsum) -> Result<Vec<T>, GraphError> {
    let shapes: Vec<&[usize]> = (0..call.inputs.len()).map(|idx| call.input(idx).shape()).collect();
    let ranks: Vec<usize> = shapes.iter().map(|shape| shape.len()).collect();
    let terms = op.terms(&ranks).map_err(|cause| call.invalid(cause))?;
    let extents = extents(&terms, &shapes).map_err(|cause| call.invalid(cause))?;
    let summed: Vec<Label> = extents.keys().copied().filter(|label| !terms.output.contains(label)).collect();
    // Offsets of an input's elements over some labels; a label that occurs twice walks the diagonal.
    let walk = |idx: usize, over: &[Label]| {
        let strides = strides_of(shapes[idx]);
        let axes = || terms.inputs[idx].iter().zip(strides.iter().zip(shapes[idx]));
        let stride = |label: &Label| {
            axes().filter(|(other, (_, extent))| *other == label && **extent != 1).map(|(_, (stride, _))| *stride).sum()
        };
        let shape: Vec<usize> = over.iter().map(|label| extents[label]).collect();
        Offsets::new(&shape, over.iter().map(stride).collect(), 0)
    };
    let inputs: Vec<&[T]> = (0..shapes.len()).map(|idx| if idx == 0 { x } else { call.elements(idx) }).collect();
    let mut places: Vec<Offsets> = (0..inputs.len()).map(|idx| walk(idx, &terms.output)).collect();
    let inner: Vec<Offsets> = (0..inputs.len()).map(|idx| walk(idx, &summed)).collect();
    let n_sum = inner.first().map_or(1, |offsets| offsets.size_hint().0);
    let mut y = call.allocate_output()?;
    while let Some(starts) = places.iter_mut().map(Iterator::next).collect::<Option<Vec<usize>>>() {
        let mut steps = inner.clone();
        y.push(T::dot((0..n_sum).map(|_| {
            let mut factors = steps.iter_mut().zip(&starts).zip(&inputs);
            let mut next = || factors.next().map(|((step, start), input)| input[start + step.next().unwrap_or(0)]);
            let first = next().unwrap_or(T::ONE);
            let mut rest = T::ONE;
            while let Some(factor) = next() {
                rest = rest.times(factor);
            }
            (first, rest)
        })));
    }
    Ok(y)
}

impl Definition for Einsum {
    const NAME: &'static str = "Einsum";
    const ATTRIBUTES: &'static [&'static str] = &["equation"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let equation = node.string("equation")?.ok_or_else(|| node.invalid("attribute \"equation\" is missing"))?;
        arithmetic::import_variadic(node, importer, Op::Einsum(Self { equation: equation.to_owned() }))
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let letters: String = ('a'..='z').take(shape.len()).collect();
        let (last, k) = (letters.chars().last()?, *shape.last()?);
        let n = generator.draws.between(1, 4);
        let equation = match generator.draws.below(4) {
            0 => format!("...{last},{last}z->...z"),
            1 => format!("{letters},{last}z->z{}", &letters[..letters.len() - 1]),
            2 => format!("{letters},{last}z"),
            _ => format!("{letters},{last}z->{}z", &letters[..letters.len() - 1]),
        };
        let other = generator.numbers(vec![k, n]);
        generator.try_node(Op::Einsum(Self { equation }), vec![Source::Known(x), Source::Constant(other)])
    }

    fn cases() -> Vec<Case> {
        let einsum = |equation: &str| Op::Einsum(Self { equation: equation.to_owned() });
        let (a, b) = (f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), f(&[2, 2], &[5.0, 6.0, 7.0, 8.0]));
        vec![
            case("product", einsum("ij, jk -> ik"), [a.clone(), b.clone()], f(&[2, 2], &[19.0, 22.0, 43.0, 50.0])),
            case("implicit output", einsum("ij,jk"), [a.clone(), b.clone()], f(&[2, 2], &[19.0, 22.0, 43.0, 50.0])),
            case("transpose", einsum("ij->ji"), [a.clone()], f(&[2, 2], &[1.0, 3.0, 2.0, 4.0])),
            case("trace", einsum("ii->"), [a.clone()], f(&[], &[5.0])),
            case(
                "ellipsis",
                einsum("...ij,...j->...i"),
                [f(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]), f(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0])],
                f(&[3, 2], &[1.0, 3.0, 2.0, 4.0, 3.0, 7.0]),
            ),
            case(
                "of three",
                einsum("i,i,i->"),
                [t(&[2], &[1_i32, 2]), t(&[2], &[3_i32, 4]), t(&[2], &[5_i32, 6])],
                t(&[], &[63_i32]),
            ),
        ]
    }
}
