//! Conv.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{AutoPad, Definition, Op, Operands, Operator, Parameter, Rounding, WeightAxes, Window, window};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::shape::{TensorType, WindowAxis, window_axes};
use crate::testing::{Case, Generator, Source, case, f};
use crate::{Data, GraphError, Tensor};

/// Inputs: x `[n, c, ..]`, weight `[k, c / groups, ..]`, optional bias `[k]`. The window's kernel repeats the weight's.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Spatial window.
    pub window: Window,
    /// Number of groups.
    pub groups: usize,
}

impl Operator for Conv {
    facts!(Multiplies, 2..=3, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        let extents = signature.spatial(x)?;
        let weight = signature.input_like(1, x)?;
        signature.check_rank("weight", weight, x.shape.len(), "(k, c / groups, ..)")?;
        if self.window.ceil_mode {
            return Err(signature.invalid("ceil_mode is for pooling only"));
        }
        let (c, k) = (x.shape[1], weight.shape[0]);
        if self.groups == 0 || !c.is_multiple_of(self.groups) || !k.is_multiple_of(self.groups) {
            return Err(
                signature.invalid(format!("{} groups do not divide {c} input and {k} output channels", self.groups))
            );
        }
        if weight.shape[1] != c / self.groups {
            let (found, expected) = (weight.shape[1], c / self.groups);
            return Err(signature.invalid(format!(
                "weight has {found} channels, expected {expected} ({c} input channels in {} groups)",
                self.groups
            )));
        }
        if weight.shape[2..] != self.window.kernel {
            return Err(signature.invalid(format!(
                "kernel_shape is {:?}, the weight has {:?}",
                self.window.kernel,
                &weight.shape[2..]
            )));
        }
        if signature.optional(2).is_some() {
            let bias = signature.input_like(2, x)?;
            if bias.shape != [k] {
                return Err(signature.invalid(format!("bias has shape {:?}, expected [{k}]", bias.shape)));
            }
        }
        let axes = window_axes(signature.op, signature.node, &self.window, extents)?;
        Ok(shaped(x, window::output_shape(x.shape[0], k, &axes)))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let axes = window::three_axes(call, &self.window)?;
        for_float!(
            call.input(0).data(),
            x => Ok(vec![conv(call, x, &axes, self.groups)?.into()]),
            Err(call.unsupported_type())
        )
    }

    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        operands.only_first_computed()
    }

    fn rounding(&self) -> Rounding {
        Rounding::Exact
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = window::export(form, &self.window);
        Ok(form.int("group", i64::try_from(self.groups).unwrap_or(i64::MAX)))
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let channels = *inputs.get(1)?.as_ref()?.first()?;
        window::symbolic(inputs.first().copied()?.as_ref()?, &self.window, channels, symbols)
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        [None, Some(Parameter::Weight), Some(Parameter::Other)].get(input).copied().flatten()
    }

    fn weight_axes(&self, input: usize, _rank: usize) -> Option<WeightAxes> {
        match input {
            1 => Some(WeightAxes { outputs: Some(0), inputs: Some(1) }),
            2 => Some(WeightAxes { outputs: Some(0), inputs: None }),
            _ => None,
        }
    }

    fn groups(&self) -> usize {
        self.groups
    }

    fn with_groups(&self, groups: usize) -> Option<Op> {
        Some(Op::Conv(Self { groups, ..self.clone() }))
    }

    fn macs(&self, inputs: &[&[usize]], n_outputs: u64) -> u64 {
        let weight = inputs.get(1).copied().unwrap_or_default();
        weight.iter().skip(1).fold(n_outputs, |n, &extent| u64::saturating_mul(n, extent as u64))
    }
}

impl Definition for Conv {
    const NAME: &'static str = "Conv";
    const ATTRIBUTES: &'static [&'static str] = &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 3)?;
        let x = importer.value(node, 0)?;
        let weight = importer.value(node, 1)?;
        let bias = importer.optional_value(node, 2)?;
        let weight_shape = importer
            .shape(weight)
            .clone()
            .filter(|shape| shape.len() >= 3)
            .ok_or_else(|| node.invalid("the weight must have at least 3 dimensions (k, c, and the kernel)"))?;
        let from_weight: Option<Vec<usize>> = weight_shape[2..].iter().map(|extent| extent.known()).collect();
        let kernel = match (window::kernel_shape(node)?, from_weight) {
            (Some(stated), Some(found)) if stated != found => {
                return Err(node.invalid(format!("attribute \"kernel_shape\" is {stated:?}, the weight has {found:?}")));
            }
            (Some(kernel), _) | (None, Some(kernel)) => kernel,
            (None, None) => return Err(node.unsupported("a kernel of unknown extent")),
        };
        if kernel.len() != weight_shape.len() - 2 || kernel.contains(&0) {
            return Err(node.invalid(format!("kernel {kernel:?} does not fit a weight of {} dims", weight_shape.len())));
        }
        let window = window::import(node, kernel)?;
        let groups = usize::try_from(node.int_or("group", 1)?)
            .ok()
            .filter(|&groups| groups > 0)
            .ok_or_else(|| node.invalid("attribute \"group\" must be positive"))?;
        check_channels(node, importer.shape(x).as_deref(), &weight_shape, groups)?;
        let mut inputs = vec![Some(x), Some(weight)];
        inputs.extend(bias.map(Some));
        importer.emit(node, Op::Conv(Self { window, groups }), inputs)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let window = generator.window(&shape, false)?;
        let channels = shape[1];
        if channels == 0 {
            return None;
        }
        let divisors: Vec<usize> = (1..=channels).filter(|g| channels.is_multiple_of(*g)).collect();
        let groups = match generator.draws.below(4) {
            0 | 1 => 1,
            2 => channels,
            _ => divisors[generator.draws.below(divisors.len())],
        };
        let per_group = if generator.draws.chance(0.5) { 1 } else { generator.draws.between(1, (36 / groups).max(1)) };
        let outputs = groups * per_group;
        let weight: Vec<usize> =
            [outputs, channels / groups].into_iter().chain(window.kernel.iter().copied()).collect();
        let n = weight.iter().product();
        let weight = Tensor::from_f32(weight, (0..n).map(|_| generator.draws.between(0, 2) as f32 - 1.0).collect());
        let mut operands = vec![Source::Known(x), Source::Constant(weight)];
        if generator.draws.chance(0.5) {
            operands.push(Source::Constant(generator.numbers(vec![outputs])));
        }
        generator.try_node(Op::Conv(Self { window, groups }), operands)
    }

    fn cases() -> Vec<Case> {
        let conv = |window: Window, groups: usize| Op::Conv(Self { window, groups });
        let x = f(&[1, 1, 3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let ones = f(&[1, 1, 2, 2], &[1.0; 4]);
        let strided = Window { strides: vec![2, 2], ..Window::padded(&[2, 2], &[1, 1]) };
        let dilated = Window { dilations: vec![2, 2], ..Window::padded(&[2, 2], &[0, 0]) };
        let same = |auto_pad| Window { auto_pad, ..Window::padded(&[2, 2], &[0, 0]) };
        vec![
            case(
                "valid",
                conv(Window::padded(&[2, 2], &[0, 0]), 1),
                [x.clone(), ones.clone()],
                f(&[1, 1, 2, 2], &[12.0, 16.0, 24.0, 28.0]),
            ),
            case(
                "bias",
                conv(Window::padded(&[2, 2], &[0, 0]), 1),
                [x.clone(), ones.clone(), f(&[1], &[-12.0])],
                f(&[1, 1, 2, 2], &[0.0, 4.0, 12.0, 16.0]),
            ),
            case(
                "stride and padding",
                conv(strided, 1),
                [x.clone(), ones.clone()],
                f(&[1, 1, 2, 2], &[1.0, 5.0, 11.0, 28.0]),
            ),
            case("dilation", conv(dilated, 1), [x.clone(), ones.clone()], f(&[1, 1, 1, 1], &[20.0])),
            case(
                "same upper",
                conv(same(AutoPad::SameUpper), 1),
                [x.clone(), ones.clone()],
                f(&[1, 1, 3, 3], &[12.0, 16.0, 9.0, 24.0, 28.0, 15.0, 15.0, 17.0, 9.0]),
            ),
            case(
                "same lower",
                conv(same(AutoPad::SameLower), 1),
                [x.clone(), ones.clone()],
                f(&[1, 1, 3, 3], &[1.0, 3.0, 5.0, 5.0, 12.0, 16.0, 11.0, 24.0, 28.0]),
            ),
            case(
                "groups: 4 channels to 2 in 2 groups",
                conv(Window::padded(&[1, 1], &[0, 0]), 2),
                [
                    f(&[1, 4, 1, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]),
                    f(&[2, 2, 1, 1], &[1.0, 10.0, 100.0, 1000.0]),
                ],
                f(&[1, 2, 1, 2], &[31.0, 42.0, 7500.0, 8600.0]),
            ),
            case(
                "one axis",
                conv(Window::padded(&[3], &[1]), 1),
                [f(&[1, 1, 4], &[1.0, 2.0, 3.0, 4.0]), f(&[1, 1, 3], &[1.0, 10.0, 100.0])],
                f(&[1, 1, 4], &[210.0, 321.0, 432.0, 43.0]),
            ),
            case(
                "three axes",
                conv(Window::padded(&[2, 1, 2], &[0, 0, 0]), 1),
                [f(&[1, 1, 2, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), f(&[1, 1, 2, 1, 2], &[1.0, 2.0, 3.0, 4.0])],
                f(&[1, 1, 1, 1, 2], &[37.0, 47.0]),
            ),
            case(
                "batch of none",
                conv(Window::padded(&[2, 2], &[0, 0]), 1),
                [f(&[0, 1, 3, 3], &[]), ones.clone()],
                f(&[0, 1, 2, 2], &[]),
            ),
        ]
    }
}

/// What can be said about ranks and channels before the network runs.
fn check_channels(
    node: &NodeView<'_>,
    x: Option<&[Extent]>,
    weight: &[Extent],
    groups: usize,
) -> Result<(), GraphError> {
    let Some(x) = x else { return Ok(()) };
    if x.len() != weight.len() {
        return Err(node.invalid(format!("input with {} dims, expected {} as the weight has", x.len(), weight.len())));
    }
    if let (Some(channels), Some(per_group)) = (x[1].known(), weight[1].known())
        && per_group.checked_mul(groups) != Some(channels)
    {
        return Err(node.invalid(format!("input with {channels} channels, expected {groups} groups of {per_group}")));
    }
    match weight[0].known() {
        Some(filters) if filters % groups != 0 => {
            Err(node.invalid(format!("{filters} output channels cannot be split into {groups} groups")))
        }
        _ => Ok(()),
    }
}

fn conv<T: Float>(
    call: &Call<'_>,
    x: &[T],
    [depth, height, width]: &[WindowAxis; 3],
    groups: usize,
) -> Result<Vec<T>, GraphError> {
    let weight: &[T] = call.elements(1);
    let bias: Option<&[T]> = call.optional(2).map(|_| call.elements(2));
    let (n_batch, n_inputs) = (call.input(0).shape()[0], call.input(0).shape()[1]);
    let (n_outputs, group_inputs) = (call.input(1).shape()[0], call.input(1).shape()[1]);
    let mut y = call.allocate_output()?;
    let mut sums: Vec<f64> = call.allocate(width.output)?;
    sums.resize(width.output, 0.0);
    for n in 0..n_batch {
        for k in 0..n_outputs {
            let first_input = k / (n_outputs / groups) * group_inputs;
            for (z, p) in window::pairs(depth.output, height.output) {
                sums.fill(bias.map_or(0.0, |bias| bias[k].to_f64()));
                for c in 0..group_inputs {
                    let channel = n * n_inputs + first_input + c;
                    for (tap_z, r) in window::tap_pairs(depth, z, height, p) {
                        let row =
                            (channel * depth.input + depth.input_idx(z, tap_z)) * height.input + height.input_idx(p, r);
                        let x_row = &x[row * width.input..][..width.input];
                        let weight_row = ((k * group_inputs + c) * depth.kernel + tap_z) * height.kernel + r;
                        let weight_row = &weight[weight_row * width.kernel..][..width.kernel];
                        add_row(&mut sums, x_row, weight_row, width);
                    }
                }
                y.extend(sums.iter().map(|&sum| T::from_f64(sum)));
            }
        }
    }
    Ok(y)
}

/// Adds the products of one kernel row with one input row to the sums of an output row.
fn add_row<T: Float>(sums: &mut [f64], x: &[T], weight: &[T], width: &WindowAxis) {
    for (s, weight) in weight.iter().enumerate() {
        let weight = weight.to_f64();
        let windows = width.windows(s);
        if windows.is_empty() {
            continue;
        }
        let first = width.input_idx(windows.start, s);
        let inputs = x[first..].iter().step_by(width.stride);
        for (sum, x) in sums[windows].iter_mut().zip(inputs) {
            *sum += weight * x.to_f64();
        }
    }
}
