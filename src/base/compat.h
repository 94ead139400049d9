/*
 * compat.h
 *	  Every difference between the supported server versions, and nothing else.
 */
#ifndef MT_COMPAT_H
#define MT_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "multitenant needs PostgreSQL 15 or later"
#endif

#include "catalog/pg_class.h"
#if PG_VERSION_NUM < 160000
#include "common/jsonapi.h"
#endif
#include "executor/executor.h"
#include "optimizer/pathnode.h"
#include "optimizer/plancat.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "storage/proc.h"
#if PG_VERSION_NUM >= 170000
#include "storage/procarray.h"
#else
#include "storage/sinvaladt.h"
#endif
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#if PG_VERSION_NUM >= 160000
#include "utils/json.h"
#else
#include "utils/jsonfuncs.h"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* The mark of a function that does not return; put first in a declaration. */
#if PG_VERSION_NUM >= 180000
#define MT_NORETURN pg_noreturn
#else
#define MT_NORETURN pg_attribute_noreturn()
#endif

/* GUC extra memory must come from guc_malloc from 16 on, malloc before. */
#if PG_VERSION_NUM >= 160000
#define MtGucAlloc(size) guc_malloc(LOG, (size))
#else
#define MtGucAlloc(size) malloc(size)
#endif

/* The local transaction id of this backend. */
#if PG_VERSION_NUM >= 170000
#define MtLocalTransactionId() (MyProc->vxid.lxid)
#define MtProcNumber() (MyProcNumber)
#else
#define MtLocalTransactionId() (MyProc->lxid)
#define MtProcNumber() (MyProc->pgprocno)
#endif

/* Which process a virtual transaction id belongs to. */
#if PG_VERSION_NUM >= 170000
#define MtVxidProc(vxid) ((vxid).procNumber)
#define MtProcOfVxid(vxid) ProcNumberGetProc((vxid).procNumber)
#define MtLxidOfProc(proc) ((proc)->vxid.lxid)
#else
#define MtVxidProc(vxid) ((vxid).backendId)
#define MtProcOfVxid(vxid) BackendIdGetProc((vxid).backendId)
#define MtLxidOfProc(proc) ((proc)->lxid)
#endif

/* Is the text JSON? Throws nothing for its syntax. */
#if PG_VERSION_NUM >= 160000
#define MtIsJson(text) json_validate(cstring_to_text(text), false, false)
#else
#define MtIsJson(text) \
	(pg_parse_json(makeJsonLexContext(cstring_to_text(text), true), &nullSemAction) == JSON_SUCCESS)
#endif

/* Has the role the owner's rights on the relation? */
#if PG_VERSION_NUM >= 160000
#define MtOwnsRelation(relid, role) object_ownercheck(RelationRelationId, (relid), (role))
#else
#define MtOwnsRelation(relid, role) pg_class_ownercheck((relid), (role))
#endif

/* ExecutorRun lost execute_once in 18. */
#if PG_VERSION_NUM >= 180000
#define MT_EXECUTOR_RUN_PARAMS QueryDesc *queryDesc, ScanDirection direction, uint64 count
#define MT_EXECUTOR_RUN_ARGS queryDesc, direction, count
#else
#define MT_EXECUTOR_RUN_PARAMS QueryDesc *queryDesc, ScanDirection direction, uint64 count, bool execute_once
#define MT_EXECUTOR_RUN_ARGS queryDesc, direction, count, execute_once
#endif

/*
 * Permissions moved from the range table entry to RTEPermissionInfo in 16.
 * MtPermission is what the guard needs of either.
 */
typedef struct MtPermission
{
	Oid			relid;
	AclMode		required;
	Oid			check_as_user;	/* InvalidOid: the current user */
} MtPermission;

#if PG_VERSION_NUM >= 160000
#define MT_CHECK_PERMS_PARAMS List *rangeTable, List *rteperminfos, bool ereport_on_violation
#define MT_CHECK_PERMS_ARGS rangeTable, rteperminfos, ereport_on_violation
#define MT_CHECK_PERMS_LIST rteperminfos
#define MtPermissionsOfQuery(query) ((query)->rteperminfos)
#define MtPermissionsOfPlan(statement) ((statement)->permInfos)

static inline bool
MtPermissionOf(void *item, MtPermission *out)
{
	RTEPermissionInfo *info = (RTEPermissionInfo *) item;

	out->relid = info->relid;
	out->required = info->requiredPerms;
	out->check_as_user = info->checkAsUser;
	return OidIsValid(info->relid);
}
#else
#define MT_CHECK_PERMS_PARAMS List *rangeTable, bool ereport_on_violation
#define MT_CHECK_PERMS_ARGS rangeTable, ereport_on_violation
#define MT_CHECK_PERMS_LIST rangeTable
#define MtPermissionsOfQuery(query) ((query)->rtable)
#define MtPermissionsOfPlan(statement) ((statement)->rtable)

static inline bool
MtPermissionOf(void *item, MtPermission *out)
{
	RangeTblEntry *rte = (RangeTblEntry *) item;

	if (rte->rtekind != RTE_RELATION)
		return false;
	out->relid = rte->relid;
	out->required = rte->requiredPerms;
	out->check_as_user = rte->checkAsUser;
	return true;
}
#endif

/* All settings, which were sorted in one array until 15; the caller may free them. */
#if PG_VERSION_NUM >= 160000
#define MtGucVariables(count) get_guc_variables(count)
#else
#define MtGucVariables(count) (*(count) = GetNumConfigOptions(), get_guc_variables())
#endif
#if PG_VERSION_NUM >= 190000
#define MtGucEnumName(setting, value) config_enum_lookup_by_value((setting), (value))
#else
#define MtGucEnumName(setting, value) config_enum_lookup_by_value((struct config_enum *) (setting), (value))
#endif

/* A setting that cannot be reset on its own: from 16 on. */
#if PG_VERSION_NUM >= 160000
#define MT_GUC_KEPT (GUC_NO_RESET_ALL | GUC_NO_RESET)
#else
#define MT_GUC_KEPT GUC_NO_RESET_ALL
#endif

/* Foreign keys that are not enforced and do nothing, and those over periods: from 18 on. */
#if PG_VERSION_NUM >= 180000
#define MtForeignKeyIsEnforced(key) ((key)->conenforced)
#define MtConstraintIsTemporal(form) ((form)->conperiod)
#define MtConstraintIsEnforced(form) ((form)->conenforced)
#else
#define MtForeignKeyIsEnforced(key) true
#define MtConstraintIsTemporal(form) false
#define MtConstraintIsEnforced(form) true
#endif

/* What post_parse_analyze_hook may not change from 19 on. */
#if PG_VERSION_NUM >= 190000
typedef const struct JumbleState MtJumbleState;
#else
typedef struct JumbleState MtJumbleState;
#endif

/* Does a backslash in '..' mean itself? From 19 on always. */
#if PG_VERSION_NUM >= 190000
#define MtStringsConform() true
#else
#define MtStringsConform() standard_conforming_strings
#endif

/* The planner hook gained the ExplainState in 19. */
#if PG_VERSION_NUM >= 190000
#define MT_PLANNER_PARAMS Query *parse, const char *query_string, int cursorOptions, ParamListInfo boundParams, ExplainState *es
#define MT_PLANNER_ARGS parse, query_string, cursorOptions, boundParams, es
#else
#define MT_PLANNER_PARAMS Query *parse, const char *query_string, int cursorOptions, ParamListInfo boundParams
#define MT_PLANNER_ARGS parse, query_string, cursorOptions, boundParams
#endif

/* The hook that sees what the planner knows of a relation; from 19 on of any. */
#if PG_VERSION_NUM >= 190000
typedef build_simple_rel_hook_type MtRelationInfoHook;
#define MT_RELATION_INFO_HOOK build_simple_rel_hook
#define MT_RELATION_INFO_PARAMS PlannerInfo *root, RelOptInfo *rel, RangeTblEntry *entry
#define MT_RELATION_INFO_ARGS root, rel, entry
#define MT_RELATION_INFO_RELID ((entry)->relid)
#else
typedef get_relation_info_hook_type MtRelationInfoHook;
#define MT_RELATION_INFO_HOOK get_relation_info_hook
#define MT_RELATION_INFO_PARAMS PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel
#define MT_RELATION_INFO_ARGS root, relid, inhparent, rel
#define MT_RELATION_INFO_RELID relid
#endif

/* Scans have options from 19 on. */
#if PG_VERSION_NUM >= 190000
#define MtTableBeginScan(table, snapshot) table_beginscan((table), (snapshot), 0, NULL, SO_NONE)
#else
#define MtTableBeginScan(table, snapshot) table_beginscan((table), (snapshot), 0, NULL)
#endif

/* What records of a range table entry the rights that it needs. */
#if PG_VERSION_NUM >= 160000
typedef RTEPermissionInfo MtCopyRights;
#define MtCopyRightsOf(item) ((item)->p_perminfo)
#define MtCopyCheckRights(pstate, rights) ExecCheckPermissions((pstate)->p_rtable, list_make1(rights), true)
#else
typedef RangeTblEntry MtCopyRights;
#define MtCopyRightsOf(item) ((item)->p_rte)
#define MtCopyCheckRights(pstate, rights) ExecCheckRTPerms((pstate)->p_rtable, true)
#endif

/* COPY can ignore rows with errors from 17 on, up to a limit from 18 on. */
#if PG_VERSION_NUM >= 170000
#define MtCopyHasIgnoredError(copy) \
	((copy)->opts.on_error != COPY_ON_ERROR_STOP && (copy)->escontext->error_occurred)
#define MtCopyForgetError(copy) ((copy)->escontext->error_occurred = false)
#define MtCopyErrors(copy) ((int64) (copy)->num_errors)
#else
#define MtCopyHasIgnoredError(copy) false
#define MtCopyForgetError(copy) ((void) 0)
#define MtCopyErrors(copy) INT64CONST(0)
#endif
#if PG_VERSION_NUM >= 180000
#define MtCopyRejectLimit(copy) ((int64) (copy)->opts.reject_limit)
#else
#define MtCopyRejectLimit(copy) INT64CONST(0)
#endif

#endif							/* MT_COMPAT_H */
