// An OpenID provider: oidc-provider, whose two forms, sign-in and consent, send
// themselves for the account ana, as a person would who types quickly.
//
//	node provider.mjs FOLDER '{"port": N, "redirects": [URL…], "tokenLife": SECONDS}'
//
// FOLDER is the one that oidc-provider was installed in. The provider has two clients:
//
//	langflow  signs people in, and gets refresh tokens
//	command   gets access tokens for the audience langflow by its own secret, as
//	          JWTs, as the commands of the clouds do; they are for the account robot
//
// It prints a line of JSON for each request: method, url, headers. Its first line
// says that it listens.
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const [folder, settings] = process.argv.slice(2);
const { port, redirects, tokenLife } = JSON.parse(settings);
const { Provider } = await import(pathToFileURL(join(folder, 'node_modules/oidc-provider/lib/index.js')));

const account = 'ana';
const audience = 'langflow';
const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    {
      client_id: 'langflow', client_secret: 'only-for-tests-of-the-gateway-1234', redirect_uris: redirects,
      grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'],
    },
    {
      client_id: 'command', client_secret: 'only-for-tests-of-the-command-1234', redirect_uris: [],
      grant_types: ['client_credentials'], response_types: [],
    },
  ],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: true, name: id, preferred_username: id }),
  }),
  conformIdTokenClaims: false, // the ID token has the claims, without a question for them
  extraTokenClaims: () => ({ preferred_username: 'robot' }),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx) => (ctx.oidc.client.clientId === 'command' ? `urn:${audience}` : undefined),
      getResourceServerInfo: () => ({
        scope: '', audience, accessTokenFormat: 'jwt', accessTokenTTL: tokenLife, jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  // For a refresh token oidc-provider else wants the scope offline_access.
  issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
  pkce: { required: () => false },
});

provider.use(async (ctx, next) => {
  console.log(JSON.stringify({ method: ctx.method, url: ctx.url, headers: ctx.headers }));
  await next();
  if (typeof ctx.body === 'string' && ctx.type === 'text/html') {
    ctx.body = ctx.body
      .replace(/@import[^;]*;/, '') // no request leaves this computer
      .replace('name="login"', `name="login" value="${account}"`)
      .replace('name="password"', 'name="password" value="any"')
      .replace('</body>', '<script>document.forms[0].submit()</script></body>');
  }
});
provider.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ listening: port })));
