"""One thread for small fits and products.

Why: on tables of at most fifty thousand rows a second thread saves little, and where other work shares the cores threads that
spin while they wait make a fit ten to forty times slower (measured on two busy cores).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit OpenMP and BLAS to one thread inside; restores the former limits."""
    import sklearn.ensemble  # noqa: F401 - only libraries that are loaded can be limited
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        yield
