"""A call for async views, in the thread that Django keeps for a request's database work.

In: a function. Out: the same to be awaited. No frame of asgiref's between the two holds what was
passed, for those of a fault are shown in error reports: a typed code may be among it.
"""

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any

from asgiref.sync import sync_to_async
from django.views.decorators.debug import sensitive_variables


def awaited[**P, R](call: Callable[P, R]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Make a function one to be awaited."""

    @sensitive_variables()
    async def run(*args: P.args, **kwargs: P.kwargs) -> R:
        result: R = await sync_to_async(_Call(call, args, kwargs))()
        return result

    return update_wrapper(run, call)


class _Call:
    """A function with its arguments; its repr shows none of them."""

    @sensitive_variables()
    def __init__(self, call: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self._call, self._args, self._kwargs = call, args, kwargs

    @sensitive_variables()
    def __call__(self) -> Any:
        return self._call(*self._args, **self._kwargs)
