//! What is registered, and what embedded files say.

pub(crate) mod lists;
pub(crate) mod show;
pub(crate) mod support;
