# mint.py KEYFILE KID TENANT AUDIENCE: prints a token. EdDSA; needs the package "cryptography".
import base64, json, sys, time, uuid
from cryptography.hazmat.primitives.serialization import load_pem_private_key

def mint(keyfile, kid, tenant, audience):
    b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    with open(keyfile, "rb") as file:
        key = load_pem_private_key(file.read(), password=None)
    now = int(time.time())
    header = {"alg": "EdDSA", "kid": kid, "typ": "JWT"}
    claims = {"tenant": tenant, "aud": audience, "iat": now, "exp": now + 60, "jti": str(uuid.uuid4())}
    text = b".".join(b64(json.dumps(part).encode()) for part in (header, claims))
    return (text + b"." + b64(key.sign(text))).decode()

print(mint(*sys.argv[1:]))
