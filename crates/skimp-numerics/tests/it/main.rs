//! Integration tests of skimp-numerics.

mod ml_dtypes;
mod torchao;
