"""Where memory runs out the batch is halved, and every sample is worked on once."""

from __future__ import annotations

import pytest

from brittle.core.memory import in_parts


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: not enough memory: you tried")])
def test_batches_shrink_to_what_fits_and_no_sample_is_lost_or_done_twice(error: Exception) -> None:
    asked: list[int] = []

    def work(part: slice) -> list[int]:
        asked.append(len(range(13)[part]))
        if len(range(13)[part]) > 3:
            raise error
        return [*range(13)[part]]

    assert [i for part in in_parts(work, 13, 10) for i in part] == [*range(13)]
    assert asked == [10, 5, 2, 2, 2, 2, 2, 2, 1]


def test_what_is_no_lack_of_memory_or_cannot_be_halved_is_raised() -> None:
    def fails(_: slice) -> None:
        raise RuntimeError("shapes")

    def large(_: slice) -> None:
        raise MemoryError

    with pytest.raises(RuntimeError, match="shapes"):
        in_parts(fails, 5, 4)
    with pytest.raises(MemoryError):
        in_parts(large, 5, 4)
