<?php
// mint.php KEYFILE KID TENANT AUDIENCE: prints a token. RS256: before PHP 8.4, openssl_sign() has no EdDSA.

function mint(string $keyfile, string $kid, string $tenant, string $audience): string
{
    $encode = fn (string $data) => rtrim(strtr(base64_encode($data), '+/', '-_'), '=');
    $now = time();
    $header = ['alg' => 'RS256', 'kid' => $kid, 'typ' => 'JWT'];
    $claims = ['tenant' => $tenant, 'aud' => $audience, 'iat' => $now, 'exp' => $now + 60, 'jti' => bin2hex(random_bytes(16))];
    $text = $encode(json_encode($header, JSON_THROW_ON_ERROR)) . '.' . $encode(json_encode($claims, JSON_THROW_ON_ERROR));
    if (!openssl_sign($text, $signature, file_get_contents($keyfile), OPENSSL_ALGO_SHA256)) {
        throw new RuntimeException('cannot sign with ' . $keyfile);
    }
    return $text . '.' . $encode($signature);
}

echo mint(...array_slice($argv, 1)), "\n";
