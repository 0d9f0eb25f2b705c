// Answers jobs in Node.js: node in_node.mjs PACKAGES node|web FOLDER FIRST COUNT
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { answer } from "./session.mjs";

const [packages, which, folder, first, count] = process.argv.slice(2);
const ort = createRequire(join(packages, "package.json"))(`onnxruntime-${which}`);
if (which === "web") ort.env.wasm.numThreads = 1;
const options = which === "web" ? { executionProviders: ["wasm"] } : { intraOpNumThreads: 1 };
for (let index = Number(first); index < Number(count); index++) {
  const job = JSON.parse(readFileSync(join(folder, `job-${index}.json`)));
  const model = which === "web" ? new Uint8Array(readFileSync(job.model)) : job.model;
  const found = await answer(ort, model, options, job);
  writeFileSync(join(folder, `partial-${index}.json`), JSON.stringify(found));
  renameSync(join(folder, `partial-${index}.json`), join(folder, `answer-${index}.json`));
}
process.exit(0);
