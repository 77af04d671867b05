// The page works without this file. With it, the arrow keys answer, the next pair appears in place once its photos have
// loaded, an extra click does not answer the next pair, and an answer is sent again until it has arrived.
"use strict";

const PACE = 400; // ms that a pair is shown before it can be answered; the server checks it too
const RETRY = 1500; // ms
let busy = false;
let since = performance.now();

const pair = () => document.querySelector("form.pair");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function load(url) {
  const photo = new Image();
  photo.src = url;
  return photo.decode();
}

function preload() {
  for (const url of pair()?.dataset.later.split(" ") ?? []) if (url) load(url).catch(() => {});
}

async function send(form, body) {
  const reply = await fetch(form.action, { method: "POST", body });
  if (!reply.ok) throw new Error(reply.status);
  const page = new DOMParser().parseFromString(await reply.text(), "text/html");
  await Promise.all([...page.querySelectorAll("img")].map((image) => load(image.getAttribute("src"))));
  return page;
}

function trouble(text) {
  let note = document.querySelector(".trouble");
  if (!note) {
    note = document.createElement("p");
    note.className = "trouble";
    note.setAttribute("role", "alert");
    document.querySelector("main").append(note);
  }
  note.textContent = text;
}

function show(page) {
  document.querySelector("main").replaceWith(page.querySelector("main"));
  document.title = page.title;
  document.getElementById("live").textContent = document.querySelector("[data-say]")?.textContent ?? "";
  document.querySelector("h1").focus({ preventScroll: true });
  since = performance.now();
  preload();
}

async function answer(button) {
  if (busy || performance.now() - since < PACE) return;
  busy = true;
  button.classList.add("chosen");
  const body = new URLSearchParams(new FormData(button.form));
  body.set(button.name, button.value);
  for (;;) {
    try {
      show(await send(button.form, body)); // sent twice, it still counts once
      break;
    } catch {
      trouble("The study does not answer. Your choice is not lost: trying again …");
      await pause(RETRY);
    }
  }
  busy = false;
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("form.pair")) return;
  event.preventDefault();
  answer(event.submitter);
});

document.addEventListener("keydown", (event) => {
  const side = { ArrowLeft: "left", ArrowRight: "right" }[event.key];
  if (!side || !pair() || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (!event.repeat) answer(pair().querySelector(`button[value=${side}]`));
});

// A page from the browser's own cache is out of date.
addEventListener("pageshow", (event) => event.persisted && location.reload());

preload();
