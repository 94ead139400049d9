/*
 * errors.h
 *	  The SQLSTATEs of this extension (class MT) in one place.
 *
 * Class MT reaches every driver unchanged. Classes 08, 28, 40 and 57P are never
 * used: connection pools evict, retry or mask them.
 */
#ifndef MT_ERRORS_H
#define MT_ERRORS_H

#include "base/compat.h"
#include "utils/elog.h"

#define MT_ERRCODE_NO_CONTEXT			MAKE_SQLSTATE('M','T','0','0','1')
#define MT_ERRCODE_CREDENTIAL_INVALID	MAKE_SQLSTATE('M','T','0','0','2')
#define MT_ERRCODE_CREDENTIAL_EXPIRED	MAKE_SQLSTATE('M','T','0','0','3')
#define MT_ERRCODE_CREDENTIAL_REVOKED	MAKE_SQLSTATE('M','T','0','0','4')
#define MT_ERRCODE_CONTEXT_CONFLICT		MAKE_SQLSTATE('M','T','0','0','5')
#define MT_ERRCODE_TENANT_NOT_ACTIVE	MAKE_SQLSTATE('M','T','0','0','6')
#define MT_ERRCODE_BYPASSES_ISOLATION	MAKE_SQLSTATE('M','T','0','0','7')
#define MT_ERRCODE_NOT_A_MEMBER			MAKE_SQLSTATE('M','T','0','0','8')
#define MT_ERRCODE_REFUSED_BY_GUARD		MAKE_SQLSTATE('M','T','0','1','0')
#define MT_ERRCODE_KEY_UNAVAILABLE		MAKE_SQLSTATE('M','T','0','2','0')
#define MT_ERRCODE_DECRYPTION_FAILED	MAKE_SQLSTATE('M','T','0','2','1')

/*
 * Why something is refused. A check fills one in and returns false; the caller
 * decides whether to raise it, to report it, or to explain it. Texts are
 * constants or palloc'd in the caller's context.
 */
typedef struct MtDenial
{
	int			code;			/* SQLSTATE */
	const char *message;
	const char *detail;			/* may be NULL */
	const char *hint;
} MtDenial;

/* Fills in *denial and yields false, so that a check can "return MtDeny(..)". */
static inline bool
MtDeny(MtDenial *denial, int code, const char *message, const char *detail,
	   const char *hint)
{
	denial->code = code;
	denial->message = message;
	denial->detail = detail;
	denial->hint = hint;
	return false;
}

/* Raises a denial as an error; does not return. */
MT_NORETURN static inline void MtDenialRaise(const MtDenial *denial);

static inline void
MtDenialRaise(const MtDenial *denial)
{
	ereport(ERROR,
			errcode(denial->code),
			errmsg_internal("%s", denial->message),
			denial->detail ? errdetail_internal("%s", denial->detail) : 0,
			denial->hint ? errhint("%s", denial->hint) : 0);
}

#endif							/* MT_ERRORS_H */
