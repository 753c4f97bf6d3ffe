"""Networks of public packages with drawn weights, and how each is written as ONNX."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Entry:
    """One network: where it comes from, its name there, the extents of an image and settings of its constructor."""

    source: str
    name: str
    size: int = 64
    settings: tuple = ()

    @property
    def key(self):
        return f"{self.source}/{self.name}"


def entry(source, name, size=64, **settings):
    return Entry(source, name, size, tuple(settings.items()))


# Of at most some 30 million parameters; images are small where the network allows it.
NETWORKS = [
    entry("torchvision", "convnext_tiny"),
    entry("torchvision", "deeplabv3_mobilenet_v3_large", 96),
    entry("torchvision", "densenet121"),
    entry("torchvision", "efficientnet_b0"),
    entry("torchvision", "googlenet", aux_logits=False, init_weights=False),
    entry("torchvision", "inception_v3", 96, aux_logits=False, init_weights=False),
    entry("torchvision", "lraspp_mobilenet_v3_large", 96),
    entry("torchvision", "mc3_18"),
    entry("torchvision", "mnasnet0_5"),
    entry("torchvision", "mobilenet_v2"),
    entry("torchvision", "mobilenet_v3_small"),
    entry("torchvision", "regnet_y_400mf"),
    entry("torchvision", "resnet18"),
    entry("torchvision", "resnet50"),
    entry("torchvision", "resnext50_32x4d"),
    entry("torchvision", "shufflenet_v2_x1_0"),
    entry("torchvision", "squeezenet1_1"),
    entry("torchvision", "swin_t"),
    entry("torchvision", "swin_v2_t"),
    entry("torchvision", "vit", image_size=64, patch_size=16, num_layers=12, num_heads=3, hidden_dim=192, mlp_dim=768),
    entry("timm", "cait_xxs24_224", img_size=64),
    entry("timm", "convnext_atto"),
    entry("timm", "convnextv2_atto"),
    entry("timm", "crossvit_tiny_240", 240),
    entry("timm", "edgenext_xx_small"),
    entry("timm", "ese_vovnet19b_dw"),
    entry("timm", "eva02_tiny_patch14_224", 56, img_size=56),
    entry("timm", "fastvit_t8"),
    entry("timm", "ghostnet_100"),
    entry("timm", "gmlp_s16_224", img_size=64),
    entry("timm", "halonet26t", 256),
    entry("timm", "levit_128s", 224),
    entry("timm", "mambaout_femto"),
    entry("timm", "maxvit_pico_rw_256", 256),
    entry("timm", "mixer_s32_224", img_size=64),
    entry("timm", "mobilenetv4_conv_small"),
    entry("timm", "mobileone_s0"),
    entry("timm", "mobilevit_xxs"),
    entry("timm", "mobilevitv2_050"),
    entry("timm", "nf_regnet_b0"),
    entry("timm", "pit_ti_224", 224),
    entry("timm", "poolformer_s12"),
    entry("timm", "pvt_v2_b0"),
    entry("timm", "repvit_m1"),
    entry("timm", "resmlp_12_224", img_size=64),
    entry("timm", "rexnet_100"),
    entry("timm", "sequencer2d_s", img_size=64),
    entry("timm", "seresnext26d_32x4d"),
    entry("timm", "swin_tiny_patch4_window7_224", 112, img_size=112),
    entry("timm", "tiny_vit_5m_224", 224),
    entry("timm", "vit_tiny_patch16_224", img_size=64),
    entry("timm", "xcit_nano_12_p16_224", img_size=64),
    entry("keras", "ConvNeXtTiny"),
    entry("keras", "DenseNet121"),
    entry("keras", "EfficientNetB0"),
    entry("keras", "EfficientNetV2B0"),
    entry("keras", "InceptionV3", 96),
    entry("keras", "MobileNet"),
    entry("keras", "MobileNetV2"),
    entry("keras", "MobileNetV3Small"),
    entry("keras", "NASNetMobile"),
    entry("keras", "ResNet50V2"),
    entry("keras", "Xception", 96),
]

# Exporters by the package that a network comes from.
EXPORTERS = {"torchvision": ("dynamo", "torchscript"), "timm": ("dynamo", "torchscript"), "keras": ("keras-torch", "tf2onnx")}
BATCHES = ("fixed", "free")
# The first one; torch's default is 1 image.
EXAMPLE = {"fixed": 1, "free": 2}
