// Paired comparisons: a script per data set, fetched when its methods are asked for, because a page from a file may not fetch data.
"use strict";

const loaded = new Map();
let current = "";

function oasisPairs(data) {
  loaded.set(data.key, data);
  if (data.key === current) choose();
}

function load(key) {
  current = key;
  const known = [...document.querySelectorAll("#paired li")].some((item) => item.textContent === key);
  find("pair-table").hidden = true;
  find("pair-a").replaceChildren();
  find("pair-b").replaceChildren();
  if (!known) return tell("This data set has no two methods with scores.");
  if (loaded.has(key)) return choose();
  tell("Loading.");
  const script = document.createElement("script");
  script.src = `site/pairs/${encodeURIComponent(key)}.js`;
  script.addEventListener("error", () => tell(`${script.src} is missing: the folder of this page is not whole.`));
  document.head.append(script);
}

function tell(text) {
  find("pair-status").textContent = text;
}

function choose() {
  const { entries } = loaded.get(current);
  for (const [id, chosen] of [["pair-a", 0], ["pair-b", 1]]) {
    find(id).replaceChildren(...entries.map(([method, kind], index) => {
      const same = entries.filter(([other]) => other === method).length > 1;
      return new Option(same ? `${method} (${kind})` : method, index, false, index === chosen);
    }));
  }
  compare();
}

function compare() {
  const { entries, measures } = loaded.get(current);
  const [a, b] = [Number(find("pair-a").value), Number(find("pair-b").value)];
  find("pair-table").hidden = a === b;
  if (a === b) return tell("Choose two different methods.");
  const flipped = a > b;
  const rows = [];
  for (const measure of measures) {
    const found = measure.pairs[flipped ? `${b},${a}` : `${a},${b}`];
    if (!found) continue;
    const [n, difference, low, high, p, holm, better] = found;
    const sign = flipped ? -1 : 1;
    const bounds = [low, high].map((value) => show(value === null ? null : sign * value, measure.digits));
    if (flipped) bounds.reverse();
    const winner = { a: flipped ? b : a, b: flipped ? a : b }[better];
    const verdict = difference === null ? "not compared: not complete, not finite, or not one protocol"
      : winner === undefined ? "no difference shown" : `${entries[winner][0]} is better`;
    rows.push([measure.name, n, show(difference === null ? null : sign * difference, measure.digits),
      low === null ? "–" : `[${bounds.join(", ")}]`, chance(p), chance(holm), verdict]);
  }
  find("pair-table").tBodies[0].replaceChildren(...rows.map(line));
  tell(`A is ${entries[a].join(", ")}; B is ${entries[b].join(", ")}; differences are A − B.`);
}

function line(texts) {
  const row = document.createElement("tr");
  texts.forEach((text, index) => {
    const cell = row.appendChild(document.createElement(index ? "td" : "th"));
    cell.textContent = text;
    if (!index) Object.assign(cell, { scope: "row", className: "method" });
    if (index === texts.length - 1) cell.className = "text";
  });
  return row;
}

const show = (value, digits) => (value === null ? "–" : value.toFixed(digits + 1).replace("-", "−"));
const chance = (p) => (p === null ? "–" : p < 0.0001 ? "< 0.0001" : p.toFixed(4));

if (find("pair-table")) {
  for (const id of ["pair-a", "pair-b"]) find(id).addEventListener("input", compare);
  document.addEventListener("dataset", (event) => { if (event.detail !== current) load(event.detail); });
}
