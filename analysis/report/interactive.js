// The interactive page: draws what `interactive_data.py` packed. Names reach the page as text, never as HTML.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const make = (tag, text = "", properties = {}) =>
    Object.assign(document.createElement(tag), { textContent: text }, properties);
  const B = data.bins, A = data.arms.length, M = data.measures.length;
  const MISSING = -32768, FAMILIES = { exposure: "Exposure", tastes: "Tastes", echo: "Echo", welfare: "Welfare", groups: "Parts of the population" };
  const centers = Array.from({ length: B }, (_, bin) => Math.min((bin + 0.5) * data.width - 0.5, data.rounds - 1));
  const state = { measure: Math.max(data.measures.findIndex((m) => m.primary), 0), point: 0, reference: data.reference, from: 0, to: data.rounds - 1, bands: true, log: false, round: data.rounds - 1, shown: new Set(data.arms.keys()) };

  // --- numbers

  function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Int16Array(bytes.buffer);
  }
  const packs = [
    { numbers: unpack(data.curves.numbers), scales: data.curves.scales, rows: A },
    { numbers: unpack(data.differences.numbers), scales: data.differences.scales, rows: data.pairs.length },
  ];
  const pairs = new Map();
  data.pairs.forEach(([here, there], row) => { pairs.set(`${here},${there}`, [row, 1]); pairs.set(`${there},${here}`, [row, -1]); });

  function series(pack, measure, row, sign = 1) {
    const cell = state.point * M + measure;
    const [offset, step, halfStep] = pack.scales[cell];
    const start = (cell * pack.rows + row) * 2 * B;
    const found = { bins: [], mean: [], half: [] };
    for (let bin = 0; bin < B; bin++) {
      const mean = pack.numbers[start + bin], half = pack.numbers[start + B + bin];
      if (mean === MISSING) continue;
      found.bins.push(bin);
      found.mean.push(sign * (offset + mean * step));
      found.half.push(half === MISSING ? NaN : half * halfStep);
    }
    return found;
  }
  const values = (measure, arm) => series(packs[0], measure, arm);
  function gap(measure, arm) {
    const [row, sign] = pairs.get(`${arm},${state.reference}`) ?? [];
    return row === undefined ? { bins: [], mean: [], half: [] } : series(packs[1], measure, row, sign);
  }

  // --- words

  const sign = (text) => text.replaceAll("-", "−");
  function plain(value) {
    if (Math.abs(value) >= 1000) return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
    if (value !== 0 && Math.abs(value) < 1e-4) return value.toExponential(1);
    return String(Number(value.toPrecision(4)));
  }
  function written(measure, value, difference) {
    const plus = difference && value > 0 ? "+" : "";
    if (!data.measures[measure].share) return sign(plus + plain(value));
    return sign(plus + (100 * value).toFixed(Math.abs(value) < 0.01 ? 2 : 1)) + (difference ? " pp" : " %");
  }
  function formatted(measure, found, place, difference) {
    const mean = found.mean[place], half = found.half[place];
    const text = written(measure, mean, difference);
    return Number.isNaN(half) ? text : `${text} [${written(measure, mean - half, difference)} to ${written(measure, mean + half, difference)}]`;
  }
  function rounds(bin) {
    const first = bin * data.width, last = Math.min(first + data.width, data.rounds) - 1;
    return first === last ? `round ${first}` : `rounds ${first} to ${last}`;
  }
  const short = (name) => (name.length > 40 ? `${name.slice(0, 26)}…${name.slice(-13)}` : name);
  // Plotly reads a little HTML in its labels: a name must stay a name.
  const literal = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  // --- charts

  function limits(lines, difference, bounds) {
    let low = Infinity, high = -Infinity, bottom = Infinity, top = -Infinity;
    for (const { found } of lines)
      found.bins.forEach((bin, place) => {
        if (centers[bin] < state.from - data.width / 2 || centers[bin] > state.to + data.width / 2) return;
        const mean = found.mean[place], half = state.bands ? found.half[place] || 0 : 0;
        low = Math.min(low, mean); high = Math.max(high, mean);
        bottom = Math.min(bottom, mean - half); top = Math.max(top, mean + half);
      });
    if (low === Infinity) return null;
    if (state.log && !difference) return [Math.log10(low) - 0.05, Math.log10(high) + 0.05];
    // Bands of few seeds do not press the lines into one: they are cut off, as in the report.
    const room = Math.max(0.6 * (high - low), 0.2 * (top - bottom));
    low = Math.max(bottom, low - room); high = Math.min(top, high + room);
    if (difference) { low = Math.min(low, 0); high = Math.max(high, 0); }
    else if (bounds.low !== null) low = Math.max(low, bounds.low);
    const pad = 0.06 * (high - low) || 0.05 * Math.abs(high) || 0.05;
    const floor = low >= 0 && low < 0.4 * high ? 0 : low - pad;
    return [difference || bounds.low === null ? floor : Math.max(floor, bounds.low), high + pad];
  }

  function traces(measure, lines, difference, range) {
    const factor = difference && data.measures[measure].share ? 100 : 1;
    const floor = state.log && !difference ? 10 ** range[0] : -Infinity;
    const drawn = [];
    for (const { arm, found } of lines) {
      const x = found.bins.map((bin) => centers[bin]), style = data.styles[arm];
      const banded = found.bins.map((_, place) => place).filter((place) => !Number.isNaN(found.half[place]));
      if (state.bands && banded.length)
        drawn.push({
          x: [...banded.map((place) => x[place]), ...banded.map((place) => x[place]).reverse()],
          y: [...banded.map((place) => factor * (found.mean[place] + found.half[place])), ...banded.map((place) => factor * Math.max(found.mean[place] - found.half[place], floor)).reverse()],
          type: "scatter", mode: "lines", fill: "toself", line: { width: 0 }, fillcolor: `${style.color}22`, hoverinfo: "skip", showlegend: false,
        });
      drawn.push({
        x, y: found.mean.map((value) => factor * value), type: "scatter", mode: found.bins.length > 1 ? "lines" : "markers",
        line: { color: style.color, width: 2, dash: style.dash }, marker: { color: style.color, size: 8 }, showlegend: false,
        customdata: found.bins.map((bin, place) => `<b>${style.letter}</b> ${literal(short(data.arms[arm]))}<br>${rounds(bin)}<br>${formatted(measure, found, place, difference)}`),
        hovertemplate: "%{customdata}<extra></extra>", meta: arm,
      });
    }
    return drawn;
  }

  function letters(lines, range, height, difference) {
    const log = state.log && !difference, ends = [];
    for (const { arm, found } of lines) {
      const last = found.bins.findLastIndex((bin) => centers[bin] <= state.to + data.width / 2);
      if (last < 0) continue;
      const value = log ? Math.log10(found.mean[last]) : found.mean[last];
      ends.push({ arm, at: (value - range[0]) / (range[1] - range[0]) });
    }
    ends.sort((one, other) => one.at - other.at);
    const step = Math.min(13 / height, 1 / Math.max(ends.length - 1, 1));
    for (let pass = 0; pass < 60; pass++)
      for (let i = 1; i < ends.length; i++) {
        const overlap = step - (ends[i].at - ends[i - 1].at);
        if (overlap > 0) { ends[i].at += overlap / 2; ends[i - 1].at -= overlap / 2; }
      }
    return ends.map(({ arm, at }) => ({ text: `<b>${data.styles[arm].letter}</b>`, x: 1, xref: "paper", xanchor: "left", xshift: 4, y: Math.min(Math.max(at, 0), 1), yref: "paper", yanchor: "middle", showarrow: false, font: { color: data.styles[arm].ink, size: 12 } }));
  }

  function draw(chart, measure, lines, range, difference) {
    const { share, unit, title } = data.measures[measure], log = state.log && !difference;
    const factor = difference && share ? 100 : 1;
    const height = chart.clientHeight - 54;
    const line = (extra) => ({ type: "line", line: { color: "#767676", width: 1, ...extra.line }, ...extra.at });
    const upright = (round, dash) => line({ line: { dash }, at: { x0: round, x1: round, y0: 0, y1: 1, yref: "paper" } });
    const shapes = data.marks[state.point].map((mark) => upright(mark, "dot"));
    shapes.push(upright(state.round, "solid"));
    if (difference) shapes.push(line({ line: {}, at: { x0: 0, x1: 1, xref: "paper", y0: 0, y1: 0 } }));
    const text = difference && share ? "percentage points" : share ? "" : unit;
    const layout = {
      margin: { l: 62, r: 30, t: 8, b: 46 }, font: { size: 12, color: "#404040" }, hovermode: "closest", showlegend: false, dragmode: "zoom",
      xaxis: { title: { text: "round", standoff: 6 }, range: state.from < state.to ? [state.from, state.to] : [state.from - 0.5, state.from + 0.5], gridcolor: "#eeeeee", zeroline: false, nticks: 6 },
      yaxis: { title: { text: literal(text), standoff: 4 }, range: (range ?? [0, 1]).map((end) => end * factor), type: log ? "log" : "linear", gridcolor: "#e2e2e2", zeroline: false, automargin: false, nticks: 6, ...(share && !difference ? { tickformat: ".4~p" } : { tickformat: ",.4~g" }) },
      shapes, annotations: range ? letters(lines, range, height, difference) : [{ text: lines.length ? "no value here" : "every arm is hidden", x: 0.5, y: 0.5, xref: "paper", yref: "paper", showarrow: false }],
      paper_bgcolor: "#ffffff", plot_bgcolor: "#ffffff",
    };
    Plotly.react(chart, range ? traces(measure, lines, difference, range) : [], layout, { displayModeBar: false, responsive: true });
    const names = lines.map(({ arm }) => data.arms[arm]).join(", ") || "no arm";
    chart.setAttribute("aria-label", `${difference ? "Differences from " + data.arms[state.reference] + " in" : "Curves of"} ${title} over rounds: ${names}. The values stand in the table below.`);
  }

  function card(holder, place, title) {
    if (!holder.children[place]) {
      const box = make("div");
      box.append(make("h3"), make("div", "", { className: "chart" }));
      box.lastChild.setAttribute("role", "img");
      holder.append(box);
    }
    const box = holder.children[place];
    box.firstChild.textContent = title;
    return box.lastChild;
  }

  function charts(id, group, difference) {
    const holder = element(id), arms = [...data.arms.keys()].filter((arm) => state.shown.has(arm) && !(difference && arm === state.reference));
    while (holder.children.length > group.length) { Plotly.purge(holder.lastChild.lastChild); holder.lastChild.remove(); }
    // All cards are there before the first is drawn, so that each knows its width.
    const places = group.map((measure, place) => card(holder, place, data.measures[measure].title));
    const lines = group.map((measure) => arms.map((arm) => ({ arm, found: (difference ? gap : values)(measure, arm) })).filter(({ found }) => found.bins.length));
    const alike = new Set(group.map((measure) => data.measures[measure].unit)).size === 1;
    const bounds = group.map((measure) => data.measures[measure]);
    const joint = alike ? limits(lines.flat(), difference, bounds[0]) : null;
    group.forEach((measure, place) => draw(places[place], measure, lines[place], lines[place].length ? joint ?? limits(lines[place], difference, bounds[place]) : null, difference));
  }

  // --- the page

  function table() {
    const group = data.measures[state.measure].group, head = make("tr"), body = make("tbody");
    head.append(make("th", "Arm", { scope: "col" }));
    for (const measure of group) head.append(make("th", data.measures[measure].title, { scope: "col" }), make("th", `${data.measures[measure].title}, minus ${data.styles[state.reference].letter}`, { scope: "col" }));
    for (const arm of [...data.arms.keys()].filter((arm) => state.shown.has(arm))) {
      const row = make("tr"), name = make("th", "", { scope: "row" }), letter = make("b", data.styles[arm].letter);
      letter.style.color = data.styles[arm].ink;
      name.append(letter, ` ${data.arms[arm]}`);
      row.append(name);
      for (const measure of group)
        for (const difference of [false, true]) {
          const found = (difference ? gap : values)(measure, arm);
          const last = found.bins.findLastIndex((bin) => bin * data.width <= state.round);
          const cell = make("td"), [value, interval] = (last < 0 ? "–" : formatted(measure, found, last, difference)).split(/ (?=\[)/);
          cell.append(value);
          if (interval) cell.append(make("br"), make("span", interval, { className: "muted" }));
          row.append(cell);
        }
      body.append(row);
    }
    const top = make("thead");
    top.append(head);
    element("table").replaceChildren(top, body);
    element("which").textContent = rounds(Math.floor(state.round / data.width)).replace(/^rounds? /, "");
  }

  function update() {
    const { group, name } = data.measures[state.measure];
    const lowest = Math.min(...group.flatMap((measure) => [...data.arms.keys()].flatMap((arm) => values(measure, arm).mean)));
    element("log").disabled = !(lowest > 0);
    element("why").textContent = lowest > 0 ? "" : "(only where all values are above zero)";
    state.log = element("log").checked && lowest > 0;
    element("together").textContent = group.length > 1 ? "These are read together: none of them says much alone." : "";
    element("gaps-title").textContent = `Paired differences from ${data.arms[state.reference]}`;
    charts("values", group, false);
    charts("differences", group, true);
    table();
    for (const button of element("arms").children) button.setAttribute("aria-pressed", String(state.shown.has(Number(button.dataset.arm))));
    element("status").textContent = `${state.shown.size} of ${A} arms shown; measure ${name}.`;
  }

  function options(select, entries, chosen) {
    for (const [value, text, parent] of entries) (parent ?? select).append(make("option", text, { value }));
    select.value = chosen;
  }
  const families = new Map();
  data.measures.forEach(({ family }) => { if (!families.has(family)) families.set(family, make("optgroup", "", { label: FAMILIES[family] ?? family })); });
  for (const key of [...Object.keys(FAMILIES), ...families.keys()]) if (families.has(key)) element("measure").append(families.get(key));
  options(element("measure"), data.measures.map(({ title, name, family }, place) => [place, `${title} (${name})`, families.get(family)]), state.measure);
  options(element("point"), data.points.map((label, place) => [place, `${place + 1}. ${label}`]), 0);
  element("at").hidden = data.points.length < 2;
  const compared = [...data.arms.keys()].filter((arm) => arm === data.reference || data.arms.every((_, other) => other === arm || pairs.has(`${other},${arm}`)));
  options(element("reference"), compared.map((arm) => [arm, `${data.styles[arm].letter}  ${data.arms[arm]}`]), state.reference);

  data.arms.forEach((arm, place) => {
    const button = make("button", "", { type: "button" }), style = data.styles[place], space = "http://www.w3.org/2000/svg";
    const sample = document.createElementNS(space, "svg"), line = document.createElementNS(space, "line"), letter = make("b", style.letter);
    for (const [key, value] of Object.entries({ x1: 0, x2: 28, y1: 5, y2: 5, stroke: style.color, "stroke-width": 2.5, "stroke-dasharray": style.dash === "solid" ? "none" : style.dash })) line.setAttribute(key, value);
    sample.setAttribute("aria-hidden", "true");
    sample.append(line);
    letter.style.color = style.ink;
    button.dataset.arm = place;
    button.append(sample, letter, make("span", arm));
    button.addEventListener("click", () => { if (!state.shown.delete(place)) state.shown.add(place); update(); });
    element("arms").append(button);
  });
  for (const [id, all] of [["all", true], ["none", false]])
    element(id).addEventListener("click", () => { state.shown = new Set(all ? data.arms.keys() : []); update(); });
  for (const key of ["measure", "point", "reference"])
    element(key).addEventListener("change", (event) => { state[key] = Number(event.target.value); update(); });
  for (const key of ["bands", "log"]) element(key).addEventListener("change", (event) => { state[key] = event.target.checked; update(); });
  for (const key of ["from", "to"]) {
    Object.assign(element(key), { value: state[key], max: data.rounds - 1 });
    element(key).addEventListener("change", (event) => {
      const asked = Math.round(Number(event.target.value)) || 0;
      state[key] = key === "from" ? Math.min(Math.max(asked, 0), state.to) : Math.max(Math.min(asked, data.rounds - 1), state.from);
      event.target.value = state[key];
      update();
    });
  }
  Object.assign(element("round"), { max: data.rounds - 1, value: state.round });
  element("round").addEventListener("input", (event) => { state.round = Number(event.target.value); update(); });
  update();
})();
