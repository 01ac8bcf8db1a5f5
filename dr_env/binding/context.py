"""What a policy may be told of a Draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dr_env.binding.sampler import Node
from dr_env.distributions import Joint


class Context:
    """Draws as numbers for a network, each scaled by its distribution (`Distribution.standardize`).

    They stand in the order of the Draw; what is constant or follows from others is left out.

    Args:
        nodes: what is drawn.
    """

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = [node for node in nodes if not node.derived and node.distribution.type_name != "constant"]
        self.size = sum(node.width for node in self._nodes)
        """How many numbers there are."""

    @property
    def varying(self) -> frozenset[str]:
        """The names of those that vary, and so have a scale."""
        return frozenset(node.name for node in self._nodes if _varies(node))

    def show(self, columns: Mapping[str, ArrayLike], count: int) -> NDArray[np.float64]:
        """The numbers of Draws.

        Args:
            columns: the Draws.
            count: how many there are.

        Returns:
            (count, size).
        """
        parts = [
            node.distribution.standardize(np.reshape(columns[node.name], (count, node.width))) for node in self._nodes
        ]
        return np.concatenate(parts, axis=1) if parts else np.zeros((count, 0))


def _varies(node: Node) -> bool:
    if isinstance(node.distribution, Joint):
        return True
    low, high = node.distribution.support()
    return low < high
