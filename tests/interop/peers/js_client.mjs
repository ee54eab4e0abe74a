// The JavaScript SDK as a client, in an environment of its own: `node js_client.mjs MODULES URL TOKEN`. Prints JSON.
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const [modules, url, token] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const { Role, TaskState } = require('@a2a-js/sdk');
const { ClientFactory, ClientFactoryOptions, DefaultAgentCardResolver } = require('@a2a-js/sdk/client');

const serviceParameters = token ? { Authorization: `Bearer ${token}` } : {};
const fetchImpl = (input, init = {}) => fetch(input, { ...init, headers: { ...(init.headers ?? {}), ...serviceParameters } });
const told = {};

const step = async (name, act) => {
  try {
    told[name] = await act();
  } catch (error) {
    told[name] = `error: ${error.constructor.name}`;
    if (process.env.VERBOSE) console.error(name, error);
  }
};
const request = () => ({
  tenant: '',
  message: {
    messageId: randomUUID(), role: Role.ROLE_USER, taskId: '', contextId: '', extensions: [], metadata: {}, referenceTaskIds: [],
    parts: [{ content: { $case: 'text', value: 'say hello' }, metadata: undefined, filename: '', mediaType: 'text/plain' }],
  },
  configuration: undefined,
  metadata: {},
});
const words = (parts) => (parts ?? []).map((part) => part.content?.value).filter((value) => typeof value === 'string');
const wordsOf = (value) => [
  ...(value.artifacts ?? []).flatMap((one) => words(one.parts)),
  ...words(value.status?.message?.parts),
  ...(value.role === Role.ROLE_AGENT ? words(value.parts) : []),
  ...(value.history ?? []).filter((one) => one.role === Role.ROLE_AGENT).flatMap((one) => words(one.parts)),
  ...words(value.artifact?.parts),
];

const factory = new ClientFactory(
  ClientFactoryOptions.createFrom(ClientFactoryOptions.default, { cardResolver: new DefaultAgentCardResolver({ fetchImpl }) }),
);
const client = await factory.createFromUrl(url.endsWith('/') ? url : `${url}/`);
const card = await client.getAgentCard({ serviceParameters });
told.urls = [...new Set(card.supportedInterfaces.map((one) => one.url))].sort();
await step('sent', async () => {
  const answer = await client.sendMessage(request(), { serviceParameters });
  if (answer.status) [told.task, told.state] = [answer.id, TaskState[answer.status.state]];
  return [...new Set(wordsOf(answer))].sort();
});
await step('streamed', async () => {
  const found = new Set();
  for await (const event of client.sendMessageStream(request(), { serviceParameters })) {
    const value = event.payload?.value ?? event.value ?? event;
    wordsOf(value).forEach((word) => found.add(word));
  }
  return [...found].sort();
});
await step('got', async () => {
  if (!told.task) return 'no task';
  const task = await client.getTask({ tenant: '', id: told.task, historyLength: undefined }, { serviceParameters });
  return TaskState[task.status.state];
});
console.log(JSON.stringify(told));
process.exit(0);
