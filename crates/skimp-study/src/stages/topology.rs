//! Networks as shapes only: SCALE-Sim topologies, read and written.
//!
//! A line is one layer after a header line, fields separated by commas, with or without a comma at the end:
//! `name, IFMAP height, IFMAP width, filter height, filter width, channels, filters, stride`, or for a matrix product
//! `name, M, N, K`. As in SCALE-Sim, the stride holds for rows and columns, output extents round up, and a convolution with
//! `DP` in its name is a depthwise one. N:M sparsity is not supported.
//!
//! Padding is part of the IFMAP extents, and is data like the rest for accelerators that read or store it. What stands
//! behind the last comma SCALE-Sim does not read: `pads=TOP:LEFT:BOTTOM:RIGHT` there tells how much of the IFMAP is padding,
//! as ONNX orders it. Exported topologies have it.
//!
//! # Source
//! R. Raj et al., "SCALE-Sim v3", ISPASS 2025: the topology files of its program, 3.0.0.
//! Differs: the comma at the end may be missing; a stride of columns may follow if it is the same.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use skimp_graph::ops;
use skimp_graph::{Op, shape, statistics};
use skimp_quant::QuantizationConfig;
use skimp_report::records::ModelRecord;
use skimp_sim::{LayerKind, LayerShape, LayerWorkload, ShapeSpec};

use crate::error::StudyError;
use crate::inputs::network::{Network, hex};
use crate::stages::inspect::{InspectLayer, InspectRecord, InspectTotal};

/// Greatest extent in a topology.
const MAX_EXTENT: usize = 1 << 24;

/// Layers without values.
#[derive(Clone, Debug)]
pub struct Topology {
    /// The file's stem.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file in lower-case hexadecimal digits.
    pub sha256: String,
    /// The layers, 16-bit codes.
    pub layers: Vec<LayerWorkload>,
}

/// Longer files are no topology.
const MAX_BYTES: u64 = 256 << 20;

impl Topology {
    /// Whether a model on the command line is a topology: its name ends in `.csv`.
    #[must_use]
    pub fn is_named(model: &str) -> bool {
        Path::new(model).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
    }

    /// Reads a topology.
    ///
    /// # Errors
    /// [`StudyError::Io`] if the file cannot be read, [`StudyError::InvalidTopology`] naming the line and the cause.
    pub fn open(path: &Path) -> Result<Self, StudyError> {
        let bytes = skimp_files::read(path, MAX_BYTES).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => StudyError::NoSuchFile { path: path.to_owned() },
            _ => StudyError::Io { path: path.to_owned(), source },
        })?;
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            path: path.to_owned(),
            sha256: hex(&Sha256::digest(&bytes)),
            layers: parse(&bytes, path)?,
        })
    }

    /// The layers of a network, as a topology of it would list them.
    ///
    /// # Errors
    /// As [`export_topology`].
    pub(crate) fn of(network: &Network, input_size: Option<[usize; 2]>) -> Result<Self, StudyError> {
        let (name, path) = (network.name.clone(), PathBuf::from(format!("{}.csv", network.name)));
        let layers = parse(export_topology(network, input_size)?.as_bytes(), &path)?;
        Ok(Self { name, path, sha256: network.sha256.clone(), layers })
    }

    /// The layers with codes of the given widths.
    pub(crate) fn workloads(&self, quantization: &QuantizationConfig) -> Vec<LayerWorkload> {
        let (weight_bits, activation_bits) = (quantization.weight_bits, quantization.activation_bits);
        self.layers.iter().map(|layer| LayerWorkload { weight_bits, activation_bits, ..layer.clone() }).collect()
    }

    pub(crate) fn record(&self) -> ModelRecord {
        ModelRecord {
            name: self.name.clone(),
            path: Some(self.path.display().to_string()),
            sha256: self.sha256.clone(),
            untrained: false,
        }
    }
}

/// Operator of a layer as in ONNX.
pub(crate) fn operator(layer: &LayerWorkload) -> &'static str {
    match layer.kind {
        LayerKind::Conv => "Conv",
        LayerKind::Dense => "Gemm",
    }
}

/// Counts the layers of a topology. The peak of the activations is the largest layer's, inputs and outputs together.
#[must_use]
pub fn inspect_topology(topology: &Topology) -> InspectRecord {
    let layers: Vec<InspectLayer> = topology
        .layers
        .iter()
        .map(|layer| InspectLayer {
            name: layer.name.clone(),
            operator: operator(layer),
            input_shapes: vec![vec![1, layer.shape.c(), layer.shape.h(), layer.shape.w()]],
            output_shapes: vec![vec![1, layer.shape.k(), layer.shape.p(), layer.shape.q()]],
            weights: layer.shape.weight_count() as u64,
            parameters: layer.shape.weight_count() as u64,
            macs: layer.shape.dense_macs(),
        })
        .collect();
    let sum = |count: fn(&LayerWorkload) -> u64| topology.layers.iter().map(count).fold(0, u64::saturating_add);
    let weights = sum(|layer| layer.shape.weight_count() as u64);
    InspectRecord {
        schema: "skimp.inspect/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: topology.record(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        layers,
        total: InspectTotal {
            weights,
            parameters: weights,
            buffers: 0,
            macs: sum(|layer| layer.shape.dense_macs()),
            convolution_macs: sum(|layer| if operator(layer) == "Conv" { layer.shape.dense_macs() } else { 0 }),
            activation_sum: sum(|layer| layer.shape.output_count() as u64),
            activation_peak: topology
                .layers
                .iter()
                .map(|layer| (layer.shape.input_count() + layer.shape.output_count()) as u64)
                .max()
                .unwrap_or(0),
        },
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<Vec<LayerWorkload>, StudyError> {
    let fault = |line: u64, cause: String| StudyError::InvalidTopology { path: path.to_owned(), line, cause };
    let text = std::str::from_utf8(bytes).map_err(|_| fault(1, "not UTF-8 text".to_owned()))?;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let mut layers = Vec::new();
    let mut headed = false;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| fault(reader_line(&error), error.to_string()))? {
        let line = record.position().map_or(0, csv::Position::line);
        let mut fields: Vec<&str> = record.iter().collect();
        while fields.last().is_some_and(|field| field.is_empty()) {
            fields.pop();
        }
        let numeric = fields.get(1).is_some_and(|field| field.parse::<usize>().is_ok());
        match (headed, fields.is_empty()) {
            (_, true) => {}
            (false, _) if numeric => {
                return Err(fault(line, "expected a header line before the first layer".to_owned()));
            }
            (false, _) => headed = true,
            (true, _) => layers.push(layer(&fields).map_err(|cause| fault(line, cause))?),
        }
    }
    if layers.is_empty() {
        return Err(fault(1, "no layer, expected a header line and one line for each layer".to_owned()));
    }
    Ok(layers)
}

fn reader_line(error: &csv::Error) -> u64 {
    error.position().map_or(1, csv::Position::line)
}

fn layer(fields: &[&str]) -> Result<LayerWorkload, String> {
    let (&name, mut numbers) = fields.split_first().ok_or("empty line")?;
    let mut pads = [0; 4];
    if let Some((text, before)) = numbers.split_last().and_then(|(last, rest)| Some((last.strip_prefix(PADS)?, rest))) {
        pads = parse_pads(text)?;
        numbers = before;
        while let Some((&"", before)) = numbers.split_last() {
            numbers = before;
        }
    }
    if let Some((&ratio, before)) = numbers.split_last().filter(|(last, _)| last.contains(':')) {
        if ratio.split_once(':').is_none_or(|(n, m)| n.trim() != m.trim()) {
            return Err(format!("N:M sparsity \"{ratio}\" is not supported, expected 1:1 or none"));
        }
        numbers = before;
    }
    let values = (2..).zip(numbers).map(|(column, field)| extent(column, field)).collect::<Result<Vec<_>, _>>()?;
    let depthwise = name.contains("DP");
    let convolution = |h, w, r, s, c: usize, k: usize, stride| {
        let (k, groups) = if depthwise { (c.saturating_mul(k), c) } else { (k, 1) };
        let (strides, dilations) = ([stride; 2], [1; 2]);
        let ifmap =
            ShapeSpec { n: 1, c, h, w, k, r, s, strides, dilations, pads_begin: [0; 2], pads_end: [0; 2], groups };
        windows(name, ifmap, pads)
    };
    let workload = match values[..] {
        [1, n, k] => LayerWorkload::dense(name, k, n),
        [m, n, k] => windows(name, ShapeSpec::square(k, m, 1, n, 1), pads)?,
        [1, 1, 1, 1, c, k, _] if !depthwise => LayerWorkload::dense(name, c, k),
        [h, w, r, s, c, k, stride] => convolution(h, w, r, s, c, k, stride)?,
        [h, w, r, s, c, k, rows, columns] if rows == columns => convolution(h, w, r, s, c, k, rows)?,
        [_, _, _, _, _, _, rows, columns] => {
            return Err(format!("strides {rows} and {columns} differ, a SCALE-Sim topology has one for both axes"));
        }
        _ => {
            return Err(format!(
                "{} fields, expected 8 (name, IFMAP h, w, filter h, w, channels, filters, stride) or 4 (name, M, N, K)",
                values.len() + 1
            ));
        }
    };
    workload.validated().map_err(|error| error.to_string())
}

/// What introduces the padding of an IFMAP.
const PADS: &str = "pads=";

fn parse_pads(text: &str) -> Result<[usize; 4], String> {
    let malformed = || format!("\"{PADS}{text}\", expected {PADS}TOP:LEFT:BOTTOM:RIGHT");
    let pads = text.split(':').map(|pad| pad.trim().parse::<usize>().ok().filter(|&pad| pad <= MAX_EXTENT));
    pads.collect::<Option<Vec<_>>>().and_then(|pads| pads.try_into().ok()).ok_or_else(malformed)
}

/// The layer of an unpadded `ifmap` with its extents split into map and padding, and an output of
/// `ceil((extent - kernel) / stride) + 1`: the last window may reach beyond the IFMAP, over zeros.
fn windows(name: &str, ifmap: ShapeSpec, [top, left, bottom, right]: [usize; 4]) -> Result<LayerWorkload, String> {
    let ShapeSpec { h, w, r, s, .. } = ifmap;
    if r > h || s > w {
        return Err(format!("filter of {r} x {s} is larger than the IFMAP of {h} x {w}"));
    }
    let map = |extent: usize, pads: usize| extent.checked_sub(pads).filter(|&map| map > 0);
    let (Some(rows), Some(columns)) = (map(h, top + bottom), map(w, left + right)) else {
        return Err(format!("pads {top}:{left}:{bottom}:{right} leave nothing of the IFMAP of {h} x {w}"));
    };
    let beyond = |extent: usize, kernel: usize, stride| (extent - kernel).next_multiple_of(stride) - (extent - kernel);
    let [down, across] = ifmap.strides;
    let shape = LayerShape::new(ShapeSpec {
        h: rows,
        w: columns,
        pads_begin: [top, left],
        pads_end: [bottom + beyond(h, r, down), right + beyond(w, s, across)],
        ..ifmap
    });
    Ok(LayerWorkload::of_shape(name, LayerKind::Conv, shape.map_err(|error| error.to_string())?))
}

fn extent(column: usize, field: &str) -> Result<usize, String> {
    match field.parse::<usize>() {
        Ok(value) if (1..=MAX_EXTENT).contains(&value) => Ok(value),
        _ => Err(format!("field {column} is \"{field}\", expected a whole number from 1 to {MAX_EXTENT}")),
    }
}

/// A network's convolutions and dense layers as a SCALE-Sim topology. Extents are those that the windows cover, padding
/// included, so nothing is left to round; how much of them is padding stands behind the last comma. Groups of one channel
/// become a depthwise layer, other groups and the matrices of a batched product one layer each.
/// Layers that multiply nothing are not listed.
///
/// # Errors
/// [`StudyError::Graph`] as in [`inspect`](crate::inspect()); [`StudyError::NotInTopology`]
/// naming a layer.
pub fn export_topology(network: &Network, input_size: Option<[usize; 2]>) -> Result<String, StudyError> {
    let graph = &network.graph;
    let inputs = shape::bind(graph, 1, input_size.map(|[height, width]| (height, width)))?;
    let shapes = shape::infer(graph, &inputs)?;
    let counts = statistics::compute(graph, &shapes);
    let mut text = String::from(
        "Layer name,IFMAP height,IFMAP width,Filter height,Filter width,Channels,Num filter,Stride height,\n",
    );
    for (node, layer) in graph.nodes().iter().zip(&counts.layers) {
        let name: String = layer.name.chars().map(|c| if ",\"\r\n".contains(c) { '_' } else { c }).collect();
        if name.contains("DP") {
            return Err(unsupported(&name, "\"DP\" in a name, which means depthwise there"));
        }
        match &node.op {
            Op::Conv(ops::Conv { window, groups }) => {
                let shape_of = |idx: usize| node.inputs.get(idx).copied().flatten().map(|id| shapes.shape(id));
                let (Some([_, c, extents @ ..]), Some([k, ..])) = (shape_of(0), shape_of(1)) else { continue };
                let axes = shape::window_axes(&node.op, &node.name, window, extents)?;
                let [rows, columns] = axes[..] else {
                    return Err(unsupported(&name, "a convolution that is not two-dimensional"));
                };
                if rows.dilation != 1 || columns.dilation != 1 {
                    return Err(unsupported(&name, "dilation"));
                }
                if rows.stride != columns.stride {
                    return Err(unsupported(&name, "strides that differ between rows and columns"));
                }
                let filters = k / groups;
                let after = |axis: shape::WindowAxis| axis.span().saturating_sub(axis.input + axis.pad_begin);
                let pads = [rows.pad_begin, columns.pad_begin, after(rows), after(columns)];
                let mut line = |name: &str, channels: usize| {
                    let extents = [rows.span(), columns.span(), rows.kernel, columns.kernel, channels, filters];
                    push_line(&mut text, name, extents, rows.stride, pads);
                };
                match (*groups, c / groups) {
                    (1, channels) => line(&name, channels),
                    (groups, 1) => line(&format!("DP_{name}"), groups),
                    (groups, channels) => (0..groups).for_each(|idx| line(&format!("{name}_group{idx}"), channels)),
                }
            }
            Op::Gemm(_) | Op::MatMul if layer.output_elements > 0 => {
                let n = layer.outputs.first().and_then(|shape| shape.last()).copied().unwrap_or(1).max(1);
                let k = (layer.macs / layer.output_elements) as usize;
                // Each matrix of a batched product is a layer of its own: it multiplies other rows.
                let second = node.inputs.get(1).copied().flatten().map_or(&[][..], |id| shapes.shape(id));
                let matrices: usize = second.iter().rev().skip(2).product();
                let m = layer.output_elements as usize / n / matrices.max(1);
                let names =
                    (0..matrices).map(|idx| if matrices == 1 { name.clone() } else { format!("{name}_matrix{idx}") });
                names.for_each(|name| push_line(&mut text, &name, [m, 1, 1, 1, k, n], 1, [0; 4]));
            }
            // Where nothing is multiplied there is no layer to list.
            other => {
                if layer.macs > 0 {
                    return Err(unsupported(&name, &format!("the operator {}", other.name())));
                }
            }
        }
    }
    Ok(text)
}

fn unsupported(layer: &str, what: &str) -> StudyError {
    StudyError::NotInTopology { layer: layer.to_owned(), what: what.to_owned() }
}

fn push_line(text: &mut String, name: &str, extents: [usize; 6], stride: usize, pads: [usize; 4]) {
    text.push_str(name);
    for extent in extents.into_iter().chain([stride]) {
        text.push(',');
        text.push_str(&extent.to_string());
    }
    text.push(',');
    if pads != [0; 4] {
        text.push_str(PADS);
        text.push_str(&pads.map(|pad| pad.to_string()).join(":"));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use skimp_graph::testing::random_tensor;
    use skimp_graph::{DType, Dim, GraphBuilder};

    use super::*;

    fn layers(text: &str) -> Result<Vec<LayerWorkload>, String> {
        parse(text.as_bytes(), Path::new("t.csv")).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_of_every_kind() {
        let text = "Layer name, IFMAP Height, ...,\nConv1, 230, 230, 7, 7, 3, 64, 2,\n\nDP_x,9,9,3,3,8,1,1,1:1,\n\
                    tall,9,7,3,1,8,4,2,2\nfc,1,1,1,1,512,1000,1\n";
        let found = layers(text).unwrap();
        let shape = |layer: &LayerWorkload| {
            (layer.shape.c(), layer.shape.k(), layer.shape.groups(), layer.shape.p(), layer.shape.q())
        };
        assert_eq!(
            found.iter().map(shape).collect::<Vec<_>>(),
            [(3, 64, 1, 113, 113), (8, 8, 8, 7, 7), (8, 4, 1, 4, 4), (512, 1000, 1, 1, 1)]
        );
        assert_eq!(operator(&found[3]), "Gemm");
        let found = layers("Layer,M,N,K,\nmlp,200,30,40,\none,1,30,40\nDP_product,6,5,4,\n").unwrap();
        let macs = found.iter().map(|layer| layer.shape.dense_macs()).collect::<Vec<_>>();
        assert_eq!(macs, [240_000, 1200, 120], "no matrix product is depthwise");
    }

    /// Output extents, multiply-accumulates and inputs of an output as SCALE-Sim 3.0.0's `topo_calc_hyperparams` gives them.
    #[test]
    fn outputs_round_up_as_in_scale_sim() {
        for (line, outputs, macs, window) in SCALE_SIM {
            let layer = &layers(&format!("Layer,h\n{line}\n")).unwrap()[0];
            let found = ([layer.shape.p(), layer.shape.q()], layer.shape.dense_macs(), layer.shape.inputs_per_output());
            assert_eq!(found, (outputs, macs, window), "{line}");
        }
    }

    const SCALE_SIM: [(&str, [usize; 2], u64, usize); 30] = [
        ("c0,28,5,3,2,3,35,1,", [26, 4], 65520, 18),
        ("c1,6,39,3,7,7,3,1,", [4, 33], 58212, 147),
        ("c2,9,20,5,5,3,36,4,", [2, 5], 27000, 75),
        ("c3,8,21,1,7,19,4,4,", [3, 5], 7980, 133),
        ("c4,3,37,1,2,5,19,4,", [2, 10], 3800, 10),
        ("DP_5,9,43,2,7,10,36,2,", [5, 19], 478800, 14),
        ("c6,37,19,1,7,12,7,1,", [37, 13], 282828, 84),
        ("c7,46,14,7,1,16,35,4,", [11, 5], 215600, 112),
        ("c8,40,34,3,5,12,20,2,", [20, 16], 1152000, 180),
        ("c9,7,38,2,2,10,34,4,", [3, 10], 40800, 40),
        ("c10,21,43,3,5,3,8,4,", [6, 11], 23760, 45),
        ("DP_11,11,34,2,3,14,3,1,", [10, 32], 80640, 6),
        ("c12,27,28,7,7,12,39,4,", [6, 7], 963144, 588),
        ("c13,11,10,7,5,9,31,1,", [5, 6], 292950, 315),
        ("c14,37,31,1,3,10,25,3,", [13, 11], 107250, 30),
        ("c15,23,15,1,5,4,32,1,", [23, 11], 161920, 20),
        ("c16,10,18,2,3,13,26,4,", [3, 5], 30420, 78),
        ("DP_17,29,27,1,2,18,18,2,", [15, 14], 136080, 2),
        ("c18,22,33,5,7,12,25,2,", [10, 14], 1470000, 420),
        ("c19,13,10,2,1,8,15,1,", [12, 10], 28800, 16),
        ("c20,16,23,5,7,10,1,2,", [7, 9], 22050, 350),
        ("c21,28,46,5,7,19,21,2,", [13, 21], 3812445, 665),
        ("c22,10,36,7,7,18,26,4,", [2, 9], 412776, 882),
        ("DP_23,11,35,5,5,13,4,2,", [4, 16], 83200, 25),
        ("c24,29,12,1,2,4,22,1,", [29, 11], 56144, 8),
        ("c25,37,10,1,1,18,7,3,", [13, 4], 6552, 18),
        ("c26,11,14,7,1,13,10,3,", [3, 6], 16380, 91),
        ("c27,26,37,3,7,4,8,4,", [7, 9], 42336, 84),
        ("c28,35,24,5,5,3,10,1,", [31, 20], 465000, 75),
        ("DP_29,33,13,3,3,17,2,2,", [16, 6], 29376, 9),
    ];

    #[test]
    fn padding_is_data_unless_the_line_tells() {
        let found = layers("Layer,h\na,16,16,3,3,512,512,1,\nb,16,16,3,3,512,512,1,pads=1:1:1:1\n").unwrap();
        assert_eq!((found[0].shape.h(), found[0].shape.pads_begin(), found[0].shape.p()), (16, [0, 0], 14));
        assert_eq!(
            (found[1].shape.h(), found[1].shape.pads_begin(), found[1].shape.pads_end(), found[1].shape.p()),
            (14, [1, 1], [1, 1], 14)
        );
        // The last window reaches one row beyond: padding, too.
        let found = layers("Layer,h\na,8,9,3,3,1,1,2,pads=1:0:0:2\n").unwrap();
        assert_eq!((found[0].shape.h(), found[0].shape.w(), found[0].shape.pads_end()), (7, 7, [1, 2]));
    }

    #[test]
    fn faults_name_file_line_and_cause() {
        for (text, message) in [
            ("", "t.csv:1: no layer"),
            ("Layer,h\n", "t.csv:1: no layer"),
            ("a,8,8,3,3,4,4,1\n", "t.csv:1: expected a header line"),
            ("Layer,h\na,8,8,3,3,4,1\n", "t.csv:2: 7 fields, expected 8 "),
            ("Layer,h\na,8,8,3,3,4,4,1\nb,8,x,3,3,4,4,1\n", "t.csv:3: field 3 is \"x\""),
            ("Layer,h\na,8,8,3,3,0,4,1\n", "t.csv:2: field 6 is \"0\""),
            ("Layer,h\na,2,8,3,3,4,4,1\n", "t.csv:2: filter of 3 x 3 is larger than the IFMAP of 2 x 8"),
            ("Layer,h\na,8,8,3,3,4,4,1,2,\n", "t.csv:2: strides 1 and 2 differ"),
            ("Layer,h\na,8,8,3,3,4,4,1,pads=1:1\n", "t.csv:2: \"pads=1:1\", expected pads=TOP:LEFT:BOTTOM:RIGHT"),
            ("Layer,h\na,8,8,3,3,4,4,1,pads=4:0:4:0\n", "t.csv:2: pads 4:0:4:0 leave nothing"),
            ("Layer,h\na,8,8,3,3,4,4,1,2:4\n", "t.csv:2: N:M sparsity \"2:4\" is not supported"),
            ("Layer,M\na,8,8,99999999999\n", "t.csv:2: field 4 is \"99999999999\""),
            ("Layer,h\na,16777216,16777216,1,1,16777216,16777216,1\n", "t.csv:2: "),
        ] {
            let found = layers(text).unwrap_err();
            assert!(found.starts_with(message), "{found:?} does not start with {message:?}");
        }
        assert!(parse(&[0xff, 0xfe, 0], Path::new("t.csv")).is_err());
    }

    fn network(node: Op, input: &[usize], weight: Option<&[usize]>) -> Network {
        let mut builder = GraphBuilder::new("net");
        let dims = std::iter::once(Dim::Free("N".to_owned())).chain(input.iter().map(|&extent| Dim::Fixed(extent)));
        let x = builder.input("x", DType::F32, dims.collect());
        let weight = weight.map(|shape| builder.constant("w", random_tensor(1, "w", shape.to_vec(), 0.0, 1.0)));
        let y = builder.node("node", node, &[x, weight.unwrap_or(x)]);
        builder.output(y);
        let graph = builder.build().unwrap();
        let (name, sha256) = ("net".to_owned(), String::new());
        Network { name, graph, path: None, sha256, size_bytes: 0, is_untrained: true }
    }

    #[test]
    fn what_multiplies_is_exported_or_refused() {
        // Three matrices of 4 x 4, each with other weights: three layers, and every multiply-accumulate once.
        let network_of = |weight| network(Op::MatMul, &[3, 4, 4], weight);
        let text = export_topology(&network_of(None), None).unwrap();
        assert!(text.contains("\nnode_matrix2,4,1,1,1,4,4,1,"), "{text}");
        assert_eq!(layers(&text).unwrap().iter().map(|layer| layer.shape.dense_macs()).sum::<u64>(), 3 * 4 * 4 * 4);
        // One matrix of weights for all rows: one layer.
        let text = export_topology(&network_of(Some(&[4, 5])), None).unwrap();
        assert!(text.contains("\nnode,12,1,1,1,4,5,1,"), "{text}");
        let einsum = Op::Einsum(ops::Einsum { equation: "nhij,hjk->nhik".to_owned() });
        let refused = export_topology(&network(einsum, &[3, 4, 4], Some(&[3, 4, 4])), None).unwrap_err().to_string();
        assert_eq!(refused, "layer \"node\": a SCALE-Sim topology cannot hold the operator Einsum");
    }
}
