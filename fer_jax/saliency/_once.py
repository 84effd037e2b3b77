"""What is made of a user's function is made once, and kept for as long as the function lives.

A call outside `jax.jit` would otherwise compile anew each time. As in `jax.lax.scan`, the function must be pure: what
it reads besides its arguments is read when it is first called with arguments of a shape.
"""

import functools
import weakref
from collections.abc import Callable, Hashable

import jax

_MADE: dict[int, tuple[weakref.ref, dict]] = {}


def once(make: Callable, function: Callable, **options: Hashable) -> Callable:
    """Return `make(function, **options)`, the same object for the same function and equal options.

    Args:
      make: a module's function. What it returns may call the function given to it while the user's one lives.
      function: a user's. One that cannot be referred to weakly is never kept.
      options: hashable.

    Returns:
      A callable.
    """
    number = id(function)
    try:
        alive = weakref.ref(function, lambda _: _MADE.pop(number, None))
    except TypeError:
        return make(function, **options)
    _, made = _MADE.setdefault(number, (alive, {}))
    key = (make, *sorted(options.items()))
    if key not in made:
        # Only weakly held: a cache that held the function, and so the weights it closes over, would never let go.
        made[key] = make(functools.partial(_call, alive), **options)
    return made[key]


def _call(alive, *arguments):
    function = alive()
    if function is None:
        raise ReferenceError("a function was called after its end: keep it as long as what was made of it")
    return function(*arguments)


def compiled(program: Callable, function: Callable, **options: Hashable) -> Callable:
    """Return `program(function, *arrays, **options)` as a compiled function of the arrays, made `once`."""
    return once(_compile, function, program=program, options=tuple(sorted(options.items())))


def _compile(function, *, program, options):
    return jax.jit(functools.partial(program, function, **dict(options)))
