//! Fourier transforms as products with the matrices that define them, and what stands around them in audio networks.
//!
//! # Source
//! ONNX's operator texts of `DFT` (sets 17 and 20), `STFT`, `HannWindow`, `HammingWindow`, `BlackmanWindow` and
//! `MelWeightMatrix` (17), as of onnx 1.23.2.

use std::f64::consts::TAU;

use super::{Function, Steps, int};
use crate::onnx::export::Form;
use crate::onnx::import::as_f32;
use crate::shape::normalized_axis;
use crate::{GraphError, Tensor};

/// Most elements of a matrix of cosines and sines.
const MOST_ELEMENTS: usize = 1 << 26;

const WINDOW: &[&str] = &["output_datatype", "periodic"];

pub(super) const FUNCTIONS: &[Function] = &[
    Function { domain: "", name: "HannWindow", attributes: WINDOW, expand: |steps| window(steps, &[0.5, 0.5, 0.0]) },
    Function {
        domain: "",
        name: "HammingWindow",
        attributes: WINDOW,
        expand: |steps| window(steps, &[25.0 / 46.0, 21.0 / 46.0, 0.0]),
    },
    Function {
        domain: "",
        name: "BlackmanWindow",
        attributes: WINDOW,
        expand: |steps| window(steps, &[0.42, 0.5, 0.08]),
    },
    Function { domain: "", name: "MelWeightMatrix", attributes: &["output_datatype"], expand: mel_weight_matrix },
    Function { domain: "", name: "DFT", attributes: &["axis", "inverse", "onesided"], expand: dft },
    Function { domain: "", name: "STFT", attributes: &["onesided"], expand: stft },
];

/// A window of three cosine terms.
fn window(steps: &mut Steps<'_, '_>, terms: &[f64; 3]) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 1)?;
    let n = number(steps, 0)?;
    let n = extent(steps, 0, n)?;
    let period = if steps.node.flag("periodic", true)? { n } else { n.saturating_sub(1) };
    let angle = |place: usize| if period == 0 { 0.0 } else { TAU * place as f64 / period as f64 };
    let value = |place: usize| terms[0] - terms[1] * angle(place).cos() + terms[2] * (2.0 * angle(place)).cos();
    constant_result(steps, vec![n], (0..n).map(value).collect())
}

/// Triangles along the mel scale over the bins of a spectrum, `[bins, triangles]`.
fn mel_weight_matrix(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(5, 5)?;
    let mut numbers = [0.0; 5];
    for (idx, slot) in numbers.iter_mut().enumerate() {
        *slot = number(steps, idx)?;
    }
    let [n_mel, length, rate, low, high] = numbers;
    let (n_mel, length, rate) = (extent(steps, 0, n_mel)?, extent(steps, 1, length)?, extent(steps, 2, rate)?);
    let bins = length / 2 + 1;
    if rate == 0 || low < 0.0 || high < low {
        let cause =
            format!("edges {low} and {high} at a sample rate of {rate}, expected rising ones and a rate above 0");
        return Err(steps.node.invalid(cause));
    }
    let to_mel = |hertz: f64| 2595.0 * (1.0 + hertz / 700.0).log10();
    let step = (to_mel(high) - to_mel(low)) / (n_mel + 2) as f64;
    let bin = |place: usize| {
        let hertz = 700.0 * (10_f64.powf((place as f64 * step + to_mel(low)) / 2595.0) - 1.0);
        ((length + 1) as f64 * hertz / rate as f64).floor() as usize
    };
    if bin(n_mel + 1) > bins {
        let cause = format!("an upper edge of {high} beyond half the sample rate of {rate}");
        return Err(steps.node.invalid(cause));
    }
    let mut weights = vec![0.0; bins * n_mel];
    for mel in 0..n_mel {
        let [lower, center, higher] = [bin(mel), bin(mel + 1), bin(mel + 2)];
        for place in (lower..=center).filter(|&place| place < bins) {
            let rise = (center - lower) as f64;
            weights[place * n_mel + mel] = if rise == 0.0 { 1.0 } else { (place - lower) as f64 / rise };
        }
        for place in (center..higher).filter(|&place| place < bins) {
            weights[place * n_mel + mel] = (higher - place) as f64 / (higher - center) as f64;
        }
    }
    constant_result(steps, vec![bins, n_mel], weights)
}

/// The one number of an input.
fn number(steps: &mut Steps<'_, '_>, idx: usize) -> Result<f64, GraphError> {
    let tensor = steps.constant_of(idx)?;
    match as_f32(&tensor).as_deref() {
        Some([value]) if value.is_finite() => Ok(f64::from(*value)),
        _ => Err(steps.node.invalid(format!("input {idx} is not one number of at most 24 bits"))),
    }
}

fn extent(steps: &Steps<'_, '_>, idx: usize, value: f64) -> Result<usize, GraphError> {
    if value >= 0.0 && value.fract() == 0.0 && value <= MOST_ELEMENTS as f64 {
        return Ok(value as usize);
    }
    Err(steps.node.invalid(format!("input {idx} is {value}, expected an extent of at most {MOST_ELEMENTS}")))
}

/// Makes the only output a constant of the element type that the node names.
fn constant_result(steps: &mut Steps<'_, '_>, shape: Vec<usize>, values: Vec<f64>) -> Result<(), GraphError> {
    let tensor = Tensor::new(shape, values.into()).ok_or_else(|| steps.node.invalid("so many elements"))?;
    let values = steps.constant("values", tensor);
    let to = steps.node.int_or("output_datatype", 1)?;
    steps.last("Cast", &[&values], int("to", to))
}

/// What a transform does.
#[derive(Clone, Copy)]
struct Transform {
    /// Elements that go in.
    given: usize,
    /// Points of the transform: further ones are 0, those that are too many are left out.
    length: usize,
    /// Whether elements have an imaginary part.
    is_complex: bool,
    inverse: bool,
    onesided: bool,
}

impl Transform {
    /// How many elements come out, and how many parts each has.
    fn made(self) -> (usize, usize) {
        match (self.onesided, self.inverse) {
            (true, false) => (self.length / 2 + 1, 2),
            (true, true) => (self.length, 1),
            (false, _) => (self.length, 2),
        }
    }

    /// How much part `from` of element `n` counts in part `to` of element `k`.
    fn factor(self, (n, from): (usize, usize), (k, to): (usize, usize)) -> f64 {
        let used = if self.onesided && self.inverse { self.length / 2 + 1 } else { self.length };
        if n >= used {
            return 0.0;
        }
        // n · k modulo the length keeps the angle, and so its cosine, exact.
        let angle = TAU * ((n as u128 * k as u128) % self.length as u128) as f64 / self.length as f64;
        let angle = if self.inverse { angle } else { -angle };
        let value = match (from, to) {
            (0, 0) | (1, 1) => angle.cos(),
            (0, _) => angle.sin(),
            (_, _) => -angle.sin(),
        };
        // One side stands for both, but for the elements that have no other side.
        let is_alone = n == 0 || 2 * n == self.length;
        let sides = if self.onesided && self.inverse && !is_alone { 2.0 } else { 1.0 };
        let value = if self.onesided && self.inverse && is_alone && from == 1 { 0.0 } else { value };
        if self.inverse { sides * value / self.length as f64 } else { value }
    }

    /// The matrix `[elements · parts that go in, elements · parts that come out]`.
    fn matrix(self) -> Vec<f32> {
        let parts = if self.is_complex { 2 } else { 1 };
        let (made, made_parts) = self.made();
        let mut matrix = Vec::with_capacity(self.given * parts * made * made_parts);
        for row in 0..self.given * parts {
            for column in 0..made * made_parts {
                let (from, to) = ((row / parts, row % parts), (column / made_parts, column % made_parts));
                matrix.push(self.factor(from, to) as f32);
            }
        }
        matrix
    }
}

/// A transform along an axis of a value whose last axis holds real and imaginary parts.
fn dft(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(1, 3)?;
    let x = steps.required(0)?;
    let rank = steps.rank(x)?;
    let stated = match (node.opset() < 20, steps.input(2)) {
        (true, _) => node.int_or("axis", 1)?,
        (false, "") => -2,
        (false, _) => number(steps, 2)? as i64,
    };
    let axis = normalized_axis(stated, rank).map_err(|cause| node.invalid(cause))?;
    if rank < 2 || axis + 1 == rank {
        return Err(
            node.invalid(format!("axis {stated} of {rank}, expected one before the last, which holds the parts"))
        );
    }
    let (inverse, onesided) = (node.flag("inverse", false)?, node.flag("onesided", false)?);
    let (Some(given), Some(parts @ 1..=2)) = (steps.known_extent(x, axis)?, steps.known_extent(x, rank - 1)?) else {
        let feature =
            format!("an extent along axis {axis} that is open: export with a fixed one, and real or complex input");
        return Err(node.unsupported(feature));
    };
    let length = match steps.input(1) {
        "" if inverse && onesided => 2 * given.saturating_sub(1),
        "" => given,
        _ => {
            let length = number(steps, 1)?;
            extent(steps, 1, length)?
        }
    };
    let transform = Transform { given, length, is_complex: parts == 2, inverse, onesided };
    if length == 0 || given == 0 {
        return Err(node.invalid("a transform of no elements"));
    }
    if onesided && inverse != transform.is_complex {
        return Err(node.invalid("one side of a spectrum comes from real elements, or becomes real ones"));
    }
    let (made, made_parts) = transform.made();
    let (rows, columns) = (given * parts, made * made_parts);
    if rows.saturating_mul(columns) > MOST_ELEMENTS {
        return Err(node.unsupported(format!("a transform of {length} points: shorten it, or cut it off the network")));
    }
    let matrix = steps.constant("matrix", Tensor::from_f32(vec![rows, columns], transform.matrix()));
    let (mut before, others): (Vec<i64>, Vec<usize>) = ((0..rank as i64).collect(), (0..rank - 1).collect());
    before.remove(axis);
    before.insert(rank - 2, axis as i64);
    let mut y = x.to_owned();
    let is_turned = axis + 2 != rank;
    if is_turned {
        y = steps.add("axis_last", "Transpose", &[&y], Form::new("").ints("perm", before.clone()).attributes)?;
    }
    let mut shape: Vec<i64> = others.iter().skip(1).map(|_| 0).collect();
    shape.push(rows as i64);
    let flat = steps.ints("flat", &shape);
    y = steps.add("parts", "Reshape", &[&y, &flat], Vec::new())?;
    y = steps.main("product", "MatMul", &[&y, &matrix], Vec::new())?;
    shape.pop();
    shape.extend([made as i64, made_parts as i64]);
    let whole = steps.ints("whole", &shape);
    if !is_turned {
        return steps.output(0, "spectrum", "Reshape", &[&y, &whole], Vec::new());
    }
    y = steps.add("spectrum", "Reshape", &[&y, &whole], Vec::new())?;
    let mut back = vec![0; rank];
    for (to, &from) in before.iter().enumerate() {
        back[from as usize] = to as i64;
    }
    steps.output(0, "axis_back", "Transpose", &[&y], Form::new("").ints("perm", back).attributes)
}

/// Transforms of the windows of a signal `[n, length, parts]`, as a convolution: `[n, windows, bins, 2]`.
fn stft(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(2, 4)?;
    let x = steps.required(0)?;
    let rank = steps.rank(x)?;
    let step = number(steps, 1)?;
    let step = extent(steps, 1, step)?;
    let weights = match steps.input(2) {
        "" => None,
        name => {
            let window = steps.constant_of(2).map_err(|_| {
                node.unsupported(format!("a window \"{name}\" that the network computes: export with a constant one"))
            })?;
            Some(as_f32(&window).ok_or_else(|| node.unsupported("a window of numbers that f32 does not hold"))?)
        }
    };
    let length = match (steps.input(3), &weights) {
        ("", Some(window)) => window.len(),
        ("", None) => return Err(node.invalid("neither a window nor the length of one")),
        _ => {
            let length = number(steps, 3)?;
            extent(steps, 3, length)?
        }
    };
    if step == 0 || length == 0 || weights.as_ref().is_some_and(|window| window.len() != length) {
        let window = weights.map_or(length, |window| window.len());
        return Err(node.invalid(format!("a window of {window} for {length} elements every {step}")));
    }
    let parts = match (rank, steps.known_extent(x, 2)?) {
        (2, _) => 1,
        (3, Some(parts @ 1..=2)) => parts,
        _ => return Err(node.unsupported("a signal other than [n, length, 1 or 2]: export it with that shape")),
    };
    let onesided = node.flag("onesided", true)?;
    if onesided && parts == 2 {
        return Err(node.invalid("one side of a spectrum comes from real elements"));
    }
    let transform = Transform { given: length, length, is_complex: parts == 2, inverse: false, onesided };
    let (bins, _) = transform.made();
    if (2 * bins * parts).saturating_mul(length) > MOST_ELEMENTS {
        return Err(node.unsupported(format!("a transform of {length} points: shorten it, or cut it off the network")));
    }
    let mut kernel = Vec::with_capacity(2 * bins * parts * length);
    for out in 0..2 * bins {
        for part in 0..parts {
            let weight = |n: usize| weights.as_ref().map_or(1.0, |window| f64::from(window[n]));
            kernel.extend((0..length).map(|n| (weight(n) * transform.factor((n, part), (out / 2, out % 2))) as f32));
        }
    }
    let kernel = steps.constant("kernel", Tensor::from_f32(vec![2 * bins, parts, length], kernel));
    let signal = if rank == 2 {
        let axis = steps.ints("part", &[1]);
        steps.add("signal", "Unsqueeze", &[x, &axis], Vec::new())?
    } else {
        steps.add("signal", "Transpose", &[x], Form::new("").ints("perm", vec![0, 2, 1]).attributes)?
    };
    let own = Form::new("").ints("strides", vec![step as i64]).ints("kernel_shape", vec![length as i64]).attributes;
    let y = steps.main("windows", "Conv", &[&signal, &kernel], own)?;
    let y = steps.add("by_window", "Transpose", &[&y], Form::new("").ints("perm", vec![0, 2, 1]).attributes)?;
    let shape = steps.ints("shape", &[0, 0, bins as i64, 2]);
    steps.output(0, "spectrum", "Reshape", &[&y, &shape], Vec::new())
}
