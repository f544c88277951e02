"use strict";
// What the server tells is patched in, row by row, a few in each frame. Texts are only ever
// set as texts: anybody may have written them.

const span = 15 * 60;
const perFrame = 40;
const rows = new Map();   // by id: {data, tr, parts}
const tables = new Map(); // by parent and host: tbody
const dirty = new Set();  // ids of rows to be drawn
let offset = 0;           // the server's seconds are performance.now()/1000 + offset
let news = { listed: false, lost: "", gap: "", left: 0 };
let connected = false;
let drawing = false;

const $ = id => document.getElementById(id);
const serverNow = () => performance.now() / 1000 + offset;

function element(name, className, text) {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
}

// forHowLong writes seconds as people read them.
function forHowLong(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + s % 60 + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

// spans returns when a row was up within the last 15 minutes, as shares of them.
function spans(data, now) {
  const found = [];
  for (let i = 0; i < data.turns.length; i += 2) {
    const from = data.turns[i];
    const to = i + 1 < data.turns.length ? data.turns[i + 1] : now;
    const a = Math.max(0, 1 - (now - from) / span), b = Math.max(0, 1 - (now - to) / span);
    if (b > 0) found.push([a, b]);
  }
  return found;
}

function placeOf(data) {
  const id = data.parent + "\n" + data.host;
  if (tables.has(id)) return tables.get(id);
  let section = [...$("all").children].find(s => s.dataset.parent === data.parent);
  if (!section) {
    section = element("section");
    section.dataset.parent = data.parent;
    section.append(element("h2", "", data.parent || "(no parent)"));
    const next = [...$("all").children].find(s => s.dataset.parent > data.parent);
    $("all").insertBefore(section, next || null);
  }
  const table = element("table"), body = element("tbody"), head = element("tr");
  table.dataset.host = data.host;
  table.append(element("caption", "", data.host === "-" ? "no address" : "host " + data.host), element("thead"), body);
  for (const [name, label] of [["", "Address"], ["since", "Since"], ["record", "Record"], ["", "Last 15 minutes"]]) {
    const th = element("th", name, label);
    th.scope = "col";
    head.append(th);
  }
  table.tHead.append(head);
  const next = [...section.querySelectorAll("table")].find(t => t.dataset.host > data.host);
  section.insertBefore(table, next || null);
  tables.set(id, body);
  return body;
}

function add(data) {
  const tr = element("tr"), parts = {
    name: element("th", "state", data.name), since: element("td", "since"), record: element("td", "record"), strip: element("span", "strip"),
  };
  parts.name.scope = "row";
  parts.strip.setAttribute("role", "img");
  const cell = element("td");
  cell.append(parts.strip);
  tr.append(parts.name, parts.since, parts.record, cell);
  tr.dataset.key = data.key;
  const body = placeOf(data);
  let low = 0, high = body.rows.length;
  while (low < high) {
    const middle = low + high >> 1;
    if (body.rows[middle].dataset.key < data.key) low = middle + 1; else high = middle;
  }
  body.insertBefore(tr, body.rows[low] || null);
  const row = { data, tr, parts };
  rows.set(data.id, row);
  return row;
}

function remove(id) {
  const row = rows.get(id);
  rows.delete(id);
  const body = row.tr.parentNode, table = body.parentNode, section = table.parentNode;
  row.tr.remove();
  if (body.rows.length) return;
  tables.delete(row.data.parent + "\n" + row.data.host);
  table.remove();
  if (!section.querySelector("table")) section.remove();
}

function draw(id, now) {
  const row = rows.get(id);
  if (!row) return;
  const { data, tr, parts } = row, last = data.turns[data.turns.length - 1];
  if (!data.up && now - last > span) return remove(id);
  const since = data.up && data.earlier && data.turns.length === 1
    ? "up, longer than this page knows" : (data.up ? "up for " : "gone for ") + forHowLong(now - last);
  tr.classList.toggle("gone", !data.up);
  if (parts.since.textContent !== since) parts.since.textContent = since;
  if (parts.record.textContent !== data.record) { parts.record.textContent = data.record; parts.record.title = data.record; }
  const up = spans(data, now), stops = ["var(--none) 0"];
  let share = 0;
  // Before the server began, or the row came first, nothing is known of it.
  const first = up.length ? up[0][0] : 1;
  stops.push(`var(--none) ${first * 100}%`);
  let at = first;
  for (const [a, b] of up) {
    share += b - a;
    stops.push(`var(--down) ${at * 100}%`, `var(--down) ${a * 100}%`, `var(--up) ${a * 100}%`, `var(--up) ${b * 100}%`);
    at = b;
  }
  stops.push(`var(--down) ${at * 100}%`, "var(--down) 100%");
  parts.strip.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  const downs = Math.floor(data.turns.length / 2);
  parts.strip.setAttribute("aria-label", `up ${Math.round(share * 15)} of the last 15 minutes, went ${downs} times`);
  hide(row);
}

function hide(row) {
  const wanted = $("filter").value.trim().toLowerCase(), d = row.data;
  row.tr.hidden = wanted !== "" && ![d.name, d.host, d.record, d.key].some(t => t.toLowerCase().includes(wanted));
}

function drawTotals() {
  let up = 0, gone = 0;
  const hosts = new Set();
  for (const { data } of rows.values()) {
    if (data.up) { up++; hosts.add(data.host); } else gone++;
  }
  let text = news.listed ? `${up} up on ${hosts.size} ${hosts.size === 1 ? "host" : "hosts"}, ${gone} gone within 15 minutes` : "reading …";
  if (news.left) text += `; there is no room for ${news.left} more`;
  if ($("totals").textContent !== text) $("totals").textContent = text;
  let banner = "";
  if (!connected) banner = "The server of this page does not answer. What is below is what was known last.";
  else if (news.lost) banner = "etcd can't be asked: " + news.lost + ". What is below is what was known last.";
  else if (news.gap) banner = "Something may have been missed: " + news.gap + ".";
  const b = $("banner");
  if (b.textContent !== banner) b.textContent = banner;
  b.hidden = banner === "";
  document.body.classList.toggle("stale", !connected || news.lost !== "");
}

function schedule() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const now = serverNow();
    let count = 0;
    for (const id of dirty) {
      if (count++ >= perFrame) break;
      dirty.delete(id);
      draw(id, now);
    }
    if (dirty.size) schedule();
    drawTotals();
  });
}

const source = new EventSource("events");
source.onopen = () => { connected = true; schedule(); };
source.onerror = () => { connected = false; schedule(); };
source.onmessage = message => {
  const told = JSON.parse(message.data);
  connected = true;
  news = told;
  offset = told.now - performance.now() / 1000;
  if (told.all) {
    const there = new Set(told.rows.map(r => r.id));
    for (const id of [...rows.keys()]) if (!there.has(id)) remove(id);
  }
  queue.push(...told.rows);
  take();
};

// New rows are made a few in each frame, too.
const queue = [];
let taking = false;
function take() {
  if (taking) return;
  taking = true;
  requestAnimationFrame(() => {
    taking = false;
    for (const data of queue.splice(0, perFrame)) {
      const row = rows.get(data.id);
      if (row && row.data.key !== data.key) remove(data.id); // of another server's
      if (rows.has(data.id)) row.data = data; else add(data);
      dirty.add(data.id);
    }
    schedule();
    if (queue.length) take();
  });
}

$("filter").addEventListener("input", () => { for (const row of rows.values()) hide(row); });
// Strips move on.
setInterval(() => { for (const id of rows.keys()) dirty.add(id); schedule(); }, 5000);
