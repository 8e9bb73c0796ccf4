"""Shared by the data tests: what every refusal must look like."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from reparam.errors import DataError


@pytest.fixture
def refused() -> Callable[..., AbstractContextManager[None]]:
    """`with refused("words", ...)`: a `DataError` of one line that holds the words and, after a colon, a remedy."""

    @contextmanager
    def check(*words: str) -> Iterator[None]:
        with pytest.raises(DataError) as caught:
            yield
        line = str(caught.value)
        assert all(w in line for w in words), line
        assert "\n" not in line
        assert ": " in line or ";" in line

    return check
