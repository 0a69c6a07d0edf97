// Keeps an open page about now, and asks before something is done. Without it every page works, as of when it was loaded.
"use strict";

const live = document.getElementById("live");
const connection = document.getElementById("connection");

/** Which parts of the page somebody has opened, so that what comes in their place is open too. */
function opened() {
  return [...live.querySelectorAll("details")].map((part) => part.open);
}

/** Puts what came in the place of what is there. Not while something of it is selected or has the focus. */
function show(html) {
  const selection = document.getSelection();
  const busy = live.contains(document.activeElement) || (!selection.isCollapsed && live.contains(selection.anchorNode));
  if (busy) return;
  const parts = opened();
  const log = live.querySelector(".log");
  const atEnd = !log || log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
  const scrolled = log ? log.scrollTop : 0;
  live.innerHTML = html;
  live.querySelectorAll("details").forEach((part, at) => (part.open = parts[at] ?? false));
  const now = live.querySelector(".log");
  if (now) now.scrollTop = atEnd ? now.scrollHeight : scrolled;
}

if (live) {
  const log = live.querySelector(".log");
  if (log) log.scrollTop = log.scrollHeight;
  const stream = new EventSource(location.pathname + location.search);
  const state = connection.textContent;
  stream.onopen = () => (connection.textContent = state);
  stream.onerror = () => (connection.textContent = "not connected");
  stream.onmessage = (event) => show(event.data);
  addEventListener("pagehide", () => stream.close());
}

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.confirm;
  if (question && !confirm(question)) event.preventDefault();
});

/** Letters that lead to the pages, as g does in many programs: g o, g t, g l, g s, g i. */
let before = "";
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, select, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const places = { o: "/", t: "/traces", l: "/logs", s: "/sagas", i: "/timeline", m: "/manifest" };
  if (before === "g" && places[event.key]) location.assign(places[event.key]);
  before = event.key;
});
