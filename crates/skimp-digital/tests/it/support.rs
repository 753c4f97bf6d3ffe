//! VGG-16's layers, recorded end planes, and short cuts to the models.

use std::sync::Arc;

use skimp_digital::{ACCELERATORS, compend};
use skimp_numerics::EndTest;
use skimp_sim::{
    Accelerator, Configured, LayerEffect, LayerResult, LayerTrace, LayerWorkload, RecordedTrace, SimError, Tuner,
    find_model,
};
use toml::Table;

/// C1 to C13 (`number` from 1).
pub(crate) fn vgg16_conv(number: usize) -> LayerWorkload {
    let (extent, c, k) = skimp_testkit::VGG16_CONVOLUTIONS[number - 1];
    LayerWorkload::conv(&format!("C{number}"), c, extent, extent, k, 3).unwrap()
}

pub(crate) fn accelerator(name: &str, settings: &str) -> Box<dyn Accelerator> {
    let overrides: Table = settings.parse().expect("settings are TOML");
    find_model(ACCELERATORS, name).unwrap().accelerator(&overrides).unwrap()
}

/// The design whose search has been made on `tuner`.
pub(crate) fn searched(name: &str, settings: &str, tuner: &dyn Tuner) -> Box<dyn Accelerator> {
    let overrides: Table = settings.parse().expect("settings are TOML");
    match find_model(ACCELERATORS, name).unwrap().configure(&overrides).unwrap() {
        Configured::NeedsSearch(search) => search.search(tuner).unwrap(),
        Configured::Ready(_) => panic!("{name} needs no search"),
    }
}

/// A trace that knows end planes only, the same for both tests.
pub(crate) fn trace_of_ends(layer: &LayerWorkload, ends: Vec<u8>) -> LayerTrace {
    let trace = LayerTrace::new(layer, Arc::new(RecordedTrace::default()));
    record_ends(&trace, ends);
    trace
}

/// Makes end planes known to a trace, the same for both tests and for predictions.
pub(crate) fn record_ends(trace: &LayerTrace, ends: Vec<u8>) {
    let ends = Arc::new(compend::EndPlanes::recorded(ends.into()));
    for key in [compend::key(EndTest::Negative), compend::key(EndTest::NonPositive), compend::PREDICTED] {
        trace.keep(key, ends.clone());
    }
}

/// `layer` with operands that leave nothing to skip, every bit of their magnitudes set, and a trace of them: sums above
/// 0, end planes at the last plane.
pub(crate) fn full_operands(layer: LayerWorkload) -> (LayerWorkload, LayerTrace) {
    let greatest = |bits: u32, signed: bool| ((1i64 << (bits - u32::from(signed))) - 1) as i32;
    let weight = greatest(layer.weight_bits, true);
    let layer = LayerWorkload { weights: Some(vec![weight; layer.shape.weight_count()].into()), ..layer };
    let activation = greatest(layer.activation_bits, layer.activation_signed);
    // Padding adds nothing: of each window only the taps inside the map count.
    let inside = |axis: usize, output: usize| {
        let (kernel, extent) =
            if axis == 0 { (layer.shape.r(), layer.shape.h()) } else { (layer.shape.s(), layer.shape.w()) };
        let at = |tap: usize| output * layer.shape.strides()[axis] + tap * layer.shape.dilations()[axis];
        (0..kernel).filter(|&tap| at(tap).wrapping_sub(layer.shape.pads_begin()[axis]) < extent).count()
    };
    let taps = (0..layer.shape.p()).flat_map(|p| (0..layer.shape.q()).map(move |q| (p, q)));
    let taps: Vec<usize> = taps.map(|(p, q)| inside(0, p) * inside(1, q)).collect();
    let product = layer.shape.channels_per_group() as i64 * i64::from(weight) * i64::from(activation);
    let sums: Arc<[i64]> = (0..layer.shape.k()).flat_map(|_| taps.iter().map(|&taps| taps as i64 * product)).collect();
    let recorded = RecordedTrace {
        activation: Some(vec![activation; layer.shape.input_count()].into()),
        output_sums: Some(sums),
        bias: Some(vec![0; layer.shape.k()].into()),
        residual: None,
    };
    let trace = LayerTrace::new(&layer, Arc::new(recorded));
    record_ends(&trace, vec![layer.weight_bits as u8; layer.shape.output_count()]);
    (layer, trace)
}

pub(crate) fn cycles(result: &LayerResult, phase: &str) -> u64 {
    result.cycles.get(phase).unwrap_or_else(|| panic!("no phase {phase}"))
}

pub(crate) fn events(result: &LayerResult, event: &str) -> u64 {
    result.events.get(event).unwrap_or_else(|| panic!("no event {event}"))
}

/// The end planes of C5 to C13 recorded by endasim, `[k, p, q]`; `None` and a message without `SKIMP_DATA`.
pub(crate) fn recorded_ends(number: usize) -> Option<Vec<u8>> {
    let path = skimp_testkit::data("the recorded end planes")?.join(format!("compend/c{number}.end_planes.npy"));
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let layer = vgg16_conv(number);
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00", "{}: expected .npy version 1.0", path.display());
    let header_len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + header_len]).unwrap();
    let shape = format!("'shape': ({}, {}, {})", layer.shape.k(), layer.shape.p(), layer.shape.q());
    for field in ["'descr': '|u1'", "'fortran_order': False", shape.as_str()] {
        assert!(header.contains(field), "{}: {header:?} lacks {field}", path.display());
    }
    Some(bytes[10 + header_len..].to_vec())
}

/// A code before and after an effect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProbedCode {
    before: i32,
    after: i32,
}

impl ProbedCode {
    /// Whether a code of at least `least` changed.
    pub(crate) fn changed_from(self, least: i32) -> bool {
        self.before != self.after && self.before.abs() >= least
    }

    /// Whether it moved by at least `least`.
    pub(crate) fn moved_by(self, least: i32) -> bool {
        (self.before - self.after).abs() >= least
    }
}

/// A network whose accuracy is 1 unless an effect spoils a code from 0 to the largest.
pub(crate) struct ProbeTuner {
    layers: Vec<LayerWorkload>,
    traces: Vec<[LayerTrace; 1]>,
    largest: i32,
    spoiled: fn(&str, ProbedCode) -> bool,
}

impl ProbeTuner {
    pub(crate) fn new(layers: &[LayerWorkload], largest: i32, spoiled: fn(&str, ProbedCode) -> bool) -> Self {
        let trace = |layer: &LayerWorkload| {
            let codes: Vec<i32> = (0..layer.shape.input_count() as i32).map(|code| code.min(largest)).collect();
            let recorded = RecordedTrace { activation: Some(codes.into()), ..RecordedTrace::default() };
            [LayerTrace::new(layer, Arc::new(recorded))]
        };
        Self { layers: layers.to_vec(), traces: layers.iter().map(trace).collect(), largest, spoiled }
    }
}

impl Tuner for ProbeTuner {
    fn layers(&self) -> &[LayerWorkload] {
        &self.layers
    }

    fn traces(&self, layer_idx: usize) -> &[LayerTrace] {
        &self.traces[layer_idx]
    }

    fn accuracy(&self, effect: Option<&dyn LayerEffect>) -> Result<f64, SimError> {
        let Some(effect) = effect else { return Ok(1.0) };
        for layer in self.layers.iter().filter(|layer| effect.applies(layer)) {
            let before: Vec<i32> = (0..=self.largest).collect();
            let mut after = before.clone();
            effect.activations(layer, &mut after);
            let mut codes = before.iter().zip(&after).map(|(&before, &after)| ProbedCode { before, after });
            if codes.any(|code| (self.spoiled)(&layer.name, code)) {
                return Ok(0.5);
            }
        }
        Ok(1.0)
    }
}
