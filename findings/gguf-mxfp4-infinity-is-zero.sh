#!/usr/bin/env bash
# gguf 0.19.0: quantization to MXFP4 (blocks of 32 numbers of 4 bits with a scale of 8 bits) of a block with an infinity or a NaN.
#
# The whole block becomes 0, with no word of it: the weights of a training that diverged are written as ones that were pruned. The
# other types keep a NaN or an infinity somewhere in the block, so that a reader notices. And reading a block whose scale is the
# code 255, which is NaN in the OCP's format and the only way to have one in MXFP4, gives numbers up to infinity; onnx's and
# ml_dtypes' E8M0 have NaN there.
#
# Output seen, for 1 2 3 and a fourth number:
#   MXFP4: 4 gives 1 2 3 4, inf gives 0 0 0 0, nan gives 0 0 0 0
#   Q8_0: 4 gives 1 2 3 4, inf gives nan nan nan nan, nan gives nan nan nan nan
#   BF16: 4 gives 1 2 3 4, inf gives 1 2 3 inf, nan gives 1 2 3 nan
#   scale 255, codes 0 1 2 7: 0 1.7e+38 inf inf, E8M0 of ml_dtypes nan
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install gguf==0.19.0 ml_dtypes==0.6.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import ml_dtypes
import numpy as np
from gguf import GGMLQuantizationType, quants

np.seterr(all="ignore")
text = lambda numbers: " ".join(f"{float(f'{number:.3g}'):g}" for number in numbers)
seen = {}
for name in ["MXFP4", "Q8_0", "BF16"]:
    kind = GGMLQuantizationType[name]
    found = []
    for fourth in [4, np.inf, np.nan]:
        block = np.zeros((1, 32), np.float32)
        block[0, :4] = [1, 2, 3, fourth]
        found.append(text(quants.dequantize(quants.quantize(block, kind), kind)[0, :4].round(1)))
    seen[name] = found
    print(f"{name}: 4 gives {found[0]}, inf gives {found[1]}, nan gives {found[2]}")
block = np.zeros((1, 17), np.uint8)
block[0, :5] = [255, 0, 1, 2, 7]  # the scale, then two codes a byte, of which the low ones are the first sixteen numbers
numbers = text(quants.dequantize(block, GGMLQuantizationType.MXFP4)[0, :4])
scale = text(np.array([255], np.uint8).view(ml_dtypes.float8_e8m0fnu).astype(np.float32))
print(f"scale 255, codes 0 1 2 7: {numbers}, E8M0 of ml_dtypes {scale}")
assert seen == {
    "MXFP4": ["1 2 3 4", "0 0 0 0", "0 0 0 0"],
    "Q8_0": ["1 2 3 4", "nan nan nan nan", "nan nan nan nan"],
    "BF16": ["1 2 3 4", "1 2 3 inf", "1 2 3 nan"],
}, seen
assert (numbers, scale) == ("0 1.7e+38 inf inf", "nan"), (numbers, scale)
PYTHON
