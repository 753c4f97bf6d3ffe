#!/usr/bin/env bash
# tonic 1.7.0: the transform Denoise, at the start of a recording.
#
# An event passes if a neighbor fired within filter_time before it. The memory of each pixel begins as if it had fired at time
# 0, so that within the first filter_time every event passes, however lonely. Recordings whose times start at 0 (or slices with
# their times reset) keep all noise of that time: with filter_time=10000 that is 10 ms of, say, a 100 ms gesture. Shifted by
# more than filter_time the same events are dropped.
#
# Output seen, four lonely events 1 ms apart, filter_time 10 ms:
#   from 1 ms on: 4 of 4 pass
#   from 8 ms on: 2 of 4 pass
#   from 11 ms on: 0 of 4 pass
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install tonic==1.7.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import tonic

FIELDS = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
for start, expected in [(1000, 4), (8000, 2), (11000, 0)]:
    events = np.zeros(4, FIELDS)
    events["x"], events["y"] = [0, 5, 0, 5], [0, 0, 5, 5]
    events["t"] = start + np.arange(4) * 1000
    found = len(tonic.transforms.Denoise(filter_time=10000)(events))
    print(f"from {start // 1000} ms on: {found} of 4 pass")
    assert found == expected, found
PYTHON
