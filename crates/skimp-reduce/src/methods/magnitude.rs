//! One-shot magnitude pruning.

use serde::Deserialize;
use skimp_graph::Graph;

use crate::settings;
use crate::weights::scope::ScopeKind;
use crate::weights::select::magnitudes;
use crate::weights::{ScopeSettings, Start};
use crate::{Method, MethodFacts, Needs, ReduceError, Reduction, Removes, Request};

const NAME: &str = "magnitude";

/// The smallest weights become zero at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Magnitude;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(flatten)]
    scope: ScopeSettings,
}

impl Method for Magnitude {
    fn facts(&self) -> MethodFacts {
        MethodFacts {
            name: NAME,
            summary: "the smallest weights become zero, at once and without data",
            source: "S. Han, J. Pool, J. Tran, W. Dally, \"Learning both Weights and Connections for Efficient Neural \
                     Networks\", NIPS 2015, one round without retraining. Differs: an exact number of weights in place of a \
                     threshold; ties by index.",
            removes: Removes::Weights,
            needs: Needs::Nothing,
        }
    }

    fn settings(&self) -> toml::Table {
        ScopeSettings::defaults(ScopeKind::Auto)
    }

    fn reduce(&self, graph: &Graph, request: &Request<'_>) -> Result<Reduction, ReduceError> {
        let settings: Settings = settings::parse(NAME, &self.settings(), request.settings)?;
        let start = Start::new(NAME, graph, request)?;
        let tensors = &start.found.tensors;
        let scope = settings.scope.scope(NAME, request, tensors)?;
        let scores: Vec<Vec<f32>> = start.found.elements(&start.graph).into_iter().map(magnitudes).collect();
        let scores: Vec<&[f32]> = scores.iter().map(Vec::as_slice).collect();
        let masks = scope.masks(start.sparsity, tensors, &scores)?;
        start.masked(masks, Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use skimp_graph::{Executor, onnx, reference, testing::random_tensor};

    use super::*;
    use crate::Target;
    use crate::weights::testing::{bits, check_masks, dense_net, elements, request, run, small_net};

    /// Sheet 1.5, test 1: exactly `round(s · n)` zeros, and they are the smallest.
    #[test]
    fn exactly_the_smallest() {
        let graph = small_net();
        for sparsity in [0.0, 0.1, 0.33, 0.5, 0.9, 0.999] {
            let reduction = run(&Magnitude, &graph, sparsity, "", None).unwrap();
            check_masks(&reduction);
            assert_eq!(reduction.masks.len(), 3);
            for (name, mask) in &reduction.masks {
                let (before, after) = (elements(&graph, name), elements(&reduction.graph, name));
                let n_zeros = after.iter().filter(|value| value.to_bits() == 0).count();
                assert_eq!(n_zeros, (sparsity * before.len() as f64).round() as usize, "{name} at {sparsity}");
                let of = |kept: bool| {
                    before.iter().zip(mask).filter(move |(_, mask)| (**mask > 0.0) == kept).map(|(x, _)| x.abs())
                };
                let (least, most) = (of(true).fold(f32::MAX, f32::min), of(false).fold(0.0, f32::max));
                assert!(most <= least, "{name} at {sparsity}: {most} cut, {least} kept");
                assert!(before.iter().zip(after).zip(mask).all(|((a, b), m)| *m <= 0.0 || a.to_bits() == b.to_bits()));
            }
            let untouched = |(name, _): &(String, Vec<u32>)| !reduction.masks.iter().any(|(masked, _)| masked == name);
            let others = |graph| bits(graph).into_iter().filter(untouched).collect::<Vec<_>>();
            assert_eq!(others(&graph), others(&reduction.graph));
        }
    }

    /// Sheet 1.5, test 6: a plain file is as large as before, and gives the same outputs bit for bit.
    #[test]
    fn a_dense_file_keeps_its_size() {
        let graph = small_net();
        let reduction = run(&Magnitude, &graph, 0.9, "scope = \"global\"", None).unwrap();
        assert_eq!(check_masks(&reduction), (0.9 * (72.0 + 864.0 + 5880.0_f64)).round() as usize);
        let (before, after) = (onnx::export_bytes(&graph).unwrap(), onnx::export_bytes(&reduction.graph).unwrap());
        assert_eq!(before.len(), after.len());
        let read = onnx::import_bytes(after.into(), None, "small").unwrap();
        let images = [random_tensor(2, "images", vec![2, 1, 28, 28], 0.0, 1.0)];
        let output = |graph: &Graph| reference::Reference::new(graph).run(&images).unwrap();
        assert_eq!(output(&read), output(&reduction.graph));
        assert!(reduction.notes[1].contains("dense kernels take as long as before"));
    }

    #[test]
    fn scopes_and_kept_layers() {
        let graph = dense_net(&[30, 20, 3, 4]);
        let zeros = |settings: &str| {
            let reduction = run(&Magnitude, &graph, 0.5, settings, None).map_err(|error| error.to_string())?;
            let zeros = reduction.masks.iter().map(|(_, mask)| crate::weights::select::n_zeros([mask]));
            Ok::<Vec<usize>, String>(zeros.collect())
        };
        assert_eq!(zeros(""), Ok(vec![300, 30, 6]));
        assert_eq!(zeros("scope = \"per-layer\"\nlayers = { fc1 = 0.25, fc3 = 1.0 }"), Ok(vec![150, 30, 12]));
        assert_eq!(zeros("scope = \"global\"").map(|zeros| zeros.iter().sum()), Ok(336));
        for (settings, cause) in [
            ("scope = \"some\"", "setting \"scope\" of method magnitude: expected one of"),
            ("flor = 1", "setting \"flor\" of method magnitude: expected one of: floor, layers, scope, found 1"),
            ("layers = { fc1 = 0.1 }", "expected scope = \"per-layer\" beside it"),
            ("floor = 0.1", "only the scopes global and erk have one"),
            ("scope = \"per-layer\"\nlayers = { fc9 = 0.1 }", "expected names of: fc1, fc2, fc3, found fc9"),
            ("scope = \"erk\"\nfloor = 2", "expected a fraction from 0 to 1, or \"auto\", found 2"),
        ] {
            let error = zeros(settings).unwrap_err();
            assert!(error.contains(cause), "{settings}: {error}");
        }
        let half = || request(Target::Sparsity(0.5));
        let keep = ["fc1".to_owned()];
        let reduction = Magnitude.reduce(&graph, &Request { keep: &keep, ..half() }).unwrap();
        assert_eq!(reduction.masks.len(), 2);
        assert!(reduction.notes[0].contains("600 more stay as they were"), "{:?}", reduction.notes);
        let error = Magnitude.reduce(&graph, &request(Target::Macs(0.5))).unwrap_err().to_string();
        assert!(error.contains("method magnitude takes sparsity") && error.contains("macs=0.5"), "{error}");
        let keep = ["fc*".to_owned()];
        let error = Magnitude.reduce(&graph, &Request { keep: &keep, ..half() }).unwrap_err().to_string();
        assert!(error.contains("672 stay because their layers are kept"), "{error}");
        // The request's scope, unless the settings have one.
        let zeros = |settings: &str| {
            let settings: toml::Table = toml::from_str(settings).unwrap();
            let request = Request { scope: crate::Scope::Global, settings: &settings, ..half() };
            let masks = Magnitude.reduce(&graph, &request).unwrap().masks;
            masks.iter().map(|(_, mask)| crate::weights::select::n_zeros([mask])).collect::<Vec<_>>()
        };
        assert_eq!(zeros("scope = \"uniform\""), [300, 30, 6]);
        assert_ne!(zeros(""), [300, 30, 6]);
        assert_eq!(zeros(""), zeros("scope = \"global\""));
    }
}
