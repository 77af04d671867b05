// Sends photos in small batches, asks for the order as long as the page is open, and shows it. All state is the server's:
// a reload or a second window shows the same. Only the photo that waits for its comparison is this window's own.
"use strict";

const BATCH = 8; // photos of a request
const BATCH_BYTES = 16 * 2 ** 20;
const SOON = 600, LATER = 2500; // ms between two questions, while photos are being ranked and otherwise
const MOST_BYTES = Number(document.body.dataset.mostBytes);
const $ = (selector, within = document) => within.querySelector(selector);
const outbox = [];
let sending = false, total = 0, unsent = 0; // of the files that this window sends
let state = { version: "", waiting: 0, units: [], refused: [], refusals: 0 };
let first = null; // the key of the photo to compare with the next one
let shown = []; // the keys in the dialog
const photos = new Map(); // key -> what the server said of it, with its rank
const cards = new Map(); // key of the best photo of a unit -> its card

const post = (url, body) => fetch(url, { method: "POST", body });
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

function trouble(text) {
  $("#trouble").hidden = !text;
  $("#trouble").textContent = text;
}

function add(files) { // [name, File] each
  const wanted = files.filter(([name]) => !name.split("/").some((part) => part.startsWith(".")));
  outbox.push(...wanted);
  total = (sending ? total : 0) + wanted.length;
  if (!sending && wanted.length) send();
}

async function send() {
  sending = true;
  unsent = 0;
  while (outbox.length) {
    progress();
    const body = new FormData();
    let bytes = 0, count = 0;
    for (; count < BATCH && outbox.length; count++) {
      const [name, file] = outbox[0];
      if (file.size > MOST_BYTES) body.append("too_large", name);
      else if (count && bytes + file.size > BATCH_BYTES) break;
      else { body.append("photo", file, name); bytes += file.size; }
      outbox.shift();
    }
    try {
      const reply = await post("photos", body);
      if (!reply.ok) throw new Error(reply.status);
    } catch {
      unsent += count;
    }
  }
  sending = false;
  if (unsent) trouble(`${plural(unsent, "file")} could not be sent. Drop them again; photos that arrived are not taken twice.`);
  progress();
}

async function read(entry) { // a dropped file or folder, as [path, File] each
  if (entry.isFile) return [[entry.fullPath.slice(1), await new Promise((done, failed) => entry.file(done, failed))]];
  const reader = entry.createReader(), found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed)); // 100 at a time
    if (!some.length) return found;
    for (const one of some) found.push(...(await read(one)));
  }
}

async function drop(event) {
  event.preventDefault();
  $("#drop").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  for (const entry of entries) add(await read(entry).catch(() => (trouble(`${entry.name} cannot be read.`), [])));
}

async function ask() {
  try {
    const reply = await fetch(`state?known=${state.version}`);
    if (!reply.ok) throw new Error(reply.status);
    if ($("#trouble").dataset.gone) { delete $("#trouble").dataset.gone; trouble(""); }
    if (reply.status === 200) { state = await reply.json(); show(); }
  } catch {
    $("#trouble").dataset.gone = "yes";
    trouble("The page's program does not answer. If you stopped it, start ipa-jax serve again and open its new address.");
  }
  setTimeout(ask, sending || state.waiting ? SOON : LATER);
}

function progress() {
  const ranked = photos.size, left = outbox.length;
  $("#progress").hidden = !sending && !state.waiting;
  $("#progress progress").max = ranked + state.waiting + left || 1;
  $("#progress progress").value = ranked;
  $("#progress span").textContent = `${plural(ranked, "photo")} ranked` + (sending ? `, ${total - left} of ${total} sent` : `, ${state.waiting} to go`);
}

function show() {
  photos.clear();
  for (const { rank, photos: members } of state.units) for (const photo of members) photos.set(photo.key, { ...photo, rank });
  const picks = [...photos.values()].filter((photo) => photo.picked).length;
  $("#title").textContent = (photos.size ? plural(photos.size, "photo") : "Photos") + ` of ${document.body.dataset.account}, best first`;
  $("#said").textContent = photos.size ? `${plural(photos.size, "photo")} ranked, ${state.waiting} to go, ${plural(picks, "pick")} of yours` : "";
  $("#refused").hidden = !state.refusals;
  $("#refused summary").textContent = `${plural(state.refusals, "file")} not taken`;
  $("#refused ul").replaceChildren(...state.refused.map(([name, reason]) => {
    const line = document.createElement("li");
    line.textContent = `${name}: ${reason}`;
    return line;
  }));
  gallery();
  if ($("#compare").open) shown.every((key) => photos.has(key)) ? sides() : $("#compare").close();
  progress();
}

function gallery() {
  const focused = document.activeElement;
  let place = $("#gallery").firstElementChild;
  const kept = new Set();
  for (const unit of state.units) {
    const key = unit.photos[0].key;
    if (!cards.has(key)) cards.set(key, card(key));
    const one = cards.get(key);
    kept.add(key);
    fill(one, unit);
    if (one === place) place = place.nextElementSibling;
    else $("#gallery").insertBefore(one, place);
  }
  for (const [key, one] of cards) if (!kept.has(key)) { one.remove(); cards.delete(key); }
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

function card(key) {
  const one = $("#card").content.firstElementChild.cloneNode(true);
  $("img", one).src = `photo/${key}/small`;
  $(".pick", one).onclick = () => pick(key);
  $(".choose", one).onclick = () => choose(key);
  $("details", one).ontoggle = async (event) => { // the most similar posts stay the same, whatever else arrives
    const place = $("details div", one);
    if (!event.target.open || place.childElementCount) return;
    const reply = await fetch(`similar/${key}`).catch(() => null);
    if (reply?.ok) place.replaceChildren(...new DOMParser().parseFromString(await reply.text(), "text/html").body.children);
    else place.textContent = "The posts cannot be shown now. Close this and open it again.";
  };
  return one;
}

function fill(one, { rank, note, photos: [best, ...others] }) {
  one.classList.toggle("first", rank === 1);
  one.classList.toggle("picked", best.picked);
  $("img", one).alt = `${best.name}, place ${rank}`;
  $(".rank", one).textContent = rank;
  $(".name", one).textContent = best.name;
  words(one, best);
  $(".note", one).textContent = note;
  $(".choose", one).setAttribute("aria-pressed", first === best.key);
  $(".members", one).hidden = !others.length;
  $(".members", one).replaceChildren(...others.map((other) => {
    const button = document.createElement("button"), image = new Image();
    button.type = "button";
    button.title = `Compare ${other.name} with the best`;
    button.classList.toggle("picked", other.picked);
    image.alt = other.name;
    image.src = `photo/${other.key}/small`;
    button.append(image);
    button.onclick = () => open([best.key, other.key]);
    return button;
  }));
}

function words(place, photo) {
  $(".expected", place).textContent = photo.expected;
  $(".why", place).textContent = photo.why;
  const button = $(".pick", place);
  button.textContent = photo.picked ? "★ My pick" : "☆ Pick";
  button.setAttribute("aria-pressed", photo.picked);
  button.setAttribute("aria-label", `My pick: ${photo.name}`);
}

async function pick(key) {
  const body = new URLSearchParams({ key, on: photos.get(key).picked ? "0" : "1" });
  const reply = await post("pick", body).catch(() => null);
  if (!reply?.ok) return trouble("Your pick was not kept. Please try again.");
  photos.get(key).picked = body.get("on") === "1";
  for (const { photos: members } of state.units) for (const photo of members) photo.picked = photos.get(photo.key).picked;
  show();
}

function choose(key) {
  if (first && first !== key) open([first, key]);
  first = first ? null : key;
  $("#bar").hidden = !first;
  gallery();
}

function open(keys) {
  shown = keys;
  $("#compare .two").replaceChildren(...keys.map((key) => {
    const side = $("#side").content.firstElementChild.cloneNode(true);
    $("img", side).src = `photo/${key}/large`;
    $(".pick", side).onclick = () => pick(key);
    return side;
  }));
  sides();
  $("#compare").showModal();
}

function sides() {
  shown.forEach((key, place) => {
    const side = $("#compare .two").children[place], photo = photos.get(key);
    $("img", side).alt = photo.name;
    $(".name b", side).textContent = `${photo.rank}.`;
    $(".name span", side).textContent = photo.name;
    words(side, photo);
  });
}

for (const id of ["files", "folder"]) {
  $(`#${id}`).onchange = ({ target }) => {
    add([...target.files].map((file) => [file.webkitRelativePath || file.name, file]));
    target.value = ""; // so that the same files can be chosen again
  };
}
document.ondragover = (event) => { event.preventDefault(); $("#drop").classList.add("over"); };
document.ondragleave = (event) => { if (!event.relatedTarget) $("#drop").classList.remove("over"); };
document.ondrop = drop;
$("#bar button").onclick = () => choose(first);
ask();
