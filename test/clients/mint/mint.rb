# mint.rb KEYFILE KID TENANT AUDIENCE: prints a token. EdDSA; the gem "openssl" 3.0 (Ruby 3.1) or later.
require 'base64'
require 'json'
require 'openssl'
require 'securerandom'

def mint(keyfile, kid, tenant, audience)
  now = Time.now.to_i
  header = { alg: 'EdDSA', kid: kid, typ: 'JWT' }
  claims = { tenant: tenant, aud: audience, iat: now, exp: now + 60, jti: SecureRandom.uuid }
  text = [header, claims].map { |part| Base64.urlsafe_encode64(part.to_json, padding: false) }.join('.')
  signature = OpenSSL::PKey.read(File.read(keyfile)).sign(nil, text)
  "#{text}.#{Base64.urlsafe_encode64(signature, padding: false)}"
end

puts mint(*ARGV)
