"""URLs from what sites tell of themselves: lists, sitemaps (sitemaps.org) and OpenAPI documents. Pure.

Whatever is read may be huge or hostile: everything is bounded, and no XML entity is ever expanded.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit
from xml.parsers import expat

MOST_BYTES: Final = 50 * 1024 * 1024
"""Of one document, unpacked: what sitemaps.org allows a sitemap."""
MOST_URLS: Final = 50_000
_DEPTH: Final = 3
_PARAMETERS: Final = 64


class DocumentError(ValueError):
    """A document is not what it was taken for; the message says why."""


def urls_of_list(lines: Iterable[str]) -> Iterator[str]:
    """A URL or path a line; empty lines and those that begin with ``#`` are none."""
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            yield text


def unpacked(data: bytes) -> bytes:
    """``data``, unpacked if it is gzipped.

    :raises DocumentError: it is damaged, or larger than ``MOST_BYTES``.
    """
    if data[:2] != b"\x1f\x8b":
        return data
    reader = zlib.decompressobj(31)
    try:
        found = reader.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise DocumentError(f"it is no gzip file: {error}") from None
    if reader.unconsumed_tail:
        raise DocumentError(f"unpacked it has more than {MOST_BYTES:,} bytes")
    return found


class _Sitemap:
    """Collects ``loc`` of ``url`` and ``sitemap`` elements, whatever their namespace is called."""

    def __init__(self) -> None:
        self.pages: list[str] = []
        self.sitemaps: list[str] = []
        self._path: list[str] = []
        self._text = ""

    def start(self, name: str, _attributes: Any) -> None:
        self._path.append(name.rpartition(" ")[2].rpartition(":")[2])
        self._text = ""

    def data(self, text: str) -> None:
        if self._path[-1:] == ["loc"] and len(self._text) < 4_096:
            self._text += text

    def end(self, _name: str) -> None:
        if self._path[-2:] == ["url", "loc"] and len(self.pages) < MOST_URLS:
            self.pages.append(self._text.strip())
        elif self._path[-2:] == ["sitemap", "loc"] and len(self.sitemaps) < MOST_URLS:
            self.sitemaps.append(self._text.strip())
        self._path.pop()


def read_sitemap(data: bytes) -> tuple[list[str], list[str]]:
    """The pages and the further sitemaps that a sitemap or a sitemap index lists; gzipped or not.

    :raises DocumentError: it is no XML, declares a document type, or is too large.
    """
    found = _Sitemap()
    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = found.start, found.end
    parser.CharacterDataHandler = found.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(unpacked(data), True)
    except expat.ExpatError as error:
        raise DocumentError(f"it is no XML: {error}") from None
    return found.pages, found.sitemaps


def _refuse_doctype(*_: Any) -> None:
    raise DocumentError("it declares a document type, which no sitemap needs and which may hide entities")


def read_openapi(data: bytes) -> tuple[list[str], int]:
    """Paths of the GET operations that can be asked for without knowing more, and how many cannot.

    Left out are those that need credentials, and those with a required parameter that has neither example nor
    default. Optional parameters are not sent.

    :raises DocumentError: it is no OpenAPI (or Swagger) document in JSON.
    """
    try:
        document = json.loads(unpacked(data))
        paths = document["paths"]
        items = [(str(path), dict(item)) for path, item in paths.items()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DocumentError("it is no OpenAPI document in JSON") from None
    items = [(path, item) for path, item in items if "get" in item]
    base = _base(document)
    found = [_asked(document, base + path, item) for path, item in items[:MOST_URLS]]
    wanted = [url for url in found if url is not None]
    return wanted, len(items) - len(wanted)


def _base(document: Mapping[str, Any]) -> str:
    """The path that all paths begin with."""
    servers = document.get("servers")
    text = document.get("basePath", "")
    if isinstance(servers, list) and servers and isinstance(servers[0], dict):
        text = servers[0].get("url", "")
    if not isinstance(text, str) or "{" in text:
        return ""
    try:
        return urlsplit(text).path.rstrip("/")
    except ValueError:
        return ""


def _asked(document: Mapping[str, Any], path: str, item: Mapping[str, Any]) -> str | None:
    """The path and query to ask for; None when it cannot be known."""
    operation = item["get"]
    if not isinstance(operation, dict) or _needs_credentials(document, operation):
        return None
    query: dict[str, str] = {}
    for parameter in _parameters(document, item, operation):
        place, name = parameter.get("in"), str(parameter.get("name", ""))
        if not parameter.get("required") and place != "path":
            continue
        value = _value(document, parameter)
        if value is None or place not in ("path", "query"):
            return None
        if place == "path":
            path = path.replace("{" + name + "}", quote(value, safe=""))
        else:
            query[name] = value
    if "{" in path:
        return None
    return f"{path}?{urlencode(query)}" if query else path


def _needs_credentials(document: Mapping[str, Any], operation: Mapping[str, Any]) -> bool:
    wanted = operation.get("security", document.get("security"))
    return isinstance(wanted, list) and bool(wanted) and {} not in wanted


def _parameters(
    document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any]
) -> list[Mapping[str, Any]]:
    """Those of the path and of the operation, which has the last word."""
    found: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for owner in (item, operation):
        listed = owner.get("parameters", ())
        for one in listed[:_PARAMETERS] if isinstance(listed, list) else ():
            parameter = _resolved(document, one)
            found[str(parameter.get("in")), str(parameter.get("name"))] = parameter
    return list(found.values())


def _resolved(document: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """What a reference within the document stands for."""
    for _ in range(_DEPTH):
        if not isinstance(value, dict) or not isinstance(value.get("$ref"), str):
            break
        place: Any = document
        for name in value["$ref"].removeprefix("#/").split("/"):
            place = place.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(place, dict) else None
        value = place
    return value if isinstance(value, dict) else {}


def _value(document: Mapping[str, Any], parameter: Mapping[str, Any]) -> str | None:
    """An example or default of a parameter, as text."""
    schema = _resolved(document, parameter.get("schema"))
    examples = parameter.get("examples")
    listed_examples = examples.values() if isinstance(examples, dict) else ()
    named = [_resolved(document, one).get("value") for one in listed_examples]
    listed = schema.get("examples")
    choices = schema.get("enum", parameter.get("enum"))
    for found in (
        parameter.get("example"),
        *named,
        schema.get("example"),
        *(listed if isinstance(listed, list) else ()),
        schema.get("default", parameter.get("default")),
        *(choices if isinstance(choices, list) else ()),
        schema.get("const"),
    ):
        if isinstance(found, bool):
            return str(found).lower()
        if isinstance(found, str | int | float) and found != "":
            return str(found)
    return None
