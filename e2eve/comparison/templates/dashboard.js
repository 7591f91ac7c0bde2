"use strict";
// What the page can do: sort and choose columns, pick inputs, slide between two configurations, draw charts.
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
  const body = $("results-table").tBodies[0];
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

for (const button of document.querySelectorAll("#results-table thead button")) {
  button.addEventListener("click", () => {
    const header = button.parentNode;
    const first = button.dataset.high === "true";  // the best comes first
    sortBy(header, header.ariaSort === "none" ? first : header.ariaSort === "ascending");
  });
}

function showColumn(box) {
  for (const cell of document.querySelectorAll(`#results-table [data-column="${box.dataset.shows}"]`)) {
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

// --- images ----------------------------------------------------------------------------------

const picked = () => document.querySelector("[name=input]:checked").value;

function runOf(one) {
  // Of the seed that is asked for; undefined where the configuration has none.
  return one.runs.find((run) => run.seed === $("seed").value);
}

function stripOf(one) {
  const run = runOf(one);
  return run && run.strips[picked()];
}

function shot(source, text, link) {
  const image = element("img", {src: source, alt: text});
  const properties = link ? {href: link, target: "_blank", rel: "noopener", title: "full size"} : {};
  return element(link ? "a" : "div", {className: "shot", ...properties}, image, text);
}

function card(one) {
  const heading = element("h4", {}, swatch(one), element("span", {textContent: one.label}));
  const strip = stripOf(one);
  const body = strip
    ? element("div", {className: "strip"}, ...strip.samples.map(([image, note]) => shot(image, note, strip.link)))
    : element("p", {textContent: (runOf(one) || {}).missing || "no images for this seed yet"});
  return element("article", {className: "card"}, heading, body);
}

function showInput() {
  const input = data.inputs.find((one) => one.id === picked());
  const given = [["source", "source, region"], ["driver", "driver"]].filter(([kind]) => input[kind]);
  $("given").replaceChildren(...given.map(([kind, text]) => shot(input[kind], text)));
  $("cards").replaceChildren(...data.configurations.map(card));
  showTwo();
}

function swatch(one) {
  const made = element("span", {className: "swatch"});
  made.style.background = one.colour;
  return made;
}

function tableRow(tag, texts) {
  const entries = texts.map((text, n) => element(tag, {className: n ? "number" : ""}, text));
  return element("tr", {}, ...entries);
}

function showTwo() {
  const number = Number($("sample").value);
  const notes = [["over", "left"], ["under", "right"]].map(([image, side]) => {
    const one = data.configurations[$(side).value];
    const sample = (stripOf(one) || {samples: []}).samples[number];
    $(image).hidden = !sample;
    if (sample) $(image).src = sample[0];
    $(image).alt = `${side}: ${one.label}`;
    return sample ? sample[1] : "no image";
  });
  const [left, right] = ["left", "right"].map((side) => Number($(side).value));
  const heads = [left, right].map((n) => element("span", {}, swatch(data.configurations[n]), data.configurations[n].short));
  const measured = data.metrics.map(({key, label}) => {
    const p = data.pairs[key] && data.pairs[key][left][right];
    const numbers = [left, right].map((n) => data.configurations[n].numbers[key]);
    return tableRow("td", [label, ...numbers, p ? p.replace("= ", "") : "–"]);
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
const chosen = {
  bars: ["bars-metric"],
  front: ["front-across", "front-up"],
  parallel: [],
  curves: ["curve"],
};

function start() {
  // Plotly takes longer than all the rest: it starts when the first chart comes near.
  figures = JSON.parse($("figures").textContent);
  document.head.append(element("script", {textContent: $("plotly").textContent}));
}

// Each chart was drawn for one choice; here it gets the numbers of another. `meta` says whose a
// trace is: the place of its configuration, for curves with the number of the run, or a system.
const fill = {
  bars(figure, key) {
    const metric = figures.numbers[key];
    for (const bar of figure.data) {
      bar.y = [metric.mean[bar.meta]];
      bar.error_y.array = [metric.deviation[bar.meta]];
      bar.customdata = [[figures.heads[bar.meta], metric.text[bar.meta]]];
    }
    Object.assign(figure.layout.yaxis, metric.axis, {autorange: true});
  },
  front(figure, x, y) {
    const [across, up] = [figures.numbers[x], figures.numbers[y]];
    const front = figures.fronts[`${x} ${y}`];
    for (const trace of figure.data) {
      const n = trace.meta;
      if (n === "front") {
        Object.assign(trace, {x: front.map((one) => across.mean[one]), y: front.map((one) => up.mean[one])});
        trace.visible = front.length > 0;
      } else if (n in figures.references) {
        const system = figures.references[n];
        Object.assign(trace, {x: [system[x]], y: [system[y]], visible: x in system && y in system && "legendonly"});
      } else {
        Object.assign(trace, {x: [across.mean[n]], y: [up.mean[n]]});
        trace.error_x.array = [across.deviation[n]];
        trace.error_y.array = [up.deviation[n]];
        trace.marker.line.width = front.includes(n) ? 2.5 : 0;
        trace.customdata = [[figures.heads[n], up.text[n], across.text[n]]];
      }
    }
    Object.assign(figure.layout.xaxis, across.axis);
    Object.assign(figure.layout.yaxis, up.axis);
  },
  parallel() {},
  curves(figure, name) {
    const named = new Set();
    for (const line of figure.data) {
      const [steps, values] = figures.series[name][line.meta] || [[], []];
      Object.assign(line, {x: steps, y: values, visible: steps.length > 0});
      line.mode = steps.length < 3 ? "lines+markers" : "lines";
      line.showlegend = steps.length > 0 && !named.has(line.legendgroup);
      if (steps.length) named.add(line.legendgroup);
    }
    figure.layout.yaxis.title = {text: figures.titles[name]};
  },
};

async function draw(holder) {
  if (!figures) start();
  const name = holder.dataset.charts;
  const choice = chosen[name].map((id) => $(id).value);
  const figure = structuredClone(figures[name]);
  fill[name](figure, ...choice);
  const ink = getComputedStyle(holder).getPropertyValue("--ink").trim();
  figure.layout.template.layout.font.color = ink;
  for (const bar of figure.data.filter((one) => one.type === "bar")) bar.error_y.color = ink;
  const plot = $(`plot-${name}`);
  // Plotly has a button of its own that sends the chart to a server.
  const config = {responsive: true, displaylogo: false, showSendToCloud: false};
  await Plotly.react(plot, figure.data, figure.layout, config);
  if (name === "parallel" && !("drawn" in holder.dataset)) {
    plot.on("plotly_selected", (event) => showPassing(plot, event ? event.points : []));
    plot.on("plotly_deselect", () => showPassing(plot, []));
  }
  holder.dataset.drawn = choice.join(" ");
}

function showPassing(plot, points) {
  // Lines that have a point in every axis's box; all of them without a box.
  const boxes = Map.groupBy(points, (point) => point.x);
  const lines = plot.data.map((line, n) => n);
  const inside = (n) => [...boxes.values()].every((box) => box.some((point) => point.curveNumber === n));
  const passing = lines.filter(inside);
  Plotly.restyle(plot, {opacity: lines.map((n) => (inside(n) ? 1 : 0.12))});
  const names = passing.map((n) => plot.data[n].name).join("; ");
  $("passing").textContent = boxes.size ? `${passing.length} of ${lines.length} configurations: ${names}` : "";
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
dark.addEventListener("change", () => charts.filter((one) => "drawn" in one.dataset).forEach(draw));

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

function keyOf(control) {
  return control.type === "radio" ? control.name : control.id;
}

// Only what a person changed: a page whose runs lack the chosen input for a moment does not forget it.
document.addEventListener("change", ({target}) => {
  const value = target.type === "checkbox" ? target.checked : target.value;
  remembered.values = {...remembered.values, [keyOf(target)]: value};
});

function remember() {
  const sorted = document.querySelector("#results-table thead :not([aria-sort=none])[aria-sort]");
  const index = sorted ? [...sorted.parentNode.children].indexOf(sorted) : -1;
  sessionStorage.setItem("chosen", JSON.stringify({...remembered, index, order: sorted && sorted.ariaSort}));
}

function restore() {
  for (const one of controls()) {
    const value = (remembered.values || {})[keyOf(one)];
    if (value !== undefined) {
      if (one.type === "radio") one.checked ||= one.value === value;
      else if (one.type === "checkbox") one.checked = value;
      else if (one.tagName !== "SELECT" || [...one.options].some((option) => option.value === value)) one.value = value;
    }
    if (one.dataset.shows) showColumn(one);
  }
  const header = remembered.index >= 0 && document.querySelector("#results-table thead tr").children[remembered.index];
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
