//! Whatever its settings and whatever the layer, a design ends in counts or an error.

#![no_main]

mod peak;

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use skimp_digital::{ACCELERATORS, compend};
use skimp_numerics::EndTest;
use skimp_sim::{LayerTrace, LayerWorkload, RecordedTrace, SimError};
use toml::{Table, Value};

/// Bytes that a simulation may take.
const BUDGET: usize = 64 << 20;

/// Bytes that may be allocated at once: the budget is a bound on what input can blow up, not an account of every byte.
const ALLOWED: usize = 3 * BUDGET;

/// Numbers from the fuzzer's bytes, zeros when they end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n
    }

    /// Small numbers, powers of two and their neighbors, or anything.
    fn integer(&mut self) -> i64 {
        match self.byte() % 4 {
            0 => i64::from(self.byte()),
            1 => (1_i64 << (self.byte() % 63)) + i64::from(self.byte() % 3) - 1,
            2 => -i64::from(self.byte()),
            _ => (0..8).fold(0, |n, _| n << 8 | i64::from(self.byte())),
        }
    }

    fn float(&mut self) -> f64 {
        match self.byte() % 4 {
            0 => f64::from(self.byte()) / 16.0,
            1 => [f64::NAN, f64::INFINITY, -1.0, 1e308, 1e-308, 0.0][self.below(6)],
            _ => f64::from_bits((0..8).fold(0, |n, _| n << 8 | u64::from(self.byte()))),
        }
    }
}

fn settings(bytes: &mut Bytes<'_>, preset: &Table) -> Table {
    let mut overrides = Table::new();
    let keys: Vec<&String> = preset.keys().filter(|key| *key != "schema").collect();
    for _ in 0..bytes.below(4) {
        let key = keys[bytes.below(keys.len())];
        let value = match &preset[key.as_str()] {
            Value::Integer(_) => Value::Integer(bytes.integer()),
            Value::Float(_) => Value::Float(bytes.float()),
            Value::Boolean(_) => Value::Boolean(bytes.byte() & 1 == 1),
            _ => continue,
        };
        overrides.insert(key.clone(), value);
    }
    overrides
}

fn layer(bytes: &mut Bytes<'_>) -> Result<LayerWorkload, SimError> {
    let mut extent = |most: usize| bytes.below(most) + 1;
    let (groups, c, k, h, w) = (extent(3), extent(6), extent(6), extent(9), extent(9));
    let kernel = [1, 3, 5][extent(3) - 1];
    let mut layer = match extent(4) {
        1 => LayerWorkload::dense("layer", c * h, k * w),
        _ => LayerWorkload::conv("layer", groups * c, h, w, groups * k, kernel)?,
    };
    if layer.shape.h() > 1 {
        layer = layer.with_shape(|shape| (shape.groups, shape.strides) = (groups, [extent(3), extent(3)]))?;
    }
    layer.weight_bits = extent(15) as u32 + 1;
    layer.activation_bits = extent(15) as u32 + 1;
    layer.validated()
}

fn simulate(data: &[u8]) {
    let mut bytes = Bytes(data);
    let model = ACCELERATORS[bytes.below(ACCELERATORS.len())];
    let preset: Table = model.preset().parse().expect("presets are TOML");
    let Ok(accelerator) = model.accelerator(&settings(&mut bytes, &preset)) else { return };
    let Ok(layer) = layer(&mut bytes) else { return };
    let code = |bits: u32, signed: bool, byte: u8| {
        let span = 1_i64 << bits;
        ((i64::from(byte) * 257 % span) - if signed { span / 2 } else { 0 }) as i32
    };
    let weights: Vec<i32> =
        (0..layer.shape.weight_count()).map(|_| code(layer.weight_bits, true, bytes.byte())).collect();
    let layer = LayerWorkload { weights: Some(weights.into()), ..layer };
    let activation: Vec<i32> = (0..layer.shape.input_count())
        .map(|_| code(layer.activation_bits, layer.activation_signed, bytes.byte()))
        .collect();
    let ends: Arc<[u8]> =
        (0..layer.shape.output_count()).map(|_| bytes.byte() % layer.weight_bits as u8 + 1).collect::<Vec<u8>>().into();
    let recorded = RecordedTrace {
        activation: Some(activation.into()),
        output_sums: Some(
            (0..layer.shape.output_count()).map(|_| i64::from(bytes.byte()) - 99).collect::<Vec<i64>>().into(),
        ),
        bias: Some(vec![0; layer.shape.k()].into()),
        residual: None,
    };
    let trace = LayerTrace::new(&layer, Arc::new(recorded));
    let ends = Arc::new(compend::EndPlanes::recorded(ends));
    for key in [compend::key(EndTest::Negative), compend::key(EndTest::NonPositive), compend::PREDICTED] {
        trace.keep(key, ends.clone());
    }
    let Ok(result) = accelerator.simulate_layer(&layer, Some(&trace)) else { return };
    let _ = accelerator.timeline(&layer, Some(&trace), &result);
    let _ = accelerator.why(&result);
    if let Ok(energy) = accelerator.facts().price(&result) {
        let text = format!("{energy:?}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{}: {text}", model.name());
    }
}

fuzz_target!(|data: &[u8]| {
    skimp_memory::set_budget(skimp_memory::Size(BUDGET as u64));
    peak::within(ALLOWED, || simulate(data));
});
