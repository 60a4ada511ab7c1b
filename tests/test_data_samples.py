"""Data given as arrays, datasets and loaders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from brittle.data import ArraySamples, as_data
from brittle.errors import InputError

X = np.arange(7 * 2 * 3, dtype=np.uint8).reshape(7, 2, 3) * 6
Y = np.array([0, 1, 2, 2, 1, 0, 4])


class Squares(Dataset):
    """Seven samples (2, 3); counts how many are alive at once is not needed: it keeps none."""

    reads = 0

    def __len__(self) -> int:
        return 7

    def __getitem__(self, i: int):
        self.reads += 1
        return torch.from_numpy(X[i]).float() / 255, int(Y[i])


def same(a, b) -> None:
    torch.testing.assert_close(a[0], b[0], rtol=0, atol=0)
    torch.testing.assert_close(a[1], b[1], rtol=0, atol=0)


def test_bytes_become_floats_of_a_batch_only_and_the_array_is_not_copied():
    data = as_data((X, Y))
    assert data.x is X
    x, labels = data.batch([6, 0, 6])
    assert x.dtype == torch.float32
    assert labels.dtype == torch.int64
    torch.testing.assert_close(x, torch.from_numpy(X[[6, 0, 6]]).float() / 255, rtol=0, atol=0)
    assert labels.tolist() == [4, 0, 4]
    assert (len(data), data.shape, data.classes) == (7, (2, 3), ("0", "1", "2", "3", "4"))


def test_bytes_span_the_given_bounds():
    x, _ = as_data((np.array([[0], [255], [51]], dtype=np.uint8), [0, 1, 0]), bounds=(-1, 1)).batch([0, 1, 2])
    torch.testing.assert_close(x[:, 0], torch.tensor([-1.0, 1.0, -0.6]))


def test_a_tensor_shares_its_memory_and_loses_its_gradient():
    x = torch.rand(7, 2, 3, requires_grad=True)
    data = as_data((x, torch.from_numpy(Y)))
    assert np.shares_memory(data.x, x.detach().numpy())
    assert not data.batch([1])[0].requires_grad


def test_half_precision_tensors_are_read():
    x = torch.rand(7, 5)
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        got, _ = as_data((x.to(kind), Y)).batch([3])
        torch.testing.assert_close(got, x[[3]].to(kind).float(), rtol=0, atol=0)


def test_an_empty_batch_has_the_sample_shape():
    for data in (as_data((X, Y)), as_data(Squares())):
        x, labels = data.batch([])
        assert (x.shape, labels.shape, labels.dtype) == ((0, 2, 3), (0,), torch.int64)


def test_the_digest_is_of_the_content():
    base = as_data((X, Y)).digest
    assert as_data((X.copy(), Y.astype(np.uint8)), bounds=(0, 1)).digest == base
    other_x, other_y = X.copy(), Y.copy()
    other_x[6, 1, 2] += 1
    other_y[6] = 3
    digests = {base, as_data((other_x, Y)).digest, as_data((X, other_y)).digest, as_data((X, Y), bounds=(0, 2)).digest}
    assert len(digests) == 4
    assert as_data((np.asfortranarray(X), Y)).digest == base  # the order in memory is no content


@pytest.mark.parametrize(
    ("pair", "sentence"),
    [
        ((np.zeros((0, 3)), []), "no samples"),
        ((np.zeros(7), Y), "one axis for samples"),
        ((np.zeros((7, 3)), Y[:6]), "7 samples and 6 labels"),
        ((np.zeros((7, 3)), Y + 0.5), "label 0.5 of sample 0"),
        ((np.zeros((7, 3)), Y - 1), "label -1 of sample 0"),
        ((np.zeros((7, 3)), np.where(Y == 4, 4_000_000_000, Y)), "label 4000000000 of sample 6"),
        ((np.zeros((7, 3)), np.full(7, np.nan)), "label nan"),
        ((np.zeros((7, 3)), np.eye(7)), "argmax"),
        ((np.zeros((7, 3)), np.array(list("abcdefg"))), "class indices"),
        ((np.full((7, 3), np.nan), Y), "NaN"),
        ((np.array([[0.0], [np.inf]]), [0, 1]), "first in sample 1"),
        ((np.array([[0.0], [255.0]]), [0, 1]), "outside the bounds"),
        ((np.array([[-0.1], [1.0]]), [0, 1]), "outside the bounds"),
        ((np.zeros((7, 3), dtype=np.int64), Y), "type int64"),
        (([[1.0], [1.0, 2.0]], [0, 1]), "one shape"),
    ],
)
def test_a_wrong_pair_is_refused(pair, sentence):
    with pytest.raises(InputError, match=sentence):
        as_data(pair)


def test_labels_that_are_whole_floats_are_labels():
    assert as_data((X, Y.astype(np.float64))).batch([6])[1].tolist() == [4]


def test_labels_must_be_below_the_number_of_classes():
    with pytest.raises(InputError, match="label 4, but 4 classes"):
        ArraySamples(X, Y, classes=("a", "b", "c", "d"))


@pytest.mark.parametrize("bounds", [(1, 0), (0, 0), (0, float("nan")), (float("inf"), float("inf"))])
def test_bounds_that_are_no_range_are_refused(bounds):
    for data in ((X, Y), Squares()):
        with pytest.raises(InputError, match="no range"):
            as_data(data, bounds=bounds)


@pytest.mark.parametrize("ids", [[7], [-1], [0, 99]])
def test_ids_outside_the_data_are_refused(ids):
    for data in (as_data((X, Y)), as_data(Squares())):
        with pytest.raises(InputError, match="has no sample"):
            data.batch(ids)


def test_a_dataset_reads_like_its_arrays():
    dataset = Squares()
    data = as_data(dataset)
    before = dataset.reads
    same(data.batch([5, 2]), as_data((X, Y)).batch([5, 2]))
    assert dataset.reads == before + 2  # only what was asked for
    assert data.classes == ("0", "1", "2", "3", "4")
    assert data.digest == as_data(Squares()).digest != as_data(Subset(Squares(), range(6))).digest


def test_the_digest_takes_one_pass_and_is_kept():
    dataset = Squares()
    data = as_data(dataset)
    before = dataset.reads
    assert data.digest == data.digest
    assert data.classes
    assert dataset.reads == before + 7


def test_the_scan_sees_every_label():
    class Many(Squares):
        first = 3

        def __len__(self) -> int:
            return 150

        def __getitem__(self, i: int):
            return torch.zeros(3), self.first if i == 0 else 1

    class Other(Many):
        first = 2

    assert len(as_data(Many()).classes) == 4
    assert as_data(Many()).digest != as_data(Other()).digest


def test_a_dataset_names_its_classes():
    dataset = Squares()
    dataset.classes = ["a", "b", "c", "d", "e"]
    assert as_data(dataset).classes == ("a", "b", "c", "d", "e")


def test_a_loader_is_read_by_index_with_its_collate():
    def collate(items):
        return torch.stack([1 - x for x, _ in items]), torch.tensor([y for _, y in items])

    data = as_data(DataLoader(Squares(), batch_size=3, shuffle=True, collate_fn=collate))
    x, labels = data.batch([4])
    torch.testing.assert_close(x, 1 - torch.from_numpy(X[[4]]).float() / 255)
    assert labels.tolist() == [1]


def test_a_loader_without_batches_still_stacks():
    same(as_data(DataLoader(Squares(), batch_size=None)).batch([1, 2]), as_data((X, Y)).batch([1, 2]))


def test_a_tensor_dataset_keeps_its_type():
    data = as_data(DataLoader(TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))))
    same(data.batch([1, 2]), as_data((X, Y)).batch([1, 2]))
    assert data.digest == as_data((X, Y)).digest


def test_samples_pass_through():
    data = as_data((X, Y))
    assert as_data(data) is data


class Stream(IterableDataset):
    def __iter__(self):
        yield from ()


class Random(Squares):
    def __getitem__(self, i: int):
        return torch.rand(2, 3), 0


class Items(Squares):
    def __init__(self, item):
        self.item = item

    def __getitem__(self, i: int):
        return self.item(i)


@pytest.mark.parametrize(
    ("dataset", "sentence"),
    [
        (Stream(), "map-style"),
        (DataLoader(Stream()), "map-style"),
        (Random(), "random transforms"),
        (Subset(Squares(), []), "no samples"),
        (Items(lambda i: {"image": torch.zeros(3), "label": 0}), "a dict with 'image', 'label'"),
        (Items(lambda i: (torch.zeros(3), 0, 1)), "3 things"),
        (Items(lambda i: (torch.zeros(i + 1), 0)), "one shape"),
        (Items(lambda i: (object(), 0)), "do not stack"),
        (Items(lambda i: 1 / 0), "ZeroDivisionError"),
        (Items(lambda i: (torch.zeros(3) + 2.4, 0)), "keep normalisation inside the model"),
        (Items(lambda i: (torch.zeros(3) + float("nan"), 0)), "NaN"),
        (Items(lambda i: (torch.zeros(3), 0.5)), "not a whole number"),
        (Items(lambda i: (torch.zeros(3), -1)), "no class index"),
    ],
)
def test_a_wrong_dataset_is_refused(dataset, sentence):
    with pytest.raises(InputError, match=sentence):
        as_data(dataset)


def test_a_sample_of_another_shape_is_found_when_it_is_read():
    class Late(Squares):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, i: int):
            return torch.zeros(3 if i < 19 else 4), 0

    data = as_data(Late())
    with pytest.raises(InputError, match=r"samples 19\.\.19 .* \(4,\)"):
        data.batch([19])


@pytest.mark.parametrize("thing", [None, 3, torch.zeros(7, 3), (X,), (X, Y, Y), {"x": X}])
def test_what_is_no_data_is_refused(thing):
    with pytest.raises(InputError, match="Dataset or DataLoader"):
        as_data(thing)
