/*
 * keycache.h
 *	  Keys ready for use in this session, few and not for long.
 */
#ifndef MT_KEYCACHE_H
#define MT_KEYCACHE_H

#include "postgres.h"

#include "base/errors.h"
#include "keys/decision.h"
#include "keys/keytable.h"

/* What is computed of a key once. Of gcm, siv and mac the one that its class says. */
typedef struct MtKeyTools
{
	MtGcm	   *gcm;
	MtSiv	   *siv[2];			/* for values without and with a context: the
								 * header differs */
	MtMac	   *mac;
	unsigned char aad[2][MT_AAD_MAX];	/* the same two, for gcm */
	size_t		aad_length;
} MtKeyTools;

typedef struct MtKey
{
	int64		id;				/* first: the hash key */
	pg_uuid_t	tenant;
	char		purpose[MT_PURPOSE_MAX + 1];
	char		class;
	bool		is_active;		/* new values may use it */
	MtPurposeDecision decision; /* who may use it */
	MtKeyTools *tools;			/* never NULL in what is returned */
} MtKey;

extern void MtKeyCacheInit(void);

/*
 * The key that a value of the current tenant names, or the active one of a purpose
 * and class, made at its first use. NULL with the reason: MT020, MT021 where the
 * tenant has no such key, 42501 where it is not for this context or principal, 25006,
 * 54000 when it has sealed too much. MtKeyToInspect(): as MtKeyToOpen(), for who opens
 * nothing with it; no rule of its purpose is asked. Takes in
 * invalidations first: what another session has suspended or destroyed fails
 * here. Valid until the next call. Throws what reading or writing a table throws.
 */
extern MtKey *MtKeyToOpen(int64 id, MtDenial *denial);
extern MtKey *MtKeyToInspect(int64 id, MtDenial *denial);
extern MtKey *MtKeyToSeal(const char *purpose, size_t purpose_length, char class,
						  MtDenial *denial);

/* A nonce that this key has never had: random, then counted. False: no randomness. */
extern bool MtKeyNonce(MtKey *key, unsigned char nonce[MT_NONCE_BYTES]);

/* What this process has done with keys. */
typedef struct MtKeyCacheStats
{
	int64		entries;		/* unwrapped now */
	int64		ready;			/* of them, with their OpenSSL objects */
	int64		hits;			/* another key than the last one was needed,
								 * and was here */
	int64		misses;			/* was not, or had to be looked at again */
	int64		evictions;		/* gone for want of room */
} MtKeyCacheStats;

extern void MtKeyCacheRead(MtKeyCacheStats *stats);

/* Wipes everything. */
extern void MtKeyCacheWipe(void);

#endif							/* MT_KEYCACHE_H */
