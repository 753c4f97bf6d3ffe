//! Networks and images, and what their files hold.

pub(crate) mod answers;
pub(crate) mod config;
pub(crate) mod describe;
pub(crate) mod images;
pub(crate) mod network;
