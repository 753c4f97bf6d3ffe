#!/usr/bin/env bash
# fxpmath 0.4.10: Fxp of several numbers without a size, which is then found from the numbers.
#
# For one number the word is wide enough for all of it: 1000 has 11 bits, 0.1 has 56. For several the fraction is given as many
# bits as the finest number asks for and what is left of 64 is the integer part. A tenth has 55 bits of fraction, 8 are left, and
# 1000 becomes 256, a saturated code: not the least digits of the finest number go, but the greatest ones of the largest. A third
# leaves 9. status has "overflow", but nothing is raised or printed.
#
# Output seen:
#   1000: fxp-s11/0, 1000
#   0.1: fxp-s56/55, 0.1
#   1000 0.1: fxp-s64/55, 256 0.1
#   1e+06 0.333333: fxp-s64/54, 512 0.333333
#   100 1e-10: fxp-s64/61, 4 1e-10
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install fxpmath==0.4.10 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from fxpmath import Fxp

text = lambda numbers: " ".join(f"{number:g}" for number in np.atleast_1d(numbers))
seen = []
for numbers in [1000, 0.1, [1000, 0.1], [1e6, 1 / 3], [100, 1e-10]]:
    fixed = Fxp(numbers)
    print(f"{text(numbers)}: {fixed.dtype}, {text(fixed.get_val())}")
    seen.append((fixed.dtype, text(fixed.get_val())))
assert seen == [
    ("fxp-s11/0", "1000"),
    ("fxp-s56/55", "0.1"),
    ("fxp-s64/55", "256 0.1"),
    ("fxp-s64/54", "512 0.333333"),
    ("fxp-s64/61", "4 1e-10"),
], seen
PYTHON
