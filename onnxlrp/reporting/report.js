(() => {
  "use strict";
  document.documentElement.classList.add("js");
  const byId = (id) => document.getElementById(id);

  // The table of the plan, searched by every word that is typed.
  const rows = [...document.querySelectorAll("#plan tbody tr")];
  const texts = rows.map((row) => [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase());
  const search = byId("search");
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, index) => {
      row.hidden = !words.every((word) => texts[index].includes(word));
      shown += row.hidden ? 0 : 1;
    });
    byId("matches").textContent = words.length ? `${shown} of ${rows.length} steps` : "";
  });
  // A link to a row shows the row, whatever was searched for.
  addEventListener("hashchange", () => {
    const row = byId(location.hash.slice(1));
    if (row && row.hidden) {
      search.value = "";
      search.dispatchEvent(new Event("input"));
      row.scrollIntoView();
    }
  });

  const graph = byId("graph");
  if (!graph) return;
  const drawing = graph.querySelector("svg");
  const [wide, high] = [drawing.width.baseVal.value, drawing.height.baseVal.value];
  let scale = 1;
  const zoom = (to) => {
    const middle = (graph.scrollLeft + graph.clientWidth / 2) / scale;
    const top = graph.scrollTop / scale;
    scale = Math.min(4, Math.max(0.1, to));
    drawing.setAttribute("width", wide * scale);
    drawing.setAttribute("height", high * scale);
    graph.scrollLeft = middle * scale - graph.clientWidth / 2;
    graph.scrollTop = top * scale;
  };
  byId("zoom-in").addEventListener("click", () => zoom(scale * 1.25));
  byId("zoom-out").addEventListener("click", () => zoom(scale / 1.25));
  byId("zoom-fit").addEventListener("click", () => zoom((graph.clientWidth - 4) / wide));
  graph.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+") zoom(scale * 1.25);
    else if (event.key === "-") zoom(scale / 1.25);
  });
  graph.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY < 0 ? scale * 1.1 : scale / 1.1);
  }, { passive: false });
  const top = drawing.querySelector("rect"); // the score
  if (top) graph.scrollLeft = top.x.baseVal.value + top.width.baseVal.value / 2 - graph.clientWidth / 2;

  // A click on a node, or Enter, tells about its steps below the drawing.
  const element = (name, text) => {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  };
  const heads = [...document.querySelectorAll("#plan thead th")].map((cell) => cell.textContent);
  const told = (index, whole) => {
    const row = byId(`s${index}`);
    const part = document.createElement("div");
    const link = element("a", row.cells[0].textContent);
    link.href = `#s${index}`;
    part.append(link);
    if (!whole) {
      part.append(`: ${row.cells[1].textContent}, ${row.cells[2].textContent}`);
      return part;
    }
    const list = document.createElement("dl");
    for (let at = 1; at < row.cells.length; at += 1) {
      if (row.cells[at].textContent) list.append(element("dt", heads[at]), element("dd", row.cells[at].textContent));
    }
    const formula = byId(`f${row.dataset.f}`);
    if (formula) list.append(element("dt", "formula"), element("dd", formula.nextElementSibling.textContent));
    part.append(list);
    return part;
  };
  for (const node of graph.querySelectorAll("a")) {
    node.addEventListener("click", (event) => {
      event.preventDefault();
      for (const other of graph.querySelectorAll("a.chosen")) other.classList.remove("chosen");
      node.classList.add("chosen");
      const numbers = node.dataset.rows.split(" ");
      const parts = numbers.slice(0, 60).map((index) => told(index, numbers.length === 1));
      if (numbers.length > 60) parts.push(element("div", `and ${numbers.length - 60} more steps`));
      if (numbers.length > 1) parts.unshift(element("strong", `${numbers.length} steps`));
      byId("node").replaceChildren(...parts);
    });
  }
})();
