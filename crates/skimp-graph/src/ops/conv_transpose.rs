//! ConvTranspose.

use crate::onnx::export::{Context, Form, signed};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Extent, Shape, Symbols};
use crate::ops::signature::{Signature, shaped};
use crate::ops::{AutoPad, Definition, Op, Operands, Operator, Parameter, Rounding, WeightAxes, Window, window};
use crate::reference::Call;
use crate::reference::number::{Float, for_float};
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, case, f};
use crate::{Data, GraphError, Tensor};

/// Inputs: x `[n, c, ..]`, weight `[c, k / groups, ..]`, optional bias `[k]`: the gradient of a convolution with respect
/// to its input. Sums are f64, rounded once; the order is channels, then kernel rows, then columns.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose {
    /// Spatial window, over the output. Its pads are cut off the output.
    pub window: Window,
    /// Number of groups.
    pub groups: usize,
    /// Elements added at the end of the output, one entry per spatial axis.
    pub output_padding: Vec<usize>,
    /// Extents of the output's spatial axes. The pads follow from them, and those of the window do not count.
    pub output_shape: Option<Vec<usize>>,
}

/// One spatial axis with its pads and output extent worked out.
#[derive(Clone, Copy)]
struct Axis {
    input: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad_begin: usize,
    output: usize,
}

const UNIT: Axis = Axis { input: 1, kernel: 1, stride: 1, dilation: 1, pad_begin: 0, output: 1 };

impl ConvTranspose {
    /// Whether every list has an entry for each of `n_axes`.
    fn has_axes(&self, n_axes: usize) -> bool {
        let window = &self.window;
        let lists = [&window.strides, &window.dilations, &window.pads_begin, &window.pads_end, &self.output_padding];
        self.output_shape.iter().chain(lists).chain([&window.kernel]).all(|list| list.len() == n_axes)
    }

    fn axes(&self, extents: &[usize]) -> Result<Vec<Axis>, String> {
        if !self.has_axes(extents.len()) {
            return Err(format!("its lists have other than {} entries (one per spatial axis)", extents.len()));
        }
        extents.iter().enumerate().map(|(idx, &input)| self.axis(idx, input)).collect()
    }

    /// `stride · (input − 1) + output_padding + dilation · (kernel − 1) + 1 − pads` elements, or those asked for.
    fn axis(&self, idx: usize, input: usize) -> Result<Axis, String> {
        let window = &self.window;
        let (kernel, stride, dilation) = (window.kernel[idx], window.strides[idx], window.dilations[idx]);
        if kernel == 0 || stride == 0 || dilation == 0 {
            return Err(format!("spatial axis {idx}: a kernel, stride or dilation of 0, expected at least 1"));
        }
        let too_large = || format!("spatial axis {idx}: extents are too large");
        let reach = (kernel - 1).checked_mul(dilation).and_then(|reach| reach.checked_add(1));
        let steps = input.saturating_sub(1).checked_mul(stride);
        let whole = steps.zip(reach).and_then(|(steps, reach)| steps.checked_add(reach));
        let whole = whole.and_then(|whole| whole.checked_add(self.output_padding[idx])).ok_or_else(too_large)?;
        let is_same = matches!(window.auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
        let wanted = match &self.output_shape {
            Some(shape) => Some(shape[idx]),
            None if is_same => Some(input.checked_mul(stride).ok_or_else(too_large)?),
            None => None,
        };
        let (pad_begin, output) = match wanted {
            Some(output) => {
                let total = whole.saturating_sub(output);
                let half = total / 2;
                (if window.auto_pad == AutoPad::SameUpper { half } else { total - half }, output)
            }
            None if window.auto_pad == AutoPad::Valid => (0, whole),
            None => {
                let (begin, end) = (window.pads_begin[idx], window.pads_end[idx]);
                let output = whole.checked_sub(begin).and_then(|rest| rest.checked_sub(end)).ok_or_else(|| {
                    format!("spatial axis {idx}: pads {begin} and {end} are more than the {whole} elements there are")
                })?;
                (begin, output)
            }
        };
        Ok(Axis { input, kernel, stride, dilation, pad_begin, output: if input == 0 { 0 } else { output } })
    }
}

impl Operator for ConvTranspose {
    facts!(Multiplies, 2..=3, Float);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let x = signature.float()?;
        let extents = signature.spatial(x)?;
        let weight = signature.input_like(1, x)?;
        signature.check_rank("weight", weight, x.shape.len(), "(c, k / groups, ..)")?;
        let (c, groups) = (x.shape[1], self.groups);
        if weight.shape[0] != c || groups == 0 || !c.is_multiple_of(groups) {
            let found = weight.shape[0];
            return Err(signature.invalid(format!("weight has {found} channels in {groups} groups, the input {c}")));
        }
        if weight.shape[2..] != self.window.kernel {
            let (kernel, found) = (&self.window.kernel, &weight.shape[2..]);
            return Err(signature.invalid(format!("kernel_shape is {kernel:?}, the weight has {found:?}")));
        }
        let k = weight.shape[1].checked_mul(groups).ok_or_else(|| signature.invalid("extents are too large"))?;
        if signature.optional(2).is_some() {
            let bias = signature.input_like(2, x)?;
            if bias.shape != [k] {
                return Err(signature.invalid(format!("bias has shape {:?}, expected [{k}]", bias.shape)));
            }
        }
        let axes = self.axes(extents).map_err(|cause| signature.invalid(cause))?;
        Ok(shaped(x, [x.shape[0], k].into_iter().chain(axes.iter().map(|axis| axis.output)).collect()))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let found = self.axes(&call.input(0).shape()[2..]).map_err(|cause| call.invalid(cause))?;
        let mut axes = [UNIT; 3];
        axes[3 - found.len()..].copy_from_slice(&found);
        for_float!(
            call.input(0).data(),
            x => Ok(vec![scatter(call, x, &axes, self.groups)?.into()]),
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
        let form = window::export(form.since(11), &self.window)
            .int("group", i64::try_from(self.groups).unwrap_or(i64::MAX))
            .counts("output_padding", &self.output_padding);
        Ok(match &self.output_shape {
            Some(shape) => form.ints("output_shape", signed(shape)),
            None => form,
        })
    }

    fn symbolic_shape(&self, inputs: &[&Shape], symbols: &mut Symbols) -> Shape {
        let (x, weight) = (inputs.first()?.as_ref()?, inputs.get(1)?.as_ref()?);
        let channels = weight.get(1)?.known()?.checked_mul(self.groups)?;
        let mut shape = vec![*x.first()?, Extent::Known(channels)];
        let spatial = x.get(2..).filter(|spatial| self.has_axes(spatial.len()))?;
        for (idx, extent) in spatial.iter().enumerate() {
            shape.push(match (&self.output_shape, extent.known()) {
                (Some(wanted), _) => Extent::Known(*wanted.get(idx)?),
                (None, Some(n)) => Extent::Known(self.axis(idx, n).ok()?.output),
                (None, None) => Extent::Symbol(symbols.fresh()),
            });
        }
        Some(shape)
    }

    fn parameter(&self, input: usize) -> Option<Parameter> {
        [None, Some(Parameter::Weight), Some(Parameter::Other)].get(input).copied().flatten()
    }

    /// Every input element meets every weight of its channel.
    fn weight_axes(&self, input: usize, _rank: usize) -> Option<WeightAxes> {
        match input {
            1 => Some(WeightAxes { outputs: Some(1), inputs: Some(0) }),
            2 => Some(WeightAxes { outputs: Some(0), inputs: None }),
            _ => None,
        }
    }

    fn groups(&self) -> usize {
        self.groups
    }

    fn with_groups(&self, groups: usize) -> Option<Op> {
        Some(Op::ConvTranspose(Self { groups, ..self.clone() }))
    }

    fn macs(&self, inputs: &[&[usize]], _n_outputs: u64) -> u64 {
        let x = inputs.first().copied().unwrap_or_default();
        let weight = inputs.get(1).copied().unwrap_or_default();
        x.iter().chain(weight.iter().skip(1)).fold(1, |n, &extent| u64::saturating_mul(n, extent as u64))
    }
}

fn scatter<T: Float>(call: &Call<'_>, x: &[T], axes: &[Axis; 3], groups: usize) -> Result<Vec<T>, GraphError> {
    let weight: &[T] = call.elements(1);
    let bias: Option<&[T]> = call.optional(2).map(|_| call.elements(2));
    let (n_batch, n_inputs) = (call.input(0).shape()[0], call.input(0).shape()[1]);
    let group_outputs = call.input(1).shape()[1];
    let [depth, height, width] = axes;
    let n_input: usize = axes.iter().map(|axis| axis.input).product();
    let n_taps: usize = axes.iter().map(|axis| axis.kernel).product();
    let mut y = call.allocate_output()?;
    let n_output: usize = axes.iter().map(|axis| axis.output).product();
    let mut sums: Vec<f64> = call.allocate(n_output)?;
    for n in 0..n_batch {
        for k in 0..group_outputs * groups {
            sums.clear();
            sums.resize(n_output, bias.map_or(0.0, |bias| bias[k].to_f64()));
            let per_group = n_inputs / groups;
            let first = k / group_outputs * per_group;
            for c in first..first + per_group {
                let plane = &x[(n * n_inputs + c) * n_input..][..n_input];
                let taps = &weight[(c * group_outputs + k % group_outputs) * n_taps..][..n_taps];
                for (z, p) in window::pairs(depth.input, height.input) {
                    for (tap_z, r) in window::pairs(depth.kernel, height.kernel) {
                        let rows = depth.at(z, tap_z).zip(height.at(p, r));
                        let Some((z_out, p_out)) = rows else { continue };
                        for (q, s) in window::pairs(width.input, width.kernel) {
                            let Some(q_out) = width.at(q, s) else { continue };
                            let x = plane[(z * height.input + p) * width.input + q].to_f64();
                            let tap = taps[(tap_z * height.kernel + r) * width.kernel + s].to_f64();
                            sums[(z_out * height.output + p_out) * width.output + q_out] += x * tap;
                        }
                    }
                }
            }
            y.extend(sums.iter().map(|&sum| T::from_f64(sum)));
        }
    }
    Ok(y)
}

impl Axis {
    /// The output index that an input index and a kernel position add to.
    fn at(&self, input: usize, tap: usize) -> Option<usize> {
        (input * self.stride + tap * self.dilation).checked_sub(self.pad_begin).filter(|&out| out < self.output)
    }
}

impl Definition for ConvTranspose {
    const NAME: &'static str = "ConvTranspose";
    const ATTRIBUTES: &'static [&'static str] =
        &["auto_pad", "dilations", "group", "kernel_shape", "output_padding", "output_shape", "pads", "strides"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(2, 3)?;
        let (x, weight) = (importer.value(node, 0)?, importer.value(node, 1)?);
        let bias = importer.optional_value(node, 2)?;
        let kernel: Option<Vec<usize>> = match (window::kernel_shape(node)?, importer.shape(weight)) {
            (Some(kernel), _) => Some(kernel),
            (None, Some(shape)) => shape.iter().skip(2).map(|extent| extent.known()).collect(),
            (None, None) => None,
        };
        let kernel = kernel.filter(|kernel| !kernel.is_empty() && !kernel.contains(&0));
        let kernel = kernel.ok_or_else(|| node.unsupported("a kernel of unknown or empty extent"))?;
        let n_axes = kernel.len();
        let window = window::import(node, kernel)?;
        let groups = usize::try_from(node.int_or("group", 1)?).unwrap_or(0);
        if groups == 0 {
            return Err(node.invalid("attribute \"group\" must be positive"));
        }
        let output_padding = node.counts("output_padding", 0)?.unwrap_or_else(|| vec![0; n_axes]);
        let output_shape = node.counts("output_shape", 0)?;
        for (name, list) in [("output_padding", Some(&output_padding)), ("output_shape", output_shape.as_ref())] {
            if let Some(list) = list.filter(|list| list.len() != n_axes) {
                return Err(node.invalid(format!("attribute \"{name}\" has {} entries, expected {n_axes}", list.len())));
            }
        }
        let op = Op::ConvTranspose(Self { window, groups, output_padding, output_shape });
        let mut inputs = vec![Some(x), Some(weight)];
        inputs.extend(bias.map(Some));
        importer.emit(node, op, inputs)
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let window = generator.window(&shape, false)?;
        let channels = Some(shape[1]).filter(|&channels| channels > 0)?;
        let groups = if generator.draws.chance(0.3) { channels } else { 1 };
        let outputs = generator.draws.between(1, (20 / groups).max(1));
        let weight = [channels, outputs].into_iter().chain(window.kernel.iter().copied()).collect::<Vec<_>>();
        let n = weight.iter().product();
        let weight = (0..n).map(|_| generator.draws.between(0, 2) as f32 - 1.0).collect();
        let weight = Tensor::from_f32([&[channels, outputs], &window.kernel[..]].concat(), weight);
        let mut sources = vec![Source::Known(x), Source::Constant(weight)];
        if generator.draws.chance(0.5) {
            sources.push(Source::Constant(generator.numbers(vec![outputs * groups])));
        }
        let output_padding = window.strides.iter().map(|&stride| generator.draws.below(stride)).collect();
        generator.try_node(Op::ConvTranspose(Self { window, groups, output_padding, output_shape: None }), sources)
    }

    fn cases() -> Vec<Case> {
        let plain = |window: Window| Self {
            output_padding: vec![0; window.kernel.len()],
            window,
            groups: 1,
            output_shape: None,
        };
        let x = f(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let ones = f(&[1, 1, 2, 2], &[1.0; 4]);
        let row = f(&[1, 1, 2], &[1.0, 2.0]);
        let taps = f(&[1, 1, 3], &[1.0, 10.0, 100.0]);
        let strided = Window { strides: vec![2], ..Window::padded(&[3], &[1]) };
        let longer = Self { output_padding: vec![1], ..plain(strided.clone()) };
        let given =
            Self { output_shape: Some(vec![4]), ..plain(Window { strides: vec![2], ..Window::padded(&[3], &[0]) }) };
        let grouped = Self { groups: 2, ..plain(Window::padded(&[1], &[0])) };
        vec![
            case(
                "transposed",
                Op::ConvTranspose(plain(Window::padded(&[2, 2], &[0, 0]))),
                [x, ones, f(&[1], &[0.5])],
                f(&[1, 1, 3, 3], &[1.5, 3.5, 2.5, 4.5, 10.5, 6.5, 3.5, 7.5, 4.5]),
            ),
            // 1, 10, 100 + 2, 20, 200 without the ends.
            case(
                "transposed, stride 2",
                Op::ConvTranspose(plain(strided)),
                [row.clone(), taps.clone()],
                f(&[1, 1, 3], &[10.0, 102.0, 20.0]),
            ),
            case(
                "transposed, longer",
                Op::ConvTranspose(longer),
                [row.clone(), taps.clone()],
                f(&[1, 1, 4], &[10.0, 102.0, 20.0, 200.0]),
            ),
            // One element too many: it goes at the beginning.
            case(
                "transposed to a given shape",
                Op::ConvTranspose(given),
                [row, taps],
                f(&[1, 1, 4], &[10.0, 102.0, 20.0, 200.0]),
            ),
            case(
                "transposed in groups",
                Op::ConvTranspose(grouped),
                [f(&[1, 2, 1], &[2.0, 3.0]), f(&[2, 2, 1], &[1.0, 10.0, 100.0, 1000.0])],
                f(&[1, 4, 1], &[2.0, 20.0, 300.0, 3000.0]),
            ),
        ]
    }
}
