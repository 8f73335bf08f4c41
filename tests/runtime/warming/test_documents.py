"""Lists, sitemaps and OpenAPI documents, also broken and hostile ones."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmw.runtime.warming import documents
from perfmw.runtime.warming.documents import DocumentError, read_openapi, read_sitemap, unpacked, urls_of_list

NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
SITEMAP = f"""<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="{NAMESPACE}" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">
  <url><loc> https://shop.example/a?x=1&amp;y=2 </loc><priority>0.8</priority></url>
  <url><loc><![CDATA[https://shop.example/b]]></loc>
    <image:image><image:loc>https://cdn.example/b.png</image:loc></image:image></url>
</urlset>"""
INDEX = f"""<sm:sitemapindex xmlns:sm="{NAMESPACE}">
  <sm:sitemap><sm:loc>https://shop.example/one.xml.gz</sm:loc></sm:sitemap>
</sm:sitemapindex>"""


def test_a_sitemap_lists_pages_and_no_images() -> None:
    pages = ["https://shop.example/a?x=1&y=2", "https://shop.example/b"]
    assert read_sitemap(SITEMAP.encode()) == (pages, [])
    assert read_sitemap(gzip.compress(SITEMAP.encode())) == (pages, [])


def test_an_index_lists_sitemaps() -> None:
    assert read_sitemap(INDEX.encode()) == ([], ["https://shop.example/one.xml.gz"])


def test_no_entity_is_expanded() -> None:
    bomb = (
        '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><urlset><url><loc>&c;</loc></url></urlset>'
    )
    with pytest.raises(DocumentError, match="document type"):
        read_sitemap(bomb.encode())


@pytest.mark.parametrize("data", [b"", b"not found", b"<urlset><url>", b"\x1f\x8bnot gzip", b"<a/><b/>"])
def test_what_is_no_sitemap_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(DocumentError, match="it is no"):
        read_sitemap(data)


def test_what_unpacks_to_too_much_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_BYTES", 1_000)
    assert len(unpacked(gzip.compress(b" " * 1_000))) == 1_000
    with pytest.raises(DocumentError, match="more than"):
        unpacked(gzip.compress(b" " * 100_000))


def test_a_list_has_a_url_a_line() -> None:
    assert list(urls_of_list(["/a\n", "", "  # no", " https://b/ \r\n"])) == ["/a", "https://b/"]


def openapi(**paths: Any) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "paths": {f"/{name}": {"get": operation} for name, operation in paths.items()},
    }


def path_parameter(**facts: Any) -> dict[str, Any]:
    return {"name": "id", "in": "path", "required": True, **facts}


@pytest.mark.parametrize(
    ("facts", "path"),
    [
        ({"example": 7}, "/items/7"),
        ({"examples": {"one": {"value": "a/b"}}}, "/items/a%2Fb"),
        ({"schema": {"example": "x"}}, "/items/x"),
        ({"schema": {"examples": [8, 9]}}, "/items/8"),
        ({"schema": {"default": 1}}, "/items/1"),
        ({"schema": {"enum": ["red", "blue"]}}, "/items/red"),
        ({"schema": {"$ref": "#/components/schemas/Id"}}, "/items/42"),
        ({"schema": {"type": "integer"}}, None),
        ({}, None),
    ],
)
def test_a_path_is_filled_in_with_examples(facts: dict[str, Any], path: str | None) -> None:
    document = {
        "openapi": "3.1.0",
        "components": {"schemas": {"Id": {"type": "integer", "example": 42}}},
        "paths": {"/items/{id}": {"parameters": [path_parameter(**facts)], "get": {}}},
    }
    found, without = read_openapi(json.dumps(document).encode())
    assert (found, without) == (([path], 0) if path else ([], 1))


def test_only_get_operations_that_need_nothing_more() -> None:
    required = {"name": "q", "in": "query", "required": True}
    document = openapi(
        health={},
        search={"parameters": [{**required, "example": "tea & milk"}]},
        find={"parameters": [required]},
        page={"parameters": [{"name": "offset", "in": "query", "schema": {"default": 3}}]},
        me={"security": [{"token": []}]},
        maybe={"security": [{"token": []}, {}]},
        traced={"parameters": [{"name": "x-id", "in": "header", "required": True, "example": "1"}]},
    )
    document["paths"]["/items"] = {"post": {}}
    found, without = read_openapi(json.dumps(document).encode())
    assert found == ["/health", "/search?q=tea+%26+milk", "/page", "/maybe"]
    assert without == 3


def test_credentials_that_all_need_and_the_base_path() -> None:
    document = openapi(a={}, b={"security": []}) | {"security": [{"token": []}]}
    assert read_openapi(json.dumps(document).encode()) == (["/b"], 1)
    for more in ({"servers": [{"url": "https://shop.example/api/v2/"}]}, {"basePath": "/api/v2"}):
        assert read_openapi(json.dumps(openapi(a={}) | more).encode())[0] == ["/api/v2/a"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"paths": 3}', b'{"paths": {"/a": 3}}', b"\xff"])
def test_what_is_no_openapi_document_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(DocumentError, match="no OpenAPI"):
        read_openapi(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["get", "parameters", "name", "in", "schema", "$ref", "required", "example", "examples"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["/a", "/b/{id}"]), json_values), json_values, json_values)
def test_no_document_breaks_it(paths: Any, servers: Any, security: Any) -> None:
    document = {"paths": paths, "servers": servers, "security": security}
    try:
        found, without = read_openapi(json.dumps(document).encode())
    except DocumentError:
        return
    assert without >= 0
    assert all(isinstance(one, str) for one in found)
