//! Attention as onnxruntime's transformer optimizer writes it, and what it fuses around it.

use super::{Function, Steps, int, with};
use crate::onnx::export::Form;
use crate::onnx::import::{NodeView, import_node};
use crate::onnx::proto::{AttributeProto, NodeProto};
use crate::{DType, GraphError, Tensor};

const ATTENTION: &[&str] = &[
    "do_rotary",
    "mask_filter_value",
    "num_heads",
    "past_present_share_buffer",
    "qkv_hidden_sizes",
    "rotary_embedding_dim",
    "scale",
    "unidirectional",
];

pub(super) const FUNCTIONS: &[Function] = &[
    Function::microsoft("Attention", ATTENTION, attention),
    Function::microsoft("QAttention", ATTENTION, quantized_attention),
    Function::microsoft(
        "MultiHeadAttention",
        &["mask_filter_value", "num_heads", "scale", "unidirectional"],
        multi_head_attention,
    ),
    Function::microsoft(
        "RotaryEmbedding",
        &["interleaved", "is_packed_batching", "num_heads", "rotary_embedding_dim", "scale"],
        rotary_embedding,
    ),
    Function::microsoft("EmbedLayerNormalization", &["epsilon", "mask_index_type"], embed_layer_normalization),
    Function::microsoft("Trilu", &["upper"], trilu),
];

/// Queries, keys and values, `[n, length, heads · size]` each, or the latter two `[n, heads, length, size]`.
struct Operands {
    qkv: [String; 3],
    /// Keys and values that were there before, `[n, heads, length, size]`; empty names where there are none.
    past: [String; 2],
    /// What is added to the products of queries and keys; empty where nothing is.
    bias: String,
    /// Names of the outputs: the result, all keys, all values, the products.
    outputs: [String; 4],
}

fn heads(node: &NodeView<'_>) -> Result<i64, GraphError> {
    match node.int_or("num_heads", 0)? {
        heads if heads > 0 => Ok(heads),
        heads => Err(node.invalid(format!("attribute \"num_heads\" is {heads}, expected the number of heads"))),
    }
}

/// `x` with its last axis split into heads, which come before the places.
fn by_head(steps: &mut Steps<'_, '_>, label: &str, x: &str, heads: i64) -> Result<String, GraphError> {
    let shape = steps.ints(&format!("{label}_shape"), &[0, 0, heads, -1]);
    let parts = steps.add(&format!("{label}_parts"), "Reshape", &[x, &shape], Vec::new())?;
    let perm = Form::new("").ints("perm", vec![0, 2, 1, 3]).attributes;
    steps.add(&format!("{label}_heads"), "Transpose", &[&parts], perm)
}

/// ONNX's own `Attention`, whose result has the heads side by side.
fn own_attention(steps: &mut Steps<'_, '_>, operands: Operands) -> Result<(), GraphError> {
    let node = steps.node;
    let heads = heads(node)?;
    let Operands { qkv: [q, k, v], past: [past_k, past_v], bias, outputs } = operands;
    let q = by_head(steps, "queries", &q, heads)?;
    let mut others = [k, v];
    for (x, label) in others.iter_mut().zip(["keys", "values"]) {
        if steps.rank(x)? == 3 {
            *x = by_head(steps, label, x, heads)?;
        }
    }
    let [k, v] = others;
    let mut form = Form::new("").int("is_causal", node.int_or("unidirectional", 0)?);
    if let Some(scale) = node.float("scale")?.filter(|&scale| scale != 0.0) {
        form = form.float("scale", scale);
    }
    let [result, all_k, all_v, products] = outputs;
    let by_head = steps.importer.free_value_name(&format!("{}.by_head", node.name()));
    steps.importer.mark_read(&by_head);
    let mut made = vec![by_head.clone(), all_k, all_v, products];
    while made.last().is_some_and(String::is_empty) {
        made.pop();
    }
    let proto = NodeProto {
        input: vec![q, k, v, bias, past_k, past_v],
        output: made,
        name: node.name().to_owned(),
        op_type: "Attention".to_owned(),
        attribute: form.attributes,
        ..NodeProto::default()
    };
    import_node(&NodeView::new(&proto, node.name().to_owned(), super::OPSET).part_of(node), steps.importer)?;
    let perm = Form::new("").ints("perm", vec![0, 2, 1, 3]).attributes;
    let y = steps.add("by_place", "Transpose", &[&by_head], perm)?;
    let shape = steps.ints("flat_shape", &[0, 0, -1]);
    let name = steps.importer.free_node_name(&format!("{}.flat", node.name()));
    steps.import(name, "Reshape", &[&y, &shape], &result, Vec::new())
}

/// What a mask of numbers adds: nothing where it is not 0, `mask_filter_value` where it is. It says of each key (`[n, keys]`),
/// or of each query and key (`[n, queries, keys]`, with or without an axis for the heads), whether it counts, or of each
/// image how many of its keys do (`[n]`).
fn mask(steps: &mut Steps<'_, '_>, mask: &str, keys: &str, past: &str) -> Result<String, GraphError> {
    let node = steps.node;
    let hidden = node.float_or("mask_filter_value", -10_000.0)?;
    let rank = steps.rank(mask)?;
    let counts = match rank {
        1 => {
            if steps.known_extent(mask, 0)? != steps.known_extent(keys, 0)? || !past.is_empty() {
                return Err(node.unsupported(
                    "a mask of starts and ends: optimize with a mask of two axes, or not (use_raw_attention_mask)",
                ));
            }
            let axis = i64::try_from(steps.rank(keys)? - 2).unwrap_or(1);
            let places = steps.indices("places", keys, axis as usize)?;
            let column = steps.ints("column", &[-1, 1, 1, 1]);
            let lengths = steps.cast("lengths", mask, DType::I64)?;
            let lengths = steps.add("length_column", "Reshape", &[&lengths, &column], Vec::new())?;
            steps.add("counts", "Less", &[&places, &lengths], Vec::new())?
        }
        2..=4 => {
            let counts = steps.cast("mask", mask, DType::Bool)?;
            match rank {
                2 => {
                    let axes = steps.ints("mask_axes", &[1, 2]);
                    steps.add("counts", "Unsqueeze", &[&counts, &axes], Vec::new())?
                }
                3 => {
                    let axes = steps.ints("mask_axes", &[1]);
                    steps.add("counts", "Unsqueeze", &[&counts, &axes], Vec::new())?
                }
                _ => counts,
            }
        }
        other => return Err(node.invalid(format!("a mask with {other} axes, expected 1 to 4"))),
    };
    let (shown, hidden) = (steps.float("shown", 0.0), steps.float("hidden", hidden));
    steps.add("mask_sum", "Where", &[&counts, &shown, &hidden], Vec::new())
}

/// The sum of what masks and biases add; empty where nothing does.
fn sum_of_biases(steps: &mut Steps<'_, '_>, mask: String, bias: &str) -> Result<String, GraphError> {
    match (mask.as_str(), bias) {
        ("", bias) => Ok(bias.to_owned()),
        (_, "") => Ok(mask),
        (mask, bias) => steps.sum("biases", mask, bias),
    }
}

/// Output `idx` of the node; empty where nobody asks for it.
fn output(steps: &Steps<'_, '_>, idx: usize) -> String {
    let name = steps.node.outputs().get(idx).map_or("", String::as_str);
    if steps.importer.is_read(name) { name.to_owned() } else { String::new() }
}

/// Where the pieces of the file's `Attention` lie among the inputs.
struct Places {
    mask: usize,
    past: usize,
    bias: usize,
}

/// Attention whose queries, keys and values are products of one input with one matrix.
fn attention(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(2, 6)?;
    let product = steps.add("product", "MatMul", &[steps.required(0)?, steps.required(1)?], Vec::new())?;
    projected(steps, product, steps.input(2), &Places { mask: 3, past: 4, bias: 5 })
}

/// The same on codes.
fn quantized_attention(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(5, 9)?;
    let x = steps.dequantized("x", [0, 3, 6], 1)?;
    let weight = steps.dequantized("weight", [1, 4, 7], 1)?;
    let product = steps.add("product", "MatMul", &[&x, &weight], Vec::new())?;
    projected(steps, product, steps.input(2), &Places { mask: 5, past: 8, bias: 9 })
}

fn projected(steps: &mut Steps<'_, '_>, product: String, bias: &str, places: &Places) -> Result<(), GraphError> {
    let node = steps.node;
    if node.int_or("do_rotary", 0)? != 0 || node.int_or("past_present_share_buffer", 0)? != 0 {
        return Err(node.unsupported(
            "rotary positions inside of attention, or one buffer for past and present: optimize without them",
        ));
    }
    let all = if bias.is_empty() { product } else { steps.sum("biased", &product, bias)? };
    let Some(size) = steps.known_extent(&all, 2)? else {
        return Err(node.unsupported("a product of unknown size: export the weights as constants"));
    };
    let sizes = match node.ints("qkv_hidden_sizes")? {
        None | Some([]) => vec![(size / 3) as i64; 3],
        Some(sizes) => sizes.to_vec(),
    };
    if sizes.len() != 3 || sizes.iter().any(|&size| size < 1) || sizes.iter().sum::<i64>() != size as i64 {
        return Err(node.invalid(format!("{size} columns for queries, keys and values of {sizes:?}")));
    }
    let mut start = 0;
    let mut qkv = Vec::with_capacity(3);
    for (label, size) in ["q", "k", "v"].into_iter().zip(&sizes) {
        qkv.push(steps.cut(label, &all, [start, start + size, 1])?);
        start += size;
    }
    let Ok(qkv) = <[String; 3]>::try_from(qkv) else { return Err(node.invalid("not three parts")) };
    let mut past = [String::new(), String::new()];
    let both = steps.input(places.past);
    if !both.is_empty() {
        for (idx, (slot, label)) in past.iter_mut().zip(["past_keys", "past_values"]).enumerate() {
            let idx = steps.constant(&format!("{label}_at"), Tensor::from_i64(Vec::new(), vec![idx as i64]));
            *slot = steps.add(label, "Gather", &[both, &idx], int("axis", 0))?;
        }
    }
    let given = steps.input(places.mask);
    let hidden = if given.is_empty() { String::new() } else { mask(steps, given, &qkv[1], both)? };
    let bias = sum_of_biases(steps, hidden, steps.input(places.bias))?;
    let present = output(steps, 1);
    let mut outputs = [output(steps, 0), String::new(), String::new(), String::new()];
    if !present.is_empty() {
        for (name, label) in outputs[1..3].iter_mut().zip(["all_keys", "all_values"]) {
            *name = steps.importer.free_value_name(&format!("{}.{label}", node.name()));
            steps.importer.mark_read(name);
        }
    }
    let both = [outputs[1].clone(), outputs[2].clone()];
    own_attention(steps, Operands { qkv, past, bias, outputs })?;
    if present.is_empty() { Ok(()) } else { steps.stack(&present, &both) }
}

/// Attention between queries, keys and values, to which a bias is added.
fn multi_head_attention(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(1, 8)?;
    let (q, k, v) = (steps.required(0)?, steps.input(1), steps.input(2));
    if k.is_empty() || v.is_empty() || steps.rank(q)? != 3 {
        return Err(node.unsupported("queries, keys and values in one tensor: optimize without packing them"));
    }
    let mut qkv = [q.to_owned(), k.to_owned(), v.to_owned()];
    let bias = steps.input(3);
    if !bias.is_empty() {
        let mut start = 0;
        for (x, label) in qkv.iter_mut().zip(["q", "k", "v"]) {
            let rank = steps.rank(x)?;
            let Some(size) = steps.known_extent(x, 2)?.filter(|_| rank == 3) else {
                return Err(node.unsupported("a bias for keys of four axes or of open size: optimize without it"));
            };
            let part = steps.cut(&format!("{label}_bias"), bias, [start, start + size as i64, 1])?;
            *x = steps.sum(&format!("{label}_biased"), x, &part)?;
            start += size as i64;
        }
    }
    let past = [steps.input(6).to_owned(), steps.input(7).to_owned()];
    let given = steps.input(4);
    let hidden = if given.is_empty() { String::new() } else { mask(steps, given, &qkv[1], &past[0])? };
    let bias = sum_of_biases(steps, hidden, steps.input(5))?;
    let outputs = [0, 1, 2, 3].map(|idx| output(steps, idx));
    own_attention(steps, Operands { qkv, past, bias, outputs })
}

fn rotary_embedding(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(4, 4)?;
    if node.int_or("is_packed_batching", 0)? != 0 {
        return Err(node.unsupported("images of different lengths in one batch: export without packing"));
    }
    let (x, mut ids) = (steps.required(0)?, steps.required(1)?.to_owned());
    let rank = steps.rank(x)?;
    let mut heads = node.int_or("num_heads", 0)?;
    if rank == 3 && heads == 0 {
        let half = steps.known_extent(steps.required(2)?, 1)?;
        let (Some(size), Some(half @ 1..)) = (steps.known_extent(x, 2)?, half) else {
            return Err(node.unsupported("heads of unknown size: export with fixed ones"));
        };
        heads = (size / (2 * half)) as i64;
    }
    if steps.rank(&ids)? == 1 {
        // One number: the place of the first one, the same for each image.
        let places = steps.indices("places", x, rank.saturating_sub(2))?;
        let all = steps.sum("ids", &places, &ids)?;
        let row = steps.ints("row", &[1, -1]);
        let all = steps.add("ids_row", "Reshape", &[&all, &row], Vec::new())?;
        let bounds = Form::new("").int("start", 0).int("end", 1).attributes;
        let images = steps.add("images", "Shape", &[x], bounds)?;
        let one = steps.ints("one", &[1]);
        let shape = steps.add("ids_shape", "Concat", &[&images, &one], int("axis", 0))?;
        ids = steps.add("all_ids", "Expand", &[&all, &shape], Vec::new())?;
    }
    let mut form = Form::new("").int("interleaved", node.int_or("interleaved", 0)?).int("num_heads", heads);
    form = form.int("rotary_embedding_dim", node.int_or("rotary_embedding_dim", 0)?);
    let inputs = [x, steps.required(2)?, steps.required(3)?, &ids];
    let scale = node.float_or("scale", 1.0)?;
    if scale.to_bits() == 1.0_f32.to_bits() {
        return steps.last("RotaryEmbedding", &inputs, form.attributes);
    }
    let turned = steps.main("turned", "RotaryEmbedding", &inputs, form.attributes)?;
    let scale = steps.float("scale", scale);
    steps.output(0, "scaled", "Mul", &[&turned, &scale], Vec::new())
}

/// The sum of the embeddings of words, places and segments, normalized.
fn embed_layer_normalization(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    let node = steps.node;
    node.check_inputs(1, 9)?;
    let ids = steps.required(0)?;
    let words = steps.add("words", "Gather", &[steps.required(2)?, ids], int("axis", 0))?;
    let places = match steps.input(8) {
        "" => steps.indices("places", ids, 1)?,
        given => given.to_owned(),
    };
    let places = steps.add("place_vectors", "Gather", &[steps.required(3)?, &places], int("axis", 0))?;
    let mut sum = steps.sum("words_and_places", &words, &places)?;
    let (segments, table) = (steps.input(1), steps.input(4));
    if !segments.is_empty() && !table.is_empty() {
        let segments = steps.add("segments", "Gather", &[table, segments], int("axis", 0))?;
        sum = steps.sum("all_vectors", &sum, &segments)?;
    }
    let own = Form::new("").int("axis", -1).float("epsilon", node.float_or("epsilon", 1e-12)?).attributes;
    let inputs = [sum.as_str(), steps.required(5)?, steps.required(6)?];
    let y = steps.main("y", "LayerNormalization", &inputs, own)?;
    steps.output(0, "normalized", "Identity", &[&y], Vec::new())?;
    let lengths = output(steps, 1);
    if !lengths.is_empty() {
        let mask = match steps.input(7) {
            "" => {
                let zero = steps.constant("zero", Tensor::from_i64(Vec::new(), vec![0]));
                let wide = steps.cast("wide", ids, DType::I64)?;
                steps.add("no_mask", "Mul", &[&wide, &zero], Vec::new())?
            }
            mask => steps.cast("wide", mask, DType::I64)?,
        };
        let axes = steps.ints("mask_axes", &[1]);
        let count = steps.add("count", "ReduceSum", &[&mask, &axes], int("keepdims", 0))?;
        let to: Vec<AttributeProto> = int("to", i64::from(crate::onnx::dtype::to_onnx(DType::I32)));
        steps.output(1, "lengths", "Cast", &[&count], to)?;
    }
    steps.output(2, "vectors", "Identity", &[&sum], Vec::new())
}

fn trilu(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(1, 2)?;
    let k = steps.input(1).to_owned();
    let inputs =
        if k.is_empty() { vec![steps.required(0)?] } else { with(steps.required(0)?, std::slice::from_ref(&k)) };
    let own = steps.own(&["upper"]);
    steps.last("Trilu", &inputs, own)
}
