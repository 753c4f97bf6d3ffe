//! What skimp can do with a network, found out without running it.

use std::path::Path;

use serde::Serialize;
use skimp_graph::integer::is_quantized;
use skimp_graph::shape::{self, Shapes, TensorType};
use skimp_graph::{DType, Executor, Graph, GraphError, Observer, Tensor, ValueId, onnx, statistics};
use skimp_quant::{Calibrator, Detail, FirstLayer, QuantError, QuantizationConfig, Quantized};
use skimp_report::table::{Column, Table};
use skimp_sim::{Configured, LayerWorkload, SimError};
use skimp_train::{Model, ModelOptions};

use crate::error::StudyError;
use crate::inputs::network::Network;
use crate::simulate::config::LayersConfig;
use crate::simulate::designs::Designs;
use crate::simulate::layers::choose_of;
use crate::tabular::Tabular;

/// What skimp can do with a network: `skimp.support/1`.
#[derive(Clone, Debug, Serialize)]
pub struct SupportRecord {
    /// `skimp.support/1`.
    pub schema: &'static str,
    /// Version of the program.
    pub skimp_version: &'static str,
    /// The network as it was asked for.
    pub model: String,
    /// Whether it is read, and runs on the float engines.
    pub imported: SupportVerdict,
    /// Operators of its file that skimp does not know.
    pub unknown_operators: Vec<UnknownOperatorRecord>,
    /// Whether its layers run in integers, `None` if it is not read.
    pub integer: Option<SupportVerdict>,
    /// Whether it can be trained, `None` if it is not read.
    pub trained: Option<SupportVerdict>,
    /// What each design does with its layers; none if it is not read or has no integer form.
    pub simulated: Vec<DesignSupport>,
}

/// An answer and what there is to say about it.
#[derive(Clone, Debug, Serialize)]
pub struct SupportVerdict {
    /// `yes`, `no` or `in part`.
    pub answer: &'static str,
    /// Why not, or how far.
    pub reasons: Vec<String>,
}

impl SupportVerdict {
    fn no(reason: impl ToString) -> Self {
        Self { answer: "no", reasons: vec![reason.to_string()] }
    }

    /// Yes without reasons, in part with some.
    fn yes_but(reasons: Vec<String>) -> Self {
        Self { answer: if reasons.is_empty() { "yes" } else { "in part" }, reasons }
    }
}

/// An operator that skimp does not know.
#[derive(Clone, Debug, Serialize)]
pub struct UnknownOperatorRecord {
    /// Its name, with its domain where that is not ONNX's own.
    pub operator: String,
    /// Names of the nodes.
    pub nodes: Vec<String>,
    /// What can be done about it.
    pub way_out: String,
}

/// What one design does with a network's layers.
#[derive(Clone, Debug, Serialize)]
pub struct DesignSupport {
    /// Its name.
    pub design: &'static str,
    /// What it must see of a layer.
    pub needs: &'static str,
    /// Layers that it runs.
    pub layers: usize,
    /// Layers of the integer network.
    pub of: usize,
    /// Multiply-accumulates of one image in the layers that it runs.
    pub macs: u64,
    /// Why it does not run the others, or what it asks for.
    pub reasons: Vec<String>,
}

impl Tabular for SupportRecord {
    fn tables(&self) -> Vec<Table> {
        let mut questions = Table::new(
            self.model.as_str(),
            vec![Column::text("question", "question"), Column::text("answer", "answer"), Column::text("why", "why")],
        );
        let verdicts = [
            ("imported", Some(&self.imported)),
            ("integer", self.integer.as_ref()),
            ("trained", self.trained.as_ref()),
        ];
        for (question, verdict) in verdicts {
            let (answer, reasons) = verdict.map_or(("no", String::new()), |v| (v.answer, v.reasons.join("; ")));
            questions.row(vec![question.into(), answer.into(), reasons.into()]);
        }
        let mut designs = Table::new(
            "simulated by",
            vec![
                Column::text("design", "design"),
                Column::number("layers", "layers", ""),
                Column::number("of", "of", ""),
                Column::number("macs", "MACs", ""),
                Column::text("needs", "needs"),
                Column::text("why", "why"),
            ],
        );
        for design in &self.simulated {
            designs.row(vec![
                design.design.into(),
                (design.layers as u64).into(),
                (design.of as u64).into(),
                design.macs.into(),
                design.needs.into(),
                design.reasons.join("; ").into(),
            ]);
        }
        if self.simulated.is_empty() { vec![questions] } else { vec![questions, designs] }
    }
}

/// Says what skimp can do with a network: whether it is imported, runs in integers, can be trained, and which of `designs`
/// simulate how many of its layers, with reasons. Nothing of the network runs: ranges of values are made up, designs see
/// shapes and weights only.
///
/// # Errors
/// [`StudyError`] if there is no such network or file. A file that is not read is an answer.
pub fn support(model: &str, input_size: Option<[usize; 2]>, designs: &Designs) -> Result<SupportRecord, StudyError> {
    let mut record = SupportRecord {
        schema: "skimp.support/1",
        skimp_version: env!("CARGO_PKG_VERSION"),
        model: model.to_owned(),
        imported: SupportVerdict::yes_but(Vec::new()),
        unknown_operators: Vec::new(),
        integer: None,
        trained: None,
        simulated: Vec::new(),
    };
    let network = match Network::open(model) {
        Ok(network) => network,
        Err(StudyError::Graph(error)) => {
            record.unknown_operators = unknown(Path::new(model));
            record.imported = SupportVerdict::no(error);
            return Ok(record);
        }
        Err(error) => return Err(error),
    };
    let shapes = match shapes(&network.graph, input_size) {
        Ok(shapes) => shapes,
        Err(error) => {
            record.imported.reasons.push(error.to_string());
            return Ok(record);
        }
    };
    record.imported.reasons.extend(network.adaptation());
    record.trained = Some(trained(&network.graph, &shapes));
    // What is quantized and simulated is the network without transposes that cancel.
    let network = if is_quantized(&network.graph) { network } else { network.prepared() };
    let shapes = self::shapes(&network.graph, input_size)?;
    let quantized = match quantized(&network.graph, &shapes) {
        Ok(quantized) => quantized,
        Err(error) => {
            record.integer = Some(SupportVerdict::no(error));
            return Ok(record);
        }
    };
    record.integer = Some(in_integers(&network.graph, &shapes, &quantized));
    record.simulated = simulated(&network.graph, &shapes, &quantized, designs)?;
    Ok(record)
}

/// Unknown operators of a file; none where it is no model at all.
fn unknown(path: &Path) -> Vec<UnknownOperatorRecord> {
    let bytes = skimp_files::read(path, skimp_memory::budget().0).map(bytes::Bytes::from);
    let found = bytes.ok().and_then(|bytes| onnx::unknown_operators(bytes, &path.display().to_string()).ok());
    let record = |found: onnx::UnknownOperator| UnknownOperatorRecord {
        operator: found.operator,
        nodes: found.nodes,
        way_out: found.way_out,
    };
    found.unwrap_or_default().into_iter().map(record).collect()
}

/// Shapes of all values for one image.
fn shapes(graph: &Graph, input_size: Option<[usize; 2]>) -> Result<Shapes, GraphError> {
    shape::infer(graph, &shape::bind(graph, 1, input_size.map(|[height, width]| (height, width)))?)
}

fn trained(graph: &Graph, shapes: &Shapes) -> SupportVerdict {
    let input = graph.inputs().first().map(|input| shapes.shape(input.value));
    let input_size = input.and_then(|shape| shape.get(1..)).map(<[usize]>::to_vec);
    let options = ModelOptions {
        batch: input.and_then(|shape| shape.first().copied()).unwrap_or(1),
        input_size,
        ..ModelOptions::default()
    };
    match Model::new(graph, &options) {
        Ok(_) => SupportVerdict::yes_but(Vec::new()),
        Err(error) => SupportVerdict::no(error),
    }
}

/// Gives every value made-up elements from -1 to 1, of the right shape: what quantization makes of a network depends on its
/// operators and weights, only scales depend on ranges.
#[derive(Debug)]
struct MadeUp<'g> {
    graph: &'g Graph,
    shapes: &'g Shapes,
}

impl MadeUp<'_> {
    fn tensor(&self, id: ValueId) -> Option<Tensor> {
        let TensorType { dtype, shape } = self.shapes.get(id)?;
        let n = shape.iter().product();
        let ends = |idx: usize| if idx == 0 { -1.0 } else { f32::from(u8::from(idx == 1)) };
        (*dtype == DType::F32).then(|| Tensor::from_f32(shape.clone(), (0..n).map(ends).collect()))
    }
}

impl Executor for MadeUp<'_> {
    fn name(&self) -> &'static str {
        "made-up"
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, GraphError> {
        self.run_observed(inputs, &mut |_, _| {})
    }

    fn run_observed(&self, _inputs: &[Tensor], observer: &mut Observer<'_>) -> Result<Vec<Tensor>, GraphError> {
        for id in self.graph.nodes().iter().flat_map(|node| &node.outputs) {
            if let Some(tensor) = self.tensor(*id) {
                observer(*id, &tensor);
            }
        }
        Ok(Vec::new())
    }
}

/// The integer network that made-up ranges lead to, or why there is none.
fn quantized(graph: &Graph, shapes: &Shapes) -> Result<Quantized, String> {
    let text = |error: QuantError| error.to_string();
    if is_quantized(graph) {
        return skimp_quant::read_qdq(graph, FirstLayer::default()).map_err(text);
    }
    let executor = MadeUp { graph, shapes };
    let mut calibrator = Calibrator::with_detail(graph, Detail::Extremes);
    let inputs: Option<Vec<Tensor>> = graph.inputs().iter().map(|input| executor.tensor(input.value)).collect();
    let inputs = inputs.ok_or("an input does not hold f32")?;
    calibrator.observe(&executor, &inputs).map_err(text)?;
    let calibration = calibrator.finish().map_err(text)?;
    skimp_quant::quantize(graph, &QuantizationConfig::default(), &calibration).map_err(text)
}

fn in_integers(graph: &Graph, shapes: &Shapes, quantized: &Quantized) -> SupportVerdict {
    let names: Vec<&str> = quantized.graph.multipliers().collect();
    let layers = statistics::compute(graph, shapes).layers;
    let total: u64 = layers.iter().map(|layer| layer.macs).sum();
    let covered: u64 = layers.iter().filter(|layer| names.contains(&layer.name.as_str())).map(|layer| layer.macs).sum();
    let mut reasons: Vec<String> = Vec::new();
    if covered < total {
        let others = layers.iter().filter(|layer| layer.macs > 0 && !names.contains(&layer.name.as_str()));
        let listed: Vec<String> = others.map(|layer| format!("{} ({})", layer.name, layer.op)).collect();
        reasons.push(format!("{covered} of {total} MACs; in floating point: {}", shortened(&listed)));
    }
    let floats: Vec<String> =
        quantized.report.float_nodes.iter().map(|node| format!("{} ({})", node.name, node.op)).collect();
    if !floats.is_empty() {
        reasons.push(format!("operators in floating point: {}", shortened(&floats)));
    }
    if quantized.layers.is_empty() {
        reasons.push("no layer has an integer form".to_owned());
        return SupportVerdict { answer: "no", reasons };
    }
    SupportVerdict::yes_but(reasons)
}

/// A few of many.
fn shortened(all: &[String]) -> String {
    const MOST: usize = 8;
    let listed = all.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > MOST { format!("{listed} and {} more", all.len() - MOST) } else { listed }
}

fn simulated(
    graph: &Graph,
    shapes: &Shapes,
    quantized: &Quantized,
    designs: &Designs,
) -> Result<Vec<DesignSupport>, StudyError> {
    let inputs: Vec<Vec<usize>> = graph.inputs().iter().map(|input| shapes.shape(input.value).to_vec()).collect();
    let batch = inputs.first().and_then(|shape| shape.first().copied()).unwrap_or(1);
    // Without any layer there is nothing to simulate.
    let Ok(chosen) = choose_of(quantized, &inputs, batch, &LayersConfig::default()) else { return Ok(Vec::new()) };
    let layers: Vec<&LayerWorkload> = chosen.simulated.iter().map(|layer| &layer.operands.workload).collect();
    let mut found = Vec::new();
    for model in designs.models() {
        let design = model.configure(&toml::Table::new())?;
        let mut record = DesignSupport {
            design: model.name(),
            needs: design.facts().needs.words(),
            layers: 0,
            of: quantized.layers.len(),
            macs: 0,
            reasons: chosen.left_out.values().cloned().collect(),
        };
        record.reasons.sort_unstable();
        match &design {
            Configured::Ready(accelerator) => {
                for layer in &layers {
                    match accelerator.simulate_layer(layer, None) {
                        Ok(_) | Err(SimError::TraceRequired { .. } | SimError::WeightsRequired { .. }) => {
                            record.layers += 1;
                            record.macs = record.macs.saturating_add(layer.shape.dense_macs());
                        }
                        Err(error) => record.reasons.push(error.to_string()),
                    }
                }
            }
            Configured::NeedsSearch(search) => {
                record.layers = layers.len();
                record.macs = layers.iter().map(|layer| layer.shape.dense_macs()).fold(0, u64::saturating_add);
                record.reasons.push(search.needed().to_string());
            }
        }
        record.reasons = vec![shortened(&record.reasons)].into_iter().filter(|text| !text.is_empty()).collect();
        found.push(record);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_convolutions_is_supported_throughout() {
        let record = support("sample-resnet", None, &Designs::embedded()).unwrap();
        assert_eq!(record.imported.answer, "yes");
        assert_eq!(record.integer.as_ref().map(|verdict| verdict.answer), Some("yes"), "{:?}", record.integer);
        assert_eq!(record.trained.as_ref().map(|verdict| verdict.answer), Some("yes"), "{:?}", record.trained);
        assert_eq!(record.simulated.len(), Designs::embedded().models().len());
        assert!(record.simulated.iter().all(|design| design.layers == design.of), "{:?}", record.simulated);
        assert!(record.to_text(None).contains("stripes"));
    }

    #[test]
    fn a_file_that_is_not_read_is_an_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.onnx");
        std::fs::write(&path, b"nonsense").unwrap();
        let record = support(path.to_str().unwrap(), None, &Designs::embedded()).unwrap();
        assert_eq!((record.imported.answer, record.unknown_operators.len()), ("no", 0));
        assert!(support("no-such-network.onnx", None, &Designs::embedded()).is_err());
    }
}
