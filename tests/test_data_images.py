"""`images:FOLDER`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from brittle.data import open_data
from brittle.errors import InputError

RED, WHITE = (255, 0, 0), (255, 255, 255)


@pytest.fixture
def folder(tmp_path):
    """Classes cat (2 images) and dog (1), each 4 high and 6 wide."""
    for name, value in (("dog/b.png", 30), ("cat/a.png", 10), ("cat/c.PNG", 20)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (6, 4), (value, 0, 255)).save(tmp_path / name)
    (tmp_path / "cat" / "notes.txt").write_text("no image")
    return tmp_path


def put(folder, picture, name="cat/a.png", **options):
    picture.save(folder / name, **options)
    return folder


def first(folder, options=""):
    return open_data(f"images:{folder}{options}").batch([0])[0][0]


def test_folders_are_classes_in_order_of_the_alphabet(folder):
    data = open_data(f"images:{folder}")
    assert (len(data), data.classes, data.shape) == (3, ("cat", "dog"), (3, 4, 6))
    x, labels = data.batch([2, 0])
    assert labels.tolist() == [1, 0]
    torch.testing.assert_close(x[:, :, 0, 0], torch.tensor([[30, 0, 255], [10, 0, 255]]) / 255, rtol=0, atol=0)
    assert x.dtype == torch.float32


def test_a_class_folder_without_images_keeps_its_number(folder):
    (folder / "bird").mkdir()
    (folder / ".cache").mkdir()
    data = open_data(f"images:{folder}")
    assert data.classes == ("bird", "cat", "dog")
    assert data.batch([0, 2])[1].tolist() == [1, 2]


def test_the_digest_is_of_pixels_labels_and_options_not_of_names(folder):
    digest = open_data(f"images:{folder}").digest
    (folder / "dog" / "b.png").rename(folder / "dog" / "renamed.png")
    assert open_data(f"images:{folder}").digest == digest
    assert open_data(f"images:{folder}?grey=1").digest != digest
    assert open_data(f"images:{folder}?size=4x6").digest != digest
    put(folder, Image.new("RGB", (6, 4), (11, 0, 255)))
    assert open_data(f"images:{folder}").digest != digest


def test_the_digest_is_of_the_labels_too(folder):
    digest = open_data(f"images:{folder}").digest
    (folder / "cat" / "c.PNG").rename(folder / "dog" / "a.png")  # the files keep their order
    assert open_data(f"images:{folder}").digest != digest


def test_labels_csv_with_numbers(folder):
    (folder / "labels.csv").write_text("label,file,licence\n7,dog/b.png,x\n2,cat/a.png,y\n")
    data = open_data(f"images:{folder}")
    assert data.batch([0, 1])[1].tolist() == [7, 2]
    assert len(data.classes) == 8


def test_labels_csv_with_names_and_a_byte_order_mark(folder):
    (folder / "other.csv").write_text("\ufefffile,label\ncat/a.png,tom\ndog/b.png,rex\ncat/c.PNG,tom\n")
    data = open_data(f"images:{folder}?labels=other.csv")
    assert data.classes == ("rex", "tom")
    assert data.batch([0, 1, 2])[1].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\n", "lists no images"),
        ("name,label\ncat/a.png,0\n", "no column file"),
        ("file,class\ncat/a.png,0\n", "no column label"),
        ("file,label\ncat/a.png,0\ncat/x.png,0\n", "cat/x.png, line 3"),
        ("file,label\ncat/a.png\n", "line 2 of .* empty"),
        ("file,label\ncat/a.png,0.5\n", "not a whole number"),
        ("file,label\ncat/a.png,-1\n", "no class index"),
    ],
)
def test_a_wrong_labels_csv_is_refused(folder, text, sentence):
    (folder / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=sentence):
        open_data(f"images:{folder}")


def test_a_binary_labels_csv_is_refused(folder):
    (folder / "labels.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="CSV"):
        open_data(f"images:{folder}")


def test_transparency_lies_over_white(folder):
    half = Image.new("RGBA", (6, 4), (255, 0, 0, 0))
    half.putpixel((5, 0), (255, 0, 0, 255))
    x = first(put(folder, half))
    assert x[:, 0, 5].tolist() == [1, 0, 0]
    assert x[:, 3, 0].tolist() == [1, 1, 1]


def test_a_transparent_palette_entry_lies_over_white(folder):
    picture = Image.new("P", (6, 4), 0)
    picture.putpalette([0, 0, 0, 255, 0, 0])
    picture.putpixel((1, 0), 1)
    x = first(put(folder, picture, transparency=0))
    assert x[:, 0, 0].tolist() == [1, 1, 1]
    assert x[:, 0, 1].tolist() == [1, 0, 0]


def test_exif_orientation_turns_the_image(folder):
    picture = Image.new("RGB", (4, 6), WHITE)  # stored on its side: 4 wide, 6 high
    picture.paste(RED, (0, 0, 4, 3))  # top half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter clockwise: the top comes to the right
    x = first(put(folder, picture, "cat/a.jpg", exif=exif, quality=100, subsampling=0))
    data = open_data(f"images:{folder}")
    assert data.shape == (3, 4, 6)  # the header check knows of the turn
    x = data.batch([0])[0][0]
    assert x[1, :, :2].min() > 0.9
    assert x[1, :, 4:].max() < 0.1


def test_grey_and_colour_are_turned_into_each_other(folder):
    put(folder, Image.new("L", (6, 4), 51))
    torch.testing.assert_close(first(folder), torch.full((3, 4, 6), 0.2))
    data = open_data(f"images:{folder}?grey=1")
    assert data.shape == (1, 4, 6)
    x, _ = data.batch([0, 2])
    torch.testing.assert_close(x[0], torch.full((1, 4, 6), 0.2))
    torch.testing.assert_close(x[1, 0, 0, 0].item(), (0.299 * 30 + 0.114 * 255) / 255, atol=1 / 255, rtol=0)


def test_sixteen_bits_are_not_cut_to_eight(folder):
    deep = Image.fromarray(np.full((4, 6), 1000, dtype=np.uint16))
    torch.testing.assert_close(first(put(folder, deep)), torch.full((3, 4, 6), 1000 / 65535))
    assert first(put(folder, Image.fromarray(np.full((4, 6), 65535, dtype=np.uint16)))).min() == 1
    put(folder, deep)
    torch.testing.assert_close(first(folder, "?grey=1&size=8"), torch.full((1, 8, 8), 1000 / 65535))


def test_size_is_height_by_width(folder):
    put(folder, Image.new("RGB", (60, 40), RED))
    assert first(folder, "?size=5x7").shape == (3, 5, 7)
    assert first(folder, "?size=5").shape == (3, 5, 5)


def test_unequal_sizes_need_a_size(folder):
    put(folder, Image.new("RGB", (6, 5)))
    with pytest.raises(InputError, match=r"a\.png is 5x6 and c\.PNG is 4x6.*\?size=5x6"):
        open_data(f"images:{folder}").shape  # noqa: B018
    assert open_data(f"images:{folder}?size=5x6").batch([0, 1])[0].shape == (2, 3, 5, 6)


def test_a_truncated_image_is_named(folder):
    path = folder / "cat" / "a.png"
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    put(folder, Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"a\.png cannot be read"):
        open_data(f"images:{folder}?size=8").batch([0])


def test_a_file_that_is_no_image_is_named(folder):
    (folder / "cat" / "a.png").write_text("hello")
    with pytest.raises(InputError, match=r"a\.png cannot be read"):
        open_data(f"images:{folder}").shape  # noqa: B018


def test_an_image_that_changed_its_size_is_named(folder):
    data = open_data(f"images:{folder}")
    assert data.shape == (3, 4, 6)
    put(folder, Image.new("RGB", (9, 9)))
    with pytest.raises(InputError, match=r"a\.png is 9x9, no longer 4x6"):
        data.batch([0])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("images:", "needs a folder"),
        ("images:{0}/nowhere", "does not exist"),
        ("images:{0}/cat/a.png", "what .*a.png shows is not known; add .label=CLASS"),
        ("images:{0}/cat/notes.txt?label=cat", "is no image"),
        ("images:{0}/cat/a.png?label=-1", "no class index"),
        ("images:{0}/cat/a.png?label=1&labels=x.csv", "labels= is no option for one image"),
        ("images:{0}?label=1", "label= is no option for a folder"),
        ("images:{0}/cat", "no images in class folders"),
        ("images:{0}?labels=none.csv", "labels=none.csv"),
        ("images:{0}?size=big", "size=big"),
        ("images:{0}?size=0", "size=0"),
        ("images:{0}?grey=yes", "grey=0 or grey=1"),
        ("images:{0}?sise=8", "did you mean size"),
    ],
)
def test_wrong_strings_are_refused(folder, text, sentence):
    with pytest.raises(InputError, match=sentence):
        open_data(text.format(folder))


def test_a_folder_above_the_classes_names_the_splits(folder, tmp_path):
    (tmp_path / "all").mkdir()
    for name in ("cat", "dog"):
        (folder / name).rename(tmp_path / "all" / name)
    with pytest.raises(InputError, match=r"did you mean images:.*all\?"):
        open_data(f"images:{tmp_path}")


def test_one_file_is_one_sample_of_the_class_that_is_named(folder):
    path = folder / "cat" / "a.png"
    named, numbered = open_data(f"images:{path}?label=cat"), open_data(f"images:{path}?label=3")
    assert (len(named), named.classes, named.shape) == (1, ("cat",), (3, 4, 6))
    assert (numbered.classes, numbered.batch([0])[1].tolist()) == (("0", "1", "2", "3"), [3])
    assert torch.equal(named.batch([0])[0], first(folder)[None])
