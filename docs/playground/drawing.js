// A digit as the networks read it: 16 x 16 pixels, made as the data's were.
"use strict";

// Of 8 x 8 pixels, 16 x 16: of the two nearest old pixels the nearer counts three times, each way (make.py).
function enlarge(small) {
  const near = i => [[i >> 1, 0.75], [Math.min(Math.max((i >> 1) + (i % 2 ? 1 : -1), 0), 7), 0.25]];
  return Float64Array.from({ length: 256 }, (_, at) => {
    let sum = 0;
    for (const [h, a] of near(at >> 4)) for (const [w, b] of near(at & 15)) sum += a * b * small[h * 8 + w];
    return sum;
  });
}

// Of strokes, lists of [x, y] in [0, 1]: the digit fills a scan of 32 x 32 pixels, whose ink is counted in blocks.
function scanned(strokes) {
  const small = new Float64Array(64), points = strokes.flat(), pen = 2.6;
  if (!points.length) return small;
  const [left, top] = [0, 1].map(axis => Math.min(...points.map(point => point[axis])));
  const [right, bottom] = [0, 1].map(axis => Math.max(...points.map(point => point[axis])));
  const scale = Math.min(26 / Math.max(bottom - top, 0.1), 21 / Math.max(right - left, 0.1));
  const place = ([x, y]) => [16 + scale * (x - (left + right) / 2), 16 + scale * (y - (top + bottom) / 2)];
  const lines = strokes.flatMap(stroke => stroke.map((point, i) => [place(stroke[Math.max(i - 1, 0)]), place(point)]));
  for (let h = 0; h < 32; h++) for (let w = 0; w < 32; w++) {
    const isInk = lines.some(([from, to]) => distance([w + 0.5, h + 0.5], from, to) < pen);
    if (isInk) small[(h >> 2) * 8 + (w >> 2)] += 1 / 16;
  }
  return small;
}

function distance([x, y], [ax, ay], [bx, by]) {
  const [dx, dy] = [bx - ax, by - ay], length = dx * dx + dy * dy;
  const along = length ? Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / length, 0), 1) : 0;
  return Math.hypot(x - ax - along * dx, y - ay - along * dy);
}
