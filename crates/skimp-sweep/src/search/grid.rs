//! Every combination of the axes' values, and then the points of one's own.

use super::{Aims, AtOnce, Method, Search, SearchConfig};
use crate::error::SweepError;
use crate::space::Space;

#[derive(Debug)]
pub(super) struct Grid;

impl Method for Grid {
    fn name(&self) -> &'static str {
        "grid"
    }

    fn summary(&self) -> &'static str {
        "every combination of the axes' values, and the [[points]]"
    }

    fn begin<'s>(
        &self,
        space: &'s Space,
        _config: &SearchConfig,
        _aims: &Aims,
    ) -> Result<Box<dyn Search + 's>, SweepError> {
        let mut points = space.grid()?;
        points.extend_from_slice(space.own_points());
        if points.is_empty() {
            let cause = "there is neither an [[axes]] nor a [[points]] entry, expected at least one".to_owned();
            return Err(SweepError::Invalid { path: "sweep".into(), cause });
        }
        Ok(Box::new(AtOnce::new(points)))
    }
}
