//! Calibration and quantization of a graph to integers.
