#!/usr/bin/env bash
# Chromium 148: canvases that are drawn in `beforeprint`, as charts are that want the width and colors of paper.
#
# What is drawn then is recorded and played back on the paper itself. clearRect so clears what lies beneath the canvas, too:
# a red box behind it is gone. And of putImageData with a rectangle drawn after it only the rectangle prints; alone it prints,
# and so does the same image by drawImage. On the screen all of them are right.
#
# Output seen:
#   clearRect, then a rectangle: box gone
#   putImageData: image there
#   putImageData, then a rectangle: image gone
#   drawImage, then a rectangle: image there
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install pypdfium2==5.15.2 pillow==13.0.0
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import subprocess
import sys

import pypdfium2

folder = sys.argv[1]
IMAGE = "const image = new ImageData(new Uint8ClampedArray(160000).map((_, at) => at % 4 === 1 || at % 4 === 3 ? 255 : 0), 200);"
SHEET = "const sheet = document.createElement('canvas'); sheet.width = sheet.height = 200; sheet.getContext('2d').putImageData(image, 0, 0);"
RECTANGLE = "x.fillStyle = '#00f'; x.fillRect(0, 0, 50, 50);"


def color(draw):
    """The color at the middle of the canvas: the box behind it is red, the image green, the rectangle stands in a corner."""
    with open(f"{folder}/page.html", "w") as page:
        page.write(
            "<!DOCTYPE html><body style='margin:0'><div style='position:relative;width:200px;height:200px;background:#f00;"
            "print-color-adjust:exact'><canvas id='c' width='200' height='200' style='position:absolute'></canvas></div>"
            f"<script>addEventListener('beforeprint', () => {{ const x = c.getContext('2d'); {draw} }})</script>"
        )
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/profile"]
    subprocess.run(
        ["chromium", *flags, f"--print-to-pdf={folder}/page.pdf", f"file://{folder}/page.html"], check=True, capture_output=True
    )
    document = pypdfium2.PdfDocument(f"{folder}/page.pdf")
    # Images are compressed with loss.
    red, green, blue = document[0].render(scale=1).to_pil().convert("RGB").getpixel((100, 100))
    return "white" if min(red, green, blue) > 200 else "red" if red > green else "green"


cleared = color("x.clearRect(0, 0, 200, 200);" + RECTANGLE)
alone = color(IMAGE + "x.putImageData(image, 0, 0);")
put = color(IMAGE + "x.putImageData(image, 0, 0);" + RECTANGLE)
drawn = color(IMAGE + SHEET + "x.drawImage(sheet, 0, 0);" + RECTANGLE)
print("clearRect, then a rectangle: box", "gone" if cleared == "white" else "there")
print("putImageData: image", "there" if alone == "green" else "gone")
print("putImageData, then a rectangle: image", "gone" if put == "red" else "there")
print("drawImage, then a rectangle: image", "there" if drawn == "green" else "gone")
assert (cleared, alone, put, drawn) == ("white", "green", "red", "green"), (cleared, alone, put, drawn)
PYTHON
