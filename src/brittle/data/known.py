"""The data sets brittle knows by name: digits, mnist, fashion-mnist and cifar10."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..files import regular_file
from ..outside import reading
from ..pictures import picture_in
from ..specs import Source
from .arrays import read_npz
from .downloads import Published, find, obtain
from .options import parse_choice
from .rows import Array, StoredRows
from .samples import ArraySamples, Samples

LARGEST = 2**26  # bytes of an unpacked file; the largest of these sets has 47 million

DIGITS = tuple("0123456789")
FASHION = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

MNIST_HOME = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION_HOME = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
CIFAR10_HOME = "https://www.cs.toronto.edu/~kriz/"

MD5 = {
    ("mnist", "train-images"): "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    ("mnist", "train-labels"): "d53e105ee54ea40749a09fcbcd1e9432",
    ("mnist", "t10k-images"): "9fb629c4189551a2d022fa330f9573f3",
    ("mnist", "t10k-labels"): "ec29112dd5afa0611ce80d1b7f02629c",
    ("fashion-mnist", "train-images"): "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    ("fashion-mnist", "train-labels"): "25c81989df183df01b3e8a0aad5dffbe",
    ("fashion-mnist", "t10k-images"): "bef4ecab320f06d8554ea6380940ec79",
    ("fashion-mnist", "t10k-labels"): "bb300cfdad3c16e7a12a480ee83cd310",
}
CIFAR10_BINARY = Published("cifar10", "cifar-10-binary.tar.gz", CIFAR10_HOME, "c32a1d4ab5d03f1284b67883e8d87530")


def open_digits(source: Source) -> Samples:
    """scikit-learn's 1,797 digits (1, 8, 8), divided by 16; every third of each class, 596 in all, is a test sample."""
    from sklearn.datasets import load_digits

    split = _split(source)
    bunch = load_digits()
    labels = np.asarray(bunch.target)
    rank = np.empty(len(labels), dtype=np.int64)  # of a sample within its class
    for label in range(10):
        rank[labels == label] = np.arange(np.sum(labels == label))
    rows = (rank % 3 == 2) == (split == "test")
    x = (bunch.images[rows, None] / 16).astype(np.float32)
    return ArraySamples(x, labels[rows], _name("digits", split), DIGITS)


def open_mnist(source: Source) -> Samples:
    """The 60,000 + 10,000 handwritten digits (1, 28, 28)."""
    split = _split(source)
    x, labels = _idx_pair("mnist", split, MNIST_HOME)
    return _counted(x, labels, "mnist", split, DIGITS, 60_000)


def open_fashion_mnist(source: Source) -> Samples:
    """The 60,000 + 10,000 pictures of clothes (1, 28, 28), or a part of them in `fashion_SPLIT*.npz` (arrays x, y)."""
    split = _split(source)
    images = "train-images-idx3-ubyte.gz" if split == "train" else "t10k-images-idx3-ubyte.gz"
    part = find("fashion-mnist", f"fashion_{split}*.npz")
    if part and not find("fashion-mnist", images):
        return _counted(*read_npz(part[0]), "fashion-mnist", split, FASHION, 60_000)
    return _counted(*_idx_pair("fashion-mnist", split, FASHION_HOME), "fashion-mnist", split, FASHION, 60_000)


def open_cifar10(source: Source) -> Samples:
    """The 50,000 + 10,000 photographs (3, 32, 32), from Parquet files `SPLIT-*.parquet` or the binary archive."""
    split = _split(source)
    tables = find("cifar10", f"{split}-*.parquet")
    x, labels = _parquet(tables) if tables else _cifar_binary(obtain(CIFAR10_BINARY), split)
    return _counted(x, labels, "cifar10", split, CIFAR10, 50_000)


def read_idx(path: Path, axes: int) -> Array:
    """A gzipped idx file of unsigned bytes with `axes` axes. Raises InputError when it is damaged or something else."""
    regular_file(path, "the file as its home publishes it")
    with reading(f"{path} cannot be unpacked", "it is damaged or cut short, so remove it and fetch it again"):
        with gzip.open(path) as file:
            raw = file.read(LARGEST)
        if len(raw) == LARGEST:
            raise ValueError("it is larger than any of its kind")
    if raw[:4] != bytes((0, 0, 8, axes)):  # 8: unsigned byte
        raise InputError(
            f"{path} is no idx file with {axes} axes of bytes (it begins {raw[:4].hex()}); fetch it again from its home"
        )
    head = 4 + 4 * axes
    shape = tuple(int(n) for n in np.frombuffer(raw[4:head], dtype=">u4")) if len(raw) >= head else (0,) * axes
    if len(raw) < head or len(raw) - head != int(np.prod(shape)):
        raise InputError(
            f"{path} has {len(raw) - head} bytes for the shape {shape} in its header; it is damaged, so fetch it again"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=head).reshape(shape)


def _idx_pair(dataset: str, split: str, home: str) -> tuple[Array, Array]:
    """Images (N, 1, H, W) and labels (N,), uint8."""
    part = "train" if split == "train" else "t10k"
    files = {}
    for kind, axes in (("images", 3), ("labels", 1)):
        published = Published(dataset, f"{part}-{kind}-idx{axes}-ubyte.gz", home, MD5[dataset, f"{part}-{kind}"])
        files[kind] = read_idx(obtain(published), axes)
    return files["images"][:, None], files["labels"]


def _parquet(paths: list[Path]) -> tuple[Array, Array]:
    """Images (N, 3, 32, 32) and labels of files with columns img {bytes, path} and label, ordered by name."""
    from pyarrow import parquet

    images: list[Array] = []
    labels: list[Array] = []
    for path in paths:
        regular_file(path, "a Parquet file")
        with reading(f"{path} is not CIFAR-10 in Parquet with columns img, label", "fetch it again"):
            table = parquet.read_table(path, columns=["img", "label"])
            encoded = table["img"].combine_chunks().field("bytes").to_pylist()
            for row, image in enumerate(encoded):
                with picture_in(io.BytesIO(image), f"image {row} of {path}", 32 * 32) as picture:
                    pixels = np.asarray(picture.convert("RGB"))
                if pixels.shape != (32, 32, 3):
                    raise ValueError(f"image {row} has shape {pixels.shape}, not (32, 32, 3)")
                images.append(pixels)
            labels.append(table["label"].to_numpy())
    if not images:
        raise InputError(f"{paths[0]} has no rows; fetch it again")
    return np.stack(images).transpose(0, 3, 1, 2), np.concatenate(labels)


def _cifar_binary(path: Path, split: str) -> tuple[Array, Array]:
    """Images and labels of the archive's records: a label byte, then 3 x 32 x 32 bytes."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] if split == "train" else ["test_batch.bin"]
    regular_file(path, "the file as its home publishes it")
    with (
        reading(f"{path} is not the binary version of CIFAR-10", "remove it and fetch it again"),
        tarfile.open(path) as archive,
    ):
        parts = [archive.extractfile(f"cifar-10-batches-bin/{name}") for name in names]
        raw = b"".join(part.read(LARGEST) for part in parts if part is not None)
    if not raw or len(raw) % 3073:
        raise InputError(
            f"{path} holds {len(raw)} bytes, no whole number of records of 3073; remove it and fetch it again"
        )
    records = np.frombuffer(raw, dtype=np.uint8).reshape(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def _split(source: Source) -> str:
    if source.rest:
        raise InputError(
            f"{source.scheme} takes nothing after a colon, not {source.rest!r}; write {source.scheme}?split=train"
        )
    return parse_choice(source.options, "split", ("train", "test"), "test")


def _name(dataset: str, split: str) -> str:
    return dataset if split == "test" else f"{dataset}?split={split}"


def _counted(
    x: Array | StoredRows, labels: Array, dataset: str, split: str, classes: tuple[str, ...], training: int
) -> Samples:
    """The samples, their name saying so when they are only a part of the published set."""
    full = training if split == "train" else 10_000
    part = "" if len(x) == full else f" ({len(x):,} of {full:,})"
    return ArraySamples(x, labels, _name(dataset, split) + part, classes)
