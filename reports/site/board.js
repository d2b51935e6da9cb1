// Sorting, filters and protocols at the headings. Listeners sit on the document: tables may have thousands of cells.
"use strict";

const empty = (value) => value === undefined || value === "";
const find = (id) => document.getElementById(id);

function distance(value, better) {
  // Python writes inf; Number does not read it.
  const number = value === "inf" ? Infinity : value === "-inf" ? -Infinity : Number(value);
  return { higher: -number, lower: number, zero: Math.abs(number), one: Math.abs(number - 1) }[better];
}

function sort(head) {
  const table = head.closest("table");
  const body = table.tBodies[0];
  const index = head.cellIndex;
  const better = head.dataset.better;
  const ascendingFirst = !better || better !== "higher";
  const again = head.getAttribute("aria-sort") === (ascendingFirst ? "ascending" : "descending");
  const keys = new Map();
  for (const row of body.rows) {
    const cell = row.cells[index];
    const known = better ? !empty(cell.dataset.v) : cell.textContent.trim() !== "";
    keys.set(row, known ? (better ? distance(cell.dataset.v, better) : cell.textContent.trim()) : undefined);
  }
  const order = better ? (a, b) => a - b : new Intl.Collator("en", { numeric: true }).compare;
  const rows = [...body.rows].sort((first, second) => {
    const a = keys.get(first);
    const b = keys.get(second);
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    return a === b ? 0 : again ? order(b, a) : order(a, b);
  });
  body.replaceChildren(...rows);
  for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", ascendingFirst === again ? "descending" : "ascending");
  const best = better ? (again ? "worst first" : "best first") : again ? "z to a" : "a to z";
  say(`Sorted by ${head.querySelector("button").textContent}, ${best}.`);
}

function say(text) {
  if (find("status")) find("status").value = text;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".board thead button");
  if (button) sort(button.closest("th"));
});

// Protocols: the same text as in the list below, beside the heading that has the pointer or the focus.
function describe(event) {
  const button = event.target.closest?.(".board thead button");
  const tip = find("tip");
  const measure = button?.closest("th").dataset.measure;
  const text = button?.dataset.remark ?? (measure && find(`measure-${measure}`)?.textContent);
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  button.setAttribute("aria-describedby", "tip");
  const box = button.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(box.left, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${box.bottom + tip.offsetHeight + 12 < innerHeight ? box.bottom + 8 : box.top - tip.offsetHeight - 8}px`;
}
document.addEventListener("mouseover", describe);
document.addEventListener("focusin", describe);
for (const name of ["scroll", "keydown"]) {
  document.addEventListener(name, (event) => { if (event.key === undefined || event.key === "Escape") find("tip").hidden = true; }, true);
}

// Filters.
const hidden = new CSSStyleSheet();
document.adoptedStyleSheets = [hidden];

function filter() {
  const key = find("pick-dataset").value;
  const measure = find("pick-measure").value;
  const words = find("pick-text").value.trim().toLowerCase();
  const kinds = new Set([...document.querySelectorAll("[name=kind]:checked")].map((box) => box.value));
  for (const section of document.querySelectorAll("section.dataset")) section.classList.toggle("open", section.dataset.key === key);
  document.body.classList.toggle("brief", !find("pick-details").checked);
  const open = document.querySelector("section.dataset.open");
  const rules = [];
  let shown = 0;
  for (const block of open.querySelectorAll(".block")) {
    const table = block.querySelector("table");
    const heads = [...table.tHead.rows[0].cells].slice(1);
    const wanted = heads.filter((head) => !measure || head.dataset.measure === measure);
    let here = 0;
    for (const row of table.tBodies[0].rows) {
      row.hidden = !kinds.has(row.classList[0]) || !row.dataset.words.includes(words);
      here += !row.hidden;
    }
    block.hidden = !wanted.length || !here;
    shown += block.hidden ? 0 : here;
    for (const head of heads) {
      if (!wanted.includes(head)) rules.push(`[id="${CSS.escape(table.id)}"] tr > :nth-child(${head.cellIndex + 1}) { display: none }`);
    }
  }
  hidden.replaceSync(rules.join("\n"));
  say(shown ? `${shown} row${shown === 1 ? "" : "s"} shown.` : "No row fits: change the filters.");
  document.dispatchEvent(new CustomEvent("dataset", { detail: key }));
}

function open() {
  const key = decodeURIComponent(location.hash).match(/^#dataset-(.*)$/)?.[1];
  const options = [...find("pick-dataset").options].map((option) => option.value);
  if (options.includes(key)) find("pick-dataset").value = key;
  filter();
}

if (find("controls")) {
  find("controls").addEventListener("input", filter);
  find("controls").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", open);
  addEventListener("DOMContentLoaded", open);
}
