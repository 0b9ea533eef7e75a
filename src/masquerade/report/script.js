"use strict";
// Reading values off by pointing; the page says everything without it.
for (const said of document.querySelectorAll(".live")) said.hidden = false;
for (const svg of document.querySelectorAll(".chart svg")) {
  const lines = [...svg.querySelectorAll("[data-read]")].map((line) => ({
    label: line.dataset.label,
    points: line.dataset.read.split("|").map((p) => p.split(" ")),
  }));
  const read = svg.parentElement.querySelector(".read");
  const rest = read.textContent;
  const cursor = document.createElementNS(svg.namespaceURI, "line");
  cursor.setAttribute("class", "cursor");
  svg.addEventListener("pointermove", (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const near = lines.map(({ label, points }) => ({
      label,
      point: points.reduce((a, b) => (Math.abs(b[0] - at.x) < Math.abs(a[0] - at.x) ? b : a)),
    }));
    const [x, , step] = near[0].point;
    for (const [key, value] of [["x1", x], ["x2", x], ["y1", 10], ["y2", 180]]) cursor.setAttribute(key, value);
    svg.append(cursor);
    const axis = svg.dataset.axis === "steps" ? "step" : svg.dataset.axis;
    read.textContent = `${axis} ${Number(step).toLocaleString("en")}: ` +
      near.map(({ label, point }) => `${label} ${point.slice(3).join(" ")}`).join(", ");
  });
  svg.addEventListener("pointerleave", () => {
    cursor.remove();
    read.textContent = rest;
  });
}
const map = document.querySelector(".map");
if (map) {
  const lens = map.querySelector(".lens");
  const [picture, text] = [lens.querySelector("svg"), lens.querySelector("text")];
  const [, , w, h] = picture.getAttribute("viewBox").split(" ");
  map.addEventListener("pointermove", (event) => {
    const point = event.target.closest("[data-x]");
    lens.toggleAttribute("hidden", !point);
    if (!point) return;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    const left = at.x > 820 ? at.x - 166 : at.x + 16;
    lens.setAttribute("transform", `translate(${left} ${Math.min(Math.max(at.y - 86, 4), 464)})`);
    picture.setAttribute("viewBox", `${point.dataset.x} ${point.dataset.y} ${w} ${h}`);
    text.textContent = point.dataset.label;
  });
  map.addEventListener("pointerleave", () => lens.setAttribute("hidden", ""));
}
