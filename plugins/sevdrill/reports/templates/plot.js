"use strict";
(async () => {
  const place = document.getElementById("plot");
  const wanted = document.getElementById("figure").textContent;
  const say = (text) => { document.getElementById("plot-note").textContent = text; };
  try {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent.trim()), (c) => c.charCodeAt(0));
    const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(plain).text();
    document.head.append(script);
  } catch (error) {
    say("This browser cannot unpack the plot (" + error + "); the table “What happened” has every event of it.");
    return;
  }
  // Colours are names until now; the page's theme says what they are.
  const themed = () => {
    const style = getComputedStyle(document.documentElement);
    return JSON.parse(wanted.replace(/"@([a-z]+)"/g, (_, name) => JSON.stringify(style.getPropertyValue("--" + name).trim())));
  };
  // The name of each line stands upright at its top, moved aside where two would lie on one another.
  const names = (marks, from, to, width) => {
    const seen = marks.filter((mark) => mark.x >= from && mark.x <= to);
    const apart = Math.min(14, width / Math.max(1, seen.length));
    const pixels = seen.map((mark) => (mark.x - from) / (to - from) * width);
    const put = [];
    pixels.forEach((pixel, n) => put.push(n ? Math.max(pixel, put[n - 1] + apart) : pixel));
    for (let n = put.length - 1, most = width - 2; n >= 0; n -= 1, most -= apart) put[n] = Math.min(put[n], most);
    return seen.map((mark, n) => ({
      x: mark.x, xref: "x", y: 1.01, yref: "paper", text: mark.text, textangle: -90, showarrow: false,
      xanchor: "center", yanchor: "bottom", xshift: Math.round(put[n] - pixels[n]), font: {color: mark.color, size: 11},
      name: "mark",
    }));
  };
  const clip = (text, most) => text.length > most ? text.slice(0, most - 1) + "…" : text;
  let range = null, everything = null;
  const draw = async () => {
    const {data, layout, marks, whole} = themed();
    everything = whole;
    const limits = layout.annotations;
    const narrow = place.clientWidth < 600;
    place.style.height = layout.height + "px";
    if (range) layout.xaxis.range = range;
    // A lane's name must not take the place of what is drawn in it; the table of events has it in full.
    for (const axis of [layout.yaxis3, layout.yaxis4]) {
      axis.tickmode = "array";
      axis.tickvals = axis.categoryarray;
      axis.ticktext = axis.categoryarray.map((name) => clip(name, narrow ? 14 : 32));
    }
    if (narrow) {
      layout.margin = {...layout.margin, l: 40, r: 8};
      layout.showlegend = false;
      limits.forEach((limit) => { limit.text = ""; });
    }
    await Plotly.react(place, data, layout, {responsive: true, displaylogo: false, scrollZoom: false,
      // Named one by one: none that sends data anywhere.
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "autoScale2d", "resetScale2d"]]});
    const label = async () => {
      const axis = place._fullLayout.xaxis;
      range = axis.range.slice();
      await Plotly.relayout(place, {annotations: limits.concat(names(marks, range[0], range[1], axis._length))});
    };
    place.removeAllListeners("plotly_relayout");
    await label();
    place.on("plotly_relayout", (change) => { if (!("annotations" in change)) label(); });
    place.dataset.drawn = "yes";
  };
  await draw();
  for (const query of ["(prefers-color-scheme: dark)", "print", "(max-width: 40rem)"]) {
    matchMedia(query).addEventListener("change", draw);
  }
  const step = (factor, shift) => {
    const [from, to] = range, middle = (from + to) / 2 + shift * (to - from), half = (to - from) / 2 * factor;
    Plotly.relayout(place, {"xaxis.range": [middle - half, middle + half]});
  };
  const first = range.slice();
  const buttons = {in: () => step(0.5, 0), out: () => step(2, 0), left: () => step(1, -0.25), right: () => step(1, 0.25),
    all: () => Plotly.relayout(place, {"xaxis.range": first}),
    targets: () => Plotly.relayout(place, {"xaxis.range": everything})};
  for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", buttons[button.dataset.zoom]);
})();
