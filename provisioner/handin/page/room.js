"use strict";
// The teacher's page: who has handed in, at which seats nobody has. All is put in as text.
const WORDS = {
  zh: {
    seat: "座位", name: "姓名 班级", work: "作品", receipt: "收据号", at: "时间", organiser: "主办方",
    yes: "已收到", no: "等待发送", refused: "打不开", until: "截止时间：", other: "English",
    count: (n, seats) => (seats ? `已收到 ${n} 份作品（共 ${seats} 个座位）` : `已收到 ${n} 份作品`),
    without: "还没有交的座位：", all: "每个座位都交了。",
    save: "保存全部作品（一个文件）", stick: "没有网络时，把它拷到U盘交给主办方。", lost: "这台电脑的收作品服务没有运行。",
  },
  en: {
    seat: "Seat", name: "Name, class", work: "Game", receipt: "Receipt", at: "When", organiser: "Organiser",
    yes: "received", no: "waiting to be sent", refused: "cannot be opened", until: "Until ", other: "中文",
    count: (n, seats) => (seats ? `${n} games are here (${seats} seats)` : `${n} games are here`),
    without: "Seats without one: ", all: "Every seat has handed in.",
    save: "Save all games (one file)", stick: "Without a line, take it to the organiser on a stick.",
    lost: "The hand-in service of this computer does not run.",
  },
};
let language = "zh";
let contest = null;
let view = null;
const $ = (id) => document.getElementById(id);
const word = (name) => WORDS[language][name];

function row(entry) {
  const line = document.createElement("tr");
  const said = [entry.seat, `${entry.name} ${entry.form}`, entry.refused ? word("refused") : entry.title,
    entry.code, new Date(entry.at).toLocaleTimeString(), word(entry.station ? "yes" : "no")];
  line.append(...said.map((text) => Object.assign(document.createElement("td"), { textContent: text })));
  return line;
}

function show() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const part of document.querySelectorAll("[data-word]")) part.textContent = word(part.dataset.word);
  $("language").textContent = word("other");
  if (contest) {
    $("title").textContent = contest.title[language];
    $("until").textContent = word("until") + new Date(contest.closes).toLocaleString(language === "zh" ? "zh-CN" : "en");
  }
  if (!view) return;
  const good = new Set(view.entries.filter((entry) => !entry.refused).map((entry) => entry.code));
  $("count").textContent = word("count")(good.size, view.seats);
  $("without").textContent = view.seats ? (view.without.length ? word("without") + view.without.join(" ") : word("all")) : "";
  $("rows").replaceChildren(...view.entries.map(row));
}

async function refresh() {
  try {
    contest = contest || await (await fetch("/contest.json")).json();
    view = await (await fetch("/room.json")).json();
    show();
  } catch {
    $("count").textContent = word("lost");
  }
}

$("language").addEventListener("click", () => {
  language = language === "zh" ? "en" : "zh";
  show();
});
setInterval(() => { $("clock").textContent = new Date().toLocaleTimeString(); }, 1000);
setInterval(refresh, 3000);
show();
refresh();
