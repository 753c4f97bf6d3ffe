//! How far a quantized network is from the float one: the error of each layer, the accuracy of both.

use std::collections::HashMap;

use serde::Serialize;
use skimp_cpu::integer::IntegerExecutor;
use skimp_cpu::{CpuExecutor, Order};
use skimp_graph::integer::{IntegerEngine, lower};
use skimp_graph::{Executor, Graph, Tensor, ValueId};
use skimp_quant::QdqNetwork;
use skimp_report::records::Accuracy;
use skimp_report::table::{Cell, Column, Table};

use crate::error::StudyError;
use crate::inputs::images::Images;
use crate::inputs::network::Network;
use crate::monitor::{Monitor, step};
use crate::stages::evaluate::{Engine, classify, float_executor};

/// Most images over which the error of layers is measured.
pub(crate) const ERROR_IMAGES: usize = 32;

/// Accuracy of a network before and after quantization, on the same labeled images.
#[derive(Clone, Debug, Serialize)]
pub struct QuantizedAccuracy {
    /// Part of the data set.
    pub split: &'static str,
    /// Engine of the float network.
    pub engine_before: &'static str,
    /// The float network.
    pub before: Accuracy,
    /// Engine of the quantized network.
    pub engine_after: &'static str,
    /// The quantized network.
    pub after: Accuracy,
}

impl QuantizedAccuracy {
    /// The table of both.
    pub(crate) fn table(&self, name: &str) -> Table {
        let mut table = Table::new(
            format!("accuracy of {name} on the first {} images of split {}", self.before.n_images, self.split),
            vec![
                Column::text("network", "network"),
                Column::text("engine", "engine"),
                Column::number("top1_percent", "top-1", "%"),
                Column::number("top5_percent", "top-5", "%"),
            ],
        );
        let rows = [("float", self.engine_before, &self.before), ("quantized", self.engine_after, &self.after)];
        for (network, engine, accuracy) in rows {
            table.row(vec![
                network.into(),
                engine.into(),
                Cell::real(100.0 * accuracy.top1, 2),
                Cell::real(accuracy.top5.map(|top5| 100.0 * top5), 2),
            ]);
        }
        table
    }
}

/// Both networks on the first `n_images` images; `None`, with a note why, where their answers are no classes or the
/// integer engine cannot run the quantized one.
pub(crate) fn accuracies(
    network: &Network,
    quantized: &Graph,
    images: &Images,
    n_images: usize,
    monitor: &dyn Monitor,
) -> Result<Option<QuantizedAccuracy>, StudyError> {
    let n_images = n_images.min(images.len());
    if n_images == 0 {
        return Ok(None);
    }
    let integer = match lower(quantized).and_then(|lowered| IntegerExecutor::new(&lowered)) {
        Ok(integer) => integer,
        Err(error) => {
            monitor.note(&format!("accuracy is not measured, the integer engine does not run the network: {error}"));
            return Ok(None);
        }
    };
    let float = float_executor(network, Engine::Cpu, Order::Exact)?;
    monitor.stage("accuracy, float", n_images as u64);
    let before = match classify(images, n_images, monitor, |inputs| float.run(std::slice::from_ref(inputs))) {
        Ok(tally) => tally,
        Err(StudyError::Answers(cause)) => {
            monitor.note(&format!("accuracy is not measured: {cause}"));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // Its packed weights and working memory go before the other's come.
    drop(float);
    monitor.stage("accuracy, quantized", n_images as u64);
    let after = classify(images, n_images, monitor, |inputs| integer.run(std::slice::from_ref(inputs)))?;
    Ok(Some(QuantizedAccuracy {
        split: images.split_name(),
        engine_before: Engine::Cpu.name(),
        before: before.accuracy(),
        engine_after: Engine::Integer.name(),
        after: after.accuracy(),
    }))
}

/// For each layer, the signal-to-quantization-noise ratio in dB of what it computes, before its output is rounded to
/// codes: `10 log10(sum x^2 / sum (x - y)^2)` over the first `n_images` images, x of the float network, y of the
/// quantized one. It holds the errors of all layers before it. `None` where nothing differs.
pub(crate) fn layer_errors(
    float: &Graph,
    quantized: &QdqNetwork,
    images: &Images,
    n_images: usize,
    monitor: &dyn Monitor,
) -> Result<Vec<Option<f64>>, StudyError> {
    let ids = |graph: &Graph| -> HashMap<String, ValueId> {
        graph.values().iter().enumerate().map(|(idx, value)| (value.name.clone(), ValueId(idx))).collect()
    };
    let float_ids = ids(float);
    let (mut before, mut after) = (HashMap::new(), HashMap::new());
    for (idx, layer) in quantized.layers.iter().enumerate() {
        let Some(node) = quantized.graph.nodes().iter().find(|node| node.name == layer.name) else { continue };
        let name = &quantized.graph.value(node.outputs[0]).name;
        // A value that is rounded to codes is called so until then.
        let same = float_ids.get(name).or_else(|| float_ids.get(name.strip_suffix(".real")?));
        if let Some(&same) = same {
            before.insert(same, idx);
            after.insert(node.outputs[0], idx);
        }
    }
    let float_engine = CpuExecutor::new(float)?;
    let quantized_engine = CpuExecutor::new(&quantized.graph)?;
    let mut sums = vec![[0.0_f64; 2]; quantized.layers.len()];
    monitor.stage("error of layers", n_images as u64);
    for range in images.batches_of(0..images.in_whole_batches(n_images), 1) {
        let n = range.len() as u64;
        let input = images.batch(range)?.inputs;
        let mut values: Vec<Option<Tensor>> = vec![None; sums.len()];
        float_engine.run_observed(std::slice::from_ref(&input), &mut |id, tensor| {
            if let Some(&idx) = before.get(&id) {
                values[idx] = Some(tensor.clone());
            }
        })?;
        quantized_engine.run_observed(std::slice::from_ref(&input), &mut |id, tensor| {
            let Some(&idx) = after.get(&id) else { return };
            let pair = values[idx].as_ref().and_then(Tensor::as_f32).zip(tensor.as_f32());
            for (&x, &y) in pair.into_iter().flat_map(|(x, y)| x.iter().zip(y)) {
                sums[idx][0] += f64::from(x) * f64::from(x);
                sums[idx][1] += (f64::from(x) - f64::from(y)).powi(2);
            }
        })?;
        step(monitor, n)?;
    }
    let decibel = |[signal, noise]: [f64; 2]| (signal > 0.0 && noise > 0.0).then(|| 10.0 * (signal / noise).log10());
    Ok(sums.into_iter().map(decibel).collect())
}
