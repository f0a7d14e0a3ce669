// A column sorts by data-v, the unrounded number, where a cell has one, else by its text; cells without a
// value stay last in both directions.
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
// A link to a folded table opens it.
function unfold() {
  var target = location.hash && document.getElementById(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") { target.open = true; target.scrollIntoView(); }
}
addEventListener("hashchange", unfold);
unfold();
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
