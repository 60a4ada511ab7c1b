"""`hf:FOLDER`: tiny models of transformers with random weights, saved and opened again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import vision_ops  # noqa: F401
from brittle.data import open_data
from brittle.errors import InputError
from brittle.victims import huggingface, open_victim
from brittle.victims.preprocess import as_taken

transformers = pytest.importorskip("transformers")

PROCESSORS = {
    "stretches": ("ViTImageProcessor", {"size": {"height": 48, "width": 48}, "resample": 2}),
    "crops": (
        "BitImageProcessor",
        {"size": {"shortest_edge": 56}, "crop_size": {"height": 48, "width": 48}, "image_mean": [0.4, 0.5, 0.6]},
    ),
    "share": ("ConvNextImageProcessor", {"size": {"shortest_edge": 48}, "crop_pct": 0.875}),
    "no normalisation": ("ViTImageProcessor", {"size": {"height": 48, "width": 48}, "do_normalize": False}),
    "backwards": (
        "MobileViTImageProcessor",
        {"size": {"shortest_edge": 54}, "crop_size": {"height": 48, "width": 48}},
    ),
    "offset": (
        "EfficientNetImageProcessor",
        {"size": {"height": 48, "width": 48}, "rescale_offset": True, "rescale_factor": 1 / 127.5, "resample": 2},
    ),
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=48, patch_size=8,
        id2label={0: "cat", 1: "dog", 2: "newt"}, label2id={"cat": 0, "dog": 1, "newt": 2}, initializer_range=0.3,
    )  # fmt: skip
    return transformers.ViTForImageClassification(config).eval()


@pytest.fixture(params=PROCESSORS)
def saved(request, model, tmp_path):
    """A folder of a model with a processor, and the two as they were."""
    kind, options = PROCESSORS[request.param]
    processor = getattr(transformers, kind)(**options)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    return tmp_path, processor


def picture(seed: int, height: int, width: int) -> Image.Image:
    rough = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def asked(model, processor, image):
    with torch.no_grad():
        return model(**processor(images=image, return_tensors="pt")).logits


def as_tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


def test_the_logits_are_those_of_the_model_and_its_processor(saved, model):
    folder, processor = saved
    if "shortest_edge" in processor.size:
        processor.do_resize = False  # a picture of the network's size is taken as it is: what is compared is the rest
    image = picture(0, 48, 48)
    victim = open_victim(f"hf:{folder}")
    with torch.no_grad():
        outputs = victim(as_tensor(image))
    assert (outputs - asked(model, processor, image)).abs().max() <= 1e-4
    assert outputs.std() > 1e-2
    assert victim.shape == (3, 48, 48)
    assert victim.classes == ("cat", "dog", "newt")


@pytest.mark.parametrize(("height", "width"), [(90, 70), (91, 70), (73, 101)])
def test_pictures_of_other_sizes_differ_by_rounding_alone(saved, model, tmp_path, height, width):
    """Its processor resamples 8-bit tensors, Pillow 8-bit pictures, the resize inside does not round: levels apart, not places."""
    folder, processor = saved
    image = picture(1, height, width)
    (tmp_path / "photos" / "0").mkdir(parents=True)
    image.save(tmp_path / "photos" / "0" / "0.png")
    victim = open_victim(f"hf:{folder}")
    x, _ = as_taken(open_data(f"images:{tmp_path / 'photos'}"), victim).batch([0])
    wanted = processor(images=image, return_tensors="pt")["pixel_values"]
    preparation = victim.module.preparation
    mean, std = victim.module.mean, victim.module.std
    seen = ((x.flip(1) if preparation.backwards else x) - mean) / std
    assert ((seen - wanted).abs() * std).max() <= 2.01 / 255
    assert ((seen - wanted).abs() * std).mean() <= 0.5 / 255


@pytest.mark.parametrize("beyond", range(8))
def test_the_middle_is_that_of_the_processor_to_the_pixel(saved, beyond):
    folder, processor = saved
    framing = open_victim(f"hf:{folder}").module.preparation.framing
    if not isinstance(framing.scaled, int):
        return  # it is stretched, and nothing is cropped
    image = picture(3, framing.scaled + beyond, framing.scaled)  # nothing to resize
    processor.do_normalize = processor.do_rescale = False
    processor.do_flip_channel_order = False
    wanted = processor(images=image, return_tensors="pt")["pixel_values"][0]
    assert torch.equal(torch.from_numpy(np.array(framing.apply(image))).permute(2, 0, 1).float(), wanted.float())


def test_attacks_may_begin_before_the_resize(saved, model):
    folder, processor = saved
    victim = open_victim(f"hf:{folder}?resize=inside")
    image = picture(2, 90, 70)
    x = as_tensor(image).requires_grad_()
    outputs = victim(x)
    assert (outputs - asked(model, processor, image)).abs().max() < 0.1 * outputs.std()
    (grad,) = torch.autograd.grad(outputs[0, 0], x)
    assert (grad != 0).any(1).float().mean() > 0.4


def test_unnamed_labels_are_no_names(tmp_path, model):
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=16, patch_size=8
    )
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"processor\.save_pretrained"):
        open_victim(f"hf:{tmp_path}")
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(tmp_path)
    assert open_victim(f"hf:{tmp_path}").classes == ()


def test_pickled_weights_are_not_read(tmp_path, model):
    model.save_pretrained(tmp_path)
    transformers.ViTImageProcessor().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors"):
        open_victim(f"hf:{tmp_path}")


def test_wrong_folders_and_options(tmp_path, monkeypatch, model):
    with pytest.raises(InputError, match="does not exist"):
        open_victim(f"hf:{tmp_path}/nothing")
    with pytest.raises(InputError, match="hf:FOLDER"):
        open_victim("hf:")
    with pytest.raises(InputError, match="did you mean revision"):
        open_victim("hf:x?revsion=3")
    model.save_pretrained(tmp_path)
    transformers.EfficientNetImageProcessor(do_resize=False).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="does not say to which size"):
        open_victim(f"hf:{tmp_path}")


def test_the_hub_is_asked_only_for_what_is_not_on_disk(monkeypatch, tmp_path, model):
    asked = []

    def from_pretrained(what, **options):
        asked.append((what, options["local_files_only"], options["trust_remote_code"]))
        raise OSError("offline")

    monkeypatch.setattr(transformers.AutoModelForImageClassification, "from_pretrained", from_pretrained)
    monkeypatch.setattr(huggingface, "check_hub", lambda what, _: asked.append(what))
    with pytest.raises(InputError, match="offline.*access to the network"):
        open_victim("hf:somebody/model")
    assert asked == [("somebody/model", True, False), "hf:somebody/model", ("somebody/model", False, False)]
    asked.clear()
    with pytest.raises(InputError, match="offline"):
        open_victim(f"hf:{tmp_path}")
    assert asked == [(str(tmp_path), True, False)]


def test_without_transformers(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(InputError, match=r"pip install 'brittle\[hf\]'"):
        open_victim("hf:x")
