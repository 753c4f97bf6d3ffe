//! If.

use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::ops::body::{Body, joined};
use crate::ops::signature::Signature;
use crate::ops::{Definition, Op, Operands, Operator, Rounding};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator, Source, f, t};
use crate::{DType, Data, Dim, GraphBuilder, GraphError, Tensor};

/// The outputs of one of two graphs. Inputs: the condition, one truth value, and all that the graphs read.
///
/// Both graphs give the same types. One that does not fit the inputs gives an error where it is taken. Of
/// multiply-accumulate operations those of the larger graph count.
#[derive(Clone, Debug, PartialEq)]
pub struct If {
    /// Taken where the condition holds.
    pub then_branch: Branch,
    /// Taken where it does not.
    pub else_branch: Branch,
}

/// What an [`If`] may take.
#[derive(Clone, Debug, PartialEq)]
pub enum Branch {
    /// A graph.
    Graph(Body),
    /// A graph that is not read for inputs of the extents that the network was read for, and why. It is an error to take it.
    Refused(String),
}

impl Branch {
    fn graph(&self) -> Option<&Body> {
        match self {
            Self::Graph(body) => Some(body),
            Self::Refused(_) => None,
        }
    }
}

impl If {
    /// The graphs that are there.
    fn graphs(&self) -> impl Iterator<Item = &Body> {
        [&self.then_branch, &self.else_branch].into_iter().filter_map(Branch::graph)
    }
}

impl Operator for If {
    facts!(Multiplies, 1..=usize::MAX, Any);

    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError> {
        let condition = signature.input(0)?;
        if condition.dtype != DType::Bool || condition.n_elements() != 1 {
            return Err(signature.invalid(format!("the condition is {condition}, expected one truth value")));
        }
        let inputs = (1..signature.inputs.len()).map(|idx| signature.input(idx).cloned());
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let mut found: Option<Vec<TensorType>> = None;
        let mut error = None;
        for types in self.graphs().map(|graph| graph.types(&inputs)) {
            match (types, &found) {
                (Ok(types), Some(others)) if types != *others => {
                    let list =
                        |types: &[TensorType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                    let (one, other) = (list(others), list(&types));
                    let feature = format!(
                        "branches that give different types, {one} and {other}: export with fixed extents, or with a \
                         condition that is constant, so that one branch is left"
                    );
                    return Err(signature.unsupported(feature));
                }
                (Ok(types), _) => found = Some(types),
                (Err(cause), _) => error = Some(cause),
            }
        }
        found.ok_or_else(|| error.unwrap_or_else(|| signature.unsupported("a choice between refused branches")))
    }

    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        let condition: &[bool] = call.elements(0);
        let branch = match if condition[0] { &self.then_branch } else { &self.else_branch } {
            Branch::Graph(body) => body,
            Branch::Refused(cause) => {
                let feature = format!("the branch that is taken: {cause}");
                return Err(GraphError::unsupported_node(call.node, call.op.name(), feature));
            }
        };
        let inputs: Vec<Tensor> = (1..call.inputs.len()).map(|idx| call.input(idx).clone()).collect();
        Ok(branch.run(&inputs)?.iter().map(|output| output.data().clone()).collect())
    }

    fn keeps_images_apart(&self, _operands: &Operands<'_>) -> bool {
        false
    }

    fn rounding(&self) -> Rounding {
        Rounding::RoundsAndJumps
    }

    fn export(&self, form: Form, _context: Context) -> Result<Form, String> {
        match (&self.then_branch, &self.else_branch) {
            (Branch::Graph(then), Branch::Graph(other)) => {
                Ok(form.body("then_branch", then, 1).body("else_branch", other, 1))
            }
            (Branch::Refused(cause), _) | (_, Branch::Refused(cause)) => {
                Err(format!("a branch that is not read: {cause}"))
            }
        }
    }

    fn output_dtype(&self, inputs: &[Option<DType>], output: usize) -> Result<DType, String> {
        if inputs.first() != Some(&Some(DType::Bool)) {
            return Err("the condition is no truth value".to_owned());
        }
        let mut dtypes = self.graphs().map(|graph| graph.dtype(output));
        match (dtypes.next().flatten(), dtypes.next()) {
            (Some(a), None) => Ok(a),
            (Some(a), Some(b)) if Some(a) == b => Ok(a),
            (a, b) => Err(format!("branches that give different types: {a:?} and {:?}", b.flatten())),
        }
    }

    fn symbolic_shapes(&self, inputs: &[&Shape], n_outputs: usize, symbols: &mut Symbols) -> Vec<Shape> {
        let inputs: Vec<Shape> = inputs.iter().skip(1).map(|&shape| shape.clone()).collect();
        let mut shapes: Option<Vec<Shape>> = None;
        for graph in self.graphs() {
            let found = graph.symbolic_shapes(&inputs, symbols);
            shapes = Some(match shapes {
                Some(others) => others.iter().zip(&found).map(|(a, b)| joined(a, b, symbols)).collect(),
                None => found,
            });
        }
        let mut shapes = shapes.unwrap_or_default();
        shapes.resize(n_outputs, None);
        shapes
    }

    fn bodies(&self) -> Vec<&Body> {
        self.graphs().collect()
    }

    fn macs(&self, inputs: &[&[usize]], _n_outputs: u64) -> u64 {
        let inputs = inputs.get(1..).unwrap_or_default();
        self.graphs().map(|graph| graph.macs(inputs)).max().unwrap_or(0)
    }
}

impl Definition for If {
    const NAME: &'static str = "If";
    const ATTRIBUTES: &'static [&'static str] = &["else_branch", "then_branch"];

    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError> {
        node.check_inputs(1, 1)?;
        let mut branches = Vec::with_capacity(2);
        for key in ["then_branch", "else_branch"] {
            let branch = node.graph(key)?.ok_or_else(|| node.invalid(format!("attribute \"{key}\" is missing")))?;
            if !branch.input.is_empty() || branch.output.len() < node.outputs().len() {
                let (inputs, outputs) = (branch.input.len(), branch.output.len());
                return Err(node.invalid(format!("the branch has {inputs} inputs, {outputs} outputs")));
            }
            branches.push(branch);
        }
        // Where the condition is known, as exporters write it for the rank of a value or an option, the branch that is
        // taken stands in its place.
        let known = importer.known_inputs(node, 1)?.and_then(|inputs| inputs[0].ints());
        if let Some(&[Ok(condition)]) = known.as_deref() {
            let names = importer.inline(node, branches[usize::from(condition == 0)], &[])?;
            for (output, result) in node.outputs().iter().zip(&names).filter(|(output, _)| !output.is_empty()) {
                importer.alias(node, output, result)?;
            }
            return Ok(());
        }
        let condition = importer.value_named(node, node.input(0).unwrap_or_default())?;
        let mut scopes = Vec::with_capacity(2);
        for branch in &branches {
            scopes.push(importer.branch(node, branch)?);
        }
        if let [Err(cause), Err(_)] = scopes.as_slice() {
            return Err(node.unsupported(cause.clone()));
        }
        let captured = importer.captured(&scopes.iter().filter_map(|scope| scope.as_ref().ok()).collect::<Vec<_>>());
        let mut found = Vec::with_capacity(2);
        for (scope, label) in scopes.into_iter().zip(["then", "else"]) {
            found.push(match scope {
                Ok(scope) => {
                    Branch::Graph(importer.body(node, &format!("{}.{label}", node.name()), scope, &captured)?)
                }
                Err(cause) => Branch::Refused(cause),
            });
        }
        let [then_branch, else_branch] =
            <[Branch; 2]>::try_from(found).map_err(|_| node.invalid("expected two branches"))?;
        let n_outputs = [&then_branch, &else_branch]
            .into_iter()
            .filter_map(|branch| branch.graph())
            .map(|body| body.graph().outputs().len())
            .min();
        let n_outputs = n_outputs.unwrap_or(0);
        let op = Op::If(Self { then_branch, else_branch });
        let inputs = std::iter::once(condition).chain(captured.iter().copied()).map(Some).collect();
        importer.emit_all(node, op, inputs, node.output_names(0, n_outputs)).map(|_| ())
    }

    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>> {
        let shape = generator.shape(x);
        let dtype = generator.known[x].tensor.dtype();
        let branch = |op: Op| {
            let mut builder = GraphBuilder::new(op.name());
            let x = builder.input("inner", dtype, vec![Dim::Free(String::new()); shape.len()]);
            let y = builder.node("result", op, &[x]);
            builder.output(y);
            Body::new(builder.build().ok()?).ok().map(Branch::Graph)
        };
        let op = Op::If(Self { then_branch: branch(Op::Relu)?, else_branch: branch(Op::Identity)? });
        let condition = t(&[], &[generator.draws.chance(0.5)]);
        generator.try_node(op, vec![Source::Constant(condition), Source::Known(x)])
    }

    fn cases() -> Vec<Case> {
        let branch = |op: Op| {
            let mut builder = GraphBuilder::new(op.name());
            let [a, b] = ["a", "b"].map(|name| builder.input(name, DType::F32, vec![Dim::Fixed(2)]));
            let y = builder.node("y", op, &[a, b]);
            builder.output(y);
            Branch::Graph(Body::new(builder.build().expect("a graph of one node")).expect("it computes in f32"))
        };
        let case = |what, condition, expected: [f32; 2]| Case {
            what,
            op: Op::If(Self { then_branch: branch(Op::Add), else_branch: branch(Op::Mul) }),
            inputs: vec![t(&[1], &[condition]), f(&[2], &[1.0, 2.0]), f(&[2], &[3.0, 4.0])],
            expected: vec![f(&[2], &expected)],
        };
        vec![case("if takes the sum", true, [4.0, 6.0]), case("if takes the product", false, [3.0, 8.0])]
    }
}
