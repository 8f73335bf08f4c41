"""The scripts of the pages, made of modules, and the theme that the server is told."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from perfmw.dashboard.assets import SCRIPTS, asset_text, bundled
from tests.dashboard.fake import FakeRuntime
from tests.dashboard.test_pages import MakeClient

pytestmark = pytest.mark.anyio
STATIC = resources.files("perfmw.dashboard") / "static"


def test_a_module_comes_once_and_after_what_it_imports() -> None:
    sources = {
        "page.js": 'import { a } from "./a.js";\nimport "./b.js";\na();\n',
        "a.js": '// says why\nimport { b } from "./b.js";\n\nexport async function a() {\n  b;\n}\n',
        "b.js": "export const b = 1;\nconst own = 2;\n",
    }
    assert bundled("page.js", sources).splitlines() == [
        *("const $b = (() => {", "const b = 1;", "const own = 2;", "return { b };", "})();"),
        *("const $a = (() => {", "const { b } = $b;", "async function a() {", "b;", "}", "return { a };"),
        *("})();", "const $page = (() => {", "const { a } = $a;", "a();", "return {  };", "})();"),
    ]


def test_every_module_belongs_to_a_page_and_nothing_is_left_of_imports() -> None:
    names = {item.name for item in STATIC.iterdir() if item.name.endswith(".js")}
    scripts = {name: asset_text(name) for name in SCRIPTS}
    used = set(re.findall(r"^const \$(\w+) = ", "\n".join(scripts.values()), re.MULTILINE))
    assert {f"{name}.js" for name in used} == names
    for text in scripts.values():
        assert not re.search(r"^(import|export|//)", text, re.MULTILINE)
        spread = [line for line in text.splitlines() if line.count("`") % 2]
        assert spread == []  # a text of several lines would lose its indents


@pytest.mark.parametrize(
    ("cookie", "drawn"), [("dark", True), ("light", True), ('x"><b', False), ("", False)]
)
async def test_a_page_is_drawn_in_the_theme_that_was_chosen(
    make_client: MakeClient, cookie: str, drawn: bool
) -> None:
    async with make_client(FakeRuntime()) as client:
        page = await client.get("/_perfmw/", headers={"cookie": f"perfmw-theme={cookie}"})
    assert (f'<html lang="en" data-theme="{cookie}">' in page.text) == drawn
    assert ('<html lang="en">' in page.text) == (not drawn)
