//! Integer networks: the fast engine against the specification, and accuracy on real data.

#[cfg(test)]
mod accuracy;
#[cfg(test)]
mod attention;
#[cfg(test)]
mod bytes;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod graphs;
#[cfg(test)]
mod noise;
#[cfg(test)]
mod onnxruntime;
#[cfg(test)]
mod qdq;
#[cfg(test)]
mod random;
mod read;
#[cfg(test)]
mod surroundings;
