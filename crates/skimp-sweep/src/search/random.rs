//! Points drawn one by one.

use skimp_numerics::rng::{stream, uniform_f64};

use super::{Aims, AtOnce, Method, Search, SearchConfig, need_axes};
use crate::error::SweepError;
use crate::space::Space;

#[derive(Debug)]
pub(super) struct Random;

impl Method for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn summary(&self) -> &'static str {
        "search.points draws, each axis on its own"
    }

    fn begin<'s>(
        &self,
        space: &'s Space,
        config: &SearchConfig,
        _aims: &Aims,
    ) -> Result<Box<dyn Search + 's>, SweepError> {
        need_axes(space, self)?;
        let draw = |point: usize| {
            space.assign(|axis, own| {
                let of_axis = stream("sweep/random").wrapping_add(axis as u64);
                own.domain.at_share(uniform_f64(config.seed, of_axis, point as u64))
            })
        };
        Ok(Box::new(AtOnce::new((0..config.points).map(draw).collect())))
    }
}
