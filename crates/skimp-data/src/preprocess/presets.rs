//! The named preprocessings. Each is nothing but a shorter way of writing its keys.

/// A named preprocessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// Name, in kebab-case.
    pub name: &'static str,
    /// One line on what it does.
    pub summary: &'static str,
    /// Who uses it, or where the numbers come from.
    pub source: &'static str,
    /// The same, written as keys.
    pub keys: &'static str,
}

/// Every named preprocessing, in the order in which it is listed.
pub static PRESETS: &[Preset] = &[
    Preset {
        name: "imagenet",
        summary: "RGB on 0..1, minus mean, divided by standard deviation of ImageNet",
        source: "torchvision's ImageNet models; also the CIFAR-10 ResNets of akamaster/pytorch_resnet_cifar10",
        keys: "mean=0.485/0.456/0.406,std=0.229/0.224/0.225",
    },
    Preset {
        name: "caffe",
        summary: "BGR on 0..255, minus the means 103.939, 116.779, 123.68",
        source: "Simonyan, Zisserman, VGG models, 2014; Keras' mode \"caffe\"",
        keys: "scale=255,order=bgr,mean=103.939/116.779/123.68",
    },
    Preset {
        name: "caffe-rounded",
        summary: "BGR on 0..255, minus the means 104, 117, 123",
        source: "Caffe's reference models; SqueezeNet v1.0, Iandola et al., 2016",
        keys: "scale=255,order=bgr,mean=104/117/123",
    },
    Preset { name: "unit", summary: "RGB on 0..1", source: "common", keys: "scale=1" },
    Preset { name: "raw", summary: "stored values unchanged, 0..255 for pixels", source: "common", keys: "scale=255" },
    Preset { name: "symmetric", summary: "RGB on -1..1", source: "common", keys: "mean=0.5,std=0.5" },
    Preset {
        name: "cnv",
        summary: "RGB on -1..1, rounded to 8-bit fixed point with 7 fraction bits",
        source: "Xilinx/BNN-PYNQ, network CNV",
        keys: "mean=0.5,std=0.5,fraction_bits=7",
    },
    Preset {
        name: "sample",
        summary: "0..1, minus mean, divided by standard deviation of Fashion-MNIST's training images",
        source: "computed from the training images; the embedded network takes it",
        keys: "mean=0.286,std=0.353",
    },
    Preset {
        name: "mnist",
        summary: "0..1, minus mean, divided by standard deviation of MNIST's training images",
        source: "PyTorch's MNIST example",
        keys: "mean=0.1307,std=0.3081",
    },
    Preset {
        name: "cifar10",
        summary: "RGB on 0..1, minus mean, divided by standard deviation of CIFAR-10's training images",
        source: "computed from the training images",
        keys: "mean=0.4914/0.4822/0.4465,std=0.247/0.2435/0.2616",
    },
];
