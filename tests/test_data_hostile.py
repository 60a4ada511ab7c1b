"""Data that stay in their files, and files that are none."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from brittle.data.open import open_data
from brittle.data.rows import StoredRows
from brittle.errors import InputError

X = np.random.default_rng(0).random((50, 3, 4, 5)).astype(np.float32)
Y = np.arange(50) % 7


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "f2", "f8", "g"])
def test_samples_stay_in_their_file_and_are_the_arrays(tmp_path, save, kind):
    x = X.astype(kind)
    save(tmp_path / "a.npz", x=x, y=Y)
    data = open_data(f"npz:{tmp_path}/a.npz")
    assert isinstance(data.x, StoredRows)
    for ids in ([3], [7, 8, 9, 2, 2, 49], []):
        got, labels = data.batch(ids)
        assert np.array_equal(got.numpy(), x[ids].astype(np.float32))
        assert labels.tolist() == Y[ids].tolist()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_way_an_array_lies_in_its_file_is_no_content(tmp_path, save):
    save(tmp_path / "c.npz", x=X, y=Y)
    save(tmp_path / "f.npz", x=np.asfortranarray(X), y=Y)
    assert len({open_data(f"npz:{tmp_path}/{name}.npz").digest for name in "cf"}) == 1


def test_a_file_that_changes_while_it_is_used_is_found_out(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    data = open_data(f"npz:{tmp_path}/a.npz")
    np.savez(tmp_path / "a.npz", x=X[:40], y=Y[:40])
    with pytest.raises(InputError, match="has changed since it was opened"):
        data.batch([0])


def test_a_flipped_bit_in_an_array_is_found_out(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[1000] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError, match="CRC"):
        open_data(f"npz:{tmp_path}/a.npz")


@pytest.fixture
def folder(tmp_path):
    home = tmp_path / "photos"
    (home / "cat").mkdir(parents=True)
    Image.new("RGB", (20, 10)).save(home / "cat" / "a.png")
    Image.new("RGB", (20, 10)).save(tmp_path / "outside.png")
    return home


def test_a_pipe_among_pictures_is_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "cat" / "b.png")
    with pytest.raises(InputError, match=r"b.png is a named pipe \(FIFO\)"):
        open_data(f"images:{folder}")
    for place in (folder / "cat" / "b.png", "/dev/zero"):
        with pytest.raises(InputError, match=r"a named pipe|a device|is no image"):
            open_data(f"images:{place}?label=0")


def test_a_picture_of_a_format_that_starts_programs_is_refused(folder):
    Image.new("RGB", (20, 10)).save(folder / "cat" / "b.eps")
    (folder / "cat" / "b.eps").rename(folder / "cat" / "b.png")
    with pytest.raises(InputError, match=r"b.png cannot be read as an image"):
        open_data(f"images:{folder}?size=8").batch([1])


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(folder):
    with pytest.raises(InputError, match=r"has 200 pixels, more than 199; .*pixels=NUMBER"):
        open_data(f"images:{folder}?size=8&pixels=199").batch([0])
    assert open_data(f"images:{folder}?size=8&pixels=200").batch([0])[0].shape == (1, 3, 8, 8)


@pytest.mark.parametrize("place", ["../outside.png", "cat/../../outside.png", "{0}/outside.png"])
def test_a_table_names_nothing_outside_its_folder(folder, place):
    (folder / "labels.csv").write_text(f"file,label\n{place.format(folder.parent)},cat\n")
    with pytest.raises(InputError, match="is no file in"):
        open_data(f"images:{folder}")


def test_a_folder_whose_name_is_no_text_has_a_name_that_can_be_shown(folder):
    os.rename(os.fsencode(folder / "cat"), os.fsencode(folder) + b"/caf\xe9\x1b")
    assert open_data(f"images:{folder}").classes == (r"caf\udce9\x1b",)
    with pytest.raises(InputError, match="holds bytes that are no UTF-8 text"):
        open_data(f"images:{folder}/caf\udce9")
