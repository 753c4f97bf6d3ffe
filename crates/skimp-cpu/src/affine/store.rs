//! The values of a network while it runs.

use skimp_graph::affine::{AffineEncoding, AffineGraph};
use skimp_graph::shape::TensorType;
use skimp_graph::{Data, Tensor};

use super::layout::{Layout, byte};

/// A value that is kept as bytes.
#[derive(Clone, Debug)]
pub(super) struct Coded {
    pub(super) layout: Layout,
    pub(super) encoding: AffineEncoding,
    /// Shape as a tensor.
    pub(super) shape: Vec<usize>,
}

impl Coded {
    /// A value of type `found` under `encoding`, if it is an image or a vector.
    pub(super) fn new(found: &TensorType, encoding: AffineEncoding) -> Option<Self> {
        let layout = match found.shape[..] {
            [_, c, h, w] if c * h * w > 0 => Layout::new(c, h, w),
            [_, c] if c > 0 => Layout::new(c, 1, 1),
            _ => return None,
        };
        Some(Self { layout, encoding, shape: found.shape.clone() })
    }

    fn n_images(&self) -> usize {
        self.shape[0]
    }
}

/// The values of some images: bytes where a value has a layout, tensors for all others.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) bytes: Vec<Vec<u8>>,
    pub(super) tensors: Vec<Option<Tensor>>,
}

impl Store {
    /// Halos are filled here, once; nobody writes them.
    pub(super) fn new(graph: &AffineGraph, coded: &[Option<Coded>]) -> Self {
        let zeros = |coded: &Option<Coded>| match coded {
            Some(Coded { layout, encoding, shape }) => {
                vec![byte(encoding.zero_point, encoding.code_type); layout.n_bytes() * shape[0]]
            }
            None => Vec::new(),
        };
        Self {
            bytes: coded.iter().map(zeros).collect(),
            tensors: graph.values.iter().map(|value| value.constant.clone()).collect(),
        }
    }

    /// A value as a tensor.
    pub(super) fn tensor(&self, coded: &[Option<Coded>], idx: usize) -> Option<Tensor> {
        match &coded[idx] {
            Some(coded) => coded.to_tensor(&self.bytes[idx]),
            None => self.tensors[idx].clone(),
        }
    }

    /// Keeps a value.
    pub(super) fn put(&mut self, coded: &[Option<Coded>], idx: usize, tensor: Tensor) {
        match &coded[idx] {
            Some(coded) => coded.fill(&tensor, &mut self.bytes[idx]),
            None => self.tensors[idx] = Some(tensor),
        }
    }
}

impl Coded {
    /// Calls `visit` with the index of every element of the tensor and the position of its byte.
    fn for_each(&self, mut visit: impl FnMut(usize, usize)) {
        let Layout { channels, height, width, .. } = self.layout;
        for image in 0..self.n_images() {
            for h in 0..height {
                for w in 0..width {
                    let at = image * self.layout.n_bytes() + self.layout.at(h, w);
                    for c in 0..channels {
                        visit(((image * channels + c) * height + h) * width + w, at + c);
                    }
                }
            }
        }
    }

    fn to_tensor(&self, bytes: &[u8]) -> Option<Tensor> {
        let mut codes = vec![0; self.shape.iter().product()];
        let least = self.encoding.code_type.min();
        self.for_each(|i, at| codes[i] = i32::from(bytes[at]) + least);
        self.encoding.code_type.tensor(self.shape.clone(), codes.into_iter())
    }

    fn fill(&self, tensor: &Tensor, bytes: &mut [u8]) {
        match tensor.data() {
            Data::U8(codes) => self.for_each(|i, at| bytes[at] = codes[i]),
            Data::I8(codes) => self.for_each(|i, at| bytes[at] = (i32::from(codes[i]) + 128) as u8),
            other => debug_assert!(false, "codes are {:?}", other.dtype()),
        }
    }

    /// Quantizes real numbers.
    pub(super) fn quantize(&self, reals: &[f32], bytes: &mut [u8]) {
        let (encoding, code_type) = (self.encoding, self.encoding.code_type);
        let Layout { channels, height, width, .. } = self.layout;
        let least = code_type.min();
        // Row by row: real numbers are read in order.
        for image in 0..self.n_images() {
            for c in 0..channels {
                for h in 0..height {
                    let row = &reals[((image * channels + c) * height + h) * width..][..width];
                    let at = image * self.layout.n_bytes() + self.layout.at(h, 0) + c;
                    for (x, byte) in row.iter().zip(bytes[at..].iter_mut().step_by(self.layout.pitch)) {
                        *byte = (encoding.quantize(*x) - least) as u8;
                    }
                }
            }
        }
    }

    /// The real numbers behind the bytes.
    pub(super) fn dequantize(&self, bytes: &[u8]) -> Tensor {
        let mut reals = vec![0.0; self.shape.iter().product()];
        let least = self.encoding.code_type.min();
        self.for_each(|i, at| reals[i] = self.encoding.dequantize(i32::from(bytes[at]) + least));
        Tensor::from_f32(self.shape.clone(), reals)
    }
}
