//! The operators: one file each, and the closed enum over them.
//!
//! An operator's file holds all that skimp knows about it: attributes, arity, element types, shape rule, class, whether
//! it keeps the images of a batch apart, its reference (the specification of what it computes), how ONNX writes it, how
//! random graphs draw it, and hand-computed cases. To add one, write the file and its line in `operators!` below: it
//! then runs everywhere, because every engine has a default for operators that it has no kernel for. (The f32 engine
//! runs the reference in its place, the integer engines leave it in floating point and say so, training refuses it with
//! a reason.)
//!
//! # No operator is forgotten in silence
//! The compiler holds the guarantee here: what an operator must say is a method of `Operator` or `Definition`
//! without a default, and the enum, the dispatch and the registry come from one list. Methods with defaults are facts
//! whose absence costs speed or precision of a statement, never a wrong result. Engines match on [`Op`] for their
//! kernels, with their default as the last arm; that a default is right for a new operator is checked by the random
//! graphs, which draw every entry of the registry on every engine, and by the cases.

/// What an operator is in one line: its class, how many inputs it takes, and their element types.
macro_rules! facts {
    ($class:ident, $n_inputs:expr, $types:ident) => {
        fn class(&self) -> $crate::ops::Class {
            $crate::ops::Class::$class
        }

        fn n_inputs(&self) -> std::ops::RangeInclusive<usize> {
            $n_inputs
        }

        fn element_types(&self) -> $crate::ops::ElementTypes {
            $crate::ops::ElementTypes::$types
        }
    };
}
use facts;

mod arithmetic;
mod body;
mod channels;
mod global_pool;
mod indices;
mod moments;
pub(crate) mod order;
mod quantization;
mod recurrent;
mod reduction;
mod scatter;
mod signature;
mod unary;
pub(crate) mod window;

use std::fmt::Debug;
use std::ops::RangeInclusive;

use self::order::{Ranks, Reordered};
use crate::onnx::export::{Context, Form};
use crate::onnx::import::{Importer, NodeView};
use crate::onnx::symbolic::{Shape, Symbols};
use crate::reference::Call;
use crate::shape::TensorType;
use crate::testing::{Case, Generator};
use crate::{DType, Data, GraphError};

pub(crate) use self::slice::SliceBounds;
pub use body::Body;
pub use channels::WeightAxes;
pub use neuron::{FirstSpike, Reset, ResetTime};
pub(crate) use neuron::{LEAK, MOST_STEPS, STATE, THRESHOLD};
pub use pad::PadMode;
pub use recurrent::{Direction, Gate, GateFunction, Recurrence};
pub use scatter::Reduction;
pub(crate) use signature::Signature;
pub use window::{AutoPad, Window};

/// What kind of work an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Moves elements, or gives them another shape, and computes nothing.
    Moves,
    /// Computes each output element from one element of each input.
    ElementWise,
    /// Joins the elements along some axes.
    Reduces,
    /// Sums products of two inputs.
    Multiplies,
    /// Scales elements by what is known, or found, about their neighbours.
    Normalizes,
    /// Joins the elements of a sliding window.
    Pools,
}

/// Which element types an operator's inputs may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementTypes {
    /// f32 and f64.
    Float,
    /// Everything but truth values.
    Number,
    /// Everything.
    Any,
}

impl ElementTypes {
    fn contains(self, dtype: DType) -> bool {
        match self {
            Self::Float => dtype.is_float(),
            Self::Number => dtype != DType::Bool,
            Self::Any => true,
        }
    }
}

/// How exactly an operator computes on small multiples of a power of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Without rounding.
    Exact,
    /// With rounding.
    Rounds,
    /// Without rounding, but a small change of an input may make a large one of the output.
    Jumps,
    /// With rounding, and a small change of an input may make a large one of the output.
    RoundsAndJumps,
    /// As [`RoundsAndJumps`](Self::RoundsAndJumps), but random graphs draw inputs that keep away from where that happens.
    Magnifies,
}

/// What a constant input counts as in [`statistics`](crate::statistics).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A weight.
    Weight,
    /// A bias, scale or slope.
    Other,
    /// A running statistic.
    Buffer,
}

/// An input or output of a node, for a batch of one image.
#[derive(Clone, Copy, Debug)]
pub struct Operand<'a> {
    /// Extents.
    pub shape: &'a [usize],
    /// Whether it does not depend on the network's inputs.
    pub is_constant: bool,
}

/// The inputs and outputs of a node, for a batch of one image.
#[derive(Clone, Debug)]
pub struct Operands<'a> {
    /// Inputs; `None` for one left out.
    pub inputs: Vec<Option<Operand<'a>>>,
    /// Axes of the first output.
    pub output_rank: usize,
}

impl Operands<'_> {
    /// Whether all inputs but the first are constant.
    pub(crate) fn only_first_computed(&self) -> bool {
        self.inputs.iter().skip(1).flatten().all(|input| input.is_constant)
    }

    /// Whether `axis` is the first axis of the first input.
    pub(crate) fn is_first(&self, axis: i64) -> bool {
        let rank = self.inputs.first().copied().flatten().map_or(0, |input| input.shape.len());
        axis == 0 || axis == -(rank as i64)
    }

    /// Whether every operand lines up with the images: computed ones have all axes of the output, constants are the
    /// same for each image.
    pub(crate) fn broadcast_over_images(&self) -> bool {
        self.inputs.iter().flatten().all(|input| {
            if input.is_constant {
                input.shape.len() < self.output_rank || input.shape.first() == Some(&1)
            } else {
                input.shape.len() == self.output_rank
            }
        })
    }
}

/// What an operator with given attributes is and does.
pub(crate) trait Operator: Debug {
    /// The kind of work.
    fn class(&self) -> Class;

    /// How many inputs it takes, optional ones at the end included.
    fn n_inputs(&self) -> RangeInclusive<usize>;

    /// Element types of the inputs.
    fn element_types(&self) -> ElementTypes;

    /// Types of the outputs, or which rule the inputs break. Their number has been checked.
    fn output_types(&self, signature: &Signature<'_>) -> Result<Vec<TensorType>, GraphError>;

    /// The outputs, naively: the specification. The inputs follow the shape rule, and no output is empty.
    fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError>;

    /// Whether the images of a batch may be computed apart: the first axis of every computed input stays the first axis
    /// of the outputs, and nothing crosses it. That the extents stack is known.
    fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool;

    /// How exactly it computes.
    fn rounding(&self) -> Rounding;

    /// The ONNX form, or why there is none.
    fn export(&self, form: Form, context: Context) -> Result<Form, String>;

    /// The element type of an output, or what is wrong with the types of the inputs. As it stands: one of
    /// [`element_types`](Self::element_types), the same for all inputs and outputs.
    fn output_dtype(&self, inputs: &[Option<DType>], _output: usize) -> Result<DType, String> {
        let Some(first) = inputs.first().copied().flatten() else {
            return Err("the first input is missing".to_owned());
        };
        if !self.element_types().contains(first) {
            return Err(format!("inputs of element type {first:?} are not allowed"));
        }
        match inputs.iter().flatten().find(|&&other| other != first) {
            Some(other) => Err(format!("inputs mix the element types {first:?} and {other:?}")),
            None => Ok(first),
        }
    }

    /// The shapes of the outputs where some extents are open, as far as they are certain.
    fn symbolic_shapes(&self, inputs: &[&Shape], n_outputs: usize, symbols: &mut Symbols) -> Vec<Shape> {
        let first = self.symbolic_shape(inputs, symbols);
        let mut shapes = vec![None; n_outputs];
        if let Some(slot) = shapes.first_mut() {
            *slot = first;
        }
        shapes
    }

    /// The shape of the first output where some extents are open, as far as it is certain.
    fn symbolic_shape(&self, _inputs: &[&Shape], _symbols: &mut Symbols) -> Shape {
        None
    }

    /// The operator for any batch where its attributes name one: the first output's extents in `output` are those of one
    /// batch, made from a first input of those in `input`. `None` where they do not name it.
    fn with_any_batch(&self, _input: &[usize], _output: &[usize]) -> Option<Op> {
        None
    }

    /// Whether the output is the input's elements in the same order, so that both can share their storage.
    fn renames(&self) -> bool {
        false
    }

    /// Whether a constant behind it is the same constant, stored differently.
    fn stores(&self) -> bool {
        self.renames()
    }

    /// Whether it hands its first input on, type and shape included.
    fn is_identity(&self, _input: Option<DType>, _n_inputs: usize) -> bool {
        false
    }

    /// Whether a node of constants may be computed once and for all: its cost is bounded by the size of its result.
    fn folds(&self) -> bool {
        !matches!(self.class(), Class::Multiplies | Class::Pools)
    }

    /// The same work on operands whose axes come in another order, `None` if its results would not be the same elements
    /// bit for bit. `order` is one of [`Ranks::frame`] axes.
    fn reordered(&self, _order: &[usize], _ranks: &Ranks) -> Option<Reordered> {
        None
    }

    /// Of an operator that takes axes of extent 1 away or puts them in: which of `n_axes`, on the side that has more.
    fn unit_axes(&self, _n_axes: usize) -> Option<Vec<bool>> {
        None
    }

    /// What a constant at this input counts as.
    fn parameter(&self, _input: usize) -> Option<Parameter> {
        None
    }

    /// Multiply-accumulate operations for `n_outputs` output elements; `inputs` holds the shapes, empty for those left out.
    fn macs(&self, _inputs: &[&[usize]], _n_outputs: u64) -> u64 {
        0
    }

    /// The graphs that it holds. What they read of the graph around them are the last inputs of each, and of the node.
    fn bodies(&self) -> Vec<&Body> {
        Vec::new()
    }

    /// Whether the outputs cannot be negative, given which inputs cannot.
    fn keeps_non_negative(&self, _inputs: &[bool]) -> bool {
        false
    }

    /// Where the channels that it makes and reads lie in a constant of `rank` axes at this input, which it multiplies
    /// by or adds to each channel; `None` if it does neither.
    fn weight_axes(&self, _input: usize, _rank: usize) -> Option<WeightAxes> {
        None
    }

    /// In how many groups it keeps its channels apart.
    fn groups(&self) -> usize {
        1
    }

    /// The same with that many groups, if it has groups.
    fn with_groups(&self, _groups: usize) -> Option<Op> {
        None
    }

    /// Where an axis of the first input, of `rank` axes, lies in the output, if elements that differ along it are never
    /// joined and keep their places; else what happens to them. Operators that move elements are not asked: what they do
    /// is found by running them.
    fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        channels::carries(self.class(), rank, axis)
    }

    /// Where the channels along `axis` of an output of `output_rank` axes lie in a constant of `rank` axes at this input;
    /// nothing if it is the same for all, a reason if the operator does not hand channels on.
    fn parameter_axis(
        &self,
        _input: usize,
        rank: usize,
        output_rank: usize,
        axis: usize,
    ) -> Result<Option<usize>, &'static str> {
        channels::parameter_axis(self.class(), rank, output_rank, axis)
    }
}

/// What an operator is before its attributes are known.
pub(crate) trait Definition: Operator + Sized {
    /// Its name in ONNX.
    const NAME: &'static str;

    /// The operator set that it is of; empty for ONNX's own.
    const DOMAIN: &'static str = "";

    /// Every attribute of every version of the operator. A node with another one is refused.
    const ATTRIBUTES: &'static [&'static str] = &[];

    /// Adds what an ONNX node computes to a graph.
    fn import(node: &NodeView<'_>, importer: &mut Importer) -> Result<(), GraphError>;

    /// Adds a node with random attributes on value `x` of a random graph; the values it makes, or nothing if it does
    /// not fit.
    fn draw(generator: &mut Generator, x: usize) -> Option<Vec<usize>>;

    /// Hand-computed cases, at least one.
    fn cases() -> Vec<Case>;
}

/// An operator in the registry.
pub(crate) struct Entry {
    pub(crate) domain: &'static str,
    pub(crate) name: &'static str,
    pub(crate) attributes: &'static [&'static str],
    pub(crate) import: fn(&NodeView<'_>, &mut Importer) -> Result<(), GraphError>,
    pub(crate) draw: fn(&mut Generator, usize) -> Option<Vec<usize>>,
    pub(crate) cases: fn() -> Vec<Case>,
}

impl Entry {
    const fn of<D: Definition>() -> Self {
        Self {
            domain: D::DOMAIN,
            name: D::NAME,
            attributes: D::ATTRIBUTES,
            import: D::import,
            draw: D::draw,
            cases: D::cases,
        }
    }
}

/// ONNX's own operator of that name.
pub(crate) fn find(name: &str) -> Option<&'static Entry> {
    find_in("", name)
}

/// The operator of that domain and name.
pub(crate) fn find_in(domain: &str, name: &str) -> Option<&'static Entry> {
    ENTRIES.iter().find(|entry| entry.domain == domain && entry.name == name)
}

/// Makes the modules, the enum, its dispatch and the registry. `module: Name` is an operator without attributes,
/// `module: Name(Name)` one that is a struct of them.
macro_rules! operators {
    (@dyn $module:ident $name:ident) => { &$module::$name };
    (@dyn $module:ident $name:ident $fields:ident) => { $module };
    ($($module:ident: $name:ident $(($fields:ident))?),* $(,)?) => {
        $(mod $module;)*
        $(pub use $module::$name;)*

        /// An operator with its attributes.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $(
                #[doc = concat!("See [`", stringify!($name), "`](crate::ops::", stringify!($name), ").")]
                $name $(($module::$fields))?,
            )*
        }

        impl Op {
            fn operator(&self) -> &dyn Operator {
                match self {
                    $(Self::$name $(($module @ $module::$fields { .. }))? => operators!(@dyn $module $name $($fields)?),)*
                }
            }

            /// Operator name as in ONNX.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => <$module::$name as Definition>::NAME,)*
                }
            }
        }

        /// Every operator.
        pub(crate) static ENTRIES: &[Entry] = &[$(Entry::of::<$module::$name>()),*];
    };
}

operators! {
    conv: Conv(Conv),
    gemm: Gemm(Gemm),
    matmul: MatMul,
    batch_normalization: BatchNormalization(BatchNormalization),
    relu: Relu,
    leaky_relu: LeakyRelu(LeakyRelu),
    prelu: PRelu,
    clip: Clip(Clip),
    sigmoid: Sigmoid,
    hard_sigmoid: HardSigmoid(HardSigmoid),
    hard_swish: HardSwish,
    tanh: Tanh,
    sign: Sign,
    softmax: Softmax(Softmax),
    add: Add,
    sub: Sub,
    mul: Mul,
    div: Div,
    concat: Concat(Concat),
    split: Split(Split),
    slice: Slice(Slice),
    pad: Pad(Pad),
    max_pool: MaxPool(MaxPool),
    average_pool: AveragePool(AveragePool),
    global_average_pool: GlobalAveragePool,
    global_max_pool: GlobalMaxPool,
    reduce_mean: ReduceMean(ReduceMean),
    flatten: Flatten(Flatten),
    reshape: Reshape(Reshape),
    transpose: Transpose(Transpose),
    squeeze: Squeeze(Squeeze),
    unsqueeze: Unsqueeze(Unsqueeze),
    lrn: Lrn(Lrn),
    dropout: Dropout(Dropout),
    identity: Identity,
    cast: Cast(Cast),
    quantize_linear: QuantizeLinear(QuantizeLinear),
    dequantize_linear: DequantizeLinear(DequantizeLinear),
    conv_transpose: ConvTranspose(ConvTranspose),
    layer_normalization: LayerNormalization(LayerNormalization),
    gather: Gather(Gather),
    reduce_max: ReduceMax(ReduceMax),
    arg_max: ArgMax(ArgMax),
    top_k: TopK(TopK),
    resize: Resize(Resize),
    r#where: Where,
    erf: Erf,
    einsum: Einsum(Einsum),
    exp: Exp,
    log: Log,
    sqrt: Sqrt,
    reciprocal: Reciprocal,
    pow: Pow,
    abs: Abs,
    neg: Neg,
    floor: Floor,
    ceil: Ceil,
    round: Round,
    sin: Sin,
    cos: Cos,
    tan: Tan,
    asin: Asin,
    acos: Acos,
    atan: Atan,
    sinh: Sinh,
    cosh: Cosh,
    asinh: Asinh,
    acosh: Acosh,
    atanh: Atanh,
    elu: Elu(Elu),
    selu: Selu(Selu),
    celu: Celu(Celu),
    thresholded_relu: ThresholdedRelu(ThresholdedRelu),
    softplus: Softplus,
    softsign: Softsign,
    gelu: Gelu(Gelu),
    mish: Mish,
    swish: Swish(Swish),
    min: Min,
    max: Max,
    sum: Sum,
    mean: Mean,
    equal: Equal,
    less: Less,
    less_or_equal: LessOrEqual,
    greater: Greater,
    greater_or_equal: GreaterOrEqual,
    and: And,
    or: Or,
    xor: Xor,
    not: Not,
    reduce_sum: ReduceSum(ReduceSum),
    reduce_min: ReduceMin(ReduceMin),
    reduce_prod: ReduceProd(ReduceProd),
    reduce_l1: ReduceL1(ReduceL1),
    reduce_l2: ReduceL2(ReduceL2),
    reduce_sum_square: ReduceSumSquare(ReduceSumSquare),
    reduce_log_sum: ReduceLogSum(ReduceLogSum),
    reduce_log_sum_exp: ReduceLogSumExp(ReduceLogSumExp),
    expand: Expand(Expand),
    tile: Tile(Tile),
    depth_to_space: DepthToSpace(DepthToSpace),
    space_to_depth: SpaceToDepth(SpaceToDepth),
    log_softmax: LogSoftmax(LogSoftmax),
    instance_normalization: InstanceNormalization(InstanceNormalization),
    group_normalization: GroupNormalization(GroupNormalization),
    rms_normalization: RmsNormalization(RmsNormalization),
    cum_sum: CumSum(CumSum),
    trilu: Trilu(Trilu),
    gather_elements: GatherElements(GatherElements),
    gather_nd: GatherNd(GatherNd),
    scatter_nd: ScatterNd(ScatterNd),
    lstm: Lstm(Lstm),
    gru: Gru(Gru),
    rnn: Rnn(Rnn),
    scatter_elements: ScatterElements(ScatterElements),
    modulo: Mod(Mod),
    one_hot: OneHot(OneHot),
    r#if: If(If),
    r#loop: Loop(Loop),
    scan: Scan(Scan),
    neuron: Neuron(Neuron),
}

impl Op {
    /// The kind of work.
    pub fn class(&self) -> Class {
        self.operator().class()
    }

    /// How many inputs it takes, optional ones at the end included.
    pub fn n_inputs(&self) -> RangeInclusive<usize> {
        self.operator().n_inputs()
    }

    /// Element types of its inputs.
    pub fn element_types(&self) -> ElementTypes {
        self.operator().element_types()
    }

    /// Whether the images of a batch may be computed apart: the first axis of every computed input stays the first axis
    /// of the outputs, and nothing crosses it. The caller knows that the extents stack.
    pub fn keeps_images_apart(&self, operands: &Operands<'_>) -> bool {
        self.operator().keeps_images_apart(operands)
    }

    /// How exactly it computes.
    pub fn rounding(&self) -> Rounding {
        self.operator().rounding()
    }

    /// The operator for any batch where its attributes name one; `None` where they do not. Given are the extents of its
    /// first input and output for one batch.
    pub fn with_any_batch(&self, input: &[usize], output: &[usize]) -> Option<Self> {
        self.operator().with_any_batch(input, output)
    }

    /// Whether the output is the input's elements in the same order, so that both can share their storage.
    pub fn renames(&self) -> bool {
        self.operator().renames()
    }

    /// Whether the outputs cannot be negative, given which inputs cannot.
    pub fn keeps_non_negative(&self, inputs: &[bool]) -> bool {
        self.operator().keeps_non_negative(inputs)
    }

    /// The graphs that it holds.
    pub fn bodies(&self) -> Vec<&Body> {
        self.operator().bodies()
    }

    pub(crate) fn output_types(
        &self,
        node: &str,
        inputs: &[Option<&TensorType>],
    ) -> Result<Vec<TensorType>, GraphError> {
        let signature = Signature { op: self, node, inputs };
        signature.check_n_inputs()?;
        self.operator().output_types(&signature)
    }

    pub(crate) fn evaluate(&self, call: &Call<'_>) -> Result<Vec<Data>, GraphError> {
        self.operator().evaluate(call)
    }

    pub(crate) fn export(&self, context: Context) -> Result<Form, String> {
        self.operator().export(Form::new(self.name()), context)
    }

    pub(crate) fn output_dtype(&self, inputs: &[Option<DType>], output: usize) -> Result<DType, String> {
        self.operator().output_dtype(inputs, output)
    }

    pub(crate) fn symbolic_shapes(&self, inputs: &[&Shape], n_outputs: usize, symbols: &mut Symbols) -> Vec<Shape> {
        self.operator().symbolic_shapes(inputs, n_outputs, symbols)
    }

    pub(crate) fn stores(&self) -> bool {
        self.operator().stores()
    }

    pub(crate) fn is_identity(&self, input: Option<DType>, n_inputs: usize) -> bool {
        self.operator().is_identity(input, n_inputs)
    }

    pub(crate) fn folds(&self) -> bool {
        self.operator().folds()
    }

    pub(crate) fn reordered(&self, order: &[usize], ranks: &Ranks) -> Option<Reordered> {
        self.operator().reordered(order, ranks)
    }

    pub(crate) fn unit_axes(&self, n_axes: usize) -> Option<Vec<bool>> {
        self.operator().unit_axes(n_axes)
    }

    pub(crate) fn parameter(&self, input: usize) -> Option<Parameter> {
        self.operator().parameter(input)
    }

    pub(crate) fn macs(&self, inputs: &[&[usize]], n_outputs: u64) -> u64 {
        self.operator().macs(inputs, n_outputs)
    }

    /// Where the channels that it makes and reads lie in a constant of `rank` axes at this input, which it multiplies
    /// by or adds to each channel; `None` if it does neither.
    pub fn weight_axes(&self, input: usize, rank: usize) -> Option<WeightAxes> {
        self.operator().weight_axes(input, rank)
    }

    /// In how many groups it keeps its channels apart.
    pub fn groups(&self) -> usize {
        self.operator().groups()
    }

    /// Where an axis of the first input, of `rank` axes, lies in the output, if elements that differ along it are never
    /// joined and keep their places.
    ///
    /// # Errors
    /// What happens to them else. Operators of [`Class::Moves`] are not asked: what they do is found by running them.
    pub fn carries(&self, rank: usize, axis: usize) -> Result<usize, &'static str> {
        self.operator().carries(rank, axis)
    }

    pub(crate) fn with_groups(&self, groups: usize) -> Option<Op> {
        self.operator().with_groups(groups)
    }

    /// Where the channels along `axis` of an output of `output_rank` axes lie in a constant of `rank` axes at this input;
    /// nothing if it is the same for all.
    ///
    /// # Errors
    /// The reason if the operator does not hand channels on.
    pub fn parameter_axis(
        &self,
        input: usize,
        rank: usize,
        output_rank: usize,
        axis: usize,
    ) -> Result<Option<usize>, &'static str> {
        self.operator().parameter_axis(input, rank, output_rank, axis)
    }
}

#[cfg(test)]
mod tests;
