//! Ranges of values on given images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skimp_graph::{Executor, Graph, Tensor, ValueId};

use crate::{QuantError, RangeMethod};

/// Mantissa bits that tell the bins of a magnitude histogram apart.
const BIN_MANTISSA_BITS: u32 = 9;
const BIN_SHIFT: u32 = 23 - BIN_MANTISSA_BITS;
/// Bins of one exponent.
const OCTAVE: usize = 1 << BIN_MANTISSA_BITS;

/// What a calibration keeps of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Least and greatest element: a few bytes for each value of the network.
    Extremes,
    /// A histogram of magnitudes as well, from which percentiles, errors and divergences are computed: some 100 kB.
    Histogram,
}

impl Detail {
    /// What ranges by `method` need.
    #[must_use]
    pub fn of(method: RangeMethod) -> Self {
        match method {
            RangeMethod::MinMax => Self::Extremes,
            RangeMethod::Percentile(_) | RangeMethod::Mse | RangeMethod::Entropy => Self::Histogram,
        }
    }
}

/// Number of elements by magnitude: one bin for each f32 without its sign and its last mantissa bits. Only exponents that
/// occur take memory.
#[derive(Clone, Debug, Default, PartialEq)]
struct Bins(Vec<Option<Box<[u64; OCTAVE]>>>);

impl Bins {
    fn add(&mut self, bin: usize, n: u64) {
        let (octave, within) = (bin / OCTAVE, bin % OCTAVE);
        if self.0.len() <= octave {
            self.0.resize(octave + 1, None);
        }
        self.0[octave].get_or_insert_with(|| Box::new([0; OCTAVE]))[within] += n;
    }

    fn get(&self, bin: usize) -> u64 {
        self.0.get(bin / OCTAVE).and_then(Option::as_ref).map_or(0, |octave| octave[bin % OCTAVE])
    }

    /// Bins that hold elements, and how many, in ascending order.
    fn iter(&self) -> impl DoubleEndedIterator<Item = (usize, u64)> {
        let octaves = self.0.iter().enumerate().filter_map(|(idx, octave)| Some((idx * OCTAVE, octave.as_ref()?)));
        octaves.flat_map(|(first, octave)| {
            octave.iter().enumerate().map(move |(idx, &n)| (first + idx, n)).filter(|&(_, n)| n > 0)
        })
    }
}

/// A bin of a histogram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignedBin {
    /// Least and greatest magnitude.
    pub(crate) bounds: [f64; 2],
    pub(crate) negative: bool,
    /// Number of elements.
    pub(crate) n: u64,
}

impl SignedBin {
    /// The element that stands for the bin; 0 for the bin that holds 0.
    pub(crate) fn value(&self) -> f64 {
        let [least, greatest] = self.bounds;
        let magnitude = if least > 0.0 { (least + greatest) / 2.0 } else { 0.0 };
        if self.negative { -magnitude } else { magnitude }
    }
}

impl FromIterator<(usize, u64)> for Bins {
    fn from_iter<I: IntoIterator<Item = (usize, u64)>>(counts: I) -> Self {
        let mut bins = Self::default();
        for (bin, n) in counts {
            bins.add(bin, n);
        }
        bins
    }
}

/// What calibration knows about one value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct ValueStatistics {
    min: f32,
    max: f32,
    n_elements: u64,
    shape: Vec<usize>,
    /// Number of elements by magnitude. Bins hold the magnitudes that agree in exponent and leading mantissa bits, so
    /// counts do not depend on the order of images, and a bin is at most 2^−9 of its value wide.
    /// Empty where a calibration keeps extremes only.
    bins: Bins,
    /// The same for elements below zero alone.
    negative_bins: Bins,
    detail: Detail,
}

impl ValueStatistics {
    pub(crate) fn new(shape: &[usize], detail: Detail) -> Self {
        Self {
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            n_elements: 0,
            shape: shape.to_vec(),
            bins: Bins::default(),
            negative_bins: Bins::default(),
            detail,
        }
    }

    /// Adds elements; the first one that is not finite is returned.
    pub(crate) fn add(&mut self, elements: &[f32]) -> Result<(), f32> {
        for &x in elements {
            if !x.is_finite() {
                return Err(x);
            }
            self.min = self.min.min(x);
            self.max = self.max.max(x);
        }
        if self.detail == Detail::Histogram {
            for &x in elements {
                let bin = (x.abs().to_bits() >> BIN_SHIFT) as usize;
                self.bins.add(bin, 1);
                if x < 0.0 {
                    self.negative_bins.add(bin, 1);
                }
            }
        }
        self.n_elements += elements.len() as u64;
        Ok(())
    }

    /// Least element, 0 if there was none.
    pub fn min(&self) -> f32 {
        if self.n_elements == 0 { 0.0 } else { self.min }
    }

    /// Greatest element, 0 if there was none.
    pub fn max(&self) -> f32 {
        if self.n_elements == 0 { 0.0 } else { self.max }
    }

    /// Number of elements seen.
    pub fn n_elements(&self) -> u64 {
        self.n_elements
    }

    /// Shape on the first batch seen.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bins that hold elements, in ascending order: least and greatest magnitude, sign, and number of elements.
    pub(crate) fn signed_bins(&self) -> impl Iterator<Item = SignedBin> {
        let bin = |bin: usize, negative: bool, n: u64| {
            let bounds = [(bin as u32) << BIN_SHIFT, (((bin as u32) + 1) << BIN_SHIFT) - 1];
            SignedBin { bounds: bounds.map(|bits| f64::from(f32::from_bits(bits))), negative, n }
        };
        let below = self.negative_bins.iter().rev();
        let above = self.bins.iter().map(|(i, n)| (i, n - self.negative_bins.get(i)));
        let above = above.filter(|(_, n)| *n > 0);
        below.map(move |(i, n)| bin(i, true, n)).chain(above.map(move |(i, n)| bin(i, false, n)))
    }

    /// The magnitude that the greatest code stands for.
    pub fn magnitude(&self, method: RangeMethod) -> f32 {
        let greatest = self.max().abs().max(self.min().abs());
        let RangeMethod::Percentile(percentile) = method else { return greatest };
        let needed = (percentile / 100.0 * self.n_elements as f64).ceil().max(1.0) as u64;
        let mut n_seen = 0;
        for (bin, count) in self.bins.iter() {
            n_seen += count;
            if n_seen >= needed {
                // The greatest magnitude of the bin; bin 0 holds zero and the smallest subnormals.
                let upper = f32::from_bits((((bin as u32) + 1) << BIN_SHIFT) - 1);
                return if bin == 0 { 0.0 } else { upper.min(greatest) };
            }
        }
        greatest
    }
}

/// The form of statistics in a file: floats as their bits, bins that hold elements.
#[derive(Serialize, Deserialize)]
struct Stored {
    min: u32,
    max: u32,
    n_elements: u64,
    shape: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bins: Option<[Vec<(usize, u64)>; 2]>,
}

impl From<ValueStatistics> for Stored {
    fn from(own: ValueStatistics) -> Self {
        let is_histogram = own.detail == Detail::Histogram;
        Self {
            min: own.min.to_bits(),
            max: own.max.to_bits(),
            n_elements: own.n_elements,
            bins: is_histogram.then(|| [&own.bins, &own.negative_bins].map(|bins| bins.iter().collect())),
            shape: own.shape,
        }
    }
}

impl TryFrom<Stored> for ValueStatistics {
    type Error = String;

    fn try_from(stored: Stored) -> Result<Self, String> {
        let is_bin = |(bin, _): &(usize, u64)| *bin <= (f32::MAX.to_bits() >> BIN_SHIFT) as usize;
        if !stored.bins.iter().flatten().flatten().all(is_bin) {
            return Err("a bin that no f32 has".to_owned());
        }
        let detail = if stored.bins.is_some() { Detail::Histogram } else { Detail::Extremes };
        let [bins, negative_bins] = stored.bins.unwrap_or_default().map(|bins| bins.into_iter().collect());
        Ok(Self {
            min: f32::from_bits(stored.min),
            max: f32::from_bits(stored.max),
            n_elements: stored.n_elements,
            shape: stored.shape,
            bins,
            negative_bins,
            detail,
        })
    }
}

/// Ranges of all values of one network, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    values: BTreeMap<String, ValueStatistics>,
    n_images: usize,
}

impl Calibration {
    /// Statistics of the value `name`.
    pub fn get(&self, name: &str) -> Option<&ValueStatistics> {
        self.values.get(name)
    }

    /// Number of images seen.
    pub fn n_images(&self) -> usize {
        self.n_images
    }
}

/// Collects a [`Calibration`] batch by batch. Only order-free counts are kept, so the result depends on the set of
/// images alone, not on how it is split into batches.
#[derive(Debug)]
pub struct Calibrator<'g> {
    graph: &'g Graph,
    values: Vec<Option<ValueStatistics>>,
    n_images: usize,
    detail: Detail,
}

impl<'g> Calibrator<'g> {
    /// A calibrator of `graph` that keeps histograms: every method finds what it needs.
    pub fn new(graph: &'g Graph) -> Self {
        Self::with_detail(graph, Detail::Histogram)
    }

    /// A calibrator of `graph`. Extremes alone do for [`RangeMethod::MinMax`] and [`RangeMethod::MinMax`](crate::RangeMethod).
    pub fn with_detail(graph: &'g Graph, detail: Detail) -> Self {
        Self { graph, values: vec![None; graph.values().len()], n_images: 0, detail }
    }

    /// Runs one batch through `executor`, which runs the calibrator's graph, and returns its outputs.
    ///
    /// # Errors
    /// [`QuantError::NotFinite`] if a value is NaN or infinite, [`QuantError::Graph`] if the network does not run.
    pub fn observe(&mut self, executor: &dyn Executor, inputs: &[Tensor]) -> Result<Vec<Tensor>, QuantError> {
        let mut failed = None;
        for (input, tensor) in self.graph.inputs().iter().zip(inputs) {
            self.add(input.value, tensor)?;
        }
        let outputs = executor.run_observed(inputs, &mut |id, tensor| {
            if failed.is_none() {
                failed = self.add(id, tensor).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        self.n_images += inputs.first().and_then(|t| t.shape().first().copied()).unwrap_or(0);
        Ok(outputs)
    }

    fn add(&mut self, id: ValueId, tensor: &Tensor) -> Result<(), QuantError> {
        let Some(elements) = tensor.as_f32() else { return Ok(()) };
        let statistics = self.values[id.0].get_or_insert_with(|| ValueStatistics::new(tensor.shape(), self.detail));
        statistics
            .add(elements)
            .map_err(|found| QuantError::NotFinite { value: self.graph.value(id).name.clone(), found })
    }

    /// The ranges seen.
    ///
    /// # Errors
    /// [`QuantError::NoImages`] if no batch held an image.
    pub fn finish(self) -> Result<Calibration, QuantError> {
        if self.n_images == 0 {
            return Err(QuantError::NoImages);
        }
        let named = self.graph.values().iter().zip(self.values);
        let values = named.filter_map(|(value, statistics)| Some((value.name.clone(), statistics?))).collect();
        Ok(Calibration { values, n_images: self.n_images })
    }
}

/// Runs all `batches` through `executor`, which runs `graph`.
///
/// # Errors
/// As [`Calibrator::observe`] and [`Calibrator::finish`].
pub fn calibrate(
    graph: &Graph,
    executor: &dyn Executor,
    batches: impl IntoIterator<Item = Vec<Tensor>>,
) -> Result<Calibration, QuantError> {
    let mut calibrator = Calibrator::new(graph);
    for inputs in batches {
        calibrator.observe(executor, &inputs)?;
    }
    calibrator.finish()
}

#[cfg(test)]
mod tests {
    use super::{Detail, ValueStatistics};
    use crate::RangeMethod;

    #[test]
    fn percentile_is_the_least_magnitude_that_covers_the_share() {
        let elements: Vec<f32> = (1..=1000).map(|i| if i % 2 == 0 { i as f32 } else { -(i as f32) }).collect();
        let mut whole = ValueStatistics::new(&[1000], Detail::Histogram);
        whole.add(&elements).unwrap();
        let mut split = ValueStatistics::new(&[1000], Detail::Histogram);
        elements.rchunks(7).for_each(|part| split.add(part).unwrap());
        assert_eq!(whole, split);
        assert_eq!((whole.min(), whole.max()), (-999.0, 1000.0));
        for (percentile, expected) in [(50.0, 500.0), (99.0, 990.0), (99.9, 999.0), (0.01, 1.0)] {
            let got = whole.magnitude(RangeMethod::Percentile(percentile));
            assert!(got >= expected && got < expected * (1.0 + 1.0 / 512.0), "{percentile}: {got}");
        }
        assert_eq!(whole.magnitude(RangeMethod::Percentile(100.0)).to_bits(), 1000_f32.to_bits());
        assert_eq!(whole.magnitude(RangeMethod::MinMax).to_bits(), 1000_f32.to_bits());
    }

    #[test]
    fn numbers_that_are_not_finite_are_reported() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let found = ValueStatistics::new(&[2], Detail::Histogram).add(&[1.0, bad]).unwrap_err();
            assert_eq!(found.to_bits(), bad.to_bits());
        }
    }

    #[test]
    fn zeros_only_have_magnitude_zero() {
        let mut statistics = ValueStatistics::new(&[3], Detail::Histogram);
        statistics.add(&[0.0, -0.0, 0.0]).unwrap();
        assert_eq!(statistics.magnitude(RangeMethod::Percentile(99.0)).to_bits(), 0);
    }
}
