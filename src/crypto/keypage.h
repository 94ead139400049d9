/*
 * keypage.h
 *	  The page of memory where the master keys are.
 *
 * With shared_preload_libraries there is one for the server, and the key keeper
 * alone writes it; without, each process makes its own.
 */
#ifndef MT_KEYPAGE_H
#define MT_KEYPAGE_H

#include "postgres.h"

#include "base/settings.h"
#include "crypto/hsm.h"
#include "crypto/keyfile.h"
#include "crypto/masterkey.h"
#include "datatype/timestamp.h"

typedef enum MtKeeperState
{
	MT_KEEPER_STARTING,			/* has not tried yet */
	MT_KEEPER_OFF,				/* multitenant.key_provider is off */
	MT_KEEPER_LOADED,			/* has every version that is listed */
	MT_KEEPER_FAILING			/* has not, and will try again */
} MtKeeperState;

/* One version, with what there is to say of it. */
typedef struct MtMasterKeyStatus
{
	int32		version;
	uint64		id;				/* 0: not loaded */
	TimestampTz loaded_at;
	char		error[160];		/* of the last try; "" for none */
} MtMasterKeyStatus;

typedef struct MtKeeperStatus
{
	MtKeeperState state;
	MtKeyProvider provider;		/* of the last try */
	int			count;
	MtMasterKeyStatus key[MT_MASTER_KEY_SLOTS]; /* the last is the current one */
	TimestampTz next_try;		/* DT_NOEND: none is planned */
} MtKeeperStatus;

/* What the writer works on, in the page, too. */
typedef struct MtKeyWork
{
	MtKeeperStatus status;
	unsigned char secret[MT_MASTER_KEY_SLOTS][MT_SECRET_BYTES];
	unsigned char text[MT_HSM_ANSWER_BYTES];	/* as the provider gives a key */
} MtKeyWork;

/* Makes the shared page while libraries are preloaded. FATAL if it must be locked and is not. */
extern void MtKeyPageInit(void);

extern bool MtKeyPageIsShared(void);
extern bool MtKeyPageIsLocked(void);

/* Makes a page of this process's own if there is none; false with errno. */
extern bool MtKeyPageMake(void);

/* In a child that is no process of the server: it has no page from now on. */
extern void MtKeyPageLeave(void);

/* ---- readers; none throws ---- */

extern void MtKeyPageRead(MtKeeperStatus *status);

/*
 * Copies the key of that id, 0: the current one, and sets *id. False: it is not
 * there. The caller wipes the copy.
 */
extern bool MtKeyPageCopy(uint64 *id, unsigned char secret[MT_SECRET_BYTES]);

/* ---- the one writer ---- */

/* What the page says now, without the keys, to be changed. */
extern MtKeyWork *MtKeyPageBegin(void);

/* Makes it what readers see, and wipes it. */
extern void MtKeyPagePublish(void);

/* ---- requests: "load the keys again" ---- */

/* The keeper says that it is there, or (false) no longer. */
extern void MtKeyPageServe(bool is_there);
extern bool MtKeyPageIsServed(void);

/* Wakes the keeper; the number of the request. */
extern uint64 MtKeyPageRequest(void);

/* The last request made, and the last one that was done. */
extern uint64 MtKeyPageRequested(void);
extern uint64 MtKeyPageAnswered(void);
extern void MtKeyPageAnswer(uint64 request);

#endif							/* MT_KEYPAGE_H */
