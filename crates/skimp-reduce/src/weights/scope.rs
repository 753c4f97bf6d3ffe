//! How zeros are shared out among the tensors.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::select::{cut_smallest, cut_smallest_of_all};
use super::tensors::WeightTensor;
use crate::settings::{Auto, setting_error};
use crate::{ReduceError, Request};

/// How zeros are shared out among the tensors.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// The same fraction of each tensor.
    Uniform,
    /// The fraction given for each layer, the target's for the others.
    PerLayer(BTreeMap<String, f64>),
    /// The smallest scores of all tensors; of each, at least this fraction stays.
    Global {
        /// The fraction; `None` for one that any target leaves room for.
        floor: Option<f64>,
    },
    /// Tensors of more weights per input and output lose more: the fraction of weights that stay is proportional to
    /// (sum of the extents) / (product of the extents), at least the floor and at most 1.
    ///
    /// # Source
    /// Evci, Gale, Menick, Castro and Elsen, "Rigging the Lottery: Making All Tickets Winners", ICML 2020: the
    /// Erdős–Rényi kernel.
    /// Differs: the floor.
    Erk {
        /// The least fraction that stays of a tensor; `None` for one that any target leaves room for.
        floor: Option<f64>,
    },
}

/// The settings of a [`Scope`].
#[derive(Clone, Debug, Deserialize)]
pub struct ScopeSettings {
    /// Its kind.
    pub scope: ScopeKind,
    /// The least fraction that stays of a tensor.
    pub floor: Auto,
    /// Fractions of zeros by layer.
    pub layers: BTreeMap<String, f64>,
}

/// The kinds of scopes, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeKind {
    /// What the request says.
    Auto,
    /// [`Scope::Uniform`].
    Uniform,
    /// [`Scope::PerLayer`].
    PerLayer,
    /// [`Scope::Global`].
    Global,
    /// [`Scope::Erk`].
    Erk,
}

impl ScopeKind {
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Uniform => "uniform",
            Self::PerLayer => "per-layer",
            Self::Global => "global",
            Self::Erk => "erk",
        }
    }
}

impl ScopeSettings {
    /// The settings of a scope with their defaults, to be added to a method's own.
    pub fn defaults(kind: ScopeKind) -> toml::Table {
        toml::Table::from_iter([
            ("scope".to_owned(), kind.name().into()),
            ("floor".to_owned(), "auto".into()),
            ("layers".to_owned(), toml::Table::new().into()),
        ])
    }

    /// The scope.
    ///
    /// # Errors
    /// [`ReduceError::Setting`] for a fraction out of range, a layer that is not among `tensors`, or settings that the
    /// kind does not take.
    pub fn scope(&self, method: &str, request: &Request<'_>, tensors: &[WeightTensor]) -> Result<Scope, ReduceError> {
        let kind = match (self.scope, request.scope) {
            (ScopeKind::Auto, crate::Scope::Uniform) => ScopeKind::Uniform,
            (ScopeKind::Auto, crate::Scope::Global) => ScopeKind::Global,
            (kind, _) => kind,
        };
        let floor = self.floor.number();
        if let Some(floor) = floor.filter(|floor| !(0.0..=1.0).contains(floor)) {
            return Err(setting_error(method, "floor", "a fraction from 0 to 1, or \"auto\"", floor));
        }
        let has_floor = matches!(kind, ScopeKind::Global | ScopeKind::Erk);
        if let Some(floor) = floor.filter(|_| !has_floor) {
            let expected = "no floor: only the scopes global and erk have one";
            return Err(setting_error(method, "floor", expected, floor));
        }
        if kind != ScopeKind::PerLayer && !self.layers.is_empty() {
            let found = format!("scope = \"{}\"", kind.name());
            return Err(setting_error(method, "layers", "scope = \"per-layer\" beside it", found));
        }
        for (layer, &fraction) in &self.layers {
            if !(0.0..=1.0).contains(&fraction) {
                let setting = format!("layers.{layer}");
                return Err(setting_error(method, &setting, "a fraction of zeros from 0 to 1", fraction));
            }
            if !tensors.iter().any(|tensor| tensor.layer == *layer) {
                let layers: Vec<&str> = tensors.iter().map(|tensor| tensor.layer.as_str()).collect();
                return Err(setting_error(method, "layers", &format!("names of: {}", layers.join(", ")), layer));
            }
        }
        Ok(match kind {
            ScopeKind::Auto | ScopeKind::Uniform => Scope::Uniform,
            ScopeKind::PerLayer => Scope::PerLayer(self.layers.clone()),
            ScopeKind::Global => Scope::Global { floor },
            ScopeKind::Erk => Scope::Erk { floor },
        })
    }
}

/// The zeros of `n` weights at a sparsity: rounded to the nearest, halves up.
pub fn n_zeros(sparsity: f64, n: usize) -> usize {
    ((sparsity * n as f64).round() as usize).min(n)
}

impl Scope {
    /// The floor that is kept to at a sparsity: the one set, else a tenth, or half of what stays if that is less.
    fn floor(floor: Option<f64>, sparsity: f64) -> f64 {
        floor.unwrap_or_else(|| f64::min(0.1, (1.0 - sparsity) / 2.0))
    }

    /// How many weights of each tensor become zero; `None` where the scores decide that.
    ///
    /// # Errors
    /// [`ReduceError::Target`] if the floor does not allow so many.
    pub fn counts(&self, sparsity: f64, tensors: &[WeightTensor]) -> Result<Option<Vec<usize>>, ReduceError> {
        let uniform = |tensor: &WeightTensor| n_zeros(sparsity, tensor.len());
        Ok(match self {
            Self::Uniform => Some(tensors.iter().map(uniform).collect()),
            Self::PerLayer(fractions) => {
                let of = |tensor: &WeightTensor| match fractions.get(&tensor.layer) {
                    Some(&fraction) => n_zeros(fraction, tensor.len()),
                    None => uniform(tensor),
                };
                Some(tensors.iter().map(of).collect())
            }
            Self::Global { .. } => None,
            Self::Erk { floor } => Some(erk(sparsity, Self::floor(*floor, sparsity), tensors)?),
        })
    }

    /// Masks for the scores of each tensor: those of the smallest scores are 0.
    ///
    /// # Errors
    /// As [`counts`](Self::counts).
    pub fn masks(
        &self,
        sparsity: f64,
        tensors: &[WeightTensor],
        scores: &[&[f32]],
    ) -> Result<Vec<Vec<f32>>, ReduceError> {
        if let Some(counts) = self.counts(sparsity, tensors)? {
            return Ok(scores.iter().zip(counts).map(|(scores, n)| cut_smallest(scores, n)).collect());
        }
        let floor = match self {
            Self::Global { floor } => Self::floor(*floor, sparsity),
            _ => 0.0,
        };
        let floors: Vec<usize> = tensors.iter().map(|tensor| (floor * tensor.len() as f64).ceil() as usize).collect();
        let n_weights = tensors.iter().map(WeightTensor::len).sum();
        let masks = cut_smallest_of_all(scores, n_zeros(sparsity, n_weights), &floors);
        masks.ok_or_else(|| beyond_floor(sparsity, floor, n_weights, n_weights - floors.iter().sum::<usize>()))
    }
}

fn beyond_floor(sparsity: f64, floor: f64, n_weights: usize, n_most: usize) -> ReduceError {
    ReduceError::Target {
        target: format!("sparsity={sparsity}"),
        cause: format!("{:.2} % of each tensor stay (setting \"floor\")", 100.0 * floor),
        reached: format!("sparsity={:.4}", n_most as f64 / n_weights.max(1) as f64),
    }
}

/// Zeros of each tensor; their sum is exact.
fn erk(sparsity: f64, floor: f64, tensors: &[WeightTensor]) -> Result<Vec<usize>, ReduceError> {
    let sizes: Vec<f64> = tensors.iter().map(|tensor| tensor.len() as f64).collect();
    let raw: Vec<f64> =
        tensors.iter().map(|tensor| tensor.shape.iter().sum::<usize>() as f64 / tensor.len().max(1) as f64).collect();
    let n_weights = tensors.iter().map(WeightTensor::len).sum();
    let n_cut = n_zeros(sparsity, n_weights);
    let density = |factor: f64, idx: usize| (factor * raw[idx]).clamp(floor, 1.0);
    let n_kept = |factor: f64| -> f64 { (0..sizes.len()).map(|idx| density(factor, idx) * sizes[idx]).sum() };
    let wanted = (n_weights - n_cut) as f64;
    if n_kept(0.0) > wanted + 0.5 {
        return Err(beyond_floor(sparsity, floor, n_weights, n_weights - n_kept(0.0).ceil() as usize));
    }
    // The number that stays grows with the factor: halving finds the factor to the last bit.
    let (mut low, mut high) = (0.0_f64, raw.iter().fold(1.0_f64, |most, &raw| most.max(1.0 / raw)));
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if n_kept(middle) < wanted { low = middle } else { high = middle }
    }
    let exact: Vec<f64> = (0..sizes.len()).map(|idx| (1.0 - density(high, idx)) * sizes[idx]).collect();
    let mut counts: Vec<usize> = exact.iter().map(|n| n.floor() as usize).collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by(|&a, &b| (exact[b] - exact[b].floor()).total_cmp(&(exact[a] - exact[a].floor())).then(a.cmp(&b)));
    // Largest remainders; twice around is more than rounding can leave.
    let mut n_left = n_cut.saturating_sub(counts.iter().sum());
    for &idx in order.iter().chain(&order) {
        if n_left > 0 && counts[idx] < tensors[idx].len() {
            counts[idx] += 1;
            n_left -= 1;
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::tensors::find;
    use crate::weights::testing::dense_net;

    /// Sizes 600, 60 and 12.
    fn tensors() -> Vec<WeightTensor> {
        find(&dense_net(&[30, 20, 3, 4]), |_| false).tensors
    }

    #[test]
    fn counts_by_scope() {
        let tensors = tensors();
        let counts = |scope: Scope, sparsity| scope.counts(sparsity, &tensors).unwrap();
        assert_eq!(counts(Scope::Uniform, 0.9), Some(vec![540, 54, 11]));
        let layers = BTreeMap::from([("fc2".to_owned(), 0.25)]);
        assert_eq!(counts(Scope::PerLayer(layers), 0.5), Some(vec![300, 15, 6]));
        assert_eq!(counts(Scope::Global { floor: None }, 0.5), None);
        // Densities are as (30 + 20) / 600, (20 + 3) / 60, (3 + 4) / 12 until one is above 1: the last one, dense. Of the
        // 202 that stay, 190 are shared as 50 and 23: 130.1 and 59.9.
        assert_eq!(counts(Scope::Erk { floor: None }, 0.7), Some(vec![470, 0, 0]));
        // 134 stay, 122 of them as 50 to 23.
        assert_eq!(counts(Scope::Erk { floor: Some(0.0) }, 0.8), Some(vec![516, 22, 0]));
    }

    /// All shapes and sparsities: the sum is exact, the floor is kept.
    #[test]
    fn sums_are_exact() {
        let tensors = tensors();
        for percent in 0..100 {
            let sparsity = f64::from(percent) / 100.0;
            let counts = Scope::Erk { floor: None }.counts(sparsity, &tensors).unwrap().unwrap();
            assert_eq!(counts.iter().sum::<usize>(), n_zeros(sparsity, 672), "{sparsity}");
            let floor = f64::min(0.1, (1.0 - sparsity) / 2.0);
            for (n, tensor) in counts.iter().zip(&tensors) {
                assert!(tensor.len() - n >= (floor * tensor.len() as f64) as usize, "{sparsity}: {counts:?}");
            }
        }
    }

    #[test]
    fn floors_hold_or_say_why_not() {
        let tensors = tensors();
        // The last two tensors have the smallest weights.
        let scores: Vec<Vec<f32>> =
            tensors.iter().zip([3.0, 2.0, 1.0]).map(|(tensor, score)| vec![score; tensor.len()]).collect();
        let scores: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
        let zeros = |floor, sparsity| {
            let masks = Scope::Global { floor }.masks(sparsity, &tensors, &scores)?;
            Ok::<_, ReduceError>(masks.iter().map(|mask| crate::weights::select::n_zeros([mask])).collect::<Vec<_>>())
        };
        assert_eq!(zeros(Some(0.0), 0.1).unwrap(), [0, 55, 12]);
        assert_eq!(zeros(None, 0.1).unwrap(), [3, 54, 10]);
        assert_eq!(zeros(None, 0.98).unwrap().iter().sum::<usize>(), 659);
        let error = zeros(Some(0.5), 0.6).unwrap_err().to_string();
        assert!(error.contains("\"floor\"") && error.contains("sparsity=0.5000"), "{error}");
        let error = Scope::Erk { floor: Some(0.5) }.counts(0.6, &tensors).unwrap_err().to_string();
        assert!(error.contains("\"floor\"") && error.contains("sparsity=0.5000"), "{error}");
    }
}
