"""DATA strings: the known sets, npz files and what is said of wrong ones."""

from __future__ import annotations

import gzip
import io
import os
import tarfile

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from pyarrow import parquet

from brittle.data import as_data, known_data, open_data
from brittle.errors import InputError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8)
LABELS = np.array([7, 2, 1, 0, 9], dtype=np.uint8)


def idx(array) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data folder, an empty cache and no way out."""
    monkeypatch.setenv("BRITTLE_DATA", str(tmp_path / "root"))
    monkeypatch.setenv("BRITTLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BRITTLE_DATA_URL", "http://127.0.0.1:9")
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def put_mnist(folder, images=IMAGES, labels=LABELS, pack=gzip.compress):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(pack(idx(images)))
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(pack(idx(labels)))


def test_digits_are_split_once_and_for_all():
    test, train = open_data("digits"), open_data("digits?split=train")
    assert (len(test), len(train), test.shape, test.bounds) == (596, 1201, (1, 8, 8), (0.0, 1.0))
    x, labels = test.batch(range(596))
    assert x.max() == 1
    assert set((x * 16).unique().tolist()) == set(range(17))
    share = torch.bincount(labels) / (torch.bincount(labels) + torch.bincount(train.batch(range(1201))[1]))
    assert ((share - 1 / 3).abs() < 0.005).all()  # stratified
    both = {tuple(row) for row in x.flatten(1).tolist()} & {
        tuple(row) for row in train.batch(range(1201))[0].flatten(1).tolist()
    }
    assert not both
    assert as_data("digits").digest == test.digest != train.digest


@pytest.mark.parametrize("place", ["data/mnist", "mnist"])
def test_a_local_copy_is_read_whatever_its_compression(root, place):
    put_mnist(root / place)
    data = open_data("mnist")
    assert (len(data), data.name, data.shape) == (5, "mnist (5 of 10,000)", (1, 28, 28))
    x, labels = data.batch([4, 1])
    torch.testing.assert_close(x[:, 0], torch.from_numpy(IMAGES[[4, 1]]).float() / 255, rtol=0, atol=0)
    assert labels.tolist() == [9, 2]


@pytest.mark.parametrize(
    ("pack", "sentence"),
    [
        (lambda raw: gzip.compress(raw)[:-20], "cannot be unpacked"),
        (lambda raw: raw, "cannot be unpacked"),
        (lambda raw: gzip.compress(raw[:-1]), "bytes for the shape"),
        (lambda raw: gzip.compress(raw + b"x"), "bytes for the shape"),
        (lambda raw: gzip.compress(b"\0\0\x0d" + raw[3:]), "is no idx file"),
        (lambda raw: gzip.compress(raw[:6]), "is damaged"),
        (lambda raw: gzip.compress(b""), "is no idx file"),
    ],
)
def test_a_damaged_idx_file_is_named(root, pack, sentence):
    put_mnist(root / "mnist", pack=pack)
    with pytest.raises(InputError, match=f"t10k-images-idx3-ubyte.gz.*{sentence}"):
        open_data("mnist")


def test_images_and_labels_of_unequal_number_are_refused(root):
    put_mnist(root / "mnist", labels=LABELS[:4])
    with pytest.raises(InputError, match="5 samples and 4 labels"):
        open_data("mnist")


def test_labels_beyond_the_classes_are_refused(root):
    put_mnist(root / "mnist", labels=LABELS + 3)
    with pytest.raises(InputError, match="label 12, but 10 classes"):
        open_data("mnist")


def test_a_part_of_fashion_mnist_says_that_it_is_one(root):
    (root / "data" / "fashion_mnist").mkdir(parents=True)
    np.savez(root / "data" / "fashion_mnist" / "fashion_test_1k.npz", x=IMAGES, y=LABELS)
    part = open_data("fashion-mnist")
    assert (part.name, part.shape, part.classes[9]) == ("fashion-mnist (5 of 10,000)", (1, 28, 28), "ankle boot")
    put_mnist(root / "fashion-mnist", images=255 - IMAGES)
    whole = open_data("fashion-mnist")  # the published files go before the part
    torch.testing.assert_close(whole.batch([0])[0], 1 - part.batch([0])[0])
    assert whole.digest != part.digest


def png(pixels) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "png")
    return memory.getvalue()


def put_cifar(folder, file, pictures, labels):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"img": {"bytes": png(p), "path": "x.png"}, "label": int(y)} for p, y in zip(pictures, labels, strict=True)]
    parquet.write_table(pa.Table.from_pylist(rows), folder / file)


def test_cifar10_from_several_parquet_files_in_order(root):
    pictures = RNG.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    put_cifar(root / "cifar10", "train-00001-of-00002.parquet", pictures[3:], [3, 4])
    put_cifar(root / "cifar10", "train-00000-of-00002.parquet", pictures[:3], [0, 1, 2])
    data = open_data("cifar10?split=train")
    x, labels = data.batch(range(5))
    assert labels.tolist() == [0, 1, 2, 3, 4]
    torch.testing.assert_close(x, torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255, rtol=0, atol=0)
    assert data.name == "cifar10?split=train (5 of 50,000)"


def test_cifar10_from_the_binary_archive(root):
    pictures = RNG.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)
    put_archive(root, pictures)
    x, labels = open_data("cifar10").batch(range(4))
    torch.testing.assert_close(x, torch.from_numpy(pictures) / 255, rtol=0, atol=0)
    assert labels.tolist() == [0, 1, 2, 3]


def put_archive(root, pictures, cut=0, name="test_batch.bin"):
    (root / "cifar10").mkdir(exist_ok=True)
    raw = b"".join(bytes((i,)) + p.tobytes() for i, p in enumerate(pictures))
    with tarfile.open(root / "cifar10" / "cifar-10-binary.tar.gz", "w:gz") as archive:
        entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
        entry.size = len(raw) - cut
        archive.addfile(entry, io.BytesIO(raw))


@pytest.mark.parametrize(("cut", "name", "sentence"), [(1, "test_batch.bin", "3073"), (0, "x.bin", "not the binary")])
def test_a_wrong_archive_is_refused(root, cut, name, sentence):
    put_archive(root, np.zeros((2, 3, 32, 32), dtype=np.uint8), cut, name)
    with pytest.raises(InputError, match=sentence):
        open_data("cifar10")


def test_wrong_parquet_is_refused(root):
    (root / "cifar10").mkdir()
    path = root / "cifar10" / "test-0.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="not CIFAR-10 in Parquet"):
        open_data("cifar10")
    parquet.write_table(pa.table({"image": [1]}), path)
    with pytest.raises(InputError, match="not CIFAR-10 in Parquet"):
        open_data("cifar10")
    put_cifar(root / "cifar10", path.name, np.zeros((1, 31, 32, 3), dtype=np.uint8), [0])
    with pytest.raises(InputError, match="not \\(32, 32, 3\\)"):
        open_data("cifar10")


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((5, 8, 9), (1, 8, 9)),
        ((5, 8, 9, 3), (3, 8, 9)),
        ((5, 8, 9, 1), (1, 8, 9)),
        ((5, 3, 8, 9), (3, 8, 9)),
        ((5, 3, 8, 3), (3, 8, 3)),
        ((5, 8), (8,)),
    ],
)
def test_npz_puts_channels_first(tmp_path, shape, wanted):
    x = RNG.random(shape)
    np.savez(tmp_path / "a.npz", x=x, y=LABELS)
    data = open_data(f"npz:{tmp_path}/a.npz")
    assert data.shape == wanted
    got = data.batch([2])[0][0]
    expected = (
        x[2].transpose(2, 0, 1)
        if wanted[0] == shape[-1] and len(shape) == 4 and wanted != shape[1:]
        else x[2].reshape(wanted)
    )
    torch.testing.assert_close(got, torch.from_numpy(expected).float(), rtol=0, atol=0)


def test_npz_bounds(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([[-3.0], [3.0]]), y=[0, 1])
    with pytest.raises(InputError, match="outside the bounds"):
        open_data(f"npz:{tmp_path}/a.npz")
    data = open_data(f"npz:{tmp_path}/a.npz?bounds=-3..3")
    assert data.bounds == (-3.0, 3.0)
    assert data.batch([0])[0].tolist() == [[-3.0]]
    for bounds in ("3", "3..-3", "a..b"):
        with pytest.raises(InputError):
            open_data(f"npz:{tmp_path}/a.npz?bounds={bounds}")


def test_npz_runs_no_pickles_and_names_what_is_missing(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    trap = np.array([Trap()], dtype=object)
    np.savez(tmp_path / "trap.npz", x=trap, y=trap)
    np.savez(tmp_path / "half.npz", x=IMAGES)
    np.save(tmp_path / "one.npy", IMAGES)
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "cut.npz", x=IMAGES, y=LABELS)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-100])
    for name, sentence in (
        ("trap.npz", "Object arrays"),
        ("half.npz", "no array y"),
        ("one.npy", "single array"),
        ("text.npz", "cannot be read"),
        ("cut.npz", "cannot be read"),
        ("none.npz", "does not exist"),
    ):
        with pytest.raises(InputError, match=sentence):
            open_data(f"npz:{tmp_path}/{name}")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("minst", "did you mean mnist"),
        ("zzz", "known are cifar10, digits"),
        ("", "names nothing"),
        ("digits?splt=test", "did you mean split"),
        ("digits?split=val", "split=train or split=test"),
        ("digits:train", "digits\\?split=train"),
        ("npz:", "needs an .npz file"),
    ],
)
def test_wrong_strings_get_a_sentence(text, sentence):
    with pytest.raises(InputError, match=sentence):
        open_data(text)


def test_each_known_set_has_a_line():
    assert list(known_data()) == ["digits", "mnist", "fashion-mnist", "cifar10", "images", "npz"]
    assert all("\n" not in line and line for line in known_data().values())


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(
    ("text", "counts", "labels"),
    [
        ("mnist", (10_000,), [7, 2, 1, 0, 4]),
        ("mnist?split=train", (60_000,), [5, 0, 4, 1, 9]),
        ("cifar10", (10_000,), [3, 8, 8, 0, 6]),
        ("cifar10?split=train", (10_000, 50_000), [6, 9, 9, 4, 1]),
        ("fashion-mnist", (1_000,), [9, 2, 1, 1, 6]),
    ],
)
def test_the_real_sets_begin_as_they_are_known_to(text, counts, labels):
    data = open_data(text)
    x, got = data.batch(range(5))
    assert got.tolist() == labels
    assert len(data) in counts
    assert 0.99 < x.amax() <= 1


@pytest.mark.data
def test_the_mean_of_mnist_is_the_published_one():
    x, _ = open_data("mnist?split=train").batch(range(60_000))
    assert x.mean().item() == pytest.approx(0.1307, abs=5e-5)
