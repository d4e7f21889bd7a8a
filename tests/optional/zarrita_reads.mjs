// Reads the arrays of a Kerchunk document with zarrita: node zarrita_reads.mjs refs.json format path...
// Prints for each array its shape, data type and elements (integers of 64 bits and what is not finite as text).
import { open as openFile, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import ReferenceStore from "@zarrita/storage/ref";
import * as zarr from "zarrita";

async function fetchFile(request) {
  const [start, stop] = request.headers.get("Range").slice("bytes=".length).split("-").map(Number);
  const file = await openFile(fileURLToPath(request.url));
  try {
    const data = new Uint8Array(stop + 1 - start);
    const { bytesRead } = await file.read(data, 0, data.length, start);
    return new Response(data.subarray(0, bytesRead), { status: 206 });
  } finally {
    await file.close();
  }
}

const plain = (value) =>
  typeof value === "bigint" || (typeof value === "number" && !Number.isFinite(value)) ? String(value) : value;

const [document, format, ...paths] = process.argv.slice(2);
const store = ReferenceStore.fromSpec(JSON.parse(await readFile(document, "utf8")), { fetch: fetchFile });
const root = zarr.root(store);
const found = {};
for (const path of paths) {
  const array = await zarr.open[format](root.resolve(path), { kind: "array" });
  const values = await zarr.get(array, array.shape.map(() => null));
  const data = array.shape.length ? values.data : [values]; // a scalar comes without an array around it
  found[path] = { shape: array.shape, dtype: array.dtype, data: Array.from(data, plain) };
}
console.log(JSON.stringify(found));
