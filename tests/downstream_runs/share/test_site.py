"""The leaderboard of a repository of results, as a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import tampering

from downstream_runs.core import results
from downstream_runs.core.results import Result
from downstream_runs.share import bundle, repository, site
from upstream_arm.common.errors import UsageError

BUNDLES = Path(__file__).resolve().parents[2] / "data" / "bundles"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return site.build(str(BUNDLES), tmp_path_factory.mktemp("site")).page


def shown(page: Path, script: str, fragment: str = "") -> list[list[str]]:
    """What a script in the page, in a browser, notes with `note()`: the visible rows' names."""
    if CHROMIUM is None:
        pytest.skip("needs chromium on the path")
    copy = page.with_name("tried.html")
    copy.write_text(page.read_text().replace("</body>", f"<script>{NOTE}{script}</script></body>"))
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=2000", "--dump-dom"]
    address = f"{copy.as_uri()}{fragment}"
    done = subprocess.run(
        [CHROMIUM, *words, address], capture_output=True, text=True, timeout=120, check=True
    )
    found: list[list[str]] = json.loads(done.stdout.partition('id="noted">')[2].partition("<")[0])
    return found


NOTE = """
var noted = [], place = document.createElement("p");
place.id = "noted";
document.body.appendChild(place);
function note() {
  var rows = Array.from(document.querySelectorAll("#board tr[data-params]"));
  noted.push(rows.filter(function (row) { return row.offsetParent !== null; }).map(function (row) {
    return row.cells[0].firstChild.textContent.slice(0, 5);
  }).concat(document.getElementById("shown").textContent));
  place.textContent = JSON.stringify(noted);
}
function set(name, value) {
  filters[name][name === "labelled" ? "checked" : "value"] = value;
  filters.dispatchEvent(new Event("input"));
  note();
}
function press(column) { document.querySelectorAll("#board thead button")[column].click(); note(); }
"""
FBANK, STUDENT = "fbank", "armhu"


def test_the_page_needs_nothing_and_says_what_rows_are(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r'(?:src|href)="|https?://|@import|url\(', text)
    assert "Not comparable" in text and '<span class="tag">demo</span>' in text
    assert '<span class="tag">untrained</span>' in text and "recorder" in text
    assert str(BUNDLES) not in text


def test_equal_bundles_give_equal_bytes(page: Path, tmp_path: Path) -> None:
    assert site.build(str(BUNDLES), tmp_path).page.read_bytes() == page.read_bytes()


def test_filters_hide_rows_and_columns_sort(page: Path) -> None:
    """One visit of the browser, since each takes seconds."""
    acc, per = 7, 5  # keyword spotting, which both rows have, and phones, which one has
    script = f"""
      note(); set("params", "10"); set("params", ""); set("macs", "600"); set("macs", "");
      set("text", "arm"); set("text", "RECORDER"); set("text", "<img src=x>"); set("text", "");
      set("labelled", false); set("labelled", true);
      press({acc}); press({acc}); press({per}); press({per});
    """
    both, none = [FBANK, STUDENT, "2 of 2 rows"], ["0 of 2 rows"]
    fbank, student = [FBANK, "1 of 2 rows"], [STUDENT, "1 of 2 rows"]
    turned = [STUDENT, FBANK, "2 of 2 rows"]
    assert shown(page, script) == [
        *(both, fbank, both, both, both),
        *(student, both, none, both),
        *(none, both),
        *(turned, both, both, both),
    ]


def test_an_address_holds_filters(page: Path) -> None:
    assert shown(page, "note()", "#params=10&text=fb") == [[FBANK, "1 of 2 rows"]]


def shared(place: Path, **changes: object) -> None:
    """Put a changed copy of a recorded bundle into a repository, with its hashes renewed."""
    source = next(one for one in repository.listed(BUNDLES) if one.parts[-2] == "ks")
    copy = Path(shutil.copytree(source, place / "copy"))
    tampering.edit(copy / "result.json", lambda content: content.update(changes))
    tampering.reseal(copy)
    result: Result = results.read(copy / "result.json")
    repository.put(place, copy, Path(bundle.place(result, bundle.read(copy))))


def test_names_of_others_are_text_and_what_is_refused_is_told(tmp_path: Path) -> None:
    shared(tmp_path, upstream="<script>alert(1)</script>", card=None, created="2026-01-01T00:00:00+00:00")
    shared(tmp_path, seed=1, labels=[], created="2026-01-02T00:00:00+00:00")
    built = site.build(str(tmp_path), tmp_path / "out")
    text = built.page.read_text()
    assert (built.entries, len(built.refused)) == (1, 1)
    assert "<script>alert" not in text and "&lt;script&gt;" in text
    assert "Left out: bundles/" in text and "the label" in text


def test_no_repository_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a repository of results was expected"):
        site.build(str(tmp_path), tmp_path / "out")
