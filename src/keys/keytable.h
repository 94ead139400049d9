/*
 * keytable.h
 *	  The tables of wrapped keys: multitenant.kek (a tenant's key, under a master
 *	  key) and multitenant.cek (a key for values, under the tenant's key).
 *
 * No key leaves here unwrapped; keycache.c and keymaker.c do that.
 */
#ifndef MT_KEYTABLE_H
#define MT_KEYTABLE_H

#include "postgres.h"

#include "crypto/ciphertext.h"
#include "crypto/wrap.h"
#include "datatype/timestamp.h"
#include "utils/uuid.h"

/* What a key is for. The characters are in associated data: they never change. */
#define MT_CLASS_TENANT_KEY 'k'
#define MT_CLASS_DATA 'd'
#define MT_CLASS_DETERMINISTIC 's'
#define MT_CLASS_BLIND_INDEX 'b'

typedef enum MtKeyState
{
	MT_KEY_ACTIVE,				/* opens and seals */
	MT_KEY_RETIRED,				/* opens only */
	MT_KEY_SUSPENDED,			/* neither, for now */
	MT_KEY_DESTROYED			/* never again; the row tells so */
} MtKeyState;

typedef struct MtKekRow
{
	int64		id;
	pg_uuid_t	tenant;
	int32		version;
	bool		has_share;		/* its wrapping key also needs the tenant's
								 * share */
	MtKeyState	state;
	TimestampTz created_at;
	unsigned char wrapped[MT_WRAPPED_BYTES];	/* unless destroyed */
} MtKekRow;

typedef struct MtCekRow
{
	int64		id;
	pg_uuid_t	tenant;
	char		purpose[MT_PURPOSE_MAX + 1];
	char		class;
	int32		version;
	int64		kek_id;
	MtKeyState	state;
	int64		uses;
	TimestampTz created_at;
	unsigned char kcv[MT_KCV_BYTES];
	unsigned char wrapped[MT_WRAPPED_BYTES];	/* unless destroyed */
} MtCekRow;

/* Each reads one row with the latest snapshot; false if there is none. Need MtIsActive(). */
extern bool MtKekById(int64 id, MtKekRow *row);
extern bool MtKekOfTenant(const pg_uuid_t *tenant, MtKekRow *row);	/* active or suspended */
extern bool MtCekById(int64 id, MtCekRow *row);
extern bool MtCekActive(const pg_uuid_t *tenant, const char *purpose, char class, MtCekRow *row);

/* How many keys that are not destroyed are under a tenant's key, with the latest snapshot. */
extern int	MtCekCountUnder(int64 kek_id);

/* The highest version of a tenant's keys so far, 0 for none. */
extern int32 MtKekLastVersion(const pg_uuid_t *tenant);
extern int32 MtCekLastVersion(const pg_uuid_t *tenant, const char *purpose, char class);

/* Has the last version of a tenant's key a share? */
extern bool MtKekLastHasShare(const pg_uuid_t *tenant);

/* Write a row; sessions learn of it at the commit. The caller has checked that rows can be written. */
extern void MtKekInsert(const MtKekRow *row);
extern void MtCekInsert(const MtCekRow *row);

/* Replace what the key is wrapped in, and under which key; sessions need not learn of it. */
extern void MtKekRewrap(const MtKekRow *row);
extern void MtCekRewrap(const MtCekRow *row);

/* "data", "deterministic", "blind_index": how SQL names a class; 0 for another name. */
extern char MtKeyClassFromName(const char *name);
extern const char *MtKeyClassName(char class);

/* What a wrapped key is bound to. The row must live as long. */
extern void MtKekBinding(const MtKekRow *row, MtWrapBinding *binding);
extern void MtCekBinding(const MtCekRow *row, MtWrapBinding *binding);

#endif							/* MT_KEYTABLE_H */
