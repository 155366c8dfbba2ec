"""One OpenMP thread for scikit-learn's trees.

Why: on tables of at most fifty thousand rows a second thread saves little, and where other work shares the cores threads that
spin while they wait make a fit ten to forty times slower (measured on two busy cores). Other libraries are left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_openmp_thread() -> Iterator[None]:
    """Limit OpenMP to one thread inside; restores the former limit."""
    import sklearn.ensemble  # noqa: F401 - only libraries that are loaded can be limited
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1, user_api="openmp"):
        yield
