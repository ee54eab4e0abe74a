// The TypeScript SDK as a client: `other_client.mjs NODE_MODULES URL TOKEN MODE`. Lists, calls `up__echo`, prints JSON.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, url, token, mode] = process.argv.slice(2);
const require = createRequire(`${modules}/`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Client, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");

const client = new Client({ name: "interop", version: "1" }, { versionNegotiation: { mode } });
const headers = { Authorization: `Bearer ${token}` };
await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }));
const { tools } = await client.listTools();
const result = await client.callTool({ name: "up__echo", arguments: { text: "hello" } });
console.log(JSON.stringify({ tools: tools.map((tool) => tool.name), echoed: result.content[0].text }));
await client.close();
