// Makes emtrack/web/static/vendor anew from the packages that package-lock.json pins: `make vendor`.
// The same lock gives the same bytes: nothing here reads a clock, an address or the order of a directory.
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { Logger, compile } from 'sass';

const HERE = dirname(fileURLToPath(import.meta.url));
const TARGET = join(HERE, '../../emtrack/web/static/vendor');
// Browsers that still get security updates; all of them read ES modules.
const BROWSERS = ['chrome109', 'edge109', 'firefox115', 'safari15.6'];
// Rules that exist to show the crown and the Royal Arms, which only the Crown may use.
const RULE_OF_THE_CROWN = /^( *)[^\n{}]*(?:crown|crest|copyright-logo)[^\n{}]*\{\n[\s\S]*?^\1\}\n/gm;
// Packages that state their licence without bringing its text: the copyright line of their repository.
const COPYRIGHT = {
  'govuk-frontend': 'Copyright (C) 2017 Crown Copyright (Government Digital Service)',
  pmtiles: 'Copyright 2021 Protomaps LLC',
  '@ministryofjustice/frontend': 'Copyright (c) 2019 Ministry of Justice\nCopyright (c) 2021 dxw',
};

const bundling = {
  absWorkingDir: HERE,
  bundle: true,
  minify: true,
  charset: 'utf8',
  legalComments: 'none', // LICENSES.txt has them whole
  metafile: true,
  target: BROWSERS,
  write: false,
};

/** The bundle's text, and the names of the packages whose bytes are in it. */
async function bundled(options) {
  const made = await build({ ...bundling, ...options });
  const used = Object.values(made.metafile.outputs).flatMap((output) =>
    Object.entries(output.inputs).filter(([, input]) => input.bytesInOutput > 0).map(([path]) => path));
  return { text: made.outputFiles[0].text, packages: new Set(used.map(packageOf).filter(Boolean)) };
}

function packageOf(path) {
  return /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
}

const moduleOf = (entry) => bundled({ entryPoints: [entry], format: 'esm' });

async function stylesheet() {
  const sass = compile(join(HERE, 'govuk-moj.scss'), { loadPaths: [HERE], logger: Logger.silent });
  const css = sass.css.replace('@charset "UTF-8";\n', '').replace(RULE_OF_THE_CROWN, '');
  const stdin = { contents: css, loader: 'css', resolveDir: join(HERE, 'node_modules') };
  // The icons go into the stylesheet as data: nothing else has to be fetched or kept in step.
  const made = await bundled({ stdin, loader: { '.svg': 'dataurl' } });
  return { text: made.text, packages: new Set(sass.loadedUrls.map(({ pathname }) => packageOf(pathname)).filter(Boolean)) };
}

async function licenceText(name) {
  const folder = join(HERE, 'node_modules', name);
  const file = (await readdir(folder)).sort().find((each) => /^licen[cs]e/i.test(each));
  if (file) return readFile(join(folder, file), 'utf8');
  if (COPYRIGHT[name]) {
    const { license } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8'));
    return (await readFile(join(HERE, `${license}.txt`), 'utf8')).replace('<copyright>', COPYRIGHT[name]);
  }
  throw new Error(`${name} brings no licence text: look up its copyright line and add it to COPYRIGHT in build.mjs.`);
}

async function licences(names) {
  const texts = await Promise.all(names.map(async (name) => `${name}\n${'='.repeat(name.length)}\n\n${(await licenceText(name)).trim()}\n`));
  return texts.join('\n\n');
}

async function lockOf(names, files) {
  const pinned = JSON.parse(await readFile(join(HERE, 'package-lock.json'), 'utf8')).packages;
  const packages = Object.fromEntries(names.map((name) => {
    const { version, license, integrity } = pinned[`node_modules/${name}`];
    return [name, { version, licence: license, integrity }];
  }));
  const hashes = Object.fromEntries(Object.entries(files).sort().map(([name, text]) => [name, createHash('sha256').update(text).digest('hex')]));
  return `${JSON.stringify({ packages, files: hashes }, null, 2)}\n`;
}

const outputs = {
  'govuk-moj.css': await stylesheet(),
  'govuk-frontend.js': await moduleOf('govuk-frontend.entry.js'),
  'ol.css': await bundled({ entryPoints: ['node_modules/ol/ol.css'] }),
  'ol.js': await moduleOf('ol.entry.js'),
  'pmtiles.js': await moduleOf('pmtiles.entry.js'),
};
const names = [...new Set(Object.values(outputs).flatMap(({ packages }) => [...packages]))].sort();
const files = Object.fromEntries(Object.entries(outputs).map(([name, { text }]) => [name, text]));
files['LICENSES.txt'] = await licences(names);
files['LOCK.json'] = await lockOf(names, files);

await rm(TARGET, { recursive: true, force: true });
await mkdir(TARGET, { recursive: true });
await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(TARGET, name), text)));
for (const [name, text] of Object.entries(files)) console.log(`${name.padEnd(20)}${Buffer.byteLength(text).toString().padStart(8)} bytes`);
