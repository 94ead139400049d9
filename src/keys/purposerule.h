/*
 * purposerule.h
 *	  Which permissions the keys of a purpose ask for.
 */
#ifndef MT_PURPOSERULE_H
#define MT_PURPOSERULE_H

#include "postgres.h"
#include "rbac/catalogue.h"
#include "utils/uuid.h"


/* What a key is wanted for. */
typedef enum MtKeyUse
{
	MT_USE_OPEN,				/* decrypting */
	MT_USE_SEAL					/* encrypting, and blind indexes */
} MtKeyUse;

#define MT_USE_COUNT (MT_USE_SEAL + 1)

/* "" where nothing is asked for. */
typedef struct MtPurposeRule
{
	char		permission[MT_USE_COUNT][MT_PERMISSION_MAX + 1];
} MtPurposeRule;

extern void MtPurposeRuleInit(void);

/*
 * Changes whenever a rule may have changed, here or in another session; never 0. Compare
 * it after invalidations were taken in.
 */
extern uint64 MtPurposeRuleGeneration(void);

/*
 * The rule of a tenant for a purpose: its own, and the one of all tenants for what
 * its own leaves out. Never NULL; valid until the next call. May throw what catalog
 * reads throw.
 */
extern const MtPurposeRule *MtPurposeRuleOf(const pg_uuid_t *tenant, const char *purpose);

#endif							/* MT_PURPOSERULE_H */
