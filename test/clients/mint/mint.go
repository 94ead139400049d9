// go run mint.go KEYFILE KID TENANT AUDIENCE: prints a token. EdDSA; Go 1.16 or later.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"time"
)

func encode(part map[string]interface{}) string {
	data, _ := json.Marshal(part) // cannot fail: strings and integers
	return base64.RawURLEncoding.EncodeToString(data)
}

func mint(key ed25519.PrivateKey, kid, tenant, audience string) (string, error) {
	jti := make([]byte, 16)
	if _, err := rand.Read(jti); err != nil {
		return "", err
	}
	now := time.Now().Unix()
	header := map[string]interface{}{"alg": "EdDSA", "kid": kid, "typ": "JWT"}
	claims := map[string]interface{}{"tenant": tenant, "aud": audience, "iat": now, "exp": now + 60, "jti": hex.EncodeToString(jti)}
	text := encode(header) + "." + encode(claims)
	return text + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key, []byte(text))), nil
}

func readKey(path string) (ed25519.PrivateKey, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s: no PEM block", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: not an Ed25519 key", path)
	}
	return private, nil
}

func main() {
	key, err := readKey(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	token, err := mint(key, os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token)
}
