/*
 * credential.h
 *	  From a credential to the context it stands for.
 */
#ifndef MT_CREDENTIAL_H
#define MT_CREDENTIAL_H

#include "postgres.h"
#include "tenant/identity.h"

/*
 * Verifies a signed token and fills in the context it stands for, at once where this
 * session has verified it before and it is still good. Throws MT002
 * for anything wrong up to and including the signature (one error, so that a
 * forger learns nothing), then MT003, MT004, MT006 or MT008. Needs MtIsActive().
 */
extern void MtCredentialVerify(const char *token, size_t length, MtContext *out);

#endif							/* MT_CREDENTIAL_H */
