"""What the panels let people copy is pasted where it belongs: into a shell, and into an interpreter."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import pytest

from tests.e2e.conftest import CHROMIUM, Shop, opened
from tests.e2e.test_pages import every_page

sync_api = pytest.importorskip("playwright.sync_api")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]
FILLED = {
    "url": "/items/3",
    "pattern": "GET /reports/*",
    "why": "it's <b>quoted</b>",
    "text": "shop 2.4.1",
    "value": "GET http://nobody/",
    "name": "copied",
}
ALL = """async (filled) => {
  const texts = [];
  navigator.clipboard.writeText = async (text) => { window.copied = text; };
  for (const panel of document.querySelectorAll("section.panel")) {
    const title = panel.querySelector("h1, h2, h3")?.textContent ?? "?";
    if (!panel.querySelector(".copy")) { texts.push([title, "none", ""]); continue; }
    for (const input of panel.querySelectorAll("form input[name]"))
      if (input.required && !input.value) input.value = filled[input.name] ?? "5";
    for (const button of panel.querySelectorAll(".copy button")) {
      window.copied = undefined;
      document.getElementById("message").textContent = "";
      button.click();
      for (let i = 0; i < 500 && window.copied === undefined; i++) {
        await new Promise((go) => setTimeout(go, 10));
      }
      const said = window.copied ?? `! ${document.getElementById("message").textContent}`;
      texts.push([title, button.dataset.copy, said]);
    }
  }
  return texts;
}"""
RUN = """
import json, sys
for title, text in json.load(sys.stdin):
    names = {}
    try:
        exec(compile(text, title, "exec"), names)
        assert type(names["settings"]).__name__ == "Settings"
    except Exception as error:
        print(title, repr(error), text)
"""


Copied = list[tuple[str, str, str]]
"""(page and panel, kind, text) of every panel."""


SECRET = "7114-SECRET"


def plant(shop: Shop) -> None:
    """What visitors keep to themselves, in all that comes with a request; the shop has a token as well."""
    for path in ("/items/3", "/fails", "/basket"):
        url = f"{shop.url}{path}?token=QUERY-{SECRET}"
        headers = {"cookie": f"sid=COOKIE-{SECRET}", "authorization": f"Bearer {SECRET}", "x-api-key": SECRET}
        request = urllib.request.Request(url, headers=headers)
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except urllib.error.HTTPError as refused:
            refused.close()


def copied(browser: Any, shop: Shop) -> Copied:
    plant(shop)
    shop.vitals()
    visit = opened(browser)
    found = []
    for path in every_page(shop):
        if path != "report":  # a document to take away as a whole
            visit.go(f"{shop.dashboard}{path}")
            visit.page.get_by_role("button", name="Pause").click()  # panels stay where they are
            texts = visit.page.evaluate(ALL, FILLED)
            found += [(f"{path.partition('?')[0]}: {title}", kind, text) for title, kind, text in texts]
    visit.page.context.close()
    assert visit.complaints == []
    return found


def are_complete(copied: Copied) -> None:
    assert [title for title, kind, _ in copied if kind == "none"] == []
    assert [(title, text) for title, _, text in copied if text.startswith("!")] == []
    panels = {title for title, _, _ in copied}
    assert len(panels) > 40
    kinds = [kind for _, kind, _ in copied]
    assert kinds.count("curl") == kinds.count("json") == kinds.count("python") >= len(panels)
    told = [json.loads(text) for _, kind, text in copied if kind == "json"]
    assert sum(bool(one) for one in told) > 40


def tell_no_secrets(copied: Copied) -> None:
    assert [(title, kind) for title, kind, text in copied if SECRET in text] == []
    assert any("is a secret, from " in text for _, kind, text in copied if kind == "python")


def curls_run_in_a_shell(copied: Copied) -> None:
    """As it is pasted, with no token set: the dashboard is open to this machine."""
    lines = list(dict.fromkeys(text for _, kind, text in copied if kind == "curl"))
    assert len(lines) > 25
    silent = [text.replace("curl ", "curl -sS -o /dev/null -w '%{http_code}\\n' ", 1) for text in lines]
    ended = subprocess.run(["sh", "-c", "\n".join(silent)], capture_output=True, text=True, timeout=120)
    assert ended.stderr == ""
    said = dict(zip(lines, ended.stdout.split(), strict=True))
    refused = {line: status for line, status in said.items() if status[0] != "2"}
    assert refused == {}
    assert sum(" -d " in line for line in lines) >= 5


def settings_run_in_an_interpreter(copied: Copied) -> None:
    texts = list({text: [title, text] for title, kind, text in copied if kind == "python"}.values())
    assert len(texts) > 15
    ended = subprocess.run(
        [sys.executable, "-c", RUN], input=json.dumps(texts), capture_output=True, text=True, timeout=120
    )
    assert (ended.stdout, ended.stderr) == ("", "")


def test_what_every_panel_lets_people_copy_runs_where_it_is_pasted(browser: Any, shop: Shop) -> None:
    """One test, as each of its parts needs every page to have been gone through."""
    found = copied(browser, shop)
    are_complete(found)
    tell_no_secrets(found)
    curls_run_in_a_shell(found)
    settings_run_in_an_interpreter(found)
