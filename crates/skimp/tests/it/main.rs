//! The public API: stages that are kept and used again, data and networks from memory, and how runs are watched and stopped.

#[cfg(test)]
mod errors;
#[cfg(test)]
mod inputs;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod stages;
#[cfg(test)]
mod trained;
