"""Multilayer perceptrons without autograd: the same numbers, without its cost for each small operation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

_ACTIVATIONS = (nn.Tanh, nn.ReLU)


class MLP:
    """Linear layers, each followed by tanh, ReLU or nothing, run forward and backward by hand.

    It shares the modules' weights, and writes gradients into their `grad`. One object must not run in two
    threads at once; what a call returns is overwritten by the next call with as many rows.

    Args:
        modules: linear layers and activations in their order, as from `flat_modules`.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._layers: list[_Layer] = []
        for module in modules:
            if isinstance(module, nn.Linear):
                self._layers.append(_Layer(module))
            else:
                self._layers[-1].activation = type(module)
        self._forward: dict[int, list[Tensor]] = {}  # by rows: each layer's output
        self._backward: dict[int, list[Tensor]] = {}  # by rows: the loss's gradient by each hidden layer's output
        self._input = torch.empty(0)

    @property
    def work(self) -> int:
        """Multiplications for one row, forward."""
        return sum(layer.weight.numel() for layer in self._layers)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs (rows, outputs) of inputs (rows, inputs)."""
        rows = len(inputs)
        if rows not in self._forward:
            self._forward[rows] = [torch.empty(rows, len(layer.bias)) for layer in self._layers]
        self._input = inputs
        for layer, output in zip(self._layers, self._forward[rows], strict=True):
            torch.addmm(layer.bias, inputs, layer.transposed, out=output)
            if layer.activation is nn.Tanh:
                array = output.numpy()
                np.tanh(array, out=array)  # several times faster than PyTorch's
            elif layer.activation is nn.ReLU:
                output.relu_()
            inputs = output
        return inputs

    def backward(self, gradient: Tensor) -> None:
        """Gradients of all weights, from that by the last `forward`'s outputs, (rows, outputs).

        The modules must have `grad` tensors, which are overwritten; `gradient` may be, too.
        """
        rows = len(gradient)
        outputs = self._forward[rows]
        if rows not in self._backward:
            self._backward[rows] = [torch.empty_like(output) for output in outputs[:-1]]
        for i in reversed(range(len(self._layers))):
            layer = self._layers[i]
            if layer.activation is nn.Tanh:
                torch.ops.aten.tanh_backward.grad_input(gradient, outputs[i], grad_input=gradient)
            elif layer.activation is nn.ReLU:
                torch.ops.aten.threshold_backward.grad_input(gradient, outputs[i], 0, grad_input=gradient)
            weight_gradient, bias_gradient = layer.module.weight.grad, layer.module.bias.grad
            assert weight_gradient is not None
            assert bias_gradient is not None
            torch.mm(gradient.t(), outputs[i - 1] if i else self._input, out=weight_gradient)
            torch.sum(gradient, 0, out=bias_gradient)
            if i:
                gradient = torch.mm(gradient, layer.weight, out=self._backward[rows][i - 1])


class _Layer:
    def __init__(self, module: nn.Linear) -> None:
        self.module = module
        self.weight, self.bias = module.weight.detach(), module.bias.detach()
        self.transposed = self.weight.t()
        self.activation: type[nn.Module] | None = None


def flat_modules(*networks: nn.Module) -> list[nn.Module] | None:
    """The modules of networks in a row, as an `MLP` takes them; None if it cannot."""
    found = [module for network in networks for module in _leaves(network)]
    layers = [i for i, module in enumerate(found) if type(module) is nn.Linear and module.bias is not None]
    after = [module for i, module in enumerate(found) if i not in layers]
    single = all(i - 1 in layers for i in range(len(found)) if i not in layers)  # one activation after a layer
    return found if layers and single and all(type(module) in _ACTIVATIONS for module in after) else None


def _leaves(network: nn.Module) -> Iterator[nn.Module]:
    if isinstance(network, nn.Sequential):
        for child in network:
            yield from _leaves(child)
    else:
        yield network
