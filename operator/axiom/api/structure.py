"""What models consist of, read from the models themselves: nested models, enums, and how enum members are documented."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

Part = type[BaseModel] | type[StrEnum]
"""A model or an enum."""


def nested(model: type[BaseModel]) -> list[Part]:
    """The model and every model and enum that its fields lead to, each once, in the order of the fields."""
    found: dict[Part, None] = {}

    def visit(part: Part) -> None:
        if part in found:
            return
        found[part] = None
        if issubclass(part, BaseModel):
            for field in part.model_fields.values():
                for inner in _parts(field.annotation):
                    visit(inner)

    visit(model)
    return list(found)


def field_models(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """Each field's outside name → the model that it holds, alone or in a list; None for plain values."""
    return {
        field.alias or name: next(
            (part for part in _parts(field.annotation) if issubclass(part, BaseModel)), None
        )
        for name, field in model.model_fields.items()
    }


def _parts(annotation: Any) -> Iterator[Part]:
    if isinstance(annotation, type) and issubclass(annotation, (BaseModel, StrEnum)):
        yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


@cache
def member_documentation(enum: type[StrEnum]) -> dict[str, str]:
    """Each member's value → the string that stands under it in the source; "" where there is none."""
    texts = _documentation(enum)
    return {member.value: texts.get(member.name, "") for member in enum}


@cache
def field_documentation(model: type[BaseModel]) -> dict[str, str]:
    """Each field's name → the string that stands under it in the source, also where pydantic was not told to look for it."""
    texts: dict[str, str] = {}
    for part in reversed(model.__mro__):
        if issubclass(part, BaseModel) and part is not BaseModel:
            texts |= _documentation(part)
    return {name: (field.description or texts.get(name, "")) for name, field in model.model_fields.items()}


def _documentation(part: type[Any]) -> dict[str, str]:
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(part))).body
    assert isinstance(definition, ast.ClassDef)
    documentation, name = dict[str, str](), ""
    for statement in definition.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                documentation[name] = inspect.cleandoc(text)
            case _:
                pass
    return documentation
