"use strict";
// The hand-in page. Everything that it shows is put in as text, never as markup.
const WORDS = {
  zh: {
    file: "选择你的作品（.sb3 文件）", name: "姓名", class: "班级", group: "组别", send: "交作品",
    sending: "正在检查和保存……", done: "交好了！请把收据号记下来：", lost: "没有交成，请告诉老师，再交一次。",
    own: "本机：已存", teacher: "老师的电脑：", station: "主办方：", yes: "已收到", no: "等待发送",
    until: "截止时间：", unsure: "（这台电脑的时钟可能不准，没关系）", other: "English",
  },
  en: {
    file: "Choose your game (.sb3 file)", name: "Name", class: "Class", group: "Group", send: "Hand in",
    sending: "Looking at it and saving…", done: "Handed in! Write down your receipt:",
    lost: "That did not work. Tell your teacher and hand in once more.",
    own: "This computer: saved", teacher: "Teacher's computer: ", station: "Organiser: ",
    yes: "received", no: "waiting to be sent", until: "Until ",
    unsure: " (this computer's clock may be wrong; never mind)", other: "中文",
  },
};
let language = "zh";
let contest = null;
const $ = (id) => document.getElementById(id);
const word = (name) => WORDS[language][name];

function show() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const part of document.querySelectorAll("[data-word]")) part.textContent = word(part.dataset.word);
  $("language").textContent = word("other");
  if (!contest) return;
  $("title").textContent = contest.title[language];
  $("until").textContent = word("until") + new Date(contest.closes).toLocaleString(language === "zh" ? "zh-CN" : "en");
  const chosen = $("group").value;
  $("group").replaceChildren(...contest.age_groups.map((group) => {
    const option = document.createElement("option");
    option.value = group.name;
    option.textContent = group.title[language];
    return option;
  }));
  if (chosen) $("group").value = chosen;
}

function line(text, name) {
  const part = document.createElement("div");
  if (name) part.className = name;
  part.textContent = text;
  return part;
}

async function refresh() {
  const entries = await (await fetch("/handed-in.json")).json();
  $("entries").replaceChildren(...entries.reverse().map((entry) => {
    const item = document.createElement("li");
    item.append(line(entry.code, "code"), line(`${entry.name} ${entry.form} · ${entry.title}`),
      line(new Date(entry.at).toLocaleString() + (entry.sure ? "" : word("unsure"))), line(word("own")),
      line(word("teacher") + word(entry.teacher ? "yes" : "no")),
      line(word("station") + word(entry.station ? "yes" : "no")));
    return item;
  }));
}

function say(text, kind) {
  $("said").textContent = text;
  $("said").className = kind;
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const file = $("file").files[0];
  const asked = new URLSearchParams({
    name: $("name").value.trim(), form: $("class").value.trim(), age_group: $("group").value,
    title: file.name.replace(/\.sb3$/i, "").slice(0, 60),
  });
  $("send").disabled = true;
  say(word("sending"), "");
  try {
    const answer = await fetch(`/hand-in?${asked}`, { method: "POST", body: file, headers: { "X-Hand-In": "1" } });
    const said = await answer.json();
    if (answer.ok) say(`${word("done")} ${said.code}`, "good");
    else say(said[language] || said.en || word("lost"), "bad");
  } catch {
    say(word("lost"), "bad");
  }
  $("send").disabled = false;
  refresh();
});

$("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  show();
  refresh();
});

setInterval(() => { $("clock").textContent = new Date().toLocaleTimeString(); }, 1000);
setInterval(refresh, 5000);
(async () => {
  contest = await (await fetch("/contest.json")).json();
  show();
  refresh();
})();
