/*
 * label.h
 *	  Security labels: the registry of what a table is, kept at the table.
 */
#ifndef MT_LABEL_H
#define MT_LABEL_H

#include "postgres.h"
#include "access/attnum.h"
#include "datatype/timestamp.h"
#include "nodes/nodes.h"
#include "nodes/pg_list.h"
#include "utils/snapshot.h"

#define MT_LABEL_PROVIDER "multitenant"

typedef enum MtClass
{
	MT_CLASS_NONE,				/* no label and no policy */
	MT_CLASS_TENANT,
	MT_CLASS_SHARED,
	MT_CLASS_SHARED_ROWS,
	MT_CLASS_EXEMPT
} MtClass;

/* Do policies filter its rows by the tenant? */
#define MtClassIsFiltered(class) ((class) == MT_CLASS_TENANT || (class) == MT_CLASS_SHARED_ROWS)

/* The longest name of a resource, with its end. */
#define MT_RESOURCE_SIZE 64

typedef struct MtLabel
{
	MtClass		class;
	bool		is_paused;
	TimestampTz paused_until;	/* only if is_paused */
	bool		is_observed;	/* protects nothing yet: class tenant only */
	bool		is_scoped;		/* rows belong to scopes: only with a resource */
	char		resource[MT_RESOURCE_SIZE]; /* whose permissions statements
											 * need; "" for none */
} MtLabel;

extern void MtLabelInit(void);

/*
 * Called with every utility statement (or NULL) between its analysis and its
 * execution: lets SECURITY LABEL find the provider.
 */
extern void MtLabelBeforeStatement(Node *statement);

/* The name of a class as labels spell it. */
extern const char *MtClassName(MtClass class);

/*
 * Reads a label text; false with the reason if it is not one. Throws only for
 * JSON that is not JSON.
 */
extern bool MtLabelParse(const char *text, MtLabel *out, const char **reason);

/* The label of a relation; MT_CLASS_NONE without one. */
extern void MtLabelOf(Oid relid, MtLabel *out);

/* The column that is labelled as the tenant's; 0 without one. */
extern AttrNumber MtLabelledColumn(Oid relid);

/* The one that is labelled as the scope's; 0 without one. */
extern AttrNumber MtLabelledScope(Oid relid);

/*
 * Who changed the label of a table last, if there is a snapshot in this session that
 * might not see it; else InvalidTransactionId. Reads the catalog.
 */
extern TransactionId MtLabelWriter(Oid relid);

/* Direct parents in partition and inheritance trees, as a list of OIDs. */
extern List *MtParentsOf(Oid relid);

/* Is any table or column of this database labelled? Reads a catalog sequentially. */
extern bool MtAnyLabel(void);

/*
 * Is there a label of a table that does more than observe? Reads a catalog
 * sequentially.
 */
extern bool MtAnyActingLabel(void);

#endif							/* MT_LABEL_H */
