// The JavaScript SDK as judge of a card's signature: `node js_verify.mjs MODULES`, card and keys on stdin. Prints `holds`.
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const { verifyAgentCardSignature } = require('@a2a-js/sdk');

let text = '';
for await (const chunk of process.stdin) text += chunk;
const { card, keys } = JSON.parse(text);
// The card goes in as it came: of one that the SDK has parsed, 1.3.0 signs no security schemes, for it parses twice.
const find = async (kid) => keys.find((key) => key.kid === kid);
try {
  await verifyAgentCardSignature(find)(card);
  console.log('holds');
} catch (error) {
  console.log(`refused: ${error.message}`);
}
