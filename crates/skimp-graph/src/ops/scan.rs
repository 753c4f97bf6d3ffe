//! Scan.

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::body::{self, Body, Trips, joined};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, f};
use crate::{DType, Data, Dim, GraphBuilder, GraphError, Tensor};

/// A graph that runs once for each index of the first axis of some inputs, on what it gave before. Inputs: the states, the
/// tensors that it goes along, and all that the graph reads. The graph takes the states, one slice of each tensor, without
/// its first axis, and what it reads; it gives the states, and the results that are stacked along a new first axis.
/// Outputs: the last states, the stacked results.
///
/// States keep their types. Of multiply-accumulate operations those of all trips count.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// The graph.
    pub body: Body,
    /// How many states it has.
    pub n_states: usize,
    /// How many tensors it goes along, at least one.
    pub n_slices: usize,
}

impl Scan {
    /// Whether an input of the node is one that it goes along.
    fn is_sliced(&self, idx: usize) -> bool {
        (self.n_states..self.n_states + self.n_slices).contains(&idx)
    }
}

impl Operator for Scan {
    facts!(Multiplies, 1..=usize::MAX, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let trips = signature.input(self.n_states)?.shape.first().copied();
        let mut given = Vec::with_capacity(signature.inputs.len());
        for idx in 0..signature.inputs.len() {
            let mut input = signature.input(idx)?.clone();
            if self.is_sliced(idx) && (input.shape.is_empty() || Some(input.shape.remove(0)) != trips) {
                return Err(signature.invalid("goes along tensors of different extents, or without axes"));
            }
            given.push(input);
        }
        let mut outputs = self.body.types(&given)?.into_iter();
        let mut types: Vec<TensorType> = outputs.by_ref().take(self.n_states).collect();
        body::check_states(signature, &given, &types)?;
        let stacked = |result: TensorType| {
            let shape = trips.into_iter().chain(result.shape).collect();
            TensorType { dtype: result.dtype, shape }
        };
        types.extend(outputs.map(stacked));
        Ok(types)
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let n_trips = call.input(self.n_states).shape()[0];
        let states: Vec<Tensor> = (0..self.n_states).map(|idx| call.input(idx).clone()).collect();
        let along: Vec<&Tensor> = (self.n_states..self.n_states + self.n_slices).map(|idx| call.input(idx)).collect();
        let read: Vec<Tensor> =
            (self.n_states + self.n_slices..call.inputs.len()).map(|idx| call.input(idx).clone()).collect();
        let mut trips = Trips::new(&self.body, 0, states);
        for trip in 0..n_trips {
            let slices = along.iter().filter_map(|x| body::slice(x, trip));
            trips.run(Vec::new(), slices.chain(read.iter().cloned()))?;
        }
        Ok(trips.finish())
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        false
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        let form = form.body("body", &self.body, self.n_states + self.n_slices);
        Ok(form.int("num_scan_inputs", self.n_slices as i64))
    }

    fn output_dtype(&self, _inputs: &[Option<DType>], output: usize) -> Result<DType, String> {
        self.body.dtype(output).ok_or_else(|| format!("its graph has no output {output}"))
    }

    fn symbolic_shapes(&self, inputs: &[&Shape], n_outputs: usize, symbols: &mut Symbols) -> Vec<Shape> {
        let trips = inputs.get(self.n_states).and_then(|shape| shape.as_ref()?.first().copied());
        let given: Vec<Shape> = inputs
            .iter()
            .enumerate()
            .map(|(idx, &shape)| match shape {
                Some(extents) if self.is_sliced(idx) => extents.get(1..).map(<[_]>::to_vec),
                other => other.clone(),
            })
            .collect();
        let mut outputs = self.body.symbolic_shapes(&given, symbols).into_iter();
        let mut shapes = Vec::with_capacity(n_outputs);
        for (before, after) in given.iter().take(self.n_states).zip(outputs.by_ref()) {
            shapes.push(joined(before, &after, symbols));
        }
        shapes.extend(outputs.map(|shape| Some([&[trips?][..], &shape?].concat())));
        shapes.resize(n_outputs, None);
        shapes
    }

    fn bodies(&self) -> Vec<&Body> {
        vec![&self.body]
    }

    fn macs(&self, inputs: &[&[usize]], _n_outputs: u64) -> u64 {
        let trips = inputs.get(self.n_states).and_then(|shape| shape.first()).map_or(0, |&trips| trips as u64);
        let sliced = |(idx, shape): (usize, &&'_ [usize])| -> Vec<usize> {
            if self.is_sliced(idx) { shape.get(1..).unwrap_or_default().to_vec() } else { shape.to_vec() }
        };
        let given: Vec<Vec<usize>> = inputs.iter().enumerate().map(sliced).collect();
        let given: Vec<&[usize]> = given.iter().map(Vec::as_slice).collect();
        self.body.macs(&given).saturating_mul(trips)
    }
}

impl Definition for Scan {
    const NAME: &'static str = "Scan";
    const ATTRIBUTES: &'static [&'static str] = &[
        "body",
        "num_scan_inputs",
        "scan_input_axes",
        "scan_input_directions",
        "scan_output_axes",
        "scan_output_directions",
    ];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        if node.opset() < 9 {
            return Err(
                node.unsupported("the form of operator set 8, with a batch and lengths; export with set 9 or later")
            );
        }
        let body = node.graph("body")?.ok_or_else(|| node.invalid("attribute \"body\" is missing"))?;
        let n_slices = usize::try_from(node.int_or("num_scan_inputs", 0)?).unwrap_or(0);
        let n_inputs = node.n_inputs();
        let n_states = n_inputs.checked_sub(n_slices).filter(|_| n_slices > 0);
        let n_states = n_states.ok_or_else(|| node.invalid(format!("{n_slices} of {n_inputs} inputs to go along")))?;
        if body.input.len() != n_inputs || body.output.len() < n_states.max(node.outputs().len()) {
            let (inputs, outputs) = (body.input.len(), body.output.len());
            return Err(node.invalid(format!("its graph has {inputs} inputs, {outputs} outputs")));
        }
        node.check_inputs(n_inputs, n_inputs)?;
        let n_results = body.output.len() - n_states;
        let list = |key: &str, n: usize| match node.ints(key)? {
            None => Ok(vec![0; n]),
            Some(values) if values.len() == n => Ok(values.to_vec()),
            Some(values) => {
                Err(node.invalid(format!("attribute \"{key}\" has {} entries, expected {n}", values.len())))
            }
        };
        let axes = list("scan_input_axes", n_slices)?;
        let backwards = list("scan_input_directions", n_slices)?;
        let (result_axes, results_backwards) =
            (list("scan_output_axes", n_results)?, list("scan_output_directions", n_results)?);
        let mut inputs = Vec::with_capacity(n_inputs);
        let mut types = Vec::with_capacity(n_inputs);
        for idx in 0..n_inputs {
            let mut name = node.input(idx).unwrap_or_default().to_owned();
            if let Some(slice) = idx.checked_sub(n_states) {
                name = Steps::new(node, importer).axis_first(&name, axes[slice], backwards[slice] != 0)?;
            }
            let value = importer.value_named(node, &name)?;
            let (dtype, mut shape) = (importer.dtype(value), importer.shape(value).clone());
            if idx >= n_states {
                shape = shape.and_then(|extents| extents.get(1..).map(<[_]>::to_vec));
            }
            inputs.push(value);
            types.push((dtype, shape));
        }
        let scope = importer.scope(node, body, types)?;
        let captured = importer.captured(&[&scope]);
        let body = importer.body(node, &format!("{}.body", node.name()), scope, &captured)?;
        let op = Op::Scan(Self { body, n_states, n_slices });
        let inputs = inputs.into_iter().chain(captured).map(Some).collect();
        let is_plain = |idx: usize| result_axes[idx] == 0 && results_backwards[idx] == 0;
        if (0..n_results).all(is_plain) {
            return importer.emit_all(node, op, inputs, node.output_names(0, n_states + n_results)).map(|_| ());
        }
        let results = std::iter::repeat_n(None, n_results);
        let names = importer.emit_all(node, op, inputs, node.output_names(0, n_states).chain(results))?;
        for (idx, name) in names[n_states..].iter().enumerate() {
            if let Some(output) = node.outputs().get(n_states + idx).filter(|output| !output.is_empty()) {
                let turned = results_backwards[idx] != 0;
                Steps::new(node, importer).axis_back(name, output, result_axes[idx], turned)?;
            }
        }
        Ok(())
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let dtype = generator.known[x].tensor.dtype();
        let mut builder = GraphBuilder::new("body");
        let slice = builder.input("slice", dtype, vec![Dim::Free(String::new()); shape.len().checked_sub(1)?]);
        let y = builder.node("y", Op::Relu, &[slice]);
        builder.output(y);
        let body = Body::new(builder.build().ok()?).ok()?;
        generator.try_node(Op::Scan(Self { body, n_states: 0, n_slices: 1 }), vec![Source::Known(x)])
    }

    fn cases() -> Vec<Case> {
        let mut builder = GraphBuilder::new("body");
        let [sum, x] = ["sum", "x"].map(|name| builder.input(name, DType::F32, vec![Dim::Fixed(2)]));
        let next = builder.node("next", Op::Add, &[sum, x]);
        builder.output(next);
        builder.output(next);
        let body = Body::new(builder.build().expect("a graph of one node")).expect("it computes in f32");
        vec![Case {
            what: "scan sums",
            op: Op::Scan(Self { body, n_states: 1, n_slices: 1 }),
            inputs: vec![f(&[2], &[0.0, 0.0]), f(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])],
            expected: vec![f(&[2], &[9.0, 12.0]), f(&[3, 2], &[1.0, 2.0, 4.0, 6.0, 9.0, 12.0])],
        }]
    }
}
