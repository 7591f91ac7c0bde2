// Images are shown scaled; regions are kept as marks in pixels of the image, so that undoing one,
// or another size of the window, costs nothing. The server draws the same marks.
const given = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const TINT = "rgba(255, 45, 149, 0.45)";
const HIDDEN = "rgb(128, 128, 128)"; // what an editor sees there
const POLL = 250; // milliseconds between two looks at an edit
const NEAR = 300; // points of a stroke are at least a 300th of the image apart

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

const clamp = (x, least, most) => Math.min(Math.max(x, least), most);

// An image that a person chose, shown in a panel, and what is drawn over it.
class Picture {
  constructor(id) {
    this.id = id;
    this.frame = $(id);
    this.canvas = this.frame.querySelector("canvas");
    this.file = null;
    this.image = null;
    this.current = null; // the corners or points of what is being dragged
    this.hover = null;
    $(`${id}-file`).addEventListener("change", (event) => this.choose(event.target.files[0]));
    $(`${id}-other`).addEventListener("click", () => $(`${id}-file`).click());
    this.listenForDrops($(`${id}-panel`));
    this.canvas.addEventListener("pointerdown", (event) => this.down(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", () => this.up());
    this.canvas.addEventListener("pointercancel", () => { this.current = null; this.draw(); });
    this.canvas.addEventListener("pointerleave", () => { this.hover = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(this.frame);
  }

  listenForDrops(panel) {
    for (const name of ["dragover", "dragleave", "drop"]) {
      panel.addEventListener(name, (event) => {
        event.preventDefault();
        panel.classList.toggle("dragged", name === "dragover");
        if (name === "drop") this.choose(event.dataTransfer.files[0]);
      });
    }
  }

  // Shows the image in a file; a sentence where that cannot be done. Whether it could.
  async choose(file) {
    $(`${this.id}-file`).value = "";
    if (!file) return false;
    if (file.size > given.max_bytes) {
      say(`The ${this.id} has ${(file.size / 1e6).toFixed(1)} MB and the limit is ${given.max_bytes / 1e6}: take a smaller image.`, true);
      return false;
    }
    let image;
    try {
      image = await createImageBitmap(file);
    } catch {
      say(`The ${this.id} cannot be read by this browser: take a PNG, JPEG or WebP file.`, true);
      return false;
    }
    if (image.width * image.height > given.max_pixels) {
      say(`The ${this.id} has ${(image.width * image.height / 1e6).toFixed(1)} megapixels and the limit is ${given.max_pixels / 1e6}: take a smaller image.`, true);
      return false;
    }
    this.file = file;
    this.image = image;
    this.canvas.hidden = false;
    $(`${this.id}-empty`).hidden = true;
    $(`${this.id}-other`).hidden = false;
    say("");
    this.reset();
    return true;
  }

  get scale() {
    return Math.min(this.frame.clientWidth / this.image.width, this.frame.clientHeight / this.image.height);
  }

  // In pixels of the image.
  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / this.scale, (event.clientY - box.top) / this.scale];
  }

  draw() {
    if (!this.image || !this.frame.clientWidth) return;
    const { width, height } = this.image, dense = window.devicePixelRatio || 1, scale = this.scale * dense;
    const canvas = this.canvas;
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    canvas.style.width = `${canvas.width / dense}px`;
    canvas.style.height = `${canvas.height / dense}px`;
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(this.image, 0, 0, canvas.width, canvas.height);
    this.drawOver(pen, scale);
  }

  down(event) {
    if (!event.isPrimary || event.button) return;
    this.canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
    this.current = [this.at(event)];
    this.draw();
  }

  move(event) {
    if (!event.isPrimary || !this.image) return;
    this.hover = this.at(event);
    if (this.current) this.extend(event);
    this.draw();
  }

  up() {
    if (!this.current) return;
    this.finish();
    this.current = null;
    this.draw();
  }

  // Adds to the stroke under way what the pointer went over since, in points apart.
  extendStroke(event) {
    const apart = Math.max(this.image.width, this.image.height) / NEAR;
    for (const one of event.getCoalescedEvents?.() ?? [event]) {
      const [x, y] = this.at(one), [u, v] = this.current.at(-1);
      if (Math.hypot(x - u, y - v) >= apart) this.current.push([x, y]);
    }
  }

  // Where the brush is and how large.
  ring(pen, radius, scale) {
    if (!this.hover) return;
    pen.beginPath();
    pen.arc(this.hover[0] * scale, this.hover[1] * scale, radius * scale, 0, 7);
    for (const [colour, width] of [["#000", 3], ["#fff", 1.5]]) Object.assign(pen, { strokeStyle: colour, lineWidth: width }), pen.stroke();
  }

  tint(pen, marks, scale, colour) {
    const layer = new OffscreenCanvas(pen.canvas.width, pen.canvas.height), over = layer.getContext("2d");
    for (const mark of marks) drawMark(over, mark, scale);
    over.globalCompositeOperation = "source-in";
    over.fillStyle = colour;
    over.fillRect(0, 0, layer.width, layer.height);
    pen.drawImage(layer, 0, 0);
  }
}

class Source extends Picture {
  constructor() {
    super("source");
    this.marks = [];
    $("undo").addEventListener("click", () => this.set(this.marks.slice(0, -1)));
    $("clear").addEventListener("click", () => this.set([]));
    $("brush").addEventListener("input", () => this.draw());
    for (const tool of document.getElementsByName("tool")) {
      tool.addEventListener("change", () => { $("size").hidden = this.tool === "box"; });
    }
    $("box-mark").addEventListener("click", () => {
      const [left, top, right, bottom] = ["left", "top", "right", "bottom"].map((name) => Number($(`box-${name}`).value));
      if (!(left < right && top < bottom && right <= this.image.width && bottom <= this.image.height && left >= 0 && top >= 0)) {
        return say(`That is no box inside the source of ${this.image.width} × ${this.image.height} pixels: right must exceed left, and bottom top.`, true);
      }
      say("");
      this.set([...this.marks, { tool: "box", points: [[left, top], [right, bottom]], radius: 0 }]);
    });
    document.addEventListener("keydown", (event) => {
      if ((event.ctrlKey || event.metaKey) && event.key === "z" && event.target.type !== "number") {
        event.preventDefault();
        this.set(this.marks.slice(0, -1));
      }
    });
  }

  get tool() { return document.querySelector("[name=tool]:checked").value; }

  get radius() { return $("brush").value / 200 * Math.min(this.image.width, this.image.height); }

  reset() {
    const { width, height } = this.image;
    const quarter = [width / 4, height / 4, 3 * width / 4, 3 * height / 4].map(Math.round);
    ["left", "top", "right", "bottom"].forEach((name, n) => { $(`box-${name}`).value = quarter[n]; });
    $("box-mark").disabled = $("driver-from-source").disabled = false;
    this.set([]);
  }

  set(marks) {
    this.marks = marks;
    $("undo").disabled = $("clear").disabled = !marks.length;
    const last = marks.at(-1);
    if (last?.tool === "box") {
      ["left", "top", "right", "bottom"].forEach((name, n) => { $(`box-${name}`).value = last.points[n >> 1][n & 1]; });
    }
    this.draw();
  }

  // The corners of the box that is being dragged, in whole pixels inside the image.
  corners([[x, y], [u, v]]) {
    const { width, height } = this.image;
    const columns = [x, u].map((a) => Math.round(clamp(a, 0, width))).sort((a, b) => a - b);
    const rows = [y, v].map((a) => Math.round(clamp(a, 0, height))).sort((a, b) => a - b);
    return [[columns[0], rows[0]], [columns[1], rows[1]]];
  }

  mark() {
    if (this.tool !== "box") return { tool: this.tool, points: this.current, radius: this.radius };
    const points = this.corners([this.current[0], this.current.at(-1)]);
    return { tool: "box", points, radius: 0 };
  }

  extend(event) {
    if (this.tool === "box") this.current[1] = this.at(event);
    else this.extendStroke(event);
  }

  finish() {
    const mark = this.mark(), [[left, top], [right, bottom] = []] = mark.points;
    if (mark.tool !== "box" || (left < right && top < bottom)) this.set([...this.marks, mark]);
  }

  drawOver(pen, scale) {
    this.tint(pen, this.current ? [...this.marks, this.mark()] : this.marks, scale, TINT);
    if (this.tool !== "box") this.ring(pen, this.radius, scale);
  }
}

function drawMark(pen, { tool, points, radius }, scale) {
  pen.globalCompositeOperation = tool === "eraser" ? "destination-out" : "source-over";
  if (tool === "box") {
    const [[left, top], [right, bottom]] = points;
    return pen.fillRect(left * scale, top * scale, (right - left) * scale, (bottom - top) * scale);
  }
  Object.assign(pen, { lineWidth: Math.max(1, 2 * radius * scale), lineCap: "round", lineJoin: "round" });
  pen.beginPath();
  for (const [x, y] of points.length > 1 ? points : [points[0], points[0]]) pen.lineTo(x * scale, y * scale);
  pen.stroke();
}

class Driver extends Picture {
  constructor() {
    super("driver");
    this.crop = null; // left, top and side of the square; null: the largest centred one
    this.hidden = []; // strokes over what is not shown to the editor
    $("crop-clear").addEventListener("click", () => {
      if (this.hidden.length && (this.hides || !this.crop)) this.set(this.crop, this.hidden.slice(0, -1));
      else this.set(null);
    });
    for (const tool of document.getElementsByName("driver-tool")) {
      tool.addEventListener("change", () => { $("driver-size").hidden = !this.hides; });
    }
    $("crop-mark").addEventListener("click", () => {
      const [left, top, side] = ["left", "top", "side"].map((name) => Number($(`crop-${name}`).value));
      if (!(side >= 1 && left >= 0 && top >= 0 && left + side <= this.image.width && top + side <= this.image.height)) {
        return say(`That is no square inside the driver's image of ${this.image.width} × ${this.image.height} pixels.`, true);
      }
      say("");
      this.set([left, top, side]);
    });
    $("driver-from-source").addEventListener("click", () => this.choose(source.file));
  }

  reset() {
    $("crop-mark").disabled = false;
    this.set(null, []);
  }

  get hides() { return document.querySelector("[name=driver-tool]:checked").value === "hide"; }

  set(crop, hidden = this.hidden) {
    this.crop = crop;
    this.hidden = hidden;
    $("crop-clear").disabled = !crop && !hidden.length;
    ["left", "top", "side"].forEach((name, n) => { $(`crop-${name}`).value = this.square[n]; });
    this.draw();
  }

  get square() {
    if (this.crop) return this.crop;
    const { width, height } = this.image, side = Math.min(width, height);
    return [Math.floor((width - side) / 2), Math.floor((height - side) / 2), side];
  }

  get box() {
    if (!this.crop) return null;
    const [left, top, side] = this.crop;
    return [left, top, left + side, top + side];
  }

  extend(event) {
    if (this.hides) return this.extendStroke(event);
    this.current[1] = this.at(event);
  }

  get radius() { return $("driver-brush").value / 200 * Math.min(this.image.width, this.image.height); }

  stroke() { return { tool: "brush", points: this.current, radius: this.radius }; }

  // The square that is being dragged: as large as the drag is long, inside the image.
  dragged() {
    const { width, height } = this.image, [[x0, y0], [u, v] = [x0, y0]] = this.current;
    const x = Math.round(clamp(x0, 0, width)), y = Math.round(clamp(y0, 0, height));
    const room = [u < x ? x : width - x, v < y ? y : height - y];
    const side = Math.min(Math.round(Math.max(Math.abs(u - x), Math.abs(v - y))), ...room);
    return [u < x ? x - side : x, v < y ? y - side : y, side];
  }

  finish() {
    if (this.hides) return this.set(this.crop, [...this.hidden, this.stroke()]);
    const square = this.dragged();
    if (square[2] >= 2) this.set(square);
  }

  drawOver(pen, scale) {
    const marks = this.current && this.hides ? [...this.hidden, this.stroke()] : this.hidden;
    this.tint(pen, marks, scale, HIDDEN);
    const square = this.current && !this.hides ? this.dragged() : this.square;
    const [left, top, side] = square.map((x) => x * scale);
    const { width, height } = pen.canvas;
    pen.fillStyle = "rgba(12, 14, 18, .6)";
    pen.beginPath();
    pen.rect(0, 0, width, height);
    pen.rect(left, top, side, side);
    pen.fill("evenodd");
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    pen.strokeRect(left + 1, top + 1, Math.max(0, side - 2), Math.max(0, side - 2));
    if (this.hides) this.ring(pen, this.radius, scale);
  }
}

const source = new Source(), driver = new Driver();
let current = null; // the edit that is waited for: {name}
let shown = []; // the edits in the panel: {blob, url}
let addresses = []; // of blobs, let go with the next edits

const base64 = (file) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => failed(new Error(`${file.name ?? "The image"} cannot be read any more: choose it again.`));
  reader.readAsDataURL(file);
});

const pause = (time) => new Promise((done) => setTimeout(done, time));

function fields() {
  const values = {};
  for (const name of ["num_samples", "seed", "guidance", "temperature", "top_p"]) {
    const field = $(name);
    if (field.value === "" || !field.checkValidity()) {
      const label = { num_samples: "Edits", seed: "Seed", guidance: "Guidance", temperature: "Temperature", top_p: "Top-p" }[name];
      const most = field.max && ` to ${field.max}`;
      throw new Error(`${label} must be ${field.step === "1" ? "a whole number" : "a number"} from ${field.min}${most || " on"}.`);
    }
    values[name] = field.valueAsNumber;
  }
  return values;
}

async function form() {
  if (!source.file) throw new Error("There is no source yet: choose an image, or try the example.");
  if (!source.marks.length) throw new Error("Nothing is marked in the source: drag a box over it, or paint.");
  if (!driver.file) throw new Error("There is no driver yet: choose an image of what should appear.");
  if (source.file.size + driver.file.size > given.max_bytes) {
    throw new Error(`Source and driver have more than ${given.max_bytes / 1e6} MB together: take smaller images.`);
  }
  const values = fields();
  const [one, other] = await Promise.all([base64(source.file), base64(driver.file)]);
  return { ...values, source: one, driver: other, driver_box: driver.box, driver_hidden: driver.hidden, marks: source.marks };
}

function busy(is) {
  $("edit").disabled = is;
  $("stop").disabled = !is;
  $("progress").hidden = !is;
  $("progress").removeAttribute("value");
}

function tell({ state, ahead, done }) {
  if (state === "waiting") return say(ahead === 1 ? "One edit is ahead of yours." : `${ahead} edits are ahead of yours.`);
  const bar = $("progress");
  if (done) bar.value = done / given.total;
  say(done < given.total ? `Drawing: ${done} of ${given.total} tokens.` : "Painting and ranking.");
}

async function edit() {
  const own = (current = {});
  const path = (rest = "") => `edits/${own.name}${rest}`;
  busy(true);
  say("Sending.");
  try {
    const sent = await form(), original = source.file;
    own.name = (await json("POST", "edits", sent)).name;
    let state;
    while (current === own) {
      state = await json("GET", path());
      if (!["waiting", "running"].includes(state.state)) break;
      if (current === own) tell(state);
      await pause(POLL);
    }
    if (current !== own) return;
    if (state.state !== "done") throw new Error(state.message);
    const load = async (file) => (await ask("GET", path(`/${file}`))).blob();
    const blobs = await Promise.all(state.samples.map((_, n) => load(`${n}.png`)));
    const grid = await load("grid.png");
    if (current !== own) return;
    show(state.samples, blobs, grid, original, sent.seed);
    const count = blobs.length === 1 ? "One edit." : `${blobs.length} edits, the best first.`;
    say([count, ...state.remarks].join(" "));
  } catch (error) {
    if (current === own) say(error.message, true);
  } finally {
    if (own.name) ask("DELETE", path()).catch(() => {}).finally(look);
    if (current === own) end();
  }
}

function end() {
  current = null;
  busy(false);
}

function stop() {
  end(); // `edit` sees that it is not wanted any more, and tells the server
  say("Stopped.");
}

function show(samples, blobs, grid, original, seed) {
  addresses.forEach((url) => URL.revokeObjectURL(url));
  const urls = [...blobs, grid, original].map((blob) => URL.createObjectURL(blob));
  addresses = urls;
  shown = blobs.map((blob, n) => ({ blob, url: urls[n], file: `edit_seed${seed}_${String(n + 1).padStart(2, "0")}.png` }));
  Object.assign($("download-grid"), { href: urls[blobs.length], download: `edits_seed${seed}.png` });
  const viewer = $("viewer");
  viewer.querySelector(".under").src = urls.at(-1);
  $("viewer-empty").hidden = true;
  viewer.querySelector(".stack").hidden = $("ranked").hidden = $("actions").hidden = false;
  $("ranked").replaceChildren(...samples.map(({ score, number }, n) => {
    const label = document.createElement("label"), input = document.createElement("input"), image = new Image();
    Object.assign(input, { type: "radio", name: "ranked", value: n });
    input.addEventListener("change", () => choose(n));
    Object.assign(image, { src: urls[n], alt: `Edit ${n + 1}` });
    label.title = `Sample ${number + 1} of seed ${seed}`;
    const place = document.createElement("b"), note = document.createElement("span");
    place.textContent = `#${n + 1}`;
    note.textContent = `score ${score.toFixed(2)}`.replace("-", "\u2212");
    label.append(input, image, place, note);
    return label;
  }));
  $("ranked").querySelector("input").checked = true;
  choose(0);
  const box = $("results").getBoundingClientRect();
  if (box.top > window.innerHeight * 0.6) $("results").scrollIntoView({ behavior: "smooth" });
}

function choose(n) {
  const over = $("viewer").querySelector(".over");
  over.onload = fit;
  over.src = shown[n].url;
  Object.assign($("download"), { href: shown[n].url, download: shown[n].file });
}

function fit() {
  const viewer = $("viewer"), { naturalWidth: width, naturalHeight: height } = viewer.querySelector(".over");
  if (!width) return;
  const scale = Math.min(viewer.clientWidth / width, viewer.clientHeight / height);
  Object.assign(viewer.querySelector(".stack").style, { width: `${width * scale}px`, height: `${height * scale}px` });
}

const chosen = () => shown[Number(document.querySelector("[name=ranked]:checked").value)];

// How many edits wait or run, of all visitors.
async function look() {
  try {
    const { length } = await json("GET", "queue");
    $("queue").textContent = `Queue: ${length === 0 ? "empty" : length === 1 ? "one edit" : `${length} edits`}`;
  } catch (error) {
    $("queue").textContent = error.message;
  }
}

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

async function example() {
  try {
    const found = await json("GET", "example");
    for (const picture of [source, driver]) {
      await picture.choose(new File([bytes(found[picture.id])], `${picture.id}.png`, { type: "image/png" }));
    }
    source.set([found.mark]);
    driver.set(found.crop);
  } catch (error) {
    say(error.message, true);
  }
}

$("edit").addEventListener("click", edit);
$("stop").addEventListener("click", stop);
$("example").addEventListener("click", example);
$("next-seed").addEventListener("click", () => { $("seed").value = Number($("seed").value) + 1; });
$("slider").addEventListener("input", (event) => $("viewer").style.setProperty("--at", `${event.target.value}%`));
$("go-on").addEventListener("click", async () => {
  await source.choose(chosen().blob);
  say("The edit is the source now: mark what should change next.");
  $("source-panel").scrollIntoView({ behavior: "smooth", block: "nearest" });
});
$("as-driver").addEventListener("click", async () => {
  await driver.choose(chosen().blob);
  say("Drag over the driver's image to crop it.");
  $("driver-panel").scrollIntoView({ behavior: "smooth", block: "nearest" });
});
for (const name of ["dragover", "drop"]) document.addEventListener(name, (event) => event.preventDefault());
window.addEventListener("pagehide", () => {
  if (current?.name) fetch(`edits/${current.name}`, { method: "DELETE", keepalive: true });
});
new ResizeObserver(fit).observe($("viewer"));
look();
setInterval(() => { if (!document.hidden) look(); }, 5000);
document.body.dataset.ready = "";
