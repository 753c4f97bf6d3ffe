//! Points of one's own alone.

use super::{Aims, AtOnce, Method, Search, SearchConfig};
use crate::error::SweepError;
use crate::space::Space;

#[derive(Debug)]
pub(super) struct Listed;

impl Method for Listed {
    fn name(&self) -> &'static str {
        "points"
    }

    fn summary(&self) -> &'static str {
        "the [[points]] of the file alone"
    }

    fn begin<'s>(
        &self,
        space: &'s Space,
        _config: &SearchConfig,
        _aims: &Aims,
    ) -> Result<Box<dyn Search + 's>, SweepError> {
        if space.own_points().is_empty() {
            let cause = "search.method is \"points\", and there is no [[points]] entry".to_owned();
            return Err(SweepError::Invalid { path: "sweep".into(), cause });
        }
        Ok(Box::new(AtOnce::new(space.own_points().to_vec())))
    }
}
