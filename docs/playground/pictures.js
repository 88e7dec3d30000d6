// Numbers, images, feature maps and lines, as the page shows them.
"use strict";

const FORMATS = {}; // making one is slow
function number(value, digits = 1) {
  const { lang } = document.documentElement;
  const style = { minimumFractionDigits: digits, maximumFractionDigits: digits, signDisplay: "negative" }; // no -0
  return (FORMATS[lang + digits] ??= new Intl.NumberFormat(lang, style)).format(value).replace("-", "−");
}

// Colours [red, green, blue]: of ink from 0 to 1, and of what is below 0 (blue) or above (orange), from -1 to 1.
const mix = (from, to, t) => from.map((value, i) => value + (to[i] - value) * t);
const ink = t => mix([255, 255, 255], [32, 40, 54], t);
const signed = t => mix([246, 246, 244], t > 0 ? [213, 94, 0] : [0, 114, 178], Math.abs(t));

function paint(canvas, height, width, colour) {
  const picture = new ImageData(canvas.width = width, canvas.height = height);
  for (let h = 0; h < height; h++) for (let w = 0; w < width; w++)
    picture.data.set([...colour(h, w), 255], 4 * (h * width + w));
  canvas.getContext("2d").putImageData(picture, 0, 0);
}
const paintImage = (canvas, data, colour = ink) => paint(canvas, 16, 16, (h, w) => colour(data[h * 16 + w]));

// The channels of y side by side, with a line between them.
function paintMaps(canvas, { data, shape: [H, W, C] }, columns) {
  const brightest = Math.max(...data) || 1;
  paint(canvas, Math.ceil(C / columns) * (H + 1) - 1, columns * (W + 1) - 1, (h, w) => {
    const c = Math.floor(h / (H + 1)) * columns + Math.floor(w / (W + 1)), [i, j] = [h % (H + 1), w % (W + 1)];
    return i === H || j === W ? [214, 217, 222] : ink(data[(i * W + j) * C + c] / brightest);
  });
}

// Lines {points: [[x, y], ...], colour}: x from 0 to right, y down to least where that is given; a mark at an x.
function chart(svg, lines, right, least, mark) {
  if (!svg.room?.[0]) svg.room = [svg.clientWidth, svg.clientHeight]; // to ask each time costs a layout of the page
  const [width, height] = svg.room;
  if (!width) return;
  const ys = lines.flatMap(line => line.points.map(([, y]) => y)), parts = [];
  const high = Math.max(...ys, 0.1), low = least ?? Math.min(...ys, 0), ten = 10 ** Math.floor(Math.log10(high - low));
  const step = [ten / 5, ten / 2, ten, 2 * ten].find(size => (high - low) / size <= 5);
  const x = value => 48 + (width - 64) * value / right, y = value => 10 + (height - 36) * (high - value) / (high - low);
  const text = (h, v, anchor, value) =>
    parts.push(`<text x="${h}" y="${v}" text-anchor="${anchor}">${number(value, value % 1 ? 1 : 0)}</text>`);
  for (const part of [0, 0.5, 1]) text(x(right * part), height - 6, "middle", right * part);
  for (let i = Math.ceil(low / step); i * step <= high; i++) {
    text(40, y(i * step) + 4, "end", i * step);
    parts.push(`<path class="${i ? "grid" : "zero"}" d="M48 ${y(i * step)}H${width - 16}"/>`);
  }
  if (mark !== undefined) parts.push(`<path class="mark" d="M${x(mark)} 4V${height - 24}"/>`);
  const inside = [44, 6, width - 56, height - 28]; // what leaves it is cut off
  parts.push(`<svg x="44" y="6" width="${inside[2]}" height="${inside[3]}" viewBox="${inside.join(" ")}">`);
  for (const { points, colour } of lines)
    parts.push(`<path d="M${points.map(([h, v]) => `${x(h)} ${y(v)}`).join("L")}" stroke="${colour}"/>`,
      ...points.map(([h, v]) => `<circle cx="${x(h)}" cy="${y(v)}" r="2.5" fill="${colour}"/>`));
  svg.innerHTML = `${parts.join("")}</svg>`;
}
