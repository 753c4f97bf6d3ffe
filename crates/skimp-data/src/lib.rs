//! Data sets, preprocessing and the embedded sample.
