/*
 * auditwriter.h
 *	  A process for each event that must outlast the transaction that reports it.
 */
#ifndef MT_AUDITWRITER_H
#define MT_AUDITWRITER_H

/* Makes MtAuditEmitDurable() possible. */
extern void MtAuditWriterInit(void);

#endif							/* MT_AUDITWRITER_H */
