"""`onnx:FILE`: a network in the ONNX format, converted to torch for its gradients, or as a black box in ONNX Runtime."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..core.access import Access
from ..core.victim import CPU, Victim, as_victim
from ..data.options import check_options, parse_choice, required_file
from ..errors import InputError, unknown
from ..outside import reading
from .layout import as_sent, channels_first, channels_last
from .packages import need
from .request import Request

OPTIONS = ("runtime", "layout", "input", "output", "bounds")
NEWEST = 17  # version of ONNX's operators that onnx2torch knows all of; later ones are written in it where that can be


@dataclass(frozen=True)
class Outline:
    """What goes in and what comes out: names, the batch size where it is fixed, and whether channels are last."""

    input: str
    output: str
    shape: tuple[int | None, ...]  # of one input, as the file has it
    batch: int | None
    last: bool


def open_onnx(request: Request) -> Victim:
    check_options(request.source, OPTIONS)
    options = request.source.options
    runtime = parse_choice(options, "runtime", ("torch", "onnxruntime"), "torch")
    path = required_file(request.source, "a .onnx file")
    model = _read(path)
    with reading(f"{path} describes its network in a way that cannot be read", "export the model anew"):
        outline = _outline(model, request)
        model = _without_softmax(model, outline.output)
        outline = replace(outline, output=model.graph.output[0].name)
        shape = channels_first(outline.shape, outline.last)
    if runtime == "torch":
        module = InBatches(_converted(model, path), outline.batch, outline.last).eval()
        return replace(as_victim(module, request.bounds, request.device, request.text), shape=shape)
    content = model.SerializeToString()
    session = Session(_session(content, path), outline)
    digest = hashlib.sha256(content + repr(outline).encode()).hexdigest()[:32]
    lower, upper = request.bounds
    return Victim(
        session, lower, upper, request.text, digest, device=request.device or CPU, access=Access.SCORES, shape=shape
    )


class InBatches(nn.Module):
    """A network that was converted: x (B, C, H, W) -> (B, C'), in parts of `batch` where its file fixes the batch size."""

    def __init__(self, network: nn.Module, batch: int | None, last: bool) -> None:
        super().__init__()
        self.network, self.batch, self.last = network, batch, last

    def forward(self, x: Tensor) -> Tensor:
        x = as_sent(x, self.last)
        if self.batch is None:
            outputs: Tensor = self.network(x)
            return outputs
        return torch.cat([self.network(part)[:count] for part, count in in_parts(x, self.batch)])


@dataclass(frozen=True, eq=False)
class Session:
    """A network in ONNX Runtime: no gradients, and on the CPU."""

    session: Any
    outline: Outline

    def __call__(self, x: Tensor) -> Tensor:
        rows = as_sent(x.detach().to("cpu", torch.float32), self.outline.last)
        parts = in_parts(rows, self.outline.batch) if self.outline.batch else [(rows, len(rows))]
        outputs = [
            torch.from_numpy(
                self.session.run([self.outline.output], {self.outline.input: part.contiguous().numpy()})[0]
            )[:count]
            for part, count in parts
        ]
        return torch.cat(outputs).to(x.device)


def in_parts(x: Tensor, size: int) -> list[tuple[Tensor, int]]:
    """Parts of exactly `size` rows, the last one filled up with its own last row, each with how many rows of it count."""
    parts = []
    for start in range(0, len(x), size):
        part = x[start : start + size]
        filling = part[-1:].expand(size - len(part), *part.shape[1:])
        parts.append((torch.cat([part, filling]) if len(filling) else part, len(part)))
    return parts


def _read(path: Path) -> Any:
    onnx = need("onnx", "onnx", "onnx")
    with reading(f"{path} cannot be read as ONNX", "export the model anew"):
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
        return model


def _outline(model: Any, request: Request) -> Outline:
    options = request.source.options
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name: value for value in model.graph.input if value.name not in weights}
    outputs = [value.name for value in model.graph.output]
    name = options.get("input", next(iter(inputs), ""))
    if name not in inputs:
        raise unknown("input of the model", name, inputs)
    if len(inputs) > 1:
        raise InputError(f"the model takes {len(inputs)} inputs ({', '.join(inputs)}); export it with one")
    output = options.get("output", outputs[0])
    if output not in outputs:
        raise unknown("output of the model", output, outputs)
    tensor = inputs[name].type.tensor_type
    if tensor.elem_type != 1:
        kind = need("onnx", "onnx", "onnx").TensorProto.DataType.Name(tensor.elem_type)
        raise InputError(f"the model takes {kind} and not FLOAT; export it with float32 inputs")
    sizes = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value > 0 else None for dim in tensor.shape.dim]
    if len(sizes) < 2:
        raise InputError(f"the model takes inputs of {len(sizes)} axes; export it with a batch axis in front")
    last = channels_last(options, sizes[1:])
    return Outline(name, output, tuple(sizes[1:]), sizes[0], last)


def _without_softmax(model: Any, output: str) -> Any:
    """The model with one output: that one, or what its last softmax over the classes is taken of."""
    changed = type(model)()
    changed.CopyFrom(model)
    graph = changed.graph
    value = next(value for value in graph.output if value.name == output)
    ends = [node for node in graph.node if output in node.output]
    if ends and ends[0].op_type == "Softmax":
        axis = next((attribute.i for attribute in ends[0].attribute if attribute.name == "axis"), -1)
        if axis in (-1, 1) and len(value.type.tensor_type.shape.dim) == 2:
            value.name = ends[0].input[0]
            graph.node.remove(ends[0])
    kept = type(value)()
    kept.CopyFrom(value)
    del graph.output[:]
    graph.output.append(kept)
    return changed


def _converted(model: Any, path: Path) -> nn.Module:
    onnx = need("onnx", "onnx", "onnx")
    onnx2torch = need("onnx2torch", "onnx", "onnx")
    version = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
    with reading(
        f"{path} cannot be converted to torch",
        f"export it with opset_version={NEWEST}, or add runtime=onnxruntime, which gives scores and no gradients",
    ):
        if version > NEWEST:
            model = onnx.version_converter.convert_version(model, NEWEST)
        module: nn.Module = onnx2torch.convert(model)
        return module


def _session(content: bytes, path: Path) -> Any:
    runtime = need("onnxruntime", "onnx", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    with reading(f"ONNX Runtime cannot run {path}", "export the model anew"):
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
