//! The values of a network while it runs.

use skimp_graph::Tensor;
use skimp_graph::integer::{CodeTensor, Encoding, IntegerTensor, Quotient};

use super::Isa;
use super::layout::{Layout, byte};

/// A value that is kept as bytes.
#[derive(Clone, Debug)]
pub(super) struct Coded {
    pub(super) layout: Layout,
    pub(super) encoding: Encoding,
    /// Shape as a tensor.
    pub(super) shape: Vec<usize>,
}

impl Coded {
    /// A value of extents `shape` under `encoding`, if it is an image or a vector of codes that fit a byte.
    pub(super) fn new(shape: &[usize], encoding: Encoding) -> Option<Self> {
        let layout = match *shape {
            [_, c, h, w] if c * h * w > 0 => Layout::new(c, h, w),
            [_, c] if c > 0 => Layout::new(c, 1, 1),
            _ => return None,
        };
        (encoding.bits <= 8).then(|| Self { layout, encoding, shape: shape.to_vec() })
    }

    fn n_images(&self) -> usize {
        self.shape[0]
    }
}

/// The values of some images: bytes where a value has a layout, tensors for all others.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) bytes: Vec<Vec<u8>>,
    pub(super) tensors: Vec<Option<IntegerTensor>>,
}

impl Store {
    /// Halos are filled here, once; nobody writes them.
    pub(super) fn new(coded: &[Option<Coded>]) -> Self {
        let zeros = |coded: &Option<Coded>| match coded {
            Some(Coded { layout, encoding, shape }) => {
                vec![byte(encoding.zero_point, encoding); layout.n_bytes() * shape[0]]
            }
            None => Vec::new(),
        };
        Self { bytes: coded.iter().map(zeros).collect(), tensors: vec![None; coded.len()] }
    }

    /// A value as a tensor.
    pub(super) fn tensor(&self, coded: &[Option<Coded>], idx: usize) -> Option<IntegerTensor> {
        match &coded[idx] {
            Some(coded) => Some(IntegerTensor::Codes(coded.to_codes(&self.bytes[idx]))),
            None => self.tensors[idx].clone(),
        }
    }

    /// Keeps a value.
    pub(super) fn put(&mut self, coded: &[Option<Coded>], idx: usize, tensor: IntegerTensor) {
        match (&coded[idx], tensor) {
            (Some(coded), IntegerTensor::Codes(codes)) => coded.fill(&codes, &mut self.bytes[idx]),
            (_, tensor) => self.tensors[idx] = Some(tensor),
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

    fn to_codes(&self, bytes: &[u8]) -> CodeTensor {
        let mut data = vec![0; self.shape.iter().product()];
        let least = self.encoding.min_code();
        self.for_each(|i, at| data[i] = i32::from(bytes[at]) + least);
        CodeTensor { shape: self.shape.clone(), data }
    }

    fn fill(&self, codes: &CodeTensor, bytes: &mut [u8]) {
        self.for_each(|i, at| bytes[at] = byte(codes.data[i], &self.encoding));
    }

    /// Quantizes real numbers.
    pub(super) fn quantize(&self, quotient: Quotient, reals: &[f32], bytes: &mut [u8], isa: Isa) {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni | Isa::Avx2 => super::x86::quantize::run(self, quotient, reals, bytes, isa),
            Isa::Portable => self.quantize_plainly(quotient, reals, bytes),
        }
    }

    /// [`quantize`](Self::quantize) in instructions that whoever calls has: they round a vector at once where plain ones call
    /// a function for each number.
    #[inline(always)]
    pub(super) fn quantize_plainly(&self, quotient: Quotient, reals: &[f32], bytes: &mut [u8]) {
        let encoding = self.encoding;
        match quotient {
            Quotient::Single => self.each_code(reals, bytes, encoding.quantizer()),
            Quotient::Double => self.each_code(reals, bytes, |x| encoding.quantize_exactly(f64::from(x))),
        }
    }

    #[inline(always)]
    fn each_code(&self, reals: &[f32], bytes: &mut [u8], code: impl Fn(f32) -> i32) {
        let Layout { channels, height, width, pitch, .. } = self.layout;
        let least = self.encoding.min_code();
        let mut line = vec![0; width];
        // Row by row: real numbers are read in order, and their codes are worked out before they are spread over the pixels.
        for image in 0..self.n_images() {
            for c in 0..channels {
                for h in 0..height {
                    let row = &reals[((image * channels + c) * height + h) * width..][..width];
                    line.iter_mut().zip(row).for_each(|(byte, &x)| *byte = (code(x) - least) as u8);
                    let at = image * self.layout.n_bytes() + self.layout.at(h, 0) + c;
                    bytes[at..].iter_mut().step_by(pitch).zip(&line).for_each(|(to, &byte)| *to = byte);
                }
            }
        }
    }

    /// The real numbers behind the bytes.
    pub(super) fn dequantize(&self, bytes: &[u8]) -> Tensor {
        let mut reals = vec![0.0; self.shape.iter().product()];
        let least = self.encoding.min_code();
        self.for_each(|i, at| reals[i] = self.encoding.dequantize(i32::from(bytes[at]) + least));
        Tensor::from_f32(self.shape.clone(), reals)
    }
}
