// One job in onnxruntime's JavaScript interface: the same code for onnxruntime-node and onnxruntime-web.

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, int64: BigInt64Array, uint64: BigUint64Array,
  int32: Int32Array, uint32: Uint32Array, int16: Int16Array, uint16: Uint16Array, int8: Int8Array, uint8: Uint8Array, bool: Uint8Array,
};

function bytesOf(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

function textOf(bytes) {
  let text = "";
  for (let start = 0; start < bytes.length; start += 32768) text += String.fromCharCode(...bytes.subarray(start, start + 32768));
  return btoa(text);
}

function read(ort, { type, dims, data }) {
  if (type === "string") return new ort.Tensor("string", data, dims);
  return new ort.Tensor(type, new ARRAYS[type](bytesOf(data).buffer), dims);
}

function write({ type, dims, data }) {
  if (type === "string") return { type, dims, data: [...data] };
  return { type, dims, data: textOf(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)) };
}

function told(error) {
  return String((error && error.message) || error).replace(/\s+/g, " ").slice(0, 2000);
}

export async function answer(ort, model, options, job) {
  let session;
  try {
    session = await ort.InferenceSession.create(model, { logSeverityLevel: 4, ...options });
  } catch (error) {
    return { error: told(error) };
  }
  const calls = [];
  for (const { feeds, fetch } of job.calls) {
    try {
      const tensors = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, read(ort, tensor)]));
      const results = await session.run(tensors, fetch);
      calls.push({ outputs: Object.fromEntries(fetch.map((name) => [name, write(results[name])])) });
    } catch (error) {
      calls.push({ error: told(error) });
    }
  }
  await session.release().catch(() => {});
  return { calls };
}
