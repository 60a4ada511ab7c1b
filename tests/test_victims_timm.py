"""`timm:NAME`, and what every victim that takes pictures does with them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

import brittle
import vision_ops  # noqa: F401
from brittle.data import open_data
from brittle.data.framing import Framing
from brittle.errors import InputError
from brittle.runs.classify import build
from brittle.victims import open_victim
from brittle.victims import timm as timm_victims
from brittle.victims.preprocess import Preparation, Prepared, as_taken, framed
from test_cli import run_brittle

timm = pytest.importorskip("timm")
huggingface_hub = pytest.importorskip("huggingface_hub")

TINY = "timm:test_resnet?pretrained=0"  # 0.5 million weights, pictures of 160x160


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two smooth random pictures of odd sizes and one of 160x160, in classes 0 and 1."""
    folder = tmp_path_factory.mktemp("photos")
    shapes = {"0/wide.png": (181, 243), "0/small.png": (97, 90), "1/exact.png": (160, 160)}
    for seed, (name, (height, width)) in enumerate(shapes.items()):
        rough = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return timm.create_model("test_resnet", pretrained=False).eval()


@pytest.fixture(scope="module")
def weights(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_file(network.state_dict(), path)
    return path


def test_the_logits_are_those_of_timm_with_its_own_transform(photos, network, weights):
    victim = open_victim(f"timm:test_resnet?checkpoint={weights}")
    data = as_taken(open_data(f"images:{photos}"), victim)
    config = timm.data.resolve_model_data_config(network)
    transform = timm.data.create_transform(**config, is_training=False)
    x, _ = data.batch(range(2))  # of sorted names: small, wide
    wanted = torch.stack([transform(Image.open(photos / "0" / name)) for name in ("small.png", "wide.png")])
    assert data.shape == victim.shape == (3, 160, 160)
    with torch.no_grad():
        assert (victim(x) - network(wanted)).abs().max() < 1e-4
        assert (network(wanted)[0] - network(wanted)[1]).abs().max() > 1e-3  # the pictures differ


def test_a_picture_of_the_right_size_is_taken_as_it_is(photos):
    data = as_taken(open_data(f"images:{photos}"), open_victim(TINY))
    pixels = torch.from_numpy(np.array(Image.open(photos / "1" / "exact.png"))).permute(2, 0, 1) / 255
    assert torch.equal(data.batch([2])[0][0], pixels)


def test_a_size_that_was_named_is_kept(photos):
    victim = open_victim(TINY)
    assert as_taken(open_data(f"images:{photos}?size=50x60"), victim).shape == (3, 50, 60)
    with pytest.raises(InputError, match=r"inputs are 3x50x60, the model takes 3x160x160.*\?size=160"):
        victim(as_taken(open_data(f"images:{photos}?size=50x60"), victim).batch([0])[0])


def test_the_resize_inside_is_that_of_pillow_but_for_its_rounding(photos):
    outside, inside = open_victim(TINY), open_victim(f"{TINY}&resize=inside")
    assert inside.shape == ()
    data = as_taken(open_data(f"images:{photos}?size=181x243"), outside)
    x, _ = data.batch([1])
    picture = Image.open(photos / "0" / "wide.png")
    for way in ("nearest", "bilinear", "bicubic"):
        framing = Framing(size=(160, 160), scaled=168, interpolation=way)
        pillow = torch.from_numpy(np.array(framing.apply(picture))).permute(2, 0, 1) / 255
        assert (framed(x, framing)[0] - pillow).abs().max() < 2 / 255  # it rounds twice
    with torch.no_grad():
        taken = as_taken(open_data(f"images:{photos}"), outside).batch([1])[0]
        difference = (inside(x) - outside(taken)).abs().max()
        assert difference < 0.02 * outside(taken).std()


@pytest.mark.parametrize("way", ["bilinear", "bicubic"])
def test_fine_patterns_are_averaged_not_sampled(way):
    framing = Framing(size=(8, 8), scaled=8, interpolation=way)
    x = (torch.arange(64) % 8 == 3).float().expand(1, 3, 64, 64)  # an eighth is white
    assert (framed(x, framing) - 1 / 8)[..., 1:-1].abs().max() < 0.05


def test_overshooting_beside_edges_is_cut():
    framing = Framing(size=(20, 20), scaled=20, interpolation="bicubic")
    seen = framed((torch.arange(10) > 4).float().expand(1, 3, 10, 10), framing)
    assert (seen.min(), seen.max()) == (0, 1)


def test_gradients_reach_every_pixel_that_is_kept(photos):
    victim = open_victim(f"{TINY}&resize=inside&interpolation=bilinear")
    x = open_data(f"images:{photos}?size=181x243").batch([1])[0].requires_grad_()
    (grad,) = torch.autograd.grad(victim(x)[0, 0], x)
    reached = (grad[0] != 0).any(0)
    assert reached[:, 50:190].float().mean() > 0.95  # random ReLU networks leave a few pixels without any
    assert not reached[:, :20].any()  # cropped away
    one, seen = torch.ones_like(x), torch.zeros(1)
    (weight,) = torch.autograd.grad(framed(x, victim.module.preparation.framing).sum() + seen, x)
    assert weight[0, 0, 90, 120] > 0
    assert (weight * one).sum() > 0


def test_small_pictures_are_padded_with_black():
    framing = Framing(size=(6, 5), scaled=(3, 4))
    picture = Image.fromarray(np.arange(36, dtype=np.uint8).reshape(3, 4, 3) + 100)
    pillow = torch.from_numpy(np.array(framing.apply(picture))).permute(2, 0, 1)
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    assert torch.equal((framed(x, framing)[0] * 255).round().byte(), pillow)
    assert pillow.shape == (3, 6, 5)
    assert (pillow == 0).sum() == 3 * (6 * 5 - 3 * 4)


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
@pytest.mark.parametrize("share", [0.875, 1.0])
def test_pictures_are_framed_pixel_by_pixel_as_timm_does_it(mode, size, share):
    mean = (0.2, 0.5, 0.81)
    found = {"input_size": (3, *size), "crop_pct": share, "crop_mode": mode, "interpolation": "bicubic"}
    found |= {"mean": mean, "std": (0.3, 0.2, 0.1)}
    preparation = timm_victims._preparation(found, 3)
    transform = timm.data.create_transform(**found, is_training=False, normalize=False)
    for height, width in ((61, 43), (43, 60), (29, 91), (90, 31), (20, 17), (36, 36)):
        rough = Image.fromarray(np.random.default_rng(height).integers(0, 256, (7, 7, 3), dtype=np.uint8))
        picture = rough.resize((width, height), Image.Resampling.BILINEAR)
        seen = torch.from_numpy(np.array(preparation.framing.apply(picture))).permute(2, 0, 1)
        assert torch.equal(seen, transform(picture)), (height, width)
        x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
        assert (framed(x, preparation.framing)[0] * 255 - seen).abs().max() < 3  # Pillow rounds twice, bicubically


def test_another_size_that_is_no_square_is_covered(photos):
    framing = Framing(size=(160, 160), scaled=180).resized((80, 120))
    assert (framing.scaled, framing.fit) == ((90, 135), "covering")
    assert framing.scale_of(200, 100) == (270, 135)  # by its shorter side alone it would be 180x90, and black beside
    assert framing.resized((160, 240)).scaled == (180, 270)


def test_a_grey_border_is_the_mean_of_the_colours():
    framing = Framing(size=(4, 8), scaled=(4, 8), fit="within", border=(30, 60, 120))
    assert np.array(framing.apply(Image.new("L", (4, 4), 200)))[0].tolist() == [70, 70, 200, 200, 200, 200, 70, 70]
    deep = Image.fromarray(np.full((4, 4), 0.5, dtype=np.float32))
    assert np.array(framing.apply(deep))[0, 0] == pytest.approx(70 / 255)


def test_every_framing_is_called_otherwise():
    """Data know their pictures by it."""
    options = {
        "fit": "within",
        "border": (1, 2, 3),
        "down": True,
        "interpolation": "bicubic",
        "scaled": 9,
        "size": (4, 4),
    }
    framing = Framing(size=(4, 5), scaled=(6, 7))
    names = [str(framing), *(str(replace(framing, **{key: value})) for key, value in options.items())]
    assert len({*names}) == len(names)


def test_options_change_the_preparation(weights):
    victim = open_victim(
        f"timm:test_resnet?checkpoint={weights}&mean=0.5&std=0.1,0.2,0.3&size=80x80&interpolation=bilinear"
    )
    prepared = victim.module.preparation
    assert (prepared.mean, prepared.std) == ((0.5,) * 3, (0.1, 0.2, 0.3))
    assert (prepared.framing.size, prepared.framing.interpolation, victim.shape) == ((80, 80), "bilinear", (3, 80, 80))
    assert prepared.framing.scaled == 84  # as much more than the size as before
    assert victim.digest != open_victim(f"timm:test_resnet?checkpoint={weights}").digest


def test_random_weights_are_the_same_each_time_and_leave_random_numbers_alone():
    torch.manual_seed(5)
    first, drawn = open_victim(TINY), torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    assert first.digest == open_victim(TINY).digest


def test_bounds_of_0_to_255_are_divided_inside():
    x = torch.rand(2, 3, 160, 160)
    victim = open_victim(TINY, bounds=(0.0, 255.0))
    assert (victim.lower, victim.upper) == (0, 255)
    with torch.no_grad():
        torch.testing.assert_close(victim(x * 255), open_victim(TINY)(x))
    with pytest.raises(InputError, match="undo the data's normalisation"):
        open_victim(TINY, bounds=(-2.1, 2.6))


def test_networks_of_one_channel():
    victim = open_victim(f"{TINY}&in_chans=1&num_classes=7")
    assert victim.shape == (1, 160, 160)
    assert victim(torch.rand(2, 1, 160, 160)).shape == (2, 7)
    assert victim.classes == ()
    with pytest.raises(InputError, match="3x160x160, the model takes 1x160x160.*grey=1"):
        victim(torch.rand(2, 3, 160, 160))


def test_classes_are_those_of_imagenet_and_name_numbered_data(photos):
    victim = open_victim(TINY)
    assert len(set(victim.classes)) == 1000
    assert (victim.classes[388], victim.classes[779]) == ("giant panda", "school bus")
    (photos / "labels.csv").write_text("file,label\n0/wide.png,388\n")
    assert as_taken(open_data(f"images:{photos}"), victim).classes[388] == "giant panda"
    (photos / "labels.csv").unlink()


def test_channels_last_are_named():
    with pytest.raises(InputError, match="permute"):
        open_victim(TINY)(torch.rand(1, 160, 160, 3))


def test_blue_green_red():
    preparation = Preparation(
        framing=Framing.stretched((2, 2)), mean=(0.0, 0.5, 0.0), std=(1.0, 0.5, 1.0), backwards=True
    )
    x = torch.rand(1, 3, 2, 2)
    wanted = torch.stack([x[0, 2], (x[0, 1] - 0.5) / 0.5, x[0, 0]])[None]
    torch.testing.assert_close(Prepared(nn.Identity(), preparation)(x), wanted)


def test_proofs_can_follow_what_happens_inside():
    preparation = Preparation(framing=Framing.stretched((2, 2)), mean=(0.5,) * 3, std=(0.5,) * 3)
    module = Prepared(nn.Flatten(), preparation)
    traced, x = torch.fx.symbolic_trace(module), torch.rand(1, 3, 2, 2)
    assert torch.equal(traced(x), module(x))
    with pytest.raises(InputError, match="3x4x4"):
        module(torch.rand(1, 3, 4, 4))


def test_pickled_weights_and_what_trainers_put_around_them(network, tmp_path):
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "w.pth")
    victim = open_victim(f"timm:test_resnet?checkpoint={tmp_path / 'w.pth'}")
    x = torch.rand(1, 3, 160, 160)
    mean, std = (torch.tensor(network.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.no_grad():
        assert (victim(x) - network((x - mean) / std)).abs().max() < 1e-4


class Evil:
    def __reduce__(self):
        return (os.mkdir, ("ran",))


def test_nothing_in_a_checkpoint_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Evil()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="cannot be read as plain weights"):
        open_victim("timm:test_resnet?checkpoint=w.pth")
    assert not (tmp_path / "ran").exists()


def test_wrong_checkpoints_get_a_sentence(network, weights, tmp_path):
    state = dict(network.state_dict())
    state["stranger.weight"] = state.pop("conv1.0.weight" if "conv1.0.weight" in state else next(iter(state)))
    save_file(state, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nonsense")
    torch.save([1, 2], tmp_path / "list.pth")
    for file, sentence in {
        tmp_path
        / "other.safetensors": r"1 of its \d+ entries are missing \(first '.*'\) and 1 of the file's .*'stranger.weight'",
        tmp_path / "broken.safetensors": "cannot be read",
        tmp_path / "list.pth": "holds no state dict",
        tmp_path / "none.pth": "is no file",
        f"{weights}&num_classes=5": r"of shape \(1000,.*num_classes",
    }.items():
        with pytest.raises(InputError, match=sentence):
            open_victim(f"timm:test_resnet?checkpoint={file}")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("timm:", "needs the name"),
        ("timm:restnet50", "did you mean .*resnet50"),
        ("timm:test_resnet?pretrained=0&colour=red", "cannot be created"),
        ("timm:test_resnet?pretrained=yes", "pretrained=0 or pretrained=1"),
        ("timm:test_resnet?pretrained=0&checkpoint_path=x", "checkpoint=FILE"),
        (f"{TINY}&mean=1,2", "2 numbers for 3 channels"),
        (f"{TINY}&std=0", "above 0"),
        (f"{TINY}&size=big", "size=big"),
        (f"{TINY}&resize=maybe", "resize=inside or resize=outside"),
        (f"{TINY}&resize=inside&interpolation=lanczos", "lanczos"),
        (f"{TINY}&interpolation=best", "interpolation=best"),
    ],
)
def test_wrong_strings_are_refused(text, sentence):
    with pytest.raises(InputError, match=sentence):
        open_victim(text)


def test_weights_that_cannot_be_fetched(monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # the hub itself is not asked
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: (_ for _ in ()).throw(OSError("no route to host")))
    with pytest.raises(InputError, match="no route to host.*checkpoint=FILE"):
        open_victim("timm:test_resnet")


def test_without_timm(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(InputError, match=r"pip install 'brittle\[timm\]'"):
        open_victim(TINY)


def test_a_torchvision_of_another_build_is_named(monkeypatch):
    def imported(_):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("brittle.victims.packages.import_module", imported)
    with pytest.raises(InputError, match="not built for the torch that is installed.*install both from one index"):
        open_victim(TINY)


def test_an_evaluation_and_its_workers_see_the_same_pictures(photos, tmp_path):
    report = brittle.evaluate(
        TINY,
        f"images:{photos}",
        brittle.linf(1 / 255),
        attacks=["fgsm"],
        grid=[1 / 255],
        out=tmp_path / "run",
        progress=False,
    )
    resolved = report.plan.resolved
    assert resolved["shape"] == [3, 160, 160]
    assert resolved["classes"][388] == "giant panda"
    task = build(report.plan).task
    assert task.data.digest == resolved["data_digest"]
    assert task.data.classes[388] == "giant panda"


def test_adversarial_pngs_are_read_back_as_they_are(photos, tmp_path):
    command = ("attack", TINY, f"images:{photos}", "--threat", "linf:8/255", "--samples", "3", "--out", "out/0")
    run_brittle(*command, cwd=tmp_path)
    again = as_taken(open_data(f"images:{tmp_path / 'out'}"), open_victim(TINY))
    pixels = np.array(Image.open(tmp_path / "out" / "0" / "00000-adversarial.png"))
    assert pixels.shape == (160, 160, 3)
    assert torch.equal(again.batch([0])[0][0], torch.from_numpy(pixels).permute(2, 0, 1) / 255)


def test_a_victim_that_says_its_shape_alone_gets_the_middle_square(photos):
    victim = brittle.Victim(lambda x: x.mean((2, 3)), shape=(1, 32, 32))
    data = as_taken(open_data(f"images:{photos}"), victim)
    assert data.shape == (1, 32, 32)
    middle = Image.open(photos / "0" / "wide.png").resize((42, 32), Image.Resampling.BILINEAR).crop((5, 0, 37, 32))
    assert (data.batch([1])[0][0, 0] - torch.from_numpy(np.array(middle.convert("L"))) / 255).abs().max() <= 1.01 / 255
    assert as_taken(open_data("digits"), victim).shape == (1, 8, 8)


@pytest.mark.data
def test_a_published_network_keeps_its_logits_and_is_right():
    import sys

    root = Path(os.environ["BRITTLE_DATA"])
    sys.path.insert(0, str(root / "weights"))
    from load import load

    name = "mobilenet_v2_1.0_224_qat"
    module, _ = load(name)
    options = "pad_type=same&mean=0.5&std=0.5&interpolation=bilinear"
    victim = open_victim(f"timm:mobilenetv2_100?checkpoint={root}/weights/{name}/model.safetensors&{options}")
    x, labels = as_taken(open_data(f"images:{root}/data/imagenet_1000"), victim).batch(range(20))
    with torch.no_grad():
        outputs = victim(x)
        assert (outputs - module(x)).abs().max() <= 1e-4
    assert (outputs.argmax(1) == labels).sum() >= 15
