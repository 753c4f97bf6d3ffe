//! Levers one after another: the section `tour` of a study.

use serde::{Deserialize, Serialize};

use super::{AcceleratorRecord, SectionRecord, SimulationRecord};

/// What each of several levers adds to those before it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TourRecord {
    /// Images that drove the designs: cycles and energies of [`StopRecord::designs`] are sums over them.
    pub images: u64,
    /// Points of top-1 accuracy that an approximate design may lose before what it saves is void.
    #[serde(default = "SimulationRecord::default_allowed_loss_points")]
    pub allowed_loss_points: f64,
    /// The stops, in order. The first is what the others are set against.
    pub stops: Vec<StopRecord>,
}

impl SectionRecord for TourRecord {
    const NAME: &'static str = "tour";
    const SCHEMA: &'static str = "skimp.tour/1";
}

/// A network, its widths and the designs that run it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StopRecord {
    /// Name, unique.
    pub label: String,
    /// What the lever is, in a sentence; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The network that the stop began with.
    pub network: String,
    /// Whether it is of another network than the first stop.
    pub is_another_network: bool,
    /// Width of the weights on the designs.
    pub weight_bits: u32,
    /// Width of the activations on the designs.
    pub activation_bits: u32,
    /// Multiply-accumulates per image.
    pub macs: u64,
    /// Weights of convolutions and dense layers.
    pub weights: u64,
    /// Those that are zero.
    pub zero_weights: u64,
    /// Images classified by the network in these widths.
    pub n_classified: u64,
    /// Those classified correctly.
    pub n_right: u64,
    /// The designs, the first one first; their layers are left out.
    pub designs: Vec<AcceleratorRecord>,
}

impl StopRecord {
    /// Share of the images classified correctly on a design of this stop, and their number: the network's in these widths
    /// where the design is exact. `None` where nobody measured it.
    pub fn top1_on(&self, design: &AcceleratorRecord) -> Option<(f64, u64)> {
        match (&design.accuracy, design.approximate) {
            (Some(own), _) => Some((own.top1, own.n_images)),
            (None, true) => None,
            (None, false) if self.n_classified == 0 => None,
            (None, false) => Some((self.n_right as f64 / self.n_classified as f64, self.n_classified)),
        }
    }

    /// [`top1_on`](Self::top1_on) the first design.
    pub fn top1(&self) -> Option<(f64, u64)> {
        self.designs.first().and_then(|design| self.top1_on(design))
    }

    /// Bytes that the weights take, zeros included.
    pub fn weight_bytes(&self) -> f64 {
        (self.weights * u64::from(self.weight_bits)) as f64 / 8.0
    }
}

impl TourRecord {
    /// How many times less energy the first design of `stop` takes than that of `other`.
    ///
    /// # Errors
    /// For people: why the two do not compare, or why what it saves is void.
    pub fn energy_gain(&self, stop: &StopRecord, other: &StopRecord) -> Result<f64, String> {
        let (own, theirs) = self.pair(stop, other)?;
        match own.energy_differs(theirs) {
            Some(reason) => Err(format!("does not compare: {reason}")),
            None => Ok(theirs.total.energy_mj / own.total.energy_mj),
        }
    }

    /// How many times fewer cycles the first design of `stop` takes than that of `other`.
    ///
    /// # Errors
    /// As [`energy_gain`](Self::energy_gain).
    pub fn cycles_gain(&self, stop: &StopRecord, other: &StopRecord) -> Result<f64, String> {
        let (own, theirs) = self.pair(stop, other)?;
        if own.name != theirs.name {
            return Err(format!("does not compare: {} and {}", theirs.label, own.label));
        }
        Ok(theirs.total.cycles as f64 / own.total.cycles as f64)
    }

    /// The first designs of two stops, unless what the first one saves is void.
    fn pair<'s>(
        &self,
        stop: &'s StopRecord,
        other: &'s StopRecord,
    ) -> Result<(&'s AcceleratorRecord, &'s AcceleratorRecord), String> {
        let (Some(own), Some(theirs)) = (stop.designs.first(), other.designs.first()) else {
            return Err("no design".to_owned());
        };
        match own.void(self.allowed_loss_points) {
            Some(void) => Err(void),
            None => Ok((own, theirs)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::{AcceleratorTotal, EffectAccuracy, EnergyRecord};

    fn stop(name: &str, cycles: u64, energy_mj: f64, left_out: &[&str]) -> StopRecord {
        let energy = EnergyRecord {
            technology_nm: 45.0,
            left_out: left_out.iter().map(|&scope| scope.to_owned()).collect(),
            ..EnergyRecord::default()
        };
        let total = AcceleratorTotal { cycles, energy_mj, ..AcceleratorTotal::default() };
        let design = AcceleratorRecord {
            name: name.to_owned(),
            label: name.to_owned(),
            energy: Some(energy),
            total,
            ..AcceleratorRecord::default()
        };
        StopRecord { designs: vec![design], ..StopRecord::default() }
    }

    #[test]
    fn only_like_is_set_against_like() {
        let tour = TourRecord { images: 1, allowed_loss_points: 1.0, stops: Vec::new() };
        let (first, mut second) = (stop("a", 30, 6.0, &[]), stop("a", 20, 1.5, &[]));
        assert_eq!(tour.energy_gain(&second, &first), Ok(4.0));
        assert_eq!(tour.cycles_gain(&second, &first), Ok(1.5));
        // A design whose memories are not priced, and another clock.
        let other = stop("b", 5, 0.5, &["off_chip"]);
        assert!(tour.energy_gain(&other, &first).unwrap_err().contains("without off-chip"));
        assert_eq!(tour.cycles_gain(&other, &first), Err("does not compare: a and b".to_owned()));
        assert!(tour.energy_gain(&StopRecord::default(), &first).is_err());
        // Two points lost where one is allowed: there is no gain.
        second.designs[0].approximate = true;
        second.designs[0].accuracy =
            Some(EffectAccuracy { top1: 0.9, top1_exact: 0.92, n_images: 100, ..EffectAccuracy::default() });
        assert!(tour.energy_gain(&second, &first).unwrap_err().starts_with("void: "));
        assert!(tour.cycles_gain(&second, &first).unwrap_err().starts_with("void: "));
        let lenient = TourRecord { allowed_loss_points: 2.0, ..tour };
        assert_eq!(lenient.energy_gain(&second, &first), Ok(4.0));
    }

    #[test]
    fn accuracy_is_that_of_the_design() {
        let mut own = stop("a", 1, 1.0, &[]);
        assert_eq!(own.top1(), None);
        (own.n_classified, own.n_right, own.weights, own.weight_bits) = (8, 6, 10, 4);
        assert_eq!((own.top1(), own.weight_bytes()), (Some((0.75, 8)), 5.0));
        own.designs[0].approximate = true;
        assert_eq!(own.top1(), None);
        own.designs[0].accuracy = Some(EffectAccuracy { top1: 0.5, n_images: 4, ..EffectAccuracy::default() });
        assert_eq!(own.top1(), Some((0.5, 4)));
    }
}
