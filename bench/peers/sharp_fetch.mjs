// Fetches links, four at a time, and writes each as a JPEG of quality 50 by sharp.
// node sharp_fetch.mjs FOLDER SHARP OPTIMISE < links
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [folder, home, optimise] = process.argv.slice(2);
const sharp = createRequire(home + "/")("sharp");
sharp.concurrency(1);
const urls = readFileSync(0, "utf8").split(/\s+/).filter(Boolean);
let next = 0;

async function work() {
  while (next < urls.length) {
    const number = next++;
    const answer = await fetch(urls[number]);
    const source = Buffer.from(await answer.arrayBuffer());
    await sharp(source).jpeg({ quality: 50, optimiseCoding: optimise === "yes" }).toFile(`${folder}/${number}.jpg`);
  }
}

await Promise.all([work(), work(), work(), work()]);
