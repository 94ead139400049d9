/*
 * masterkey.h
 *	  Master encryption keys: which are loaded, and how to get at one.
 *
 * A master key's id is its key check value (crypto/cipher.h), so that the same key has the
 * same id in every database and a wrong one is noticed. The keys are in one page of
 * shared memory of their own, locked and left out of core files, written by the key keeper
 * (worker/keeper.c) alone. Without shared_preload_libraries each session reads the
 * key file itself.
 */
#ifndef MT_MASTERKEY_H
#define MT_MASTERKEY_H

#include "postgres.h"

#include "base/errors.h"
#include "crypto/cipher.h"

#define MT_MASTER_KEY_SLOTS 4

extern void MtMasterKeyInit(void);

/*
 * Copies the current master key. False with the reason (MT020) if there is none: no
 * provider, not loaded yet (waits a few seconds for the first try after the server's
 * start), provider down. The caller wipes the copy.
 */
extern bool MtMasterKeyCurrent(uint64 *id, unsigned char secret[MT_SECRET_BYTES], MtDenial *denial);

/* Copies the master key of that id, current or an older one; the same. */
extern bool MtMasterKeyById(uint64 id, unsigned char secret[MT_SECRET_BYTES], MtDenial *denial);

#endif							/* MT_MASTERKEY_H */
