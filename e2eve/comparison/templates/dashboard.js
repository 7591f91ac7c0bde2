"use strict";
// What the page can do: sort and choose columns, pick inputs, slide between cells, draw charts.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const remembered = recall();

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// --- the table -------------------------------------------------------------------------------

function sortBy(header, descending) {
  const index = [...header.parentNode.children].indexOf(header);
  const body = $("cells-table").tBodies[0];
  const value = (row) => row.children[index].dataset.value;
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === "");  // what is missing comes last
    return descending ? y - x : x - y;
  });
  body.append(...rows);
  for (const other of header.parentNode.children) other.ariaSort = "none";
  header.ariaSort = descending ? "descending" : "ascending";
}

for (const button of document.querySelectorAll("#cells-table thead button")) {
  button.addEventListener("click", () => {
    const header = button.parentNode;
    const first = button.dataset.high === "true";  // the best comes first
    sortBy(header, header.ariaSort === "none" ? first : header.ariaSort === "ascending");
  });
}

function showColumn(box) {
  for (const cell of document.querySelectorAll(`#cells-table [data-column="${box.dataset.shows}"]`)) {
    cell.classList.toggle("off", !box.checked);
  }
}

for (const box of document.querySelectorAll("[data-shows]")) {
  box.addEventListener("change", () => showColumn(box));
}
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  const open = event.key === "Escape" && document.querySelector(".menu[open]");
  if (open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

// --- pictures --------------------------------------------------------------------------------

const picked = () => document.querySelector("[name=input]:checked").value;

function runOf(cell) {
  // Of the seed that is asked for; undefined where the cell has none.
  return cell.runs.find((run) => run.seed === $("seed").value);
}

function stripOf(cell) {
  const run = runOf(cell);
  return run && run.strips[picked()];
}

function shot(source, text, link) {
  const image = element("img", {src: source, alt: text});
  const properties = link ? {href: link, target: "_blank", rel: "noopener", title: "full size"} : {};
  return element(link ? "a" : "div", {className: "shot", ...properties}, image, text);
}

function card(cell) {
  const heading = element("h4", {}, swatch(cell), element("span", {textContent: cell.label}));
  const strip = stripOf(cell);
  const body = strip
    ? element("div", {className: "strip"}, ...strip.samples.map(([picture, note]) => shot(picture, note, strip.link)))
    : element("p", {textContent: (runOf(cell) || {}).missing || "no pictures for this seed yet"});
  return element("article", {className: "card"}, heading, body);
}

function showInput() {
  const input = data.inputs.find((one) => one.id === picked());
  const given = [["source", "source, region"], ["driver", "driver"]].filter(([kind]) => input[kind]);
  $("given").replaceChildren(...given.map(([kind, text]) => shot(input[kind], text)));
  $("cards").replaceChildren(...data.cells.map(card));
  showTwo();
}

function swatch(cell) {
  const made = element("span", {className: "swatch"});
  made.style.background = cell.colour;
  return made;
}

function tableRow(tag, texts) {
  const cells = texts.map((text, n) => element(tag, {className: n ? "number" : ""}, text));
  return element("tr", {}, ...cells);
}

function showTwo() {
  const number = Number($("sample").value);
  const notes = [["over", "left"], ["under", "right"]].map(([image, side]) => {
    const cell = data.cells[$(side).value];
    const sample = (stripOf(cell) || {samples: []}).samples[number];
    $(image).hidden = !sample;
    if (sample) $(image).src = sample[0];
    $(image).alt = `${side}: ${cell.label}`;
    return sample ? sample[1] : "no picture";
  });
  const [left, right] = ["left", "right"].map((side) => Number($(side).value));
  const heads = [left, right].map((n) => element("span", {}, swatch(data.cells[n]), data.cells[n].short));
  const measured = data.measures.map(({key, heading}) => {
    const p = data.pairs[key] && data.pairs[key][left][right];
    const numbers = [left, right].map((n) => data.cells[n].numbers[key]);
    return tableRow("td", [heading, ...numbers, p ? p.replace("= ", "") : "–"]);
  });
  $("two-table").tHead.replaceChildren(tableRow("th", ["", ...heads, "p"]));
  $("two-table").tBodies[0].replaceChildren(tableRow("td", ["This sample", ...notes, ""]), ...measured);
}

function slide() {
  $("compare").style.setProperty("--at", `${$("slider").value}%`);
}

if (data.inputs.length) {
  for (const radio of document.querySelectorAll("[name=input]")) radio.addEventListener("change", showInput);
  $("seed").addEventListener("change", showInput);
  for (const name of ["left", "right", "sample"]) $(name).addEventListener("change", showTwo);
  $("slider").addEventListener("input", slide);
}

// --- charts ----------------------------------------------------------------------------------

let figures;
const dark = matchMedia("(prefers-color-scheme: dark)");
const keys = {
  bars: () => $("bars-measure").value,
  front: () => `${$("front-across").value} ${$("front-up").value}`,
  parallel: () => "all",
  curves: () => $("curve").value,
};

function start() {
  // Plotly takes longer than all the rest: it starts when the first chart comes near.
  figures = JSON.parse($("figures").textContent);
  document.head.append(element("script", {textContent: $("plotly").textContent}));
}

async function draw(holder) {
  if (!figures) start();
  const name = holder.dataset.charts;
  const figure = structuredClone(figures[name][keys[name]()]);
  const ink = getComputedStyle(holder).getPropertyValue("--ink").trim();
  figures.template.layout.font.color = ink;
  for (const bars of figure.data.filter((one) => one.type === "bar")) bars.error_y.color = ink;
  figure.layout.template = figures.template;
  const plot = $(`plot-${name}`);
  // Plotly has a button of its own that sends the chart to a server.
  const config = {responsive: true, displaylogo: false, showSendToCloud: false};
  await Plotly.react(plot, figure.data, figure.layout, config);
  if (name === "parallel" && !holder.dataset.drawn) {
    plot.on("plotly_selected", (event) => showPassing(plot, event ? event.points : []));
    plot.on("plotly_deselect", () => showPassing(plot, []));
  }
  holder.dataset.drawn = keys[name]();
}

function showPassing(plot, points) {
  // Lines that have a point in every axis's box; all of them without a box.
  const boxes = Map.groupBy(points, (point) => point.x);
  const lines = plot.data.map((line, n) => n);
  const inside = (n) => [...boxes.values()].every((box) => box.some((point) => point.curveNumber === n));
  const passing = lines.filter(inside);
  Plotly.restyle(plot, {opacity: lines.map((n) => (inside(n) ? 1 : 0.12))});
  const names = passing.map((n) => plot.data[n].name).join("; ");
  $("passing").textContent = boxes.size ? `${passing.length} of ${lines.length} cells: ${names}` : "";
}

const charts = [...document.querySelectorAll("[data-charts]")];
const near = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((one) => one.isIntersecting)) {
    near.unobserve(entry.target);
    draw(entry.target);
  }
}, {rootMargin: "300px"});
for (const chart of charts) {
  near.observe(chart);
  for (const select of chart.querySelectorAll("select")) select.addEventListener("change", () => draw(chart));
}
dark.addEventListener("change", () => charts.filter((one) => one.dataset.drawn).forEach(draw));

// --- following live runs, without losing what was chosen -------------------------------------

function controls() {
  return [...document.querySelectorAll("select, input")];
}

function recall() {
  try {
    return JSON.parse(sessionStorage.getItem("chosen")) || {};
  } catch {
    return {};  // storage is closed to files in some browsers
  }
}

function remember() {
  const sorted = document.querySelector("#cells-table thead :not([aria-sort=none])[aria-sort]");
  const index = sorted ? [...sorted.parentNode.children].indexOf(sorted) : -1;
  const chosen = Object.fromEntries(controls().map((one) => [one.id, [one.value, one.checked]]));
  sessionStorage.setItem("chosen", JSON.stringify({chosen, index, order: sorted && sorted.ariaSort}));
}

function restore() {
  for (const one of controls()) {
    const [value, checked] = (remembered.chosen || {})[one.id] || [one.value, one.checked];
    if (one.type === "checkbox" || one.type === "radio") one.checked = checked;
    else if (one.tagName !== "SELECT" || [...one.options].some((option) => option.value === value)) one.value = value;
    if (one.dataset.shows) showColumn(one);
  }
  const header = remembered.index >= 0 && document.querySelector("#cells-table thead tr").children[remembered.index];
  if (header) sortBy(header, remembered.order === "descending");
}

async function follow() {
  try {
    const state = await (await fetch("state")).text();
    if (state !== data.live.state) {
      remember();
      location.reload();
      return;
    }
    $("live").textContent = `Checked at ${new Date().toLocaleTimeString()}.`;
  } catch {
    $("live").textContent = "The command has ended: what you see is its last state.";
  }
  setTimeout(follow, 1000 * data.live.seconds);
}

if (data.live) {
  restore();
  setTimeout(follow, 1000 * data.live.seconds);
}
if (data.inputs.length) {
  showInput();
  slide();
}
document.body.dataset.ready = "true";
