"use strict";
// What the server tells is patched in, row by row, a few in each frame. Texts are only ever
// set as texts: anybody may have written them.

const span = 15 * 60;
const least = 0.015;      // share of a strip that can be seen, however short it was
const budget = 8;         // ms of a frame for rows
const mostSilent = 25;    // seconds; the server says something every 10
const rows = new Map();   // by id: {data, tr, parts}
const tables = new Map(); // by parent and host: tbody
const told = new Map();   // by id: what the server told, to be taken in
const dirty = new Set();  // ids of rows to be drawn
let offset = 0;           // the server's seconds are performance.now()/1000 + offset
let news = { listed: false, lost: "", gap: "", left: 0 };
let connected = false;
let drawing = false;
let source;
let heard = 0;            // when the server was heard of, or asked, in seconds

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

// segments returns what a row was within the last 15 minutes, as shares of them, oldest
// first. From now backwards: what is as short as a flap gets room from what was before.
function segments(data, now) {
  const found = [];
  let to = 1;
  for (let i = data.turns.length - 1; i >= 0 && to > 0; i--) {
    const from = Math.max(0, Math.min(1 - (now - data.turns[i]) / span, to - least));
    found.unshift({ colour: i % 2 ? "--down" : "--up", from, to });
    to = from;
  }
  found.unshift({ colour: "--none", from: 0, to }); // before it came, or the server began
  return found;
}

// inWords says what a strip shows.
function inWords(data, now) {
  let up = 0, went = 0;
  data.turns.forEach((turn, i) => {
    const end = i + 1 < data.turns.length ? data.turns[i + 1] : now;
    if (i % 2 === 0) up += Math.max(0, end - Math.max(turn, now - span));
    else if (now - turn <= span) went++;
  });
  return `up for ${forHowLong(up)} of the last 15 minutes, went ${went} ${went === 1 ? "time" : "times"}`;
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
  const stops = segments(data, now).map(s => `var(${s.colour}) ${s.from * 100}%, var(${s.colour}) ${s.to * 100}%`);
  parts.strip.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  parts.strip.setAttribute("aria-label", inWords(data, now));
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

// take takes in what the server told of a row.
function take(data) {
  const row = rows.get(data.id);
  if (row && row.data.key !== data.key) remove(data.id); // of another server's
  if (rows.has(data.id)) rows.get(data.id).data = data; else add(data);
}

// schedule has rows made and drawn, a few in each frame.
function schedule() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const now = serverNow(), end = performance.now() + budget;
    for (const [id, data] of told) {
      if (performance.now() > end) break;
      told.delete(id);
      take(data);
      draw(id, now);
    }
    for (const id of dirty) {
      if (performance.now() > end) break;
      dirty.delete(id);
      draw(id, now);
    }
    if (told.size || dirty.size) schedule();
    drawTotals();
  });
}

function connect() {
  if (source) source.close();
  heard = performance.now() / 1000;
  source = new EventSource("events");
  source.onerror = () => { connected = false; schedule(); };
  source.onmessage = message => {
    news = JSON.parse(message.data);
    connected = true;
    heard = performance.now() / 1000;
    offset = news.now - heard;
    if (news.all) {
      told.clear(); // of before
      const there = new Set(news.rows.map(r => r.id));
      for (const id of [...rows.keys()]) if (!there.has(id)) remove(id);
    }
    for (const data of news.rows) told.set(data.id, data);
    news.rows = null;
    schedule();
  };
}

// A browser does not come back from an answer such as a proxy's 502, and does not notice a
// connection on which nothing arrives.
setInterval(() => {
  if (document.hidden) return;
  const silent = performance.now() / 1000 - heard > mostSilent;
  if (!silent && source.readyState !== EventSource.CLOSED) return;
  connected = false;
  schedule();
  connect();
}, 3000);

// A page that nobody looks at has no frames, and needs no news.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) source?.close(); else connect();
});
if (!document.hidden) connect();

$("filter").addEventListener("input", () => {
  document.body.classList.toggle("filtered", $("filter").value.trim() !== "");
  for (const row of rows.values()) hide(row);
});
// Strips move on.
setInterval(() => { for (const id of rows.keys()) dirty.add(id); schedule(); }, 5000);
