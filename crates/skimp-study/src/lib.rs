//! Study files and the pipeline that runs them.
