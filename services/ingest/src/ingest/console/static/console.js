"use strict";
// The pages work without this file; it keeps them up to date and saves clicks. No library, no inline code.

const FRAGMENT = { "X-Console-Fragment": "1" };
const FAST_MS = 2000;
const SLOW_MS = 10000;
const FAST_FOR_MS = 5 * 60 * 1000;

// Times in the zone of the reader, UTC in the title. ------------------------------------------------------------------
const sameYear = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]:not([title])")) {
    const moment = new Date(time.dateTime);
    const year = moment.getFullYear() === new Date().getFullYear() ? {} : { year: "numeric" };
    time.title = time.textContent;
    time.textContent = moment.toLocaleString(undefined, { ...sameYear, ...year });
  }
}

// Copy buttons. ---------------------------------------------------------------------------------------------------------
function copyButtons(root) {
  if (!navigator.clipboard) return;
  for (const button of root.querySelectorAll("button[data-copy][hidden]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      const label = button.querySelector("span");
      const text = label.textContent;
      label.textContent = "Copied";
      setTimeout(() => { label.textContent = text; }, 1500);
    });
  }
}

// A piece of a page, exchanged while it changes. ---------------------------------------------------------------------
function replace(place, html) {
  const focused = document.activeElement;
  const inside = place.contains(focused) && focused.id;
  const typed = inside && "value" in focused ? focused.value : null;
  place.innerHTML = html;
  enhance(place);
  if (!inside) return;
  const again = document.getElementById(focused.id);
  if (again && typed !== null) again.value = typed;
  if (again) again.focus();
}

function keepUpToDate(place) {
  if ("final" in place.dataset) return;
  const began = Date.now();
  const offline = document.querySelector("[data-offline]");
  let version = null;
  let timer = 0;
  async function ask() {
    if (document.hidden) return;
    try {
      const headers = version ? { ...FRAGMENT, "If-None-Match": version } : FRAGMENT;
      const answer = await fetch(place.dataset.live, { headers, cache: "no-store" });
      if (answer.status === 401) return location.reload();
      if (offline) offline.hidden = answer.ok || answer.status === 304;
      if (answer.ok) {
        version = answer.headers.get("ETag");
        replace(place, await answer.text());
      }
      if (answer.headers.get("X-Console-Final")) return finish(place);
    } catch {
      if (offline) offline.hidden = false;
    }
    plan();
  }
  function plan() {
    clearTimeout(timer);
    timer = setTimeout(ask, Date.now() - began < FAST_FOR_MS ? FAST_MS : SLOW_MS);
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !("final" in place.dataset)) ask();
  });
  plan();
}

function finish(place) {
  // What stands below, such as the tabs, is as old as the page.
  place.dataset.final = "";
  if ("reload" in place.dataset) location.reload();
}

// A new batch: the sheet is checked as soon as it is there, and again with every choice. -----------------------------
function newBatch(form) {
  const file = form.elements.file;
  const pasted = form.elements.csv_text;
  const start = form.querySelector("[data-needs-sheet]");
  if (start) start.disabled = true;
  let asked = 0;

  async function check(extra) {
    const mine = ++asked;
    const checked = form.querySelector("#checked");
    const data = new FormData(form);
    data.set("do", "check");
    for (const [name, value] of Object.entries(extra || {})) data.set(name, value);
    checked.classList.add("checking");
    try {
      const answer = await fetch(form.action, { method: "POST", body: data, headers: FRAGMENT });
      if (answer.status === 401) return location.reload();
      const text = await answer.text();
      if (mine !== asked) return;
      const page = new DOMParser().parseFromString(text, "text/html");
      for (const id of ["checked", "ready"]) {
        const found = page.getElementById(id);
        if (found) replace(document.getElementById(id), found.innerHTML);
        else if (id === "checked") checked.textContent = text;
      }
    } catch {
      document.getElementById("ready").querySelector("p").textContent = "The check did not get through. Try again.";
    } finally {
      checked.classList.remove("checking");
    }
  }

  function fresh(extra) {
    // A new sheet: what was chosen for the one before does not count.
    document.getElementById("checked").textContent = "";
    check(extra);
  }

  function take(files) {
    if (!files || !files.length) return;
    file.files = files;
    fresh();
  }

  file.addEventListener("change", () => { pasted.value = ""; if (file.files.length) fresh(); });
  pasted.addEventListener("change", () => { file.value = ""; if (pasted.value.trim()) fresh(); });
  form.addEventListener("change", (event) => { if ("check" in event.target.dataset) check(); });
  form.addEventListener("click", (event) => {
    const tried = event.target.closest("[data-try]");
    if (tried) {
      event.preventDefault();
      tried.disabled = true;
      tried.textContent = "Trying …";
      check({ do: "try" });
    }
    const sample = event.target.closest("[data-sample]");
    if (!sample) return;
    event.preventDefault();
    file.value = pasted.value = "";
    fresh({ sample: "1" });
  });
  for (const name of ["dragenter", "dragover"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      document.body.classList.add("dropping");
    });
  }
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    take(event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    if (event.target.closest("input, textarea")) return;
    const text = event.clipboardData.getData("text");
    if (event.clipboardData.files.length) return take(event.clipboardData.files);
    if (!text.trim()) return;
    pasted.value = text;
    pasted.closest("details").open = true;
    file.value = "";
    fresh();
  });
}

// Before and after. -----------------------------------------------------------------------------------------------------
function compare(place) {
  const range = place.querySelector("input[type=range]");
  const stage = place.querySelector(".stage");
  const whole = place.querySelector("[data-whole]");
  const before = place.querySelector(".before");

  function show() {
    stage.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${Math.round(range.value)} percent before`);
  }
  function set(value) {
    range.value = value;
    show();
  }
  range.addEventListener("input", show);
  place.querySelectorAll("[data-at]").forEach((button) => {
    button.addEventListener("click", () => set(button.dataset.at));
  });
  whole.addEventListener("click", () => {
    const on = stage.classList.toggle("whole");
    whole.setAttribute("aria-pressed", String(on));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input:not([type=range]), textarea, select")) return;
    const at = { 1: 100, 2: 50, 3: 0 }[event.key];
    if (at !== undefined) set(at);
    if (event.target === range) return;
    const rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
    const link = rel && document.querySelector(`a[rel=${rel}]`);
    if (link) link.click();
  });
  stage.addEventListener("pointermove", (event) => {
    if (!(event.buttons & 1)) return;
    const box = before.getBoundingClientRect();
    set(Math.min(100, Math.max(0, ((event.clientX - box.left) / box.width) * 100)));
  });
  show();
  tellOfSource(place, before);
}

async function tellOfSource(place, before) {
  // The picture is in the browser's cache by now; its answer says whether the source is still the one that it was.
  if (!before.complete) await new Promise((done) => { before.onload = before.onerror = done; });
  const answer = await fetch(before.src, { cache: "force-cache", headers: before.naturalWidth ? {} : FRAGMENT });
  if (answer.headers.get("X-Source-Changed") === "yes") place.querySelector("[data-changed]").hidden = false;
  if (answer.ok) return;
  const failed = place.querySelector("[data-failed]");
  failed.querySelector("div").textContent = `The source cannot be shown. ${await answer.text()}`;
  failed.hidden = false;
}

// Everything that a page or a new piece of one needs. --------------------------------------------------------------
function enhance(root) {
  localTimes(root);
  copyButtons(root);
  for (const picture of root.querySelectorAll("img.thumb")) {
    picture.addEventListener("error", () => { picture.removeAttribute("src"); });
  }
  for (const control of root.querySelectorAll("[data-submit]")) {
    control.addEventListener("change", () => control.form.requestSubmit());
  }
}

document.documentElement.classList.add("script");
enhance(document);
document.querySelectorAll("[data-live]").forEach(keepUpToDate);
document.querySelectorAll("[data-compare]").forEach(compare);
document.querySelectorAll("[data-new]").forEach(newBatch);
