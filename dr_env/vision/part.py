"""Some images of a collection."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dr_env.vision.samples import Images, ObjectModel, Sample


class Part:
    """Some images of a collection.

    Args:
        images: the collection.
        rows: which.
        name: what cards call it.
        labelled: whether their annotations are told.
    """

    def __init__(self, images: Images, rows: Sequence[int], name: str, labelled: bool = True) -> None:
        self.images, self.rows, self._name, self._labelled = images, tuple(rows), name, labelled

    @property
    def name(self) -> str:
        """What cards call it."""
        return self._name

    @property
    def models(self) -> Mapping[int, ObjectModel]:
        """The collection's."""
        return self.images.models

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        """Decodes one image."""
        if not 0 <= index < len(self):  # so that iterating ends
            raise IndexError(index)
        sample = self.images[self.rows[index]]
        return sample if self._labelled else dataclasses.replace(sample, annotations=())

    def masks(self, index: int) -> tuple[NDArray[np.bool_], ...]:
        """The visible mask (h, w) of each annotation of an image."""
        return self.images.masks(self.rows[index]) if self._labelled else ()
