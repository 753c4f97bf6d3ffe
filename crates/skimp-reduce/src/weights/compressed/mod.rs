//! Networks as files of shared weights: Deep Compression's third stage and its container.
//!
//! [`encode`] writes weight tensors of few different values as codes of a code book with relative indices, both Huffman
//! coded, and those that are ±1 times one number, for all or for each filter, as one bit a weight; [`decode`] gives the same
//! network, bit for bit. Everything else, and tensors of many values, are stored as ONNX stores them.
//!
//! # The container
//! All numbers are little-endian. `SKZ1`, the number of coded tensors (u32), the length of the skeleton (u64) and the
//! skeleton: an ONNX model in which each coded tensor is an input behind the network's own, with its name and extents.
//! Then, for each coded tensor: length of its name (u16) and the name; bits of an index (u8); number of values (u16) and
//! the values (f32); number of entries (u64); and twice, for the codes and for the gaps: number of code lengths (u16), the
//! lengths (u8 each), number of bits (u64), the bits, most significant first, in whole bytes. Of a tensor of signs, behind its
//! name: 255 (u8), number of magnitudes (u32) and the magnitudes (f32), one or one for each filter, and a bit for each weight,
//! set where it is positive, least significant first, in whole bytes. At the end the FNV-1a hash (u64) of all that comes before it.
//!
//! An entry is a gap, the zeros before a weight, and the weight's code. Where more zeros follow than a gap can say
//! (`2^bits - 1`), they are bridged by an entry of the greatest gap and a zero, whose code is the number of values. Zeros
//! after the last entry are not written. Codes are canonical Huffman codes: shorter ones first, then by symbol.

mod huffman;
mod sharing;
mod signs;

use std::collections::BTreeMap;

use skimp_graph::{DType, Dim, Graph, GraphError, GraphInput, Tensor, Value, ValueId, onnx};

use self::huffman::{Reader, Writer, lengths};
pub use self::sharing::sharing_rate;
pub(crate) use self::sharing::{Shared, share};
use self::signs::Signs;
use super::tensors::{WeightTensor, find};

/// Different values, beside zero, up to which a tensor is coded.
const MAX_VALUES: usize = 1 << 12;

/// Bits of a relative index: for convolutions, and for dense layers.
const INDEX_BITS: [u8; 2] = [8, 5];

const MAGIC: &[u8; 4] = b"SKZ1";

/// In place of the bits of an index: the tensor is one of signs.
const SIGNS: u8 = 255;

/// How a tensor is coded.
enum Coded {
    Signs(Signs),
    Shared(Shared),
}

/// A network as a file.
#[derive(Clone, Debug)]
pub struct Compressed {
    /// The file.
    pub bytes: Vec<u8>,
    /// What takes how much of it.
    pub sizes: Sizes,
}

/// Sizes of a compressed network, stage by stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Coded tensors.
    pub tensors: Vec<TensorSizes>,
    /// Bytes of everything else.
    pub other_bytes: usize,
    /// Bytes of the file.
    pub file_bytes: usize,
    /// Bytes of the network as ONNX.
    pub onnx_bytes: usize,
}

/// Sizes of one coded tensor in bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSizes {
    /// Name of the layer.
    pub layer: String,
    /// Weights.
    pub n_weights: usize,
    /// Those that are not zero.
    pub n_kept: usize,
    /// Zeros that bridge gaps.
    pub n_bridges: usize,
    /// Different values.
    pub n_values: usize,
    /// Bits of a relative index.
    pub index_bits: usize,
    /// As f32.
    pub dense_bits: usize,
    /// Pruned: entries of 32 bits and an index.
    pub pruned_bits: usize,
    /// Pruned and shared: entries of a code and an index, and the values.
    pub shared_bits: usize,
    /// In the file: Huffman codes with their tables, and the values.
    pub coded_bits: usize,
}

impl Sizes {
    /// The sum of a size over all coded tensors.
    pub fn sum(&self, of: impl Fn(&TensorSizes) -> usize) -> usize {
        self.tensors.iter().map(of).sum()
    }
}

/// Writes a network.
///
/// # Errors
/// As [`onnx::export_bytes`].
///
/// # Source
/// Han, Mao and Dally, "Deep Compression: Compressing Deep Neural Networks with Pruning, Trained Quantization and Huffman
/// Coding", ICLR 2016: relative indices of 8 bits for convolutions and 5 for dense layers.
/// Differs: the zero that bridges a gap has a code of its own.
pub fn encode(graph: &Graph) -> Result<Compressed, GraphError> {
    let found = find(graph, |_| false);
    let coded = |tensor: &WeightTensor| {
        let elements = tensor.elements(graph);
        let signs = Signs::exact(elements, tensor.shape.first().copied().unwrap_or(1)).map(Coded::Signs);
        let coded = signs.or_else(|| Shared::exact(elements, MAX_VALUES).map(Coded::Shared))?;
        Some((tensor.clone(), coded))
    };
    let coded: Vec<(WeightTensor, Coded)> = found.tensors.iter().filter_map(coded).collect();
    let skeleton = onnx::export_bytes(&skeleton(graph, &coded)?)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend((coded.len() as u32).to_le_bytes());
    bytes.extend((skeleton.len() as u64).to_le_bytes());
    bytes.extend(&skeleton);
    let mut tensors = Vec::with_capacity(coded.len());
    let n_before = bytes.len();
    for (tensor, coded) in &coded {
        tensors.push(match coded {
            Coded::Signs(signs) => write_signs(&mut bytes, tensor, signs),
            Coded::Shared(shared) => write_tensor(&mut bytes, tensor, shared),
        });
    }
    let n_coded = bytes.len() - n_before;
    bytes.extend(hash(&bytes).to_le_bytes());
    let (file_bytes, onnx_bytes) = (bytes.len(), onnx::export_bytes(graph)?.len());
    let sizes = Sizes { tensors, other_bytes: file_bytes - n_coded, file_bytes, onnx_bytes };
    Ok(Compressed { bytes, sizes })
}

/// The network with inputs in place of the coded tensors.
fn skeleton(graph: &Graph, coded: &[(WeightTensor, Coded)]) -> Result<Graph, GraphError> {
    let mut values = graph.values().to_vec();
    let mut inputs = graph.inputs().to_vec();
    for (tensor, _) in coded {
        values[tensor.value.0].constant = None;
        let dims = tensor.shape.iter().map(|&extent| Dim::Fixed(extent)).collect();
        inputs.push(GraphInput { value: tensor.value, dtype: DType::F32, dims });
    }
    with_parts(graph, inputs, values)
}

fn with_parts(graph: &Graph, inputs: Vec<GraphInput>, values: Vec<Value>) -> Result<Graph, GraphError> {
    let made = Graph::new(graph.name(), inputs, graph.outputs().to_vec(), values, graph.nodes().to_vec())?;
    let notes = graph.all_metadata().iter().cloned();
    Ok(notes.fold(made.with_doc(graph.doc()), |graph, (key, value)| graph.with_metadata(key, value)))
}

/// Entries of relative indices: (gap, code); `n_values` is the code of a zero.
fn entries(codes: &[Option<u16>], n_values: usize, index_bits: u8) -> Vec<(usize, usize)> {
    let greatest = (1_usize << index_bits) - 1;
    let mut entries = Vec::new();
    let mut gap = 0;
    for code in codes {
        match code {
            None => gap += 1,
            Some(code) => {
                while gap > greatest {
                    entries.push((greatest, n_values));
                    gap -= greatest + 1;
                }
                entries.push((gap, usize::from(*code)));
                gap = 0;
            }
        }
    }
    entries
}

fn write_name(bytes: &mut Vec<u8>, name: &str) {
    let name = &name.as_bytes()[..name.len().min(usize::from(u16::MAX))];
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend(name);
}

fn write_signs(bytes: &mut Vec<u8>, tensor: &WeightTensor, signs: &Signs) -> TensorSizes {
    let start = bytes.len();
    write_name(bytes, &tensor.name);
    bytes.push(SIGNS);
    bytes.extend((signs.scales.len() as u32).to_le_bytes());
    signs.scales.iter().for_each(|scale| bytes.extend(scale.to_le_bytes()));
    bytes.extend(&signs.bits);
    let n_weights = tensor.len();
    TensorSizes {
        layer: tensor.layer.clone(),
        n_weights,
        n_kept: n_weights,
        n_bridges: 0,
        n_values: 2 * signs.scales.len(),
        index_bits: 0,
        dense_bits: 32 * n_weights,
        pruned_bits: 32 * n_weights,
        shared_bits: n_weights + 32 * signs.scales.len(),
        coded_bits: 8 * (bytes.len() - start),
    }
}

fn write_tensor(bytes: &mut Vec<u8>, tensor: &WeightTensor, shared: &Shared) -> TensorSizes {
    let start = bytes.len();
    let index_bits = INDEX_BITS[usize::from(tensor.shape.len() <= 2)];
    let n_values = shared.book.len();
    let entries = entries(&shared.codes, n_values, index_bits);
    write_name(bytes, &tensor.name);
    bytes.push(index_bits);
    bytes.extend((n_values as u16).to_le_bytes());
    shared.book.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    bytes.extend((entries.len() as u64).to_le_bytes());
    write_symbols(bytes, n_values + 1, entries.iter().map(|&(_, code)| code));
    write_symbols(bytes, 1 << index_bits, entries.iter().map(|&(gap, _)| gap));
    let n_kept = shared.codes.iter().flatten().count();
    let (n_entries, index_bits) = (entries.len(), usize::from(index_bits));
    let code_bits = n_values.next_power_of_two().trailing_zeros() as usize;
    TensorSizes {
        layer: tensor.layer.clone(),
        n_weights: tensor.len(),
        n_kept,
        n_bridges: n_entries - n_kept,
        n_values,
        index_bits,
        dense_bits: 32 * tensor.len(),
        pruned_bits: n_entries * (32 + index_bits),
        shared_bits: n_entries * (code_bits + index_bits) + 32 * n_values,
        coded_bits: 8 * (bytes.len() - start),
    }
}

fn write_symbols(bytes: &mut Vec<u8>, n_symbols: usize, symbols: impl Iterator<Item = usize> + Clone) {
    let mut counts = vec![0; n_symbols];
    symbols.clone().for_each(|symbol| counts[symbol] += 1);
    let lengths = lengths(&counts);
    let n_used = lengths.iter().rposition(|&length| length > 0).map_or(0, |last| last + 1);
    bytes.extend((n_used as u16).to_le_bytes());
    bytes.extend(&lengths[..n_used]);
    let mut writer = Writer::default();
    writer.symbols(&lengths, symbols);
    let (stream, n_bits) = writer.finish();
    bytes.extend(n_bits.to_le_bytes());
    bytes.extend(stream);
}

/// FNV-1a, 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xCBF2_9CE4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// Whether a file begins as those of [`encode`] do.
pub fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads a network; `name` stands for the file in errors.
///
/// # Errors
/// [`GraphError::InvalidFile`] with what is wrong, [`GraphError::Memory`] where its tensors take more memory than the run
/// may, or as [`onnx::import_bytes`].
pub fn decode(bytes: &[u8], name: &str) -> Result<Graph, GraphError> {
    let invalid = |cause: &str| GraphError::InvalidFile { path: name.into(), cause: cause.to_owned() };
    let rest = bytes.strip_prefix(MAGIC).ok_or_else(|| invalid("is no compressed network (SKZ1)"))?;
    let Some((body, sum)) = bytes.split_last_chunk::<8>().filter(|(body, _)| body.len() >= MAGIC.len()) else {
        return Err(invalid("ends early"));
    };
    if hash(body) != u64::from_le_bytes(*sum) {
        return Err(invalid("is damaged: its check sum does not fit"));
    }
    let mut from = Bytes { rest: &rest[..rest.len() - 8] };
    let early = || invalid("ends early");
    let n_tensors = from.u32().ok_or_else(early)?;
    let len = from.u64().and_then(|len| usize::try_from(len).ok()).ok_or_else(early)?;
    let skeleton = from.take(len).ok_or_else(early)?.to_vec();
    let graph = onnx::import_bytes(skeleton.into(), None, name)?;
    let by_name: BTreeMap<&str, &GraphInput> =
        graph.inputs().iter().map(|input| (graph.value(input.value).name.as_str(), input)).collect();
    let mut values = graph.values().to_vec();
    let mut coded: Vec<ValueId> = Vec::new();
    let mut held = Vec::new();
    for _ in 0..n_tensors {
        let tensor_name = from.name().ok_or_else(early)?;
        let of = |cause: &str| invalid(&format!("tensor \"{tensor_name}\": {cause}"));
        let input = by_name.get(tensor_name.as_str()).ok_or_else(|| of("the network has no such tensor"))?;
        let shape: Option<Vec<usize>> = input
            .dims
            .iter()
            .map(|dim| match dim {
                Dim::Fixed(extent) => Some(*extent),
                Dim::Free(_) => None,
            })
            .collect();
        let shape = shape.ok_or_else(|| of("its extents are open"))?;
        let n = shape.iter().try_fold(1_usize, |n, &extent| n.checked_mul(extent)).ok_or_else(|| of("is too large"))?;
        if input.dtype != DType::F32 || coded.contains(&input.value) {
            return Err(of("is no tensor of f32 that is coded once"));
        }
        let bytes = skimp_memory::bytes_of::<f32>(n as u64);
        held.push(skimp_memory::reserve(bytes, || format!("tensor \"{tensor_name}\" of {name}"))?);
        let elements = from.tensor(n).ok_or_else(|| of("its codes do not fit"))?;
        values[input.value.0].constant = Some(Tensor::from_f32(shape, elements));
        coded.push(input.value);
    }
    if !from.rest.is_empty() {
        return Err(invalid("goes on behind its last tensor"));
    }
    let inputs = graph.inputs().iter().filter(|input| !coded.contains(&input.value)).cloned().collect();
    with_parts(&graph, inputs, values)
}

/// What is left of a file.
struct Bytes<'a> {
    rest: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<usize> {
        self.array().map(|bytes| usize::from(u16::from_le_bytes(bytes)))
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn name(&mut self) -> Option<String> {
        let n = self.u16()?;
        String::from_utf8(self.take(n)?.to_vec()).ok()
    }

    /// The `n` elements of a tensor, from behind its name.
    fn tensor(&mut self, n: usize) -> Option<Vec<f32>> {
        let [index_bits] = self.array()?;
        if index_bits == SIGNS {
            return self.signs(n);
        }
        let n_values = self.u16()?;
        let mut book = Vec::with_capacity(n_values);
        for _ in 0..n_values {
            book.push(f32::from_le_bytes(self.array()?));
        }
        let n_entries = usize::try_from(self.u64()?).ok()?;
        if index_bits > 16 || n_entries > n {
            return None;
        }
        let codes = self.symbols(n_entries, n_values + 1)?;
        let gaps = self.symbols(n_entries, 1 << index_bits)?;
        let mut elements = vec![0.0; n];
        let mut next = 0_usize;
        for (code, gap) in codes.into_iter().zip(gaps) {
            let place = next.checked_add(gap)?;
            let element = elements.get_mut(place)?;
            if let Some(&value) = book.get(code) {
                *element = value;
            }
            next = place + 1;
        }
        Some(elements)
    }

    fn signs(&mut self, n: usize) -> Option<Vec<f32>> {
        let n_scales = self.u32()? as usize;
        let scales = self.take(n_scales.checked_mul(4)?)?.as_chunks::<4>().0.iter().copied();
        let scales = scales.map(f32::from_le_bytes).collect();
        let bits = self.take(n.div_ceil(8))?.to_vec();
        Signs { scales, bits }.weights(n)
    }

    fn symbols(&mut self, n: usize, n_symbols: usize) -> Option<Vec<usize>> {
        let n_used = self.u16()?;
        let lengths = self.take(n_used).filter(|lengths| lengths.len() <= n_symbols)?;
        let n_bits = self.u64()?;
        let stream = self.take(usize::try_from(n_bits.div_ceil(8)).ok()?)?;
        let reader = Reader::new(lengths)?;
        let mut position = 0;
        let symbols: Vec<usize> = (0..n).map_while(|_| reader.next(stream, &mut position, n_bits)).collect();
        (symbols.len() == n && position == n_bits).then_some(symbols)
    }
}

#[cfg(test)]
mod tests {
    use skimp_graph::testing::{binarized, random_tensor};
    use skimp_graph::{Executor, networks, reference};

    use super::*;
    use crate::weights::select::{cut_smallest, magnitudes};
    use crate::weights::testing::{bits, small_net};

    /// Gaps of two bits, at most 3: by hand.
    #[test]
    fn gaps_are_bridged() {
        let codes = |text: &str| -> Vec<Option<u16>> {
            text.chars().map(|c| c.to_digit(10).map(|digit| digit as u16)).collect()
        };
        // `.` is a zero.
        for (text, expected) in [
            ("0.1", vec![(0, 0), (1, 1)]),
            ("...1", vec![(3, 1)]),
            ("....1", vec![(3, 9), (0, 1)]),
            (".........1..", vec![(3, 9), (3, 9), (1, 1)]),
            ("...", vec![]),
        ] {
            assert_eq!(entries(&codes(text), 9, 2), expected, "{text}");
        }
    }

    /// A network pruned to 90 % whose tensors share few values, but for conv1.
    fn network() -> Graph {
        let graph = small_net();
        let mut values = graph.values().to_vec();
        for tensor in &find(&graph, |layer| layer == "conv1").tensors {
            let weights = tensor.elements(&graph);
            let mask = cut_smallest(&magnitudes(weights), weights.len() * 9 / 10);
            let pruned: Vec<f32> =
                weights.iter().zip(mask).map(|(w, mask)| if mask > 0.0 { *w } else { 0.0 }).collect();
            let elements = share(&pruned, 16).values();
            values[tensor.value.0].constant = Some(Tensor::from_f32(tensor.shape.clone(), elements));
        }
        let inputs = graph.inputs().to_vec();
        with_parts(&graph, inputs, values).unwrap().with_metadata("made", "by hand").with_doc("small")
    }

    /// Sheet 1.5, test 6: the same network bit for bit, and a smaller file.
    #[test]
    fn the_same_network_comes_back() {
        let graph = network();
        let compressed = encode(&graph).unwrap();
        let decoded = decode(&compressed.bytes, "small.skz").unwrap();
        assert_eq!((decoded.nodes().len(), decoded.inputs().len()), (graph.nodes().len(), 1));
        assert_eq!((decoded.doc(), decoded.metadata("made")), ("small", Some("by hand")));
        let sorted = |graph: &Graph| {
            let mut bits = bits(graph);
            bits.sort();
            bits
        };
        assert_eq!(sorted(&decoded), sorted(&graph));
        let images = [random_tensor(2, "images", vec![2, 1, 28, 28], 0.0, 1.0)];
        let output = |graph: &Graph| reference::Reference::new(graph).run(&images).unwrap();
        assert_eq!(output(&decoded), output(&graph));

        let Sizes { tensors, other_bytes, file_bytes, onnx_bytes } = &compressed.sizes;
        assert_eq!(*file_bytes, compressed.bytes.len());
        assert_eq!(8 * (file_bytes - other_bytes), compressed.sizes.sum(|tensor| tensor.coded_bits));
        assert!(file_bytes * 3 < *onnx_bytes, "{file_bytes} {onnx_bytes}");
        let names: Vec<(&str, usize, usize)> =
            tensors.iter().map(|tensor| (tensor.layer.as_str(), tensor.n_kept, tensor.index_bits)).collect();
        // conv1 is dense, but has few weights: 72 values.
        assert_eq!(names, [("conv1", 72, 8), ("conv2", 87, 8), ("fc", 588, 5)]);
        let fc = &tensors[2];
        assert_eq!(fc.dense_bits, 32 * 5880);
        assert_eq!(fc.pruned_bits, (fc.n_kept + fc.n_bridges) * 37);
        assert_eq!(fc.shared_bits, (fc.n_kept + fc.n_bridges) * 9 + 32 * fc.n_values);
        assert!(fc.coded_bits < fc.shared_bits && fc.shared_bits < fc.pruned_bits && fc.pruned_bits < fc.dense_bits);
    }

    #[test]
    fn a_binary_network_takes_one_bit_a_weight() {
        let graph = networks::build("conv4-fc2:widths=8-8-16-16-64", networks::Weights::Seeded(1)).unwrap();
        let graph = binarized(&graph, false).unwrap();
        let Compressed { bytes, sizes } = encode(&graph).unwrap();
        let sorted = |graph: &Graph| {
            let mut bits = bits(graph);
            bits.sort();
            bits
        };
        assert_eq!(sorted(&decode(&bytes, "binary.skz").unwrap()), sorted(&graph));
        assert!(sizes.file_bytes * 20 < sizes.onnx_bytes, "{sizes:?}");
        assert!(sizes.tensors.iter().all(|tensor| tensor.coded_bits < tensor.n_weights + 8 * 40), "{sizes:?}");
        // A byte of signs more than there are.
        let mut long = bytes.clone();
        long.truncate(bytes.len() - 8);
        long.push(0);
        long.extend(hash(&long).to_le_bytes());
        assert!(decode(&long, "long.skz").unwrap_err().to_string().contains("goes on"));
    }

    #[test]
    fn damaged_files_are_refused() {
        let bytes = encode(&network()).unwrap().bytes;
        let error = |bytes: &[u8]| decode(bytes, "some.skz").unwrap_err().to_string();
        assert!(error(b"").contains("some.skz") && error(b"ONNX").contains("no compressed network"));
        assert!(error(b"SKZ1").contains("ends early"));
        for at in (4..bytes.len()).step_by(bytes.len() / 40) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 4;
            assert!(error(&damaged).contains("check sum"), "byte {at}");
            assert!(decode(&bytes[..at], "some.skz").is_err());
            // With a check sum that fits: refused or another network, never a panic.
            let n = damaged.len() - 8;
            let sum = hash(&damaged[..n]).to_le_bytes();
            damaged[n..].copy_from_slice(&sum);
            let _ = decode(&damaged, "some.skz");
        }
    }
}
