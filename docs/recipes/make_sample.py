"""Cut the embedded sample out of Fashion-MNIST.

    python make_sample.py FASHION_MNIST_DIR OUT_DIR

Takes the first 400 images of each class of the training split and the first 100 of each class of the test split,
keeps them in their original order, and writes four gzip-compressed IDX files named like the originals. The output is
a function of the input bytes alone: the gzip header carries no time and no file name.
"""

import gzip
import hashlib
import pathlib
import struct
import sys

import numpy as np

PER_CLASS = {"train": 400, "t10k": 100}
N_CLASSES = 10


def read_idx(path: pathlib.Path) -> np.ndarray:
    """Reads an unsigned-byte IDX file, plain or with `.gz` appended to its name."""
    packed = path.with_name(path.name + ".gz")
    data = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    zero, code, n_dims = struct.unpack(">HBB", data[:4])
    assert zero == 0 and code == 8, f"{path}: not an unsigned-byte IDX file"
    shape = struct.unpack(f">{n_dims}I", data[4 : 4 + 4 * n_dims])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * n_dims).reshape(shape)


def idx_bytes(array: np.ndarray) -> bytes:
    """Encodes an array of bytes as IDX."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def gzip_bytes(data: bytes) -> bytes:
    """Compresses without a time stamp or file name, so that equal input gives equal output."""
    return gzip.compress(data, compresslevel=9, mtime=0)


def choose(labels: np.ndarray, per_class: int) -> np.ndarray:
    """The first `per_class` indices of each class, in file order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == k)[:per_class] for k in range(N_CLASSES)]))


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:3])
    target.mkdir(parents=True, exist_ok=True)
    for split, per_class in PER_CLASS.items():
        images = read_idx(source / f"{split}-images-idx3-ubyte")
        labels = read_idx(source / f"{split}-labels-idx1-ubyte")
        chosen = choose(labels, per_class)
        for name, array in (("images-idx3", images[chosen]), ("labels-idx1", labels[chosen])):
            packed = gzip_bytes(idx_bytes(array))
            path = target / f"{split}-{name}-ubyte.gz"
            path.write_bytes(packed)
            print(f"{hashlib.sha256(packed).hexdigest()}  {path.name}  {len(packed)} bytes")


if __name__ == "__main__":
    main()
