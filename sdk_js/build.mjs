// Bundles the two files that a shop loads: dist/sdk.js (page) and dist/sw.js (service worker).
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const server = readFileSync(join(here, "..", "push_server", "__init__.py"), "utf8");
const version = /^__version__ = "(.+)"$/m.exec(server)?.[1];
if (!version) throw new Error("push_server/__init__.py names no __version__");

await build({
  absWorkingDir: here,
  entryPoints: { sdk: "src/page/sdk.ts", sw: "src/worker/sw.ts" },
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2020", // every browser that has web push
  charset: "utf8",
  legalComments: "none",
  define: { __VERSION__: JSON.stringify(version) },
  logLevel: "warning",
});
