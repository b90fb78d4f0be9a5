// Follows what happens while the page is looked at. Everything works without this file; it only spares reading again.
"use strict";

const MOST_LINES = 5000;

/** Opens `address` while the page is visible: browsers allow six connections to a server, over all tabs. */
function follow(address, listeners) {
  let source = null;
  let over = false;
  const stop = () => { if (source) source.close(); source = null; };
  const start = () => {
    if (source || over || document.hidden) return;
    source = new EventSource(address);
    for (const [kind, listener] of Object.entries(listeners)) {
      source.addEventListener(kind, (event) => listener(JSON.parse(event.data)));
    }
    source.addEventListener("end", () => { over = true; stop(); });
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", start);
  start();
}

/** Puts new HTML in, and leaves open what was open and the focus where it was. */
function replace(place, html) {
  const opened = new Map([...place.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
  const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
  place.innerHTML = html;
  for (const [id, open] of opened) {
    const one = document.getElementById(id);
    if (one && open) one.open = true;
  }
  const again = focused && document.getElementById(focused);
  if (again) again.focus({ preventScroll: true });
}

for (const place of document.querySelectorAll("[data-live]")) {
  const said = document.querySelector("[data-said]");
  follow(place.dataset.live, {
    picture: (picture) => {
      replace(place, picture.html);
      if (said && said.textContent !== picture.said) said.textContent = picture.said;
    },
  });
}

for (const log of document.querySelectorAll("[data-log]")) {
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
  const label = document.createElement("label");
  label.className = "follow";
  label.append(box, "Follow");
  document.querySelector(".filter.small")?.append(label);
  let waiting = [];
  const write = () => {
    const lines = waiting.splice(0);
    const made = document.createDocumentFragment();
    for (const line of lines) {
      const row = document.createElement("div");
      for (const [kind, text] of [["who", `${line.task} ${line.step}`], ["text", line.text]]) {
        row.append(Object.assign(document.createElement("span"), { className: kind, textContent: text }));
      }
      made.append(row);
    }
    log.querySelector(".empty")?.remove();
    log.append(made);
    while (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
    if (box.checked) log.scrollTop = log.scrollHeight;
  };
  log.addEventListener("scroll", () => {
    box.checked = log.scrollTop + log.clientHeight > log.scrollHeight - 40;
  });
  box.addEventListener("change", () => { if (box.checked) log.scrollTop = log.scrollHeight; });
  follow(log.dataset.log, {
    begin: () => { waiting = []; log.replaceChildren(); },
    trouble: ({ text }) => {
      const told = document.querySelector("[data-trouble]");
      if (told) Object.assign(told, { hidden: false, textContent: `The log cannot be read: ${text}` });
    },
    line: (line) => { if (waiting.push(line) === 1) setTimeout(write, 50); },
  });
}

for (const log of document.querySelectorAll(".log:not([data-log])")) log.scrollTop = log.scrollHeight;

setInterval(() => {
  for (const one of document.querySelectorAll("[data-since]")) {
    const seconds = Math.max(0, Math.round((Date.now() - Date.parse(one.dataset.since)) / 1000));
    const parts = [[Math.floor(seconds / 86400), "d"], [Math.floor(seconds / 3600) % 24, "h"],
      [Math.floor(seconds / 60) % 60, "min"], [seconds % 60, "s"]];
    const from = parts.findIndex(([count]) => count);
    one.textContent = from < 0 ? "0 s"
      : parts.slice(from, from + 2).filter(([count]) => count).map(([count, unit]) => `${count} ${unit}`).join(" ");
  }
}, 1000);

for (const part of document.querySelectorAll("[data-ticks]")) {
  const boxes = [...part.querySelectorAll("input[type=checkbox]")];
  const told = document.querySelector("[data-count]");
  const count = () => { told.textContent = `${boxes.filter((box) => box.checked).length} of ${boxes.length} ticked`; };
  for (const link of part.querySelectorAll("[data-tick]")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      for (const box of boxes) box.checked = link.dataset.tick === "all";
      count();
    });
  }
  part.addEventListener("change", count);
  count();
}

// Where something was refused, read what first.
document.querySelector(".summary a, [aria-invalid=true], .summary[tabindex]")?.focus();
