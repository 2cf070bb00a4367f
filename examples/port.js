// masked_sse and masked_mse in JavaScript, as a port: docs/ports.md says what the lines mean.
//
//     python -m wavemae.properties --command "node examples/port.js"
//
// With --mistake behind it, the gradient of a mean is divided by all positions, masked or not.

"use strict";
const fs = require("node:fs");

const MISTAKE = process.argv.includes("--mistake");
const DEFAULTS = { masked_sse: "batch_mean", masked_mse: "mean" };
const ARRAYS = { float32: Float32Array, float64: Float64Array, bool: Uint8Array };

class Refusal extends Error {
  constructor(fault, message) {
    super(message);
    this.fault = fault;
  }
}

// Pairwise, so that a term passes few additions: C6 allows 256.
function sumOfSquares(a, b, mask, from, to) {
  if (to - from > 64) {
    const middle = (from + to) >> 1;
    return sumOfSquares(a, b, mask, from, middle) + sumOfSquares(a, b, mask, middle, to);
  }
  let total = 0;
  for (let i = from; i < to; i++) if (mask[i]) total += (a[i] - b[i]) ** 2;
  return total;
}

function divisor(reduction, mask, rows) {
  if (reduction === "sum") return 1;
  if (reduction === "batch_mean") return Math.max(rows, 1);
  return Math.max(mask.reduce((count, bit) => count + bit, 0), 1);
}

function check({ x_recon, x, mask }, reduction) {
  for (const tensor of [x_recon, x])
    if (!["float32", "float64"].includes(tensor.dtype)) {
      const what = `${tensor.name} must be float32 or float64, got ${tensor.dtype}`;
      throw new Refusal("dtype", `${what}; convert it first`);
    }
  if (mask.dtype !== "bool")
    throw new Refusal("dtype", `mask must be bool, got ${mask.dtype}; compare it with 0`);
  const shown = (tensor) => `(${tensor.shape.join(", ")})`;
  for (const tensor of [x_recon, x, mask]) {
    if (tensor.shape.length !== 2) {
      const what = `${tensor.name} must have two dimensions (B, L), got ${shown(tensor)}`;
      throw new Refusal("shape", `${what}; reshape it`);
    }
    if (shown(tensor) !== shown(x_recon)) {
      const what = `${tensor.name} must have the shape of x_recon, ${shown(x_recon)}`;
      throw new Refusal("shape", `${what}, got ${shown(tensor)}; nothing is broadcast`);
    }
  }
  if (!["sum", "mean", "batch_mean"].includes(reduction)) {
    const what = `reduction must be "sum", "mean" or "batch_mean", got "${reduction}"`;
    throw new Refusal("reduction", `${what}; choose one`);
  }
}

// What is wanted of one call, by name, as typed arrays.
function answer(request, given) {
  const reduction = request.reduction ?? DEFAULTS[request.function];
  check(given, reduction);
  const { x_recon, x, mask, upstream } = given;
  const [a, b, bits] = [x_recon.values, x.values, mask.values];
  const by = divisor(reduction, bits, x_recon.shape[0]);
  if (request.want[0] === "value") {
    const dtype = [x_recon.dtype, x.dtype].includes("float64") ? "float64" : "float32";
    const values = ARRAYS[dtype].of(sumOfSquares(a, b, bits, 0, bits.length) / by);
    return [{ name: "value", dtype, shape: [], values }];
  }
  const wrong = MISTAKE && reduction === "mean" ? bits.length : by;
  const gradient = (i, sign) => (bits[i] ? (sign * 2 * (a[i] - b[i]) * upstream.values[0]) / wrong : 0);
  return request.want.map((name) => {
    const [like, sign] = name === "grad_x_recon" ? [x_recon, 1] : [x, -1];
    const values = new ARRAYS[like.dtype](bits.length).map((_, i) => gradient(i, sign));
    return { name, dtype: like.dtype, shape: like.shape, values };
  });
}

// The pipes. Reads and writes block, which is what one question at a time wants.
let waiting = Buffer.alloc(0);

function more() {
  const chunk = Buffer.alloc(1 << 16);
  const count = fs.readSync(0, chunk);
  waiting = Buffer.concat([waiting, chunk.subarray(0, count)]);
  return count > 0;
}

function taken(count) {
  const found = waiting.subarray(0, count);
  waiting = waiting.subarray(count);
  return found;
}

function line() {
  while (!waiting.includes(10)) if (!more()) return null;
  return taken(waiting.indexOf(10) + 1).toString();
}

function bytes(count) {
  const parts = [taken(Math.min(count, waiting.length))];
  for (let missing = count - parts[0].length; missing > 0; missing -= parts.at(-1).length) {
    if (!more()) process.exit(1);
    parts.push(taken(Math.min(missing, waiting.length)));
  }
  return Buffer.concat(parts);
}

function write(data) {
  for (let at = 0; at < data.length; ) at += fs.writeSync(1, data, at);
}

const CLAIMS = { protocol: 1, name: "JavaScript", dtypes: ["float32", "float64"] };
write(Buffer.from(JSON.stringify(CLAIMS) + "\n"));
for (let text = line(); text !== null; text = line()) {
  const request = JSON.parse(text);
  const given = {};
  for (const tensor of request.tensors) {
    const { buffer, byteOffset, length } = bytes(tensor.bytes);
    const copy = buffer.slice(byteOffset, byteOffset + length); // typed arrays want to be aligned
    const values = tensor.dtype in ARRAYS ? new ARRAYS[tensor.dtype](copy) : null;
    given[tensor.name] = { ...tensor, values };
  }
  try {
    const found = answer(request, given);
    const tensors = found.map(({ values, ...rest }) => ({ ...rest, bytes: values.byteLength }));
    write(Buffer.from(JSON.stringify({ id: request.id, tensors }) + "\n"));
    for (const { values } of found)
      write(Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const { fault, message } = error;
    write(Buffer.from(JSON.stringify({ id: request.id, fault, message }) + "\n"));
  }
}
