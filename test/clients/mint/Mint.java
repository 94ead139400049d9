// java Mint.java KEYFILE KID TENANT AUDIENCE: prints a token. EdDSA; Java 15 or later.
import java.nio.file.*;
import java.security.*;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.*;

public class Mint {
    static String mint(String keyfile, String kid, String tenant, String audience) throws Exception {
        String pem = Files.readString(Path.of(keyfile)).replaceAll("-----[A-Z ]+-----|\\s", "");
        var key = KeyFactory.getInstance("Ed25519").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(pem)));
        var base64 = Base64.getUrlEncoder().withoutPadding();
        long now = System.currentTimeMillis() / 1000;
        String header = String.format("{\"alg\":\"EdDSA\",\"kid\":%s,\"typ\":\"JWT\"}", quote(kid));
        String claims = String.format("{\"tenant\":%s,\"aud\":%s,\"iat\":%d,\"exp\":%d,\"jti\":\"%s\"}",
            quote(tenant), quote(audience), now, now + 60, UUID.randomUUID());
        String text = base64.encodeToString(header.getBytes("UTF-8")) + "." + base64.encodeToString(claims.getBytes("UTF-8"));
        Signature signature = Signature.getInstance("Ed25519");
        signature.initSign(key);
        signature.update(text.getBytes("UTF-8"));
        return text + "." + base64.encodeToString(signature.sign());
    }

    // Java has no JSON of its own. Without this, a tenant's name could add claims.
    static String quote(String text) {
        return '"' + text.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    }

    public static void main(String[] args) throws Exception {
        System.out.println(mint(args[0], args[1], args[2], args[3]));
    }
}
