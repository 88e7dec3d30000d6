// A network's values and its gradient by the image, as plain loops: minidl/kernels/loops.py for one image.
//
// x, dx: an image {data, shape: [H, W, C]}, channels last; y, dy: results (OH, OW, N); weight (KH, KW, C, N): N is last
// here, so that the innermost loop runs along memory.
// data is a Float32Array or a Float64Array, and what is computed from it is of the same kind: each number that is
// stored is rounded to the precision that it is stored in. Strides are 1, but for the windows of max-pooling.
"use strict";

const size = shape => shape.reduce((a, b) => a * b, 1);
const zeros = (like, shape) => ({ data: new like.data.constructor(size(shape)), shape });
const map = (x, f) => ({ data: x.data.map(f), shape: x.shape });

// An array as networks.js has it: {shape, base64} of float32.
function decoded({ shape, base64 }) {
  const bytes = Uint8Array.from(atob(base64), character => character.charCodeAt(0));
  return { data: new Float32Array(bytes.buffer), shape };
}

// Calls visit(o, k, i): output pixel o sees input pixel i through the kernel's place k.
function taps([height, width], [OH, OW], [KH, KW], stride, padding, visit) {
  for (let oh = 0; oh < OH; oh++) for (let ow = 0; ow < OW; ow++)
    for (let kh = 0; kh < KH; kh++) for (let kw = 0; kw < KW; kw++) {
      const h = oh * stride + kh - padding[0], w = ow * stride + kw - padding[1];
      if (0 <= h && h < height && 0 <= w && w < width) // outside lies the padding, which is zero and adds nothing
        visit(oh * OW + ow, kh * KW + kw, h * width + w);
    }
}

// Each kind of layer: y of x, and dx of dy, x and y, the gradient by what came in.
const LAYERS = {
  conv2d: { // y[oh, ow, n] = bias[n] + sum over kh, kw, c of x[h, w, c] weight[kh, kw, c, n] (report, eq. (12))
    forward(x, { weight, bias, padding }) {
      const [KH, KW, C, N] = weight.shape;
      const y = zeros(x, [x.shape[0] + 2 * padding[0] - KH + 1, x.shape[1] + 2 * padding[1] - KW + 1, N]);
      const X = x.data, W = weight.data, Y = y.data;
      taps(x.shape, y.shape, [KH, KW], 1, padding, (o, k, i) => {
        for (let c = 0; c < C; c++) {
          const value = X[i * C + c], w = (k * C + c) * N; // after a ReLU often 0, which adds nothing
          if (value !== 0) for (let n = 0; n < N; n++) Y[o * N + n] += value * W[w + n];
        }
      });
      return bias ? map(y, (value, i) => value + bias.data[i % N]) : y;
    },
    backward(dy, { weight, padding }, x) { // each term of the sum gives dy * weight to the pixel that it read
      const [KH, KW, C, N] = weight.shape, dx = zeros(dy, x.shape);
      const DX = dx.data, W = weight.data, DY = dy.data;
      taps(x.shape, dy.shape, [KH, KW], 1, padding, (o, k, i) => {
        for (let n = 0; n < N; n++) {
          const value = DY[o * N + n]; // before a pooling mostly 0
          if (value !== 0) for (let c = 0; c < C; c++) DX[i * C + c] += value * W[(k * C + c) * N + n];
        }
      });
      return dx;
    },
  },
  batch_norm: { // gamma (x - mean) / sqrt(var + eps) + beta for each channel, with a mean and var that are constants
    forward: (x, { mean, variance, gamma, beta, eps }) => map(x, (value, i) => {
      const c = i % x.shape[2];
      return gamma.data[c] * (value - mean.data[c]) / Math.sqrt(variance.data[c] + eps) + beta.data[c];
    }),
    backward: (dy, { variance, gamma, eps }) => map(dy, (value, i) => {
      const c = i % dy.shape[2];
      return gamma.data[c] / Math.sqrt(variance.data[c] + eps) * value;
    }),
  },
  relu: { // max(x, 0); backward, dy where the result was positive
    forward: x => map(x, value => Math.max(value, 0)),
    backward: (dy, _, x, y) => map(dy, (value, i) => y.data[i] > 0 ? value : 0),
  },
  max_pool2d: { // the largest value of each window; the whole gradient of a window goes to it, the first of equals
    forward(x, { kernel }) {
      const [H, W, C] = x.shape, y = zeros(x, [Math.floor(H / kernel), Math.floor(W / kernel), C]);
      y.data.fill(-Infinity);
      y.where = new Int32Array(y.data.length); // which input pixel won
      taps(x.shape, y.shape, [kernel, kernel], kernel, [0, 0], (o, k, i) => {
        for (let c = 0; c < C; c++)
          if (x.data[i * C + c] > y.data[o * C + c]) {
            y.data[o * C + c] = x.data[i * C + c];
            y.where[o * C + c] = i;
          }
      });
      return y;
    },
    backward(dy, _, x, y) {
      const C = x.shape[2], dx = zeros(dy, x.shape);
      dy.data.forEach((value, i) => dx.data[y.where[i] * C + i % C] += value);
      return dx;
    },
  },
  linear: { // y[j] = bias[j] + sum over i of x[i] weight[i, j]: the image is read as one vector
    forward(x, { weight, bias }) {
      const [I, J] = weight.shape, y = zeros(x, [J]);
      for (let i = 0; i < I; i++) for (let j = 0; j < J; j++) y.data[j] += x.data[i] * weight.data[i * J + j];
      return map(y, (value, j) => value + bias.data[j]);
    },
    backward(dy, { weight }, x) {
      const [I, J] = weight.shape, dx = zeros(dy, x.shape);
      for (let i = 0; i < I; i++) for (let j = 0; j < J; j++) dx.data[i] += dy.data[j] * weight.data[i * J + j];
      return dx;
    },
  },
};

// What goes into each layer, and at the end what comes out of the last: the logits.
function values(layers, image) {
  const all = [image];
  for (const layer of layers) all.push(LAYERS[layer.kind].forward(all.at(-1), layer));
  return all;
}

const logits = (layers, image) => values(layers, image).at(-1);

// The chain rule, backward from the gradient by the logits to that by the image.
function gradient(layers, all, dlogits) {
  return layers.reduceRight((dy, layer, i) => LAYERS[layer.kind].backward(dy, layer, all[i], all[i + 1]), dlogits);
}
