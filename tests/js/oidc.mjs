// A real OpenID provider: the certified `oidc-provider`, with its development pages, where any name signs in.
//
//   node oidc.mjs CLIENT_ID CLIENT_SECRET REDIRECT_URI
//
// It prints its issuer, then one line for each thing that the test wants to see from the provider's side, and ends when
// its standard input does.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [clientId, clientSecret, redirectUri] = process.argv.slice(2);
// It warns of its development keys and pages, which are what is wanted here.
console.info = console.warn = () => {};

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: clientId,
      client_secret: clientSecret,
      redirect_uris: [redirectUri],
      grant_types: ['authorization_code', 'refresh_token'],
    },
  ],
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, name: `${id} of Work`, email: `${id}@work.example`, email_verified: true }),
  }),
  features: { devInteractions: { enabled: true }, revocation: { enabled: true } },
  issueRefreshToken: () => true,
});
const token = (context) => context.oidc.params.token_type_hint;
provider.on('grant.success', (context) => console.log(`granted ${context.oidc.params.grant_type}`));
provider.on('grant.error', (context, error) => console.log(`refused ${error.error}`));
provider.on('refresh_token.destroyed', () => console.log('destroyed refresh_token'));
provider.on('grant.revoked', (context) => console.log(`revoked ${token(context)}`));
provider.on('revocation.error', (context, error) => console.log(`not revoked: ${error.error}`));
server.on('request', provider.callback());
console.log(issuer);

process.stdin.resume();
process.stdin.on('end', () => process.exit());
