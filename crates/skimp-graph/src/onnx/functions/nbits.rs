//! Products with weights of few bits, a scale for each block of inputs.

use super::{Function, Steps};
use crate::onnx::export::Form;
use crate::{Data, GraphError, Tensor};

pub(super) const FUNCTIONS: &[Function] = &[Function::microsoft(
    "MatMulNBits",
    &["K", "N", "accuracy_level", "bits", "block_size", "weight_prepacked"],
    matmul,
)];

/// `A · B'`, where B `[n, blocks, bytes]` holds unsigned codes, the first in the low bits, of k inputs for each of n outputs;
/// scales `[n · blocks]` and zero points (packed alike, for each output a whole number of bytes; else the middle code). The
/// codes become a tensor `[k, n]` behind a `DequantizeLinear` with a scale for each block.
///
/// Differs: `accuracy_level` allows a kernel to quantize A as well; here it stays in f32.
fn matmul(steps: &mut Steps<'_, '_>) -> Result<(), GraphError> {
    steps.node.check_inputs(3, 6)?;
    let count = |key: &str| -> Result<usize, GraphError> {
        let value = steps.node.int(key)?.and_then(|value| usize::try_from(value).ok()).filter(|&value| value > 0);
        value.ok_or_else(|| steps.node.invalid(format!("attribute \"{key}\" is missing or not positive")))
    };
    let (k, n, block, bits) = (count("K")?, count("N")?, count("block_size")?, count("bits")?);
    if !matches!(bits, 2 | 4 | 8) {
        return Err(steps.node.unsupported(format!("codes of {bits} bits, expected 2, 4 or 8")));
    }
    if !steps.input(4).is_empty() {
        return Err(steps.node.unsupported("an order of the inputs (g_idx)"));
    }
    if steps.node.int_or("weight_prepacked", 0)? != 0 {
        return Err(steps.node.unsupported("weights in the order of a machine (weight_prepacked)"));
    }
    let blocks = k.div_ceil(block);
    let per_byte = 8 / bits;
    let bytes = block.div_ceil(per_byte);
    let product = |factors: &[usize]| factors.iter().try_fold(1_usize, |n, &factor| n.checked_mul(factor));
    let (Some(n_bytes), Some(n_blocks)) = (product(&[n, blocks, bytes]), product(&[n, blocks])) else {
        return Err(steps.node.invalid("extents are too large"));
    };
    let weight = codes(steps, 1, n_bytes)?;
    let Some(scales) = steps.constant_of(2)?.as_f32().map(<[f32]>::to_vec).filter(|s| s.len() == n_blocks) else {
        return Err(steps.node.invalid(format!("scales that are not {n} x {blocks} numbers of FLOAT")));
    };
    let code =
        |packed: &[u8], idx: usize| packed[idx / per_byte] >> (idx % per_byte * bits) & ((1_u16 << bits) - 1) as u8;
    let mut unpacked = vec![0_u8; k * n];
    for (row, packed) in weight.chunks_exact(blocks * bytes).enumerate() {
        for input in 0..k {
            unpacked[input * n + row] = code(&packed[input / block * bytes..], input % block);
        }
    }
    let zero_bytes = blocks.div_ceil(per_byte);
    let zeros: Vec<u8> = if steps.input(3).is_empty() {
        vec![1 << (bits - 1); n_blocks]
    } else {
        let packed = codes(steps, 3, n.saturating_mul(zero_bytes))?;
        packed
            .chunks_exact(zero_bytes)
            .flat_map(|row| (0..blocks).map(|idx| code(row, idx)).collect::<Vec<_>>())
            .collect()
    };
    // From [n, blocks] to [blocks, n].
    let turned = |idx: usize| idx % n * blocks + idx / n;
    let scales: Vec<f32> = (0..n_blocks).map(|idx| scales[turned(idx)]).collect();
    let zeros: Vec<u8> = (0..n_blocks).map(|idx| zeros[turned(idx)]).collect();
    let tensor = |shape: Vec<usize>, data: Data| {
        Tensor::new(shape, data).ok_or_else(|| steps.node.invalid("codes do not fill the weights"))
    };
    let (weight, zeros) = (tensor(vec![k, n], unpacked.into())?, tensor(vec![blocks, n], zeros.into())?);
    let weight = steps.constant("weight", weight);
    let scales = steps.constant("scales", Tensor::from_f32(vec![blocks, n], scales));
    let zeros = steps.constant("zero_points", zeros);
    let by_block = Form::new("").int("axis", 0).int("block_size", block as i64).attributes;
    let weight = steps.add("dequantized", "DequantizeLinear", &[&weight, &scales, &zeros], by_block)?;
    let (a, bias) = (steps.required(0)?, steps.input(5));
    if bias.is_empty() {
        return steps.last("MatMul", &[a, &weight], Vec::new());
    }
    let product = steps.main("product", "MatMul", &[a, &weight], Vec::new())?;
    steps.output(0, "sum", "Add", &[&product, bias], Vec::new())
}

/// The bytes of constant input `idx`.
fn codes(steps: &mut Steps<'_, '_>, idx: usize, expected: usize) -> Result<Vec<u8>, GraphError> {
    let tensor = steps.constant_of(idx)?;
    match tensor.data() {
        Data::U8(bytes) if bytes.len() == expected => Ok(bytes.to_vec()),
        Data::U8(bytes) => {
            Err(steps.node.invalid(format!("input {idx} has {} bytes, expected {expected}", bytes.len())))
        }
        other => Err(steps.node.unsupported(format!("input {idx} of element type {}", other.dtype()))),
    }
}
