"use strict";
// Sorting and filtering of the table of cases. Without this script the page is whole: sorted by score, all cases shown.
(() => {
  const table = document.getElementById("cases");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const name = document.getElementById("filter-name");
  const status = document.getElementById("filter-status");
  const flag = document.getElementById("filter-flag");
  const least = document.getElementById("filter-score");
  const told = document.getElementById("shown");

  const filter = () => {
    const words = name.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const here =
        (!words || row.dataset.name.includes(words)) &&
        (!status.value || row.dataset.status === status.value) &&
        (!flag.value || row.dataset.flags.split(" ").includes(flag.value)) &&
        (!least.value || Number(row.dataset.score || -1) >= Number(least.value));
      row.hidden = !here;
      shown += here;
    }
    told.textContent = `${shown} of ${rows.length} cases shown`;
  };
  for (const field of [name, status, flag, least]) field.addEventListener("input", filter);

  const valueOf = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const compare = (a, b, numeric) => (numeric ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0);
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.firstElementChild.addEventListener("click", () => {
      const numeric = header.dataset.kind === "number";
      const first = numeric ? "descending" : "ascending";
      const other = numeric ? "ascending" : "descending";
      const order = header.getAttribute("aria-sort") === first ? other : first;
      for (const one of headers) one.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", order);
      const sign = order === "ascending" ? 1 : -1;
      // What has no value comes last, however the rest is sorted.
      const sorted = rows.map((row) => [valueOf(row, column), row]).sort(([a], [b]) => {
        if ((a === "") !== (b === "")) return a === "" ? 1 : -1;
        return a === "" ? 0 : sign * compare(a, b, numeric);
      });
      body.append(...sorted.map(([, row]) => row));
    });
  });
  filter();
})();
