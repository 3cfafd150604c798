// The bench: tiles are put where the machines stand, by dragging or with the arrow keys, and the
// station keeps the order for everybody. And the two ways of calling somebody: sound, notification.
"use strict";

const tiles = document.getElementById("tiles");
const form = document.getElementById("arrange");
const said = document.getElementById("said");
let dragged = null;

function order() {
  return [...tiles.children].map((tile) => tile.id.replace("tile-", "")).join(" ");
}

async function keep() {
  const fields = new URLSearchParams(new FormData(form));
  fields.set("order", order());
  [...tiles.children].forEach((tile, at) => { tile.dataset.order = String(at).padStart(6, "0"); });
  const answer = await fetch("/bench", { method: "POST", body: fields, redirect: "manual" });
  if (answer.type !== "opaqueredirect" && !answer.ok) location.reload();
}

function tagOf(tile) {
  return tile.querySelector("h3").textContent.trim();
}

function tell(tile) {
  const all = [...tiles.children];
  said.textContent = form.dataset.moved.replace("{tag}", tagOf(tile))
    .replace("{place}", all.indexOf(tile) + 1).replace("{all}", all.length);
}

// How many tiles stand beside each other now.
function inARow() {
  const all = [...tiles.children];
  const next = all.findIndex((tile) => tile.offsetTop > all[0].offsetTop);
  return next < 0 ? all.length : next;
}

function moveBy(tile, steps) {
  const all = [...tiles.children];
  const to = Math.max(0, Math.min(all.length - 1, all.indexOf(tile) + steps));
  if (all[to] === tile) return;
  if (steps > 0) all[to].after(tile); else all[to].before(tile);
  tile.querySelector(".handle").focus();
  tell(tile);
  keep();
}

function byKey(event) {
  const tile = event.target.closest(".tile");
  const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -inARow(), ArrowDown: inARow() }[event.key];
  if (tile === null || steps === undefined || !event.target.matches(".handle")) return;
  event.preventDefault();
  moveBy(tile, steps);
}

function begin(event) {
  if (!arranging() || event.button > 0) return;
  dragged = event.target.closest(".tile");
  if (dragged === null) return;
  event.preventDefault();
  tiles.setPointerCapture(event.pointerId);
  dragged.classList.add("is-dragged");
}

function drag(event) {
  if (dragged === null) return;
  const under = document.elementFromPoint(event.clientX, event.clientY)?.closest(".tile");
  if (!under || under === dragged) return;
  const all = [...tiles.children];
  if (all.indexOf(under) > all.indexOf(dragged)) under.after(dragged); else under.before(dragged);
}

function drop() {
  if (dragged === null) return;
  dragged.classList.remove("is-dragged");
  tell(dragged);
  dragged = null;
  keep();
}

function arranging() {
  return tiles.classList.contains("is-arranged");
}

function addHandles() {
  if (!arranging()) return;
  for (const tile of tiles.children) {
    if (tile.querySelector(".handle")) continue;
    const handle = document.createElement("button");
    handle.type = "button";
    handle.className = "handle";
    handle.textContent = "⠿";
    handle.setAttribute("aria-label", form.dataset.handle.replace("{tag}", tagOf(tile)));
    tile.querySelector(".head").append(handle);
  }
}

function arrange(button) {
  const on = !arranging();
  tiles.classList.toggle("is-arranged", on);
  button.setAttribute("aria-pressed", String(on));
  if (on) addHandles();
  else tiles.querySelectorAll(".handle").forEach((handle) => handle.remove());
}

if (form !== null) {
  form.hidden = false;
  const button = document.getElementById("tool-arrange");
  button.addEventListener("click", () => arrange(button));
  form.elements.columns.addEventListener("change", () => {
    tiles.className = tiles.className.replace(/ ?wide-\d+/, "");
    const width = form.elements.columns.value;
    if (width !== "0") tiles.classList.add(`wide-${width}`);
    keep();
  });
  tiles.addEventListener("keydown", byKey);
  tiles.addEventListener("pointerdown", begin);
  tiles.addEventListener("pointermove", drag);
  tiles.addEventListener("pointerup", drop);
  tiles.addEventListener("pointercancel", drop);
  // Tiles that the station sends meanwhile get their handle, too.
  new MutationObserver(addHandles).observe(tiles, { childList: true });
}

const sound = document.getElementById("tool-sound");
const notify = document.getElementById("tool-notify");
const title = document.title;
let known = new Set(waiting());

function waiting() {
  return [...document.querySelectorAll("#hands .hand")].map((hand) => hand.dataset.tag || "?");
}

function isOn(button) {
  return button.getAttribute("aria-pressed") === "true";
}

function set(button, on) {
  button.setAttribute("aria-pressed", String(on));
  localStorage.setItem(button.id, on ? "on" : "off");
}

function ring() {
  const audio = new AudioContext();
  [660, 880].forEach((pitch, at) => {
    const tone = audio.createOscillator();
    const loudness = audio.createGain();
    const start = audio.currentTime + at * 0.22;
    tone.frequency.value = pitch;
    loudness.gain.setValueAtTime(0.0001, start);
    loudness.gain.exponentialRampToValueAtTime(0.3, start + 0.02);
    loudness.gain.exponentialRampToValueAtTime(0.0001, start + 0.2);
    tone.connect(loudness).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.22);
  });
  setTimeout(() => audio.close(), 1000);
}

function count() {
  const number = waiting().length;
  document.title = number ? `(${number}) ${title}` : title;
}

function call() {
  const now = waiting();
  const fresh = now.filter((tag) => !known.has(tag));
  known = new Set(now);
  count();
  if (!fresh.length) return;
  if (isOn(sound)) ring();
  if (isOn(notify) && Notification.permission === "granted") {
    const what = document.querySelector(`#hands .hand[data-tag="${CSS.escape(fresh[0])}"] .headline`);
    new Notification(notify.dataset.title, {
      body: `${fresh.join(", ")}: ${what?.textContent ?? ""}`, tag: "hand", icon: "/static/icon.svg",
    });
  }
}

document.getElementById("tools").hidden = false;
set(sound, localStorage.getItem(sound.id) === "on");
sound.addEventListener("click", () => { set(sound, !isOn(sound)); if (isOn(sound)) ring(); });
// Browsers give notifications only to this computer itself and over HTTPS.
if (window.isSecureContext && "Notification" in window) {
  set(notify, localStorage.getItem(notify.id) === "on" && Notification.permission === "granted");
  notify.addEventListener("click", async () => {
    set(notify, !isOn(notify) && await Notification.requestPermission() === "granted");
  });
} else {
  notify.hidden = true;
}
count();
new MutationObserver(call).observe(document.getElementById("main"), { childList: true });
