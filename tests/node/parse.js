// node parse.js FILE...: each project as Scratch's own parser reads it, one JSON line a file.
// NODE_PATH names the folder that holds scratch-parser.
'use strict';
const fs = require('fs');
const parse = require('scratch-parser');

const read = file => new Promise(resolve => {
  parse(fs.readFileSync(file), false, (error, result) => {
    if (error) {
      const text = typeof error === 'string' ? error : JSON.stringify(error).slice(0, 2000);
      resolve({file, error: text || String(error)});
      return;
    }
    const [project, zip] = result;
    const files = zip ? Object.keys(zip.files).filter(name => name !== 'project.json').sort() : [];
    resolve({file, project, files});
  });
});

(async () => {
  for (const file of process.argv.slice(2)) {
    process.stdout.write(JSON.stringify(await read(file)) + '\n');
  }
})();
