/*
 * leader.c
 *	  What parallel workers must know of their leader besides its settings.
 *
 * Owns a number that the server copies to workers because it is a setting, whose
 * bits are facts that modules keep in variables of C. Invariant: it is up to date
 * whenever workers are started, and nobody sets it in SQL.
 */
#include "postgres.h"

#include "base/hot.h"
#include "base/leader.h"
#include "base/settings.h"
#include "utils/guc.h"

#define LEADER_GUC "multitenant.leader"

MT_HOT int	mt_leader_facts = 0;

static struct
{
	MtLeaderFact fact;
	bool		(*is_true) (void);
}			sources[4];

static int	source_count = 0;
static bool is_initialising = false;

/* Security: a worker takes over what its leader had; nobody else says anything. */
static bool
check_facts(int *newval, void **extra, GucSource source)
{
	if (source == PGC_S_DEFAULT || is_initialising || InitializingParallelWorker)
		return true;
	GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
	GUC_check_errmsg("what parallel workers are told cannot be set as a setting");
	GUC_check_errhint("Leave it alone: the library sets it itself.");
	return false;
}

/*
 * The server copies what is not by default. That has to be so before any transaction,
 * because the end of one would bring the default back.
 */
void
MtLeaderInit(void)
{
	DefineCustomIntVariable(LEADER_GUC,
							"What parallel workers must know of their leader.",
							"Set by the library alone.",
							&mt_leader_facts,
							0, 0, INT_MAX,
							PGC_SUSET,
							GUC_NO_SHOW_ALL | GUC_NO_RESET_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							check_facts, NULL, NULL);
	if (InitializingParallelWorker)
		return;
	is_initialising = true;
	SetConfigOption(LEADER_GUC, "0", PGC_SUSET, PGC_S_DYNAMIC_DEFAULT);
	is_initialising = false;
}

void
MtLeaderOnTell(MtLeaderFact fact, bool (*is_true) (void))
{
	Assert(source_count < (int) lengthof(sources));
	sources[source_count].fact = fact;
	sources[source_count++].is_true = is_true;
}

void
MtLeaderTell(void)
{
	int			facts = 0;

	if (IsParallelWorker())
		return;
	for (int i = 0; i < source_count; i++)
		if (sources[i].is_true())
			facts |= sources[i].fact;
	mt_leader_facts = facts;
}
