"""YAML files as kubectl reads them: several documents in a file, dates are strings, no key twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]
"""One parsed YAML document."""


class UnreadableError(ValueError):
    """A file that holds no objects: it is missing, no text, or no YAML. The message says which, and where."""


def read_documents(path: Path) -> list[Document]:
    """The objects in a file, empty documents left out. Raises UnreadableError."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise UnreadableError(f"is not text in UTF-8 (byte {error.start}); save it as UTF-8") from error
    try:
        documents = [document for document in yaml.load_all(text, _Loader) if document is not None]
    except (yaml.YAMLError, RecursionError) as error:
        raise UnreadableError(f"is not YAML: {' '.join(str(error).split())}") from error
    for document in documents:
        if not isinstance(document, dict):
            raise UnreadableError(
                "holds something that is not an object; begin with apiVersion, kind, metadata"
            )
    return documents


class _Loader(yaml.SafeLoader):
    """A SafeLoader that reads what kubectl reads."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
