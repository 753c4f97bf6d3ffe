//! Loop.

use crate::onnx::export::{Context, Form};
use crate::onnx::functions::Steps;
use crate::onnx::import::{Given, Importer, NodeView, along};
use crate::onnx::proto::GraphProto;
use crate::onnx::symbolic::{Extent, Shape, Symbol, Symbols};
use crate::ops::body::{self, Body, Trips, joined};
use crate::ops::signature::Signature;
use crate::ops::{Cast, Definition, Op, Operands, Operator, Rounding, Scan};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, f, t};
use crate::{DType, Data, Dim, GraphBuilder, GraphError, Tensor, ValueId};

/// A graph that runs again and again on what it gave before. Inputs: the states, and all that the graph reads; before them,
/// where the number of trips is not known, the most trips (one i64) and whether it starts (one truth value). The graph takes the number of the trip from 0, a truth value, the
/// states and what it reads; it gives whether it goes on, the states, and the results that are stacked along a new first
/// axis. Outputs: the last states, the stacked results.
///
/// States keep their types. A loop whose end the data decide has no stacked results. Of multiply-accumulate operations
/// those of all trips count where their number is known, else those of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// The graph.
    pub body: Body,
    /// How many states it has.
    pub n_states: usize,
    /// The number of trips, where nothing that is only known later decides it.
    pub trips: Option<usize>,
}

/// A loop that runs longer does not end.
const MOST_TRIPS: usize = 1 << 24;

impl Loop {
    /// Where the states start among the inputs.
    fn first_state(&self) -> usize {
        if self.trips.is_some() { 0 } else { 2 }
    }

    /// Types of the body's inputs.
    fn given(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let scalar = |dtype| Ok(TensorType { dtype, shape: Vec::new() });
        let others = (self.first_state()..signature.inputs.len()).map(|idx| signature.input(idx).cloned());
        let given = [scalar(DType::I64), scalar(DType::Bool)].into_iter().chain(others);
        if self.trips.is_some() {
            return given.collect();
        }
        let (trips, condition) = (signature.input(0)?, signature.input(1)?);
        if trips.dtype != DType::I64 || trips.n_elements() != 1 {
            return Err(signature.invalid(format!("the number of trips is {trips}, expected one i64")));
        }
        if condition.dtype != DType::Bool || condition.n_elements() != 1 {
            return Err(signature.invalid(format!("the condition is {condition}, expected one truth value")));
        }
        given.collect()
    }
}

impl Operator for Loop {
    facts!(Multiplies, 1..=usize::MAX, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let given = self.given(signature)?;
        let mut outputs = self.body.types(&given)?.into_iter();
        let condition = outputs.next();
        if condition.as_ref().is_none_or(|found| found.dtype != DType::Bool || found.n_elements() != 1) {
            return Err(signature.invalid("its graph does not give one truth value first"));
        }
        let mut types: Vec<TensorType> = outputs.by_ref().take(self.n_states).collect();
        body::check_states(signature, &given[2..], &types)?;
        for result in outputs {
            let Some(trips) = self.trips else {
                return Err(signature.unsupported("stacked results of a loop whose end the data decide"));
            };
            types.push(TensorType { dtype: result.dtype, shape: [&[trips][..], &result.shape].concat() });
        }
        Ok(types)
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let (most, mut goes_on) = match self.trips {
            Some(trips) => (trips, true),
            None => {
                let (trips, condition): (&[i64], &[bool]) = (call.elements(0), call.elements(1));
                (usize::try_from(trips[0]).unwrap_or(0), condition[0])
            }
        };
        let first = self.first_state();
        let states: Vec<Tensor> = (first..first + self.n_states).map(|idx| call.input(idx).clone()).collect();
        let types: Vec<TensorType> = states.iter().map(TensorType::of).collect();
        let read: Vec<Tensor> = (first + self.n_states..call.inputs.len()).map(|idx| call.input(idx).clone()).collect();
        let mut trips = Trips::new(&self.body, 1, states);
        let mut trip = 0;
        while goes_on && trip < most {
            if trip == MOST_TRIPS {
                return Err(call.invalid(format!("has not ended after {MOST_TRIPS} trips")));
            }
            let counted = vec![
                Tensor::from_i64(Vec::new(), vec![trip as i64]),
                Tensor::new(Vec::new(), vec![goes_on].into()).ok_or_else(|| call.invalid("no condition"))?,
            ];
            let condition = trips.run(counted, read.iter().cloned())?;
            goes_on = condition.first().and_then(|x| x.elements::<bool>()).is_some_and(|x| x.first() == Some(&true));
            if let Some((before, after)) =
                types.iter().zip(&trips.states).find(|(before, x)| **before != TensorType::of(x))
            {
                return Err(call.invalid(format!("a state is {before} first and {} later", TensorType::of(after))));
            }
            trip += 1;
        }
        if self.trips.is_some_and(|expected| expected != trip) {
            return Err(call.invalid(format!("ends after {trip} trips, expected {:?}", self.trips)));
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
        let form = form.body("body", &self.body, self.first_state() + self.n_states);
        let Some(trips) = self.trips else { return Ok(form) };
        let trips = i64::try_from(trips).map_err(|_| format!("{trips} trips"))?;
        let starts = Tensor::new(Vec::new(), vec![true].into()).ok_or("no condition")?;
        Ok(form.parameter(0, "trips", Tensor::from_i64(Vec::new(), vec![trips])).parameter(1, "starts", starts))
    }

    fn output_dtype(&self, _inputs: &[Option<DType>], output: usize) -> Result<DType, String> {
        self.body.dtype(1 + output).ok_or_else(|| format!("its graph has no output {}", 1 + output))
    }

    fn symbolic_shapes(&self, inputs: &[&Shape], n_outputs: usize, symbols: &mut Symbols) -> Vec<Shape> {
        let mut given = vec![Some(Vec::new()), Some(Vec::new())];
        given.extend(inputs.iter().skip(self.first_state()).map(|&shape| shape.clone()));
        let mut outputs = self.body.symbolic_shapes(&given, symbols).into_iter().skip(1);
        let mut shapes = Vec::with_capacity(n_outputs);
        for (before, after) in given[2..].iter().take(self.n_states).zip(outputs.by_ref()) {
            shapes.push(joined(before, &after, symbols));
        }
        let trips = self.trips.map_or_else(|| Extent::Symbol(symbols.fresh()), Extent::Known);
        shapes.extend(outputs.map(|shape| Some([&[trips][..], &shape?].concat())));
        shapes.resize(n_outputs, None);
        shapes
    }

    fn bodies(&self) -> Vec<&Body> {
        vec![&self.body]
    }

    fn macs(&self, inputs: &[&[usize]], _n_outputs: u64) -> u64 {
        let given: Vec<&[usize]> =
            [&[][..]; 2].into_iter().chain(inputs.iter().skip(self.first_state()).copied()).collect();
        self.body.macs(&given).saturating_mul(self.trips.unwrap_or(1) as u64)
    }
}

type Types = Vec<(DType, Shape)>;

/// An ONNX `Loop`.
struct Parts<'a> {
    body: &'a GraphProto,
    states: Vec<&'a str>,
    n_results: usize,
    /// The most trips, if they are known at import.
    most: Option<Result<i64, Symbol>>,
    /// Whether it starts, if that is known at import.
    starts: Option<bool>,
}

impl<'a> Parts<'a> {
    fn new(node: &'a NodeView<'_>, importer: &mut Importer) -> Result<Self, GraphError> {
        let body = node.graph("body")?.ok_or_else(|| node.invalid("attribute \"body\" is missing"))?;
        let n_states = node.n_inputs().saturating_sub(2);
        if body.input.len() != 2 + n_states || body.output.len() < (1 + n_states).max(1 + node.outputs().len()) {
            let (inputs, outputs) = (body.input.len(), body.output.len());
            let cause = format!("its graph has {inputs} inputs, {outputs} outputs beside {n_states} states");
            return Err(node.invalid(cause));
        }
        let states = (2..2 + n_states).map(|idx| node.input(idx).ok_or_else(|| node.invalid("a state is missing")));
        let mut number = |idx: usize, default: i64| match node.input(idx) {
            None => Ok(Some(Ok(default))),
            Some(name) => importer.known_number(name),
        };
        let (most, starts) = (number(0, i64::MAX)?, number(1, 1)?);
        Ok(Self {
            body,
            states: states.collect::<Result<_, _>>()?,
            n_results: body.output.len() - 1 - n_states,
            most,
            starts: starts.and_then(Result::ok).map(|starts| starts != 0),
        })
    }

    /// Whether the body says that it goes on wherever it was told so.
    fn always_goes_on(&self, importer: &mut Importer) -> bool {
        let given = self.body.input[1].name.as_str();
        let mut name = self.body.output[0].name.as_str();
        loop {
            if name == given {
                return true;
            }
            if let Some(constant) = self.body.initializer.iter().find(|tensor| tensor.name == name) {
                return importer.convert(constant.clone(), "a condition").is_ok_and(|tensor| is_true(&tensor));
            }
            let Some(maker) = self.body.node.iter().find(|inner| inner.output.first().is_some_and(|made| made == name))
            else {
                return importer.constant(name).is_ok_and(|tensor| tensor.as_ref().is_some_and(is_true));
            };
            match (maker.op_type.as_str(), maker.input.first()) {
                // A type that it is cast to does not change whether it holds.
                ("Identity" | "Cast", Some(input)) if *input != name => name = input,
                ("Constant", None) => {
                    let value = maker.attribute.iter().find_map(|attribute| attribute.t.clone());
                    let tensor = value.and_then(|value| importer.convert(value, "a condition").ok());
                    return tensor.as_ref().is_some_and(is_true);
                }
                _ => return false,
            }
        }
    }

    /// Writes all trips out, one behind the other; nothing if their number is not known, or too large.
    fn write_out(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<Option<()>, GraphError> {
        const MOST_TRIPS: i64 = 1024;
        const MOST_NODES: usize = 4096;
        let (Some(Ok(most)), Some(mut goes_on)) = (self.most, self.starts) else { return Ok(None) };
        if most > MOST_TRIPS && self.always_goes_on(importer) {
            return Ok(None);
        }
        let first_node = importer.n_nodes();
        let mut states: Vec<String> = self.states.iter().map(|&state| state.to_owned()).collect();
        let mut results: Vec<Vec<String>> = vec![Vec::new(); self.n_results];
        let mut trip = 0;
        while goes_on && trip < most {
            if trip == MOST_TRIPS
                || importer.n_nodes() - first_node > MOST_NODES
                || !importer.count_trip(self.body.node.len())
            {
                return Ok(None);
            }
            let Some(truth) = Tensor::new(Vec::new(), vec![true].into()) else { return Ok(None) };
            let mut inputs = vec![
                importer.given_constant(node, "trip", Tensor::from_i64(Vec::new(), vec![trip])),
                importer.given_constant(node, "goes_on", truth),
            ];
            inputs.append(&mut states);
            let mut outputs = importer.inline(node, self.body, &inputs)?.into_iter();
            let condition = outputs.next().unwrap_or_default();
            let Some(Ok(condition)) = importer.known_number(&condition)? else { return Ok(None) };
            goes_on = condition != 0;
            states = outputs.by_ref().take(self.states.len()).collect();
            results.iter_mut().zip(outputs).for_each(|(all, result)| all.push(result));
            trip += 1;
        }
        for (output, state) in node.outputs().iter().zip(&states).filter(|(output, _)| !output.is_empty()) {
            importer.alias(node, output, state)?;
        }
        for (idx, all) in results.iter().enumerate() {
            let Some(output) = node.outputs().get(self.states.len() + idx).filter(|output| !output.is_empty()) else {
                continue;
            };
            if all.is_empty() {
                return Ok(None);
            }
            Steps::new(node, importer).stack(output, all)?;
        }
        Ok(Some(()))
    }

    /// Types of the states before the first trip.
    fn state_types(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(Vec<ValueId>, Types), GraphError> {
        let states = self.states.iter().map(|state| importer.value_named(node, state));
        let states = states.collect::<Result<Vec<_>, _>>()?;
        let types = states.iter().map(|&id| (importer.dtype(id), importer.shape(id).clone())).collect();
        Ok((states, types))
    }

    /// A loop that runs when the network does.
    fn emit(&self, node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let known = match (self.most, self.starts) {
            (Some(Ok(most)), Some(true)) if most <= MOST_TRIPS as i64 && self.always_goes_on(importer) => {
                Some(usize::try_from(most).unwrap_or(0))
            }
            (_, Some(false)) => Some(0),
            _ => None,
        };
        if known.is_none() && node.outputs().iter().skip(self.states.len()).any(|output| !output.is_empty()) {
            let cause =
                "stacked results of a loop whose end the data decide: their extent is only known when it has run";
            return Err(node.unsupported(cause));
        }
        let (states, types) = self.state_types(node, importer)?;
        let scalar = Some(Vec::new());
        let given = [(DType::I64, scalar.clone()), (DType::Bool, scalar)].into_iter().chain(types).collect();
        let scope = importer.scope(node, self.body, given)?;
        let captured = importer.captured(&[&scope]);
        let body = importer.body(node, &format!("{}.body", node.name()), scope, &captured)?;
        let body = if known.is_some() { body } else { body.with_outputs(1 + self.states.len())? };
        let mut inputs = Vec::new();
        if known.is_none() {
            inputs.push(match node.input(0) {
                Some(name) => importer.value_named(node, name)?,
                None => {
                    let most = Tensor::from_i64(Vec::new(), vec![i64::MAX]);
                    importer.new_constant(&format!("{}.trips", node.name()), most)
                }
            });
            inputs.push(match (node.input(1), Tensor::new(Vec::new(), vec![true].into())) {
                (None, Some(truth)) => importer.new_constant(&format!("{}.starts", node.name()), truth),
                _ => importer.value(node, 1)?,
            });
        } else if states.is_empty() && captured.is_empty() {
            return Err(node.unsupported("so many trips of a loop that reads nothing"));
        }
        let n_outputs = body.graph().outputs().len() - 1;
        let op = Op::Loop(Loop { body, n_states: self.states.len(), trips: known });
        let inputs = inputs.into_iter().chain(states).chain(captured).map(Some).collect();
        importer.emit_all(node, op, inputs, node.output_names(0, n_outputs)).map(|_| ())
    }

    /// A loop over an open extent, as `Scan` over a value that has it. Its first state is the number of the trip.
    fn emit_scan(&self, node: &NodeView<'_>, importer: &mut Importer, extent: Symbol) -> Result<(), GraphError> {
        let cause = "a number of trips that is an extent which no value has";
        let over = along(node, importer, extent)?.ok_or_else(|| node.unsupported(cause))?;
        let zero = importer.new_constant(&format!("{}.first", node.name()), Tensor::from_i64(Vec::new(), vec![0]));
        let (states, types) = self.state_types(node, importer)?;
        let truth = Tensor::new(Vec::new(), vec![true].into()).ok_or_else(|| node.invalid("no condition"))?;
        let truth = importer.given_constant(node, "goes_on", truth);
        let one = importer.given_constant(node, "one", Tensor::from_i64(Vec::new(), vec![1]));
        let names = self.body.input.iter().skip(2).map(|input| input.name.as_str());
        let mut given = vec![Given { name: &self.body.input[0].name, dtype: DType::I64, shape: Some(Vec::new()) }];
        given.extend(names.zip(types).map(|(name, (dtype, shape))| Given { name, dtype, shape }));
        given.push(Given { name: "slice", dtype: importer.dtype(over), shape: Some(Vec::new()) });
        let scope = importer.scope_of(node, given, |importer, names| {
            let [trip, states @ .., _] = names else { return Err(node.invalid("no states")) };
            let inputs: Vec<String> = [trip, &truth].into_iter().chain(states).cloned().collect();
            let mut outputs = importer.inline(node, self.body, &inputs)?;
            outputs[0] = Steps::new(node, importer).sum("next_trip", trip, &one)?;
            Ok(outputs)
        })?;
        let captured = importer.captured(&[&scope]);
        let body = importer.body(node, &format!("{}.body", node.name()), scope, &captured)?;
        let n_outputs = body.graph().outputs().len();
        let op = Op::Scan(Scan { body, n_states: 1 + states.len(), n_slices: 1 });
        let inputs = [zero].into_iter().chain(states).chain([over]).chain(captured).map(Some).collect();
        let outputs = std::iter::once(None).chain(node.output_names(0, n_outputs - 1));
        importer.emit_all(node, op, inputs, outputs).map(|_| ())
    }
}

fn is_true(tensor: &Tensor) -> bool {
    tensor.elements::<bool>().is_some_and(|truths| truths.iter().all(|&truth| truth))
}

impl Definition for Loop {
    const NAME: &'static str = "Loop";
    const ATTRIBUTES: &'static [&'static str] = &["body"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        let parts = Parts::new(node, importer)?;
        if importer.attempt(node, |importer| parts.write_out(node, importer)).is_some() {
            return Ok(());
        }
        match (parts.most, parts.starts) {
            (Some(Err(extent)), Some(true)) if parts.always_goes_on(importer) => {
                parts.emit_scan(node, importer, extent)
            }
            _ => parts.emit(node, importer),
        }
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let dtype = generator.known[x].tensor.dtype();
        let trips = generator.draws.between(0, 3);
        let mut builder = GraphBuilder::new("body");
        builder.input("trip", DType::I64, Vec::new());
        let goes_on = builder.input("goes_on", DType::Bool, Vec::new());
        let state = builder.input("state", dtype, vec![Dim::Free(String::new()); shape.len()]);
        let next = builder.node("next", Op::Relu, &[state]);
        [goes_on, next, state].into_iter().for_each(|output| builder.output(output));
        let body = Body::new(builder.build().ok()?).ok()?;
        let op = Op::Loop(Self { body, n_states: 1, trips: Some(trips) });
        generator.try_node(op, vec![Source::Known(x)])
    }

    fn cases() -> Vec<Case> {
        // s' = s · r + trip, with r read from outside; it goes on while s' < 10.
        let body = |has_results: bool| {
            let mut builder = GraphBuilder::new("body");
            let trip = builder.input("trip", DType::I64, Vec::new());
            let goes_on = builder.input("goes_on", DType::Bool, Vec::new());
            let [s, r] = ["s", "r"].map(|name| builder.input(name, DType::F32, vec![Dim::Fixed(1)]));
            let number = builder.node("number", Op::Cast(Cast { to: DType::F32 }), &[trip]);
            let product = builder.node("product", Op::Mul, &[s, r]);
            let next = builder.node("next", Op::Add, &[product, number]);
            let ten = builder.constant("ten", f(&[1], &[10.0]));
            let less = builder.node("less", Op::Less, &[next, ten]);
            builder.output(if has_results { goes_on } else { less });
            builder.output(next);
            if has_results {
                builder.output(s);
            }
            Body::new(builder.build().expect("a graph of four nodes")).expect("its types are right")
        };
        let states = || vec![f(&[1], &[1.0]), f(&[1], &[2.0])];
        vec![
            Case {
                what: "loop with stacked results",
                op: Op::Loop(Self { body: body(true), n_states: 1, trips: Some(3) }),
                inputs: states(),
                // 1, 2 + 0, 4 + 1, 10 + 2.
                expected: vec![f(&[1], &[12.0]), f(&[3, 1], &[1.0, 2.0, 5.0])],
            },
            Case {
                what: "loop until the data end it",
                op: Op::Loop(Self { body: body(false), n_states: 1, trips: None }),
                inputs: [vec![t(&[], &[i64::MAX]), t(&[1], &[true])], states()].concat(),
                expected: vec![f(&[1], &[12.0])],
            },
            Case {
                what: "loop without a trip",
                op: Op::Loop(Self { body: body(true), n_states: 1, trips: Some(0) }),
                inputs: states(),
                expected: vec![f(&[1], &[1.0]), f(&[0, 1], &[])],
            },
        ]
    }
}
