//! Operators of ONNX's own that are few nodes of others here.

use skimp_numerics::FloatFormat;

use super::{Function, Steps, int, with};
use crate::onnx::dtype;
use crate::onnx::export::Form;
use crate::{DType, GraphError, Tensor};

const fn standard(
    name: &'static str,
    attributes: &'static [&'static str],
    expand: fn(&mut Steps<'_, '_>) -> Result<(), GraphError>,
) -> Function {
    Function { domain: "", name, attributes, expand }
}

pub(super) const FUNCTIONS: &[Function] = &[
    standard("ArgMin", &["axis", "keepdims", "select_last_index"], arg_min),
    standard("EyeLike", &["dtype", "k"], eye_like),
    standard("GlobalLpPool", &["p"], global_lp_pool),
    standard("Hardmax", &["axis"], hardmax),
    standard("IsInf", &["detect_negative", "detect_positive"], is_infinite),
    standard("IsNaN", &[], is_nan),
    standard("LpNormalization", &["axis", "p"], lp_normalization),
    standard("LpPool", &["auto_pad", "ceil_mode", "dilations", "kernel_shape", "p", "pads", "strides"], lp_pool),
    standard("MeanVarianceNormalization", &["axes"], mean_variance_normalization),
    standard("ReverseSequence", &["batch_axis", "time_axis"], reverse_sequence),
    standard("Scatter", &["axis"], scatter),
    standard("Shrink", &["bias", "lambd"], shrink),
    standard("SimplifiedLayerNormalization", &["axis", "epsilon", "stash_type"], simplified_layer_normalization),
    standard("Upsample", &["mode", "scales"], upsample),
];

/// The place of the maximum of what falls where the input rises.
fn arg_min(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let mut x = steps.required(0)?.to_owned();
    // −1 − x of an integer exists for each of them, its negative does not.
    let falling = if steps.dtype(&x)?.is_float() {
        steps.add("falling", "Neg", &[&x], Vec::new())?
    } else {
        x = steps.cast("wide", &x, DType::I64)?;
        let last = steps.constant("minus_one", Tensor::from_i64(Vec::new(), vec![-1]));
        steps.add("falling", "Sub", &[&last, &x], Vec::new())?
    };
    let own = steps.own(&["axis", "keepdims", "select_last_index"]);
    steps.last("ArgMax", &[&falling], own)
}

/// 1 along a diagonal of a matrix as large as the input, else 0.
fn eye_like(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let x = steps.required(0)?;
    if steps.rank(x)? != 2 {
        return Err(steps.node.invalid("the input is not a matrix"));
    }
    let to = match steps.node.int("dtype")? {
        Some(number) => number,
        None => i64::from(dtype::to_onnx(steps.dtype(x)?)),
    };
    let rows = steps.indices("rows", x, 0)?;
    let columns = steps.indices("columns", x, 1)?;
    let upright = steps.ints("upright", &[-1, 1]);
    let rows = steps.add("each_row", "Reshape", &[&rows, &upright], Vec::new())?;
    let k = steps.node.int_or("k", 0)?;
    let k = steps.constant("k", Tensor::from_i64(Vec::new(), vec![k]));
    let diagonal = steps.add("diagonal", "Add", &[&rows, &k], Vec::new())?;
    let is_on_it = steps.add("is_on_it", "Equal", &[&diagonal, &columns], Vec::new())?;
    steps.last("Cast", &[&is_on_it], int("to", to))
}

/// 1 at the first maximum along an axis, else 0. Before set 13 all axes from `axis` on count as one.
fn hardmax(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let x = steps.required(0)?;
    let to = i64::from(dtype::to_onnx(steps.dtype(x)?));
    let is_joint = steps.node.opset() < 13;
    let axis = steps.node.int_or("axis", if is_joint { 1 } else { -1 })?;
    let flat;
    let (rows, axis) = if is_joint {
        flat = steps.add("rows", "Flatten", &[x], int("axis", axis))?;
        (flat.as_str(), 1)
    } else {
        (x, axis)
    };
    let rank = steps.rank(rows)?;
    let at = crate::shape::normalized_axis(axis, rank).map_err(|cause| steps.node.invalid(cause))?;
    let best = steps.add("best", "ArgMax", &[rows], int("axis", axis))?;
    let places = steps.indices("places", rows, at)?;
    let mut along = vec![1; rank];
    along[at] = -1;
    let along = steps.ints("along", &along);
    let places = steps.add("each_place", "Reshape", &[&places, &along], Vec::new())?;
    let is_best = steps.add("is_best", "Equal", &[&best, &places], Vec::new())?;
    if !is_joint {
        return steps.last("Cast", &[&is_best], int("to", to));
    }
    let y = steps.add("ones", "Cast", &[&is_best], int("to", to))?;
    let shape = steps.add("shape", "Shape", &[x], Vec::new())?;
    steps.last("Reshape", &[&y, &shape], Vec::new())
}

fn is_nan(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let x = steps.required(0)?;
    let equals_itself = steps.add("equals_itself", "Equal", &[x, x], Vec::new())?;
    steps.last("Not", &[&equals_itself], Vec::new())
}

/// Whether no finite number is as large.
fn is_infinite(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let mut x = steps.required(0)?.to_owned();
    let is_double = steps.dtype(&x)? == DType::F64;
    let (positive, negative) = (steps.node.flag("detect_positive", true)?, steps.node.flag("detect_negative", true)?);
    match (positive, negative) {
        (true, true) => x = steps.add("magnitude", "Abs", &[&x], Vec::new())?,
        (true, false) => {}
        (false, true) => x = steps.add("negative", "Neg", &[&x], Vec::new())?,
        (false, false) => x = steps.add("nothing", "Sub", &[&x, &x], Vec::new())?,
    }
    let greatest = if is_double {
        let greatest = Tensor::new(Vec::new(), vec![f64::MAX].into());
        let greatest = greatest.ok_or_else(|| steps.node.invalid("no greatest number"))?;
        steps.constant("greatest", greatest)
    } else {
        steps.float("greatest", f32::MAX)
    };
    steps.last("Greater", &[&x, &greatest], Vec::new())
}

/// Divided by the norm along an axis; 0 where the norm is.
fn lp_normalization(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let x = steps.required(0)?;
    let op = match steps.node.int_or("p", 2)? {
        1 => "ReduceL1",
        2 => "ReduceL2",
        p => return Err(steps.node.invalid(format!("attribute \"p\" is {p}, expected 1 or 2"))),
    };
    let axis = steps.node.int_or("axis", -1)?;
    let axes = steps.ints("axes", &[axis]);
    let norm = steps.add("norm", op, &[x, &axes], Vec::new())?;
    let zero = steps.add("zero", "Sub", &[&norm, &norm], Vec::new())?;
    let has_length = steps.add("has_length", "Greater", &[&norm, &zero], Vec::new())?;
    let quotient = steps.main("quotient", "Div", &[x, &norm], Vec::new())?;
    steps.output(0, "normalized", "Where", &[&has_length, &quotient, &zero], Vec::new())
}

/// `p` of a norm.
fn power(steps: &Steps<'_, '_>) -> Result<f32, GraphError> {
    // A number with a point until set 2 of ONNX, an integer since.
    match steps.node.int_or("p", 2)? {
        p @ 1..=1024 => Ok(p as f32),
        p => Err(steps.node.invalid(format!("attribute \"p\" is {p}, expected 1 or more"))),
    }
}

/// The norm of a window's elements; what lies outside of the image is 0.
fn lp_pool(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    if steps.node.flag("ceil_mode", false)? {
        return Err(steps.node.unsupported("windows that reach beyond the padding (ceil_mode = 1)"));
    }
    let kernel = steps.node.counts("kernel_shape", 1)?;
    let kernel = kernel.ok_or_else(|| steps.node.invalid("attribute \"kernel_shape\" is missing"))?;
    let p = power(steps)?;
    let x = steps.required(0)?;
    let exponent = steps.float("p", p);
    let magnitudes = steps.add("magnitudes", "Abs", &[x], Vec::new())?;
    let powers = steps.add("powers", "Pow", &[&magnitudes, &exponent], Vec::new())?;
    let mut own = steps.own(&["auto_pad", "dilations", "kernel_shape", "pads", "strides"]);
    own.extend(int("count_include_pad", 1));
    let means = steps.main("means", "AveragePool", &[&powers], own)?;
    let n = steps.float("n", kernel.iter().map(|&extent| extent as f32).product());
    let sums = steps.add("sums", "Mul", &[&means, &n], Vec::new())?;
    let root = steps.float("root", 1.0 / p);
    steps.output(0, "norms", "Pow", &[&sums, &root], Vec::new())
}

/// The norm of each channel.
fn global_lp_pool(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let p = power(steps)?;
    let x = steps.required(0)?;
    let axes: Vec<i64> = (2..steps.rank(x)? as i64).collect();
    let axes = steps.ints("axes", &axes);
    let exponent = steps.float("p", p);
    let magnitudes = steps.add("magnitudes", "Abs", &[x], Vec::new())?;
    let powers = steps.add("powers", "Pow", &[&magnitudes, &exponent], Vec::new())?;
    let sums = steps.main("sums", "ReduceSum", &[&powers, &axes], Vec::new())?;
    let root = steps.float("root", 1.0 / p);
    steps.output(0, "norms", "Pow", &[&sums, &root], Vec::new())
}

/// Mean 0 and variance 1 over some axes.
fn mean_variance_normalization(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let x = steps.required(0)?;
    let axes = steps.node.ints("axes")?.map_or_else(|| vec![0, 2, 3], <[i64]>::to_vec);
    let [_, centred, variance] = steps.moments(x, &axes)?;
    let deviation = steps.add("deviation", "Sqrt", &[&variance], Vec::new())?;
    let least = steps.float("least", 1e-9);
    let divisor = steps.add("divisor", "Add", &[&deviation, &least], Vec::new())?;
    steps.last("Div", &[&centred, &divisor], Vec::new())
}

/// The first elements along the time axis, as many as a length says for each entry of the batch axis, the other way round.
fn reverse_sequence(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 2)?;
    let (x, lengths) = (steps.required(0)?, steps.required(1)?);
    let (time, batch) = (steps.node.int_or("time_axis", 0)?, steps.node.int_or("batch_axis", 1)?);
    let (Ok(time @ 0..=1), Ok(batch @ 0..=1)) = (usize::try_from(time), usize::try_from(batch)) else {
        return Err(steps.node.invalid(format!("time_axis {time} and batch_axis {batch}, expected 0 and 1")));
    };
    let rank = steps.rank(x)?;
    if time == batch || rank < 2 {
        return Err(steps.node.invalid(format!("time_axis {time} and batch_axis {batch} of {rank} axes")));
    }
    let places = steps.indices("places", x, time)?;
    let line = |axis: usize| (0..rank).map(|other| if other == axis { -1 } else { 1 }).collect::<Vec<i64>>();
    let (along_time, along_batch) = (steps.ints("along_time", &line(time)), steps.ints("along_batch", &line(batch)));
    let places = steps.add("each_place", "Reshape", &[&places, &along_time], Vec::new())?;
    let lengths = steps.cast("lengths", lengths, DType::I64)?;
    let lengths = steps.add("each_length", "Reshape", &[&lengths, &along_batch], Vec::new())?;
    let one = steps.constant("one", Tensor::from_i64(Vec::new(), vec![1]));
    let last = steps.add("last", "Sub", &[&lengths, &one], Vec::new())?;
    let mirrored = steps.add("mirrored", "Sub", &[&last, &places], Vec::new())?;
    let is_within = steps.add("is_within", "Less", &[&places, &lengths], Vec::new())?;
    let sources = steps.add("sources", "Where", &[&is_within, &mirrored, &places], Vec::new())?;
    let shape = steps.add("shape", "Shape", &[x], Vec::new())?;
    let sources = steps.add("each_source", "Expand", &[&sources, &shape], Vec::new())?;
    steps.last("GatherElements", &[x, &sources], int("axis", time as i64))
}

/// What `ScatterElements` was called before set 11.
fn scatter(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(3, 3)?;
    let inputs = [steps.required(0)?, steps.required(1)?, steps.required(2)?];
    let own = steps.own(&["axis"]);
    steps.last("ScatterElements", &inputs, own)
}

/// Nearer to 0 by `bias`; 0 within `lambd` of it.
fn shrink(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let x = steps.required(0)?;
    if steps.dtype(x)? != DType::F32 {
        return Err(steps.node.unsupported("an input that is not FLOAT"));
    }
    let (lambda, bias) = (steps.node.float_or("lambd", 0.5)?, steps.node.float_or("bias", 0.0)?);
    let [least, greatest, bias, zero] =
        [("least", -lambda), ("greatest", lambda), ("bias", bias), ("zero", 0.0)].map(|(l, v)| steps.float(l, v));
    let is_below = steps.add("is_below", "Less", &[x, &least], Vec::new())?;
    let is_above = steps.add("is_above", "Greater", &[x, &greatest], Vec::new())?;
    let raised = steps.add("raised", "Add", &[x, &bias], Vec::new())?;
    let lowered = steps.add("lowered", "Sub", &[x, &bias], Vec::new())?;
    let above = steps.add("above", "Where", &[&is_above, &lowered, &zero], Vec::new())?;
    steps.last("Where", &[&is_below, &raised, &above], Vec::new())
}

/// What onnxruntime called `RMSNormalization` before ONNX had it.
fn simplified_layer_normalization(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 2)?;
    let inputs = [steps.required(0)?, steps.required(1)?];
    let own = steps.own(&["axis", "epsilon", "stash_type"]);
    steps.last("RMSNormalization", &inputs, own)
}

/// What `Resize` was called before set 10.
fn upsample(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 2)?;
    if steps.node.opset() > 9 {
        let cause = format!("operator set {} has no Upsample: export again, with Resize", steps.node.opset());
        return Err(steps.node.invalid(cause));
    }
    let x = steps.required(0)?;
    let scales = match steps.node.floats("scales")? {
        Some(scales) => steps.constant("scales", Tensor::from_f32(vec![scales.len()], scales.to_vec())),
        None => steps.required(1)?.to_owned(),
    };
    let form = Form::new("").string("coordinate_transformation_mode", "asymmetric").string("nearest_mode", "floor");
    let mode = match steps.node.string("mode")?.unwrap_or("nearest") {
        "bilinear" => "linear",
        mode => mode,
    };
    steps.last("Resize", &[x, "", &scales], form.string("mode", mode).attributes)
}

impl Steps<'_, '_> {
    /// A value of another element type.
    pub(super) fn cast(&mut self, label: &str, value: &str, to: DType) -> Result<String, GraphError> {
        self.add(label, "Cast", &[value], int("to", i64::from(dtype::to_onnx(to))))
    }

    /// Mean, distance from it and variance over some axes, which stay.
    pub(super) fn moments(&mut self, x: &str, axes: &[i64]) -> Result<[String; 3], GraphError> {
        let axes = self.ints("moment_axes", axes);
        let mean = self.add("mean", "ReduceMean", &[x, &axes], Vec::new())?;
        let centred = self.add("centred", "Sub", &[x, &mean], Vec::new())?;
        let squares = self.add("squares", "Mul", &[&centred, &centred], Vec::new())?;
        let variance = self.add("variance", "ReduceMean", &[&squares, &axes], Vec::new())?;
        Ok([mean, centred, variance])
    }

    /// 1 over the square root of a variance and epsilon.
    fn inverse_deviation(&mut self, variance: &str, epsilon: f32) -> Result<String, GraphError> {
        let epsilon = self.float("epsilon", epsilon);
        let sum = self.add("variance_and_epsilon", "Add", &[variance, &epsilon], Vec::new())?;
        let deviation = self.add("deviation", "Sqrt", &[&sum], Vec::new())?;
        self.add("inverse_deviation", "Reciprocal", &[&deviation], Vec::new())
    }

    /// `LayerNormalization` with its mean and the inverse of its deviation as further outputs.
    pub(crate) fn layer_normalization(&mut self, axis: i64, epsilon: f32) -> Result<(), GraphError> {
        let x = self.required(0)?;
        let rank = self.rank(x)?;
        let first = crate::shape::normalized_axis(axis, rank).map_err(|cause| self.node.invalid(cause))?;
        let axes: Vec<i64> = (first as i64..rank as i64).collect();
        let inputs = [x, self.required(1)?, self.input(2)];
        let own = Form::new("").int("axis", axis).float("epsilon", epsilon).attributes;
        let [mean, _, variance] = self.moments(x, &axes)?;
        let inverse = self.inverse_deviation(&variance, epsilon)?;
        let y = self.main("y", "LayerNormalization", &inputs, own)?;
        self.output(0, "normalized", "Identity", &[&y], Vec::new())?;
        self.output(1, "mean_output", "Identity", &[&mean], Vec::new())?;
        self.output(2, "inverse_output", "Identity", &[&inverse], Vec::new())
    }

    /// A vector of one number a channel, as it broadcasts over a value of `rank` axes.
    fn by_channel(&mut self, label: &str, input: usize, rank: usize) -> Result<String, GraphError> {
        let vector = self.required(input)?;
        let mut shape = vec![1_i64; rank.saturating_sub(1)];
        if let Some(channels) = shape.first_mut() {
            *channels = -1;
        }
        let shape = self.ints(&format!("{label}_shape"), &shape);
        self.add(label, "Reshape", &[vector, &shape], Vec::new())
    }

    /// `BatchNormalization` by the statistics of its own input, with the running statistics that follow from them.
    pub(crate) fn batch_normalization_in_training(&mut self, epsilon: f32, momentum: f32) -> Result<(), GraphError> {
        let x = self.required(0)?;
        let rank = self.rank(x)?;
        if rank < 2 {
            return Err(self.node.invalid(format!("input has {rank} dims, expected 2 or more (n, c, ..)")));
        }
        let axes: Vec<i64> = (0..rank as i64).filter(|&axis| axis != 1).collect();
        let [mean, centred, variance] = self.moments(x, &axes)?;
        let inverse = self.inverse_deviation(&variance, epsilon)?;
        let y = self.main("scaled", "Mul", &[&centred, &inverse], Vec::new())?;
        let (scale, bias) = (self.by_channel("scale", 1, rank)?, self.by_channel("bias", 2, rank)?);
        let y = self.add("by_channel", "Mul", &[&y, &scale], Vec::new())?;
        self.output(0, "normalized", "Add", &[&y, &bias], Vec::new())?;
        let flat = self.ints("flat", &[-1]);
        for (output, (input, now)) in [(3, mean), (4, variance)].into_iter().enumerate() {
            if self.node.outputs().get(output + 1).is_none_or(String::is_empty) {
                continue;
            }
            let [kept, new] = [("kept", momentum), ("new", 1.0 - momentum)].map(|(l, v)| self.float(l, v));
            let now = self.add("now", "Reshape", &[&now, &flat], Vec::new())?;
            let before = self.required(input)?;
            let before = self.add("of_before", "Mul", &[before, &kept], Vec::new())?;
            let now = self.add("of_now", "Mul", &[&now, &new], Vec::new())?;
            self.output(output + 1, "running", "Add", &[&before, &now], Vec::new())?;
        }
        Ok(())
    }

    /// `BatchNormalization` with statistics for every element of an image (`spatial` = 0, until set 8).
    pub(crate) fn batch_normalization_by_position(&mut self, epsilon: f32) -> Result<(), GraphError> {
        let x = self.required(0)?;
        let [scale, bias, mean, variance] =
            [self.required(1)?, self.required(2)?, self.required(3)?, self.required(4)?];
        let inverse = self.inverse_deviation(variance, epsilon)?;
        let centred = self.add("centred", "Sub", &[x, mean], Vec::new())?;
        let y = self.add("scaled", "Mul", &[&centred, &inverse], Vec::new())?;
        let y = self.main("by_position", "Mul", &[&y, scale], Vec::new())?;
        self.output(0, "normalized", "Add", &[&y, bias], Vec::new())
    }

    /// `GroupNormalization` as before set 21, with a scale and a bias for each group.
    pub(crate) fn group_normalization(&mut self, groups: usize, epsilon: f32) -> Result<(), GraphError> {
        let x = self.required(0)?;
        let channels = self.known_extent(x, 1)?;
        let channels = channels.ok_or_else(|| self.node.unsupported("an unknown number of channels"))?;
        if groups == 0 || !channels.is_multiple_of(groups) {
            return Err(self.node.invalid(format!("{channels} channels in {groups} groups")));
        }
        let (column, block) = (self.ints("column", &[-1, 1]), [groups as i64, (channels / groups) as i64]);
        let (block, flat) = (self.ints("block", &block), self.ints("flat", &[-1]));
        let mut inputs = vec![x.to_owned()];
        for (label, input) in [("scale", 1), ("bias", 2)] {
            let vector = self.required(input)?;
            let upright = self.add(&format!("{label}_column"), "Reshape", &[vector, &column], Vec::new())?;
            let each = self.add(&format!("{label}_block"), "Expand", &[&upright, &block], Vec::new())?;
            inputs.push(self.add(label, "Reshape", &[&each, &flat], Vec::new())?);
        }
        let own = Form::new("").int("num_groups", groups as i64).float("epsilon", epsilon).attributes;
        self.last("GroupNormalization", &with(&inputs[0], &inputs[1..]), own)
    }

    /// `Clip` whose bounds the network computes.
    pub(crate) fn clip(&mut self) -> Result<(), GraphError> {
        let x = self.required(0)?;
        match [self.input(1), self.input(2)] {
            ["", ""] => self.last("Identity", &[x], Vec::new()),
            [least, ""] => self.last("Max", &[x, least], Vec::new()),
            ["", greatest] => self.last("Min", &[x, greatest], Vec::new()),
            [least, greatest] => {
                let y = self.add("raised", "Max", &[x, least], Vec::new())?;
                self.last("Min", &[&y, greatest], Vec::new())
            }
        }
    }

    /// The operator of the same name on truth values, as integers.
    pub(crate) fn on_truth_values(&mut self, op: &'static str, attributes: &[&str]) -> Result<(), GraphError> {
        let x = self.required(0)?;
        let numbers = self.cast("numbers", x, DType::U8)?;
        let own = self.own(attributes);
        let y = self.main("y", op, &[&numbers, self.input(1)], own)?;
        self.output(0, "truth", "Cast", &[&y], int("to", i64::from(dtype::to_onnx(DType::Bool))))
    }

    /// `Resize` of set 10 to nearest elements: it takes the one before where an axis grows, the one behind where it shrinks,
    /// so that axes that shrink come first.
    pub(crate) fn resize_before_modes(&mut self, scales: &[f32]) -> Result<(), GraphError> {
        let x = self.required(0)?;
        let form = |mode| {
            let form = Form::new("").string("coordinate_transformation_mode", "asymmetric");
            form.string("mode", "nearest").string("nearest_mode", mode).attributes
        };
        let part = |shrinks: bool| scales.iter().map(|&s| if (s < 1.0) == shrinks { s } else { 1.0 }).collect();
        let [less, more] = [("less", true), ("more", false)]
            .map(|(label, shrinks)| self.constant(label, Tensor::from_f32(vec![scales.len()], part(shrinks))));
        let smaller = self.main("smaller", "Resize", &[x, "", &less], form("ceil"))?;
        self.output(0, "larger", "Resize", &[&smaller, "", &more], form("floor"))
    }

    /// `QuantizeLinear` to integers of fewer bits than the type that holds them here has.
    pub(crate) fn quantize_to_few_bits(&mut self, axis: i64, bits: u32, signed: bool) -> Result<(), GraphError> {
        let (x, scale) = (self.required(0)?, self.required(1)?);
        let holder = if signed { DType::I8 } else { DType::U8 };
        let zeros = match self.input(2) {
            "" => Tensor::from_i64(Vec::new(), vec![0]),
            _ => self.constant_of(2)?,
        };
        let zeros = self.constant("zeros", zeros);
        let zero_point = self.cast("zero_point", &zeros, holder)?;
        let codes = self.main("codes", "QuantizeLinear", &[x, scale, &zero_point], int("axis", axis))?;
        let half = 1_i64 << (bits - 1);
        let (least, greatest) = if signed { (-half, half - 1) } else { (0, 2 * half - 1) };
        let mut bounds = Vec::with_capacity(2);
        for (label, bound) in [("least", least), ("greatest", greatest)] {
            let bound = self.constant(&format!("{label}_number"), Tensor::from_i64(Vec::new(), vec![bound]));
            bounds.push(self.cast(label, &bound, holder)?);
        }
        self.output(0, "fewer_codes", "Clip", &[&codes, &bounds[0], &bounds[1]], Vec::new())
    }

    /// `QuantizeLinear` to floats of 8 or 4 bits, which stay f32 here.
    pub(crate) fn quantize_to_floats(&mut self, axis: i64, format: FloatFormat) -> Result<(), GraphError> {
        let x = self.required(0)?;
        if !self.input(2).is_empty() {
            let zeros = self.constant_of(2)?;
            if zeros.as_f32().is_none_or(|zeros| zeros.iter().any(|zero| zero.abs() > 0.0)) {
                return Err(self.node.invalid("a zero point of floats other than 0"));
            }
        }
        let scale = self.scale_along(axis)?;
        let quotient = self.main("quotient", "Div", &[x, &scale], Vec::new())?;
        let y = self.in_format(&quotient, format)?;
        self.output(0, "codes", "Identity", &[&y], Vec::new())
    }

    /// `DequantizeLinear` of floats of 8 or 4 bits, which are f32 here.
    pub(crate) fn dequantize_floats(&mut self, axis: i64) -> Result<(), GraphError> {
        let x = self.required(0)?;
        let scale = self.scale_along(axis)?;
        self.last("Mul", &[x, &scale], Vec::new())
    }

    /// A conversion to floats of 8 or 4 bits, which stay f32 here.
    pub(crate) fn cast_to_floats(&mut self, format: FloatFormat) -> Result<(), GraphError> {
        self.node.check_inputs(1, 1)?;
        let x = self.required(0)?;
        let x = self.cast("wide", x, DType::F32)?;
        let y = self.in_format(&x, format)?;
        self.output(0, "codes", "Identity", &[&y], Vec::new())
    }

    /// The scale of a quantization, as it broadcasts over the value.
    fn scale_along(&mut self, axis: i64) -> Result<String, GraphError> {
        let (x, scale) = (self.required(0)?, self.required(1)?);
        if self.rank(scale)? == 0 || self.known_extent(scale, 0)? == Some(1) {
            let one = self.ints("one_number", &[]);
            return self.add("scale", "Reshape", &[scale, &one], Vec::new());
        }
        let rank = self.rank(x)?;
        let axis = crate::shape::normalized_axis(axis, rank).map_err(|cause| self.node.invalid(cause))?;
        let mut shape = vec![1; rank - axis];
        shape[0] = -1;
        let shape = self.ints("scale_shape", &shape);
        self.add("scale", "Reshape", &[scale, &shape], Vec::new())
    }

    /// The nearest numbers of a format, halves to even, beyond the greatest the greatest.
    ///
    /// Which power of two an element reaches is found bit by bit, from the least normal number on; then the element is
    /// rounded to a multiple of its last place. Every step but that one is exact in f32.
    fn in_format(&mut self, x: &str, format: FloatFormat) -> Result<String, GraphError> {
        let greatest = format.max_finite();
        let (least, last_place) = (format.min_normal(), format.min_positive());
        let [low, high] = [("low", -greatest), ("high", greatest)].map(|(l, v)| self.float(l, v));
        let x = self.add("bounded", "Clip", &[x, &low, &high], Vec::new())?;
        let magnitude = self.add("magnitude", "Abs", &[&x], Vec::new())?;
        let unit = self.float("least_normal", least);
        let mut level = self.add("level", "Div", &[&magnitude, &unit], Vec::new())?;
        let mut place = self.float("last_place", last_place);
        let one = self.float("one", 1.0);
        let octaves = (greatest / least).log2().floor() as u32;
        for bit in (0..u32::BITS - octaves.leading_zeros()).rev() {
            let power = self.float(&format!("power{bit}"), 2_f32.powi(1 << bit));
            let reaches = self.add(&format!("reaches{bit}"), "GreaterOrEqual", &[&level, &power], Vec::new())?;
            let factor = self.add(&format!("factor{bit}"), "Where", &[&reaches, &power, &one], Vec::new())?;
            level = self.add(&format!("level{bit}"), "Div", &[&level, &factor], Vec::new())?;
            place = self.add(&format!("place{bit}"), "Mul", &[&factor, &place], Vec::new())?;
        }
        let quotient = self.add("places", "Div", &[&x, &place], Vec::new())?;
        let whole = self.add("whole_places", "Round", &[&quotient], Vec::new())?;
        self.add("rounded", "Mul", &[&whole, &place], Vec::new())
    }
}
