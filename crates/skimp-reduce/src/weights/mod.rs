//! Single weights that become zero.
