const given = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const KEYS = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "none" };
let pair = 0, ready = false;

function say(text, wrong = false) {
  $("status").textContent = text;
  $("status").classList.toggle("wrong", wrong);
}

async function show() {
  ready = false;
  if (pair >= given.pairs) return end();
  $("count").textContent = `${pair + 1} of ${given.pairs}`;
  try {
    const images = await json("GET", `pairs/${pair}`);
    for (const [id, address] of Object.entries(images)) $(id).src = address;
    await Promise.all(Object.keys(images).map((id) => $(id).decode()));
    document.body.dataset.ready = pair;
    ready = true;
  } catch (error) {
    say(error.message, true);
  }
}

async function vote(choice) {
  if (!ready) return;
  ready = false;
  try {
    await json("POST", "votes", { pair, choice, voter: given.voter });
    say("");
    pair += 1;
    await show();
  } catch (error) {
    say(`${error.message} The vote was not counted.`, true);
    ready = true;
  }
}

const percent = (share) => `${Math.round(100 * share)} %`;

async function end() {
  try {
    const rows = await json("GET", "wins");
    $("wins").querySelector("tbody").replaceChildren(...rows.map(({ name, votes, share }) => {
      const row = document.createElement("tr");
      const texts = [name ?? "No difference", votes, share ? percent(share.mean) : "–", share ? `${percent(share.low)} to ${percent(share.high)}` : "–"];
      texts.forEach((text, n) => {
        const cell = row.insertCell();
        cell.textContent = text;
        cell.classList.toggle("number", n > 0);
      });
      return row;
    }));
    ready = false;
    $("pair").hidden = true;
    $("wins").hidden = false;
    $("count").textContent = "";
    say("");
  } catch (error) {
    say(error.message, true);
  }
}

document.addEventListener("keydown", (event) => {
  if (!(event.key in KEYS) || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  vote(KEYS[event.key]);
});
for (const button of document.querySelectorAll("[data-choice]")) button.addEventListener("click", () => vote(button.dataset.choice));
$("end").addEventListener("click", end);
show();
