"use strict";
// Filters by state, clause and text, kept in the address (#state=FAIL&clause=C8&text=nan); buttons
// that copy a program. Without this script everything is shown.
const form = document.getElementById("filters");
const rows = [...document.querySelectorAll("#properties tbody tr")];
const findings = [...document.querySelectorAll(".finding")];
const groups = [...document.querySelectorAll(".group")];
const names = ["state", "clause", "text"];

function matches(element, wanted) {
  return (!wanted.state || element.dataset.state.split("|").includes(wanted.state))
    && (!wanted.clause || element.dataset.clause === wanted.clause)
    && element.textContent.toLowerCase().includes(wanted.text.toLowerCase());
}

function show() {
  const wanted = Object.fromEntries(names.map((name) => [name, form.elements[name].value.trim()]));
  const fitting = findings.filter((finding) => matches(finding, wanted));
  const found = new Set(fitting.map((finding) => finding.id.slice(finding.id.indexOf("-") + 1)));
  for (const finding of findings) {
    finding.toggleAttribute("data-hidden", !fitting.includes(finding));
    if (fitting.length < 3) finding.open ||= fitting.includes(finding);
  }
  let shown = 0;
  for (const row of rows) {
    const fits = matches(row, wanted) || found.has(row.querySelector("th").textContent);
    row.toggleAttribute("data-hidden", !fits);
    shown += fits;
  }
  for (const group of groups) {
    group.toggleAttribute("data-hidden", !group.querySelector(".finding:not([data-hidden])"));
  }
  document.getElementById("count").textContent = `${shown} of ${rows.length} properties`;
  return wanted;
}

function remember() {
  const wanted = Object.entries(show()).filter(([, value]) => value);
  const words = new URLSearchParams(wanted).toString();
  history.replaceState(null, "", words ? `#${words}` : location.pathname + location.search);
}

function heed() {
  const asked = new URLSearchParams(location.hash.slice(1));
  if (names.some((name) => asked.has(name))) {
    for (const name of names) form.elements[name].value = asked.get(name) || "";
    show();
    return;
  }
  const aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (aim && aim.hasAttribute("data-hidden")) form.reset();
  show();
  if (aim) {
    aim.open = true;
    aim.scrollIntoView();
  }
}

for (const block of document.querySelectorAll(".program")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const code = block.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
      button.textContent = "Selected; press Ctrl+C";
    }
  });
  block.append(button);
}

form.hidden = false;
form.addEventListener("input", remember);
form.addEventListener("submit", (event) => event.preventDefault());
form.addEventListener("reset", () => setTimeout(remember));
addEventListener("hashchange", heed);
heed();
