// Live pages: the station sends a part of the page whenever it changes, made by the same
// template that made the page; it is put in the old one's place. Without this script pages
// show the same and load themselves again.
"use strict";

// Parts that came since the screen was last drawn: only the newest of each is put.
const waitingParts = new Map();

function put(part) {
  const template = document.createElement("template");
  template.innerHTML = part.html.trim();
  const fresh = template.content.firstElementChild;
  const old = document.getElementById(part.id);
  const focused = old !== null && old.contains(document.activeElement) ? document.activeElement : null;
  if (part.order === null) {
    if (old !== null) old.replaceWith(fresh);
  } else if (old !== null && old.dataset.order === part.order) {
    old.replaceWith(fresh);
  } else {
    if (old !== null) old.remove();
    const list = document.getElementById("tiles");
    const next = [...list.children].find((tile) => tile.dataset.order > part.order);
    list.insertBefore(fresh, next ?? null);
  }
  // Whoever walks the page by keyboard stays where they are.
  if (focused !== null) stay(fresh, focused);
}

// After the bench has given the new tile its handle, which it does in a microtask of its own.
function stay(fresh, focused) {
  queueMicrotask(() => {
    const handle = focused.matches(".handle") ? fresh.querySelector(".handle") : null;
    (handle ?? fresh.querySelector("a, button"))?.focus();
  });
}

function flush() {
  // Nothing moves under a finger that drags.
  if (document.querySelector(".is-dragged") !== null) {
    requestAnimationFrame(flush);
    return;
  }
  const parts = [...waitingParts.values()];
  waitingParts.clear();
  for (const part of parts) {
    if (part.html === undefined) document.getElementById(part.id)?.remove();
    else put(part);
  }
}

function later(part) {
  if (waitingParts.size === 0) requestAnimationFrame(flush);
  waitingParts.delete(part.id);
  waitingParts.set(part.id, part);
}

function listen(address) {
  const lost = document.getElementById("lost");
  const source = new EventSource(address);
  source.addEventListener("open", () => { lost.hidden = true; });
  source.addEventListener("error", () => {
    lost.hidden = false;
    // Closed for good: the session has ended, or the machine is gone. Loading again says which.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  });
  source.addEventListener("part", (event) => later(JSON.parse(event.data)));
  source.addEventListener("gone", (event) => later(JSON.parse(event.data)));
}

// The address that “provisioner dashboard” prints carries a code behind the #, which a browser
// keeps to itself; it goes into the form, and out of the address and the history.
function logInByAddress(form) {
  const code = location.hash.slice(1);
  if (!code) return;
  history.replaceState(null, "", location.pathname + location.search);
  form.elements.code.value = code;
  form.submit();
}

const login = document.getElementById("login");
if (login !== null) logInByAddress(login);
if (document.body.dataset.live) listen(document.body.dataset.live);
