"use strict";
for (const time of document.querySelectorAll("time[datetime]")) {
  const when = new Date(time.dateTime);
  if (!isNaN(when)) time.textContent = when.toLocaleString(undefined, { dateStyle: "long", timeStyle: "short" });
}
const value = (row, column) => {
  const cell = row.cells[column];
  const number = parseFloat(cell.dataset.v);
  return isNaN(number) ? cell.textContent.trim() : number;
};
const compare = (a, b, sign) => // what has no number stays at the end
  typeof a === "number" && typeof b === "number" ? sign * (a - b)
  : typeof a === "number" ? -1
  : typeof b === "number" ? 1
  : sign * a.localeCompare(b, undefined, { numeric: true });
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.ariaSort === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => compare(value(a, column), value(b, column), down ? -1 : 1)));
    });
  });
}
