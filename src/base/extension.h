/*
 * extension.h
 *	  Is the extension installed in this database, and where are its objects?
 */
#ifndef MT_EXTENSION_H
#define MT_EXTENSION_H

#include "postgres.h"

#define MT_EXTENSION_NAME	"multitenant"
#define MT_SCHEMA_NAME		"multitenant"

/* The tables that C reads, and the index each is read by. */
typedef enum MtTable
{
	MT_TABLE_TENANT,
	MT_TABLE_ACCESS,
	MT_TABLE_SIGNING_KEY,
	MT_TABLE_INSTALLATION,
	MT_TABLE_MEMBER,
	MT_TABLE_AUDIT,
	MT_TABLE_NEW_TABLE_RULE,
	MT_TABLE_PENDING_PROTECTION,
	MT_TABLE_KEK,
	MT_TABLE_CEK,
	MT_TABLE_PRINCIPAL,
	MT_TABLE_GROUP_MEMBER,
	MT_TABLE_PERMISSION,
	MT_TABLE_ROLE,
	MT_TABLE_ROLE_PARENT,
	MT_TABLE_ROLE_PERMISSION,
	MT_TABLE_SCOPE,
	MT_TABLE_ROLE_ASSIGNMENT,
	MT_TABLE_RIGHTS_VERSION,
	MT_TABLE_MASTER_TENANT,
	MT_TABLE_OPERATOR,
	MT_TABLE_ACCESS_REQUEST,
	MT_TABLE_SUPERVISION,
	MT_TABLE_BREAK_GLASS,
	MT_TABLE_PURPOSE_RULE,
	MT_TABLE_ACCESS_WITHDRAWAL
} MtTable;
#define MT_TABLE_COUNT (MT_TABLE_ACCESS_WITHDRAWAL + 1)

typedef enum MtAccessor
{
	MT_ACCESSOR_UUID,
	MT_ACCESSOR_INT8,
	MT_ACCESSOR_INT4,
	MT_ACCESSOR_TEXT
} MtAccessor;
#define MT_ACCESSOR_COUNT (MT_ACCESSOR_TEXT + 1)

extern void MtExtensionInit(void);

/*
 * Is the extension completely installed here? False outside a transaction, in
 * an aborted one, during CREATE EXTENSION and in binary upgrade. Does not throw
 * beyond what catalog reads throw. Cheap once known.
 */
extern bool MtIsActive(void);

/* Objects of the extension; InvalidOid when missing. Only while MtIsActive(). */
extern Oid	MtExtensionOid(void);
extern Oid	MtTableOid(MtTable table);
extern Oid	MtAccessorOid(MtAccessor accessor);

/*
 * The function that compares scopes of that type in policies; InvalidOid when
 * missing.
 */
extern Oid	MtScopeFilterOid(MtAccessor type);

/* The function that counts new rows of observed tables; InvalidOid when missing. */
extern Oid	MtObserverOid(void);

/* An index of the extension's schema by name; throws XX000 if it is missing. */
extern Oid	MtIndexOid(const char *name);

/*
 * Called when the table may have changed, and when nobody knows what has: at any moment,
 * as of MtRelationListener. A module that listens to several tables gives one listener
 * for all of them, which is told once.
 */
typedef void (*MtTableListener) (void);
extern void MtExtensionOnTable(MtTable table, MtTableListener listener);

/* Which of the extension's tables has this OID? -1 for none; -2 if unknown yet. */
extern int	MtTableOfOid(Oid relid);

/* Counts every change of state; a cache built under another value is stale. */
extern uint64 MtExtensionGeneration(void);

#endif							/* MT_EXTENSION_H */
