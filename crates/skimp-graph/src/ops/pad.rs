//! Pad: pads as an attribute (opset 2), as an input (11), of some axes only (18).

use skimp_numerics::rng::Draws;

use super::clip;
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Arithmetic, Extent, Shape, Symbols, normalize_axis};
use crate::ops::order::{self, Ranks, Reordered};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{Definition, Op, Operands, Operator, Rounding, unary};
use crate::reference::Call;
use crate::reference::strided::strides_of;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, case, f, t};
use crate::{DType, Data, Element, GraphError};

/// What lies outside a padded tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// A constant value.
    Constant,
    /// Mirrored without repeating the edge.
    Reflect,
    /// The edge value.
    Edge,
    /// The tensor repeats itself.
    Wrap,
}

/// Padding of every axis; negative entries crop.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// Elements before, one entry per axis.
    pub begin: Vec<i64>,
    /// Elements after, one entry per axis.
    pub end: Vec<i64>,
    /// What lies outside.
    pub mode: PadMode,
    /// The value of [`PadMode::Constant`].
    pub value: f32,
}

impl Operator for Pad {
    facts!(Moves, 1..=1, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.input(0)?;
        let rank = x.shape.len();
        if self.begin.len() != rank || self.end.len() != rank {
            let (begin, end) = (self.begin.len(), self.end.len());
            return Err(signature.invalid(format!("has {begin} begin and {end} end pads, expected {rank} of each")));
        }
        let mut shape = Vec::with_capacity(rank);
        for (axis, &extent) in x.shape.iter().enumerate() {
            let padded = extent as i128 + i128::from(self.begin[axis]) + i128::from(self.end[axis]);
            let padded = usize::try_from(padded).map_err(|_| {
                signature.invalid(format!("padding of axis {axis} turns its extent {extent} into {padded}"))
            })?;
            if extent == 0 && padded > 0 && self.mode != PadMode::Constant {
                return Err(signature.invalid(format!("axis {axis} is empty, there is nothing to repeat")));
            }
            shape.push(padded);
        }
        Ok(shaped(x, shape))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        pad(call, self).map(|data| vec![data])
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        self.begin.first() == Some(&0) && self.end.first() == Some(&0)
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        let (begin, end) = (order::entries(&self.begin, order)?, order::entries(&self.end, order)?);
        Some(order::first(order, ranks)?.with(Op::Pad(Self { begin, end, ..*self })))
    }

    fn export(&self, form: Form, context: Context) -> Result<Form, String> {
        let form = form.int_vector(1, "pads", &[&self.begin[..], &self.end[..]].concat());
        Ok(match self.mode {
            PadMode::Constant if self.value.to_bits() == 0 => form.since(13).string("mode", "constant"),
            PadMode::Constant => form.since(13).string("mode", "constant").parameter(
                2,
                "value",
                clip::scalar(self.value, context.dtype)?,
            ),
            PadMode::Reflect => form.since(13).string("mode", "reflect"),
            PadMode::Edge => form.since(13).string("mode", "edge"),
            PadMode::Wrap => form.since(19).string("mode", "wrap"),
        })
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let mut shape = inputs.first()?.as_ref()?.clone();
        for (i, extent) in shape.iter_mut().enumerate() {
            let added = self.begin.get(i)?.checked_add(*self.end.get(i)?)?;
            if added != 0 {
                *extent = match *extent {
                    Extent::Known(n) => {
                        Extent::Known(usize::try_from(i64::try_from(n).ok()?.checked_add(added)?).ok()?)
                    }
                    open @ Extent::Symbol(_) => match usize::try_from(added) {
                        Ok(more) => symbols.extent(Arithmetic::Add, open, Extent::Known(more)),
                        Err(_) => {
                            let fewer = usize::try_from(added.unsigned_abs()).ok()?;
                            symbols.extent(Arithmetic::Sub, open, Extent::Known(fewer))
                        }
                    },
                };
            }
        }
        Some(shape)
    }

    fn is_identity(&self, _input: Option<DType>, _n_inputs: usize) -> bool {
        self.begin.iter().chain(&self.end).all(|&pad| pad == 0)
    }

    fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        inputs == [true] && (self.mode != PadMode::Constant || self.value >= 0.0)
    }
}

impl Definition for Pad {
    const NAME: &'static str = "Pad";
    const ATTRIBUTES: &'static [&'static str] = &["mode", "pads", "value"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let mode = match node.string("mode")? {
            None | Some("constant") => PadMode::Constant,
            Some("reflect") => PadMode::Reflect,
            Some("edge") => PadMode::Edge,
            Some("wrap") if node.opset() >= 19 => PadMode::Wrap,
            Some(other) => return Err(node.invalid(format!("attribute \"mode\" is \"{other}\""))),
        };
        let (least, most) = match node.opset() {
            ..11 => (1, 1),
            11..18 => (2, 3),
            18.. => (2, 4),
        };
        node.check_inputs(least, most)?;
        let x = importer.value(node, 0)?;
        let (pads, value, axes) = if node.opset() < 11 {
            let pads = node.ints("pads")?.ok_or_else(|| node.invalid("attribute \"pads\" is missing"))?;
            (pads.to_vec(), node.float("value")?.map(|value| importer.beside(x, value)), None)
        } else {
            let pads = importer.ints(node, 1)?.unwrap_or_default();
            (pads, importer.scalar(node, 2, x)?, importer.ints(node, 3)?)
        };
        let rank = importer.shape(x).as_ref().map(Vec::len);
        let (begin, end) = match axes {
            None => halves(node, &pads, rank)?,
            Some(axes) => {
                let rank = rank.ok_or_else(|| node.unsupported("axes of an input of unknown rank"))?;
                scattered(node, &pads, &axes, rank)?
            }
        };
        // The value is meaningless in other modes; leaving it out keeps the graph canonical.
        let value = if mode == PadMode::Constant { value.unwrap_or(0.0) } else { 0.0 };
        importer.emit(node, Op::Pad(Self { begin, end, mode, value }), vec![Some(x)])
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let draws = &mut generator.draws;
        let mode = [PadMode::Constant, PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap];
        let mut some = || -> Vec<i64> {
            let one = |draws: &mut Draws| match draws.below(8) {
                0 => -1,
                1 | 2 => 1,
                3 => 2,
                _ => 0,
            };
            shape.iter().enumerate().map(|(i, _)| if i == 0 && draws.chance(0.8) { 0 } else { one(draws) }).collect()
        };
        let (begin, end) = (some(), some());
        let value = [0.0, 0.0, 1.0, -2.5][draws.below(4)];
        let mode = mode[draws.below(5)];
        unary::draw(generator, x, Op::Pad(Self { begin, end, mode, value }))
    }

    fn cases() -> Vec<Case> {
        let x = f(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let pad = |begin: &[i64], end: &[i64], mode, value| {
            Op::Pad(Self { begin: begin.into(), end: end.into(), mode, value })
        };
        let row = f(&[3], &[1.0, 2.0, 3.0]);
        vec![
            case(
                "pad",
                pad(&[0, 1], &[1, -1], PadMode::Constant, 9.0),
                [x.clone()],
                f(&[3, 3], &[9.0, 1.0, 2.0, 9.0, 4.0, 5.0, 9.0, 9.0, 9.0]),
            ),
            case(
                "pad reflect",
                pad(&[2], &[2], PadMode::Reflect, 0.0),
                [row.clone()],
                f(&[7], &[3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]),
            ),
            case(
                "pad edge",
                pad(&[2], &[1], PadMode::Edge, 0.0),
                [row.clone()],
                f(&[6], &[1.0, 1.0, 1.0, 2.0, 3.0, 3.0]),
            ),
            case(
                "pad wrap",
                pad(&[2], &[1], PadMode::Wrap, 0.0),
                [row.clone()],
                f(&[6], &[2.0, 3.0, 1.0, 2.0, 3.0, 1.0]),
            ),
            case("pad bool", pad(&[1], &[0], PadMode::Constant, 1.0), [t(&[1], &[false])], t(&[2], &[true, false])),
        ]
    }
}

type Ends = (Vec<i64>, Vec<i64>);

/// Pads of all axes.
fn halves(node: &NodeView<'_>, pads: &[i64], rank: Option<usize>) -> Result<Ends, GraphError> {
    let n_axes = rank.unwrap_or(pads.len() / 2);
    if pads.len() != 2 * n_axes {
        return Err(node.invalid(format!("{} pads, expected two for each of {n_axes} axes", pads.len())));
    }
    let (begin, end) = pads.split_at(n_axes);
    Ok((begin.to_vec(), end.to_vec()))
}

/// Pads of the given axes; the others get none.
fn scattered(node: &NodeView<'_>, pads: &[i64], axes: &[i64], rank: usize) -> Result<Ends, GraphError> {
    let (first, second) = halves(node, pads, Some(axes.len()))?;
    let (mut begin, mut end) = (vec![0; rank], vec![0; rank]);
    let mut seen = vec![false; rank];
    for (i, &axis) in axes.iter().enumerate() {
        let at = normalize_axis(axis, rank)
            .filter(|&at| !std::mem::replace(&mut seen[at], true))
            .ok_or_else(|| node.invalid(format!("axes {axes:?} are not distinct axes of {rank}")))?;
        (begin[at], end[at]) = (first[i], second[i]);
    }
    Ok((begin, end))
}

/// Index along an axis of `extent` that an output index reads, `None` for the constant.
fn source(index: i128, extent: i128, mode: PadMode) -> Option<i128> {
    match mode {
        _ if (0..extent).contains(&index) => Some(index),
        PadMode::Constant => None,
        PadMode::Edge => Some(index.clamp(0, extent - 1)),
        PadMode::Wrap => Some(index.rem_euclid(extent)),
        PadMode::Reflect if extent == 1 => Some(0),
        PadMode::Reflect => {
            let folded = index.rem_euclid(2 * (extent - 1));
            Some(folded.min(2 * (extent - 1) - folded))
        }
    }
}

fn pad(call: &Call<'_>, pad: &Pad) -> Result<Data, GraphError> {
    fn typed<T: Element>(
        call: &Call<'_>,
        x: &[T],
        sources: &[Vec<Option<usize>>],
        value: T,
    ) -> Result<Vec<T>, GraphError> {
        let mut y = call.allocate_output()?;
        let mut index = vec![0_usize; sources.len()];
        let n_elements = call.outputs[0].n_elements();
        for _ in 0..n_elements {
            let offset = index.iter().zip(sources).try_fold(0, |sum, (&i, sources)| Some(sum + sources[i]?));
            y.push(offset.map_or(value, |offset: usize| x[offset]));
            for (i, sources) in index.iter_mut().zip(sources).rev() {
                *i += 1;
                if *i < sources.len() {
                    break;
                }
                *i = 0;
            }
        }
        Ok(y)
    }
    let shape = call.input(0).shape();
    let mut sources = Vec::with_capacity(shape.len());
    for ((axis, stride), &extent) in strides_of(shape).into_iter().enumerate().zip(call.output_shape()) {
        let mut axis_sources = call.allocate(extent)?;
        axis_sources.extend((0..extent).map(|i| {
            let found = source(i as i128 - i128::from(pad.begin[axis]), shape[axis] as i128, pad.mode)?;
            Some(found as usize * stride.unsigned_abs())
        }));
        sources.push(axis_sources);
    }
    match call.input(0).data() {
        Data::F32(x) => Ok(typed(call, x, &sources, pad.value)?.into()),
        Data::F64(x) => Ok(typed(call, x, &sources, f64::from(pad.value))?.into()),
        Data::I64(x) => Ok(typed(call, x, &sources, pad.value as i64)?.into()),
        Data::I32(x) => Ok(typed(call, x, &sources, pad.value as i32)?.into()),
        Data::I16(x) => Ok(typed(call, x, &sources, pad.value as i16)?.into()),
        Data::I8(x) => Ok(typed(call, x, &sources, pad.value as i8)?.into()),
        Data::U16(x) => Ok(typed(call, x, &sources, pad.value as u16)?.into()),
        Data::U8(x) => Ok(typed(call, x, &sources, pad.value as u8)?.into()),
        Data::Bool(x) => Ok(typed(call, x, &sources, pad.value.is_nan() || pad.value.abs() > 0.0)?.into()),
    }
}
