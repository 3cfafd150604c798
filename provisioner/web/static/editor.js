// The editor of school.yml: the station checks the text while somebody types.
"use strict";

const editor = document.getElementById("editor");
const text = document.getElementById("text");
let waiting = 0;
let asked = 0;

async function check() {
  const mine = ++asked;
  const fields = new URLSearchParams(new FormData(editor));
  const answer = await fetch(editor.dataset.check, { method: "POST", body: fields });
  if (!answer.ok || mine !== asked) return;
  const template = document.createElement("template");
  template.innerHTML = (await answer.text()).trim();
  document.getElementById("mistakes").replaceWith(template.content.firstElementChild);
}

function jump(line) {
  const start = text.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
  const end = text.value.indexOf("\n", start);
  text.focus();
  text.setSelectionRange(start, end < 0 ? text.value.length : end);
}

text.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(check, 350);
});
editor.addEventListener("click", (event) => {
  if (event.target.matches(".line")) jump(Number(event.target.dataset.line));
});
