// A certified authorization server on a free port, for tests/identity/test_oidc_provider.py.
// usage: node oidc_provider.mjs NODE_MODULES ; prints its issuer on one line
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const from = createRequire(`${process.argv[2]}/index.js`);
const { default: Provider } = await import(pathToFileURL(from.resolve('oidc-provider')));

const jwk = (type, options, extra) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), use: 'sig', ...extra,
});
const keys = [
  jwk('ec', { namedCurve: 'P-256' }, { alg: 'ES256', kid: 'es' }),
  jwk('rsa', { modulusLength: 2048 }, { alg: 'RS256', kid: 'rs' }),
];
const resources = {
  'https://gw.example/mcp': { alg: 'ES256', format: 'jwt' },
  'https://gw.example/rsa': { alg: 'RS256', format: 'jwt' },
  'https://gw.example/opaque': { format: 'opaque' },
};
const server = createServer().listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    jwks: { keys },
    scopes: ['tools:call', 'tools:list'],
    clients: [{
      client_id: 'm2m', client_secret: process.env.CLIENT_SECRET, grant_types: ['client_credentials'],
      redirect_uris: [], response_types: [],
    }],
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({
          scope: 'tools:call tools:list', audience: resource, accessTokenTTL: 300,
          accessTokenFormat: resources[resource].format,
          ...(resources[resource].alg && { jwt: { sign: { alg: resources[resource].alg } } }),
        }),
      },
    },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
