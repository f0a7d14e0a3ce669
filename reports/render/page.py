"""Style and script of the page; both stand inside it, so that it needs no network."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light; --line: #d5d9de; --soft: #f4f6f8; --text: #1b1f24; --warn: #fff4d6; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem clamp(.75rem, 3vw, 2.5rem) 4rem; max-width: 100rem;
  color: var(--text); background: #fff;
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 1rem 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .5rem; padding-top: .5rem; border-top: 2px solid var(--text); }
h3 { font-size: 1rem; margin: 1.25rem 0 .4rem; }
p, li { max-width: 48rem; }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .35rem .5rem; }
nav a { display: inline-block; padding: .2rem .6rem; border: 1px solid var(--line); border-radius: 1rem;
  text-decoration: none; color: #0b4f8a; background: #fff; }
a { color: #0b4f8a; }
.guide { background: var(--soft); padding: .25rem 1rem .75rem; border-radius: .5rem; }
.guide ul { columns: 2 26rem; column-gap: 2.5rem; padding-left: 1.1rem; margin: .5rem 0; }
.guide li { break-inside: avoid; margin-bottom: .35rem; }
.warning { background: var(--warn); border-left: 4px solid #b7791f; padding: .5rem .75rem; margin: .5rem 0;
  max-width: 60rem; }
.scroll { overflow: auto; width: fit-content; max-width: 100%; border: 1px solid var(--line);
  border-radius: .25rem; }
.tall { max-height: 85vh; }
table { border-collapse: separate; border-spacing: 0; font-size: .875rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .45rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
thead th { position: sticky; top: 0; background: #fff; z-index: 2; vertical-align: bottom;
  white-space: normal; }
tr > :first-child { position: sticky; left: 0; background: #fff; z-index: 1;
  border-right: 1px solid var(--line); }
tr:not(.block) > :first-child { min-width: 15.5rem; max-width: 20rem; white-space: normal;
  overflow-wrap: break-word; }
thead tr > :first-child { z-index: 3; }
.block th { background: var(--soft); position: static; padding: .45rem; }
.block .title { position: sticky; left: .45rem; width: fit-content; max-width: min(60rem, 85vw);
  white-space: normal; }
.block .warning { display: block; font-weight: 400; }
tbody tr:hover > * { background: var(--soft); }
.n { text-align: right; }
.long { white-space: normal; min-width: 22rem; max-width: 30rem; }
thead button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: .2rem 0; position: relative; cursor: pointer; text-align: inherit; }
thead small { display: block; font-weight: 400; color: #57606a; }
thead button::after { content: ""; position: absolute; left: 100%; bottom: .3rem; font-size: .85em; }
[aria-sort=ascending] button::after { content: "\\25B4"; }
[aria-sort=descending] button::after { content: "\\25BE"; }
.notes { font-size: .875rem; padding-left: 1.1rem; }
.files { font-size: .875rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr));
  gap: 1.5rem; }
figure { margin: 0; }
figure img { width: 100%; height: auto; max-width: 40rem; }
figcaption { font-size: .875rem; }
@media (max-width: 40rem) {
  body { padding: .5rem .75rem 3rem; }
  h1 { font-size: 1.35rem; }
  tr:not(.block) > :first-child { min-width: 8rem; max-width: 10rem; }
  th, td { padding: .35rem .45rem; }
  nav a { padding: .4rem .7rem; }
}
@media print { .tall { max-height: none; } nav { display: none; } }
"""

# A column sorts by data-v, the unrounded number, where a cell has one, else by its text; cells without a
# value stay last in both directions.
SCRIPT = """
document.querySelectorAll("thead button").forEach(function (button) {
  button.addEventListener("click", function () {
    var head = button.closest("th"), table = button.closest("table");
    var index = Array.prototype.indexOf.call(head.parentNode.children, head);
    var old = head.getAttribute("aria-sort");
    var down = old ? old === "ascending" : head.dataset.first === "descending";
    table.querySelectorAll("th").forEach(function (other) { other.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    Array.prototype.forEach.call(table.tBodies, function (body) { sort(body, index, down); });
  });
});
function sort(body, index, down) {
  Array.prototype.slice.call(body.rows, 1).map(function (row, place) {
      var cell = row.cells[index], number = cell.dataset.v;
      return { row: row, place: place, empty: cell.dataset.empty === "1", text: cell.textContent.trim(),
        number: number === undefined ? null : parseFloat(number) };
    }).sort(function (a, b) {
      if (a.empty !== b.empty) return a.empty ? 1 : -1;
      var order = a.number !== null && b.number !== null ? a.number - b.number
        : a.text.localeCompare(b.text, "en", { numeric: true });
      return (down ? -order : order) || a.place - b.place;
    }).forEach(function (entry) { body.appendChild(entry.row); });
}
"""

GUIDE = (
    "Arrows show which side of a metric is better. Within a block of a table the best number is bold and the "
    "second best underlined; rows of different blocks do not compete.",
    "<b>Published</b> rows are the digits that others printed, each with its source. <b>Ours</b> are runs "
    "of this "
    "toolkit, computed from their result files. The two never share a block.",
    "A row in a block with a <b>warning</b> (demo, untrained, shortened, sample, partial, other-data) "
    "shows that the pipeline runs. It "
    "says nothing about a model and cannot be compared with a published number.",
    "<b>Overall</b> is the mean of eleven metrics with error rates as 100 minus the rate; slot filling "
    "counts twice. "
    "A system without all ten tasks has none. <b>superb_s</b> puts each task between FBANK (0) and the "
    "leaderboard's "
    "reference (1000); <b>superb_r</b> counts how many systems of a named board are beaten.",
    "<b>Intervals</b> (95 %) come from drawing the test set's speakers, queries or utterances again. They "
    "hold the "
    "chance of the test set, not that of training again. Two intervals that overlap do not settle which "
    "system is "
    "better: the paired tests do, and no sentence here says so without a p-value.",
    "SD and ASV are officially chosen on the test set. Where a number chosen on dev exists, it stands "
    "beside.",
    "Click a column's head to sort by it. Each table is also there as Markdown, LaTeX and CSV, each figure "
    "as PNG "
    "and SVG, in the folders beside this page.",
)
