// mint.js KEYFILE KID TENANT AUDIENCE: prints a token. EdDSA; node 16 or later.
const crypto = require('crypto');
const fs = require('fs');

function mint(keyfile, kid, tenant, audience) {
  const encode = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const header = { alg: 'EdDSA', kid, typ: 'JWT' };
  const claims = { tenant, aud: audience, iat: now, exp: now + 60, jti: crypto.randomUUID() };
  const text = `${encode(header)}.${encode(claims)}`;
  const signature = crypto.sign(null, Buffer.from(text), fs.readFileSync(keyfile));
  return `${text}.${signature.toString('base64url')}`;
}

console.log(mint(...process.argv.slice(2)));
