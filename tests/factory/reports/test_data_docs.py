"""Great Expectations' pages of what it said: offline, whole, and the same bytes each time."""

import re
from pathlib import Path

import pytest

from factory.errors import GateError
from factory.gate.release import release
from factory.reports.data_docs import build, offline
from factory.schemas import Restart

FETCHED = re.compile(r"(?:src|srcset|href|action)\s*=|url\(|@import|<script|<link|<iframe|<img")


def pages(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}


@pytest.mark.slow
def test_every_audited_dataset_has_a_page_that_fetches_nothing(small_line) -> None:
    small_line.change("restarts_r1", Restart, prefix="9 + 9 = $99 {x} <b>\n<|reflect|>")
    with pytest.raises(GateError):
        release("restarts_r1", small_line.params)
    release("orm_pairs_r1", small_line.params)
    folder = Path("data/report/data_docs")
    assert sorted(build(folder, small_line.params)) == ["orm_pairs_r1", "restarts_r1"]
    found = pages(folder)
    assert set(found) == {"index.html", "orm_pairs_r1.html", "restarts_r1.html"}
    for name, text in found.items():
        links = re.findall(r"href=\"([^\"]*)\"", text)
        assert all(link in found if name == "index.html" else link.startswith("#") for link in links)
        assert not FETCHED.search(re.sub(r"href=\"[^\"]*\"", "", text)), name
        assert "http" not in text.replace("http-equiv", "")
    bad = found["restarts_r1.html"]
    assert "the prefix is a prefix of its parent" in bad
    assert "9 + 9 = $99 {x} &lt;b&gt;" in bad, "text of rows is no markup"
    assert "<b>" not in bad
    assert "length_auc" in found["orm_pairs_r1.html"]
    assert '<a href="restarts_r1.html">restarts_r1</a></td><td>12</td><td>refused</td>' in found["index.html"]
    build(folder, small_line.params)
    assert pages(folder) == found


def test_what_a_page_loads_is_taken_out() -> None:
    page = (
        '<html><head><link rel="stylesheet" href="https://a/b.css"><script src="https://a/x.js"></script></head>'
        '<body><img src="//c/d.png"><a href="https://e">word</a><a href="#here">on</a></body></html>'
    )
    found = offline(page)
    assert "//" not in found
    assert '<a>word</a><a href="#here">on</a>' in found
