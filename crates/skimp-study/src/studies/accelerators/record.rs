//! The record of a study of accelerators, from the outcomes of its points.

use skimp_cpu::Order;
use skimp_data::Split;
use skimp_graph::Executor;
use skimp_graph::integer::is_quantized;
use skimp_report::records::{
    AcceleratorFigures, AcceleratorRecord, Accuracy, AccuracyRecord, Assumption, Comparison, ComparisonRecord,
    LayersRecord, Provenance, Sections, VariantAccuracy,
};
use skimp_report::{SimulationRecord, StudyRecord};
use skimp_sim::ComparisonRow;

use super::points::{Clock, Inputs, NetworkPart, Outcome, Part};
use super::{AcceleratorsPlan, published};
use crate::error::StudyError;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::Monitor;
use crate::stages::evaluate::{Engine, classify, float_executor};
use crate::stages::quantized::Quantized;
use crate::studies::config::StudyHeader;

/// Everything that the points brought.
struct Found {
    network: NetworkPart,
    accuracy: Option<AccuracyRecord>,
}

/// Puts the accelerators back into the simulation.
fn joined(outcomes: Vec<Outcome>) -> Option<Found> {
    let (mut network, mut accuracy, mut designs) = (None, None, Vec::new());
    for outcome in outcomes {
        match outcome.json {
            Part::Network(part) => network = Some(*part),
            Part::Design(part) => designs.push(*part),
            Part::Accuracy(part) => accuracy = Some(part),
        }
    }
    let mut network = network?;
    for design in designs {
        for idx in design.not_modelled {
            if let Some(layer) = network.simulation.other_layers.get_mut(idx) {
                layer.not_modelled_by.push(design.record.label.clone());
            }
        }
        network.simulation.accelerators.push(design.record);
    }
    Some(Found { network, accuracy })
}

/// The record, but for what is the same for all kinds.
pub(super) fn record(
    plan: &AcceleratorsPlan,
    study: &StudyHeader,
    inputs: &Inputs,
    outcomes: Vec<Outcome>,
    clock: Clock,
) -> Result<StudyRecord, StudyError> {
    let lost = || StudyError::Kept {
        path: study.name.clone().into(),
        cause: "what is kept of the network is another point's".to_owned(),
    };
    let Found { network: NetworkPart { mut simulation, layers, in_integers, float_nodes }, accuracy } =
        joined(outcomes).ok_or_else(lost)?;
    simulation.allowed_loss_points = plan.allowed_loss_points;
    let Inputs { network, images } = inputs;
    let comparisons = comparisons(plan, &simulation);
    let published = study.published.iter().map(|figure| published::beside(plan, figure, &simulation)).collect();
    let assumptions = assumptions(plan, study, inputs, &simulation, &float_nodes)?;
    let inputs = vec![network.digest(), images.digest(&simulation.data)];
    let n_images = simulation.images;
    let mut sections = Sections::default();
    if let Some(accuracy) = accuracy {
        let variant = comparisons.first().and_then(|headline| {
            variant_accuracy(simulation.accelerator(&headline.variant)?, accuracy.integer.as_ref())
        });
        sections.set(AccuracyRecord { variant, in_integers, ..accuracy });
    }
    sections.set(LayersRecord { layers });
    sections.set(simulation);
    sections.set(ComparisonRecord {
        baseline: plan.baseline.clone(),
        comparisons,
        accelerator_figures: plan.designs.comparison_rows()?.iter().map(figures).collect(),
    });
    Ok(StudyRecord {
        model_name: network.name.clone(),
        untrained: network.is_untrained,
        data_name: images.name().to_owned(),
        n_images,
        seed: study.data.seed.unwrap_or(0),
        sections,
        published,
        assumptions,
        inputs,
        timings: clock.0,
        ..StudyRecord::default()
    })
}

pub(super) fn accuracy(
    network: &Network,
    quantized: &Quantized,
    images: &Images,
    n_images: usize,
    monitor: &dyn Monitor,
) -> Result<AccuracyRecord, StudyError> {
    let float: Box<dyn Executor> = float_executor(network, Engine::Cpu, Order::Exact)?;
    monitor.stage("accuracy, fp32", n_images as u64);
    let before = classify(images, n_images, monitor, |inputs| float.run(std::slice::from_ref(inputs)))?;
    monitor.stage("accuracy, integer", n_images as u64);
    let after = classify(images, n_images, monitor, |inputs| quantized.executor.run(std::slice::from_ref(inputs)))?;
    Ok(AccuracyRecord {
        fp32: Some(before.accuracy()),
        integer: Some(after.accuracy()),
        variant: None,
        in_integers: None,
    })
}

/// Accuracy on the headline's design, if this run says anything of it.
fn variant_accuracy(design: &AcceleratorRecord, integer: Option<&Accuracy>) -> Option<VariantAccuracy> {
    let label = design.label.clone();
    if let Some(effect) = design.accuracy.as_ref().filter(|effect| effect.judged_by == "labels") {
        let accuracy = Accuracy { top1: effect.top1, top5: None, n_images: effect.n_images };
        return Some(VariantAccuracy {
            label,
            basis: "measured on values as the design computes them".to_owned(),
            accuracy,
        });
    }
    // Where no output differs, neither does any answer.
    design.findings.iter().find(|finding| finding.is_exact() == Some(true) && finding.of > Some(0))?;
    let basis = "implied: no output differs from the integer network's".to_owned();
    Some(VariantAccuracy { label, basis, accuracy: integer?.clone() })
}

fn comparisons(plan: &AcceleratorsPlan, simulation: &SimulationRecord) -> Vec<Comparison> {
    let find = |label: &str| simulation.accelerator(label);
    plan.comparisons
        .iter()
        .filter_map(|pair| {
            let (baseline, variant) = (find(&pair.baseline)?, find(&pair.variant)?);
            Some(Comparison::between(baseline, variant, plan.allowed_loss_points))
        })
        .collect()
}

fn figures(row: &ComparisonRow) -> AcceleratorFigures {
    AcceleratorFigures {
        name: row.design.clone(),
        provenance: match row.provenance {
            skimp_sim::Provenance::Published => Provenance::Published,
            skimp_sim::Provenance::Modeled => Provenance::Simulated,
        },
        source: row.note.clone(),
        precision_bits: Some(row.precision_bits),
        technology_nm: Some(row.technology_nm),
        clock_mhz: Some(row.clock_mhz),
        peak_gmacs: Some(row.throughput_gmacs),
        area_mm2: Some(row.area_mm2),
        power_mw: Some(row.power_mw),
        gmacs_per_mm2: Some(row.gmacs_per_mm2()),
        gmacs_per_w: Some(row.gmacs_per_w()),
    }
}

/// What a reader has to know to judge the figures.
fn assumptions(
    plan: &AcceleratorsPlan,
    study: &StudyHeader,
    inputs: &Inputs,
    simulation: &SimulationRecord,
    float_nodes: &[String],
) -> Result<Vec<Assumption>, StudyError> {
    let Inputs { network, images } = inputs;
    let quantization = &plan.quantization;
    let mut list = Vec::new();
    let mut add = |text: String, source: &str| list.push(Assumption { text, source: source.to_owned() });
    if is_quantized(&network.graph) {
        let (weights, activations) = (simulation.weight_bits, simulation.activation_bits);
        add(
            format!(
                "{} is in QDQ form and runs on the codes, scales and zero points that stand in its file: weights of {weights} \
                 and activations of {activations} bits; nothing is calibrated or rounded again, and its fp32 accuracy is that \
                 of the same file computed in floating point",
                network.name
            ),
            "the network's file; docs/integer-execution.md",
        );
    } else {
        add(
            format!(
                "{} is quantized to {}-bit symmetric weights and {}-bit activations with zero point 0, ranges by {} over \
             {} calibration images{}; batch-norm is folded; bias and residual enter at accumulator scale",
                network.name,
                quantization.weight_bits,
                quantization.activation_bits,
                quantization.calibration,
                quantization.calibration_images.min(images.len()),
                match quantization.calibration_split.filter(|&split| split != study.data.split) {
                    Some(Split::Train) => " of the training split",
                    Some(Split::Test) => " of the test split",
                    None if study.data.accuracy_images > 0 => ", the first ones of those that accuracy is measured on",
                    None => "",
                },
            ),
            "this study's configuration; docs/integer-execution.md",
        );
    }
    add(
        format!(
            "operand values are those of {} images of {}{}, preprocessed by {}; cycles and energy are sums over them",
            simulation.images,
            images.name(),
            images.adapted(),
            images.preprocess_name()
        ),
        "this study's configuration",
    );
    for (accelerator, design) in plan.accelerators.iter().zip(&simulation.accelerators) {
        for finding in design.findings.iter().filter(|finding| !finding.description.is_empty()) {
            let source = match finding.basis {
                Provenance::Measured => "measured in this run",
                Provenance::Published | Provenance::Simulated => plan.designs.find(&accelerator.model)?.source(),
            };
            add(format!("{}: {}: {}", design.label, finding.label, finding.description.trim_end_matches('.')), source);
        }
    }
    if !float_nodes.is_empty() {
        add(
            format!("computed on real numbers between integer layers: {}", float_nodes.join(", ")),
            "these operators have no integer form here",
        );
    }
    for accelerator in &plan.accelerators {
        let model = plan.designs.find(&accelerator.model)?;
        let scope = model.configure(&accelerator.set)?.facts().energy_scope;
        add(format!("{}: {scope}", accelerator.label()), model.source());
    }
    Ok(list)
}
