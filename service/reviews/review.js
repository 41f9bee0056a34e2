"use strict";
const at = (id) => document.getElementById(id);
let shown = null, seen = 0, since = null, busy = false, reviewer = "", key = "";

function say(text) { at("message").textContent = text; }

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers.Authorization = "Bearer " + key;
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  if (answer.status === 204) return null;
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error.message + ". " + told.error.hint);
  return told;
}

// Time counts only while the pair is in sight.
function look() {
  const visible = document.visibilityState === "visible";
  if (visible && since === null) since = performance.now();
  if (!visible && since !== null) { seen += performance.now() - since; since = null; }
}

function turn(message) {
  const box = document.createElement("div"), who = document.createElement("span");
  box.className = "text"; box.style.marginBottom = ".5rem"; box.textContent = message.content;
  who.className = "quiet"; who.textContent = message.role; who.style.display = "block";
  box.prepend(who);
  return box;
}

async function next() {
  if (busy) return;
  busy = true;
  try {
    shown = await ask("GET", "/v1/reviews/next?reviewer=" + encodeURIComponent(reviewer));
    at("who").hidden = true; at("verdict").hidden = true;
    at("review").hidden = shown === null;
    if (shown === null) { say("Nothing is left to label. Thank you."); return; }
    at("prompt").replaceChildren(...shown.prompt.map(turn));
    for (const side of ["left", "right"]) {
      at(side).textContent = shown[side]; at(side).classList.remove("chosen");
    }
    at("count").textContent = shown.left_over;
    at("note").value = ""; at("choices").hidden = false;
    say(""); window.scrollTo(0, 0);
    seen = 0; since = null; look();
    document.querySelector("[data-choice]").focus({ preventScroll: true });
  } catch (error) { at("who").hidden = false; say(error.message); } finally { busy = false; }
}

async function choose(choice) {
  if (busy || shown === null || at("choices").hidden) return;
  busy = true;
  try {
    if (since !== null) seen += performance.now() - since;
    since = null;
    const told = await ask("POST", "/v1/reviews/" + shown.id + "/labels",
      { reviewer, choice, seconds: seen / 1000, note: at("note").value });
    at("choices").hidden = true;
    if (at(choice)) at(choice).classList.add("chosen");
    const side = told.preferred === "tie" ? "neither" : "the " + told.preferred + " one";
    at("told").textContent = "The judge prefers " + side +
      (told.agrees === null ? "." : told.agrees ? ", as you do." : ", unlike you.");
    at("principles").replaceChildren(...Object.entries(told.principles).map(([name, p]) => {
      const item = document.createElement("li");
      item.textContent = name + ": left is better with " + (100 * p).toFixed(0) + " %";
      return item;
    }));
    at("verdict").hidden = false; at("next").focus();
  } catch (error) { say(error.message); look(); } finally { busy = false; }
}

at("who").addEventListener("submit", (event) => {
  event.preventDefault();
  reviewer = at("reviewer").value.trim(); key = at("key").value.trim();
  try { localStorage.setItem("charter-reviewer", reviewer); } catch { /* not kept */ }
  if (reviewer) next();
});
for (const button of document.querySelectorAll("[data-choice]")) {
  button.addEventListener("click", () => choose(button.dataset.choice));
}
at("next").addEventListener("click", next);
document.addEventListener("visibilitychange", look);
document.addEventListener("keydown", (event) => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  const choice = { 1: "left", 2: "right", 3: "tie", 0: "skip" }[event.key];
  if (choice) { event.preventDefault(); choose(choice); }
});
try { at("reviewer").value = localStorage.getItem("charter-reviewer") || ""; } catch { /* none */ }
at("reviewer").focus();
