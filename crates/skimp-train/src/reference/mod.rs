//! Naive forward and backward of every trainable operator: the specification that the engine is compared with.
