/*
 * credential.h
 *	  From a credential to the context it stands for.
 */
#ifndef MT_CREDENTIAL_H
#define MT_CREDENTIAL_H

#include "postgres.h"
#include "tenant/identity.h"

/*
 * What a token that this session has verified before, and that is still good, makes
 * of it; NULL for any other. Valid until anything else is called that can look at
 * credentials.
 */
extern const MtContext *MtCredentialRecall(const char *token, size_t length);

/*
 * Verifies a signed token and fills in the context it stands for. Throws MT002
 * for anything wrong up to and including the signature (one error, so that a
 * forger learns nothing), then MT003, MT004, MT006 or MT008. Needs MtIsActive().
 */
extern void MtCredentialVerify(const char *token, MtContext *out);

#endif							/* MT_CREDENTIAL_H */
