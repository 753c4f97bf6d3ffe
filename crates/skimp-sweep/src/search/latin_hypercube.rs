//! Points that share out every axis evenly.
//!
//! # Source
//! McKay, Beckman and Conover, "A Comparison of Three Methods for Selecting Values of Input Variables in the Analysis of
//! Output from a Computer Code", Technometrics 21(2), 1979.

use skimp_numerics::rng::{permutation, stream, uniform_f64};

use super::{Aims, AtOnce, Method, Search, SearchConfig, need_axes};
use crate::error::SweepError;
use crate::space::Space;

#[derive(Debug)]
pub(super) struct LatinHypercube;

impl Method for LatinHypercube {
    fn name(&self) -> &'static str {
        "latin-hypercube"
    }

    fn summary(&self) -> &'static str {
        "search.points draws, of which each of as many equal parts of every axis gets one"
    }

    fn begin<'s>(
        &self,
        space: &'s Space,
        config: &SearchConfig,
        _aims: &Aims,
    ) -> Result<Box<dyn Search + 's>, SweepError> {
        need_axes(space, self)?;
        let n = config.points;
        let of_axis = |axis: usize| stream("sweep/latin-hypercube").wrapping_add(axis as u64);
        let parts: Vec<Vec<usize>> =
            (0..space.searched().len()).map(|axis| permutation(config.seed, of_axis(axis), n)).collect();
        let draw = |point: usize| {
            space.assign(|axis, own| {
                let within = uniform_f64(config.seed, of_axis(axis) ^ stream("sweep/within"), point as u64);
                own.domain.at_share((parts[axis][point] as f64 + within) / n as f64)
            })
        };
        Ok(Box::new(AtOnce::new((0..n).map(draw).collect())))
    }
}
