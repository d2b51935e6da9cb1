// Two frames under one divider or beside each other; zoom and pan are one pair of variables, so that both always agree.
"use strict";

const stage = find("stage");
const view = { x: 0, y: 0, zoom: 1, cut: 50 };
const LARGEST = 32;

function shots() {
  const items = document.querySelectorAll("#shots > li")[find("view-clip").value].querySelectorAll("li");
  return [...items].map((item) => ({
    method: item.dataset.method,
    frame: item.querySelector(".frame")?.getAttribute("href"),
    slice: item.querySelector(".slice")?.getAttribute("href"),
  }));
}

function pickClip() {
  const framed = shots().filter((shot) => shot.frame);
  for (const [id, chosen] of [["view-a", 0], ["view-b", 1]]) {
    const old = find(id).value;
    const methods = framed.map((shot) => shot.method);
    const keep = methods.includes(old) ? old : methods[Math.min(chosen, methods.length - 1)];
    find(id).replaceChildren(...methods.map((method) => new Option(method, method, false, method === keep)));
  }
  stage.hidden = !framed.length;
  find("slices").replaceChildren(...shots().filter((shot) => shot.slice).map(strip));
  pickMethods();
  reset();
}

function strip({ method, slice }) {
  const figure = document.createElement("figure");
  const image = Object.assign(document.createElement("img"), { src: slice, alt: `x-t slice of ${method}`, loading: "lazy" });
  figure.append(image, Object.assign(document.createElement("figcaption"), { textContent: method }));
  return figure;
}

function pickMethods() {
  for (const side of ["a", "b"]) {
    const shot = shots().find(({ method }) => method === find(`view-${side}`).value);
    if (!shot) continue;
    const pane = find(`pane-${side}`);
    Object.assign(pane.querySelector("img"), { src: shot.frame, alt: `Frame of ${shot.method}` });
    pane.querySelector(".tag").textContent = shot.method;
  }
}

function draw() {
  const { width, height } = find("pane-a").getBoundingClientRect();
  view.zoom = Math.min(LARGEST, Math.max(1, view.zoom));
  view.x = Math.min(0, Math.max(width * (1 - view.zoom), view.x));
  view.y = Math.min(0, Math.max(height * (1 - view.zoom), view.y));
  for (const name of ["x", "y"]) stage.style.setProperty(`--${name}`, `${view[name]}px`);
  stage.style.setProperty("--zoom", view.zoom);
  stage.style.setProperty("--cut", `${view.cut}%`);
  stage.classList.toggle("sharp", view.zoom > 2);
  find("divider").setAttribute("aria-valuenow", Math.round(view.cut));
  find("zoom-text").value = `${view.zoom.toFixed(1)}x`;
}

function zoom(factor, x, y) {
  const box = find("pane-a").getBoundingClientRect();
  const [atX, atY] = [x ?? box.width / 2, y ?? box.height / 2];
  const old = view.zoom;
  view.zoom = Math.min(LARGEST, Math.max(1, old * factor));
  view.x = atX - (atX - view.x) * (view.zoom / old);
  view.y = atY - (atY - view.y) * (view.zoom / old);
  draw();
}

function reset() {
  Object.assign(view, { x: 0, y: 0, zoom: 1 });
  draw();
}

function cut(percent) {
  view.cut = Math.min(100, Math.max(0, percent));
  draw();
}

const KEYS = {
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": reset,
  ArrowLeft: () => pan(40, 0), ArrowRight: () => pan(-40, 0), ArrowUp: () => pan(0, 40), ArrowDown: () => pan(0, -40),
};
const STEPS = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };

function pan(x, y) {
  view.x += x;
  view.y += y;
  draw();
}

const pointers = new Map();

function spread() {
  const [first, second] = [...pointers.values()];
  return Math.hypot(first.clientX - second.clientX, first.clientY - second.clientY);
}

function move(event) {
  const before = pointers.get(event.pointerId);
  if (!before) return;
  if (before.target === find("divider")) {
    const box = stage.getBoundingClientRect();
    pointers.set(event.pointerId, { ...point(event), target: before.target });
    return cut((100 * (event.clientX - box.left)) / box.width);
  }
  const wide = pointers.size === 2 ? spread() : 0;
  pointers.set(event.pointerId, { ...point(event), target: before.target });
  pan((event.clientX - before.clientX) / pointers.size, (event.clientY - before.clientY) / pointers.size);
  if (wide) {
    const box = stage.getBoundingClientRect();
    const [first, second] = [...pointers.values()];
    zoom(spread() / wide, (first.clientX + second.clientX) / 2 - box.left, (first.clientY + second.clientY) / 2 - box.top);
  }
}

const point = ({ clientX, clientY, target }) => ({ clientX, clientY, target });

if (stage) {
  find("view-clip").addEventListener("input", pickClip);
  for (const id of ["view-a", "view-b"]) find(id).addEventListener("input", pickMethods);
  find("view-mode").addEventListener("input", (event) => { stage.className = `stage ${event.target.value}`; reset(); });
  find("zoom-in").addEventListener("click", () => zoom(1.5));
  find("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  find("zoom-reset").addEventListener("click", reset);
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, point(event));
  });
  stage.addEventListener("pointermove", move);
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => pointers.delete(event.pointerId));
  stage.addEventListener("dragstart", (event) => event.preventDefault());
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  stage.addEventListener("keydown", (event) => {
    const step = event.target === find("divider") ? STEPS[event.key] : undefined;
    if (step === undefined && !(event.key in KEYS)) return;
    event.preventDefault();
    if (step === undefined) KEYS[event.key]();
    else cut(view.cut + step);
  });
  addEventListener("resize", draw);
  pickClip();
}
