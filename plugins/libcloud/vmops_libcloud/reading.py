"""What the source of a driver's methods tells: what they take, and whether they wait.

Many of libcloud's methods take `**kwargs`, and say nowhere but in their code what they look for
there; which of them poll until an operation is over is said nowhere at all.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

__all__ = ["is_real", "takes", "uses", "waits"]

_POLLING = "async_request"
"""libcloud's own loop around an operation, in any connection that has one."""
_ONE_REQUEST = "request"
"""Not followed: libcloud sleeps there only to repeat what has failed, which vmops turns off."""

_Function = Any  # a function, or a class called like one; inspect's own types say no more


def takes(cls: type[Any], method: str) -> frozenset[str]:
    """The names of a method's arguments, with those that it looks for in its `**kwargs`."""
    overridden = [vars(base)[method] for base in cls.__mro__ if method in vars(base)]
    return frozenset(_taken(cls, overridden[0], overridden[1:])) - {"self"}


def uses(cls: type[Any], method: str, argument: str) -> bool:
    """Whether a method takes an argument and does something with it."""
    function = getattr(cls, method)
    tree = _tree(function)
    if tree is None or argument not in inspect.signature(function).parameters:
        return argument in takes(cls, method)
    return any(isinstance(one, ast.Name) and one.id == argument for one in ast.walk(tree))


def is_real(function: _Function) -> bool:
    """Whether a method does anything but raise NotImplementedError."""
    tree = _tree(function)
    return tree is None or not (
        isinstance(tree.body[-1], ast.Raise)
        and "NotImplementedError" in ast.dump(tree.body[-1])
        and all(isinstance(one, ast.Expr) for one in tree.body[:-1])
    )


def waits(cls: type[Any], method: str) -> bool:
    """Whether a method, or one that it calls, polls until its operation is over."""
    return _waits(cls, getattr(cls, method), set())


def _waits(cls: type[Any], function: _Function, seen: set[_Function]) -> bool:
    if function in seen:
        return False
    seen.add(function)
    if inspect.isclass(function):
        own = [one for one in vars(function).values() if inspect.isfunction(one)]
        return any(_waits(function, one, seen) for one in own)
    tree = _tree(function)
    if tree is None:
        return True  # nobody can tell, and a thread too many does no harm
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="sleep") | ast.Call(func=ast.Attribute(attr="async_request")):
                return True
            case ast.Call() if any(
                _waits(owner, called, seen) for owner, called in _called(cls, function, node)
            ):
                return True
    return False


def _called(
    cls: type[Any], function: _Function, call: ast.Call
) -> Iterator[tuple[type[Any], _Function]]:
    """What a call in a method calls, with whose it is: the driver, its connection, its module."""
    match call.func:
        case ast.Name(id=name):
            called = function.__globals__.get(name)
            module = str(getattr(called, "__module__", ""))
            if module.startswith("libcloud."):
                yield cls, called
        case ast.Attribute(value=place, attr=name) if name != _ONE_REQUEST:
            connection = getattr(cls, "connectionCls", None)
            owner = {"self": cls, "self.connection": connection}.get(ast.unparse(place))
            called = getattr(owner, name, None)
            if owner is not None and inspect.isfunction(called):
                yield owner, called


def _taken(cls: type[Any], function: _Function, overridden: list[_Function]) -> Iterator[str]:
    rest = ""
    for one in inspect.signature(function).parameters.values():
        if one.kind is one.VAR_KEYWORD:
            rest = one.name
        elif one.kind is not one.VAR_POSITIONAL:
            yield one.name
    tree = _tree(function)
    for node in ast.walk(tree) if rest and tree else ():
        yield from _looked_up(node, rest)
        if isinstance(node, ast.Call) and any(
            one.arg is None and ast.unparse(one.value) == rest for one in node.keywords
        ):
            name = getattr(node.func, "attr", "")
            if ast.unparse(node.func).startswith("super()") and overridden:
                yield from _taken(cls, overridden[0], overridden[1:])
            elif inspect.isfunction(handed := getattr(cls, name, None)):
                yield from _taken(cls, handed, [])


def _looked_up(node: ast.AST, rest: str) -> Iterator[str]:
    """The key in `kwargs.get("key")`, `kwargs["key"]` or `"key" in kwargs`."""
    match node:
        case (
            ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr="get" | "pop"),
                args=[ast.Constant(value=str(key)), *_],
            )
            | ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key)))
            | ast.Compare(left=ast.Constant(value=str(key)), comparators=[ast.Name(id=name)])
        ) if name == rest:
            yield key


@cache
def _tree(function: _Function) -> ast.FunctionDef | None:
    """A function's syntax tree; None where its source is not at hand."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError):
        return None
    return body if isinstance(body, ast.FunctionDef) else None
