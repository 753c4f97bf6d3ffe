#!/usr/bin/env bash
# tonic 1.7.0: the transform RefractoryPeriod.
#
# A pixel that is refractory drops events for the time given, counted from the last event that it let through. Here the time
# starts again with each event, dropped ones too: a pixel that fires every 5 us with a period of 10 us lets its first event
# through and then nothing for as long as it goes on, where every third was meant to pass. And an event at time 0 is
# dropped whatever came before, since the memory of a pixel begins just one period earlier. Busy pixels so are the ones that
# vanish from a recording.
#
# Output seen, period 10:
#   events at 0, 5, ... 95: none passes
#   events at 100, 105, ... 195: 100 passes
#   events at 0, 20, ... 80: 20, 40, 60, 80 pass
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install tonic==1.7.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import tonic

FIELDS = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
for first, step, last, expected in [(0, 5, 95, []), (100, 5, 195, [100]), (0, 20, 80, [20, 40, 60, 80])]:
    events = np.zeros((last - first) // step + 1, FIELDS)
    events["t"] = np.arange(first, last + 1, step)
    found = tonic.transforms.RefractoryPeriod(delta=10)(events)["t"].tolist()
    passing = f"{', '.join(map(str, found)) or 'none'} pass{'' if len(found) > 1 else 'es'}"
    print(f"events at {first}, {first + step}, ... {last}: {passing}")
    assert found == expected, found
PYTHON
