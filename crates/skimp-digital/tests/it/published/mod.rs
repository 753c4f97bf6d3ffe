//! Published and recorded figures.
//!
//! Recorded: the runs of iamjinholee/endasim, commit fbb1102 (2020), a cycle simulator of ComPEND and its successor.

mod cnvlutin;
mod compend_closed_form;
mod compend_energy;
mod compend_recorded;
mod compend_windows;
mod dadiannao;
mod eyeriss;
mod selective_gradients;
mod stripes;
mod systolic;
mod tetris;
mod zena;
