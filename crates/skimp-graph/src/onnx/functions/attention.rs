//! Attention between sequences, and the rotation of what it compares by position.
//!
//! # Source
//! ONNX's operator texts of `Attention` (sets 23 to 25) and `RotaryEmbedding` (23), as of onnx 1.23.2.

use super::{Function, Steps, int};
use crate::onnx::export::Form;
use crate::{DType, GraphError, Tensor};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        domain: "",
        name: "Attention",
        attributes: &[
            "is_causal",
            "kv_num_heads",
            "left_window_size",
            "q_num_heads",
            "qk_matmul_output_mode",
            "right_window_size",
            "scale",
            "softcap",
            "softmax_precision",
        ],
        expand: attention,
    },
    Function {
        domain: "",
        name: "RotaryEmbedding",
        attributes: &["interleaved", "num_heads", "rotary_embedding_dim"],
        expand: rotary_embedding,
    },
];

/// Queries, keys and values with an axis for the heads: `[n, heads, length, size]`.
struct Operands {
    q: String,
    k: String,
    v: String,
    /// Keys that were there before.
    past: Option<String>,
    /// Whether the file's have the heads side by side in the last axis.
    is_flat: bool,
}

/// What is added to the products of queries and keys: 0, minus infinity where a key is not to be seen, or what a mask says.
#[derive(Default)]
struct Bias {
    sum: Option<String>,
    /// Whether some query may see no key at all.
    may_hide_all: bool,
}

fn attention(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(3, 7)?;
    let node = steps.node;
    let operands = operands(steps)?;
    let bias = bias(steps, &operands)?;
    let Operands { q, k, v, is_flat, .. } = operands;
    let [k, v] = [("keys", k), ("values", v)].map(|(label, x)| repeated(steps, label, &q, x));
    let (k, v) = (k?, v?);
    // Both factors are scaled, by the root of the scale, so that their products stay small.
    let size = steps.known_extent(&q, 3)?;
    let scale = match (node.float("scale")?, size) {
        (Some(scale), _) => f64::from(scale),
        (None, Some(size)) => 1.0 / (size as f64).sqrt(),
        (None, None) => return Err(node.unsupported("heads of unknown size without a scale")),
    };
    if !(scale.is_finite() && scale >= 0.0) {
        return Err(node.invalid(format!("the scale is {scale}")));
    }
    let root = steps.constant("root_of_scale", Tensor::from_f32(Vec::new(), vec![scale.sqrt() as f32]));
    let q = steps.add("scaled_queries", "Mul", &[&q, &root], Vec::new())?;
    let k = steps.add("keys_across", "Transpose", &[&k], Form::new("").ints("perm", vec![0, 1, 3, 2]).attributes)?;
    let k = steps.add("scaled_keys", "Mul", &[&k, &root], Vec::new())?;
    let products = steps.add("products", "MatMul", &[&q, &k], Vec::new())?;
    let mut scores = products.clone();
    let cap = node.float_or("softcap", 0.0)?;
    if cap > 0.0 {
        let cap = steps.constant("cap", Tensor::from_f32(Vec::new(), vec![cap]));
        let share = steps.add("share_of_cap", "Div", &[&scores, &cap], Vec::new())?;
        let bent = steps.add("bent", "Tanh", &[&share], Vec::new())?;
        scores = steps.add("capped", "Mul", &[&bent, &cap], Vec::new())?;
    }
    let capped = scores.clone();
    if let Some(sum) = &bias.sum {
        scores = steps.add("scores", "Add", &[&scores, sum], Vec::new())?;
    }
    let mut shares = steps.add("shares", "Softmax", &[&scores], int("axis", -1))?;
    if let (Some(sum), true) = (&bias.sum, bias.may_hide_all) {
        // A query that sees no key gets 0.
        let axes = steps.constant("last_axis", Tensor::from_i64(vec![1], vec![-1]));
        let most = steps.add("best", "ReduceMax", &[sum, &axes], int("keepdims", 1))?;
        let least = steps.float("least", f32::NEG_INFINITY);
        let sees_none = steps.add("sees_none", "Equal", &[&most, &least], Vec::new())?;
        let zero = steps.float("nothing", 0.0);
        shares = steps.add("seen", "Where", &[&sees_none, &zero, &shares], Vec::new())?;
    }
    let shown = match node.int_or("qk_matmul_output_mode", 0)? {
        0 => &products,
        1 => &capped,
        2 => &scores,
        3 => &shares,
        other => return Err(node.invalid(format!("attribute \"qk_matmul_output_mode\" is {other}, expected 0 to 3"))),
    };
    steps.output(3, "qk", "Identity", &[shown], Vec::new())?;
    let y = steps.main("sum", "MatMul", &[&shares, &v], Vec::new())?;
    if !is_flat {
        return steps.output(0, "y", "Identity", &[&y], Vec::new());
    }
    let y = steps.add("by_place", "Transpose", &[&y], Form::new("").ints("perm", vec![0, 2, 1, 3]).attributes)?;
    let shape = steps.ints("flat", &[0, 0, -1]);
    steps.output(0, "y", "Reshape", &[&y, &shape], Vec::new())
}

fn operands(steps: &mut Steps<'_, '_>) -> Result<Operands, GraphError> {
    let node = steps.node;
    let names = [steps.required(0)?, steps.required(1)?, steps.required(2)?];
    let rank = steps.rank(names[0])?;
    let is_flat = rank == 3;
    if !is_flat && rank != 4 {
        return Err(node.invalid(format!("queries with {rank} axes, expected 3 or 4")));
    }
    let mut split = names.map(str::to_owned);
    if is_flat {
        for (x, (key, label)) in
            split.iter_mut().zip([("q_num_heads", "q"), ("kv_num_heads", "k"), ("kv_num_heads", "v")])
        {
            let heads = node.int_or(key, 0)?;
            if heads < 1 {
                return Err(node.invalid(format!("attribute \"{key}\" is {heads}, expected the number of heads")));
            }
            let shape = steps.ints(&format!("{label}_shape"), &[0, 0, heads, -1]);
            let parts = steps.add(&format!("{label}_parts"), "Reshape", &[x.as_str(), &shape], Vec::new())?;
            let perm = Form::new("").ints("perm", vec![0, 2, 1, 3]).attributes;
            *x = steps.add(&format!("{label}_heads"), "Transpose", &[&parts], perm)?;
        }
    }
    let [q, mut k, mut v] = split;
    let past = (steps.input(4), steps.input(5));
    match past {
        ("", "") => {}
        ("", _) | (_, "") => return Err(node.invalid("past keys without past values, or the other way round")),
        (past_k, past_v) => {
            k = steps.add("all_keys", "Concat", &[past_k, &k], int("axis", 2))?;
            v = steps.add("all_values", "Concat", &[past_v, &v], int("axis", 2))?;
        }
    }
    steps.output(1, "present_key", "Identity", &[&k], Vec::new())?;
    steps.output(2, "present_value", "Identity", &[&v], Vec::new())?;
    let past = (!past.0.is_empty()).then(|| past.0.to_owned());
    Ok(Operands { q, k, v, past, is_flat })
}

/// Each head of `x` as often as there are heads of queries for it.
fn repeated(steps: &mut Steps<'_, '_>, label: &str, q: &str, x: String) -> Result<String, GraphError> {
    let (queries, heads) = (steps.known_extent(q, 1)?, steps.known_extent(&x, 1)?);
    match (queries, heads) {
        (Some(queries), Some(heads)) if queries != heads => {
            if heads == 0 || !queries.is_multiple_of(heads) {
                let cause = format!("{queries} heads of queries and {heads} of keys, expected a multiple");
                return Err(steps.node.invalid(cause));
            }
            let times = queries / heads;
            let indices: Vec<i64> = (0..queries).map(|head| (head / times) as i64).collect();
            let indices = steps.ints(&format!("heads_of_{label}"), &indices);
            steps.add(&format!("repeated_{label}"), "Gather", &[&x, &indices], int("axis", 1))
        }
        _ => Ok(x),
    }
}

fn bias(steps: &mut Steps<'_, '_>, operands: &Operands) -> Result<Bias, GraphError> {
    let node = steps.node;
    let (is_causal, valid) = (node.flag("is_causal", false)?, steps.input(6));
    let mut windows = [None; 2];
    for (window, key) in windows.iter_mut().zip(["left_window_size", "right_window_size"]) {
        *window = match node.int_or(key, -1)? {
            -1 => None,
            size if size >= 0 => Some(size),
            other => return Err(node.invalid(format!("attribute \"{key}\" is {other}, expected -1 or more"))),
        };
    }
    if is_causal {
        windows[1] = Some(0);
    }
    let mut bias = Bias::default();
    let mask = steps.input(3);
    if !mask.is_empty() {
        bias = Bias { sum: Some(mask_as_bias(steps, mask, &operands.k)?), may_hide_all: true };
    }
    if windows == [None; 2] && valid.is_empty() {
        return Ok(bias);
    }
    let past = match &operands.past {
        Some(past) => steps.known_extent(past, 2)?,
        None => Some(0),
    };
    let lengths = (steps.known_extent(&operands.q, 2)?, steps.known_extent(&operands.k, 2)?, past);
    let places = if let ((Some(n_q), Some(n_k), Some(past)), "") = (lengths, valid) {
        let (tensor, hides_all) = places(windows, [n_q, n_k, past]);
        bias.may_hide_all |= hides_all;
        steps.constant("places", tensor)
    } else {
        bias.may_hide_all = true;
        places_at_run(steps, operands, windows, valid)?
    };
    bias.sum = Some(match bias.sum {
        Some(sum) => steps.add("bias", "Add", &[&sum, &places], Vec::new())?,
        None => places,
    });
    Ok(bias)
}

/// A mask of truth values as 0 and minus infinity; one that is too short hides the keys behind its end.
fn mask_as_bias(steps: &mut Steps<'_, '_>, mask: &str, keys: &str) -> Result<String, GraphError> {
    let mut bias = mask.to_owned();
    if steps.dtype(mask)? == DType::Bool {
        let (zero, least) = (steps.float("shown", 0.0), steps.float("hidden", f32::NEG_INFINITY));
        bias = steps.add("mask", "Where", &[mask, &zero, &least], Vec::new())?;
    }
    let rank = steps.rank(mask)?;
    let last = rank.checked_sub(1).ok_or_else(|| steps.node.invalid("a mask without axes"))?;
    if let (Some(long), Some(short)) = (steps.known_extent(keys, 2)?, steps.known_extent(mask, last)?)
        && short < long
    {
        let mut pads = vec![0; 2 * rank];
        pads[2 * rank - 1] = (long - short) as i64;
        let (pads, least) = (steps.ints("behind_the_mask", &pads), steps.float("beyond", f32::NEG_INFINITY));
        bias = steps.add("whole_mask", "Pad", &[&bias, &pads, &least], Vec::new())?;
    }
    Ok(bias)
}

/// What queries see within windows to the left and right of their place, `[queries, keys]`; whether one sees nothing.
fn places([left, right]: [Option<i64>; 2], [n_q, n_k, past]: [usize; 3]) -> (Tensor, bool) {
    let mut bias = Vec::with_capacity(n_q * n_k);
    let mut hides_all = false;
    for query in 0..n_q {
        let place = (past + query) as i64;
        let sees = |key: &usize| {
            let key = *key as i64;
            left.is_none_or(|left| place - key <= left) && right.is_none_or(|right| key - place <= right)
        };
        hides_all |= !(0..n_k).any(|key| sees(&key));
        bias.extend((0..n_k).map(|key| if sees(&key) { 0.0 } else { f32::NEG_INFINITY }));
    }
    (Tensor::from_f32(vec![n_q, n_k], bias), hides_all)
}

/// As [`places`], for lengths that are only known when the network runs; `valid` says how many keys of each image are
/// there, and hides the others.
fn places_at_run(
    steps: &mut Steps<'_, '_>,
    operands: &Operands,
    [left, right]: [Option<i64>; 2],
    valid: &str,
) -> Result<String, GraphError> {
    let queries = steps.indices("queries", &operands.q, 2)?;
    let keys = steps.indices("keys", &operands.k, 2)?;
    let column = steps.ints("column", &[-1, 1]);
    let mut place = steps.add("place", "Reshape", &[&queries, &column], Vec::new())?;
    let mut allowed: Vec<String> = Vec::new();
    if !valid.is_empty() {
        let shape = steps.ints("one_an_image", &[-1, 1, 1, 1]);
        let valid = steps.add("valid", "Reshape", &[valid, &shape], Vec::new())?;
        let n_queries = steps.count("n_queries", &queries)?;
        let before = steps.add("before", "Sub", &[&valid, &n_queries], Vec::new())?;
        place = steps.add("place_in_all", "Add", &[&place, &before], Vec::new())?;
        allowed.push(steps.add("is_there", "Less", &[&keys, &valid], Vec::new())?);
    } else if let Some(past) = &operands.past {
        let past = steps.indices("past", past, 2)?;
        let n_past = steps.count("n_past", &past)?;
        place = steps.add("place_in_all", "Add", &[&place, &n_past], Vec::new())?;
    }
    for (label, size, inputs) in [("left", left, [&place, &keys]), ("right", right, [&keys, &place])] {
        if let Some(size) = size {
            let size = steps.constant(label, Tensor::from_i64(Vec::new(), vec![size]));
            let distance = steps.add(&format!("{label}_distance"), "Sub", &inputs.map(String::as_str), Vec::new())?;
            allowed.push(steps.add(&format!("{label}_is_near"), "LessOrEqual", &[&distance, &size], Vec::new())?);
        }
    }
    let mut all: Option<String> = None;
    for condition in allowed {
        all = Some(match all {
            Some(others) => steps.add("sees", "And", &[&others, &condition], Vec::new())?,
            None => condition,
        });
    }
    let all = all.ok_or_else(|| steps.node.invalid("nothing hides keys"))?;
    let (zero, least) = (steps.float("in_sight", 0.0), steps.float("out_of_sight", f32::NEG_INFINITY));
    steps.add("places", "Where", &[&all, &zero, &least], Vec::new())
}

/// Pairs of elements turned by the angle of their place, whose cosine and sine are given.
fn rotary_embedding(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(3, 4)?;
    let node = steps.node;
    let (x, ids) = (steps.required(0)?, steps.input(3));
    let rank = steps.rank(x)?;
    let (x, heads_axis) = match rank {
        4 => (x.to_owned(), 1),
        3 => {
            let heads = node.int_or("num_heads", 0)?;
            if heads < 1 {
                return Err(node.invalid(format!("attribute \"num_heads\" is {heads}, expected the number of heads")));
            }
            let shape = steps.ints("heads_shape", &[0, 0, heads, -1]);
            (steps.add("heads", "Reshape", &[x, &shape], Vec::new())?, 2)
        }
        other => return Err(node.invalid(format!("an input with {other} axes, expected 3 or 4"))),
    };
    let Some(size) = steps.known_extent(&x, 3)? else { return Err(node.unsupported("heads of unknown size")) };
    let turned = match node.int_or("rotary_embedding_dim", 0)? {
        0 => size,
        n => usize::try_from(n).ok().filter(|n| n.is_multiple_of(2) && *n <= size).ok_or_else(|| {
            node.invalid(format!("attribute \"rotary_embedding_dim\" is {n}, expected an even number up to {size}"))
        })?,
    };
    let axis = steps.ints("heads_axis", &[heads_axis]);
    let mut factors = Vec::with_capacity(2);
    for (label, idx) in [("cos", 1), ("sin", 2)] {
        let mut factor = steps.required(idx)?.to_owned();
        if !ids.is_empty() {
            factor = steps.add(&format!("{label}_of_place"), "Gather", &[&factor, ids], int("axis", 0))?;
        }
        factors.push(steps.add(label, "Unsqueeze", &[&factor, &axis], Vec::new())?);
    }
    let is_interleaved = node.flag("interleaved", false)?;
    let (turned, half) = (turned as i64, (turned / 2) as i64);
    let [first, second] =
        if is_interleaved { [[0, turned, 2], [1, turned, 2]] } else { [[0, half, 1], [half, turned, 1]] };
    let (a, b) = (steps.cut("first", &x, first)?, steps.cut("second", &x, second)?);
    let mut product = |label: &str, factor: usize, x: &str| steps.add(label, "Mul", &[&factors[factor], x], Vec::new());
    let [a_cos, b_sin, a_sin, b_cos] =
        [("a_cos", 0, &a), ("b_sin", 1, &b), ("a_sin", 1, &a), ("b_cos", 0, &b)].map(|(l, f, x)| product(l, f, x));
    let real = steps.add("real", "Sub", &[&a_cos?, &b_sin?], Vec::new())?;
    let imaginary = steps.add("imaginary", "Add", &[&a_sin?, &b_cos?], Vec::new())?;
    let mut parts = Vec::with_capacity(2);
    if is_interleaved {
        let last = steps.ints("last_axis", &[-1]);
        let pairs = [("real_pairs", &real), ("imaginary_pairs", &imaginary)]
            .map(|(label, x)| steps.add(label, "Unsqueeze", &[x, &last], Vec::new()));
        let [real, imaginary] = pairs;
        let pairs = steps.add("pairs", "Concat", &[&real?, &imaginary?], int("axis", -1))?;
        let shape = steps.ints("pairs_shape", &[0, 0, 0, turned]);
        parts.push(steps.add("turned", "Reshape", &[&pairs, &shape], Vec::new())?);
    } else {
        parts.extend([real, imaginary]);
    }
    if turned < size as i64 {
        parts.push(steps.cut("rest", &x, [turned, size as i64, 1])?);
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let whole = steps.main("whole", "Concat", &parts, int("axis", -1))?;
    if rank == 4 {
        return steps.output(0, "y", "Identity", &[&whole], Vec::new());
    }
    let shape = steps.ints("flat", &[0, 0, -1]);
    steps.output(0, "y", "Reshape", &[&whole, &shape], Vec::new())
}
