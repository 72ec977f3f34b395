"""Filter expressions of lists, compiled to functions of a resource's body.

There are two grammars, which do not mix. One is that of AIP-160, in which OR binds more tightly
than AND and expressions side by side must be in parentheses; the other has `eq` and `ne` with
regular expressions. What is guessed: `!=` and `ne` hold where the field is absent, and `:` finds a
part of a text, whatever its case.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from typing import Any

Test = Callable[[Any], bool]
Known = Callable[[list[str], bool], bool]
"""Whether there is such a field, and if so asked, whether it has a value to compare."""
_TOKEN = re.compile(
    r"""\s*(?:(?P<punctuation>[()])|(?P<sign><=|>=|!=|[=<>:])"""
    r"""|(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<word>[^\s()=<>!:"']+))"""
)
_PATTERN = re.compile(r"\s*(?P<field>[\w.-]+)\s+(?P<verb>eq|ne)\s+(?P<literal>.+?)\s*", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_ABSENT = object()


class Unreadable(ValueError):  # noqa: N818  (what a filter is, not an error of this program)
    """This is no filter."""


def compiled(text: str, known: Known = lambda path, compared: True) -> Test:
    """A filter as a function.

    Args:
        text: The filter.
        known: Whether there is such a field.

    Raises:
        Unreadable: It is none.
    """
    patterns = _patterns(text, known)
    if patterns is not None:
        return patterns
    parser = _Parser(text, known)
    test = parser.expression()
    if parser.kind:
        raise Unreadable(text)
    return test


# -- eq and ne ------------------------------------------------------------------------------------


def _patterns(text: str, known: Known) -> Test | None:
    """A filter of the old grammar; None if it is not one."""
    parts = _parenthesised(text) if text.lstrip().startswith("(") else [text]
    found = [_PATTERN.fullmatch(part) for part in parts or ()]
    if not any(found):
        return None
    tests = []
    for one in found:
        if one is None:
            raise Unreadable(text)
        tests.append(_matching(one["field"], one["verb"], one["literal"], known))
    return lambda body: all(test(body) for test in tests)


def _parenthesised(text: str) -> list[str]:
    """The expressions of `(...) (...)`; none if it is something else."""
    if not re.fullmatch(r"\s*(\([^()]*(?:\([^()]*\)[^()]*)*\)\s*)+", text):
        return []
    return re.findall(r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)", text)


def _matching(name: str, verb: str, literal: str, known: Known) -> Test:
    path = name.split(".")
    if not known(path, True):
        raise Unreadable(name)
    if literal[0] in "\"'":
        if len(literal) < 2 or literal[-1] != literal[0]:
            raise Unreadable(literal)
        literal = literal[1:-1]
    elif len(literal.split()) > 1:
        raise Unreadable(literal)
    try:
        matches = re.compile(literal).fullmatch
    except re.error:
        raise Unreadable(literal) from None
    wanted = verb == "eq"

    def test(body: Any) -> bool:
        values = _values(body, path)
        return any(matches(_shown(value)) for value in values) is wanted

    return test


# -- AIP-160 --------------------------------------------------------------------------------------


class _Parser:
    """Recursive descent: an expression is factors with AND, a factor is terms with OR."""

    def __init__(self, text: str, known: Known) -> None:
        self._text, self._at, self._known = text, 0, known
        self.kind, self.value = "", ""
        self._next()

    def _next(self) -> None:
        if not self._text[self._at :].strip():
            self.kind, self.value = "", ""
            return
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise Unreadable(self._text)
        self._at = found.end()
        self.kind = str(found.lastgroup)
        self.value = found[self.kind]

    def _is(self, *values: str) -> bool:
        return self.kind in {"word", "punctuation"} and self.value in values

    def expression(self) -> Test:
        """Factors, all of which must hold."""
        closed = self._is("(")
        tests = [self._factor()]
        while self.kind and not self._is(")"):
            if self._is("AND"):
                self._next()
            elif not (closed and self._is("(", "NOT")):
                raise Unreadable(self._text)
            closed = self._is("(") or self._is("NOT")
            tests.append(self._factor())
        return tests[0] if len(tests) == 1 else lambda body: all(test(body) for test in tests)

    def _factor(self) -> Test:
        tests = [self._term()]
        while self._is("OR"):
            self._next()
            tests.append(self._term())
        return tests[0] if len(tests) == 1 else lambda body: any(test(body) for test in tests)

    def _term(self) -> Test:
        if self._is("NOT"):
            self._next()
            inner = self._simple()
            return lambda body: not inner(body)
        return self._simple()

    def _simple(self) -> Test:
        if not self._is("("):
            return self._restriction()
        self._next()
        inner = self.expression()
        if not self._is(")"):
            raise Unreadable(self._text)
        self._next()
        return inner

    def _restriction(self) -> Test:
        if self.kind != "word" or self.value in {"AND", "OR", "NOT"}:
            raise Unreadable(self._text)
        path = self.value.split(".")
        self._next()
        sign = self.value
        if self.kind != "sign" or not all(path):
            raise Unreadable(self._text)
        self._next()
        if self.kind not in {"word", "quoted"}:
            raise Unreadable(self._text)
        quoted, value = self.kind == "quoted", self.value
        if not self._known(path, (sign, self.kind, value) != (":", "word", "*")):
            raise Unreadable(self._text)
        self._next()
        if not quoted:
            # a time or a URL has colons of its own
            while self.kind == "sign" and self.value == ":" and not quoted:
                self._next()
                value += f":{self.value}"
                self._next()
            return _compared(path, sign, value, bare=True)
        return _compared(path, sign, re.sub(r"\\(.)", r"\1", value[1:-1]), bare=False)


def _compared(path: list[str], sign: str, value: str, *, bare: bool) -> Test:
    if sign == ":" and value == "*" and bare:
        return lambda body: bool(_values(body, path))
    one = _COMPARISONS[sign](value)
    if sign == "!=":
        return lambda body: all(one(found) for found in _values(body, path))
    return lambda body: any(one(found) for found in _values(body, path))


def _equal(value: str) -> Test:
    if "*" not in value:
        return lambda found: _shown(found) == value
    pattern = re.compile(".*".join(map(re.escape, value.split("*"))), re.DOTALL)
    return lambda found: bool(pattern.fullmatch(_shown(found)))


def _different(value: str) -> Test:
    equal = _equal(value)
    return lambda found: not equal(found)


def _has(value: str) -> Test:
    small, equal = value.lower().strip("*"), _equal(value)
    return lambda found: small in found.lower() if isinstance(found, str) else equal(found)


def _ordered(sign: str) -> Callable[[str], Test]:
    compare = _ORDERS[sign]

    def made(value: str) -> Test:
        number = float(value) if _NUMBER.fullmatch(value) else None

        def test(found: Any) -> bool:
            text = _shown(found)
            if number is not None and _NUMBER.fullmatch(text):
                return bool(compare(float(text), number))
            return bool(compare(text, value))

        return test

    return made


_COMPARISONS: dict[str, Callable[[str], Test]] = {
    "=": _equal,
    "!=": _different,
    ":": _has,
    **{sign: _ordered(sign) for sign in _ORDERS},
}


# -- values ---------------------------------------------------------------------------------------


def _values(body: Any, path: list[str]) -> list[Any]:
    """What stands at a path: nothing, one thing, or what each item of an array has there."""
    found = [body]
    for part in path:
        found = [one[part] for one in _flat(found) if isinstance(one, dict) and part in one]
        if not found:
            return []
    return _flat(found)


def _flat(values: list[Any]) -> list[Any]:
    if not any(isinstance(one, list) for one in values):
        return values
    return [inner for one in values for inner in (_flat(one) if isinstance(one, list) else [one])]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
