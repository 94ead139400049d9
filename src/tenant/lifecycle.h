/*
 * lifecycle.h
 *	  Ending the sessions of a tenant.
 */
#ifndef MT_LIFECYCLE_H
#define MT_LIFECYCLE_H

extern void MtLifecycleInit(void);

#endif							/* MT_LIFECYCLE_H */
