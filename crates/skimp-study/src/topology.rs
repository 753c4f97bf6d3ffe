//! Networks as shapes only: SCALE-Sim topologies, read and written.
//!
//! A line is one layer after a header line, fields separated by commas, with or without a comma at the end:
//! `name, IFMAP height, IFMAP width, filter height, filter width, channels, filters, stride[, stride width]`, or for a
//! matrix product `name, M, N, K`. Padding is part of the IFMAP extents. As in SCALE-Sim, a name with `DP` in it is a
//! depthwise convolution. N:M sparsity is not supported.
//!
//! # Source
//! R. Raj et al., "SCALE-Sim v3", ISPASS 2025: the topology files of its program, 3.0.0.
//! Differs: outputs round down unless an accelerator is told otherwise; a second stride may follow the first.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use skimp_graph::{Op, shape, statistics};
use skimp_report::records::ModelRecord;
use skimp_sim::LayerWorkload;

use crate::inspect::{InspectLayer, InspectRecord, InspectTotal};
use crate::network::hex;
use crate::{Network, QuantizationConfig, StudyError};

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
        let bytes = std::fs::read(path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => StudyError::Usage(format!("{}: no such file", path.display())),
            _ => StudyError::Io { path: path.to_owned(), source },
        })?;
        Ok(Self {
            name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            path: path.to_owned(),
            sha256: hex(&Sha256::digest(&bytes)),
            layers: parse(&bytes, path)?,
        })
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
        skimp_sim::LayerKind::Conv => "Conv",
        skimp_sim::LayerKind::Dense => "Gemm",
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
            input_shapes: vec![vec![1, layer.c, layer.h, layer.w]],
            output_shapes: vec![vec![1, layer.k, layer.p, layer.q]],
            weights: layer.weight_count() as u64,
            parameters: layer.weight_count() as u64,
            macs: layer.dense_macs(),
        })
        .collect();
    let sum = |count: fn(&LayerWorkload) -> u64| topology.layers.iter().map(count).fold(0, u64::saturating_add);
    let weights = sum(|layer| layer.weight_count() as u64);
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
            macs: sum(LayerWorkload::dense_macs),
            convolution_macs: sum(|layer| if operator(layer) == "Conv" { layer.dense_macs() } else { 0 }),
            activation_sum: sum(|layer| layer.output_count() as u64),
            activation_peak: topology
                .layers
                .iter()
                .map(|layer| (layer.input_count() + layer.output_count()) as u64)
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
    if let Some((&ratio, before)) = numbers.split_last().filter(|(last, _)| last.contains(':')) {
        if ratio.split_once(':').is_none_or(|(n, m)| n.trim() != m.trim()) {
            return Err(format!("N:M sparsity \"{ratio}\" is not supported, expected 1:1 or none"));
        }
        numbers = before;
    }
    let values = (2..).zip(numbers).map(|(column, field)| extent(column, field)).collect::<Result<Vec<_>, _>>()?;
    let workload = match values[..] {
        [1, n, k] => LayerWorkload::dense(name, k, n),
        [m, n, k] => unpadded(name, [m, 1], [1, 1], k, n, [1, 1]),
        [1, 1, 1, 1, c, k, _] | [1, 1, 1, 1, c, k, _, _] if !name.contains("DP") => LayerWorkload::dense(name, c, k),
        [h, w, r, s, c, k, stride] => unpadded(name, [h, w], [r, s], c, k, [stride, stride]),
        [h, w, r, s, c, k, rows, columns] => unpadded(name, [h, w], [r, s], c, k, [rows, columns]),
        _ => {
            return Err(format!(
                "{} fields, expected 8 or 9 (name, IFMAP h, w, filter h, w, channels, filters, stride[, stride w]) or 4 \
                 (name, M, N, K)",
                values.len() + 1
            ));
        }
    };
    if workload.r > workload.h || workload.s > workload.w {
        return Err(format!(
            "filter of {} x {} is larger than the IFMAP of {} x {}",
            workload.r, workload.s, workload.h, workload.w
        ));
    }
    workload.validated().map_err(|error| error.to_string())
}

fn extent(column: usize, field: &str) -> Result<usize, String> {
    match field.parse::<usize>() {
        Ok(value) if (1..=MAX_EXTENT).contains(&value) => Ok(value),
        _ => Err(format!("field {column} is \"{field}\", expected a whole number from 1 to {MAX_EXTENT}")),
    }
}

fn unpadded(
    name: &str,
    [h, w]: [usize; 2],
    [r, s]: [usize; 2],
    c: usize,
    k: usize,
    strides: [usize; 2],
) -> LayerWorkload {
    let mut layer = LayerWorkload::conv(name, c, h, w, k, r);
    (layer.s, layer.strides, layer.pads_begin, layer.pads_end) = (s, strides, [0, 0], [0, 0]);
    if name.contains("DP") {
        (layer.groups, layer.k) = (c, c.saturating_mul(k));
    }
    layer.set_output_extents();
    layer
}

/// A network's convolutions and dense layers as a SCALE-Sim topology. Extents are those that the windows cover, padding
/// included, so nothing is left to round; groups of one channel become a depthwise layer, other groups one layer each.
///
/// # Errors
/// [`StudyError::Graph`] as in [`inspect`](crate::inspect()); [`StudyError::Usage`] naming a layer that a topology cannot
/// hold.
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
            return Err(StudyError::Usage(format!("layer \"{name}\": \"DP\" in a name means depthwise in a topology")));
        }
        match &node.op {
            Op::Conv { window, groups } => {
                let shape_of = |idx: usize| node.inputs.get(idx).copied().flatten().map(|id| shapes.shape(id));
                let (Some([_, c, extents @ ..]), Some([k, ..])) = (shape_of(0), shape_of(1)) else { continue };
                let axes = shape::window_axes(&node.op, &node.name, window, extents)?;
                let [rows, columns] = axes[..] else {
                    return Err(unsupported(&name, "a convolution that is not two-dimensional"));
                };
                if rows.dilation != 1 || columns.dilation != 1 {
                    return Err(unsupported(&name, "dilation"));
                }
                let covered = |axis: shape::WindowAxis| (axis.output.max(1) - 1) * axis.stride + axis.kernel;
                let filters = k / groups;
                let mut line = |name: &str, channels: usize| {
                    push_line(
                        &mut text,
                        name,
                        &[covered(rows), covered(columns), rows.kernel, columns.kernel, channels, filters],
                        [rows.stride, columns.stride],
                    );
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
                let m = layer.output_elements as usize / n;
                push_line(&mut text, &name, &[m, 1, 1, 1, k, n], [1, 1]);
            }
            _ => {}
        }
    }
    Ok(text)
}

fn unsupported(layer: &str, what: &str) -> StudyError {
    StudyError::Usage(format!("layer \"{layer}\": a SCALE-Sim topology cannot hold {what}"))
}

fn push_line(text: &mut String, name: &str, extents: &[usize], [rows, columns]: [usize; 2]) {
    text.push_str(name);
    let second = (rows != columns).then_some(columns);
    for extent in extents.iter().copied().chain([rows]).chain(second) {
        text.push(',');
        text.push_str(&extent.to_string());
    }
    text.push_str(",\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str) -> Result<Vec<LayerWorkload>, String> {
        parse(text.as_bytes(), Path::new("t.csv")).map_err(|error| error.to_string())
    }

    #[test]
    fn lines_of_every_kind() {
        let text = "Layer name, IFMAP Height, ...,\nConv1, 230, 230, 7, 7, 3, 64, 2,\n\nDP_x,9,9,3,3,8,1,1,1:1,\n\
                    tall,9,7,3,1,8,4,2,1\nfc,1,1,1,1,512,1000,1\n";
        let found = layers(text).unwrap();
        let shape = |layer: &LayerWorkload| (layer.c, layer.k, layer.groups, layer.p, layer.q);
        assert_eq!(
            found.iter().map(shape).collect::<Vec<_>>(),
            [(3, 64, 1, 112, 112), (8, 8, 8, 7, 7), (8, 4, 1, 4, 7), (512, 1000, 1, 1, 1)]
        );
        assert_eq!(operator(&found[3]), "Gemm");
        let found = layers("Layer,M,N,K,\nmlp,200,30,40,\none,1,30,40\n").unwrap();
        assert_eq!(found.iter().map(LayerWorkload::dense_macs).collect::<Vec<_>>(), [240_000, 1200]);
    }

    #[test]
    fn faults_name_file_line_and_cause() {
        for (text, message) in [
            ("", "t.csv:1: no layer"),
            ("Layer,h\n", "t.csv:1: no layer"),
            ("a,8,8,3,3,4,4,1\n", "t.csv:1: expected a header line"),
            ("Layer,h\na,8,8,3,3,4,1\n", "t.csv:2: 7 fields, expected 8 or 9"),
            ("Layer,h\na,8,8,3,3,4,4,1\nb,8,x,3,3,4,4,1\n", "t.csv:3: field 3 is \"x\""),
            ("Layer,h\na,8,8,3,3,0,4,1\n", "t.csv:2: field 6 is \"0\""),
            ("Layer,h\na,2,8,3,3,4,4,1\n", "t.csv:2: filter of 3 x 3 is larger than the IFMAP of 2 x 8"),
            ("Layer,h\na,8,8,3,3,4,4,1,2:4\n", "t.csv:2: N:M sparsity \"2:4\" is not supported"),
            ("Layer,M\na,8,8,99999999999\n", "t.csv:2: field 4 is \"99999999999\""),
            ("Layer,h\na,16777216,16777216,1,1,16777216,16777216,1\n", "t.csv:2: "),
        ] {
            let found = layers(text).unwrap_err();
            assert!(found.starts_with(message), "{found:?} does not start with {message:?}");
        }
        assert!(parse(&[0xff, 0xfe, 0], Path::new("t.csv")).is_err());
    }
}
