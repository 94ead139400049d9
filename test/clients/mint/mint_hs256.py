# mint_hs256.py KEYFILE KID TENANT AUDIENCE: prints a token. HS256, standard library only; KEYFILE is the server's secret_file.
import base64, hashlib, hmac, json, sys, time, uuid

def mint(keyfile, kid, tenant, audience):
    b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    with open(keyfile, "rb") as file:
        secret = file.read().removesuffix(b"\n")  # as the server does
    now = int(time.time())
    header = {"alg": "HS256", "kid": kid, "typ": "JWT"}
    claims = {"tenant": tenant, "aud": audience, "iat": now, "exp": now + 60, "jti": str(uuid.uuid4())}
    text = b".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return (text + b"." + b64(hmac.digest(secret, text, "sha256"))).decode()

print(mint(*sys.argv[1:]))
