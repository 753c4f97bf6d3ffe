#!/usr/bin/env bash
# tonic 1.7.0: SliceByTime and ToFrame of a recording that is a whole number of windows long.
#
# The windows end before the next one begins, and there are as many as fit between the first and the last event: an event
# at the very end of the last window belongs to none. include_incomplete=True, which is there to keep the remainder, does not
# bring it back, since nothing seems to remain; if the recording is 1 us longer it does. ToFrame with n_time_bins, which divides
# the time between the first and the last event, can not but lose the last one always, and all others of its time: of a single
# event nothing is left (tonic#313, open).
#
# Output seen, for events at 0, 10, 20, 30 and 40 (the second time 41) and windows of 10:
#   until 40, SliceByTime: 4 of 5 events, with include_incomplete 4
#   until 41, SliceByTime: 4 of 5 events, with include_incomplete 5
#   until 40, ToFrame in 2 bins: 4 of 5 events
#   until 41, ToFrame in 2 bins: 4 of 5 events
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install tonic==1.7.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from tonic.slicers import SliceByTime
from tonic.transforms import ToFrame

FIELDS = np.dtype([("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])


def events(last):
    recording = np.zeros(5, FIELDS)
    recording["t"] = [0, 10, 20, 30, last]
    return recording


for last, expected in [(40, [4, 4]), (41, [4, 5])]:
    slicers = [SliceByTime(time_window=10, include_incomplete=incomplete) for incomplete in [False, True]]
    found = [sum(map(len, slicer.slice(events(last), None)[0])) for slicer in slicers]
    print(f"until {last}, SliceByTime: {found[0]} of 5 events, with include_incomplete {found[1]}")
    assert found == expected, found
for last in [40, 41]:
    found = int(ToFrame(sensor_size=(1, 1, 2), n_time_bins=2)(events(last)).sum())
    print(f"until {last}, ToFrame in 2 bins: {found} of 5 events")
    assert found == 4, found
PYTHON
