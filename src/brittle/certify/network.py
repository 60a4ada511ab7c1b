"""A module as a graph of layers that bounds understand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..core.outputs import Reading
from ..core.victim import Victim, refuse_training_mode
from ..errors import InputError
from .bends import Bend
from .layers import Affine, Positive, Scale, Shape
from .translate import FUNCTIONS, KNOWN, METHODS, MODULES, Call, Unknown


@dataclass(frozen=True, eq=False)
class Node:
    """One value of the network: a layer of the nodes `inputs`; `shape` is one sample's. The first node is the input."""

    inputs: tuple[int, ...]
    shape: Shape
    layer: Affine | Bend | None = None


@dataclass(frozen=True, eq=False)
class Network:
    """Nodes in an order in which each comes after its inputs; the last is the output."""

    nodes: tuple[Node, ...]

    @property
    def widest(self) -> int:
        """The most numbers that one node has."""
        return max(torch.Size(node.shape).numel() for node in self.nodes)

    def mixes(self, number: int, norm: str) -> bool:
        """Whether lines can say more of this node than its interval: not of a bend, the input, or in Linf the first layer."""
        number = self._origin(number)
        node = self.nodes[number]
        if node.layer is None or isinstance(node.layer, Bend):
            return False
        return norm != "linf" or len(node.inputs) > 1 or self._origin(node.inputs[0]) != 0

    def _origin(self, number: int) -> int:
        """Back through layers that keep values apart from each other."""
        while isinstance(layer := self.nodes[number].layer, Scale | Positive) and len(self.nodes[number].inputs) == 1:
            if isinstance(layer, Positive) and layer.terms:
                return number
            (number,) = self.nodes[number].inputs
        return number


def trace(victim: Victim, x: Tensor) -> Network:
    """The victim's module as a network, for inputs like x (B, *S); refuses what is not understood, by name."""
    module = victim.module
    if module is None or victim.forward is not module:
        what = "has its outputs read by output=" if isinstance(victim.forward, Reading) else "is a callable"
        raise InputError(
            f"a certificate looks into the layers, and {victim.name} {what}; give the nn.Module itself, which returns logits"
        )
    refuse_training_mode(module)
    if victim.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"the weights are {victim.dtype}, in which a sum rounds too much to prove anything; give model.float()"
        )
    try:
        graph = fx.symbolic_trace(module)
    except Exception as error:  # whatever the module's own code raises when it is run on symbols
        raise InputError(
            f"the code of {type(_culprit(module)).__name__} cannot be traced ({_first_line(error)}); a certificate needs a forward without "
            "branches on values, loops over the batch or other libraries"
        ) from error
    return _Translator(graph, x[:1].expand(5, *x.shape[1:]).contiguous()).translate()


def _culprit(module: nn.Module) -> nn.Module:
    """The innermost module whose own code it is that cannot be traced."""
    for child in module.children():
        try:
            fx.symbolic_trace(child)
        except Exception:
            return _culprit(child)
    return module


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:160] or type(error).__name__


class _Translator:
    """Walks the traced graph once: a value is a tensor that depends on the input (a node number) or anything that does not."""

    def __init__(self, graph: fx.GraphModule, x: Tensor) -> None:
        self.graph, self.x = graph, x
        self.nodes: list[Node] = []
        self.at: dict[fx.Node, int] = {}  # live values
        self.seen: dict[fx.Node, Any] = {}  # every value, for a small batch
        self.versions: dict[
            fx.Node, int
        ] = {}  # of those that are tensors, which count how often they were written into

    @torch.no_grad()
    def translate(self) -> Network:
        runner = fx.Interpreter(self.graph, garbage_collect_values=False)
        runner.env = self.seen
        for node in self.graph.graph.nodes:
            if node.op == "placeholder":
                self._placeholder(node)
            elif node.op == "output":
                (result,) = node.args
                if not isinstance(result, fx.Node) or result not in self.at or self.nodes[self.at[result]].shape[1:]:
                    raise InputError(
                        "the network's output is not one tensor of logits (B, classes); return the logits alone"
                    )
                return Network(tuple(self.nodes[: self.at[result] + 1]))
            else:
                try:
                    self.seen[node] = runner.run_node(node)
                except Exception as error:
                    raise InputError(f"{_name(node, self.graph)} cannot be run apart ({_first_line(error)})") from error
                self._refuse_overwriting(node)
                if any(source in self.at for source in node.all_input_nodes):
                    self._live(node)
        raise InputError("the traced network returns nothing; return the logits")

    def _placeholder(self, node: fx.Node) -> None:
        if self.at:
            self.seen[node] = node.args[0] if node.args else None
            return
        self.seen[node] = self.x
        self._add(node, Node((), tuple(self.x.shape[1:])))

    def _refuse_overwriting(self, node: fx.Node) -> None:
        """A node that works in place changes what later ones take, which the graph does not say."""
        for source, version in self.versions.items():
            if self.seen[source]._version != version and any(user not in self.seen for user in source.users):
                raise InputError(
                    f"{_name(node, self.graph)} works in place, and what it overwrites is used again; a certificate needs a network "
                    "without that: take inplace=True or the _ out of it"
                )
        self.versions = {one: value._version for one, value in self.seen.items() if isinstance(value, Tensor)}

    def _live(self, node: fx.Node) -> None:
        value = self.seen[node]
        if not isinstance(value, Tensor):
            return  # a shape or a size: a number that does not depend on what the input holds
        name = _name(node, self.graph)
        if value.shape[:1] != self.x.shape[:1]:
            raise InputError(
                f"{name} does not keep one row a sample; a certificate needs the batch as the first axis throughout"
            )
        if node.op == "call_module":
            module = self.graph.get_submodule(str(node.target))
            rule: Callable[..., Any] | None = MODULES.get(type(module))
            arguments: tuple[Any, ...] = (module,)
        else:
            rule = METHODS.get(str(node.target)) if node.op == "call_method" else FUNCTIONS.get(node.target)
            arguments = ()
        if rule is None:
            raise InputError(f"no bounds are known for {name}; known are {KNOWN}")
        live = [source for source in node.all_input_nodes if source in self.at]
        try:
            made = rule(*arguments, Call(node, live, self.seen))
        except Unknown as why:
            raise InputError(f"no bounds are known for {name} {why}; known are {KNOWN}") from None
        if made is None:
            self.at[node] = self.at[live[0]]
            return
        self._add(node, Node(tuple(self.at[s] for s in live), tuple(value.shape[1:]), made))

    def _add(self, node: fx.Node, made: Node) -> None:
        self.at[node] = len(self.nodes)
        self.nodes.append(made)


def _name(node: fx.Node, graph: fx.GraphModule) -> str:
    """How a user knows a layer: its class and place, or the function's name."""
    if node.op == "call_module":
        return f"the layer {type(graph.get_submodule(str(node.target))).__name__} ({node.target})"
    name = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
    return f"the operation {name}"
